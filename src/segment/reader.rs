//! Reads single blocks and checks them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hikae_protocol::pack::{Items, Pack};
use lru::LruCache;

use super::SegmentError;
use super::block::{BLOCK_HEADER_BYTES, Block, BlockError, BlockHeader};
use super::folder::{SegmentFolder, segment_name};
use super::log::BlockPlace;
use crate::disk::{DiskError, StoreFiles};

/// Bytes of decoded blocks that are kept, at most, beside the newest one.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many, at most: a small one needs more than its bytes.
const KEPT_MAX: usize = 1024;

/// Decoded blocks by their ids: what was used last.
struct KeptBlocks {
    blocks: LruCache<u64, Arc<Items>>,
    bytes: usize,
}

impl KeptBlocks {
    fn put(&mut self, id: u64, items: Arc<Items>) {
        self.bytes += items.raw_bytes();
        if let Some(before) = self.blocks.put(id, items) {
            self.bytes -= before.raw_bytes();
        }
        while self.blocks.len() > 1 && (self.bytes > KEPT_BYTES_MAX || self.blocks.len() > KEPT_MAX)
        {
            let oldest = self.blocks.pop_lru();
            self.bytes -= oldest.map_or(0, |(_, items)| items.raw_bytes());
        }
    }
}

/// Reads blocks of one folder of segments.
pub struct SegmentReader {
    folder: SegmentFolder,
    kept: Mutex<KeptBlocks>,
}

impl SegmentReader {
    /// A reader of the segments in `folder`.
    pub fn new(folder: &SegmentFolder) -> SegmentReader {
        SegmentReader {
            folder: folder.clone(),
            kept: Mutex::new(KeptBlocks {
                blocks: LruCache::unbounded(),
                bytes: 0,
            }),
        }
    }

    /// Reads from the segment of a place.
    fn of<T>(&self, place: BlockPlace, read: impl FnOnce(&dyn BlockSource) -> T) -> T {
        read(&Named {
            files: self.folder.files(),
            name: &segment_name(place.segment),
        })
    }

    /// Reads a block and checks header and digest; a sealed one is not opened.
    ///
    /// Errors: `SegmentError::Damaged`, `SegmentError::Disk`.
    pub fn read(&self, place: BlockPlace) -> Result<Block, SegmentError> {
        self.of(place, |source| read_block(&self.folder, source, place))
    }

    /// Reads the header of a block.
    ///
    /// Errors: `SegmentError::Damaged`, `SegmentError::Disk`.
    pub fn header(&self, place: BlockPlace) -> Result<BlockHeader, SegmentError> {
        self.of(place, |source| read_header(&self.folder, source, place))
    }

    /// Reads a block, and opens it where it is sealed.
    ///
    /// Errors: `SegmentError::Damaged`, `SegmentError::Disk`.
    pub fn read_pack(&self, place: BlockPlace) -> Result<Pack, SegmentError> {
        let block = self.read(place)?;
        block.pack().map_err(|error| self.wrong(place, error))
    }

    fn wrong(&self, place: BlockPlace, error: BlockError) -> SegmentError {
        error.at(self.folder.path(place.segment), place.offset)
    }

    /// The decoded items of block `id`, kept for the next call.
    ///
    /// Errors: `SegmentError`.
    pub fn items(&self, id: u64, place: BlockPlace) -> Result<Arc<Items>, SegmentError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(items) = kept().blocks.get(&id) {
            return Ok(items.clone());
        }
        let block = self.read(place)?;
        if block.header.id != id {
            return Err(SegmentError::Damaged {
                path: self.folder.path(place.segment),
                offset: place.offset,
                what: "another block's id",
            });
        }
        let items = block.items().map_err(|error| self.wrong(place, error))?;
        let items = Arc::new(items);
        kept().put(id, items.clone());
        Ok(items)
    }
}

/// A file in which blocks lie.
pub(super) trait BlockSource {
    /// Its path, for messages.
    fn path(&self) -> PathBuf;

    /// Fills `buffer` from `offset` on.
    ///
    /// Errors: `DiskError`, also where the file ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError>;

    /// Its bytes; none if it is not there.
    ///
    /// Errors: `DiskError`.
    fn length(&self) -> Result<Option<u64>, DiskError>;
}

/// A file by its name in the store.
struct Named<'a> {
    files: &'a dyn StoreFiles,
    name: &'a str,
}

impl BlockSource for Named<'_> {
    fn path(&self) -> PathBuf {
        self.files.path(self.name)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.files.read_at(self.name, offset, buffer)
    }

    fn length(&self) -> Result<Option<u64>, DiskError> {
        self.files.length(self.name)
    }
}

fn damaged(source: &dyn BlockSource, place: BlockPlace, what: &'static str) -> SegmentError {
    SegmentError::Damaged {
        path: source.path(),
        offset: place.offset,
        what,
    }
}

/// Reads bytes of the block at `place`, from its byte `from` on. A file that
/// ends before is damaged, not the disk.
fn fill(
    source: &dyn BlockSource,
    place: BlockPlace,
    from: usize,
    buffer: &mut [u8],
) -> Result<(), SegmentError> {
    let begin = place.offset.saturating_add(from as u64);
    let end = begin.saturating_add(buffer.len() as u64);
    let Err(error) = source.read_at(begin, buffer) else {
        return Ok(());
    };
    match source.length()? {
        Some(length) if length < end => Err(damaged(source, place, "the file ends before")),
        _ => Err(error.into()),
    }
}

fn read_header(
    folder: &SegmentFolder,
    source: &dyn BlockSource,
    place: BlockPlace,
) -> Result<BlockHeader, SegmentError> {
    let mut header = [0; BLOCK_HEADER_BYTES];
    fill(source, place, 0, &mut header)?;
    BlockHeader::parse(&header, folder.store(), place)
        .ok_or_else(|| damaged(source, place, "header"))
}

/// Reads the block at `place` of a file of the store and checks it.
///
/// Errors: `SegmentError::Damaged`, `SegmentError::Disk`.
pub(super) fn read_block(
    folder: &SegmentFolder,
    source: &dyn BlockSource,
    place: BlockPlace,
) -> Result<Block, SegmentError> {
    let header = read_header(folder, source, place)?;
    let mut data = vec![0; header.span() as usize - BLOCK_HEADER_BYTES];
    fill(source, place, BLOCK_HEADER_BYTES, &mut data)?;
    let padding = data.split_off(header.stored_bytes as usize);
    let block = Block::checked(header, Bytes::from(data), folder.seal())
        .map_err(|error| error.at(source.path(), place.offset))?;
    if padding.iter().any(|&byte| byte != 0) {
        return Err(damaged(source, place, "padding"));
    }
    Ok(block)
}
