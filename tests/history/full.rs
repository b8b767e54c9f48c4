//! A full disk keeps history and stops taking new.

use std::fs;

use super::harness::{Disk, Site, assert_same_files, look, noise};

/// Whatever is left of the disk that has the store, from some megabytes to no
/// byte: a sync fails by the name of the disk, each snapshot is listed and
/// restores byte for byte, nothing is pruned; and when there is room again it goes
/// on.
#[test]
fn a_full_disk_keeps_history_and_stops_taking_new() {
    let site = Site::generated_in_memory(1, 20, 300);
    let Some(disk) = Disk::new(&site, "disk", 64, &[]) else {
        return;
    };
    let config = site.path("backup/hikae.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("keep = \"1s\"", "keep = \"90d\"");
    fs::write(
        &config,
        format!("store = \"{}/store\"\n{text}", disk.text()),
    )
    .unwrap();
    let center = site.serve();
    let mut states = Vec::new();
    for day in 0..3 {
        if day > 0 {
            site.day(40);
        }
        site.center(&["scan"]).ok();
        site.backup(&["sync"]).ok();
        states.push(look(&site.volumes()));
    }
    // More than there is room for.
    for at in 0..60 {
        site.put(&format!("0410000001/STD01/noise{at}"), &noise(100_000, at));
    }
    site.center(&["scan", "--walk"]).ok();
    for free in [4_000_000, 200_000, 0] {
        disk.fill(free);
        for _ in 0..2 {
            let error = site.backup(&["sync"]).failed(1);
            assert!(error.contains("No space left"), "says not why: {error}");
            assert!(error.contains(disk.text()), "names no disk: {error}");
        }
        restores_all(&site, &states);
        println!("{free} bytes were free, {} are", disk.free());
        disk.empty();
    }
    // A process that stays goes on by itself.
    disk.fill(100_000);
    let follower = site.spawn_logged("backup", &["sync", "--follow"]);
    let begun = std::time::Instant::now();
    let wait = |until: &dyn Fn() -> bool| {
        while !until() {
            assert!(begun.elapsed().as_secs() < 60, "{}", site.log("backup"));
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    wait(&|| site.log("backup").contains("No space left"));
    disk.empty();
    wait(&|| look(&site.tree()) == look(&site.volumes()));
    follower.end();
    site.backup(&["sync"]).ok();
    site.assert_equal();
    states.push(look(&site.volumes()));
    restores_all(&site, &states);
    site.backup(&["verify"]).ok();
    center.end();
}

fn restores_all(site: &Site, states: &[std::collections::BTreeMap<Vec<u8>, super::harness::Seen>]) {
    let listed = site.backup(&["snapshots"]).ok();
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), states.len());
    for (at, state) in states.iter().enumerate() {
        let to = site.text("restored");
        let snapshot = (at + 1).to_string();
        let report = site.backup(&["restore", "--at", &snapshot, "--to", &to]);
        assert_eq!(report.ok()["roots_equal"], true);
        assert_same_files(&look(to.as_ref()), state);
        fs::remove_dir_all(to).unwrap();
    }
}
