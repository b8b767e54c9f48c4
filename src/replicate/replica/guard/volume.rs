//! One volume's counts, and when they are too many. Pure.

use serde::{Deserialize, Serialize};

use crate::plan::Suspicion;
use crate::publish::Pin;

/// How far back changes count, milliseconds.
pub(super) const WINDOW_MS: i64 = 7 * 24 * 3600 * 1000;
/// Fewer suspect files are not too many, unless they are the greater half of a
/// small volume.
const FEWEST: u64 = 20;
/// Suspect files that are named.
const NAMED_MAX: usize = 20;

/// When a volume is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::replicate::replica) struct Limits {
    /// Share of a volume's files.
    pub share: f64,
    /// Suspect files, whatever the share.
    pub records: u64,
    /// Files that were rewritten or are implausible.
    pub in_place: u64,
}

impl Limits {
    /// As many suspect files of a volume with so many entries are too many.
    fn suspects(&self, entries: u64) -> u64 {
        let share = (self.share * entries as f64).ceil() as u64;
        share.max(FEWEST).min(self.records)
    }

    /// Whether so many suspect files are the greater half of a volume that is
    /// small. Whoever lets all of a volume change lets all of a small one.
    fn is_greater_half(&self, suspects: u64, entries: u64) -> bool {
        let half = entries / 2;
        half < FEWEST && suspects > half && self.share < 1.0
    }
}

/// Suspect files, by what happened to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Gone.
    pub removed: u64,
    /// Under a name that the life cycle does not give.
    pub renamed: u64,
    /// With another content.
    pub rewritten: u64,
    /// With another modification time.
    pub retimed: u64,
    /// Replaced by what is no message or document.
    pub implausible: u64,
}

impl Counts {
    pub(super) fn count(&mut self, suspicion: Suspicion) {
        *match suspicion {
            Suspicion::Removed => &mut self.removed,
            Suspicion::Renamed => &mut self.renamed,
            Suspicion::Rewritten => &mut self.rewritten,
            Suspicion::Retimed => &mut self.retimed,
            Suspicion::Implausible => &mut self.implausible,
        } += 1;
    }

    fn total(&self) -> u64 {
        self.removed + self.renamed + self.rewritten + self.retimed + self.implausible
    }
}

/// A suspect file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Suspected {
    /// Stands for its path.
    path: u64,
    suspicion: Suspicion,
    /// It is no record's and was written anew, as tables of a registry are: by
    /// itself that is no sign of anything, however small the volume.
    is_table: bool,
}

/// A suspect file of the last days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    file: Suspected,
    /// When the commit was accepted.
    at_ms: i64,
}

/// A publication that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hold {
    /// The last commit before.
    pub good: u64,
    /// The last commit that is held.
    pub last: u64,
    /// When it began, by the node's clock.
    pub since_ms: i64,
    /// Suspect files that led to it, and those since.
    pub counts: Counts,
    /// Some of these, by name.
    pub examples: Vec<String>,
}

impl Hold {
    pub(super) fn new(good: u64, last: u64, since_ms: i64) -> Hold {
        Hold {
            good,
            last,
            since_ms,
            counts: Counts::default(),
            examples: vec![],
        }
    }
}

/// What was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pinned {
    pub pin: Pin,
    pub since_ms: i64,
    /// Records that are shown as they were before.
    pub records: u64,
    /// The commit at which those were counted; 0: never.
    pub as_of: u64,
}

/// What the guard remembers of a volume.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct VolumeGuard {
    /// Entries at the last commit that was counted.
    pub entries: u64,
    counted: Vec<Counted>,
    pub hold: Option<Hold>,
    pub pins: Vec<Pinned>,
}

/// What one commit did to a volume.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// The commit, and when it was accepted.
    pub commit: u64,
    pub at_ms: i64,
    /// Entries more or less.
    pub entries: i64,
    pub suspects: Vec<Suspected>,
    /// Some of them by name.
    pub named: Vec<String>,
}

impl Step {
    /// A suspect file at `path`, of a record or not.
    pub(super) fn suspect(&mut self, path: &str, suspicion: Suspicion, is_record: bool) {
        let hash = blake3::hash(path.as_bytes());
        let number = hash.as_bytes().first_chunk().copied();
        self.suspects.push(Suspected {
            path: u64::from_le_bytes(number.unwrap_or_default()),
            suspicion,
            is_table: !is_record && matches!(suspicion, Suspicion::Rewritten | Suspicion::Retimed),
        });
        if self.named.len() < NAMED_MAX {
            self.named.push(path.to_string());
        }
    }

    pub(super) fn add(&mut self, other: Step) {
        self.entries += other.entries;
        self.suspects.extend(other.suspects);
        self.named.extend(other.named);
        self.named.truncate(NAMED_MAX);
    }
}

impl VolumeGuard {
    /// No commit after `last` is known any more.
    pub(super) fn forget_after(&mut self, last: u64) {
        if let Some(hold) = &mut self.hold {
            (hold.good, hold.last) = (hold.good.min(last), hold.last.min(last));
        }
        for pinned in &mut self.pins {
            let pin = &mut pinned.pin;
            (pin.good, pin.bad) = (pin.good.min(last), pin.bad.min(last));
            pinned.as_of = 0;
        }
    }

    /// Counts a commit; too many suspect files of the last days hold the
    /// volume at the commit before.
    pub(super) fn count(&mut self, step: Step, limits: &Limits) {
        let entries = self.entries;
        self.entries = entries.saturating_add_signed(step.entries);
        if let Some(hold) = &mut self.hold {
            hold.last = step.commit;
            for file in &step.suspects {
                hold.counts.count(file.suspicion);
            }
            hold.examples.extend(step.named);
            hold.examples.truncate(NAMED_MAX);
            return;
        }
        if step.suspects.is_empty() {
            return;
        }
        let since = step.at_ms.saturating_sub(WINDOW_MS);
        self.counted.retain(|counted| counted.at_ms > since);
        // A file counts once, however often it was changed.
        let mut by_path: std::collections::HashMap<u64, Counted> = self
            .counted
            .drain(..)
            .map(|at| (at.file.path, at))
            .collect();
        for &file in &step.suspects {
            let at_ms = step.at_ms;
            by_path.insert(file.path, Counted { file, at_ms });
        }
        let mut counts = Counts::default();
        by_path
            .values()
            .for_each(|at| counts.count(at.file.suspicion));
        let in_place = counts.rewritten + counts.implausible;
        let tables = by_path.values().filter(|at| at.file.is_table).count() as u64;
        let is_too_much = counts.total() >= limits.suspects(entries)
            || in_place >= limits.in_place
            || limits.is_greater_half(counts.total() - tables, entries);
        if is_too_much {
            self.hold = Some(Hold {
                counts,
                examples: step.named,
                ..Hold::new(step.commit.saturating_sub(1), step.commit, step.at_ms)
            });
            return;
        }
        self.counted = by_path.into_values().collect();
    }

    /// A person decided about everything so far.
    pub(super) fn forget(&mut self) {
        self.counted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        share: 0.05,
        records: 1000,
        in_place: 20,
    };
    const DAY_MS: i64 = 24 * 3600 * 1000;

    fn volume(entries: u64) -> VolumeGuard {
        VolumeGuard {
            entries,
            ..VolumeGuard::default()
        }
    }

    /// So many files, from the number `first` on, on a day.
    fn step(day: u64, first: u64, count: u64, suspicion: Suspicion) -> Step {
        let mut step = Step {
            commit: day,
            at_ms: day as i64 * DAY_MS,
            ..Step::default()
        };
        (first..first + count).for_each(|at| step.suspect(&format!("file {at}"), suspicion, true));
        if suspicion == Suspicion::Removed {
            step.entries = -(count as i64);
        }
        step
    }

    fn least_that_holds(entries: u64, suspicion: Suspicion) -> u64 {
        let holds = |count: &u64| {
            let mut volume = volume(entries);
            volume.count(step(1, 0, *count, suspicion), &LIMITS);
            volume.hold.is_some()
        };
        (0..3000).find(holds).unwrap()
    }

    /// [S11-9] the limit is the lesser of 1,000 and the greater of 20 and 5 %;
    /// the greater half of a small volume, and 20 in place anywhere.
    #[test]
    fn the_limit_follows_the_size_of_the_volume() {
        let removed = |entries| least_that_holds(entries, Suspicion::Removed);
        assert_eq!([1, 2, 3, 10, 38, 39].map(removed), [1, 2, 2, 6, 20, 20]);
        assert_eq!(
            [40, 400, 401, 900, 19_999, 20_000, 20_001, 5_000_000].map(removed),
            [20, 20, 21, 45, 1000, 1000, 1000, 1000]
        );
        for suspicion in [Suspicion::Renamed, Suspicion::Retimed] {
            assert_eq!(least_that_holds(900, suspicion), 45);
        }
        for suspicion in [Suspicion::Rewritten, Suspicion::Implausible] {
            assert_eq!(least_that_holds(5_000_000, suspicion), 20);
        }
    }

    /// [S11-9] what is taken away slowly adds up over seven days, and no
    /// longer.
    #[test]
    fn a_slow_attack_is_caught_within_the_week() {
        for entries in [900_u64, 100_000] {
            let mut volume = volume(entries);
            let share = (entries as f64 * 0.049) as u64;
            let share = share.min(999);
            let mut gone = 0;
            let held = (1..=7).find(|&day| {
                volume.count(step(day, gone, share, Suspicion::Removed), &LIMITS);
                gone += share;
                volume.hold.is_some()
            });
            assert_eq!(held, Some(2), "{entries} entries");
            assert_eq!(volume.hold.unwrap().good, 1);
        }
        let mut volume = volume(900);
        for day in 1..400 {
            // Six a day: 42 in seven days.
            volume.count(step(day, day * 6, 6, Suspicion::Renamed), &LIMITS);
            assert_eq!(volume.hold, None, "day {day}");
        }
    }

    /// A file that changes every day counts once.
    #[test]
    fn a_file_counts_once() {
        let mut volume = volume(900);
        for day in 1..100 {
            volume.count(step(day, 0, 19, Suspicion::Rewritten), &LIMITS);
        }
        assert_eq!(volume.hold, None);
    }

    /// [S11-9] tables are written anew every day, all of a small volume; that
    /// they are gone, or no text any more, is another matter.
    #[test]
    fn tables_that_are_written_anew_raise_no_alarm() {
        let tables = |day: u64, suspicion| {
            let mut step = Step {
                commit: day,
                at_ms: day as i64 * DAY_MS,
                ..Step::default()
            };
            (0..3).for_each(|at| step.suspect(&format!("table {at}"), suspicion, false));
            step
        };
        let mut volume = volume(3);
        for day in 1..100 {
            volume.count(tables(day, Suspicion::Rewritten), &LIMITS);
        }
        assert_eq!(volume.hold, None);
        for suspicion in [Suspicion::Removed, Suspicion::Implausible] {
            let mut volume = volume.clone();
            volume.count(tables(100, suspicion), &LIMITS);
            assert_eq!(volume.hold.unwrap().good, 99);
        }
    }

    /// [S11-9] a volume of any size can't lose all that it has without a hold,
    /// however slowly within the week.
    #[test]
    fn a_small_volume_is_never_emptied() {
        for entries in 1..60_u64 {
            let mut volume = volume(entries);
            let held = (1..=entries).find(|&at| {
                volume.count(
                    Step {
                        at_ms: (at * 1000) as i64,
                        ..step(at, at, 1, Suspicion::Removed)
                    },
                    &LIMITS,
                );
                volume.hold.is_some()
            });
            let gone = held.unwrap();
            assert!(gone <= (entries / 2 + 1).min(20), "{gone} of {entries}");
            assert_eq!(volume.hold.unwrap().good, gone - 1);
        }
    }

    /// A clock that jumps makes the guard no blinder: what was counted before
    /// still counts when it jumped back.
    #[test]
    fn a_clock_that_jumped_back_forgets_nothing() {
        let mut volume = volume(900);
        volume.count(step(20_000, 0, 30, Suspicion::Removed), &LIMITS);
        volume.count(step(10, 30, 15, Suspicion::Removed), &LIMITS);
        assert!(volume.hold.is_some());
    }

    /// What comes while a volume is held is held, too, and counted.
    #[test]
    fn a_hold_grows() {
        let mut volume = volume(900);
        volume.count(step(5, 0, 900, Suspicion::Rewritten), &LIMITS);
        volume.count(step(6, 0, 0, Suspicion::Removed), &LIMITS);
        volume.count(step(9, 0, 7, Suspicion::Removed), &LIMITS);
        let hold = volume.hold.unwrap();
        assert_eq!((hold.good, hold.last), (4, 9));
        assert_eq!((hold.counts.rewritten, hold.counts.removed), (900, 7));
        assert_eq!(hold.examples.len(), NAMED_MAX);
        assert_eq!(volume.entries, 900 - 7);
    }
}
