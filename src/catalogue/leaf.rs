//! Leaf records: a manifest with what a node needs beside it.
//!
//! The digest covers the live entries only; sequence numbers, tombstones,
//! stat records and places of contents lie outside of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use hikae_protocol::bare::BareVolume;
use hikae_protocol::digest::Digest;
use hikae_protocol::entry::{Entry, manifest_digest};
use hikae_protocol::message::{ContentForm, Delta, DeltaEntry, Tombstone};
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use serde::{Deserialize, Serialize};

use crate::disk::FileStat;

/// Tombstones that a leaf keeps beyond as many as it has entries.
const TOMBSTONES_MIN: usize = 256;

/// Where a leaf record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordPlace {
    /// The block.
    pub block: u64,
    /// The item in it.
    pub index: u32,
}

/// Where the content of a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentPlace {
    /// In the source's storage.
    Storage,
    /// One item of a block.
    Item {
        /// The block.
        block: u64,
        /// The item in it.
        index: u32,
    },
    /// An item that lists the chunks whose concatenation is the content.
    Chunks {
        /// The block.
        block: u64,
        /// The item in it.
        index: u32,
    },
    /// Nowhere: the source could not hand it out. The next pull asks again.
    Lacking,
    /// Lacking, but for the chunks that this item lists: they are not asked
    /// for again.
    Partial {
        /// The block.
        block: u64,
        /// The item in it.
        index: u32,
    },
    /// Nowhere: the replica's filter leaves it out. Nobody asks for it.
    NotHeld,
}

impl ContentPlace {
    /// Whether the content is not there, or not all of it.
    pub fn is_lacking(self) -> bool {
        matches!(self, ContentPlace::Lacking | ContentPlace::Partial { .. })
    }

    /// Whether the content is there whole, here or in the source's storage.
    pub fn is_held(self) -> bool {
        !self.is_lacking() && self != ContentPlace::NotHeld
    }

    /// The item that lists its chunks, where there is one.
    pub fn chunks(self) -> Option<RecordPlace> {
        match self {
            ContentPlace::Chunks { block, index } | ContentPlace::Partial { block, index } => {
                Some(RecordPlace { block, index })
            }
            ContentPlace::Storage
            | ContentPlace::Item { .. }
            | ContentPlace::Lacking
            | ContentPlace::NotHeld => None,
        }
    }
}

/// What a source remembers of a file to see whether it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatRecord {
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
    /// Inode number.
    pub inode: u64,
    /// The file was read long enough after its change that a later change
    /// must show in its times.
    pub settled: bool,
}

/// One live file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// What the digest covers.
    pub entry: Entry,
    /// The signer's commit that brought it.
    pub sequence: u64,
    /// Where its content is.
    pub content: ContentPlace,
    /// At a source.
    pub stat: Option<StatRecord>,
}

impl FileRecord {
    /// Whether the file still is what was read.
    pub fn is_unchanged(&self, found: &FileStat) -> bool {
        self.stat.is_some_and(|stat| {
            stat.settled && stat.ctime_ns == found.ctime_ns && stat.inode == found.inode
        }) && self.entry.size == found.size
            && found.mtime_ns == Some(self.entry.mtime_ns)
    }
}

/// One state of a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafRecord {
    /// Which leaf.
    pub key: LeafKey,
    /// The signer's commit that last changed it.
    pub sequence: u64,
    /// The node's own commit that this record belongs to.
    pub commit: u64,
    /// The record before this one.
    pub previous: Option<RecordPlace>,
    /// Live files, sorted by path.
    pub files: Vec<FileRecord>,
    /// Removed files, sorted by commit of removal.
    pub tombstones: Vec<Tombstone>,
    /// Tombstones up to this commit may have been dropped.
    pub forgotten: u64,
    /// Earlier states of files whose content is lacking, sorted by path: what
    /// the tree shows in their place.
    pub standins: Vec<FileRecord>,
    /// Nothing but this is known of the volume whose key this is.
    pub bare: Option<BareVolume>,
}

impl LeafRecord {
    /// A leaf without files.
    pub fn empty(key: LeafKey) -> LeafRecord {
        LeafRecord {
            key,
            sequence: 0,
            commit: 0,
            previous: None,
            files: vec![],
            tombstones: vec![],
            forgotten: 0,
            standins: vec![],
            bare: None,
        }
    }

    /// The record of a volume of which nothing else is known.
    pub fn bare(bare: BareVolume, sequence: u64) -> LeafRecord {
        LeafRecord {
            sequence,
            forgotten: sequence,
            bare: Some(bare.clone()),
            ..LeafRecord::empty(bare.volume)
        }
    }

    /// A leaf of a volume that is bare: nothing of it is known any more.
    pub fn left_out(key: LeafKey, sequence: u64) -> LeafRecord {
        LeafRecord {
            sequence,
            forgotten: sequence,
            ..LeafRecord::empty(key)
        }
    }

    /// Files whose content the source could not hand out.
    pub fn lacking(&self) -> impl Iterator<Item = &FileRecord> {
        let files = self.files.iter();
        files.filter(|file| file.content.is_lacking())
    }

    /// The files that a tree can show: those whose content is held, and of
    /// the others an earlier state where there is one; sorted by path.
    pub fn showable(&self) -> Vec<&FileRecord> {
        let held = self.files.iter();
        let held = held.filter(|file| file.content.is_held());
        let mut files: Vec<&FileRecord> = held.chain(&self.standins).collect();
        files.sort_unstable_by(|one, two| one.entry.path.cmp(&two.entry.path));
        files
    }

    /// Keeps of `old` what is to stand in for lacking contents.
    pub fn stand_in(&mut self, old: &LeafRecord) {
        let shown = old.showable();
        let standins = self.lacking().filter_map(|file| {
            let at = shown.binary_search_by(|shown| shown.entry.path.cmp(&file.entry.path));
            at.ok()
                .and_then(|at| shown.get(at))
                .map(|&shown| shown.clone())
        });
        self.standins = standins.collect();
    }

    /// The digest of the live entries; none if there are none.
    pub fn digest(&self) -> Option<Digest> {
        if let Some(bare) = &self.bare {
            return bare.leaf;
        }
        manifest_digest(self.files.iter().map(|file| &file.entry))
    }

    /// Bytes of all contents.
    pub fn bytes(&self) -> u64 {
        total(self.files.iter())
    }

    /// Bytes of the contents that the last change brought.
    pub fn newest_bytes(&self) -> u64 {
        let newest = self
            .files
            .iter()
            .filter(|file| file.sequence == self.sequence);
        total(newest)
    }

    /// The file at `path`.
    pub fn file(&self, path: &ObjectPath) -> Option<&FileRecord> {
        let at = self
            .files
            .binary_search_by(|file| file.entry.path.cmp(path));
        at.ok().and_then(|at| self.files.get(at))
    }

    /// The file at `path`, to be changed.
    pub fn file_mut(&mut self, path: &ObjectPath) -> Option<&mut FileRecord> {
        let at = self
            .files
            .binary_search_by(|file| file.entry.path.cmp(path));
        at.ok().and_then(|at| self.files.get_mut(at))
    }

    /// Where the contents of this leaf lie, by digest.
    pub fn held(&self) -> HashMap<Digest, ContentPlace> {
        let mut held = HashMap::new();
        for file in self.files.iter().chain(&self.standins) {
            if file.content.is_held() {
                held.entry(file.entry.digest).or_insert(file.content);
            }
        }
        held
    }

    /// Removes files and adds others (replacing those of the same path) as
    /// commit `sequence`; what goes leaves a tombstone.
    pub fn change(&mut self, removed: &[ObjectPath], added: Vec<FileRecord>, sequence: u64) {
        let mut files: BTreeMap<ObjectPath, FileRecord> = std::mem::take(&mut self.files)
            .into_iter()
            .map(|file| (file.entry.path.clone(), file))
            .collect();
        let mut gone: Vec<FileRecord> = removed
            .iter()
            .filter_map(|path| files.remove(path))
            .collect();
        for file in added {
            gone.extend(files.insert(file.entry.path.clone(), file));
        }
        self.tombstones
            .extend(gone.into_iter().map(|file| Tombstone {
                path: file.entry.path,
                digest: file.entry.digest,
                added: file.sequence,
                removed: sequence,
            }));
        self.files = files.into_values().collect();
        self.standins.clear();
        self.sequence = sequence;
        self.drop_old_tombstones();
    }

    /// Keeps the newest tombstones, and remembers up to which commit some were
    /// dropped.
    pub fn drop_old_tombstones(&mut self) {
        let keep = TOMBSTONES_MIN.max(self.files.len());
        if self.tombstones.len() <= keep {
            return;
        }
        let drop = self.tombstones.len() - keep;
        let dropped = self.tombstones.drain(..drop);
        let newest = dropped.map(|tombstone| tombstone.removed).max();
        self.forgotten = self.forgotten.max(newest.unwrap_or(0));
    }

    fn tombstone_bytes(&self, base: u64) -> usize {
        let removed = self
            .tombstones
            .iter()
            .filter(|tombstone| tombstone.removed > base);
        removed
            .map(|tombstone| tombstone.path.as_bytes().len() + 64)
            .sum()
    }

    /// Contents that the leaf had at the signer's commit `sequence`, as far as
    /// is remembered.
    fn contents_at(&self, sequence: u64) -> HashSet<Digest> {
        let live = self.files.iter().filter(|file| file.sequence <= sequence);
        let gone = self
            .tombstones
            .iter()
            .filter(|tombstone| tombstone.added <= sequence && tombstone.removed > sequence);
        let live = live.map(|file| file.entry.digest);
        live.chain(gone.map(|tombstone| tombstone.digest)).collect()
    }

    /// What changed since `base` (none: everything), paths after `after`
    /// first, until about `bytes_max` bytes of names. `Held` marks contents
    /// that the leaf had at the base.
    pub fn delta(&self, base: Option<u64>, after: Option<&ObjectPath>, bytes_max: usize) -> Delta {
        let base =
            base.filter(|&base| base >= self.forgotten && self.tombstone_bytes(base) <= bytes_max);
        let since = base.unwrap_or(0);
        let held_at_base = match base {
            Some(since) => self.contents_at(since),
            None => HashSet::new(),
        };
        let mut delta = Delta::default();
        if after.is_none() && base.is_some() {
            let removed = self
                .tombstones
                .iter()
                .filter(|tombstone| tombstone.removed > since);
            delta.tombstones = removed.cloned().collect();
        }
        let mut bytes = 0;
        let changed = self.files.iter().filter(|file| {
            (base.is_none() || file.sequence > since)
                && after.is_none_or(|after| file.entry.path > *after)
        });
        for file in changed {
            if bytes >= bytes_max {
                delta.more = true;
                break;
            }
            bytes += file.entry.path.as_bytes().len() + 64;
            delta.entries.push(DeltaEntry {
                entry: file.entry.clone(),
                sequence: file.sequence,
                content: match held_at_base.contains(&file.entry.digest) {
                    true => ContentForm::Held,
                    false => ContentForm::Later,
                },
            });
        }
        delta
    }
}

/// Bytes of the contents; sizes that a peer made up may wrap around.
fn total<'a>(files: impl Iterator<Item = &'a FileRecord>) -> u64 {
    files.fold(0, |total, file| total.wrapping_add(file.entry.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str, sequence: u64) -> FileRecord {
        FileRecord {
            entry: Entry {
                path: ObjectPath::parse(path.as_bytes()).unwrap(),
                size: content.len() as u64,
                mtime_ns: 0,
                digest: Digest::of_content(content.as_bytes()),
            },
            sequence,
            content: ContentPlace::Storage,
            stat: None,
        }
    }

    fn path(text: &str) -> ObjectPath {
        ObjectPath::parse(text.as_bytes()).unwrap()
    }

    /// [S5-8] the digest covers the live entries, and nothing else of a record.
    #[test]
    fn the_digest_is_that_of_the_live_entries() {
        let mut leaf = LeafRecord::empty(LeafKey::parse(b"F/L").unwrap());
        assert_eq!(leaf.digest(), None);
        leaf.change(&[], vec![file("x", "one", 1), file("y", "two", 1)], 1);
        let digest = leaf.digest();
        let mut other = LeafRecord::empty(LeafKey::parse(b"F/M/a").unwrap());
        other.change(&[], vec![file("z", "three", 4)], 4);
        other.change(
            &[path("z")],
            vec![file("x", "one", 5), file("y", "two", 6)],
            6,
        );
        let stat = StatRecord {
            ctime_ns: 1,
            inode: 2,
            settled: true,
        };
        for at in &mut other.files {
            (at.content, at.stat) = (ContentPlace::Lacking, Some(stat));
        }
        (other.commit, other.forgotten) = (9, 3);
        other.standins = vec![file("x", "before", 2)];
        assert!(!other.tombstones.is_empty());
        assert_eq!(other.digest(), digest);
        other.files[0].entry.mtime_ns += 1;
        assert_ne!(other.digest(), digest);
    }

    #[test]
    fn a_rename_is_a_reference_and_a_tombstone() {
        let mut leaf = LeafRecord::empty(LeafKey::parse(b"F/L/a/b/c").unwrap());
        leaf.change(&[], vec![file("d/k/x_1", "old", 1)], 1);
        leaf.change(
            &[path("d/k/x_1")],
            vec![file("d/k/x_2", "old", 2), file("d/k/y_1", "new", 2)],
            2,
        );
        let delta = leaf.delta(Some(1), None, 1 << 20);
        let forms: Vec<ContentForm> = delta.entries.iter().map(|entry| entry.content).collect();
        assert_eq!(forms, [ContentForm::Held, ContentForm::Later]);
        assert_eq!(delta.tombstones[0].path, path("d/k/x_1"));
        let whole = leaf.delta(None, None, 1 << 20);
        assert!(
            whole
                .entries
                .iter()
                .all(|entry| entry.content == ContentForm::Later)
        );
        assert!(leaf.delta(Some(2), None, 1 << 20).entries.is_empty());
    }

    /// A base from before the oldest tombstone gets everything.
    #[test]
    fn forgotten_tombstones_make_a_whole_answer() {
        let mut leaf = LeafRecord::empty(LeafKey::parse(b"F/L").unwrap());
        for sequence in 1..600 {
            let old = path(&format!("f{}", sequence - 1));
            leaf.change(
                &[old],
                vec![file(&format!("f{sequence}"), "x", sequence)],
                sequence,
            );
        }
        assert_eq!(leaf.tombstones.len(), TOMBSTONES_MIN);
        assert!(leaf.forgotten > 0);
        assert_eq!(
            leaf.delta(Some(1), None, 1 << 20).entries[0].content,
            ContentForm::Later
        );
        let recent = leaf.delta(Some(598), None, 1 << 20);
        assert_eq!(recent.entries[0].content, ContentForm::Held);
    }

    #[test]
    fn a_long_delta_comes_in_parts() {
        let mut leaf = LeafRecord::empty(LeafKey::parse(b"F/L").unwrap());
        leaf.change(
            &[],
            (0..100)
                .map(|at| file(&format!("f{at:03}"), "x", 1))
                .collect(),
            1,
        );
        let mut seen = vec![];
        let mut after = None;
        loop {
            let part = leaf.delta(None, after.as_ref(), 500);
            seen.extend(part.entries.iter().map(|entry| entry.entry.path.clone()));
            after = seen.last().cloned();
            if !part.more {
                break;
            }
        }
        assert_eq!(
            seen,
            leaf.files
                .iter()
                .map(|file| file.entry.path.clone())
                .collect::<Vec<_>>()
        );
    }
}
