//! Reads single blocks and checks them.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hikae_protocol::digest::Domain;
use hikae_protocol::pack::{Items, Pack};
use lru::LruCache;

use super::SegmentError;
use super::block::{BLOCK_HEADER_BYTES, Block, BlockHeader};
use super::folder::SegmentFolder;
use super::log::{BlockPlace, disk};

/// Open segments, at most.
const FILES_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// Decoded blocks that are kept, at most (each at most 4 MiB, mostly 1).
const BLOCKS_MAX: NonZeroUsize = NonZeroUsize::new(12).unwrap();

/// Reads blocks of one folder of segments.
pub struct SegmentReader {
    folder: SegmentFolder,
    files: Mutex<LruCache<u32, Arc<File>>>,
    blocks: Mutex<LruCache<u64, Arc<Items>>>,
}

impl SegmentReader {
    /// A reader of the segments in `folder`.
    pub fn new(folder: &SegmentFolder) -> SegmentReader {
        SegmentReader {
            folder: folder.clone(),
            files: Mutex::new(LruCache::new(FILES_MAX)),
            blocks: Mutex::new(LruCache::new(BLOCKS_MAX)),
        }
    }

    fn file(&self, segment: u32) -> Result<Arc<File>, SegmentError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&segment) {
            return Ok(file.clone());
        }
        let path = self.folder.segment(segment);
        let file = Arc::new(File::open(&path).map_err(|error| disk("open", &path, &error))?);
        files.put(segment, file.clone());
        Ok(file)
    }

    /// Reads a block and checks header and digest.
    ///
    /// Errors: `SegmentError::Damaged`, `SegmentError::Disk`.
    pub fn read(&self, place: BlockPlace) -> Result<Block, SegmentError> {
        let path = self.folder.segment(place.segment);
        let damaged = |what| SegmentError::Damaged {
            path: path.clone(),
            offset: place.offset,
            what,
        };
        let file = self.file(place.segment)?;
        let mut header = [0; BLOCK_HEADER_BYTES];
        file.read_exact_at(&mut header, place.offset)
            .map_err(|error| disk("read", &path, &error))?;
        let header = BlockHeader::parse(&header, self.folder.store(), place)
            .ok_or_else(|| damaged("header"))?;
        let mut data = vec![0; header.stored_bytes as usize];
        file.read_exact_at(&mut data, place.offset + BLOCK_HEADER_BYTES as u64)
            .map_err(|error| disk("read", &path, &error))?;
        if Domain::Block.digest(&data) != header.digest {
            return Err(damaged("digest"));
        }
        let pack = Pack::from_parts(header.codec, header.raw_bytes, Bytes::from(data)).map_err(
            |source| SegmentError::Pack {
                path: path.clone(),
                offset: place.offset,
                source,
            },
        )?;
        Ok(Block { header, pack })
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
                path: self.folder.segment(place.segment),
                offset: place.offset,
                what: "another block's id",
            });
        }
        let items = block.pack.unpack().map_err(|source| SegmentError::Pack {
            path: self.folder.segment(place.segment),
            offset: place.offset,
            source,
        })?;
        let items = Arc::new(items);
        kept().put(id, items.clone());
        Ok(items)
    }
}
