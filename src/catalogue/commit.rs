//! Commits: the moments at which what was staged becomes the tree.

use hikae_protocol::message::decode;
use hikae_protocol::snapshot::{SignedSnapshot, Snapshot, VerifiedSnapshot};
use serde::{Deserialize, Serialize};

use super::CatalogueError;
use super::value::LeafValue;

/// The record of a commit, one block of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The node's own count of commits; the first is 1.
    pub number: u64,
    /// The snapshot whose tree this is.
    pub signed: SignedSnapshot,
    /// The node's clock, milliseconds since the epoch.
    pub accepted_ms: i64,
}

impl Commit {
    /// What was signed. It was verified before the commit was written.
    ///
    /// Errors: `CatalogueError::Encode` if the bytes are no snapshot.
    pub fn snapshot(&self) -> Result<Snapshot, CatalogueError> {
        decode(&self.signed.body).map_err(CatalogueError::Encode)
    }

    /// The same with its signature, looked at once more: for a commit that
    /// changes where contents lie and nothing that is signed.
    ///
    /// Errors: `CatalogueError::Signature`.
    pub fn verified(&self) -> Result<VerifiedSnapshot, CatalogueError> {
        Ok(VerifiedSnapshot::verify(
            self.signed.clone(),
            &self.signed.signer,
        )?)
    }
}

/// Counts over all leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Leaves that have entries.
    pub leaves: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of their contents.
    pub bytes: u64,
}

impl Totals {
    /// The counts of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Totals {
        Totals {
            leaves: snapshot.leaves,
            entries: snapshot.entries,
            bytes: snapshot.bytes,
        }
    }

    /// The counts after a leaf changed from `old` to `new`; what a peer made up
    /// wraps around.
    pub(super) fn replace(&mut self, old: Option<&LeafValue>, new: &LeafValue) {
        if let Some(old) = old {
            self.leaves = self.leaves.wrapping_sub(old.leaves());
            self.entries = self.entries.wrapping_sub(old.entries);
            self.bytes = self.bytes.wrapping_sub(old.bytes);
        }
        self.leaves = self.leaves.wrapping_add(new.leaves());
        self.entries = self.entries.wrapping_add(new.entries);
        self.bytes = self.bytes.wrapping_add(new.bytes);
    }
}
