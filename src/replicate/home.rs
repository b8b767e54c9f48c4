//! A home: configuration, node key, passphrase, lock. One process has it at a
//! time.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::identity::{self, IdentityError};
use super::passphrase::{self, Credentials, PassphraseError};
use crate::config::{Config, ConfigError, FILE_NAME, Role, template};
use crate::disk::{DiskError, create_folder, replace_file};
use crate::seal::SealOptions;

/// Why a home can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key is wrong.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The passphrase of a sealed store is wanting.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process has it, and does not answer on its socket.
    #[error("{0}: another hikae process has this home")]
    Busy(PathBuf),
    /// `init` where there is a configuration already.
    #[error("{0}: there is a configuration already")]
    Present(PathBuf),
}

/// A home that this process has.
#[derive(Debug)]
pub struct Home {
    /// What it is told.
    pub config: Config,
    /// Who it is.
    pub key: SigningKey,
    /// What opens its store, if that is sealed.
    pub seal: Option<SealOptions>,
    _lock: File,
}

impl Home {
    /// Reads and locks a home. `credentials` is the folder with what the
    /// service manager gives, if there is one.
    ///
    /// Errors: `HomeError`.
    pub fn open(path: &Path, credentials: &Credentials) -> Result<Home, HomeError> {
        let config = Config::load(path)?;
        let seal = passphrase::load(&config, credentials)?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|error| wrong("open", &lock_path, &error))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(HomeError::Busy(path.to_path_buf())),
            Err(errno) => return Err(DiskError::at("lock", &lock_path, errno).into()),
        }
        let key = identity::load(path)?;
        Ok(Home {
            config,
            key,
            seal,
            _lock: lock,
        })
    }

    /// Makes a home: configuration and key.
    ///
    /// Errors: `HomeError`; nothing that is there is overwritten.
    pub fn create(path: &Path, role: Role) -> Result<SigningKey, HomeError> {
        create_folder(path)?;
        let file = path.join(FILE_NAME);
        if file.exists() {
            return Err(HomeError::Present(file));
        }
        let key = identity::create(path)?;
        replace_file(&file, template(role).as_bytes())?;
        Ok(key)
    }
}

fn wrong(action: &'static str, path: &Path, error: &std::io::Error) -> HomeError {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    DiskError::at(action, path, errno).into()
}
