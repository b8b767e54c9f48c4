//! Counting: from the node's own commits to what each did to each volume.

use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::objectpath::LeafKey;
use rayon::prelude::*;

use super::volume::{Limits, Pinned, Step, WINDOW_MS};
use super::{Guard, GuardError};
use crate::catalogue::{Catalogue, CatalogueError, LeafRecord};
use crate::progress::Monitor;
use crate::publish::suspects;
use crate::ssmix::record_of;

/// By commit and volume.
type Steps = BTreeMap<(u64, Vec<u8>), Step>;

impl Guard {
    /// A guard that has counted up to the last commit before the last days, or
    /// to the first that is kept.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn at_begin(catalogue: &Catalogue) -> Result<Guard, CatalogueError> {
        let commits = catalogue.commits()?;
        let (Some(first), Some(last)) = (commits.first(), commits.last()) else {
            return Ok(Guard::default());
        };
        let since = last.1.saturating_sub(WINDOW_MS);
        let before = commits.iter().take_while(|(_, at_ms)| *at_ms <= since);
        let counted = match before.last() {
            Some((number, _)) => *number,
            // Before the first commit there was nothing.
            None if first.0 == 1 => 0,
            None => first.0,
        };
        let mut guard = Guard {
            counted,
            ..Guard::default()
        };
        if counted > 0 {
            for (key, value) in catalogue.leaves_at(counted, &[])? {
                let volume = guard.volumes.entry(key.volume().to_vec()).or_default();
                volume.entries += value.entries;
            }
        }
        Ok(guard)
    }

    /// Counts the commits that came since; says whether there were any.
    ///
    /// Errors: `GuardError`.
    pub(super) fn count(
        &mut self,
        catalogue: &Catalogue,
        limits: &Limits,
        monitor: &dyn Monitor,
    ) -> Result<bool, GuardError> {
        let Some(head) = catalogue.commit_record() else {
            return Ok(false);
        };
        if self.counted >= head.number {
            return Ok(false);
        }
        let keys = catalogue.committed_since(self.counted)?;
        monitor.stage("guard", Some(keys.len() as u64));
        let counted: Result<Vec<Steps>, CatalogueError> = keys
            .par_chunks(64)
            .map(|keys| {
                let mut steps = Steps::new();
                for key in keys {
                    let volume = self.volumes.get(key.volume());
                    let pins = volume.map_or(&[][..], |volume| &volume.pins);
                    leaf_steps(catalogue, (key, pins), self.counted, &mut steps)?;
                    monitor.advance(1);
                }
                Ok(steps)
            })
            .collect();
        let mut all = Steps::new();
        for steps in counted? {
            for (place, step) in steps {
                all.entry(place).or_default().add(step);
            }
        }
        let times: BTreeMap<u64, i64> = catalogue.commits()?.into_iter().collect();
        for ((commit, volume), mut step) in all {
            step.commit = commit;
            step.at_ms = times.get(&commit).copied().unwrap_or(head.accepted_ms);
            let volume = self.volumes.entry(volume).or_default();
            volume.count(step, limits);
        }
        self.counted = head.number;
        Ok(true)
    }
}

/// What the commits after `counted` did to a leaf.
fn leaf_steps(
    catalogue: &Catalogue,
    (key, pins): (&LeafKey, &[Pinned]),
    counted: u64,
    steps: &mut Steps,
) -> Result<(), CatalogueError> {
    let Some(newest) = catalogue.leaf(key)? else {
        return Ok(());
    };
    // What the node's own filter leaves out is no attack.
    let is_bare = catalogue.is_bare(key.volume())?;
    if newest.commit == 1 {
        // Everything is new.
        let step = steps.entry((1, key.volume().to_vec())).or_default();
        step.entries += match is_bare {
            true => 0,
            false => newest.entries as i64,
        };
        return Ok(());
    }
    let mut new = catalogue.record(newest.place)?;
    let rejected = rejected(catalogue, &new, pins)?;
    while new.commit > counted {
        let old = match new.previous {
            Some(previous) => catalogue.record(previous)?,
            None => LeafRecord::empty(key.clone()),
        };
        let place = (new.commit, key.volume().to_vec());
        let step = steps.entry(place).or_default();
        step.entries += new.files.len() as i64 - old.files.len() as i64;
        if !old.files.is_empty() && !is_bare {
            let changes = suspects(catalogue, &old, &new)?.into_iter();
            for change in changes.filter(|change| !rejected.contains(&change.group)) {
                for suspect in change.suspects {
                    let path = format!("{}/{}", key.text(), suspect.path.text());
                    let is_record = record_of(suspect.path.as_bytes()).is_some();
                    step.suspect(&path, suspect.suspicion, is_record);
                }
            }
        }
        new = old;
    }
    Ok(())
}

/// The records of a leaf that a person rejected. The tree shows them as they
/// were, so what becomes of them, a repair first of all, is no attack on it.
fn rejected(
    catalogue: &Catalogue,
    newest: &LeafRecord,
    pins: &[Pinned],
) -> Result<BTreeSet<Vec<u8>>, CatalogueError> {
    let mut groups = BTreeSet::new();
    for Pinned { pin, .. } in pins {
        let good = catalogue.record_as_of(newest, pin.good)?;
        let bad = catalogue.record_as_of(newest, pin.bad)?;
        if let (Some(good), Some(bad)) = (good, bad) {
            let all = suspects(catalogue, &good, &bad)?.into_iter();
            let all = all.filter(|change| !change.suspects.is_empty());
            groups.extend(all.map(|change| change.group));
        }
    }
    Ok(groups)
}
