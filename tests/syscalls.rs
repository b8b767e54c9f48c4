//! A sync, and a scan, ended or failed at its N-th system call of a kind that
//! changes something, for N = 1, 2, 3, … until a run ends untouched.
//!
//! Killed at the call's begin: what was acknowledged is held, every file that
//! is seen is whole, and started again it ends equal and leaves nothing
//! behind. Failed with an error: the command says so, names the file, and the
//! next one ends equal.
//!
//! strace counts calls by kind and thread. With one worker thread each of
//! tokio and rayon nearly all calls are of the main thread; of the others
//! (the index's own writers, the thread that appends) the N-th call is hit
//! only where that thread comes to N first. So covered is: every state that
//! lies before a call of the busiest thread of each kind. Not covered:
//! orders of two threads that one worker does not give (`tests/kill.rs` has
//! them at random), and calls that open a file without making one.
//!
//! Failed calls of `write` are those on files of the store and the tree, not
//! those that wake a thread. The index of a store may be lost at any moment:
//! where its own calls fail, no more is asked than that the next run is equal.
//!
//! `HIKAE_SYSCALLS=all` takes every N; else growing steps, and 1 to 5 where a
//! day's sync is killed.
//! `HIKAE_KEEP` leaves the folder of a failed run.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod harness;
#[path = "syscalls/state.rs"]
mod state;
#[path = "syscalls/trace.rs"]
mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime};

use harness::{
    Cursor, Process, Ran, Seen, Site, assert_same, assert_whole_files, binary, cursor, has_program,
    look, skipped,
};
use serde_json::Value;
use state::State;
use trace::{Calls, INDEX, Line, Run};

/// Kinds of calls that change something, and the error that each fails with.
/// Of those that open, only the calls that make a file count.
const CALLS: [(&str, &str); 19] = [
    ("fsync", "EIO"),
    ("fdatasync", "EIO"),
    ("syncfs", "EIO"),
    ("sync_file_range", "EIO"),
    ("rename", "EIO"),
    ("renameat", "EIO"),
    ("renameat2", "EIO"),
    ("write", "ENOSPC"),
    ("pwrite64", "ENOSPC"),
    ("ftruncate", "EIO"),
    ("openat", "ENOSPC"),
    ("openat2", "ENOSPC"),
    ("mkdir", "ENOSPC"),
    ("mkdirat", "ENOSPC"),
    ("unlink", "EIO"),
    ("unlinkat", "EIO"),
    ("utimensat", "EIO"),
    ("linkat", "EIO"),
    ("fallocate", "ENOSPC"),
];

/// In the short run N grows by this factor.
const GROWTH: u64 = 5;

/// Verification reads everything; it is done after each so many runs.
const VERIFY_EVERY: u64 = 10;

fn is_all() -> bool {
    std::env::var("HIKAE_SYSCALLS").is_ok_and(|which| which == "all")
}

/// The next N, where each up to `every` is taken.
fn after(at: u64, every: u64) -> u64 {
    match is_all() || at < every {
        true => at + 1,
        false => at * GROWTH,
    }
}

/// What is swept: a command of one of the nodes, from a state on.
struct Scene {
    name: &'static str,
    site: Site,
    /// The center that answers a sync; none where the command is the
    /// center's.
    center: Option<Process>,
    command: &'static str,
    state: State,
    /// What must be there at the end.
    root: Value,
    /// Acknowledged when it begins.
    held: (Cursor, Cursor),
    /// The storage as the backup's tree may show it.
    old: BTreeMap<Vec<u8>, Seen>,
    new: BTreeMap<Vec<u8>, Seen>,
    runs: u64,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(center) = self.center.take() {
            center.end();
        }
    }
}

impl Scene {
    /// A backup that has nothing, of so many records that the tree is synced
    /// as a whole.
    fn first_copy() -> Scene {
        let site = Site::generated_in_memory(2, 12, 280);
        let root = site.center(&["scan"]).ok()["root"].clone();
        let roots = [site.path("backup/store"), site.tree()];
        let state = State::save(&roots);
        Scene::of_backup("first copy", site, state, root, BTreeMap::new())
    }

    /// A backup that has a copy, and a day of changes: each file is synced by
    /// itself.
    fn day() -> Scene {
        let site = Site::generated_in_memory(2, 12, 100);
        site.sync().ok();
        let old = look(&site.volumes());
        site.day(20);
        let root = site.center(&["scan"]).ok()["root"].clone();
        let state = State::save(&[site.path("backup/store"), site.tree()]);
        Scene::of_backup("a day's changes", site, state, root, old)
    }

    fn of_backup(
        name: &'static str,
        site: Site,
        state: State,
        root: Value,
        old: BTreeMap<Vec<u8>, Seen>,
    ) -> Scene {
        let new = look(&site.volumes());
        let center = Some(site.serve());
        let mut scene = Scene {
            name,
            site,
            center,
            command: "sync",
            state,
            root,
            held: Default::default(),
            old,
            new,
            runs: 0,
        };
        scene.held = scene.holds();
        scene.state.restore();
        scene
    }

    fn first_scan() -> Scene {
        let site = Site::generated_in_memory(2, 12, 100);
        let state = State::save(&[site.path("center/store")]);
        Scene::of_center("first scan", site, state)
    }

    fn later_scan() -> Scene {
        let site = Site::generated_in_memory(2, 12, 100);
        site.center(&["scan"]).ok();
        site.day(20);
        let state = State::save(&[site.path("center/store")]);
        Scene::of_center("a day's scan", site, state)
    }

    fn of_center(name: &'static str, site: Site, state: State) -> Scene {
        let mut scene = Scene {
            name,
            root: Value::Null,
            site,
            center: None,
            command: "scan",
            state,
            held: Default::default(),
            old: BTreeMap::new(),
            new: BTreeMap::new(),
            runs: 0,
        };
        scene.held = scene.holds();
        scene.state.restore();
        scene.root = scene.site.center(&["scan"]).ok()["root"].clone();
        scene
    }

    fn home(&self) -> &'static str {
        match self.command {
            "sync" => "backup",
            _ => "center",
        }
    }

    /// What the node holds and shows, by its own word.
    fn holds(&self) -> (Cursor, Cursor) {
        let status = self.site.status(self.home());
        (cursor(&status["snapshot"]), cursor(&status["published"]))
    }

    /// What the backup told the center after this moment.
    fn told_since(&self, begun: SystemTime) -> Option<(Cursor, Cursor)> {
        let told = self.site.status("center")["peers"][0].clone();
        let at = humantime::parse_rfc3339(told["told_at"].as_str()?).unwrap();
        (at > begun).then(|| (cursor(&told["durable"]), cursor(&told["published"])))
    }

    /// The command from the state on, under strace.
    fn run(&self, options: &[String]) -> Run {
        let trace = self.site.path("trace");
        let output = Command::new("strace")
            .args(["-f", "-y", "-qq", "-s", "16", "-o"])
            .arg(&trace)
            .args(options)
            .arg(binary())
            .args([self.command, "--json", "--home"])
            .arg(self.site.path(self.home()))
            .env_remove("HIKAE_HOME")
            .env("RAYON_NUM_THREADS", "1")
            .env("TOKIO_WORKER_THREADS", "1")
            .output()
            .unwrap();
        Run {
            killed: output.status.signal() == Some(9) || output.status.code() == Some(128 + 9),
            ran: Ran {
                code: output.status.code(),
                json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            },
            trace: String::from_utf8_lossy(&fs::read(&trace).unwrap_or_default()).into_owned(),
        }
    }

    /// The calls of an undisturbed run.
    fn calls(&self) -> BTreeMap<String, Calls> {
        self.state.restore();
        let kinds: Vec<&str> = CALLS.iter().map(|(kind, _)| *kind).collect();
        let run = self.run(&["-e".into(), format!("trace={}", kinds.join(","))]);
        assert_eq!(run.ran.code, Some(0), "{}", run.ran.stderr);
        run.calls()
    }

    /// From the state on, with the N-th call of a kind tampered with.
    fn tampered(&mut self, kind: &str, calls: &Calls, how: &str, at: u64) -> Run {
        self.runs += 1;
        self.state.restore();
        let mut options = vec![
            "-e".to_string(),
            format!("trace={kind}"),
            "-e".to_string(),
            format!("inject={kind}:{how}:when={at}"),
        ];
        if how.starts_with("error") {
            // Faster, but signals get lost by it.
            options.push("--seccomp-bpf".into());
            if kind == "write" {
                let files = calls.files.iter();
                options.extend(files.flat_map(|file| ["-P".to_string(), file.clone()]));
            }
        }
        self.run(&options)
    }

    /// What was acknowledged is held, and nothing half is seen.
    #[track_caller]
    fn assert_held(&self, begun: SystemTime, what: &str) {
        let mut acknowledged = self.held;
        if self.command == "sync" {
            assert_whole_files(&look(&self.site.tree()), &[&self.old, &self.new]);
            acknowledged = self.told_since(begun).unwrap_or(acknowledged);
        }
        let (held, shown) = self.holds();
        assert!(
            held >= acknowledged.0.max(self.held.0) && shown >= acknowledged.1.max(self.held.1),
            "{what}: {held:?} and {shown:?} of {acknowledged:?} and {:?}",
            self.held
        );
    }

    /// Once more, and all is equal; nothing is left behind.
    #[track_caller]
    fn assert_recovers(&self, what: &str) {
        let home = self.home();
        let ran = match home {
            "backup" => self.site.backup(&[self.command]),
            _ => self.site.center(&[self.command]),
        };
        assert_eq!(ran.code, Some(0), "{what}: {}\n{}", ran.json, ran.stderr);
        assert_eq!(ran.json["root"], self.root, "{what}: {}", ran.json);
        if home == "backup" {
            assert_eq!(ran.json["roots_equal"], true, "{what}: {}", ran.json);
            assert_same(&self.site.volumes(), &self.site.tree());
            assert!(!self.site.tree().join(".hikae").exists(), "{what}");
        }
        let left = leftovers(&self.site.path(home));
        assert!(left.is_empty(), "{what}: {left:?} are left");
        if self.runs.is_multiple_of(VERIFY_EVERY) {
            let verified = match home {
                "backup" => self.site.backup(&["verify"]).ok(),
                _ => self.site.center(&["verify"]).ok(),
            };
            if home == "center" {
                assert_eq!(verified["leaves_changed"], 0, "{what}: {verified}");
            }
        }
    }
}

/// Temporary files of a home.
fn leftovers(home: &Path) -> Vec<String> {
    let names = look(home).into_keys();
    names
        .map(|name| String::from_utf8_lossy(&name).into_owned())
        .filter(|name| name.contains(".new-") || name.contains(".hikae-"))
        .collect()
}

/// What came of a run, for the counts.
type Outcome = &'static str;

/// Tampers with the N-th call of each kind, in turn, until a run is not hit;
/// prints what was hit, and what came of it.
fn sweep(
    scene: &mut Scene,
    every: u64,
    how: impl Fn(&str) -> String,
    check: impl Fn(&str, &Run) -> Outcome,
) {
    let begun = Instant::now();
    let all = scene.calls();
    println!("\n{}: {}", scene.name, how("…"));
    let mut total = 0;
    for (kind, error) in CALLS {
        let Some(calls) = all.get(kind) else {
            continue;
        };
        let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
        // Most that open only read: just those that make a file.
        let numbers: Vec<u64> = match kind.starts_with("open") {
            true => calls.numbers.iter().copied().collect(),
            false => (1..=u64::from(u16::MAX)).collect(),
        };
        let mut at = 1;
        while let Some(number) = numbers.get(at as usize - 1) {
            match hit(scene, kind, calls, &how(error), *number, &check) {
                Some(outcome) => *outcomes.entry(outcome).or_default() += 1,
                None => break,
            }
            at = after(at, every);
        }
        let hits: u64 = outcomes.values().sum();
        println!(
            "  {kind}: {hits} hit {outcomes:?}; {} change something, {} of them in one thread",
            calls.all,
            calls.numbers.len()
        );
        total += hits;
    }
    println!("  {total} calls hit, {:.0?}", begun.elapsed());
    assert!(total > 10, "hardly anything was hit");
}

/// One run with its N-th call tampered with, and the next; none if it had no
/// such call.
fn hit(
    scene: &mut Scene,
    kind: &str,
    calls: &Calls,
    how: &str,
    number: u64,
    check: &impl Fn(&str, &Run) -> Outcome,
) -> Option<Outcome> {
    let begun = SystemTime::now();
    let run = scene.tampered(kind, calls, how, number);
    if !run.killed && !run.trace.contains("INJECTED") {
        assert_eq!(run.ran.code, Some(0), "{:?}", run.ran);
        return None;
    }
    let what = format!("{}, {kind} {number}, {how}: {}", scene.name, run.what());
    scene.assert_held(begun, &what);
    let outcome = check(&what, &run);
    scene.assert_recovers(&what);
    Some(outcome)
}

fn is_impossible(test: &str) -> bool {
    let traces = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"])
        .output();
    let traces = has_program("strace") && traces.is_ok_and(|ran| ran.status.success());
    if !traces {
        skipped(
            test,
            "NO CALL WAS HIT: it needs strace, and the right to trace",
        );
    }
    !traces
}

fn killed(mut scene: Scene, every: u64) {
    let check = |what: &str, run: &Run| {
        assert!(run.killed, "{what}: {:?}", run.ran);
        "killed"
    };
    sweep(&mut scene, every, |_| "signal=SIGKILL".into(), check);
}

/// [S11-4] [S11-6]
#[test]
fn a_sync_killed_at_every_call_ends_equal() {
    if is_impossible("a_sync_killed_at_every_call_ends_equal") {
        return;
    }
    killed(Scene::day(), 5);
    killed(Scene::first_copy(), 1);
}

#[test]
fn a_scan_killed_at_every_call_ends_equal() {
    if is_impossible("a_scan_killed_at_every_call_ends_equal") {
        return;
    }
    killed(Scene::first_scan(), 1);
    killed(Scene::later_scan(), 1);
}

/// What is said of a call that failed.
fn said(what: &str, run: &Run) -> Outcome {
    let hits = run.hits();
    let (of_index, others): (Vec<&Line>, Vec<&Line>) =
        hits.iter().partition(|line| line.text.contains(INDEX));
    let names = |text: &str| {
        let files = others.iter().flat_map(|line| line.files());
        files.into_iter().any(|file| text.contains(&file))
    };
    let Ran { code, json, stderr } = &run.ran;
    let error = json["error"].as_str().unwrap_or_default();
    match code {
        Some(1) if names(error) => "said so",
        // The work was done: only the next start takes longer.
        Some(0) if stderr.contains("not closed cleanly") && names(stderr) => "not closed",
        Some(0) if !of_index.is_empty() => "the index's, done without",
        Some(1) if !of_index.is_empty() => "the index's, said so",
        _ if !of_index.is_empty() => "the index's, ended at once",
        _ => panic!("{what}: {code:?}, {json}\n{stderr}"),
    }
}

fn failed(mut scene: Scene) {
    sweep(&mut scene, 1, |error| format!("error={error}"), said);
}

#[test]
fn a_sync_with_a_failed_call_says_so() {
    if is_impossible("a_sync_with_a_failed_call_says_so") {
        return;
    }
    failed(Scene::day());
    failed(Scene::first_copy());
}

#[test]
fn a_scan_with_a_failed_call_says_so() {
    if is_impossible("a_scan_with_a_failed_call_says_so") {
        return;
    }
    failed(Scene::first_scan());
    failed(Scene::later_scan());
}

/// [S11-4] a time is a file's own, and is not kept by a sync of its folder: it
/// is synced before the mark says that it is shown.
#[test]
fn a_changed_time_is_synced_before_the_mark() {
    const TEST: &str = "a_changed_time_is_synced_before_the_mark";
    if is_impossible(TEST) {
        return;
    }
    let site = Site::empty();
    site.configure(false);
    let path = format!("0410000001/STD01/{}", harness::record("1000001", 1));
    site.put(&path, b"a message");
    site.center(&["scan"]).ok();
    site.sync().ok();
    let file = fs::File::open(site.volumes().join(&path)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    site.center(&["scan", "--walk"]).ok();
    let center = site.serve();
    let (trace, home) = (site.text("trace"), site.text("backup"));
    let calls = "trace=utimensat,syncfs,fsync,rename,renameat,renameat2";
    let strace = ["strace", "-f", "-y", "-qq", "-e", calls, "-o", &trace];
    let mark = "published";
    harness::hikae_under(&strace, &["sync", "--home", &home]).ok();
    center.end();
    let text = fs::read_to_string(trace).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let last = |what: &dyn Fn(&str) -> bool| lines.iter().rposition(|line| what(line)).unwrap();
    let set = last(&|line| line.contains("utimensat("));
    let shown = last(&|line| line.contains("rename") && line.contains(mark));
    let synced = |line: &&str| {
        let own = line.contains("fsync(") && line.contains("_20250401_OMP-01_");
        own || line.contains("syncfs(")
    };
    assert!(lines[set..shown].iter().any(synced), "{text}");
    assert_same(&site.volumes(), &site.tree());
}
