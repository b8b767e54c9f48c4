//! Errors of the generator.

use std::path::PathBuf;

use thiserror::Error;

/// Why a center could not be made or continued.
#[derive(Debug, Error)]
pub enum GenError {
    /// The folder for a new center has something in it.
    #[error("{} is not empty; a new center needs an empty or absent folder", .path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder for a further day was not made by `gen`, or not finished.
    #[error("{} is not a generated center: {reason}", .path.display())]
    NotACenter {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// A number that makes no center.
    #[error("{option} is {given}, allowed is {allowed}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What was asked for.
        given: u64,
        /// What would do.
        allowed: &'static str,
    },
    /// A file or directory could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The INDEX DB could not be read or written.
    #[error("INDEX DB {}: {source}", .path.display())]
    Index {
        /// The database's file.
        path: PathBuf,
        /// What sqlx said.
        source: sqlx::Error,
    },
    /// A table of the registry could not be written.
    #[error("{}: {source}", .path.display())]
    Table {
        /// The CSV file.
        path: PathBuf,
        /// What the csv crate said.
        source: csv::Error,
    },
    /// A password could not be hashed.
    #[error("password of user {user}: {source}")]
    Password {
        /// The user.
        user: String,
        /// What the argon2 crate said.
        source: argon2::password_hash::Error,
    },
    /// Another thread of the same work failed first; its error is the one to read.
    #[error("stopped because another part of the work failed")]
    Stopped,
}
