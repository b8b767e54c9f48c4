//! A tree that lies there before the first copy: what it has does not come
//! over the link, what differs does, and what is foreign stays and is named.

use std::fs;

use crate::harness::{Site, copy, look};
use crate::node::{noise, path};

fn written() -> Site {
    let site = Site::empty();
    site.configure(false);
    for patient in 1..=30 {
        for order in 1..=4 {
            site.put(&path(patient, order), &noise(3000));
        }
    }
    site.put(&path(31, 1), &noise(2_600_000));
    site.center(&["scan"]).ok();
    site
}

#[test]
fn a_tree_that_rsync_brought_is_adopted() {
    let site = written();
    copy(&site.volumes(), &site.tree());
    let in_tree = |path: &str| site.tree().join(path);
    // Another content of the same size, a file that is not there, one under
    // an older name, and two that nobody knows.
    fs::write(in_tree(&path(1, 1)), noise(3000)).unwrap();
    fs::remove_file(in_tree(&path(2, 2))).unwrap();
    let older = path(3, 3).replace("_01_1", "_01_2");
    fs::rename(in_tree(&path(3, 3)), in_tree(&older)).unwrap();
    let foreign = path(4, 4).replace("OMP-01", "XXX-99");
    fs::create_dir_all(in_tree(&foreign).parent().unwrap()).unwrap();
    fs::write(in_tree(&foreign), b"of somebody else").unwrap();

    let report = site.sync().ok();
    assert_eq!(report["roots_equal"], true, "{report}");
    let pull = &report["pull"];
    assert_eq!(pull["contents_adopted"], 119, "{report}");
    assert_eq!(pull["contents_received"], 2, "{report}");
    let received = report["link"]["bytes_received"].as_u64().unwrap();
    assert!(received < 80_000, "{received} bytes: {report}");
    let named = report["publish"]["foreign"].to_string();
    for path in [&foreign, &older] {
        assert!(named.contains(&path[..]), "{path} is not in {named}");
    }
    let (mut tree, storage) = (look(&site.tree()), look(&site.volumes()));
    let kept = tree.remove(foreign.as_bytes()).unwrap();
    assert_eq!(kept.content, b"of somebody else");
    assert!(tree.remove(older.as_bytes()).is_some());
    assert!(tree == storage, "the tree is not the storage");

    // The store has everything, the tree is not needed for it.
    for path in [&foreign, &older] {
        fs::remove_file(in_tree(path)).unwrap();
    }
    site.backup(&["verify"]).ok();
}

/// A backup that lost its store, and has its tree.
#[test]
fn a_store_that_was_lost_is_made_anew_from_the_tree() {
    let site = written();
    site.sync().ok();
    fs::remove_dir_all(site.path("backup/store")).unwrap();
    let report = site.sync().ok();
    assert_eq!(report["pull"]["contents_adopted"], 121, "{report}");
    assert_eq!(report["pull"]["contents_received"], 0, "{report}");
    site.assert_equal();
    site.backup(&["verify"]).ok();
    // Once there is a copy, the tree is no source any more.
    site.put(&path(5, 9), b"news");
    fs::write(site.tree().join(path(5, 9)), b"news").unwrap();
    site.center(&["scan", "--walk"]).ok();
    let report = site.sync().ok();
    assert_eq!(report["pull"]["contents_adopted"], 0, "{report}");
    site.assert_equal();
}
