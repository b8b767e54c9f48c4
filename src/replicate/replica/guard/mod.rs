//! The guard: holds the publication of a volume of which too much changed as
//! records never change, until a person looked.
//!
//! It counts by itself, from the differences of the node's own commits, and
//! believes nothing that a source says of them. History and segments go on
//! meanwhile, and so do other volumes. Its state is a small file of the store,
//! kept twice, for it alone knows what a person rejected; without both the last
//! days are counted anew, and what the published mark says to be behind stays
//! held.

mod count;
mod decide;
mod volume;

use std::collections::BTreeMap;
use std::path::PathBuf;

use hikae_protocol::message::decode;
use hikae_protocol::objectpath::PathText;
use serde::{Deserialize, Serialize};

pub(super) use decide::Shown;
pub use decide::{DecisionOptions, DecisionReport};
pub use volume::Counts;
use volume::{Hold, Limits, VolumeGuard};

use crate::catalogue::{Catalogue, CatalogueError};
use crate::disk::{DiskError, Record, read_record, write_record};
use crate::progress::Monitor;
use crate::publish::{Behind, Pin, Target, Targets, still_suspect};

/// The file of the store.
const GUARD: &str = "guard";
/// The same again, written after it.
const COPY: &str = "guard.copy";

/// Why the guard could not do its work; nothing is published then.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The store failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The file is not what was written.
    #[error(
        "neither {0} nor guard.copy beside it is a state of the guard, nothing is published; remove \
         both, and the changes of the last 7 days are counted anew (a volume that is held stays so; \
         what was rejected is held again)"
    )]
    Garbled(PathBuf),
    /// Nothing is held, or rejected, of such a volume.
    #[error("nothing of volume {volume} is held{others}")]
    NotHeld {
        /// Which was asked for.
        volume: String,
        /// Which are.
        others: String,
    },
    /// More came since a person looked.
    #[error(
        "of volume {volume} snapshot {held} is held by now, not {asked}; look again before you \
         decide"
    )]
    Newer {
        /// Which.
        volume: String,
        /// The last held commit.
        held: u64,
        /// What was asked for.
        asked: u64,
    },
}

/// A volume of which something is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldVolume {
    /// Facility and label.
    pub volume: String,
    /// What the tree shows of it: the last snapshot before.
    pub shows_snapshot: u64,
    /// The last snapshot that is held.
    pub held_snapshot: u64,
    /// `held`: a person has to decide; `rejected`: one did, and the source is
    /// not mended.
    pub state: HeldState,
    /// When it was first held, milliseconds since the epoch.
    pub since_ms: i64,
    /// Suspect files, by what happened to them; of a rejected volume none.
    pub counts: Counts,
    /// Records that are shown as they were before; of a rejected volume.
    pub records_pinned: u64,
    /// Some of the suspect files.
    pub examples: Vec<String>,
}

/// What a person has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldState {
    /// Decide: `approve` or `reject`.
    Held,
    /// Mend the source.
    Rejected,
}

/// What the guard remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Guard {
    /// Commits up to this one are counted.
    counted: u64,
    /// By `facility/label`.
    volumes: BTreeMap<Vec<u8>, VolumeGuard>,
}

impl Guard {
    /// What is remembered; of a store without it, what follows from the last
    /// days and from what the published tree shows.
    ///
    /// Errors: `GuardError`.
    pub(super) fn load(
        catalogue: &Catalogue,
        limits: &Limits,
        behind: &Behind,
        monitor: &dyn Monitor,
    ) -> Result<Guard, GuardError> {
        match Guard::read(catalogue, GUARD)? {
            Record::Value(guard) => {
                // Whoever wrote it may have been stopped before the copy.
                match Guard::read(catalogue, COPY)? {
                    Record::Value(copy) if copy == guard => {}
                    _ => guard.save(catalogue)?,
                }
                return Ok(guard);
            }
            first => match (Guard::read(catalogue, COPY)?, first) {
                (Record::Value(guard), _) => {
                    tracing::warn!("the guard's file was lost or garbled; its copy is taken");
                    guard.save(catalogue)?;
                    return Ok(guard);
                }
                (Record::Absent, Record::Absent) => {}
                _ => return Err(GuardError::Garbled(catalogue.files().path(GUARD))),
            },
        }
        let mut guard = Guard::at_begin(catalogue)?;
        guard.count(catalogue, limits, monitor)?;
        guard.stay_behind(catalogue, behind);
        if guard.counted > 0 {
            guard.save(catalogue)?;
        }
        Ok(guard)
    }

    fn read(catalogue: &Catalogue, name: &str) -> Result<Record<Guard>, GuardError> {
        Ok(match read_record::<Vec<u8>>(catalogue.files(), name)? {
            Record::Absent => Record::Absent,
            Record::Garbled => Record::Garbled,
            Record::Value(hidden) => {
                let plain = catalogue.reveal(GUARD, hidden)?;
                decode(&plain).map_or(Record::Garbled, Record::Value)
            }
        })
    }

    /// Saves, durably.
    ///
    /// Errors: `GuardError`.
    pub(super) fn save(&self, catalogue: &Catalogue) -> Result<(), GuardError> {
        let files = catalogue.files();
        let plain =
            postcard::to_stdvec(self).map_err(|_| GuardError::Garbled(files.path(GUARD)))?;
        let hidden = catalogue.hide(GUARD, plain)?;
        write_record(files, GUARD, &hidden)?;
        Ok(write_record(files, COPY, &hidden)?)
    }

    /// Of a store whose end was lost, up to its commit `last`: what comes
    /// instead is counted, too. Says whether that is so.
    ///
    /// Errors: `GuardError`.
    pub(super) fn forget_after(catalogue: &Catalogue, last: u64) -> Result<bool, GuardError> {
        let guard = match Guard::read(catalogue, GUARD)? {
            Record::Value(guard) => Record::Value(guard),
            _ => Guard::read(catalogue, COPY)?,
        };
        match guard {
            Record::Value(mut guard) if guard.counted > last => {
                guard.counted = last;
                for volume in guard.volumes.values_mut() {
                    volume.forget_after(last);
                }
                guard.save(catalogue)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Volumes of which the tree shows an older commit are held, whatever the
    /// counts say: why is not known any more.
    fn stay_behind(&mut self, catalogue: &Catalogue, behind: &Behind) {
        let last = catalogue.commit_record();
        let (last, now_ms) = last.map_or((0, 0), |last| (last.number, last.accepted_ms));
        for (volume, &good) in behind {
            let volume = self.volumes.entry(volume.clone()).or_default();
            if good < last {
                let hold = Hold::new(good, last, now_ms);
                let hold = volume.hold.take().unwrap_or(hold);
                volume.hold = Some(Hold {
                    good: hold.good.min(good),
                    ..hold
                });
            }
        }
    }

    /// What the tree is to show.
    pub(super) fn targets(&self) -> Targets {
        let volumes = self.volumes.iter();
        let special =
            volumes.filter(|(_, volume)| volume.hold.is_some() || !volume.pins.is_empty());
        special
            .map(|(name, volume)| {
                let pins = volume.pins.iter().map(|pinned| pinned.pin);
                let target = Target {
                    commit: volume.hold.as_ref().map(|hold| hold.good),
                    pins: pins.collect(),
                };
                (name.clone(), target)
            })
            .collect()
    }

    /// The oldest commit that a hold or a rejection needs.
    pub(super) fn oldest_needed(&self) -> Option<u64> {
        let volumes = self.volumes.values();
        let needed = volumes.flat_map(|volume| {
            let pins = volume.pins.iter().map(|pinned| pinned.pin.good);
            pins.chain(volume.hold.as_ref().map(|hold| hold.good))
        });
        needed.min()
    }

    /// Everything that is held or rejected, by volume.
    pub(super) fn held(&self) -> Vec<HeldVolume> {
        let mut all = Vec::new();
        for (name, volume) in &self.volumes {
            let name = PathText::new(name).to_string();
            if let Some(hold) = &volume.hold {
                all.push(HeldVolume {
                    volume: name.clone(),
                    shows_snapshot: hold.good,
                    held_snapshot: hold.last,
                    state: HeldState::Held,
                    since_ms: hold.since_ms,
                    counts: hold.counts,
                    records_pinned: 0,
                    examples: hold.examples.clone(),
                });
            }
            all.extend(volume.pins.iter().map(|pinned| HeldVolume {
                volume: name.clone(),
                shows_snapshot: pinned.pin.good,
                held_snapshot: pinned.pin.bad,
                state: HeldState::Rejected,
                since_ms: pinned.since_ms,
                counts: Counts::default(),
                records_pinned: pinned.records,
                examples: vec![],
            }));
        }
        all
    }

    /// Lets a volume go on with everything that is held of it; of one that is
    /// not held, what was rejected.
    ///
    /// Errors: `GuardError::NotHeld`, `GuardError::Newer`.
    pub(super) fn approve(&mut self, name: &str, seen: Option<u64>) -> Result<(), GuardError> {
        let volume = self.decide(name, seen)?;
        if volume.hold.take().is_none() {
            volume.pins.clear();
        }
        volume.forget();
        Ok(())
    }

    /// Lets a volume go on without its suspect records: those are shown as
    /// they were.
    ///
    /// Errors: `GuardError::NotHeld`, `GuardError::Newer`.
    pub(super) fn reject(&mut self, name: &str, seen: Option<u64>) -> Result<(), GuardError> {
        let volume = self.decide(name, seen)?;
        if let Some(hold) = volume.hold.take() {
            volume.pins.push(volume::Pinned {
                pin: Pin {
                    good: hold.good,
                    bad: hold.last,
                },
                since_ms: hold.since_ms,
                records: 0,
                as_of: 0,
            });
        }
        volume.forget();
        Ok(())
    }

    /// Lets everything go.
    fn let_go(&mut self) {
        for volume in self.volumes.values_mut() {
            volume.hold = None;
            volume.pins.clear();
            volume.forget();
        }
    }

    fn decide(&mut self, name: &str, seen: Option<u64>) -> Result<&mut VolumeGuard, GuardError> {
        let held: Vec<String> = self.held().into_iter().map(|held| held.volume).collect();
        let is_held = |volume: &&mut VolumeGuard| volume.hold.is_some() || !volume.pins.is_empty();
        let volume = self.volumes.get_mut(name.as_bytes()).filter(is_held);
        let volume = volume.ok_or_else(|| GuardError::NotHeld {
            volume: name.to_string(),
            others: match held.is_empty() {
                true => String::new(),
                false => format!("; held are: {}", held.join(", ")),
            },
        })?;
        match (seen, &volume.hold) {
            (Some(asked), Some(hold)) if hold.last != asked => Err(GuardError::Newer {
                volume: name.to_string(),
                held: hold.last,
                asked,
            }),
            _ => Ok(volume),
        }
    }

    /// Counts what is still pinned where anything changed, after the tree
    /// shows it; what the source mended is let go.
    ///
    /// Errors: `GuardError`.
    pub(super) fn look_at_pins(&mut self, catalogue: &Catalogue) -> Result<(), GuardError> {
        let head = catalogue.commit_record().map_or(0, |commit| commit.number);
        for (name, volume) in &mut self.volumes {
            for pinned in &mut volume.pins {
                if pinned.as_of == head {
                    continue;
                }
                let changed = catalogue.committed_since(pinned.as_of)?;
                let changed = changed.iter().any(|key| key.volume() == &name[..]);
                if changed || pinned.as_of == 0 {
                    pinned.records = pinned_records(catalogue, name, &pinned.pin)?;
                }
                pinned.as_of = head;
            }
            volume.pins.retain(|pinned| pinned.records > 0);
        }
        Ok(())
    }
}

fn pinned_records(catalogue: &Catalogue, volume: &[u8], pin: &Pin) -> Result<u64, GuardError> {
    let mut records = 0;
    for key in catalogue.committed_since(pin.good)? {
        if key.volume() != volume {
            continue;
        }
        let Some(newest) = catalogue.leaf_record(&key)? else {
            continue;
        };
        if let Some(good) = catalogue.record_as_of(&newest, pin.good)? {
            let held = still_suspect(catalogue, &newest, &good, &newest, pin)?;
            records += held.len() as u64;
        }
    }
    Ok(records)
}
