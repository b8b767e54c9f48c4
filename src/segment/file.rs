//! A file of blocks beside the segments that is written in one go, and believed
//! whole or not at all.

use std::path::PathBuf;

use hikae_protocol::pack::{Items, Pack};

use super::SegmentError;
use super::block::{Block, BlockKind};
use super::folder::{SEGMENT_HEADER_BYTES, SegmentFolder};
use super::log::BlockPlace;
use super::reader::{BlockSource, read_block};
use crate::disk::{DiskError, OpenFile};

/// The number that stands in the header of such a file; no segment has it.
pub(super) const FILE_NUMBER: u32 = u32::MAX;
/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 1024 * 1024;

/// Writes a file of blocks; it has its name when it is finished.
pub struct BlockFileWriter<'a> {
    folder: &'a SegmentFolder,
    name: String,
    waiting: Vec<u8>,
    /// Bytes of the file, with those that wait.
    end: u64,
    next_id: u64,
}

impl<'a> BlockFileWriter<'a> {
    /// Begins the file `name` of the store.
    ///
    /// Errors: `SegmentError::Disk`.
    pub fn new(folder: &'a SegmentFolder, name: &str) -> Result<BlockFileWriter<'a>, SegmentError> {
        let files = folder.files();
        files.remove(&new_name(name))?;
        files.create(&new_name(name), &folder.header(FILE_NUMBER))?;
        Ok(BlockFileWriter {
            folder,
            name: name.to_string(),
            waiting: Vec::new(),
            end: SEGMENT_HEADER_BYTES,
            next_id: 1,
        })
    }

    /// Appends a block, and says where it begins.
    ///
    /// Errors: `SegmentError::Disk`.
    pub fn append(&mut self, kind: BlockKind, pack: &Pack) -> Result<u64, SegmentError> {
        let place = BlockPlace {
            segment: FILE_NUMBER,
            offset: self.end,
        };
        let block = Block::new(kind, self.next_id, pack, self.folder.seal())?;
        let bytes = block.to_bytes(self.folder.store(), place);
        self.waiting.extend_from_slice(&bytes);
        self.end += bytes.len() as u64;
        self.next_id += 1;
        if self.waiting.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(place.offset)
    }

    fn write(&mut self) -> Result<(), SegmentError> {
        let name = new_name(&self.name);
        self.folder.files().append(&name, &self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// Gives the file its name, durably.
    ///
    /// Errors: `SegmentError::Disk`; an old file of that name is then still
    /// there.
    pub fn finish(mut self) -> Result<(), SegmentError> {
        self.write()?;
        let (files, new) = (self.folder.files(), new_name(&self.name));
        files.sync(&new)?;
        files.rename(&new, &self.name)?;
        Ok(files.sync_folder("")?)
    }
}

fn new_name(name: &str) -> String {
    format!(".new-{name}")
}

/// A file of blocks, open: it is read as it was, whatever has its name since.
#[derive(Debug)]
pub struct BlockFile {
    folder: SegmentFolder,
    name: String,
    file: Box<dyn OpenFile>,
    length: u64,
}

impl BlockFile {
    /// Opens the file `name` of the store; none if there is none.
    ///
    /// Errors: `SegmentError`, also if it is another store's.
    pub fn open(folder: &SegmentFolder, name: &str) -> Result<Option<BlockFile>, SegmentError> {
        let files = folder.files();
        let Some(file) = files.open(name)? else {
            return Ok(None);
        };
        let file = BlockFile {
            folder: folder.clone(),
            name: name.to_string(),
            length: file.length()?,
            file,
        };
        let mut header = [0; SEGMENT_HEADER_BYTES as usize];
        if file.read_at(0, &mut header).is_err() || header != folder.header(FILE_NUMBER) {
            return Err(file.damaged(0, "header"));
        }
        Ok(Some(file))
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// That `what` of the block at byte `offset` is not what was written.
    pub fn damaged(&self, offset: u64, what: &'static str) -> SegmentError {
        SegmentError::Damaged {
            path: self.folder.files().path(&self.name),
            offset,
            what,
        }
    }

    /// The items of the block at byte `offset`, what they are, and where the next
    /// one begins.
    ///
    /// Errors: `SegmentError` if any byte of it is not what was written.
    pub fn block(&self, offset: u64) -> Result<(BlockKind, Items, u64), SegmentError> {
        let place = BlockPlace {
            segment: FILE_NUMBER,
            offset,
        };
        let block = read_block(&self.folder, self, place)?;
        let items = block.items();
        let items = items.map_err(|error| error.at(self.path(), offset))?;
        Ok((block.header.kind, items, offset + block.header.span()))
    }

    /// Hands all blocks to `each`, with where each begins.
    ///
    /// Errors: `SegmentError` if any byte is not what was written, or the end
    /// is missing; and whatever `each` returns.
    pub fn blocks<E: From<SegmentError>>(
        &self,
        mut each: impl FnMut(u64, BlockKind, Items) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut offset = SEGMENT_HEADER_BYTES;
        let mut last = None;
        while offset < self.length {
            let (kind, items, next) = self.block(offset)?;
            each(offset, kind, items)?;
            last = Some(kind);
            offset = next;
        }
        match last {
            Some(BlockKind::CheckpointEnd) => Ok(()),
            _ => Err(self.damaged(offset, "end").into()),
        }
    }
}

impl BlockSource for BlockFile {
    fn path(&self) -> PathBuf {
        self.folder.files().path(&self.name)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.file.read_at(offset, buffer)
    }

    fn length(&self) -> Result<Option<u64>, DiskError> {
        Ok(Some(self.length))
    }
}
