//! The order of writes and syncs, as the system sees it: what a commit refers
//! to is synced before its blocks are written, and those before anything is
//! made of them.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::collections::BTreeMap;
use std::fs;

use harness::{Site, has_program, hikae_under, record, skipped};

/// What happened to the segments, and beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    /// A block of this kind is about to be written.
    Block(u8),
    /// What was written to the segments is on the disk.
    Synced,
    /// A file gets its name: in the tree, or a mark in the store.
    Named(String),
}

/// The kind of a commit's block.
const COMMIT: u8 = 4;

/// One line of strace's: a call that begins, or one that ended.
fn event(line: &str, begun: &mut BTreeMap<String, String>) -> Option<Event> {
    let (process, call) = line.trim_start().split_once(' ')?;
    let call = call.trim_start();
    if let Some(call) = call.strip_suffix("<unfinished ...>") {
        begun.insert(process.into(), call.into());
        return match call.contains("fdatasync(") {
            true => None,
            false => of_call(call),
        };
    }
    if call.starts_with("<...") {
        let call = begun.remove(process)?;
        return call
            .contains("fdatasync(")
            .then(|| of_call(&call))
            .flatten();
    }
    of_call(call)
}

fn of_call(call: &str) -> Option<Event> {
    let on_segment = call.contains(".seg>");
    if call.starts_with("write(") && on_segment {
        let (_, bytes) = call.split_once("\"hkBL\\")?;
        let digits = bytes.split(|letter: char| !letter.is_digit(8)).next()?;
        return u8::from_str_radix(digits, 8).ok().map(Event::Block);
    }
    if call.starts_with("fdatasync(") && on_segment {
        return Some(Event::Synced);
    }
    let is_name = call.starts_with("rename") && !call.contains("store.id");
    is_name.then(|| Event::Named(call.to_string()))
}

/// What breaks the order in which a store is written.
fn faults(events: &[Event]) -> Vec<String> {
    let (mut records, mut commit) = (false, false);
    let mut faults = Vec::new();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Block(COMMIT) => {
                if records {
                    faults.push(format!("{at}: a commit before its records were synced"));
                }
                commit = true;
            }
            Event::Block(_) => records = true,
            Event::Synced => (records, commit) = (false, false),
            Event::Named(name) if commit => {
                faults.push(format!("{at}: {name} before the commit was synced"));
            }
            Event::Named(_) => {}
        }
    }
    if commit {
        faults.push("a commit that was not synced".into());
    }
    faults
}

/// What a command does to its store and tree.
fn traced(site: &Site, home: &str, command: &str) -> Vec<Event> {
    let trace = site.path("trace");
    let strace = [
        "strace",
        "-f",
        "-y",
        "-qq",
        "-o",
        trace.to_str().unwrap(),
        "-e",
        "trace=write,fdatasync,rename,renameat,renameat2",
    ];
    let home = site.text(home);
    hikae_under(&strace, &[command, "--home", &home]).ok();
    let text = fs::read_to_string(&trace).unwrap();
    let mut begun = BTreeMap::new();
    text.lines()
        .filter_map(|line| event(line, &mut begun))
        .collect()
}

/// [S9-11] at a source and at a replica.
#[test]
fn records_are_synced_before_their_commit_and_that_before_it_is_shown() {
    if !has_program("strace") {
        return skipped("records_are_synced_before_their_commit", "install strace");
    }
    let site = Site::empty();
    site.configure(false);
    for turn in 0..2 {
        for patient in 0..20 {
            let path = record(&format!("{:07}", 1_000_000 + patient), 1 + turn);
            site.put(&format!("0410000001/STD01/{path}"), path.as_bytes());
        }
        let scanned = traced(&site, "center", "scan");
        let center = site.serve();
        let pulled = traced(&site, "backup", "sync");
        center.end();
        for events in [&scanned, &pulled] {
            assert_eq!(faults(events), [""; 0], "{events:?}");
            let commits = events
                .iter()
                .filter(|event| **event == Event::Block(COMMIT));
            assert!(commits.count() >= 2, "{events:?}");
            assert!(events.contains(&Event::Block(2)), "{events:?}");
        }
        assert!(pulled.contains(&Event::Block(1)), "{pulled:?}");
        let named = pulled
            .iter()
            .filter(|event| matches!(event, Event::Named(_)));
        assert!(named.count() > 20, "{pulled:?}");
    }
    site.assert_equal();
}

#[test]
fn the_checker_finds_a_wrong_order() {
    let leaves = "7 write(9</s/00000001.seg>, \"hkBL\\2\\1\\0\"..., 88) = 88\n";
    let commit = "7 write(9</s/00000001.seg>, \"hkBL\\4\\1\\0\"..., 88) = 88\n";
    let sync = "7 fdatasync(9</s/00000001.seg>) = 0\n";
    let other = "7 fdatasync(9</s/other>) = 0\n8 write(3</s/00000001.log>, \"x\", 1) = 1\n";
    let name = "8 renameat(3</t>, \"a\", 3</t>, \"b\") = 0\n";
    let begun = "7 fdatasync(9</s/00000001.seg> <unfinished ...>\n";
    let ended = "7 <... fdatasync resumed>) = 0\n";
    let count = |lines: &[&str]| {
        let mut begun = BTreeMap::new();
        let text = lines.concat();
        let events: Vec<Event> = text
            .lines()
            .filter_map(|line| event(line, &mut begun))
            .collect();
        faults(&events).len()
    };
    assert_eq!(count(&[leaves, sync, commit, commit, sync, name]), 0);
    assert_eq!(count(&[leaves, begun, ended, commit, sync, other, name]), 0);
    assert_eq!(count(&[leaves, commit, sync, name]), 1);
    assert_eq!(count(&[leaves, other, commit, sync]), 1);
    assert_eq!(count(&[leaves, begun, commit, ended]), 1);
    assert_eq!(count(&[leaves, sync, commit, name, sync]), 1);
    assert_eq!(count(&[leaves, sync, commit]), 1);
}
