//! What a source keeps between refreshes, beside its catalogue: one small
//! file that is replaced whole after the commit that it belongs to. If it is
//! older than the catalogue, directories are looked at once more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hikae_protocol::message::decode;
use hikae_protocol::objectpath::LeafKey;
use serde::{Deserialize, Serialize};

use crate::disk::{DiskError, RootIdentity, read_small, replace_file};
use crate::index::Watermark;
use crate::walk::LeftOut;

/// Files left out that are named one by one, at most; all are counted.
const LEFT_OUT_NAMED_MAX: usize = 1000;

/// Kept of one volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VolumeState {
    /// The root at its first scan.
    pub identity: Option<RootIdentity>,
    /// When the whole of it was last walked, milliseconds since the epoch.
    pub walked_ms: i64,
    /// When all its contents were last read.
    pub reread_ms: i64,
    /// What the last looks left out, by directory looked at.
    pub left_out: Vec<LeftOut>,
    /// Hashes of the paths of all of those, named or not.
    pub left_out_known: BTreeSet<u64>,
}

impl VolumeState {
    /// Records what a look left out.
    pub(super) fn leave_out(&mut self, left_out: Vec<LeftOut>) {
        for item in left_out {
            if self.left_out_known.insert(path_hash(&item.path))
                && self.left_out.len() < LEFT_OUT_NAMED_MAX
            {
                self.left_out.push(item);
            }
        }
    }
}

/// What stands for a path among those left out.
pub(super) fn path_hash(path: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(path.as_bytes()).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
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
