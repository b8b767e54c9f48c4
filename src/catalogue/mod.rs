//! The catalogue: leaf to manifest, the Merkle tree over the leaves, commits.
//!
//! Everything is appended to the segments first; `db` is an index over them
//! that is thrown away and rebuilt after any unclean stop. Leaf records are
//! *staged* until a commit makes them the tree.

mod bare;
#[cfg(test)]
mod bare_tests;
mod checkpoint;
mod chunks;
mod commit;
mod compact;
#[cfg(test)]
mod compact_tests;
mod content;
mod db;
#[cfg(test)]
mod golden;
mod history;
mod item;
#[cfg(test)]
mod laboratory;
mod leaf;
mod lists;
mod names;
mod open;
mod rebuild;
mod records;
mod repair;
mod replay;
#[cfg(test)]
mod tests;
mod tree;
mod value;
mod view;

pub use chunks::{ChunkPages, ChunkRecord};
pub use commit::{Commit, Totals};
pub use compact::{CompactReport, Compaction};
pub use leaf::{ContentPlace, FileRecord, LeafRecord, RecordPlace, StatRecord};
pub use open::{Catalogue, Limits, RebuildReport};
pub use rebuild::StoreState;
pub use repair::HealReport;
pub use tree::{TreeUpdate, VolumeNode, Volumes};
pub use value::LeafValue;
pub use view::View;

use std::path::PathBuf;

use hikae_protocol::message::DecodeError;
use hikae_protocol::pack::PackError;
use hikae_protocol::snapshot::SnapshotError;

use crate::disk::DiskError;
use crate::segment::SegmentError;

/// Why the catalogue could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A segment failed.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The index failed; it can be deleted and is rebuilt.
    #[error("the catalogue's index failed ({what}); delete {folder}, it is rebuilt")]
    Index {
        /// The index's folder.
        folder: PathBuf,
        /// What failed.
        what: String,
    },
    /// A record does not decode.
    #[error("block {block} item {index} is no {expected}: {source}")]
    Record {
        /// The block.
        block: u64,
        /// The item in it.
        index: u32,
        /// What it should be.
        expected: &'static str,
        /// Why not.
        source: DecodeError,
    },
    /// A place that the block table or a block does not have.
    #[error("block {block} item {index} is not in the store")]
    Missing {
        /// The block.
        block: u64,
        /// The item in it.
        index: u32,
    },
    /// A snapshot that was committed is not signed.
    #[error("the snapshot of a commit: {0}")]
    Signature(#[from] SnapshotError),
    /// A record can't be encoded.
    #[error("a record can't be written: {0}")]
    Encode(DecodeError),
    /// A record is over a bound.
    #[error("a record can't be packed: {0}")]
    Pack(PackError),
    /// The tree does not add up to the root that a commit is to record.
    #[error("the tree has root {found}, the snapshot says {expected}; nothing was committed")]
    Root {
        /// What the tree adds up to.
        found: hikae_protocol::digest::Digest,
        /// What was signed.
        expected: hikae_protocol::digest::Digest,
    },
}
