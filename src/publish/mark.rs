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
