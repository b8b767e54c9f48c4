//! The key file: the store's data key, wrapped by a passphrase.

use std::fmt;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::cipher::{Cipher, NONCE_BYTES, TAG_BYTES};
use super::{KEY_BYTES, KEY_ID, Passphrase, STORE_ID_BYTES, SealError, SealOptions, random};

/// The key file and its copy: two small records with one value.
pub const KEY_FILES: [&str; 2] = ["segments/store.key", "segments/store.key.copy"];

/// Begins what a wrapped key is bound to.
const WRAP_LABEL: &[u8] = b"hikae 1 store key\0";
const SALT_BYTES: usize = 16;

/// Memory that a key file may ask for, KiB: 1 GiB.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Passes that a key file may ask for.
const PASSES_MAX: u32 = 100;
/// Lanes that a key file may ask for.
const LANES_MAX: u32 = 16;
/// KiB of memory that Argon2 needs for each lane.
const LANE_MEMORY_KIB_MIN: u32 = 8;

/// What a guess of the passphrase costs: the parameters of Argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// What new key files ask for: 64 MiB and 3 passes, the second
    /// recommendation of RFC 9106 with one lane, about 0.2 s.
    pub const STANDARD: Cost = Cost {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };

    /// What tests ask for: next to nothing.
    #[cfg(test)]
    pub(crate) const LEAST: Cost = Cost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    /// Whether it is within the bounds; looked at before memory is taken.
    fn is_bounded(self) -> bool {
        (1..=LANES_MAX).contains(&self.lanes)
            && (LANE_MEMORY_KIB_MIN * self.lanes..=MEMORY_KIB_MAX).contains(&self.memory_kib)
            && (1..=PASSES_MAX).contains(&self.passes)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (memory, passes, lanes) = (self.memory_kib, self.passes, self.lanes);
        write!(f, "{memory} KiB, {passes} passes and {lanes} lanes")
    }
}

/// The value of a key file, SPEC.md section 9.7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyFile {
    key: u32,
    cost: Cost,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    wrapped: [u8; KEY_BYTES],
    tag: [u8; TAG_BYTES],
}

impl KeyFile {
    /// Wraps a data key.
    pub(super) fn wrap(
        data: &[u8; KEY_BYTES],
        store: &[u8; STORE_ID_BYTES],
        options: &SealOptions,
    ) -> Result<KeyFile, SealError> {
        KeyFile::wrap_with(data, store, options, random()?, random()?)
    }

    pub(super) fn wrap_with(
        data: &[u8; KEY_BYTES],
        store: &[u8; STORE_ID_BYTES],
        options: &SealOptions,
        salt: [u8; SALT_BYTES],
        nonce: [u8; NONCE_BYTES],
    ) -> Result<KeyFile, SealError> {
        let cost = options.cost;
        let cipher = Cipher::new(&*derive(&options.passphrase, &salt, cost)?);
        let sealed = cipher.seal(&nonce, &bound(store, KEY_ID, cost), data)?;
        let (_, sealed) = sealed.split_at(NONCE_BYTES);
        let (wrapped, tag) = sealed.split_at(KEY_BYTES);
        let wrong = |_| SealError::Refused("the wrapped key has another length");
        Ok(KeyFile {
            key: KEY_ID,
            cost,
            salt,
            nonce,
            wrapped: wrapped.try_into().map_err(wrong)?,
            tag: tag.try_into().map_err(wrong)?,
        })
    }

    /// The data key. `path` is the file's, for errors.
    pub(super) fn unwrap_key(
        &self,
        store: &[u8; STORE_ID_BYTES],
        passphrase: &Passphrase,
        path: &Path,
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
        let path = path.to_path_buf();
        if self.key != KEY_ID {
            return Err(SealError::Garbled { path });
        }
        if !self.cost.is_bounded() {
            let cost = self.cost;
            return Err(SealError::Cost { path, cost });
        }
        let cipher = Cipher::new(&*derive(passphrase, &self.salt, self.cost)?);
        let sealed = [&self.nonce[..], &self.wrapped, &self.tag].concat();
        let opened = cipher.open(&bound(store, self.key, self.cost), &sealed);
        let opened = opened.map(Zeroizing::new);
        let key = opened.ok().and_then(|key| key[..].try_into().ok());
        key.map(Zeroizing::new)
            .ok_or(SealError::Passphrase { path })
    }
}

#[cfg(test)]
impl KeyFile {
    /// The same, with other parameters.
    pub(super) fn asking(mut self, cost: Cost) -> KeyFile {
        self.cost = cost;
        self
    }
}

/// What a wrapped key is bound to.
fn bound(store: &[u8; STORE_ID_BYTES], key: u32, cost: Cost) -> Vec<u8> {
    let numbers = [key, cost.memory_kib, cost.passes, cost.lanes];
    let numbers = numbers.map(u32::to_le_bytes).concat();
    [WRAP_LABEL, store, &numbers].concat()
}

/// The key that wraps, by Argon2id.
fn derive(
    passphrase: &Passphrase,
    salt: &[u8; SALT_BYTES],
    cost: Cost,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealError> {
    let refused = |_| SealError::Refused("Argon2id does not take passphrase or parameters");
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_BYTES));
    let argon2 = Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        params.map_err(refused)?,
    );
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    argon2
        .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
        .map_err(refused)?;
    Ok(key)
}
