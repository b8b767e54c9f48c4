//! Promotion: a replica whose source is lost signs the records that it has,
//! under its own key and an epoch of its own, and is a source from then on.
//!
//! What it signs is what its tree shows: of a volume that is held, or of which
//! records were rejected, the good state. Replicas that trust it go on with the
//! contents that they have.

use hikae_protocol::digest::{Digest, Domain};
use hikae_protocol::message::DecodeError;
use hikae_protocol::snapshot::{Cursor, Snapshot, VerifiedSnapshot};
use serde::Serialize;

use super::{Replica, ReplicaError};
use crate::catalogue::LeafRecord;
use crate::progress::Monitor;
use crate::publish::wanted;
use crate::replicate::center::{digest_text, now_ms};
use crate::replicate::epoch::next_epoch;

/// Why a replica can't be promoted; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// There is nothing to sign.
    #[error("nothing was copied yet: there is nothing to promote")]
    Empty,
    /// It signs already.
    #[error("this node signs its own snapshots already")]
    Already,
    /// Damage took leaves away.
    #[error(
        "the store is damaged: its leaves do not add up to the signed root; run `hikae verify \
         --repair`, or promote another backup"
    )]
    Damaged,
    /// Not all contents are there.
    #[error("{0} contents are lacking here; promote another backup, or pull from one first")]
    Lacking(u64),
    /// The filter leaves something out, or no source gave it.
    #[error("this replica holds less than everything; promote one without a [filter]")]
    Sparse,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The snapshot can't be signed.
    #[error("the snapshot can't be signed: {0}")]
    Sign(DecodeError),
}

/// What a promotion did.
#[derive(Debug, Clone, Serialize)]
pub struct PromoteReport {
    /// The node's id: what others put into `[source] id`.
    pub node_id: String,
    /// The epoch that begins.
    pub epoch: u64,
    /// The sequence number of the first snapshot of it.
    pub sequence: u64,
    /// The root that was signed.
    #[serde(serialize_with = "digest_text")]
    pub root: Option<Digest>,
    /// Who signed the snapshot before.
    pub before: String,
    /// Files.
    pub entries: u64,
    /// Leaves that were signed as the tree shows them, not as the lost source
    /// had them last: they were held or rejected.
    pub leaves_kept_back: u64,
}

impl Replica {
    /// Makes this replica a source.
    ///
    /// Errors: `ReplicaError`.
    pub fn promote(&self, monitor: &dyn Monitor) -> Result<PromoteReport, ReplicaError> {
        let _turn = self.turn.blocking_lock();
        let catalogue = &self.catalogue;
        let (Some(held), Some(snapshot)) = (catalogue.commit_record(), catalogue.snapshot()) else {
            return Err(PromoteError::Empty.into());
        };
        if held.signed.signer == self.id() {
            return Err(PromoteError::Already.into());
        }
        if !catalogue.is_whole()? {
            return Err(PromoteError::Damaged.into());
        }
        if self.sparse()?.is_some() {
            return Err(PromoteError::Sparse.into());
        }
        let (lacking, _) = self.left_out()?;
        if lacking > 0 {
            return Err(PromoteError::Lacking(lacking).into());
        }
        // What a broken pull left is of the lost source.
        if catalogue.has_staged() {
            catalogue.unstage(&[])?;
        }
        let sequence = snapshot.cursor.sequence + 1;
        let kept_back = self.keep_back(sequence, monitor)?;
        let leaves_kept_back = kept_back.len() as u64;
        catalogue.stage(kept_back)?;
        let (update, totals) = catalogue.with_staged()?;
        let next = Snapshot {
            cursor: Cursor {
                epoch: next_epoch(Some(&snapshot)).ok_or(PromoteError::Random)?,
                sequence,
            },
            root: update.root,
            leaves: totals.leaves,
            entries: totals.entries,
            bytes: totals.bytes,
            time_ms: now_ms(),
            previous: Some(Domain::Snapshot.digest(&held.signed.body)),
        };
        let verified = VerifiedSnapshot::sign(next, &self.home.key).map_err(PromoteError::Sign)?;
        catalogue.commit((&update, totals), &verified, now_ms())?;
        self.let_go(monitor)?;
        let signed = verified.snapshot();
        Ok(PromoteReport {
            node_id: self.id().to_string(),
            epoch: signed.cursor.epoch.counter,
            sequence,
            root: Some(signed.root),
            before: held.signed.signer.to_string(),
            entries: signed.entries,
            leaves_kept_back,
        })
    }

    /// Records that make the leaves of held and rejected volumes what the tree
    /// shows of them.
    fn keep_back(
        &self,
        sequence: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<LeafRecord>, ReplicaError> {
        let catalogue = &self.catalogue;
        let mut records = Vec::new();
        for (volume, target) in self.targets(monitor)? {
            let commit = target.commit.unwrap_or(u64::MAX);
            let oldest = target.pins.iter().map(|pin| pin.good).chain([commit]).min();
            for key in catalogue.committed_since(oldest.unwrap_or(commit))? {
                if key.volume() != &volume[..] {
                    continue;
                }
                let Some(mut record) = catalogue.leaf_record(&key)? else {
                    continue;
                };
                let mut files = wanted(catalogue, &record, commit, &target.pins)?.files;
                let gone = record.files.iter().map(|file| &file.entry.path);
                let gone: Vec<_> = gone
                    .filter(|path| files.iter().all(|file| file.entry.path != **path))
                    .cloned()
                    .collect();
                files.retain(|file| {
                    let now = record.file(&file.entry.path);
                    now.is_none_or(|now| now.entry != file.entry)
                });
                if gone.is_empty() && files.is_empty() {
                    continue;
                }
                for file in &mut files {
                    file.sequence = sequence;
                }
                record.change(&gone, files, sequence);
                records.push(record);
            }
        }
        Ok(records)
    }
}
