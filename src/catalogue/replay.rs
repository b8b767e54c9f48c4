//! What follows from the blocks of the log, in order: the state that the index
//! is made from.

use std::collections::{BTreeMap, HashMap, HashSet};

use hikae_protocol::digest::Digest;
use hikae_protocol::message::{DecodeError, decode};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::Items;
use hikae_protocol::tree::root_digest;
use itertools::Itertools;
use serde::de::DeserializeOwned;

use super::CatalogueError;
use super::checkpoint::{Base, CheckpointNode, Known, Tree, order};
use super::commit::{Commit, Totals};
use super::db::Db;
use super::item::{LeafSummary, Prune, Unstage};
use super::leaf::RecordPlace;
use super::open::Head;
use super::records::{Blocks, SegmentBlocks};
use super::tree::{Overlay, TreeUpdate, VolumeNode, Volumes, update};
use super::value::LeafValue;
use crate::segment::{BlockKind, BlockPlace, ScannedBlock, SegmentFolder, SegmentReader};

/// A leaf, and what is known of it.
type Placed<'a> = (&'a LeafKey, &'a LeafValue);

/// What a tree became.
pub(super) struct Grown<'a> {
    /// The leaves that changed, by depth and path.
    pub leaves: Vec<Placed<'a>>,
    pub update: TreeUpdate,
    /// Counts over all leaves.
    pub totals: Totals,
    /// Leaves that were not there.
    new: u64,
}

/// Leaves and nodes of a whole tree, by depth and path, and its commit.
pub(super) type WholeTree<'a> = (&'a [Placed<'a>], &'a Overlay, &'a Commit);

/// State of a store after some of its blocks.
#[derive(Default)]
pub(super) struct Replay {
    /// Number of the last commit. Of its record all copies may be damaged.
    pub number: u64,
    /// The last commit whose record was read.
    pub commit: Option<Commit>,
    pub tree: HashMap<LeafKey, LeafValue>,
    pub staged: HashMap<LeafKey, LeafValue>,
    pub blocks: HashMap<u64, BlockPlace>,
    /// The nodes of bare volumes, by the place of the record.
    nodes: HashMap<RecordPlace, Option<Digest>>,
    /// By number: the block, and when it was accepted.
    pub commits: BTreeMap<u64, (u64, i64)>,
}

impl Replay {
    /// Takes the next block of the log.
    ///
    /// Errors: `CatalogueError` of a block that can't be understood.
    pub(super) fn take(&mut self, scanned: &ScannedBlock) -> Result<(), CatalogueError> {
        let header = scanned.block.header;
        self.blocks.insert(header.id, scanned.place);
        match header.kind {
            BlockKind::Leaves => self.leaves(header.id, &scanned.items()?),
            BlockKind::Unstage => {
                let dropped: Unstage = only_item(scanned, "unstage record")?;
                self.unstage(&dropped);
                Ok(())
            }
            BlockKind::Prune => {
                let prune: Prune = only_item(scanned, "prune record")?;
                self.commits = self.commits.split_off(&prune.oldest);
                Ok(())
            }
            BlockKind::Commit => {
                let commit: Commit = only_item(scanned, "commit")?;
                self.commit(header.id, commit);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn leaves(&mut self, block: u64, items: &Items) -> Result<(), CatalogueError> {
        for (index, item) in items.iter().enumerate() {
            let index = index as u32;
            let summary = LeafSummary::parse(item)
                .map_err(|source| wrong(block, index, "leaf record", source))?;
            self.reach(summary.commit);
            let place = RecordPlace { block, index };
            self.known_bare(&summary, place);
            let (key, value) = LeafValue::of(summary, place);
            self.staged.insert(key, value);
        }
        Ok(())
    }

    /// Remembers what a record says of a bare volume.
    pub(super) fn known_bare(&mut self, summary: &LeafSummary, place: RecordPlace) {
        if let Some(bare) = summary.bare {
            self.nodes.insert(place, bare.node);
        }
    }

    fn unstage(&mut self, dropped: &Unstage) {
        self.reach(dropped.commit);
        match &dropped.keys[..] {
            [] => self.staged.clear(),
            keys => {
                for key in keys.iter().filter_map(|key| LeafKey::parse(key).ok()) {
                    self.staged.remove(&key);
                }
            }
        }
    }

    /// What is staged for a commit tells that the one before it was written,
    /// also where its record was forgotten or lost.
    fn reach(&mut self, commit: u64) {
        if commit > self.number + 1 {
            self.tree.extend(self.staged.drain());
            self.number = commit - 1;
        }
    }

    fn commit(&mut self, block: u64, commit: Commit) {
        // A commit is written twice; the second only counts if the first is
        // damaged.
        let held = self.commit.as_ref().map_or(0, |held| held.number);
        if commit.number <= held || commit.number < self.number {
            return;
        }
        self.tree.extend(self.staged.drain());
        self.number = commit.number;
        self.commits
            .insert(commit.number, (block, commit.accepted_ms));
        self.commit = Some(commit);
    }

    /// Drops the leaves whose records can't be read to their end: pages of
    /// them lie in blocks that are damaged. As those whose records were lost
    /// they are missed by the root, and come again.
    pub(super) fn drop_unreadable(&mut self, segments: &SegmentFolder) {
        let blocks = SegmentBlocks {
            reader: SegmentReader::new(segments),
            places: &self.blocks,
        };
        let readable = |key: &LeafKey, value: &LeafValue| {
            let record = blocks.record_at(value.place);
            if let Err(error) = &record {
                tracing::error!(leaf = %key.text(), %error, "its record is damaged");
            }
            record.is_ok()
        };
        self.tree.retain(|key, value| readable(key, value));
        self.staged.retain(|key, value| readable(key, value));
    }

    /// Empties the leaves of bare volumes that have something: what said that they
    /// are left out is damaged. Nothing of them counts any more.
    pub(super) fn empty_below_bare(&mut self) {
        let bare = self.tree.iter().filter(|(_, value)| value.bare.is_some());
        let bare: HashSet<Vec<u8>> = bare.map(|(key, _)| key.as_bytes().to_vec()).collect();
        if bare.is_empty() {
            return;
        }
        for (key, value) in &mut self.tree {
            if value.bare.is_none() && bare.contains(key.volume()) {
                *value = LeafValue {
                    digest: None,
                    entries: 0,
                    bytes: 0,
                    newest_bytes: 0,
                    lacking: 0,
                    ..*value
                };
            }
        }
    }

    /// What is known of the blocks of a checkpoint, whose tree is looked for
    /// elsewhere: `tree` then holds what changed since.
    pub(super) fn behind(known: Known) -> Replay {
        Replay {
            number: known.commit.as_ref().map_or(0, |commit| commit.number),
            commit: known.commit,
            blocks: known.blocks,
            commits: known.commits,
            ..Replay::default()
        }
    }

    /// What the leaves add up to, where there are no others.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn grown_alone(&self) -> Result<Grown<'_>, CatalogueError> {
        let leaves = self.sorted();
        let mut totals = Totals::default();
        let mut volumes = Volumes::new();
        for &(key, value) in &leaves {
            totals.replace(None, value);
            if value.bare.is_some() {
                volumes.insert(key.as_bytes().to_vec(), self.bare_node(value));
            }
        }
        let digests = leaves.iter().map(|(key, value)| (*key, value.digest));
        let update = update(None, digests, &volumes)?;
        let new = leaves.len() as u64;
        Ok(Grown {
            leaves,
            update,
            totals,
            new,
        })
    }

    fn sorted(&self) -> Vec<Placed<'_>> {
        let mut leaves: Vec<Placed<'_>> = self.tree.iter().collect();
        leaves.sort_unstable_by_key(|(key, _)| order(key.as_bytes()));
        leaves
    }

    fn bare_node(&self, value: &LeafValue) -> VolumeNode {
        VolumeNode::Bare(self.nodes.get(&value.place).copied().flatten())
    }

    /// What the leaves that changed since the base of the index make of its tree.
    ///
    /// Errors: `CatalogueError`.
    fn grown_on(&self, db: &Db, base: Totals) -> Result<Grown<'_>, CatalogueError> {
        let leaves = self.sorted();
        let (mut totals, mut new) = (base, 0);
        let mut volumes = Volumes::new();
        for &(key, value) in &leaves {
            let old = db.leaf(key.as_bytes())?;
            totals.replace(old.as_ref(), value);
            new += u64::from(old.is_none());
            let node = match (value.bare, old.and_then(|old| old.bare)) {
                (Some(_), _) => self.bare_node(value),
                (None, Some(_)) => VolumeNode::Open,
                (None, None) => continue,
            };
            volumes.insert(key.as_bytes().to_vec(), node);
        }
        let digests = leaves.iter().map(|(key, value)| (*key, value.digest));
        let update = update(Some(db), digests, &volumes)?;
        Ok(Grown {
            leaves,
            update,
            totals,
            new,
        })
    }

    /// Writes into the index what changed since its base, if it has one; else
    /// all. A whole tree becomes a base by `write_base`. Says what the tree is,
    /// whether it is the last commit's, and how many leaves it has.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn index(
        &self,
        db: &Db,
        write_base: impl FnOnce(WholeTree<'_>) -> Result<Option<Base>, CatalogueError>,
    ) -> Result<(Option<Head>, bool, u64), CatalogueError> {
        let base = db.base_counts();
        let grown = match base {
            Some((totals, _)) => self.grown_on(db, totals)?,
            None => self.grown_alone()?,
        };
        let blocks = self.blocks.iter();
        db.set_blocks(blocks.map(|(&id, &place)| (id, Some(place))))?;
        for (&number, &commit) in &self.commits {
            db.set_commit((number, commit))?;
        }
        let head = match &self.commit {
            None => None,
            Some(commit) => Some(Head {
                number: self.number,
                snapshot: commit.snapshot()?,
                commit: commit.clone(),
                totals: grown.totals,
            }),
        };
        let root = match &head {
            None => root_digest(None),
            Some(head) => head.snapshot.root,
        };
        let is_whole = root == grown.update.root;
        let (leaves, nodes) = (&grown.leaves, &grown.update.nodes);
        let written = match (&head, base) {
            (Some(head), None) if is_whole && self.staged.is_empty() => {
                write_base((leaves, nodes, &head.commit))?
            }
            _ => None,
        };
        match (written, base) {
            (Some(base), _) => db.rebase(base)?,
            (None, None) => db.fill(leaves, nodes)?,
            (None, Some(_)) => {
                let leaves = leaves.iter().map(|&(key, value)| (key.clone(), *value));
                db.apply(&leaves.collect::<Vec<_>>())?;
                db.set_nodes(nodes)?;
            }
        }
        let staged: Vec<(LeafKey, LeafValue)> = self
            .staged
            .iter()
            .map(|(key, value)| (key.clone(), *value))
            .collect();
        db.stage(&staged)?;
        let before = base.map_or(0, |(_, leaves)| leaves);
        Ok((head, is_whole, before + grown.new))
    }
}

impl Replay {
    /// What a checkpoint is written from, of a tree without a base.
    pub(super) fn whole_tree<'a>(
        &'a self,
        leaves: &'a [Placed<'a>],
        nodes: &'a Overlay,
    ) -> Tree<'a> {
        let leaves = leaves.iter().map(|&(key, value)| {
            let node = self.nodes.get(&value.place).copied().flatten();
            Ok(((key.clone(), *value), node))
        });
        let nodes = nodes.iter().filter_map(|(path, digest)| {
            let (path, digest) = (path.clone(), (*digest)?);
            Some(CheckpointNode { path, digest })
        });
        let nodes = nodes.sorted_unstable_by(|one, two| order(&one.path).cmp(&order(&two.path)));
        let blocks = self.blocks.iter().map(|(&id, &place)| (id, place));
        let commits = self.commits.iter();
        Tree {
            leaves: Box::new(leaves),
            nodes: Box::new(nodes.map(Ok)),
            blocks: Box::new(blocks.sorted_unstable_by_key(|(id, _)| *id).map(Ok)),
            commits: Box::new(commits.map(|(&number, &commit)| Ok((number, commit)))),
        }
    }
}

/// The record of a block that has one.
fn only_item<T: DeserializeOwned>(
    scanned: &ScannedBlock,
    expected: &'static str,
) -> Result<T, CatalogueError> {
    let items = scanned.items()?;
    let wrong = |source| wrong(scanned.block.header.id, 0, expected, source);
    if items.len() > 1 {
        return Err(wrong(DecodeError::Trailing(items.len() - 1)));
    }
    decode(items.get(0).unwrap_or_default()).map_err(wrong)
}

pub(super) fn wrong(
    block: u64,
    index: u32,
    expected: &'static str,
    source: DecodeError,
) -> CatalogueError {
    CatalogueError::Record {
        block,
        index,
        expected,
        source,
    }
}
