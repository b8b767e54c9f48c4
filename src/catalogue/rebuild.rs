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
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::CatalogueError;
use super::checkpoint::{self, Base, CHECKPOINT};
use super::commit::{Commit, Totals};
use super::db::Db;
use super::item::encode;
use super::open::{Head, Limits, RebuildReport};
use super::replay::Replay;
use crate::disk::{DiskError, Record, StoreFiles, read_record, write_record};
use crate::progress::{Monitor, Silent};
use crate::seal::SealOptions;
use crate::segment::{BlockPlace, Damage, LogEnd, SegmentFolder, scan};

/// The name of the value in the index that is the last commit, with the counts.
const META_HEAD: &str = "head";

/// What a clean close leaves behind.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CleanMark {
    end: LogEnd,
    /// Where the log ended at the last checkpoint.
    checkpoint: LogEnd,
    index: Digest,
}

/// An index that agrees with the segments.
pub(super) struct Opened {
    pub db: Db,
    pub segments: SegmentFolder,
    pub end: LogEnd,
    /// Where the log ended at the last checkpoint.
    pub checkpoint: LogEnd,
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
    (seal, limits): (Option<&SealOptions>, Limits),
    monitor: &dyn Monitor,
) -> Result<Opened, CatalogueError> {
    let (marked, segments) = unmarked(files, seal, &[CLEAN])?;
    let (mut reason, mut cut_off) = match &marked {
        Record::Absent if !index.exists() => ("there was no index", false),
        Record::Absent => ("the store was not closed cleanly", false),
        Record::Garbled => ("the mark of a clean close is garbled", false),
        Record::Value(marked) => match open_clean(index, &segments, marked) {
            Ok(Some(opened)) => return Ok(opened),
            Ok(None) => ("the index is of another time than the segments", false),
            Err(error) => {
                tracing::warn!(%error, "the index is not used");
                ("the index could not be read", false)
            }
        },
    };
    if is_cut_off(&marked, &segments)? {
        reason = "the segments end before the end that the last clean close left";
        cut_off = true;
    }
    rebuild(index, segments, (reason, cut_off), limits, monitor)
}

/// Rebuilds the index from all segments.
///
/// Errors: `CatalogueError`; where the segments can't be opened nothing was
/// changed.
pub(super) fn open_anew(
    files: &Arc<dyn StoreFiles>,
    index: &Path,
    (seal, limits): (Option<&SealOptions>, Limits),
    monitor: &dyn Monitor,
) -> Result<Opened, CatalogueError> {
    let (marked, segments) = unmarked(files, seal, &[CLEAN, CHECKPOINT])?;
    let cut_off = is_cut_off(&marked, &segments)?;
    rebuild(
        index,
        segments,
        ("it was asked for", cut_off),
        limits,
        monitor,
    )
}

/// Opens the segments, and takes away what says more than they do; gives the
/// mark that was there.
fn unmarked(
    files: &Arc<dyn StoreFiles>,
    seal: Option<&SealOptions>,
    gone: &[&str],
) -> Result<(Record<CleanMark>, SegmentFolder), CatalogueError> {
    let marked = read_record(&**files, CLEAN)?;
    let segments = SegmentFolder::open(files.clone(), seal)?;
    segments.remove_remains()?;
    gone.iter().try_for_each(|name| files.remove(name))?;
    files.sync_folder("")?;
    Ok((marked, segments))
}

/// Whether the segments end before a clean close left them.
fn is_cut_off(
    marked: &Record<CleanMark>,
    segments: &SegmentFolder,
) -> Result<bool, CatalogueError> {
    Ok(match marked {
        Record::Value(marked) => !segments.reaches(marked.end)?,
        Record::Absent | Record::Garbled => false,
    })
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
    if marked.checkpoint != LogEnd::EMPTY {
        match Base::open(segments)? {
            Some((base, _)) if base.log == marked.checkpoint => db.set_base(base),
            _ => return Ok(None),
        }
    }
    let head = match db.meta(META_HEAD)? {
        None => None,
        Some(bytes) => {
            let (number, commit, totals): (u64, Commit, Totals) =
                decode(&bytes).map_err(CatalogueError::Encode)?;
            Some(Head {
                number,
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
        checkpoint: marked.checkpoint,
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
    (end, checkpoint): (LogEnd, LogEnd),
    head: Option<&Head>,
) -> Result<(), CatalogueError> {
    if let Some(head) = head {
        db.set_meta(
            META_HEAD,
            &encode(&(head.number, &head.commit, head.totals))?,
        )?;
    }
    db.close(index)?;
    if let Some(index) = index_digest(index)? {
        let mark = CleanMark {
            end,
            checkpoint,
            index,
        };
        write_record(files, CLEAN, &mark)?;
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

/// What segments and checkpoint of a store say, without an index.
pub struct StoreState {
    /// What came after the checkpoint, or everything.
    replay: Replay,
    base: Option<Base>,
    /// Where reading the segments began.
    from: LogEnd,
    /// Where the log ends.
    pub end: LogEnd,
    /// Damaged places of the segments that were read.
    pub damages: Vec<Damage>,
}

impl StoreState {
    /// Reads the checkpoint, if it is to be believed, and the segments behind.
    ///
    /// Errors: `CatalogueError`.
    pub fn read(
        segments: &SegmentFolder,
        monitor: &dyn Monitor,
    ) -> Result<StoreState, CatalogueError> {
        monitor.stage("rebuild the index", None);
        let checkpoint = Base::open(segments).unwrap_or_else(|error| {
            // Everything is in the segments, too.
            tracing::warn!(%error, "the checkpoint is not used");
            None
        });
        if let Some((base, known)) = checkpoint {
            let (replay, from) = (Replay::behind(known), base.log);
            let state = StoreState::replayed(segments, (replay, Some(base), from), monitor)?;
            if state.damages.is_empty() {
                return Ok(state);
            }
            // What the damage took is to be found out from everything.
        }
        StoreState::replayed(segments, (Replay::default(), None, LogEnd::EMPTY), monitor)
    }

    /// Leaves of the tree that were read from the segments, not the checkpoint.
    pub fn leaves_read(&self) -> u64 {
        self.replay.tree.len() as u64
    }

    fn replayed(
        segments: &SegmentFolder,
        (mut replay, base, from): (Replay, Option<Base>, LogEnd),
        monitor: &dyn Monitor,
    ) -> Result<StoreState, CatalogueError> {
        let (end, damages) = scan(segments, from, |scanned| {
            monitor.advance(1);
            replay.take(&scanned)
        })?;
        Ok(StoreState {
            replay,
            base,
            from,
            end,
            damages,
        })
    }
}

/// Writes a checkpoint from all segments, whose log ends at `log` with `commit` as
/// the last one.
///
/// Errors: `CatalogueError`, also where they are damaged or do not add up.
pub(super) fn replayed_base(
    segments: &SegmentFolder,
    (log, commit): (LogEnd, &Commit),
) -> Result<Base, CatalogueError> {
    let from = (Replay::default(), None, LogEnd::EMPTY);
    let state = StoreState::replayed(segments, from, &Silent)?;
    let whole = state.damages.is_empty() && state.end == log && state.replay.staged.is_empty();
    let grown = state.replay.grown_alone()?;
    if !whole || grown.update.root != commit.snapshot()?.root {
        return Err(CatalogueError::Index {
            folder: segments.files().path(CHECKPOINT),
            what: "the segments do not give what it was".into(),
        });
    }
    let tree = state.replay.whole_tree(&grown.leaves, &grown.update.nodes);
    checkpoint::write(segments, tree, (log, commit))
}

fn rebuild(
    index: &Path,
    segments: SegmentFolder,
    (reason, cut_off): (&'static str, bool),
    limits: Limits,
    monitor: &dyn Monitor,
) -> Result<Opened, CatalogueError> {
    let started = Instant::now();
    if index.exists() {
        fs::remove_dir_all(index).map_err(disk("remove", index))?;
    }
    let StoreState {
        mut replay,
        base,
        from,
        end,
        damages,
    } = StoreState::read(&segments, monitor)?;
    let db = Db::open(index, segments.seal())?;
    let from_checkpoint = base.is_some();
    match base {
        Some(base) => db.rebase(base)?,
        None => {
            // It is not believed, and of a damaged store there is none: it would
            // hide what is missing.
            segments.files().remove(CHECKPOINT)?;
            segments.files().sync_folder("")?;
            if !damages.is_empty() {
                replay.drop_unreadable(&segments);
            }
            // What is left of the volumes: a record that can't be read says nothing.
            replay.empty_below_bare();
        }
    }
    let mut checkpoint = from;
    let (head, root_matches, leaves) = replay.index(&db, |(leaves, nodes, commit)| {
        let appended = end.bytes_since(LogEnd::EMPTY, limits.segment_bytes);
        if !damages.is_empty() || appended < limits.checkpoint_bytes {
            return Ok(None);
        }
        checkpoint = end;
        let tree = replay.whole_tree(leaves, nodes);
        checkpoint::write(&segments, tree, (end, commit)).map(Some)
    })?;
    let report = RebuildReport {
        reason,
        from_checkpoint,
        leaves,
        seconds: started.elapsed().as_secs_f64(),
        damages,
        cut_off,
        root_matches,
    };
    for damage in &report.damages {
        monitor.note(&damage.to_string());
    }
    // A store that was never written to is new, not rebuilt.
    let report = (end.segment > 0).then_some(report);
    Ok(Opened {
        db,
        segments,
        end,
        checkpoint,
        blocks: replay.blocks,
        head,
        report,
    })
}
