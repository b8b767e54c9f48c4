//! The damage matrix: bits that flip anywhere in a backup are named and
//! repaired, from its own tree and segments and from its source; who edits
//! the tree by hand is noticed, and what they wrote is kept aside.
//!
//! `HIKAE_FLIPS` (default 1,000) and `HIKAE_FLIPS_SEED` say how many and which.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use hikae_protocol::objectpath::PathText;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::harness::{Site, assert_same_files, look, number};
use serde_json::Value;

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let files = look(folder).into_keys();
    let mut files: Vec<PathBuf> = files
        .map(|path| folder.join(OsStr::from_bytes(&path)))
        .collect();
    files.sort();
    files
}

fn flip(random: &mut ChaCha8Rng, path: &Path) -> Option<usize> {
    let mut bytes = fs::read(path).unwrap();
    if bytes.is_empty() {
        return None;
    }
    let at = random.random_range(0..bytes.len());
    bytes[at] ^= 1 << random.random_range(0..8);
    fs::write(path, bytes).unwrap();
    Some(at)
}

/// A backup that lived: a checkpoint, history, several volumes.
fn lived() -> Site {
    let site = Site::generated_in_memory(2, 60, 1500);
    site.center(&["scan"]).ok();
    let center = site.serve();
    site.backup(&["sync"]).ok();
    for day in 0..4 {
        for file in files_below(&site.volumes().join("0410000001/STD01"))
            .iter()
            .take(150)
        {
            let mut content = vec![0; 700];
            let name = file.as_os_str().as_encoded_bytes();
            blake3::Hasher::new()
                .update(name)
                .update(&[day])
                .finalize_xof()
                .fill(&mut content);
            fs::write(file, content).unwrap();
        }
        site.center(&["scan", "--walk"]).ok();
        site.backup(&["sync"]).ok();
    }
    std::thread::sleep(std::time::Duration::from_millis(1100));
    site.day(50);
    site.center(&["scan"]).ok();
    site.backup(&["sync"]).ok();
    site.backup(&["prune"]).ok();
    site.assert_equal();
    center.end();
    site
}

fn texts(report: &Value) -> Vec<String> {
    let named = report["differences"].as_array().unwrap().iter();
    named
        .map(|at| {
            format!(
                "{} {}",
                at["path"].as_str().unwrap(),
                at["what"].as_str().unwrap()
            )
        })
        .collect()
}

/// A thousand bits in segments, tree, checkpoint and index are all named and
/// all repaired.
#[test]
fn a_thousand_flipped_bits_are_named_and_repaired() {
    let site = lived();
    let flips = number("HIKAE_FLIPS", 1000);
    let mut random = ChaCha8Rng::seed_from_u64(number("HIKAE_FLIPS_SEED", 1));
    let store = site.path("backup/store");
    assert!(store.join("checkpoint").exists());
    let tree = files_below(&site.tree());
    let places: [(&str, Vec<PathBuf>, u64); 4] = [
        (
            "segments",
            files_below(&store.join("segments")),
            flips * 3 / 10,
        ),
        ("tree", tree, flips * 5 / 10),
        ("checkpoint", vec![store.join("checkpoint")], flips / 10),
        ("index", files_below(&store.join("catalogue")), flips / 10),
    ];
    let mut flipped: BTreeMap<&str, BTreeSet<PathBuf>> = BTreeMap::new();
    for (place, files, count) in &places {
        for _ in 0..*count {
            let path = files.choose(&mut random).unwrap();
            // The store's key to itself is made anew from any segment.
            if path.ends_with("store.id") {
                continue;
            }
            if flip(&mut random, path).is_some() {
                flipped.entry(place).or_default().insert(path.clone());
            }
        }
    }
    let found = site.backup(&["verify"]);
    assert_eq!(found.code, Some(3), "{}", found.json["error"]);
    let named = texts(&found.json);
    assert!(!found.json["index_rebuilt"].is_null());
    for file in &flipped["tree"] {
        let path = file.strip_prefix(site.tree()).unwrap();
        // Two flips may have made a bit what it was.
        let is_same = fs::read(file).unwrap() == fs::read(site.volumes().join(path)).unwrap();
        let name = PathText::new(path.as_os_str().as_bytes()).to_string();
        // Of a leaf whose record is gone the folder is named.
        let leaf = name.split('/').take(5).collect::<Vec<_>>().join("/");
        let is_named =
            |text: &String| text.contains(&name) || text.starts_with(&format!("{leaf} "));
        assert!(is_same || named.iter().any(is_named), "{name} is not named");
    }
    for path in &flipped["segments"] {
        let path = path.to_str().unwrap();
        assert!(
            named.iter().any(|text| text.contains(path)),
            "{path} is not named"
        );
    }
    let patients = found.json["differences"].as_array().unwrap();
    assert!(
        patients
            .iter()
            .any(|at| at["patient"].is_string() && at["volume"].is_string())
    );
    let center = site.serve();
    let repaired = site.backup(&["verify", "--repair"]);
    let repair = repaired.json["repair"].clone();
    assert_eq!(repaired.code, Some(0), "{:#}", repair["remaining"]);
    println!(
        "{flips} bits in {:?}: {} differences named; {} contents from the tree, {} and {} leaves \
         asked, {} files written, {} segments written anew",
        flipped
            .iter()
            .map(|(place, files)| (*place, files.len()))
            .collect::<Vec<_>>(),
        named.len(),
        repair["contents_from_tree"],
        repair["contents_asked"],
        repair["leaves_asked"],
        repair["tree"]["files_written"],
        repair["store"]["segments_healed"]
    );
    assert_eq!(repair["remaining_total"], 0, "{repair}");
    site.backup(&["verify"]).ok();
    site.assert_equal();
    let rebuilt = site.backup(&["rebuild"]).ok();
    assert_eq!(rebuilt["damages"].as_array().unwrap().len(), 0, "{rebuilt}");
    assert_eq!(rebuilt["root_matches"], true);
    site.backup(&["sync"]).ok();
    center.end();
}

/// Contents that rotted in the segments come from the tree, without a source.
#[test]
fn segments_are_repaired_from_the_own_tree() {
    let site = Site::generated_in_memory(1, 20, 300);
    site.center(&["scan"]).ok();
    assert_eq!(site.sync().code, Some(0));
    let segment = site.path("backup/store/segments/00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let contents = (40..bytes.len() - 80).step_by(8);
    let contents = contents.filter(|&at| bytes[at..at + 4] == *b"hkBL" && bytes[at + 4] == 1);
    let contents: Vec<usize> = contents.collect();
    for at in &contents {
        bytes[at + 90] ^= 4;
    }
    fs::write(&segment, bytes).unwrap();
    let to = site.text("restored");
    let ran = site.backup(&["restore", "--at", "1", "--to", &to]);
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert!(!ran.json["damaged"].as_array().unwrap().is_empty());
    assert_eq!(site.backup(&["verify"]).code, Some(3));
    let repaired = site.backup(&["verify", "--repair"]).ok();
    let repair = &repaired["repair"];
    assert!(
        repair["contents_from_tree"].as_u64().unwrap() > 0,
        "{repair}"
    );
    assert_eq!(repair["contents_asked"], 0, "{repair}");
    assert!(repair["source_failed"].is_null(), "{repair}");
    site.backup(&["verify"]).ok();
    site.backup(&["rebuild"]).ok();
    site.assert_equal();
    site.backup(&["verify"]).ok();
}

/// Somebody edits the backup's tree: found, restored, theirs kept aside, and
/// nothing outside is touched.
#[test]
fn a_tree_that_was_edited_by_hand_is_restored_and_theirs_kept() {
    let site = Site::generated_in_memory(1, 20, 300);
    site.center(&["scan"]).ok();
    assert_eq!(site.sync().code, Some(0));
    let good = look(&site.tree());
    let mut files = files_below(&site.tree().join("0410000001/STD01"));
    // Of patients: not what lies higher up.
    let depth = site.tree().components().count() + 8;
    files.retain(|file| file.components().count() == depth);
    let leaf = |at: usize| files[at].ancestors().nth(3).unwrap().to_path_buf();
    fs::create_dir(site.path("outside")).unwrap();
    fs::write(site.path("outside/sentinel"), "theirs").unwrap();
    fs::write(&files[0], "edited").unwrap();
    fs::remove_file(&files[1]).unwrap();
    fs::write(files[2].with_file_name("note.txt"), "a note").unwrap();
    fs::remove_file(&files[3]).unwrap();
    symlink(site.path("outside/sentinel"), &files[3]).unwrap();
    let last = leaf(files.len() - 1);
    fs::rename(&last, site.path("moved")).unwrap();
    symlink(site.path("outside"), &last).unwrap();
    fs::create_dir_all(site.tree().join("0410000001/STD01/999/999")).unwrap();
    fs::write(site.tree().join("0410000001/STD01/999/999/stray"), "stray").unwrap();
    let found = site.backup(&["verify"]);
    assert_eq!(found.code, Some(3), "{}", found.json);
    let named = texts(&found.json).join("\n");
    for name in [
        "note.txt",
        "stray",
        files[0].file_name().unwrap().to_str().unwrap(),
    ] {
        assert!(named.contains(name), "{name}: {named}");
    }
    let repaired = site.backup(&["verify", "--repair"]).ok();
    let repair = &repaired["repair"]["tree"];
    let aside = PathBuf::from(repair["aside_folder"].as_str().unwrap());
    let tree = look(&site.tree());
    assert_same_files(&tree, &good);
    let kept = look(&aside);
    let kept: Vec<&[u8]> = kept.values().map(|seen| &seen.content[..]).collect();
    for theirs in [&b"edited"[..], b"a note", b"stray"] {
        assert!(kept.contains(&theirs), "{kept:?}");
    }
    assert_eq!(fs::read(site.path("outside/sentinel")).unwrap(), b"theirs");
    assert_eq!(fs::read_dir(site.path("outside")).unwrap().count(), 1);
    site.backup(&["verify"]).ok();
    assert_eq!(site.sync().code, Some(0));
}

/// A node that stays reads everything again by itself, and forgets what is
/// beyond the retention.
#[test]
fn a_node_that_stays_scrubs_and_prunes() {
    let site = Site::generated_in_memory(1, 20, 300);
    site.center(&["scan"]).ok();
    let center = site.serve();
    site.backup(&["sync"]).ok();
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        site.day(20);
        site.center(&["scan"]).ok();
        site.backup(&["sync"]).ok();
    }
    let config = site.path("backup/hikae.toml");
    let text = fs::read_to_string(&config).unwrap();
    let schedule = "[schedule]\nverify = \"3s\"\nprune = \"1s\"\n";
    fs::write(&config, format!("{text}{schedule}")).unwrap();
    let edited = files_below(&site.tree().join("0410000001/STD01"))[3].clone();
    fs::write(&edited, "edited").unwrap();
    let kept = |site: &Site| {
        let listed = site.backup(&["snapshots"]).ok();
        listed["snapshots"].as_array().unwrap().len()
    };
    assert_eq!(kept(&site), 3);
    let begun = std::time::Instant::now();
    let patience = |what: &str| {
        assert!(begun.elapsed().as_secs() < 120, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    };
    let follower = site.spawn("backup", &["sync", "--follow"]);
    while site.status("backup")["scrub"]["leaves"]
        .as_u64()
        .unwrap_or(0)
        == 0
    {
        patience("no scrubbing");
    }
    // What was read before a stop is not read again after it.
    follower.end();
    let before = site.status("backup")["scrub"].clone();
    let follower = site.spawn("backup", &["sync", "--follow"]);
    while site.status("backup")["scrub"]["last_ended_at"].is_null() {
        patience("no pass ended");
    }
    let after = site.status("backup")["scrub"].clone();
    assert!(
        after["last_differences"].as_u64().unwrap() > 0,
        "{before} {after}"
    );
    while kept(&site) == 3 {
        patience("nothing was pruned");
    }
    follower.end();
    center.end();
    site.backup(&["verify", "--repair"]).ok();
    site.assert_equal();
}
