//! A home: configuration, node key, passphrase, lock. One process has it at a
//! time.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::guesses::{GuessError, Guesses};
use super::identity::{self, IdentityError};
use super::passphrase::{self, Credentials, PassphraseError};
use crate::catalogue::{Catalogue, CatalogueError};
use crate::config::{Config, ConfigError, FILE_NAME, Role, template};
use crate::disk::{DiskError, create_folder, replace_file};
use crate::progress::Monitor;
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
    /// The passphrase may not be guessed now.
    #[error(transparent)]
    Guess(#[from] GuessError),
    /// The store is not usable.
    #[error(transparent)]
    Store(#[from] CatalogueError),
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
    /// How often the passphrase was guessed wrong.
    pub(super) guesses: Guesses,
    _lock: File,
}

impl Home {
    /// Reads and locks a home. `credentials` is what the process was given to
    /// open a sealed store with.
    ///
    /// Errors: `HomeError`.
    pub fn open(path: &Path, credentials: &Credentials) -> Result<Home, HomeError> {
        let mut home = Home::locked(path)?;
        home.seal = passphrase::load(&home.config, credentials)?;
        Ok(home)
    }

    /// Reads and locks a home, without what opens its store.
    ///
    /// Errors: `HomeError`.
    pub(super) fn locked(path: &Path) -> Result<Home, HomeError> {
        let config = Config::load(path)?;
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
            seal: None,
            guesses: Guesses::of(path),
            _lock: lock,
        })
    }

    /// Opens the store. A wrong passphrase is counted.
    ///
    /// Errors: `HomeError`.
    pub(super) fn open_store(&self, monitor: &dyn Monitor) -> Result<Catalogue, HomeError> {
        self.opened(|store, seal| Catalogue::open(store, seal, monitor))
    }

    /// The same with an index that is made from all segments.
    ///
    /// Errors: `HomeError`.
    pub(super) fn open_anew(&self, monitor: &dyn Monitor) -> Result<Catalogue, HomeError> {
        self.opened(|store, seal| Catalogue::open_anew(store, seal, monitor))
    }

    fn opened(
        &self,
        open: impl FnOnce(&Path, Option<&SealOptions>) -> Result<Catalogue, CatalogueError>,
    ) -> Result<Catalogue, HomeError> {
        let (store, seal) = (&self.config.store, self.seal.as_ref());
        match seal {
            None => Ok(open(store, None)?),
            Some(_) => self
                .guesses
                .counted(|| open(store, seal))?
                .map_err(HomeError::Store),
        }
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
