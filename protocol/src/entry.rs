//! Entries and the digest of a manifest, SPEC.md section 5.
//!
//! A digest covers live entries only: never a sequence number, a tombstone, a
//! location or a codec.

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Domain};
use crate::list::{ListItem, take_digest, take_name};
use crate::objectpath::ObjectPath;
use crate::page::{ListDigest, name_length};

/// A live file of a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where the file lies below its leaf.
    pub path: ObjectPath,
    /// Bytes of the content.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// BLAKE3 of the content.
    pub digest: Digest,
}

impl Entry {
    /// The canonical bytes, SPEC.md [S5-4]: path length (2), path, size (8),
    /// mtime (8), digest (32), integers little endian.
    fn canonical(&self, item: &mut Vec<u8>) {
        let path = self.path.as_bytes();
        item.extend_from_slice(&name_length(path));
        item.extend_from_slice(path);
        item.extend_from_slice(&self.size.to_le_bytes());
        item.extend_from_slice(&self.mtime_ns.to_le_bytes());
        item.extend_from_slice(self.digest.as_bytes());
    }
}

impl ListItem for Entry {
    const DOMAIN: Domain = Domain::Manifest;

    fn name(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.canonical(bytes);
    }

    fn take(bytes: &mut &[u8]) -> Option<Entry> {
        let path = ObjectPath::parse(take_name(bytes)?).ok()?;
        let (size, rest) = bytes.split_first_chunk()?;
        let (mtime, rest) = rest.split_first_chunk()?;
        *bytes = rest;
        Some(Entry {
            path,
            size: u64::from_le_bytes(*size),
            mtime_ns: i64::from_le_bytes(*mtime),
            digest: take_digest(bytes)?,
        })
    }

    fn follows(&self, before: &Entry) -> bool {
        self.path > before.path
    }
}

/// The digest of a manifest; `None` if it has no entries, for such a leaf is
/// not in the tree. Entries must be sorted by path, each path once.
pub fn manifest_digest<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<Digest> {
    let mut list = ListDigest::new(Domain::Manifest);
    let mut item = Vec::new();
    let mut any = false;
    for entry in entries {
        item.clear();
        entry.canonical(&mut item);
        list.push(entry.path.as_bytes(), &item);
        any = true;
    }
    any.then(|| list.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            path: ObjectPath::parse(path.as_bytes()).unwrap(),
            size: 3,
            mtime_ns: -1,
            digest: Digest::of_content(b"abc"),
        }
    }

    /// [S5-7] a manifest without entries has no digest.
    #[test]
    fn every_field_counts() {
        let base = entry("a");
        let mut others = vec![entry("b")];
        others.push(Entry {
            size: 4,
            ..base.clone()
        });
        others.push(Entry {
            mtime_ns: 0,
            ..base.clone()
        });
        others.push(Entry {
            digest: Digest::of_content(b""),
            ..base.clone()
        });
        let digest = manifest_digest([&base]).unwrap();
        for other in &others {
            assert_ne!(manifest_digest([other]), Some(digest));
        }
        assert_eq!(manifest_digest([]), None);
    }
}
