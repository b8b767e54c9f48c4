//! The tree as the index tells it: what the tables say changed, over the base.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::digest::Digest;
use hikae_protocol::objectpath::{LEAF_DEPTH_MAX, LeafKey};
use hikae_protocol::tree::ChildKind;
use itertools::{EitherOrBoth, Itertools};

use super::table::Table;
use super::{Db, head};
use crate::catalogue::CatalogueError;
use crate::catalogue::checkpoint::{
    Base, CheckpointNode, Marks, NODE_DEPTH_MAX, Tree, depth as depth_of,
};
use crate::catalogue::tree::Overlay;
use crate::catalogue::value::LeafValue;

/// The depth of the paths directly below the node `path`.
fn child_depth(path: &[u8]) -> u8 {
    match path.is_empty() {
        true => 1,
        false => depth_of(path) + 1,
    }
}

/// What the paths below `path` begin with.
fn below(path: &[u8]) -> Vec<u8> {
    match path.is_empty() {
        true => vec![],
        false => [path, b"/"].concat(),
    }
}

/// The greatest depth of a leaf.
const DEEPEST: u8 = 1 + LEAF_DEPTH_MAX as u8;

impl Db {
    /// A committed leaf.
    pub(in crate::catalogue) fn leaf(
        &self,
        path: &[u8],
    ) -> Result<Option<LeafValue>, CatalogueError> {
        match (self.leaves.get(&head(path), path)?, self.base()) {
            (Some(value), _) => self.parsed(&value),
            (None, Some(base)) => base.leaf(path),
            (None, None) => Ok(None),
        }
    }

    /// The leaf of a value of the table; none: it is gone.
    fn parsed(&self, value: &[u8]) -> Result<Option<LeafValue>, CatalogueError> {
        if value.is_empty() {
            return Ok(None);
        }
        let leaf = LeafValue::parse(value);
        leaf.map(Some).ok_or_else(|| self.leaves.corrupt("leaf"))
    }

    /// The digest of a value of the table; none: the node is gone.
    fn parsed_node(&self, value: &[u8]) -> Result<Option<Digest>, CatalogueError> {
        if value.is_empty() {
            return Ok(None);
        }
        let digest = value.try_into().map(Digest);
        digest.map(Some).map_err(|_| self.nodes.corrupt("node"))
    }

    /// The digest of a node.
    pub(in crate::catalogue) fn node(&self, path: &[u8]) -> Result<Option<Digest>, CatalogueError> {
        match (self.nodes.get(&head(path), path)?, self.base()) {
            (Some(value), _) => self.parsed_node(&value),
            (None, Some(base)) => base.node(path),
            (None, None) => Ok(None),
        }
    }

    /// The children of a node that are of `kind`, with their paths.
    pub(in crate::catalogue) fn children(
        &self,
        node: &[u8],
        kind: ChildKind,
    ) -> Result<BTreeMap<Vec<u8>, Option<Digest>>, CatalogueError> {
        let depth = child_depth(node);
        let table = match kind {
            ChildKind::Leaf => &self.leaves,
            ChildKind::Node => &self.nodes,
        };
        let changed: Result<Vec<_>, _> = table.below(&[depth], node).collect();
        let mut children = BTreeMap::new();
        match (self.base(), kind) {
            (Some(base), ChildKind::Leaf) => {
                for leaf in base.leaves_at(depth, below(node)) {
                    let (key, value) = leaf?;
                    children.insert(key.as_bytes().to_vec(), value.digest);
                }
            }
            (Some(base), ChildKind::Node) => {
                let nodes = base.nodes_at(depth, below(node))?.into_iter();
                children.extend(nodes.map(|(path, digest)| (path, Some(digest))));
            }
            (None, _) => {}
        }
        for (path, value) in changed? {
            let digest = match kind {
                ChildKind::Leaf => self.parsed(&value)?.and_then(|leaf| leaf.digest),
                ChildKind::Node => self.parsed_node(&value)?,
            };
            children.insert(path, digest);
        }
        Ok(children)
    }

    /// Every leaf of the tree at or below the node or leaf `path`, in canonical
    /// order. The tree may not change meanwhile.
    pub(in crate::catalogue) fn leaves_below(
        &self,
        path: &[u8],
    ) -> impl Iterator<Item = Result<(LeafKey, LeafValue), CatalogueError>> {
        let key = |path: &[u8]| LeafKey::parse(path).map_err(|_| self.leaves.corrupt("leaf key"));
        let own = match path.is_empty() {
            true => None,
            false => self.leaf(path).transpose(),
        };
        let own = own.map(|value| Ok((key(path)?, value?)));
        let path = path.to_vec();
        let deeper = child_depth(&path)..=DEEPEST;
        let deeper = deeper.map(move |depth| self.leaves_at(depth, &path));
        let deeper = itertools::kmerge_by(deeper, |one: &_, two: &_| match (one, two) {
            (Ok((one, _)), Ok((two, _))) => one < two,
            // Errors come where they are met.
            (Err(_), _) => true,
            (_, Err(_)) => false,
        });
        own.into_iter().chain(deeper)
    }

    /// The leaves of one depth below a path, in order.
    fn leaves_at(
        &self,
        depth: u8,
        path: &[u8],
    ) -> impl Iterator<Item = Result<(LeafKey, LeafValue), CatalogueError>> + use<'_> {
        let base = self.base().into_iter();
        let prefix = below(path);
        let base = base.flat_map(move |base| base.leaves_at(depth, prefix.clone()));
        let changed = self.leaves.sorted_below(&[depth], path).map(|item| {
            let (path, value) = item?;
            let key = LeafKey::parse(&path);
            let key = key.map_err(|_| self.leaves.corrupt("leaf key"))?;
            Ok((key, self.parsed(&value)?))
        });
        let base = base.map(|leaf| leaf.map(|(key, value)| (key, Some(value))));
        overlaid(base, changed, |(key, _)| key.as_bytes())
            .filter_map(|leaf| leaf.map(|(key, value)| Some((key, value?))).transpose())
    }

    /// Every node that a checkpoint has, by depth and path, with those that
    /// change. The tree may not change meanwhile.
    fn upper_nodes<'a>(
        &'a self,
        changes: &'a Overlay,
    ) -> impl Iterator<Item = Result<CheckpointNode, CatalogueError>> + 'a {
        (0..=NODE_DEPTH_MAX).flat_map(move |depth| {
            let base = self.base().into_iter();
            let base = base.flat_map(move |base| base.written_nodes(depth, vec![]));
            let base = base.map(|node| node.map(|node| (node.path, Some(node.digest))));
            let changed = self.nodes.sorted_below(&[depth], &[]);
            let changed = changed.map(|item| {
                let (path, value) = item?;
                Ok((path, self.parsed_node(&value)?))
            });
            let coming = changes
                .iter()
                .filter(move |(path, _)| depth_of(path) == depth);
            let coming = coming.map(|(path, digest)| Ok((path.clone(), *digest)));
            let known = overlaid(base, changed, |(path, _)| path);
            overlaid(known, coming, |(path, _)| path).filter_map(|node| {
                let node = node.map(|(path, digest)| {
                    Some(CheckpointNode {
                        path,
                        digest: digest?,
                    })
                });
                node.transpose()
            })
        })
    }

    /// Keys of the leaves that changed after the signer's commit `sequence`.
    pub(in crate::catalogue) fn changed_since(
        &self,
        sequence: u64,
    ) -> Result<BTreeSet<LeafKey>, CatalogueError> {
        let mut keys = numbered_after(&self.changed, sequence, "changed key")?;
        if let Some(base) = self.base() {
            self.add(&mut keys, &base, |marks| marks.sequence > sequence)?;
        }
        Ok(keys)
    }

    /// Keys of the leaves that the own commits after `number` brought.
    pub(in crate::catalogue) fn committed_since(
        &self,
        number: u64,
    ) -> Result<BTreeSet<LeafKey>, CatalogueError> {
        let mut keys = numbered_after(&self.committed, number, "committed key")?;
        if let Some(base) = self.base() {
            self.add(&mut keys, &base, |marks| marks.commit > number)?;
        }
        Ok(keys)
    }

    /// Adds the leaves of the base whose marks are `wanted` and still so.
    fn add(
        &self,
        keys: &mut BTreeSet<LeafKey>,
        base: &Base,
        wanted: impl Fn(Marks) -> bool + Copy,
    ) -> Result<(), CatalogueError> {
        let is_newest = self.leaves.is_empty();
        for leaf in base.marked(wanted) {
            let (key, _) = leaf?;
            let is_so = |newest| wanted(Marks::of(&newest));
            if is_newest || self.leaf(key.as_bytes())?.is_some_and(is_so) {
                keys.insert(key);
            }
        }
        Ok(())
    }

    /// Keys of the leaves with lacking contents.
    pub(in crate::catalogue) fn lacking(&self) -> Result<BTreeSet<LeafKey>, CatalogueError> {
        let mut keys = BTreeSet::new();
        for item in self.lacking.in_order() {
            let (path, _) = item?;
            let key = LeafKey::parse(&path);
            keys.insert(key.map_err(|_| self.lacking.corrupt("lacking key"))?);
        }
        if let Some(base) = self.base() {
            self.add(&mut keys, &base, |marks| marks.lacking > 0)?;
        }
        Ok(keys)
    }

    /// What a checkpoint is written from: the tree with what is staged and
    /// the `nodes` that this changes, when `commit` is the last one. Nothing of
    /// it may change meanwhile.
    pub(in crate::catalogue) fn tree<'a>(
        &'a self,
        nodes: &'a Overlay,
        (number, accepted): (u64, (u64, i64)),
    ) -> Tree<'a> {
        let staged = |depth| {
            let staged = self.all_staged();
            staged.filter(move |leaf| match leaf {
                Ok((key, _)) => depth_of(key.as_bytes()) == depth,
                Err(_) => true,
            })
        };
        let leaves = (1..=DEEPEST).flat_map(move |depth| {
            overlaid(self.leaves_at(depth, &[]), staged(depth), |(key, _)| {
                key.as_bytes()
            })
        });
        let leaves = leaves.map(|leaf| {
            let (key, value) = leaf?;
            let path = key.as_bytes();
            let node = match (value.bare, nodes.get(path)) {
                (None, _) => None,
                (Some(_), Some(changed)) => *changed,
                (Some(_), None) => self.node(path)?,
            };
            Ok(((key, value), node))
        });
        let before = self.commits().filter(move |commit| match commit {
            Ok((found, _)) => *found < number,
            Err(_) => true,
        });
        Tree {
            leaves: Box::new(leaves),
            nodes: Box::new(self.upper_nodes(nodes)),
            blocks: Box::new(self.blocks()),
            commits: Box::new(before.chain([Ok((number, accepted))])),
        }
    }
}

/// Keys of a table that is ordered by a number first.
fn numbered_after(
    table: &Table,
    number: u64,
    what: &'static str,
) -> Result<BTreeSet<LeafKey>, CatalogueError> {
    let from = number.saturating_add(1).to_be_bytes();
    let keys = table.from(from).map(|item| {
        let (path, _) = item?;
        LeafKey::parse(&path).map_err(|_| table.corrupt(what))
    });
    keys.collect()
}

/// Items in order, those of `changed` instead of those of `base` with the same
/// path; errors come where they are met.
fn overlaid<T>(
    base: impl Iterator<Item = Result<T, CatalogueError>>,
    changed: impl Iterator<Item = Result<T, CatalogueError>>,
    path: impl Fn(&T) -> &[u8],
) -> impl Iterator<Item = Result<T, CatalogueError>> {
    let merged = base.merge_join_by(changed, move |base, changed| match (base, changed) {
        (Ok(base), Ok(changed)) => path(base).cmp(path(changed)),
        (Err(_), _) => Ordering::Less,
        (_, Err(_)) => Ordering::Greater,
    });
    merged.map(|item| match item {
        EitherOrBoth::Left(item) | EitherOrBoth::Right(item) | EitherOrBoth::Both(_, item) => item,
    })
}
