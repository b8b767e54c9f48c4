//! The INDEX DB: a table of every record and its directory, DOMAIN.md.
//!
//! A hint, never the truth. Owns the watermark rules: which rows are new since
//! the last refresh, and from where the next one goes on. What it misses is
//! the rolling walk's to find.

mod database;
mod dialect;
mod export;
mod hint;
mod hints;
mod lines;
mod mysql;
mod postgres;
mod session;
mod sqlite;
mod watermark;

pub use database::IndexDatabase;
pub use dialect::TableError;
pub use export::{COLUMNS, Export, ExportError, ExportMark, ExportRow};
pub use hint::{Hint, HintError};
pub use hints::Hints;
pub use lines::{Lines, Places};
pub use session::SessionError;
pub use watermark::Watermark;

/// Why the INDEX DB could not be read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The database refused, or is away.
    #[error("INDEX DB {url}, table {table}: {source}")]
    Session {
        /// Which database.
        url: String,
        /// Which table.
        table: String,
        /// What it said.
        source: SessionError,
    },
    /// The table is not what the guideline says.
    #[error("INDEX DB {url}, table {table}: {source}")]
    Table {
        /// Which database.
        url: String,
        /// Which table.
        table: String,
        /// What is wrong.
        source: TableError,
    },
}

/// What the INDEX DB says changed since a watermark.
#[derive(Debug, Default)]
pub struct Changes {
    /// Directories to look at.
    pub hints: Hints,
    /// Rows read, those of the overlap included.
    pub rows_read: u64,
    /// Rows that were not handled before.
    pub rows_new: u64,
    /// Rows that name no directory: what is wrong with the first few.
    pub garbage: Vec<String>,
    /// How many such rows there are.
    pub garbage_rows: u64,
    /// From where to go on, once the hints were handled.
    pub watermark: Watermark,
}

/// Rows that name no directory and are reported one by one, at most.
const GARBAGE_NAMED_MAX: usize = 20;

impl Changes {
    fn garbage(&mut self, text: impl FnOnce() -> String) {
        self.garbage_rows += 1;
        if self.garbage.len() < GARBAGE_NAMED_MAX {
            self.garbage.push(text());
        }
    }
}
