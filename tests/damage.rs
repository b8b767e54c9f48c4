//! Bit rot in a store: named, and never taken for a deletion.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::fs;
use std::path::PathBuf;

use harness::{Site, look};

const LEAVES: u8 = 2;

/// Flips a byte in each block of leaf records of a store that was not closed
/// cleanly; says how many.
fn rot_leaves(site: &Site, home: &str) -> usize {
    let store = site.path(home).join("store");
    let _ = fs::remove_file(store.join("clean"));
    let segments = fs::read_dir(store.join("segments")).unwrap();
    let segments = segments.map(|item| item.unwrap().path());
    let segments: Vec<PathBuf> = segments
        .filter(|path| path.extension().is_some_and(|kind| kind == "seg"))
        .collect();
    let mut rotten = 0;
    for path in segments {
        let mut bytes = fs::read(&path).unwrap();
        let blocks = (0..bytes.len() - 80).step_by(8);
        let blocks: Vec<usize> = blocks
            .filter(|&at| bytes[at..at + 4] == *b"hkBL" && bytes[at + 4] == LEAVES)
            .collect();
        for at in &blocks {
            bytes[at + 80] ^= 1;
        }
        rotten += blocks.len();
        fs::write(&path, bytes).unwrap();
    }
    rotten
}

fn copied() -> Site {
    let site = Site::generated(1, 10, 100);
    site.center(&["scan"]).ok();
    let center = site.serve();
    site.backup(&["sync"]).ok();
    center.end();
    site.assert_equal();
    site
}

/// What damage took from a center's catalogue is found again by a walk; the
/// backup loses nothing, and goes on.
#[test]
fn leaves_that_rot_at_the_center_are_walked_again_and_not_deleted() {
    let site = copied();
    let before = look(&site.tree()).len();
    assert!(rot_leaves(&site, "center") > 0);
    site.put(
        "0410000001/STD01/100/000/1000003/20250401/OMP-01/new",
        b"one more",
    );
    // Hints alone would not look at what is lost.
    let ran = site.center(&["scan", "--hints"]);
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert!(
        ran.json["errors"].to_string().contains("are damaged"),
        "{}",
        ran.json
    );
    assert_eq!(ran.json["entries"], before + 1, "{}", ran.json);
    let center = site.serve();
    let report = site.backup(&["sync"]).ok();
    assert_eq!(report["roots_equal"], true);
    assert_eq!(report["publish"]["files_removed"], 0, "{report}");
    center.end();
    site.assert_equal();
    site.backup(&["verify"]).ok();
}

/// As long as the walk can't see everything, nothing is signed.
#[test]
fn while_a_damaged_center_can_not_look_nothing_is_signed() {
    let site = copied();
    let before = look(&site.tree());
    assert!(rot_leaves(&site, "center") > 0);
    let volume = site.volumes().join("0410000001/STD01");
    fs::rename(&volume, site.path("away")).unwrap();
    let ran = site.center(&["scan"]);
    let error = ran.failed(1);
    assert!(error.contains("nothing is signed"), "{error}");
    assert!(error.contains("0410000001/STD01"), "{error}");
    let center = site.serve();
    let report = site.backup(&["sync"]).ok();
    assert_eq!(report["pull"]["changed"], false, "{report}");
    assert_eq!(look(&site.tree()), before);
    center.end();
    fs::rename(site.path("away"), &volume).unwrap();
    site.center(&["scan"]);
    let center = site.serve();
    site.backup(&["sync"]).ok();
    center.end();
    site.assert_equal();
}

/// What rots at the backup is pulled again.
#[test]
fn leaves_that_rot_at_the_backup_are_pulled_again() {
    let site = copied();
    assert!(rot_leaves(&site, "backup") > 0);
    let center = site.serve();
    let report = site.backup(&["sync"]).ok();
    assert_eq!(report["roots_equal"], true);
    center.end();
    site.assert_equal();
}
