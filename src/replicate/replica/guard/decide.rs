//! The guard at work in a replica: what the tree is let show, what a person
//! decides.

use serde::{Deserialize, Serialize};

use super::super::{Replica, ReplicaError};
use super::{Guard, HeldVolume, Limits};
use crate::catalogue::Catalogue;
use crate::progress::{Monitor, Silent};
use crate::publish::{Behind, Pin, PublishError, PublishReport, Target, Targets, publish};

/// Of which volume a person decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionOptions {
    /// Facility and label.
    pub volume: String,
    /// The last held snapshot that the person saw.
    pub snapshot: Option<u64>,
}

/// What came of a decision.
#[derive(Debug, Clone, Serialize)]
pub struct DecisionReport {
    /// Facility and label.
    pub volume: String,
    /// What was published; none without a tree.
    pub publish: Option<PublishReport>,
    /// What is held or rejected now.
    pub held: Vec<HeldVolume>,
}

/// What the tree was let show.
#[derive(Default)]
pub(in crate::replicate::replica) struct Shown {
    pub publish: Option<PublishReport>,
    pub held: Vec<HeldVolume>,
}

/// What the tree shows of each volume, when nothing is due.
#[derive(Default)]
pub(in crate::replicate::replica) struct ShownVolumes {
    behind: Behind,
    targets: Targets,
}

impl ShownVolumes {
    /// The commit that the tree shows of a volume, given one of which it would
    /// show all, and what is pinned.
    pub(in crate::replicate::replica) fn of(&self, volume: &[u8], newest: u64) -> (u64, &[Pin]) {
        let commit = self.behind.get(volume).copied().unwrap_or(newest);
        let pins = self
            .targets
            .get(volume)
            .map_or(&[][..], |Target { pins, .. }| pins);
        (commit, pins)
    }
}

impl Replica {
    fn limits(&self) -> Limits {
        let guard = &self.config().guard;
        Limits {
            share: guard.share,
            records: guard.records.get(),
            in_place: guard.in_place.get(),
        }
    }

    /// Volumes of which the tree shows an older commit.
    fn behind(&self) -> Result<Behind, PublishError> {
        match self.published()? {
            Some(mark) => mark.behind(&self.catalogue),
            None => Ok(Behind::new()),
        }
    }

    fn guard(&self, monitor: &dyn Monitor) -> Result<Guard, ReplicaError> {
        let behind = self.behind()?;
        Ok(Guard::load(
            &self.catalogue,
            &self.limits(),
            &behind,
            monitor,
        )?)
    }

    /// What is held or rejected.
    ///
    /// Errors: `ReplicaError`.
    pub fn held(&self) -> Result<Vec<HeldVolume>, ReplicaError> {
        Ok(self.guard(&Silent)?.held())
    }

    /// The oldest commit that the tree may need.
    pub(in crate::replicate::replica) fn needed(
        &self,
        monitor: &dyn Monitor,
    ) -> Result<Option<u64>, ReplicaError> {
        let held = self.guard(monitor)?.oldest_needed();
        if self.config().tree.is_none() {
            return Ok(held);
        }
        let shown = self.published()?.map_or(0, |mark| mark.commit);
        let behind = self.behind()?.into_values();
        Ok(behind.chain(held).chain([shown]).min())
    }

    /// What the tree shows; none if it is not up to date.
    pub(in crate::replicate::replica) fn shown(
        &self,
        monitor: &dyn Monitor,
    ) -> Result<Option<ShownVolumes>, ReplicaError> {
        let head = self.catalogue.commit_record().map(|commit| commit.number);
        let mark = self.published()?;
        let is_due = mark.is_none_or(|mark| mark.working || Some(mark.commit) != head);
        if is_due {
            return Ok(None);
        }
        Ok(Some(ShownVolumes {
            behind: self.behind()?,
            targets: self.guard(monitor)?.targets(),
        }))
    }

    /// Lets the guard count what came, and brings the tree up to what it lets
    /// pass.
    pub(in crate::replicate::replica) fn show(
        &self,
        monitor: &dyn Monitor,
    ) -> Result<Shown, ReplicaError> {
        let mut guard = self.guard(monitor)?;
        // What is held is remembered before anything is published.
        if guard.count(&self.catalogue, &self.limits(), monitor)? {
            guard.save(&self.catalogue)?;
        }
        self.show_guarded(guard, monitor)
    }

    fn show_guarded(&self, mut guard: Guard, monitor: &dyn Monitor) -> Result<Shown, ReplicaError> {
        let catalogue: &Catalogue = &self.catalogue;
        let publish = match &self.config().tree {
            None => None,
            Some(tree) => Some(publish(catalogue, tree, &guard.targets(), monitor)?),
        };
        let before = guard.clone();
        guard.look_at_pins(catalogue)?;
        if guard != before {
            guard.save(catalogue)?;
        }
        let held = guard.held();
        Ok(Shown { publish, held })
    }

    /// Publishes what is held of a volume; of one that is not held, what was
    /// rejected.
    ///
    /// Errors: `ReplicaError`.
    pub fn approve(
        &self,
        options: &DecisionOptions,
        monitor: &dyn Monitor,
    ) -> Result<DecisionReport, ReplicaError> {
        let _turn = self.turn.blocking_lock();
        let mut guard = self.guard(monitor)?;
        let pinned = guard.targets().remove(options.volume.as_bytes());
        let pinned = pinned.filter(|target| target.commit.is_none());
        guard.approve(&options.volume, options.snapshot)?;
        if let Some(good) = pinned.and_then(|target| target.pins.iter().map(|pin| pin.good).min()) {
            // What was pinned has to be gone through once more.
            self.go_back(&options.volume, good)?;
        }
        guard.save(&self.catalogue)?;
        self.decided(options, guard, monitor)
    }

    /// Publishes a held volume, but for its suspect records.
    ///
    /// Errors: `ReplicaError`.
    pub fn reject(
        &self,
        options: &DecisionOptions,
        monitor: &dyn Monitor,
    ) -> Result<DecisionReport, ReplicaError> {
        let _turn = self.turn.blocking_lock();
        let mut guard = self.guard(monitor)?;
        guard.reject(&options.volume, options.snapshot)?;
        guard.save(&self.catalogue)?;
        self.decided(options, guard, monitor)
    }

    /// What the tree is to show.
    pub(in crate::replicate::replica) fn targets(
        &self,
        monitor: &dyn Monitor,
    ) -> Result<Targets, ReplicaError> {
        Ok(self.guard(monitor)?.targets())
    }

    /// Nothing is held or rejected any more: the last commit is what the tree
    /// shows.
    pub(in crate::replicate::replica) fn let_go(
        &self,
        monitor: &dyn Monitor,
    ) -> Result<(), ReplicaError> {
        let mut guard = self.guard(monitor)?;
        for (volume, target) in guard.targets() {
            let volume = String::from_utf8_lossy(&volume).into_owned();
            if let Some(good) = target.pins.iter().map(|pin| pin.good).min() {
                self.go_back(&volume, good)?;
            }
        }
        guard.count(&self.catalogue, &self.limits(), monitor)?;
        guard.let_go();
        guard.save(&self.catalogue)?;
        self.show_guarded(guard, monitor).map(drop)
    }

    fn decided(
        &self,
        options: &DecisionOptions,
        guard: Guard,
        monitor: &dyn Monitor,
    ) -> Result<DecisionReport, ReplicaError> {
        let shown = self.show_guarded(guard, monitor)?;
        Ok(DecisionReport {
            volume: options.volume.clone(),
            publish: shown.publish,
            held: shown.held,
        })
    }

    /// Has the tree of a volume gone through again from a commit on.
    fn go_back(&self, volume: &str, commit: u64) -> Result<(), ReplicaError> {
        if let Some(mut mark) = self.published()? {
            let mut behind = mark.behind(&self.catalogue)?;
            let at = behind.entry(volume.as_bytes().to_vec()).or_insert(commit);
            *at = commit.min(*at);
            mark.set_behind(&self.catalogue, &behind)?;
            mark.save(self.catalogue.files())?;
        }
        Ok(())
    }
}
