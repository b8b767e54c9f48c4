//! Repair of a store: what damage took is taken out of the index so that it
//! comes again, and segments are written anew without damaged places that
//! nothing needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{MutexGuard, PoisonError};

use hikae_protocol::digest::Digest;
use hikae_protocol::message::decode;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::{Pack, PackBuilder};
use serde::Serialize;

use super::CatalogueError;
use super::item::{LeafSummary, Unstage};
use super::leaf::{ContentPlace, RecordPlace};
use super::open::{Catalogue, LostRecord, RECORDS_LEVEL};
use super::records::Blocks;
use super::tree::{VolumeNode, Volumes};
use super::value::LeafValue;
use crate::progress::Monitor;
use crate::segment::{BlockKind, Damage};

/// What was healed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HealReport {
    /// Segments that were written anew without damaged places.
    pub segments_healed: u64,
    /// Blocks that were made again from where the same contents lie too.
    pub blocks_recovered: u64,
    /// Segments that were left as they are: a kept snapshot needs what is
    /// damaged there.
    pub segments_left: Vec<String>,
}

impl Catalogue {
    /// Takes out of the tree what can't be read of leaves: each is what its
    /// newest record was that can be, or is not there. The root tells, and the
    /// next pull brings the rest; the leaf's own history goes on from there.
    ///
    /// Errors: `CatalogueError`.
    pub fn forget_damaged(&self, keys: &[LeafKey]) -> Result<(), CatalogueError> {
        if keys.is_empty() {
            return Ok(());
        }
        let earlier = self.intact_records(keys)?;
        let digest = |key| earlier.get(key).and_then(|value: &LeafValue| value.digest);
        let mut volumes = Volumes::new();
        for key in keys {
            let node = match earlier.get(key).filter(|value| value.bare.is_some()) {
                Some(bare) => {
                    let summary = self.leaf_item(bare.place)?.summary;
                    VolumeNode::Bare(summary.bare.and_then(|bare| bare.node))
                }
                None if self.is_bare(key.as_bytes())? => VolumeNode::Open,
                None => continue,
            };
            volumes.insert(key.as_bytes().to_vec(), node);
        }
        let update = self.with_volumes(keys.iter().map(|key| (key, digest(key))), &volumes)?;
        let mut head = self.head.write().unwrap_or_else(PoisonError::into_inner);
        self.forget_volume_totals();
        for key in keys {
            let Some(value) = self.leaf(key)? else {
                continue;
            };
            let nothing = LeafValue {
                digest: None,
                entries: 0,
                bytes: 0,
                lacking: 0,
                bare: None,
                place: RecordPlace { block: 0, index: 0 },
                ..value
            };
            if let Some(digest) = value.digest.filter(|_| value.bare.is_none()) {
                let commit = value.commit;
                self.lost()
                    .insert(key.clone(), LostRecord { digest, commit });
            }
            let earlier = earlier.get(key);
            match earlier {
                Some(earlier) => self.db.apply(&[(key.clone(), *earlier)])?,
                None => self.db.forget_leaf(key.as_bytes(), &value)?,
            }
            if let Some(head) = head.as_mut() {
                head.totals
                    .replace(Some(&value), earlier.unwrap_or(&nothing));
            }
        }
        self.db.set_nodes(&update.nodes)
    }

    fn lost(&self) -> MutexGuard<'_, HashMap<LeafKey, LostRecord>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The commit from which on a leaf is what a record of it says that is
    /// staged for `commit`: that of a damaged record that said the same.
    pub(super) fn since(&self, key: &LeafKey, digest: Option<Digest>, commit: u64) -> u64 {
        match self.lost().remove(key) {
            Some(lost) if Some(lost.digest) == digest => lost.commit,
            _ => commit,
        }
    }

    /// Of some leaves the newest records that commits brought and that can be
    /// read, found in the log as a rebuild finds them.
    fn intact_records(
        &self,
        keys: &[LeafKey],
    ) -> Result<BTreeMap<LeafKey, LeafValue>, CatalogueError> {
        let wanted: BTreeSet<&LeafKey> = keys.iter().collect();
        let last = self.next_commit() - 1;
        let mut found: BTreeMap<LeafKey, Vec<LeafValue>> = BTreeMap::new();
        let mut ids: Vec<u64> = self.block_places().into_iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        for id in ids {
            let kind = self.block_kind(id);
            let is_asked = matches!(kind, Some(BlockKind::Leaves | BlockKind::Unstage));
            let Some(items) = self.items(id).ok().filter(|_| is_asked) else {
                continue;
            };
            if kind == Some(BlockKind::Unstage) {
                let dropped: Result<Unstage, _> = decode(items.get(0).unwrap_or_default());
                let Ok(Unstage { commit, keys }) = dropped else {
                    continue;
                };
                for (key, values) in &mut found {
                    if keys.is_empty() || keys.iter().any(|dropped| dropped == key.as_bytes()) {
                        values.retain(|value| value.commit != commit);
                    }
                }
                continue;
            }
            for index in 0.. {
                let Some(item) = items.get(index) else { break };
                let Ok(summary) = LeafSummary::parse(item) else {
                    continue;
                };
                if summary.commit <= last && wanted.contains(&summary.key) {
                    let (key, value) = LeafValue::of(summary, RecordPlace { block: id, index });
                    found.entry(key).or_default().push(value);
                }
            }
        }
        let is_intact = |value: &LeafValue| {
            let record = self.record(value.place);
            record.is_ok_and(|record| record.digest() == value.digest)
        };
        let newest = found.into_iter().filter_map(|(key, values)| {
            let newest = values.into_iter().rev().find(is_intact)?;
            Some((key, newest))
        });
        Ok(newest.collect())
    }

    /// Whether everything in the segments and the checkpoint is as it was
    /// written; names what is not.
    ///
    /// Errors: `CatalogueError` of the disk.
    pub fn damaged_files(&self) -> Result<Vec<String>, CatalogueError> {
        let mut damaged: Vec<String> = self
            .segments
            .damaged_headers()?
            .into_iter()
            .map(|path| format!("segment {}: its header is damaged", path.display()))
            .collect();
        if let Err(error) = super::checkpoint::check(&self.segments) {
            damaged.push(format!("checkpoint: {error}"));
        }
        Ok(damaged)
    }

    /// Whether a place of a segment that was found damaged still is.
    pub fn is_still_damaged(&self, damage: &Damage) -> bool {
        let numbers = self.segments.sealed().unwrap_or_default();
        let newest = self.log_end().segment;
        let mut numbers = numbers.into_iter().chain([newest]);
        let number = numbers.find(|number| self.segments.path(*number) == damage.path);
        let used = number.map(|number| self.segments.segment_use(number, |_| true));
        used.is_some_and(|used| used.is_ok_and(|used| used.is_damaged))
    }

    /// Writes damaged segments anew, without the damaged places, and the
    /// checkpoint. Where a kept snapshot needs what is damaged the segment is
    /// left. Nobody may stage or commit meanwhile.
    ///
    /// Errors: `CatalogueError`.
    pub fn heal(&self, monitor: &dyn Monitor) -> Result<HealReport, CatalogueError> {
        let mut report = HealReport::default();
        let Some(commit) = self.commit_record() else {
            return Ok(report);
        };
        let is_damaged = |number: u32| -> Result<bool, CatalogueError> {
            Ok(self.segments.segment_use(number, |_| true)?.is_damaged)
        };
        if is_damaged(self.log_end().segment)? {
            self.roll()?;
        }
        monitor.stage("heal segments", None);
        let oldest = self.commits()?.first().map_or(0, |(number, _)| *number);
        // None: what is needed can't be told.
        let lost = self.lost_blocks(oldest, monitor)?;
        let mut recovered = match &lost {
            Some(lost) => self.recovered(lost, oldest)?,
            None => BTreeMap::new(),
        };
        let mut touched = super::checkpoint::check(&self.segments).is_err();
        for number in self.segments.sealed()? {
            monitor.advance(1);
            if !is_damaged(number)? {
                continue;
            }
            let unreadable = self.unreadable(number);
            let is_needed = |id: &u64| match &lost {
                Some(lost) => lost.contains(id) && !recovered.contains_key(id),
                None => true,
            };
            let is_left = unreadable.iter().any(is_needed)
                // Of what the index does not know any more nobody can say where
                // it was.
                || lost.iter().flatten().any(|id| is_needed(id) && self.place(*id).is_err());
            if is_left {
                let path = self.segments.path(number);
                report.segments_left.push(path.display().to_string());
                continue;
            }
            if !touched {
                self.remove_checkpoint()?;
                touched = true;
            }
            let here: BTreeMap<u64, Pack> = recovered
                .extract_if(.., |id, _| {
                    unreadable.contains(id) || self.place(*id).is_err()
                })
                .collect();
            report.blocks_recovered += here.len() as u64;
            let dropped = unreadable.into_iter().filter(|id| !here.contains_key(id));
            let healed = self.segments.heal(number, dropped.collect(), &here)?;
            self.adopt(&healed)?;
            report.segments_healed += 1;
        }
        if touched {
            self.remove_checkpoint()?;
            if !self.has_staged() && report.segments_left.is_empty() {
                // What it was can be what is damaged.
                self.write_checkpoint(&commit)
                    .or_else(|error| self.replay_checkpoint(&commit).map_err(|_| error))?;
            }
        }
        Ok(report)
    }

    /// Blocks of a segment that can't be read.
    fn unreadable(&self, number: u32) -> Vec<u64> {
        let places = self.block_places().into_iter();
        places
            .filter(|(_, place)| place.segment == number && self.read_block(*place).is_err())
            .map(|(id, _)| id)
            .collect()
    }

    /// Blocks that a kept snapshot needs and that can't be read; none if that
    /// can't be told.
    fn lost_blocks(
        &self,
        oldest: u64,
        monitor: &dyn Monitor,
    ) -> Result<Option<BTreeSet<u64>>, CatalogueError> {
        let Ok(live) = self.live_blocks(oldest, monitor) else {
            return Ok(None);
        };
        let is_lost = |id: &u64| {
            self.place(*id)
                .map_or(true, |place| self.read_block(place).is_err())
        };
        let mut lost: BTreeSet<u64> = live.into_iter().filter(is_lost).collect();
        // Of a commit one copy is enough.
        for commit in self.db.commits() {
            let (_, (block, _)) = commit?;
            if !lost.contains(&block) || !lost.contains(&(block + 1)) {
                lost.remove(&block);
                lost.remove(&(block + 1));
            }
        }
        Ok(Some(lost))
    }

    /// Blocks of contents made again from where the same contents lie too.
    fn recovered(
        &self,
        lost: &BTreeSet<u64>,
        oldest: u64,
    ) -> Result<BTreeMap<u64, Pack>, CatalogueError> {
        let mut items: BTreeMap<u64, BTreeMap<u32, Option<Vec<u8>>>> = BTreeMap::new();
        let leaves = match lost.is_empty() {
            true => vec![],
            false => self.view().leaves_below(&[])?,
        };
        for (_, value) in leaves {
            let newest = self.record(value.place)?;
            let mut held = newest.held();
            held.retain(|_, place| !matches!(place, ContentPlace::Item { block, .. } if lost.contains(block)));
            let mut record = newest;
            loop {
                for file in record.files.iter().chain(&record.standins) {
                    let ContentPlace::Item { block, index } = file.content else {
                        continue;
                    };
                    if lost.contains(&block) {
                        let found = held.get(&file.entry.digest);
                        let content = found.and_then(|place| {
                            let length = u32::try_from(file.entry.size).ok()?;
                            self.content_range(*place, 0, length).ok()
                        });
                        items.entry(block).or_default().insert(index, content);
                    }
                }
                match record.previous {
                    Some(previous) if record.commit > oldest => record = self.record(previous)?,
                    _ => break,
                }
            }
        }
        let mut recovered = BTreeMap::new();
        for (block, items) in items {
            let mut pack = PackBuilder::default();
            let last = items.keys().last().copied().unwrap_or(0);
            let mut is_whole = true;
            for index in 0..=last {
                match items.get(&index) {
                    Some(Some(content)) => drop(pack.push(content)),
                    Some(None) => is_whole = false,
                    // Nobody needs it.
                    None => drop(pack.push(&[])),
                }
            }
            if is_whole {
                let pack = pack.finish(RECORDS_LEVEL).map_err(CatalogueError::Pack)?;
                recovered.insert(block, pack);
            }
        }
        Ok(recovered)
    }
}
