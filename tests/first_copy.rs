//! Storages arrive equal. Three looks say so, none of which asks the other:
//! the harness's own, rsync's, and the replica's `verify`. Each is shown to
//! notice a change.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::{
    Process, Site, assert_unchanged_costs_nothing, copy, differences, look, rsync_work, samples,
};
use serde_json::Value;

/// Scans, serves and syncs; the reports of both sides agree.
fn first_sync(site: &Site) -> Process {
    let begun = Instant::now();
    let scan = site.center(&["scan"]).ok();
    let scanned = begun.elapsed();
    let center = site.serve();
    let begun = Instant::now();
    let sync = site.backup(&["sync"]).ok();
    println!(
        "{} files, {} bytes: scan {scanned:.1?}, sync {:.1?}, {} bytes on the link",
        sync["entries"],
        sync["bytes"],
        begun.elapsed(),
        sync["link"]["bytes_received"],
    );
    assert_eq!(sync["roots_equal"], true);
    assert_eq!(sync["root"], scan["root"]);
    assert_eq!(scan["root"].as_str().unwrap().len(), 64);
    assert_eq!(sync["root"], site.status("center")["snapshot"]["root"]);
    assert_eq!(sync["entries"], scan["entries"]);
    assert_eq!(sync["bytes"], scan["bytes"]);
    center
}

/// Equal by both outer looks; gives how many files that are.
fn arrived_equal(site: &Site) -> usize {
    site.assert_equal();
    site.assert_rsync_idle();
    look(&site.tree()).len()
}

fn set_mtime(path: &Path, mtime: std::time::SystemTime) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(mtime).unwrap();
}

/// Changes one bit of a file's byte at `offset`.
fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

/// Changes one byte of a file and nothing that `stat` shows but the ctime.
fn flip_unseen(path: &Path, offset: u64) {
    let mtime = fs::metadata(path).unwrap().modified().unwrap();
    flip(path, offset);
    set_mtime(path, mtime);
}

/// The first file of the tree with a content.
fn some_file(site: &Site) -> (PathBuf, u64) {
    let tree = look(&site.tree());
    let (path, seen) = tree
        .iter()
        .find(|(_, seen)| !seen.content.is_empty())
        .unwrap();
    let path = site.tree().join(std::ffi::OsStr::from_bytes(path));
    (path, seen.content.len() as u64)
}

/// One byte, one mtime, one name, one file more, one file less: both looks
/// say so, and are content again when it is undone.
fn looks_notice_changes(site: &Site) {
    let (file, size) = some_file(site);
    let name = file.strip_prefix(site.tree()).unwrap().to_str().unwrap();
    let noticed = |expected: &[String]| {
        assert_eq!(differences(&site.volumes(), &site.tree()), expected);
        let work = rsync_work(&site.volumes(), &site.tree());
        let named = work.iter().filter(|line| line.ends_with(name)).count();
        assert_eq!(named, 1, "rsync: {work:?}");
    };

    flip_unseen(&file, size / 2);
    noticed(&[format!("content: {name}")]);
    flip_unseen(&file, size / 2);
    arrived_equal(site);

    let mtime = fs::metadata(&file).unwrap().modified().unwrap();
    set_mtime(&file, mtime + Duration::from_nanos(1_000_000_001));
    noticed(&[format!("mtime: {name}")]);
    set_mtime(&file, mtime + Duration::from_nanos(1));
    assert_eq!(
        differences(&site.volumes(), &site.tree()),
        [format!("mtime: {name}")]
    );
    set_mtime(&file, mtime);
    arrived_equal(site);

    let other = file.with_extension("other");
    fs::rename(&file, &other).unwrap();
    let other_name = other.strip_prefix(site.tree()).unwrap();
    noticed(&[
        format!("only in the first: {name}"),
        format!("only in the second: {}", other_name.display()),
    ]);
    fs::rename(&other, &file).unwrap();
    arrived_equal(site);
}

#[test]
fn samples_arrive_equal() {
    let samples = samples()
        .expect("the sample storage lies at ../shared/testdata/ssmix2-samples, beside the project");
    let site = Site::empty();
    site.configure(false);
    copy(&samples, &site.volumes().join("0410000001/STD01"));
    let _center = first_sync(&site);
    assert_eq!(arrived_equal(&site), look(&samples).len());
    looks_notice_changes(&site);
}

#[test]
fn twenty_records_arrive_equal() {
    let site = Site::generated(1, 2, 20);
    let _center = first_sync(&site);
    assert!(arrived_equal(&site) >= 20);
    looks_notice_changes(&site);
}

#[test]
fn two_hundred_thousand_records_arrive_equal() {
    let site = Site::generated(5, 16_000, 200_000);
    let _center = first_sync(&site);
    assert!(arrived_equal(&site) >= 200_000);
    assert_unchanged_costs_nothing(&site);
}

/// The differences that a verification with exit code 3 names.
#[track_caller]
fn differing(site: &Site) -> Vec<Value> {
    let ran = site.backup(&["verify"]);
    assert_eq!(ran.code, Some(3), "{}\n{}", ran.json, ran.stderr);
    let named = ran.json["differences"].as_array().unwrap().clone();
    assert_eq!(ran.json["differences_total"], named.len());
    assert!(!named.is_empty(), "{}", ran.json);
    named
}

/// A verification that finds nothing, and read everything.
#[track_caller]
fn verified(site: &Site, files: usize) {
    let report = site.backup(&["verify"]).ok();
    assert_eq!(report["roots_equal"], true);
    assert_eq!(report["contents"], files);
    assert_eq!(report["tree_files"], files);
    assert_eq!(report["differences_total"], 0);
}

#[test]
fn verify_names_a_damaged_file_of_the_tree() {
    let site = Site::generated(1, 2, 20);
    let _center = first_sync(&site);
    let files = arrived_equal(&site);
    verified(&site, files);

    let (file, size) = some_file(&site);
    let name = file.strip_prefix(site.tree()).unwrap().to_str().unwrap();
    for offset in [0, size / 2, size - 1] {
        flip_unseen(&file, offset);
        let named = differing(&site);
        assert_eq!(named.len(), 1, "{named:?}");
        assert_eq!(named[0]["path"], name);
        assert_eq!(named[0]["place"], "tree");
        flip_unseen(&file, offset);
        verified(&site, files);
    }

    let mtime = fs::metadata(&file).unwrap().modified().unwrap();
    set_mtime(&file, mtime + Duration::from_nanos(1));
    assert_eq!(differing(&site)[0]["path"], name);
    set_mtime(&file, mtime);

    let beside = file.with_file_name("beside");
    fs::write(&beside, "not ours").unwrap();
    let named = differing(&site);
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0]["path"].as_str().unwrap().ends_with("/beside"));
    fs::remove_file(&beside).unwrap();

    fs::rename(&file, site.path("aside")).unwrap();
    assert_eq!(differing(&site)[0]["path"], name);
    fs::rename(site.path("aside"), &file).unwrap();
    verified(&site, files);
}

/// Whether the byte at `offset` belongs to a block: blocks begin with a
/// header of 72 bytes that says how long the rest is, and zeros fill up to a
/// multiple of 8 (SPEC.md, segments).
fn is_in_block(segment: &[u8], offset: usize) -> bool {
    let mut at = 40;
    while let Some(header) = segment.get(at..at + 72) {
        assert_eq!(&header[..4], b"hkBL");
        let stored = u32::from_le_bytes(header[20..24].try_into().unwrap()) as usize;
        let end = at + 72 + stored;
        if offset < end.next_multiple_of(8) {
            return offset < end;
        }
        at = end.next_multiple_of(8);
    }
    false
}

#[test]
fn verify_names_a_damaged_place_of_a_segment() {
    let site = Site::generated(1, 2, 20);
    let _center = first_sync(&site);
    let files = arrived_equal(&site);
    verified(&site, files);

    let folder = site.path("backup/store/segments");
    let segments: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "seg"))
        .collect();
    assert_eq!(segments.len(), 1);
    let before = fs::read(&segments[0]).unwrap();
    let mut noticed = 0;
    let mut unnoticed = Vec::new();
    for step in 0..24 {
        let offset = before.len() * (2 * step + 1) / 48;
        if !is_in_block(&before, offset) {
            continue;
        }
        flip(&segments[0], offset as u64);
        let ran = site.backup(&["verify"]);
        flip(&segments[0], offset as u64);
        let place = ran.json["differences"][0]["path"].as_str().unwrap_or("");
        match (ran.code, place) {
            (Some(3), place) if !place.is_empty() => noticed += 1,
            _ => unnoticed.push((offset, ran)),
        }
    }
    println!("{noticed} damaged places of a segment, each named");
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
    assert!(noticed >= 20, "{noticed}");
    assert_eq!(fs::read(&segments[0]).unwrap(), before);
    verified(&site, files);
}
