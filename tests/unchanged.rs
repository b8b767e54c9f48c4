//! Nothing changed: one round trip after the handshake, under 10 kB, and no
//! look at the storage's files, whatever its size: by the center's own counts,
//! and as seen from outside by who watches every folder.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::fs;

use harness::{Site, Watch, assert_unchanged_costs_nothing, record, settle};
use serde_json::Value;

/// No folder of records is opened, and no file in one: seen by inotify.
#[test]
fn nobody_opens_a_folder_of_records() {
    let site = Site::generated(5, 170, 2_000);
    let _center = site.serve();
    site.backup(&["sync"]).ok();
    settle(&site);
    let folders = site.record_folders();
    let Some(watch) = Watch::of("nobody_opens_a_folder_of_records", folders) else {
        return;
    };
    let (report, opened) = watch.during(|| site.backup(&["sync"]).ok());
    assert_eq!(report["pull"]["changed"], false);
    assert!(opened.folders.is_empty(), "{opened:?}");
    assert!(opened.items.is_empty(), "{opened:?}");

    // The watch does see a walk: every folder, and no file.
    let (_, opened) = watch.during(|| site.center(&["scan", "--walk"]).ok());
    assert_eq!(opened.folders.len(), watch.len());
    let files = opened.items.iter().filter(|item| !item.is_dir());
    assert_eq!(files.count(), 0, "nothing changed: no file is read");
    println!("{} folders watched", watch.len());
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

/// [S6-4] a snapshot is signed for another tree than the last alone, and has
/// the next sequence.
#[test]
fn a_snapshot_is_signed_for_another_tree_alone() {
    let site = Site::empty();
    site.configure(false);
    let path = format!("0410000001/STD01/{}", record("1000001", 1));
    site.put(&path, b"one");
    let file = site.volumes().join(&path);
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    let put = |content: &[u8]| {
        fs::write(&file, content).unwrap();
        let file = fs::File::options().write(true).open(&file).unwrap();
        file.set_modified(written).unwrap();
    };
    let scan = || {
        let report = site.center(&["scan"]).ok();
        (number(&report["sequence"]), report["root"].clone())
    };
    let (first, root) = scan();
    assert_eq!(scan(), (first, root.clone()));
    // Another change time and inode, and the same tree.
    fs::remove_file(&file).unwrap();
    put(b"one");
    assert_eq!(scan(), (first, root.clone()));
    put(b"two");
    let (second, other) = scan();
    assert_eq!(second, first + 1);
    assert_ne!(other, root);
    put(b"one");
    assert_eq!(scan(), (first + 2, root));
}

/// At 200,000 records `tests/first_copy.rs` asks the same.
#[test]
fn at_2_000_records() {
    let site = Site::generated(5, 170, 2_000);
    let _center = site.serve();
    site.backup(&["sync"]).ok();
    assert_unchanged_costs_nothing(&site);
}
