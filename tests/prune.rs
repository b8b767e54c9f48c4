//! `prune` and `rebuild` by the real binary, alone and beside a process that
//! has the home: what is forgotten gives its space back, and nothing else is
//! changed.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::fs;
use std::time::Duration;

use harness::{Process, Site};
use serde_json::Value;

fn segment_bytes(site: &Site, home: &str) -> u64 {
    let folder = fs::read_dir(site.path(home).join("store/segments")).unwrap();
    folder
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

/// Eight days that rewrite the same records: most of what is stored is then
/// needed by history alone.
fn lived(site: &Site) -> Process {
    site.center(&["scan"]).ok();
    let center = site.serve();
    site.backup(&["sync"]).ok();
    for day in 0..8 {
        for record in 0..40 {
            let path = format!(
                "0410000001/STD01/100/000/100000{}/20250401/OMP-01/{record}",
                record % 4
            );
            let noise = blake3::hash(format!("{day} {record}").as_bytes());
            let content: Vec<u8> = noise.as_bytes().iter().cycle().take(400).copied().collect();
            let mut content = content;
            blake3::Hasher::new()
                .update(noise.as_bytes())
                .finalize_xof()
                .fill(&mut content);
            site.put(&path, &content);
        }
        // A center's own look; the INDEX DB knows nothing of these.
        site.center(&["scan", "--walk"]).ok();
        site.backup(&["sync"]).ok();
    }
    center
}

fn check(site: &Site, pruned: &Value, before: u64, home: &str) {
    let after = segment_bytes(site, home);
    println!("{home}: {before} bytes became {after}: {pruned}");
    assert!(
        pruned["commits_forgotten"].as_u64().unwrap() > 0,
        "{pruned}"
    );
    assert!(pruned["bytes_freed"].as_u64().unwrap() > 0, "{pruned}");
    assert!(after < before, "{before} bytes became {after}");
    assert_eq!(pruned["segments_damaged"].as_array().unwrap().len(), 0);
}

#[test]
fn what_is_forgotten_gives_its_space_back() {
    let site = Site::generated(1, 10, 100);
    let center = lived(&site);
    // The last commit is what time is counted back from.
    std::thread::sleep(Duration::from_millis(1200));
    site.put(
        "0410000001/STD01/100/000/1000003/20250401/OMP-01/new",
        b"one more",
    );
    site.center(&["scan", "--walk"]).ok();
    site.backup(&["sync"]).ok();
    site.assert_equal();
    let before = segment_bytes(&site, "backup");
    let pruned = site.backup(&["prune"]).ok();
    check(&site, &pruned, before, "backup");
    site.backup(&["verify"]).ok();

    // Beside the process that has the home.
    let before = segment_bytes(&site, "center");
    let pruned = site.center(&["prune"]).ok();
    check(&site, &pruned, before, "center");

    // The copy goes on, from an index made anew.
    let rebuilt = site.backup(&["rebuild"]).ok();
    assert_eq!(rebuilt["root_matches"], true, "{rebuilt}");
    site.put(
        "0410000001/STD01/100/000/1000003/20250401/OMP-01/newer",
        b"and one",
    );
    site.center(&["scan", "--walk"]).ok();
    let report = site.backup(&["sync"]).ok();
    assert_eq!(report["roots_equal"], true);
    assert_eq!(report["pull"]["leaves"], 1, "{report}");
    center.end();
    site.assert_equal();
    site.backup(&["verify"]).ok();
    let rebuilt = site.center(&["rebuild"]).ok();
    assert_eq!(rebuilt["root_matches"], true, "{rebuilt}");
    let again = site.backup(&["prune"]).ok();
    site.backup(&["verify"]).ok();
    println!("again: {again}");
}
