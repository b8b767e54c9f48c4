//! Where the passphrase of a sealed store comes from: the configured file, or
//! the service manager's credential.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::{Config, FILE_NAME};
use crate::disk::{DiskError, read_small};
use crate::seal::{Passphrase, SealError, SealOptions};

/// The credential that is the passphrase (systemd: `LoadCredential=`).
pub const CREDENTIAL: &str = "hikae.passphrase";

/// Why there is no usable passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Nothing says where it is.
    #[error(
        "{0}: seal = true needs passphrase_file = \"…\", or the credential {CREDENTIAL} of the \
         service manager"
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
/// `credentials` is the folder in which the service manager puts credentials.
///
/// Errors: `PassphraseError`.
pub(super) fn load(
    config: &Config,
    credentials: Option<&Path>,
) -> Result<Option<SealOptions>, PassphraseError> {
    if !config.seal {
        return Ok(None);
    }
    // The credentials' folder is the service's alone. Its files may show a
    // right of the group: that is the mask of the list that names the service.
    let (path, refused) = match (&config.passphrase_file, credentials) {
        (Some(path), _) => (path.clone(), 0o077),
        (None, Some(folder)) => (folder.join(CREDENTIAL), 0o007),
        (None, None) => return Err(PassphraseError::Unnamed(config.home.join(FILE_NAME))),
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
        let (file, credentials) = (home.join("phrase"), home.join("credentials"));
        let write = |path: &Path, mode: u32, text: &str| {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        assert!(load(&config(home, ""), None).unwrap().is_none());
        let named = config(home, "seal = true\npassphrase_file = \"phrase\"\n");
        let unnamed = config(home, "seal = true\n");
        let error = |config: &Config| load(config, Some(&credentials)).unwrap_err();
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
        assert!(load(&named, None).unwrap().is_some());

        let text = load(&unnamed, None).unwrap_err().to_string();
        assert!(
            text.contains("seal = true") && text.contains("passphrase_file"),
            "{text}"
        );
        assert!(matches!(error(&unnamed), PassphraseError::Unnamed(_)));
        fs::create_dir(&credentials).unwrap();
        write(&credentials.join(CREDENTIAL), 0o444, "open sesame");
        assert!(matches!(error(&unnamed), PassphraseError::Exposed { .. }));
        write(&credentials.join(CREDENTIAL), 0o440, "open sesame");
        assert!(load(&unnamed, Some(&credentials)).unwrap().is_some());
    }
}
