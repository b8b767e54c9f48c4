//! The hidden folder of a tree in which files are written before they get
//! their names. After a stop of any kind it is emptied.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Timespec, Timestamps};
use rustix::io::Errno;

use crate::disk::{Directory, DiskError, ItemKind, join};

/// The folder's name in the tree's root. No facility has it: it begins with a
/// dot.
pub(super) const FOLDER: &[u8] = b".hikae";
/// Subfolders, so that threads do not wait for each other.
const LANES: u64 = 16;

/// The open staging folder.
pub(super) struct Staging {
    root: Directory,
    lanes: Vec<Directory>,
    next: AtomicU64,
}

/// A name in the staging folder, or in the tree itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staged {
    /// None is the tree.
    lane: Option<usize>,
    /// The name in its lane; of what lies in a folder there its path.
    pub name: Vec<u8>,
}

impl Staged {
    /// A name in the tree itself, where nobody reads yet.
    pub(super) fn in_place(path: &[u8]) -> Staged {
        Staged {
            lane: None,
            name: path.to_vec(),
        }
    }

    /// Whether it is in the tree already.
    pub(super) fn is_in_place(&self) -> bool {
        self.lane.is_none()
    }

    /// What lies below a folder.
    pub(super) fn below(&self, path: &[u8]) -> Staged {
        Staged {
            lane: self.lane,
            name: join(&self.name, path),
        }
    }
}

impl Staging {
    /// Opens the staging folder of the tree `root`, empty.
    pub(super) fn open(root: &Directory) -> Result<Staging, DiskError> {
        clear_folder(root, FOLDER)?;
        let folder = root.open_or_create(FOLDER)?;
        let lanes: Result<Vec<Directory>, DiskError> = (0..LANES)
            .map(|lane| folder.open_or_create(lane.to_string().as_bytes()))
            .collect();
        Ok(Staging {
            root: root.clone(),
            lanes: lanes?,
            next: AtomicU64::new(0),
        })
    }

    /// A name that is not taken.
    pub(super) fn reserve(&self) -> Staged {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let lane = rayon::current_thread_index().unwrap_or(0) % self.lanes.len();
        Staged {
            lane: Some(lane),
            name: number.to_string().into_bytes(),
        }
    }

    /// The folder that a staged name is in.
    pub(super) fn folder(&self, staged: &Staged) -> &Directory {
        staged.lane.map_or(&self.root, |lane| &self.lanes[lane])
    }

    /// Removes the folder.
    pub(super) fn clear(&self) -> Result<(), DiskError> {
        clear_folder(&self.root, FOLDER)
    }
}

/// Removes a folder with everything in it.
fn clear_folder(parent: &Directory, name: &[u8]) -> Result<(), DiskError> {
    let folder = match parent.open(name) {
        Ok(folder) => folder,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error),
    };
    for item in folder.list()? {
        match item.kind {
            ItemKind::Directory => clear_folder(&folder, &item.name)?,
            ItemKind::File | ItemKind::Special => drop(folder.remove_file(&item.name)?),
        }
    }
    parent.remove_directory(name)?;
    Ok(())
}

/// Sets the modification time, and leaves the access time.
pub(super) fn set_mtime(file: &File, mtime_ns: i64) -> Result<(), Errno> {
    const SECOND: i64 = 1_000_000_000;
    let omit = Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_OMIT,
    };
    let times = Timestamps {
        last_access: omit,
        last_modification: Timespec {
            tv_sec: mtime_ns.div_euclid(SECOND),
            tv_nsec: mtime_ns.rem_euclid(SECOND),
        },
    };
    rustix::fs::futimens(file, &times)
}
