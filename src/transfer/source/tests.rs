//! What a source answers, over a catalogue that was filled by hand.

mod contents;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ed25519_dalek::SigningKey;
use hikae_protocol::chunk::{Chunk, check_chunks, first_cut};
use hikae_protocol::digest::Digest;
use hikae_protocol::entry::Entry;
use hikae_protocol::limits::{CHUNK_SPAN_BYTES, LISTS_MAX, RANGES_MAX};
use hikae_protocol::list::list_digest;
use hikae_protocol::message::{
    Acknowledge, ChunkAt, ChunkList, Chunks, Contents, Delta, Inlined, ListAnswer, ListWant, Lists,
    Range, decode,
};
use hikae_protocol::objectpath::ObjectPath;
use hikae_protocol::snapshot::{Epoch, SignedSnapshot, Snapshot, VerifiedSnapshot};
use hikae_protocol::tree::{ChildKind, oracle_root};

use super::*;
use crate::catalogue::{Catalogue, ContentPlace};
use crate::config::{self, Peer};
use crate::progress::Silent;

/// A source in a temporary folder, with contents beside.
struct Told {
    catalogue: Catalogue,
    contents: BTreeMap<Digest, Vec<u8>>,
    /// Contents that can't be handed out.
    lacking: BTreeSet<Digest>,
    _folder: tempfile::TempDir,
}

impl Holdings for Told {
    fn refresh(&self) {}

    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn content(
        &self,
        _: &LeafKey,
        file: &FileRecord,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, ContentError> {
        let digest = file.entry.digest;
        match self.lacking.contains(&digest) {
            true => Err(ContentError::Moved),
            false => Ok(self.contents[&digest][offset as usize..][..length as usize].to_vec()),
        }
    }

    fn peer(&self, _: &NodeId) -> Option<Peer> {
        None
    }

    fn beyond(&self, _: &NodeId, _: SignedSnapshot) {}

    fn acknowledged(&self, _: &NodeId, _: Acknowledge) {}
}

fn everything() -> Scope {
    Scope::new(&["*".into()])
}

fn key(text: &str) -> LeafKey {
    LeafKey::parse(text.as_bytes()).unwrap()
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::parse(text.as_bytes()).unwrap()
}

fn cursor(sequence: u64) -> Cursor {
    let epoch = Epoch {
        counter: 5,
        random: [7; 16],
    };
    Cursor { epoch, sequence }
}

/// The files of a leaf after a commit: names and contents; none removes all.
type Change<'a> = (&'a str, &'a [(&'a str, &'a [u8])]);

impl Told {
    fn new() -> Told {
        let folder = tempfile::tempdir().unwrap();
        Told {
            catalogue: Catalogue::open(&folder.path().join("store"), None, &Silent).unwrap(),
            contents: BTreeMap::new(),
            lacking: BTreeSet::new(),
            _folder: folder,
        }
    }

    fn commit(&mut self, sequence: u64, changes: &[Change]) {
        let mut records = Vec::new();
        for (leaf, files) in changes {
            let old = self.catalogue.leaf_record(&key(leaf)).unwrap();
            let mut record = old.unwrap_or_else(|| LeafRecord::empty(key(leaf)));
            let files: Vec<FileRecord> = files
                .iter()
                .map(|(name, content)| {
                    let digest = Digest::of_content(content);
                    self.contents.insert(digest, content.to_vec());
                    FileRecord {
                        entry: Entry {
                            path: path(name),
                            size: content.len() as u64,
                            mtime_ns: 1,
                            digest,
                        },
                        sequence,
                        content: ContentPlace::Storage,
                        stat: None,
                    }
                })
                .collect();
            let gone: Vec<ObjectPath> = match files.is_empty() {
                true => record.files.iter().map(|f| f.entry.path.clone()).collect(),
                false => vec![],
            };
            record.change(&gone, files, sequence);
            records.push(record);
        }
        self.catalogue.stage(records).unwrap();
        let (update, totals) = self.catalogue.with_staged().unwrap();
        let snapshot = Snapshot {
            cursor: cursor(sequence),
            root: update.root,
            leaves: totals.leaves,
            entries: totals.entries,
            bytes: totals.bytes,
            time_ms: 0,
            previous: None,
        };
        let signed = VerifiedSnapshot::sign(snapshot, &SigningKey::from_bytes(&[1; 32])).unwrap();
        self.catalogue
            .commit((&update, totals), &signed, 5)
            .unwrap();
    }

    fn fetched(&self, to: u64, leaves: Vec<LeafWant>) -> (Vec<LeafDelta>, Vec<Vec<u8>>) {
        let to = cursor(to);
        let frames = bundle(
            self,
            &Fetch {
                to,
                leaves,
                only: None,
            },
        )
        .unwrap();
        let (deltas, contents) = frames[0].unpack_bundle().unwrap();
        let deltas = deltas.unpack().unwrap();
        let contents = contents.unpack().unwrap();
        let mut inlined = Inlined::new(&contents);
        let deltas = deltas.iter();
        let deltas = deltas.map(|item| LeafDelta::decode(item, &mut inlined));
        (
            deltas.collect::<Result<_, _>>().unwrap(),
            contents.iter().map(<[u8]>::to_vec).collect(),
        )
    }
}

fn want(leaf: &str) -> LeafWant {
    LeafWant {
        key: key(leaf),
        base: None,
        after: None,
        inline: true,
        held: vec![],
    }
}

fn delta_of(delta: &LeafDelta) -> &Delta {
    match &delta.state {
        DeltaState::Delta(delta) => delta,
        DeltaState::Moved => panic!("{:?} moved", delta.key),
    }
}

fn code<T>(answer: Result<T, AnswerError>) -> RefusedCode {
    match answer {
        Err(AnswerError::Refused(refused)) => refused.code,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not refused"),
    }
}

/// [S7-3] what a proof is relative to, and [S7-5] that its list brings the
/// tree at that base to the signed root.
#[test]
fn a_proof_is_complete_from_its_base() {
    let mut told = Told::new();
    let mut trees = vec![BTreeMap::new()];
    let commits: [&[Change]; 3] = [
        &[
            ("F/L/a", &[("x", b"1")]),
            ("F/L/b", &[("x", b"2"), ("y", b"3")]),
        ],
        &[("F/L/b", &[("x", b"4")]), ("F/M", &[("x", b"5")])],
        &[("F/L/a", &[]), ("F/L/c/d/e", &[("x", b"6")])],
    ];
    for (sequence, changes) in (1..).zip(commits) {
        told.commit(sequence, changes);
        let leaves = told.catalogue.view().leaves_below(&[]).unwrap();
        let digests = leaves
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.digest?)));
        trees.push(digests.collect());
    }
    let other = Cursor {
        epoch: Epoch {
            counter: 4,
            random: [7; 16],
        },
        sequence: 1,
    };
    for (have, expected) in [
        (None, ProofBase::Empty),
        (Some(cursor(1)), ProofBase::Cursor),
        (Some(cursor(2)), ProofBase::Cursor),
        (Some(cursor(3)), ProofBase::Cursor),
        (Some(cursor(4)), ProofBase::Apart),
        (Some(other), ProofBase::Apart),
    ] {
        let frames = proof(&told, &Pull::all(have), &everything()).unwrap();
        let offer: Offer = frames[0].decode().unwrap();
        assert_eq!(offer.base, expected, "{have:?}");
        let mut tree = match expected {
            ProofBase::Cursor => trees[have.unwrap().sequence as usize].clone(),
            ProofBase::Empty => BTreeMap::new(),
            ProofBase::Apart => {
                assert_eq!(frames.len(), 2);
                continue;
            }
        };
        let (last, proofs) = frames[1..].split_last().unwrap();
        let mut leaves = 0;
        for frame in proofs {
            for item in frame.unpack().unwrap().unpack().unwrap().iter() {
                let leaf: LeafProof = decode(item).unwrap();
                leaves += 1;
                match leaf.digest {
                    Some(digest) => drop(tree.insert(leaf.key, digest)),
                    None => drop(tree.remove(&leaf.key)),
                }
            }
        }
        assert_eq!(last.decode::<ProofEnd>().unwrap(), ProofEnd { leaves });
        let snapshot: Snapshot = decode(&offer.snapshot.body).unwrap();
        assert_eq!(oracle_root(&tree), snapshot.root, "{have:?}");
    }
}

fn listed(told: &Told, lists: Vec<ListWant>) -> Vec<ListAnswer> {
    let to = cursor(1);
    let frames = super::lists(told, &Lists { to, lists }, &everything()).unwrap();
    let items = frames[0].unpack().unwrap().unpack().unwrap();
    items.iter().map(|item| decode(item).unwrap()).collect()
}

/// [S7-14] one answer for each list, in that order; of what moved on, and of
/// what is no node's, nothing else.
#[test]
fn lists_are_answered_in_order() {
    let mut told = Told::new();
    told.commit(
        1,
        &[("F/L/a", &[("x", b"one")]), ("F/L/b/c/d", &[("x", b"two")])],
    );
    let view = told.catalogue.view();
    let digest_of = |path: &[u8]| list_digest(&view.children(path).unwrap(), &mut |_| {});
    let node = |path: &[u8]| ListWant {
        path: path.to_vec(),
        kind: ChildKind::Node,
        digest: digest_of(path),
        held: vec![],
        fresh: false,
    };
    let fresh = ListWant {
        fresh: true,
        ..node(b"F/L")
    };
    let moved = ListWant {
        digest: Digest([1; 32]),
        ..node(b"F/L")
    };
    let held = ListWant {
        held: vec![page_hint(&digest_of(b"F/L"))],
        ..node(b"F/L")
    };
    let manifest = ListWant {
        path: b"F/L/a".to_vec(),
        kind: ChildKind::Leaf,
        digest: told
            .catalogue
            .leaf(&key("F/L/a"))
            .unwrap()
            .unwrap()
            .digest
            .unwrap(),
        ..node(b"F/L/a")
    };
    let answers = listed(&told, vec![node(b""), fresh, moved.clone(), held, manifest]);
    let pages = |answer: &ListAnswer| match answer {
        ListAnswer::Pages { pages, marks } => (pages.len(), marks.len()),
        other => panic!("{other:?}"),
    };
    assert_eq!(pages(&answers[0]), (1, 1));
    match &answers[1] {
        ListAnswer::Leaves(leaves) => {
            let keys: Vec<&LeafKey> = leaves.iter().map(|leaf| &leaf.key).collect();
            assert_eq!(keys, [&key("F/L/a"), &key("F/L/b/c/d")]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(answers[2], ListAnswer::Moved);
    assert_eq!(pages(&answers[3]), (0, 0));
    assert_eq!(pages(&answers[4]), (1, 1));

    let refusal = |epoch, lists| {
        let mut to = cursor(1);
        to.epoch.counter += epoch;
        code(super::lists(&told, &Lists { to, lists }, &everything()))
    };
    let many = vec![moved.clone(); LISTS_MAX + 1];
    assert_eq!(refusal(0, many), RefusedCode::Malformed);
    assert_eq!(refusal(1, vec![moved.clone()]), RefusedCode::Moved);
    let outside = ListWant {
        path: b"F/../x".to_vec(),
        ..moved
    };
    assert_eq!(refusal(0, vec![outside]), RefusedCode::Malformed);
}

/// [S7-16] contents that are named as held do not come along.
#[test]
fn contents_that_are_held_do_not_come_along() {
    let mut told = Told::new();
    told.commit(1, &[("F/L/a", &[("x", b"one"), ("y", b"two")])]);
    let held = LeafWant {
        held: vec![page_hint(&Digest::of_content(b"one"))],
        ..want("F/L/a")
    };
    let (deltas, contents) = told.fetched(1, vec![held.clone()]);
    let forms = delta_of(&deltas[0])
        .entries
        .iter()
        .map(|entry| entry.content);
    assert_eq!(
        forms.collect::<Vec<_>>(),
        [ContentForm::Held, ContentForm::Inline(0)]
    );
    assert_eq!(contents, [b"two"]);
    let much = LeafWant {
        held: vec![held.held[0]; HELD_MAX + 1],
        ..held
    };
    let (to, leaves) = (cursor(1), vec![much]);
    assert_eq!(
        code(bundle(
            &told,
            &Fetch {
                to,
                leaves,
                only: None
            }
        )),
        RefusedCode::Malformed
    );
}

/// [S7-6] a delta for each leaf, in the order of the fetch; [S7-8] of a leaf
/// that changed after the snapshot only that; [S7-9] small contents whole.
#[test]
fn a_bundle_answers_every_leaf_in_order() {
    let mut told = Told::new();
    let large = vec![7; LARGE_BYTES_MIN as usize];
    let almost = vec![8; LARGE_BYTES_MIN as usize - 1];
    told.commit(
        1,
        &[
            ("F/L/a", &[("x", b"one")]),
            (
                "F/L/b",
                &[("l", &large), ("m", &almost), ("s", b"two"), ("t", b"")],
            ),
        ],
    );
    told.commit(2, &[("F/L/a", &[("x", b"three")])]);
    let leaves = vec![want("F/L/b"), want("F/L/unknown"), want("F/L/a")];
    let (deltas, contents) = told.fetched(1, leaves);
    let keys: Vec<LeafKey> = deltas.iter().map(|delta| delta.key.clone()).collect();
    assert_eq!(keys, [key("F/L/b"), key("F/L/unknown"), key("F/L/a")]);
    assert_eq!(deltas[1].state, DeltaState::Moved);
    assert_eq!(deltas[2].state, DeltaState::Moved);
    let forms = delta_of(&deltas[0]).entries.iter();
    let forms: Vec<ContentForm> = forms.map(|entry| entry.content).collect();
    let inline = ContentForm::Inline;
    assert_eq!(forms[..2], [ContentForm::Later, inline(0)]);
    // The bundle is full by then, or nearly.
    assert_eq!(contents[0], almost);
    for (entry, content) in delta_of(&deltas[0]).entries.iter().zip(&forms) {
        if let ContentForm::Inline(index) = content {
            let digest = Digest::of_content(&contents[*index as usize]);
            assert_eq!(digest, entry.entry.digest);
        }
    }
    let (deltas, contents) = told.fetched(2, vec![want("F/L/a")]);
    assert_eq!(delta_of(&deltas[0]).entries[0].content, inline(0));
    assert_eq!(contents, [b"three"]);
    let later = LeafWant {
        inline: false,
        ..want("F/L/a")
    };
    let (deltas, contents) = told.fetched(2, vec![later]);
    assert_eq!(delta_of(&deltas[0]).entries[0].content, ContentForm::Later);
    assert!(contents.is_empty());

    let leaves = vec![want("F/L/a"); FETCH_LEAVES_MAX + 1];
    let to = cursor(2);
    assert_eq!(
        code(bundle(
            &told,
            &Fetch {
                to,
                leaves,
                only: None
            }
        )),
        RefusedCode::Malformed
    );
    let mut to = cursor(2);
    to.epoch.counter += 1;
    let leaves = vec![want("F/L/a")];
    assert_eq!(
        code(bundle(
            &told,
            &Fetch {
                to,
                leaves,
                only: None
            }
        )),
        RefusedCode::Moved
    );
}

/// [S7-9] a part of a delta has no contents, and [S7-7] parts go on behind
/// each other.
#[test]
fn a_part_of_a_delta_has_no_contents() {
    let mut told = Told::new();
    let names: Vec<String> = (0..12_000).map(|at| format!("{at:040}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b"x"[..])).collect();
    told.commit(1, &[("F/L/a", &files)]);
    let (deltas, contents) = told.fetched(1, vec![want("F/L/a"), want("F/L/a")]);
    let [first, second] = [0, 1].map(|at| delta_of(&deltas[at]).clone());
    assert!(first.more && contents.is_empty());
    let later = |entry: &hikae_protocol::message::DeltaEntry| entry.content == ContentForm::Later;
    assert!(first.entries.iter().all(later));
    assert!(second.more && second.entries.len() < first.entries.len());
    let after = first.entries.last().map(|entry| entry.entry.path.clone());
    let rest = LeafWant {
        after,
        ..want("F/L/a")
    };
    let (deltas, contents) = told.fetched(1, vec![rest]);
    let rest = delta_of(&deltas[0]);
    assert!(!rest.more && !contents.is_empty());
    let both = first.entries.iter().chain(&rest.entries);
    let paths: Vec<&[u8]> = both.map(|entry| entry.entry.path.as_bytes()).collect();
    assert_eq!(
        paths,
        names.iter().map(String::as_bytes).collect::<Vec<_>>()
    );
}
