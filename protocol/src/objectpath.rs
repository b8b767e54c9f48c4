//! Object paths and leaf keys: where a file lies, as bytes, never as text.
//!
//! Owns the rule that maps any path of a volume to its leaf (SPEC.md, section
//! 3). A value of these types can be joined to a directory without leaving it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{COMPONENT_BYTES_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX};

/// Components below a volume's root that make a leaf, at most.
pub const LEAF_DEPTH_MAX: usize = 3;

/// Why bytes are no object path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No bytes, or two separators in a row, or one at an end.
    #[error("a component of the path {0:?} is empty")]
    Empty(PathText),
    /// `.` or `..`.
    #[error("the path {0:?} has a component \".\" or \"..\"")]
    Dot(PathText),
    /// A NUL byte.
    #[error("the path {0:?} has a NUL byte")]
    Nul(PathText),
    /// A component, or the whole, or its depth, is over its bound.
    #[error("the path {0:?} is too long or too deep")]
    Long(PathText),
    /// A leaf key with fewer than two or more than five components.
    #[error("the leaf key {0:?} has a wrong number of components")]
    LeafDepth(PathText),
}

/// Bytes of a path as a person reads them: UTF-8 where they are, else escaped.
#[derive(Clone, PartialEq, Eq)]
pub struct PathText(Box<[u8]>);

impl PathText {
    /// Takes a copy of `bytes`.
    pub fn new(bytes: &[u8]) -> PathText {
        PathText(bytes.into())
    }
}

impl fmt::Display for PathText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                if letter.is_control() {
                    write!(f, "{}", letter.escape_default())?;
                } else {
                    write!(f, "{letter}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PathText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Checks one component: 1 to 255 bytes, no `/`, no NUL, not `.` or `..`.
///
/// Errors: the `PathError` that names the component.
pub fn check_component(component: &[u8]) -> Result<(), PathError> {
    let text = || PathText::new(component);
    match component {
        b"" => Err(PathError::Empty(text())),
        b"." | b".." => Err(PathError::Dot(text())),
        _ if component.len() > COMPONENT_BYTES_MAX => Err(PathError::Long(text())),
        _ if component.contains(&0) => Err(PathError::Nul(text())),
        _ if component.contains(&b'/') => Err(PathError::Empty(text())),
        _ => Ok(()),
    }
}

fn check_path(bytes: &[u8]) -> Result<usize, PathError> {
    if bytes.len() > PATH_BYTES_MAX {
        return Err(PathError::Long(PathText::new(
            bytes.get(..PATH_BYTES_MAX).unwrap_or_default(),
        )));
    }
    let mut depth = 0;
    for component in bytes.split(|&byte| byte == b'/') {
        check_component(component)?;
        depth += 1;
    }
    if depth > PATH_DEPTH_MAX {
        return Err(PathError::Long(PathText::new(bytes)));
    }
    Ok(depth)
}

/// The path of a file relative to its leaf: components joined by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct ObjectPath(Box<[u8]>);

impl ObjectPath {
    /// Checks `bytes` and keeps them.
    ///
    /// Errors: `PathError` that names the path.
    pub fn parse(bytes: &[u8]) -> Result<ObjectPath, PathError> {
        check_path(bytes)?;
        Ok(ObjectPath(bytes.into()))
    }

    /// The bytes, components joined by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The directories above the file (may be empty) and the file's name.
    pub fn split_name(&self) -> (&[u8], &[u8]) {
        split_last(&self.0)
    }

    /// The path as a person reads it.
    pub fn text(&self) -> PathText {
        PathText::new(&self.0)
    }
}

impl fmt::Debug for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

impl TryFrom<Vec<u8>> for ObjectPath {
    type Error = PathError;

    fn try_from(bytes: Vec<u8>) -> Result<ObjectPath, PathError> {
        check_path(&bytes)?;
        Ok(ObjectPath(bytes.into_boxed_slice()))
    }
}

impl From<ObjectPath> for Vec<u8> {
    fn from(path: ObjectPath) -> Vec<u8> {
        path.0.into_vec()
    }
}

/// Cuts the last component off: (what is above it, the component).
pub fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (&[], path),
    }
}

/// A leaf of the tree: `facility/label` and up to three components below.
/// Clones share it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct LeafKey(Arc<[u8]>);

impl LeafKey {
    /// Checks `bytes` and keeps them.
    ///
    /// Errors: `PathError` that names the key.
    pub fn parse(bytes: &[u8]) -> Result<LeafKey, PathError> {
        LeafKey::try_from(bytes.to_vec())
    }

    /// The key and the object path of the file `path` (relative to the
    /// volume's root) of the volume `facility/label`: the leaf is its first
    /// min(3, n-1) components, whatever they look like. SPEC.md [S3-4].
    ///
    /// Errors: `PathError` that names what is no path.
    pub fn of_file(volume: &[u8], path: &[u8]) -> Result<(LeafKey, ObjectPath), PathError> {
        let separators = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let (leaf, object) = match separators.take(LEAF_DEPTH_MAX).last() {
            Some((at, _)) => (path.get(..at), path.get(at + 1..).unwrap_or_default()),
            None => (None, path),
        };
        let mut key = volume.to_vec();
        if let Some(leaf) = leaf {
            key.push(b'/');
            key.extend_from_slice(leaf);
        }
        Ok((LeafKey::try_from(key)?, ObjectPath::parse(object)?))
    }

    /// The bytes, components joined by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The volume, `facility/label`.
    pub fn volume(&self) -> &[u8] {
        volume_of(&self.0)
    }

    /// The directory below the volume's root (may be empty).
    pub fn directory(&self) -> &[u8] {
        self.0.get(self.volume().len() + 1..).unwrap_or_default()
    }

    /// Components below the volume's root, 0 to 3.
    pub fn depth(&self) -> usize {
        let directory = self.directory();
        match directory.is_empty() {
            true => 0,
            false => 1 + directory.iter().filter(|&&byte| byte == b'/').count(),
        }
    }

    /// The key as a person reads it.
    pub fn text(&self) -> PathText {
        PathText::new(&self.0)
    }
}

/// The first two components of a key: `facility/label`.
pub fn volume_of(key: &[u8]) -> &[u8] {
    let end = key
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .nth(1)
        .map_or(key.len(), |(at, _)| at);
    key.get(..end).unwrap_or_default()
}

impl fmt::Debug for LeafKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

impl TryFrom<Vec<u8>> for LeafKey {
    type Error = PathError;

    fn try_from(bytes: Vec<u8>) -> Result<LeafKey, PathError> {
        let depth = check_path(&bytes)?;
        if !(2..=2 + LEAF_DEPTH_MAX).contains(&depth) {
            return Err(PathError::LeafDepth(PathText::new(&bytes)));
        }
        Ok(LeafKey(bytes.into()))
    }
}

impl From<LeafKey> for Vec<u8> {
    fn from(key: LeafKey) -> Vec<u8> {
        key.0.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// [S3-4] the leaf of a file is its first min(3, n-1) components.
    #[test]
    fn leaf_of_a_file_is_at_most_three_components() {
        for (path, leaf, object) in [
            ("a", "F/L", "a"),
            ("a/b", "F/L/a", "b"),
            ("a/b/c", "F/L/a/b", "c"),
            ("a/b/c/d", "F/L/a/b/c", "d"),
            ("a/b/c/d/e/f", "F/L/a/b/c", "d/e/f"),
        ] {
            let (key, rest) = LeafKey::of_file(b"F/L", path.as_bytes()).unwrap();
            assert_eq!(key.as_bytes(), leaf.as_bytes());
            assert_eq!(rest.as_bytes(), object.as_bytes());
            assert_eq!(key.volume(), b"F/L");
            assert_eq!(key.depth(), path.matches('/').count().min(3));
        }
    }

    /// [S3-1] a component is 1 to 255 bytes, no NUL, no separator, no dots;
    /// [S3-2] a leaf key has 2 to 5 of them.
    #[test]
    fn hostile_paths_are_refused() {
        for bad in [
            &b""[..],
            b"/",
            b"a//b",
            b"/a",
            b"a/",
            b"..",
            b"a/../b",
            b"a/.",
            b"a\0b",
        ] {
            assert!(ObjectPath::parse(bad).is_err(), "{:?}", PathText::new(bad));
        }
        assert!(ObjectPath::parse(&[b'x'; 256]).is_err());
        assert!(ObjectPath::parse(&[b'x'; 255]).is_ok());
        let deep = |depth: usize| ObjectPath::parse(vec!["a"; depth].join("/").as_bytes());
        assert!(deep(64).is_ok() && deep(65).is_err());
        let long = |bytes: usize| {
            let mut path = "x".repeat(254) + "/";
            path = path.repeat(17);
            ObjectPath::parse(&path.as_bytes()[..bytes])
        };
        assert!(long(4096).is_ok() && long(4097).is_err());
        assert!(ObjectPath::parse(b"\xff\xfe/..a/...").is_ok());
        assert!(LeafKey::parse(b"F").is_err());
        assert!(LeafKey::parse(b"F/L").is_ok());
        assert!(LeafKey::parse(b"F/L/a/b/c").is_ok());
        assert!(LeafKey::parse(b"F/L/a/b/c/d").is_err());
    }

    #[test]
    fn names_are_shown_escaped() {
        assert_eq!(
            PathText::new(b"a\n\xff/\xe6\xbc\xa2").to_string(),
            "a\\n\\xff/漢"
        );
    }

    proptest! {
        #[test]
        fn mapping_is_total_and_joins_back(parts in prop::collection::vec("[^/\0]{1,20}", 1..8)) {
            prop_assume!(parts.iter().all(|part| part != "." && part != ".."));
            let path = parts.join("/");
            let (key, object) = LeafKey::of_file(b"F/L", path.as_bytes()).unwrap();
            let mut joined = key.directory().to_vec();
            if !joined.is_empty() { joined.push(b'/'); }
            joined.extend_from_slice(object.as_bytes());
            prop_assert_eq!(joined, path.into_bytes());
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = ObjectPath::parse(&bytes);
            let _ = LeafKey::parse(&bytes);
            let _ = LeafKey::of_file(b"F/L", &bytes);
        }
    }
}
