//! The catalogue as a whole: open, append, commit, close.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hikae_protocol::digest::Digest;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::{Items, Pack, PackBuilder};
use hikae_protocol::snapshot::{Snapshot, VerifiedSnapshot};
use serde::Serialize;

use super::chunks::each_chunk;
use super::commit::{Commit, Totals};
use super::db::Db;
use super::item::{Prune, encode};
use super::leaf::{ContentPlace, RecordPlace};
use super::tree::{Overlay, TreeUpdate};
use super::{CatalogueError, checkpoint, rebuild};
use crate::disk::{StoreFiles, StoreFolder};
use crate::progress::Monitor;
use crate::seal::{Passphrase, Seal, SealOptions};
use crate::segment::{
    BlockKind, BlockPlace, CompactSegment, Damage, LogEnd, SEGMENT_BYTES, SEGMENTS, SegmentError,
    SegmentFolder, SegmentLog, SegmentReader,
};

/// Bytes that are appended before a checkpoint is written, at least.
const CHECKPOINT_BYTES: u64 = 1024 * 1024;

/// zstd level of leaf records and commits.
pub(super) const RECORDS_LEVEL: i32 = 3;

/// Why and how the index was made anew.
#[derive(Debug, Clone, Serialize)]
pub struct RebuildReport {
    /// Why.
    pub reason: &'static str,
    /// Whether it began at a checkpoint.
    pub from_checkpoint: bool,
    /// Leaves of the tree.
    pub leaves: u64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// Damaged places of the segments.
    pub damages: Vec<Damage>,
    /// The segments end before the end that the last clean close left: what
    /// was behind is lost.
    pub cut_off: bool,
    /// Whether the leaves add up to the last commit's root.
    pub root_matches: bool,
}

/// What the tree is now.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Number of the last commit; greater than the record's only where damage
    /// took that of the last one.
    pub number: u64,
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
    pub(super) db: Db,
    pub(super) segments: SegmentFolder,
    log: Mutex<SegmentLog>,
    reader: SegmentReader,
    blocks: RwLock<HashMap<u64, BlockPlace>>,
    pub(super) head: RwLock<Option<Head>>,
    limits: Limits,
    /// Where the log ended when the base of the index was made; the begin where
    /// the file `checkpoint` is missing. Held while that is written or removed.
    checkpoint: Mutex<LogEnd>,
    /// Leaves whose newest records were damaged: what those were.
    pub(super) lost: Mutex<HashMap<LeafKey, LostRecord>>,
    rebuilt: Option<RebuildReport>,
    /// Counts by volume, once somebody asked for them.
    pub(super) volume_totals: Mutex<Option<BTreeMap<Vec<u8>, Totals>>>,
}

/// Sizes of a store's files.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes after which the next segment begins.
    pub segment_bytes: u64,
    /// Bytes that are appended before a checkpoint is written, at least.
    pub checkpoint_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            segment_bytes: SEGMENT_BYTES,
            checkpoint_bytes: CHECKPOINT_BYTES,
        }
    }
}

/// A leaf record that was damaged.
#[derive(Debug)]
pub(super) struct LostRecord {
    pub digest: Digest,
    pub commit: u64,
}

impl Catalogue {
    /// Opens the store in `folder`, makes it if there is none, and rebuilds
    /// the index if it was not closed cleanly: with `seal` a sealed store, or a
    /// new one that is sealed from the start, without one that is not.
    ///
    /// Errors: `CatalogueError`; where the store is of the other form, or the
    /// passphrase another one, nothing was changed.
    pub fn open(
        folder: &Path,
        seal: Option<&SealOptions>,
        monitor: &dyn Monitor,
    ) -> Result<Catalogue, CatalogueError> {
        let files = Arc::new(StoreFolder::open(folder, &[SEGMENTS])?);
        let index = folder.join("catalogue");
        Catalogue::open_files(files, &index, seal, Limits::default(), monitor)
    }

    /// The same from all segments: neither the index nor the checkpoint is
    /// believed.
    ///
    /// Errors: `CatalogueError`; what `open` leaves unchanged this does, too.
    pub fn open_anew(
        folder: &Path,
        seal: Option<&SealOptions>,
        monitor: &dyn Monitor,
    ) -> Result<Catalogue, CatalogueError> {
        let files: Arc<dyn StoreFiles> = Arc::new(StoreFolder::open(folder, &[SEGMENTS])?);
        let index = folder.join("catalogue");
        let limits = Limits::default();
        let opened = rebuild::open_anew(&files, &index, (seal, limits), monitor)?;
        Catalogue::of(files, &index, limits, opened)
    }

    /// Opens the store with these files, whose index is the folder `index`.
    ///
    /// Errors: `CatalogueError`.
    pub fn open_files(
        files: Arc<dyn StoreFiles>,
        index: &Path,
        seal: Option<&SealOptions>,
        limits: Limits,
        monitor: &dyn Monitor,
    ) -> Result<Catalogue, CatalogueError> {
        let opened = rebuild::open_or_rebuild(&files, index, (seal, limits), monitor)?;
        Catalogue::of(files, index, limits, opened)
    }

    fn of(
        files: Arc<dyn StoreFiles>,
        index: &Path,
        limits: Limits,
        opened: rebuild::Opened,
    ) -> Result<Catalogue, CatalogueError> {
        let log = SegmentLog::open(&opened.segments, opened.end, limits.segment_bytes)?;
        Ok(Catalogue {
            files,
            index: index.to_path_buf(),
            reader: SegmentReader::new(&opened.segments),
            segments: opened.segments,
            db: opened.db,
            limits,
            checkpoint: Mutex::new(opened.checkpoint),
            lost: Mutex::new(HashMap::new()),
            log: Mutex::new(log),
            blocks: RwLock::new(opened.blocks),
            head: RwLock::new(opened.head),
            rebuilt: opened.report,
            volume_totals: Mutex::new(None),
        })
    }

    /// The files of the store.
    pub fn files(&self) -> &dyn StoreFiles {
        &*self.files
    }

    /// The seal of a sealed store.
    pub fn seal(&self) -> Option<&Arc<Seal>> {
        self.segments.seal()
    }

    /// Gives a sealed store another passphrase, if `old` is the one that it
    /// has.
    ///
    /// Errors: `CatalogueError`; the old one then still opens it.
    pub fn change_passphrase(
        &self,
        old: &Passphrase,
        new: Passphrase,
    ) -> Result<(), CatalogueError> {
        Ok(self.segments.change_passphrase(old, new)?)
    }

    /// The report of the rebuild, if this opening needed one.
    pub fn rebuilt(&self) -> Option<&RebuildReport> {
        self.rebuilt.as_ref()
    }

    fn log(&self) -> MutexGuard<'_, SegmentLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn place(&self, block: u64) -> Result<BlockPlace, CatalogueError> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let place = blocks.get(&block).copied();
        place.ok_or(missing(RecordPlace { block, index: 0 }))
    }

    /// The items of a block.
    ///
    /// Errors: `CatalogueError::Missing`, `CatalogueError::Segment`.
    pub fn items(&self, block: u64) -> Result<Arc<Items>, CatalogueError> {
        let place = self.place(block)?;
        match self.reader.items(block, place) {
            // It was moved while it was read.
            Err(_) if self.place(block)? != place => {
                Ok(self.reader.items(block, self.place(block)?)?)
            }
            items => Ok(items?),
        }
    }

    /// Goes on after a block could not be written, if that can be made good.
    ///
    /// Errors: `CatalogueError::Segment`.
    pub fn recover(&self) -> Result<(), CatalogueError> {
        Ok(self.log().recover()?)
    }

    /// Where the log ends.
    pub(super) fn log_end(&self) -> LogEnd {
        self.log().end()
    }

    /// Begins the next segment.
    pub(super) fn roll(&self) -> Result<(), CatalogueError> {
        Ok(self.log().roll()?)
    }

    /// Puts a segment that was written anew in the old one's place. The
    /// checkpoint, which says where blocks lie, goes first; none is written
    /// meanwhile. As the base of the index it stays readable.
    pub(super) fn adopt(&self, compact: &CompactSegment) -> Result<(), CatalogueError> {
        let _none = self.last_checkpoint();
        if self.files.length(checkpoint::CHECKPOINT)?.is_some() {
            self.files.remove(checkpoint::CHECKPOINT)?;
            self.files.sync_folder("")?;
        }
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        self.segments.adopt(compact)?;
        blocks.extend(compact.kept.iter().copied());
        for id in &compact.dropped {
            blocks.remove(id);
        }
        drop(blocks);
        self.segments.sync_names()?;
        let kept = compact.kept.iter().map(|&(id, place)| (id, Some(place)));
        let dropped = compact.dropped.iter().map(|&id| (id, None));
        self.db.set_blocks(kept.chain(dropped))
    }

    /// Where every block lies.
    pub(super) fn block_places(&self) -> Vec<(u64, BlockPlace)> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().map(|(&id, &place)| (id, place)).collect()
    }

    /// Reads a block again from the disk.
    pub(super) fn read_block(&self, place: BlockPlace) -> Result<(), SegmentError> {
        self.reader.read_pack(place).map(drop)
    }

    /// The kind of a block, if its header is whole.
    pub(super) fn block_kind(&self, id: u64) -> Option<BlockKind> {
        let header = self.reader.header(self.place(id).ok()?);
        header.ok().map(|header| header.kind)
    }

    /// What is wrong with a block that lay at `place`, if anything is: it may
    /// have been moved, or dropped, since.
    fn damage_of(&self, id: u64, place: BlockPlace) -> Option<SegmentError> {
        let error = self.read_block(place).err()?;
        match self.place(id) {
            Ok(now) if now == place => Some(error),
            Ok(now) => self.damage_of(id, now),
            Err(_) => None,
        }
    }

    /// Reads every block again, commits and superseded records too; says what
    /// is wrong with each damaged one.
    pub fn damaged_blocks(&self) -> Vec<SegmentError> {
        let mut places = self.block_places();
        places.sort_unstable_by_key(|(_, place)| (place.segment, place.offset));
        let damaged = places.into_iter();
        damaged
            .filter_map(|(id, place)| self.damage_of(id, place))
            .collect()
    }

    /// Hands a stored content to `each`, chunk by chunk.
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
            ContentPlace::Item { block, index } => {
                let (items, index) = item(block, index)?;
                each(items.get(index).unwrap_or_default())
            }
            ContentPlace::Chunks { block, index } => {
                let list = RecordPlace { block, index };
                each_chunk(self, list, |_| (), |chunk| self.chunk(chunk, &mut each))
            }
            ContentPlace::Storage
            | ContentPlace::Lacking
            | ContentPlace::Partial { .. }
            | ContentPlace::NotHeld => Err(missing(RecordPlace { block: 0, index: 0 }).into()),
        }
    }

    /// Appends a block and says its id.
    pub(super) fn append(&self, kind: BlockKind, pack: &Pack) -> Result<u64, CatalogueError> {
        let (id, place) = self.log().append(kind, pack)?;
        self.blocks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, place);
        self.db.set_blocks([(id, Some(place))])?;
        Ok(id)
    }

    /// Appends contents and says by which block id they are found.
    ///
    /// Errors: `CatalogueError`.
    pub fn append_contents(&self, pack: &Pack) -> Result<u64, CatalogueError> {
        self.append(BlockKind::Contents, pack)
    }

    /// Bytes that name facilities or patients, as they are kept beside the
    /// segments under a name: sealed where the store is.
    ///
    /// Errors: `CatalogueError::Segment`.
    pub fn hide(&self, name: &str, plain: Vec<u8>) -> Result<Vec<u8>, CatalogueError> {
        let hidden = match self.segments.seal() {
            None => return Ok(plain),
            Some(seal) => seal.seal_value(name, &[], &plain),
        };
        hidden.map_err(|error| SegmentError::from(error).into())
    }

    /// What `hide` was given.
    ///
    /// Errors: `CatalogueError::Segment` if it is not of this store.
    pub fn reveal(&self, name: &str, hidden: Vec<u8>) -> Result<Vec<u8>, CatalogueError> {
        let plain = match self.segments.seal() {
            None => return Ok(hidden),
            Some(seal) => seal.open_value(name, &[], &hidden),
        };
        plain.map_err(|error| SegmentError::from(error).into())
    }

    /// Makes everything appended so far durable.
    ///
    /// Errors: `CatalogueError::Segment`.
    pub fn sync(&self) -> Result<(), CatalogueError> {
        Ok(self.log().sync()?)
    }

    /// The same, if much was appended since, or some of it some time ago: what
    /// is staged then survives a power cut before the commit.
    ///
    /// Errors: `CatalogueError::Segment`.
    pub fn sync_if_due(&self) -> Result<(), CatalogueError> {
        let mut log = self.log();
        match log.is_sync_due() {
            true => Ok(log.sync()?),
            false => Ok(()),
        }
    }

    /// Makes the staged leaves, with which tree and counts become `update` and
    /// `totals`, the tree of `snapshot`. Durable when it returns: what was
    /// staged is synced before the commit is written, and the commit before it
    /// is acknowledged.
    ///
    /// Where a checkpoint is due the leaves go straight into it, and never
    /// through the tables of what changed since.
    ///
    /// Errors: `CatalogueError::Root` if they do not add up to its root.
    pub fn commit(
        &self,
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
        let pack = pack.finish(RECORDS_LEVEL).map_err(CatalogueError::Pack)?;
        // Twice: nothing follows the last commit that would tell its damage
        // from a torn tail.
        let block = self.append(BlockKind::Commit, &pack)?;
        self.append(BlockKind::Commit, &pack)?;
        self.sync()?;
        let log = self.log().end();
        let accepted = (commit.number, (block, now_ms));
        let mut last = self.last_checkpoint();
        let base = match self.is_checkpoint_due(log, *last) {
            true => {
                let tree = self.db.tree(&update.nodes, accepted);
                let written = checkpoint::write(&self.segments, tree, (log, &commit));
                // The commit stands without, and a rebuild only takes longer.
                written
                    .inspect_err(|error| tracing::warn!(%error, "no checkpoint was written"))
                    .ok()
            }
            false => None,
        };
        // Nobody has a view while the tables change.
        let mut head = self.head.write().unwrap_or_else(PoisonError::into_inner);
        self.count_staged()?;
        match base {
            Some(base) => {
                self.db.rebase(base)?;
                *last = log;
            }
            None => {
                self.db.apply_staged()?;
                self.db.set_nodes(&update.nodes)?;
            }
        }
        self.db.unstage([])?;
        self.db.set_commit(accepted)?;
        *head = Some(Head {
            number: commit.number,
            commit: commit.clone(),
            snapshot: snapshot.snapshot().clone(),
            totals,
        });
        Ok(commit)
    }

    /// Whether more was appended until `log` than the last checkpoint has
    /// bytes: so they never cost more than the log itself.
    fn is_checkpoint_due(&self, log: LogEnd, last: LogEnd) -> bool {
        let appended = log.bytes_since(last, self.limits.segment_bytes);
        appended >= self.db.base_bytes().max(self.limits.checkpoint_bytes)
    }

    /// Writes a checkpoint from all segments, for the base can't be read.
    pub(super) fn replay_checkpoint(&self, commit: &Commit) -> Result<(), CatalogueError> {
        let mut last = self.last_checkpoint();
        let log = self.log().end();
        let base = rebuild::replayed_base(&self.segments, (log, commit))?;
        let _alone = self.head.write().unwrap_or_else(PoisonError::into_inner);
        self.db.rebase(base)?;
        *last = log;
        Ok(())
    }

    /// Writes a checkpoint of the tree, which becomes the base of the index;
    /// nothing may be staged.
    pub(super) fn write_checkpoint(&self, commit: &Commit) -> Result<(), CatalogueError> {
        let mut last = self.last_checkpoint();
        let log = self.log().end();
        let Some(block) = self.db.commit_block(commit.number)? else {
            return Err(missing(RecordPlace { block: 0, index: 0 }));
        };
        let nodes = Overlay::new();
        let tree = self
            .db
            .tree(&nodes, (commit.number, (block, commit.accepted_ms)));
        let base = checkpoint::write(&self.segments, tree, (log, commit))?;
        // Nobody has a view while the tables are emptied.
        let _alone = self.head.write().unwrap_or_else(PoisonError::into_inner);
        self.db.rebase(base)?;
        *last = log;
        Ok(())
    }

    /// Removes the checkpoint, durably; the next commit writes one.
    pub(super) fn remove_checkpoint(&self) -> Result<(), CatalogueError> {
        let mut last = self.last_checkpoint();
        self.files.remove(checkpoint::CHECKPOINT)?;
        self.files.sync_folder("")?;
        *last = LogEnd::EMPTY;
        Ok(())
    }

    fn last_checkpoint(&self) -> MutexGuard<'_, LogEnd> {
        let last = self.checkpoint.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends, durably, that commits before `oldest` are forgotten.
    pub(super) fn append_prune(&self, oldest: u64) -> Result<(), CatalogueError> {
        let mut pack = PackBuilder::default();
        pack.push(&encode(&Prune { oldest })?);
        let pack = pack.finish(RECORDS_LEVEL).map_err(CatalogueError::Pack)?;
        self.append(BlockKind::Prune, &pack)?;
        self.sync()
    }

    /// Closes cleanly: the next opening needs no rebuild.
    ///
    /// Errors: `CatalogueError`; the next opening then rebuilds.
    pub fn close(self) -> Result<(), CatalogueError> {
        self.sync()?;
        if self.db.has_base() && self.files.length(checkpoint::CHECKPOINT)?.is_none() {
            // A compaction or a repair took it away and could write none since:
            // what the index needs is in the segments alone.
            return Ok(());
        }
        let end = self.log().end();
        let head = self.head.into_inner();
        let head = head.unwrap_or_else(PoisonError::into_inner);
        let checkpoint = self.checkpoint.into_inner();
        let checkpoint = checkpoint.unwrap_or_else(PoisonError::into_inner);
        let ends = (end, checkpoint);
        rebuild::mark_clean(&*self.files, &self.index, self.db, ends, head.as_ref())
    }
}

pub(super) fn missing(place: RecordPlace) -> CatalogueError {
    CatalogueError::Missing {
        block: place.block,
        index: place.index,
    }
}

impl From<SegmentError> for Box<CatalogueError> {
    fn from(error: SegmentError) -> Box<CatalogueError> {
        Box::new(error.into())
    }
}
