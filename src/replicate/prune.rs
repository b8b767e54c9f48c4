//! Pruning: snapshots beyond the retention are forgotten, and what only they
//! needed is freed.
//!
//! Retention counts by the node's own clock and the times at which it accepted
//! commits; nothing that a peer says plays a part.

use std::time::Duration;

use serde::Serialize;

use super::center::now_ms;
use crate::catalogue::{Catalogue, CatalogueError, CompactReport, Compaction};
use crate::progress::Monitor;

/// What a pruning did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PruneReport {
    /// The oldest commit that can still be looked back to.
    pub oldest_commit: u64,
    /// What was freed.
    #[serde(flatten)]
    pub compact: CompactReport,
}

/// What has to be kept.
pub(super) struct Keep {
    /// States that were current in so long a time before the last commit.
    pub time: Duration,
    /// The oldest commit that the published tree may need, if there is one.
    pub needed: Option<u64>,
}

/// Begins to forget what is not to be kept. Nobody may be about to commit, or
/// look back.
///
/// Errors: `CatalogueError`.
pub(super) fn begin_prune(
    catalogue: &Catalogue,
    keep: &Keep,
) -> Result<(PruneReport, Option<Compaction>), CatalogueError> {
    let oldest_commit = oldest_kept(&catalogue.commits()?, keep, now_ms());
    let report = PruneReport {
        oldest_commit,
        compact: CompactReport::default(),
    };
    Ok((report, catalogue.begin_compaction(oldest_commit)?))
}

/// Forgets what is not to be kept, and compacts the store, while nobody commits.
///
/// Errors: `CatalogueError`.
pub(super) fn prune(
    catalogue: &Catalogue,
    keep: &Keep,
    monitor: &dyn Monitor,
) -> Result<PruneReport, CatalogueError> {
    let oldest_commit = oldest_kept(&catalogue.commits()?, keep, now_ms());
    Ok(PruneReport {
        oldest_commit,
        compact: catalogue.compact(oldest_commit, monitor)?,
    })
}

/// Whether there is anything to forget.
///
/// Errors: `CatalogueError`.
pub(super) fn has_prunable(catalogue: &Catalogue, keep: &Keep) -> Result<bool, CatalogueError> {
    let commits = catalogue.commits()?;
    let oldest = oldest_kept(&commits, keep, now_ms());
    Ok(commits.first().is_some_and(|(first, _)| *first < oldest))
}

/// The commit of which the state is kept, and all behind it. Time is counted
/// back from the last commit: a copy that nobody brought up to date for long
/// forgets nothing, nor does one whose clock ran ahead meanwhile.
fn oldest_kept(commits: &[(u64, i64)], keep: &Keep, now_ms: i64) -> u64 {
    let (Some(first), Some(last)) = (commits.first(), commits.last()) else {
        return 0;
    };
    let time = i64::try_from(keep.time.as_millis()).unwrap_or(i64::MAX);
    let since = last.1.min(now_ms).saturating_sub(time);
    // Of commits whose times are out of order the greatest time counts.
    let before = commits
        .iter()
        .take_while(|(_, accepted)| *accepted <= since);
    let oldest = before.last().unwrap_or(first).0;
    oldest.min(keep.needed.unwrap_or(oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;

    fn oldest(commits: &[(u64, i64)], needed: Option<u64>, now: i64) -> u64 {
        let time = Duration::from_millis(10 * DAY as u64);
        oldest_kept(commits, &Keep { time, needed }, now)
    }

    /// What was current ten days before the last commit stays, and all since.
    #[test]
    fn the_state_at_the_begin_of_the_retention_is_kept() {
        let commits: Vec<(u64, i64)> = (1..=30).map(|day| (day as u64, day * DAY)).collect();
        assert_eq!(oldest(&commits, None, 30 * DAY), 20);
        assert_eq!(oldest(&commits, None, 30 * DAY + DAY / 2), 20);
        assert_eq!(oldest(&commits, Some(7), 30 * DAY), 7);
        assert_eq!(oldest(&commits[..5], None, 30 * DAY), 1);
        assert_eq!(oldest(&[], None, 5 * DAY), 0);
    }

    /// However many snapshots come, only time forgets them.
    #[test]
    fn a_flood_of_snapshots_forgets_nothing_early() {
        let flood: Vec<(u64, i64)> = (1..=10_000).map(|at| (at, 10 * DAY + at as i64)).collect();
        assert_eq!(oldest(&flood, None, 11 * DAY), 1);
        let days = (1..=30).map(|day| (day as u64, day * DAY));
        let late = (31..=10_030).map(|at| (at as u64, 30 * DAY + at));
        let all: Vec<(u64, i64)> = days.chain(late).collect();
        assert_eq!(oldest(&all, None, 31 * DAY), 20);
    }

    /// Fifty years either way, for one commit or for all that follow.
    #[test]
    fn fifty_years_forget_nothing_early() {
        const JUMP: i64 = 50 * 365 * DAY;
        let days = |jump: i64| -> Vec<(u64, i64)> {
            let day = |day: i64| (day as u64, day * DAY + if day == 15 { jump } else { 0 });
            (1..=30).map(day).collect()
        };
        for jump in [JUMP, -JUMP] {
            for now in [30 * DAY, 30 * DAY + JUMP, 30 * DAY - JUMP] {
                let oldest = oldest(&days(jump), None, now);
                assert!(oldest <= 20, "{jump} {now}: {oldest}");
            }
        }
        // A clock that is set back is counted by what it says from then on.
        let mut back = days(0);
        back.iter_mut().skip(20).for_each(|(_, at)| *at -= JUMP);
        assert_eq!(oldest(&back, None, 30 * DAY - JUMP), 1);
    }

    /// A clock that is ahead or behind makes nothing be forgotten early.
    #[test]
    fn a_clock_that_jumped_forgets_nothing() {
        let mut commits: Vec<(u64, i64)> = (1..=30).map(|day| (day as u64, day * DAY)).collect();
        assert_eq!(oldest(&commits, None, 20_000 * DAY), 20);
        assert_eq!(oldest(&commits, None, -20_000 * DAY), 1);
        commits[4].1 = 20_000 * DAY;
        assert_eq!(oldest(&commits, None, 30 * DAY), 4);
    }
}
