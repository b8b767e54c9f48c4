//! Looking back: which commits are kept, and what the tree was at each.
//!
//! Every record of a leaf names the one before it, so a leaf as of a commit is
//! found by going back from the newest. Nothing is kept for this alone.

use hikae_protocol::digest::Digest;
use hikae_protocol::message::decode;
use hikae_protocol::objectpath::LeafKey;

use super::CatalogueError;
use super::commit::Commit;
use super::leaf::LeafRecord;
use super::open::Catalogue;
use super::records::Blocks;
use super::replay::wrong;
use super::tree::{VolumeNode, Volumes};
use super::value::LeafValue;

impl Catalogue {
    /// The node's own commit `number`; none if it is forgotten, or was never
    /// made.
    ///
    /// Errors: `CatalogueError` if both of its copies are damaged.
    pub fn commit_numbered(&self, number: u64) -> Result<Option<Commit>, CatalogueError> {
        let Some(block) = self.db.commit_block(number)? else {
            return Ok(None);
        };
        // Its second copy follows it.
        let read = self.commit_in(block);
        read.or_else(|error| self.commit_in(block + 1).map_err(|_| error))
            .map(Some)
    }

    fn commit_in(&self, block: u64) -> Result<Commit, CatalogueError> {
        let items = self.items(block)?;
        decode(items.get(0).unwrap_or_default()).map_err(|source| wrong(block, 0, "commit", source))
    }

    /// What a leaf that is `newest` now was at commit `number`; none if it was
    /// not known yet. All commits from there on have to be kept.
    ///
    /// Errors: `CatalogueError`.
    pub fn leaf_at(
        &self,
        newest: LeafValue,
        number: u64,
    ) -> Result<Option<LeafValue>, CatalogueError> {
        if newest.commit <= number {
            return Ok(Some(newest));
        }
        let mut item = self.leaf_item(newest.place)?;
        while let Some(place) = item.previous {
            item = self.leaf_item(place)?;
            if item.summary.commit <= number {
                return Ok(Some(LeafValue::of(item.summary, place).1));
            }
        }
        Ok(None)
    }

    /// Whether nothing was known of a volume but its digest at commit `number`.
    ///
    /// Errors: `CatalogueError`.
    pub fn is_bare_at(&self, volume: &LeafKey, number: u64) -> Result<bool, CatalogueError> {
        let Some(newest) = self.leaf(volume)? else {
            return Ok(false);
        };
        let then = self.leaf_at(newest, number)?;
        Ok(then.is_some_and(|then| then.bare.is_some()))
    }

    /// The record of a leaf as of commit `number`, given the newest.
    ///
    /// Errors: `CatalogueError`.
    pub fn record_as_of(
        &self,
        newest: &LeafRecord,
        number: u64,
    ) -> Result<Option<LeafRecord>, CatalogueError> {
        // What came before the first commit is nothing; what led there may be
        // forgotten.
        if number == 0 {
            return Ok(None);
        }
        let mut record = newest.clone();
        while record.commit > number {
            let Some(previous) = record.previous else {
                return Ok(None);
            };
            record = self.record(previous)?;
        }
        Ok(Some(record))
    }

    /// The leaves that had entries at commit `number`, at or below a path, in
    /// canonical order.
    ///
    /// Errors: `CatalogueError`.
    pub fn leaves_at(
        &self,
        number: u64,
        below: &[u8],
    ) -> Result<Vec<(LeafKey, LeafValue)>, CatalogueError> {
        self.leaves_told_at(number, below, |_, error| Err(error))
    }

    /// The same; a leaf whose records can't be read back to there is told to
    /// `lost`, and left away.
    ///
    /// Errors: `CatalogueError`, and what `lost` returns.
    pub fn leaves_told_at(
        &self,
        number: u64,
        below: &[u8],
        mut lost: impl FnMut(&LeafKey, CatalogueError) -> Result<(), CatalogueError>,
    ) -> Result<Vec<(LeafKey, LeafValue)>, CatalogueError> {
        let newest = self.view().leaves_below(below)?;
        let mut leaves = Vec::with_capacity(newest.len());
        for (key, value) in newest {
            match self.leaf_at(value, number) {
                Ok(Some(value)) if value.entries > 0 && value.bare.is_none() => {
                    leaves.push((key, value))
                }
                Ok(_) => {}
                Err(error) => lost(&key, error)?,
            }
        }
        Ok(leaves)
    }

    /// The root over the leaves as they were at commit `number`.
    ///
    /// Errors: `CatalogueError`.
    pub fn root_at(&self, number: u64) -> Result<Digest, CatalogueError> {
        let _still = self.view();
        let mut changed = Vec::new();
        let mut volumes = Volumes::new();
        for key in self.committed_since(number)? {
            let newest = self.leaf(&key)?;
            let then = newest.map(|newest| self.leaf_at(newest, number));
            let then = then.transpose()?.flatten();
            let was_bare = then.and_then(|then| then.bare.map(|_| then.place));
            if let Some(place) = was_bare {
                let bare = self.leaf_item(place)?.summary.bare;
                let node = bare.and_then(|bare| bare.node);
                volumes.insert(key.as_bytes().to_vec(), VolumeNode::Bare(node));
            } else if newest.is_some_and(|newest| newest.bare.is_some()) {
                volumes.insert(key.as_bytes().to_vec(), VolumeNode::Open);
            }
            changed.push((key, then.and_then(|then| then.digest)));
        }
        let changed = changed.iter().map(|(key, digest)| (key, *digest));
        Ok(self.with_volumes(changed, &volumes)?.root)
    }
}
