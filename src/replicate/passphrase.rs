//! Where the passphrase of a sealed store comes from: the configured file, the
//! service manager's credential, or a person who types it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError, FILE_NAME};
use crate::disk::{DiskError, read_small};
use crate::seal::{Passphrase, SealError, SealOptions};

/// The credential that is the passphrase (systemd: `LoadCredential=`).
pub const CREDENTIAL: &str = "hikae.passphrase";

/// The folder that every store has.
const SEGMENTS: &str = "segments";

/// What a process was given to open a sealed store with.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The folder in which the service manager puts credentials.
    pub folder: Option<PathBuf>,
    /// What somebody typed.
    pub typed: Option<Passphrase>,
}

/// What a person has to type to open a home's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typing {
    /// Nothing: it is not sealed, or a file or the service manager gives it.
    Nothing,
    /// The passphrase.
    Once,
    /// The passphrase of a new store, which nothing could tell from a slip.
    Twice,
}

/// What a person has to type to open a home's store.
///
/// Errors: the configuration is wrong.
pub fn typing(home: &Path, credentials: &Credentials) -> Result<Typing, ConfigError> {
    let config = Config::load(home)?;
    let is_given = config.passphrase_file.is_some()
        || credentials.folder.is_some()
        || credentials.typed.is_some();
    Ok(match config.seal && !is_given {
        false => Typing::Nothing,
        true if is_new(&config) => Typing::Twice,
        true => Typing::Once,
    })
}

/// Whether there is no store yet.
pub(super) fn is_new(config: &Config) -> bool {
    !config.store.join(SEGMENTS).exists()
}

/// Why there is no usable passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Nothing says where it is.
    #[error(
        "{0}: seal = true needs passphrase_file = \"…\", the credential {CREDENTIAL} of the service \
         manager, or somebody who types the passphrase at a terminal"
    )]
    Unnamed(PathBuf),
    /// There is no such file.
    #[error("{0}: there is no passphrase file")]
    Absent(PathBuf),
    /// Others can read it.
    #[error("{path}: mode {mode:o} lets others read the passphrase; expected 600")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file says nothing.
    #[error("{path}: {source}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SealError,
    },
}

/// What opens the store of a configuration; none if it is not sealed.
///
/// Errors: `PassphraseError`.
pub(super) fn load(
    config: &Config,
    credentials: &Credentials,
) -> Result<Option<SealOptions>, PassphraseError> {
    if !config.seal {
        return Ok(None);
    }
    // The credentials' folder is the service's alone. Its files may show a
    // right of the group: that is the mask of the list that names the service.
    let (path, refused) = match (&config.passphrase_file, &credentials.folder) {
        (Some(path), _) => (path.clone(), 0o077),
        (None, Some(folder)) => (folder.join(CREDENTIAL), 0o007),
        (None, None) => {
            let typed = credentials.typed.clone().map(SealOptions::new);
            let unnamed = || PassphraseError::Unnamed(config.home.join(FILE_NAME));
            return typed.map(Some).ok_or_else(unnamed);
        }
    };
    let Some(bytes) = read_small(&path)? else {
        return Err(match config.passphrase_file {
            Some(_) => PassphraseError::Absent(path),
            None => PassphraseError::Unnamed(config.home.join(FILE_NAME)),
        });
    };
    let mode = std::fs::metadata(&path).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & refused != 0 {
        return Err(PassphraseError::Exposed { path, mode });
    }
    match Passphrase::of_file(bytes) {
        Ok(passphrase) => Ok(Some(SealOptions::new(passphrase))),
        Err(source) => Err(PassphraseError::Unusable { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn config(home: &Path, more: &str) -> Config {
        Config::parse(home, &format!("role = \"backup\"\n{more}")).unwrap()
    }

    /// [S10-7] only its owner may read a passphrase file; a credential's
    /// group may be the mask of its list.
    #[test]
    fn a_passphrase_comes_from_the_file_or_the_credential() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let (file, folder) = (home.join("phrase"), home.join("credentials"));
        let nothing = Credentials::default();
        let credentials = Credentials {
            folder: Some(folder.clone()),
            typed: None,
        };
        let write = |path: &Path, mode: u32, text: &str| {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        assert!(load(&config(home, ""), &nothing).unwrap().is_none());
        let named = config(home, "seal = true\npassphrase_file = \"phrase\"\n");
        let unnamed = config(home, "seal = true\n");
        let error = |config: &Config| load(config, &credentials).unwrap_err();
        assert!(matches!(error(&named), PassphraseError::Absent(path) if path == file));
        for mode in [0o640, 0o604, 0o610, 0o602, 0o677] {
            write(&file, mode, "open sesame\n");
            let found = error(&named);
            assert!(
                matches!(found, PassphraseError::Exposed { mode: of, .. } if of == mode),
                "{found}"
            );
        }
        for empty in ["", "\n"] {
            write(&file, 0o600, empty);
            let text = error(&named).to_string();
            assert!(text.contains("phrase") && text.contains("empty"), "{text}");
        }
        write(&file, 0o600, "open sesame\n");
        assert!(load(&named, &nothing).unwrap().is_some());

        let text = load(&unnamed, &nothing).unwrap_err().to_string();
        assert!(
            text.contains("seal = true") && text.contains("passphrase_file"),
            "{text}"
        );
        assert!(matches!(error(&unnamed), PassphraseError::Unnamed(_)));
        fs::create_dir(&folder).unwrap();
        write(&folder.join(CREDENTIAL), 0o444, "open sesame");
        assert!(matches!(error(&unnamed), PassphraseError::Exposed { .. }));
        write(&folder.join(CREDENTIAL), 0o440, "open sesame");
        assert!(load(&unnamed, &credentials).unwrap().is_some());

        let typed = Credentials {
            typed: Some(Passphrase::of_file(b"open sesame".to_vec()).unwrap()),
            ..Credentials::default()
        };
        assert!(load(&unnamed, &typed).unwrap().is_some());
    }
}
