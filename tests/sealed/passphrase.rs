//! The passphrase of a laptop: brought by `unlock`, guessed, changed, and a
//! change that is killed.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Process, Ran, binary, hikae, hikae_under, skipped};
use crate::{PASSPHRASE, SEALED, Site, configure, made, plant, sealed};

const LOCKED: &str = "hikae unlock";

/// A site whose sealed replica pulled.
fn with_records() -> Site {
    let site = made();
    plant(&site, 0..40);
    site.center(&["scan"]).ok();
    let center = site.serve();
    sealed(&site, &["sync"]).ok();
    center.end();
    site
}

/// A site whose sealed replica is a laptop that nothing gives a passphrase.
fn laptop() -> Site {
    let site = made();
    plant(&site, 0..40);
    site.center(&["scan"]).ok();
    configure(&site, "seal = true\n");
    let file = site.path(SEALED).join("hikae.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace("role = \"backup\"", "role = \"laptop\""),
    )
    .unwrap();
    site
}

/// Starts a command that stays, without a terminal, and waits until it says
/// how things stand.
fn stay(site: &Site, arguments: &[&str]) -> (Process, Value) {
    let child = Command::new(binary())
        .args(arguments)
        .args(["--home", &site.text(SEALED)])
        .env_remove("HIKAE_HOME")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let status = sealed(site, &["status"]);
        if status.code == Some(0) {
            return (process, status.json);
        }
        assert!(
            process.is_running() && Instant::now() < until,
            "{}",
            status.json
        );
    }
}

/// A file with a passphrase, for flags.
fn file(site: &Site, text: &str) -> String {
    let path = site.path(&format!("{}.txt", text.len()));
    fs::write(&path, format!("{text}\n")).unwrap();
    path.to_str().unwrap().to_string()
}

fn unlock(site: &Site, text: &str) -> Ran {
    sealed(site, &["unlock", "--passphrase-file", &file(site, text)])
}

/// Waits until the replica has what the center has.
fn pulled(site: &Site) {
    let until = Instant::now() + Duration::from_secs(30);
    let root = site.status("center")["snapshot"]["root"].clone();
    loop {
        let status = sealed(site, &["status"]).ok();
        if status["snapshot"]["root"] == root {
            return;
        }
        assert!(Instant::now() < until, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A laptop that nobody gave its passphrase has its home, and neither pulls
/// nor shows anything, until `unlock` brings it; so with every command that
/// stays.
#[test]
fn a_laptop_waits_locked_until_it_is_unlocked() {
    let site = laptop();
    let error = unlock(&site, PASSPHRASE).failed(1);
    assert!(error.contains("no process waits"), "{error}");
    let center = site.serve();
    for (round, arguments) in [
        &["sync", "--follow"][..],
        &["serve"],
        &["view", "--listen", "127.0.0.1:0"],
    ]
    .into_iter()
    .enumerate()
    {
        let (process, status) = stay(&site, arguments);
        assert_eq!(status["locked"], true, "{arguments:?}: {status}");
        assert_eq!(status["new"], round == 0, "{arguments:?}: {status}");
        for command in ["sync", "verify", "snapshots"] {
            let error = sealed(&site, &[command]).failed(1);
            assert!(error.contains(LOCKED), "{command}: {error}");
        }
        if round > 0 {
            let error = unlock(&site, "wrong").failed(1);
            assert!(error.contains("does not open this store"), "{error}");
            assert_eq!(sealed(&site, &["status"]).ok()["locked"], true);
        }
        assert_eq!(unlock(&site, PASSPHRASE).ok()["unlocked"], true);
        assert_eq!(unlock(&site, "anything").ok()["unlocked"], true);
        if arguments[0] == "serve" {
            sealed(&site, &["sync"]).ok();
        }
        pulled(&site);
        process.end();
    }
    center.end();
    let error = sealed(&site, &["status"]).failed(2);
    assert!(error.contains("passphrase_file"), "{error}");
}

/// [S10-10] wrong guesses are counted whatever makes them, over restarts; then
/// not even the right one is looked at before its time.
#[test]
fn guesses_of_the_passphrase_are_slowed_over_restarts() {
    let site = laptop();
    let (mut process, _) = stay(&site, &["serve"]);
    unlock(&site, PASSPHRASE).ok();
    let (right, wrong) = (file(&site, PASSPHRASE), file(&site, "wrong"));
    let change = ["passphrase", "--old-file", &wrong, "--new-file", &right];
    for _ in 0..2 {
        let error = sealed(&site, &change).failed(1);
        assert!(error.contains("does not open this store"), "{error}");
    }
    process.kill();
    for _ in 0..2 {
        let (mut process, status) = stay(&site, &["serve"]);
        assert_eq!(status["locked"], true);
        let error = unlock(&site, "wrong").failed(1);
        assert!(error.contains("does not open this store"), "{error}");
        process.kill();
    }
    let (process, _) = stay(&site, &["serve"]);
    unlock(&site, "wrong").failed(1);
    let begun = Instant::now();
    let error = unlock(&site, PASSPHRASE).failed(1);
    assert!(error.contains("5 wrong passphrases in a row"), "{error}");
    let mut looked_at = 0;
    while looked_at < 2 {
        let error = unlock(&site, "wrong").failed(1);
        looked_at += u32::from(error.contains("does not open this store"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        begun.elapsed() > Duration::from_millis(2900),
        "1 s, then 2 s"
    );
    while unlock(&site, PASSPHRASE).code != Some(0) {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it waits for ever"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    process.end();
}

/// [S9-24] after a change the old passphrase is refused and the new one opens
/// the store; killed at any step of it, one of the two does.
#[test]
fn a_passphrase_is_changed_also_where_that_is_killed() {
    let site = with_records();
    let home = site.text(SEALED);
    let opens = |passphrase: &str| {
        crate::write_passphrase(&site, passphrase);
        let ran = sealed(&site, &["status"]);
        let refused = ran.json["error"]
            .to_string()
            .contains("does not open this store");
        assert!(ran.code == Some(0) || refused, "{}", ran.json);
        ran.code == Some(0)
    };
    let mut now = PASSPHRASE.to_string();
    let next = |wrapper: &[&str], now: &mut String, number: usize| {
        let new = format!("another passphrase {number}");
        crate::write_passphrase(&site, now);
        let (old_file, new_file) = (site.text("old.txt"), site.text("new.txt"));
        fs::write(&old_file, &*now).unwrap();
        fs::write(&new_file, &new).unwrap();
        let change = [
            "passphrase",
            "--home",
            &home,
            "--old-file",
            &old_file,
            "--new-file",
            &new_file,
        ];
        let ran = match wrapper.is_empty() {
            true => hikae(change),
            false => hikae_under(wrapper, &change),
        };
        let (old_opens, new_opens) = (opens(now), opens(&new));
        assert!(
            old_opens != new_opens,
            "{wrapper:?}: {old_opens} {new_opens}"
        );
        if new_opens {
            *now = new;
        }
        (ran.code, new_opens)
    };
    assert_eq!(next(&[], &mut now, 0), (Some(0), true));
    if !crate::harness::has_program("strace") {
        return skipped(
            "a_passphrase_is_changed_also_where_that_is_killed",
            "there is no strace",
        );
    }
    // Two key files: each is created, synced, renamed, and its folder synced.
    let mut killed = [0, 0];
    for (call, times) in [("rename,renameat,renameat2", 2), ("fsync,fdatasync", 4)] {
        for time in 1..=times {
            let inject = format!("inject={call}:signal=KILL:when={time}");
            let trace = format!("trace={call}");
            let strace = [
                "strace",
                "-f",
                "-qq",
                "-P",
                &site.text("sealed/store/segments"),
                "-P",
                &site.text("sealed/store/segments/.new-store.key"),
                "-P",
                &site.text("sealed/store/segments/.new-store.key.copy"),
                "-o",
                "/dev/null",
                "-e",
                &trace,
                "-e",
                &inject,
            ];
            let (code, is_new) = next(&strace, &mut now, time + 10 * times);
            if code.is_none() {
                killed[usize::from(is_new)] += 1;
            }
        }
    }
    println!("killed while the old one counted, and the new one: {killed:?}");
    assert!(killed[0] > 0 && killed[1] > 0, "{killed:?}");
}

/// A rebuild looks at the passphrase before it takes anything away.
#[test]
fn a_rebuild_with_a_wrong_passphrase_takes_nothing_away() {
    let site = with_records();
    crate::write_passphrase(&site, "wrong");
    let error = sealed(&site, &["rebuild"]).failed(1);
    assert!(error.contains("does not open this store"), "{error}");
    crate::write_passphrase(&site, PASSPHRASE);
    let status = sealed(&site, &["status"]).ok();
    assert!(status["rebuilt"].is_null(), "{status}");
    let rebuilt = sealed(&site, &["rebuild"]).ok();
    assert_eq!(rebuilt["root_matches"], true, "{rebuilt}");
    assert_eq!(rebuilt["from_checkpoint"], false);
}
