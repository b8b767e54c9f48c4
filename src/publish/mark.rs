//! What the tree shows: a small file of the store that is replaced whole.

use std::path::{Path, PathBuf};

use hikae_protocol::snapshot::Cursor;
use serde::{Deserialize, Serialize};

use super::PublishError;
use crate::disk::{Directory, DiskError, Record, RootIdentity, read_record, write_record};

/// The second durable mark: what the tree shows, synced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedMark {
    /// The node's commit that the tree shows; 0 is none.
    pub commit: u64,
    /// The snapshot of that commit.
    pub cursor: Option<Cursor>,
    /// A publication was begun: some leaves may show a later commit.
    pub working: bool,
    /// The tree's root.
    pub(super) identity: RootIdentity,
}

fn path(store: &Path) -> PathBuf {
    store.join("published")
}

impl PublishedMark {
    /// Reads the mark of a store, if it has published.
    ///
    /// Errors: `PublishError`.
    pub fn read(store: &Path) -> Result<Option<PublishedMark>, PublishError> {
        match read_record(&path(store))? {
            Record::Absent => Ok(None),
            Record::Value(mark) => Ok(Some(mark)),
            Record::Garbled => Err(PublishError::Mark(path(store))),
        }
    }

    /// Reads the mark, or a new one for a tree that was never published to.
    ///
    /// Errors: `PublishError::Swapped` if the tree is not the one it is of.
    pub(super) fn load(
        store: &Path,
        tree: &Path,
        root: &Directory,
    ) -> Result<PublishedMark, PublishError> {
        let identity = root.identity()?;
        match PublishedMark::read(store)? {
            None => Ok(PublishedMark {
                commit: 0,
                cursor: None,
                // What lies in the tree is not known.
                working: !root.list()?.is_empty(),
                identity,
            }),
            Some(mark) if mark.identity == identity => Ok(mark),
            Some(_) => Err(PublishError::Swapped {
                tree: tree.to_path_buf(),
                mark: path(store),
            }),
        }
    }

    pub(super) fn save(&self, store: &Path) -> Result<(), DiskError> {
        write_record(&path(store), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [S10-5] a mark is of one directory: another one in its place is an
    /// error that names both.
    #[test]
    fn another_directory_in_the_tree_s_place_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (store, tree) = (folder.path().join("store"), folder.path().join("tree"));
        for folder in [&store, &tree] {
            std::fs::create_dir(folder).unwrap();
        }
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
        std::fs::remove_file(path(&store)).unwrap();
        std::fs::write(tree.join("file"), "x").unwrap();
        assert!(load().unwrap().working, "what lies there is not known");
        std::fs::write(path(&store), b"garbled").unwrap();
        assert!(matches!(load(), Err(PublishError::Mark(_))));
    }
}
