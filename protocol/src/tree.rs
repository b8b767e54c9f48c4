//! The Merkle tree over the leaves: paths of nodes, items, digests.
//!
//! The root's children are volumes (`facility/label`); below a volume each
//! level is one component. A name can stand for a leaf (files lie directly in
//! that directory) and for a node (there are leaves below it) at once.
//! Storing the tree and bringing it up to date is the catalogue's work.

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Domain};
use crate::objectpath::{LeafKey, split_last, volume_of};
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

/// Computes a node's digest from its children, sorted by (name, kind).
pub struct NodeDigest {
    list: ListDigest,
    item: Vec<u8>,
    children: u64,
}

impl Default for NodeDigest {
    fn default() -> NodeDigest {
        NodeDigest {
            list: ListDigest::new(Domain::Node),
            item: Vec::new(),
            children: 0,
        }
    }
}

impl NodeDigest {
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
pub fn oracle_root(leaves: &std::collections::BTreeMap<LeafKey, Digest>) -> Digest {
    fn node(path: &[u8], leaves: &std::collections::BTreeMap<LeafKey, Digest>) -> Option<Digest> {
        let mut children = std::collections::BTreeMap::new();
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
        let tree = std::collections::BTreeMap::from([(key, leaf.parse().unwrap())]);
        assert_eq!(
            oracle_root(&tree).to_string(),
            "cca6dad943222f0edb9e28e58d984514e1bcec73c8d7a6c218a6b8219594c312"
        );
        assert_eq!(
            root_digest(None).to_string(),
            "4e5f16169af10276e0a603998343b1619e773219d7034d8ae90e9328211da05e"
        );
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
