//! What the tree shows: a small file of the store that is replaced whole.

use std::path::Path;

use hikae_protocol::snapshot::Cursor;
use serde::{Deserialize, Serialize};

use super::PublishError;
use crate::disk::{
    Directory, DiskError, Record, RootIdentity, StoreFiles, read_record, write_record,
};

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
            }),
            Some(mark) if mark.identity == identity => Ok(mark),
            Some(_) => Err(PublishError::Swapped {
                tree: tree.to_path_buf(),
                mark: files.path(PUBLISHED),
            }),
        }
    }

    pub(super) fn save(&self, files: &dyn StoreFiles) -> Result<(), DiskError> {
        write_record(files, PUBLISHED, self)
    }
}
