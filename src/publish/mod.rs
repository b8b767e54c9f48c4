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
mod placing;
mod repair;
mod restore;
mod staging;
mod steps;
mod suspect;
mod target;

pub use mark::{Behind, PublishedMark};
pub use repair::{ASIDE, LeafRepair, TreeRepair, repair};
pub use restore::{RestoreError, RestoreReport, Selection, restore};
pub use steps::{RecordSteps, steps};
pub use suspect::suspects;
pub use target::{Pin, Target, Targets, Wanted, still_suspect, wanted};

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use rayon::prelude::*;
use serde::Serialize;

use crate::catalogue::{Catalogue, CatalogueError};
use crate::disk::{Directory, DiskError, create_folder};
use crate::progress::Monitor;
use leaf::{LeafPlan, LeafTask, Touched};
use placing::{Lost, Placement, Placing};
use staging::Staging;

/// Leaves that are prepared, synced and renamed together.
const BATCH_LEAVES: usize = 4096;
/// Leaves that one thread takes at once: neighbours share folders and blocks.
const TASK_LEAVES: usize = 64;
/// How often what was made is written out while more is made.
const WRITEBACK: Duration = Duration::from_millis(200);
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
    /// Files whose contents could not be read from the store, and why; a
    /// publication fails instead.
    #[serde(skip)]
    pub damaged: Vec<String>,
    /// The same of leaves whose records could not be read.
    #[serde(skip)]
    pub leaves_damaged: Vec<String>,
    /// Files whose contents the filter leaves out.
    #[serde(skip)]
    pub not_held: u64,
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
        self.damaged.extend(other.damaged);
        self.leaves_damaged.extend(other.leaves_damaged);
        self.not_held += other.not_held;
    }
}

/// Brings the tree from what its mark says to the last commit, and the volumes
/// in `targets` to what is said there. No volume goes back.
///
/// Errors: `PublishError`; the next call goes on where this one stopped.
pub fn publish(
    catalogue: &Catalogue,
    tree: &Path,
    targets: &Targets,
    monitor: &dyn Monitor,
) -> Result<PublishReport, PublishError> {
    let started = std::time::Instant::now();
    let mut report = PublishReport::default();
    let Some(commit) = catalogue.commit_record() else {
        return Ok(report);
    };
    let root = open_tree(tree)?;
    let mut mark = PublishedMark::load(catalogue.files(), tree, &root)?;
    let shown = mark.behind(catalogue)?;
    let (tasks, behind) = tasks(catalogue, (&mark, &shown), commit.number, targets)?;
    if tasks.is_empty() && !mark.working && mark.commit == commit.number && shown == behind {
        return Ok(report);
    }
    mark.working = true;
    mark.save(catalogue.files())?;
    monitor.stage("publish the tree", Some(tasks.len() as u64));
    let publication = Publication {
        catalogue,
        root: &root,
        staging: &Staging::open(&root)?,
        lenient: false,
        unread: false,
        monitor,
    };
    report.add(publication.run(&tasks)?);
    mark.commit = commit.number;
    mark.set_behind(catalogue, &behind)?;
    if behind.is_empty() {
        mark.cursor = Some(commit.snapshot()?.cursor);
    }
    mark.working = false;
    mark.save(catalogue.files())?;
    report.leaves = tasks.len() as u64;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

fn open_tree(tree: &Path) -> Result<Directory, PublishError> {
    create_folder(tree)?;
    Ok(Directory::open_root(tree)?)
}

/// What is to be done to get from `mark`, with volumes that show another
/// commit, to `head` and `targets`; and the volumes that show another commit
/// then.
fn tasks<'a>(
    catalogue: &Catalogue,
    (mark, shown): (&PublishedMark, &Behind),
    head: u64,
    targets: &'a Targets,
) -> Result<(Vec<LeafTask<'a>>, Behind), PublishError> {
    let special = |volume: &[u8]| shown.contains_key(volume) || targets.contains_key(volume);
    let mut tasks = Vec::new();
    for key in catalogue.committed_since(mark.commit)? {
        if !special(key.volume()) {
            tasks.push(LeafTask {
                key,
                from: mark.commit,
                to: head,
                pins: &[],
                look: mark.working,
            });
        }
    }
    let mut behind = Behind::new();
    let volumes = shown.keys().chain(targets.keys());
    let volumes: std::collections::BTreeSet<&Vec<u8>> = volumes.collect();
    for volume in volumes {
        let from = shown.get(volume).copied().unwrap_or(mark.commit);
        let (commit, pins) = match targets.get(volume) {
            Some(target) => (target.commit.unwrap_or(head), &target.pins[..]),
            None => (head, &[][..]),
        };
        let to = commit.max(from).min(head);
        if to < head {
            behind.insert(volume.clone(), to);
        }
        if from == to && !mark.working {
            continue;
        }
        let keys = catalogue.committed_since(from)?.into_iter();
        tasks.extend(
            keys.filter(|key| key.volume() == &volume[..])
                .map(|key| LeafTask {
                    key,
                    from,
                    to,
                    pins,
                    // Where something is or was pinned, only the tree knows
                    // what it shows.
                    look: mark.working || shown.contains_key(volume) || !pins.is_empty(),
                }),
        );
    }
    tasks.sort_unstable_by(|one, two| one.key.cmp(&two.key));
    Ok((tasks, behind))
}

struct Publication<'a> {
    catalogue: &'a Catalogue,
    root: &'a Directory,
    staging: &'a Staging,
    /// What can't be read from the store is named and left away.
    lenient: bool,
    /// Nobody reads there before the end: names do not wait for contents.
    unread: bool,
    monitor: &'a dyn Monitor,
}

impl Publication<'_> {
    /// Takes all steps of the tasks, and makes them durable.
    fn run(&self, tasks: &[LeafTask]) -> Result<PublishReport, PublishError> {
        let mut report = PublishReport::default();
        let mut large = false;
        for batch in tasks.chunks(BATCH_LEAVES) {
            let (counts, synced_whole) = self.batch(batch)?;
            large |= synced_whole;
            report.add(counts);
        }
        self.staging.clear()?;
        // The store may lie on another file system: its mark must not be there
        // before all that it says of the tree.
        match large {
            true => self.root.sync_file_system()?,
            false => self.root.sync()?,
        }
        Ok(report)
    }

    /// Does something while the file system already writes out what was made
    /// until now: what is to be waited for afterwards is then little.
    fn with_writeback<T>(
        &self,
        work: impl FnOnce() -> Result<T, PublishError>,
    ) -> Result<T, PublishError> {
        let (over, is_over) = crossbeam_channel::bounded::<()>(0);
        std::thread::scope(|threads| {
            let writing = threads.spawn(move || -> Result<(), DiskError> {
                // Until the other end is dropped.
                while is_over.recv_timeout(WRITEBACK) == Err(RecvTimeoutError::Timeout) {
                    // A failure is told once by the system; it must not get lost.
                    self.root.sync_file_system()?;
                }
                Ok(())
            });
            let done = {
                // Also where the work panics.
                let _over = over;
                work()
            };
            match writing.join() {
                Ok(written) => written?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
            done
        })
    }

    /// Prepares, writes, syncs and shows some leaves; says what it did and
    /// whether the file system is to be synced at the end.
    fn batch(&self, tasks: &[LeafTask]) -> Result<(PublishReport, bool), PublishError> {
        let mut report = PublishReport::default();
        let planned: Vec<Result<LeafPlan, PublishError>> = tasks
            .par_iter()
            .with_min_len(TASK_LEAVES)
            .map(|task| LeafPlan::new(self.catalogue, self.root, task))
            .collect();
        let mut plans = Vec::with_capacity(tasks.len());
        for (task, plan) in tasks.iter().zip(planned) {
            match plan {
                Ok(plan) => plans.push(plan),
                Err(PublishError::Catalogue(error)) if self.lenient => {
                    let leaf = format!("{}: {error}", task.key.text());
                    report.leaves_damaged.push(leaf);
                }
                Err(error) => return Err(error),
            }
        }
        let files: u64 = plans.iter().map(LeafPlan::placements).sum();
        let each = files < SYNC_EACH_MAX;
        let placing = Placing {
            catalogue: self.catalogue,
            staging: self.staging,
            sync: each,
            is_lenient: self.lenient,
        };
        let mut place = || -> Result<Vec<Lost>, PublishError> {
            let placements: Result<Vec<Vec<Placement>>, PublishError> = plans
                .par_iter_mut()
                .enumerate()
                .with_min_len(TASK_LEAVES)
                .map(|(at, plan)| plan.prepare(at, self.staging, self.unread))
                .collect();
            placing.place(placements?.into_iter().flatten().collect())
        };
        let placed = match each {
            true => place(),
            false => self.with_writeback(place),
        };
        for lost in placed? {
            plans[lost.plan].lose(lost);
        }
        match each {
            true => plans.iter().try_for_each(|plan| plan.sync(self.staging))?,
            false if self.unread => {}
            false => self.root.sync_file_system()?,
        }
        let shown: Result<Vec<(PublishReport, Touched)>, PublishError> = plans
            .par_chunks_mut(TASK_LEAVES)
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
        let mut changed = 0;
        let mut times = 0;
        for (counts, touched) in shown? {
            changed += counts.files_renamed + counts.files_removed;
            times += touched.times;
            report.add(counts);
            if each {
                touched.sync()?;
            }
        }
        // A time is a file's own: to sync its folder need not keep it.
        Ok((report, !each || times > 0 || changed >= SYNC_EACH_MAX))
    }
}
