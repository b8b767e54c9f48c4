//! Small files of the home: read whole, replaced whole.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use rustix::io::Errno;

use super::{DiskError, errno};

/// Bytes of a small file, at most.
const SMALL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The bytes of a small file; none if it is not there.
///
/// Errors: `DiskError`, also when it is over 64 MiB.
pub fn read_small(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    let wrong = |error: std::io::Error| DiskError::at("read", path, errno(&error));
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error)),
    };
    let mut bytes = Vec::new();
    file.take(SMALL_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(wrong)?;
    if bytes.len() as u64 > SMALL_BYTES_MAX {
        return Err(DiskError::at("read", path, Errno::FBIG));
    }
    Ok(Some(bytes))
}

/// Makes a folder with those above it, where they are missing, durably.
///
/// Errors: `DiskError`.
pub fn create_folder(path: &Path) -> Result<(), DiskError> {
    let wrong = |action: &'static str, path: &Path| {
        let path = path.to_path_buf();
        move |error: std::io::Error| DiskError::at(action, &path, errno(&error))
    };
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.is_dir()).collect();
    fs::create_dir_all(path).map_err(wrong("create", path))?;
    // That of a folder that is there, too: who made it may have been stopped.
    let made = missing.iter().rev().copied();
    for folder in made.chain(missing.is_empty().then_some(path)) {
        let above = match folder.parent() {
            None => continue,
            Some(above) if above.as_os_str().is_empty() => Path::new("."),
            Some(above) => above,
        };
        match fs::File::open(above).and_then(|above| above.sync_all()) {
            // Nobody without rights there made it just now.
            Err(error) if missing.is_empty() && error.kind() == ErrorKind::PermissionDenied => {}
            synced => synced.map_err(wrong("sync the folder of", folder))?,
        }
    }
    Ok(())
}

/// Replaces a file so that after a power cut it holds the old or the new
/// bytes, whole.
///
/// Errors: `DiskError`; the old file is then still there.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let wrong = |action: &'static str| {
        move |error: std::io::Error| DiskError::at(action, path, errno(&error))
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".hikae-")
        .tempfile_in(folder)
        .map_err(wrong("create a file beside"))?;
    // Through the file itself: `tempfile` wraps what the system said.
    file.as_file_mut()
        .write_all(bytes)
        .map_err(wrong("write"))?;
    file.as_file().sync_all().map_err(wrong("sync"))?;
    file.persist(path)
        .map_err(|error| wrong("replace")(error.error))?;
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(wrong("sync the folder of"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [S10-2] the old file stays as it is, whole, until the new one has its
    /// name; and nothing else is left.
    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace_file(&path, b"the old bytes").unwrap();
        let mut old = fs::File::open(&path).unwrap();
        replace_file(&path, b"new").unwrap();
        let mut bytes = Vec::new();
        old.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"the old bytes", "it was written over");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        // A folder with something in it can't be replaced.
        let full = folder.path().join("full");
        fs::create_dir_all(full.join("below")).unwrap();
        assert!(replace_file(&full, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_error_keeps_what_the_system_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = replace_file(&folder.path().join("away/file"), b"x").unwrap_err();
        assert_eq!(error.source, Errno::NOENT, "{error}");
    }
}
