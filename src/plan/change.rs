//! What changed between two states of a leaf, in the words of the standard:
//! which records came, were superseded or went, and which files changed as the
//! standard's own life cycle never changes them. Pure.
//!
//! In that life cycle a file keeps its content, and its flag goes from valid to
//! superseded to deleted; a new content comes under a new name. Whatever else
//! happens to a file that was there is *suspect*: a person may have done it, a
//! repair, or an attack.

use std::collections::{BTreeMap, HashSet};

use hikae_protocol::digest::Digest;
use hikae_protocol::entry::Entry;
use hikae_protocol::objectpath::ObjectPath;
use serde::{Deserialize, Serialize};

use crate::ssmix::{Flag, Object, StrayReason, classify, record_group, record_of, without_flag};

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was not there before.
    Added,
    /// It is valid by another file than before.
    Superseded,
    /// It is not valid any more, or not there.
    Removed,
    /// Its files changed in any other way.
    Changed,
}

/// What happened to a file that the life cycle does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspicion {
    /// It is gone.
    Removed,
    /// Its content is there under another name.
    Renamed,
    /// It has another content.
    Rewritten,
    /// It has another modification time.
    Retimed,
    /// What came in its place is no message or document any more.
    Implausible,
}

/// A suspect file of the old state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Its path.
    pub path: ObjectPath,
    /// What happened to it.
    pub suspicion: Suspicion,
}

/// A record that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// What stands for the record: `ssmix::record_group`.
    pub group: Vec<u8>,
    /// One of its paths.
    pub path: ObjectPath,
    /// What became of it.
    pub fate: Fate,
    /// Its files before, by path.
    pub before: Vec<ObjectPath>,
    /// Its files now.
    pub after: Vec<ObjectPath>,
    /// Its suspect files, by path.
    pub suspects: Vec<Suspect>,
}

/// The kind of the record that a path is of: as its folder says, or none of a
/// stray file.
pub fn kind_of(path: &ObjectPath) -> Option<&[u8]> {
    match classify(path.as_bytes()) {
        Object::Stray { .. } => None,
        Object::Standard { kind, .. } => Some(kind),
        Object::Extended { .. } => path.as_bytes().split(|&byte| byte == b'/').nth(1),
    }
}

type Files<'a> = BTreeMap<&'a ObjectPath, &'a Entry>;

/// The records that differ between the states of a leaf, by group.
pub fn changes<'a>(
    old: impl IntoIterator<Item = &'a Entry>,
    new: impl IntoIterator<Item = &'a Entry>,
) -> Vec<RecordChange> {
    let old: Files = old.into_iter().map(|entry| (&entry.path, entry)).collect();
    let new: Files = new.into_iter().map(|entry| (&entry.path, entry)).collect();
    let differs = |one: &Files<'a>, two: &Files<'a>| -> Vec<&'a ObjectPath> {
        let other = |(path, entry): &(&&'a ObjectPath, &&'a Entry)| two.get(*path) != Some(*entry);
        one.iter().filter(other).map(|(path, _)| *path).collect()
    };
    let arrived: HashSet<Digest> = new
        .iter()
        .filter(|(path, _)| !old.contains_key(*path))
        .map(|(_, entry)| entry.digest)
        .collect();
    let mut groups: BTreeMap<Vec<u8>, (Files, Files, &'a ObjectPath)> = BTreeMap::new();
    let changed = differs(&old, &new).into_iter().chain(differs(&new, &old));
    for path in changed {
        let group = record_group(path.as_bytes());
        groups
            .entry(group)
            .or_insert_with(|| (Files::new(), Files::new(), path));
    }
    if groups.is_empty() {
        return vec![];
    }
    let arrived_paths = new.keys().filter(|path| !old.contains_key(**path));
    for path in old.keys().chain(arrived_paths).copied() {
        if let Some((before, after, _)) = groups.get_mut(&record_group(path.as_bytes())) {
            before.extend(old.get(path).map(|entry| (path, *entry)));
            after.extend(new.get(path).map(|entry| (path, *entry)));
        }
    }
    let change = |(group, (old, new, path)): (Vec<u8>, (Files, Files, &ObjectPath))| RecordChange {
        fate: fate(&old, &new),
        suspects: suspects(&old, &new, &arrived),
        path: path.clone(),
        before: old.into_keys().cloned().collect(),
        after: new.into_keys().cloned().collect(),
        group,
    };
    groups.into_iter().map(change).collect()
}

/// The paths by which a record is valid; of a stray file its own.
fn valid<'a>(files: &Files<'a>) -> Vec<&'a ObjectPath> {
    let is_valid =
        |path: &&ObjectPath| record_of(path.as_bytes()).is_none_or(|(_, flag)| flag == Flag::Valid);
    files.keys().copied().filter(is_valid).collect()
}

fn fate(old: &Files, new: &Files) -> Fate {
    let (before, after) = (valid(old), valid(new));
    match (before.is_empty(), after.is_empty()) {
        _ if old.is_empty() => Fate::Added,
        _ if new.is_empty() => Fate::Removed,
        (false, true) => Fate::Removed,
        (false, false) if before != after => Fate::Superseded,
        _ => Fate::Changed,
    }
}

fn suspects(old: &Files, new: &Files, arrived: &HashSet<Digest>) -> Vec<Suspect> {
    let mut suspects = Vec::new();
    for (path, entry) in old {
        let suspicion = match new.get(*path) {
            _ if is_litter(path) => None,
            Some(same) if same.digest != entry.digest => Some(Suspicion::Rewritten),
            Some(same) if same.mtime_ns != entry.mtime_ns => Some(Suspicion::Retimed),
            Some(_) => None,
            None if lives_on(entry, new) => None,
            None if arrived.contains(&entry.digest) => Some(Suspicion::Renamed),
            None => Some(Suspicion::Removed),
        };
        suspects.extend(suspicion.map(|suspicion| Suspect {
            path: (*path).clone(),
            suspicion,
        }));
    }
    suspects
}

/// What systems and gateways leave in folders and take away again.
fn is_litter(path: &ObjectPath) -> bool {
    matches!(
        classify(path.as_bytes()),
        Object::Stray {
            reason: StrayReason::SystemFile | StrayReason::Temporary
        }
    )
}

/// Whether the file is there by the name that the life cycle gives it.
fn lives_on(old: &Entry, new: &Files) -> bool {
    let Some((name, flag)) = without_flag(old.path.as_bytes()) else {
        return false;
    };
    let later: &[Flag] = match flag {
        Flag::Valid => &[Flag::Superseded, Flag::Deleted],
        Flag::Superseded => &[Flag::Deleted],
        Flag::Deleted => &[],
    };
    new.values().any(|entry| {
        entry.digest == old.digest
            && entry.size == old.size
            && without_flag(entry.path.as_bytes())
                .is_some_and(|(other, flag)| other == name && later.contains(&flag))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENDED: &str = "20250401/^退院サマリ^^18842-5^退院時サマリー^LN/1234567_20250401_18842-5_000000000000001_20250401120000000_01_";

    fn entry(path: &str, content: &str, mtime_ns: i64) -> Entry {
        Entry {
            path: ObjectPath::parse(path.as_bytes()).unwrap(),
            size: content.len() as u64,
            mtime_ns,
            digest: Digest::of_content(content.as_bytes()),
        }
    }

    fn file(order: u8, stamp: u8, flag: u8, content: &str) -> Entry {
        let name =
            format!("20250401/OMP-01/1234567_20250401_OMP-01_{order:015}_{stamp:017}_01_{flag}");
        entry(&name, content, 0)
    }

    fn told(old: &[Entry], new: &[Entry]) -> Vec<(Fate, Vec<Suspicion>)> {
        let told = changes(old, new).into_iter().map(|change| {
            let suspects = change.suspects.into_iter();
            (change.fate, suspects.map(|at| at.suspicion).collect())
        });
        told.collect()
    }

    /// [S11-7] what the life cycle does is not suspect.
    #[test]
    fn the_life_cycle_is_not_suspect() {
        let one = file(1, 1, 1, "one");
        let ones = std::slice::from_ref(&one);
        assert_eq!(told(&[], ones), [(Fate::Added, vec![])]);
        assert_eq!(told(ones, ones), []);
        let updated = [file(1, 1, 2, "one"), file(1, 2, 1, "two")];
        assert_eq!(told(ones, &updated), [(Fate::Superseded, vec![])]);
        let deleted = [
            file(1, 1, 0, "one"),
            file(1, 2, 0, "two"),
            file(1, 3, 0, ""),
        ];
        assert_eq!(told(&updated, &deleted), [(Fate::Removed, vec![])]);
        assert_eq!(told(ones, &deleted), [(Fate::Removed, vec![])]);
        let folder = |flag: u8, name: &str| entry(&format!("{EXTENDED}{flag}/{name}"), name, 0);
        let old = [folder(1, "a.xml"), folder(1, "b.png")];
        let new = [folder(2, "a.xml"), folder(2, "b.png")];
        assert_eq!(told(&old, &new), [(Fate::Removed, vec![])]);
        let old = [entry("Thumbs.db", "x", 0), entry("20250401/x.tmp", "y", 0)];
        assert_eq!(
            told(&old, &[entry("Thumbs.db", "z", 0)]),
            [(Fate::Removed, vec![]), (Fate::Changed, vec![])]
        );
    }

    /// [S11-7] everything else that happens to a file that was there is.
    #[test]
    fn everything_else_is_suspect() {
        let one = file(1, 1, 1, "one");
        let suspect = |new: &[Entry]| {
            let all = told(std::slice::from_ref(&one), new);
            let all: Vec<Suspicion> = all.into_iter().flat_map(|(_, all)| all).collect();
            all
        };
        assert_eq!(suspect(&[]), [Suspicion::Removed]);
        assert_eq!(suspect(&[file(1, 1, 1, "bad")]), [Suspicion::Rewritten]);
        let mut later = one.clone();
        later.mtime_ns = 7;
        assert_eq!(suspect(&[later]), [Suspicion::Retimed]);
        let locked = format!("{}.locked", one.path.text());
        assert_eq!(suspect(&[entry(&locked, "one", 0)]), [Suspicion::Renamed]);
        assert_eq!(suspect(&[file(2, 1, 1, "one")]), [Suspicion::Renamed]);
        // A rename of the cycle with another content, or backwards.
        assert_eq!(suspect(&[file(1, 1, 2, "bad")]), [Suspicion::Removed]);
        let old = [file(1, 1, 2, "one"), file(1, 2, 1, "two")];
        let new = [file(1, 1, 1, "one"), file(1, 2, 2, "two")];
        assert_eq!(
            told(&old, &new),
            [(Fate::Superseded, vec![Suspicion::Renamed])]
        );
        let stray = [entry("masters/x.csv", "x", 0)];
        assert_eq!(
            told(&stray, &[entry("masters/x.csv", "y", 0)]),
            [(Fate::Changed, vec![Suspicion::Rewritten])]
        );
    }
}
