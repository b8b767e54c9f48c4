//! What of a leaf's change is suspect: by names and digests (`plan::changes`),
//! and by a look at what came in a document's place.
//!
//! Contents are only asked whether they still are what the record's were: what
//! was a message, a document or an image and now begins like none of these is
//! implausible. So is a file of no record that was text and is none any more. What
//! never was either is left alone.

use hikae_protocol::objectpath::ObjectPath;

use crate::catalogue::{Catalogue, CatalogueError, ContentPlace, FileRecord, LeafRecord};
use crate::plan::{RecordChange, Suspect, Suspicion, changes};
use crate::ssmix::{Flag, Object, classify, record_of};

/// Bytes of a content that are looked at.
const HEAD_BYTES: u64 = 64;
/// What the contents of records begin with.
const BEGINNINGS: [&[u8]; 8] = [
    b"MSH",
    b"BHS",
    b"FHS",
    b"<",
    b"%PDF",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"II*\0",
];

/// The records that differ between two states of a leaf, with what is suspect
/// of each.
///
/// Errors: `CatalogueError`.
pub fn suspects(
    catalogue: &Catalogue,
    old: &LeafRecord,
    new: &LeafRecord,
) -> Result<Vec<RecordChange>, CatalogueError> {
    let mut all = changes(
        old.files.iter().map(|file| &file.entry),
        new.files.iter().map(|file| &file.entry),
    );
    for change in &mut all {
        for suspect in &mut change.suspects {
            if is_garbled_table(catalogue, (old, new), suspect)? {
                suspect.suspicion = Suspicion::Implausible;
            }
        }
        if !change.suspects.is_empty() {
            continue;
        }
        let mut found = Vec::new();
        for (was, is) in replaced(old, new, change) {
            if is_implausible(catalogue, was, is)? {
                found.push(Suspect {
                    path: was.entry.path.clone(),
                    suspicion: Suspicion::Implausible,
                });
            }
        }
        change.suspects = found;
    }
    Ok(all)
}

/// The valid files of a record that have another content than the valid file
/// in their place before.
fn replaced<'a>(
    old: &'a LeafRecord,
    new: &'a LeafRecord,
    change: &'a RecordChange,
) -> Vec<(&'a FileRecord, &'a FileRecord)> {
    let valid = |record: &'a LeafRecord, paths: &'a [ObjectPath]| {
        let is_valid = |path: &&ObjectPath| {
            record_of(path.as_bytes()).is_some_and(|(_, flag)| flag == Flag::Valid)
        };
        let files = paths.iter().filter(is_valid);
        let files = files.filter_map(|path| record.file(path));
        let files = files.map(|file| (document(&file.entry.path), file));
        files.collect::<Vec<_>>()
    };
    let before = valid(old, &change.before);
    let mut pairs = Vec::new();
    for (document, is) in valid(new, &change.after) {
        let was = before.iter().find(|(name, _)| *name == document);
        pairs.extend(
            was.filter(|(_, was)| was.entry.digest != is.entry.digest)
                .map(|(_, was)| (*was, is)),
        );
    }
    pairs
}

/// Which document of an extended record a file is.
fn document(path: &ObjectPath) -> &[u8] {
    match classify(path.as_bytes()) {
        Object::Extended { document, .. } => document,
        _ => b"",
    }
}

/// Whether a rewritten file that is no record's, a table of a registry say, was
/// text and is none any more.
fn is_garbled_table(
    catalogue: &Catalogue,
    (old, new): (&LeafRecord, &LeafRecord),
    suspect: &Suspect,
) -> Result<bool, CatalogueError> {
    let path = &suspect.path;
    if suspect.suspicion != Suspicion::Rewritten || record_of(path.as_bytes()).is_some() {
        return Ok(false);
    }
    match (old.file(path), new.file(path)) {
        (Some(was), Some(is)) => began_well(catalogue, (was, is), is_text),
        _ => Ok(false),
    }
}

fn is_implausible(
    catalogue: &Catalogue,
    was: &FileRecord,
    is: &FileRecord,
) -> Result<bool, CatalogueError> {
    began_well(catalogue, (was, is), begins_well)
}

/// Whether a content that is held began well, and the one in its place does
/// not.
fn began_well(
    catalogue: &Catalogue,
    (was, is): (&FileRecord, &FileRecord),
    well: impl Fn(&[u8]) -> bool,
) -> Result<bool, CatalogueError> {
    let held = |file: &FileRecord| {
        matches!(
            file.content,
            ContentPlace::Item { .. } | ContentPlace::Chunks { .. }
        )
    };
    Ok(held(is) && held(was) && !well(&head(catalogue, is)?) && well(&head(catalogue, was)?))
}

/// Text in UTF-8, Shift_JIS or ISO-2022-JP has no control characters but these.
fn is_text(head: &[u8]) -> bool {
    let is_text = |byte: &u8| *byte >= 0x20 || b"\t\r\n\x1b".contains(byte);
    head.iter().all(is_text)
}

fn begins_well(head: &[u8]) -> bool {
    // Before the first segment stand line ends, a vertical tab, a byte order
    // mark.
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let skipped = head
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b)
        .count();
    let head = head.get(skipped..).unwrap_or_default();
    BEGINNINGS
        .iter()
        .any(|beginning| head.starts_with(beginning))
}

fn head(catalogue: &Catalogue, file: &FileRecord) -> Result<Vec<u8>, CatalogueError> {
    let bytes = file.entry.size.min(HEAD_BYTES);
    catalogue.content_range(file.content, 0, bytes as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [S11-8] what real messages and documents begin with is plausible, what
    /// a cipher writes is not.
    #[test]
    fn messages_are_told_from_ciphertext() {
        let good: [&[u8]; 6] = [
            b"MSH|^~\\&|",
            b"\x0bMSH|",
            b"\r\nMSH^",
            b"\xef\xbb\xbf<?xml",
            b"<ClinicalDocument",
            b"%PDF-1.4",
        ];
        for head in good {
            assert!(begins_well(head), "{head:?}");
        }
        for head in [&b""[..], b"\xfb\xfc", b"Salted__", b"msh|", b"PID|"] {
            assert!(!begins_well(head), "{head:?}");
        }
    }

    /// [S11-8] tables are text in any character set, ciphertext is none.
    #[test]
    fn tables_are_told_from_ciphertext() {
        let japanese = "利用者番号,氏名".as_bytes();
        let shift_jis = b"\x97\x98\x97p\x8e\xd2,\x8e\x81\x96\xbc\r\n";
        for head in [&b"user_id,name\r\n"[..], japanese, shift_jis, b""] {
            assert!(is_text(head), "{head:?}");
        }
        let mut texts = 0;
        for seed in 0..1000_u32 {
            let cipher = blake3::Hasher::new()
                .update(&seed.to_le_bytes())
                .finalize_xof();
            let mut head = [0; HEAD_BYTES as usize];
            let mut cipher = cipher;
            cipher.fill(&mut head);
            texts += u32::from(is_text(&head));
        }
        assert!(texts < 5, "{texts} of 1000");
    }
}
