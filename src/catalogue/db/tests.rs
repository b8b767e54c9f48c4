//! An index with a base answers as one without.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hikae_protocol::digest::Digest;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::SignedSnapshot;
use hikae_protocol::tree::ChildKind;
use proptest::prelude::*;

use super::Db;
use crate::catalogue::checkpoint;
use crate::catalogue::commit::Commit;
use crate::catalogue::leaf::RecordPlace;
use crate::catalogue::tree::{Overlay, Volumes, update};
use crate::catalogue::value::LeafValue;
use crate::disk::StoreFolder;
use crate::seal::Seal;
use crate::segment::{LogEnd, SEGMENTS, SegmentFolder};

fn key() -> impl Strategy<Value = LeafKey> {
    ("[AB]/[LM]", prop::collection::vec("[a-c]{1,2}", 0..4)).prop_map(|(volume, parts)| {
        let mut path = vec![volume];
        path.extend(parts);
        LeafKey::parse(path.join("/").as_bytes()).unwrap()
    })
}

/// What becomes of a leaf: its content, and whether some is lacking; none: it is
/// forgotten.
type Edit = Option<(Option<u8>, bool)>;

fn value((content, lacking): (Option<u8>, bool), sequence: u64) -> LeafValue {
    LeafValue {
        digest: content.map(|content| Digest::of_content(&[content])),
        sequence,
        commit: sequence + 100,
        entries: content.is_some().into(),
        bytes: content.unwrap_or(0).into(),
        newest_bytes: 0,
        lacking: lacking.into(),
        bare: None,
        place: RecordPlace {
            block: sequence,
            index: 0,
        },
    }
}

/// Makes the edits of a commit.
fn edit(db: &Db, edits: &BTreeMap<LeafKey, Edit>, sequence: u64) -> Digest {
    let digest = |edit: &Edit| edit.and_then(|edit| value(edit, 0).digest);
    let changes = edits.iter().map(|(key, edit)| (key, digest(edit)));
    let grown = update(Some(db), changes, &Volumes::new()).unwrap();
    for (key, edit) in edits {
        match edit {
            Some(edit) => db.apply(&[(key.clone(), value(*edit, sequence))]).unwrap(),
            None => {
                if let Some(old) = db.leaf(key.as_bytes()).unwrap() {
                    db.forget_leaf(key.as_bytes(), &old).unwrap();
                }
            }
        }
    }
    db.set_nodes(&grown.nodes).unwrap();
    grown.root
}

/// What an index says of itself.
fn answers(db: &Db, edits: &BTreeMap<LeafKey, Edit>, last: u64) -> String {
    let mut said = Vec::new();
    let mut paths = vec![b"".to_vec(), b"A".to_vec()];
    for key in edits.keys() {
        let ends = key.as_bytes().iter().enumerate();
        let ends = ends.filter_map(|(at, &byte)| (byte == b'/').then_some(at));
        paths.extend(ends.skip(1).map(|end| key.as_bytes()[..end].to_vec()));
        paths.push(key.as_bytes().to_vec());
    }
    for path in paths {
        let leaf = db.leaf(&path).unwrap();
        said.push(format!("{leaf:?} {:?}", db.node(&path).unwrap()));
        let below: Vec<_> = db.leaves_below(&path).map(Result::unwrap).collect();
        said.push(format!("{below:?}"));
        for kind in [ChildKind::Leaf, ChildKind::Node] {
            let mut children = db.children(&path, kind).unwrap();
            children.retain(|_, digest| digest.is_some());
            said.push(format!("{children:?}"));
        }
    }
    said.push(format!("{:?}", db.lacking().unwrap()));
    for number in 0..=last {
        said.push(format!("{:?}", db.changed_since(number).unwrap()));
        said.push(format!("{:?}", db.committed_since(number + 100).unwrap()));
    }
    said.join("\n")
}

/// A node is a node's child; below the deepest leaves, which have as many
/// components, is none.
#[test]
fn below_a_leaf_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&folder.path().join("index"), None).unwrap();
    let deepest = LeafKey::parse(b"A/L/a/a/a").unwrap();
    let edits = BTreeMap::from([(deepest.clone(), Some((Some(1), false)))]);
    edit(&db, &edits, 1);
    let before = answers(&db, &edits, 1);
    based(&db, folder.path());
    for kind in [ChildKind::Leaf, ChildKind::Node] {
        assert!(db.children(deepest.as_bytes(), kind).unwrap().is_empty());
    }
    assert_eq!(answers(&db, &edits, 1), before);
    db.flush().unwrap();
}

/// Writes a checkpoint of the index, which becomes its base.
fn based(db: &Db, folder: &Path) {
    let files = StoreFolder::open(&folder.join("store"), &[SEGMENTS]).unwrap();
    let segments = SegmentFolder::open(Arc::new(files), None).unwrap();
    let signer = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    let signed = SignedSnapshot {
        signer: signer.parse().unwrap(),
        body: vec![],
        signature: vec![],
    };
    let commit = Commit {
        number: 1,
        signed,
        accepted_ms: 0,
    };
    let nodes = Overlay::new();
    let tree = db.tree(&nodes, (1, (0, 0)));
    let base = checkpoint::write(&segments, tree, (LogEnd::EMPTY, &commit)).unwrap();
    db.rebase(base).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// [S10-9] over any edits, with a checkpoint after any of them, that is read
    /// from the disk or was just written.
    #[test]
    fn a_base_changes_no_answer(is_sealed: bool, commits in prop::collection::vec((
        prop::collection::btree_map(
            key(), prop::option::weighted(0.8, (prop::option::of(any::<u8>()), any::<bool>())), 1..12),
        any::<bool>(),
    ), 1..7)) {
        let folder = tempfile::tempdir().unwrap();
        let seal = is_sealed.then(|| Arc::new(Seal::with_key([7; 16], [9; 32])));
        let one = Db::open(&folder.path().join("one"), seal.as_ref()).unwrap();
        let other = Db::open(&folder.path().join("other"), seal.as_ref()).unwrap();
        let mut every = BTreeMap::new();
        for (sequence, (edits, checkpoint)) in commits.into_iter().enumerate() {
            let sequence = sequence as u64 + 1;
            prop_assert_eq!(edit(&one, &edits, sequence), edit(&other, &edits, sequence));
            every.extend(edits);
            if checkpoint {
                based(&other, folder.path());
            }
            prop_assert_eq!(answers(&one, &every, sequence), answers(&other, &every, sequence));
        }
        other.flush().unwrap();
        one.flush().unwrap();
    }
}
