//! The log: appends blocks to the newest segment and begins the next when it
//! is full.
//!
//! A segment that has a successor is sealed: synced, then never written
//! again. After a failed write or sync nothing more is written.

use std::time::{Duration, Instant};

use hikae_protocol::pack::Pack;

use super::SegmentError;
use super::block::{BLOCK_ALIGNMENT, Block, BlockKind};
use super::folder::{SEGMENT_HEADER_BYTES, SEGMENTS, SegmentFolder, segment_name};
use super::scan::LogEnd;

/// Bytes after which the next segment begins.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes that wait for a sync while a copy is under way, about.
const UNSYNCED_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How long they wait, about.
const UNSYNCED_TIME_MAX: Duration = Duration::from_secs(5);

/// Where a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockPlace {
    /// Number of the segment.
    pub segment: u32,
    /// Where the block begins, bytes.
    pub offset: u64,
}

/// Appends blocks.
#[derive(Debug)]
pub struct SegmentLog {
    folder: SegmentFolder,
    /// Bytes after which the next segment begins.
    full_at: u64,
    /// The newest segment; 0 before the first.
    number: u32,
    end: u64,
    next_id: u64,
    /// Bytes that were appended since the last sync.
    unsynced: u64,
    /// When the first of them was.
    unsynced_since: Instant,
    /// The first failure; nothing is written after it.
    poisoned: Option<String>,
    /// It was the writing of a block that is no commit's: the file can be cut
    /// back.
    can_recover: bool,
}

impl SegmentLog {
    /// Goes on after what a scan found; what follows its end is cut off (a
    /// torn tail that was never acknowledged). A segment is full at `full_at`
    /// bytes.
    ///
    /// Errors: `SegmentError::Disk`.
    pub fn open(
        folder: &SegmentFolder,
        end: LogEnd,
        full_at: u64,
    ) -> Result<SegmentLog, SegmentError> {
        if end.segment > 0 {
            let name = segment_name(end.segment);
            folder.files().truncate(&name, end.offset)?;
            folder.files().sync(&name)?;
        }
        Ok(SegmentLog {
            folder: folder.clone(),
            full_at,
            number: end.segment,
            end: end.offset,
            next_id: end.next_id,
            unsynced: 0,
            unsynced_since: Instant::now(),
            poisoned: None,
            can_recover: false,
        })
    }

    /// Where the next block will begin, and its id.
    pub fn end(&self) -> LogEnd {
        LogEnd {
            segment: self.number,
            offset: self.end,
            next_id: self.next_id,
        }
    }

    /// Appends a block; it is durable after the next `sync`.
    ///
    /// Errors: `SegmentError`; after one of the disk the log is poisoned.
    pub fn append(
        &mut self,
        kind: BlockKind,
        pack: &Pack,
    ) -> Result<(u64, BlockPlace), SegmentError> {
        if let Some(failure) = &self.poisoned {
            return Err(SegmentError::Poisoned(failure.clone()));
        }
        let result = self.append_block(kind, pack);
        self.poisoned = result.as_ref().err().map(ToString::to_string);
        result
    }

    fn append_block(
        &mut self,
        kind: BlockKind,
        pack: &Pack,
    ) -> Result<(u64, BlockPlace), SegmentError> {
        if self.number == 0 || self.end >= self.full_at {
            self.begin_segment()?;
        }
        let id = self.next_id;
        let block = Block::new(kind, id, pack, self.folder.seal())?;
        let place = BlockPlace {
            segment: self.number,
            offset: self.end,
        };
        debug_assert_eq!(place.offset % BLOCK_ALIGNMENT, 0);
        let bytes = block.to_bytes(self.folder.store(), place);
        let name = segment_name(self.number);
        self.can_recover = kind != BlockKind::Commit;
        self.folder.files().append(&name, &bytes)?;
        self.can_recover = false;
        self.end += block.header.span();
        self.next_id += 1;
        if self.unsynced == 0 {
            self.unsynced_since = Instant::now();
        }
        self.unsynced += block.header.span();
        Ok((id, place))
    }

    /// After a block could not be written, for want of room say: cuts off what
    /// there is of it, so that what lies on the disk is known again. After any
    /// other failure it changes nothing.
    ///
    /// Errors: `SegmentError::Disk`; the log then stays poisoned.
    pub fn recover(&mut self) -> Result<(), SegmentError> {
        if self.poisoned.is_some() && self.can_recover {
            let name = segment_name(self.number);
            self.folder.files().truncate(&name, self.end)?;
            self.folder.files().sync(&name)?;
            self.unsynced = 0;
            (self.poisoned, self.can_recover) = (None, false);
        }
        Ok(())
    }

    /// Begins the next segment: the newest is then sealed.
    ///
    /// Errors: `SegmentError`; after one of the disk the log is poisoned.
    pub fn roll(&mut self) -> Result<(), SegmentError> {
        if let Some(failure) = &self.poisoned {
            return Err(SegmentError::Poisoned(failure.clone()));
        }
        let result = self.begin_segment();
        self.poisoned = result.as_ref().err().map(ToString::to_string);
        result
    }

    fn begin_segment(&mut self) -> Result<(), SegmentError> {
        self.sync_file()?;
        let number = self.number + 1;
        let name = segment_name(number);
        let files = self.folder.files();
        // A segment whose header was torn holds nothing; a scan skips it.
        if files
            .length(&name)?
            .is_some_and(|found| found <= SEGMENT_HEADER_BYTES)
        {
            files.remove(&name)?;
        }
        files.create(&name, &self.folder.header(number))?;
        files.sync(&name)?;
        files.sync_folder(SEGMENTS)?;
        self.number = number;
        self.end = SEGMENT_HEADER_BYTES;
        Ok(())
    }

    /// Whether much was appended since the last sync, or something some time
    /// ago.
    pub fn is_sync_due(&self) -> bool {
        self.unsynced >= UNSYNCED_BYTES_MAX
            || self.unsynced > 0 && self.unsynced_since.elapsed() >= UNSYNCED_TIME_MAX
    }

    /// Makes every appended block durable.
    ///
    /// Errors: `SegmentError`; the log is then poisoned.
    pub fn sync(&mut self) -> Result<(), SegmentError> {
        if let Some(failure) = &self.poisoned {
            return Err(SegmentError::Poisoned(failure.clone()));
        }
        let result = self.sync_file();
        self.poisoned = result.as_ref().err().map(ToString::to_string);
        result
    }

    fn sync_file(&mut self) -> Result<(), SegmentError> {
        if self.unsynced == 0 {
            return Ok(());
        }
        self.folder.files().sync(&segment_name(self.number))?;
        self.unsynced = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hikae_protocol::pack::{Codec, PackBuilder};

    use super::*;
    use crate::segment::{SegmentReader, scan};

    const EMPTY: LogEnd = LogEnd::EMPTY;

    /// [S9-2] the next segment begins at 64 MiB, and one that has a successor
    /// is not written again; [S9-7] ids go on.
    #[test]
    fn a_full_segment_gets_a_successor() {
        let folder = tempfile::tempdir().unwrap();
        let segments = SegmentFolder::in_store(folder.path()).unwrap();
        let mut log = SegmentLog::open(&segments, EMPTY, SEGMENT_BYTES).unwrap();
        let raw_bytes = 4 << 20;
        let large = Pack {
            codec: Codec::Stored,
            raw_bytes,
            data: vec![7; raw_bytes as usize].into(),
        };
        let mut places = vec![];
        for _ in 0..16 {
            places.push(log.append(BlockKind::Contents, &large).unwrap());
        }
        assert!(log.end().offset >= SEGMENT_BYTES);
        let small = PackBuilder::default().finish(3).unwrap();
        for _ in 0..2 {
            places.push(log.append(BlockKind::Unstage, &small).unwrap());
        }
        log.sync().unwrap();
        let (ids, places): (Vec<u64>, Vec<BlockPlace>) = places.into_iter().unzip();
        assert_eq!(ids, (1..19).collect::<Vec<_>>());
        let numbers: Vec<u32> = places.iter().map(|place| place.segment).collect();
        assert_eq!(numbers, [vec![1; 16], vec![2; 2]].concat());
        assert_eq!(places[16].offset, SEGMENT_HEADER_BYTES);
        let mut found = vec![];
        let (end, damages) = scan::<SegmentError>(&segments, LogEnd::EMPTY, |scanned| {
            found.push(scanned.place);
            Ok(())
        })
        .unwrap();
        assert_eq!((found, end, damages.len()), (places.clone(), log.end(), 0));
        let read = SegmentReader::new(&segments).read_pack(places[15]).unwrap();
        assert_eq!(read, large);
    }

    /// [S9-12] after a write that failed nothing more is appended, until the
    /// store is opened again.
    #[test]
    fn nothing_is_appended_after_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let segments = SegmentFolder::in_store(folder.path()).unwrap();
        let mut log = SegmentLog::open(&segments, EMPTY, SEGMENT_BYTES).unwrap();
        let pack = PackBuilder::default().finish(3).unwrap();
        let in_the_way = folder.path().join("segments/00000001.seg");
        fs::create_dir(&in_the_way).unwrap();
        let append = |log: &mut SegmentLog| log.append(BlockKind::Contents, &pack);
        assert!(matches!(append(&mut log), Err(SegmentError::Disk(_))));
        fs::remove_dir(&in_the_way).unwrap();
        assert!(matches!(append(&mut log), Err(SegmentError::Poisoned(_))));
        assert!(matches!(log.sync(), Err(SegmentError::Poisoned(_))));
        assert!(!in_the_way.exists());
        let mut log = SegmentLog::open(&segments, EMPTY, SEGMENT_BYTES).unwrap();
        append(&mut log).unwrap();
        log.sync().unwrap();
    }
}
