//! Snapshots, comparisons and restores by the real binary, alone and beside a
//! process that has the home.

use std::collections::BTreeMap;
use std::fs;

use super::harness::{Seen, Site, assert_same_files, has_program, hikae_under, look, skipped};
use serde_json::Value;

type Files = BTreeMap<Vec<u8>, Seen>;

/// A backup that lived through some days: what the volumes were at each of its
/// snapshots.
fn lived(days: u64) -> (Site, Vec<(u64, Files)>) {
    let site = Site::generated_in_memory(2, 20, 400);
    site.center(&["scan"]).ok();
    let mut states = Vec::new();
    let center = site.serve();
    for day in 0..=days {
        if day > 0 {
            site.day(60);
            site.center(&["scan"]).ok();
        }
        site.backup(&["sync"]).ok();
        let listed = site.backup(&["snapshots"]).ok();
        let last = listed["snapshots"].as_array().unwrap().last().unwrap();
        states.push((last["snapshot"].as_u64().unwrap(), look(&site.volumes())));
    }
    center.end();
    (site, states)
}

#[track_caller]
fn restored(site: &Site, to: &str, arguments: &[&str]) -> (Value, Files) {
    let to = site.text(to);
    let all = [&["restore", "--to", &to], arguments].concat();
    let report = site.backup(&all).ok();
    (report, look(to.as_ref()))
}

fn below(files: &Files, take: impl Fn(&str) -> bool) -> Files {
    let taken = files
        .iter()
        .filter(|(path, _)| take(&String::from_utf8_lossy(path)));
    taken
        .map(|(path, seen)| (path.clone(), seen.clone()))
        .collect()
}

/// Every snapshot restores byte for byte: by number and by time, whole, by
/// volume and by patient, alone and beside `sync --follow`, and from an index
/// made anew.
#[test]
fn every_snapshot_restores_byte_for_byte() {
    let (site, states) = lived(3);
    let listed = site.backup(&["snapshots"]).ok();
    let listed = listed["snapshots"].as_array().unwrap();
    assert_eq!(listed.len(), 4);
    for (at, (snapshot, files)) in states.iter().enumerate() {
        let (report, found) = restored(
            &site,
            &format!("by-number-{at}"),
            &["--at", &snapshot.to_string()],
        );
        assert_same_files(&found, files);
        assert_eq!(report["roots_equal"], true, "{report}");
        assert_eq!(report["files"], files.len(), "{report}");
        let time = listed[at]["accepted_at"].as_str().unwrap();
        let (report, found) = restored(&site, &format!("by-time-{at}"), &["--at", time]);
        assert_eq!(report["snapshot"].as_u64(), Some(*snapshot));
        assert_same_files(&found, files);
    }
    let (snapshot, first) = &states[0];
    let at = snapshot.to_string();
    let follower = site.spawn("backup", &["sync", "--follow"]);
    while !site.path("backup/control.sock").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let volume = "0410000001/STD01";
    let (_, found) = restored(&site, "volume", &["--at", &at, "--volume", volume]);
    let wanted = below(first, |path| path.starts_with(volume));
    assert_same_files(&found, &wanted);
    let patient = wanted
        .keys()
        .map(|path| String::from_utf8_lossy(path).into_owned());
    let patient = patient
        .filter_map(|path| path.split('/').nth(4).map(str::to_string))
        .find(|patient| patient.len() >= 6)
        .unwrap();
    let (_, found) = restored(&site, "patient", &["--at", &at, "--patient", &patient]);
    let wanted = below(first, |path| {
        path.split('/').nth(4) == Some(patient.as_str())
    });
    assert_same_files(&found, &wanted);
    follower.end();

    let rebuilt = site.backup(&["rebuild"]).ok();
    assert_eq!(rebuilt["root_matches"], true);
    let (_, found) = restored(&site, "rebuilt", &["--at", &at]);
    assert_same_files(&found, first);
}

/// What a comparison counts is what the gateways said they did.
#[test]
fn a_comparison_counts_the_records_of_a_day() {
    let (site, states) = lived(1);
    let day = site.day(80);
    let center = site.serve();
    site.center(&["scan"]).ok();
    site.backup(&["sync"]).ok();
    center.end();
    let from = states[1].0.to_string();
    let to = (states[1].0 + 1).to_string();
    let report = site.backup(&["diff", &from, &to]).ok();
    let number = |value: &Value| value.as_u64().unwrap();
    let total = &report["total"];
    // A record that a day made, changed and deleted counts once or not at all.
    assert!(
        number(&total["added"]) > 0 && number(&total["added"]) <= number(&day["creates"]),
        "{report}\n{day}"
    );
    assert!(
        number(&total["superseded"]) <= number(&day["updates"]),
        "{report}\n{day}"
    );
    assert!(number(&total["superseded"]) > 0, "{report}");
    let mut sum = [0; 4];
    for line in report["lines"].as_array().unwrap() {
        for (at, name) in ["added", "superseded", "removed", "changed"]
            .iter()
            .enumerate()
        {
            sum[at] += number(&line[name]);
        }
        assert!(line["volume"].as_str().unwrap().contains('/'));
    }
    assert_eq!(sum[0], number(&total["added"]));
    assert_eq!(sum[1], number(&total["superseded"]));
    assert_eq!(sum[2], number(&total["removed"]));
    // Backwards what was added is removed.
    let back = site.backup(&["diff", &to, &from]).ok();
    assert_eq!(back["total"]["removed"], {
        let gone = number(&total["added"]);
        let dead = back["total"]["removed"].as_u64().unwrap();
        assert!(dead <= gone, "{back}\n{report}");
        dead
    });
    let none = site.backup(&["diff", &to, &to]).ok();
    assert_eq!(none["leaves"], 0);
    // A center has the same history of names.
    let own = site.center(&["snapshots"]).ok();
    assert!(own["snapshots"].as_array().unwrap().len() >= 3, "{own}");
}

/// Wrong arguments are named, and nothing is written.
#[test]
fn what_can_not_be_restored_is_named() {
    let (site, _) = lived(0);
    let to = site.text("to");
    let refused = |arguments: &[&str]| site.backup(&[&["restore"], arguments].concat()).failed(2);
    let error = refused(&["--at", "99", "--to", &to]);
    assert!(error.contains("99") && error.contains("1 to 1"), "{error}");
    let error = refused(&["--at", "1970-01-01T00:00:00Z", "--to", &to]);
    assert!(error.contains("at or before 1970"), "{error}");
    let error = refused(&["--at", "yesterday", "--to", &to]);
    assert!(
        error.contains("yesterday") && error.contains("expected"),
        "{error}"
    );
    let error = refused(&["--at", "1", "--to", &to, "--volume", "0410000009/STD01"]);
    assert!(error.contains("0410000009/STD01"), "{error}");
    let error = refused(&["--at", "1", "--to", &to, "--patient", "nobody"]);
    assert!(error.contains("nobody"), "{error}");
    let inside = site.text("tree/restored");
    let error = refused(&["--at", "1", "--to", &inside]);
    assert!(
        error.contains("tree") && error.contains("hikae's own"),
        "{error}"
    );
    assert!(!site.path("to").exists() && !site.path("tree/restored").exists());
    fs::create_dir(site.path("full")).unwrap();
    fs::write(site.path("full/mine"), "mine").unwrap();
    let error = refused(&["--at", "1", "--to", &site.text("full")]);
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(fs::read(site.path("full/mine")).unwrap(), b"mine");
    let error = site
        .center(&["restore", "--at", "1", "--to", &to])
        .failed(2);
    assert!(error.contains("center"), "{error}");
    site.backup(&["restore", "--at", "1", "--to", &to]).ok();
    // It is done: nothing is gone on with.
    let error = refused(&["--at", "1", "--to", &to]);
    assert!(error.contains("not empty"), "{error}");
}

/// Killed again and again, with folders half made, files named and still empty,
/// files written and without their times, a restore goes on where it was.
#[test]
fn a_restore_that_was_cut_off_goes_on() {
    if !has_program("strace") {
        return skipped("a_restore_that_was_cut_off_goes_on", "there is no strace");
    }
    let (site, states) = lived(1);
    let (snapshot, files) = &states[0];
    let (at, to, home) = (snapshot.to_string(), site.text("to"), site.text("backup"));
    let arguments = ["restore", "--at", &at, "--to", &to, "--home", &home];
    let cuts = ["mkdirat", "write", "utimensat"];
    for call in cuts {
        // Of the calls that a thread makes.
        let inject = format!("inject={call}:signal=SIGKILL:when=40");
        let trace = format!("trace={call}");
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &trace,
            "-e",
            &inject,
        ];
        let ran = hikae_under(&strace, &arguments);
        assert_ne!(ran.code, Some(0), "nothing was cut off at {call}");
    }
    let partly = look(to.as_ref()).len();
    println!("{} kills, {partly} of {} files", cuts.len(), files.len());
    let other = (snapshot + 1).to_string();
    let error = site
        .backup(&["restore", "--at", &other, "--to", &to])
        .failed(2);
    assert!(error.contains("not empty"), "{error}");
    let report = site.backup(&arguments[..5]).ok();
    assert_eq!(report["resumed"], true, "{report}");
    assert!(
        report["files_written"].as_u64().unwrap() < files.len() as u64,
        "{report}"
    );
    assert_same_files(&look(to.as_ref()), files);
    let names = fs::read_dir(&to)
        .unwrap()
        .map(|item| item.unwrap().file_name());
    assert!(
        names
            .into_iter()
            .all(|name| !name.to_string_lossy().starts_with('.'))
    );
}
