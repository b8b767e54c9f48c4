//! Trees that are compared from the root down: another epoch, damage, a center
//! that moves on, nodes and leaves with many items. Counted, not timed.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::harness::{Site, number};

/// The center loses its store: another life of its catalogue begins, and no
/// cursor of the old one means anything.
fn another_life(site: &Site) {
    fs::remove_dir_all(site.path("center/store")).unwrap();
}

fn scanned_and_synced(site: &Site) -> Value {
    site.center(&["scan", "--walk"]).ok();
    site.sync().ok()
}

/// Requests that waited for an answer one after the other: all of them, where
/// one leaf differs.
fn round_trips(report: &Value) -> u64 {
    let pull = &report["pull"];
    let count = |name: &str| pull[name].as_u64().unwrap();
    count("proof_round_trips") + count("requests")
}

#[track_caller]
fn assert_cheap(report: &Value, trips: u64, bytes: u64) {
    assert!(round_trips(report) <= trips, "{report}");
    let received = report["link"]["bytes_received"].as_u64().unwrap();
    let sent = report["link"]["bytes_sent"].as_u64().unwrap();
    assert!(received + sent < bytes, "{received} + {sent}: {report}");
    assert_eq!(report["roots_equal"], true, "{report}");
}

/// One difference among many: at most six round trips, and bytes that do not
/// grow with the number of records.
#[test]
fn one_difference_between_two_lives_costs_six_round_trips() {
    let records = number("HIKAE_COMPARE_RECORDS", 3000);
    let site = Site::generated(3, records / 30, records);
    scanned_and_synced(&site);
    another_life(&site);
    let folder = "0410000001/STD01/100/000/1000003/20250401/OMP-01";
    site.put(&format!("{folder}/new"), b"one more");
    let report = scanned_and_synced(&site);
    assert_cheap(&report, 6, 120_000);
    assert_eq!(report["pull"]["leaves"], 1, "{report}");
    assert_eq!(report["pull"]["contents_received"], 1, "{report}");
    site.assert_equal();
    // Nothing differs but the epoch.
    another_life(&site);
    let report = scanned_and_synced(&site);
    assert_cheap(&report, 1, 12_000);
    // And from here on cursors mean something again.
    fs::remove_file(site.volumes().join(folder).join("new")).unwrap();
    let report = scanned_and_synced(&site);
    assert_eq!(report["pull"]["proof_round_trips"], 1, "{report}");
    site.assert_equal();
    site.backup(&["verify"]).ok();
}

/// What the backup has nothing of comes as whole lists of leaves; what the
/// center has no more goes.
#[test]
fn whole_subtrees_come_and_go() {
    let site = Site::empty();
    site.configure(false);
    let put = |volume: &str, patients: std::ops::Range<u64>| {
        for patient in patients {
            let path = crate::harness::record(&format!("{patient:07}"), 1);
            site.put(&format!("{volume}/{path}"), path.as_bytes());
        }
    };
    put("0410000001/STD01", 0..40);
    put("0410000001/STD02", 0..40);
    scanned_and_synced(&site);
    another_life(&site);
    fs::remove_dir_all(site.volumes().join("0410000001/STD02")).unwrap();
    put("0410000002/STD01", 0..300);
    put("0410000001/STD01", 1_000_000..1_000_040);
    site.center(&["scan"]).ok();
    // A volume that vanishes as a whole is held, whatever the guard lets pass.
    let held = site.sync();
    assert_eq!(held.code, Some(4), "{}\n{}", held.json, held.stderr);
    let report = held.json;
    site.backup(&["approve", "0410000001/STD02"]).ok();
    assert_eq!(report["pull"]["leaves"], 380, "{report}");
    assert_eq!(report["pull"]["leaves_removed"], 40, "{report}");
    // The pull, the root, the volumes, a prefix; all as lists of leaves.
    assert_eq!(report["pull"]["proof_round_trips"], 4, "{report}");
    // Contents came with the manifests.
    assert!(report["pull"]["requests"].as_u64().unwrap() < 5, "{report}");
    site.assert_equal();
    site.backup(&["verify"]).ok();
}

/// Of a node with many children and of a leaf with many files pages come, not
/// all of them.
#[test]
fn a_node_and_a_leaf_with_many_items_are_compared_by_pages() {
    let items = number("HIKAE_WIDE_ITEMS", 1500);
    let site = Site::empty();
    site.configure(false);
    let leaf = |at: u64| format!("0410000001/STD01/123/456/{at:07}/20250401/OMP-01/x");
    let file = |at: u64| format!("0410000001/STD02/123/456/1234567/20250401/OMP-01/{at:07}");
    for at in 0..items {
        site.put(&leaf(at), b"small");
        site.put(&file(2 * at), format!("{at}").as_bytes());
        site.put(&file(2 * at + 1), b"small");
    }
    scanned_and_synced(&site);
    another_life(&site);
    site.put(&leaf(items / 2), b"another one");
    let report = scanned_and_synced(&site);
    assert_cheap(&report, 6, 50_000);
    site.assert_equal();

    another_life(&site);
    site.put(&file(items / 3), b"another one");
    fs::remove_file(site.volumes().join(file(items / 2))).unwrap();
    let report = scanned_and_synced(&site);
    assert_cheap(&report, 7, 100_000);
    assert_eq!(report["pull"]["contents_received"], 1, "{report}");
    site.assert_equal();
    site.backup(&["verify"]).ok();
}

/// The trees are compared while the center changes all the time; what an
/// earlier round proved is not asked for again, and all of it arrives.
#[test]
fn a_center_that_moves_on_is_compared_with_all_the_same() {
    let site = Site::generated(2, 60, 1500);
    scanned_and_synced(&site);
    another_life(&site);
    for patient in 0..200 {
        let path = crate::harness::record(&format!("{patient:07}"), 7);
        site.put(&format!("0410000001/STD01/{path}"), path.as_bytes());
    }
    site.center(&["scan", "--walk"]).ok();
    let center = site.serve();
    let ended = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut order = 0;
            while !ended.load(Ordering::Relaxed) {
                for patient in [0, 7, 99] {
                    order += 1;
                    let path = crate::harness::record(&format!("{patient:07}"), 1000 + order);
                    site.put(&format!("0410000001/STD01/{path}"), path.as_bytes());
                }
                site.center(&["scan", "--walk"]).ok();
            }
        });
        let ran = site.backup(&["sync"]);
        ended.store(true, Ordering::Relaxed);
        let report = ran.ok();
        assert_eq!(report["roots_equal"], true, "{report}");
        assert!(
            report["pull"]["leaves"].as_u64().unwrap() >= 200,
            "{report}"
        );
    });
    site.center(&["scan", "--walk"]).ok();
    site.backup(&["sync"]).ok();
    center.end();
    site.assert_equal();
    site.backup(&["verify"]).ok();
}
