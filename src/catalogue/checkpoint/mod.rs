//! The checkpoint: the tree and the block table as they were right after a
//! commit, sorted, in a file of their own. SPEC.md section 10.4.
//!
//! It is the *base* of the index, which holds beside it only what changed
//! since; and a rebuild reads of the segments only what was appended since. It
//! can be deleted at any time. It is written when nothing is staged.

mod base;
mod run;
mod write;

pub(super) use base::{Base, Known};
pub(super) use run::Marks;
pub(super) use write::{Tree, write};

use hikae_protocol::digest::Digest;
use serde::{Deserialize, Serialize};

use super::CatalogueError;
use super::commit::Commit;
use super::item::LeafSummary;
use super::leaf::RecordPlace;
use crate::segment::{BlockFile, LogEnd, SegmentFolder};

/// The file of the store.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// The greatest depth of a node that is written. What lies deeper has only
/// leaves below it, and its digest follows from theirs.
pub(super) const NODE_DEPTH_MAX: u8 = 2;

/// A leaf of the tree.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointLeaf {
    pub summary: LeafSummary,
    pub place: RecordPlace,
}

/// A node of the tree that has leaves below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointNode {
    pub path: Vec<u8>,
    pub digest: Digest,
}

/// Where a block lies.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointBlock {
    pub id: u64,
    pub segment: u32,
    pub offset: u64,
}

/// A commit that is remembered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointCommit {
    pub number: u64,
    pub block: u64,
    pub accepted_ms: i64,
}

/// The last item.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointEnd {
    /// Where the log goes on.
    pub log: LogEnd,
    pub commit: Commit,
    /// How many leaves, nodes, blocks and commits there are.
    pub leaves: u64,
    pub nodes: u64,
    pub blocks: u64,
    pub commits: u64,
}

/// How deep a path of the tree is; the children of a node are equally deep.
pub(super) fn depth(path: &[u8]) -> u8 {
    // A path has at most five components.
    path.iter().filter(|&&byte| byte == b'/').count() as u8
}

/// The order of leaves and nodes: those of a depth, by path.
pub(super) fn order(path: &[u8]) -> (u8, &[u8]) {
    (depth(path), path)
}

/// Whether the checkpoint, if there is one, is as it was written.
///
/// Errors: `CatalogueError` that names what is not.
pub(super) fn check(segments: &SegmentFolder) -> Result<(), CatalogueError> {
    match BlockFile::open(segments, CHECKPOINT)? {
        Some(file) => file.blocks(|_, _, _| Ok(())),
        None => Ok(()),
    }
}
