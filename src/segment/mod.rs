//! Segments: append-only files of checksummed, self-describing blocks. They
//! are the truth of a node; every index over them can be deleted.
//!
//! SPEC.md section 9. A block is found by a stable id; which segment holds it
//! is the catalogue's block table.

mod block;
mod compact;
mod file;
mod folder;
mod log;
mod reader;
mod scan;
#[cfg(test)]
mod sealed;

pub use block::{BLOCK_HEADER_BYTES, Block, BlockError, BlockHeader, BlockKind};
pub use compact::{CompactSegment, SegmentUse};
pub use file::{BlockFile, BlockFileWriter};
pub use folder::{SEGMENTS, SegmentFolder, StoreId};
pub use log::{BlockPlace, SEGMENT_BYTES, SegmentLog};
pub use reader::SegmentReader;
pub use scan::{Damage, LogEnd, ScannedBlock, scan};

use std::path::PathBuf;

use hikae_protocol::pack::PackError;

use crate::disk::DiskError;
use crate::seal::SealError;

/// Why a segment could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The store can't be unsealed, or a block not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A block's bytes are not what was written.
    #[error("segment {path}: the block at byte {offset} is damaged: {what}")]
    Damaged {
        /// The segment's file.
        path: PathBuf,
        /// Where the block begins, bytes.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// A segment that another version of hikae wrote.
    #[error("segment {path} has version {version} of the format, which this hikae does not know")]
    Version {
        /// The segment's file.
        path: PathBuf,
        /// The version that it has.
        version: u32,
    },
    /// Segments, and no header that says of which store they are.
    #[error("{path}: no segment has a whole header, nor has store.id; nothing is touched")]
    Unidentified {
        /// The folder of the segments.
        path: PathBuf,
    },
    /// A segment of another store.
    #[error("segment {path} belongs to another store")]
    Foreign {
        /// The segment's file.
        path: PathBuf,
    },
    /// A block's pack does not decode.
    #[error("segment {path}: the block at byte {offset}: {source}")]
    Pack {
        /// The segment's file.
        path: PathBuf,
        /// Where the block begins, bytes.
        offset: u64,
        /// Why.
        source: PackError,
    },
    /// A pack is over the bounds.
    #[error("a pack can't be written: {0}")]
    Write(PackError),
    /// An earlier sync or write failed: what is on the disk is unknown until
    /// the store is opened again.
    #[error("the store stopped writing, open it again; the first failure was: {0}")]
    Poisoned(String),
}

/// For the crash laboratory, which must notice when a safeguard is missing.
#[cfg(test)]
pub(crate) mod sabotage {
    use std::cell::Cell;

    thread_local! {
        static BELIEVE_ALL: Cell<bool> = const { Cell::new(false) };
    }

    /// Takes away the digest check of this thread's scans, or gives it back.
    pub(crate) fn believe_all(believe: bool) {
        BELIEVE_ALL.set(believe);
    }

    pub(super) fn believes_all() -> bool {
        BELIEVE_ALL.get()
    }
}
