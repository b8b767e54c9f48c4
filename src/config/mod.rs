//! `hikae.toml`: what a node is told. DESIGN's contract with the scripts
//! outside; an unknown key or a bad value is an error that names the file, the
//! line and what was expected.

mod database;
mod edit;
mod quantity;
mod schema;
mod template;

pub use database::{DatabaseKind, DatabaseUrl};
pub use edit::{EditError, with_peer, without_peer};
pub use quantity::{Hours, Rate, Zone};
pub use schema::{
    Filter, Guard, IndexDb, Listen, Peer, Retention, Role, Schedule, Source, SourceLink, Volume,
    Volumes,
};
pub use template::template;

use std::path::{Path, PathBuf};

use database::without_passwords;
use schema::File;

/// The name of the configuration file in a home.
pub const FILE_NAME: &str = "hikae.toml";

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The home has none, or it can't be read.
    #[error("{path}: {source} (make a home with `hikae init`)")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A wrong key or value; the text names the line and what was expected.
    #[error("{path}: {text}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// From the parser.
        text: String,
    },
    /// Values that don't go together.
    #[error("{path}: {text}")]
    Meaning {
        /// The file.
        path: PathBuf,
        /// What does not.
        text: String,
    },
}

/// A node's configuration, paths resolved.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder with configuration and keys.
    pub home: PathBuf,
    /// Center, backup or laptop.
    pub role: Role,
    /// Segments and catalogue.
    pub store: PathBuf,
    /// Whether the store is sealed.
    pub seal: bool,
    /// The file whose content opens a sealed store.
    pub passphrase_file: Option<PathBuf>,
    /// Where the plain tree is published.
    pub tree: Option<PathBuf>,
    /// Addresses that peers reach us by.
    pub listen: Vec<Listen>,
    /// INDEX DBs.
    pub index_db: Vec<IndexDb>,
    /// Folder whose subfolders are volumes.
    pub volumes: Option<Volumes>,
    /// Volumes named one by one.
    pub volume: Vec<Volume>,
    /// Who may pull.
    pub peer: Vec<Peer>,
    /// Where to pull from.
    pub source: Vec<Source>,
    /// When the storage is walked.
    pub schedule: Schedule,
    /// When the publication of a volume is held.
    pub guard: Guard,
    /// How long snapshots are kept.
    pub retention: Retention,
    /// What a sparse replica keeps.
    pub filter: Option<Filter>,
}

impl Config {
    /// Reads the configuration of `home`.
    ///
    /// Errors: `ConfigError`.
    pub fn load(home: &Path) -> Result<Config, ConfigError> {
        let path = home.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::Read {
            path: path.clone(),
            source,
        })?;
        Config::parse(home, &text)
    }

    /// Reads the text of a configuration of `home`.
    ///
    /// Errors: `ConfigError::Parse`, `ConfigError::Meaning`.
    pub fn parse(home: &Path, text: &str) -> Result<Config, ConfigError> {
        let path = home.join(FILE_NAME);
        let file: File = toml::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.clone(),
            // It shows the line, which may hold a password.
            text: without_passwords(error.to_string().trim_end()),
        })?;
        file.check()
            .map_err(|text| ConfigError::Meaning { path, text })?;
        let resolve = |path: PathBuf| home.join(path);
        Ok(Config {
            home: home.to_path_buf(),
            role: file.role,
            store: resolve(file.store.unwrap_or_else(|| "store".into())),
            seal: file.seal,
            passphrase_file: file.passphrase_file.map(resolve),
            tree: file.tree.map(resolve),
            listen: file.listen,
            index_db: file.index_db,
            volumes: file.volumes.map(|volumes| Volumes {
                discover: resolve(volumes.discover),
            }),
            volume: file
                .volume
                .into_iter()
                .map(|volume| Volume {
                    root: resolve(volume.root),
                    ..volume
                })
                .collect(),
            peer: file.peer,
            source: file.source,
            schedule: file.schedule,
            guard: file.guard,
            retention: file.retention,
            filter: file.filter,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn error(text: &str) -> String {
        Config::parse(Path::new("h"), text).unwrap_err().to_string()
    }

    #[test]
    fn every_template_is_a_valid_configuration() {
        for role in [Role::Center, Role::Backup, Role::Laptop] {
            Config::parse(Path::new("h"), &template(role)).unwrap();
        }
    }

    #[test]
    fn errors_name_file_line_and_expectation() {
        let text = error("role = \"center\"\n\n[volumes]\ndiscovr = \"/x\"\n");
        assert!(
            text.contains("h/hikae.toml") && text.contains("line 4"),
            "{text}"
        );
        assert!(
            text.contains("discovr") && text.contains("discover"),
            "{text}"
        );
        let text = error("role = \"centre\"\n");
        assert!(text.contains("line 1") && text.contains("laptop"), "{text}");
        let text = error(
            "role = \"center\"\n[index_db]\nurl = \"sqlite:///x\"\noverlap = \"10 parsecs\"\n",
        );
        assert!(text.contains("line 4"), "{text}");
        let text = error(&format!(
            "role=\"backup\"\n[source]\nid = \"{ID}\"\n[[source.link]]\nname=\"a\"\nremote=\"1.2.3.4\"\n"
        ));
        assert!(text.contains("line 6"), "{text}");
    }

    #[test]
    fn a_center_is_not_sealed_a_laptop_always_and_a_passphrase_is_for_a_sealed_store() {
        let text = error("role = \"center\"\nseal = true\n");
        assert!(text.contains("seal") && text.contains("storage"), "{text}");
        let text = error("role = \"backup\"\npassphrase_file = \"x\"\n");
        assert!(
            text.contains("passphrase_file") && text.contains("seal = true"),
            "{text}"
        );
        for seal in ["", "seal = false\n"] {
            let text = error(&format!("role = \"laptop\"\n{seal}"));
            assert!(text.contains("seal = true"), "{text}");
        }
        let sealed = "role = \"laptop\"\nseal = true\npassphrase_file = \"x\"\n";
        let config = Config::parse(Path::new("h"), sealed).unwrap();
        assert!(config.seal);
        assert_eq!(config.passphrase_file.as_deref(), Some(Path::new("h/x")));
    }

    #[test]
    fn one_table_or_many() {
        let one = format!(
            "role=\"backup\"\n[source]\nid=\"{ID}\"\n[[source.link]]\nname=\"a\"\nremote=\"127.0.0.1:1\"\nrate=\"800Mbit/s\"\nhours=\"20:00-06:00\"\n"
        );
        let many = one.replace("[source]", "[[source]]");
        for text in [one, many] {
            let config = Config::parse(Path::new("h"), &text).unwrap();
            assert_eq!(config.source.len(), 1);
            assert_eq!(
                config.source[0].link[0]
                    .rate
                    .map(|rate| rate.bytes_per_second),
                Some(100_000_000)
            );
        }
    }
}
