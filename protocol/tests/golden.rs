//! Golden bytes: every message and format of the protocol. The files of
//! `testdata` were made from SPEC.md, not by this program; they are only
//! compared, never written. A difference is a new format.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use bytes::{BufMut, Bytes, BytesMut};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use hikae_protocol::bare::BareVolume;
use hikae_protocol::chunk::Chunk;
use hikae_protocol::digest::{Digest, Domain};
use hikae_protocol::entry::{Entry, manifest_digest};
use hikae_protocol::filter::ContentFilter;
use hikae_protocol::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader, FrameKind};
use hikae_protocol::message::{
    Acknowledge, Beyond, ChunkAt, ChunkList, Chunks, ContentForm, Contents, Delta, DeltaEntry,
    DeltaState, Fetch, Inlined, LeafDelta, LeafProof, LeafWant, ListAnswer, ListWant, Lists, Mark,
    Offer, PageHint, ProofBase, ProofEnd, Pull, Range, Refused, RefusedCode, Tombstone, decode,
};
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use hikae_protocol::pack::{Codec, Pack};
use hikae_protocol::snapshot::{Cursor, Epoch, NodeId, SignedSnapshot, Snapshot, VerifiedSnapshot};
use hikae_protocol::tree::{ChildKind, NodeDigest};
use serde::Serialize;
use serde::de::DeserializeOwned;

// ------------------------------------------------------------------ the files

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The golden bytes of this name.
fn golden(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.hex"));
    let text = std::fs::read_to_string(&path);
    unhex(&text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn assert_golden(name: &str, found: &[u8]) {
    assert!(
        golden(name) == found,
        "{name}.hex is not what is written now:\n{}",
        hex(found)
    );
}

// ------------------------------------------------------------------ the values

fn cursor() -> Cursor {
    Cursor {
        epoch: Epoch {
            counter: 1,
            random: [7; 16],
        },
        sequence: 300,
    }
}

fn leaf(text: &str) -> LeafKey {
    LeafKey::parse(text.as_bytes()).unwrap()
}

fn one() -> LeafKey {
    leaf("F/L/000/001/0000001")
}

fn two() -> LeafKey {
    leaf("F/L/000/002/0000002")
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::parse(text.as_bytes()).unwrap()
}

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

/// The snapshot of SPEC.md section 6.1.
fn snapshot() -> Snapshot {
    let root = "cca6dad943222f0edb9e28e58d984514e1bcec73c8d7a6c218a6b8219594c312";
    Snapshot {
        cursor: cursor(),
        root: root.parse().unwrap(),
        leaves: 1,
        entries: 2,
        bytes: 3,
        time_ms: -1,
        previous: None,
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn signed() -> SignedSnapshot {
    let verified = VerifiedSnapshot::sign(snapshot(), &key()).unwrap();
    verified.signed().clone()
}

/// A pack of codec 0, whatever a compressor would make of it.
fn stored(items: &[Vec<u8>]) -> Pack {
    let mut body = BytesMut::new();
    body.put_u32_le(items.len() as u32);
    for item in items {
        body.put_u32_le(item.len() as u32);
    }
    for item in items {
        body.extend_from_slice(item);
    }
    Pack {
        codec: Codec::Stored,
        raw_bytes: body.len() as u32,
        data: body.freeze(),
    }
}

fn encoded<T: Serialize>(values: &[T]) -> Vec<Vec<u8>> {
    let encoded = values.iter().map(postcard::to_stdvec);
    encoded.collect::<Result<_, _>>().unwrap()
}

fn written(frame: &Frame) -> Vec<u8> {
    [&frame.header()[..], &frame.payload].concat()
}

/// Reads a frame that fills the golden bytes.
fn read(name: &str) -> Frame {
    let bytes = golden(name);
    let (header, payload) = bytes.split_at(FRAME_HEADER_BYTES);
    let header = FrameHeader::parse(header.try_into().unwrap()).unwrap();
    assert_eq!(header.length, payload.len(), "{name}");
    Frame {
        kind: header.kind,
        payload: payload.to_vec().into(),
    }
}

fn message<T>(name: &str, kind: FrameKind, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let frame = read(name);
    assert_eq!(frame.kind, kind, "{name}");
    assert_eq!(frame.decode::<T>().unwrap(), *value, "{name}");
    assert_golden(name, &written(&Frame::message(kind, value).unwrap()));
}

fn unpacked<T: DeserializeOwned>(pack: &Pack) -> Vec<T> {
    let items = pack.unpack().unwrap();
    items.iter().map(|item| decode(item).unwrap()).collect()
}

// ------------------------------------------------------------------ the tests

/// [S1-1] numbers are written as short as can be, [S4-1] frames have a header
/// of kind and length.
#[test]
fn requests() {
    let have = Some(cursor());
    message("pull_new", FrameKind::Pull, &Pull::all(None));
    message("pull", FrameKind::Pull, &Pull::all(have));
    let sparse = Pull {
        have,
        volumes: vec!["F/*".into(), "G/STD01".into()],
        bare: Some(digest(0x11)),
    };
    message("pull_sparse", FrameKind::Pull, &sparse);
    let only = ContentFilter {
        kinds: vec!["ADT-*".into(), "OMP-01".into()],
        since: Some("20240401".into()),
    };
    let fetch = Fetch {
        to: cursor(),
        leaves: vec![],
        only: Some(only),
    };
    message("fetch_only", FrameKind::Fetch, &fetch);
    let fetch = Fetch {
        to: cursor(),
        leaves: vec![
            LeafWant {
                key: one(),
                base: Some(299),
                after: None,
                inline: true,
                held: vec![],
            },
            LeafWant {
                key: two(),
                base: None,
                after: Some(path("20250401/OMP-01/a_1")),
                inline: false,
                held: vec![PageHint([5; 8]), PageHint([6; 8])],
            },
        ],
        only: None,
    };
    message("fetch", FrameKind::Fetch, &fetch);
    let range = |name, byte, chunk| Range {
        path: path(name),
        digest: digest(byte),
        chunk,
    };
    let chunk = Chunk {
        digest: digest(0x33),
        bytes: 131_072,
    };
    let offset = 1 << 20;
    let contents = Contents {
        to: cursor(),
        key: one(),
        ranges: vec![
            range("x_1", 0x11, None),
            range("y_1", 0x22, Some(ChunkAt { offset, chunk })),
        ],
    };
    message("contents", FrameKind::Contents, &contents);
    let lists = Lists {
        to: cursor(),
        lists: vec![
            ListWant {
                path: vec![],
                kind: ChildKind::Node,
                digest: digest(0x11),
                held: vec![PageHint([5; 8]), PageHint([6; 8])],
                fresh: true,
            },
            ListWant {
                path: one().as_bytes().to_vec(),
                kind: ChildKind::Leaf,
                digest: digest(0x22),
                held: vec![],
                fresh: false,
            },
        ],
    };
    message("lists", FrameKind::Lists, &lists);
    let chunks = Chunks {
        to: cursor(),
        key: one(),
        path: path("y_1"),
        digest: digest(0x22),
        from: 16_777_300,
    };
    message("chunks", FrameKind::Chunks, &chunks);
    let acknowledge = Acknowledge {
        durable: have,
        published: None,
        lacking: 2,
    };
    message("acknowledge", FrameKind::Acknowledge, &acknowledge);
    message("beyond", FrameKind::Beyond, &Beyond { held: signed() });
}

/// [S4-1] an answer is a message, too, or packs.
#[test]
fn answers() {
    for (name, base) in [
        ("offer_cursor", ProofBase::Cursor),
        ("offer_empty", ProofBase::Empty),
        ("offer_apart", ProofBase::Apart),
    ] {
        let snapshot = signed();
        message(name, FrameKind::Offer, &Offer { snapshot, base });
    }
    message(
        "proof_end",
        FrameKind::ProofEnd,
        &ProofEnd { leaves: 16384 },
    );
    let chunk = |byte, bytes| Chunk {
        digest: digest(byte),
        bytes,
    };
    let chunks = vec![chunk(0x33, 131_072), chunk(0x44, 70_001)];
    message("chunk_list", FrameKind::ChunkList, &ChunkList { chunks });
    for (name, code) in [
        ("refused_malformed", RefusedCode::Malformed),
        ("refused_forbidden", RefusedCode::Forbidden),
        ("refused_moved", RefusedCode::Moved),
        ("refused_unavailable", RefusedCode::Unavailable),
    ] {
        let text = "控え".into();
        message(name, FrameKind::Refused, &Refused { code, text });
    }
    let proofs = [
        LeafProof {
            key: one(),
            digest: Some(digest(0x11)),
            sequence: 300,
            weight: 1800,
        },
        LeafProof {
            key: two(),
            digest: None,
            sequence: 299,
            weight: 0,
        },
    ];
    let frame = Frame::pack(FrameKind::Proof, &stored(&encoded(&proofs))).unwrap();
    assert_golden("proof", &written(&frame));
    let read_back = unpacked::<LeafProof>(&read("proof").unpack().unwrap());
    assert_eq!(read_back, proofs);
    let bare = [
        BareVolume {
            volume: leaf("F/L"),
            leaf: Some(digest(0x22)),
            node: Some(digest(0x33)),
            leaves: 300,
            entries: 300,
            bytes: 5,
        },
        BareVolume {
            volume: leaf("G/L"),
            leaf: None,
            node: Some(digest(0x44)),
            leaves: 1,
            entries: 2,
            bytes: 0,
        },
    ];
    let frame = Frame::pack(FrameKind::Bare, &stored(&encoded(&bare))).unwrap();
    assert_golden("bare", &written(&frame));
    let read_back = unpacked::<BareVolume>(&read("bare").unpack().unwrap());
    assert_eq!(read_back, bare);
    let page = [&[0, 0, 1, 0, b'a'][..], &[0x33; 32]].concat();
    let mark = Mark {
        sequence: 300,
        weight: 1800,
    };
    let listed = [
        ListAnswer::Moved,
        ListAnswer::Pages {
            pages: vec![page],
            marks: vec![mark],
        },
        ListAnswer::Leaves(proofs[..1].to_vec()),
    ];
    let frame = Frame::pack(FrameKind::Listed, &stored(&encoded(&listed))).unwrap();
    assert_golden("listed", &written(&frame));
    let read_back = unpacked::<ListAnswer>(&read("listed").unpack().unwrap());
    assert_eq!(read_back, listed);
    let ranges = [b"abc".to_vec(), vec![]];
    let frame = Frame::pack(FrameKind::Ranges, &stored(&ranges)).unwrap();
    assert_golden("ranges", &written(&frame));
    let items = read("ranges").unpack().unwrap().unpack().unwrap();
    assert_eq!(items.iter().collect::<Vec<_>>(), ranges);
}

fn delta_entry(name: &str, size: u64, mtime_ns: i64, byte: u8, content: ContentForm) -> DeltaEntry {
    DeltaEntry {
        entry: Entry {
            path: path(name),
            size,
            mtime_ns,
            digest: digest(byte),
        },
        sequence: if content == ContentForm::Later {
            298
        } else {
            300
        },
        content,
    }
}

fn inlined(name: &str, mtime_ns: i64, content: &[u8], index: u32) -> DeltaEntry {
    DeltaEntry {
        entry: Entry {
            path: path(name),
            size: content.len() as u64,
            mtime_ns,
            digest: Digest::of_content(content),
        },
        sequence: 300,
        content: ContentForm::Inline(index),
    }
}

#[test]
fn a_bundle_has_every_form_of_a_content() {
    let delta = Delta {
        entries: vec![
            delta_entry("a", 3, 1_743_465_600_000_000_000, 0x11, ContentForm::Held),
            inlined("b", -1, b"abc", 1),
            delta_entry("c", 2_500_000, 0, 0x33, ContentForm::Later),
            delta_entry("d", u64::MAX, i64::MIN, 0x44, ContentForm::Lacking),
        ],
        tombstones: vec![Tombstone {
            path: path("old_1"),
            digest: digest(0x55),
            added: 7,
            removed: 300,
        }],
        more: false,
    };
    let more = Delta {
        more: true,
        ..Delta::default()
    };
    let deltas = [
        LeafDelta {
            key: leaf("F/L"),
            state: DeltaState::Moved,
        },
        LeafDelta {
            key: one(),
            state: DeltaState::Delta(delta),
        },
        LeafDelta {
            key: two(),
            state: DeltaState::Delta(more),
        },
    ];
    let sent = deltas.iter().map(LeafDelta::encode);
    let sent: Vec<Vec<u8>> = sent.collect::<Result<_, _>>().unwrap();
    let frame = Frame::bundle(&stored(&sent), &stored(&[vec![], b"abc".to_vec()])).unwrap();
    assert_golden("bundle", &written(&frame));
    let (first, second) = read("bundle").unpack_bundle().unwrap();
    let (first, second) = (first.unpack().unwrap(), second.unpack().unwrap());
    let mut contents = Inlined::new(&second);
    let received = first
        .iter()
        .map(|item| LeafDelta::decode(item, &mut contents));
    assert_eq!(received.collect::<Result<Vec<_>, _>>().unwrap(), deltas);
    assert_eq!(second.get(1), Some(&b"abc"[..]));
}

/// What a compressor makes differs from version to version: a zstd pack is
/// only read.
#[test]
fn packs() {
    let items = [b"abc".to_vec(), vec![]];
    let mut wire = BytesMut::new();
    stored(&items).write(&mut wire);
    assert_golden("pack_raw", &wire);
    let read = |name| {
        let pack = Pack::parse(&Bytes::from(golden(name))).unwrap();
        let items = pack.unpack().unwrap();
        let items: Vec<Vec<u8>> = items.iter().map(<[u8]>::to_vec).collect();
        (pack.codec, items)
    };
    assert_eq!(read("pack_raw"), (Codec::Stored, items.to_vec()));
    let text = br"MSH|^~\&|HIS|".repeat(20);
    let longer = [&text[..], b"x"].concat();
    let expected = vec![text, longer, vec![]];
    assert_eq!(read("pack_zstd"), (Codec::Zstd, expected));
}

/// [S5-4] [S5-5] what is hashed of a manifest and of a node are these bytes.
#[test]
fn pages() {
    let entry = |name, content: &[u8], mtime_ns| Entry {
        path: path(name),
        size: content.len() as u64,
        mtime_ns,
        digest: Digest::of_content(content),
    };
    let entries = [
        entry("20250401/ADT-00/a_1", b"abc", 1_743_465_600_000_000_000),
        entry("20250401/OMP-01/b_1", b"", -1),
    ];
    let mut page = vec![0];
    for entry in &entries {
        page.put_u16_le(entry.path.as_bytes().len() as u16);
        page.extend_from_slice(entry.path.as_bytes());
        page.put_u64_le(entry.size);
        page.put_i64_le(entry.mtime_ns);
        page.extend_from_slice(entry.digest.as_bytes());
    }
    assert_golden("manifest_page", &page);
    let hashed = Domain::Manifest.digest(&golden("manifest_page"));
    assert_eq!(manifest_digest(&entries), Some(hashed));

    let children = [
        (&b"000"[..], ChildKind::Leaf, digest(0x11)),
        (b"000", ChildKind::Node, digest(0x22)),
        (b"001", ChildKind::Leaf, digest(0x33)),
    ];
    let mut page = vec![0];
    let mut node = NodeDigest::default();
    for (name, kind, digest) in &children {
        page.put_u8(kind.byte());
        page.put_u16_le(name.len() as u16);
        page.extend_from_slice(name);
        page.extend_from_slice(digest.as_bytes());
        node.push(name, *kind, digest);
    }
    assert_golden("node_page", &page);
    let hashed = Domain::Node.digest(&golden("node_page"));
    assert_eq!(node.finish(), Some(hashed));
}

/// [S6-1] what is signed is a context, a zero byte and the body.
#[test]
fn a_signed_snapshot() {
    let signed = signed();
    assert_golden("snapshot", &signed.body);
    assert_eq!(decode::<Snapshot>(&golden("snapshot")).unwrap(), snapshot());
    assert_golden("signed_snapshot", &postcard::to_stdvec(&signed).unwrap());
    let read: SignedSnapshot = decode(&golden("signed_snapshot")).unwrap();
    assert_eq!(read, signed);
    let input = [&b"hikae 1 snapshot signature\0"[..], &read.body].concat();
    let verifier = VerifyingKey::from_bytes(&read.signer.0).unwrap();
    let signature = Signature::from_slice(&read.signature).unwrap();
    verifier.verify_strict(&input, &signature).unwrap();
    let id = NodeId(key().verifying_key().to_bytes());
    let verified = VerifiedSnapshot::verify(read, &id).unwrap();
    assert_eq!(*verified.snapshot(), snapshot());
    // SPEC.md section 6.1.
    let named = "1809e1b96290611e09de63986a54dcca60395ac7e37c2cc21dc3056275322294";
    assert_eq!(verified.digest().to_string(), named);
}

/// A file that no test reads proves nothing.
#[test]
fn every_file_is_compared() {
    let source = include_str!("golden.rs");
    let files = std::fs::read_dir(folder()).unwrap();
    let names: BTreeSet<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let stem = name.strip_suffix(".hex").unwrap();
        assert!(source.contains(&format!("\"{stem}\"")), "{name} is unused");
    }
}
