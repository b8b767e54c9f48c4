//! Looking back: the snapshots that are kept, which one is meant, and what
//! changed between two.

use std::collections::BTreeMap;

use hikae_protocol::objectpath::PathText;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::status::time;
use crate::catalogue::{Catalogue, CatalogueError, LeafRecord};
use crate::plan::{Fate, changes, kind_of};
use crate::progress::Monitor;
use crate::publish::RestoreError;

/// Why a past state could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Neither a number nor a time.
    #[error(
        "{0:?} is no snapshot; expected a number that `snapshots` lists, or a time like \
         2025-04-01T12:00:00+09:00"
    )]
    Text(String),
    /// A number of none that is kept.
    #[error("there is no snapshot {number}; {kept}")]
    Unknown {
        /// The number.
        number: u64,
        /// Which there are.
        kept: String,
    },
    /// A time before the first that is kept.
    #[error("no snapshot was accepted at or before {at}; {kept}")]
    Before {
        /// The time.
        at: String,
        /// Which there are.
        kept: String,
    },
    /// The store failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The restore failed.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A folder in which nothing may be restored.
    #[error("{to} lies in {folder}, which is hikae's own; name another folder")]
    Own {
        /// The target.
        to: String,
        /// The folder of the configuration.
        folder: String,
    },
    /// A center has no contents of the past.
    #[error("a center keeps no contents of the past; restore at a backup or laptop")]
    Center,
}

impl HistoryError {
    /// Whether the person who asked is to ask otherwise.
    pub fn is_usage(&self) -> bool {
        match self {
            HistoryError::Catalogue(_) => false,
            HistoryError::Restore(error) => !matches!(error, RestoreError::Publish(_)),
            _ => true,
        }
    }
}

/// A snapshot that is kept.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotLine {
    /// The node's own number, by which it is named.
    pub snapshot: u64,
    /// The node's own clock when it was accepted, RFC 3339.
    pub accepted_at: String,
    /// The signer's epoch.
    pub epoch: u64,
    /// The signer's sequence number.
    pub sequence: u64,
    /// The signer's clock, RFC 3339.
    pub signed_at: String,
    /// Who signed it.
    pub signer: String,
    /// The root that was signed.
    pub root: String,
    /// Patient directories and the like.
    pub leaves: u64,
    /// Files.
    pub entries: u64,
    /// Bytes of those.
    pub bytes: u64,
}

/// Every snapshot that is kept, oldest first. One whose record is damaged is
/// named and left away.
///
/// Errors: `CatalogueError`.
pub fn snapshots(
    catalogue: &Catalogue,
    monitor: &dyn Monitor,
) -> Result<Vec<SnapshotLine>, CatalogueError> {
    let mut lines = Vec::new();
    for (number, accepted_ms) in catalogue.commits()? {
        let commit = match catalogue.commit_numbered(number) {
            Ok(Some(commit)) => commit,
            Ok(None) => continue,
            Err(error) => {
                monitor.note(&format!("snapshot {number}: {error}"));
                continue;
            }
        };
        let snapshot = commit.snapshot()?;
        lines.push(SnapshotLine {
            snapshot: number,
            accepted_at: time(accepted_ms),
            epoch: snapshot.cursor.epoch.counter,
            sequence: snapshot.cursor.sequence,
            signed_at: time(snapshot.time_ms),
            signer: commit.signed.signer.to_string(),
            root: snapshot.root.to_string(),
            leaves: snapshot.leaves,
            entries: snapshot.entries,
            bytes: snapshot.bytes,
        });
    }
    Ok(lines)
}

/// The commit that is meant by a snapshot's number or a time: the latest that
/// was accepted, by the node's own clock, at or before it.
///
/// Errors: `HistoryError`.
pub fn resolve(catalogue: &Catalogue, text: &str) -> Result<u64, HistoryError> {
    let commits = catalogue.commits()?;
    choose(&commits, text)
}

fn choose(commits: &[(u64, i64)], text: &str) -> Result<u64, HistoryError> {
    let kept = || match (commits.first(), commits.last()) {
        (Some(first), Some(last)) => format!(
            "{} to {} are kept, accepted from {} to {}",
            first.0,
            last.0,
            time(first.1),
            time(last.1)
        ),
        _ => "nothing was copied yet".into(),
    };
    if let Ok(number) = text.parse::<u64>() {
        let found = commits.iter().any(|(known, _)| *known == number);
        return found
            .then_some(number)
            .ok_or_else(|| HistoryError::Unknown {
                number,
                kept: kept(),
            });
    }
    let at: jiff::Timestamp = text
        .parse()
        .map_err(|_| HistoryError::Text(text.to_string()))?;
    let at_ms = at.as_millisecond();
    // By time, not by number: a clock may have jumped between two.
    let before = commits
        .iter()
        .filter(|(_, accepted_ms)| *accepted_ms <= at_ms);
    let latest = before.max_by_key(|(number, accepted_ms)| (*accepted_ms, *number));
    latest
        .map(|(number, _)| *number)
        .ok_or_else(|| HistoryError::Before {
            at: text.to_string(),
            kept: kept(),
        })
}

/// Records of one kind that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Records that were not there.
    pub added: u64,
    /// Records that are valid by another file.
    pub superseded: u64,
    /// Records that are valid no more.
    pub removed: u64,
    /// Records of which anything else changed.
    pub changed: u64,
}

impl Tally {
    fn count(&mut self, fate: Fate) {
        *match fate {
            Fate::Added => &mut self.added,
            Fate::Superseded => &mut self.superseded,
            Fate::Removed => &mut self.removed,
            Fate::Changed => &mut self.changed,
        } += 1;
    }

    fn add(&mut self, other: Tally) {
        self.added += other.added;
        self.superseded += other.superseded;
        self.removed += other.removed;
        self.changed += other.changed;
    }
}

/// One line of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiffLine {
    /// Facility and label.
    pub volume: String,
    /// The data kind; of files that are no records `other`.
    pub kind: String,
    /// What changed.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What changed between two snapshots.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DiffReport {
    /// The node's own number of the first.
    pub from: u64,
    /// And of the second.
    pub to: u64,
    /// Leaves that differ.
    pub leaves: u64,
    /// All records.
    pub total: Tally,
    /// By volume and kind.
    pub lines: Vec<DiffLine>,
}

/// Which of the two is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiffOptions {
    /// A snapshot or time.
    pub from: String,
    /// Another one.
    pub to: String,
}

type Tallies = BTreeMap<(Vec<u8>, Vec<u8>), Tally>;

/// Compares two snapshots, record by record.
///
/// Errors: `HistoryError`.
pub fn diff(
    catalogue: &Catalogue,
    options: &DiffOptions,
    monitor: &dyn Monitor,
) -> Result<DiffReport, HistoryError> {
    let (from, to) = (
        resolve(catalogue, &options.from)?,
        resolve(catalogue, &options.to)?,
    );
    let keys = catalogue.committed_since(from.min(to))?;
    monitor.stage("compare", Some(keys.len() as u64));
    let compared: Result<Vec<Tallies>, CatalogueError> = keys
        .par_iter()
        .map(|key| {
            monitor.advance(1);
            let mut tallies = Tallies::new();
            let Some(newest) = catalogue.leaf(key)? else {
                return Ok(tallies);
            };
            let state = |number| -> Result<LeafRecord, CatalogueError> {
                match catalogue.leaf_at(newest, number)? {
                    Some(value) => catalogue.record(value.place),
                    None => Ok(LeafRecord::empty(key.clone())),
                }
            };
            let (old, new) = (state(from)?, state(to)?);
            let entries = |record: &LeafRecord| -> Vec<_> {
                record.files.iter().map(|file| file.entry.clone()).collect()
            };
            for change in changes(&entries(&old), &entries(&new)) {
                let kind = kind_of(&change.path).unwrap_or(b"other").to_vec();
                let tally = tallies.entry((key.volume().to_vec(), kind)).or_default();
                tally.count(change.fate);
            }
            Ok(tallies)
        })
        .collect();
    let mut report = DiffReport {
        from,
        to,
        ..DiffReport::default()
    };
    let mut all = Tallies::new();
    for tallies in compared? {
        report.leaves += u64::from(!tallies.is_empty());
        for (place, tally) in tallies {
            report.total.add(tally);
            all.entry(place).or_default().add(tally);
        }
    }
    let line = |((volume, kind), tally): (&(Vec<u8>, Vec<u8>), &Tally)| DiffLine {
        volume: PathText::new(volume).to_string(),
        kind: PathText::new(kind).to_string(),
        tally: *tally,
    };
    report.lines = all.iter().map(line).collect();
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time means what was accepted last before it, whatever the clock did
    /// between.
    #[test]
    fn a_time_is_the_latest_accepted_before_it() {
        let hour = |hour: i64| hour * 3_600_000;
        let commits = [
            (3, hour(10)),
            (4, hour(20)),
            (5, hour(500_000)),
            (6, hour(-400_000)),
            (7, hour(30)),
            (8, hour(40)),
        ];
        let at = |hours: i64| time(hour(hours));
        let chosen = |hours: i64| choose(&commits, &at(hours)).unwrap();
        assert_eq!(
            [10, 19, 20, 29, 30, 39, 40, 600_000].map(chosen),
            [3, 3, 4, 4, 7, 7, 8, 5]
        );
        assert_eq!(chosen(9), 6);
        assert_eq!(choose(&commits, "7").unwrap(), 7);
        assert_eq!(choose(&commits, "1970-01-02T04:00:00+09:00").unwrap(), 3);
        let error = choose(&commits, "2").unwrap_err();
        assert!(error.to_string().contains("3 to 8 are kept"), "{error}");
        for text in ["", "yesterday", "-1", "2025-04-01"] {
            let error = choose(&commits, text).unwrap_err();
            assert!(error.to_string().contains("expected"), "{error}");
        }
        assert!(choose(&commits[..1], &at(9)).is_err());
        assert!(choose(&[], &at(9)).is_err());
    }
}
