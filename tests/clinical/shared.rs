//! Records for the tests: from the samples' folder, or from text.

#![allow(unreachable_pub, reason = "a test binary has no outside")]

use std::fs;

use hikae::clinical::{Note, Place, Record, When};
use hikae::language::Language;

use crate::harness::{samples, skipped};

pub const PATIENT: &str = "999/901/9999013";

/// The samples are there; else says that the test shows nothing.
pub fn are_there(test: &str) -> bool {
    if samples().is_none() {
        skipped(test, "the samples don't lie beside the project");
    }
    samples().is_some()
}

/// A record of the samples, by its path below their folder.
pub fn sample(path: &str) -> Record {
    let bytes = fs::read(samples().unwrap().join(path)).unwrap();
    let (directory, object) = path.split_at(15);
    let place = Place::new(
        "0410000001",
        "STD01",
        directory.as_bytes(),
        &object.as_bytes()[1..],
    );
    Record::read(place, &bytes)
}

/// The one sample of a kind of patient 9999013.
pub fn of_kind(kind: &str) -> Record {
    let mut found: Vec<String> = all_samples();
    found.retain(|path| path.starts_with(PATIENT) && path.contains(&format!("/{kind}/")));
    assert_eq!(found.len(), 1, "{kind}");
    sample(&found[0])
}

/// The paths of all samples.
pub fn all_samples() -> Vec<String> {
    let root = samples().unwrap();
    let mut paths = Vec::new();
    for item in walk(&root) {
        let path = item.strip_prefix(&root).unwrap();
        paths.push(path.to_str().unwrap().to_owned());
    }
    paths.sort();
    paths
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// A record of patient 9999013 at a facility: `segments` follow a header and a PID of that patient.
pub fn record_at(
    facility: &str,
    date: &str,
    kind: &str,
    order: u64,
    message_type: &str,
    segments: &str,
) -> Record {
    let text = format!(
        "MSH|^~\\&|HIS||GW||{date}120000||{message_type}|1|P|2.5\rPID|1||9999013^^^^PI||患者^太郎^^^^^L^I~カンジャ^タロウ^^^^^L^P||19480405|M\r{segments}\r"
    );
    let bytes = encoding_rs::ISO_2022_JP.encode(&text).0.into_owned();
    let day = if matches!(kind, "ADT-00" | "ADT-01" | "ADT-61" | "PPR-01") {
        "-"
    } else {
        date
    };
    let name = format!("9999013_{day}_{kind}_{order:015}_{date}120000000_01_1");
    read_at(facility, &format!("{day}/{kind}/{name}"), &bytes)
}

/// The same at one facility.
pub fn record(date: &str, kind: &str, order: u64, message_type: &str, segments: &str) -> Record {
    record_at("0410000001", date, kind, order, message_type, segments)
}

/// A file of patient 9999013.
pub fn read(object: &str, bytes: &[u8]) -> Record {
    read_at("0410000001", object, bytes)
}

fn read_at(facility: &str, object: &str, bytes: &[u8]) -> Record {
    let place = Place::new(facility, "STD01", PATIENT.as_bytes(), object.as_bytes());
    Record::read(place, bytes)
}

/// A time for people; empty for none.
pub fn shown(when: &Option<When>) -> String {
    when.as_ref().map(When::show).unwrap_or_default()
}

/// Notes for people, in English.
pub fn notes(record: &Record) -> Vec<String> {
    let texts = record
        .notes
        .iter()
        .map(|note: &Note| note.text(Language::English));
    texts.collect()
}

/// Some note has these words in it.
#[track_caller]
pub fn assert_noted(record: &Record, words: &str) {
    let notes = notes(record);
    assert!(
        notes.iter().any(|note| note.contains(words)),
        "{words}: {notes:#?}"
    );
}
