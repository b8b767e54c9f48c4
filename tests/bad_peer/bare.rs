//! Lies about volumes that are not given.

use std::sync::Arc;

use hikae_protocol::bare::BareVolume;
use hikae_protocol::digest::Digest;
use hikae_protocol::entry::Entry;
use hikae_protocol::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader, FrameKind};
use hikae_protocol::message::{
    Chunks, Contents, Fetch, LeafProof, LeafWant, ListAnswer, ListWant, Lists, Offer, Pull,
    Refused, RefusedCode, decode,
};
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use hikae_protocol::snapshot::Snapshot;
use hikae_protocol::tree::{ChildKind, node_digest};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::quic::{Client, Evil, Say, written};
use super::tale::*;
use super::{change, copied, key_of, point_at, sync_within, tell};
use crate::harness::record;

const HIDDEN: &str = "0410000009/STD01";

/// The tale with one more volume, which is not given.
fn whole(tale: &Tale) -> Tale {
    let mut whole = tale.clone();
    for (patient, content) in [("9999998", "one"), ("9999999", "another")] {
        let path = record(patient, 1);
        let (key, path) = LeafKey::of_file(HIDDEN.as_bytes(), path.as_bytes()).unwrap();
        let entry = Entry {
            path,
            size: content.len() as u64,
            mtime_ns: 1,
            digest: Digest::of_content(content.as_bytes()),
        };
        whole.leaves.insert(key, vec![(entry, content.into())]);
    }
    whole
}

fn bare_of(whole: &Tale, volume: &str) -> BareVolume {
    let below = |key: &&LeafKey| key.volume() == volume.as_bytes();
    let keys: Vec<&LeafKey> = whole.leaves.keys().filter(below).collect();
    let digests = keys.iter().map(|key| ((*key).clone(), whole.digest(key)));
    let entries = || keys.iter().flat_map(|key| &whole.leaves[*key]);
    BareVolume {
        volume: LeafKey::parse(volume.as_bytes()).unwrap(),
        leaf: None,
        node: node_digest(volume.as_bytes(), &digests.collect()),
        leaves: keys.len() as u64,
        entries: entries().count() as u64,
        bytes: entries().map(|(entry, _)| entry.size).sum(),
    }
}

fn frame_of(volumes: &[BareVolume]) -> Say {
    Say::Frame(Frame::pack(FrameKind::Bare, &pack_of(volumes)).unwrap())
}

/// Tells of the hidden volume what is right, but for what `lie` makes of it.
fn told(
    tale: &Tale,
    request: &Frame,
    lie: impl Fn(&Tale, &mut Vec<BareVolume>, &mut Vec<LeafProof>),
) -> Option<Vec<Say>> {
    if request.kind != FrameKind::Pull {
        return None;
    }
    let whole = whole(tale);
    let offer = whole.offered(whole.sign(whole.snapshot(have(request))));
    let (mut volumes, mut proofs) = (vec![bare_of(&whole, HIDDEN)], tale.proofs());
    lie(&whole, &mut volumes, &mut proofs);
    let end = end_of(proofs.len() as u64);
    Some(vec![offer, frame_of(&volumes), proof_of(&proofs), end])
}

/// [S8-14] [S7-20] [S8-15] a volume that is not given is proven by its digest and its counts, and
/// nothing else is believed of it.
#[test]
fn lies_about_volumes_that_are_not_given_are_refused_and_named() {
    tell(&[
        ("another digest", "does not add up", |tale, request| {
            told(tale, request, |_, volumes, _| {
                volumes[0].node = Some(Digest([1; 32]));
            })
        }),
        ("a leaf that is none", "does not add up", |tale, request| {
            told(tale, request, |_, volumes, _| {
                volumes[0].leaf = Some(Digest([1; 32]));
            })
        }),
        ("other counts", "counts that it signed", |tale, request| {
            told(tale, request, |_, volumes, _| volumes[0].entries += 1)
        }),
        ("a leaf of it", "not given", |tale, request| {
            told(tale, request, |whole, _, proofs| {
                *proofs = whole.proofs();
            })
        }),
        ("twice", "not in order", |tale, request| {
            told(tale, request, |_, volumes, _| {
                volumes.push(volumes[0].clone());
            })
        }),
        ("an empty one", "no tree has", |tale, request| {
            told(tale, request, |_, volumes, _| volumes[0].node = None)
        }),
        ("what is held", "does not give volume", |tale, request| {
            told(tale, request, |whole, volumes, proofs| {
                volumes.insert(0, bare_of(whole, VOLUME));
                proofs.clear();
                proofs.extend(whole.proofs().into_iter().take(1));
            })
        }),
        ("behind the leaves", "where", |tale, request| {
            let mut said = told(tale, request, |_, _, _| {})?;
            said.swap(1, 2);
            Some(said)
        }),
        ("never", "does not add up", |tale, request| {
            let mut said = told(tale, request, |_, _, _| {})?;
            said.remove(1);
            Some(said)
        }),
    ]);
}

/// The same without a lie: the replica knows the volume as bare.
#[test]
fn a_volume_that_is_not_given_is_bare() {
    let site = copied();
    let tale = Tale::new(key_of(&site, "center"));
    let honest = tale.clone();
    let evil = Evil::new(
        &tale.key,
        Arc::new(move |request| match request.kind {
            FrameKind::Acknowledge => vec![],
            _ => told(&honest, request, |_, _, _| {}).unwrap_or_else(|| honest.answer(request)),
        }),
    );
    point_at(&site, evil.port);
    let report = sync_within(&site, 30).ok();
    assert_eq!(report["roots_equal"], true, "{report}");
    assert_eq!(report["sparse"]["not_given"], json!([HIDDEN]), "{report}");
    site.backup(&["verify"]).ok();
}

/// The frames of an answer.
fn frames(mut answer: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !answer.is_empty() {
        let (header, rest) = answer.split_at(FRAME_HEADER_BYTES);
        let header = FrameHeader::parse(header.try_into().unwrap()).unwrap();
        let (payload, rest) = rest.split_at(header.length);
        let payload = payload.to_vec().into();
        frames.push(Frame {
            kind: header.kind,
            payload,
        });
        answer = rest;
    }
    frames
}

fn items<T: DeserializeOwned>(frame: &Frame) -> Vec<T> {
    let items = frame.unpack().unwrap().unpack().unwrap();
    items.iter().map(|item| decode(item).unwrap()).collect()
}

/// [S7-19] [S7-21] whoever asks for what it is not given, by whatever request,
/// is refused, and is told digests alone.
#[test]
fn a_peer_that_asks_for_what_it_is_not_given_is_refused() {
    let site = copied();
    let path = record("9999999", 1);
    site.put(&format!("{HIDDEN}/{path}"), b"a hidden content");
    change(&site, "center", |text| {
        format!("{text}volumes = [\"0410000001/*\"]\n")
    });
    site.center(&["scan", "--walk"]).ok();
    let center = site.serve();
    let client = Client::new(&key_of(&site, "backup"), site.port);
    let ask = |frame: &Frame| frames(&client.say(&written(frame)));

    let pulled = ask(&message(FrameKind::Pull, &Pull::all(None)));
    let offer: Offer = pulled[0].decode().unwrap();
    let snapshot: Snapshot = decode(&offer.snapshot.body).unwrap();
    let bare: Vec<BareVolume> = items(&pulled[1]);
    assert_eq!(bare.len(), 1);
    assert_eq!(bare[0].volume.as_bytes(), HIDDEN.as_bytes());
    assert_eq!((bare[0].leaves, bare[0].entries), (1, 1));
    let proofs = pulled.iter().filter(|frame| frame.kind == FrameKind::Proof);
    let proofs: Vec<LeafProof> = proofs.flat_map(items).collect();
    assert!(
        proofs
            .iter()
            .all(|leaf| leaf.key.volume() == VOLUME.as_bytes())
    );
    assert_eq!(proofs.len(), 10);

    let to = snapshot.cursor;
    let list = |path: &[u8], kind, digest| {
        let want = ListWant {
            path: path.to_vec(),
            kind,
            digest,
            held: vec![],
            fresh: true,
        };
        let lists = vec![want];
        message(FrameKind::Lists, &Lists { to, lists })
    };
    // The root's own page has the volume's name, as every proof needs it.
    let root = ask(&list(b"", ChildKind::Node, snapshot.root));
    let answers: Vec<ListAnswer> = items(&root[0]);
    assert!(
        matches!(answers[..], [ListAnswer::Pages { .. }]),
        "{answers:?}"
    );

    let (key, path) = LeafKey::of_file(HIDDEN.as_bytes(), path.as_bytes()).unwrap();
    let digest = Digest::of_content(b"a hidden content");
    let want = LeafWant {
        key: key.clone(),
        base: None,
        after: None,
        inline: true,
        held: vec![],
    };
    let given = LeafWant {
        key: proofs[0].key.clone(),
        ..want.clone()
    };
    let contents = Contents {
        to,
        key: key.clone(),
        ranges: vec![hikae_protocol::message::Range {
            path: path.clone(),
            digest,
            chunk: None,
        }],
    };
    let chunks = Chunks {
        to,
        key: key.clone(),
        path: ObjectPath::parse(path.as_bytes()).unwrap(),
        digest,
        from: 0,
    };
    let fetch = |leaves| {
        message(
            FrameKind::Fetch,
            &Fetch {
                to,
                leaves,
                only: None,
            },
        )
    };
    for request in [
        fetch(vec![given.clone(), want.clone()]),
        message(FrameKind::Contents, &contents),
        message(FrameKind::Chunks, &chunks),
        list(HIDDEN.as_bytes(), ChildKind::Node, bare[0].node.unwrap()),
        list(HIDDEN.as_bytes(), ChildKind::Leaf, digest),
        list(key.as_bytes(), ChildKind::Leaf, digest),
    ] {
        let answer = ask(&request);
        assert_eq!(answer.len(), 1, "{:?}", request.kind);
        let refused = Refused::received(&answer[0]).unwrap();
        assert_eq!(refused.code, RefusedCode::Forbidden, "{:?}", request.kind);
    }
    // And gets what it is given.
    assert_eq!(ask(&fetch(vec![given]))[0].kind, FrameKind::Bundle);
    center.end();
}
