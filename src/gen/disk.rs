//! Disk: the volumes' files, written below one open directory.
//!
//! Everything made is counted where it is made. mtimes are set from records, so that two centers
//! of one seed are alike.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::error::GenError;
use crate::ssmix;

const FILE_MODE: Mode = Mode::from_raw_mode(0o640);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o750);
/// Directories remembered at most; forgetting costs a system call, nothing else.
const MADE_MAX: usize = 20_000;

/// What was made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) files: u64,
    pub(super) directories: u64,
    pub(super) bytes: u64,
    pub(super) renamed: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        // A rewrite may have made a part less than nothing; the sum is right all the same.
        self.files = self.files.wrapping_add(other.files);
        self.directories += other.directories;
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.renamed += other.renamed;
    }
}

/// A directory with everything below it: `DIR/volumes`, or one patient's directory in a volume.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    /// Directories known to exist.
    made: HashSet<Vec<u8>>,
    pub(super) tally: Tally,
}

impl Folder {
    /// Opens an existing directory.
    pub(super) fn open(path: &Path) -> Result<Self, GenError> {
        let fd = rustix::fs::openat(
            CWD,
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| io_error(path, errno))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
            made: HashSet::new(),
            tally: Tally::default(),
        })
    }

    /// A patient's directory in a volume, made when it is not there.
    pub(super) fn patient(
        &mut self,
        facility: &str,
        label: &str,
        patient: &str,
    ) -> Result<Self, GenError> {
        let leaf = ssmix::patient_directory(patient.as_bytes());
        let path = [facility.as_bytes(), label.as_bytes(), &leaf].join(&b'/');
        // Prefix folders are few and remembered; the leaf is visited once.
        let parent = path.len() - patient.len() - 1;
        self.make(&path[..parent])?;
        self.make_one(&path)?;
        let fd = rustix::fs::openat(
            &self.fd,
            &path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| self.error(&path, errno))?;
        Ok(Self {
            fd,
            path: self.place(&path),
            made: HashSet::new(),
            tally: Tally::default(),
        })
    }

    /// Makes a directory and its parents.
    pub(super) fn make(&mut self, directory: &[u8]) -> Result<(), GenError> {
        if self.made.contains(directory) {
            return Ok(());
        }
        if let Some(at) = directory.iter().rposition(|&b| b == b'/') {
            self.make(&directory[..at])?;
        }
        self.make_one(directory)?;
        if self.made.len() >= MADE_MAX {
            self.made.clear();
        }
        self.made.insert(directory.to_vec());
        Ok(())
    }

    fn make_one(&mut self, directory: &[u8]) -> Result<(), GenError> {
        match rustix::fs::mkdirat(&self.fd, directory, DIRECTORY_MODE) {
            Ok(()) => self.tally.directories += 1,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.error(directory, errno)),
        }
        Ok(())
    }

    /// Writes a new file; its directory exists.
    pub(super) fn write(
        &mut self,
        file: &[u8],
        content: &[u8],
        mtime: Timespec,
    ) -> Result<(), GenError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let write = || -> Result<(), Errno> {
            let fd = rustix::fs::openat(&self.fd, file, flags, FILE_MODE)?;
            let mut rest = content;
            while !rest.is_empty() {
                let written = rustix::io::write(&fd, rest)?;
                rest = &rest[written..];
            }
            rustix::fs::futimens(
                &fd,
                &Timestamps {
                    last_access: mtime,
                    last_modification: mtime,
                },
            )
        };
        write().map_err(|errno| self.error(file, errno))?;
        self.tally.files = self.tally.files.wrapping_add(1);
        self.tally.bytes = self.tally.bytes.wrapping_add(content.len() as u64);
        Ok(())
    }

    /// Writes a file as a careful gateway does: under a temporary name, then renamed into place.
    pub(super) fn write_in_place(
        &mut self,
        file: &[u8],
        content: &[u8],
        mtime: Timespec,
    ) -> Result<(), GenError> {
        let temporary = [file, b".tmp"].concat();
        self.write(&temporary, content, mtime)?;
        self.move_to(&temporary, file)
    }

    /// Replaces a file's content and keeps its mtime.
    pub(super) fn rewrite(&mut self, file: &[u8], content: &[u8]) -> Result<(), GenError> {
        let status = rustix::fs::statat(&self.fd, file, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.error(file, errno))?;
        let mtime = Timespec {
            tv_sec: status.st_mtime,
            tv_nsec: status.st_mtime_nsec as i64,
        };
        rustix::fs::unlinkat(&self.fd, file, AtFlags::empty())
            .map_err(|errno| self.error(file, errno))?;
        self.tally.files = self.tally.files.wrapping_sub(1);
        self.tally.bytes = self.tally.bytes.wrapping_sub(status.st_size as u64);
        self.write(file, content, mtime)
    }

    /// Renames a file or content folder within this directory; counts nothing.
    pub(super) fn move_to(&self, from: &[u8], to: &[u8]) -> Result<(), GenError> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to).map_err(|errno| self.error(from, errno))
    }

    /// Renames a record's file or content folder and counts the files that have a new path.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), GenError> {
        self.move_to(from, to)?;
        let place = self.place(to);
        self.tally.renamed += match std::fs::read_dir(&place) {
            Ok(entries) => entries.count() as u64,
            Err(_) => 1,
        };
        Ok(())
    }

    /// Whether something is there; what can't be read is not.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        rustix::fs::accessat(&self.fd, path, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// A file's content.
    pub(super) fn read(&self, file: &[u8]) -> Result<Vec<u8>, GenError> {
        let place = self.place(file);
        std::fs::read(&place).map_err(|source| GenError::Io {
            path: place,
            source,
        })
    }

    fn place(&self, path: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(path))
    }

    fn error(&self, path: &[u8], errno: Errno) -> GenError {
        io_error(&self.place(path), errno)
    }
}

fn io_error(path: &Path, errno: Errno) -> GenError {
    GenError::Io {
        path: path.to_owned(),
        source: io::Error::from(errno),
    }
}
