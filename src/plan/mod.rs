//! The plan: from proven differences to bundles, and what a difference is in
//! the words of the standard. Pure.

mod change;
mod filter;

pub use change::{Fate, RecordChange, Suspect, Suspicion, changes, kind_of};
pub use filter::Filter;

use hikae_protocol::digest::Digest;
use hikae_protocol::limits::{BUNDLE_BYTES, FETCH_LEAVES_MAX, PATH_BYTES_MAX, REQUEST_BYTES_MAX};
use hikae_protocol::message::{LeafProof, LeafWant, PageHint};
use hikae_protocol::objectpath::LeafKey;

/// Bytes of names and digests that a leaf is taken to cost beside contents.
const LEAF_OVERHEAD: u64 = 256;

/// A leaf that the replica lacks, and what it must become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedLeaf {
    /// Which leaf.
    pub key: LeafKey,
    /// The proven digest.
    pub digest: Digest,
    /// The signer's commit that last changed it.
    pub sequence: u64,
    /// About how many bytes its new contents have.
    pub weight: u64,
    /// The commit whose state of the leaf the replica has.
    pub base: Option<u64>,
    /// Contents of the leaf that the replica names as held.
    pub held: usize,
}

impl WantedLeaf {
    /// From a proof of a leaf that is in the tree.
    pub fn new(proof: &LeafProof, digest: Digest, base: Option<u64>) -> WantedLeaf {
        WantedLeaf {
            key: proof.key.clone(),
            digest,
            sequence: proof.sequence,
            weight: proof.weight,
            base,
            held: 0,
        }
    }

    /// About how many bytes the answer has, before compression: what is large
    /// comes apart.
    pub fn answer_bytes(&self) -> u64 {
        self.weight.min(BUNDLE_BYTES as u64) + LEAF_OVERHEAD
    }

    /// What the source is asked for.
    pub fn want(&self) -> LeafWant {
        LeafWant {
            key: self.key.clone(),
            base: self.base,
            after: None,
            inline: true,
            held: vec![],
        }
    }
}

/// Cuts wanted leaves, in canonical order, into bundles of about
/// `BUNDLE_BYTES` of contents, each when it is asked for.
pub fn bundles(
    wanted: impl IntoIterator<Item = WantedLeaf>,
) -> impl Iterator<Item = Vec<WantedLeaf>> {
    let leaves_max = FETCH_LEAVES_MAX.min(REQUEST_BYTES_MAX / (PATH_BYTES_MAX / 8));
    let name =
        |leaf: &WantedLeaf| leaf.key.as_bytes().len() + 32 + size_of::<PageHint>() * leaf.held;
    let mut coming = wanted.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut bundle: Vec<WantedLeaf> = Vec::new();
        let (mut bytes, mut names) = (0_u64, 0);
        while let Some(leaf) = coming.next_if(|leaf| {
            let has_room = bytes < BUNDLE_BYTES as u64
                && bundle.len() < leaves_max
                && names + name(leaf) <= REQUEST_BYTES_MAX / 2;
            has_room || bundle.is_empty()
        }) {
            bytes = bytes
                .saturating_add(leaf.weight)
                .saturating_add(LEAF_OVERHEAD);
            names += name(&leaf);
            bundle.push(leaf);
        }
        (!bundle.is_empty()).then_some(bundle)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaf(at: usize, weight: u64) -> WantedLeaf {
        WantedLeaf {
            key: LeafKey::parse(format!("F/L/a/b/{at:06}").as_bytes()).unwrap(),
            digest: Digest([0; 32]),
            sequence: 1,
            weight,
            base: None,
            held: at % 300,
        }
    }

    proptest! {
        #[test]
        fn every_leaf_is_in_one_bundle_and_bundles_are_bounded(
            weights in prop::collection::vec(0_u64..3_000_000, 0..2000)) {
            let wanted: Vec<WantedLeaf> = weights.iter().enumerate().map(|(at, weight)| leaf(at, *weight)).collect();
            let cut: Vec<_> = bundles(wanted.clone()).collect();
            prop_assert_eq!(cut.iter().flatten().cloned().collect::<Vec<_>>(), wanted);
            for bundle in &cut {
                prop_assert!(!bundle.is_empty() && bundle.len() <= FETCH_LEAVES_MAX);
                let all_but_last: u64 = bundle.iter().rev().skip(1).map(|leaf| leaf.weight + LEAF_OVERHEAD).sum();
                prop_assert!(all_but_last < BUNDLE_BYTES as u64);
            }
        }
    }
}
