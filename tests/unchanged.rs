//! Nothing changed: one round trip after the handshake, under 10 kB, and no
//! look at the storage's files, whatever its size: by the center's own counts,
//! and as seen from outside by who watches every folder.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::fs;
use std::time::Duration;

use harness::{Site, Watch, record};
use serde_json::Value;

/// Files that changed within this time before they were read are looked at
/// again by the next refresh.
const SETTLE: Duration = Duration::from_millis(2200);

/// Syncs until the center has nothing more to look at again.
fn settle(site: &Site) {
    std::thread::sleep(SETTLE);
    site.backup(&["sync"]).ok();
}

fn last_refresh(site: &Site) -> Value {
    site.center(&["status"]).ok()["last_refresh"].clone()
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

fn nothing_changed_costs_nothing(patients: u64, records: u64) {
    let site = Site::generated(5, patients, records);
    let _center = site.serve();
    site.backup(&["sync"]).ok();
    settle(&site);
    let report = site.backup(&["sync"]).ok();
    assert_eq!(report["pull"]["changed"], false);
    assert_eq!(report["pull"]["proof_round_trips"], 1);
    assert_eq!(report["pull"]["requests"], 0);
    assert_eq!(report["roots_equal"], true);
    let wire = number(&report["link"]["bytes_sent"]) + number(&report["link"]["bytes_received"]);
    assert!(wire < 10_000, "{wire} bytes on the wire");
    assert_eq!(report["link"]["packets_lost"], 0);
    let refresh = last_refresh(&site);
    for (what, count) in refresh["counts"].as_object().unwrap() {
        assert_eq!(
            number(count),
            0,
            "{what} of the storage, with nothing changed"
        );
    }
    assert_eq!(refresh["registry"]["files_read"], 0);
    assert!(
        number(&refresh["registry"]["files_compared"]) > 0,
        "registries are walked each time"
    );
    println!(
        "{records} records, nothing changed: {wire} bytes, {} s",
        report["seconds"]
    );

    // The same counts do notice a day.
    let day = site.day(20);
    let report = site.backup(&["sync"]).ok();
    assert_eq!(report["pull"]["changed"], true, "{day}");
    assert!(number(&report["pull"]["requests"]) > 0);
    assert!(number(&last_refresh(&site)["counts"]["files_read"]) > 0);
}

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

#[test]
fn at_2_000_records() {
    nothing_changed_costs_nothing(170, 2_000);
}

#[test]
fn at_200_000_records() {
    nothing_changed_costs_nothing(16_000, 200_000);
}
