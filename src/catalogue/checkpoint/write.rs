//! Writes a checkpoint.

use hikae_protocol::digest::Digest;
use hikae_protocol::pack::PackBuilder;
use serde::Serialize;

use super::base::Base;
use super::run::{Item, Leaf, Run};
use super::{
    CHECKPOINT, CheckpointBlock, CheckpointCommit, CheckpointEnd, CheckpointLeaf, CheckpointNode,
    NODE_DEPTH_MAX, depth,
};
use crate::catalogue::CatalogueError;
use crate::catalogue::commit::{Commit, Totals};
use crate::catalogue::item::encode;
use crate::catalogue::open::RECORDS_LEVEL;
use crate::segment::{BlockFile, BlockFileWriter, BlockKind, BlockPlace, LogEnd, SegmentFolder};

/// Bytes of items in one block, before compression: what is read to find one.
const BLOCK_BYTES: usize = 32 * 1024;

/// Items as they come; an error ends what is written.
pub(in crate::catalogue) type Coming<'a, T> =
    Box<dyn Iterator<Item = Result<T, CatalogueError>> + 'a>;

/// What a checkpoint is written from; leaves and nodes by depth and path.
pub(in crate::catalogue) struct Tree<'a> {
    /// Each with the digest of the volume's node, if it is bare.
    pub leaves: Coming<'a, (Leaf, Option<Digest>)>,
    pub nodes: Coming<'a, CheckpointNode>,
    /// By id.
    pub blocks: Coming<'a, (u64, BlockPlace)>,
    /// By number: the block, and when it was accepted.
    pub commits: Coming<'a, (u64, (u64, i64))>,
}

/// Packs items into blocks of one kind.
struct Packed<'a, 'b> {
    writer: &'a mut BlockFileWriter<'b>,
    kind: BlockKind,
    pack: PackBuilder,
}

impl<'a, 'b> Packed<'a, 'b> {
    fn new(writer: &'a mut BlockFileWriter<'b>, kind: BlockKind) -> Packed<'a, 'b> {
        Packed {
            writer,
            kind,
            pack: PackBuilder::default(),
        }
    }

    /// Says where the block begins, if that ended one.
    fn push<T: Serialize>(&mut self, item: &T) -> Result<Option<u64>, CatalogueError> {
        self.pack.push(&encode(item)?);
        match self.pack.raw_bytes() >= BLOCK_BYTES {
            true => self.flush(),
            false => Ok(None),
        }
    }

    /// Writes what waits.
    fn flush(&mut self) -> Result<Option<u64>, CatalogueError> {
        if self.pack.is_empty() {
            return Ok(None);
        }
        let pack = std::mem::take(&mut self.pack).finish(RECORDS_LEVEL);
        let pack = pack.map_err(CatalogueError::Pack)?;
        Ok(Some(self.writer.append(self.kind, &pack)?))
    }
}

fn wrong(what: &str) -> CatalogueError {
    CatalogueError::Index {
        folder: CHECKPOINT.into(),
        what: what.into(),
    }
}

/// Writes items in order; says what was written where.
fn run<T: Item, S: Serialize>(
    writer: &mut BlockFileWriter<'_>,
    kind: BlockKind,
    items: impl Iterator<Item = Result<(T, S), CatalogueError>>,
) -> Result<Run<T>, CatalogueError> {
    let mut run = Run::default();
    let mut packed = Packed::new(writer, kind);
    let mut waiting = Vec::new();
    let mut note = |waiting: &mut Vec<T>, offset: Option<u64>| match offset {
        Some(offset) => {
            let is_behind = run.push(offset, waiting.iter());
            waiting.clear();
            is_behind
                .then_some(())
                .ok_or_else(|| wrong("the index is not in order"))
        }
        None => Ok(()),
    };
    for item in items {
        let (item, written) = item?;
        waiting.push(item);
        let offset = packed.push(&written)?;
        note(&mut waiting, offset)?;
    }
    let offset = packed.flush()?;
    note(&mut waiting, offset)?;
    Ok(run)
}

/// Writes items that nobody looks for; says how many.
fn list<S: Serialize>(
    writer: &mut BlockFileWriter<'_>,
    kind: BlockKind,
    items: impl IntoIterator<Item = Result<S, CatalogueError>>,
) -> Result<u64, CatalogueError> {
    let mut packed = Packed::new(writer, kind);
    let mut count = 0;
    for item in items {
        packed.push(&item?)?;
        count += 1;
    }
    packed.flush()?;
    Ok(count)
}

/// Writes a checkpoint of the tree that is `commit`'s, when the log ends at
/// `log` and nothing is staged; opens it.
///
/// Errors: `CatalogueError`; the checkpoint before is then still there.
pub(in crate::catalogue) fn write(
    segments: &SegmentFolder,
    tree: Tree<'_>,
    (log, commit): (LogEnd, &Commit),
) -> Result<Base, CatalogueError> {
    let mut writer = BlockFileWriter::new(segments, CHECKPOINT)?;
    let mut totals = Totals::default();
    let leaves = tree.leaves.map(|leaf| {
        let ((key, value), node) = leaf?;
        totals.replace(None, &value);
        let (summary, place) = (value.summary(key.clone(), node), value.place);
        Ok(((key, value), CheckpointLeaf { summary, place }))
    });
    let leaves = run(&mut writer, BlockKind::CheckpointLeaves, leaves)?;
    let is_written = |node: &CheckpointNode| depth(&node.path) <= NODE_DEPTH_MAX;
    let nodes = tree.nodes.filter_map(|node| match node {
        Ok(node) => is_written(&node).then(|| Ok((node.clone(), node))),
        Err(error) => Some(Err(error)),
    });
    let nodes = run(&mut writer, BlockKind::CheckpointNodes, nodes)?;
    let blocks = tree.blocks.filter_map(|block| match block {
        Ok((id, BlockPlace { segment, offset })) => {
            (id < log.next_id).then_some(Ok(CheckpointBlock {
                id,
                segment,
                offset,
            }))
        }
        Err(error) => Some(Err(error)),
    });
    let blocks = list(&mut writer, BlockKind::CheckpointBlocks, blocks)?;
    let commits = tree.commits.map(|known| {
        let (number, (block, accepted_ms)) = known?;
        Ok(CheckpointCommit {
            number,
            block,
            accepted_ms,
        })
    });
    let commits = list(&mut writer, BlockKind::CheckpointCommits, commits)?;
    let end = CheckpointEnd {
        log,
        commit: commit.clone(),
        leaves: leaves.count,
        nodes: nodes.count,
        blocks,
        commits,
    };
    list(&mut writer, BlockKind::CheckpointEnd, [Ok(end)])?;
    writer.finish()?;
    let file = BlockFile::open(segments, CHECKPOINT)?;
    let file = file.ok_or_else(|| wrong("the checkpoint that was written is gone"))?;
    Ok(Base {
        file,
        leaves,
        nodes,
        log,
        totals,
    })
}
