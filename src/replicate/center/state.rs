//! What a source keeps between refreshes, beside its catalogue: one small
//! file that is replaced whole after the commit that it belongs to. If it is
//! older than the catalogue, directories are looked at once more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hikae_protocol::objectpath::LeafKey;
use serde::{Deserialize, Serialize};

use super::leftout::LeftOutList;
use crate::disk::{DiskError, Record, RootIdentity, read_record, write_record};
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

fn path(store: &Path) -> PathBuf {
    store.join("source.state")
}

impl SourceState {
    /// Reads the state; a missing or garbled file is an empty state, which
    /// costs a walk.
    ///
    /// Errors: `DiskError`.
    pub(super) fn load(store: &Path) -> Result<SourceState, DiskError> {
        match read_record(&path(store))? {
            Record::Absent => Ok(SourceState::default()),
            Record::Value(state) => Ok(state),
            Record::Garbled => {
                let path = path(store);
                tracing::warn!(path = %path.display(), "garbled; everything is walked again");
                Ok(SourceState::default())
            }
        }
    }

    /// Replaces the state.
    ///
    /// Errors: `DiskError`.
    pub(super) fn save(&self, store: &Path) -> Result<(), DiskError> {
        write_record(&path(store), self)
    }
}
