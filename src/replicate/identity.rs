//! The node's ed25519 key: 64 hexadecimal digits in `<home>/node.key`, mode
//! 0600.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use hikae_protocol::digest::{Digest, parse_hex};
use hikae_protocol::snapshot::NodeId;

use crate::disk::{DiskError, read_small, replace_file};

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The home has no key.
    #[error("{0}: there is no node key (make a home with `hikae init`)")]
    Absent(PathBuf),
    /// The file holds something else.
    #[error("{0}: expected 64 hexadecimal digits")]
    Malformed(PathBuf),
    /// Others can read the key.
    #[error("{path}: mode {mode:o} lets others read the node key; expected 600")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A new home would overwrite a key.
    #[error("{0}: there is a node key already")]
    Present(PathBuf),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

fn path(home: &Path) -> PathBuf {
    home.join("node.key")
}

/// The node id of a key.
pub fn node_id(key: &SigningKey) -> NodeId {
    NodeId(key.verifying_key().to_bytes())
}

/// Makes the key of a new home.
///
/// Errors: `IdentityError::Present` if there is one.
pub fn create(home: &Path) -> Result<SigningKey, IdentityError> {
    let path = path(home);
    if path.exists() {
        return Err(IdentityError::Present(path));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| IdentityError::Random)?;
    // A temporary file has mode 0600 from the start.
    replace_file(&path, format!("{}\n", Digest(seed)).as_bytes())?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Reads the key of a home.
///
/// Errors: `IdentityError`.
pub fn load(home: &Path) -> Result<SigningKey, IdentityError> {
    let path = path(home);
    let Some(bytes) = read_small(&path)? else {
        return Err(IdentityError::Absent(path));
    };
    let mode = std::fs::metadata(&path).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed { path, mode });
    }
    let text = String::from_utf8_lossy(&bytes);
    match parse_hex(text.trim()) {
        Ok(seed) => Ok(SigningKey::from_bytes(&seed)),
        Err(_) => Err(IdentityError::Malformed(path)),
    }
}
