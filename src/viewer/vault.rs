//! The viewer's own files in `<home>/viewer`: small records and logs of
//! frames. Beside a sealed store they are sealed with its key, so that a
//! stolen laptop says nothing of who looked at whom.
//!
//! What is sealed is bound to its file, and in a log to its place in it: no
//! frame can stand for another one.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::{DiskError, Record, StoreFiles, StoreFolder, read_record, write_record};
use crate::seal::{Seal, SealError};

/// What the viewer's values are bound to.
const TABLE: &str = "viewer";
/// Bytes of a frame's body, at most.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Length and checksum before a frame's body.
const FRAME_HEADER_BYTES: usize = 4 + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 16;
/// Bytes of a log, at most.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Why the viewer's files can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It was sealed with another key, or changed.
    #[error("{path}: {source}")]
    Seal {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: SealError,
    },
    /// It holds something else.
    #[error("{0}: not what the viewer wrote")]
    Garbled(std::path::PathBuf),
}

/// The folder of the viewer's files.
#[derive(Clone)]
pub(super) struct Vault {
    files: Arc<dyn StoreFiles>,
    seal: Option<Arc<Seal>>,
}

/// The frames of a log.
pub(super) struct Frames {
    /// Bodies, in order.
    pub bodies: Vec<Vec<u8>>,
    /// Bytes of the whole ones: what follows was cut off by a stop.
    pub whole_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

impl Vault {
    /// Opens the folder, or makes it; with the seal of a sealed store.
    pub(super) fn open(folder: &Path, seal: Option<Arc<Seal>>) -> Result<Vault, VaultError> {
        let files = StoreFolder::open(folder, &[])?;
        Ok(Vault {
            files: Arc::new(files),
            seal,
        })
    }

    /// The small record `name`; none if there is none.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, VaultError> {
        let garbled = || VaultError::Garbled(self.files.path(name));
        let bytes = match read_record::<Vec<u8>>(&*self.files, name)? {
            Record::Absent => return Ok(None),
            Record::Garbled => return Err(garbled()),
            Record::Value(bytes) => bytes,
        };
        let bytes = self.opened(name, 0, bytes)?;
        let value = postcard::from_bytes(&bytes).map_err(|_| garbled())?;
        Ok(Some(value))
    }

    /// Replaces the small record `name`, durably.
    pub(super) fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), VaultError> {
        let garbled = |_| VaultError::Garbled(self.files.path(name));
        let bytes = postcard::to_stdvec(value).map_err(garbled)?;
        let bytes = self.closed(name, 0, bytes)?;
        Ok(write_record(&*self.files, name, &bytes)?)
    }

    /// Every whole frame of a log; what a stop left of one more is told by
    /// the lengths.
    pub(super) fn frames(&self, name: &str) -> Result<Frames, VaultError> {
        let bytes = self.files.read(name, LOG_BYTES_MAX)?.unwrap_or_default();
        let (mut bodies, mut at) = (Vec::new(), 0);
        while let Some((body, next)) = frame_at(&bytes, at) {
            bodies.push(self.opened(name, bodies.len() as u64 + 1, body.to_vec())?);
            at = next;
        }
        Ok(Frames {
            bodies,
            whole_bytes: at as u64,
            file_bytes: bytes.len() as u64,
        })
    }

    /// Appends the frame `number` (the first is 1) to a log and syncs it.
    pub(super) fn append(&self, name: &str, number: u64, body: &[u8]) -> Result<(), VaultError> {
        let body = self.closed(name, number, body.to_vec())?;
        let frame = framed(&body);
        if self.files.length(name)?.is_none() {
            self.files.create(name, &frame)?;
            self.files.sync(name)?;
            return Ok(self.files.sync_folder("")?);
        }
        self.files.append(name, &frame)?;
        Ok(self.files.sync(name)?)
    }

    /// Replaces a log by one with these bodies, durably.
    pub(super) fn replace_log(&self, name: &str, bodies: &[Vec<u8>]) -> Result<(), VaultError> {
        let mut bytes = Vec::new();
        for (number, body) in (1..).zip(bodies) {
            bytes.append(&mut framed(&self.closed(name, number, body.clone())?));
        }
        Ok(self.files.replace(name, &bytes)?)
    }

    /// Cuts off what a stop left of a frame.
    pub(super) fn cut(&self, name: &str, whole_bytes: u64) -> Result<(), VaultError> {
        self.files.truncate(name, whole_bytes)?;
        Ok(self.files.sync(name)?)
    }

    fn closed(&self, name: &str, number: u64, bytes: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        match &self.seal {
            None => Ok(bytes),
            Some(seal) => seal
                .seal_value(TABLE, &place(name, number), &bytes)
                .map_err(|source| self.wrong(name, source)),
        }
    }

    fn opened(&self, name: &str, number: u64, bytes: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        match &self.seal {
            None => Ok(bytes),
            Some(seal) => seal
                .open_value(TABLE, &place(name, number), &bytes)
                .map_err(|source| self.wrong(name, source)),
        }
    }

    fn wrong(&self, name: &str, source: SealError) -> VaultError {
        VaultError::Seal {
            path: self.files.path(name),
            source,
        }
    }
}

fn place(name: &str, number: u64) -> Vec<u8> {
    [name.as_bytes(), &[0], &number.to_le_bytes()].concat()
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    [&length, &checksum(body)[..], body].concat()
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&blake3::hash(body).as_bytes()[..CHECKSUM_BYTES]);
    sum
}

/// The frame that begins at `at` and where the next one does; none where the
/// bytes end or are no frame.
fn frame_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let body = rest.get(..length).filter(|_| length <= FRAME_BYTES_MAX)?;
    (checksum(body) == *sum).then_some((body, at + FRAME_HEADER_BYTES + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vaults(folder: &Path) -> [Vault; 2] {
        let seal = Arc::new(Seal::with_key([7; 16], [9; 32]));
        [
            Vault::open(&folder.join("clear"), None).unwrap(),
            Vault::open(&folder.join("sealed"), Some(seal)).unwrap(),
        ]
    }

    #[test]
    fn records_and_frames_come_back() {
        let folder = tempfile::tempdir().unwrap();
        for vault in vaults(folder.path()) {
            assert_eq!(vault.read::<u64>("record").unwrap(), None);
            vault.write("record", &7_u64).unwrap();
            assert_eq!(vault.read::<u64>("record").unwrap(), Some(7));
            for number in 1..4_u64 {
                vault.append("log", number, &[number as u8; 9]).unwrap();
            }
            let frames = vault.frames("log").unwrap();
            assert_eq!(frames.bodies, [[1; 9], [2; 9], [3; 9]]);
            assert_eq!(frames.whole_bytes, frames.file_bytes);
        }
    }

    /// A torn frame is not read, and a frame can't stand at another place.
    #[test]
    fn what_a_stop_left_is_cut_and_sealed_frames_have_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let [_, sealed] = vaults(folder.path());
        sealed.append("log", 1, b"one").unwrap();
        sealed.append("log", 2, b"two").unwrap();
        let path = folder.path().join("sealed/log");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let [_, sealed] = vaults(folder.path());
        let frames = sealed.frames("log").unwrap();
        assert_eq!(frames.bodies, [b"one"]);
        sealed.cut("log", frames.whole_bytes).unwrap();
        sealed.append("log", 2, b"zwei").unwrap();
        assert_eq!(sealed.frames("log").unwrap().bodies.len(), 2);
        let half = whole.len() / 2;
        std::fs::write(&path, [&whole[half..], &whole[..half]].concat()).unwrap();
        let [_, sealed] = vaults(folder.path());
        assert!(matches!(sealed.frames("log"), Err(VaultError::Seal { .. })));
        assert!(!whole.windows(3).any(|bytes| bytes == b"one"));
    }
}
