//! What a refresh did, for people and for `--json`.

use hikae_protocol::digest::Digest;
use serde::{Deserialize, Serialize, Serializer};

use crate::index::Lines;
use crate::walk::{Counts, LeftOut};

/// How the storage is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// By hints where there is an INDEX DB and a first walk was made; else a
    /// walk.
    Due,
    /// By hints alone.
    Hints,
    /// By lines that were handed over; INDEX DBs are not read.
    Lines,
    /// The whole storage.
    Walk,
    /// The whole storage, contents too.
    Reread,
}

/// What a refresh is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// How the storage is looked at.
    pub look: Look,
    /// Take roots as they are now.
    pub accept_root: bool,
    /// With `Look::Lines`: where.
    pub lines: Option<Lines>,
}

impl From<Look> for Asked {
    fn from(look: Look) -> Asked {
        Asked {
            look,
            accept_root: false,
            lines: None,
        }
    }
}

/// What a refresh did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RefreshReport {
    /// Volumes known.
    pub volumes: u64,
    /// Volumes walked as a whole, registry volumes not counted.
    pub volumes_walked: u64,
    /// Rows read from INDEX DBs.
    pub rows_read: u64,
    /// Rows that were new.
    pub rows_new: u64,
    /// Rows that name no directory or no time.
    pub rows_garbage: u64,
    /// The first of those.
    pub garbage: Vec<String>,
    /// Directories that the hints named.
    pub directories_hinted: u64,
    /// Hints that name a volume which is not here.
    pub hints_of_unknown_volumes: u64,
    /// Looks at hinted or walked directories.
    pub counts: Counts,
    /// Looks at registry volumes.
    pub registry: Counts,
    /// Leaves whose manifest changed.
    pub leaves_changed: u64,
    /// New and changed files.
    pub files_added: u64,
    /// Removed files; a rename is one removed and one added.
    pub files_removed: u64,
    /// Directories to look at again.
    pub directories_again: u64,
    /// Rows without a file; only when the whole storage was walked.
    pub rows_without_file: Option<u64>,
    /// Files without a row, registries not counted; only after such a walk.
    pub files_without_row: Option<u64>,
    /// The first of both.
    pub mismatches: Vec<String>,
    /// What is not copied, all together.
    pub left_out_total: u64,
    /// Those of them that somebody has to do something about.
    pub left_out_failures: u64,
    /// What is not copied, by name: the first, failures before all others.
    pub left_out: Vec<LeftOut>,
    /// What failed: volumes and INDEX DBs that were not looked at.
    pub errors: Vec<String>,
    /// The snapshot's sequence number.
    pub sequence: u64,
    /// The root digest.
    #[serde(serialize_with = "digest_text")]
    pub root: Option<Digest>,
    /// Leaves, entries and bytes of the tree.
    pub leaves: u64,
    /// Entries of the tree.
    pub entries: u64,
    /// Bytes of the contents.
    pub bytes: u64,
    /// How long it took, seconds.
    pub seconds: f64,
}

impl RefreshReport {
    /// Whether somebody has to do something.
    pub fn is_failure(&self) -> bool {
        !self.errors.is_empty() || self.left_out_failures > 0
    }
}

/// A digest as 64 hexadecimal digits.
pub(crate) fn digest_text<S: Serializer>(
    digest: &Option<Digest>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => serializer.collect_str(digest),
        None => serializer.serialize_none(),
    }
}
