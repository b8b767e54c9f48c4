//! The tree: the plain SS-MIX2 folders that other programs read, brought from
//! what they show to what is durable.
//!
//! Reads correctly at every moment: a name appears with its whole content,
//! and of one record never two files are valid (`_1`) unless the source has
//! two. Everything happens below an open descriptor of the tree's root;
//! temporary names live in one hidden folder of it and nowhere else.

#[cfg(test)]
mod laboratory;
mod leaf;
mod mark;
mod staging;
mod steps;

pub use mark::PublishedMark;
pub use steps::{RecordSteps, steps};

use std::path::{Path, PathBuf};

use hikae_protocol::objectpath::LeafKey;
use rayon::prelude::*;
use serde::Serialize;

use crate::catalogue::{Catalogue, CatalogueError};
use crate::disk::{Directory, DiskError};
use crate::progress::Monitor;
use leaf::{LeafPlan, Touched};
use staging::Staging;

/// Leaves that are prepared, synced and renamed together.
const BATCH_LEAVES: usize = 8192;
/// Leaves that one thread takes at once: neighbours share folders and blocks.
const TASK_LEAVES: usize = 64;
/// Below this many files each is synced by itself, above it the file system.
const SYNC_EACH_MAX: u64 = 256;

/// Why the tree could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The store failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Another directory stands where the tree was.
    #[error(
        "{tree} is another directory than the one that was published to (an unmounted disk?); \
         if it is meant, remove {mark}: everything is published anew"
    )]
    Swapped {
        /// The tree.
        tree: PathBuf,
        /// The mark that remembers it.
        mark: PathBuf,
    },
    /// A facility that has the name of the folder for temporary files.
    #[error("leaf {0}: a facility may not begin with .hikae, the tree keeps temporary files there")]
    Reserved(hikae_protocol::objectpath::PathText),
    /// The tree's mark does not decode.
    #[error("{0} is no mark of a published tree; remove it, everything is published anew")]
    Mark(PathBuf),
}

/// What a publication did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PublishReport {
    /// Leaves brought up to date.
    pub leaves: u64,
    /// Files written from the store.
    pub files_written: u64,
    /// Bytes of those.
    pub bytes_written: u64,
    /// Files renamed in the tree.
    pub files_renamed: u64,
    /// Files removed.
    pub files_removed: u64,
    /// Leaves that were compared with the disk after an unclean stop.
    pub leaves_recovered: u64,
    /// Files that are not ours: left where they are.
    pub foreign: Vec<String>,
    /// How long it took, seconds.
    pub seconds: f64,
}

impl PublishReport {
    fn add(&mut self, other: PublishReport) {
        self.files_written += other.files_written;
        self.bytes_written += other.bytes_written;
        self.files_renamed += other.files_renamed;
        self.files_removed += other.files_removed;
        self.leaves_recovered += other.leaves_recovered;
        self.foreign.extend(other.foreign);
    }
}

/// Brings the tree from what its mark says to the last commit.
///
/// Errors: `PublishError`; the next call goes on where this one stopped.
pub fn publish(
    catalogue: &Catalogue,
    tree: &Path,
    monitor: &dyn Monitor,
) -> Result<PublishReport, PublishError> {
    let started = std::time::Instant::now();
    let mut report = PublishReport::default();
    let Some(commit) = catalogue.commit_record() else {
        return Ok(report);
    };
    std::fs::create_dir_all(tree).map_err(|error| {
        DiskError::at(
            "create",
            tree,
            rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO),
        )
    })?;
    let root = Directory::open_root(tree)?;
    let mut mark = PublishedMark::load(catalogue.files(), tree, &root)?;
    let keys = catalogue.committed_since(mark.commit)?;
    if keys.is_empty() && !mark.working && mark.commit == commit.number {
        return Ok(report);
    }
    let recovering = mark.working;
    mark.working = true;
    mark.save(catalogue.files())?;
    let staging = Staging::open(&root)?;
    monitor.stage("publish the tree", Some(keys.len() as u64));
    let publication = Publication {
        catalogue,
        root: &root,
        staging: &staging,
        published: mark.commit,
        recovering,
        monitor,
    };
    let mut large = false;
    for batch in keys.chunks(BATCH_LEAVES) {
        let (counts, synced_whole) = publication.batch(batch)?;
        large |= synced_whole;
        report.add(counts);
    }
    staging.clear()?;
    // The store may lie on another file system: its mark must not be there
    // before all that it says of the tree.
    match large {
        true => root.sync_file_system()?,
        false => root.sync()?,
    }
    mark.commit = commit.number;
    mark.cursor = Some(commit.snapshot()?.cursor);
    mark.working = false;
    mark.save(catalogue.files())?;
    report.leaves = keys.len() as u64;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

struct Publication<'a> {
    catalogue: &'a Catalogue,
    root: &'a Directory,
    staging: &'a Staging,
    published: u64,
    recovering: bool,
    monitor: &'a dyn Monitor,
}

impl Publication<'_> {
    /// Prepares, writes, syncs and shows some leaves; says what it did and
    /// whether the file system is to be synced at the end.
    fn batch(&self, keys: &[LeafKey]) -> Result<(PublishReport, bool), PublishError> {
        let plans: Result<Vec<Vec<LeafPlan>>, PublishError> = keys
            .par_chunks(TASK_LEAVES)
            .map(|keys| keys.iter().map(|key| self.plan(key)).collect())
            .collect();
        let mut plans = plans?;
        let files: u64 = plans.iter().flatten().map(LeafPlan::placements).sum();
        let each = files < SYNC_EACH_MAX;
        plans.par_iter_mut().try_for_each(|plans| {
            plans
                .iter_mut()
                .try_for_each(|plan| plan.stage(self.catalogue, self.staging, each))
        })?;
        if !each {
            self.root.sync_file_system()?;
        }
        let shown: Result<Vec<(PublishReport, Touched)>, PublishError> = plans
            .par_iter_mut()
            .map(|plans| {
                let mut report = PublishReport::default();
                let mut touched = Touched::default();
                for plan in plans {
                    report.add(plan.show(self.root, self.staging, &mut touched)?);
                    self.monitor.advance(1);
                }
                Ok((report, touched))
            })
            .collect();
        let mut report = PublishReport::default();
        let mut changed = 0;
        for (counts, touched) in shown? {
            changed += counts.files_renamed + counts.files_removed;
            report.add(counts);
            if each {
                touched.sync()?;
            }
        }
        Ok((report, !each || changed >= SYNC_EACH_MAX))
    }

    fn plan(&self, key: &LeafKey) -> Result<LeafPlan, PublishError> {
        LeafPlan::new(
            self.catalogue,
            self.root,
            key,
            self.published,
            self.recovering,
        )
    }
}
