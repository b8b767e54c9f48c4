//! Objects: what a file is, told from its path below the patient directory.
//!
//! The mapping is total. A file that is neither a standard record nor part of an extended one is
//! stray; it is replicated like any other, but belongs to no record key. Whether names agree with
//! their folders does not matter here (see [`super::anomalies`]).

use thiserror::Error;

use super::kind::{ExtendedKind, KindError};
use super::name::{Flag, NameError, RecordKey, RecordName, is_date};

/// Files that operating systems leave in any folder, compared without case.
const SYSTEM_FILES: [&[u8]; 4] = [b"thumbs.db", b".ds_store", b"desktop.ini", b"ehthumbs.db"];
/// What a gateway's unfinished file ends with, compared without case.
const TEMPORARY_SUFFIX: &[u8] = b".tmp";

/// What one file of a patient directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'a> {
    /// `date/kind/file` of the standard storage.
    Standard {
        /// The date folder: eight digits or `-`.
        date: &'a [u8],
        /// The kind folder.
        kind: &'a [u8],
        /// The file's name.
        name: RecordName<'a>,
    },
    /// `date/kind folder/content folder/…` of the extended storage.
    Extended {
        /// The date folder: eight digits or `-`.
        date: &'a [u8],
        /// The kind folder.
        kind: ExtendedKind<'a>,
        /// The content folder's name; its key and flag hold for every file below it.
        content: RecordName<'a>,
        /// The file's path below the content folder, components joined by `/`.
        document: &'a [u8],
    },
    /// Everything else.
    Stray {
        /// What it is instead.
        reason: StrayReason,
    },
}

/// Why a file belongs to no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StrayReason {
    /// `Thumbs.db`, `.DS_Store` and the like.
    #[error("left by an operating system")]
    SystemFile,
    /// `*.tmp`: a gateway in the middle of writing, or one that died there.
    #[error("a gateway's temporary file")]
    Temporary,
    /// Not at the depth of a record's file.
    #[error("{components} components below the patient directory are not the layout of a record")]
    Depth {
        /// Components of the object path.
        components: usize,
    },
    /// The first component is no date folder.
    #[error("the first folder is neither a date of 8 digits nor '-'")]
    Date,
    /// A component is empty, `.` or `..`.
    #[error("the path has an empty component, '.' or '..'")]
    Component,
    /// The second component has carets, but is no kind folder of the extended storage.
    #[error("not a kind folder: {0}")]
    Kind(
        /// What is wrong with it.
        KindError,
    ),
    /// The file's or the content folder's name is no record name.
    #[error("not a record's name: {0}")]
    Name(
        /// What is wrong with it.
        NameError,
    ),
}

/// Tells what a file is. `object_path` is relative to the patient directory, its components
/// joined by `/`, without a leading one.
pub fn classify(object_path: &[u8]) -> Object<'_> {
    match place(object_path) {
        Ok(object) => object,
        Err(reason) => Object::Stray { reason },
    }
}

/// Key and flag of the record that a file belongs to; for an extended one those of the content
/// folder. `None` for a stray file.
pub fn record_of(object_path: &[u8]) -> Option<(RecordKey, Flag)> {
    match classify(object_path) {
        Object::Standard { name, .. } => Some((name.key(), name.flag)),
        Object::Extended { content, .. } => Some((content.key(), content.flag)),
        Object::Stray { .. } => None,
    }
}

/// What stands for the record that a file belongs to: its key in the standard, or the path of a
/// file that is none's.
pub fn record_group(object_path: &[u8]) -> Vec<u8> {
    match record_of(object_path) {
        Some((key, _)) => {
            let mut group = vec![0];
            for field in [&key.patient, &key.date, &key.kind, &key.order] {
                group.extend_from_slice(field);
                group.push(0);
            }
            group
        }
        None => object_path.to_vec(),
    }
}

/// A path without its flag, and the flag: what stays and what changes of a file in the life cycle
/// of its record. `None` for a stray file.
pub fn without_flag(object_path: &[u8]) -> Option<(Vec<u8>, Flag)> {
    let (flag, end) = match classify(object_path) {
        Object::Standard { name, .. } => (name.flag, object_path.len()),
        Object::Extended {
            content, document, ..
        } => (content.flag, object_path.len() - document.len() - 1),
        Object::Stray { .. } => return None,
    };
    let mut path = object_path.to_vec();
    path.remove(end.checked_sub(1)?);
    Some((path, flag))
}

fn place(object_path: &[u8]) -> Result<Object<'_>, StrayReason> {
    let last = object_path
        .rsplit(|&b| b == b'/')
        .next()
        .unwrap_or_default();
    if SYSTEM_FILES
        .iter()
        .any(|name| last.eq_ignore_ascii_case(name))
    {
        return Err(StrayReason::SystemFile);
    }
    if last.len() >= TEMPORARY_SUFFIX.len()
        && last[last.len() - TEMPORARY_SUFFIX.len()..].eq_ignore_ascii_case(TEMPORARY_SUFFIX)
    {
        return Err(StrayReason::Temporary);
    }
    if object_path
        .split(|&b| b == b'/')
        .any(|part| matches!(part, b"" | b"." | b".."))
    {
        return Err(StrayReason::Component);
    }
    let components = object_path.split(|&b| b == b'/').count();
    let mut parts = object_path.splitn(4, |&b| b == b'/');
    let (Some(date), Some(folder), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(StrayReason::Depth { components });
    };
    if !is_date(date) {
        return Err(StrayReason::Date);
    }
    match (folder.contains(&b'^'), parts.next()) {
        (false, None) => {
            let name = RecordName::parse(name).map_err(StrayReason::Name)?;
            Ok(Object::Standard {
                date,
                kind: folder,
                name,
            })
        }
        (true, Some(document)) => {
            let kind = ExtendedKind::parse(folder).map_err(StrayReason::Kind)?;
            let content = RecordName::parse(name).map_err(StrayReason::Name)?;
            Ok(Object::Extended {
                date,
                kind,
                content,
                document,
            })
        }
        _ => Err(StrayReason::Depth { components }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: &str = "9999013_20110701_OMP-01_000000011000185_20110701224603984_01_1";
    const CONTENT: &str = "9999013_20110701_18842-5_1.2.392.7_201107012246039_0";
    const KIND: &str = "^退院サマリ^^18842-5^退院時サマリー^LN";

    fn reason(path: &str) -> StrayReason {
        match classify(path.as_bytes()) {
            Object::Stray { reason } => reason,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn standard_file() {
        let path = format!("20110701/OMP-01/{NAME}");
        let Object::Standard { date, kind, name } = classify(path.as_bytes()) else {
            panic!()
        };
        assert_eq!(
            (date, kind, name.to_bytes()),
            (&b"20110701"[..], &b"OMP-01"[..], NAME.as_bytes().to_vec())
        );
        assert_eq!(record_of(path.as_bytes()), Some((name.key(), Flag::Valid)));
    }

    #[test]
    fn extended_files_share_key_and_flag_of_their_content_folder() {
        for document in ["main_document.xml", "image/1.png"] {
            let path = format!("20110701/{KIND}/{CONTENT}/{document}");
            let Object::Extended {
                kind,
                content,
                document: found,
                ..
            } = classify(path.as_bytes())
            else {
                panic!()
            };
            assert_eq!(
                (kind.standard_code, found),
                (&b"18842-5"[..], document.as_bytes())
            );
            assert_eq!(
                record_of(path.as_bytes()),
                Some((content.key(), Flag::Deleted))
            );
        }
    }

    #[test]
    fn everything_else_is_stray() {
        assert_eq!(reason("20110701/OMP-01/Thumbs.db"), StrayReason::SystemFile);
        assert_eq!(reason(".DS_Store"), StrayReason::SystemFile);
        assert_eq!(
            reason(&format!("20110701/OMP-01/{NAME}.tmp")),
            StrayReason::Temporary
        );
        assert_eq!(
            reason(&format!("20110701/{KIND}/{CONTENT}/x.TMP")),
            StrayReason::Temporary
        );
        assert_eq!(reason(""), StrayReason::Component);
        assert_eq!(reason(&format!("20110701//{NAME}")), StrayReason::Component);
        assert_eq!(reason("readme.txt"), StrayReason::Depth { components: 1 });
        assert_eq!(reason(NAME), StrayReason::Depth { components: 1 });
        assert_eq!(
            reason(&format!("20110701/OMP-01/a/{NAME}")),
            StrayReason::Depth { components: 4 }
        );
        assert_eq!(
            reason(&format!("20110701/{KIND}/{NAME}")),
            StrayReason::Depth { components: 3 }
        );
        assert_eq!(reason(&format!("2011/OMP-01/{NAME}")), StrayReason::Date);
        assert_eq!(
            reason(&format!("20110701/^x/{CONTENT}/a")),
            StrayReason::Kind(KindError::Parts { found: 2 })
        );
        assert_eq!(
            reason("20110701/OMP-01/x"),
            StrayReason::Name(NameError::Fields { found: 1 })
        );
        assert_eq!(record_of(b"readme.txt"), None);
    }

    #[test]
    fn a_file_under_the_wrong_folder_is_still_a_record() {
        let path =
            b"20000401/ADT-31/9999013_20110630_OMP-11_123456789012345_20110701113813225_01_1";
        assert!(matches!(classify(path), Object::Standard { .. }));
    }

    proptest! {
        #[test]
        fn no_path_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            classify(&bytes);
            record_of(&bytes);
        }
    }
}
