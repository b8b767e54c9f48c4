//! What the tree is to show: of each volume a commit, and of records that a
//! person rejected the state before.
//!
//! Which records those are is kept nowhere: it follows from the states of
//! their leaves at the commits that a pin names, as long as these are kept.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use hikae_protocol::entry::Entry;
use serde::{Deserialize, Serialize};

use super::suspect::suspects;
use crate::catalogue::{Catalogue, CatalogueError, ContentPlace, FileRecord, LeafRecord};
use crate::ssmix::record_group;

/// The suspect records between two commits are shown as they were at the
/// first, until the source has them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The last commit that was good.
    pub good: u64,
    /// The last commit that was rejected.
    pub bad: u64,
}

/// What the tree is to show of one volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The node's own commit; none: the last one.
    pub commit: Option<u64>,
    /// What was rejected, oldest first.
    pub pins: Vec<Pin>,
}

/// Volumes (`facility/label`) of which the tree is not to show just the last
/// commit.
pub type Targets = BTreeMap<Vec<u8>, Target>;

/// What the tree is to show of a leaf.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Its files, by path.
    pub files: Vec<FileRecord>,
    /// Files whose contents the filter leaves out.
    pub not_held: u64,
}

/// What the tree is to show of a leaf.
///
/// Errors: `CatalogueError`.
pub fn wanted(
    catalogue: &Catalogue,
    newest: &LeafRecord,
    commit: u64,
    pins: &[Pin],
) -> Result<Wanted, CatalogueError> {
    let Some(record) = catalogue.record_as_of(newest, commit)? else {
        return Ok(Wanted::default());
    };
    let not_held = record.files.iter();
    let not_held = not_held.filter(|file| file.content == ContentPlace::NotHeld);
    let not_held = not_held.count() as u64;
    let mut files: Vec<FileRecord> = record.showable().into_iter().cloned().collect();
    let mut pinned = BTreeSet::new();
    for pin in pins {
        let Some(good) = catalogue.record_as_of(newest, pin.good)? else {
            continue;
        };
        let groups = still_suspect(catalogue, newest, &good, &record, pin)?;
        let groups: HashSet<Vec<u8>> = groups.difference(&pinned).cloned().collect();
        if groups.is_empty() {
            continue;
        }
        let is_pinned =
            |file: &FileRecord| groups.contains(&record_group(file.entry.path.as_bytes()));
        files.retain(|file| !is_pinned(file));
        let before = good.showable().into_iter().filter(|file| is_pinned(file));
        files.extend(before.cloned());
        pinned.extend(groups);
    }
    files.sort_unstable_by(|one, two| one.entry.path.cmp(&two.entry.path));
    Ok(Wanted { files, not_held })
}

/// The records of a leaf that a pin holds: suspect at the rejected commit, and
/// still suspect in `now`.
///
/// Errors: `CatalogueError`.
pub fn still_suspect(
    catalogue: &Catalogue,
    newest: &LeafRecord,
    good: &LeafRecord,
    now: &LeafRecord,
    pin: &Pin,
) -> Result<BTreeSet<Vec<u8>>, CatalogueError> {
    let groups = |other: &LeafRecord| -> Result<BTreeSet<Vec<u8>>, CatalogueError> {
        let all = suspects(catalogue, good, other)?.into_iter();
        let all = all.filter(|change| !change.suspects.is_empty());
        Ok(all.map(|change| change.group).collect())
    };
    let Some(bad) = catalogue.record_as_of(newest, pin.bad)? else {
        return Ok(BTreeSet::new());
    };
    let (then, now) = (groups(&bad)?, groups(now)?);
    Ok(then.intersection(&now).cloned().collect())
}

/// The entries of files.
pub(super) fn entries(files: &[FileRecord]) -> Vec<Entry> {
    files.iter().map(|file| file.entry.clone()).collect()
}
