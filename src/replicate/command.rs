//! What a node is asked to do, and what comes of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::center::Asked;
use super::history::DiffOptions;
use super::replica::{DecisionOptions, RestoreOptions, VerifyOptions};
use super::view::ViewOptions;
use crate::config::DatabaseUrl;
use crate::seal::{Passphrase, SealError};

/// What a node is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Bring a center's catalogue up to date.
    Scan(Asked),
    /// Pull once.
    Sync,
    /// Re-read what is stored and published.
    Verify(VerifyOptions),
    /// Forget what is beyond the retention, and free it.
    Prune,
    /// Let a held volume go on.
    Approve(DecisionOptions),
    /// Let a held volume go on without its suspect records.
    Reject(DecisionOptions),
    /// Make a replica a source.
    Promote,
    /// List the snapshots that are kept.
    Snapshots,
    /// Compare two snapshots.
    Diff(DiffOptions),
    /// Write a past state to a folder.
    Restore(RestoreOptions),
    /// Verify the next share of all leaves, from 0 to 1.
    Scrub(f64),
    /// Say how things stand.
    Status,
    /// Show the records in a browser, until whoever asked goes away.
    View(ViewOptions),
    /// Give the sealed store another passphrase.
    Passphrase {
        /// The one that it has.
        old: Secret,
        /// The one that it gets.
        new: Secret,
    },
    /// Open the sealed store of a process that waits for its passphrase.
    Unlock {
        /// What opens it.
        passphrase: Secret,
    },
    /// Check the viewer's audit log; with `export` give it as FHIR.
    Audit {
        /// As a Bundle of AuditEvents.
        export: bool,
    },
    /// Make an SSMIXIDX from the catalogue.
    IndexExport {
        /// The database.
        to: DatabaseUrl,
        /// The table.
        table: String,
    },
}

/// A passphrase on its way to the process that has the home: over a socket
/// that only its owner can open. It is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Of what was typed.
    pub fn of(passphrase: Passphrase) -> Secret {
        Secret(passphrase.as_bytes().to_vec())
    }

    pub(super) fn passphrase(self) -> Result<Passphrase, SealError> {
        Passphrase::of_bytes(self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The exit codes of every command. A contract.
pub mod exit_code {
    /// Done.
    pub const DONE: u8 = 0;
    /// Failed.
    pub const FAILED: u8 = 1;
    /// Wrong usage or configuration.
    pub const USAGE: u8 = 2;
    /// Copies differ.
    pub const DIFFER: u8 = 3;
    /// Something is held by the guard.
    pub const HELD: u8 = 4;
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// One of `exit_code`.
    pub exit_code: u8,
    /// For `--json`.
    pub json: Value,
    /// For a person.
    pub text: String,
}

impl Outcome {
    /// An error, as every command reports it.
    pub fn error(exit_code: u8, error: &dyn std::fmt::Display) -> Outcome {
        let text = error.to_string();
        Outcome {
            exit_code,
            json: serde_json::json!({ "error": text }),
            text: format!("error: {text}"),
        }
    }

    pub(super) fn report<T: Serialize>(exit_code: u8, report: &T, text: String) -> Outcome {
        Outcome {
            exit_code,
            json: serde_json::to_value(report).unwrap_or(Value::Null),
            text,
        }
    }
}
