//! The hidden folder of a tree in which files are written before they get
//! their names. After a stop of any kind it is emptied.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use hikae_protocol::entry::Entry;
use hikae_protocol::limits::CHUNK_BYTES_MIN;
use rustix::fs::{Timespec, Timestamps};
use rustix::io::Errno;

use super::PublishError;
use crate::catalogue::{Catalogue, ContentPlace};
use crate::disk::{Directory, DiskError, ItemKind};

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

/// A name in the staging folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staged {
    lane: usize,
    /// The name in its lane.
    pub name: Vec<u8>,
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
            lane,
            name: number.to_string().into_bytes(),
        }
    }

    /// The folder that a staged name is in.
    pub(super) fn folder(&self, staged: &Staged) -> &Directory {
        &self.lanes[staged.lane]
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

/// Whether bytes are left out of a file, where they read as zeros: a large
/// file that has holes at the source has them in the tree.
fn is_hole(piece: &[u8]) -> bool {
    piece.len() >= CHUNK_BYTES_MIN && piece.iter().all(|&byte| byte == 0)
}

/// Writes a file with content and time; synced if `sync`.
pub(super) fn write_file(
    catalogue: &Catalogue,
    folder: &Directory,
    name: &[u8],
    entry: &Entry,
    place: ContentPlace,
    sync: bool,
) -> Result<(), PublishError> {
    let mut file = folder.create_file(name)?;
    let wrong = |errno| PublishError::Disk(folder.error("write", name, errno));
    let from_io = |error: std::io::Error| wrong(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let mut holes = false;
    catalogue.content(place, |piece| {
        holes = is_hole(piece);
        match holes {
            true => file.seek_relative(piece.len() as i64).map_err(from_io),
            false => file.write_all(piece).map_err(from_io),
        }
    })?;
    if holes {
        // The last bytes were passed over, not written.
        file.set_len(entry.size).map_err(from_io)?;
    }
    set_mtime(&file, entry.mtime_ns).map_err(wrong)?;
    if sync {
        file.sync_all().map_err(from_io)?;
    }
    Ok(())
}
