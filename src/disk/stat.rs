//! What the file system says of a file and of a root.

use rustix::fs::{FileType, Stat, StatVfs};
use serde::{Deserialize, Serialize};

/// What tells a file that changed from one that did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
    /// Inode number.
    pub inode: u64,
}

fn nanoseconds(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

impl FileStat {
    /// The stat of a regular file; none of anything else.
    pub fn of_regular(stat: &Stat) -> Option<FileStat> {
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| FileStat {
            size: stat.st_size as u64,
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
            inode: stat.st_ino,
        })
    }
}

/// Which directory of which file system a root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootIdentity {
    /// The file system's id.
    pub file_system: u64,
    /// Inode number of the root.
    pub inode: u64,
}

impl RootIdentity {
    /// From what the system says of the root's descriptor.
    pub fn new(stat: &Stat, file_system: &StatVfs) -> RootIdentity {
        RootIdentity {
            file_system: file_system.f_fsid,
            inode: stat.st_ino,
        }
    }
}
