//! Compaction: a segment that is not the newest is written anew without the
//! blocks that nothing needs, and takes its old file's place.
//!
//! Blocks keep their order and their ids; only where they lie changes. What is
//! damaged is left as it is: a rewrite would hide it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hikae_protocol::pack::Pack;

use super::SegmentError;
use super::block::{Block, BlockHeader, BlockKind};
use super::folder::{SEGMENT_HEADER_BYTES, SEGMENTS, SegmentFolder, segment_name};
use super::log::BlockPlace;
use super::scan::LoadedSegment;

/// How the name of a file begins that is not finished.
const NEW: &str = ".new-";

fn new_name(number: u32) -> String {
    let name = segment_name(number);
    match name.rsplit_once('/') {
        Some((folder, file)) => format!("{folder}/{NEW}{file}"),
        None => format!("{NEW}{name}"),
    }
}

/// Bytes of a segment.
#[derive(Debug, Clone, Copy)]
pub struct SegmentUse {
    /// Bytes of its blocks.
    pub bytes: u64,
    /// Bytes of the blocks that are needed.
    pub live_bytes: u64,
    /// It is damaged, and is to be left as it is.
    pub is_damaged: bool,
}

impl SegmentUse {
    /// Whether at least one part in `share` of the bytes is needed no more.
    pub fn is_worth_it(self, share: u64) -> bool {
        let dead = self.bytes - self.live_bytes;
        !self.is_damaged && dead > 0 && dead >= self.bytes / share
    }
}

/// A segment that was written anew beside the old one.
#[derive(Debug)]
pub struct CompactSegment {
    number: u32,
    /// Blocks and where they come to lie.
    pub kept: Vec<(u64, BlockPlace)>,
    /// Blocks that go.
    pub dropped: Vec<u64>,
    /// Bytes that the file is shorter.
    pub freed: u64,
    /// Bytes of the new file.
    pub bytes: u64,
}

impl SegmentFolder {
    /// How much of segment `number` is needed.
    ///
    /// Errors: `SegmentError`.
    pub fn segment_use(
        &self,
        number: u32,
        needed: impl Fn(&BlockHeader) -> bool,
    ) -> Result<SegmentUse, SegmentError> {
        let segment = LoadedSegment::load(self, number)?;
        let mut live_bytes = 0;
        let intact = segment.each_block(|block| {
            let header = &block.header;
            live_bytes += if needed(header) { header.span() } else { 0 };
        })?;
        let bytes = segment.bytes.len() as u64;
        Ok(SegmentUse {
            bytes: bytes.saturating_sub(SEGMENT_HEADER_BYTES),
            live_bytes,
            is_damaged: !intact,
        })
    }

    /// Writes segment `number` anew with the blocks that are needed, durably,
    /// beside the old one.
    ///
    /// Errors: `SegmentError`, also where it is damaged.
    pub fn compact(
        &self,
        number: u32,
        needed: impl Fn(&BlockHeader) -> bool,
    ) -> Result<CompactSegment, SegmentError> {
        let segment = LoadedSegment::load(self, number)?;
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        let mut bytes = self.header(number).to_vec();
        let intact = segment.each_block(|block| {
            let id = block.header.id;
            if !needed(&block.header) {
                dropped.push(id);
                return;
            }
            let place = BlockPlace {
                segment: number,
                offset: bytes.len() as u64,
            };
            kept.push((id, place));
            bytes.extend_from_slice(&block.to_bytes(self.store(), place));
        })?;
        if !intact {
            return Err(SegmentError::Damaged {
                path: self.path(number),
                offset: 0,
                what: "it can't be compacted",
            });
        }
        self.write_new(number, &bytes)?;
        Ok(CompactSegment {
            number,
            kept,
            dropped,
            freed: segment.bytes.len() as u64 - bytes.len() as u64,
            bytes: bytes.len() as u64,
        })
    }

    /// Writes segment `number` anew with every whole block, a whole header, and
    /// blocks of contents that were `recovered`, durably, beside the old one;
    /// the blocks `dropped` were damaged there.
    ///
    /// Errors: `SegmentError`.
    pub fn heal(
        &self,
        number: u32,
        dropped: Vec<u64>,
        recovered: &BTreeMap<u64, Pack>,
    ) -> Result<CompactSegment, SegmentError> {
        let segment = LoadedSegment::load(self, number)?;
        let mut kept = Vec::new();
        let mut bytes = self.header(number).to_vec();
        let mut put = |block: &Block| {
            let place = BlockPlace {
                segment: number,
                offset: bytes.len() as u64,
            };
            kept.push((block.header.id, place));
            bytes.extend_from_slice(&block.to_bytes(self.store(), place));
        };
        // Ids go up along the log: what is recovered comes to its old place.
        let mut waiting = Vec::new();
        for (&id, pack) in recovered {
            waiting.push(Block::new(BlockKind::Contents, id, pack, self.seal())?);
        }
        let mut waiting = waiting.iter().peekable();
        segment.each_whole_block(|block| {
            while let Some(first) = waiting.next_if(|first| first.header.id < block.header.id) {
                put(first);
            }
            put(block);
        })?;
        waiting.for_each(&mut put);
        let freed = (segment.bytes.len() as u64).saturating_sub(bytes.len() as u64);
        self.write_new(number, &bytes)?;
        Ok(CompactSegment {
            number,
            kept,
            dropped,
            freed,
            bytes: bytes.len() as u64,
        })
    }

    /// The files of segments whose headers are not as they were written.
    ///
    /// Errors: `SegmentError`.
    pub fn damaged_headers(&self) -> Result<Vec<PathBuf>, SegmentError> {
        let mut damaged = Vec::new();
        for number in self.numbers()? {
            let name = segment_name(number);
            let mut header = [0; SEGMENT_HEADER_BYTES as usize];
            if self.files().length(&name)?.unwrap_or(0) >= SEGMENT_HEADER_BYTES {
                self.files().read_at(&name, 0, &mut header)?;
            }
            if header != self.header(number) {
                damaged.push(self.path(number));
            }
        }
        Ok(damaged)
    }

    fn write_new(&self, number: u32, bytes: &[u8]) -> Result<(), SegmentError> {
        let new = new_name(number);
        self.files().remove(&new)?;
        self.files().create(&new, bytes)?;
        Ok(self.files().sync(&new)?)
    }

    /// Puts the new segment in the place of the old one. After a power cut
    /// there is the one or the other, until `sync_names`.
    ///
    /// Errors: `SegmentError::Disk`; the old one is then still there.
    pub fn adopt(&self, compact: &CompactSegment) -> Result<(), SegmentError> {
        let (new, name) = (new_name(compact.number), segment_name(compact.number));
        Ok(self.files().rename(&new, &name)?)
    }

    /// Makes the names of segments durable.
    ///
    /// Errors: `SegmentError::Disk`.
    pub fn sync_names(&self) -> Result<(), SegmentError> {
        Ok(self.files().sync_folder(SEGMENTS)?)
    }

    /// Numbers of all segments but the newest, which is written to.
    ///
    /// Errors: `SegmentError::Disk`.
    pub fn sealed(&self) -> Result<Vec<u32>, SegmentError> {
        let mut numbers = self.numbers()?;
        numbers.pop();
        Ok(numbers)
    }

    /// Removes what is left of files that were to replace others: of a
    /// compaction, or of a record of the store, that was cut off.
    ///
    /// Errors: `SegmentError::Disk`.
    pub fn remove_remains(&self) -> Result<(), SegmentError> {
        for (folder, path) in [("", String::new()), (SEGMENTS, format!("{SEGMENTS}/"))] {
            for name in self.files().list(folder)? {
                if name.starts_with(NEW) {
                    self.files().remove(&format!("{path}{name}"))?;
                }
            }
        }
        Ok(())
    }
}
