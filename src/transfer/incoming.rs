//! Leaves on their way in: deltas joined to what the replica holds, checked
//! against the proven digest, and only then stored.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use hikae_protocol::digest::Digest;
use hikae_protocol::entry::{Entry, manifest_digest};
use hikae_protocol::frame::Frame;
use hikae_protocol::limits::{HELD_MAX, LARGE_BYTES_MIN};
use hikae_protocol::list::page_hint;
use hikae_protocol::message::{
    ContentForm, Delta, DeltaEntry, DeltaError, DeltaState, Inlined, LeafDelta, LeafWant, Tombstone,
};
use hikae_protocol::objectpath::{LEAF_DEPTH_MAX, LeafKey, ObjectPath};
use hikae_protocol::pack::{Items, Pack, PackBuilder};

use super::adopt::AdoptableFiles;
use super::report::PullError;
use super::source::CONTENTS_LEVEL;
use crate::catalogue::{Catalogue, CatalogueError, ContentPlace, FileRecord, LeafRecord};
use crate::plan::{Filter, WantedLeaf};

/// A bundle, decoded; its contents are not believed yet.
pub(super) struct Bundle {
    deltas: Vec<LeafDelta>,
    contents: Pack,
    items: Items,
}

impl Bundle {
    /// Decodes the answer to a fetch of `wanted`.
    ///
    /// Errors: `PullError` when it is no bundle, or not of these leaves.
    pub(super) fn decode(frame: &Frame, wanted: &[&LeafKey]) -> Result<Bundle, PullError> {
        let wrong = |error| PullError::Link(frame.wrong_pack(error).into());
        let (deltas, contents) = frame
            .unpack_bundle()
            .map_err(|error| PullError::Link(error.into()))?;
        let items = contents.unpack().map_err(wrong)?;
        let mut decoded = Vec::new();
        let mut inlined = Inlined::new(&items);
        for (at, item) in deltas.unpack().map_err(wrong)?.iter().enumerate() {
            let delta = LeafDelta::decode(item, &mut inlined).map_err(|error| match error {
                DeltaError::Decode(error) => PullError::Link(frame.wrong(error).into()),
                content => {
                    let leaf = wanted.get(at).map(|key| key.text().to_string());
                    PullError::Fault(format!("leaf {}: {content}", leaf.unwrap_or_default()))
                }
            })?;
            decoded.push(delta);
        }
        let same = decoded.len() == wanted.len()
            && decoded
                .iter()
                .zip(wanted)
                .all(|(delta, key)| delta.key == **key);
        if !same {
            return Err(PullError::Fault(
                "a bundle of other leaves than were asked for".into(),
            ));
        }
        Ok(Bundle {
            deltas: decoded,
            items,
            contents,
        })
    }
}

/// A leaf while its parts arrive.
pub(super) struct Incoming {
    /// What it must become.
    pub wanted: WantedLeaf,
    /// What the replica holds of it.
    old: LeafRecord,
    /// What an earlier attempt staged of it, of any state.
    staged: Option<LeafRecord>,
    entries: Vec<DeltaEntry>,
    tombstones: Vec<Tombstone>,
    /// Entries that the whole snapshot has: more can't be proven.
    entries_max: u64,
    /// Contents by digest: those that are held, and what came of others.
    places: HashMap<Digest, ContentPlace>,
    /// Contents that an earlier attempt staged: the source does not know of them.
    came: HashSet<Digest>,
    /// What is kept.
    filter: Filter,
    /// Files of a tree that lay there before.
    pub(super) adoptable: AdoptableFiles,
}

/// What became of the leaves of a bundle.
#[derive(Default)]
pub(super) struct Taken {
    /// Ready to be stored.
    pub ready: Vec<LeafRecord>,
    /// Contents are still to be asked for.
    pub lacking: Vec<Incoming>,
    /// More of the delta is to be asked for.
    pub unfinished: Vec<Incoming>,
    /// Delta and old manifest did not give the proven digest: ask for all.
    pub mismatched: Vec<WantedLeaf>,
    /// Changed at the source since the snapshot.
    pub moved: u64,
    /// Files whose content came as a reference to one that was held.
    pub referenced: u64,
    /// Files whose content came along.
    pub received: u64,
    /// Bytes of those.
    pub bytes: u64,
}

impl Incoming {
    /// A leaf of which nothing came yet.
    pub(super) fn new(
        mut wanted: WantedLeaf,
        catalogue: &Catalogue,
        entries_max: u64,
        filter: &Filter,
    ) -> Result<Incoming, PullError> {
        let old = catalogue.leaf_record(&wanted.key)?;
        let old = old.filter(|old| old.bare.is_none());
        let old = old.unwrap_or_else(|| LeafRecord::empty(wanted.key.clone()));
        let staged = catalogue.staged(&wanted.key)?;
        let staged = staged.map(|value| catalogue.record(value.place));
        let staged = staged.transpose().unwrap_or_else(|error| {
            // All of it is asked for anew.
            tracing::warn!(leaf = %wanted.key.text(), %error, "what was staged can't be read");
            None
        });
        let mut places = staged.as_ref().map(LeafRecord::held).unwrap_or_default();
        let came = places.keys().copied().collect();
        places.extend(old.held());
        if wanted.base.is_none() {
            let known = old.files.len() + staged.as_ref().map_or(0, |staged| staged.files.len());
            wanted.held = known.min(HELD_MAX);
        }
        Ok(Incoming {
            places,
            came,
            old,
            staged,
            wanted,
            filter: filter.clone(),
            adoptable: AdoptableFiles::default(),
            entries: vec![],
            tombstones: vec![],
            entries_max,
        })
    }

    /// A leaf that is held but for contents that were lacking.
    pub(super) fn completing(old: LeafRecord, digest: Digest, filter: &Filter) -> Incoming {
        let entries = old.lacking().map(|file| DeltaEntry {
            entry: file.entry.clone(),
            sequence: file.sequence,
            content: ContentForm::Later,
        });
        Incoming {
            entries: entries.collect(),
            wanted: WantedLeaf {
                key: old.key.clone(),
                digest,
                sequence: old.sequence,
                weight: 0,
                base: Some(old.sequence),
                held: 0,
            },
            places: old.held(),
            came: HashSet::new(),
            filter: filter.clone(),
            adoptable: AdoptableFiles::default(),
            old,
            staged: None,
            tombstones: vec![],
            entries_max: u64::MAX,
        }
    }

    /// What is asked for next: from where the last part ended, without what is
    /// held. More than can be named as held is asked for content by content.
    pub(super) fn want(&self) -> LeafWant {
        let mut held = Vec::new();
        match self.wanted.base {
            // The source knows what the leaf had at the base.
            Some(_) => held.extend(self.came.iter().map(page_hint)),
            None => {
                held.extend(self.places.keys().map(page_hint));
                held.extend(self.adoptable.hints());
            }
        }
        held.sort_unstable();
        held.dedup();
        let inline = held.len() <= HELD_MAX;
        held.truncate(HELD_MAX);
        LeafWant {
            after: self.last_path(),
            inline,
            held,
            ..self.wanted.want()
        }
    }

    /// Whether it is compared by pages of its manifest.
    pub(super) fn is_wide(&self) -> bool {
        self.wanted.base.is_none() && self.old.files.len() > HELD_MAX
    }

    /// What the replica holds of it.
    pub(super) fn held_entries(&self) -> Vec<Entry> {
        let files = self.old.files.iter();
        files.map(|file| file.entry.clone()).collect()
    }

    /// The commit that brought the file that is held at `path`.
    pub(super) fn held_sequence(&self, path: &ObjectPath) -> u64 {
        self.old.file(path).map_or(0, |file| file.sequence)
    }

    /// Every entry of it came, in order.
    ///
    /// Errors: `PullError::Fault` if they are not what was proven.
    pub(super) fn listed(&mut self, entries: Vec<DeltaEntry>) -> Result<(), PullError> {
        self.extend(Delta {
            entries,
            ..Delta::default()
        })?;
        match self.is_proven() {
            true => Ok(()),
            false => Err(self.fault("its entries do not give the proven digest")),
        }
    }

    /// How many entries came.
    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Earlier contents that rest in chunks, first those that are not the
    /// tree's; and whether they are.
    pub(super) fn chunked(&self) -> Vec<(ContentPlace, bool)> {
        let of = |record: &LeafRecord| -> Vec<ContentPlace> {
            let files = record.files.iter().chain(&record.standins);
            let places = files.map(|file| file.content);
            places.filter(|place| place.chunks().is_some()).collect()
        };
        let staged = self.staged.as_ref().map(of).unwrap_or_default();
        // Of what came of a content only the next record of the leaf tells.
        let (partial, whole): (Vec<_>, Vec<_>) = of(&self.old)
            .into_iter()
            .partition(|place| place.is_lacking());
        let lost = staged.into_iter().chain(partial);
        lost.map(|place| (place, false))
            .chain(whole.into_iter().map(|place| (place, true)))
            .collect()
    }

    /// The last path that came, to go on after.
    pub(super) fn last_path(&self) -> Option<ObjectPath> {
        self.entries.last().map(|entry| entry.entry.path.clone())
    }

    fn extend(&mut self, delta: Delta) -> Result<(), PullError> {
        for entry in &delta.entries {
            if self
                .last_path()
                .is_some_and(|last| entry.entry.path <= last)
            {
                return Err(self.fault("its entries are not in order"));
            }
            if delta.more && matches!(entry.content, ContentForm::Inline(_)) {
                return Err(self.fault("an inline content of a part"));
            }
            let shallow = self.wanted.key.depth() < LEAF_DEPTH_MAX;
            if shallow && entry.entry.path.as_bytes().contains(&b'/') {
                return Err(self.fault("a file that belongs to a deeper leaf"));
            }
            self.entries.push(entry.clone());
        }
        if self.entries.len() as u64 > self.entries_max {
            return Err(self.fault("more entries than the whole snapshot counts"));
        }
        if !self.tombstones.is_empty() && !delta.tombstones.is_empty() {
            return Err(self.fault("removed paths in a further part"));
        }
        self.tombstones.extend(delta.tombstones);
        Ok(())
    }

    fn fault(&self, what: &str) -> PullError {
        PullError::Fault(format!("leaf {}: {what}", self.wanted.key.text()))
    }

    /// Where a content is, if that is known.
    fn place(&self, digest: &Digest) -> Option<ContentPlace> {
        self.places.get(digest).copied()
    }

    /// The new entries of the delta; contents that are to come have no place.
    fn merged(&self) -> BTreeMap<&ObjectPath, (&DeltaEntry, Option<ContentPlace>)> {
        self.entries
            .iter()
            .map(|entry| {
                let place = match self.filter.keeps(&entry.entry.path) {
                    true => self.place(&entry.entry.digest),
                    false => Some(ContentPlace::NotHeld),
                };
                (&entry.entry.path, (entry, place))
            })
            .collect()
    }

    /// Old files that stay, by path.
    fn kept(&self) -> Vec<&FileRecord> {
        if self.wanted.base.is_none() {
            return vec![];
        }
        let changed = self.merged();
        let gone: BTreeSet<&ObjectPath> = self
            .tombstones
            .iter()
            .map(|tombstone| &tombstone.path)
            .collect();
        let files = self.old.files.iter();
        files
            .filter(|file| {
                !gone.contains(&file.entry.path) && !changed.contains_key(&file.entry.path)
            })
            .collect()
    }

    /// Whether the leaf becomes what was proven.
    fn is_proven(&self) -> bool {
        let mut entries: Vec<_> = self.kept().into_iter().map(|file| &file.entry).collect();
        entries.extend(self.entries.iter().map(|entry| &entry.entry));
        entries.sort_unstable_by(|one, two| one.path.cmp(&two.path));
        manifest_digest(entries) == Some(self.wanted.digest)
    }

    /// Entries whose content is not held, one for each content.
    pub(super) fn lacking(&self) -> Vec<DeltaEntry> {
        let mut seen = HashSet::new();
        let merged = self.merged().into_values();
        merged
            .filter(|(entry, place)| place.is_none() && seen.insert(entry.entry.digest))
            .map(|(entry, _)| entry.clone())
            .collect()
    }

    /// A content is stored now, or some of it; or it can't be had, which
    /// leaves what there is of it.
    pub(super) fn stored(&mut self, digest: Digest, place: ContentPlace) {
        match (self.places.get(&digest), place) {
            (Some(ContentPlace::Partial { .. }), ContentPlace::Lacking) => {}
            _ => drop(self.places.insert(digest, place)),
        }
    }

    /// Whether the tree has this state of the leaf already.
    pub(super) fn is_held(&self) -> bool {
        self.old.sequence == self.wanted.sequence && self.old.digest() == Some(self.wanted.digest)
    }

    /// The source can't hand a content out.
    fn lacks(&mut self, digest: Digest) {
        if self.place(&digest).is_none() {
            self.places.insert(digest, ContentPlace::Lacking);
        }
    }

    /// The record of the leaf; a content of which it is not known where it is
    /// counts as lacking.
    pub(super) fn record(&self) -> LeafRecord {
        let kept = self.kept().into_iter().map(|file| FileRecord {
            content: match file.content.is_lacking() {
                true => self.place(&file.entry.digest).unwrap_or(file.content),
                false => file.content,
            },
            ..file.clone()
        });
        let mut files: Vec<FileRecord> = kept.collect();
        for (entry, place) in self.merged().into_values() {
            files.push(FileRecord {
                entry: entry.entry.clone(),
                sequence: entry.sequence,
                content: place.unwrap_or(ContentPlace::Lacking),
                stat: None,
            });
        }
        files.sort_unstable_by(|one, two| one.entry.path.cmp(&two.entry.path));
        let (mut tombstones, forgotten) = match self.wanted.base {
            Some(_) => (self.old.tombstones.clone(), self.old.forgotten),
            None => (vec![], self.wanted.sequence),
        };
        tombstones.extend(self.tombstones.iter().cloned());
        let mut record = LeafRecord {
            sequence: self.wanted.sequence,
            files,
            tombstones,
            forgotten,
            ..LeafRecord::empty(self.wanted.key.clone())
        };
        record.drop_old_tombstones();
        record.stand_in(&self.old);
        record
    }
}

/// Takes a bundle: deltas onto their leaves, contents into the store.
///
/// Errors: `PullError::Fault` when the peer lies; nothing of it was stored
/// then.
pub(super) fn take(
    catalogue: &Catalogue,
    mut bundle: Bundle,
    incoming: Vec<Incoming>,
) -> Result<Taken, PullError> {
    let mut taken = Taken::default();
    let mut complete = Vec::new();
    let mut progress = false;
    for (mut leaf, delta) in incoming.into_iter().zip(std::mem::take(&mut bundle.deltas)) {
        let delta = match delta.state {
            DeltaState::Moved => {
                progress = true;
                taken.moved += 1;
                continue;
            }
            DeltaState::Delta(delta) => delta,
        };
        let more = delta.more;
        progress |= !more || !delta.entries.is_empty();
        leaf.extend(delta)?;
        if more {
            taken.unfinished.push(leaf);
        } else if leaf.is_proven() {
            complete.push(leaf);
        } else if leaf.wanted.base.is_some() {
            taken.mismatched.push(WantedLeaf {
                base: None,
                ..leaf.wanted
            });
        } else {
            return Err(leaf.fault("its entries do not give the proven digest"));
        }
    }
    if !progress {
        return Err(PullError::Fault(
            "a bundle that brings nothing and promises more".into(),
        ));
    }
    let stored = store_verified(catalogue, &bundle, &complete)?;
    for mut leaf in complete {
        for entry in leaf.entries.clone() {
            match entry.content {
                ContentForm::Inline(index) => {
                    taken.received += 1;
                    taken.bytes += entry.entry.size;
                    if let Some(place) = stored.get(&index) {
                        leaf.stored(entry.entry.digest, *place);
                    }
                }
                ContentForm::Held if leaf.place(&entry.entry.digest).is_some() => {
                    taken.referenced += 1;
                }
                ContentForm::Held | ContentForm::Later | ContentForm::Lacking => {}
            }
        }
        for entry in leaf.entries.clone() {
            if entry.content == ContentForm::Lacking {
                leaf.lacks(entry.entry.digest);
            }
        }
        match leaf.lacking().is_empty() {
            true => taken.ready.push(leaf.record()),
            false => taken.lacking.push(leaf),
        }
    }
    Ok(taken)
}

/// Stores the contents that proven entries name, and says where each item
/// is. A bundle of which every item is proven is stored as it came; items of
/// leaves that moved on meanwhile are left away.
fn store_verified(
    catalogue: &Catalogue,
    bundle: &Bundle,
    leaves: &[Incoming],
) -> Result<HashMap<u32, ContentPlace>, PullError> {
    let entries = leaves.iter().flat_map(|leaf| &leaf.entries);
    let used: BTreeSet<u32> = entries
        .filter_map(|entry| match entry.content {
            ContentForm::Inline(index) => Some(index),
            _ => None,
        })
        .collect();
    if used.is_empty() {
        return Ok(HashMap::new());
    }
    let mut repacked = PackBuilder::default();
    let whole = used.len() == bundle.items.len();
    let indexes: Vec<(u32, u32)> = used
        .iter()
        .map(|&index| match whole {
            true => (index, index),
            false => (
                index,
                repacked.push(bundle.items.get(index).unwrap_or_default()),
            ),
        })
        .collect();
    let block = match whole {
        true => catalogue.append_contents(&bundle.contents)?,
        false => {
            let pack = repacked
                .finish(CONTENTS_LEVEL)
                .map_err(CatalogueError::Pack)?;
            catalogue.append_contents(&pack)?
        }
    };
    let places = indexes.into_iter();
    Ok(places
        .map(|(from, index)| (from, ContentPlace::Item { block, index }))
        .collect())
}

/// Checks a small content against its proven entry.
///
/// Errors: `PullError::Fault` that names the file.
pub(super) fn check_content(
    key: &LeafKey,
    entry: &DeltaEntry,
    content: &[u8],
) -> Result<(), PullError> {
    let (path, size) = (&entry.entry.path, entry.entry.size);
    let fits = content.len() as u64 == size
        && size < LARGE_BYTES_MIN
        && Digest::of_content(content) == entry.entry.digest;
    match fits {
        true => Ok(()),
        false => Err(PullError::Fault(format!(
            "the content of {}/{} is not the proven one",
            key.text(),
            path.text()
        ))),
    }
}
