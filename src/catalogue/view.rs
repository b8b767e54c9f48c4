//! What the catalogue says: the last commit, leaves of the tree and staged
//! ones.

use std::sync::{PoisonError, RwLockReadGuard};

use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::Snapshot;
use hikae_protocol::tree::ChildKind;

use super::CatalogueError;
use super::commit::{Commit, Totals};
use super::db::Db;
use super::leaf::LeafRecord;
use super::open::{Catalogue, Head};
use super::value::LeafValue;

/// Levels of the tree are read by kind.
const KINDS: [ChildKind; 2] = [ChildKind::Leaf, ChildKind::Node];

/// Holds the tree still while it is read.
pub struct View<'a> {
    catalogue: &'a Catalogue,
    head: RwLockReadGuard<'a, Option<Head>>,
}

impl Catalogue {
    /// The tree, held still until the view is dropped.
    pub fn view(&self) -> View<'_> {
        View {
            catalogue: self,
            head: self.head.read().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// The last commit.
    pub fn commit_record(&self) -> Option<Commit> {
        self.view().head.as_ref().map(|head| head.commit.clone())
    }

    /// What the last commit's snapshot says.
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.view().head.as_ref().map(|head| head.snapshot.clone())
    }

    /// Counts of the last commit's tree.
    pub(super) fn totals(&self) -> Totals {
        let view = self.view();
        let totals = view.head.as_ref().map(|head| head.totals);
        totals.unwrap_or_default()
    }

    /// A leaf of the tree.
    ///
    /// Errors: `CatalogueError`.
    pub fn leaf(&self, key: &LeafKey) -> Result<Option<LeafValue>, CatalogueError> {
        self.db.leaf(key.as_bytes())
    }

    /// A staged leaf.
    ///
    /// Errors: `CatalogueError`.
    pub fn staged(&self, key: &LeafKey) -> Result<Option<LeafValue>, CatalogueError> {
        self.db.staged(key.as_bytes())
    }

    /// The names directly below a directory of a volume (`facility/label` or
    /// deeper) at which the tree has leaves.
    ///
    /// Errors: `CatalogueError`.
    pub fn names_below(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, CatalogueError> {
        let mut names = Vec::new();
        for kind in KINDS {
            for (child, digest) in self.db.children(path, kind)? {
                if digest.is_some() {
                    names.push(hikae_protocol::tree::name_in_parent(&child).to_vec());
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The record of a leaf of the tree.
    ///
    /// Errors: `CatalogueError`.
    pub fn leaf_record(&self, key: &LeafKey) -> Result<Option<LeafRecord>, CatalogueError> {
        let value = self.leaf(key)?;
        value.map(|value| self.record(value.place)).transpose()
    }

    /// The number of the last commit; 0 if there is none.
    pub fn last_commit(&self) -> u64 {
        self.view().head.as_ref().map_or(0, |head| head.number)
    }

    /// The number that the next commit gets.
    pub fn next_commit(&self) -> u64 {
        self.last_commit() + 1
    }

    /// Every staged leaf, in canonical order.
    ///
    /// Errors: `CatalogueError`.
    pub fn all_staged(&self) -> impl Iterator<Item = Result<(LeafKey, LeafValue), CatalogueError>> {
        self.db.all_staged()
    }

    /// Whether any leaf is staged.
    pub fn has_staged(&self) -> bool {
        self.db.has_staged()
    }

    /// Leaves that the node's own commits after `number` brought, in canonical
    /// order.
    ///
    /// Errors: `CatalogueError`.
    pub fn committed_since(&self, number: u64) -> Result<Vec<LeafKey>, CatalogueError> {
        Ok(self.db.committed_since(number)?.into_iter().collect())
    }

    /// Leaves of the tree with contents that the source could not hand out,
    /// in canonical order.
    ///
    /// Errors: `CatalogueError`.
    pub fn lacking(&self) -> Result<Vec<LeafKey>, CatalogueError> {
        Ok(self.db.lacking()?.into_iter().collect())
    }
}

impl View<'_> {
    pub(super) fn db(&self) -> &Db {
        &self.catalogue.db
    }

    pub(super) fn catalogue(&self) -> &Catalogue {
        self.catalogue
    }

    /// The last commit and its snapshot.
    pub fn head(&self) -> Option<(&Commit, &Snapshot)> {
        self.head
            .as_ref()
            .map(|head| (&head.commit, &head.snapshot))
    }

    /// Leaves that changed after the signer's commit `sequence`, in canonical
    /// order. Numbers beyond the last commit's are of an earlier epoch: such
    /// leaves did not change in this one.
    ///
    /// Errors: `CatalogueError`.
    pub fn changed_since(
        &self,
        sequence: u64,
    ) -> Result<Vec<(LeafKey, LeafValue)>, CatalogueError> {
        let last = self
            .head()
            .map_or(0, |(_, snapshot)| snapshot.cursor.sequence);
        let mut leaves = Vec::new();
        for key in self.catalogue.db.changed_since(sequence)? {
            let value = self.catalogue.leaf(&key)?;
            leaves.extend(
                value
                    .filter(|value| value.sequence > sequence && value.sequence <= last)
                    .map(|value| (key, value)),
            );
        }
        Ok(leaves)
    }

    /// Every leaf at or below a path (`facility/label…`; empty: all), in
    /// canonical order; those without entries too.
    ///
    /// Errors: `CatalogueError`.
    pub fn leaves_below(&self, path: &[u8]) -> Result<Vec<(LeafKey, LeafValue)>, CatalogueError> {
        self.each_leaf_below(path).collect()
    }

    /// The same, one after the other.
    pub fn each_leaf_below(
        &self,
        path: &[u8],
    ) -> impl Iterator<Item = Result<(LeafKey, LeafValue), CatalogueError>> {
        self.catalogue.db.leaves_below(path)
    }
}
