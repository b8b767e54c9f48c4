//! Compactions and checkpoints: what they leave behind is what was there.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hikae_protocol::digest::Digest;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::PackBuilder;

use super::tests::{commit, copy, held};
use super::*;
use crate::disk::StoreFolder;
use crate::progress::{Monitor, Silent};
use crate::segment::SEGMENTS;

/// A store with small segments and checkpoints.
fn small(store: &Path) -> Catalogue {
    let files = Arc::new(StoreFolder::open(store, &[SEGMENTS]).unwrap());
    let limits = Limits {
        segment_bytes: 8 << 10,
        checkpoint_bytes: 16 << 10,
    };
    Catalogue::open_files(files, &store.join("catalogue"), None, limits, &Silent).unwrap()
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut noise);
    noise
}

/// Sequence number, root and contents at a commit.
type State = (u64, Digest, Vec<Vec<u8>>);

/// Forty commits of three leaves; says what each commit's tree held.
fn history(catalogue: &Catalogue) -> Vec<State> {
    (1..=40)
        .map(|sequence| {
            let content = noise(sequence, 700);
            let key = ["F/L/a", "F/L/b", "F/L/c/d/e"][sequence as usize % 3];
            commit(catalogue, sequence, &[(key, &content)]).unwrap();
            held(catalogue)
        })
        .collect()
}

fn segment_bytes(store: &Path) -> u64 {
    let folder = fs::read_dir(store.join("segments")).unwrap();
    folder
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

/// [S10-9] a checkpoint is written, and a rebuild that begins at it gives what
/// one from all segments gives; one that is cut, garbled or of another time is
/// not believed.
#[test]
fn a_rebuild_begins_at_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let catalogue = small(&store);
    let expected = history(&catalogue).pop().unwrap();
    let commits = catalogue.commits().unwrap();
    assert_eq!(commits.len(), 40);
    drop(catalogue);
    let checkpoint = store.join("checkpoint");
    let whole = fs::read(&checkpoint).unwrap();
    let rebuilt = |from_checkpoint: bool, what: &str| {
        let catalogue = small(&store);
        let report = catalogue.rebuilt().unwrap();
        assert_eq!(report.from_checkpoint, from_checkpoint, "{what}");
        assert!(report.root_matches && report.damages.is_empty(), "{what}");
        assert_eq!(held(&catalogue), expected, "{what}");
        assert_eq!(catalogue.commits().unwrap(), commits, "{what}");
        assert_eq!(catalogue.next_commit(), 41);
    };
    rebuilt(true, "as it was left");
    for at in (0..whole.len()).step_by(7) {
        let mut bad = whole.clone();
        bad[at] ^= 0x20;
        fs::write(&checkpoint, bad).unwrap();
        rebuilt(false, &format!("byte {at} flipped"));
    }
    for cut in [0, 39, 40, 200, whole.len() - 8, whole.len() - 1] {
        fs::write(&checkpoint, &whole[..cut]).unwrap();
        rebuilt(false, &format!("cut at {cut}"));
    }
    fs::remove_file(&checkpoint).unwrap();
    rebuilt(false, "deleted");
    // Segments that were restored from an older image, and went on otherwise.
    fs::write(&checkpoint, &whole).unwrap();
    let old = folder.path().join("old");
    let catalogue = small(&old);
    history(&catalogue);
    drop(catalogue);
    fs::copy(&checkpoint, old.join("checkpoint")).unwrap();
    let other = small(&old);
    assert!(
        !other.rebuilt().unwrap().from_checkpoint,
        "of another store"
    );
}

/// [S10-9] a checkpoint that rots while it is the base of the open index is named, and
/// written again from the segments.
#[test]
fn a_rotten_base_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let catalogue = small(&store);
    let expected = history(&catalogue).pop().unwrap();
    let newest = catalogue.commit_record().unwrap();
    catalogue.write_checkpoint(&newest).unwrap();
    catalogue.close().unwrap();
    let checkpoint = store.join("checkpoint");
    let whole = fs::read(&checkpoint).unwrap();
    let catalogue = small(&store);
    assert!(catalogue.rebuilt().is_none());
    // In the file that is open: a byte of the first block's leaves.
    let file = fs::OpenOptions::new().write(true).open(&checkpoint);
    std::os::unix::fs::FileExt::write_all_at(&file.unwrap(), &[!whole[120]], 120).unwrap();
    assert!(catalogue.leaf(&LeafKey::parse(b"F/L/b").unwrap()).is_err());
    assert_eq!(catalogue.damaged_files().unwrap().len(), 1);
    catalogue.heal(&Silent).unwrap();
    assert!(catalogue.damaged_files().unwrap().is_empty());
    assert_eq!(held(&catalogue), expected);
    catalogue.close().unwrap();
    let catalogue = small(&store);
    assert!(catalogue.rebuilt().is_none());
    assert_eq!(held(&catalogue), expected);
}

/// [S9-15] [S9-17] [S10-8] a compaction frees what only forgotten commits need, and nothing
/// else: every later state is read as before, also after a rebuild.
#[test]
fn a_compaction_keeps_every_state_that_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let catalogue = small(&store);
    let states = history(&catalogue);
    let key = LeafKey::parse(b"F/L/staged").unwrap();
    let staged = vec![LeafRecord::empty(key.clone())];
    catalogue.stage(staged).unwrap();
    let before = segment_bytes(&store);
    for oldest in [1, 20, 38, 90] {
        let report = catalogue.compact(oldest, &Silent).unwrap();
        println!("{report:?}");
        let kept = oldest.clamp(1, 40);
        let numbers: Vec<u64> = catalogue.commits().unwrap().iter().map(|c| c.0).collect();
        assert_eq!(numbers, (kept..=40).collect::<Vec<_>>());
        assert_eq!(&held(&catalogue), states.last().unwrap());
        check_history(&catalogue, &states, kept);
        drop_and_check(&store, &states, kept, &key);
    }
    let after = segment_bytes(&store);
    println!("{before} bytes became {after}");
    assert!(after < before / 4, "{before} bytes became {after}");
    drop(catalogue);
    let catalogue = small(&store);
    catalogue.unstage(&[]).unwrap();
    commit(&catalogue, 41, &[("F/L/a", b"more")]).unwrap();
    let expected = held(&catalogue);
    drop(catalogue);
    fs::remove_file(store.join("checkpoint")).unwrap();
    assert_eq!(held(&small(&store)), expected);
}

/// Commits whenever it hears of progress, and looks at what lies beside the
/// segments.
struct Busy<'a> {
    catalogue: &'a Catalogue,
    store: &'a Path,
    states: Mutex<Vec<State>>,
    unfinished_max: AtomicUsize,
}

impl Busy<'_> {
    const LAST: u64 = 120;

    fn go_on(&self) {
        let files = fs::read_dir(self.store.join("segments")).unwrap();
        let unfinished = files.filter(|file| {
            let name = file.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with(".new-")
        });
        let unfinished = unfinished.count();
        self.unfinished_max.fetch_max(unfinished, Ordering::Relaxed);
        let mut states = self.states.lock().unwrap();
        let sequence = states.len() as u64 + 1;
        if sequence > Busy::LAST {
            return;
        }
        let key = ["F/L/a", "F/L/new", "F/L/c/d/e"][sequence as usize % 3];
        commit(self.catalogue, sequence, &[(key, &noise(sequence, 700))]).unwrap();
        states.push(held(self.catalogue));
    }
}

impl Monitor for Busy<'_> {
    fn stage(&self, _name: &str, _total: Option<u64>) {
        self.go_on();
    }
    fn advance(&self, _items: u64) {
        self.go_on();
    }
    fn links(&self, _text: &str) {}
    fn note(&self, _text: &str) {}
}

/// [S9-15] commits go on while a compaction is under way: what they bring and
/// what they refer to stays, what was staged before and is committed now too, and
/// never more than one segment is taken beside the store.
#[test]
fn commits_go_on_while_a_compaction_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let catalogue = small(&store);
    let states = history(&catalogue);
    let mut pack = PackBuilder::default();
    pack.push(&noise(999, 700));
    let block = catalogue.append_contents(&pack.finish(3).unwrap()).unwrap();
    let mut record = LeafRecord::empty(LeafKey::parse(b"F/L/staged").unwrap());
    let newest = catalogue.leaf_record(&LeafKey::parse(b"F/L/a").unwrap());
    let mut file = newest.unwrap().unwrap().files[0].clone();
    file.entry.digest = Digest::of_content(&noise(999, 700));
    file.content = ContentPlace::Item { block, index: 0 };
    record.change(&[], vec![file], 41);
    catalogue.stage(vec![record]).unwrap();
    let compaction = catalogue.begin_compaction(38).unwrap().unwrap();
    let busy = Busy {
        catalogue: &catalogue,
        store: &store,
        states: Mutex::new(states),
        unfinished_max: AtomicUsize::new(0),
    };
    let report = catalogue.run_compaction(&compaction, &busy).unwrap();
    catalogue.end_compaction(&report).unwrap();
    let unfinished_max = busy.unfinished_max.into_inner();
    let states = busy.states.into_inner().unwrap();
    println!("{} commits meanwhile, {report:?}", states.len() - 40);
    assert!(states.len() > 50, "{} commits", states.len());
    assert!(report.segments_compacted > 2, "{report:?}");
    assert!(unfinished_max <= 1, "{unfinished_max} at once");
    let segment = 8 << 10;
    assert!(
        report.extra_bytes_max > 0 && report.extra_bytes_max <= 2 * segment,
        "{report:?}"
    );
    check_history(&catalogue, &states, 38);
    assert_eq!(&held(&catalogue), states.last().unwrap());
    let (digests, last) = (states.len() as u64, states.last().unwrap().clone());
    drop(catalogue);
    for checkpoint in [true, false] {
        if !checkpoint {
            fs::remove_file(store.join("checkpoint")).ok();
        }
        let again = small(&store);
        let report = again.rebuilt().unwrap();
        assert!(
            report.damages.is_empty() && report.root_matches,
            "{report:?}"
        );
        assert_eq!(again.next_commit(), digests + 1);
        assert_eq!(held(&again), last);
        check_history(&again, &states, 38);
    }
}

/// Reads the states from commit `kept` on, by the records' chains.
fn check_history(catalogue: &Catalogue, states: &[State], kept: u64) {
    for (sequence, _, contents) in &states[kept as usize - 1..] {
        let mut found = Vec::new();
        for (_, value) in catalogue.view().leaves_below(&[]).unwrap() {
            let mut record = catalogue.record(value.place).unwrap();
            while record.commit > *sequence {
                let Some(previous) = record.previous else {
                    break;
                };
                record = catalogue.record(previous).unwrap();
            }
            if record.commit > *sequence {
                continue;
            }
            let mut bytes = Vec::new();
            let read = catalogue.content::<CatalogueError>(record.files[0].content, |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            });
            read.unwrap();
            found.push(bytes);
        }
        assert!(found == *contents, "commit {sequence}");
    }
}

/// A copy of the store, opened anew with and without its checkpoint.
fn drop_and_check(store: &Path, states: &[State], kept: u64, staged: &LeafKey) {
    for checkpoint in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let copied = folder.path().join("store");
        copy(store, &copied);
        if !checkpoint {
            fs::remove_file(copied.join("checkpoint")).ok();
        }
        let again = small(&copied);
        let report = again.rebuilt().unwrap();
        assert!(
            report.damages.is_empty() && report.root_matches,
            "{report:?}"
        );
        assert_eq!(&held(&again), states.last().unwrap());
        assert!(again.staged(staged).unwrap().is_some());
        check_history(&again, states, kept);
        // [S9-17] what was forgotten stays so.
        let numbers: Vec<u64> = again.commits().unwrap().iter().map(|c| c.0).collect();
        assert_eq!(numbers, (kept..=40).collect::<Vec<_>>());
        again.compact(0, &Silent).unwrap();
        check_history(&again, states, kept);
    }
}
