//! Reads every block of the segments in order: how a catalogue is rebuilt.
//!
//! Tells a torn tail from damage. A commit is only ever written after
//! everything before it was synced; so a bad block with a valid commit behind
//! it is damage, and is named, while a bad block of the newest segment with
//! none behind it was never acknowledged, and the log ends before it.

use std::path::PathBuf;

use bytes::Bytes;
use hikae_protocol::pack::Items;

use super::SegmentError;
use super::block::{
    BLOCK_ALIGNMENT, BLOCK_HEADER_BYTES, BLOCK_MAGIC, Block, BlockHeader, BlockKind,
};
use super::folder::{SEGMENT_HEADER_BYTES, SegmentFolder, segment_name};
use super::log::BlockPlace;

/// Missing segments that are named between two that are there, at most.
const MISSING_NAMED_MAX: usize = 100;

/// Where the log goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LogEnd {
    /// The newest segment; 0 if there is none.
    pub segment: u32,
    /// Bytes of it that hold.
    pub offset: u64,
    /// The id that the next block gets.
    pub next_id: u64,
}

impl LogEnd {
    /// Of a log without blocks.
    pub const EMPTY: LogEnd = LogEnd {
        segment: 0,
        offset: 0,
        next_id: 1,
    };

    /// About how many bytes were appended since the log ended at `before`, in
    /// segments that are full at `full_at`.
    pub fn bytes_since(self, before: LogEnd, full_at: u64) -> u64 {
        // Before the first segment there is nothing.
        let segments = u64::from(self.segment.saturating_sub(before.segment.max(1)));
        (segments * full_at + self.offset).saturating_sub(before.offset)
    }
}

/// A block met by a scan.
#[derive(Debug)]
pub struct ScannedBlock {
    /// Where it lies.
    pub place: BlockPlace,
    /// The block.
    pub block: Block,
    /// The segment's file.
    path: PathBuf,
}

impl ScannedBlock {
    /// The decoded items.
    ///
    /// Errors: `SegmentError::Pack`, `SegmentError::Damaged`.
    pub fn items(&self) -> Result<Items, SegmentError> {
        let items = self.block.items();
        items.map_err(|error| error.at(self.path.clone(), self.place.offset))
    }
}

/// Bytes of a segment that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The segment's file.
    pub path: PathBuf,
    /// Where it begins, bytes.
    pub offset: u64,
    /// How long it is, bytes; 0: the file is missing.
    pub bytes: u64,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (path, bytes, offset) = (self.path.display(), self.bytes, self.offset);
        match bytes {
            0 => write!(f, "{path} is missing"),
            _ => write!(f, "{path}: {bytes} bytes from byte {offset} are damaged"),
        }
    }
}

/// Hands every valid block behind `from` to `each`, in order, and says where
/// the log goes on and what is damaged.
///
/// Errors: `SegmentError::Disk`, and whatever `each` returns.
pub fn scan<E: From<SegmentError>>(
    folder: &SegmentFolder,
    from: LogEnd,
    mut each: impl FnMut(ScannedBlock) -> Result<(), E>,
) -> Result<(LogEnd, Vec<Damage>), E> {
    let numbers = folder.numbers()?;
    let mut damages = Vec::new();
    let mut end = from;
    for (at, &number) in numbers.iter().enumerate() {
        let newest = at + 1 == numbers.len();
        let before = at.checked_sub(1).map_or(0, |before| numbers[before]);
        damages.extend(
            (before + 1..number)
                .take(MISSING_NAMED_MAX)
                .map(|missing| Damage {
                    path: folder.path(missing),
                    offset: 0,
                    bytes: 0,
                }),
        );
        if number < from.segment {
            continue;
        }
        let segment = LoadedSegment::load(folder, number)?;
        let header = folder.check_header(number, &segment.bytes)?;
        // Its blocks would have followed a synced header: it was never begun.
        if newest && !header && segment.bytes.len() as u64 <= SEGMENT_HEADER_BYTES {
            break;
        }
        if !header {
            damages.push(segment.damage(0, SEGMENT_HEADER_BYTES));
        }
        let mut next_id = end.next_id;
        let begin = match number == from.segment {
            true => from.offset,
            false => SEGMENT_HEADER_BYTES,
        };
        let (offset, found) = segment.blocks(begin, newest, |scanned| {
            next_id = next_id.max(scanned.block.header.id + 1);
            each(scanned)
        })?;
        damages.extend(found);
        end = LogEnd {
            segment: number,
            offset,
            next_id,
        };
    }
    Ok((end, damages))
}

/// One segment in memory (64 MiB and a block, at most).
pub(super) struct LoadedSegment {
    path: PathBuf,
    folder: SegmentFolder,
    number: u32,
    pub(super) bytes: Bytes,
}

impl LoadedSegment {
    pub(super) fn load(folder: &SegmentFolder, number: u32) -> Result<LoadedSegment, SegmentError> {
        let bytes = folder.files().read(&segment_name(number), u64::MAX)?;
        let bytes = bytes.unwrap_or_default();
        Ok(LoadedSegment {
            path: folder.path(number),
            folder: folder.clone(),
            number,
            bytes: bytes.into(),
        })
    }

    /// Hands every block to `each`; false if the segment is damaged.
    ///
    /// Errors: `SegmentError` of a segment of another version or store.
    pub(super) fn each_block(&self, mut each: impl FnMut(&Block)) -> Result<bool, SegmentError> {
        if !self.folder.check_header(self.number, &self.bytes)? {
            return Ok(false);
        }
        let (_, damages) = self.blocks(SEGMENT_HEADER_BYTES, false, |scanned| {
            each(&scanned.block);
            Ok::<(), SegmentError>(())
        })?;
        Ok(damages.is_empty())
    }

    /// Hands every block to `each` that is whole, also where the header is not.
    pub(super) fn each_whole_block(
        &self,
        mut each: impl FnMut(&Block),
    ) -> Result<(), SegmentError> {
        self.blocks(SEGMENT_HEADER_BYTES, false, |scanned| {
            each(&scanned.block);
            Ok(())
        })
        .map(drop)
    }

    /// The valid blocks from `begin` on; says where the segment ends and what
    /// is damaged.
    fn blocks<E>(
        &self,
        begin: u64,
        newest: bool,
        mut each: impl FnMut(ScannedBlock) -> Result<(), E>,
    ) -> Result<(u64, Vec<Damage>), E> {
        let mut damages = Vec::new();
        let mut offset = begin;
        let length = self.bytes.len() as u64;
        while offset < length {
            if let Some(block) = self.block_at(offset) {
                let span = block.header.span();
                let place = BlockPlace {
                    segment: self.number,
                    offset,
                };
                let path = self.path.clone();
                each(ScannedBlock { place, block, path })?;
                offset += span;
                continue;
            }
            let next = self.next_block(offset, |_| true);
            let committed = self.next_block(offset, |kind| kind == BlockKind::Commit);
            if newest && committed.is_none() {
                return Ok((offset, damages));
            }
            let end = next.unwrap_or(length);
            damages.push(self.damage(offset, end - offset));
            offset = end;
        }
        // A damaged end may lie anywhere; blocks begin at multiples of 8.
        let end = offset.max(SEGMENT_HEADER_BYTES);
        Ok((end.next_multiple_of(BLOCK_ALIGNMENT), damages))
    }

    fn damage(&self, offset: u64, bytes: u64) -> Damage {
        Damage {
            path: self.path.clone(),
            offset,
            bytes,
        }
    }

    fn block_at(&self, offset: u64) -> Option<Block> {
        let start = usize::try_from(offset).ok()?;
        let data = start + BLOCK_HEADER_BYTES;
        let place = BlockPlace {
            segment: self.number,
            offset,
        };
        let header = self.bytes.get(start..data)?.try_into().ok()?;
        let header = BlockHeader::parse(header, self.folder.store(), place)?;
        let end = data + header.stored_bytes as usize;
        let padded = start + header.span() as usize;
        let padding = self.bytes.get(end..padded)?;
        if padding.iter().any(|&byte| byte != 0) {
            return None;
        }
        Block::checked(header, self.bytes.slice(data..end), self.folder.seal()).ok()
    }

    /// The next place after `offset` where a whole, valid block begins.
    fn next_block(&self, offset: u64, wanted: impl Fn(BlockKind) -> bool) -> Option<u64> {
        let mut at = offset + BLOCK_ALIGNMENT;
        while at + (BLOCK_HEADER_BYTES as u64) <= self.bytes.len() as u64 {
            let start = at as usize;
            if self.bytes.get(start..start + 4) == Some(&BLOCK_MAGIC)
                && let Some(block) = self.block_at(at)
            {
                if wanted(block.header.kind) {
                    return Some(at);
                }
                at += block.header.span();
                continue;
            }
            at += BLOCK_ALIGNMENT;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::segment::{SEGMENT_BYTES, SegmentLog};
    use hikae_protocol::pack::{Pack, PackBuilder};

    fn pack(text: &[u8]) -> Pack {
        let mut builder = PackBuilder::default();
        builder.push(text);
        builder.finish(3).unwrap()
    }

    fn opened(folder: &Path) -> SegmentFolder {
        SegmentFolder::in_store(folder).unwrap()
    }

    fn segment_one(folder: &Path) -> PathBuf {
        folder.join("segments/00000001.seg")
    }

    type Found = Vec<(u64, BlockKind)>;

    fn read(folder: &Path) -> (Found, LogEnd, Vec<Damage>) {
        let mut found = vec![];
        let (end, damages) = scan::<SegmentError>(&opened(folder), LogEnd::EMPTY, |scanned| {
            found.push((scanned.block.header.id, scanned.block.header.kind));
            Ok(())
        })
        .unwrap();
        (found, end, damages)
    }

    fn written(folder: &Path) -> Vec<u8> {
        let mut log = SegmentLog::open(&opened(folder), LogEnd::EMPTY, SEGMENT_BYTES).unwrap();
        log.append(BlockKind::Contents, &pack(b"first")).unwrap();
        log.append(BlockKind::Leaves, &pack(b"second")).unwrap();
        log.append(BlockKind::Commit, &pack(b"third")).unwrap();
        log.append(BlockKind::Contents, &pack(b"fourth")).unwrap();
        log.sync().unwrap();
        std::fs::read(segment_one(folder)).unwrap()
    }

    /// [S9-6] every cut of the newest segment leaves a valid prefix, and the
    /// log goes on from there.
    #[test]
    fn every_cut_leaves_a_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = written(folder.path());
        let (all, end, damages) = read(folder.path());
        assert_eq!(
            (all.len(), end.offset, damages.len()),
            (4, bytes.len() as u64, 0)
        );
        for cut in SEGMENT_HEADER_BYTES as usize..bytes.len() {
            std::fs::write(segment_one(folder.path()), &bytes[..cut]).unwrap();
            let (found, end, damages) = read(folder.path());
            assert_eq!(found[..], all[..found.len()]);
            assert!(end.offset <= cut as u64 && damages.is_empty());
            let mut log = SegmentLog::open(&opened(folder.path()), end, SEGMENT_BYTES).unwrap();
            let (id, _) = log.append(BlockKind::Contents, &pack(b"more")).unwrap();
            let (again, ..) = read(folder.path());
            assert_eq!(again.len(), found.len() + 1);
            assert_eq!(id, found.last().map_or(1, |(id, _)| id + 1));
        }
    }

    /// [S9-5] a segment that is missing before another one is named.
    #[test]
    fn a_missing_segment_is_named() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let (first, third) = (segment_one(folder.path()), "segments/00000003.seg");
        let header = opened(folder.path()).header(3);
        std::fs::write(folder.path().join(third), header).unwrap();
        std::fs::remove_file(&first).unwrap();
        let (found, _, damages) = read(folder.path());
        assert!(found.is_empty());
        let second = folder.path().join("segments/00000002.seg");
        let missing: Vec<PathBuf> = damages.into_iter().map(|damage| damage.path).collect();
        assert_eq!(missing, [first, second]);
    }

    /// [S9-5] a flipped byte before a commit is damage and is named by its
    /// place; it never shortens the log.
    #[test]
    fn every_flipped_byte_before_a_commit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = written(folder.path());
        let mut places = vec![];
        scan::<SegmentError>(&opened(folder.path()), LogEnd::EMPTY, |scanned| {
            places.push(scanned.place.offset as usize);
            Ok(())
        })
        .unwrap();
        for at in 0..places[2] {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            std::fs::write(segment_one(folder.path()), &bad).unwrap();
            let (_, end, damages) = read(folder.path());
            assert_eq!(damages.len(), 1, "byte {at}");
            let (from, to) = (
                damages[0].offset as usize,
                (damages[0].offset + damages[0].bytes) as usize,
            );
            assert!((from..to).contains(&at), "byte {at} not in {from}..{to}");
            assert_eq!(end.offset, bytes.len() as u64);
        }
    }
}
