//! Small records beside the segments: one value in a file of its own, which
//! is replaced whole and checked when it is read. SPEC.md section 10.

use std::path::Path;

use hikae_protocol::digest::Domain;
use hikae_protocol::message::decode;
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DiskError, StoreFiles, read_small, replace_file};

/// Bytes of the digest before the value.
const DIGEST_BYTES: usize = 32;
/// Bytes of a record's file, at most.
const RECORD_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a record's file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<T> {
    /// There is no file.
    Absent,
    /// The value that was written.
    Value(T),
    /// Something else.
    Garbled,
}

/// Reads the record `name`.
///
/// Errors: `DiskError` if the file is there and can't be read.
pub fn read_record<T: DeserializeOwned>(
    files: &dyn StoreFiles,
    name: &str,
) -> Result<Record<T>, DiskError> {
    let Some(bytes) = files.read(name, RECORD_BYTES_MAX)? else {
        return Ok(Record::Absent);
    };
    Ok(value_of(&bytes))
}

/// Replaces the record `name`, durably.
///
/// Errors: `DiskError`; the old record is then still there.
pub fn write_record<T: Serialize>(
    files: &dyn StoreFiles,
    name: &str,
    value: &T,
) -> Result<(), DiskError> {
    files.replace(name, &bytes_of(value, &files.path(name))?)
}

/// Reads a record that is no part of a store.
///
/// Errors: `DiskError` if the file is there and can't be read.
pub fn read_record_at<T: DeserializeOwned>(path: &Path) -> Result<Record<T>, DiskError> {
    let bytes = read_small(path)?;
    Ok(bytes.map_or(Record::Absent, |bytes| value_of(&bytes)))
}

/// Replaces a record that is no part of a store, durably.
///
/// Errors: `DiskError`; the old record is then still there.
pub fn write_record_at<T: Serialize>(path: &Path, value: &T) -> Result<(), DiskError> {
    replace_file(path, &bytes_of(value, path)?)
}

fn value_of<T: DeserializeOwned>(bytes: &[u8]) -> Record<T> {
    let value = bytes
        .split_at_checked(DIGEST_BYTES)
        .filter(|(digest, value)| Domain::Record.digest(value).as_bytes() == digest)
        .and_then(|(_, value)| decode(value).ok());
    value.map_or(Record::Garbled, Record::Value)
}

fn bytes_of<T: Serialize>(value: &T, path: &Path) -> Result<Vec<u8>, DiskError> {
    let value = postcard::to_stdvec(value)
        .map_err(|_| DiskError::at("encode a record for", path, Errno::INVAL))?;
    let digest = Domain::Record.digest(&value);
    Ok([digest.as_bytes(), &value[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::StoreFolder;
    use crate::disk::golden::{assert_golden, golden};

    #[test]
    fn golden_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let files = StoreFolder::open(folder.path(), &[]).unwrap();
        let value = (300_u64, "控え".to_string());
        write_record(&files, "record", &value).unwrap();
        assert_golden(
            "small_record",
            &std::fs::read(files.path("record")).unwrap(),
        );
        let other = StoreFolder::open(folder.path(), &[]).unwrap();
        std::fs::write(other.path("record"), golden("small_record")).unwrap();
        assert_eq!(read_record(&other, "record").unwrap(), Record::Value(value));
    }

    /// [S10-6] every flipped bit and every cut of a record is noticed.
    #[test]
    fn a_damaged_record_is_never_believed() {
        let folder = tempfile::tempdir().unwrap();
        let files = StoreFolder::open(folder.path(), &[]).unwrap();
        let path = files.path("record");
        assert_eq!(
            read_record::<u64>(&files, "record").unwrap(),
            Record::Absent
        );
        write_record(&files, "record", &(7_u64, "seven")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let read = || {
            let files = StoreFolder::open(folder.path(), &[]).unwrap();
            read_record::<(u64, String)>(&files, "record").unwrap()
        };
        assert_eq!(read(), Record::Value((7, "seven".into())));
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bad).unwrap();
            assert_eq!(read(), Record::Garbled, "bit {bit}");
        }
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read(), Record::Garbled, "cut {cut}");
        }
    }
}
