//! What the index knows of a leaf.

use std::num::NonZeroU64;

use hikae_protocol::digest::Digest;
use hikae_protocol::objectpath::LeafKey;

use super::item::{BareSummary, LeafSummary};
use super::leaf::RecordPlace;

/// Bytes of a leaf's value.
const LEAF_VALUE_BYTES: usize = 96;

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
    /// Of a bare volume, how many leaves it has; digest and counts are the
    /// volume's then.
    pub bare: Option<NonZeroU64>,
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
            bare: summary.bare.map(|bare| bare.leaves),
            place,
        };
        (summary.key, value)
    }

    /// Leaves that have entries: those of a bare volume, or this one.
    pub(super) fn leaves(&self) -> u64 {
        match self.bare {
            Some(leaves) => leaves.get(),
            None => u64::from(self.entries > 0),
        }
    }

    /// What the record's summary says; of a bare volume with the digest of its
    /// node.
    pub(super) fn summary(self, key: LeafKey, node: Option<Digest>) -> LeafSummary {
        LeafSummary {
            key,
            sequence: self.sequence,
            commit: self.commit,
            digest: self.digest,
            entries: self.entries,
            bytes: self.bytes,
            newest_bytes: self.newest_bytes,
            lacking: self.lacking,
            bare: self.bare.map(|leaves| BareSummary { node, leaves }),
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
        bytes[84..88].copy_from_slice(&self.lacking.to_le_bytes());
        bytes[88..].copy_from_slice(&self.bare.map_or(0, NonZeroU64::get).to_le_bytes());
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
        let digest = Digest(bytes[..32].try_into().ok()?);
        let bare = NonZeroU64::new(number(7));
        Some(LeafValue {
            digest: match bare {
                // No list has the digest of only zeros.
                Some(_) => (digest != Digest([0; 32])).then_some(digest),
                None => (entries > 0).then_some(digest),
            },
            bare,
            sequence: number(0),
            commit: number(1),
            entries,
            bytes: number(3),
            newest_bytes: number(4),
            place: RecordPlace {
                block: number(5),
                index: u32::from_le_bytes(bytes[80..84].try_into().ok()?),
            },
            lacking: u32::from_le_bytes(bytes[84..88].try_into().ok()?),
        })
    }
}
