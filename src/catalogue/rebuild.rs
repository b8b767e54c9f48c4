//! Opens the index where it was closed cleanly, else makes it anew from the
//! segments.
//!
//! The mark of a clean close names the end of the log and the digest of the
//! index's files. It is removed, durably, before anything is written; so an
//! index that is missing, garbled or of another time than the segments is
//! never believed.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hikae_protocol::digest::{Digest, Domain};
use hikae_protocol::message::decode;
use hikae_protocol::objectpath::LeafKey;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::CatalogueError;
use super::commit::{Commit, Totals};
use super::db::{Db, LeafValue};
use super::leaf::RecordPlace;
use super::open::{Head, LeafItem, RebuildReport, encode};
use super::tree::update;
use crate::disk::{DiskError, Record, StoreFiles, read_record, write_record};
use crate::progress::Monitor;
use crate::seal::SealOptions;
use crate::segment::{
    BlockKind, BlockPlace, ScanEnd, ScannedBlock, SegmentFolder, SegmentReader, scan,
};

/// The name of the value in the index that is the last commit, with the counts.
const META_HEAD: &str = "head";

/// What a clean close leaves behind.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CleanMark {
    end: ScanEnd,
    index: Digest,
}

/// An index that agrees with the segments.
pub(super) struct Opened {
    pub db: Db,
    pub segments: SegmentFolder,
    pub end: ScanEnd,
    pub blocks: HashMap<u64, BlockPlace>,
    pub head: Option<Head>,
    pub report: Option<RebuildReport>,
}

/// The mark of a clean close.
const CLEAN: &str = "clean";

fn disk<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(std::io::Error) -> CatalogueError + 'a {
    move |error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        CatalogueError::Disk(DiskError::at(action, path, errno))
    }
}

/// Opens the index in the folder `index` of the store with `files`, or
/// rebuilds it.
///
/// Errors: `CatalogueError`.
pub(super) fn open_or_rebuild(
    files: &Arc<dyn StoreFiles>,
    index: &Path,
    seal: Option<&SealOptions>,
    monitor: &dyn Monitor,
) -> Result<Opened, CatalogueError> {
    let marked: Record<CleanMark> = read_record(&**files, CLEAN)?;
    let opened = SegmentFolder::open(files.clone(), seal)?;
    files.remove(CLEAN)?;
    files.sync_folder("")?;
    let reason = match marked {
        Record::Absent if !index.exists() => "there was no index",
        Record::Absent => "the store was not closed cleanly",
        Record::Garbled => "the mark of a clean close is garbled",
        Record::Value(marked) => match open_clean(index, &opened, &marked) {
            Ok(Some(opened)) => return Ok(opened),
            Ok(None) => "the index is of another time than the segments",
            Err(_) => "the index could not be read",
        },
    };
    rebuild(index, opened, reason, monitor)
}

/// The index as it was left, if it is the one that the mark speaks of and the
/// segments end where they did.
fn open_clean(
    index: &Path,
    segments: &SegmentFolder,
    marked: &CleanMark,
) -> Result<Option<Opened>, CatalogueError> {
    if !segments.ends_at(marked.end)? || index_digest(index)? != Some(marked.index) {
        return Ok(None);
    }
    let db = Db::open(index, segments.seal())?;
    let head = match db.meta(META_HEAD)? {
        None => None,
        Some(bytes) => {
            let (commit, totals): (Commit, Totals) =
                decode(&bytes).map_err(CatalogueError::Encode)?;
            Some(Head {
                snapshot: commit.snapshot()?,
                commit,
                totals,
            })
        }
    };
    let blocks: Result<HashMap<_, _>, _> = db.blocks().collect();
    Ok(Some(Opened {
        blocks: blocks?,
        end: marked.end,
        head,
        report: None,
        segments: segments.clone(),
        db,
    }))
}

/// Writes the index out and leaves the mark.
///
/// Errors: `CatalogueError`.
pub(super) fn mark_clean(
    files: &dyn StoreFiles,
    index: &Path,
    db: Db,
    end: ScanEnd,
    head: Option<&Head>,
) -> Result<(), CatalogueError> {
    if let Some(head) = head {
        db.set_meta(META_HEAD, &encode(&(&head.commit, head.totals))?)?;
    }
    db.flush()?;
    drop(db);
    if let Some(index) = index_digest(index)? {
        write_record(files, CLEAN, &CleanMark { end, index })?;
    }
    Ok(())
}

/// The digest of the index's files, by name; none if there is no index.
fn index_digest(folder: &Path) -> Result<Option<Digest>, CatalogueError> {
    if !folder.exists() {
        return Ok(None);
    }
    let mut hasher = Domain::Record.hasher();
    for file in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let file = file.map_err(|error| disk("list", folder)(error.into()))?;
        if file.file_type().is_file() {
            let name = file.path().strip_prefix(folder).unwrap_or(file.path());
            let name = name.as_os_str().as_encoded_bytes();
            let mut content = blake3::Hasher::new();
            fs::File::open(file.path())
                .and_then(|file| content.update_reader(file).map(|_| ()))
                .map_err(disk("read", file.path()))?;
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name);
            hasher.update(content.finalize().as_bytes());
        }
    }
    Ok(Some(hasher.into()))
}

fn rebuild(
    index: &Path,
    segments: SegmentFolder,
    reason: &'static str,
    monitor: &dyn Monitor,
) -> Result<Opened, CatalogueError> {
    let started = Instant::now();
    if index.exists() {
        fs::remove_dir_all(index).map_err(disk("remove", index))?;
    }
    monitor.stage("rebuild the index", None);
    let mut replay = Replay {
        db: Db::open(index, segments.seal())?,
        reader: SegmentReader::new(&segments),
        blocks: HashMap::new(),
        head: None,
    };
    let (end, damages) = scan(&segments, |scanned| {
        monitor.advance(1);
        replay.take(scanned)
    })?;
    let (leaves, root_matches) = replay.grow_tree()?;
    let report = RebuildReport {
        reason,
        leaves,
        seconds: started.elapsed().as_secs_f64(),
        damages,
        root_matches,
    };
    for damage in &report.damages {
        monitor.note(&damage.to_string());
    }
    // A store that was never written to is new, not rebuilt.
    let report = (end.segment > 0).then_some(report);
    Ok(Opened {
        db: replay.db,
        segments,
        end,
        blocks: replay.blocks,
        head: replay.head,
        report,
    })
}

/// Takes blocks in the order of the log.
struct Replay {
    db: Db,
    reader: SegmentReader,
    blocks: HashMap<u64, BlockPlace>,
    head: Option<Head>,
}

impl Replay {
    fn take(&mut self, scanned: ScannedBlock) -> Result<(), CatalogueError> {
        let header = scanned.block.header;
        self.blocks.insert(header.id, scanned.place);
        self.db.set_block(header.id, scanned.place)?;
        match header.kind {
            BlockKind::Contents | BlockKind::LeafPart => Ok(()),
            BlockKind::Leaves => self.stage(&scanned),
            BlockKind::Unstage => {
                let items = unpack(&scanned)?;
                self.db.unstage(items.iter())
            }
            BlockKind::Commit => {
                let items = unpack(&scanned)?;
                let commit: Commit = decode(items.get(0).unwrap_or_default())
                    .map_err(|source| record_error(header.id, 0, "commit", source))?;
                self.commit(commit)
            }
        }
    }

    fn stage(&mut self, scanned: &ScannedBlock) -> Result<(), CatalogueError> {
        let block = scanned.block.header.id;
        let mut staged: Vec<(LeafKey, LeafValue)> = Vec::new();
        for (index, item) in unpack(scanned)?.iter().enumerate() {
            let index = index as u32;
            let wrong = |source| record_error(block, index, "leaf record", source);
            let record = match decode(item).map_err(wrong)? {
                LeafItem::Whole(record) => record,
                LeafItem::Split(parts) => match self.joined(&parts) {
                    Ok(whole) => decode(&whole).map_err(wrong)?,
                    Err(error) => {
                        // The root will not match, and the next sync or walk
                        // brings the leaf again.
                        tracing::error!(%error, "a leaf record lies in a damaged block");
                        continue;
                    }
                },
            };
            let value = LeafValue::of(&record, RecordPlace { block, index });
            staged.push((record.key, value));
        }
        self.db.stage(&staged)
    }

    fn joined(&self, parts: &[u64]) -> Result<Vec<u8>, CatalogueError> {
        let mut whole = Vec::new();
        for &block in parts {
            let missing = CatalogueError::Missing { block, index: 0 };
            let place = *self.blocks.get(&block).ok_or(missing)?;
            let items = self.reader.items(block, place)?;
            whole.extend_from_slice(items.get(0).unwrap_or_default());
        }
        Ok(whole)
    }

    fn commit(&mut self, commit: Commit) -> Result<(), CatalogueError> {
        // A commit is written twice; the second only counts if the first is
        // damaged.
        if self
            .head
            .as_ref()
            .is_some_and(|head| head.commit.number >= commit.number)
        {
            return Ok(());
        }
        let staged: Result<Vec<_>, _> = self.db.all_staged().collect();
        let staged = staged?;
        let snapshot = commit.snapshot()?;
        self.db.apply(&staged)?;
        self.db.unstage([])?;
        self.head = Some(Head {
            totals: Totals::of(&snapshot),
            commit,
            snapshot,
        });
        Ok(())
    }

    /// All nodes from all leaves; says how many leaves there are and whether
    /// they add up to the last commit's root.
    fn grow_tree(&mut self) -> Result<(u64, bool), CatalogueError> {
        let leaves: Result<Vec<(LeafKey, LeafValue)>, _> = self.db.leaves_below(&[]).collect();
        let leaves = leaves?;
        let grown = update(
            &self.db,
            leaves.iter().map(|(key, value)| (key, value.digest)),
        )?;
        self.db.set_nodes(&grown.nodes)?;
        if let Some(head) = &mut self.head {
            head.totals = Totals::default();
            for (_, value) in &leaves {
                head.totals.replace(None, value);
            }
        }
        let matches = self
            .head
            .as_ref()
            .is_none_or(|head| head.snapshot.root == grown.root);
        Ok((leaves.len() as u64, matches))
    }
}

fn record_error(
    block: u64,
    index: u32,
    expected: &'static str,
    source: hikae_protocol::message::DecodeError,
) -> CatalogueError {
    CatalogueError::Record {
        block,
        index,
        expected,
        source,
    }
}

fn unpack(scanned: &ScannedBlock) -> Result<hikae_protocol::pack::Items, CatalogueError> {
    Ok(scanned.items()?)
}
