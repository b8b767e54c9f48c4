//! From looks at the storage to staged leaf records.

use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::objectpath::{LeafKey, PathText};

use super::leftout::LeftOutList;
use super::report::RefreshReport;
use super::volumes::VolumeRoot;
use super::{Center, CenterError};
use crate::catalogue::{FileRecord, LeafRecord};
use crate::disk::join;
use crate::progress::Monitor;
use crate::walk::{LeafLook, LeftOut, LeftOutReason};

/// Leaf records staged together.
const STAGE_LEAVES: usize = 512;

/// Takes looks and makes leaf records of them.
pub(super) struct Taker<'a> {
    pub(super) center: &'a Center,
    pub(super) volume: &'a VolumeRoot,
    pub(super) sequence: u64,
    /// By leaf: several looks may be at one leaf.
    pub(super) staged: BTreeMap<LeafKey, LeafRecord>,
    pub(super) again: BTreeMap<LeafKey, BTreeSet<Vec<u8>>>,
    pub(super) left_out: LeftOutList,
    /// Everything is looked at.
    pub(super) whole: bool,
    pub(super) missed: Vec<Vec<u8>>,
    pub(super) report: &'a mut RefreshReport,
    pub(super) monitor: &'a dyn Monitor,
}

impl Taker<'_> {
    pub(super) fn take(&mut self, mut look: LeafLook) -> Result<(), CenterError> {
        self.monitor
            .advance(look.counts.files_compared + look.counts.files_read);
        match self.volume.is_registry() {
            true => self.report.registry.add(&look.counts),
            false => self.report.counts.add(&look.counts),
        }
        let (changed, restated) = (look.is_changed(), !look.restated.is_empty());
        if !look.again.is_empty() {
            self.again
                .entry(look.key.clone())
                .or_default()
                .extend(std::mem::take(&mut look.again));
        }
        self.leave_out(&mut look);
        self.missed.append(&mut look.missed);
        if !changed && !restated {
            return Ok(());
        }
        let mut record = self.record(&look.key)?;
        // Another look of this refresh may have found the same.
        look.added.retain(|new| {
            let known = record.file(&new.entry.path);
            known.is_none_or(|known| known.entry != new.entry)
        });
        look.removed.retain(|path| record.file(path).is_some());
        let changed = changed && look.is_changed();
        if changed {
            self.report.leaves_changed += 1;
            self.report.files_added += look.added.len() as u64;
            self.report.files_removed += look.removed.len() as u64;
            let sequence = self.sequence;
            let added = look
                .added
                .into_iter()
                .map(|file| FileRecord { sequence, ..file });
            record.change(&look.removed, added.collect(), sequence);
        }
        for restated in look.restated {
            if let Some(file) = record.file_mut(&restated.entry.path) {
                file.stat = restated.stat;
            }
        }
        self.staged.insert(look.key, record);
        match self.staged.len() >= STAGE_LEAVES {
            true => self.stage(),
            false => Ok(()),
        }
    }

    fn leave_out(&mut self, look: &mut LeafLook) {
        let text = |path: &[u8]| PathText::new(&join(look.key.as_bytes(), path)).to_string();
        for directory in &look.empty {
            let item = LeftOut {
                path: text(directory),
                reason: LeftOutReason::Empty,
            };
            self.left_out.add(item, self.whole);
        }
        if !self.whole {
            for file in &look.added {
                self.left_out
                    .holds_something(&text(file.entry.path.as_bytes()));
            }
        }
        for item in std::mem::take(&mut look.left_out) {
            self.left_out.add(item, self.whole);
        }
    }

    fn record(&mut self, key: &LeafKey) -> Result<LeafRecord, CenterError> {
        if let Some(record) = self.staged.remove(key) {
            return Ok(record);
        }
        let catalogue = &self.center.catalogue;
        let value = match catalogue.staged(key)? {
            Some(value) => Some(value),
            None => catalogue.leaf(key)?,
        };
        Ok(match value {
            Some(value) => catalogue.record(value.place)?,
            None => LeafRecord::empty(key.clone()),
        })
    }

    pub(super) fn stage(&mut self) -> Result<(), CenterError> {
        Ok(self
            .center
            .catalogue
            .stage(std::mem::take(&mut self.staged).into_values().collect())?)
    }
}
