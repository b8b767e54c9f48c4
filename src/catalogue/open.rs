//! The catalogue as a whole: open, look up, stage, commit, close.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use hikae_protocol::digest::Digest;
use hikae_protocol::message::decode;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::{Items, Pack, PackBuilder};
use hikae_protocol::snapshot::{Snapshot, VerifiedSnapshot};
use hikae_protocol::tree::ChildKind;
use serde::{Deserialize, Serialize};

use super::commit::{Commit, Totals};
use super::db::{Db, LeafValue};
use super::leaf::{ContentPlace, LeafRecord, RecordPlace};
use super::tree::{TreeUpdate, update};
use super::{CatalogueError, rebuild};
use crate::disk::{StoreFiles, StoreFolder};
use crate::progress::Monitor;
use crate::seal::SealOptions;
use crate::segment::{
    BlockKind, BlockPlace, Damage, SEGMENTS, SegmentError, SegmentLog, SegmentReader,
};

/// Bytes of leaf records that share a block, before compression.
const LEAVES_BLOCK_BYTES: usize = 128 * 1024;
/// A leaf record over this is cut into blocks of its own.
const LEAF_PART_BYTES: usize = 1024 * 1024;
/// Keys in one block of dropped leaves: they fit whatever their length.
const UNSTAGE_KEYS_MAX: usize = 512;
/// zstd level of leaf records.
const LEAVES_LEVEL: i32 = 3;
/// Levels of the tree are read by kind.
const KINDS: [ChildKind; 2] = [ChildKind::Leaf, ChildKind::Node];

/// What an item of a block of leaves is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum LeafItem {
    /// The record.
    Whole(LeafRecord),
    /// Blocks of one item each, whose concatenation is the record.
    Split(Vec<u64>),
}

/// Why and how the index was made anew.
#[derive(Debug, Clone, Serialize)]
pub struct RebuildReport {
    /// Why.
    pub reason: &'static str,
    /// Leaves of the tree.
    pub leaves: u64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// Damaged places of the segments.
    pub damages: Vec<Damage>,
    /// Whether the leaves add up to the last commit's root.
    pub root_matches: bool,
}

/// What the tree is now.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub commit: Commit,
    pub snapshot: Snapshot,
    /// Counts over the leaves that are there; other than the snapshot's only
    /// where damage took some.
    pub totals: Totals,
}

/// The catalogue of a node. One process has it open.
pub struct Catalogue {
    files: Arc<dyn StoreFiles>,
    /// The index's folder.
    index: PathBuf,
    db: Db,
    log: Mutex<SegmentLog>,
    reader: SegmentReader,
    blocks: RwLock<HashMap<u64, BlockPlace>>,
    head: RwLock<Option<Head>>,
    rebuilt: Option<RebuildReport>,
}

/// Holds the tree still while it is read.
pub struct View<'a> {
    catalogue: &'a Catalogue,
    head: RwLockReadGuard<'a, Option<Head>>,
}

impl Catalogue {
    /// Opens the store in `folder`, makes it if there is none, and rebuilds
    /// the index if it was not closed cleanly.
    ///
    /// Errors: `CatalogueError`.
    pub fn open(folder: &Path, monitor: &dyn Monitor) -> Result<Catalogue, CatalogueError> {
        Catalogue::open_form(folder, None, monitor)
    }

    /// Opens the store in `folder` as `open` does: with `seal` a sealed one,
    /// or a new one that is sealed from the start, without one that is not.
    ///
    /// Errors: `CatalogueError`; where the store is of the other form, or the
    /// passphrase another one, nothing was changed.
    pub fn open_form(
        folder: &Path,
        seal: Option<&SealOptions>,
        monitor: &dyn Monitor,
    ) -> Result<Catalogue, CatalogueError> {
        let files = Arc::new(StoreFolder::open(folder, &[SEGMENTS])?);
        Catalogue::open_files(files, &folder.join("catalogue"), seal, monitor)
    }

    /// Opens the store with these files, whose index is the folder `index`.
    ///
    /// Errors: `CatalogueError`.
    pub fn open_files(
        files: Arc<dyn StoreFiles>,
        index: &Path,
        seal: Option<&SealOptions>,
        monitor: &dyn Monitor,
    ) -> Result<Catalogue, CatalogueError> {
        let opened = rebuild::open_or_rebuild(&files, index, seal, monitor)?;
        let log = SegmentLog::open(&opened.segments, opened.end)?;
        Ok(Catalogue {
            files,
            index: index.to_path_buf(),
            reader: SegmentReader::new(&opened.segments),
            db: opened.db,
            log: Mutex::new(log),
            blocks: RwLock::new(opened.blocks),
            head: RwLock::new(opened.head),
            rebuilt: opened.report,
        })
    }

    /// The files of the store.
    pub fn files(&self) -> &dyn StoreFiles {
        &*self.files
    }

    /// The report of the rebuild, if this opening needed one.
    pub fn rebuilt(&self) -> Option<&RebuildReport> {
        self.rebuilt.as_ref()
    }

    fn log(&self) -> MutexGuard<'_, SegmentLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree, held still until the view is dropped.
    pub fn view(&self) -> View<'_> {
        View {
            catalogue: self,
            head: self.head.read().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// The last commit.
    pub fn commit_record(&self) -> Option<Commit> {
        self.view().head.as_ref().map(|head| head.commit.clone())
    }

    /// What the last commit's snapshot says.
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.view().head.as_ref().map(|head| head.snapshot.clone())
    }

    /// A leaf of the tree.
    ///
    /// Errors: `CatalogueError`.
    pub fn leaf(&self, key: &LeafKey) -> Result<Option<LeafValue>, CatalogueError> {
        self.db.leaf(key.as_bytes())
    }

    /// A staged leaf.
    ///
    /// Errors: `CatalogueError`.
    pub fn staged(&self, key: &LeafKey) -> Result<Option<LeafValue>, CatalogueError> {
        self.db.staged(key.as_bytes())
    }

    /// The names directly below a directory of a volume (`facility/label` or
    /// deeper) at which the tree has leaves.
    ///
    /// Errors: `CatalogueError`.
    pub fn names_below(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, CatalogueError> {
        let mut names = Vec::new();
        for kind in KINDS {
            for child in self.db.children(path, kind) {
                let (child, digest) = child?;
                if digest.is_some() {
                    names.push(hikae_protocol::tree::name_in_parent(&child).to_vec());
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The record at `place`.
    ///
    /// Errors: `CatalogueError`.
    pub fn record(&self, place: RecordPlace) -> Result<LeafRecord, CatalogueError> {
        let items = self.items(place.block)?;
        let bytes = items.get(place.index).ok_or(missing(place))?;
        let wrong = |source| CatalogueError::Record {
            block: place.block,
            index: place.index,
            expected: "leaf record",
            source,
        };
        match decode(bytes).map_err(wrong)? {
            LeafItem::Whole(record) => Ok(record),
            LeafItem::Split(parts) => {
                let mut whole = Vec::new();
                for block in parts {
                    let part = self.items(block)?;
                    whole.extend_from_slice(part.get(0).unwrap_or_default());
                }
                decode(&whole).map_err(wrong)
            }
        }
    }

    /// The record of a leaf of the tree.
    ///
    /// Errors: `CatalogueError`.
    pub fn leaf_record(&self, key: &LeafKey) -> Result<Option<LeafRecord>, CatalogueError> {
        let value = self.leaf(key)?;
        value.map(|value| self.record(value.place)).transpose()
    }

    /// The items of a block.
    ///
    /// Errors: `CatalogueError::Missing`, `CatalogueError::Segment`.
    pub fn items(&self, block: u64) -> Result<Arc<Items>, CatalogueError> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let place = *blocks
            .get(&block)
            .ok_or(missing(RecordPlace { block, index: 0 }))?;
        drop(blocks);
        Ok(self.reader.items(block, place)?)
    }

    /// Reads every block again, commits and superseded records too; says what
    /// is wrong with each damaged one.
    pub fn damaged_blocks(&self) -> Vec<SegmentError> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let places: Vec<BlockPlace> = blocks.values().copied().collect();
        drop(blocks);
        let read = places.into_iter().map(|place| self.reader.read_pack(place));
        read.filter_map(Result::err).collect()
    }

    /// Hands a stored content to `each`, piece by piece.
    ///
    /// Errors: `CatalogueError`, and whatever `each` returns.
    pub fn content<E: From<CatalogueError>>(
        &self,
        place: ContentPlace,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let item = |block: u64, index: u32| -> Result<(Arc<Items>, u32), CatalogueError> {
            let items = self.items(block)?;
            match items.get(index) {
                Some(_) => Ok((items, index)),
                None => Err(missing(RecordPlace { block, index })),
            }
        };
        match place {
            ContentPlace::Storage | ContentPlace::Lacking => {
                Err(missing(RecordPlace { block: 0, index: 0 }).into())
            }
            ContentPlace::Item { block, index } => {
                let (items, index) = item(block, index)?;
                each(items.get(index).unwrap_or_default())
            }
            ContentPlace::Pieces { block, index } => {
                let (items, index) = item(block, index)?;
                let wrong = |source| CatalogueError::Record {
                    block,
                    index,
                    expected: "list of pieces",
                    source,
                };
                let pieces: Vec<(u64, u32)> =
                    decode(items.get(index).unwrap_or_default()).map_err(wrong)?;
                for (block, index) in pieces {
                    let (items, index) = item(block, index)?;
                    each(items.get(index).unwrap_or_default())?;
                }
                Ok(())
            }
        }
    }

    fn append(&self, kind: BlockKind, pack: &Pack) -> Result<u64, CatalogueError> {
        let (id, place) = self.log().append(kind, pack)?;
        self.blocks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, place);
        self.db.set_block(id, place)?;
        Ok(id)
    }

    /// Appends contents and says by which block id they are found.
    ///
    /// Errors: `CatalogueError`.
    pub fn append_contents(&self, pack: &Pack) -> Result<u64, CatalogueError> {
        self.append(BlockKind::Contents, pack)
    }

    /// The number that the next commit gets.
    pub fn next_commit(&self) -> u64 {
        self.view()
            .head
            .as_ref()
            .map_or(1, |head| head.commit.number + 1)
    }

    /// Appends leaf records; the next commit makes them the tree.
    ///
    /// Errors: `CatalogueError`.
    pub fn stage(&self, records: Vec<LeafRecord>) -> Result<(), CatalogueError> {
        let commit = self.next_commit();
        let mut pack = PackBuilder::default();
        let mut waiting = Vec::new();
        for mut record in records {
            record.commit = commit;
            record.previous = self.leaf(&record.key)?.map(|value| value.place);
            let item = encode(&LeafItem::Whole(record.clone()))?;
            let item = match item.len() > LEAF_PART_BYTES {
                true => self.append_parts(&record)?,
                false => item,
            };
            if !pack.is_empty() && pack.raw_bytes() + item.len() > LEAVES_BLOCK_BYTES {
                self.append_leaves(std::mem::take(&mut pack), &mut waiting)?;
            }
            let index = pack.push(&item);
            waiting.push((record, index));
        }
        self.append_leaves(pack, &mut waiting)
    }

    fn append_parts(&self, record: &LeafRecord) -> Result<Vec<u8>, CatalogueError> {
        let whole = encode(record)?;
        let mut parts = Vec::new();
        for part in whole.chunks(LEAF_PART_BYTES) {
            let mut pack = PackBuilder::default();
            pack.push(part);
            let pack = pack.finish(LEAVES_LEVEL).map_err(CatalogueError::Pack)?;
            parts.push(self.append(BlockKind::LeafPart, &pack)?);
        }
        encode(&LeafItem::Split(parts))
    }

    fn append_leaves(
        &self,
        pack: PackBuilder,
        waiting: &mut Vec<(LeafRecord, u32)>,
    ) -> Result<(), CatalogueError> {
        if pack.is_empty() {
            return Ok(());
        }
        let pack = pack.finish(LEAVES_LEVEL).map_err(CatalogueError::Pack)?;
        let block = self.append(BlockKind::Leaves, &pack)?;
        let staged: Vec<(LeafKey, LeafValue)> = waiting
            .drain(..)
            .map(|(record, index)| {
                let value = LeafValue::of(&record, RecordPlace { block, index });
                (record.key, value)
            })
            .collect();
        self.db.stage(&staged)
    }

    /// Drops staged leaves; without keys all of them.
    ///
    /// Errors: `CatalogueError`.
    pub fn unstage(&self, keys: &[LeafKey]) -> Result<(), CatalogueError> {
        for keys in keys.chunks(UNSTAGE_KEYS_MAX) {
            let mut pack = PackBuilder::default();
            for key in keys {
                pack.push(key.as_bytes());
            }
            let pack = pack.finish(LEAVES_LEVEL).map_err(CatalogueError::Pack)?;
            self.append(BlockKind::Unstage, &pack)?;
        }
        if keys.is_empty() {
            let pack = PackBuilder::default()
                .finish(LEAVES_LEVEL)
                .map_err(CatalogueError::Pack)?;
            self.append(BlockKind::Unstage, &pack)?;
        }
        self.db.unstage(keys.iter().map(LeafKey::as_bytes))
    }

    /// Every staged leaf, in canonical order.
    ///
    /// Errors: `CatalogueError`.
    pub fn all_staged(&self) -> Result<Vec<(LeafKey, LeafValue)>, CatalogueError> {
        self.db.all_staged().collect()
    }

    /// What the tree and its counts become with these leaves.
    ///
    /// Errors: `CatalogueError`.
    pub fn with_leaves(
        &self,
        leaves: &[(LeafKey, LeafValue)],
    ) -> Result<(TreeUpdate, Totals), CatalogueError> {
        let view = self.view();
        let mut totals = view
            .head
            .as_ref()
            .map_or(Totals::default(), |head| head.totals);
        drop(view);
        for (key, value) in leaves {
            totals.replace(self.leaf(key)?.as_ref(), value);
        }
        let update = self.with_digests(leaves.iter().map(|(key, value)| (key, value.digest)))?;
        Ok((update, totals))
    }

    /// Whether the leaves add up to the root that was signed. Damage can take
    /// some away; nothing may be signed or believed of such a tree until they
    /// are there again.
    ///
    /// Errors: `CatalogueError`.
    pub fn is_whole(&self) -> Result<bool, CatalogueError> {
        let own = self.with_digests([])?.root;
        Ok(self.snapshot().is_none_or(|snapshot| snapshot.root == own))
    }

    /// What the tree becomes with these digests.
    ///
    /// Errors: `CatalogueError`.
    pub fn with_digests<'a>(
        &self,
        leaves: impl IntoIterator<Item = (&'a LeafKey, Option<Digest>)>,
    ) -> Result<TreeUpdate, CatalogueError> {
        update(&self.db, leaves)
    }

    /// Makes everything appended so far durable.
    ///
    /// Errors: `CatalogueError::Segment`.
    pub fn sync(&self) -> Result<(), CatalogueError> {
        Ok(self.log().sync()?)
    }

    /// Makes the staged leaves, with which tree and counts become `update` and
    /// `totals`, the tree of `snapshot`. Durable when it returns: what was
    /// staged is synced before the commit is written, and the commit before it
    /// is acknowledged.
    ///
    /// Errors: `CatalogueError::Root` if they do not add up to its root.
    pub fn commit(
        &self,
        staged: &[(LeafKey, LeafValue)],
        (update, totals): (&TreeUpdate, Totals),
        snapshot: &VerifiedSnapshot,
        now_ms: i64,
    ) -> Result<Commit, CatalogueError> {
        let expected = snapshot.snapshot().root;
        if update.root != expected {
            return Err(CatalogueError::Root {
                found: update.root,
                expected,
            });
        }
        let commit = Commit {
            number: self.next_commit(),
            signed: snapshot.signed().clone(),
            accepted_ms: now_ms,
        };
        self.sync()?;
        let mut pack = PackBuilder::default();
        pack.push(&encode(&commit)?);
        let pack = pack.finish(LEAVES_LEVEL).map_err(CatalogueError::Pack)?;
        // Twice: nothing follows the last commit that would tell its damage
        // from a torn tail.
        self.append(BlockKind::Commit, &pack)?;
        self.append(BlockKind::Commit, &pack)?;
        self.sync()?;
        let mut head = self.head.write().unwrap_or_else(PoisonError::into_inner);
        self.db.apply(staged)?;
        self.db.set_nodes(&update.nodes)?;
        self.db.unstage([])?;
        *head = Some(Head {
            commit: commit.clone(),
            snapshot: snapshot.snapshot().clone(),
            totals,
        });
        Ok(commit)
    }

    /// Keys of the leaves that the published tree lacks, in canonical order.
    ///
    /// Errors: `CatalogueError`.
    pub fn unpublished(&self) -> Result<Vec<LeafKey>, CatalogueError> {
        self.db.unpublished().collect()
    }

    /// Leaves of the tree with contents that the source could not hand out,
    /// in canonical order.
    ///
    /// Errors: `CatalogueError`.
    pub fn lacking(&self) -> Result<Vec<LeafKey>, CatalogueError> {
        self.db.lacking().collect()
    }

    /// Whether the published tree lacks nothing.
    pub fn is_published(&self) -> bool {
        self.db.is_published()
    }

    /// The published tree shows these leaves.
    ///
    /// Errors: `CatalogueError`.
    pub fn set_published(&self, keys: &[LeafKey]) -> Result<(), CatalogueError> {
        self.db.set_published(keys)
    }

    /// Closes cleanly: the next opening needs no rebuild.
    ///
    /// Errors: `CatalogueError`; the next opening then rebuilds.
    pub fn close(self) -> Result<(), CatalogueError> {
        self.sync()?;
        let end = self.log().end();
        let head = self
            .head
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        rebuild::mark_clean(&*self.files, &self.index, self.db, end, head.as_ref())
    }
}

impl View<'_> {
    /// The last commit and its snapshot.
    pub fn head(&self) -> Option<(&Commit, &Snapshot)> {
        self.head
            .as_ref()
            .map(|head| (&head.commit, &head.snapshot))
    }

    /// Leaves that changed after the signer's commit `sequence`, in canonical
    /// order.
    ///
    /// Errors: `CatalogueError`.
    pub fn changed_since(
        &self,
        sequence: u64,
    ) -> Result<Vec<(LeafKey, LeafValue)>, CatalogueError> {
        let mut leaves = Vec::new();
        for key in self.catalogue.db.changed_since(sequence) {
            let key = key?;
            if let Some(value) = self.catalogue.leaf(&key)? {
                leaves.push((key, value));
            }
        }
        leaves.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        Ok(leaves)
    }

    /// Every leaf at or below a path (`facility/label…`; empty: all), in
    /// canonical order; those without entries too.
    ///
    /// Errors: `CatalogueError`.
    pub fn leaves_below(&self, path: &[u8]) -> Result<Vec<(LeafKey, LeafValue)>, CatalogueError> {
        let leaves: Result<Vec<_>, _> = self.catalogue.db.leaves_below(path).collect();
        let mut leaves = leaves?;
        leaves.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        Ok(leaves)
    }
}

fn missing(place: RecordPlace) -> CatalogueError {
    CatalogueError::Missing {
        block: place.block,
        index: place.index,
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CatalogueError> {
    postcard::to_stdvec(value).map_err(|error| CatalogueError::Encode(error.into()))
}

impl From<SegmentError> for Box<CatalogueError> {
    fn from(error: SegmentError) -> Box<CatalogueError> {
        Box::new(error.into())
    }
}
