//! From what was proven to what is asked for: leaves to fetch, staged leaves
//! that lack contents, and what is staged at once because nothing of it has to
//! come.

use hikae_protocol::limits::HELD_MAX;
use hikae_protocol::message::LeafProof;
use hikae_protocol::objectpath::LeafKey;

use super::proof::Proven;
use super::replica::Round;
use super::report::{PullError, PullReport};
use crate::catalogue::{LeafRecord, LeafValue};
use crate::plan::WantedLeaf;

/// What is to be asked for. A first copy wants every leaf that was proven: of
/// each there is only which it is.
pub(super) struct Wants<'a> {
    proven: &'a Proven,
    fetched: Vec<Fetched>,
    /// Leaves that are staged and lack contents.
    pub(super) unfinished: Vec<LeafKey>,
}

/// A proven leaf that is to be fetched.
struct Fetched {
    /// Its place among the proven.
    at: u32,
    /// Contents of it that are named as held.
    held: u16,
    /// It is asked for as a delta from the state that is held.
    delta: bool,
}

impl<'a> Wants<'a> {
    /// How many leaves.
    pub(super) fn len(&self) -> usize {
        self.fetched.len() + self.unfinished.len()
    }

    /// The leaves to fetch, in canonical order.
    pub(super) fn leaves(&self) -> impl Iterator<Item = WantedLeaf> + use<'_, 'a> {
        self.fetched.iter().filter_map(|fetched| {
            let leaf = self.proven.leaves.get(fetched.at as usize)?;
            let base = self.proven.base.filter(|_| fetched.delta);
            Some(WantedLeaf {
                held: usize::from(fetched.held),
                ..WantedLeaf::new(leaf, leaf.digest?, base)
            })
        })
    }
}

impl Round<'_> {
    /// The leaves to fetch, and those that are staged and lack contents; what
    /// left the tree is staged as empty.
    pub(super) fn wanted<'a>(
        &self,
        proven: &'a Proven,
        report: &mut PullReport,
    ) -> Result<Wants<'a>, PullError> {
        self.drop_staged(proven)?;
        self.stage_volumes(proven)?;
        let (mut fetched, mut unfinished) = (Vec::new(), Vec::new());
        let mut emptied = Vec::new();
        for (at, leaf) in (0..).zip(&proven.leaves) {
            let held = self.catalogue.leaf(&leaf.key)?;
            let held = held.filter(|held| held.bare.is_none());
            if held.and_then(|held| held.digest) == leaf.digest {
                continue;
            }
            report.leaves += 1;
            let staged = self.catalogue.staged(&leaf.key)?;
            let entries = |value: Option<LeafValue>| value.map_or(0, |value| value.entries);
            if let Some(staged) = staged.filter(|staged| is_of(staged, leaf)) {
                report.leaves_resumed += 1;
                if staged.lacking > 0 {
                    unfinished.push(leaf.key.clone());
                }
                continue;
            }
            match leaf.digest {
                None => emptied.push(self.emptied(leaf)?),
                Some(_) => {
                    let delta = proven.base.is_some() && held.is_some();
                    let known = match delta {
                        true => entries(staged),
                        false => entries(held) + entries(staged),
                    };
                    let named = match self.adoptable {
                        Some(_) => HELD_MAX,
                        None => HELD_MAX.min(known as usize),
                    };
                    fetched.push(Fetched {
                        at,
                        held: named as u16,
                        delta,
                    });
                }
            }
        }
        report.leaves_removed += emptied.len() as u64;
        self.catalogue.stage(emptied)?;
        Ok(Wants {
            proven,
            fetched,
            unfinished,
        })
    }

    /// Drops what was staged for another state, but for leaves that are to be
    /// staged anew: of those it tells which contents are there.
    fn drop_staged(&self, proven: &Proven) -> Result<(), PullError> {
        let mut wrong = Vec::new();
        for leaf in self.catalogue.all_staged() {
            let (key, value) = leaf?;
            let held = self.catalogue.leaf(&key)?;
            let was_bare = held.is_some_and(|held| held.bare.is_some());
            let held = held.and_then(|held| held.digest);
            let is_right = match proven.leaf(&key) {
                // These are staged anew.
                _ if value.bare.is_some() => false,
                Some(proof) if was_bare => is_of(&value, proof),
                Some(proof) => is_of(&value, proof) || held != proof.digest,
                None => held == value.digest && !was_bare,
            };
            if !is_right {
                wrong.push(key);
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Ok(self.catalogue.unstage(&wrong)?),
        }
    }

    /// Stages what is bare, and what no longer is.
    fn stage_volumes(&self, proven: &Proven) -> Result<(), PullError> {
        let own = self.catalogue.view().bare_volumes()?;
        let bare = proven.volumes.bare.iter();
        let changed = bare.filter(|bare| !own.contains(bare));
        let mut records: Vec<LeafRecord> = changed
            .map(|bare| LeafRecord::bare(bare.clone(), self.to.sequence))
            .collect();
        for volume in &proven.volumes.opened {
            if proven
                .leaf(volume)
                .is_none_or(|proof| proof.digest.is_none())
            {
                records.push(LeafRecord::left_out(volume.clone(), self.to.sequence));
            }
        }
        Ok(self.catalogue.stage(records)?)
    }

    fn emptied(&self, leaf: &LeafProof) -> Result<LeafRecord, PullError> {
        let old = self.catalogue.leaf_record(&leaf.key)?;
        let mut record = old.unwrap_or_else(|| LeafRecord::empty(leaf.key.clone()));
        let paths: Vec<_> = record
            .files
            .iter()
            .map(|file| file.entry.path.clone())
            .collect();
        record.change(&paths, vec![], leaf.sequence);
        Ok(record)
    }
}

/// Whether what is staged is what was proven.
fn is_of(staged: &LeafValue, proof: &LeafProof) -> bool {
    staged.digest == proof.digest && staged.sequence == proof.sequence
}
