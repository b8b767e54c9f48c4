//! Looks at a source's storage: what is there, what changed since a record
//! was made. Never writes.
//!
//! What can't be read is an error on that file or directory, never a
//! deletion: a file is removed only if every directory up to the volume's
//! root was read and it was not there.

mod content;
mod leaf;
mod volume;

pub use content::{Content, ReadError, read_content};
pub use leaf::{Counts, LeafLook, look_at};
pub use volume::{Parts, Scope, VolumeWalk};

use serde::{Deserialize, Serialize};

/// A file or directory that is not copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which: facility, label and the path below.
    pub path: String,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why a file or directory is not copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// A link, device, socket or fifo: never copied.
    Special,
    /// It lies among the volumes and is no folder.
    NoVolume,
    /// It can't be read now; what was copied of it before stays.
    Unreadable(String),
    /// It kept changing while it was read; it is looked at again.
    Changing,
    /// Its path is over the bounds.
    Name(String),
    /// The source could not hand out its content.
    Lacking,
    /// A directory without anything in it: there is nothing to copy.
    Empty,
    /// Its modification time is out of range; what was copied of it before
    /// stays.
    Time,
}

impl LeftOutReason {
    /// Whether somebody has to do something.
    pub fn is_failure(&self) -> bool {
        match self {
            LeftOutReason::Unreadable(_)
            | LeftOutReason::Name(_)
            | LeftOutReason::Time
            | LeftOutReason::Lacking => true,
            LeftOutReason::Special
            | LeftOutReason::NoVolume
            | LeftOutReason::Changing
            | LeftOutReason::Empty => false,
        }
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.reason {
            LeftOutReason::Special => write!(f, "{}: no regular file", self.path),
            LeftOutReason::NoVolume => write!(
                f,
                "{}: no folder of a volume (links are not followed; name it in [[volume]])",
                self.path
            ),
            LeftOutReason::Unreadable(error) | LeftOutReason::Name(error) => {
                write!(f, "{}: {error}", self.path)
            }
            LeftOutReason::Lacking => write!(
                f,
                "{}: the source could not hand out its content; the next sync asks again",
                self.path
            ),
            LeftOutReason::Changing => write!(f, "{}: changed while it was read", self.path),
            LeftOutReason::Empty => write!(f, "{}: an empty folder", self.path),
            LeftOutReason::Time => write!(
                f,
                "{}: its modification time is before 1677 or after 2262; set another",
                self.path
            ),
        }
    }
}
