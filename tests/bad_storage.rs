//! A bad storage: what can't be read is named and stays copied, the rest goes
//! on, and after the fault the next scan and sync end equal. And a full disk.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{
    Disk, Ran, Seen, Site, assert_same, differences, has_program, look, noise, record, skipped,
    unprivileged,
};
use serde_json::Value;

/// The volume that faults befall, and one beside it.
const A: &str = "0410000001/STD01";
const B: &str = "0410000002/STD01";
/// Patients of each.
const PATIENTS: u64 = 10;

fn patient(number: u64) -> String {
    (1_000_000 + number).to_string()
}

/// The path of a patient's record, facility first.
fn path(volume: &str, number: u64, order: u64) -> String {
    format!("{volume}/{}", record(&patient(number), order))
}

/// A center of two facilities without an INDEX DB: every scan is a walk.
fn written() -> Site {
    let site = Site::empty();
    site.configure(false);
    for volume in [A, B] {
        for number in 0..PATIENTS {
            let path = path(volume, number, 1);
            site.put(&path, path.as_bytes());
        }
    }
    site
}

/// The same, scanned and synced.
fn copied() -> Site {
    let site = written();
    scan(&site).ok();
    sync(&site).0.ok();
    site.assert_equal();
    site
}

/// `scan` by somebody for whom modes of files count.
fn scan(site: &Site) -> Ran {
    site.center_under(unprivileged().unwrap_or_default(), &["scan"])
}

/// A sync from such a center, and the center's status after it.
fn sync(site: &Site) -> (Ran, Value) {
    let center = site.serve_under(unprivileged().unwrap_or_default());
    let ran = site.backup(&["sync"]);
    let status = site.center(&["status"]).ok();
    center.end();
    (ran, status)
}

#[track_caller]
fn converges(site: &Site) {
    scan(site).ok();
    let report = sync(site).0.ok();
    assert_eq!(report["roots_equal"], true);
    site.assert_equal();
    site.backup(&["verify"]).ok();
}

/// The files of the tree, each with its content.
fn tree(site: &Site) -> BTreeMap<Vec<u8>, Seen> {
    look(&site.tree())
}

/// A fault befalls one volume of a copied center; the other gets a record.
fn outage(fault: impl Fn(&Site), mend: impl Fn(&Site), expected: &[&str]) {
    let site = copied();
    let before = tree(&site);
    let new = path(B, 3, 2);
    site.put(&new, b"the rest goes on");
    fault(&site);

    let ran = scan(&site);
    let text = ran.json.to_string();
    assert_eq!(ran.code, Some(1), "{text}\n{}", ran.stderr);
    for expected in expected {
        assert!(text.contains(expected), "expected {expected:?} in {text}");
    }
    assert_eq!(ran.json["files_removed"], 0, "{text}");
    assert_eq!(ran.json["entries"], 2 * PATIENTS + 1, "{text}");

    let (synced, status) = sync(&site);
    assert_eq!(synced.ok()["roots_equal"], true);
    for expected in expected {
        assert!(
            status.to_string().contains(expected),
            "expected {expected:?} in the status: {status}"
        );
    }
    let mut after = tree(&site);
    let arrived = after.remove(new.as_bytes());
    assert!(
        arrived.is_some(),
        "the other volume's record did not arrive"
    );
    assert_eq!(
        before, after,
        "the tree lost or changed what could not be read"
    );
    site.backup(&["verify"]).ok();

    mend(&site);
    converges(&site);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Says why a test that needs modes to count shows nothing here.
fn modes_do_not_count(test: &str) -> bool {
    if unprivileged().is_none() {
        skipped(
            test,
            "modes of files do not count for root; install setpriv",
        );
    }
    unprivileged().is_none()
}

/// A folder of volume A with changes in it can't be read.
fn unreadable_folder(below: &str, name: &str) {
    if modes_do_not_count("unreadable_folder") {
        return;
    }
    let folder = |site: &Site| site.volumes().join(below);
    outage(
        |site| {
            fs::write(site.volumes().join(path(A, 3, 1)), "changed").unwrap();
            fs::remove_file(site.volumes().join(path(A, 4, 1))).unwrap();
            site.put(&path(A, 5, 2), b"new");
            mode(&folder(site), 0o000);
        },
        |site| mode(&folder(site), 0o755),
        &[name, "Permission denied"],
    );
}

#[test]
fn an_unreadable_file_is_named_and_stays_copied() {
    if modes_do_not_count("an_unreadable_file") {
        return;
    }
    let file = |site: &Site| site.volumes().join(path(A, 3, 1));
    outage(
        |site| {
            fs::write(file(site), "changed").unwrap();
            mode(&file(site), 0o000);
        },
        |site| mode(&file(site), 0o644),
        &[&path(A, 3, 1), "Permission denied"],
    );
}

#[test]
fn an_unreadable_patient_directory_is_named_and_stays_copied() {
    // All three changes lie in patients of one prefix; each by itself.
    if modes_do_not_count("an_unreadable_patient_directory") {
        return;
    }
    let folder = |site: &Site| site.volumes().join(A).join("100/000/1000003");
    outage(
        |site| {
            fs::remove_file(site.volumes().join(path(A, 3, 1))).unwrap();
            site.put(&path(A, 3, 2), b"new");
            mode(&folder(site), 0o000);
        },
        |site| mode(&folder(site), 0o755),
        &[&format!("{A}/100/000/1000003"), "Permission denied"],
    );
}

#[test]
fn an_unreadable_folder_in_a_patient_directory_is_named_and_stays_copied() {
    if modes_do_not_count("an_unreadable_folder_in_a_patient_directory") {
        return;
    }
    let folder = |site: &Site| site.volumes().join(A).join("100/000/1000003/20250401");
    outage(
        |site| {
            fs::remove_file(site.volumes().join(path(A, 3, 1))).unwrap();
            mode(&folder(site), 0o000);
        },
        |site| mode(&folder(site), 0o755),
        &[
            &format!("{A}/100/000/1000003/20250401"),
            "Permission denied",
        ],
    );
}

#[test]
fn an_unreadable_prefix_folder_is_named_and_stays_copied() {
    unreadable_folder(&format!("{A}/100/000"), &format!("{A}/100/000"));
    unreadable_folder(&format!("{A}/100"), &format!("{A}/100"));
}

#[test]
fn an_unreadable_root_is_named_and_stays_copied() {
    unreadable_folder(A, A);
}

#[test]
fn an_unreadable_facility_folder_is_named_and_stays_copied_while_others_go_on() {
    unreadable_folder("0410000001", "0410000001");
}

/// `--accept-root` takes what is there, not what can't be seen; a first copy
/// names what it could not get, and gets it later.
#[test]
fn an_unreadable_facility_folder_is_not_accepted_and_is_left_out_of_a_first_copy_by_name() {
    if modes_do_not_count("an_unreadable_facility_folder") {
        return;
    }
    let site = written();
    scan(&site).ok();
    let folder = site.volumes().join("0410000001");
    mode(&folder, 0o000);
    let unprivileged = unprivileged().unwrap_or_default();
    let ran = site.center_under(unprivileged, &["scan", "--accept-root"]);
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert_eq!(ran.json["entries"], 2 * PATIENTS, "{}", ran.json);
    let status = site.center(&["status"]).ok();
    assert_eq!(status["left_out"][0]["path"], "0410000001", "{status}");
    let (ran, status) = sync(&site);
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert_eq!(ran.json["left_out_total"], PATIENTS, "{}", ran.json);
    assert!(
        ran.json["left_out"].to_string().contains(&path(A, 1, 1)),
        "{}",
        ran.json
    );
    assert!(status.to_string().contains("Permission denied"), "{status}");
    assert_eq!(tree(&site).len() as u64, PATIENTS);
    mode(&folder, 0o755);
    converges(&site);
}

#[test]
fn a_folder_that_can_be_listed_but_not_entered_is_named_and_stays_copied() {
    if modes_do_not_count("a_folder_that_can_be_listed") {
        return;
    }
    let folder = |site: &Site| {
        site.volumes()
            .join(A)
            .join("100/000/1000003/20250401/OMP-01")
    };
    let name = format!("{A}/100/000/1000003/20250401/OMP-01");
    outage(
        |site| mode(&folder(site), 0o444),
        |site| mode(&folder(site), 0o755),
        &[&name, "Permission denied"],
    );
}

/// The disk fails below a readable file or folder.
fn failing_disk(fault: &Path, call: &str, site: &Site, expected: &str) {
    if !has_program("strace") {
        return skipped("failing_disk", "install strace");
    }
    let before = scan(site).ok();
    fs::write(site.volumes().join(path(A, 3, 1)), "changed").unwrap();
    site.put(&path(B, 3, 2), b"the rest goes on");
    let inject = format!("inject={call}:error=EIO");
    let trace = format!("trace={call}");
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-P",
        fault.to_str().unwrap(),
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    let ran = site.center_under(&strace, &["scan"]);
    let text = ran.json.to_string();
    assert_eq!(ran.code, Some(1), "{text}\n{}", ran.stderr);
    assert!(
        text.contains(expected) && text.contains("Input/output error"),
        "{text}"
    );
    assert_eq!(ran.json["files_removed"], 0, "{text}");
    assert_eq!(
        ran.json["entries"].as_u64(),
        before["entries"].as_u64().map(|entries| entries + 1),
        "{text}"
    );
    converges(site);
}

#[test]
fn a_read_error_in_a_file_is_named_and_it_stays_copied() {
    let site = copied();
    let file = site.volumes().join(path(A, 3, 1));
    failing_disk(&file, "read", &site, &path(A, 3, 1));
}

#[test]
fn a_read_error_in_a_folder_is_named_and_it_stays_copied() {
    for below in [
        "100/000/1000003/20250401/OMP-01",
        "100/000/1000003",
        "100/000",
        "100",
        "",
    ] {
        let site = copied();
        let name = format!("{A}/{below}");
        let folder = site.volumes().join(name.trim_end_matches('/'));
        failing_disk(&folder, "getdents64", &site, name.trim_end_matches('/'));
    }
}

/// A file that was in the first scan and can't be read when it is asked for.
/// [S8-10] it is named, and asked for again.
#[test]
fn a_file_that_becomes_unreadable_before_the_first_sync_is_named_and_nothing_is_shown_half() {
    if modes_do_not_count("a_file_that_becomes_unreadable") {
        return;
    }
    let site = written();
    scan(&site).ok();
    let file = site.volumes().join(path(A, 3, 1));
    mode(&file, 0o000);
    let (ran, status) = sync(&site);
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert_eq!(ran.json["left_out_total"], 1, "{}", ran.json);
    let named = format!("{}", ran.json["left_out"]);
    assert!(named.contains(&path(A, 3, 1)), "{named}");
    let named = status["left_out"].to_string();
    assert!(named.contains(&path(A, 3, 1)), "{named}");
    assert!(named.contains("Permission denied"), "{named}");
    assert_eq!(
        differences(&site.volumes(), &site.tree()),
        [format!("only in the first: {}", path(A, 3, 1))]
    );
    mode(&file, 0o644);
    converges(&site);
}

fn move_away(site: &Site, below: &str) {
    fs::rename(site.volumes().join(below), site.path("away")).unwrap();
}

fn move_back(site: &Site, below: &str) {
    let _ = fs::remove_dir_all(site.volumes().join(below));
    fs::rename(site.path("away"), site.volumes().join(below)).unwrap();
}

#[test]
fn a_root_that_vanishes_is_named_and_stays_copied() {
    outage(
        |site| move_away(site, A),
        |site| move_back(site, A),
        &[A, "no longer there", "--accept-root"],
    );
}

#[test]
fn a_facility_that_vanishes_is_named_and_stays_copied() {
    outage(
        |site| move_away(site, "0410000001"),
        |site| move_back(site, "0410000001"),
        &[A, "no longer there", "--accept-root"],
    );
}

#[test]
fn a_root_that_is_emptied_is_named_and_stays_copied() {
    outage(
        |site| {
            fs::rename(site.volumes().join(A).join("100"), site.path("away")).unwrap();
        },
        |site| {
            fs::rename(site.path("away"), site.volumes().join(A).join("100")).unwrap();
        },
        &[A, "empty", "--accept-root"],
    );
}

/// Registries have all their files at the volume's root.
#[test]
fn an_emptied_registry_is_named_and_stays_copied() {
    let site = written();
    let registry = "0410000001/REG01";
    site.put(&format!("{registry}/users.csv"), b"user_id\nu1\n");
    converges(&site);
    let file = site.volumes().join(registry).join("users.csv");
    fs::rename(&file, site.path("away")).unwrap();
    let ran = scan(&site);
    let text = ran.json.to_string();
    assert_eq!(ran.json["files_removed"], 0, "{text}");
    assert_eq!(ran.code, Some(1), "{text}");
    assert!(text.contains(registry), "{text}");
    sync(&site).0.ok();
    assert!(site.tree().join(registry).join("users.csv").exists());
    fs::rename(site.path("away"), &file).unwrap();
    converges(&site);
    fs::remove_file(&file).unwrap();
    let accepted = site.center(&["scan", "--accept-root"]).ok();
    assert_eq!(accepted["files_removed"], 1, "{accepted}");
    converges(&site);
}

#[test]
fn a_root_that_is_swapped_is_named_and_stays_copied() {
    outage(
        |site| {
            move_away(site, A);
            site.put(&path(A, 7, 7), b"another disk");
        },
        |site| move_back(site, A),
        &[A, "another directory", "--accept-root"],
    );
}

#[test]
fn the_folder_of_all_volumes_vanishes_or_is_empty_and_everything_stays_copied() {
    for is_empty in [false, true] {
        let site = copied();
        let before = tree(&site);
        fs::rename(site.volumes(), site.path("away")).unwrap();
        if is_empty {
            fs::create_dir(site.volumes()).unwrap();
        }
        let ran = scan(&site);
        let text = ran.json.to_string();
        assert_eq!(ran.code, Some(1), "{text}");
        let named = match is_empty {
            true => A.to_string(),
            false => site.text("storage/volumes"),
        };
        assert!(text.contains(&named), "{text}");
        sync(&site).0.ok();
        assert_eq!(before, tree(&site));
        if is_empty {
            fs::remove_dir(site.volumes()).unwrap();
        }
        fs::rename(site.path("away"), site.volumes()).unwrap();
        converges(&site);
    }
}

#[test]
fn accepted_roots_are_taken_as_they_are_now() {
    let site = copied();
    // One swapped, one emptied, one gone.
    site.put(&path("0410000003/STD01", 1, 1), b"three");
    site.put(&path("0410000004/STD01", 1, 1), b"four");
    converges(&site);
    move_away(&site, A);
    site.put(&path(A, 7, 7), b"another disk");
    fs::remove_dir_all(site.volumes().join("0410000003/STD01/100")).unwrap();
    fs::remove_dir_all(site.volumes().join("0410000004")).unwrap();
    let refused = scan(&site);
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.json["errors"].as_array().unwrap().len(), 3);
    let accepted = site.center(&["scan", "--accept-root"]).ok();
    assert_eq!(accepted["files_removed"], PATIENTS + 2);
    assert_eq!(accepted["files_added"], 1);
    sync(&site).0.ok();
    site.assert_equal();
    converges(&site);
}

#[test]
fn a_facility_or_root_that_is_a_link_is_not_left_out_in_silence() {
    let site = written();
    let elsewhere = site.path("elsewhere");
    fs::create_dir_all(elsewhere.join("STD01/100/000/1000001")).unwrap();
    fs::write(elsewhere.join("STD01/100/000/1000001/x"), "x").unwrap();
    symlink(&elsewhere, site.volumes().join("0410000003")).unwrap();
    symlink(
        elsewhere.join("STD01"),
        site.volumes().join("0410000001/ANX01"),
    )
    .unwrap();
    let text = scan(&site).json.to_string();
    for name in ["0410000003", "0410000001/ANX01"] {
        assert!(text.contains(name), "{name} is not named: {text}");
    }
}

#[test]
fn files_beside_the_volumes_are_not_left_out_in_silence() {
    let site = written();
    fs::write(site.volumes().join("readme.txt"), "x").unwrap();
    fs::write(site.volumes().join("0410000001/note.txt"), "x").unwrap();
    let text = scan(&site).json.to_string();
    for name in ["readme.txt", "0410000001/note.txt"] {
        assert!(text.contains(name), "{name} is not named: {text}");
    }
}

/// Names that are no text, or text that a careless program garbles.
fn names() -> Vec<Vec<u8>> {
    vec![
        b"\x1b$B4uMxMQ\x1b(B".to_vec(), // ISO-2022-JP
        b"\x95\x5c\x8e\xa6".to_vec(),   // Shift_JIS, with a backslash in it
        b"\xff\xfe\xfd".to_vec(),       // no encoding at all
        b"new\nline\ttab\rreturn".to_vec(),
        b"\x01\x7f\x1b[31mred".to_vec(),
        vec![b'x'; 255],
        vec![0xff; 255],
        "\u{304c}".into(),         // NFC
        "\u{304b}\u{3099}".into(), // NFD
        b" leading and trailing ".to_vec(),
        b"-rf *\"'$(x)`;&|<>?\\".to_vec(),
        b"...".to_vec(),
        b"..a".to_vec(),
        b".hikae".to_vec(),
        "^退院サマリ^^18842-5^退院時サマリー^LN".into(),
    ]
}

/// [S3-3] paths are bytes, and stay what they are.
#[test]
fn names_that_are_no_text_arrive_byte_for_byte() {
    let site = written();
    let folder = site.volumes().join(A).join("100/000/1000003");
    for name in names() {
        let name = OsStr::from_bytes(&name);
        // As a file, as a folder in a leaf, as a leaf, and above leaves.
        fs::write(folder.join(name), "file").unwrap();
        let folders = [
            folder.join("sub").join(name),
            site.volumes().join(A).join("100/000").join(name),
            site.volumes().join(A).join(name).join("1"),
            site.volumes().join(A).join("200").join(name),
        ];
        for folder in folders {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), "below").unwrap();
        }
    }
    converges(&site);
    // Renamed, changed and removed, they are followed.
    for (at, name) in names().iter().enumerate() {
        let from = folder.join(OsStr::from_bytes(name));
        match at % 3 {
            0 => fs::rename(from, folder.join(format!("renamed{at}"))).unwrap(),
            1 => fs::write(from, "changed").unwrap(),
            _ => fs::remove_file(from).unwrap(),
        }
    }
    converges(&site);
}

#[test]
fn facilities_and_labels_that_are_no_text_arrive_byte_for_byte() {
    let site = written();
    for name in names() {
        if name == b".hikae" {
            // The tree keeps its temporary files under this name.
            continue;
        }
        let name = OsStr::from_bytes(&name);
        for volume in [
            site.volumes().join(name).join("STD01"),
            site.volumes().join("0410000001").join(name),
        ] {
            let file = volume.join(record("1234567", 1));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
    }
    converges(&site);
}

/// [S3-6] regular files alone are entries.
#[test]
fn special_files_are_named_and_never_followed_and_hard_links_are_files() {
    let site = written();
    let folder = site.volumes().join(A).join("100/000/1000003");
    let outside = site.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let fifo = folder.join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    symlink(outside.join("secret"), folder.join("link-to-file")).unwrap();
    symlink(&outside, folder.join("link-to-folder")).unwrap();
    symlink(&outside, site.volumes().join(A).join("100/000/linked-leaf")).unwrap();
    symlink(&outside, site.volumes().join(A).join("linked-prefix")).unwrap();
    symlink("nowhere", folder.join("dangling")).unwrap();
    symlink("loop", folder.join("loop")).unwrap();
    let mut named = vec![
        "1000003/fifo",
        "1000003/socket",
        "1000003/link-to-file",
        "1000003/link-to-folder",
        "100/000/linked-leaf",
        "STD01/linked-prefix",
        "1000003/dangling",
        "1000003/loop",
    ];
    let device = Command::new("mknod")
        .arg(folder.join("device"))
        .args(["c", "1", "3"])
        .output()
        .unwrap();
    match device.status.success() {
        true => named.push("1000003/device"),
        false => skipped("special_files", "no device can be made without root"),
    }
    fs::hard_link(site.volumes().join(path(A, 3, 1)), folder.join("hard")).unwrap();

    let report = scan(&site).ok();
    assert_eq!(report["left_out_total"], named.len(), "{report}");
    assert_eq!(report["counts"]["special_files"], named.len());
    let status = site.center(&["status"]).ok();
    for name in &named {
        for said in [&report["left_out"], &status["left_out"]] {
            assert!(
                said.to_string().contains(name),
                "{name} is not named: {said}"
            );
        }
    }
    converges(&site);
    assert!(site.tree().join(A).join("100/000/1000003/hard").is_file());
    let everything = Command::new("find").arg(site.tree()).output().unwrap();
    let everything = String::from_utf8_lossy(&everything.stdout).into_owned();
    for name in named.iter().chain(&["secret"]) {
        assert!(!everything.contains(name), "{name} is in the tree");
    }

    // A link becomes a file, and a file a link.
    fs::remove_file(folder.join("link-to-file")).unwrap();
    fs::write(folder.join("link-to-file"), "a file now").unwrap();
    let file = site.volumes().join(path(A, 4, 1));
    fs::remove_file(&file).unwrap();
    symlink(outside.join("secret"), &file).unwrap();
    let report = scan(&site).ok();
    assert_eq!(report["left_out_total"], named.len(), "{report}");
    assert!(report["left_out"].to_string().contains(&path(A, 4, 1)));
    converges(&site);
}

/// The exit code counts what failed, not only what is named first.
#[test]
fn an_unreadable_file_behind_a_hundred_links_still_fails_the_scan() {
    if modes_do_not_count("behind_a_hundred_links") {
        return;
    }
    let site = copied();
    for link in 0..120 {
        let at = format!("{A}/100/000/1000003/link{link}");
        symlink("nowhere", site.volumes().join(at)).unwrap();
    }
    let file = site.volumes().join(path(B, 3, 1));
    fs::write(&file, "changed").unwrap();
    mode(&file, 0o000);
    let ran = scan(&site);
    assert_eq!(ran.json["left_out_total"], 121, "{}", ran.json);
    assert_eq!(ran.code, Some(1), "code 0 though a file could not be read");
    let named = ran.json["left_out"].to_string();
    assert!(named.contains(&path(B, 3, 1)), "{named}");
    mode(&file, 0o644);
    converges(&site);
}

#[test]
fn every_size_around_the_bounds_arrives_and_equal_contents_too() {
    const MIB: usize = 1024 * 1024;
    let site = written();
    let sizes = [
        0,
        1,
        MIB - 1,
        MIB,
        MIB + 1,
        2 * MIB,
        4 * MIB - 1,
        4 * MIB + 1,
        40_000_000,
    ];
    for (at, size) in sizes.into_iter().enumerate() {
        let content = noise(size, at as u64 + 1);
        site.put(&format!("{A}/100/000/1000003/size{size}"), &content);
        // Zeros compress to nothing.
        if size <= 2 * MIB {
            let zeros = vec![0; size];
            site.put(&format!("{A}/100/000/1000004/zeros{size}"), &zeros);
        }
    }
    // Many that are almost too large to come along, in one leaf.
    for at in 0..8 {
        let content = noise(MIB - 1, 100 + at);
        site.put(&format!("{A}/100/000/1000005/{at}"), &content);
    }
    for at in 0..300 {
        site.put(&format!("{A}/100/000/1000006/equal{at}"), b"equal");
        let patient = patient(at % PATIENTS);
        site.put(&format!("{B}/100/000/{patient}/equal{at}"), b"equal");
    }
    let big = noise(3 * MIB, 77);
    site.put(&format!("{A}/100/000/1000007/big"), &big);
    site.put(&format!("{A}/100/000/1000007/same"), &big);
    converges(&site);
    // A large file that changes at its end, and one that is cut.
    let folder = site.volumes().join(A).join("100/000/1000003");
    let mut large = noise(40_000_000, 9);
    large[39_999_999] ^= 1;
    fs::write(folder.join("size40000000"), &large).unwrap();
    fs::write(folder.join("size1048576"), "short now").unwrap();
    converges(&site);
}

#[test]
fn empty_directories_are_counted_and_change_nothing() {
    let site = copied();
    for below in [
        "100/000/1000003/20250402/OMP-01",
        "100/000/9999999",
        "300/000",
    ] {
        fs::create_dir_all(site.volumes().join(A).join(below)).unwrap();
    }
    let before = site.backup(&["status"]).ok()["snapshot"]["root"].clone();
    let report = scan(&site).ok();
    assert_eq!(report["files_added"], 0);
    assert_eq!(report["root"], before, "empty directories are in no digest");
    assert_eq!(report["counts"]["empty_directories"], 3, "{report}");
    converges(&site);
}

/// DESIGN §2: special files and empty directories are counted and named in
/// `status`.
#[test]
fn empty_directories_are_named_in_the_status() {
    let site = copied();
    let empty = "100/000/1000003/20250402";
    fs::create_dir_all(site.volumes().join(A).join(empty)).unwrap();
    scan(&site).ok();
    let status = site.center(&["status"]).ok();
    assert!(status.to_string().contains(empty), "{status}");
    assert_eq!(status["left_out_failures"], 0, "{status}");
    // Many of them hide nothing that failed, and none stays named for ever.
    for at in 0..2_000 {
        fs::create_dir(site.volumes().join(A).join(format!("100/000/{at}"))).unwrap();
    }
    let link = format!("{A}/100/000/1000003/link");
    symlink("nowhere", site.volumes().join(&link)).unwrap();
    let report = scan(&site).ok();
    assert_eq!(report["left_out_total"], 2_002, "{report}");
    assert_eq!(report["left_out"][0]["path"], link, "{report}");
    fs::remove_file(site.volumes().join(&link)).unwrap();
    site.put(&format!("{A}/{empty}/file"), b"no longer empty");
    for at in 0..2_000 {
        fs::remove_dir(site.volumes().join(A).join(format!("100/000/{at}"))).unwrap();
    }
    let report = scan(&site).ok();
    assert_eq!(report["left_out_total"], 0, "{report}");
    converges(&site);
}

#[test]
fn a_deep_path_within_the_bound_arrives_and_one_beyond_is_named_while_others_go_on() {
    let site = written();
    let deep = |depth: usize| format!("{A}/100/000/1000003/{}", "d/".repeat(depth));
    site.put(&format!("{}file", deep(60)), b"deep");
    converges(&site);
    site.put(&format!("{}file", deep(80)), b"too deep");
    site.put(&path(B, 3, 2), b"the rest goes on");
    let ran = scan(&site);
    let text = ran.json.to_string();
    assert_eq!(ran.code, Some(1), "{text}");
    // The folder is named in which nothing can lie any more.
    assert!(text.contains(deep(64).trim_end_matches('/')), "{text}");
    assert!(text.contains("deep"), "{text}");
    sync(&site).0.ok();
    assert_eq!(
        differences(&site.volumes(), &site.tree()),
        [format!("only in the first: {}file", deep(80))]
    );
    // The folders too: the first that is too deep is named by itself.
    fs::remove_dir_all(site.volumes().join(deep(61))).unwrap();
    converges(&site);
}

/// Makes folders in each other, by descriptors: no path names the last one.
fn dig(folder: &Path, name: &str, levels: usize) -> rustix::fd::OwnedFd {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let mut at = openat(CWD, folder, flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        mkdirat(&at, name, Mode::from_raw_mode(0o755)).unwrap();
        at = openat(&at, name, flags, Mode::empty()).unwrap();
    }
    at
}

/// Removes them again: `remove_dir_all` of the test's folder goes too deep.
struct Dug(PathBuf);

impl Drop for Dug {
    fn drop(&mut self) {
        let _ = Command::new("rm").arg("-rf").arg(&self.0).status();
    }
}

#[test]
fn a_path_of_over_4096_bytes_or_thousands_of_folders_ends_nothing() {
    let site = copied();
    for (name, levels) in [("n".repeat(200), 30), ("d".to_string(), 6_000)] {
        let folder = site.volumes().join(A).join("100/000/1000003");
        let bottom = dig(&folder, &name, levels);
        let _dug = Dug(folder.join(&name));
        let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        drop(rustix::fs::openat(&bottom, "file", flags, mode).unwrap());
        drop(bottom);
        let new = path(B, levels as u64 % 10, 2);
        site.put(&new, b"the rest goes on");
        let ran = scan(&site);
        assert_eq!(
            ran.code,
            Some(1),
            "{levels} levels: {} {}",
            ran.json,
            ran.stderr.chars().take(500).collect::<String>()
        );
        assert_eq!(ran.json["files_removed"], 0);
        assert!(
            ran.json["left_out"].to_string().contains("1000003"),
            "{}",
            ran.json["left_out"].to_string().len()
        );
        sync(&site).0.ok();
        assert_same(&site.volumes().join(B), &site.tree().join(B));
    }
    converges(&site);
}

fn set_mtime(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_modified(time).unwrap();
    let set = fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(set, time, "the file system does not keep this time");
}

#[test]
fn times_before_1970_and_in_2100_arrive_to_the_nanosecond() {
    let site = written();
    let day = Duration::from_secs(86_400);
    let times = [
        UNIX_EPOCH,
        UNIX_EPOCH - Duration::from_nanos(1),
        UNIX_EPOCH - Duration::from_millis(1_500),
        UNIX_EPOCH - day * 365 * 20,
        UNIX_EPOCH + day * 47_482 + Duration::from_nanos(123_456_789), // 2100
        UNIX_EPOCH + day * 366 * 200,                                  // 2170
    ];
    for (at, time) in times.into_iter().enumerate() {
        set_mtime(&site.volumes().join(path(A, at as u64, 1)), time);
    }
    converges(&site);
    // Only the time changes.
    set_mtime(&site.volumes().join(path(A, 0, 1)), times[4]);
    set_mtime(&site.volumes().join(path(A, 4, 1)), times[1]);
    converges(&site);
}

/// 64 bits of nanoseconds end in 2262; ext4 keeps times up to 2446.
#[test]
fn a_time_beyond_2262_is_kept_or_named_but_never_silently_another() {
    let site = written();
    let file = site.volumes().join(path(A, 3, 1));
    set_mtime(&file, UNIX_EPOCH + Duration::from_secs(86_400 * 365 * 400));
    let ran = scan(&site);
    let named = ran.json["left_out"].to_string().contains(&path(A, 3, 1));
    sync(&site).0.ok();
    if !named {
        site.assert_equal();
    }
    assert_eq!(ran.code, Some(i32::from(named)), "{}", ran.json);
    set_mtime(&file, UNIX_EPOCH);
    converges(&site);
    // What was copied before stays as it was.
    let before = tree(&site);
    set_mtime(&file, UNIX_EPOCH + Duration::from_secs(86_400 * 365 * 400));
    assert_eq!(scan(&site).json["files_removed"], 0);
    sync(&site).0.ok();
    assert_eq!(before, tree(&site));
}

#[test]
fn a_leaf_of_twenty_thousand_files_arrives_and_one_change_moves_one_file() {
    let site = written();
    let folder = site.volumes().join(path(A, 3, 1));
    let folder = folder.parent().unwrap();
    for at in 0..20_000_u32 {
        fs::write(folder.join(format!("n{at:05}")), at.to_le_bytes()).unwrap();
    }
    converges(&site);
    fs::write(folder.join("n12345"), "changed").unwrap();
    fs::rename(folder.join("n00001"), folder.join("renamed")).unwrap();
    fs::remove_file(folder.join("n19999")).unwrap();
    scan(&site).ok();
    let report = sync(&site).0.ok();
    assert_eq!(report["pull"]["contents_received"], 1, "{report}");
    assert_eq!(report["pull"]["contents_referenced"], 1, "{report}");
    site.assert_equal();
}

/// Runs `work` while another thread does `each` again and again.
fn while_moving<T>(each: impl Fn(u64) + Sync, work: impl FnOnce() -> T) -> T {
    let ended = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut turn = 0;
            while !ended.load(Ordering::Relaxed) {
                each(turn);
                turn += 1;
            }
        });
        // Also when `work` panics: the scope waits for the thread.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        ended.store(true, Ordering::Relaxed);
        match result {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// [S8-10] what the source can't hand out holds nothing else back.
#[test]
fn a_file_that_is_rewritten_all_the_time_keeps_nothing_else_back() {
    let site = copied();
    let moving = site.volumes().join(path(A, 3, 2));
    let rewrite = |turn: u64| {
        let length = 1 + (turn % 7) as usize * 30_000;
        fs::write(&moving, noise(length, turn)).unwrap();
        std::thread::sleep(Duration::from_millis(3));
    };
    while_moving(rewrite, || {
        for order in 3..6 {
            let new = path(B, order, order);
            site.put(&new, b"the rest goes on");
            let ran = scan(&site);
            assert!(
                matches!(ran.code, Some(0 | 1)),
                "{} {}",
                ran.json,
                ran.stderr
            );
            assert_eq!(ran.json["files_removed"], 0, "{}", ran.json);
            let (ran, _) = sync(&site);
            assert!(
                site.tree().join(&new).exists(),
                "one moving file kept {new} back: {:?} {}",
                ran.code,
                ran.json
            );
        }
    });
    converges(&site);
}

#[test]
fn a_large_file_that_is_rewritten_all_the_time_keeps_nothing_else_back() {
    let site = copied();
    let moving = site.volumes().join(path(A, 3, 2));
    let content = noise(6_000_000, 5);
    let rewrite = |turn: u64| {
        let cut = content.len() - (turn % 100) as usize;
        fs::write(&moving, &content[..cut]).unwrap();
    };
    while_moving(rewrite, || {
        let new = path(B, 3, 3);
        site.put(&new, b"the rest goes on");
        let ran = scan(&site);
        assert!(
            matches!(ran.code, Some(0 | 1)),
            "{} {}",
            ran.json,
            ran.stderr
        );
        let (ran, _) = sync(&site);
        assert!(
            site.tree().join(&new).exists(),
            "one moving file kept {new} back: {:?} {}",
            ran.code,
            ran.json
        );
    });
    converges(&site);
}

#[test]
fn a_folder_that_is_renamed_while_scanned_costs_only_itself() {
    let site = copied();
    let folder = |name: &str| site.volumes().join(A).join("100/000").join(name);
    // The number of records that may be missed.
    for order in 10..60 {
        site.put(&path(A, 3, order), b"moving");
    }
    converges(&site);
    let names = ["1000003", "renamed"];
    let flip = |turn: u64| {
        let (from, to) = (turn as usize % 2, (turn as usize + 1) % 2);
        fs::rename(folder(names[from]), folder(names[to])).unwrap();
        std::thread::sleep(Duration::from_micros(300));
    };
    while_moving(flip, || {
        for _ in 0..8 {
            let ran = scan(&site);
            assert!(
                matches!(ran.code, Some(0 | 1)),
                "{} {}",
                ran.json,
                ran.stderr
            );
            assert!(
                ran.json["entries"].as_u64() >= Some(2 * PATIENTS - 1),
                "other records were lost: {}",
                ran.json
            );
        }
        let (ran, _) = sync(&site);
        // So many records that came and went are looked at by a person.
        assert!(matches!(ran.code, Some(0 | 1 | 4)), "{}", ran.json);
    });
    scan(&site).ok();
    if sync(&site).0.code == Some(4) {
        site.backup(&["approve", A]).ok();
    }
    converges(&site);
}

/// Sets `store` and `tree` of the backup.
fn keep_backup_in(site: &Site, store: &Path, tree: &Path) {
    let file = site.path("backup/hikae.toml");
    let text = fs::read_to_string(&file).unwrap();
    let rest = text.split_once("[source]").unwrap().1;
    let text = format!(
        "role = \"backup\"\nstore = \"{}\"\ntree = \"{}\"\n[source]{rest}",
        store.display(),
        tree.display()
    );
    fs::write(&file, text).unwrap();
}

/// The tree shows nothing but whole files of the storage.
fn only_whole_files(site: &Site, tree: &Path) {
    if !tree.exists() {
        return;
    }
    let storage = look(&site.volumes());
    for (path, seen) in look(tree) {
        let name = String::from_utf8_lossy(&path);
        assert_eq!(storage.get(&path), Some(&seen), "{name} is not whole");
    }
}

/// A backup whose disk has so much room gets twelve megabytes.
fn full_disk_at_the_backup(free: u64) {
    let site = written();
    let Some(disk) = Disk::new(&site, "disk", 64, &[]) else {
        return;
    };
    for at in 0..120 {
        site.put(
            &format!("{A}/100/000/{}/noise{at}", patient(at % 10)),
            &noise(100_000, at),
        );
    }
    let (store, tree) = (disk.mount.join("store"), disk.mount.join("tree"));
    keep_backup_in(&site, &store, &tree);
    disk.fill(free);
    scan(&site).ok();
    let before = look(&site.volumes());
    let mut errors = Vec::new();
    for _ in 0..2 {
        let (ran, status) = sync(&site);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        errors.push(ran.failed(1));
        only_whole_files(&site, &tree);
        assert_eq!(status["left_out_total"], 0);
    }
    assert_eq!(before, look(&site.volumes()), "the center was touched");
    disk.empty();
    let report = sync(&site).0.ok();
    assert_eq!(report["roots_equal"], true);
    assert_same(&site.volumes(), &tree);
    site.backup(&["verify"]).ok();
    for error in errors {
        assert!(error.contains("No space left"), "says not why: {error}");
        assert!(error.contains(disk.text()), "names no file: {error}");
    }
}

#[test]
fn a_disk_that_is_full_at_once_fails_by_name_and_converges_after_it_has_room() {
    full_disk_at_the_backup(100_000);
}

#[test]
fn a_disk_that_is_full_while_storing_fails_by_name_and_converges_after_it_has_room() {
    full_disk_at_the_backup(8_000_000);
}

#[test]
fn a_disk_that_is_full_while_publishing_fails_by_name_and_converges_after_it_has_room() {
    full_disk_at_the_backup(18_000_000);
}

#[test]
fn a_tree_without_inodes_fails_by_name_and_converges_after_it_has_some() {
    let site = written();
    let Some(disk) = Disk::new(&site, "disk", 32, &["-N", "1024"]) else {
        return;
    };
    let tree = disk.mount.join("tree");
    keep_backup_in(&site, &site.path("backup/store"), &tree);
    let ballast = disk.mount.join("ballast");
    fs::create_dir(&ballast).unwrap();
    let free = rustix::fs::statvfs(&disk.mount).unwrap().f_ffree;
    for at in 0..free - 60 {
        File::create(ballast.join(at.to_string())).unwrap();
    }
    scan(&site).ok();
    let (ran, _) = sync(&site);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    let error = ran.failed(1);
    assert!(
        error.contains("No space left") && error.contains("/"),
        "{error}"
    );
    only_whole_files(&site, &tree);
    fs::remove_dir_all(&ballast).unwrap();
    sync(&site).0.ok();
    assert_same(&site.volumes(), &tree);
    site.backup(&["verify"]).ok();
}

#[test]
fn a_full_disk_at_the_center_fails_the_scan_by_name_and_converges_after_it_has_room() {
    let mut errors = Vec::new();
    for free in [50_000, 700_000] {
        let site = written();
        let Some(disk) = Disk::new(&site, "disk", 32, &[]) else {
            return;
        };
        let file = site.path("center/hikae.toml");
        let text = fs::read_to_string(&file).unwrap();
        let store = format!("role = \"center\"\nstore = \"{}/store\"\n", disk.text());
        fs::write(&file, text.replace("role = \"center\"\n", &store)).unwrap();
        // Names that do not compress.
        for at in 0..3_000_u64 {
            let name: String = noise(60, at + 1)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            site.put(
                &format!("{A}/100/{:03}/{at}/{name}", at % 50),
                &at.to_le_bytes(),
            );
        }
        disk.fill(free);
        let ran = scan(&site);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        let error = ran.failed(1);
        disk.empty();
        converges(&site);
        errors.push((disk.text().to_string(), error));
    }
    for (disk, error) in errors {
        assert!(error.contains("No space left"), "says not why: {error}");
        assert!(error.contains(&disk), "names no file: {error}");
    }
}

#[test]
fn what_the_tests_need_is_here() {
    let missing: Vec<&str> = ["strace", "setpriv", "mkfs.ext4", "mkfifo", "mknod"]
        .into_iter()
        .filter(|program| !has_program(program))
        .collect();
    if !missing.is_empty() {
        skipped(
            "some of bad_storage",
            &format!("not installed: {missing:?}"),
        );
    }
}
