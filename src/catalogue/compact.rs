//! Compaction of the store: finds the blocks that any state still needs, and
//! writes segments anew without the others.
//!
//! What is needed follows from the leaves alone: their records back to the
//! oldest commit that is kept, the pages of these, and their contents. Blocks
//! move by their ids, so no record is written again.
//!
//! Only its begin wants the store still. From then on commits may be made: what
//! is appended meanwhile is kept, for a later compaction to judge, and what was
//! needed is found in an order in which no record that moves from staged to the
//! tree is missed.

use std::collections::{BinaryHeap, HashSet};

use serde::Serialize;

use super::CatalogueError;
use super::chunks::each_chunk;
use super::item::{List, PageRef};
use super::leaf::{ContentPlace, FileRecord, RecordPlace};
use super::open::Catalogue;
use super::records::Blocks;
use crate::progress::Monitor;
use crate::segment::{BlockHeader, BlockKind};

/// A segment is written anew when at least one part in so many of its bytes is
/// needed no more.
const DEAD_SHARE: u64 = 4;

/// A compaction that was begun.
#[derive(Debug)]
pub struct Compaction {
    /// The oldest commit that is kept.
    oldest: u64,
    /// Commits that were forgotten.
    forgotten: u64,
    /// Blocks from this id on came later, and are not judged.
    next_id: u64,
}

/// What a compaction did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CompactReport {
    /// Commits that can't be looked back to any more.
    pub commits_forgotten: u64,
    /// Segments of the store.
    pub segments: u64,
    /// Segments that were written anew.
    pub segments_compacted: u64,
    /// Segments that are damaged and were left as they are.
    pub segments_damaged: Vec<String>,
    /// Bytes of all blocks before.
    pub bytes_before: u64,
    /// Bytes that were freed.
    pub bytes_freed: u64,
    /// Bytes that were taken beside the store at one time, at most: the segment
    /// that is written anew.
    pub extra_bytes_max: u64,
    /// How long it took, seconds.
    pub seconds: f64,
}

impl Catalogue {
    /// The commits that are remembered, oldest first: number, and when it was
    /// accepted in milliseconds since the epoch.
    ///
    /// Errors: `CatalogueError`.
    pub fn commits(&self) -> Result<Vec<(u64, i64)>, CatalogueError> {
        let commits = self.db.commits();
        commits
            .map(|commit| commit.map(|(number, (_, accepted_ms))| (number, accepted_ms)))
            .collect()
    }

    /// Frees what only states before commit `oldest` need, at once.
    ///
    /// Errors: `CatalogueError`; a store whose compaction was cut off is whole.
    pub fn compact(
        &self,
        oldest: u64,
        monitor: &dyn Monitor,
    ) -> Result<CompactReport, CatalogueError> {
        let Some(compaction) = self.begin_compaction(oldest)? else {
            return Ok(CompactReport::default());
        };
        let report = self.run_compaction(&compaction, monitor)?;
        self.end_compaction(&report)?;
        Ok(report)
    }

    /// Forgets the commits before `oldest`; none without any commit. Nobody may
    /// be about to stage or commit, or look back to what is forgotten.
    ///
    /// Errors: `CatalogueError`.
    pub fn begin_compaction(&self, oldest: u64) -> Result<Option<Compaction>, CatalogueError> {
        let Some(commit) = self.commit_record() else {
            return Ok(None);
        };
        // What was forgotten before is gone.
        let first = self.commits()?.first().map_or(0, |(number, _)| *number);
        let oldest = oldest.max(first).min(commit.number);
        let forgotten: Vec<u64> = self
            .commits()?
            .into_iter()
            .map(|(number, _)| number)
            .filter(|&number| number < oldest)
            .collect();
        if !forgotten.is_empty() {
            // First: a state of which something is gone is never looked for.
            self.append_prune(oldest)?;
        }
        for &number in &forgotten {
            self.db.forget_commit(number)?;
        }
        Ok(Some(Compaction {
            oldest,
            forgotten: forgotten.len() as u64,
            next_id: self.log_end().next_id,
        }))
    }

    /// Writes segments anew without what is not needed, one after the other.
    /// Others may stage, commit and read meanwhile, but not compact or heal.
    ///
    /// Errors: `CatalogueError`; a store whose compaction was cut off is whole.
    pub fn run_compaction(
        &self,
        compaction: &Compaction,
        monitor: &dyn Monitor,
    ) -> Result<CompactReport, CatalogueError> {
        let started = std::time::Instant::now();
        let mut report = CompactReport {
            commits_forgotten: compaction.forgotten,
            ..CompactReport::default()
        };
        monitor.stage("find what is needed", None);
        let live = self.live_blocks(compaction.oldest, monitor)?;
        let needed = |header: &BlockHeader| {
            matches!(header.kind, BlockKind::Unstage | BlockKind::Prune)
                || header.id >= compaction.next_id
                || live.contains(&header.id)
        };
        let newest = self.segments.segment_use(self.log_end().segment, needed)?;
        if newest.is_worth_it(DEAD_SHARE) {
            self.roll()?;
        }
        let sealed = self.segments.sealed()?;
        report.segments = sealed.len() as u64 + 1;
        monitor.stage("compact segments", Some(sealed.len() as u64));
        for number in sealed {
            monitor.advance(1);
            let used = self.segments.segment_use(number, needed)?;
            report.bytes_before += used.bytes;
            if used.is_damaged {
                let path = self.segments.path(number);
                report.segments_damaged.push(path.display().to_string());
                continue;
            }
            if !used.is_worth_it(DEAD_SHARE) {
                continue;
            }
            let compact = self.segments.compact(number, needed)?;
            report.extra_bytes_max = report.extra_bytes_max.max(compact.bytes);
            self.adopt(&compact)?;
            report.bytes_freed += compact.freed;
            report.segments_compacted += 1;
        }
        report.bytes_before += self.log_end().offset;
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Writes the checkpoint that a compaction removed; where something is staged,
    /// the next commit does. Nobody may be about to stage or commit.
    ///
    /// Errors: `CatalogueError`.
    pub fn end_compaction(&self, report: &CompactReport) -> Result<(), CatalogueError> {
        if report.segments_compacted == 0 {
            return Ok(());
        }
        match self.commit_record() {
            Some(commit) if !self.has_staged() => self.write_checkpoint(&commit),
            _ => self.remove_checkpoint(),
        }
    }

    /// The blocks that the states from commit `oldest` on need, and what is
    /// staged.
    pub(super) fn live_blocks(
        &self,
        oldest: u64,
        monitor: &dyn Monitor,
    ) -> Result<HashSet<u64>, CatalogueError> {
        let mut live = HashSet::new();
        for commit in self.db.commits() {
            let (number, (block, _)) = commit?;
            if number >= oldest {
                // Its second copy follows it.
                live.extend([block, block + 1]);
            }
        }
        // Records by block, the newest first: each block is read once.
        let mut records: BinaryHeap<(u64, u32)> = BinaryHeap::new();
        let still = self.view();
        for leaf in self.db.all_staged().chain(self.db.leaves_below(&[])) {
            let (_, value) = leaf?;
            records.push((value.place.block, value.place.index));
        }
        drop(still);
        while let Some((block, index)) = records.pop() {
            monitor.advance(1);
            if records.peek() == Some(&(block, index)) {
                continue;
            }
            live.insert(block);
            let item = self.leaf_item(RecordPlace { block, index })?;
            let previous = item.previous.filter(|_| item.summary.commit > oldest);
            records.extend(previous.map(|place| (place.block, place.index)));
            self.mark_files(item.files, &mut live)?;
            self.mark_files(item.standins, &mut live)?;
            if let List::Paged(list) = item.tombstones {
                self.lowest_pages(list, |page| {
                    live.insert(page.place.block);
                })?;
            }
        }
        Ok(live)
    }

    fn mark_files(
        &self,
        list: List<FileRecord>,
        live: &mut HashSet<u64>,
    ) -> Result<(), CatalogueError> {
        let files = match list {
            List::Here(files) => files,
            List::Paged(list) => {
                let lowest = self.lowest_pages(list, |page| {
                    live.insert(page.place.block);
                })?;
                for page in lowest {
                    self.mark_files(List::Here(self.page(&page)?), live)?;
                }
                return Ok(());
            }
        };
        for file in files {
            match file.content {
                ContentPlace::Storage | ContentPlace::Lacking | ContentPlace::NotHeld => {}
                ContentPlace::Item { block, .. } => {
                    live.insert(block);
                }
                ContentPlace::Chunks { block, index } | ContentPlace::Partial { block, index } => {
                    live.insert(block);
                    self.mark_chunks(RecordPlace { block, index }, live)?;
                }
            }
        }
        Ok(())
    }

    fn mark_chunks(
        &self,
        list: RecordPlace,
        live: &mut HashSet<u64>,
    ) -> Result<(), CatalogueError> {
        let (mut pages, mut chunks) = (Vec::new(), Vec::new());
        let mut last = 0;
        let page = |page: &PageRef| pages.push(page.place.block);
        each_chunk(self, list, page, |chunk| {
            // Neighbours mostly share a block.
            if std::mem::replace(&mut last, chunk.place.block) != chunk.place.block {
                chunks.push(chunk.place.block);
            }
            Ok::<(), CatalogueError>(())
        })?;
        live.extend(pages.into_iter().chain(chunks));
        Ok(())
    }
}
