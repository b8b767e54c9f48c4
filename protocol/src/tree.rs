//! The Merkle tree over the leaves: paths of nodes, items, digests.
//!
//! The root's children are volumes (`facility/label`); below a volume each
//! level is one component. A name can stand for a leaf (files lie directly in
//! that directory) and for a node (there are leaves below it) at once.
//! Storing the tree and bringing it up to date is the catalogue's work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Domain};
use crate::list::{ListItem, take_digest, take_name};
use crate::objectpath::{LEAF_DEPTH_MAX, LeafKey, split_last, volume_of};
use crate::page::{ListDigest, name_length};

/// Levels of nodes: the root, volumes, and two prefixes.
pub const NODE_DEPTH_MAX: usize = 3;

/// What a child of a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChildKind {
    /// A manifest.
    Leaf,
    /// A node.
    Node,
}

impl ChildKind {
    /// The kind as hashed and stored: 0 or 1.
    pub const fn byte(self) -> u8 {
        match self {
            ChildKind::Leaf => 0,
            ChildKind::Node => 1,
        }
    }
}

/// A child of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// What it is.
    pub kind: ChildKind,
    /// By which it stands in its parent; of a volume both components.
    pub name: Vec<u8>,
    /// Its digest.
    pub digest: Digest,
}

impl ListItem for Child {
    const DOMAIN: Domain = Domain::Node;

    fn name(&self) -> &[u8] {
        &self.name
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.kind.byte());
        bytes.extend_from_slice(&name_length(&self.name));
        bytes.extend_from_slice(&self.name);
        bytes.extend_from_slice(self.digest.as_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<Child> {
        let (kind, rest) = bytes.split_first()?;
        let kind = match kind {
            0 => ChildKind::Leaf,
            1 => ChildKind::Node,
            _ => return None,
        };
        *bytes = rest;
        Some(Child {
            kind,
            name: take_name(bytes)?.to_vec(),
            digest: take_digest(bytes)?,
        })
    }

    fn follows(&self, before: &Child) -> bool {
        (&self.name, self.kind) > (&before.name, before.kind)
    }
}

/// The path of a child of the node at `parent`; none if no such path can be in
/// a tree.
pub fn child_path(parent: &[u8], child: &Child) -> Option<Vec<u8>> {
    let path = match parent.is_empty() {
        true => child.name.clone(),
        false => [parent, b"/", &child.name].concat(),
    };
    let is_direct = self::parent(&path) == parent && name_in_parent(&path) == child.name;
    let key = LeafKey::parse(&path).ok()?;
    let deepest = match child.kind {
        ChildKind::Leaf => LEAF_DEPTH_MAX,
        ChildKind::Node => LEAF_DEPTH_MAX - 1,
    };
    (is_direct && key.depth() <= deepest).then_some(path)
}

/// The children of one node.
type Siblings = BTreeMap<(Vec<u8>, ChildKind), Digest>;

/// The digest of the node at `path` (empty: the root) with these leaves below
/// it; none without leaves.
pub fn node_digest(path: &[u8], leaves: &BTreeMap<LeafKey, Digest>) -> Option<Digest> {
    let mut level: BTreeMap<Vec<u8>, Digest> = BTreeMap::new();
    for depth in (children_depth(path)..=LEAF_DEPTH_MAX).rev() {
        let mut children: BTreeMap<Vec<u8>, Siblings> = BTreeMap::new();
        let at_depth = leaves.iter().filter(|(key, _)| key.depth() == depth);
        let at_depth = at_depth.map(|(key, digest)| (key.as_bytes(), ChildKind::Leaf, digest));
        let nodes = level
            .iter()
            .map(|(path, digest)| (&path[..], ChildKind::Node, digest));
        for (child, kind, digest) in at_depth.chain(nodes) {
            let siblings = children.entry(parent(child).to_vec()).or_default();
            siblings.insert((name_in_parent(child).to_vec(), kind), *digest);
        }
        let mut above = BTreeMap::new();
        for (path, children) in children {
            let mut node = NodeDigest::default();
            for ((name, kind), digest) in &children {
                node.push(name, *kind, digest);
            }
            above.extend(node.finish().map(|digest| (path, digest)));
        }
        level = above;
    }
    level.remove(path)
}

/// Components, below their volume, of the children of the node at `path`.
fn children_depth(path: &[u8]) -> usize {
    match LeafKey::parse(path) {
        Ok(key) => key.depth() + 1,
        Err(_) => 0,
    }
}

/// Computes a node's digest from its children, sorted by (name, kind).
pub struct NodeDigest<'s> {
    list: ListDigest<'s>,
    item: Vec<u8>,
    children: u64,
}

impl Default for NodeDigest<'_> {
    fn default() -> Self {
        NodeDigest {
            list: ListDigest::new(Domain::Node),
            item: Vec::new(),
            children: 0,
        }
    }
}

impl NodeDigest<'_> {
    /// Appends a child, SPEC.md [S5-5]: kind (1), name length (2), name,
    /// digest (32). `name` is its last component; for a volume both.
    pub fn push(&mut self, name: &[u8], kind: ChildKind, digest: &Digest) {
        self.item.clear();
        self.item.push(kind.byte());
        self.item.extend_from_slice(&name_length(name));
        self.item.extend_from_slice(name);
        self.item.extend_from_slice(digest.as_bytes());
        self.list.push(name, &self.item);
        self.children += 1;
    }

    /// The digest; `None` of a node without children, which is not in the
    /// tree (for the root see `root_digest`).
    pub fn finish(self) -> Option<Digest> {
        (self.children > 0).then(|| self.list.finish())
    }
}

/// The root digest from the root node's: an empty tree has one too.
pub fn root_digest(root: Option<Digest>) -> Digest {
    root.unwrap_or_else(|| ListDigest::new(Domain::Node).finish())
}

/// The node above a leaf or node with this path: its path; the root's is
/// empty.
pub fn parent(path: &[u8]) -> &[u8] {
    if volume_of(path) == path {
        &[]
    } else {
        split_last(path).0
    }
}

/// The name by which a path stands in its parent.
pub fn name_in_parent(path: &[u8]) -> &[u8] {
    if volume_of(path) == path {
        path
    } else {
        split_last(path).1
    }
}

/// The slow, obvious tree over a sorted map: what every other way of computing
/// a root is tested against.
pub fn oracle_root(leaves: &BTreeMap<LeafKey, Digest>) -> Digest {
    fn node(path: &[u8], leaves: &BTreeMap<LeafKey, Digest>) -> Option<Digest> {
        let mut children = BTreeMap::new();
        for (key, digest) in leaves {
            let mut below = key.as_bytes();
            if below == path {
                continue;
            }
            let mut kind = ChildKind::Leaf;
            while !below.is_empty() && parent(below) != path {
                below = parent(below);
                kind = ChildKind::Node;
            }
            if below.is_empty() {
                continue;
            }
            let slot = children.entry((name_in_parent(below).to_vec(), kind, below.to_vec()));
            slot.or_insert(*digest);
        }
        let mut list = NodeDigest::default();
        for ((name, kind, path), digest) in children {
            match kind {
                ChildKind::Leaf => list.push(&name, kind, &digest),
                ChildKind::Node => {
                    if let Some(digest) = node(&path, leaves) {
                        list.push(&name, kind, &digest);
                    }
                }
            }
        }
        list.finish()
    }
    root_digest(node(&[], leaves))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [S5-5] the worked tree of SPEC.md section 5.4.
    #[test]
    fn the_worked_tree() {
        let leaf = "513faf7bb9497a717c0bed31e62db8adfd74991bff3c1b2188cc8fae8ba99342";
        let key = LeafKey::parse(b"F/L/000/001/0000001").unwrap();
        let tree = BTreeMap::from([(key, leaf.parse().unwrap())]);
        assert_eq!(
            oracle_root(&tree).to_string(),
            "cca6dad943222f0edb9e28e58d984514e1bcec73c8d7a6c218a6b8219594c312"
        );
        assert_eq!(
            root_digest(None).to_string(),
            "4e5f16169af10276e0a603998343b1619e773219d7034d8ae90e9328211da05e"
        );
    }

    /// The digest of every node of a tree, from the leaves below it.
    #[test]
    fn nodes_are_the_same_from_below_and_from_the_leaves() {
        let keys = [
            "F/L",
            "F/L/a",
            "F/L/a/b",
            "F/L/a/b/c",
            "F/L/a/b/d",
            "F/L/b/c/d",
            "F/L-x",
            "G/L/a",
        ];
        let leaves: BTreeMap<LeafKey, Digest> = keys
            .iter()
            .map(|key| {
                let key = LeafKey::parse(key.as_bytes()).unwrap();
                let digest = Digest::of_content(key.as_bytes());
                (key, digest)
            })
            .collect();
        assert_eq!(node_digest(b"", &leaves), Some(oracle_root(&leaves)));
        let (mut nodes, mut at) = (vec![vec![]], 0);
        while let Some(path) = nodes.get(at).cloned() {
            let below = |key: &LeafKey| {
                path.is_empty() || key.as_bytes().starts_with(&[&path, &b"/"[..]].concat())
            };
            let own: BTreeMap<LeafKey, Digest> = leaves
                .iter()
                .filter(|(key, _)| below(key))
                .map(|(key, digest)| (key.clone(), *digest))
                .collect();
            let digest = node_digest(&path, &own).unwrap();
            assert_eq!(node_digest(&path, &leaves), Some(digest));
            for key in own.keys() {
                let mut node = parent(key.as_bytes());
                while node.len() > path.len() && parent(node) != path {
                    node = parent(node);
                }
                if node.len() > path.len() && !nodes.contains(&node.to_vec()) {
                    nodes.push(node.to_vec());
                }
            }
            at += 1;
        }
        assert_eq!(nodes.len(), 7, "{nodes:?}");
        assert_eq!(node_digest(b"F/L/x", &leaves), None);
        assert_eq!(node_digest(b"", &BTreeMap::new()), None);
    }

    /// A child is directly below its node, and no deeper than a tree is.
    #[test]
    fn a_child_has_a_path_or_is_none() {
        let child = |kind, name: &[u8]| Child {
            kind,
            name: name.to_vec(),
            digest: Digest([0; 32]),
        };
        let (leaf, node) = (ChildKind::Leaf, ChildKind::Node);
        let good: [(&[u8], ChildKind, &[u8]); 4] = [
            (b"", leaf, b"F/L"),
            (b"", node, b"F/L"),
            (b"F/L/a", node, b"b"),
            (b"F/L/a/b", leaf, b"c"),
        ];
        for (parent, kind, name) in good {
            assert!(child_path(parent, &child(kind, name)).is_some());
        }
        let bad: [(&[u8], ChildKind, &[u8]); 8] = [
            (b"", leaf, b"F"),
            (b"", node, b"F/L/a"),
            (b"F/L", leaf, b"a/b"),
            (b"F/L", leaf, b".."),
            (b"F/L", leaf, b""),
            (b"F/L", node, b"x\0y"),
            (b"F/L/a/b", node, b"c"),
            (b"F/L/a/b/c", leaf, b"d"),
        ];
        for (parent, kind, name) in bad {
            assert_eq!(child_path(parent, &child(kind, name)), None, "{name:?}");
        }
    }

    #[test]
    fn parents_of_a_leaf() {
        let mut path = &b"F/L/a/b/c"[..];
        let mut seen = vec![];
        while !path.is_empty() {
            seen.push((parent(path), name_in_parent(path)));
            path = parent(path);
        }
        assert_eq!(
            seen,
            [
                (&b"F/L/a/b"[..], &b"c"[..]),
                (b"F/L/a", b"b"),
                (b"F/L", b"a"),
                (b"", b"F/L"),
            ]
        );
    }

    #[test]
    fn leaf_and_node_of_one_name_differ() {
        let digest = Digest::of_content(b"x");
        let root = |keys: &[&str]| {
            oracle_root(
                &keys
                    .iter()
                    .map(|key| (LeafKey::parse(key.as_bytes()).unwrap(), digest))
                    .collect(),
            )
        };
        let all = [
            root(&[]),
            root(&["F/L"]),
            root(&["F/L/a"]),
            root(&["F/L/a/b"]),
            root(&["F/L/a/b/c"]),
            root(&["F/L", "F/L/a"]),
            root(&["F/L/a", "F/L/a/b/c"]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "tree {at}");
        }
    }
}
