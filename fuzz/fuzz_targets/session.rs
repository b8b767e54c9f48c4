//! A replica that pulls, and a source that does any of what a source can do in
//! any order: offers that are signed or not, lists of bare volumes that ascend
//! and have something in them or not, proofs that ascend or not, ends that
//! count right or not, frames of any bytes. What the replica takes is
//! what a plain model of the rules takes.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use hikae_protocol::bare::BareVolume;
use hikae_protocol::digest::Digest;
use hikae_protocol::exchange::{Progress, PullExchange};
use hikae_protocol::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader, FrameKind};
use hikae_protocol::message::{LeafProof, Offer, ProofBase, ProofEnd};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::PackBuilder;
use hikae_protocol::snapshot::{Cursor, Epoch, NodeId, Snapshot, VerifiedSnapshot};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Step {
    Offer { own_key: bool, sequence: u8, leaves: u8, apart: bool },
    Bare { volumes: Vec<u8>, entries: u8 },
    Proof { keys: Vec<u8> },
    End { leaves: Option<u8> },
    Raw(Vec<u8>),
}

#[derive(Debug, PartialEq)]
enum Model {
    Asked,
    Proving { is_first: bool, last: Option<u8>, leaves: u64, leaves_max: u64 },
    Ended,
}

fn offer(own_key: bool, sequence: u8, leaves: u8, apart: bool) -> Frame {
    let key = SigningKey::from_bytes(&[if own_key { 1 } else { 2 }; 32]);
    let snapshot = Snapshot {
        cursor: Cursor {
            epoch: Epoch { counter: 1, random: [7; 16] },
            sequence: u64::from(sequence),
        },
        root: Digest([3; 32]),
        leaves: u64::from(leaves),
        entries: 9,
        bytes: 9,
        time_ms: 0,
        previous: None,
    };
    let signed = VerifiedSnapshot::sign(snapshot, &key).expect("it encodes");
    let offer = Offer { snapshot: signed.signed().clone(), base: if apart { ProofBase::Apart } else { ProofBase::Empty } };
    Frame::message(FrameKind::Offer, &offer).expect("it fits")
}

fn bare(volumes: &[u8], entries: u8) -> Frame {
    let mut pack = PackBuilder::default();
    for volume in volumes {
        let volume = format!("F/{volume:03}");
        let bare = BareVolume {
            volume: LeafKey::parse(volume.as_bytes()).expect("it is a key"),
            leaf: None,
            node: Some(Digest([5; 32])),
            leaves: 1,
            entries: u64::from(entries),
            bytes: 0,
        };
        pack.push(&postcard::to_stdvec(&bare).expect("it encodes"));
    }
    Frame::pack(FrameKind::Bare, &pack.finish(1).expect("it fits")).expect("it fits")
}

fn proof(keys: &[u8]) -> Frame {
    let mut pack = PackBuilder::default();
    for key in keys {
        let key = format!("F/L/{key:03}");
        let leaf = LeafProof {
            key: LeafKey::parse(key.as_bytes()).expect("it is a key"),
            digest: Some(Digest([5; 32])),
            sequence: 1,
            weight: 1,
        };
        pack.push(&postcard::to_stdvec(&leaf).expect("it encodes"));
    }
    Frame::pack(FrameKind::Proof, &pack.finish(1).expect("it fits")).expect("it fits")
}

fuzz_target!(|steps: Vec<Step>| {
    let trusted = NodeId(SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes());
    let mut pull = PullExchange::new(trusted, None);
    let mut model = Model::Asked;
    for step in steps {
        let (frame, next) = match (&step, &model) {
            (Step::Offer { own_key, sequence, leaves, apart }, model) => {
                let next = (*own_key && *model == Model::Asked).then_some(Model::Proving {
                    is_first: true,
                    last: None,
                    leaves: 0,
                    leaves_max: if *apart { 0 } else { u64::from(*leaves) },
                });
                (offer(*own_key, *sequence, *leaves, *apart), next)
            }
            (Step::Bare { volumes, entries }, Model::Proving { is_first: true, leaves_max, .. }) => {
                let ascends = volumes.windows(2).all(|two| two[0] < two[1]);
                let good = ascends && (volumes.is_empty() || *entries > 0);
                let next = Model::Proving { is_first: false, last: None, leaves: 0, leaves_max: *leaves_max };
                (bare(volumes, *entries), good.then_some(next))
            }
            (Step::Bare { volumes, entries }, _) => (bare(volumes, *entries), None),
            (Step::Proof { keys }, Model::Proving { last, leaves, leaves_max, .. }) => {
                let all: Vec<u8> = last.iter().chain(keys).copied().collect();
                let ascends = all.windows(2).all(|two| two[0] < two[1]);
                let leaves = leaves + keys.len() as u64;
                let good = ascends && !keys.is_empty() && leaves <= *leaves_max;
                let last = all.last().copied();
                let next = Model::Proving { is_first: false, last, leaves, leaves_max: *leaves_max };
                (proof(keys), good.then_some(next))
            }
            (Step::Proof { keys }, _) => (proof(keys), None),
            (Step::End { leaves: said }, model) => {
                let counted = match model {
                    Model::Proving { leaves, .. } => Some(*leaves),
                    _ => None,
                };
                let said = said.map_or(counted.unwrap_or(0), u64::from);
                let end = ProofEnd { leaves: said };
                let frame = Frame::message(FrameKind::ProofEnd, &end).expect("it fits");
                (frame, (counted == Some(said)).then_some(Model::Ended))
            }
            (Step::Raw(bytes), _) => {
                let Some((header, payload)) = bytes.split_at_checked(FRAME_HEADER_BYTES) else { return };
                let Ok(header) = FrameHeader::parse(header.try_into().expect("five bytes")) else { return };
                let payload = Bytes::copy_from_slice(payload);
                let received = pull.receive(&Frame { kind: header.kind, payload });
                assert!(!matches!(received, Ok(Progress::Offered { .. })), "nobody signed this");
                return;
            }
        };
        match (pull.receive(&frame), next) {
            (Ok(_), Some(next)) => model = next,
            (Err(_), None) => return,
            (found, expected) => panic!("{step:?}: {} where {expected:?}", found.is_ok()),
        }
        assert_eq!(pull.is_ended(), model == Model::Ended);
    }
});
