//! What a source tells: a whole storage whose every answer fits the proof,
//! and the pieces of which lies are made.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use ed25519_dalek::SigningKey;
use hikae_protocol::chunk::{Chunk, first_cut};
use hikae_protocol::digest::Digest;
use hikae_protocol::entry::{Entry, manifest_digest};
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::{CHUNKS_MAX, LARGE_BYTES_MIN};
use hikae_protocol::message::{
    ChunkList, Chunks, ContentForm, Contents, Delta, DeltaEntry, DeltaState, Fetch, LeafDelta,
    LeafProof, Offer, ProofBase, ProofEnd, Pull, Range,
};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::{Pack, PackBuilder};
use hikae_protocol::snapshot::{Cursor, Epoch, SignedSnapshot, Snapshot, VerifiedSnapshot};
use hikae_protocol::tree::oracle_root;
use serde::Serialize;

use super::harness::noise;
use super::quic::{Say, written};
use crate::harness::record;

/// The volume of the tale, which is one of the site's.
pub(crate) const VOLUME: &str = "0410000001/STD01";

/// A whole storage as a source tells it: every answer fits the proof.
#[derive(Clone)]
pub(crate) struct Tale {
    pub(crate) key: SigningKey,
    pub(crate) leaves: BTreeMap<LeafKey, Vec<(Entry, Vec<u8>)>>,
}

impl Tale {
    /// Two leaves: one with small files, one with a large one.
    pub(crate) fn new(key: SigningKey) -> Tale {
        let mut tale = Tale {
            key,
            leaves: BTreeMap::new(),
        };
        for order in 1..4 {
            tale.add("6666666", order, format!("evil {order}").into_bytes());
        }
        tale.add("7777777", 1, noise(2_500_000, 7));
        tale
    }

    pub(crate) fn add(&mut self, patient: &str, order: u64, content: Vec<u8>) {
        let path = record(patient, order);
        let (key, path) = LeafKey::of_file(VOLUME.as_bytes(), path.as_bytes()).unwrap();
        let entry = Entry {
            path,
            size: content.len() as u64,
            mtime_ns: 1_700_000_000_000_000_000,
            digest: Digest::of_content(&content),
        };
        self.leaves.entry(key).or_default().push((entry, content));
    }

    pub(crate) fn small(&self) -> &LeafKey {
        self.leaves.keys().next().unwrap()
    }

    pub(crate) fn digest(&self, key: &LeafKey) -> Digest {
        manifest_digest(self.leaves[key].iter().map(|(entry, _)| entry)).unwrap()
    }

    /// The snapshot after the one that the replica has.
    pub(crate) fn snapshot(&self, have: Option<Cursor>) -> Snapshot {
        let digests = self
            .leaves
            .keys()
            .map(|key| (key.clone(), self.digest(key)));
        let entries = || self.leaves.values().flatten();
        Snapshot {
            cursor: match have {
                Some(have) => Cursor {
                    sequence: have.sequence + 1,
                    ..have
                },
                None => Cursor {
                    epoch: Epoch {
                        counter: 1,
                        random: [3; 16],
                    },
                    sequence: 1,
                },
            },
            root: oracle_root(&digests.collect()),
            leaves: self.leaves.len() as u64,
            entries: entries().count() as u64,
            bytes: entries().map(|(entry, _)| entry.size).sum(),
            time_ms: 1_700_000_000_000,
            previous: None,
        }
    }

    pub(crate) fn sign(&self, snapshot: Snapshot) -> SignedSnapshot {
        let signed = VerifiedSnapshot::sign(snapshot, &self.key).unwrap();
        signed.signed().clone()
    }

    pub(crate) fn offered(&self, snapshot: SignedSnapshot) -> Say {
        let base = ProofBase::Empty;
        Say::Frame(message(FrameKind::Offer, &Offer { snapshot, base }))
    }

    pub(crate) fn offer(&self, request: &Frame) -> Say {
        self.offered(self.sign(self.snapshot(have(request))))
    }

    pub(crate) fn proofs(&self) -> Vec<LeafProof> {
        let proof = |key: &LeafKey| LeafProof {
            key: key.clone(),
            digest: Some(self.digest(key)),
            sequence: 1,
            weight: 100,
        };
        self.leaves.keys().map(proof).collect()
    }

    pub(crate) fn delta(&self, key: &LeafKey, contents: &mut PackBuilder) -> Delta {
        let mut entries = Vec::new();
        for (entry, content) in &self.leaves[key] {
            let form = match entry.size < LARGE_BYTES_MIN {
                true => ContentForm::Inline(contents.push(content)),
                false => ContentForm::Later,
            };
            entries.push(DeltaEntry {
                entry: entry.clone(),
                sequence: 1,
                content: form,
            });
        }
        Delta {
            entries,
            ..Delta::default()
        }
    }

    pub(crate) fn deltas(&self, request: &Frame) -> (Vec<LeafDelta>, PackBuilder) {
        let fetch: Fetch = request.decode().unwrap();
        let mut contents = PackBuilder::default();
        let deltas = fetch.leaves.iter().map(|want| LeafDelta {
            key: want.key.clone(),
            state: DeltaState::Delta(self.delta(&want.key, &mut contents)),
        });
        (deltas.collect(), contents)
    }

    pub(crate) fn ranges(&self, request: &Frame) -> Vec<Vec<u8>> {
        let wanted: Contents = request.decode().unwrap();
        let files = &self.leaves[&wanted.key];
        let range = |range: &Range| {
            let (_, content) = files
                .iter()
                .find(|(entry, _)| entry.path == range.path)
                .unwrap();
            let Some(at) = range.chunk else {
                return content.clone();
            };
            let from = at.offset as usize;
            content[from..from + at.chunk.bytes as usize].to_vec()
        };
        wanted.ranges.iter().map(range).collect()
    }

    /// All chunks of a content behind a byte: as many as a list may have.
    pub(crate) fn chunks(&self, request: &Frame) -> Vec<Chunk> {
        let wanted: Chunks = request.decode().unwrap();
        let files = &self.leaves[&wanted.key];
        let (_, content) = files
            .iter()
            .find(|(entry, _)| entry.path == wanted.path)
            .unwrap();
        let mut rest = &content[wanted.from as usize..];
        let mut chunks = Vec::new();
        while !rest.is_empty() && chunks.len() < CHUNKS_MAX {
            let (chunk, after) = rest.split_at(first_cut(rest));
            chunks.push(Chunk {
                digest: Digest::of_content(chunk),
                bytes: chunk.len() as u32,
            });
            rest = after;
        }
        chunks
    }

    /// The answer that lies nowhere.
    pub(crate) fn answer(&self, request: &Frame) -> Vec<Say> {
        match request.kind {
            FrameKind::Pull => vec![
                self.offer(request),
                proof_of(&self.proofs()),
                end_of(self.leaves.len() as u64),
            ],
            FrameKind::Fetch => {
                let (deltas, contents) = self.deltas(request);
                vec![bundle_of(&deltas, contents)]
            }
            FrameKind::Contents => vec![ranges_of(&self.ranges(request))],
            FrameKind::Chunks => vec![list_of(self.chunks(request))],
            other => panic!("{other:?} is no request"),
        }
    }
}

pub(crate) fn have(request: &Frame) -> Option<Cursor> {
    request.decode::<Pull>().unwrap().have
}

pub(crate) fn pack_of<T: Serialize>(items: &[T]) -> Pack {
    let mut pack = PackBuilder::default();
    for item in items {
        pack.push(&postcard::to_stdvec(item).unwrap());
    }
    pack.finish(3).unwrap()
}

pub(crate) fn list_of(chunks: Vec<Chunk>) -> Say {
    Say::Frame(message(FrameKind::ChunkList, &ChunkList { chunks }))
}

pub(crate) fn proof_of<T: Serialize>(proofs: &[T]) -> Say {
    Say::Frame(Frame::pack(FrameKind::Proof, &pack_of(proofs)).unwrap())
}

pub(crate) fn end_of(leaves: u64) -> Say {
    Say::Frame(message(FrameKind::ProofEnd, &ProofEnd { leaves }))
}

pub(crate) fn pack_of_deltas(deltas: &[LeafDelta]) -> Pack {
    let mut pack = PackBuilder::default();
    for delta in deltas {
        pack.push(&delta.encode().unwrap());
    }
    pack.finish(3).unwrap()
}

pub(crate) fn bundle_of(deltas: &[LeafDelta], contents: PackBuilder) -> Say {
    bundle_with(&pack_of_deltas(deltas), &contents.finish(3).unwrap())
}

pub(crate) fn bundle_with(deltas: &Pack, contents: &Pack) -> Say {
    Say::Frame(Frame::bundle(deltas, contents).unwrap())
}

pub(crate) fn ranges_of(items: &[Vec<u8>]) -> Say {
    let mut pack = PackBuilder::default();
    for item in items {
        pack.push(item);
    }
    Say::Frame(Frame::pack(FrameKind::Ranges, &pack.finish(3).unwrap()).unwrap())
}

/// A pack's bytes with a header that says what it likes.
pub(crate) fn pack_bytes(codec: u8, declared: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_u8(codec);
    bytes.put_u32_le(declared);
    bytes.extend_from_slice(data);
    bytes.to_vec()
}

/// A kibibyte or so that becomes 64 MiB.
pub(crate) fn bomb(declared: u32) -> Vec<u8> {
    let zeros = vec![0; 64 * 1024 * 1024];
    pack_bytes(1, declared, &zstd::bulk::compress(&zeros, 3).unwrap())
}

/// A bundle whose deltas are these bytes of a pack.
pub(crate) fn bundle_bytes(deltas: &[u8], contents: &[u8]) -> Say {
    let mut bytes = BytesMut::new();
    bytes.put_u32_le(deltas.len() as u32);
    bytes.extend_from_slice(deltas);
    bytes.extend_from_slice(contents);
    Say::Frame(raw(FrameKind::Bundle, bytes.to_vec()))
}

pub(crate) fn empty_pack() -> Vec<u8> {
    pack_bytes(0, 4, &[0; 4])
}

pub(crate) fn cut(say: Say, keep: usize) -> Say {
    let Say::Frame(frame) = say else {
        panic!("only a frame is cut");
    };
    Say::Bytes(written(&frame)[..keep].to_vec())
}

pub(crate) fn message<T: Serialize>(kind: FrameKind, message: &T) -> Frame {
    Frame::message(kind, message).unwrap()
}

/// A frame of these bytes, whatever they are.
pub(crate) fn raw(kind: FrameKind, payload: Vec<u8>) -> Frame {
    Frame {
        kind,
        payload: payload.into(),
    }
}
