//! Reads single blocks and checks them.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hikae_protocol::pack::{Items, Pack};
use lru::LruCache;

use super::SegmentError;
use super::block::{BLOCK_HEADER_BYTES, Block, BlockError, BlockHeader};
use super::folder::{SegmentFolder, segment_name};
use super::log::BlockPlace;

/// Decoded blocks that are kept, at most (each at most 4 MiB, mostly 1).
const BLOCKS_MAX: NonZeroUsize = NonZeroUsize::new(12).unwrap();

/// Reads blocks of one folder of segments.
pub struct SegmentReader {
    folder: SegmentFolder,
    blocks: Mutex<LruCache<u64, Arc<Items>>>,
}

impl SegmentReader {
    /// A reader of the segments in `folder`.
    pub fn new(folder: &SegmentFolder) -> SegmentReader {
        SegmentReader {
            folder: folder.clone(),
            blocks: Mutex::new(LruCache::new(BLOCKS_MAX)),
        }
    }

    /// Reads a block and checks header and digest; a sealed one is not opened.
    ///
    /// Errors: `SegmentError::Damaged`, `SegmentError::Disk`.
    pub fn read(&self, place: BlockPlace) -> Result<Block, SegmentError> {
        read_block(&self.folder, &segment_name(place.segment), place)
    }

    /// Reads the header of a block.
    ///
    /// Errors: `SegmentError::Damaged`, `SegmentError::Disk`.
    pub fn header(&self, place: BlockPlace) -> Result<BlockHeader, SegmentError> {
        read_header(&self.folder, &segment_name(place.segment), place)
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
        let kept = || self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(items) = kept().get(&id) {
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

fn damaged(
    folder: &SegmentFolder,
    name: &str,
    place: BlockPlace,
    what: &'static str,
) -> SegmentError {
    SegmentError::Damaged {
        path: folder.files().path(name),
        offset: place.offset,
        what,
    }
}

/// Reads bytes of the block at `place`, from its byte `from` on. A file that
/// ends before is damaged, not the disk.
fn fill(
    folder: &SegmentFolder,
    name: &str,
    place: BlockPlace,
    from: usize,
    buffer: &mut [u8],
) -> Result<(), SegmentError> {
    let files = folder.files();
    let begin = place.offset.saturating_add(from as u64);
    let end = begin.saturating_add(buffer.len() as u64);
    let Err(error) = files.read_at(name, begin, buffer) else {
        return Ok(());
    };
    match files.length(name)? {
        Some(length) if length < end => Err(damaged(folder, name, place, "the file ends before")),
        _ => Err(error.into()),
    }
}

fn read_header(
    folder: &SegmentFolder,
    name: &str,
    place: BlockPlace,
) -> Result<BlockHeader, SegmentError> {
    let mut header = [0; BLOCK_HEADER_BYTES];
    fill(folder, name, place, 0, &mut header)?;
    BlockHeader::parse(&header, folder.store(), place)
        .ok_or_else(|| damaged(folder, name, place, "header"))
}

/// Reads the block at `place` of the file `name` and checks it.
///
/// Errors: `SegmentError::Damaged`, `SegmentError::Disk`.
pub(super) fn read_block(
    folder: &SegmentFolder,
    name: &str,
    place: BlockPlace,
) -> Result<Block, SegmentError> {
    let files = folder.files();
    let header = read_header(folder, name, place)?;
    let mut data = vec![0; header.span() as usize - BLOCK_HEADER_BYTES];
    fill(folder, name, place, BLOCK_HEADER_BYTES, &mut data)?;
    let padding = data.split_off(header.stored_bytes as usize);
    let block = Block::checked(header, Bytes::from(data), folder.seal())
        .map_err(|error| error.at(files.path(name), place.offset))?;
    if padding.iter().any(|&byte| byte != 0) {
        return Err(damaged(folder, name, place, "padding"));
    }
    Ok(block)
}
