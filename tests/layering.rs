//! Imports run one way (DESIGN §4), and the crates that one folder owns are
//! named nowhere else.
//!
//! Reads the sources as text: comments and literals are left away, then every
//! path is taken, those of nested `use` groups and of `super::` chains too.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

/// The folders of `src`, lowest first: a folder imports those before it, never
/// its neighbours in the same row nor those after it.
const ORDER: [&[&str]; 11] = [
    &["language"],
    &["progress", "ssmix", "hl7"],
    &["disk", "config", "clinical", "registry"],
    &["seal"],
    &["segment"],
    &["catalogue"],
    &["index", "walk"],
    &["plan"],
    &["transfer", "publish", "viewer"],
    &["replicate"],
    &["cli"],
];

/// Folders beside the order: what they import, and who imports them.
const BESIDE: [(&str, &[&str], &[&str]); 1] = [("gen", &["progress", "ssmix"], &["cli"])];

/// Crates that are named in one place of `src` only.
const OWNED: [(&str, &str); 3] = [
    ("sled", "catalogue/db/"),
    ("quinn", "transfer/"),
    ("chacha20poly1305", "seal/"),
];

/// What the protocol is free of: no I/O, no clock, no runtime.
const IMPURE: [&[&str]; 6] = [
    &["tokio"],
    &["quinn"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
];

#[test]
fn imports_run_one_way() {
    let found = arrows_of(&sources("src"));
    assert!(found.is_empty(), "wrong imports:\n{}", found.join("\n"));
}

#[test]
fn owned_crates_are_named_in_one_place() {
    let found = owned_of(&sources("src"));
    assert!(found.is_empty(), "wrong places:\n{}", found.join("\n"));
}

#[test]
fn the_protocol_has_no_io_no_clock_and_no_runtime() {
    let found = impure_of(&sources("protocol/src"));
    assert!(found.is_empty(), "not pure:\n{}", found.join("\n"));
}

#[test]
fn every_folder_of_the_sources_has_its_place_in_the_order() {
    let known: BTreeSet<&str> = ORDER.iter().flat_map(|row| row.iter().copied()).collect();
    let beside = BESIDE.map(|(name, _, _)| name);
    let mut folders = 0;
    for source in sources("src") {
        let folder = source.top();
        if matches!(folder, "lib" | "main") {
            continue;
        }
        folders += 1;
        assert!(
            known.contains(folder) || beside.contains(&folder),
            "{}: give {folder} a place in ORDER",
            source.name
        );
    }
    assert!(folders > 50, "only {folders} files were looked at");
}

mod the_checker_itself {
    use super::*;

    fn arrows(name: &str, text: &str) -> Vec<String> {
        arrows_of(&[Source::new(name, text)])
    }

    #[test]
    fn a_lower_folder_that_imports_a_higher_one_is_found() {
        let bad = [
            ("disk/mod.rs", "use crate::segment::SegmentLog;"),
            ("catalogue/open.rs", "use crate::walk::look_at;"),
            ("transfer/link.rs", "use crate::replicate::home::Home;"),
            ("index/hint.rs", "use crate::walk::LeftOut;"),
            ("publish/leaf.rs", "fn f() { crate::transfer::close() }"),
            ("plan/mod.rs", "use crate::{progress::Monitor, cli};"),
            ("walk/leaf.rs", "use crate::{disk::{A, B}, transfer::{C}};"),
            ("segment/log.rs", "use super::super::catalogue::Db;"),
            (
                "ssmix/kind.rs",
                "mod tests { use super::super::super::disk; }",
            ),
            ("gen/day.rs", "use crate::disk::join;"),
            ("replicate/node.rs", "use crate::r#gen::day;"),
            ("hl7/mod.rs", "use crate::ssmix::Flag;"),
            ("clinical/mod.rs", "use crate::registry::Grant;"),
            ("nowhere/mod.rs", "use crate::disk::join;"),
        ];
        for (name, text) in bad {
            assert_eq!(arrows(name, text).len(), 1, "{name}: {text}");
        }
    }

    #[test]
    fn good_imports_comments_and_literals_are_not() {
        let good = [
            ("cli/generate.rs", "use crate::r#gen::{day, storage};"),
            ("gen/day.rs", "use crate::{progress::Monitor, ssmix};"),
            ("publish/leaf.rs", "use crate::walk::look_at;"),
            (
                "replicate/node.rs",
                "use crate::{transfer, publish::publish};",
            ),
            ("walk/leaf.rs", "use crate::walk::LeftOut;"),
            ("disk/mod.rs", "// use crate::cli;\n/* crate::cli */"),
            ("disk/mod.rs", "const A: &str = \"crate::cli \\\" x\";"),
            (
                "disk/mod.rs",
                "const A: &str = r#\"\" crate::cli\"#; const B: char = '\"'; fn f<'a>() {}",
            ),
            (
                "disk/mod.rs",
                "const A: [char; 3] = ['\\\\', '\\'', '{']; const B: &str = \"crate::cli\";",
            ),
            (
                "gen/chart.rs",
                "mod tests { use super::super::chance::Stream; }",
            ),
            ("lib.rs", "pub mod cli;"),
        ];
        for (name, text) in good {
            assert_eq!(arrows(name, text), Vec::<String>::new(), "{name}: {text}");
        }
    }

    #[test]
    fn a_crate_outside_its_folder_is_found() {
        let found = |name: &str, text: &str| owned_of(&[Source::new(name, text)]).len();
        assert_eq!(found("catalogue/open.rs", "struct A(sled::Tree);"), 1);
        assert_eq!(found("catalogue/open.rs", "use {sled as s, std::fs};"), 1);
        assert_eq!(
            found("replicate/serve.rs", "fn f(a: quinn::Endpoint) {}"),
            1
        );
        assert_eq!(found("catalogue/db/table.rs", "use sled::Tree;"), 0);
        assert_eq!(found("transfer/link.rs", "use quinn::Endpoint;"), 0);
        assert_eq!(found("cli/mod.rs", "// sled\nfilter(\"sled=error\")"), 0);
    }

    #[test]
    fn io_and_clocks_in_the_protocol_are_found() {
        let found = |text: &str| impure_of(&[Source::new("frame.rs", text)]).len();
        assert_eq!(found("use std::{fmt, fs};"), 1);
        assert_eq!(found("use std::net::UdpSocket;"), 1);
        assert_eq!(found("fn f() { tokio::spawn(g()); }"), 1);
        assert_eq!(found("use std::time::{Duration, SystemTime};"), 1);
        assert_eq!(found("//! No tokio here.\nuse std::fmt;"), 0);
    }
}

/// A source file below a folder of sources.
struct Source {
    name: String,
    text: String,
}

impl Source {
    fn new(name: &str, text: &str) -> Source {
        Source {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The module path of the file: `walk/leaf.rs` is walk, leaf.
    fn module(&self) -> Vec<String> {
        let path = self.name.trim_end_matches(".rs");
        let path = path.trim_end_matches("/mod");
        path.split('/').map(str::to_string).collect()
    }

    /// Its first component.
    fn top(&self) -> &str {
        let end = self.name.find('/').unwrap_or(self.name.len());
        self.name[..end].trim_end_matches(".rs")
    }

    /// Every path that the code names, those of `super::` chains from the
    /// crate's root on.
    fn paths(&self) -> Vec<Vec<String>> {
        let mut modules = self.module();
        let mut braces: Vec<bool> = Vec::new();
        let mut tokens = tokens(&code(&self.text)).into_iter().peekable();
        let mut found = Vec::new();
        let mut before = String::new();
        while let Some(token) = tokens.next() {
            match token.as_str() {
                "{" => {
                    let is_module = before.starts_with("mod ");
                    if is_module {
                        modules.push(before["mod ".len()..].to_string());
                    }
                    braces.push(is_module);
                }
                "}" if braces.pop() == Some(true) => drop(modules.pop()),
                name if is_name(name) && before == "mod" => {
                    before = format!("mod {token}");
                    continue;
                }
                name if is_name(name) && before != "." => {
                    let mut paths = Vec::new();
                    tree(vec![token.clone()], &mut tokens, &mut paths);
                    found.extend(paths.into_iter().map(|path| absolute(path, &modules)));
                }
                _ => {}
            }
            before = token;
        }
        found
    }
}

/// A path of `super::` as one of `crate::`.
fn absolute(path: Vec<String>, modules: &[String]) -> Vec<String> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    if supers == 0 {
        return path;
    }
    let above = modules.len().saturating_sub(supers);
    let mut whole = vec!["crate".to_string()];
    whole.extend(modules[..above].iter().cloned());
    whole.extend(path[supers..].iter().cloned());
    whole
}

/// The paths that go on from `path`; groups branch.
fn tree(path: Vec<String>, tokens: &mut Peekable<IntoIter<String>>, paths: &mut Vec<Vec<String>>) {
    let mut path = path;
    while tokens.peek().is_some_and(|token| token == "::") {
        tokens.next();
        match tokens.peek().map(String::as_str) {
            Some("{") => {
                tokens.next();
                while let Some(token) = tokens.next() {
                    match token.as_str() {
                        "}" => break,
                        name if is_name(name) && name != "as" => {
                            let below = [path.clone(), vec![token]].concat();
                            tree(below, tokens, paths);
                        }
                        "as" => drop(tokens.next()),
                        _ => {}
                    }
                }
                return;
            }
            Some(name) if is_name(name) => path.extend(tokens.next()),
            _ => break,
        }
    }
    paths.push(path);
}

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// The text without comments and literals.
fn code(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < letters.len() {
        let rest = &letters[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().take_while(|letter| **letter != '\n').count(),
            ['/', '*', ..] => block_comment(rest),
            ['r', '"' | '#', ..] if !out.ends_with(is_word) => {
                // Else r#name.
                raw_literal(rest).unwrap_or(2)
            }
            ['"', ..] => literal(rest),
            ['\'', '\\', ..] => escaped_letter(rest),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        match length {
            0 => out.push(letters[at]),
            _ => out.push(' '),
        }
        at += length.max(1);
    }
    out
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn block_comment(rest: &[char]) -> usize {
    let end = rest[2..].windows(2).position(|two| two == ['*', '/']);
    end.map_or(rest.len(), |end| end + 4)
}

/// The length of a string literal.
fn literal(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of a literal like `'\n'`: what is escaped is no quote that ends it.
fn escaped_letter(rest: &[char]) -> usize {
    let end = rest.iter().skip(3).position(|letter| *letter == '\'');
    end.map_or(rest.len(), |end| end + 4)
}

fn raw_literal(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..]
        .iter()
        .take_while(|letter| **letter == '#')
        .count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let begin = 2 + hashes;
    let found = rest[begin..]
        .windows(end.len())
        .position(|letters| letters == end.as_slice());
    Some(found.map_or(rest.len(), |at| begin + at + end.len()))
}

/// Names, `::`, and every other letter by itself.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(letter) = rest.chars().next() {
        let length = match letter {
            ' ' | '\n' | '\t' | '\r' => {
                rest = &rest[1..];
                continue;
            }
            _ if is_word(letter) => rest.find(|other| !is_word(other)).unwrap_or(rest.len()),
            _ if rest.starts_with("::") => 2,
            _ => letter.len_utf8(),
        };
        tokens.push(rest[..length].to_string());
        rest = &rest[length..];
    }
    tokens
}

fn rank(folder: &str) -> Option<usize> {
    ORDER.iter().position(|row| row.contains(&folder))
}

fn is_allowed(from: &str, to: &str) -> bool {
    for (name, imports, importers) in BESIDE {
        if from == name {
            return imports.contains(&to);
        }
        if to == name {
            return importers.contains(&from);
        }
    }
    match (rank(from), rank(to)) {
        (Some(from), Some(to)) => to < from,
        _ => false,
    }
}

/// Every import against the order.
fn arrows_of(sources: &[Source]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        let from = source.top();
        if matches!(from, "lib" | "main") {
            continue;
        }
        for path in source.paths() {
            let [first, to, ..] = path.as_slice() else {
                continue;
            };
            if first == "crate" && to != from && !is_allowed(from, to) {
                found.insert(format!("{}: {}", source.name, path.join("::")));
            }
        }
    }
    found.into_iter().collect()
}

/// Every mention of a crate outside the place that owns it.
fn owned_of(sources: &[Source]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        for path in source.paths() {
            for (name, owner) in OWNED {
                if path[0] == name && !source.name.starts_with(owner) {
                    found.insert(format!("{}: {}", source.name, path.join("::")));
                }
            }
        }
    }
    found.into_iter().collect()
}

/// Every path that a pure crate has no use for.
fn impure_of(sources: &[Source]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        for path in source.paths() {
            let impure = IMPURE
                .iter()
                .any(|impure| path.len() >= impure.len() && path[..impure.len()] == **impure);
            if impure {
                found.insert(format!("{}: {}", source.name, path.join("::")));
            }
        }
    }
    found.into_iter().collect()
}

/// The sources below a folder of the project.
fn sources(folder: &str) -> Vec<Source> {
    fn below(folder: &Path, files: &mut Vec<PathBuf>) {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                below(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    below(&root, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no sources in {folder}");
    files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            Source::new(name, &fs::read_to_string(path).unwrap())
        })
        .collect()
}
