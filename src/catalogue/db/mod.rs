//! The index: small fixed records that can be deleted at any time and are
//! rebuilt from the segments. This folder alone knows sled.
//!
//! The *base*, if there is one, is the tree of the checkpoint; the tables hold
//! what changed since, and of what is gone an empty value. So a store at rest
//! needs few bytes for its index, and a rebuild writes sorted blocks.
//!
//! Nothing here is ever waited for to be durable. Of a sealed store paths and
//! values are sealed here too; nobody else knows it.
//!
//! A new base and emptied tables are no moment: who reads many leaves while
//! others commit holds a `View`. Single leaves and numbers are looked for in the
//! tables first, so that they are never missed.

mod table;
#[cfg(test)]
mod tests;
mod tree;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};

use hikae_protocol::objectpath::LeafKey;

use self::table::{BATCH_ITEMS, Table, failed};
use super::CatalogueError;
use super::checkpoint::{Base, depth};
use super::commit::Totals;
use super::names::Names;
use super::tree::Overlay;
use super::value::LeafValue;
use crate::seal::Seal;
use crate::segment::BlockPlace;

/// Bytes that sled may use for its cache.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of files that are not worth to be written anew.
const REST_BYTES: u64 = 1024 * 1024;
/// How long sled may hold its file after a close.
const LOCK_MAX: Duration = Duration::from_secs(10);
/// How long sled may take to write everything out.
const FLUSH_MAX: Duration = Duration::from_secs(120);

/// The index.
pub(super) struct Db {
    base: RwLock<Option<Arc<Base>>>,
    db: sled::Db,
    /// depth, path -> `LeafValue` of the tree
    leaves: Table,
    /// depth, path -> digest
    nodes: Table,
    /// path -> `LeafValue`, not yet committed
    staged: Table,
    /// sequence of the signer, path -> nothing
    changed: Table,
    /// number of the own commit, path -> nothing
    committed: Table,
    /// path -> nothing: leaves of the tree with lacking contents
    lacking: Table,
    /// block id -> segment, offset
    blocks: Table,
    /// number of the own commit -> its block, when it was accepted
    commits: Table,
    /// a few values by name
    meta: Table,
}

/// What the key of a leaf or node begins with: its depth, so that the children
/// of a node are one range.
fn head(path: &[u8]) -> [u8; 1] {
    [depth(path)]
}

impl Db {
    /// Opens the index in `folder`, or an empty one; of a sealed store with
    /// its seal.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn open(folder: &Path, seal: Option<&Arc<Seal>>) -> Result<Db, CatalogueError> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        let begun = Instant::now();
        let db = loop {
            match config.open() {
                // A thread of sled's can hold its file for a moment after the
                // index was closed in this process. Of others the home's lock
                // keeps away.
                Err(sled::Error::Io(error))
                    if error.to_string().contains("acquire lock") && begun.elapsed() < LOCK_MAX =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => break opened.map_err(|error| failed(folder, &error))?,
            }
        };
        let folder: Arc<Path> = folder.into();
        let names = Names::new(seal);
        let table = |name, head| Table::open(&db, (name, head), &names, &folder);
        Ok(Db {
            base: RwLock::default(),
            leaves: table("leaves", 1)?,
            nodes: table("nodes", 1)?,
            staged: table("staged", 0)?,
            changed: table("changed", 8)?,
            committed: table("committed", 8)?,
            lacking: table("lacking", 0)?,
            blocks: table("blocks", 8)?,
            commits: table("commits", 8)?,
            meta: table("meta", 0)?,
            db,
        })
    }

    /// The tree of the last checkpoint.
    fn base(&self) -> Option<Arc<Base>> {
        let base = self.base.read().unwrap_or_else(PoisonError::into_inner);
        base.clone()
    }

    /// Puts the tree of a checkpoint, which is what all of this says, below
    /// what changes from now on.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn rebase(&self, base: Base) -> Result<(), CatalogueError> {
        self.set_base(base);
        let tables = [&self.leaves, &self.nodes, &self.changed, &self.committed];
        tables.into_iter().try_for_each(Table::clear)?;
        self.lacking.clear()
    }

    /// Puts the tree of a checkpoint below what the tables say changed since.
    pub(super) fn set_base(&self, base: Base) {
        *self.base.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(base));
    }

    /// Whether there is a base.
    pub(super) fn has_base(&self) -> bool {
        self.base().is_some()
    }

    /// Bytes of the base's file; 0 without one.
    pub(super) fn base_bytes(&self) -> u64 {
        self.base().map_or(0, |base| base.bytes())
    }

    /// Counts over the base's leaves, and how many they are.
    pub(super) fn base_counts(&self) -> Option<(Totals, u64)> {
        self.base().map(|base| (base.totals, base.count()))
    }

    /// Writes everything out, before a clean close.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn flush(&self) -> Result<(), CatalogueError> {
        // sled panics where the disk fails to sync, and may wait for ever for
        // a write that failed. What it holds can be made anew.
        let (sender, receiver) = mpsc::channel();
        let db = self.db.clone();
        std::thread::spawn(move || {
            let flushed = catch_unwind(AssertUnwindSafe(|| db.flush()));
            // Its files are looked at when this was heard.
            drop(db);
            let _ = sender.send(flushed);
        });
        match receiver.recv_timeout(FLUSH_MAX) {
            Ok(Ok(flushed)) => flushed.map(drop).map_err(|error| self.meta.wrong(error)),
            Ok(Err(_)) | Err(_) => Err(CatalogueError::Index {
                folder: self.meta.folder.to_path_buf(),
                what: "the disk did not take it".into(),
            }),
        }
    }

    /// Closes the index in `folder`. Where most is in the base the tables are
    /// written anew: sled keeps the room that they once had.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn close(self, folder: &Path) -> Result<(), CatalogueError> {
        let bytes = self
            .db
            .size_on_disk()
            .map_err(|error| self.meta.wrong(error))?;
        if !self.has_base() || bytes <= REST_BYTES {
            return self.flush();
        }
        let new = folder.with_extension("new");
        let disk = |error: std::io::Error| failed(folder, &sled::Error::Io(error));
        if new.exists() {
            fs::remove_dir_all(&new).map_err(disk)?;
        }
        let small = Db::open(&new, None)?;
        for (from, to) in self.tables().into_iter().zip(small.tables()) {
            to.put_raw(from.raw())?;
        }
        small.flush()?;
        drop((self, small));
        fs::remove_dir_all(folder).map_err(disk)?;
        fs::rename(&new, folder).map_err(disk)
    }

    fn tables(&self) -> [&Table; 9] {
        [
            &self.leaves,
            &self.nodes,
            &self.staged,
            &self.changed,
            &self.committed,
            &self.lacking,
            &self.blocks,
            &self.commits,
            &self.meta,
        ]
    }

    /// A value by name.
    pub(super) fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        self.meta.get(name.as_bytes(), &[])
    }

    /// Sets a value by name.
    pub(super) fn set_meta(&self, name: &str, value: &[u8]) -> Result<(), CatalogueError> {
        let mut batch = sled::Batch::default();
        self.meta.put(&mut batch, (name.as_bytes(), &[]), value)?;
        self.meta.apply_batch(batch)
    }

    /// A staged leaf.
    pub(super) fn staged(&self, path: &[u8]) -> Result<Option<LeafValue>, CatalogueError> {
        match self.staged.get(&[], path)? {
            Some(value) => Ok(Some(
                LeafValue::parse(&value).ok_or_else(|| self.staged.corrupt("staged leaf"))?,
            )),
            None => Ok(None),
        }
    }

    /// Stages leaves.
    pub(super) fn stage(&self, leaves: &[(LeafKey, LeafValue)]) -> Result<(), CatalogueError> {
        let mut batch = sled::Batch::default();
        for (key, value) in leaves {
            let key = (&[][..], key.as_bytes());
            self.staged.put(&mut batch, key, &value.to_bytes())?;
        }
        self.staged.apply_batch(batch)?;
        Ok(())
    }

    /// Drops staged leaves; without keys all.
    pub(super) fn unstage<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), CatalogueError> {
        let (mut any, mut batch) = (false, sled::Batch::default());
        for key in keys {
            any = true;
            self.staged.take(&mut batch, (&[], key));
        }
        match any {
            true => self.staged.apply_batch(batch),
            false => self.staged.clear(),
        }
    }

    /// Whether any leaf is staged.
    pub(super) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Every staged leaf, in canonical order.
    pub(super) fn all_staged(
        &self,
    ) -> impl Iterator<Item = Result<(LeafKey, LeafValue), CatalogueError>> {
        self.staged.in_order().map(|item| {
            let (path, value) = item?;
            let key = LeafKey::parse(&path).map_err(|_| self.staged.corrupt("staged key"))?;
            Ok((
                key,
                LeafValue::parse(&value).ok_or_else(|| self.staged.corrupt("staged leaf"))?,
            ))
        })
    }

    /// Makes leaves part of the tree.
    pub(super) fn apply(&self, leaves: &[(LeafKey, LeafValue)]) -> Result<(), CatalogueError> {
        let mut batches = leaves.chunks(BATCH_ITEMS);
        batches.try_for_each(|leaves| self.apply_some(leaves))
    }

    /// Makes what is staged part of the tree; it stays staged.
    pub(super) fn apply_staged(&self) -> Result<(), CatalogueError> {
        let mut staged = self.all_staged();
        loop {
            let leaves: Result<Vec<_>, _> = staged.by_ref().take(BATCH_ITEMS).collect();
            match leaves? {
                none if none.is_empty() => return Ok(()),
                leaves => self.apply_some(&leaves)?,
            }
        }
    }

    fn apply_some(&self, leaves: &[(LeafKey, LeafValue)]) -> Result<(), CatalogueError> {
        let (mut values, mut lacking) = (sled::Batch::default(), sled::Batch::default());
        let (mut changed, mut committed) = (sled::Batch::default(), sled::Batch::default());
        for (key, value) in leaves {
            let path = key.as_bytes();
            if let Some(old) = self.leaf(path)? {
                let sequence = old.sequence.to_be_bytes();
                self.changed.take(&mut changed, (&sequence, path));
                let number = old.commit.to_be_bytes();
                self.committed.take(&mut committed, (&number, path));
            }
            let sequence = value.sequence.to_be_bytes();
            self.changed.put(&mut changed, (&sequence, path), &[])?;
            let number = value.commit.to_be_bytes();
            self.committed.put(&mut committed, (&number, path), &[])?;
            let bytes = value.to_bytes();
            self.leaves.put(&mut values, (&head(path), path), &bytes)?;
            match value.lacking {
                0 => self.lacking.take(&mut lacking, (&[], path)),
                _ => self.lacking.put(&mut lacking, (&[], path), &[])?,
            }
        }
        self.leaves.apply_batch(values)?;
        self.changed.apply_batch(changed)?;
        self.committed.apply_batch(committed)?;
        self.lacking.apply_batch(lacking)?;
        Ok(())
    }

    /// Fills an index in which nothing is yet with the leaves of the tree, in
    /// canonical order, and its nodes: the tables side by side.
    pub(super) fn fill(
        &self,
        leaves: &[(&LeafKey, &LeafValue)],
        nodes: &Overlay,
    ) -> Result<(), CatalogueError> {
        let values = || {
            let items = leaves.iter().map(|&(key, value)| {
                let path = key.as_bytes();
                (head(path), path, value.to_bytes())
            });
            self.leaves.put_all(items)
        };
        let numbered = |table: &Table, number: fn(&LeafValue) -> u64| {
            let mut ordered = leaves.to_vec();
            ordered.sort_by_key(|(_, value)| number(value));
            let items = ordered.iter().map(|&(key, value)| {
                let head = number(value).to_be_bytes();
                (head, key.as_bytes(), [])
            });
            table.put_all(items)
        };
        let changed = || numbered(&self.changed, |value| value.sequence);
        let committed = || numbered(&self.committed, |value| value.commit);
        let others = || {
            let lacking = leaves.iter().filter(|(_, value)| value.lacking > 0);
            let lacking = lacking.map(|(key, _)| ([], key.as_bytes(), []));
            self.lacking.put_all(lacking)?;
            self.set_nodes(nodes)
        };
        let ((values, others), (changed, committed)) = rayon::join(
            || rayon::join(values, others),
            || rayon::join(changed, committed),
        );
        values.and(others).and(changed).and(committed)
    }

    /// Forgets a leaf of the tree.
    pub(super) fn forget_leaf(&self, path: &[u8], value: &LeafValue) -> Result<(), CatalogueError> {
        let sequence = value.sequence.to_be_bytes();
        let number = value.commit.to_be_bytes();
        let mut batch = sled::Batch::default();
        self.leaves.put(&mut batch, (&head(path), path), &[])?;
        self.leaves.apply_batch(batch)?;
        let tables: [(&Table, &[u8]); 3] = [
            (&self.changed, &sequence),
            (&self.committed, &number),
            (&self.lacking, &[]),
        ];
        for (table, head) in tables {
            let mut batch = sled::Batch::default();
            table.take(&mut batch, (head, path));
            table.apply_batch(batch)?;
        }
        Ok(())
    }

    /// Remembers a commit.
    pub(super) fn set_commit(
        &self,
        (number, (block, accepted_ms)): (u64, (u64, i64)),
    ) -> Result<(), CatalogueError> {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&block.to_le_bytes());
        value[8..].copy_from_slice(&accepted_ms.to_le_bytes());
        self.commits.insert_raw(&number.to_be_bytes(), &value)
    }

    /// The block of a commit that is remembered.
    pub(super) fn commit_block(&self, number: u64) -> Result<Option<u64>, CatalogueError> {
        let value = self.commits.tree.get(number.to_be_bytes());
        let Some(value) = value.map_err(|error| self.commits.wrong(error))? else {
            return Ok(None);
        };
        let block = value.first_chunk().map(|block| u64::from_le_bytes(*block));
        block
            .map(Some)
            .ok_or_else(|| self.commits.corrupt("commit"))
    }

    /// Forgets a commit.
    pub(super) fn forget_commit(&self, number: u64) -> Result<(), CatalogueError> {
        self.commits.remove_raw(&number.to_be_bytes())
    }

    /// The commits that are remembered, by number: block, and when accepted.
    pub(super) fn commits(
        &self,
    ) -> impl Iterator<Item = Result<(u64, (u64, i64)), CatalogueError>> {
        self.commits.raw().map(|item| {
            let (key, value) = item?;
            let number = key[..].try_into().map(u64::from_be_bytes);
            let halves = value.split_at_checked(8).and_then(|(block, accepted)| {
                let block = block.try_into().map(u64::from_le_bytes).ok()?;
                Some((block, accepted.try_into().map(i64::from_le_bytes).ok()?))
            });
            let (Ok(number), Some(commit)) = (number, halves) else {
                return Err(self.commits.corrupt("commit"));
            };
            Ok((number, commit))
        })
    }

    /// Sets nodes; none removes.
    pub(super) fn set_nodes(&self, nodes: &Overlay) -> Result<(), CatalogueError> {
        let items = nodes.iter().map(|(path, digest)| {
            let digest = digest.as_ref().map_or(&[][..], |digest| digest.as_bytes());
            (head(path), &path[..], digest)
        });
        self.nodes.put_all(items)
    }

    /// Where every block lies.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Result<(u64, BlockPlace), CatalogueError>> {
        self.blocks.raw().map(|item| {
            let (key, value) = item?;
            let id = key[..]
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(|_| self.blocks.corrupt("block id"))?;
            let value: [u8; 12] = value[..]
                .try_into()
                .map_err(|_| self.blocks.corrupt("block place"))?;
            let [a, b, c, d, offset @ ..] = value;
            let place = BlockPlace {
                segment: u32::from_le_bytes([a, b, c, d]),
                offset: u64::from_le_bytes(offset),
            };
            Ok((id, place))
        })
    }

    /// Records where blocks lie; none: they are gone.
    pub(super) fn set_blocks(
        &self,
        blocks: impl IntoIterator<Item = (u64, Option<BlockPlace>)>,
    ) -> Result<(), CatalogueError> {
        let mut batch = sled::Batch::default();
        for (id, place) in blocks {
            let Some(place) = place else {
                batch.remove(&id.to_be_bytes());
                continue;
            };
            let mut value = [0; 12];
            value[..4].copy_from_slice(&place.segment.to_le_bytes());
            value[4..].copy_from_slice(&place.offset.to_le_bytes());
            batch.insert(&id.to_be_bytes(), &value[..]);
        }
        self.blocks.apply_batch(batch)
    }
}
