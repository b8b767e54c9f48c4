//! Reads a file's content so that it belongs to one state of the file.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hikae_protocol::digest::Digest;
use rustix::io::Errno;

use crate::disk::{Directory, DiskError, FileStat};

/// A change within this time before the read may not show in the file's
/// times: such a file is looked at again.
const SETTLE: Duration = Duration::from_secs(2);
/// Times that a file which changes meanwhile is read again.
const ATTEMPTS: usize = 3;
/// Bytes read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// A file's content, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// The file while it was read.
    pub stat: FileStat,
    /// Its modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// BLAKE3.
    pub digest: Digest,
    /// The file was not changed shortly before it was read.
    pub settled: bool,
}

/// Why a content could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is no longer there under this name.
    #[error("vanished")]
    Vanished,
    /// It is no regular file.
    #[error("no regular file")]
    Special,
    /// It changed while it was read, several times.
    #[error("changed while it was read")]
    Changing,
    /// Its modification time is over the bounds of an entry.
    #[error("the modification time is out of range")]
    Time,
    /// It can't be read.
    #[error(transparent)]
    Disk(DiskError),
}

/// Reads and hashes a file; `buffer` is used again and again, and holds the
/// content afterwards if that is shorter than the buffer.
///
/// Errors: `ReadError`.
pub fn read_content(
    directory: &Directory,
    name: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<Content, ReadError> {
    for _ in 0..ATTEMPTS {
        let mut file = directory.open_file(name).map_err(absent)?;
        let wrong = |error: std::io::Error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            ReadError::Disk(directory.error("read", name, errno))
        };
        let before = stat(&file).map_err(wrong)?.ok_or(ReadError::Special)?;
        let mtime_ns = before.mtime_ns.ok_or(ReadError::Time)?;
        let (digest, bytes) = hash(&mut file, before.size, buffer).map_err(wrong)?;
        let after = stat(&file).map_err(wrong)?.ok_or(ReadError::Special)?;
        if before == after && bytes == after.size {
            return Ok(Content {
                stat: after,
                mtime_ns,
                digest,
                settled: is_settled(&after),
            });
        }
    }
    Err(ReadError::Changing)
}

fn absent(error: DiskError) -> ReadError {
    match error.source {
        Errno::NOENT => ReadError::Vanished,
        Errno::LOOP | Errno::NXIO => ReadError::Special,
        _ => ReadError::Disk(error),
    }
}

fn stat(file: &File) -> std::io::Result<Option<FileStat>> {
    Ok(FileStat::of_regular(&rustix::fs::fstat(file)?))
}

/// Reads to the end: a read that gives less than was asked for and makes up the
/// size is the last one. Whether the file still has that size its stat says.
fn hash(file: &mut File, size: u64, buffer: &mut Vec<u8>) -> std::io::Result<(Digest, u64)> {
    buffer.resize(BUFFER_BYTES, 0);
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok((hasher.into(), bytes)),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
                if bytes == size && read < buffer.len() {
                    return Ok((hasher.into(), bytes));
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_settled(stat: &FileStat) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let changed = Duration::from_nanos(stat.ctime_ns.max(0) as u64);
    now > changed + SETTLE
}
