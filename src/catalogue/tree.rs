//! Brings the Merkle tree up to date: from changed leaves to a root, reading
//! only the children of nodes that have a change below them.

use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::digest::Digest;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::tree::{ChildKind, NodeDigest, name_in_parent, parent, root_digest};

use super::CatalogueError;
use super::commit::Totals;
use super::db::Db;
use super::open::Catalogue;
use super::records::Blocks;

/// Components of the deepest path, less one: the depth of a tree key.
const DEPTH_MAX: usize = 4;

/// New digests of nodes, not yet applied.
#[derive(Debug)]
pub struct TreeUpdate {
    /// The root of the whole tree.
    pub root: Digest,
    /// Changed nodes by path; none is removed. The root node's path is empty.
    pub nodes: Overlay,
}

/// What becomes of the node of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeNode {
    /// This, whatever is known below it.
    Bare(Option<Digest>),
    /// Again what the leaves below it give.
    Open,
}

/// By `facility/label`: volumes that are bare now, and that were.
pub type Volumes = BTreeMap<Vec<u8>, VolumeNode>;

/// Digests by path; none is removed.
pub(super) type Overlay = BTreeMap<Vec<u8>, Option<Digest>>;

fn depth(path: &[u8]) -> usize {
    path.iter().filter(|&&byte| byte == b'/').count()
}

/// A tree that grows volume by volume: only one volume's leaves are in memory.
struct Growing<'a> {
    /// None: it grows from nothing.
    db: Option<&'a Db>,
    volumes: &'a Volumes,
    /// The nodes of volumes.
    below_root: Overlay,
    /// All other nodes.
    nodes: Overlay,
}

/// Computes what the tree of the index, or one that has nothing, becomes with
/// `changes` to its leaves, of which a later one of a leaf counts, and with
/// `volumes`; others that are bare stay so.
///
/// Errors: `CatalogueError`.
pub(super) fn update<'a>(
    db: Option<&Db>,
    changes: impl IntoIterator<Item = (&'a LeafKey, Option<Digest>)>,
    volumes: &Volumes,
) -> Result<TreeUpdate, CatalogueError> {
    let ordered: BTreeMap<&LeafKey, Option<Digest>> = changes.into_iter().collect();
    let changes = ordered.into_iter();
    grow(
        db,
        changes.map(|(key, digest)| Ok((key.clone(), digest))),
        volumes,
    )
}

/// The same of changes that come in canonical order, and are not kept.
fn grow(
    db: Option<&Db>,
    changes: impl Iterator<Item = Result<(LeafKey, Option<Digest>), CatalogueError>>,
    volumes: &Volumes,
) -> Result<TreeUpdate, CatalogueError> {
    let mut growing = Growing {
        db,
        volumes,
        below_root: Overlay::new(),
        nodes: Overlay::new(),
    };
    // A leaf that is a volume can stand between other volumes' leaves.
    let mut at_root = Overlay::new();
    let mut leaves = levels();
    let mut volume = Vec::new();
    for change in changes {
        let (key, digest) = change?;
        let path = key.as_bytes();
        match depth(path) {
            1 => at_root.insert(path.to_vec(), digest),
            depth => {
                if key.volume() != volume {
                    growing.volume(&volume, std::mem::replace(&mut leaves, levels()))?;
                    volume = key.volume().to_vec();
                }
                leaves[depth].insert(path.to_vec(), digest)
            }
        };
    }
    growing.volume(&volume, leaves)?;
    for path in volumes.keys() {
        if !growing.below_root.contains_key(path) {
            growing.volume(path, levels())?;
        }
    }
    let mut nodes = growing.nodes;
    let root = node(db, &[], &at_root, &growing.below_root)?;
    nodes.extend(growing.below_root);
    nodes.insert(vec![], root);
    Ok(TreeUpdate {
        root: root_digest(root),
        nodes,
    })
}

/// Leaves by depth.
fn levels() -> Vec<Overlay> {
    vec![Overlay::new(); DEPTH_MAX + 1]
}

impl Growing<'_> {
    /// Takes the changed leaves of the volume at `path`, by depth.
    fn volume(&mut self, path: &[u8], leaves: Vec<Overlay>) -> Result<(), CatalogueError> {
        let node_of = self.volumes.get(path);
        if node_of.is_none() && leaves.iter().all(Overlay::is_empty) {
            return Ok(());
        }
        let mut below = Overlay::new();
        for child_depth in (3..=DEPTH_MAX).rev() {
            let above = fold_level(self.db, &leaves[child_depth], &below)?;
            self.nodes.append(&mut below);
            below = above;
        }
        let digest = match node_of {
            Some(VolumeNode::Bare(digest)) => Some(*digest),
            // Of a volume that stays bare the leaves below say nothing.
            None if self.is_bare(path)? => None,
            None | Some(VolumeNode::Open) => Some(node(self.db, path, &leaves[2], &below)?),
        };
        self.nodes.append(&mut below);
        if let Some(digest) = digest {
            self.below_root.insert(path.to_vec(), digest);
        }
        Ok(())
    }

    fn is_bare(&self, path: &[u8]) -> Result<bool, CatalogueError> {
        let leaf = self.db.map(|db| db.leaf(path)).transpose()?.flatten();
        Ok(leaf.is_some_and(|value| value.bare.is_some()))
    }
}

/// The nodes one level up from changed leaves and changed nodes.
fn fold_level(
    db: Option<&Db>,
    leaves: &Overlay,
    nodes: &Overlay,
) -> Result<Overlay, CatalogueError> {
    let changed = leaves.keys().chain(nodes.keys());
    let parents: BTreeSet<Vec<u8>> = changed.map(|path| parent(path).to_vec()).collect();
    let mut above = Overlay::new();
    for path in parents {
        let digest = node(db, &path, leaves, nodes)?;
        above.insert(path, digest);
    }
    Ok(above)
}

/// The digest of one node: its children in the index under the overlays.
fn node(
    db: Option<&Db>,
    path: &[u8],
    leaves: &Overlay,
    nodes: &Overlay,
) -> Result<Option<Digest>, CatalogueError> {
    let mut children = BTreeMap::new();
    for (kind, overlay) in [(ChildKind::Leaf, leaves), (ChildKind::Node, nodes)] {
        let known = db.map(|db| db.children(path, kind)).transpose()?;
        for (child, digest) in known.into_iter().flatten() {
            children.insert((child, kind), digest);
        }
        let from = match path.is_empty() {
            true => vec![],
            false => [path, b"/"].concat(),
        };
        let own = overlay
            .range(from.clone()..)
            .take_while(|(child, _)| child.starts_with(&from));
        for (child, digest) in own {
            children.insert((child.clone(), kind), *digest);
        }
    }
    let mut list = NodeDigest::default();
    for ((child, kind), digest) in &children {
        if let Some(digest) = digest {
            list.push(name_in_parent(child), *kind, digest);
        }
    }
    Ok(list.finish())
}

impl Catalogue {
    /// What the tree and its counts become with what is staged.
    ///
    /// Errors: `CatalogueError`.
    pub fn with_staged(&self) -> Result<(TreeUpdate, Totals), CatalogueError> {
        let mut totals = self.totals();
        let mut volumes = Volumes::new();
        for leaf in self.db.all_staged() {
            let (key, value) = leaf?;
            let old = self.leaf(&key)?;
            totals.replace(old.as_ref(), &value);
            let node = match (value.bare, old.and_then(|old| old.bare)) {
                (Some(_), _) => {
                    let bare = self.leaf_item(value.place)?.summary.bare;
                    VolumeNode::Bare(bare.and_then(|bare| bare.node))
                }
                (None, Some(_)) => VolumeNode::Open,
                (None, None) => continue,
            };
            volumes.insert(key.as_bytes().to_vec(), node);
        }
        let staged = self.db.all_staged();
        let digests = staged.map(|leaf| leaf.map(|(key, value)| (key, value.digest)));
        let update = grow(Some(&self.db), digests, &volumes)?;
        Ok((update, totals))
    }

    /// Whether the leaves add up to the root that was signed. Damage can take
    /// some away; nothing may be signed or believed of such a tree until they
    /// are there again.
    ///
    /// Errors: `CatalogueError`.
    pub fn is_whole(&self) -> Result<bool, CatalogueError> {
        let own = self.with_digests([])?.root;
        Ok(self.snapshot().is_none_or(|snapshot| snapshot.root == own))
    }

    /// What the tree becomes with these digests.
    ///
    /// Errors: `CatalogueError`.
    pub fn with_digests<'a>(
        &self,
        leaves: impl IntoIterator<Item = (&'a LeafKey, Option<Digest>)>,
    ) -> Result<TreeUpdate, CatalogueError> {
        self.with_volumes(leaves, &Volumes::new())
    }

    /// What the tree becomes with these digests, and with volumes that are
    /// bare then or no longer are.
    ///
    /// Errors: `CatalogueError`.
    pub fn with_volumes<'a>(
        &self,
        leaves: impl IntoIterator<Item = (&'a LeafKey, Option<Digest>)>,
        volumes: &Volumes,
    ) -> Result<TreeUpdate, CatalogueError> {
        update(Some(&self.db), leaves, volumes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::catalogue::leaf::RecordPlace;
    use crate::catalogue::value::LeafValue;
    use crate::seal::Seal;
    use hikae_protocol::tree::oracle_root;

    fn key() -> impl Strategy<Value = LeafKey> {
        ("[AB]/[LM]", prop::collection::vec("[a-c]{1,2}", 0..4)).prop_map(|(volume, parts)| {
            let mut path = vec![volume];
            path.extend(parts);
            LeafKey::parse(path.join("/").as_bytes()).unwrap()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// [S5-5] the incremental tree equals the slow one over any edits.
        #[test]
        fn agrees_with_the_oracle(is_sealed: bool, edits in prop::collection::vec(
            prop::collection::vec((key(), prop::option::of(any::<u8>())), 1..12), 1..6)) {
            let folder = tempfile::tempdir().unwrap();
            let seal = is_sealed.then(|| Arc::new(Seal::with_key([7; 16], [9; 32])));
            let db = Db::open(folder.path(), seal.as_ref()).unwrap();
            let mut oracle = BTreeMap::new();
            for (sequence, edit) in edits.into_iter().enumerate() {
                let changes: BTreeMap<LeafKey, Option<Digest>> = edit
                    .into_iter()
                    .map(|(key, value)| (key, value.map(|value| Digest::of_content(&[value]))))
                    .collect();
                let changed = changes.iter().map(|(key, digest)| (key, *digest));
                let found = update(Some(&db), changed, &Volumes::new()).unwrap();
                for (key, digest) in &changes {
                    let value = LeafValue {
                        digest: *digest,
                        sequence: sequence as u64,
                        commit: 0,
                        entries: digest.is_some().into(),
                        bytes: 0,
                        newest_bytes: 0,
                        lacking: 0,
                        bare: None,
                        place: RecordPlace { block: 1, index: 0 },
                    };
                    db.apply(&[(key.clone(), value)]).unwrap();
                    match digest {
                        Some(digest) => { oracle.insert(key.clone(), *digest); }
                        None => { oracle.remove(key); }
                    }
                }
                db.set_nodes(&found.nodes).unwrap();
                prop_assert_eq!(found.root, oracle_root(&oracle));
            }
        }
    }
}
