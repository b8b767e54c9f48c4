//! The sealed form of a store: what of it is encrypted, with which keys.
//! SPEC.md section 9.7.
//!
//! One random data key belongs to a store for its whole life; a passphrase
//! only wraps it (`keyfile`), so that another passphrase rewrites one small
//! file. What is sealed is bound to the store and to what it is, never to the
//! place where it lies: it can be moved without the key. Which fields those
//! are is said by the callers.

mod cipher;
mod keyfile;
mod passphrase;

pub use cipher::SEALED_MORE_BYTES;
pub use keyfile::{Cost, KEY_FILES};
pub use passphrase::Passphrase;

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::disk::{DiskError, Record, StoreFiles, read_record, write_record};
use cipher::Cipher;
use keyfile::KeyFile;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a store's id.
const STORE_ID_BYTES: usize = 16;
/// The id of a store's data key. There is one; the number is there so that
/// another one can be told from it.
pub const KEY_ID: u32 = 1;
/// Bytes of a name of the index.
pub const NAME_BYTES: usize = 16;

/// Contexts of the keys that are derived from the data key.
const BLOCKS_CONTEXT: &str = "hikae 1 seal blocks";
const NAMES_CONTEXT: &str = "hikae 1 seal index names";
const VALUES_CONTEXT: &str = "hikae 1 seal index values";

/// Why something can't be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The key file is whole, and the passphrase is another one.
    #[error("{path}: the passphrase does not open this store; nothing was changed")]
    Passphrase {
        /// The key file.
        path: PathBuf,
    },
    /// A sealed store without a key file.
    #[error(
        "{path}: the store's key file is not there, nor is its copy; without it nothing of the \
         store can be read"
    )]
    Absent {
        /// The key file.
        path: PathBuf,
    },
    /// A sealed store whose key files are both something else.
    #[error(
        "{path}: the store's key file is garbled, and its copy is no better; without it nothing of \
         the store can be read"
    )]
    Garbled {
        /// The key file.
        path: PathBuf,
    },
    /// A key file that asks for more than is allowed, or for nothing.
    #[error("{path}: asks for Argon2id with {cost}, which is out of bounds")]
    Cost {
        /// The key file.
        path: PathBuf,
        /// What it asks for.
        cost: Cost,
    },
    /// A sealed store, and nobody gave a passphrase.
    #[error(
        "{path}: the store is sealed; it needs seal = true and a passphrase_file, nothing was changed"
    )]
    Locked {
        /// The store's folder of segments.
        path: PathBuf,
    },
    /// A store that was not sealed from the start.
    #[error(
        "{path}: the store is not sealed and can't become so; seal = true needs a new store, \
         nothing was changed"
    )]
    Unsealed {
        /// The store's folder of segments.
        path: PathBuf,
    },
    /// A passphrase of no bytes.
    #[error("the passphrase is empty")]
    Empty,
    /// Bytes that this key did not seal, or not as what they are shown.
    #[error("it is not what was sealed with the store's key")]
    Forged,
    /// More bytes than the cipher takes, or a key that can't be derived.
    #[error("it can't be sealed: {0}")]
    Refused(&'static str),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// What a node brings to open a sealed store, or to make one.
#[derive(Debug, Clone)]
pub struct SealOptions {
    /// What unwraps the store's key.
    pub passphrase: Passphrase,
    /// What a new key file asks for; one that is there has its own.
    pub cost: Cost,
}

impl SealOptions {
    /// With the cost that new stores get.
    pub fn new(passphrase: Passphrase) -> SealOptions {
        SealOptions {
            passphrase,
            cost: Cost::STANDARD,
        }
    }

    /// A passphrase that costs next to nothing.
    #[cfg(test)]
    pub(crate) fn cheap() -> SealOptions {
        SealOptions {
            passphrase: Passphrase::of_text("open sesame"),
            cost: Cost::LEAST,
        }
    }
}

/// The keys of one sealed store. They are wiped from memory when it goes.
pub struct Seal {
    store: [u8; STORE_ID_BYTES],
    data: Zeroizing<[u8; KEY_BYTES]>,
    names: Zeroizing<[u8; KEY_BYTES]>,
    blocks: Cipher,
    values: Cipher,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never a key, nor the store's id.
        f.write_str("Seal")
    }
}

impl Seal {
    fn of(store: [u8; STORE_ID_BYTES], data: Zeroizing<[u8; KEY_BYTES]>) -> Seal {
        let derived = |context| Zeroizing::new(blake3::derive_key(context, &*data));
        Seal {
            store,
            names: derived(NAMES_CONTEXT),
            blocks: Cipher::new(&derived(BLOCKS_CONTEXT)),
            values: Cipher::new(&derived(VALUES_CONTEXT)),
            data,
        }
    }

    /// A seal with this data key.
    #[cfg(test)]
    pub(crate) fn with_key(store: [u8; STORE_ID_BYTES], data: [u8; KEY_BYTES]) -> Seal {
        Seal::of(store, Zeroizing::new(data))
    }

    /// Draws the key of a new store and writes its key file.
    ///
    /// Errors: `SealError`.
    pub fn create(
        files: &dyn StoreFiles,
        store: [u8; STORE_ID_BYTES],
        options: &SealOptions,
    ) -> Result<Seal, SealError> {
        let seal = Seal::of(store, Zeroizing::new(random()?));
        seal.change_passphrase(files, options)?;
        Ok(seal)
    }

    /// Unwraps the key of a store. Of the two key files the first whole one
    /// counts, and the other one is made anew; nothing is changed before the
    /// passphrase was the right one.
    ///
    /// Errors: `SealError`.
    pub fn open(
        files: &dyn StoreFiles,
        store: [u8; STORE_ID_BYTES],
        passphrase: &Passphrase,
    ) -> Result<Seal, SealError> {
        let mut found = Vec::new();
        for name in KEY_FILES {
            found.push((name, read_record::<KeyFile>(files, name)?));
        }
        let whole = found.iter().find_map(|(name, record)| match record {
            Record::Value(file) => Some((*name, file.clone())),
            Record::Absent | Record::Garbled => None,
        });
        let Some((name, file)) = whole else {
            let path = files.path(KEY_FILES[0]);
            let absent = found.iter().all(|(_, record)| *record == Record::Absent);
            return Err(match absent {
                true => SealError::Absent { path },
                false => SealError::Garbled { path },
            });
        };
        let data = file.unwrap_key(&store, passphrase, &files.path(name))?;
        for (name, record) in found {
            if record != Record::Value(file.clone()) {
                write_record(files, name, &file)?;
            }
        }
        Ok(Seal::of(store, data))
    }

    /// Whether a store has a key file, whole or not.
    ///
    /// Errors: `DiskError`.
    pub fn has_key_file(files: &dyn StoreFiles) -> Result<bool, DiskError> {
        for name in KEY_FILES {
            if files.length(name)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Wraps the key with another passphrase: only the key files change.
    /// After a power cut in between the new passphrase opens the store, or
    /// the old one does.
    ///
    /// Errors: `SealError`.
    pub fn change_passphrase(
        &self,
        files: &dyn StoreFiles,
        options: &SealOptions,
    ) -> Result<(), SealError> {
        let file = KeyFile::wrap(&self.data, &self.store, options)?;
        for name in KEY_FILES {
            write_record(files, name, &file)?;
        }
        Ok(())
    }

    /// Seals the coded bytes of a block whose clear fields are `fields`.
    ///
    /// Errors: `SealError::Random`, `SealError::Refused`.
    pub fn seal_block(&self, fields: &[u8], coded: &[u8]) -> Result<Vec<u8>, SealError> {
        self.blocks.seal(&random()?, &self.bound(fields), coded)
    }

    /// The coded bytes of a block.
    ///
    /// Errors: `SealError::Forged`.
    pub fn open_block(&self, fields: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.blocks.open(&self.bound(fields), sealed)
    }

    fn bound(&self, fields: &[u8]) -> Vec<u8> {
        [&self.store, &KEY_ID.to_le_bytes()[..], fields].concat()
    }

    /// What stands for a path in a key of the index. Without the key nobody can
    /// say whether it is a path's.
    pub fn name(&self, path: &[u8]) -> [u8; NAME_BYTES] {
        let digest = blake3::keyed_hash(&self.names, path);
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&digest.as_bytes()[..NAME_BYTES]);
        name
    }

    /// Seals a value of the index: `table` and `key` say which.
    ///
    /// Errors: `SealError::Random`, `SealError::Refused`.
    pub fn seal_value(&self, table: &str, key: &[u8], value: &[u8]) -> Result<Vec<u8>, SealError> {
        self.values.seal(&random()?, &which(table, key), value)
    }

    /// A value of the index.
    ///
    /// Errors: `SealError::Forged`.
    pub fn open_value(&self, table: &str, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.values.open(&which(table, key), sealed)
    }
}

/// A table's name has no byte 00.
fn which(table: &str, key: &[u8]) -> Vec<u8> {
    [table.as_bytes(), &[0], key].concat()
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], SealError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|_| SealError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
