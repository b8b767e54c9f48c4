//! What the file system says of a file and of a root.

use rustix::fs::{FileType, Stat, StatVfs};
use serde::{Deserialize, Serialize};

/// What tells a file that changed from one that did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch; none of a time that 64
    /// bits of them do not reach (before 1677, after 2262).
    pub mtime_ns: Option<i64>,
    /// Change time, nanoseconds since the epoch, or the nearest that there is:
    /// it is compared, and never shown.
    pub ctime_ns: i64,
    /// Inode number.
    pub inode: u64,
}

fn nanoseconds(seconds: i64, nanos: i64) -> Option<i64> {
    let whole = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    i64::try_from(whole).ok()
}

impl FileStat {
    /// The stat of a regular file; none of anything else.
    pub fn of_regular(stat: &Stat) -> Option<FileStat> {
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| FileStat {
            size: stat.st_size as u64,
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64).unwrap_or(
                if stat.st_ctime < 0 {
                    i64::MIN
                } else {
                    i64::MAX
                },
            ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_exact_or_none() {
        assert_eq!(nanoseconds(-1, 999_999_999), Some(-1));
        assert_eq!(nanoseconds(9_223_372_036, 854_775_807), Some(i64::MAX));
        assert_eq!(nanoseconds(9_223_372_036, 854_775_808), None);
        assert_eq!(nanoseconds(-9_223_372_037, 145_224_192), Some(i64::MIN));
        assert_eq!(nanoseconds(-9_223_372_037, 145_224_191), None);
        assert_eq!(nanoseconds(i64::MAX, 0), None);
    }
}
