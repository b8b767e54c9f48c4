//! The tree as lists: what two nodes compare.

use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::tree::{Child, ChildKind, name_in_parent};

use super::CatalogueError;
use super::value::LeafValue;
use super::view::View;

impl View<'_> {
    /// The children of the node at `path` (empty: the root), sorted by name
    /// and kind.
    ///
    /// Errors: `CatalogueError`.
    pub fn children(&self, path: &[u8]) -> Result<Vec<Child>, CatalogueError> {
        let mut children = Vec::new();
        for kind in [ChildKind::Leaf, ChildKind::Node] {
            for (child, digest) in self.db().children(path, kind)? {
                let name = name_in_parent(&child).to_vec();
                children.extend(digest.map(|digest| Child { kind, name, digest }));
            }
        }
        children.sort_unstable_by(|one, two| (&one.name, one.kind).cmp(&(&two.name, two.kind)));
        Ok(children)
    }

    /// The leaves with entries below a path, in canonical order; none if there
    /// are more than `most`.
    ///
    /// Errors: `CatalogueError`.
    pub fn few_leaves_below(
        &self,
        path: &[u8],
        most: usize,
    ) -> Result<Option<Vec<(LeafKey, LeafValue)>>, CatalogueError> {
        let mut leaves = Vec::new();
        for leaf in self.db().leaves_below(path) {
            let (key, value) = leaf?;
            if value.entries == 0 || value.bare.is_some() || key.as_bytes() == path {
                continue;
            }
            if leaves.len() == most {
                return Ok(None);
            }
            leaves.push((key, value));
        }
        leaves.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        Ok(Some(leaves))
    }
}
