//! What the tree shows: a small file of the store that is replaced whole.

use std::collections::BTreeMap;
use std::path::Path;

use hikae_protocol::message::decode;
use hikae_protocol::snapshot::Cursor;
use serde::{Deserialize, Serialize};

use super::PublishError;
use crate::catalogue::Catalogue;
use crate::disk::{Directory, Record, RootIdentity, StoreFiles, read_record, write_record};

/// The second durable mark: what the tree shows, synced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedMark {
    /// The node's commit that the tree shows, but of the volumes in `behind`; 0
    /// is none.
    pub commit: u64,
    /// The snapshot of the last commit that the tree showed as a whole.
    pub cursor: Option<Cursor>,
    /// A publication was begun: some leaves may show a later commit.
    pub working: bool,
    /// The tree's root.
    pub(super) identity: RootIdentity,
    /// Volumes of which the tree shows another commit, as `Behind`; hidden
    /// where the store is sealed.
    behind: Vec<u8>,
}

/// Of volumes the commit that the tree shows.
pub type Behind = BTreeMap<Vec<u8>, u64>;

/// The file of the store that is the mark.
const PUBLISHED: &str = "published";

impl PublishedMark {
    /// Reads the mark of a store, if it has published.
    ///
    /// Errors: `PublishError`.
    pub fn read(files: &dyn StoreFiles) -> Result<Option<PublishedMark>, PublishError> {
        match read_record(files, PUBLISHED)? {
            Record::Absent => Ok(None),
            Record::Value(mark) => Ok(Some(mark)),
            Record::Garbled => Err(PublishError::Mark(files.path(PUBLISHED))),
        }
    }

    /// Reads the mark, or a new one for a tree that was never published to.
    ///
    /// Errors: `PublishError::Swapped` if the tree is not the one it is of.
    pub(super) fn load(
        files: &dyn StoreFiles,
        tree: &Path,
        root: &Directory,
    ) -> Result<PublishedMark, PublishError> {
        let identity = root.identity()?;
        match PublishedMark::read(files)? {
            None => Ok(PublishedMark {
                commit: 0,
                cursor: None,
                // What lies in the tree is not known.
                working: !root.list()?.is_empty(),
                identity,
                behind: vec![],
            }),
            Some(mark) if mark.identity == identity => Ok(mark),
            Some(_) => Err(PublishError::Swapped {
                tree: tree.to_path_buf(),
                mark: files.path(PUBLISHED),
            }),
        }
    }

    /// Of a store whose end was lost, up to its commit `last`: what the tree
    /// shows is not known any more. Says whether that is so.
    ///
    /// Errors: `PublishError`.
    pub fn forget_after(&mut self, catalogue: &Catalogue, last: u64) -> Result<bool, PublishError> {
        if self.commit <= last {
            return Ok(false);
        }
        let mut behind = self.behind(catalogue)?;
        behind
            .values_mut()
            .for_each(|shows| *shows = last.min(*shows));
        self.set_behind(catalogue, &behind)?;
        (self.commit, self.cursor, self.working) = (0, None, true);
        Ok(true)
    }

    /// The volumes of which the tree shows another commit.
    ///
    /// Errors: `PublishError`.
    pub fn behind(&self, catalogue: &Catalogue) -> Result<Behind, PublishError> {
        if self.behind.is_empty() {
            return Ok(Behind::new());
        }
        let plain = catalogue.reveal(PUBLISHED, self.behind.clone())?;
        decode(&plain).map_err(|_| PublishError::Mark(catalogue.files().path(PUBLISHED)))
    }

    /// Whether the tree shows this commit of every volume, and nothing else.
    pub fn shows(&self, commit: u64) -> bool {
        self.commit == commit && !self.working && self.behind.is_empty()
    }

    /// Sets the volumes of which the tree shows another commit.
    ///
    /// Errors: `PublishError`.
    pub fn set_behind(
        &mut self,
        catalogue: &Catalogue,
        behind: &Behind,
    ) -> Result<(), PublishError> {
        self.behind = match behind.is_empty() {
            true => vec![],
            false => {
                let plain = postcard::to_stdvec(behind)
                    .map_err(|_| PublishError::Mark(catalogue.files().path(PUBLISHED)))?;
                catalogue.hide(PUBLISHED, plain)?
            }
        };
        Ok(())
    }

    /// Replaces the mark, durably.
    ///
    /// Errors: `PublishError::Disk`.
    pub fn save(&self, files: &dyn StoreFiles) -> Result<(), PublishError> {
        Ok(write_record(files, PUBLISHED, self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::StoreFolder;

    /// [S10-5] a mark is of one directory: another one in its place is an
    /// error that names both.
    #[test]
    fn another_directory_in_the_tree_s_place_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (store, tree) = (folder.path().join("store"), folder.path().join("tree"));
        std::fs::create_dir(&tree).unwrap();
        let store = StoreFolder::open(&store, &[]).unwrap();
        let load = || {
            let root = Directory::open_root(&tree)?;
            PublishedMark::load(&store, &tree, &root)
        };
        let mark = load().unwrap();
        assert!(!mark.working, "an empty tree is known");
        mark.save(&store).unwrap();
        assert_eq!(load().unwrap(), mark);
        // The old one stays, or its inode would be used again.
        std::fs::rename(&tree, folder.path().join("away")).unwrap();
        std::fs::create_dir(&tree).unwrap();
        let error = load().unwrap_err();
        assert!(matches!(error, PublishError::Swapped { .. }), "{error}");
        store.remove(PUBLISHED).unwrap();
        std::fs::write(tree.join("file"), "x").unwrap();
        assert!(load().unwrap().working, "what lies there is not known");
        store.create(PUBLISHED, b"garbled").unwrap();
        assert!(matches!(load(), Err(PublishError::Mark(_))));
    }
}
