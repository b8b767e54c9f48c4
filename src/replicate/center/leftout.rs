//! What a center leaves out: all of it counted, the first named, failures
//! before anything else. Memory is bounded, however much is left out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::walk::{LeftOut, LeftOutReason};

/// Paths of a volume that are named one by one, at most.
const NAMED_MAX: usize = 1000;
/// Paths of a volume that are told apart, at most: failures, and others. What
/// is over is counted by whole walks alone.
const TOLD_APART_MAX: usize = 100_000;
/// Paths of all volumes that a report names.
const REPORTED_MAX: usize = 100;

/// How soon a path is named: what fails first, what is only to be known last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Rank {
    Failure,
    NotCopied,
    Empty,
}

const RANKS: [Rank; 3] = [Rank::Failure, Rank::NotCopied, Rank::Empty];

impl Rank {
    fn of(reason: &LeftOutReason) -> Rank {
        match reason {
            LeftOutReason::Empty => Rank::Empty,
            reason if reason.is_failure() => Rank::Failure,
            _ => Rank::NotCopied,
        }
    }
}

/// What the last looks at a volume left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeftOutList {
    /// The first, in the order in which they are reported.
    named: BTreeMap<(Rank, String), LeftOutReason>,
    /// Hashes of the paths of failures, named or not.
    failures: BTreeSet<u64>,
    /// Hashes of the paths of all others.
    others: BTreeSet<u64>,
    /// Those that are too many to be told apart.
    beyond: u64,
}

/// What stands for a path.
fn hash(path: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(path.as_bytes()).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Whether a path is `above` or lies below it.
fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

impl LeftOutList {
    /// Adds what a look left out; `whole` if it is of a look at everything,
    /// which sees each path once.
    pub(super) fn add(&mut self, item: LeftOut, whole: bool) {
        let LeftOut { path, reason } = item;
        if !whole {
            self.holds_something(&path);
        }
        let (rank, hash) = (Rank::of(&reason), hash(&path));
        let (own, other) = match rank {
            Rank::Failure => (&mut self.failures, &mut self.others),
            Rank::NotCopied | Rank::Empty => (&mut self.others, &mut self.failures),
        };
        let known = own.contains(&hash) | other.remove(&hash);
        match own.len() < TOLD_APART_MAX {
            true => drop(own.insert(hash)),
            false => self.beyond += u64::from(whole),
        }
        if known {
            // Perhaps for another reason than now.
            self.forget_name(&path);
        }
        self.named.insert((rank, path), reason);
        if self.named.len() > NAMED_MAX {
            self.named.pop_last();
        }
    }

    fn forget_name(&mut self, path: &str) {
        for rank in RANKS {
            self.named.remove(&(rank, path.to_string()));
        }
    }

    /// There is something at `path`: no folder above it is empty, nor anything
    /// else that is no folder.
    pub(super) fn holds_something(&mut self, path: &str) {
        let separators = path.match_indices('/').map(|(at, _)| at);
        for above in separators.map(|at| &path[..at]) {
            if self.others.is_empty() {
                return;
            }
            if self.others.remove(&hash(above)) {
                self.forget_name(above);
            }
        }
    }

    /// These paths, with all below them, are looked at now.
    pub(super) fn look_again(&mut self, looked: &[String]) {
        let again: Vec<(Rank, String)> = self
            .named
            .keys()
            .filter(|(_, path)| looked.iter().any(|looked| is_within(path, looked)))
            .cloned()
            .collect();
        let paths = again.iter().map(|(_, path)| path).chain(looked);
        for hash in paths.map(|path| hash(path)) {
            self.failures.remove(&hash);
            self.others.remove(&hash);
        }
        for item in again {
            self.named.remove(&item);
        }
    }
}

/// What is left out of all volumes.
#[derive(Debug, Clone, Default)]
pub struct LeftOutSummary {
    /// All together.
    pub total: u64,
    /// Those that somebody has to do something about.
    pub failures: u64,
    /// The first, failures before all others.
    pub named: Vec<LeftOut>,
}

impl LeftOutSummary {
    pub(super) fn of<'a>(lists: impl Iterator<Item = &'a LeftOutList>) -> LeftOutSummary {
        let mut summary = LeftOutSummary::default();
        let mut named = Vec::new();
        for list in lists {
            let failures = list.failures.len() as u64;
            summary.failures += failures;
            summary.total += failures + list.others.len() as u64 + list.beyond;
            named.extend(list.named.iter().take(REPORTED_MAX));
        }
        named.sort_unstable_by_key(|(key, _)| *key);
        summary.named = named
            .into_iter()
            .take(REPORTED_MAX)
            .map(|((_, path), reason)| LeftOut {
                path: path.clone(),
                reason: reason.clone(),
            })
            .collect();
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: String, reason: LeftOutReason) -> LeftOut {
        LeftOut { path, reason }
    }

    fn unreadable() -> LeftOutReason {
        LeftOutReason::Unreadable("why".to_string())
    }

    #[test]
    fn what_is_kept_is_bounded_and_failures_are_named_first() {
        let mut list = LeftOutList::default();
        let many = TOLD_APART_MAX + 500;
        for at in 0..many {
            list.add(item(format!("f/l/{at:09}"), LeftOutReason::Empty), true);
        }
        list.add(item("f/l/z".into(), unreadable()), true);
        list.add(item("f/l/y".into(), LeftOutReason::Special), true);
        assert_eq!(list.named.len(), NAMED_MAX);
        assert_eq!(list.others.len(), TOLD_APART_MAX);
        let summary = LeftOutSummary::of([&list].into_iter());
        assert_eq!(summary.total, many as u64 + 2);
        assert_eq!(summary.failures, 1);
        assert_eq!(summary.named.len(), REPORTED_MAX);
        let first: Vec<&str> = summary.named[..3].iter().map(|item| &*item.path).collect();
        assert_eq!(first, ["f/l/z", "f/l/y", "f/l/000000000"]);
        // However often a part is looked at, nothing is counted again.
        for _ in 0..3 {
            list.add(item("f/l/w".into(), LeftOutReason::Special), false);
        }
        assert_eq!(LeftOutSummary::of([&list].into_iter()).total, summary.total);
    }

    #[test]
    fn a_path_is_left_out_for_one_reason_until_it_is_looked_at_again() {
        let mut list = LeftOutList::default();
        let total = |list: &LeftOutList| {
            let summary = LeftOutSummary::of([list].into_iter());
            (summary.total, summary.failures, summary.named.len())
        };
        list.add(item("f/l/a".into(), LeftOutReason::Special), false);
        list.add(item("f/l/a".into(), unreadable()), false);
        assert_eq!(total(&list), (1, 1, 1));
        list.add(item("f/l/a".into(), LeftOutReason::Empty), false);
        assert_eq!(total(&list), (1, 0, 1));
        list.add(item("f/l/a/b".into(), LeftOutReason::Special), false);
        assert_eq!(total(&list), (1, 0, 1), "it is no longer empty");
        list.add(item("f/l/ab".into(), LeftOutReason::Special), false);
        list.look_again(&["f/l/a".to_string()]);
        assert_eq!(total(&list), (1, 0, 1));
        list.holds_something("f/l/ab/c/d");
        assert_eq!(total(&list), (0, 0, 0));
    }

    #[test]
    fn an_unreadable_folder_stays_known_though_something_in_it_is_found() {
        let mut list = LeftOutList::default();
        list.add(item("f/l/a".into(), unreadable()), false);
        list.holds_something("f/l/a/b");
        assert_eq!(LeftOutSummary::of([&list].into_iter()).failures, 1);
    }
}
