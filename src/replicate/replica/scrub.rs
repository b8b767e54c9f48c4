//! Scrubbing: a node that stays reads everything again, a part at a time, and
//! goes on where it was after a stop. And it forgets what is beyond the
//! retention, when there is any.

use hikae_protocol::message::decode;
use serde::{Deserialize, Serialize};

use super::verify::{Part, VerifyReport, verify};
use super::{Replica, ReplicaError};
use crate::catalogue::CatalogueError;
use crate::disk::{Record, read_record, write_record};
use crate::progress::Monitor;
use crate::replicate::center::now_ms;
use crate::replicate::prune::has_prunable;

/// The file of the store.
const SCRUB: &str = "scrub";

/// How far a scrubbing is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Scrub {
    /// The last leaf that was read; empty at the begin of a pass.
    after: Vec<u8>,
    /// When the pass began, milliseconds since the epoch.
    begun_ms: i64,
    /// Leaves that were read in it.
    leaves: u64,
    /// Differences that were found in it.
    differences: u64,
    /// The pass before: when it ended, and what it found.
    last: Option<(i64, u64)>,
}

/// How far a scrubbing is, for `status`.
#[derive(Debug, Clone, Serialize)]
pub struct ScrubStatus {
    /// When this pass began, RFC 3339.
    pub begun_at: String,
    /// Patient directories that were read in it.
    pub leaves: u64,
    /// Differences that were found in it.
    pub differences: u64,
    /// When the pass before ended, RFC 3339.
    pub last_ended_at: Option<String>,
    /// Differences that it found.
    pub last_differences: u64,
}

impl Replica {
    fn scrub_state(&self) -> Result<Scrub, ReplicaError> {
        let record = read_record::<Vec<u8>>(self.catalogue.files(), SCRUB);
        let hidden = match record.map_err(CatalogueError::Disk)? {
            Record::Value(hidden) => hidden,
            // It only costs time to begin anew.
            Record::Absent | Record::Garbled => return Ok(Scrub::default()),
        };
        let plain = self.catalogue.reveal(SCRUB, hidden)?;
        Ok(decode(&plain).unwrap_or_default())
    }

    /// How far the scrubbing is; none if it never ran.
    ///
    /// Errors: `ReplicaError`.
    pub fn scrub_status(&self) -> Result<Option<ScrubStatus>, ReplicaError> {
        let state = self.scrub_state()?;
        let time = crate::replicate::status::time;
        Ok((state != Scrub::default()).then(|| ScrubStatus {
            begun_at: time(state.begun_ms),
            leaves: state.leaves,
            differences: state.differences,
            last_ended_at: state.last.map(|(ended_ms, _)| time(ended_ms)),
            last_differences: state.last.map_or(0, |(_, differences)| differences),
        }))
    }

    /// Reads the next `share` of all leaves again, from 0 to 1.
    ///
    /// Errors: `ReplicaError`.
    pub fn scrub(&self, share: f64, monitor: &dyn Monitor) -> Result<VerifyReport, ReplicaError> {
        let _turn = self.turn.blocking_lock();
        let mut state = self.scrub_state()?;
        if state.after.is_empty() {
            state = Scrub {
                begun_ms: now_ms(),
                last: state.last,
                ..Scrub::default()
            };
        }
        let after = state.after.clone();
        let report = verify(self, &Part::Slice { after, share }, monitor)?;
        state.leaves += report.leaves;
        state.differences += report.differences_total;
        state.after = report.go_on_after.clone().unwrap_or_default();
        if report.go_on_after.is_none() {
            state.last = Some((now_ms(), state.differences));
        }
        let plain =
            postcard::to_stdvec(&state).map_err(|error| ReplicaError::Task(error.to_string()))?;
        let hidden = self.catalogue.hide(SCRUB, plain)?;
        let written = write_record(self.catalogue.files(), SCRUB, &hidden);
        written.map_err(CatalogueError::Disk)?;
        Ok(report)
    }

    /// Whether there is anything beyond the retention.
    ///
    /// Errors: `ReplicaError`.
    pub fn is_prune_due(&self, monitor: &dyn Monitor) -> Result<bool, ReplicaError> {
        let keep = self.keep(monitor);
        Ok(has_prunable(&self.catalogue, &keep)?)
    }
}
