//! What a source keeps between refreshes, beside its catalogue: one small
//! file that is replaced whole after the commit that it belongs to. If it is
//! older than the catalogue, directories are looked at once more.

use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::objectpath::LeafKey;
use serde::{Deserialize, Serialize};

use super::leftout::LeftOutList;
use crate::disk::{DiskError, Record, RootIdentity, StoreFiles, read_record, write_record};
use crate::index::Watermark;

/// Kept of one volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VolumeState {
    /// The root at its first scan.
    pub identity: Option<RootIdentity>,
    /// When the whole of it was last walked, milliseconds since the epoch.
    pub walked_ms: i64,
    /// When all its contents were last read.
    pub reread_ms: i64,
    /// What the last looks left out.
    pub left_out: LeftOutList,
}

/// Kept between refreshes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourceState {
    /// The commit after which it was saved.
    pub commit: u64,
    /// By URL of the INDEX DB.
    pub watermarks: BTreeMap<String, Watermark>,
    /// By `facility/label`.
    pub volumes: BTreeMap<Vec<u8>, VolumeState>,
    /// Directories of leaves to look at again, relative to the leaf.
    pub again: BTreeMap<LeafKey, BTreeSet<Vec<u8>>>,
    /// Hinted directories of volumes that could not be opened: (volume,
    /// directory).
    pub missed: BTreeSet<(Vec<u8>, Vec<u8>)>,
    /// What lies among the volumes and is left out.
    pub among_volumes: LeftOutList,
}

/// The file of the store that is the state.
const STATE: &str = "source.state";

impl SourceState {
    /// Reads the state; a missing or garbled file is an empty state, which
    /// costs a walk.
    ///
    /// Errors: `DiskError`.
    pub(super) fn load(files: &dyn StoreFiles) -> Result<SourceState, DiskError> {
        match read_record(files, STATE)? {
            Record::Absent => Ok(SourceState::default()),
            Record::Value(state) => Ok(state),
            Record::Garbled => {
                let path = files.path(STATE);
                tracing::warn!(path = %path.display(), "garbled; everything is walked again");
                Ok(SourceState::default())
            }
        }
    }

    /// Replaces the state.
    ///
    /// Errors: `DiskError`.
    pub(super) fn save(&self, files: &dyn StoreFiles) -> Result<(), DiskError> {
        write_record(files, STATE, self)
    }
}
