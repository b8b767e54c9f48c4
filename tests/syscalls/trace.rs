//! What strace wrote: calls, and which of them were tampered with.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::Ran;

/// The folder of a store's index.
pub const INDEX: &str = "/store/catalogue";

/// A line of strace's: the call of a thread, and whether it was tampered with.
pub struct Line<'a> {
    thread: &'a str,
    kind: &'a str,
    pub text: &'a str,
}

impl Line<'_> {
    fn of(line: &str) -> Option<Line<'_>> {
        let (thread, call) = line.trim_start().split_once(' ')?;
        let text = call.trim_start();
        let (kind, _) = text.split_once('(')?;
        let is_call = kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_call.then_some(Line { thread, kind, text })
    }

    /// It changes something on a disk, as far as its kind and arguments say.
    fn changes(&self) -> bool {
        match self.kind {
            "openat" | "openat2" => self.text.contains("O_CREAT"),
            "write" => self.text.contains("</"),
            _ => true,
        }
    }

    /// The file that its first argument has open, if that is not the index's.
    fn descriptor(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("</")?;
        let end = rest.find('>')?;
        let path = &self.text[self.text.len() - rest.len() - 1..][..end + 1];
        (!path.contains(INDEX)).then_some(path)
    }

    /// Names of files that the call is about: those of its descriptors and those that
    /// it names.
    pub fn files(&self) -> Vec<String> {
        let text = self.text.split(" = ").next().unwrap_or(self.text);
        // What is written is no name.
        let names = match self.kind {
            "write" | "pwrite64" => text.split('"').next().unwrap_or(text),
            _ => text,
        };
        let quoted = names.split('"').skip(1).step_by(2);
        let opened = names
            .split("</")
            .skip(1)
            .filter_map(|rest| rest.split_once('>'))
            .map(|(path, _)| path);
        let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_string();
        quoted.chain(opened).map(last).collect()
    }
}

/// What a run under strace came to.
pub struct Run {
    pub ran: Ran,
    pub killed: bool,
    pub trace: String,
}

impl Run {
    /// The calls that were tampered with, from their begin: those that got an
    /// error, or the one that never returned. Several threads may come to the
    /// same number.
    pub fn hits(&self) -> Vec<Line<'_>> {
        let mut begun: BTreeMap<&str, Line<'_>> = BTreeMap::new();
        let mut hits = Vec::new();
        for text in self.trace.lines() {
            let thread = text.trim_start().split(' ').next().unwrap_or_default();
            if let Some(line) = Line::of(text) {
                begun.insert(thread, line);
            }
            if text.contains("INJECTED") || text.ends_with("= ?") {
                hits.extend(begun.remove(thread));
            }
        }
        hits
    }

    /// Those, for messages.
    pub fn what(&self) -> String {
        let hits = self.hits();
        let texts: Vec<&str> = hits.iter().map(|line| line.text).collect();
        texts.join("; ")
    }

    /// By kind.
    pub fn calls(&self) -> BTreeMap<String, Calls> {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let mut numbers: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
        let mut calls: BTreeMap<String, Calls> = BTreeMap::new();
        for line in self.trace.lines().filter_map(Line::of) {
            let count = counts.entry((line.thread, line.kind)).or_default();
            *count += 1;
            if line.changes() {
                let numbers = numbers.entry((line.thread, line.kind)).or_default();
                numbers.insert(*count);
                let calls = calls.entry(line.kind.to_string()).or_default();
                calls.all += 1;
                if numbers.len() > calls.numbers.len() {
                    calls.numbers.clone_from(numbers);
                }
                calls.files.extend(line.descriptor().map(str::to_string));
            }
        }
        calls
    }
}

/// The calls of one kind that change something, in an undisturbed run.
#[derive(Debug, Default, Clone)]
pub struct Calls {
    /// Of all threads.
    pub all: u64,
    /// In the thread that has most: their numbers among its calls of the kind.
    pub numbers: BTreeSet<u64>,
    /// The files that they write to, but for those of the index.
    pub files: BTreeSet<String>,
}
