//! Restoring: a past state of some leaves written to a folder of its own, by
//! the same steps as a publication.
//!
//! The folder has to be empty, or to hold the beginning of the very same
//! restore; then that is gone on with. Until the end its mark says that it is
//! not whole, so the disk is waited for once, and who goes on reads what is
//! there. The published tree is never touched.

use std::path::{Path, PathBuf};

use hikae_protocol::digest::Digest;
use hikae_protocol::objectpath::{LEAF_DEPTH_MAX, LeafKey};
use serde::{Deserialize, Serialize};

use super::leaf::LeafTask;
use super::staging::Staging;
use super::{Publication, PublishError, open_tree};
use crate::catalogue::Catalogue;
use crate::disk::{DiskError, Record, StoreFolder, read_record, write_record};
use crate::progress::Monitor;

/// The file of the target folder that says which restore is at work in it.
const MARK: &str = ".hikae-restore";

/// Why nothing could be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The disk, the store, or a path.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The target has something in it.
    #[error(
        "{0} is not empty, and holds no restore of the same that was cut off; name an empty \
         or new folder"
    )]
    Occupied(PathBuf),
    /// Nothing is selected.
    #[error("snapshot {commit} has nothing of {selection}")]
    Nothing {
        /// The commit.
        commit: u64,
        /// What was asked for.
        selection: Selection,
    },
}

impl From<DiskError> for RestoreError {
    fn from(error: DiskError) -> RestoreError {
        RestoreError::Publish(error.into())
    }
}

impl From<crate::catalogue::CatalogueError> for RestoreError {
    fn from(error: crate::catalogue::CatalogueError) -> RestoreError {
        RestoreError::Publish(error.into())
    }
}

/// Which leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Only this volume: `facility/label`.
    pub volume: Option<String>,
    /// Only this patient.
    pub patient: Option<String>,
}

impl std::fmt::Display for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.patient, &self.volume) {
            (None, None) => write!(f, "all volumes"),
            (None, Some(volume)) => write!(f, "volume {volume}"),
            (Some(patient), None) => write!(f, "patient {patient}"),
            (Some(patient), Some(volume)) => write!(f, "patient {patient} in volume {volume}"),
        }
    }
}

impl Selection {
    fn takes(&self, key: &LeafKey) -> bool {
        self.patient.as_ref().is_none_or(|patient| {
            key.depth() == LEAF_DEPTH_MAX
                && hikae_protocol::objectpath::split_last(key.as_bytes()).1 == patient.as_bytes()
        })
    }
}

/// What a restore did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RestoreReport {
    /// The node's own commit.
    pub snapshot: u64,
    /// Where everything is.
    pub to: PathBuf,
    /// The leaves of that commit add up to the root that was signed.
    pub roots_equal: bool,
    /// An earlier restore that was cut off was gone on with.
    pub resumed: bool,
    /// Leaves that were selected.
    pub leaves: u64,
    /// Files of those.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Files that were written now.
    pub files_written: u64,
    /// Files that the source could not hand out at that time.
    pub lacking: u64,
    /// Files that the filter of this copy leaves out.
    pub not_held: u64,
    /// Volumes of which this copy had nothing but a digest at that time.
    pub bare: Vec<String>,
    /// Files whose contents could not be read from the store, and why.
    pub damaged: Vec<String>,
    /// Patient directories whose records could not be read, and why.
    pub leaves_damaged: Vec<String>,
    /// How long it took, seconds.
    pub seconds: f64,
}

impl RestoreReport {
    /// Whether everything of that time is there.
    pub fn is_whole(&self) -> bool {
        self.roots_equal
            && self.lacking == 0
            && self.not_held == 0
            && self.bare.is_empty()
            && self.damaged.is_empty()
            && self.leaves_damaged.is_empty()
    }
}

/// What is at work in a folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RestoreMark {
    commit: u64,
    root: Digest,
    selection: Selection,
}

/// Writes the leaves that are selected, as they were at the node's own commit
/// `commit`, to the folder `to`.
///
/// Errors: `RestoreError`; the same call goes on where this one stopped.
pub fn restore(
    catalogue: &Catalogue,
    commit: u64,
    selection: &Selection,
    to: &Path,
    monitor: &dyn Monitor,
) -> Result<RestoreReport, RestoreError> {
    let started = std::time::Instant::now();
    let below = selection.volume.as_deref().unwrap_or_default();
    let mut leaves_damaged = Vec::new();
    let mut leaves = catalogue.leaves_told_at(commit, below.as_bytes(), |key, error| {
        if selection.takes(key) {
            leaves_damaged.push(format!("{}: {error}", key.text()));
        }
        Ok(())
    })?;
    leaves.retain(|(key, _)| selection.takes(key));
    let mut bare = Vec::new();
    for volume in catalogue.view().volumes()? {
        let is_selected = below.is_empty() || volume.as_bytes() == below.as_bytes();
        if is_selected && catalogue.is_bare_at(&volume, commit)? {
            bare.push(volume.text().to_string());
        }
    }
    if leaves.is_empty() && leaves_damaged.is_empty() && bare.is_empty() {
        let selection = selection.clone();
        return Err(RestoreError::Nothing { commit, selection });
    }
    let signed = match catalogue.commit_numbered(commit)? {
        Some(commit) => commit.snapshot()?.root,
        None => Digest([0; 32]),
    };
    let mut report = RestoreReport {
        snapshot: commit,
        to: to.to_path_buf(),
        // Where records are damaged it can't be told.
        roots_equal: leaves_damaged.is_empty() && catalogue.root_at(commit)? == signed,
        leaves: leaves.len() as u64,
        files: leaves.iter().map(|(_, value)| value.entries).sum(),
        bytes: leaves.iter().map(|(_, value)| value.bytes).sum(),
        lacking: leaves
            .iter()
            .map(|(_, value)| u64::from(value.lacking))
            .sum(),
        bare,
        ..RestoreReport::default()
    };
    let mark = RestoreMark {
        commit,
        root: signed,
        selection: selection.clone(),
    };
    report.resumed = begin(to, &mark)?;
    let root = open_tree(to)?;
    monitor.stage("restore", Some(report.leaves));
    let tasks: Vec<LeafTask> = leaves
        .into_iter()
        .map(|(key, _)| LeafTask {
            key,
            from: 0,
            to: commit,
            pins: &[],
            look: report.resumed,
        })
        .collect();
    let publication = Publication {
        catalogue,
        root: &root,
        staging: &Staging::open(&root)?,
        lenient: true,
        unread: true,
        monitor,
    };
    let done = publication.run(&tasks)?;
    report.files_written = done.files_written;
    report.not_held = done.not_held;
    report.damaged = done.damaged;
    leaves_damaged.extend(done.leaves_damaged);
    report.leaves_damaged = leaves_damaged;
    root.remove_file(MARK.as_bytes())?;
    root.sync()?;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Leaves the mark; says whether it was there already.
fn begin(to: &Path, mark: &RestoreMark) -> Result<bool, RestoreError> {
    let files = StoreFolder::open(to, &[])?;
    match read_record::<RestoreMark>(&files, MARK)? {
        Record::Value(found) if found == *mark => Ok(true),
        Record::Absent if open_tree(to)?.list()?.is_empty() => {
            write_record(&files, MARK, mark)?;
            Ok(false)
        }
        _ => Err(RestoreError::Occupied(to.to_path_buf())),
    }
}
