//! Trees with volumes of which nothing but digests and counts is known.

use std::collections::BTreeMap;

use hikae_protocol::bare::BareVolume;
use hikae_protocol::digest::Digest;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::tree::{node_digest, oracle_root};

use super::tests::{commit, commit_staged};
use super::*;
use crate::progress::Silent;

const VOLUME: &str = "F/M";
/// Leaves of the volume that is bare: one is its root's own.
const HIDDEN: [&str; 4] = ["F/M", "F/M/a", "F/M/a/b/c", "F/M/a/b/d"];

fn key(text: &str) -> LeafKey {
    LeafKey::parse(text.as_bytes()).unwrap()
}

/// The digests of leaves that are in a catalogue.
fn digests(catalogue: &Catalogue, below: &str) -> BTreeMap<LeafKey, Digest> {
    let leaves = catalogue.view().leaves_below(below.as_bytes()).unwrap();
    let digests = leaves.into_iter();
    digests
        .filter_map(|(key, value)| Some((key, value.digest?)))
        .collect()
}

fn bare_of(leaves: &BTreeMap<LeafKey, Digest>) -> BareVolume {
    BareVolume {
        volume: key(VOLUME),
        leaf: leaves.get(&key(VOLUME)).copied(),
        node: node_digest(VOLUME.as_bytes(), leaves),
        leaves: leaves.len() as u64,
        entries: leaves.len() as u64,
        bytes: 9 * leaves.len() as u64,
    }
}

fn root(catalogue: &Catalogue) -> Digest {
    catalogue.snapshot().unwrap().root
}

/// [S9-29] a bare volume counts by its node, whatever is below it; it is the
/// same after every kind of opening, and what was before can be looked at.
#[test]
fn a_volume_becomes_bare_and_whole_again() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, store) = (folder.path().join("whole"), folder.path().join("store"));
    let open = |path| Catalogue::open(path, None, &Silent).unwrap();
    // What everything is.
    let other = open(&whole);
    let hidden = HIDDEN.map(|leaf| (leaf, &b"something"[..]));
    let shown = [("F/L/a", &b"first"[..]), ("G/L", b"second")];
    commit(&other, 1, &hidden).unwrap();
    let hidden_digests = digests(&other, VOLUME);
    commit(&other, 2, &shown).unwrap();
    let everything = oracle_root(&digests(&other, ""));
    assert_eq!(root(&other), everything);
    let bare = bare_of(&hidden_digests);
    let found = other.view().volume_as_bare(&key(VOLUME)).unwrap();
    assert_eq!(found, Some(bare.clone()));

    // The same with a bare volume from the start.
    let catalogue = open(&store);
    catalogue
        .stage(vec![LeafRecord::bare(bare.clone(), 2)])
        .unwrap();
    commit(&catalogue, 2, &shown).unwrap();
    let check = |catalogue: &Catalogue| {
        assert_eq!(root(catalogue), everything);
        assert!(catalogue.is_whole().unwrap());
        assert_eq!(
            catalogue.snapshot().unwrap(),
            other.snapshot().unwrap(),
            "counts"
        );
        let view = catalogue.view();
        assert_eq!(view.bare_volumes().unwrap(), std::slice::from_ref(&bare));
        // Whoever computes the tree from all leaves finds the same.
        let leaves = view.leaves_below(&[]).unwrap();
        let all = leaves.iter().map(|(key, value)| (key, value.digest));
        assert_eq!(catalogue.with_digests(all).unwrap().root, everything);
    };
    check(&catalogue);
    let oldest = catalogue.commit_record().unwrap().number;
    catalogue.close().unwrap();
    let catalogue = open(&store);
    assert!(catalogue.rebuilt().is_none());
    check(&catalogue);
    drop(catalogue);
    let catalogue = open(&store);
    assert!(catalogue.rebuilt().unwrap().root_matches);
    check(&catalogue);

    // Opened: the leaves come, and then go again.
    commit(&catalogue, 3, &hidden).unwrap();
    assert_eq!(root(&catalogue), everything);
    assert!(catalogue.view().bare_volumes().unwrap().is_empty());
    assert_eq!(catalogue.root_at(oldest).unwrap(), everything);
    let middle = catalogue.commit_record().unwrap().number;
    let left_out = HIDDEN[1..].iter();
    let mut records: Vec<LeafRecord> = left_out
        .map(|leaf| LeafRecord::left_out(key(leaf), 3))
        .collect();
    records.push(LeafRecord::bare(bare.clone(), 3));
    catalogue.stage(records).unwrap();
    commit_staged(&catalogue, 2).unwrap();
    check(&catalogue);
    for number in [oldest, middle] {
        assert_eq!(catalogue.root_at(number).unwrap(), everything);
    }
    assert_eq!(catalogue.leaves_at(middle, b"F/M").unwrap().len(), 4);
    assert_eq!(catalogue.leaves_at(oldest, b"F/M").unwrap().len(), 0);

    // By a checkpoint, and after what was before is forgotten.
    let newest = catalogue.commit_record().unwrap();
    catalogue.compact(newest.number, &Silent).unwrap();
    catalogue.write_checkpoint(&newest).unwrap();
    drop(catalogue);
    let catalogue = open(&store);
    let report = catalogue.rebuilt().unwrap();
    assert!(report.from_checkpoint && report.root_matches, "{report:?}");
    check(&catalogue);

    // The volume goes away.
    catalogue
        .stage(vec![LeafRecord::left_out(key(VOLUME), 4)])
        .unwrap();
    commit_staged(&catalogue, 4).unwrap();
    let rest: BTreeMap<LeafKey, Digest> = digests(&catalogue, "");
    assert_eq!(rest.len(), 2);
    assert_eq!(root(&catalogue), oracle_root(&rest));
    assert_eq!(catalogue.snapshot().unwrap().leaves, 2);
}

/// [S9-29] of a bare volume nothing else counts, also where the records that said
/// that its leaves are left out were damaged.
#[test]
fn what_lies_below_a_bare_volume_counts_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let catalogue = Catalogue::open(&store, None, &Silent).unwrap();
    commit(&catalogue, 1, &HIDDEN.map(|leaf| (leaf, &b"something"[..]))).unwrap();
    commit(&catalogue, 2, &[("F/L/a", b"first")]).unwrap();
    let bare = bare_of(&digests(&catalogue, VOLUME));
    let left_out = HIDDEN[1..].iter();
    let left_out = left_out.map(|leaf| LeafRecord::left_out(key(leaf), 3));
    catalogue.stage(left_out.collect()).unwrap();
    catalogue.stage(vec![LeafRecord::bare(bare, 3)]).unwrap();
    commit_staged(&catalogue, 3).unwrap();
    let (expected, totals) = (root(&catalogue), catalogue.totals());
    let emptied = catalogue.leaf(&key(HIDDEN[1])).unwrap().unwrap();
    let place = catalogue.place(emptied.place.block).unwrap();
    drop(catalogue);
    let segment = store.join(format!("segments/{:08}.seg", place.segment));
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[place.offset as usize + 80] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    let catalogue = Catalogue::open(&store, None, &Silent).unwrap();
    let report = catalogue.rebuilt().unwrap();
    assert_eq!(report.damages.len(), 1, "{report:?}");
    assert!(report.root_matches, "{report:?}");
    assert_eq!(root(&catalogue), expected);
    assert_eq!(catalogue.totals(), totals);
    for leaf in &HIDDEN[1..] {
        let value = catalogue.leaf(&key(leaf)).unwrap().unwrap();
        assert_eq!((value.entries, value.digest), (0, None), "{leaf}");
    }
}
