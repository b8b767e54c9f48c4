//! Versions: which file of a record is current, and which are its history.

use std::collections::BTreeMap;

use crate::ssmix::{Flag, Object, RecordKey, classify};

/// Digits of a full timestamp: shorter ones are as if zeros followed.
const TIMESTAMP_DIGITS: usize = 17;

/// All that there is of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// Patient, date, kind and order of the names.
    pub key: RecordKey,
    /// The date and kind folders, joined by `/`.
    pub folder: Vec<u8>,
    /// The valid version with the newest timestamp; none for a record that is deleted.
    pub current: Option<Version>,
    /// All others, the newest first: superseded, deleted, and valid ones that are older.
    pub history: Vec<Version>,
    /// More than one version is valid: an anomaly to be told.
    pub two_valid: bool,
}

/// One file, or one content folder with its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The name of the file or content folder.
    pub name: Vec<u8>,
    /// Life cycle.
    pub flag: Flag,
    /// As it is written: 14 to 17 digits.
    pub timestamp: Vec<u8>,
    /// Places of its files in the paths that were given.
    pub files: Vec<usize>,
}

/// Sorts the files of one patient directory into records; stray files are in none. The paths are
/// relative to the patient directory.
pub fn versions<'a>(object_paths: impl IntoIterator<Item = &'a [u8]>) -> Vec<Versions> {
    type Found = BTreeMap<(Vec<u8>, RecordKey), BTreeMap<Vec<u8>, Version>>;
    let mut found = Found::new();
    for (place, path) in object_paths.into_iter().enumerate() {
        let name = match classify(path) {
            Object::Standard { name, .. } => name,
            Object::Extended { content, .. } => content,
            Object::Stray { .. } => continue,
        };
        let bytes = name.to_bytes();
        let version = found
            .entry((folder(path), name.key()))
            .or_default()
            .entry(bytes.clone())
            .or_insert_with(|| Version {
                name: bytes,
                flag: name.flag,
                timestamp: name.timestamp.to_vec(),
                files: Vec::new(),
            });
        version.files.push(place);
    }
    found
        .into_iter()
        .map(|((folder, key), versions)| sorted(folder, key, versions.into_values().collect()))
        .collect()
}

/// The first two components.
fn folder(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.splitn(3, |byte| *byte == b'/').take(2).collect();
    parts.join(&b'/')
}

fn sorted(folder: Vec<u8>, key: RecordKey, mut versions: Vec<Version>) -> Versions {
    versions.sort_by_cached_key(|version| {
        let mut time = version.timestamp.clone();
        time.resize(TIMESTAMP_DIGITS.max(time.len()), b'0');
        // At one time the valid one comes first, then by name, so that every look agrees.
        let valid = version.flag == Flag::Valid;
        std::cmp::Reverse((time, valid, version.name.clone()))
    });
    let valid = |version: &Version| version.flag == Flag::Valid;
    let two_valid = versions.iter().filter(|version| valid(version)).count() > 1;
    let current = versions
        .iter()
        .position(valid)
        .map(|place| versions.remove(place));
    Versions {
        key,
        folder,
        current,
        history: versions,
        two_valid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(timestamp: &str, flag: u8) -> Vec<u8> {
        format!("20110701/OMP-01/1_20110701_OMP-01_000000000000001_{timestamp}_01_{flag}")
            .into_bytes()
    }

    fn of(paths: &[Vec<u8>]) -> Vec<Versions> {
        versions(paths.iter().map(Vec::as_slice))
    }

    #[test]
    fn the_newest_valid_one_is_current_and_two_are_an_anomaly() {
        let found = of(&[
            path("20110701000000001", 2),
            path("20110701000000002", 1),
            path("20110702000000", 1),
            b"20110701/OMP-01/Thumbs.db".to_vec(),
        ]);
        assert_eq!(found.len(), 1);
        let current = found[0].current.as_ref().unwrap();
        assert_eq!(
            (current.timestamp.as_slice(), current.files.as_slice()),
            (&b"20110702000000"[..], &[2][..])
        );
        assert!(found[0].two_valid);
        let flags: Vec<_> = found[0]
            .history
            .iter()
            .map(|version| version.flag)
            .collect();
        assert_eq!(flags, [Flag::Valid, Flag::Superseded]);
    }

    #[test]
    fn a_deleted_record_has_no_current_version() {
        let found = of(&[path("20110701000000001", 0), path("20110701000000002", 0)]);
        assert_eq!(
            (found[0].current.clone(), found[0].two_valid),
            (None, false)
        );
        assert_eq!(found[0].history.len(), 2);
    }

    #[test]
    fn files_of_one_content_folder_are_one_version() {
        let folder = "20110701/^x^^18842-5^y^LN/1_20110701_18842-5_1.2_201107010000001_1";
        let paths = [
            format!("{folder}/main_document.xml"),
            format!("{folder}/a.pdf"),
        ]
        .map(String::into_bytes);
        let found = of(&paths);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].current.as_ref().unwrap().files, [0, 1]);
    }
}
