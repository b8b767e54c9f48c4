//! Bare volumes of the tree, and what there is in each volume: what a source
//! tells of volumes that a peer may not have or does not want.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use hikae_protocol::bare::BareVolume;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::tree::ChildKind;

use super::CatalogueError;
use super::commit::Totals;
use super::open::Catalogue;
use super::view::View;

impl Catalogue {
    /// Whether nothing but digest and counts is known of a volume.
    ///
    /// Errors: `CatalogueError`.
    pub fn is_bare(&self, volume: &[u8]) -> Result<bool, CatalogueError> {
        let value = self.db.leaf(volume)?;
        Ok(value.is_some_and(|value| value.bare.is_some()))
    }

    fn volume_totals(&self) -> MutexGuard<'_, Option<BTreeMap<Vec<u8>, Totals>>> {
        let totals = self.volume_totals.lock();
        totals.unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the counts by volume up to date, before what is staged is the tree.
    pub(super) fn count_staged(&self) -> Result<(), CatalogueError> {
        let mut totals = self.volume_totals();
        let Some(totals) = totals.as_mut() else {
            return Ok(());
        };
        for leaf in self.db.all_staged() {
            let (key, value) = leaf?;
            let volume = totals.entry(key.volume().to_vec()).or_default();
            volume.replace(self.leaf(&key)?.as_ref(), &value);
        }
        Ok(())
    }

    pub(super) fn forget_volume_totals(&self) {
        *self.volume_totals() = None;
    }
}

impl View<'_> {
    /// The volumes of the tree, in canonical order.
    ///
    /// Errors: `CatalogueError`.
    pub fn volumes(&self) -> Result<Vec<LeafKey>, CatalogueError> {
        let mut volumes = BTreeSet::new();
        for kind in [ChildKind::Leaf, ChildKind::Node] {
            for (path, digest) in self.db().children(b"", kind)? {
                if let (Ok(key), Some(_)) = (LeafKey::parse(&path), digest) {
                    volumes.insert(key);
                }
            }
        }
        Ok(volumes.into_iter().collect())
    }

    /// The volumes of which nothing else is known, in canonical order.
    ///
    /// Errors: `CatalogueError`.
    pub fn bare_volumes(&self) -> Result<Vec<BareVolume>, CatalogueError> {
        let mut bare = Vec::new();
        for volume in self.volumes()? {
            if self.catalogue().is_bare(volume.as_bytes())? {
                bare.extend(self.volume_as_bare(&volume)?);
            }
        }
        Ok(bare)
    }

    /// Digests and counts of a volume, whatever else is known of it; none of
    /// one that is not in the tree.
    ///
    /// Errors: `CatalogueError`.
    pub fn volume_as_bare(&self, volume: &LeafKey) -> Result<Option<BareVolume>, CatalogueError> {
        let own = self.db().leaf(volume.as_bytes())?;
        let leaf = own.and_then(|own| own.digest);
        let node = self.db().node(volume.as_bytes())?;
        if leaf.is_none() && node.is_none() {
            return Ok(None);
        }
        let totals = match own.and_then(|own| Some((own, own.bare?))) {
            Some((own, leaves)) => Totals {
                leaves: leaves.get(),
                entries: own.entries,
                bytes: own.bytes,
            },
            None => self.totals_of(volume)?,
        };
        Ok(Some(BareVolume {
            volume: volume.clone(),
            leaf,
            node,
            leaves: totals.leaves,
            entries: totals.entries,
            bytes: totals.bytes,
        }))
    }

    /// Counts of a volume: of all volumes they are found once, and kept.
    fn totals_of(&self, volume: &LeafKey) -> Result<Totals, CatalogueError> {
        let mut known = self.catalogue().volume_totals();
        if known.is_none() {
            let mut all: BTreeMap<Vec<u8>, Totals> = BTreeMap::new();
            for leaf in self.db().leaves_below(b"") {
                let (key, value) = leaf?;
                let totals = all.entry(key.volume().to_vec()).or_default();
                totals.replace(None, &value);
            }
            *known = Some(all);
        }
        let known = known
            .as_ref()
            .and_then(|known| known.get(volume.as_bytes()));
        Ok(known.copied().unwrap_or_default())
    }
}
