//! The checkpoint: the tree and the block table as they were right after a
//! commit, in a file of their own, so that a rebuild reads only what was
//! appended since. SPEC.md section 10.4.
//!
//! It can be deleted at any time. It is written when nothing is staged.

use hikae_protocol::message::{DecodeError, decode};
use hikae_protocol::pack::{Items, PackBuilder};
use serde::{Deserialize, Serialize};

use super::CatalogueError;
use super::commit::Commit;
use super::db::Db;
use super::item::{LeafSummary, encode};
use super::leaf::RecordPlace;
use super::open::RECORDS_LEVEL;
use super::replay::{Replay, wrong};
use super::value::LeafValue;
use crate::segment::{
    BlockFileWriter, BlockKind, BlockPlace, LogEnd, SegmentFolder, SegmentReader, read_block_file,
};

/// The file of the store.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// Bytes of items in one block, before compression.
const BLOCK_BYTES: usize = 256 * 1024;

/// A leaf of the tree.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointLeaf {
    pub summary: LeafSummary,
    pub place: RecordPlace,
}

/// Where a block lies.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointBlock {
    pub id: u64,
    pub segment: u32,
    pub offset: u64,
}

/// A commit that is remembered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointCommit {
    pub number: u64,
    pub block: u64,
    pub accepted_ms: i64,
}

/// The last item.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckpointEnd {
    /// Where the log goes on.
    pub log: LogEnd,
    pub commit: Commit,
    /// How many leaves, blocks and commits there are.
    pub leaves: u64,
    pub blocks: u64,
    pub commits: u64,
}

/// Packs items into blocks of one kind.
struct Packed<'a, 'b> {
    writer: &'a mut BlockFileWriter<'b>,
    kind: BlockKind,
    pack: PackBuilder,
    items: u64,
}

impl<'a, 'b> Packed<'a, 'b> {
    fn new(writer: &'a mut BlockFileWriter<'b>, kind: BlockKind) -> Packed<'a, 'b> {
        Packed {
            writer,
            kind,
            pack: PackBuilder::default(),
            items: 0,
        }
    }

    fn push<T: Serialize>(&mut self, item: &T) -> Result<(), CatalogueError> {
        self.pack.push(&encode(item)?);
        self.items += 1;
        match self.pack.raw_bytes() >= BLOCK_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), CatalogueError> {
        let pack = std::mem::take(&mut self.pack).finish(RECORDS_LEVEL);
        let pack = pack.map_err(CatalogueError::Pack)?;
        Ok(self.writer.append(self.kind, &pack)?)
    }

    /// Writes what waits; says how many items there were.
    fn finish(mut self) -> Result<u64, CatalogueError> {
        if !self.pack.is_empty() {
            self.flush()?;
        }
        Ok(self.items)
    }
}

/// Writes a checkpoint of the index at `commit`, when the log ends at `log`
/// and nothing is staged.
///
/// Errors: `CatalogueError`; the checkpoint before is then still there.
pub(super) fn write(
    segments: &SegmentFolder,
    db: &Db,
    log: LogEnd,
    commit: &Commit,
) -> Result<(), CatalogueError> {
    let mut writer = BlockFileWriter::new(segments, CHECKPOINT)?;
    let mut packed = Packed::new(&mut writer, BlockKind::CheckpointLeaves);
    for leaf in db.leaves_below(&[]) {
        let (key, value) = leaf?;
        let node = match value.bare {
            Some(_) => db.node(key.as_bytes())?,
            None => None,
        };
        let (summary, place) = (value.summary(key, node), value.place);
        packed.push(&CheckpointLeaf { summary, place })?;
    }
    let leaves = packed.finish()?;
    let mut packed = Packed::new(&mut writer, BlockKind::CheckpointBlocks);
    for block in db.blocks() {
        let (id, BlockPlace { segment, offset }) = block?;
        if id < log.next_id {
            packed.push(&CheckpointBlock {
                id,
                segment,
                offset,
            })?;
        }
    }
    let blocks = packed.finish()?;
    let mut packed = Packed::new(&mut writer, BlockKind::CheckpointCommits);
    for known in db.commits() {
        let (number, (block, accepted_ms)) = known?;
        packed.push(&CheckpointCommit {
            number,
            block,
            accepted_ms,
        })?;
    }
    let commits = packed.finish()?;
    let mut packed = Packed::new(&mut writer, BlockKind::CheckpointEnd);
    packed.push(&CheckpointEnd {
        log,
        commit: commit.clone(),
        leaves,
        blocks,
        commits,
    })?;
    packed.finish()?;
    Ok(writer.finish()?)
}

/// The state at the checkpoint, and where the log goes on; none if there is
/// no checkpoint, or it is damaged or of other segments.
///
/// Errors: `CatalogueError`, of a disk that failed too: the segments are read
/// then.
pub(super) fn read(segments: &SegmentFolder) -> Result<Option<(Replay, LogEnd)>, CatalogueError> {
    let mut replay = Replay::default();
    let mut end: Option<CheckpointEnd> = None;
    let is_there = read_block_file(segments, CHECKPOINT, |kind, items| {
        take(&mut replay, &mut end, kind, &items)
    })?;
    let Some(end) = end.filter(|_| is_there) else {
        return Ok(None);
    };
    let counts = [
        replay.tree.len() as u64,
        replay.blocks.len() as u64,
        replay.commits.len() as u64,
    ];
    if counts != [end.leaves, end.blocks, end.commits] || !is_of(segments, &end, &replay)? {
        return Ok(None);
    }
    replay.number = end.commit.number;
    replay.commit = Some(end.commit);
    Ok(Some((replay, end.log)))
}

/// Whether the checkpoint, if there is one, is as it was written.
///
/// Errors: `CatalogueError` that names what is not.
pub(super) fn check(segments: &SegmentFolder) -> Result<(), CatalogueError> {
    read_block_file::<CatalogueError>(segments, CHECKPOINT, |_, _| Ok(())).map(drop)
}

/// Whether the log reaches to the checkpoint's end and has its commit.
fn is_of(
    segments: &SegmentFolder,
    end: &CheckpointEnd,
    replay: &Replay,
) -> Result<bool, CatalogueError> {
    if !segments.reaches(end.log)? {
        return Ok(false);
    }
    let Some(&(block, _)) = replay.commits.get(&end.commit.number) else {
        return Ok(false);
    };
    let Some(&place) = replay.blocks.get(&block) else {
        return Ok(false);
    };
    let items = SegmentReader::new(segments).items(block, place)?;
    let commit: Option<Commit> = items.get(0).and_then(|item| decode(item).ok());
    Ok(commit.as_ref() == Some(&end.commit))
}

fn take(
    replay: &mut Replay,
    end: &mut Option<CheckpointEnd>,
    kind: BlockKind,
    items: &Items,
) -> Result<(), CatalogueError> {
    for (index, item) in items.iter().enumerate() {
        let wrong = |source: DecodeError| wrong(0, index as u32, "item of a checkpoint", source);
        if end.is_some() {
            return Err(wrong(DecodeError::Trailing(item.len())));
        }
        match kind {
            BlockKind::CheckpointLeaves => {
                let leaf: CheckpointLeaf = decode(item).map_err(wrong)?;
                replay.known_bare(&leaf.summary, leaf.place);
                let (key, value) = LeafValue::of(leaf.summary, leaf.place);
                replay.tree.insert(key, value);
            }
            BlockKind::CheckpointBlocks => {
                let block: CheckpointBlock = decode(item).map_err(wrong)?;
                let place = BlockPlace {
                    segment: block.segment,
                    offset: block.offset,
                };
                replay.blocks.insert(block.id, place);
            }
            BlockKind::CheckpointCommits => {
                let commit: CheckpointCommit = decode(item).map_err(wrong)?;
                let accepted = (commit.block, commit.accepted_ms);
                replay.commits.insert(commit.number, accepted);
            }
            BlockKind::CheckpointEnd => *end = Some(decode(item).map_err(wrong)?),
            _ => {}
        }
    }
    Ok(())
}
