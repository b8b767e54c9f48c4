//! A file of blocks beside the segments that is written in one go, and read
//! whole or not at all.

use hikae_protocol::pack::{Items, Pack};

use super::SegmentError;
use super::block::{Block, BlockKind};
use super::folder::{SEGMENT_HEADER_BYTES, SegmentFolder};
use super::log::BlockPlace;
use super::reader::read_block;

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

    /// Appends a block.
    ///
    /// Errors: `SegmentError::Disk`.
    pub fn append(&mut self, kind: BlockKind, pack: &Pack) -> Result<(), SegmentError> {
        let place = BlockPlace {
            segment: FILE_NUMBER,
            offset: self.end,
        };
        let block = Block::new(kind, self.next_id, pack, self.folder.seal())?;
        let bytes = block.to_bytes(self.folder.store(), place);
        self.waiting.extend_from_slice(&bytes);
        self.end += bytes.len() as u64;
        self.next_id += 1;
        match self.waiting.len() >= WRITE_BYTES {
            true => self.write(),
            false => Ok(()),
        }
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

/// Hands the blocks of the file `name` to `each`; false if there is no such
/// file.
///
/// Errors: `SegmentError` if any byte of it is not what was written, or its
/// end is missing; and whatever `each` returns.
pub fn read_block_file<E: From<SegmentError>>(
    folder: &SegmentFolder,
    name: &str,
    mut each: impl FnMut(BlockKind, Items) -> Result<(), E>,
) -> Result<bool, E> {
    let Some(length) = folder.files().length(name).map_err(SegmentError::Disk)? else {
        return Ok(false);
    };
    let damaged = |offset, what| SegmentError::Damaged {
        path: folder.files().path(name),
        offset,
        what,
    };
    let mut header = [0; SEGMENT_HEADER_BYTES as usize];
    let read = folder.files().read_at(name, 0, &mut header);
    read.map_err(SegmentError::Disk)?;
    if header != folder.header(FILE_NUMBER) {
        return Err(damaged(0, "header").into());
    }
    let mut offset = SEGMENT_HEADER_BYTES;
    let mut last = None;
    while offset < length {
        let place = BlockPlace {
            segment: FILE_NUMBER,
            offset,
        };
        let block = read_block(folder, name, place)?;
        let (kind, items) = (block.header.kind, block.items());
        let items = items.map_err(|error| error.at(folder.files().path(name), offset))?;
        each(kind, items)?;
        last = Some(kind);
        offset += block.header.span();
    }
    match last {
        Some(BlockKind::CheckpointEnd) => Ok(true),
        _ => Err(damaged(offset, "end").into()),
    }
}
