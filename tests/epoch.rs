//! Epochs: a center whose store was restored from an older image.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::fs;
use std::process::Command;

use harness::Site;
use serde_json::Value;

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

fn new_record(site: &Site, name: &str) {
    let folder = "0410000001/STD01/100/000/1000003/20250401/OMP-01";
    site.put(&format!("{folder}/{name}"), name.as_bytes());
}

fn sync(site: &Site) -> Value {
    let center = site.serve();
    let report = site.backup(&["sync"]).ok();
    center.end();
    report
}

fn epoch(site: &Site, home: &str) -> u64 {
    let status = match home {
        "center" => site.center(&["status"]),
        _ => site.backup(&["status"]),
    };
    status.ok()["snapshot"]["epoch"].as_u64().unwrap()
}

/// [S6-7] a replica shows the center the snapshot that it no longer has; the
/// center begins the next epoch, and nothing of it is stale any more.
#[test]
fn a_center_restored_from_an_older_image_begins_the_next_epoch() {
    let site = Site::generated(1, 10, 100);
    site.center(&["scan"]).ok();
    sync(&site);
    let first = epoch(&site, "center");
    let (store, image) = (site.path("center/store"), site.path("image"));
    copy(&store, &image);
    for at in 0..3 {
        new_record(&site, &format!("later{at}"));
        site.center(&["scan", "--walk"]).ok();
    }
    assert_eq!(sync(&site)["roots_equal"], true);
    assert_eq!(epoch(&site, "backup"), first);

    copy(&image, &store);
    let report = sync(&site);
    assert_eq!(report["roots_equal"], true, "{report}");
    assert_eq!(report["pull"]["stale"], false, "{report}");
    assert!(epoch(&site, "center") > first);
    assert_eq!(epoch(&site, "backup"), epoch(&site, "center"));

    new_record(&site, "after");
    site.center(&["scan", "--walk"]).ok();
    assert_eq!(sync(&site)["roots_equal"], true);
    site.assert_equal();
    site.backup(&["verify"]).ok();
    // Once is enough.
    let now = epoch(&site, "center");
    sync(&site);
    assert_eq!(epoch(&site, "center"), now);
}

/// [S10-11] a center whose segments lost their end: what it remembers of the
/// time after is not believed, and no number means two states.
#[test]
fn a_center_that_lost_its_end_begins_the_next_epoch() {
    let site = Site::generated(1, 10, 100);
    site.center(&["scan"]).ok();
    sync(&site);
    let segment = site.path("center/store/segments/00000001.seg");
    let whole = fs::metadata(&segment).unwrap().len();
    site.day(20);
    site.center(&["scan"]).ok();
    sync(&site);
    let first = epoch(&site, "center");

    let file = fs::File::options().write(true).open(&segment).unwrap();
    file.set_len(whole).unwrap();
    drop(file);
    // Told, and signed by nobody yet.
    let status = site.center(&["status"]);
    assert!(status.stderr.contains("the end of the segments is lost"));
    new_record(&site, "other");
    let report = sync(&site);
    assert_eq!(report["roots_equal"], true, "{report}");
    assert_eq!(report["pull"]["stale"], false, "{report}");
    assert!(epoch(&site, "center") > first);
    site.assert_equal();
    site.backup(&["verify"]).ok();
    let now = epoch(&site, "center");
    site.center(&["scan", "--walk"]).ok();
    assert_eq!(epoch(&site, "center"), now, "once is enough");
}
