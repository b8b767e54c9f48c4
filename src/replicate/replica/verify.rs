//! Verification: every stored content against its digest, every published
//! file against its entry; each difference is named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

use hikae_protocol::digest::Digest;
use hikae_protocol::objectpath::{LEAF_DEPTH_MAX, LeafKey, ObjectPath, PathText};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{RepairReport, Replica, ReplicaError};
use crate::catalogue::{Catalogue, CatalogueError, ContentPlace, FileRecord, LeafRecord};
use crate::disk::{Directory, ItemKind, join};
use crate::progress::Monitor;
use crate::publish::{ASIDE, wanted};
use crate::replicate::center::digest_text;
use crate::walk::look_at;

/// Differences that are named one by one, at most.
const NAMED_MAX: usize = 10_000;

/// What is verified.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VerifyOptions {
    /// Share of the leaves that are read, in percent.
    pub sample: f64,
    /// Make whole what differs.
    pub repair: bool,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `store` or `tree`.
    pub place: &'static str,
    /// Facility and label, if it is of one volume.
    pub volume: Option<String>,
    /// The patient's id, if it is of one patient.
    pub patient: Option<String>,
    /// Facility, label and path.
    pub path: String,
    /// What differs.
    pub what: String,
}

/// What a verification found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifyReport {
    /// Leaves read.
    pub leaves: u64,
    /// Stored contents read and hashed.
    pub contents: u64,
    /// Bytes of those.
    pub content_bytes: u64,
    /// Contents that the filter leaves out.
    pub not_held: u64,
    /// Files of the tree read and hashed.
    pub tree_files: u64,
    /// The root over the replica's own leaves.
    #[serde(serialize_with = "digest_text")]
    pub root: Option<Digest>,
    /// It equals the signed one.
    pub roots_equal: bool,
    /// How many differences there are.
    pub differences_total: u64,
    /// Each, by name.
    pub differences: Vec<Difference>,
    /// Why the index had to be made anew before, if it had.
    pub index_rebuilt: Option<String>,
    /// What was made whole again.
    pub repair: Option<RepairReport>,
    /// How long it took, seconds.
    pub seconds: f64,
    #[serde(skip)]
    pub(super) findings: Findings,
    /// The last leaf of a slice that does not reach the end.
    #[serde(skip)]
    pub(super) go_on_after: Option<Vec<u8>>,
}

/// What a repair has to see to.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    /// Stored contents that are damaged or lacking.
    pub contents: BTreeMap<LeafKey, Vec<ObjectPath>>,
    /// Leaves whose records are damaged.
    pub leaves: Vec<LeafKey>,
    /// Leaves that the tree shows otherwise.
    pub tree: BTreeSet<LeafKey>,
    /// Files and folders of the tree that no leaf has.
    pub unknown: Vec<Vec<u8>>,
    /// Segments or the checkpoint.
    pub is_store_damaged: bool,
}

impl Findings {
    fn add(&mut self, other: Findings) {
        self.contents.extend(other.contents);
        self.leaves.extend(other.leaves);
        self.tree.extend(other.tree);
        self.unknown.extend(other.unknown);
    }
}

impl VerifyReport {
    fn differ(&mut self, place: &'static str, path: String, what: impl Into<String>) {
        self.differences_total += 1;
        if self.differences.len() < NAMED_MAX {
            let mut parts = path.split('/');
            let volume = match (parts.next(), parts.next()) {
                (Some(facility), Some(label)) if !path.starts_with('/') => {
                    Some(format!("{facility}/{label}"))
                }
                _ => None,
            };
            let patient = parts
                .nth(2)
                .filter(|_| volume.is_some())
                .map(str::to_string);
            self.differences.push(Difference {
                place,
                volume,
                patient,
                what: what.into(),
                path,
            });
        }
    }

    /// Something in the segments or beside them.
    fn rotten(&mut self, what: String) {
        self.findings.is_store_damaged = true;
        self.differ("store", "segments".into(), what);
    }

    /// Whether copy and source are equal as far as was read.
    pub fn is_equal(&self) -> bool {
        self.differences_total == 0 && self.roots_equal
    }
}

/// Which leaves are read.
pub(super) enum Part {
    /// A share of them by chance, in percent.
    Sample(f64),
    /// The next ones in canonical order.
    Slice {
        /// Behind this one.
        after: Vec<u8>,
        /// So many of all, from 0 to 1.
        share: f64,
    },
}

pub(super) fn verify(
    replica: &Replica,
    part: &Part,
    monitor: &dyn Monitor,
) -> Result<VerifyReport, ReplicaError> {
    let started = Instant::now();
    let catalogue: &Catalogue = replica.catalogue();
    let mut all = catalogue.view().leaves_below(&[])?;
    let digests = all.iter().map(|(key, value)| (key, value.digest));
    let root = catalogue.with_digests(digests)?.root;
    let signed = catalogue.snapshot().map(|snapshot| snapshot.root);
    let total = all.len();
    let mut go_on_after = None;
    match part {
        Part::Sample(percent) => {
            // Another sample each time.
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|error| ReplicaError::Task(error.to_string()))?;
            all.retain(|(key, _)| is_sampled(key, *percent, &seed));
        }
        Part::Slice { after, share } => {
            let count = ((total as f64 * share).ceil() as usize).max(1);
            all.retain(|(key, _)| key.as_bytes() > &after[..]);
            if all.len() > count {
                all.truncate(count);
                go_on_after = all.last().map(|(key, _)| key.as_bytes().to_vec());
            }
        }
    }
    // What lies beside the leaves is looked at with all, or at the end.
    let with_rest = match part {
        Part::Sample(_) => total == all.len(),
        Part::Slice { .. } => go_on_after.is_none(),
    };
    monitor.stage("verify", Some(all.len() as u64));
    let report = Mutex::new(VerifyReport {
        leaves: all.len() as u64,
        root: Some(root),
        roots_equal: signed.is_none_or(|signed| signed == root),
        go_on_after,
        ..VerifyReport::default()
    });
    let tree = match &replica.config().tree {
        Some(tree) if replica.published().ok().flatten().is_some() => {
            Some(Directory::open_root(tree).map_err(CatalogueError::Disk)?)
        }
        _ => None,
    };
    let locked = || {
        report
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    // What a volume of the tree is to show; none while a publication is due.
    let shown = replica.shown(monitor)?;
    let published = shown.is_some();
    let shown = shown.unwrap_or_default();
    all.par_iter()
        .try_for_each(|(key, value)| -> Result<(), ReplicaError> {
            let record = match catalogue.record(value.place) {
                Ok(record) => record,
                Err(error) => {
                    let mut all = locked();
                    all.differ("store", key.text().to_string(), error.to_string());
                    all.findings.leaves.push(key.clone());
                    return Ok(());
                }
            };
            let mut own = VerifyReport::default();
            if record.digest() != value.digest {
                own.findings.leaves.push(key.clone());
                own.differ(
                    "store",
                    key.text().to_string(),
                    "the manifest is not the proven one",
                );
            }
            for file in &record.files {
                verify_content(catalogue, key, file, &mut own);
            }
            for file in &record.standins {
                verify_content(catalogue, key, file, &mut own);
            }
            if let Some(tree) = &tree
                && published
            {
                let (commit, pins) = shown.of(key.volume(), value.commit);
                match wanted(catalogue, &record, commit, pins) {
                    Ok(wanted) => verify_leaf_in_tree(tree, key, wanted.files, &mut own),
                    Err(error) => own.differ("store", key.text().to_string(), error.to_string()),
                }
            }
            let mut all = locked();
            all.contents += own.contents;
            all.not_held += own.not_held;
            all.content_bytes += own.content_bytes;
            all.tree_files += own.tree_files;
            if own.differences.iter().any(|found| found.place == "tree") {
                own.findings.tree.insert(key.clone());
            }
            all.findings.add(own.findings);
            all.differences_total += own.differences_total;
            let room = NAMED_MAX.saturating_sub(all.differences.len());
            all.differences
                .extend(own.differences.into_iter().take(room));
            drop(all);
            monitor.advance(1);
            Ok(())
        })?;
    let mut report = report
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(tree) = &tree
        && with_rest
        && published
    {
        let leaves: BTreeSet<Vec<u8>> = catalogue
            .view()
            .leaves_below(&[])?
            .into_iter()
            .map(|(key, _)| key.as_bytes().to_vec())
            .collect();
        unknown_folders(tree, &[], 0, &leaves, &mut report);
    }
    if with_rest {
        for damaged in catalogue.damaged_blocks() {
            report.rotten(damaged.to_string());
        }
        catalogue
            .damaged_files()?
            .into_iter()
            .for_each(|damaged| report.rotten(damaged));
    }
    if let Some(lost) = &replica.cut_off {
        report.differ("store", "segments".into(), lost);
    }
    if let Some(rebuilt) = catalogue.rebuilt() {
        report.index_rebuilt = Some(rebuilt.reason.to_string());
        // Of these the index knows nothing any more.
        let damages = rebuilt.damages.iter();
        let still = damages.filter(|damage| catalogue.is_still_damaged(damage));
        still.for_each(|damage| report.rotten(damage.to_string()));
    }
    report
        .differences
        .sort_by(|one, two| (&one.path, one.place).cmp(&(&two.path, two.place)));
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Whether a leaf is in the sample that `seed` draws.
fn is_sampled(key: &LeafKey, percent: f64, seed: &[u8; 32]) -> bool {
    let hash = blake3::keyed_hash(seed, key.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    percent >= 100.0
        || f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX) * 100.0 < percent
}

fn verify_content(
    catalogue: &Catalogue,
    key: &LeafKey,
    file: &FileRecord,
    report: &mut VerifyReport,
) {
    let path = || format!("{}/{}", key.text(), file.entry.path.text());
    let before = report.differences_total;
    verify_held(catalogue, file, path, report);
    if report.differences_total > before {
        let paths = report.findings.contents.entry(key.clone()).or_default();
        paths.push(file.entry.path.clone());
    }
}

fn verify_held(
    catalogue: &Catalogue,
    file: &FileRecord,
    path: impl Fn() -> String,
    report: &mut VerifyReport,
) {
    if file.content == ContentPlace::NotHeld {
        report.not_held += 1;
        return;
    }
    if file.content.is_lacking() {
        return report.differ("store", path(), "the source could not hand out its content");
    }
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    let read = catalogue.content::<CatalogueError>(file.content, |piece| {
        hasher.update(piece);
        bytes += piece.len() as u64;
        Ok(())
    });
    report.contents += 1;
    report.content_bytes += bytes;
    match read {
        Err(error) => report.differ("store", path(), error.to_string()),
        Ok(()) if Digest::from(hasher) != file.entry.digest => {
            report.differ("store", path(), "the stored content has another digest");
        }
        Ok(()) => {}
    }
}

/// Compares a leaf's directory in the tree with its record, by content.
fn verify_leaf_in_tree(
    tree: &Directory,
    key: &LeafKey,
    files: Vec<FileRecord>,
    report: &mut VerifyReport,
) {
    let path = |below: &ObjectPath| format!("{}/{}", key.text(), below.text());
    let directory = match tree.open_listed(key.as_bytes()) {
        Ok(directory) => Some(directory),
        Err(error) if error.is_absent() => None,
        Err(error) => {
            return report.differ("tree", key.text().to_string(), error.to_string());
        }
    };
    let shown = LeafRecord {
        files,
        ..LeafRecord::empty(key.clone())
    };
    let look = look_at(&shown, b"", directory.as_ref(), true, &mut Vec::new());
    report.tree_files += look.counts.files_read;
    for removed in &look.removed {
        report.differ("tree", path(removed), "missing");
    }
    for added in &look.added {
        let what = match shown.file(&added.entry.path) {
            None => "not in the published snapshot",
            Some(file) if file.entry.digest != added.entry.digest => "another content",
            Some(_) => "another modification time",
        };
        report.differ("tree", path(&added.entry.path), what);
    }
    for left_out in &look.left_out {
        report.differ("tree", left_out.path.clone(), "no readable regular file");
    }
}

/// Names files above or beside the leaves that no leaf has.
fn unknown_folders(
    directory: &Directory,
    path: &[u8],
    depth: usize,
    leaves: &BTreeSet<Vec<u8>>,
    report: &mut VerifyReport,
) {
    // Two folders name the volume, three the leaf.
    let is_leaf_depth = depth == 2 + LEAF_DEPTH_MAX;
    let is_known = leaves.contains(path);
    if is_leaf_depth && is_known {
        return;
    }
    let items = match directory.list() {
        Ok(items) => items,
        Err(error) => {
            return report.differ("tree", PathText::new(path).to_string(), error.to_string());
        }
    };
    for item in items {
        let below = join(path, &item.name);
        if depth == 0 && (item.name == b".hikae" || item.name == ASIDE) {
            continue;
        }
        match item.kind {
            ItemKind::Directory => match directory.open(&item.name) {
                Ok(directory) => unknown_folders(&directory, &below, depth + 1, leaves, report),
                Err(error) => {
                    report.differ("tree", PathText::new(&below).to_string(), error.to_string())
                }
            },
            ItemKind::File | ItemKind::Special if is_known && !is_leaf_depth => {}
            ItemKind::File | ItemKind::Special => {
                report.findings.unknown.push(below.clone());
                report.differ(
                    "tree",
                    PathText::new(&below).to_string(),
                    "not in the published snapshot",
                );
            }
        }
    }
}
