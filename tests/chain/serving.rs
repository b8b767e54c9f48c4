//! A replica that serves: the signer's snapshots, its own contents.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::unprivileged;
use crate::node::{Chain, noise, path, remove, rename};

/// Deletions, renames, large files and rewrites go down the chain, by the
/// signer's cursor and without any content that is held.
#[test]
fn a_second_replica_pulls_from_a_backup_what_the_center_signed() {
    let chain = Chain::new();
    let large = path(2, 9);
    chain.site.put(&large, &noise(3_500_000));
    chain.backup_up();
    let first = chain.laptop_up();
    assert_eq!(first["roots_equal"], true, "{first}");
    assert_eq!(first["source"], chain.site.backup_id.as_str());
    chain.assert_laptop_equal();
    chain.laptop(&["verify"]).ok();

    remove(&chain.site, &path(1, 1));
    for order in 1..=3 {
        remove(&chain.site, &path(3, order));
    }
    let superseded = path(4, 1).replace("_01_1", "_01_2");
    rename(&chain.site, &path(4, 1), &superseded);
    chain.site.put(&path(5, 1), b"another content");
    chain.backup_up();
    let day = chain.laptop_up();
    chain.assert_laptop_equal();
    assert_eq!(day["pull"]["contents_received"], 1, "{day}");
    assert_eq!(day["pull"]["contents_referenced"], 1, "{day}");
    assert_eq!(day["pull"]["leaves"], 4, "{day}");
    assert_eq!(day["pull"]["proof_round_trips"], 1, "{day}");
    let nothing = chain.laptop_up();
    assert_eq!(nothing["pull"]["changed"], false, "{nothing}");
    chain.laptop(&["verify"]).ok();
}

/// A leaf that came and went between two looks of the laptop, and one that
/// the backup holds from before the laptop's first look.
#[test]
fn tombstones_go_down_the_chain_whatever_steps_its_nodes_took() {
    let chain = Chain::new();
    chain.backup_up();
    chain.laptop_up();
    chain.site.put(&path(7, 1), b"short-lived");
    chain.backup_up();
    remove(&chain.site, &path(7, 1));
    remove(&chain.site, &path(6, 2));
    chain.backup_up();
    chain.site.put(&path(6, 4), b"later");
    chain.backup_up();
    let report = chain.laptop_up();
    assert_eq!(report["pull"]["proof_round_trips"], 1, "{report}");
    chain.assert_laptop_equal();
    // By the center itself from where the backup left it.
    chain.laptop_pulls_from(&["center"]);
    remove(&chain.site, &path(6, 4));
    chain.site.center(&["scan", "--walk"]).ok();
    let center = chain.site.serve();
    let report = chain.laptop(&["sync"]).ok();
    center.end();
    assert_eq!(report["pull"]["proof_round_trips"], 1, "{report}");
    chain.assert_laptop_equal();
}

/// Both serve while both follow: what changes at the center arrives at the
/// end of the chain, `serve` and `sync --follow` in two processes or in one.
#[test]
fn a_backup_serves_beside_sync_follow() {
    for two_processes in [false, true] {
        let chain = Chain::new();
        chain.backup_up();
        let center = chain.site.serve();
        let (backup, beside) = match two_processes {
            false => (chain.serve_backup(&["sync", "--follow"]), None),
            true => {
                let backup = chain.serve_backup(&["serve"]);
                let beside = chain.site.spawn_logged("backup", &["sync", "--follow"]);
                (backup, Some(beside))
            }
        };
        let mut laptop = chain.site.spawn_logged("laptop", &["sync", "--follow"]);
        chain.site.put(&path(8, 1), b"new");
        chain.site.center(&["scan", "--walk"]).ok();
        let until = Instant::now() + Duration::from_secs(30);
        while !chain.tree().join(path(8, 1)).exists() {
            assert!(Instant::now() < until, "{}", chain.site.log("laptop"));
            assert!(laptop.is_running(), "{}", chain.site.log("laptop"));
            std::thread::sleep(Duration::from_millis(50));
        }
        // The laptop tells what it published.
        loop {
            let status = chain.site.status("backup");
            assert_eq!(status["peers"][0]["name"], "laptop", "{status}");
            if status["peers"][0]["behind"] == 0 {
                break;
            }
            assert!(Instant::now() < until, "{status}");
        }
        laptop.end();
        beside.into_iter().for_each(|process| process.end());
        backup.end();
        center.end();
        chain.assert_laptop_equal();
    }
}

/// A laptop that follows while nobody can be reached pulls within 30 s of a
/// network appearing, though the first of its sources stays away.
#[test]
fn a_laptop_pulls_soon_after_a_network_appears() {
    let chain = Chain::new();
    chain.backup_up();
    chain.laptop_pulls_from(&["center", "backup"]);
    let mut laptop = chain.site.spawn_logged("laptop", &["sync", "--follow"]);
    // Long enough for each source to have been given up.
    let begun = Instant::now();
    while !chain
        .site
        .log("laptop")
        .contains("no source could be pulled from")
    {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            chain.site.log("laptop")
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let waited = begun.elapsed();
    assert!(
        waited < Duration::from_secs(15),
        "one source after the other: {waited:?}"
    );
    let backup = chain.serve_backup(&["serve"]);
    let appeared = Instant::now();
    while !chain.tree().join(path(1, 1)).exists() {
        assert!(
            appeared.elapsed() < Duration::from_secs(30),
            "{}",
            chain.site.log("laptop")
        );
        assert!(laptop.is_running(), "{}", chain.site.log("laptop"));
        std::thread::sleep(Duration::from_millis(50));
    }
    println!(
        "pulled {:.1} s after the network appeared",
        appeared.elapsed().as_secs_f64()
    );
    laptop.end();
    backup.end();
    chain.assert_laptop_equal();
}

/// Of several sources the newest snapshot is taken; who is down or stale is
/// no alarm.
#[test]
fn of_several_sources_the_newest_snapshot_is_taken() {
    let chain = Chain::new();
    chain.backup_up();
    for sources in [["center", "backup"], ["backup", "center"]] {
        chain.laptop_pulls_from(&sources);
        // The center is down.
        let report = chain.laptop_up();
        assert_eq!(report["source"], chain.site.backup_id.as_str());
        let failed = report["sources_failed"].as_array().unwrap();
        assert_eq!(failed.len(), 1, "{report}");
        // The backup is behind the center, and then behind the laptop, too.
        let new = path(9, 1 + u64::from(sources[0] == "center"));
        chain.site.put(&new, b"news");
        chain.site.center(&["scan", "--walk"]).ok();
        let (center, backup) = (chain.site.serve(), chain.serve_backup(&["serve"]));
        for changed in [true, false] {
            let report = chain.laptop(&["sync"]).ok();
            assert_eq!(report["pull"]["changed"], changed, "{report}");
            assert_eq!(report["source"], chain.site.center_id.as_str());
            chain.assert_laptop_equal();
        }
        center.end();
        let report = chain.laptop(&["sync"]).ok();
        assert_eq!(report["pull"]["stale"], true, "{report}");
        assert_eq!(report["roots_equal"], true, "{report}");
        backup.end();
        chain.assert_laptop_equal();
        chain.site.sync().ok();
    }
}

/// What the center could not hand out is lacking down the chain, by name, and
/// comes when the backup has it.
#[test]
fn lacking_contents_across_a_chain() {
    let Some(wrapper) = unprivileged() else {
        crate::harness::skipped("lacking_contents_across_a_chain", "modes do not count here");
        return;
    };
    use std::os::unix::fs::PermissionsExt;
    let chain = Chain::new();
    chain.site.center(&["scan", "--walk"]).ok();
    let lost = chain.site.volumes().join(path(2, 2));
    let mode = |mode| fs::set_permissions(&lost, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    let sync_backup = || {
        let center = chain.site.serve_under(wrapper);
        let ran = chain.site.backup(&["sync"]);
        center.end();
        ran
    };
    sync_backup().failed(1);
    let backup = chain.serve_backup(&["serve"]);
    let ran = chain.laptop(&["sync"]);
    backup.end();
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert_eq!(ran.json["left_out_total"], 1, "{}", ran.json);
    let named = ran.json["left_out"][0]["path"].as_str().unwrap();
    assert_eq!(named, path(2, 2));
    assert_eq!(ran.json["roots_equal"], true);

    mode(0o644);
    sync_backup().ok();
    let report = chain.laptop_up();
    assert_eq!(report["left_out_total"], 0, "{report}");
    chain.assert_laptop_equal();
    chain.laptop(&["verify"]).ok();
}

/// Another life of the center's catalogue: leaves that are the same in both
/// keep numbers of the old one at the backup, and are still handed on.
#[test]
fn a_new_epoch_goes_down_the_chain() {
    let chain = Chain::new();
    for order in 4..8 {
        chain.site.put(&path(1, order), b"more commits");
        chain.site.center(&["scan", "--walk"]).ok();
    }
    chain.backup_up();
    chain.laptop_up();
    fs::remove_dir_all(chain.site.path("center/store")).unwrap();
    chain.site.put(&path(2, 8), b"of the new life");
    chain.backup_up();
    let report = chain.laptop_up();
    assert_eq!(report["roots_equal"], true, "{report}");
    chain.assert_laptop_equal();
    // A new replica gets all of it from the backup.
    for folder in ["laptop/store", "laptop-tree"] {
        fs::remove_dir_all(chain.site.path(folder)).unwrap();
    }
    let report = chain.laptop_up();
    assert_eq!(report["pull"]["leaves_moved"], 0, "{report}");
    chain.assert_laptop_equal();
    remove(&chain.site, &path(3, 3));
    chain.backup_up();
    let report = chain.laptop_up();
    assert_eq!(report["pull"]["leaves"], 1, "{report}");
    chain.assert_laptop_equal();
}

/// [S8-4] a peer that the configuration no longer names is cut off, though
/// the node runs on and the peer is connected.
#[test]
fn a_revoked_key_is_cut_off_while_it_is_connected() {
    let chain = Chain::new();
    chain.backup_up();
    let backup = chain.serve_backup(&["serve"]);
    chain.laptop(&["sync"]).ok();
    let laptop = chain.site.spawn_logged("laptop", &["sync", "--follow"]);
    let file = chain.site.path("backup/hikae.toml");
    let text = fs::read_to_string(&file).unwrap();
    let peer = |arguments: &[&str]| {
        let peers = chain.site.backup(&[&["peer"], arguments].concat()).ok();
        peers["peers"].as_array().unwrap().len()
    };
    assert_eq!(peer(&["list"]), 1);
    assert_eq!(peer(&["revoke", "laptop"]), 0);
    let until = Instant::now() + Duration::from_secs(60);
    while !chain.site.log("backup").contains("may not pull any more") {
        assert!(Instant::now() < until, "{}", chain.site.log("backup"));
        std::thread::sleep(Duration::from_millis(100));
    }
    laptop.end();
    let error = chain.laptop(&["sync"]).failed(1);
    assert!(error.contains(&chain.site.backup_id), "{error}");
    // A configuration that is not one changes nothing.
    fs::write(&file, "role = 7").unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    fs::write(&file, text.split_once("[[peer]]").unwrap().0).unwrap();
    assert_eq!(peer(&["add", "again", &chain.laptop_id]), 1);
    let error = chain.site.backup(&["peer", "revoke", "laptop"]).failed(2);
    assert!(error.contains("there is no peer"), "{error}");
    let until = Instant::now() + Duration::from_secs(60);
    while chain.laptop(&["sync"]).code != Some(0) {
        assert!(Instant::now() < until, "{}", chain.site.log("backup"));
    }
    backup.end();
}
