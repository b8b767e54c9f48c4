//! Decisions of a person, an attacker with the source's key, ordinary years.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use hikae::r#gen::{DayOptions, StorageOptions, day, storage};
use hikae::plan::changes;
use hikae::progress::Silent;
use hikae_protocol::digest::Digest;
use hikae_protocol::entry::Entry;
use hikae_protocol::objectpath::{LeafKey, ObjectPath};

use super::harness::{
    Seen, Site, assert_same_files, copy, hikae, look, memory_folder, number, record,
};

const VOLUME: &str = "0410000001/STD01";

fn path(order: u64) -> String {
    format!("{VOLUME}/{}", record("1000001", order))
}

/// A backup with 40 records of one volume, of which 25 are rewritten: held.
fn held() -> Site {
    let site = Site::empty();
    site.configure(false);
    site.guard();
    for order in 0..40 {
        site.put(&path(order), format!("MSH|{order}").as_bytes());
    }
    copy(&site.volumes(), &site.path("kept"));
    site.center(&["scan"]).ok();
    assert_eq!(site.sync().code, Some(0));
    for order in 0..25 {
        site.put(&path(order), b"encrypted");
    }
    site.put(&path(100), b"MSH|new");
    site.center(&["scan", "--walk"]).ok();
    assert_eq!(site.sync().code, Some(4));
    site
}

/// Puts records back as they were, times too.
fn mend(site: &Site, orders: std::ops::Range<u64>) {
    for order in orders {
        let kept = site.path("kept").join(path(order));
        let file = site.volumes().join(path(order));
        let time = fs::metadata(&kept).unwrap().modified().unwrap();
        fs::copy(&kept, &file).unwrap();
        let file = fs::File::options().write(true).open(file).unwrap();
        file.set_modified(time).unwrap();
    }
    site.center(&["scan", "--walk"]).ok();
}

/// [S11-11] what a person rejects is shown as it was until the source has it
/// again; the rest of the volume goes on.
#[test]
fn rejected_records_stay_until_the_source_is_mended() {
    let site = held();
    let kept = look(&site.path("kept"));
    let error = site.backup(&["reject", "0410000009/STD01"]).failed(2);
    assert!(error.contains(VOLUME), "{error}");
    let error = site
        .backup(&["reject", VOLUME, "--snapshot", "1"])
        .failed(2);
    assert!(error.contains("snapshot 2"), "{error}");
    let follower = site.spawn("backup", &["sync", "--follow"]);
    let report = site.backup(&["reject", VOLUME, "--snapshot", "2"]).ok();
    follower.end();
    assert_eq!(report["held"][0]["state"], "rejected", "{report}");
    assert_eq!(report["held"][0]["records_pinned"], 25, "{report}");
    let mut wanted = kept.clone();
    let new = look(&site.volumes());
    let new_path = path(100).into_bytes();
    wanted.insert(new_path.clone(), new[&new_path].clone());
    assert_same_files(&look(&site.tree()), &wanted);
    site.backup(&["verify"]).ok();

    mend(&site, 0..10);
    let ran = site.sync();
    assert_eq!(ran.code, Some(4), "{}", ran.json);
    assert_eq!(ran.json["held"][0]["records_pinned"], 15, "{}", ran.json);
    assert_same_files(&look(&site.tree()), &wanted);
    // Nothing is forgotten that the pinned records need.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    site.backup(&["prune"]).ok();
    // A record of the volume that is not rejected goes on.
    site.put(&path(101), b"MSH|newer");
    mend(&site, 0..0);
    assert_eq!(site.sync().code, Some(4));
    assert!(look(&site.tree()).contains_key(path(101).as_bytes()));

    mend(&site, 10..25);
    let ran = site.sync();
    assert_eq!(ran.code, Some(0), "{}", ran.json);
    site.assert_equal();
    assert!(site.status("backup")["held"].as_array().unwrap().is_empty());
    site.backup(&["verify"]).ok();
}

/// Who rejected may still approve.
#[test]
fn what_was_rejected_can_be_approved() {
    let site = held();
    site.backup(&["reject", VOLUME]).ok();
    let report = site.backup(&["approve", VOLUME]).ok();
    assert!(report["held"].as_array().unwrap().is_empty(), "{report}");
    site.assert_equal();
    assert_eq!(site.sync().code, Some(0));
    site.backup(&["approve", VOLUME]).failed(2);
}

/// [S11-11] a rejection outlives either of the guard's files: lost, or garbled
/// anywhere. The other one is made anew from what is left.
#[test]
fn a_rejection_outlives_the_guard_s_file() {
    let site = held();
    site.backup(&["reject", VOLUME]).ok();
    let tree = look(&site.tree());
    let store = site.path("backup/store");
    let [file, copy] = ["guard", "guard.copy"].map(|name| store.join(name));
    for harmed in [&file, &copy] {
        for garbled in [None, Some(3), Some(40)] {
            match garbled {
                None => fs::remove_file(harmed).unwrap(),
                Some(at) => {
                    let mut bytes = fs::read(harmed).unwrap();
                    bytes[at] ^= 1;
                    fs::write(harmed, bytes).unwrap();
                }
            }
            let held = site.status("backup")["held"].clone();
            assert_eq!(held[0]["state"], "rejected", "{harmed:?} {garbled:?}");
            assert_eq!(held[0]["records_pinned"], 25, "{held}");
            // Something new makes the guard write both.
            let order = 200 + u64::from(*harmed == copy) * 10 + garbled.unwrap_or(0) as u64;
            site.put(&path(order), b"MSH|newer");
            site.center(&["scan", "--walk"]).ok();
            let ran = site.sync();
            assert_eq!(ran.json["held"][0]["state"], "rejected", "{}", ran.json);
            assert_eq!(fs::read(&file).unwrap(), fs::read(&copy).unwrap());
            let mut shown = look(&site.tree());
            shown.retain(|path, _| tree.contains_key(path));
            assert_same_files(&shown, &tree);
        }
    }
}

/// [S11-10] without the guard's own files what the tree shows to be behind stays
/// held; garbled ones stop the publication by their name.
#[test]
fn a_hold_outlives_the_guard_s_files() {
    let site = held();
    let tree = look(&site.tree());
    let file = site.path("backup/store/guard");
    let copy = site.path("backup/store/guard.copy");
    fs::remove_file(&file).unwrap();
    fs::remove_file(&copy).unwrap();
    let ran = site.sync();
    assert_eq!(ran.code, Some(4), "{}", ran.json);
    assert_eq!(ran.json["held"][0]["volume"], VOLUME);
    assert_same_files(&look(&site.tree()), &tree);
    for file in [&file, &copy] {
        let mut bytes = fs::read(file).unwrap();
        bytes[40] ^= 1;
        fs::write(file, bytes).unwrap();
    }
    let error = site.sync().failed(1);
    assert!(
        error.contains("guard") && error.contains("remove both"),
        "{error}"
    );
    assert_same_files(&look(&site.tree()), &tree);
}

/// `HIKAE_ATTACK_RECORDS` (default 200) of one facility.
fn of_size() -> Site {
    let records = number("HIKAE_ATTACK_RECORDS", 200);
    Site::generated_in_memory(1, (records / 12).max(10), records)
}

/// Whoever has the source's key can sign what they like: it is refused or held.
#[test]
fn an_attacker_with_the_source_s_key_changes_no_tree() {
    let site = of_size();
    site.guard();
    site.center(&["scan"]).ok();
    assert_eq!(site.sync().code, Some(0));
    let before = look(&site.tree());
    let store = site.path("center/store");
    fs::rename(&store, site.path("away")).unwrap();
    for (name, seen) in look(&site.volumes()) {
        let file = site
            .volumes()
            .join(PathBuf::from(std::ffi::OsStr::from_bytes(&name)));
        fs::write(file, [&seen.content[..], b"encrypted"].concat()).unwrap();
    }
    site.center(&["scan"]).ok();
    for _ in 0..3 {
        let ran = site.sync();
        assert!(matches!(ran.code, Some(1 | 4)), "{}", ran.json);
        println!("code {:?}: {}", ran.code, ran.json["error"]);
        let tree = look(&site.tree());
        assert_same_files(&of_volume(&tree), &of_volume(&before));
        site.center(&["scan", "--walk"]);
    }
    let to = site.text("restored");
    site.backup(&["restore", "--at", "1", "--to", &to]).ok();
    assert_same_files(&look(to.as_ref()), &before);
}

fn of_volume(files: &Files) -> Files {
    let own = files
        .iter()
        .filter(|(path, _)| path.starts_with(VOLUME.as_bytes()));
    own.map(|(path, seen)| (path.clone(), seen.clone()))
        .collect()
}

/// A root that was unmounted is no deletion: the center says so, and nothing
/// is signed of it.
#[test]
fn an_unmounted_root_is_told_at_once() {
    let site = of_size();
    site.guard();
    site.center(&["scan"]).ok();
    assert_eq!(site.sync().code, Some(0));
    let before = look(&site.tree());
    let volume = site.volumes().join(VOLUME);
    fs::rename(&volume, site.path("away")).unwrap();
    fs::create_dir(&volume).unwrap();
    let ran = site.center(&["scan", "--walk"]);
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert!(
        ran.json["errors"].to_string().contains(VOLUME),
        "{}",
        ran.json
    );
    site.sync();
    assert_same_files(&look(&site.tree()), &before);
}

type Files = BTreeMap<Vec<u8>, Seen>;

fn by_leaf(files: &Files) -> BTreeMap<LeafKey, Vec<Entry>> {
    let mut leaves: BTreeMap<LeafKey, Vec<Entry>> = BTreeMap::new();
    for (path, seen) in files {
        let mut slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let Some((end, _)) = slashes.nth(1) else {
            continue;
        };
        let (leaf, below) = LeafKey::of_file(&path[..end], &path[end + 1..]).unwrap();
        leaves.entry(leaf).or_default().push(Entry {
            path: ObjectPath::parse(below.as_bytes()).unwrap(),
            size: seen.content.len() as u64,
            mtime_ns: seen.mtime_ns as i64,
            digest: Digest::of_content(&seen.content),
        });
    }
    leaves
}

/// [S11-7] a year of ordinary days has next to nothing that is suspect: all of
/// it together is less than would hold a volume within a week.
/// `HIKAE_GUARD_DAYS` (default 60): 365 are a year.
#[test]
fn a_year_of_ordinary_days_raises_no_alarm() {
    let folder = memory_folder();
    let out = folder.path().join("storage");
    let options = StorageOptions {
        out: out.clone(),
        facilities: 2,
        patients: 80,
        records: 900,
        seed: 7,
    };
    storage(&options, &Silent).unwrap();
    let volumes = out.join("volumes");
    let days = number("HIKAE_GUARD_DAYS", 60);
    let mut before = by_leaf(&look(&volumes));
    let (mut records, mut suspects) = (0, BTreeMap::<Vec<u8>, Vec<String>>::new());
    for _ in 0..days {
        let options = DayOptions {
            out: out.clone(),
            changes: 40,
            seed: None,
        };
        day(&options, &Silent).unwrap();
        let after = by_leaf(&look(&volumes));
        for (leaf, new) in &after {
            let old = before.get(leaf).map(Vec::as_slice).unwrap_or_default();
            for change in changes(old, new) {
                records += 1;
                let all = suspects.entry(leaf.volume().to_vec()).or_default();
                all.extend(change.suspects.iter().map(|at| format!("{at:?}")));
            }
        }
        let gone = before.keys().find(|leaf| !after.contains_key(*leaf));
        assert_eq!(gone, None, "a patient is gone");
        before = after;
    }
    for (volume, all) in &suspects {
        let volume = String::from_utf8_lossy(volume);
        assert!(
            all.len() < 20,
            "{volume}: {} in {days} days: {:#?}",
            all.len(),
            &all[..5]
        );
    }
    assert!(records > days * 20, "only {records} records changed");
    let total: usize = suspects.values().map(Vec::len).sum();
    println!("{days} days, {records} records changed, {total} suspect files");
}

/// The generator's command line makes the same days; by the whole way they are
/// no alarm either, though the guard sees all of them within one week.
#[test]
fn ordinary_days_pass_the_guard() {
    let site = Site::generated_in_memory(2, 40, 900);
    site.guard();
    site.center(&["scan"]).ok();
    assert_eq!(site.sync().code, Some(0));
    for _ in 0..number("HIKAE_GUARD_DAYS", 10) {
        hikae([
            "gen",
            "day",
            "--out",
            &site.text("storage"),
            "--changes",
            "60",
        ])
        .ok();
        site.center(&["scan"]).ok();
        let ran = site.sync();
        assert_eq!(ran.code, Some(0), "{}", ran.json);
    }
    site.assert_equal();
}
