//! An open directory, and what can be done below it.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

use super::{DiskError, FileStat, RootIdentity, join};

/// Bytes of one read of a directory.
const LISTING_BYTES: usize = 32 * 1024;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// An item of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: ItemKind,
}

/// What an item of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, device, socket or fifo.
    Special,
}

/// An open directory, with the configured root and the path below it that it
/// was opened by, for messages.
#[derive(Debug, Clone)]
pub struct Directory {
    descriptor: Arc<OwnedFd>,
    root: Arc<PathBuf>,
    path: Vec<u8>,
}

impl Directory {
    /// Opens a configured folder.
    ///
    /// Errors: `DiskError`.
    pub fn open_root(root: &Path) -> Result<Directory, DiskError> {
        let descriptor = rustix::fs::openat(CWD, root, FOLDER, Mode::empty())
            .map_err(|errno| DiskError::at("open", root, errno))?;
        Ok(Directory {
            descriptor: Arc::new(descriptor),
            root: Arc::new(root.to_path_buf()),
            path: vec![],
        })
    }

    /// The path by which this directory was opened, below its root.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The error of a system call on something below this directory.
    pub fn error(&self, action: &'static str, path: &[u8], errno: Errno) -> DiskError {
        DiskError::below(action, &self.root, &join(&self.path, path), errno)
    }

    /// Opens a directory beneath this one; an empty path is this one.
    ///
    /// Errors: `DiskError`; a symbolic link on the way is ELOOP.
    pub fn open(&self, path: &[u8]) -> Result<Directory, DiskError> {
        if path.is_empty() {
            return Ok(self.clone());
        }
        let descriptor = self
            .open_beneath(path, FOLDER, Mode::empty())
            .map_err(|errno| self.error("open", path, errno))?;
        Ok(Directory {
            descriptor: Arc::new(descriptor),
            root: self.root.clone(),
            path: join(&self.path, path),
        })
    }

    fn open_beneath(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let resolve = BENEATH;
        #[cfg(test)]
        let (flags, resolve) = super::sabotage::of(&self.root, flags, resolve);
        loop {
            match rustix::fs::openat2(&*self.descriptor, path, flags, mode, resolve) {
                // A rename elsewhere raced with the resolution.
                Err(Errno::AGAIN | Errno::INTR) => {}
                done => return done,
            }
        }
    }

    /// Opens a file beneath this directory for reading; never waits on a
    /// fifo or device.
    ///
    /// Errors: `DiskError`.
    pub fn open_file(&self, path: &[u8]) -> Result<File, DiskError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        self.open_beneath(path, flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| self.error("open", path, errno))
    }

    /// Creates a file, which must not be there yet, mode 0640.
    ///
    /// Errors: `DiskError`.
    pub fn create_file(&self, name: &[u8]) -> Result<File, DiskError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        self.open_beneath(name, flags, Mode::from_raw_mode(0o640))
            .map(File::from)
            .map_err(|errno| self.error("create", name, errno))
    }

    /// Creates a directory, mode 0750; one that is there already is fine.
    ///
    /// Errors: `DiskError`.
    pub fn create_directory(&self, name: &[u8]) -> Result<(), DiskError> {
        match rustix::fs::mkdirat(&*self.descriptor, name, Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(self.error("create the folder", name, errno)),
        }
    }

    /// Opens a directory beneath this one, and makes what of it is missing.
    ///
    /// Errors: `DiskError`.
    pub fn open_or_create(&self, path: &[u8]) -> Result<Directory, DiskError> {
        match self.open(path) {
            Err(error) if error.source == Errno::NOENT => {}
            done => return done,
        }
        let (above, name) = hikae_protocol::objectpath::split_last(path);
        self.open_or_create(above)?.make(name)
    }

    /// Creates the directory `name` in this one, unless it is there, and opens it.
    ///
    /// Errors: `DiskError`.
    pub fn make(&self, name: &[u8]) -> Result<Directory, DiskError> {
        self.create_directory(name)?;
        self.open(name)
    }

    /// Renames `from` in this directory to `name` in `to`, replacing a file.
    ///
    /// Errors: `DiskError` that names the target.
    pub fn rename(&self, from: &[u8], to: &Directory, name: &[u8]) -> Result<(), DiskError> {
        rustix::fs::renameat(&*self.descriptor, from, &*to.descriptor, name)
            .map_err(|errno| to.error("rename to", name, errno))
    }

    /// Removes a file; says whether it was there.
    ///
    /// Errors: `DiskError`.
    pub fn remove_file(&self, name: &[u8]) -> Result<bool, DiskError> {
        match rustix::fs::unlinkat(&*self.descriptor, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error("remove", name, errno)),
        }
    }

    /// Removes a directory if it is empty; says whether it did.
    ///
    /// Errors: `DiskError`.
    pub fn remove_directory(&self, name: &[u8]) -> Result<bool, DiskError> {
        match rustix::fs::unlinkat(&*self.descriptor, name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(errno) => Err(self.error("remove the folder", name, errno)),
        }
    }

    /// The stat of a regular file; none if there is none of that name.
    ///
    /// Errors: `DiskError`.
    pub fn stat_file(&self, name: &[u8]) -> Result<Option<FileStat>, DiskError> {
        match rustix::fs::statat(&*self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileStat::of_regular(&stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error("stat", name, errno)),
        }
    }

    /// Opens a directory beneath this one, and lists it; an empty path is
    /// this one.
    ///
    /// Errors: as of `open` and `list`.
    pub fn open_listed(&self, path: &[u8]) -> Result<(Directory, Vec<Item>), DiskError> {
        if path.is_empty() {
            return Ok((self.clone(), self.list()?));
        }
        let directory = self.open(path)?;
        // Nobody else has the new descriptor yet, and with it its position.
        let items = directory.items(&directory.descriptor)?;
        Ok((directory, items))
    }

    /// Everything in this directory, sorted by name.
    ///
    /// Errors: `DiskError`; a listing that fails half-way gives nothing.
    pub fn list(&self) -> Result<Vec<Item>, DiskError> {
        // An own descriptor: the position of a shared one would be shared.
        let own = self
            .open_beneath(b".", FOLDER, Mode::empty())
            .map_err(|errno| self.error("open", b"", errno))?;
        self.items(&own)
    }

    fn items(&self, descriptor: &OwnedFd) -> Result<Vec<Item>, DiskError> {
        let mut buffer = [MaybeUninit::uninit(); LISTING_BYTES];
        let mut listing = RawDir::new(descriptor, &mut buffer);
        let mut items = Vec::new();
        while let Some(entry) = listing.next() {
            let entry = entry.map_err(|errno| self.error("list", b"", errno))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                kind = self.type_of(name)?;
            }
            items.push(Item {
                name: name.to_vec(),
                kind: match kind {
                    FileType::RegularFile => ItemKind::File,
                    FileType::Directory => ItemKind::Directory,
                    _ => ItemKind::Special,
                },
            });
        }
        items.sort_unstable_by(|one, two| one.name.cmp(&two.name));
        Ok(items)
    }

    fn type_of(&self, name: &[u8]) -> Result<FileType, DiskError> {
        match rustix::fs::statat(&*self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode)),
            Err(errno) => Err(self.error("stat", name, errno)),
        }
    }

    /// Which directory of which file system this is.
    ///
    /// Errors: `DiskError`.
    pub fn identity(&self) -> Result<RootIdentity, DiskError> {
        let wrong = |errno| self.error("stat", b"", errno);
        let stat = rustix::fs::fstat(&*self.descriptor).map_err(wrong)?;
        let file_system = rustix::fs::fstatvfs(&*self.descriptor).map_err(wrong)?;
        Ok(RootIdentity::new(&stat, &file_system))
    }

    /// Makes the directory's own entries durable.
    ///
    /// Errors: `DiskError`.
    pub fn sync(&self) -> Result<(), DiskError> {
        rustix::fs::fsync(&*self.descriptor).map_err(|errno| self.error("sync", b"", errno))
    }

    /// Makes everything on this directory's file system durable.
    ///
    /// Errors: `DiskError`, also for write-back that failed before.
    pub fn sync_file_system(&self) -> Result<(), DiskError> {
        rustix::fs::syncfs(&*self.descriptor)
            .map_err(|errno| self.error("sync the file system of", b"", errno))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// [S11-1] nothing is reached but beneath the root, and through no link.
    #[test]
    fn nothing_leads_out_of_a_root() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let folder = tempfile::tempdir().unwrap();
        symlink(outside.path(), folder.path().join("link")).unwrap();
        symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
        let root = Directory::open_root(folder.path()).unwrap();
        for path in [&b"link"[..], b"..", b"link/secret", b"file", b"/etc"] {
            assert!(root.open(path).is_err());
            assert!(root.open_file(path).is_err());
        }
        assert!(root.create_file(b"link/new").is_err());
        assert!(root.open_or_create(b"link/a/b").is_err());
        assert!(root.open_or_create(b"a/b/c").is_ok());
        let kinds: Vec<ItemKind> = root.list().unwrap().iter().map(|item| item.kind).collect();
        assert_eq!(
            kinds,
            [ItemKind::Directory, ItemKind::Special, ItemKind::Special]
        );
    }
}
