//! The files of a store, as far as their durability matters: the seam at
//! which the crash laboratory puts a disk that forgets what was not synced.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use rustix::io::Errno;

use super::{DiskError, create_folder, errno};

/// Open files, at most.
const FILES_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// A file that is read as it was when it was opened, whatever has its name since.
pub trait OpenFile: Send + Sync + std::fmt::Debug {
    /// Bytes of the file.
    ///
    /// Errors: `DiskError`.
    fn length(&self) -> Result<u64, DiskError>;

    /// Fills `buffer` from `offset` on.
    ///
    /// Errors: `DiskError`, also where the file ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError>;
}

/// Files by name: `clean`, `segments/00000001.seg`. What was written is
/// durable after `sync` of the file, that a file has a name after
/// `sync_folder` of its folder.
pub trait StoreFiles: Send + Sync + std::fmt::Debug {
    /// The path of a file, for messages.
    fn path(&self, name: &str) -> PathBuf;

    /// Names of the files in a folder (empty: the store itself), without the
    /// folder's.
    ///
    /// Errors: `DiskError`.
    fn list(&self, folder: &str) -> Result<Vec<String>, DiskError>;

    /// Bytes of a file; none if it is not there.
    ///
    /// Errors: `DiskError`.
    fn length(&self, name: &str) -> Result<Option<u64>, DiskError>;

    /// Fills `buffer` from `offset` on.
    ///
    /// Errors: `DiskError`, also where the file ends before.
    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError>;

    /// Opens a file that is not written to any more; none if it is not there.
    ///
    /// Errors: `DiskError`.
    fn open(&self, name: &str) -> Result<Option<Box<dyn OpenFile>>, DiskError>;

    /// Makes a file with these bytes.
    ///
    /// Errors: `DiskError`, also if it is there.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError>;

    /// Writes after the end of a file.
    ///
    /// Errors: `DiskError`; some of the bytes may then be there.
    fn append(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError>;

    /// Cuts a file off.
    ///
    /// Errors: `DiskError`.
    fn truncate(&self, name: &str, length: u64) -> Result<(), DiskError>;

    /// Makes the bytes of a file durable.
    ///
    /// Errors: `DiskError`.
    fn sync(&self, name: &str) -> Result<(), DiskError>;

    /// Makes the names in a folder durable.
    ///
    /// Errors: `DiskError`.
    fn sync_folder(&self, folder: &str) -> Result<(), DiskError>;

    /// Gives a file another name, over what has it.
    ///
    /// Errors: `DiskError`.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes a file, if it is there.
    ///
    /// Errors: `DiskError`.
    fn remove(&self, name: &str) -> Result<(), DiskError>;
}

impl dyn StoreFiles + '_ {
    /// The bytes of a file of at most `bytes_max`; none if it is not there.
    ///
    /// Errors: `DiskError`, also when it is longer.
    pub fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, DiskError> {
        let Some(length) = self.length(name)? else {
            return Ok(None);
        };
        if length > bytes_max {
            return Err(DiskError::at("read", &self.path(name), Errno::FBIG));
        }
        let mut bytes = vec![0; length as usize];
        self.read_at(name, 0, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Replaces a file so that after a power cut it holds the old or the new
    /// bytes, whole.
    ///
    /// Errors: `DiskError`; the old file is then still there.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let new = match folder {
            "" => format!(".new-{file}"),
            _ => format!("{folder}/.new-{file}"),
        };
        self.remove(&new)?;
        self.create(&new, bytes)?;
        self.sync(&new)?;
        self.rename(&new, name)?;
        self.sync_folder(folder)
    }
}

/// An open file of this machine.
#[derive(Debug)]
struct LocalFile {
    file: File,
    path: PathBuf,
}

impl OpenFile for LocalFile {
    fn length(&self) -> Result<u64, DiskError> {
        let found = self.file.metadata();
        let found = found.map_err(|error| DiskError::at("look at", &self.path, errno(&error)))?;
        Ok(found.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let read = self.file.read_exact_at(buffer, offset);
        read.map_err(|error| DiskError::at("read", &self.path, errno(&error)))
    }
}

/// A store in a folder of this machine.
#[derive(Debug)]
pub struct StoreFolder {
    folder: PathBuf,
    files: Mutex<LruCache<String, Arc<File>>>,
}

impl StoreFolder {
    /// Opens the store at `folder`; makes it, with `folders` in it, durably.
    ///
    /// Errors: `DiskError`.
    pub fn open(folder: &Path, folders: &[&str]) -> Result<StoreFolder, DiskError> {
        create_folder(folder)?;
        for below in folders {
            create_folder(&folder.join(below))?;
        }
        Ok(StoreFolder {
            folder: folder.to_path_buf(),
            files: Mutex::new(LruCache::new(FILES_MAX)),
        })
    }

    fn error(&self, action: &'static str, name: &str, error: &std::io::Error) -> DiskError {
        DiskError::at(action, &self.path(name), errno(error))
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, LruCache<String, Arc<File>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file, open for reading and appending.
    fn file(&self, name: &str) -> Result<Arc<File>, DiskError> {
        // Held until the file is kept, so that a file that is replaced
        // meanwhile is not kept under the name of the new one.
        let mut cached = self.cached();
        if let Some(file) = cached.get(name) {
            return Ok(file.clone());
        }
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(self.path(name))
            .map_err(|error| self.error("open", name, &error))?;
        let file = Arc::new(file);
        cached.put(name.to_string(), file.clone());
        Ok(file)
    }

    fn forget(&self, name: &str) {
        self.cached().pop(name);
    }
}

impl StoreFiles for StoreFolder {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, DiskError> {
        let wrong = |error: std::io::Error| self.error("list", folder, &error);
        let mut names = Vec::new();
        for item in fs::read_dir(self.path(folder)).map_err(wrong)? {
            let item = item.map_err(wrong)?;
            if item.file_type().map_err(wrong)?.is_file() {
                names.extend(item.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn length(&self, name: &str) -> Result<Option<u64>, DiskError> {
        match fs::metadata(self.path(name)) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error("look at", name, &error)),
        }
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.file(name)?
            .read_exact_at(buffer, offset)
            .map_err(|error| self.error("read", name, &error))
    }

    fn open(&self, name: &str) -> Result<Option<Box<dyn OpenFile>>, DiskError> {
        let path = self.path(name);
        match File::open(&path) {
            Ok(file) => Ok(Some(Box::new(LocalFile { file, path }))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error("open", name, &error)),
        }
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .open(self.path(name))
            .map_err(|error| self.error("create", name, &error))?;
        file.write_all(bytes)
            .map_err(|error| self.error("write", name, &error))?;
        self.cached().put(name.to_string(), Arc::new(file));
        Ok(())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        (&*self.file(name)?)
            .write_all(bytes)
            .map_err(|error| self.error("append to", name, &error))
    }

    fn truncate(&self, name: &str, length: u64) -> Result<(), DiskError> {
        self.file(name)?
            .set_len(length)
            .map_err(|error| self.error("truncate", name, &error))
    }

    fn sync(&self, name: &str) -> Result<(), DiskError> {
        self.file(name)?
            .sync_data()
            .map_err(|error| self.error("sync", name, &error))
    }

    fn sync_folder(&self, folder: &str) -> Result<(), DiskError> {
        File::open(self.path(folder))
            .and_then(|file| file.sync_all())
            .map_err(|error| self.error("sync", folder, &error))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.forget(from);
        let renamed = fs::rename(self.path(from), self.path(to));
        self.forget(to);
        renamed.map_err(|error| self.error("replace", to, &error))
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.forget(name);
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(self.error("remove", name, &error))
            }
            _ => Ok(()),
        }
    }
}
