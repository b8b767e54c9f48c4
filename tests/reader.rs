//! A second reader, written from SPEC.md alone in another language
//! (`tests/reader/hikae_reader.py`), understands every golden file and the
//! stores that the binary leaves on disk.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant, UNIX_EPOCH};

use harness::{Site, assert_same, copy, differences, look, noise};
use hikae_protocol::digest::Domain;
use serde_json::Value;

const VOLUME: &str = "0410000001/STD01";

fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reader"))
}

/// The interpreter with the packages of the reader.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| harness::python("reader", &here().join("requirements.txt")))
}

fn reader() -> Command {
    let mut command = Command::new(python());
    command.arg(here().join("hikae_reader.py"));
    command
}

/// What the reader says of a store, and its exit code.
fn read(store: &Path, more: &[&str]) -> (i32, Value) {
    let output = reader()
        .arg("store")
        .arg(store)
        .arg("--json")
        .args(more)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    (output.status.code().unwrap(), report)
}

/// What the reader says of a store that is whole and has two of each commit.
#[track_caller]
fn read_whole(store: &Path, more: &[&str]) -> Value {
    let (code, report) = read(store, more);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["damage"], Value::Array(Vec::new()), "{report:#}");
    assert_eq!(report["root"], report["signed_root"], "{report:#}");
    assert_eq!(report["every_root"], true, "{report:#}");
    assert_eq!(report["signature"], "holds", "{report:#}");
    assert_eq!(report["copies"], 2, "{report:#}");
    assert_eq!(report["lacking"], 0, "{report:#}");
    let odd = report["odd"].as_array().unwrap();
    assert!(odd.is_empty(), "SPEC.md says otherwise: {odd:#?}");
    report
}

/// [S1-1] to [S1-3] and the forms of sections 4 to 9: every golden file.
#[test]
fn every_golden_file_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.join("protocol/testdata"), root.join("testdata")];
    let output = reader().arg("golden").args(&folders).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let good: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("ok ")?.split(':').next())
        .collect();
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut count = 0;
    for path in files.map(|item| item.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "hex") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(good.contains(name), "{name} was not read: {text}");
            count += 1;
        }
    }
    assert!(count > 25, "only {count} golden files");
}

/// A backup of a center with what a storage may have: files on every level of
/// a volume, one without bytes, a large one, one from before the epoch, names
/// in Shift_JIS and leaves of many pages; and the day after.
fn copied() -> Site {
    let site = Site::generated(1, 20, 300);
    let put = |path: &str, content: &[u8]| site.put(&format!("{VOLUME}/{path}"), content);
    put("in_the_volume", b"no leaf of a patient");
    put("100/in_a_folder", b"both a leaf and a node");
    put("100/000/1000001/20250401/OMP-01/empty", b"");
    let large: Vec<u8> = (0..2_700_000u32).map(|at| (at / 7) as u8).collect();
    put("100/000/1000001/20250401/OMG-01/image", &large);
    put("100/000/1000002/20250401/OMP-01/old", b"before the epoch");
    let old = format!("{VOLUME}/100/000/1000002/20250401/OMP-01/old");
    let old = File::options().write(true).open(site.volumes().join(old));
    old.unwrap()
        .set_modified(UNIX_EPOCH - Duration::new(86_400, 1))
        .unwrap();
    let name = [b"100/000/1000003/20250401/".as_slice(), b"\x8d\x54\x82\xa6"].concat();
    let name = std::os::unix::ffi::OsStringExt::from_vec(name);
    let name: std::ffi::OsString = name;
    let path = site.volumes().join(VOLUME).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"a name that is not UTF-8").unwrap();
    for number in 0..1500 {
        put(
            &format!("100/000/1000004/20250401/OMP-01/{number:05}"),
            &[number as u8; 3],
        );
    }
    site.center(&["scan", "--walk"]).ok();
    site.sync().ok();
    site.day(60);
    site.center(&["scan"]).ok();
    site.sync().ok();
    site.assert_equal();
    site
}

fn store(site: &Site, home: &str) -> PathBuf {
    site.path(home).join("store")
}

/// [S5-3] [S5-5] [S9-9] [S9-14] as somebody else reads them.
#[test]
fn another_reader_finds_in_a_backup_what_the_center_has() {
    let site = copied();
    let to = site.text("read");
    let center = site.center_id.clone();
    let report = read_whole(&store(&site, "backup"), &["--to", &to, "--signer", &center]);
    let found = differences(&site.volumes(), Path::new(&to));
    assert!(found.is_empty(), "{found:#?}");
    assert_same(&site.volumes(), Path::new(&to));
    assert_eq!(report["entries"], look(&site.volumes()).len());
    assert_eq!(report["signer"], center);
    assert!(report["commits"].as_u64().unwrap() >= 2, "{report:#}");
    // The center's store has the same tree, and no contents.
    let source = read_whole(&store(&site, "center"), &[]);
    assert_eq!(source["root"], report["root"]);
    assert_eq!(source["in_storage"], report["entries"]);
    assert_eq!(source["written"], 0);
    // Somebody else's signature is not this center's.
    let (code, _) = read(
        &store(&site, "backup"),
        &["--signer", &site.backup_id.clone()],
    );
    assert_eq!(code, 3);
}

/// [S9-8] [S9-16] as somebody else reads them: a leaf of thousands of files
/// rests in pages, and a change of one file writes few of them.
#[test]
fn another_reader_joins_a_record_in_pages() {
    let site = Site::empty();
    site.configure(false);
    let name = |number: u32| format!("{}{number:05}", "x".repeat(180));
    let path = |number: u32| format!("{VOLUME}/100/000/1000001/{}", name(number));
    for number in 0..6_000 {
        site.put(&path(number), &[number as u8; 2]);
    }
    // A page that is full ends where its bytes say, and so a change moves the
    // ends of pages up to the next name that is a boundary: the last files
    // before one change no other page.
    let is_boundary = |number: &u32| {
        let name = [&[0], name(*number).as_bytes()].concat();
        Domain::Boundary.digest(&name).0[0] == 0
    };
    let mut boundaries = (0..6_000).filter(is_boundary).skip(5);
    let (one, two) = (
        boundaries.next().unwrap() - 1,
        boundaries.last().unwrap() - 1,
    );
    site.center(&["scan"]).ok();
    site.sync().ok();
    let pages = |report: &Value| report["compared"]["pages"].as_u64().unwrap();
    let first = read_whole(&store(&site, "backup"), &[]);
    assert!(pages(&first) >= 20, "{first:#}");
    site.put(&path(one), b"a new content");
    fs::remove_file(site.volumes().join(path(two))).unwrap();
    site.center(&["scan"]).ok();
    site.sync().ok();
    let to = site.text("read");
    let second = read_whole(&store(&site, "backup"), &["--to", &to]);
    let more = pages(&second) - pages(&first);
    // A page of the lowest level for either change; those above them stand in
    // the item. Once in some runs a page's digest is a boundary of level 1
    // (SPEC.md 9.3): then the pages above are written too, each of the two cut
    // in two at most.
    assert!((2..=6).contains(&more), "{more} pages more: {second:#}");
    assert_same(&site.volumes(), Path::new(&to));
    read_whole(&store(&site, "center"), &[]);
}

/// [S9-29] as somebody else reads it: a sparse store, whose tree has the signed
/// root though a volume is bare and contents are left out.
#[test]
fn another_reader_reads_a_sparse_store() {
    let site = Site::generated(2, 6, 60);
    site.put("0410000002/STD01/beside", b"a leaf of the volume itself");
    let file = site.path("backup/hikae.toml");
    let whole = fs::read_to_string(&file).unwrap();
    let volumes = "[filter]\nvolumes = [\"0410000001/*\"]\n";
    let to = |step: u32| site.text(&format!("read {step}"));
    let check = |step: u32, filter: &str, bare: bool, left_out: bool| {
        fs::write(&file, format!("{whole}{filter}")).unwrap();
        site.center(&["scan", "--walk"]).ok();
        site.sync().ok();
        let report = read_whole(&store(&site, "backup"), &["--to", &to(step)]);
        assert_same(&site.tree(), Path::new(&to(step)));
        let shown = look(&site.tree());
        let is_bare = !shown
            .keys()
            .any(|path| path.starts_with(b"0410000002/STD01"));
        assert_eq!(is_bare, bare);
        assert_eq!(report["not_held"] != 0, left_out, "{report:#}");
        let source = read_whole(&store(&site, "center"), &[]);
        assert_eq!(source["root"], report["root"]);
    };
    check(1, &format!("{volumes}kinds = [\"OMP-*\"]\n"), true, true);
    site.day(40);
    check(2, "", false, false);
    check(3, volumes, true, false);
}

/// [S9-10] [S9-15] [S9-16] [S10-8] [S10-9] as somebody else reads them: a store
/// of more than one segment with its checkpoint, what a compaction left of it,
/// and both after the index was made anew.
#[test]
fn another_reader_reads_a_checkpoint_and_what_a_compaction_left() {
    let site = Site::empty();
    site.configure(false);
    let put = |patient: u32, name: &str, content: &[u8]| {
        let path = format!("{VOLUME}/100/000/{patient}/20250401/OMG-01/{name}");
        site.put(&path, content);
    };
    let day = || {
        site.center(&["scan", "--walk"]).ok();
        site.sync().ok();
    };
    let backup = store(&site, "backup");
    let report_of = |more: &[&str]| {
        let report = read_whole(&backup, more);
        assert_eq!(report["entries"], look(&site.volumes()).len(), "{report:#}");
        report
    };
    for number in 0..1_500 {
        put(1_000_001, &format!("{number:05}{}", "x".repeat(60)), b"a");
    }
    put(1_000_002, "stays", b"as it is");
    day();
    let report = report_of(&[]);
    assert_eq!(report["checkpoint"], false, "nothing is due yet");
    // More than fits in a segment, so that a checkpoint is due.
    for number in 0..70 {
        put(1_000_003, &format!("{number:02}"), &noise(1 << 20, number));
    }
    put(1_000_001, "one_more", b"b");
    day();
    let report = report_of(&[]);
    assert_eq!(report["segments"], 2, "{report:#}");
    assert_eq!(report["checkpoint"], true, "{report:#}");
    assert_eq!(report["compacted"], false, "{report:#}");
    let checkpoint = backup.join("checkpoint");
    let bytes = fs::read(&checkpoint).unwrap();
    for at in (0..bytes.len()).step_by(97) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        fs::write(&checkpoint, flipped).unwrap();
        let (code, report) = read(&backup, &[]);
        assert_eq!(code, 3, "byte {at}: {report:#}");
        assert_eq!(report["damage"][0]["file"], "checkpoint", "{report:#}");
        assert_eq!(report["root"], report["signed_root"], "{report:#}");
    }
    fs::write(&checkpoint, bytes).unwrap();
    // The contents that are replaced are kept up to here: the state of the
    // third commit is the oldest that is kept.
    for number in 0..40 {
        put(1_000_003, &format!("{number:02}"), b"less");
    }
    day();
    let report = report_of(&[]);
    assert_eq!(report["checkpoint"], true, "{report:#}");
    std::thread::sleep(Duration::from_secs(10));
    let begun = Instant::now();
    put(1_000_001, "the_last", b"c");
    day();
    let keep = begun.elapsed().as_secs() + 5;
    let path = site.path("backup/hikae.toml");
    let text = fs::read_to_string(&path).unwrap();
    let longer = text.replace("keep = \"1s\"", &format!("keep = \"{keep}s\""));
    assert_ne!(longer, text);
    fs::write(&path, longer).unwrap();
    let before = report_of(&[]);
    let pruned = site.backup(&["prune"]).ok();
    assert_eq!(pruned["oldest_commit"], 3, "{pruned:#}");
    assert_eq!(pruned["segments_compacted"], 1, "{pruned:#}");
    let blocks = |report: &Value| report["blocks"].as_u64().unwrap();
    let (read_to, rebuilt_to) = (site.text("read"), site.text("rebuilt"));
    let report = report_of(&["--to", &read_to]);
    assert_eq!(report["compacted"], true, "{report:#}");
    assert!(blocks(&report) < blocks(&before), "{report:#}");
    assert_eq!(report["root"], before["root"]);
    // The first commit is gone, the record that it brought is not.
    assert!(report["reached"].as_u64().unwrap() > 0, "{report:#}");
    assert_same(&site.volumes(), Path::new(&read_to));

    let rebuilt = site.backup(&["rebuild"]).ok();
    assert_eq!(rebuilt["root_matches"], true, "{rebuilt:#}");
    let report = report_of(&["--to", &rebuilt_to]);
    assert_eq!(report["root"], before["root"]);
    assert_same(&site.volumes(), Path::new(&rebuilt_to));
    put(1_000_002, "after", b"d");
    day();
    report_of(&[]);
    site.assert_equal();
}

/// [S9-4] [S9-5] [S9-6]: one byte that rots is named, wherever it is. Only
/// the second copy of the last commit can't be told from a torn tail; its
/// first copy is there then.
#[test]
fn another_reader_names_every_byte_that_rots() {
    let site = copied();
    let whole = read_whole(&store(&site, "backup"), &[]);
    let rotten = site.path("rotten");
    copy(&store(&site, "backup"), &rotten);
    let name = "segments/00000001.seg";
    let path = rotten.join(name);
    let bytes = fs::read(&path).unwrap();
    let blocks = blocks(&bytes);
    let last = *blocks.last().unwrap();
    assert_eq!(bytes[last + KIND], COMMIT, "the store ends with a commit");
    // Each field of the segment's header and of three blocks' headers, and
    // places all over the segment.
    let mut offsets: BTreeSet<usize> = [0, 8, 12, 16, 31, 32, 39].into();
    for block in [blocks[0], blocks[blocks.len() / 2], last] {
        offsets.extend([0, KIND, 5, 6, 8, 16, 20, 24, 28, 32, 64, 72].map(|at| block + at));
    }
    offsets.extend((0..20).map(|part| bytes.len() / 20 * part + 41));
    // The first copy of the last commit, and the very last byte.
    offsets.extend([blocks[blocks.len() - 2] + 80, last + 80, bytes.len() - 1]);
    assert!(offsets.len() >= 60, "only {} offsets", offsets.len());
    for at in offsets {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        let (code, report) = read(&rotten, &[]);
        if at >= last {
            assert_eq!(code, 0, "byte {at}: {report:#}");
            assert_eq!(report["root"], whole["root"]);
            assert_eq!(report["signed_root"], whole["root"]);
            assert_eq!(report["copies"], 1, "byte {at}: {report:#}");
            continue;
        }
        assert_eq!(code, 3, "byte {at}: {report:#}");
        let number = |place: &Value, field: &str| place[field].as_u64().unwrap() as usize;
        let damage = report["damage"].as_array().unwrap();
        let named = damage.iter().any(|place| {
            let (from, length) = (number(place, "offset"), number(place, "length"));
            place["file"] == name && (from..from + length).contains(&at)
        });
        assert!(named, "byte {at}: {report:#}");
    }
    fs::write(&path, &bytes).unwrap();
    read_whole(&rotten, &[]);
}

/// [S9-21] [S9-22] [S9-25] as somebody else reads them: with the passphrase
/// a sealed store has what the center has, and without it nothing is read.
#[test]
fn another_reader_opens_a_sealed_store() {
    let site = Site::generated(1, 10, 200);
    let phrase = site.path("backup/passphrase");
    fs::write(&phrase, "開け ゴマ\n").unwrap();
    fs::set_permissions(&phrase, fs::Permissions::from_mode(0o600)).unwrap();
    let path = site.path("backup/hikae.toml");
    let text = fs::read_to_string(&path).unwrap();
    let seal = "\nseal = true\npassphrase_file = \"passphrase\"\n";
    fs::write(&path, text.replacen('\n', seal, 1)).unwrap();
    let large: Vec<u8> = (0..2_700_000u32).map(|at| (at / 7) as u8).collect();
    site.put(&format!("{VOLUME}/100/000/1000001/image"), &large);
    site.center(&["scan"]).ok();
    site.sync().ok();
    site.day(40);
    site.center(&["scan"]).ok();
    site.sync().ok();
    site.assert_equal();

    let (store, to) = (store(&site, "backup"), site.text("read"));
    let (phrase, center) = (phrase.to_str().unwrap(), site.center_id.clone());
    let opened = ["--passphrase-file", phrase];
    let more = [&opened[..], &["--to", &to, "--signer", &center]].concat();
    let report = read_whole(&store, &more);
    assert_eq!(report["sealed"], true);
    assert_eq!(report["entries"], look(&site.volumes()).len());
    assert_same(&site.volumes(), Path::new(&to));

    let refused = |more: &[&str], expected: &str| {
        let (code, report) = read(&store, more);
        let why = report["damage"][0]["why"].as_str().unwrap_or_default();
        assert!(code == 3 && why.contains(expected), "{report:#}");
        assert_eq!(report["entries"], 0, "{report:#}");
    };
    refused(&[], "the store is sealed");
    let wrong = site.text("wrong");
    fs::write(&wrong, "開け").unwrap();
    refused(&["--passphrase-file", &wrong], "does not open");
    // Of two key files one is enough, and the other is named.
    let key = store.join("segments/store.key");
    let bytes = fs::read(&key).unwrap();
    fs::write(&key, &bytes[1..]).unwrap();
    let (code, report) = read(&store, &opened);
    assert_eq!(code, 3, "{report:#}");
    assert_eq!(report["damage"][0]["file"], "segments/store.key");
    assert_eq!(report["entries"], look(&site.volumes()).len());
    fs::write(&key, bytes).unwrap();
    read_whole(&store, &opened);
}

/// [S5-3] [S5-5] [S9-9] [S9-16]: of a storage of this size the two agree on
/// every record and every digest. Says how many, whatever the harness keeps
/// back.
#[test]
fn twenty_thousand_records_agree() {
    use std::io::Write;
    let site = Site::generated(2, 2_000, 20_000);
    site.center(&["scan"]).ok();
    site.sync().ok();
    site.day(500);
    site.center(&["scan"]).ok();
    site.sync().ok();
    let (to, center) = (site.text("read"), site.center_id.clone());
    let report = read_whole(&store(&site, "backup"), &["--to", &to, "--signer", &center]);
    assert_same(&site.volumes(), Path::new(&to));
    let number = |name: &str| report["compared"][name].as_u64().unwrap();
    let records = look(&site.volumes()).len() as u64;
    assert!(records >= 20_000, "only {records} records");
    assert_eq!(report["entries"], records);
    assert_eq!(number("contents"), records);
    assert_eq!(number("gone"), 0);
    assert_eq!(number("roots"), report["commits"]);
    let kinds = ["contents", "manifests", "pages", "blocks", "roots"];
    let digests: u64 = kinds.iter().map(|kind| number(kind)).sum();
    let each = kinds.map(|kind| format!("{} {kind}", number(kind)));
    let _ = writeln!(
        std::io::stderr(),
        "\n{records} records and {digests} digests agreed: {}\n",
        each.join(", ")
    );
    let source = read_whole(&store(&site, "center"), &[]);
    assert_eq!(source["root"], report["root"]);
    assert_eq!(source["in_storage"], records);
}

/// Where a block's header has its kind, and the one of commits.
const KIND: usize = 4;
const COMMIT: u8 = 4;

/// Where blocks begin, by their magic alone.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let places = (40..bytes.len() - 72).step_by(8);
    places.filter(|&at| bytes[at..at + 4] == *b"hkBL").collect()
}
