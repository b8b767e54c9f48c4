//! A store that is damaged, and an index that is not of its segments.

use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use hikae_protocol::digest::Digest;
use hikae_protocol::entry::Entry;
use hikae_protocol::message::{DeltaState, LeafDelta};
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use hikae_protocol::pack::PackBuilder;
use hikae_protocol::snapshot::{Cursor, Epoch, Snapshot, VerifiedSnapshot};

use super::*;
use crate::progress::Silent;
use crate::segment::{BlockKind, LogEnd, SegmentFolder, scan};

fn open(store: &Path) -> Catalogue {
    Catalogue::open(store, None, &Silent).unwrap()
}

/// Commits leaves of one file each, with these contents.
pub(super) fn commit(
    catalogue: &Catalogue,
    sequence: u64,
    leaves: &[(&str, &[u8])],
) -> Result<(), CatalogueError> {
    let records = leaves.iter().map(|(key, content)| {
        let mut pack = PackBuilder::default();
        pack.push(content);
        let block = catalogue.append_contents(&pack.finish(3).unwrap())?;
        let mut record = LeafRecord::empty(LeafKey::parse(key.as_bytes()).unwrap());
        let file = FileRecord {
            entry: Entry {
                path: ObjectPath::parse(b"file").unwrap(),
                size: content.len() as u64,
                mtime_ns: 1,
                digest: Digest::of_content(content),
            },
            sequence,
            content: ContentPlace::Item { block, index: 0 },
            stat: None,
        };
        record.change(&[], vec![file], sequence);
        Ok(record)
    });
    catalogue.stage(records.collect::<Result<_, CatalogueError>>()?)?;
    commit_staged(catalogue, sequence)
}

pub(super) fn commit_staged(catalogue: &Catalogue, sequence: u64) -> Result<(), CatalogueError> {
    let (update, totals) = catalogue.with_staged()?;
    let snapshot = Snapshot {
        cursor: Cursor {
            epoch: Epoch {
                counter: 1,
                random: [7; 16],
            },
            sequence,
        },
        root: update.root,
        leaves: totals.leaves,
        entries: totals.entries,
        bytes: totals.bytes,
        time_ms: 0,
        previous: None,
    };
    let signed = VerifiedSnapshot::sign(snapshot, &SigningKey::from_bytes(&[1; 32])).unwrap();
    catalogue.commit((&update, totals), &signed, 5)?;
    Ok(())
}

fn segment(store: &Path) -> PathBuf {
    store.join("segments/00000001.seg")
}

/// What a store holds: sequence, root, and every content.
pub(super) fn held(catalogue: &Catalogue) -> (u64, Digest, Vec<Vec<u8>>) {
    let leaves = catalogue.view().leaves_below(&[]).unwrap();
    let digests = leaves.iter().map(|(key, value)| (key, value.digest));
    let root = catalogue.with_digests(digests).unwrap().root;
    let contents = leaves.iter().map(|(_, value)| {
        let record = catalogue.record(value.place).unwrap();
        let mut bytes = Vec::new();
        let read = catalogue.content::<CatalogueError>(record.files[0].content, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        });
        read.unwrap();
        bytes
    });
    let contents = contents.collect();
    let sequence = catalogue.snapshot().unwrap().cursor.sequence;
    (sequence, root, contents)
}

/// Two commits in a store that was not closed cleanly.
fn written(store: &Path) -> (u64, Digest, Vec<Vec<u8>>) {
    let catalogue = open(store);
    commit(&catalogue, 1, &[("F/L/a", b"first"), ("F/L/b", b"second")]).unwrap();
    commit(&catalogue, 2, &[("F/L/b", b"third")]).unwrap();
    held(&catalogue)
}

/// [S9-5] a flipped byte anywhere before the last commit's second copy is
/// named by its place, and [S9-14] no commit is ever lost.
#[test]
fn no_flipped_byte_loses_a_commit() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path();
    let (sequence, root, _) = written(store);
    let whole = fs::read(segment(store)).unwrap();
    let copy = (0..whole.len() - 4)
        .rev()
        .find(|&at| whole[at..at + 4] == *b"hkBL")
        .unwrap();
    for at in (0..whole.len()).step_by(5) {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        fs::write(segment(store), &bad).unwrap();
        let catalogue = open(store);
        let report = catalogue.rebuilt().unwrap();
        assert_eq!(catalogue.snapshot().unwrap().cursor.sequence, sequence);
        let named = report.damages.iter().any(|damage| {
            let from = damage.offset as usize;
            (from..from + damage.bytes as usize).contains(&at)
        });
        assert_eq!(named, at < copy, "byte {at}: {:?}", report.damages);
        let leaves = catalogue.view().leaves_below(&[]).unwrap();
        let digests = leaves.iter().map(|(key, value)| (key, value.digest));
        let found = catalogue.with_digests(digests).unwrap().root;
        assert_eq!(report.root_matches, found == root, "byte {at}");
    }
}

/// [S10-11] what was cut off after a clean close is missed; what was torn at the
/// end of a log that nobody closed is not.
#[test]
fn a_log_that_is_cut_off_after_a_clean_close_is_missed() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path();
    let catalogue = open(store);
    commit(&catalogue, 1, &[("F/L/a", b"first")]).unwrap();
    catalogue.close().unwrap();
    let kept = fs::metadata(segment(store)).unwrap().len();
    let catalogue = open(store);
    commit(&catalogue, 2, &[("F/L/b", b"second")]).unwrap();
    catalogue.close().unwrap();
    let cut = || {
        let file = fs::File::options().write(true).open(segment(store));
        file.unwrap().set_len(kept).unwrap();
    };
    cut();
    let catalogue = open(store);
    assert!(catalogue.rebuilt().unwrap().cut_off);
    assert_eq!(catalogue.last_commit(), 1);
    commit(&catalogue, 2, &[("F/L/c", b"third")]).unwrap();
    drop(catalogue);
    let catalogue = open(store);
    assert!(!catalogue.rebuilt().unwrap().cut_off);
    assert_eq!(catalogue.last_commit(), 2);
    catalogue.close().unwrap();
    assert!(open(store).rebuilt().is_none());
}

/// [S10-3] [S10-4] an index that is deleted, truncated, garbled or of another
/// time is noticed at the next start and rebuilt.
#[test]
fn an_index_of_another_time_is_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let (index, old) = (store.join("catalogue"), folder.path().join("old"));
    fs::create_dir(&store).unwrap();
    written(&store);
    open(&store).close().unwrap();
    assert!(
        open(&store).rebuilt().is_none(),
        "a clean close is believed"
    );
    let again = open(&store);
    assert_eq!(
        again.rebuilt().unwrap().reason,
        "the store was not closed cleanly"
    );
    again.close().unwrap();
    copy(&index, &old);

    let catalogue = open(&store);
    commit(&catalogue, 3, &[("F/L/c", b"fourth")]).unwrap();
    let expected = held(&catalogue);
    catalogue.close().unwrap();
    let files = || {
        let files = walkdir::WalkDir::new(&index)
            .sort_by_file_name()
            .into_iter();
        let files = files.map(|file| file.unwrap());
        let files = files.filter(|file| file.file_type().is_file());
        files.map(walkdir::DirEntry::into_path).collect::<Vec<_>>()
    };
    let mut harms: Vec<(String, Box<dyn Fn()>)> = vec![
        (
            "deleted".into(),
            Box::new(|| fs::remove_dir_all(&index).unwrap()),
        ),
        (
            "of another time".into(),
            Box::new(|| {
                fs::remove_dir_all(&index).unwrap();
                copy(&old, &index);
            }),
        ),
    ];
    // Of whatever files the index has then.
    let harmed = |nth: usize, harm: &dyn Fn(&mut Vec<u8>)| {
        let files = files();
        let path = &files[nth % files.len()];
        let mut bytes = fs::read(path).unwrap();
        harm(&mut bytes);
        fs::write(path, bytes).unwrap();
    };
    for nth in 0..files().len() {
        let half = move || harmed(nth, &|bytes| bytes.truncate(bytes.len() / 2));
        harms.push((format!("file {nth} cut"), Box::new(half)));
        for part in 0..8 {
            let flip = move |bytes: &mut Vec<u8>| {
                let at = bytes.len() * part / 8;
                bytes[at] ^= 4;
            };
            let flip = move || harmed(nth, &flip);
            harms.push((format!("file {nth} flipped at {part}/8"), Box::new(flip)));
        }
    }
    for (name, harm) in harms {
        harm();
        let catalogue = open(&store);
        assert!(
            catalogue.rebuilt().is_some(),
            "not noticed: {name}, {:?}",
            files()
        );
        assert_eq!(held(&catalogue), expected, "{name}");
        catalogue.close().unwrap();
    }
}

/// The blocks of a store: id, kind, items.
fn blocks(store: &Path) -> Vec<(u64, BlockKind, Vec<Vec<u8>>)> {
    let folder = SegmentFolder::in_store(store).unwrap();
    let mut blocks = vec![];
    scan::<SegmentError>(&folder, LogEnd::EMPTY, |scanned| {
        let items = scanned.items().unwrap();
        let items = items.iter().map(<[u8]>::to_vec).collect();
        let header = scanned.block.header;
        blocks.push((header.id, header.kind, items));
        Ok(())
    })
    .unwrap();
    blocks
}

/// [S9-14] each commit is two equal blocks, one after the other, and counts
/// once; [S9-7] ids go on by one.
#[test]
fn a_commit_is_written_twice_and_counts_once() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path();
    written(store);
    let blocks = blocks(store);
    let ids: Vec<u64> = blocks.iter().map(|(id, ..)| *id).collect();
    assert_eq!(ids, (1..=blocks.len() as u64).collect::<Vec<_>>());
    let commits: Vec<&[_]> = blocks
        .chunk_by(|one, two| one.1 == two.1)
        .filter(|same| same[0].1 == BlockKind::Commit)
        .collect();
    assert_eq!(commits.len(), 2);
    for same in commits {
        let [(one, _, first), (two, _, second)] = same else {
            panic!("{} copies", same.len());
        };
        assert_eq!((first, one + 1), (second, *two));
    }
    let again = open(store);
    assert_eq!(again.commit_record().unwrap().number, 2);
    assert_eq!(again.next_commit(), 3);
}

/// [S9-9] a commit leaves nothing staged; [S8-8] it is refused, and nothing
/// becomes the tree's, where the tree would not have the signed root.
#[test]
fn a_tree_without_the_signed_root_is_not_committed() {
    let store = tempfile::tempdir().unwrap();
    let before = written(store.path());
    let catalogue = open(store.path());
    assert!(!catalogue.has_staged());
    let last = catalogue.commit_record().unwrap().signed;
    let signed = VerifiedSnapshot::verify(last.clone(), &last.signer).unwrap();
    let mut record = LeafRecord::empty(LeafKey::parse(b"F/L/b").unwrap());
    record.sequence = 3;
    catalogue.stage(vec![record]).unwrap();
    let (update, totals) = catalogue.with_staged().unwrap();
    let error = catalogue.commit((&update, totals), &signed, 5).unwrap_err();
    assert!(matches!(error, CatalogueError::Root { .. }), "{error}");
    assert_eq!(held(&catalogue), before);
    drop(catalogue);
    let again = open(store.path());
    assert_eq!(held(&again), before);
    assert_eq!(again.commit_record().unwrap().number, 2);
}

/// [S9-10] an unstage drops the leaves that it names, or all, and no leaf of
/// the tree; also when the log is read again.
#[test]
fn what_is_unstaged_is_not_committed() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path();
    let before = written(store);
    let keys = ["F/L/a", "F/L/b", "F/L/c"].map(|key| LeafKey::parse(key.as_bytes()).unwrap());
    let staged = |catalogue: &Catalogue| -> Vec<LeafKey> {
        let staged = catalogue.all_staged();
        staged.map(|leaf| leaf.unwrap().0).collect()
    };
    let catalogue = open(store);
    let stage = |catalogue: &Catalogue| {
        let records = keys.iter().cloned().map(LeafRecord::empty);
        catalogue.stage(records.collect()).unwrap();
    };
    stage(&catalogue);
    catalogue.unstage(&keys[1..2]).unwrap();
    let left = [keys[0].clone(), keys[2].clone()];
    assert_eq!(staged(&catalogue), left);
    drop(catalogue);
    let catalogue = open(store);
    assert_eq!(staged(&catalogue), left, "what was staged is staged again");
    catalogue.unstage(&[]).unwrap();
    assert_eq!(staged(&catalogue), []);
    drop(catalogue);
    let catalogue = open(store);
    assert_eq!(staged(&catalogue), []);
    assert_eq!(held(&catalogue), before);
}

/// [S9-8] a long list is cut into pages, and of a change only the pages that
/// it changed are written: of a million files one costs at most 128 KiB, and
/// about as much to send.
#[test]
fn a_change_of_a_large_leaf_writes_few_pages() {
    const FILES: u64 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path();
    let key = LeafKey::parse(b"F/L/a").unwrap();
    let file = |name: String, sequence: u64| FileRecord {
        entry: Entry {
            path: ObjectPath::parse(name.as_bytes()).unwrap(),
            size: 1,
            mtime_ns: 1,
            digest: Digest::of_content(name.as_bytes()),
        },
        sequence,
        content: ContentPlace::Item {
            block: sequence,
            index: 0,
        },
        stat: None,
    };
    let named = |at: u64| format!("0000123456_20260101_ADT-00_{at:015}_20260101120000000_-_1");
    let mut record = LeafRecord::empty(key.clone());
    let all = (0..FILES).map(|at| file(named(at), 1)).collect();
    record.change(&[], all, 1);
    let catalogue = open(store);
    let mut end = catalogue.log_end().offset;
    let mut written = Vec::new();
    let mut sent = Vec::new();
    for sequence in 1..8 {
        if sequence > 1 {
            // A rename within the leaf, a new file, a removal.
            let at = sequence * 119_923 % FILES;
            let gone = [named(at), named(at + 5)];
            let gone = gone.map(|name| ObjectPath::parse(name.as_bytes()).unwrap());
            let new = [named(at).replace("_-_1", "_-_2"), named(at) + "0"];
            let new = new.into_iter().map(|name| file(name, sequence));
            record.change(&gone, new.collect(), sequence);
        }
        record.commit = sequence;
        record.previous = catalogue.leaf(&key).unwrap().map(|value| value.place);
        catalogue.stage(vec![record.clone()]).unwrap();
        commit_staged(&catalogue, sequence).unwrap();
        let now = catalogue.log_end().offset;
        written.push(now - end);
        end = now;
        let delta = record.delta(Some(sequence - 1), None, 1 << 20);
        let delta = LeafDelta {
            key: key.clone(),
            state: DeltaState::Delta(delta),
        };
        sent.push(delta.encode().unwrap().len());
    }
    println!(
        "bytes written for a change: {:?}, sent: {:?}",
        &written[1..],
        &sent[1..]
    );
    assert!(
        written[1..].iter().all(|&bytes| bytes <= 128 << 10),
        "{written:?}"
    );
    assert!(
        sent[1..].iter().all(|&bytes| bytes <= 128 << 10),
        "{sent:?}"
    );
    let read = |catalogue: &Catalogue| {
        let place = catalogue.leaf(&key).unwrap().unwrap().place;
        assert!(catalogue.record(place).unwrap() == record);
    };
    read(&catalogue);
    drop(catalogue);
    let again = open(store);
    assert!(again.rebuilt().unwrap().root_matches);
    read(&again);
}

/// A file of which the name has 100 bytes.
fn long_named(at: u32) -> FileRecord {
    FileRecord {
        entry: Entry {
            path: ObjectPath::parse(format!("{at:0100}").as_bytes()).unwrap(),
            size: 1,
            mtime_ns: 1,
            digest: Digest::of_content(&at.to_le_bytes()),
        },
        sequence: 1,
        content: ContentPlace::Lacking,
        stat: None,
    }
}

/// Lists of all lengths are read as they were written, and an edit writes no
/// page that was there.
#[test]
fn lists_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = open(folder.path());
    let key = LeafKey::parse(b"F/L/a").unwrap();
    for count in [0, 1, 300, 470, 474, 475, 480, 1000, 20_000] {
        let mut record = LeafRecord::empty(key.clone());
        record.change(&[], (0..count).map(long_named).collect(), 1);
        record.commit = 1;
        record.standins = record.files.clone();
        catalogue.stage(vec![record.clone()]).unwrap();
        let place = catalogue.staged(&key).unwrap().unwrap().place;
        assert!(catalogue.record(place).unwrap() == record, "{count} files");
        let pages = catalogue.pages_of(place).unwrap().len();
        assert_eq!(pages > 0, count > 474, "{count} files have {pages} pages");
        let end = catalogue.log_end().offset;
        catalogue.stage(vec![record]).unwrap();
        let again = catalogue.log_end().offset - end;
        assert!(again < 70 << 10, "{count} files: {again} bytes again");
    }
}

/// [S9-5] a leaf of which only a page rotted is missed by the root, as one whose
/// record rotted: the next pull or walk brings it back.
#[test]
fn a_rotten_page_is_missed() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path();
    let catalogue = open(store);
    commit(&catalogue, 1, &[("F/L/b", b"first")]).unwrap();
    let key = LeafKey::parse(b"F/L/a").unwrap();
    let mut record = LeafRecord::empty(key.clone());
    record.change(&[], (0..2000).map(long_named).collect(), 2);
    catalogue.stage(vec![record]).unwrap();
    commit_staged(&catalogue, 2).unwrap();
    drop(catalogue);
    let pages = blocks(store)
        .into_iter()
        .find(|(_, kind, _)| *kind == BlockKind::Pages);
    let (id, ..) = pages.unwrap();
    let folder = SegmentFolder::in_store(store).unwrap();
    let mut at = 0;
    scan::<SegmentError>(&folder, LogEnd::EMPTY, |scanned| {
        if scanned.block.header.id == id {
            at = scanned.place.offset as usize + 100;
        }
        Ok(())
    })
    .unwrap();
    let mut bytes = fs::read(segment(store)).unwrap();
    bytes[at] ^= 1;
    fs::write(segment(store), bytes).unwrap();
    let catalogue = open(store);
    let report = catalogue.rebuilt().unwrap();
    assert_eq!(report.damages.len(), 1);
    assert!(!report.root_matches && !catalogue.is_whole().unwrap());
    assert!(catalogue.leaf(&key).unwrap().is_none());
    assert_eq!(report.leaves, 1);
}

pub(super) fn copy(from: &Path, to: &Path) {
    for file in walkdir::WalkDir::new(from) {
        let file = file.unwrap();
        let to = to.join(file.path().strip_prefix(from).unwrap());
        match file.file_type().is_dir() {
            true => fs::create_dir(to).unwrap(),
            false => drop(fs::copy(file.path(), to).unwrap()),
        }
    }
}
