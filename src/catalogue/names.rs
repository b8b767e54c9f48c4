//! How paths and values stand in the index: as they are, or, in a sealed
//! store, so that who has the index's files reads no path, no digest and no
//! count.
//!
//! A path is facility and label, then up to three components. In a sealed
//! store each of these is a keyed digest of itself and all before it, of equal
//! length: a prefix is still a range, and the children of a node are one. The
//! path itself lies in the value, sealed.

use std::sync::Arc;

use super::CatalogueError;
use crate::seal::{NAME_BYTES, Seal, SealError};
use crate::segment::SegmentError;

/// A path and its value.
pub(super) type Named = (Vec<u8>, Vec<u8>);

/// How paths and values are written.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Option<Arc<Seal>>);

impl Names {
    pub(super) fn new(seal: Option<&Arc<Seal>>) -> Names {
        Names(seal.cloned())
    }

    /// Whether keys are in another order than paths.
    pub(super) fn are_sealed(&self) -> bool {
        self.0.is_some()
    }

    /// The key of a path: `head` as it is, then what stands for the path.
    pub(super) fn key(&self, head: &[u8], path: &[u8]) -> Vec<u8> {
        let mut key = head.to_vec();
        match &self.0 {
            None => key.extend_from_slice(path),
            Some(seal) => key.extend(names_of(seal, path)),
        }
        key
    }

    /// What the keys of all paths below `path` begin with.
    pub(super) fn below(&self, head: &[u8], path: &[u8]) -> Vec<u8> {
        let mut key = self.key(head, path);
        if !path.is_empty() && !self.are_sealed() {
            key.push(b'/');
        }
        key
    }

    /// What is written for a path's value.
    pub(super) fn value(
        &self,
        table: &str,
        key: &[u8],
        path: &[u8],
        value: &[u8],
    ) -> Result<Vec<u8>, CatalogueError> {
        let Some(seal) = &self.0 else {
            return Ok(value.to_vec());
        };
        // A path has at most 4,096 bytes.
        let length = (path.len() as u16).to_le_bytes();
        let plain = [&length, path, value].concat();
        let sealed = seal.seal_value(table, key, &plain);
        Ok(sealed.map_err(SegmentError::Seal)?)
    }

    /// The path and value of a key with `head` bytes before the path.
    ///
    /// Errors: `SealError::Forged`.
    pub(super) fn open(
        &self,
        table: &str,
        key: &[u8],
        head: usize,
        written: &[u8],
    ) -> Result<Named, SealError> {
        let Some(seal) = &self.0 else {
            let path = key.get(head..).unwrap_or_default();
            return Ok((path.to_vec(), written.to_vec()));
        };
        let plain = seal.open_value(table, key, written)?;
        let (length, rest) = plain.split_first_chunk().ok_or(SealError::Forged)?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (path, value) = rest.split_at_checked(length).ok_or(SealError::Forged)?;
        Ok((path.to_vec(), value.to_vec()))
    }
}

/// What stands for each component and all before it.
fn names_of(seal: &Seal, path: &[u8]) -> Vec<u8> {
    let mut names = Vec::with_capacity(5 * NAME_BYTES);
    let ends = path.iter().enumerate();
    let ends = ends.filter_map(|(at, &byte)| (byte == b'/').then_some(at));
    let whole = (!path.is_empty()).then_some(path.len());
    for end in ends.chain(whole) {
        names.extend_from_slice(&seal.name(&path[..end]));
    }
    names
}

#[cfg(test)]
mod tests {
    use hikae_protocol::objectpath::LeafKey;
    use hikae_protocol::tree::ChildKind;

    use super::*;
    use crate::catalogue::RecordPlace;
    use crate::catalogue::db::Db;
    use crate::catalogue::value::LeafValue;

    fn sealed() -> Names {
        Names(Some(Arc::new(Seal::with_key([7; 16], [9; 32]))))
    }

    /// [S9-28] of a sealed store's keys nobody reads a path, and the paths
    /// below another one are a range.
    #[test]
    fn paths_below_another_are_a_range() {
        let paths: [&[u8]; 6] = [b"F/L", b"F/L/a", b"F/L/a/b", b"F/L/ab", b"F/M/a", b"G/L/a"];
        for names in [Names::default(), sealed()] {
            for above in paths {
                let from = names.below(b"\x07", above);
                for path in paths {
                    let is_below = path.starts_with(&[above, b"/"].concat());
                    let key = names.key(b"\x07", path);
                    let is_in_range = key.starts_with(&from) && key.len() > from.len();
                    assert_eq!(is_in_range, is_below, "{path:?} below {above:?}");
                }
            }
            let all = names.below(b"\x07", b"");
            assert_eq!(all, b"\x07");
        }
        let key = sealed().key(b"", b"F/L/a");
        assert_eq!(key.len(), 3 * NAME_BYTES);
        assert_eq!(key[..16], Seal::with_key([7; 16], [9; 32]).name(b"F"));
        assert_ne!(
            key,
            Names(Some(Arc::new(Seal::with_key([7; 16], [8; 32])))).key(b"", b"F/L/a")
        );
    }

    /// [S9-28] a value is bound to its table and key.
    #[test]
    fn a_value_is_nowhere_else_a_value() {
        let names = sealed();
        let key = names.key(b"h", b"F/L");
        let written = names.value("leaves", &key, b"F/L", b"value").unwrap();
        let open = |table: &str, key: &[u8], written: &[u8]| names.open(table, key, 1, written);
        let opened = open("leaves", &key, &written).unwrap();
        assert_eq!(opened, (b"F/L".to_vec(), b"value".to_vec()));
        assert!(open("nodes", &key, &written).is_err());
        assert!(open("leaves", &names.key(b"h", b"F/M"), &written).is_err());
        for bit in 0..written.len() * 8 {
            let mut bad = written.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open("leaves", &key, &bad).is_err(), "bit {bit}");
        }
        assert!(open("leaves", &key, b"").is_err());
        let again = names.value("leaves", &key, b"F/L", b"value").unwrap();
        assert_ne!(again, written, "a nonce is used once");
    }

    fn value(sequence: u64, lacking: u32) -> LeafValue {
        LeafValue {
            digest: Some(hikae_protocol::digest::Digest([0xa7; 32])),
            sequence,
            commit: 1,
            entries: 3,
            bytes: 5,
            newest_bytes: 5,
            lacking,
            bare: None,
            place: RecordPlace { block: 1, index: 0 },
        }
    }

    /// What an index answers after the same changes.
    fn answers(db: &Db) -> String {
        let key = |path: &str| LeafKey::parse(path.as_bytes()).unwrap();
        let paths = ["G/L/b", "F/L", "F/L/a/b/c", "F/L/a", "F/L-x", "F/L/zz"];
        let leaves = |sequence, lacking| -> Vec<(LeafKey, LeafValue)> {
            let values = paths
                .iter()
                .map(|path| (key(path), value(sequence, lacking)));
            values.collect()
        };
        db.stage(&leaves(7, 1)).unwrap();
        db.unstage([&b"F/L/zz"[..]]).unwrap();
        let mut said = vec![format!("{:?}", db.all_staged().collect::<Vec<_>>())];
        db.apply(&leaves(7, 1)).unwrap();
        db.apply(&leaves(9, 0)[1..3]).unwrap();
        db.unstage([]).unwrap();
        let node = (
            b"F/L".to_vec(),
            Some(hikae_protocol::digest::Digest([1; 32])),
        );
        db.set_nodes(&[node, (b"F/L/a".to_vec(), None)].into())
            .unwrap();
        db.set_meta("head", b"planted value").unwrap();
        said.push(format!("{:?}", db.all_staged().collect::<Vec<_>>()));
        for number in [0, 1] {
            said.push(format!("{:?}", db.committed_since(number).unwrap()));
        }
        said.push(format!("{:?}", db.lacking().unwrap()));
        for sequence in [6, 7] {
            said.push(format!("{:?}", db.changed_since(sequence).unwrap()));
        }
        for path in ["", "F/L", "F/L/a", "G/L"] {
            let mut below: Vec<_> = db
                .leaves_below(path.as_bytes())
                .map(Result::unwrap)
                .collect();
            below.sort_by(|one, two| one.0.cmp(&two.0));
            said.push(format!("{below:?}"));
            for kind in [ChildKind::Leaf, ChildKind::Node] {
                let children = db.children(path.as_bytes(), kind).unwrap();
                said.push(format!("{children:?}"));
            }
        }
        said.push(format!("{:?} {:?}", db.meta("head"), db.leaf(b"F/L/none")));
        db.flush().unwrap();
        said.join("\n")
    }

    /// [S9-28] a sealed index answers as one in clear does, canonical order
    /// too; and in its files is no path and no digest.
    #[test]
    fn a_sealed_index_answers_as_one_in_clear() {
        let folders = [0, 1].map(|_| tempfile::tempdir().unwrap());
        let seal = Arc::new(Seal::with_key([7; 16], [9; 32]));
        let clear = answers(&Db::open(folders[0].path(), None).unwrap());
        let sealed = answers(&Db::open(folders[1].path(), Some(&seal)).unwrap());
        assert_eq!(sealed, clear);
        let has = |folder: &std::path::Path, planted: &[u8]| {
            let files = walkdir::WalkDir::new(folder).into_iter();
            let files = files.map(|file| file.unwrap());
            let mut files = files.filter(|file| file.file_type().is_file());
            files.any(|file| {
                let bytes = std::fs::read(file.path()).unwrap();
                bytes.windows(planted.len()).any(|found| found == planted)
            })
        };
        for planted in [&b"F/L/zz"[..], &[0xa7; 32], b"planted value"] {
            assert!(has(folders[0].path(), planted));
            assert!(!has(folders[1].path(), planted), "{planted:?}");
        }
        // Another key reads none of it.
        let other = Arc::new(Seal::with_key([7; 16], [8; 32]));
        let db = Db::open(folders[1].path(), Some(&other)).unwrap();
        assert_eq!(db.leaf(b"F/L").unwrap(), None);
        assert!(db.committed_since(0).is_err());
    }
}
