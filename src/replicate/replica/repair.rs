//! Repair at a replica: what a verification found is made whole again, from
//! the tree, from a source, from the own segments.

use std::path::Path;

use hikae_protocol::digest::Digest;
use hikae_protocol::limits::PACK_RAW_BYTES_MAX;
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use hikae_protocol::pack::PackBuilder;
use serde::Serialize;

use super::filter::forget_filter;
use super::verify::{Difference, Findings, VerifyOptions, VerifyReport};
use super::{Replica, ReplicaError};
use crate::catalogue::{CatalogueError, ContentPlace, HealReport, LeafRecord};
use crate::disk::Directory;
use crate::progress::Monitor;
use crate::publish::{LeafRepair, TreeRepair, repair};
use crate::replicate::center::now_ms;
use crate::replicate::status::time;

/// Contents of at most so many bytes are taken back from the tree; greater
/// ones are asked for.
const TAKE_BACK_BYTES_MAX: u64 = PACK_RAW_BYTES_MAX as u64 / 2;
const LEVEL: i32 = 3;
/// Repairs one after the other, at most.
const ROUNDS: u64 = 3;

/// What a repair did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RepairReport {
    /// Stored contents that were taken back from the published tree.
    pub contents_from_tree: u64,
    /// Stored contents that were asked for again.
    pub contents_asked: u64,
    /// Leaves whose records were asked for again.
    pub leaves_asked: u64,
    /// Why no source could be asked, if it could not.
    pub source_failed: Option<String>,
    /// The tree.
    pub tree: TreeRepair,
    /// The segments.
    pub store: HealReport,
    /// What is still different.
    pub remaining_total: u64,
    /// Each, by name.
    pub remaining: Vec<Difference>,
}

impl Replica {
    /// Verifies, makes whole what differs, and verifies again.
    ///
    /// Errors: `ReplicaError`.
    pub async fn verify_and_repair(
        &self,
        options: &VerifyOptions,
        monitor: &dyn Monitor,
    ) -> Result<VerifyReport, ReplicaError> {
        let verify = || tokio::task::block_in_place(|| self.verify(options, monitor));
        let mut found = verify()?;
        if found.is_equal() {
            return Ok(found);
        }
        let mut report = RepairReport::default();
        let mut findings = std::mem::take(&mut found.findings);
        // What is damaged can hide what else is.
        for _ in 0..ROUNDS {
            tokio::task::block_in_place(|| self.repair_store(&findings, &mut report))?;
            let is_whole = self.catalogue.is_whole()? && self.catalogue.lacking()?.is_empty();
            report.source_failed = match is_whole {
                true => None,
                false => self
                    .sync(monitor)
                    .await
                    .err()
                    .map(|error| error.to_string()),
            };
            tokio::task::block_in_place(|| self.repair_rest(&findings, &mut report, monitor))?;
            let after = verify()?;
            report.remaining_total = after.differences_total + u64::from(!after.roots_equal);
            report.remaining = after.differences;
            findings = after.findings;
            if report.remaining_total == 0 {
                break;
            }
        }
        found.repair = Some(report);
        Ok(found)
    }

    /// Contents come from the tree or are lacking from now on; leaves whose
    /// records are damaged are missed.
    fn repair_store(
        &self,
        findings: &Findings,
        report: &mut RepairReport,
    ) -> Result<(), ReplicaError> {
        let _turn = self.turn.blocking_lock();
        let catalogue = &self.catalogue;
        catalogue.forget_damaged(&findings.leaves)?;
        if !findings.leaves.is_empty() {
            forget_filter(catalogue).map_err(CatalogueError::Disk)?;
        }
        report.leaves_asked += findings.leaves.len() as u64;
        let (Some(commit), true) = (catalogue.commit_record(), findings.leaves.is_empty()) else {
            // The pull that brings those makes the next commit.
            return Ok(());
        };
        if catalogue.has_staged() {
            catalogue.unstage(&[])?;
        }
        for (key, paths) in &findings.contents {
            if let Some(record) = catalogue.leaf_record(key)? {
                let record = self.healed(record, paths, report)?;
                catalogue.stage(vec![record])?;
            }
        }
        if !catalogue.has_staged() || !catalogue.is_whole()? {
            return Ok(());
        }
        let (update, totals) = catalogue.with_staged()?;
        catalogue.commit((&update, totals), &commit.verified()?, now_ms())?;
        Ok(())
    }

    /// The record with other places for the contents at `paths`.
    fn healed(
        &self,
        mut record: LeafRecord,
        paths: &[ObjectPath],
        report: &mut RepairReport,
    ) -> Result<LeafRecord, ReplicaError> {
        record
            .standins
            .retain(|file| !paths.contains(&file.entry.path));
        let key = record.key.clone();
        for path in paths {
            let Some(file) = record.file_mut(path) else {
                continue;
            };
            let (size, digest) = (file.entry.size, file.entry.digest);
            match self.in_tree(&key, path, size, &digest) {
                Some(content) => {
                    let mut pack = PackBuilder::default();
                    let index = pack.push(&content);
                    let pack = pack.finish(LEVEL).map_err(CatalogueError::Pack)?;
                    let block = self.catalogue.append_contents(&pack)?;
                    file.content = ContentPlace::Item { block, index };
                    report.contents_from_tree += 1;
                }
                None if file.content.is_lacking() => {}
                None => {
                    file.content = ContentPlace::Lacking;
                    report.contents_asked += 1;
                }
            }
        }
        Ok(record)
    }

    /// The content that the published tree has of a file, if it is the right
    /// one.
    fn in_tree(
        &self,
        key: &LeafKey,
        path: &ObjectPath,
        size: u64,
        digest: &Digest,
    ) -> Option<Vec<u8>> {
        use std::io::Read;
        let tree: &Path = self.config().tree.as_deref()?;
        if size > TAKE_BACK_BYTES_MAX {
            return None;
        }
        let path = crate::disk::join(key.as_bytes(), path.as_bytes());
        let file = Directory::open_root(tree).ok()?.open_file(&path).ok()?;
        let mut content = Vec::new();
        file.take(size + 1).read_to_end(&mut content).ok()?;
        (Digest::of_content(&content) == *digest).then_some(content)
    }

    /// The tree from the segments, the segments without damaged places.
    fn repair_rest(
        &self,
        findings: &Findings,
        report: &mut RepairReport,
        monitor: &dyn Monitor,
    ) -> Result<(), ReplicaError> {
        let _segments = super::locked(&self.segments);
        // Nothing that is damaged may be what a running restore reads.
        let _alone = self.alone();
        if let (Some(tree), Some(shown)) = (&self.config().tree, self.shown(monitor)?) {
            let mut leaves = Vec::new();
            for key in &findings.tree {
                let newest = self.catalogue.leaf(key)?.map_or(0, |newest| newest.commit);
                let (commit, pins) = shown.of(key.volume(), newest);
                leaves.push(LeafRepair {
                    key: key.clone(),
                    commit,
                    pins: pins.to_vec(),
                });
            }
            if !leaves.is_empty() || !findings.unknown.is_empty() {
                let now = time(now_ms());
                let unknown = &findings.unknown;
                let done = repair(&self.catalogue, tree, &leaves, unknown, &now, monitor)?;
                report.tree.add(done);
            }
        }
        if findings.is_store_damaged {
            let done = self.catalogue.heal(monitor)?;
            report.store.segments_healed += done.segments_healed;
            report.store.blocks_recovered += done.blocks_recovered;
            report.store.segments_left = done.segments_left;
        }
        Ok(())
    }
}
