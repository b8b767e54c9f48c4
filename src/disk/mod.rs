//! System calls on files and directories, always below an open descriptor.
//!
//! A path that came from a peer, a record or a row is resolved by the kernel
//! beneath the descriptor of a configured root, and never through a symbolic
//! link (RELIABILITY.md R4). Nobody else opens files by name, but for the
//! configured folders themselves.

mod atomic;
mod directory;
#[cfg(test)]
pub(crate) mod golden;
mod record;
#[cfg(test)]
pub(crate) mod sabotage;
mod stat;
mod store;

pub use atomic::{create_folder, read_small, replace_file};
pub use directory::{Directory, Item, ItemKind};
pub use record::{Record, read_record, read_record_at, write_record, write_record_at};
pub use stat::{FileStat, RootIdentity};
pub use store::{OpenFile, StoreFiles, StoreFolder};

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hikae_protocol::objectpath::PathText;
use rustix::io::Errno;

/// A system call that failed, and on what.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{action} {place}: {source}")]
pub struct DiskError {
    /// What was tried.
    pub action: &'static str,
    /// On which path.
    pub place: String,
    /// What the system said.
    #[source]
    pub source: Errno,
}

impl DiskError {
    /// An error on a configured path.
    pub fn at(action: &'static str, path: &Path, source: Errno) -> DiskError {
        DiskError {
            action,
            place: path.display().to_string(),
            source,
        }
    }

    /// An error on `path` below the folder `root`.
    pub fn below(action: &'static str, root: &Path, path: &[u8], source: Errno) -> DiskError {
        DiskError {
            action,
            place: format!("{}/{}", root.display(), PathText::new(path)),
            source,
        }
    }

    /// The file or directory is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self.source, Errno::NOENT | Errno::NOTDIR)
    }
}

/// What the system said; of an error that a crate wrapped in its own only the
/// kind is left.
pub fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(match error.kind() {
        ErrorKind::StorageFull => Errno::NOSPC,
        ErrorKind::QuotaExceeded => Errno::DQUOT,
        ErrorKind::ReadOnlyFilesystem => Errno::ROFS,
        ErrorKind::PermissionDenied => Errno::ACCESS,
        ErrorKind::NotFound => Errno::NOENT,
        ErrorKind::NotADirectory => Errno::NOTDIR,
        _ => Errno::IO,
    })
}

/// Joins two relative paths of bytes; either may be empty.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() || name.is_empty() {
        return [directory, name].concat();
    }
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

/// A configured folder joined with bytes, for messages and for `Command`s.
pub fn path_below(root: &Path, path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    root.join(std::ffi::OsStr::from_bytes(path))
}
