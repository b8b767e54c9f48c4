//! From where the next reading of an INDEX DB goes on.
//!
//! The watermark is the greatest UpdateDatetime seen that is not beyond the
//! database's own now, kept as the database's value: a row of the year 2050
//! blinds nothing, even where the other rows are older than now. Rows commit late, so each reading begins an overlap
//! earlier; rows of the overlap that were handled are skipped by their hash.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// Hashes of handled rows, at most; beyond it rows are looked at again, which
/// costs a stat.
const HANDLED_MAX: usize = 1024 * 1024;

/// Kept between refreshes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Watermark {
    /// The database's value; none before the first reading.
    pub value: Option<String>,
    /// Hashes of the rows from the overlap on that were handled.
    pub handled: HashSet<u64>,
}

impl Watermark {
    /// Remembers a handled row.
    pub(super) fn remember(&mut self, row: u64) {
        if self.handled.len() < HANDLED_MAX {
            self.handled.insert(row);
        }
    }
}

/// The hash of a row's columns.
pub(super) fn row_hash(columns: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for column in columns {
        hasher.update(&(column.len() as u64).to_le_bytes());
        hasher.update(column);
    }
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
