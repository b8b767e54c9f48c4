//! What a source keeps between refreshes, beside its catalogue: one small
//! file that is replaced whole after the commit that it belongs to. If it is
//! older than the catalogue, directories are looked at once more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hikae_protocol::message::decode;
use hikae_protocol::objectpath::LeafKey;
use serde::{Deserialize, Serialize};

use super::leftout::LeftOutList;
use crate::disk::{DiskError, RootIdentity, read_small, replace_file};
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
        let bytes = read_small(&path(store))?;
        Ok(bytes
            .and_then(|bytes| decode(&bytes).ok())
            .unwrap_or_default())
    }

    /// Replaces the state.
    ///
    /// Errors: `DiskError`.
    pub(super) fn save(&self, store: &Path) -> Result<(), DiskError> {
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        replace_file(&path(store), &bytes)
    }
}
