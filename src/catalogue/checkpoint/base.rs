//! The tree of a checkpoint, read where it is asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hikae_protocol::digest::Digest;
use hikae_protocol::message::{DecodeError, decode};
use hikae_protocol::pack::Items;
use hikae_protocol::tree::{ChildKind, NodeDigest, name_in_parent, parent};

use super::run::{Leaf, Marks, Run, items, parsed, within};
use super::{
    CHECKPOINT, CheckpointBlock, CheckpointCommit, CheckpointEnd, CheckpointNode, NODE_DEPTH_MAX,
    depth,
};
use crate::catalogue::CatalogueError;
use crate::catalogue::commit::{Commit, Totals};
use crate::catalogue::replay::wrong;
use crate::catalogue::value::LeafValue;
use crate::segment::{BlockFile, BlockKind, BlockPlace, LogEnd, SegmentFolder, SegmentReader};

/// A checkpoint that is to be believed, open; it stays readable when another
/// takes its place.
#[derive(Debug)]
pub(in crate::catalogue) struct Base {
    pub(super) file: BlockFile,
    pub(super) leaves: Run<Leaf>,
    pub(super) nodes: Run<CheckpointNode>,
    /// Where the log goes on.
    pub log: LogEnd,
    /// Counts over its leaves.
    pub totals: Totals,
}

/// What a checkpoint says beside the tree.
#[derive(Debug, Default)]
pub(in crate::catalogue) struct Known {
    pub blocks: HashMap<u64, BlockPlace>,
    /// By number: the block, and when it was accepted.
    pub commits: BTreeMap<u64, (u64, i64)>,
    /// The last commit.
    pub commit: Option<Commit>,
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    leaves: Run<Leaf>,
    nodes: Run<CheckpointNode>,
    known: Known,
    totals: Totals,
    end: Option<CheckpointEnd>,
}

impl Base {
    /// Reads the checkpoint; none if there is none, or it is of other segments.
    ///
    /// Errors: `CatalogueError` if any byte of it is not what was written, of a
    /// disk that failed, too.
    pub(in crate::catalogue) fn open(
        segments: &SegmentFolder,
    ) -> Result<Option<(Base, Known)>, CatalogueError> {
        let Some(file) = BlockFile::open(segments, CHECKPOINT)? else {
            return Ok(None);
        };
        let mut reading = Reading::default();
        file.blocks(
            |offset, kind, items| match reading.take(offset, kind, &items)? {
                true => Ok(()),
                false => Err(CatalogueError::from(file.damaged(offset, "order"))),
            },
        )?;
        let Some(end) = reading.end else {
            return Ok(None);
        };
        let known = reading.known;
        let counts = [
            reading.leaves.count,
            reading.nodes.count,
            known.blocks.len() as u64,
            known.commits.len() as u64,
        ];
        let said = [end.leaves, end.nodes, end.blocks, end.commits];
        if counts != said || !is_of(segments, &end, &known)? {
            return Ok(None);
        }
        let base = Base {
            file,
            leaves: reading.leaves,
            nodes: reading.nodes,
            log: end.log,
            totals: reading.totals,
        };
        let commit = Some(end.commit);
        Ok(Some((base, Known { commit, ..known })))
    }

    /// Leaves of the tree, those without entries too.
    pub(in crate::catalogue) fn count(&self) -> u64 {
        self.leaves.count
    }

    /// Bytes of the file.
    pub(in crate::catalogue) fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    /// A leaf.
    ///
    /// Errors here and below: `CatalogueError` of a block that is not as it was.
    pub(in crate::catalogue) fn leaf(
        &self,
        path: &[u8],
    ) -> Result<Option<LeafValue>, CatalogueError> {
        let leaf = self.leaves.get(&self.file, path)?;
        Ok(leaf.map(|(_, value)| value))
    }

    /// The digest of a node.
    pub(in crate::catalogue) fn node(
        self: &Arc<Self>,
        path: &[u8],
    ) -> Result<Option<Digest>, CatalogueError> {
        if depth(path) > NODE_DEPTH_MAX {
            let mut nodes = self.nodes_at(depth(path), [path, b"/"].concat())?;
            return Ok(nodes.remove(path));
        }
        let node = self.nodes.get(&self.file, path)?;
        Ok(node.map(|node| node.digest))
    }

    /// The nodes right above the deepest leaves whose paths begin with `prefix`.
    fn deepest(
        self: &Arc<Self>,
        prefix: &[u8],
    ) -> Result<BTreeMap<Vec<u8>, Digest>, CatalogueError> {
        let mut lists: BTreeMap<Vec<u8>, NodeDigest> = BTreeMap::new();
        let leaves = self.leaves_at(NODE_DEPTH_MAX + 2, prefix.to_vec());
        for leaf in leaves {
            let (key, value) = leaf?;
            if let Some(digest) = value.digest {
                let list = lists.entry(parent(key.as_bytes()).to_vec()).or_default();
                list.push(name_in_parent(key.as_bytes()), ChildKind::Leaf, &digest);
            }
        }
        let nodes = lists.into_iter();
        Ok(nodes
            .filter_map(|(path, list)| Some((path, list.finish()?)))
            .collect())
    }

    /// The leaves of one depth whose paths begin with `prefix`, in order.
    pub(in crate::catalogue) fn leaves_at(
        self: &Arc<Self>,
        depth: u8,
        prefix: Vec<u8>,
    ) -> impl Iterator<Item = Result<Leaf, CatalogueError>> + use<> {
        let (base, blocks) = (self.clone(), self.leaves.from(depth, &prefix));
        let blocks = blocks.map(move |index| base.leaves.block(&base.file, index));
        within(items(blocks), depth, prefix)
    }

    /// The nodes of one depth whose paths begin with `prefix`.
    pub(in crate::catalogue) fn nodes_at(
        self: &Arc<Self>,
        depth: u8,
        prefix: Vec<u8>,
    ) -> Result<BTreeMap<Vec<u8>, Digest>, CatalogueError> {
        match depth.checked_sub(NODE_DEPTH_MAX) {
            None | Some(0) => {}
            Some(1) => return self.deepest(&prefix),
            // Below the deepest leaves is nothing.
            Some(_) => return Ok(BTreeMap::new()),
        }
        let nodes = self.written_nodes(depth, prefix);
        nodes
            .map(|node| node.map(|node| (node.path, node.digest)))
            .collect()
    }

    /// The nodes of one depth that are written and whose paths begin with
    /// `prefix`, in order.
    pub(in crate::catalogue) fn written_nodes(
        self: &Arc<Self>,
        depth: u8,
        prefix: Vec<u8>,
    ) -> impl Iterator<Item = Result<CheckpointNode, CatalogueError>> + use<> {
        let (base, blocks) = (self.clone(), self.nodes.from(depth, &prefix));
        let blocks = blocks.map(move |index| base.nodes.block(&base.file, index));
        within(items(blocks), depth, prefix)
    }

    /// The leaves whose marks are `wanted`: so must be those of a block in which
    /// one is.
    pub(in crate::catalogue) fn marked(
        &self,
        wanted: impl Fn(Marks) -> bool + Copy,
    ) -> impl Iterator<Item = Result<Leaf, CatalogueError>> {
        self.leaves.marked(&self.file, wanted)
    }
}

impl Reading {
    /// Takes the next block; false if it stands where it may not.
    fn take(
        &mut self,
        offset: u64,
        kind: BlockKind,
        items: &Items,
    ) -> Result<bool, CatalogueError> {
        if self.end.is_some() {
            return Ok(false);
        }
        match kind {
            BlockKind::CheckpointLeaves => {
                let leaves: Vec<Leaf> = parsed(items)?;
                for (_, value) in &leaves {
                    self.totals.replace(None, value);
                }
                return Ok(self.leaves.push(offset, leaves.iter()));
            }
            BlockKind::CheckpointNodes => {
                let nodes: Vec<CheckpointNode> = parsed(items)?;
                let are_here = nodes.iter().all(|node| depth(&node.path) <= NODE_DEPTH_MAX);
                return Ok(are_here && self.nodes.push(offset, nodes.iter()));
            }
            _ => {}
        }
        for (index, item) in items.iter().enumerate() {
            let wrong =
                |source: DecodeError| wrong(0, index as u32, "item of a checkpoint", source);
            match kind {
                BlockKind::CheckpointBlocks => {
                    let block: CheckpointBlock = decode(item).map_err(wrong)?;
                    let place = BlockPlace {
                        segment: block.segment,
                        offset: block.offset,
                    };
                    self.known.blocks.insert(block.id, place);
                }
                BlockKind::CheckpointCommits => {
                    let commit: CheckpointCommit = decode(item).map_err(wrong)?;
                    let accepted = (commit.block, commit.accepted_ms);
                    self.known.commits.insert(commit.number, accepted);
                }
                BlockKind::CheckpointEnd if index == 0 => {
                    self.end = Some(decode(item).map_err(wrong)?);
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Whether the log reaches to the checkpoint's end and has its commit.
fn is_of(
    segments: &SegmentFolder,
    end: &CheckpointEnd,
    known: &Known,
) -> Result<bool, CatalogueError> {
    if !segments.reaches(end.log)? {
        return Ok(false);
    }
    let Some(&(block, _)) = known.commits.get(&end.commit.number) else {
        return Ok(false);
    };
    let Some(&place) = known.blocks.get(&block) else {
        return Ok(false);
    };
    let items = SegmentReader::new(segments).items(block, place)?;
    let commit: Option<Commit> = items.get(0).and_then(|item| decode(item).ok());
    Ok(commit.as_ref() == Some(&end.commit))
}
