//! What the index knows of a leaf.

use hikae_protocol::digest::Digest;
use hikae_protocol::objectpath::LeafKey;

use super::item::LeafSummary;
use super::leaf::RecordPlace;

/// Bytes of a leaf's value.
const LEAF_VALUE_BYTES: usize = 88;

/// What the index knows of a leaf: fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafValue {
    /// Digest of the manifest; none of a leaf without entries.
    pub digest: Option<Digest>,
    /// The signer's commit that last changed it.
    pub sequence: u64,
    /// The node's own commit that brought this record.
    pub commit: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of the contents.
    pub bytes: u64,
    /// Bytes of the contents that the last change brought.
    pub newest_bytes: u64,
    /// Contents that the source could not hand out.
    pub lacking: u32,
    /// Where the record lies.
    pub place: RecordPlace,
}

impl LeafValue {
    /// The value of a record that lies at `place`.
    pub(super) fn of(summary: LeafSummary, place: RecordPlace) -> (LeafKey, LeafValue) {
        let value = LeafValue {
            digest: summary.digest,
            sequence: summary.sequence,
            commit: summary.commit,
            entries: summary.entries,
            bytes: summary.bytes,
            newest_bytes: summary.newest_bytes,
            lacking: summary.lacking,
            place,
        };
        (summary.key, value)
    }

    /// What the record's summary says.
    pub(super) fn summary(self, key: LeafKey) -> LeafSummary {
        LeafSummary {
            key,
            sequence: self.sequence,
            commit: self.commit,
            digest: self.digest,
            entries: self.entries,
            bytes: self.bytes,
            newest_bytes: self.newest_bytes,
            lacking: self.lacking,
        }
    }

    pub(super) fn to_bytes(self) -> [u8; LEAF_VALUE_BYTES] {
        let mut bytes = [0; LEAF_VALUE_BYTES];
        if let Some(digest) = self.digest {
            bytes[..32].copy_from_slice(digest.as_bytes());
        }
        let numbers = [
            self.sequence,
            self.commit,
            self.entries,
            self.bytes,
            self.newest_bytes,
            self.place.block,
        ];
        for (at, number) in numbers.iter().enumerate() {
            bytes[32 + 8 * at..40 + 8 * at].copy_from_slice(&number.to_le_bytes());
        }
        bytes[80..84].copy_from_slice(&self.place.index.to_le_bytes());
        bytes[84..].copy_from_slice(&self.lacking.to_le_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<LeafValue> {
        let bytes: &[u8; LEAF_VALUE_BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| {
            u64::from_le_bytes(
                bytes[32 + 8 * at..40 + 8 * at]
                    .try_into()
                    .unwrap_or_default(),
            )
        };
        let entries = number(2);
        Some(LeafValue {
            digest: match entries {
                0 => None,
                _ => Some(Digest(bytes[..32].try_into().ok()?)),
            },
            sequence: number(0),
            commit: number(1),
            entries,
            bytes: number(3),
            newest_bytes: number(4),
            place: RecordPlace {
                block: number(5),
                index: u32::from_le_bytes(bytes[80..84].try_into().ok()?),
            },
            lacking: u32::from_le_bytes(bytes[84..].try_into().ok()?),
        })
    }
}
