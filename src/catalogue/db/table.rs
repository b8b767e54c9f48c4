//! A table of the index: keys with a head and a path, batches, errors that name
//! the index's folder. Of a sealed store it seals paths and values.

use std::path::Path;
use std::sync::Arc;

use crate::catalogue::CatalogueError;
use crate::catalogue::names::{Named, Names};
use crate::disk::{DiskError, errno};

/// Items that are given to sled at once. It keeps every version of every page
/// that a batch touches until the batch ends; and nothing needs a larger one,
/// for after a stop amid a commit the index is made anew.
pub(super) const BATCH_ITEMS: usize = 1024;
/// A table of the index; its errors name the index's folder. Its keys are a
/// head of as many bytes in each, and a path.
pub(super) struct Table {
    pub(super) tree: sled::Tree,
    name: &'static str,
    head: usize,
    names: Names,
    pub(super) folder: Arc<Path>,
}

/// An item of a table, as it is written.
type Pair = (sled::IVec, sled::IVec);

/// What sled said, about the index in `folder`. A disk that is full is no
/// fault of the index.
pub(super) fn failed(folder: &Path, error: &sled::Error) -> CatalogueError {
    match error {
        sled::Error::Io(error) => CatalogueError::Disk(DiskError::at(
            "read or write the index",
            folder,
            errno(error),
        )),
        _ => CatalogueError::Index {
            folder: folder.to_path_buf(),
            what: error.to_string(),
        },
    }
}

impl Table {
    pub(super) fn open(
        db: &sled::Db,
        (name, head): (&'static str, usize),
        names: &Names,
        folder: &Arc<Path>,
    ) -> Result<Table, CatalogueError> {
        let tree = db.open_tree(name).map_err(|error| failed(folder, &error))?;
        Ok(Table {
            tree,
            name,
            head,
            names: names.clone(),
            folder: folder.clone(),
        })
    }

    pub(super) fn wrong(&self, error: sled::Error) -> CatalogueError {
        failed(&self.folder, &error)
    }

    pub(super) fn corrupt(&self, what: &str) -> CatalogueError {
        CatalogueError::Index {
            folder: self.folder.to_path_buf(),
            what: format!("it has a wrong {what}"),
        }
    }

    /// The path and value of a written item.
    pub(super) fn opened(&self, key: &[u8], value: &[u8]) -> Result<Named, CatalogueError> {
        let opened = self.names.open(self.name, key, self.head, value);
        opened.map_err(|_| self.corrupt(self.name))
    }

    /// The value of a path.
    pub(super) fn get(&self, head: &[u8], path: &[u8]) -> Result<Option<Vec<u8>>, CatalogueError> {
        let key = self.names.key(head, path);
        let Some(value) = self.tree.get(&key).map_err(|error| self.wrong(error))? else {
            return Ok(None);
        };
        let (_, value) = self.opened(&key, &value)?;
        Ok(Some(value))
    }

    /// Sets the value of a path with the others of a batch.
    pub(super) fn put(
        &self,
        batch: &mut sled::Batch,
        (head, path): (&[u8], &[u8]),
        value: &[u8],
    ) -> Result<(), CatalogueError> {
        let key = self.names.key(head, path);
        let value = self.names.value(self.name, &key, path, value)?;
        batch.insert(key, value);
        Ok(())
    }

    /// Sets the values of many paths.
    pub(super) fn put_all<'a, H: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        items: impl Iterator<Item = (H, &'a [u8], V)>,
    ) -> Result<(), CatalogueError> {
        let mut items = items.peekable();
        while items.peek().is_some() {
            let mut batch = sled::Batch::default();
            for (head, path, value) in items.by_ref().take(BATCH_ITEMS) {
                self.put(&mut batch, (head.as_ref(), path), value.as_ref())?;
            }
            self.apply_batch(batch)?;
        }
        Ok(())
    }

    /// Sets written items of another table of this name.
    pub(super) fn put_raw(
        &self,
        items: impl Iterator<Item = Result<Pair, CatalogueError>>,
    ) -> Result<(), CatalogueError> {
        let mut items = items.peekable();
        while items.peek().is_some() {
            let mut batch = sled::Batch::default();
            for item in items.by_ref().take(BATCH_ITEMS) {
                let (key, value) = item?;
                batch.insert(key, value);
            }
            self.apply_batch(batch)?;
        }
        Ok(())
    }

    /// Removes a path with the others of a batch.
    pub(super) fn take(&self, batch: &mut sled::Batch, (head, path): (&[u8], &[u8])) {
        batch.remove(self.names.key(head, path));
    }

    /// Sets what has no path.
    pub(super) fn insert_raw(&self, key: &[u8], value: &[u8]) -> Result<(), CatalogueError> {
        let inserted = self.tree.insert(key, value);
        inserted.map(drop).map_err(|error| self.wrong(error))
    }

    /// Removes what has no path.
    pub(super) fn remove_raw(&self, key: &[u8]) -> Result<(), CatalogueError> {
        let removed = self.tree.remove(key);
        removed.map(drop).map_err(|error| self.wrong(error))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    pub(super) fn clear(&self) -> Result<(), CatalogueError> {
        self.tree.clear().map_err(|error| self.wrong(error))
    }

    pub(super) fn apply_batch(&self, batch: sled::Batch) -> Result<(), CatalogueError> {
        let applied = self.tree.apply_batch(batch);
        applied.map_err(|error| self.wrong(error))
    }

    pub(super) fn raw(&self) -> impl Iterator<Item = Result<Pair, CatalogueError>> {
        let items = self.tree.iter();
        items.map(|item| item.map_err(|error| self.wrong(error)))
    }

    /// Paths and values in the order of the keys.
    pub(super) fn named(
        &self,
        items: sled::Iter,
    ) -> impl Iterator<Item = Result<Named, CatalogueError>> {
        items.map(|item| {
            let (key, value) = item.map_err(|error| self.wrong(error))?;
            self.opened(&key, &value)
        })
    }

    /// Paths and values below a path, in the order of the keys.
    pub(super) fn below<'a>(
        &'a self,
        head: &[u8],
        path: &[u8],
    ) -> impl Iterator<Item = Result<Named, CatalogueError>> + use<'a> {
        self.named(self.tree.scan_prefix(self.names.below(head, path)))
    }

    /// Paths and values from a head on, by head.
    pub(super) fn from(
        &self,
        head: [u8; 8],
    ) -> impl Iterator<Item = Result<Named, CatalogueError>> {
        self.named(self.tree.range(head..))
    }

    /// Every path and value, in canonical order; errors come first.
    pub(super) fn in_order(&self) -> Box<dyn Iterator<Item = Result<Named, CatalogueError>> + '_> {
        self.sorted_below(&[], &[])
    }

    /// Paths and values below a path, in canonical order where all are equally
    /// deep or the head is empty; errors come first.
    pub(super) fn sorted_below<'a>(
        &'a self,
        head: &[u8],
        path: &[u8],
    ) -> Box<dyn Iterator<Item = Result<Named, CatalogueError>> + 'a> {
        let items = self.below(head, path);
        if !self.names.are_sealed() {
            return Box::new(items);
        }
        let mut items: Vec<_> = items.collect();
        items.sort_by(|one, two| match (one, two) {
            (Ok((one, _)), Ok((two, _))) => one.cmp(two),
            (one, two) => one.is_ok().cmp(&two.is_ok()),
        });
        Box::new(items.into_iter())
    }
}
