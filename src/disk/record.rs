//! Small records beside the segments: one value in a file of its own, which
//! is replaced whole and checked when it is read. SPEC.md section 10.

use std::path::Path;

use hikae_protocol::digest::Domain;
use hikae_protocol::message::decode;
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DiskError, read_small, replace_file};

/// Bytes of the digest before the value.
const DIGEST_BYTES: usize = 32;

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

/// Reads the record at `path`.
///
/// Errors: `DiskError` if the file is there and can't be read.
pub fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Record<T>, DiskError> {
    let Some(bytes) = read_small(path)? else {
        return Ok(Record::Absent);
    };
    let value = bytes
        .split_at_checked(DIGEST_BYTES)
        .filter(|(digest, value)| Domain::Record.digest(value).as_bytes() == digest)
        .and_then(|(_, value)| decode(value).ok());
    Ok(value.map_or(Record::Garbled, Record::Value))
}

/// Replaces the record at `path`, durably.
///
/// Errors: `DiskError`; the old record is then still there.
pub fn write_record<T: Serialize>(path: &Path, value: &T) -> Result<(), DiskError> {
    let value = postcard::to_stdvec(value)
        .map_err(|_| DiskError::at("encode a record for", path, Errno::INVAL))?;
    let digest = Domain::Record.digest(&value);
    replace_file(path, &[digest.as_bytes(), &value[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::golden::{assert_golden, golden};

    #[test]
    fn golden_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let value = (300_u64, "控え".to_string());
        write_record(&path, &value).unwrap();
        assert_golden("small_record", &std::fs::read(&path).unwrap());
        std::fs::write(&path, golden("small_record")).unwrap();
        assert_eq!(read_record(&path).unwrap(), Record::Value(value));
    }

    /// [S10-6] every flipped bit and every cut of a record is noticed.
    #[test]
    fn a_damaged_record_is_never_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        assert_eq!(read_record::<u64>(&path).unwrap(), Record::Absent);
        write_record(&path, &(7_u64, "seven")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let read = || read_record::<(u64, String)>(&path).unwrap();
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
