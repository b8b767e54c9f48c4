//! From the files that a leaf shows to those that it must show: renames,
//! removals and placements, in an order in which a record is never valid
//! twice. Pure.

use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::entry::Entry;
use hikae_protocol::objectpath::ObjectPath;

use crate::ssmix::{Flag, record_group, record_of};

/// The steps for the files of one record, in order: renames that end its
/// validity, removals, then what is placed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordSteps {
    /// Files that get another name and keep their content: (from, to). To
    /// names that are not valid (`_2`, `_0`) first.
    pub renames: Vec<(ObjectPath, Entry)>,
    /// Files that go, before anything valid comes.
    pub removals: Vec<ObjectPath>,
    /// Files that become valid again by a rename.
    pub revivals: Vec<(ObjectPath, Entry)>,
    /// Files written from the store; valid ones last.
    pub placements: Vec<Entry>,
    /// Files of which only the time differs.
    pub touches: Vec<Entry>,
}

impl RecordSteps {
    /// Whether files come and nothing else happens.
    pub fn only_places(&self) -> bool {
        self.renames.is_empty()
            && self.removals.is_empty()
            && self.revivals.is_empty()
            && self.touches.is_empty()
    }
}

fn is_valid(path: &ObjectPath) -> bool {
    matches!(record_of(path.as_bytes()), Some((_, Flag::Valid)))
}

/// The steps from `old` to `new`, by record.
pub fn steps<'a>(
    old: impl IntoIterator<Item = &'a Entry>,
    new: impl IntoIterator<Item = &'a Entry>,
) -> Vec<RecordSteps> {
    let old: Files<'a> = old.into_iter().map(|entry| (&entry.path, entry)).collect();
    let new: Files<'a> = new.into_iter().map(|entry| (&entry.path, entry)).collect();
    let mut records: BTreeMap<Vec<u8>, (Files<'a>, Files<'a>)> = BTreeMap::new();
    // What stays as it is takes no step, whatever record it is of.
    for (path, entry) in &old {
        if new.get(path) != Some(entry) {
            let record = records.entry(record_group(path.as_bytes()));
            record.or_default().0.insert(path, entry);
        }
    }
    for (path, entry) in &new {
        if old.get(path) != Some(entry) {
            let record = records.entry(record_group(path.as_bytes()));
            record.or_default().1.insert(path, entry);
        }
    }
    let all = records.into_values();
    all.map(|(old, new)| record_steps(&old, &new)).collect()
}

type Files<'a> = BTreeMap<&'a ObjectPath, &'a Entry>;

fn record_steps(old: &Files<'_>, new: &Files<'_>) -> RecordSteps {
    let mut steps = RecordSteps::default();
    let mut vacated: Vec<&Entry> = old
        .iter()
        .filter(|(path, _)| !new.contains_key(*path))
        .map(|(_, entry)| *entry)
        .collect();
    for (path, entry) in new {
        match old.get(path) {
            Some(same) if same.digest == entry.digest && same.size == entry.size => {
                steps.touches.push((*entry).clone());
            }
            Some(_) => steps.placements.push((*entry).clone()),
            None => {
                let source = vacated
                    .iter()
                    .position(|old| old.digest == entry.digest && old.size == entry.size);
                match source.map(|at| vacated.swap_remove(at)) {
                    Some(source) if is_valid(path) => {
                        steps.revivals.push((source.path.clone(), (*entry).clone()))
                    }
                    Some(source) => steps.renames.push((source.path.clone(), (*entry).clone())),
                    None => steps.placements.push((*entry).clone()),
                }
            }
        }
    }
    steps.removals = vacated
        .into_iter()
        .map(|entry| entry.path.clone())
        .collect();
    steps.placements.sort_by_key(|entry| is_valid(&entry.path));
    // A file that stays valid by another name has to make room first as well.
    steps.removals.sort_unstable();
    steps
}

/// The first component of a path that has several: its folder in the leaf's.
pub(super) fn top(path: &ObjectPath) -> Option<&[u8]> {
    let at = path.as_bytes().iter().position(|&byte| byte == b'/')?;
    path.as_bytes().get(..at)
}

/// Folders of a leaf, mostly of a new day, in which nothing is shown and to
/// which nothing is brought but files of records that are new as a whole: these
/// wait for no other step.
pub(super) fn fresh_folders<'a>(
    shown: impl IntoIterator<Item = &'a Entry>,
    steps: &'a [RecordSteps],
) -> BTreeSet<Vec<u8>> {
    // A file may have had the name that a folder gets.
    let name = |path: &'a ObjectPath| top(path).unwrap_or(path.as_bytes());
    let mut used: BTreeSet<&[u8]> = shown.into_iter().map(|entry| name(&entry.path)).collect();
    for steps in steps.iter().filter(|steps| !steps.only_places()) {
        let moved = steps.renames.iter().chain(&steps.revivals);
        let targets = moved.map(|(_, to)| to).chain(&steps.placements);
        used.extend(targets.filter_map(|entry| top(&entry.path)));
    }
    let placed = steps.iter().flat_map(|steps| &steps.placements);
    let placed = placed.filter_map(|entry| top(&entry.path));
    placed
        .filter(|folder| !used.contains(folder))
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use hikae_protocol::digest::Digest;
    use proptest::prelude::*;

    use super::*;

    fn entry(order: u8, stamp: u8, flag: u8, content: u8, mtime: i64) -> Entry {
        // Updates of a record may lie in several folders.
        let name = format!(
            "2025040{stamp}/OMP-01/1234567_20250401_OMP-01_{order:015}_{stamp:017}_01_{flag}"
        );
        Entry {
            path: ObjectPath::parse(name.as_bytes()).unwrap(),
            size: 1,
            mtime_ns: mtime,
            digest: Digest::of_content(&[content]),
        }
    }

    fn valid_of(tree: &BTreeMap<ObjectPath, Entry>) -> BTreeMap<Vec<u8>, usize> {
        let mut counts = BTreeMap::new();
        for path in tree.keys().filter(|path| is_valid(path)) {
            *counts.entry(record_group(path.as_bytes())).or_insert(0) += 1;
        }
        counts
    }

    /// Plays the steps on a map and calls `each` after every one; what is in new
    /// folders comes before all others.
    fn play(
        tree: &mut BTreeMap<ObjectPath, Entry>,
        all: &[RecordSteps],
        mut each: impl FnMut(&BTreeMap<ObjectPath, Entry>),
    ) {
        let fresh = fresh_folders(tree.values(), all);
        let is_fresh = |entry: &&Entry| top(&entry.path).is_some_and(|top| fresh.contains(top));
        for folder in &fresh {
            let mut names = tree.keys();
            assert!(
                names.all(|path| !path.as_bytes().starts_with(folder)),
                "{folder:?}"
            );
        }
        let placed = all.iter().flat_map(|steps| &steps.placements);
        for entry in placed.filter(is_fresh) {
            assert!(tree.insert(entry.path.clone(), entry.clone()).is_none());
            each(tree);
        }
        for steps in all {
            let mut rename = |tree: &mut BTreeMap<ObjectPath, Entry>,
                              (from, to): &(ObjectPath, Entry)| {
                let moved = tree.remove(from).unwrap();
                assert_eq!(moved.digest, to.digest);
                assert!(
                    tree.insert(to.path.clone(), to.clone()).is_none(),
                    "a rename buried a file"
                );
                each(tree);
            };
            steps.renames.iter().for_each(|step| rename(tree, step));
            for path in &steps.removals {
                tree.remove(path).unwrap();
            }
            steps.revivals.iter().for_each(|step| rename(tree, step));
            let placed = steps.placements.iter().filter(|entry| !is_fresh(entry));
            for entry in placed.chain(&steps.touches) {
                tree.insert(entry.path.clone(), entry.clone());
                each(tree);
            }
        }
    }

    /// [S11-5] the steps of a record, in their order.
    #[test]
    fn an_update_renames_before_it_places() {
        let old = [entry(1, 1, 1, 1, 0)];
        let new = [entry(1, 1, 2, 1, 0), entry(1, 2, 1, 2, 0)];
        let all = steps(&old, &new);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].renames, [(old[0].path.clone(), new[0].clone())]);
        assert_eq!(all[0].placements, [new[1].clone()]);
        assert!(all[0].removals.is_empty());
    }

    /// [S11-5] a folder is shown first only if nothing is in it, and what comes to
    /// it waits for nothing.
    #[test]
    fn folders_of_new_records_are_fresh() {
        let fresh = |old: &[Entry], new: &[Entry]| {
            let steps = steps(old, new);
            let found = fresh_folders(old, &steps).into_iter();
            let found = found.map(|folder| String::from_utf8(folder).unwrap());
            found.collect::<Vec<_>>()
        };
        let (one, other) = (entry(1, 1, 1, 1, 0), entry(2, 2, 1, 2, 0));
        let superseded = entry(1, 1, 2, 1, 0);
        let both = [one.clone(), other.clone()];
        assert_eq!(fresh(&both[..1], &both), ["20250402"]);
        // Something is in it already.
        assert!(fresh(&both, &[&both[..], &[entry(3, 2, 1, 3, 0)]].concat()).is_empty());
        // An update, whose older file must make room first.
        let update = [superseded, entry(1, 2, 1, 3, 0)];
        assert!(fresh(&both[..1], &update).is_empty());
        // Beside it even a new record waits.
        let beside = [&update[..], &[other]].concat();
        assert!(fresh(&both[..1], &beside).is_empty());
        // A file has the folder's name.
        let file = Entry {
            path: ObjectPath::parse(b"20250402").unwrap(),
            ..one.clone()
        };
        assert!(fresh(&[one, file], &both).is_empty());
    }

    proptest! {
        /// [S11-5] no record is valid more often at any moment than before or
        /// after.
        #[test]
        fn ends_as_wanted_and_is_never_valid_more_often(
            old in prop::collection::btree_map((0_u8..3, 0_u8..3, 0_u8..3), (0_u8..4, 0_i64..2), 0..9),
            new in prop::collection::btree_map((0_u8..3, 0_u8..3, 0_u8..3), (0_u8..4, 0_i64..2), 0..9),
        ) {
            let tree = |map: &BTreeMap<(u8, u8, u8), (u8, i64)>| -> BTreeMap<ObjectPath, Entry> {
                map.iter()
                    .map(|(&(order, stamp, flag), &(content, mtime))| entry(order, stamp, flag, content, mtime))
                    .map(|entry| (entry.path.clone(), entry))
                    .collect()
            };
            let (old, new) = (tree(&old), tree(&new));
            let (before, after) = (valid_of(&old), valid_of(&new));
            let mut shown = old.clone();
            play(&mut shown, &steps(old.values(), new.values()), |tree| {
                for (record, count) in valid_of(tree) {
                    let allowed = before.get(&record).max(after.get(&record)).copied().unwrap_or(0);
                    assert!(count <= allowed, "{count} valid files where {allowed} are allowed");
                }
            });
            prop_assert_eq!(shown, new);
        }
    }
}
