//! Tests of whole centers: an independent walk against the report, twice the same, a day on top.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use encoding_rs::ISO_2022_JP;
use tempfile::TempDir;

use super::ledger::Ledger;
use super::*;
use crate::progress::Silent;
use crate::ssmix::{Flag, Object, RecordKey, anomalies, classify, record_of};

const RECORDS: u64 = 1_500;

fn center(facilities: u32, patients: u64, records: u64, seed: u64) -> (TempDir, StorageReport) {
    let folder = TempDir::new().unwrap();
    let options = StorageOptions {
        out: folder.path().join("c"),
        facilities,
        patients,
        records,
        seed,
    };
    let report = storage(&options, &Silent).unwrap();
    (folder, report)
}

fn continued(folder: &TempDir, changes: u64) -> DayReport {
    day(
        &DayOptions {
            out: folder.path().join("c"),
            changes,
            seed: None,
        },
        &Silent,
    )
    .unwrap()
}

/// Path below `volumes`, content, mtime in nanoseconds; directories have no content.
type Tree = BTreeMap<Vec<u8>, Option<(Vec<u8>, i128)>>;

fn walk(folder: &TempDir) -> Tree {
    fn into(path: &Path, below: &[u8], tree: &mut Tree) {
        use std::os::unix::fs::MetadataExt;
        for entry in std::fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let name = [
                below,
                if below.is_empty() { b"" } else { b"/" },
                entry.file_name().as_bytes(),
            ]
            .concat();
            let status = entry.metadata().unwrap();
            if status.is_dir() {
                into(&entry.path(), &name, tree);
                tree.insert(name, None);
            } else {
                let mtime =
                    i128::from(status.mtime()) * 1_000_000_000 + i128::from(status.mtime_nsec());
                tree.insert(name, Some((std::fs::read(entry.path()).unwrap(), mtime)));
            }
        }
    }
    let mut tree = Tree::new();
    into(&folder.path().join("c/volumes"), b"", &mut tree);
    tree
}

/// (volume, patient directory, object path) of a file below `volumes`.
fn split(path: &[u8]) -> Option<(String, Vec<u8>, Vec<u8>)> {
    let parts: Vec<&[u8]> = path.splitn(6, |&b| b == b'/').collect();
    let [facility, label, one, two, patient_and, ..] = parts[..] else {
        return None;
    };
    let rest = parts.get(5)?;
    let volume = String::from_utf8_lossy(&[facility, b"/", label].concat()).into_owned();
    Some((volume, [one, two, patient_and].join(&b'/'), rest.to_vec()))
}

fn planted(report: &StorageReport, what: PlantedKind) -> String {
    report
        .planted
        .iter()
        .find(|anomaly| anomaly.what == what)
        .unwrap()
        .path
        .clone()
}

fn rows(folder: &TempDir) -> Vec<(String, String)> {
    let mut ledger = Ledger::open(&folder.path().join("c/index.db")).unwrap();
    ledger.all_for_tests().unwrap()
}

/// Files and content folders as the INDEX DB names them, from the tree.
fn named(tree: &Tree) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (path, _) in tree.iter().filter(|(_, content)| content.is_some()) {
        let Some((volume, patient, object)) = split(path) else {
            continue;
        };
        let patient = String::from_utf8_lossy(&patient).into_owned();
        match classify(&object) {
            Object::Standard { date, kind, name } => {
                let parts = [date, kind, &name.to_bytes()]
                    .map(|part| String::from_utf8_lossy(part).into_owned());
                names.insert(format!("{volume}/{patient}/{}", parts.join("/")));
            }
            Object::Extended {
                date,
                kind,
                content,
                ..
            } => {
                let folder = kind.text(&kind.to_bytes()).into_owned();
                let (date, content) = (
                    String::from_utf8_lossy(date).into_owned(),
                    content.to_bytes(),
                );
                names.insert(format!(
                    "{volume}/{patient}/{date}/{folder}/{}",
                    String::from_utf8_lossy(&content)
                ));
            }
            Object::Stray { .. } => {}
        }
    }
    names
}

#[test]
fn one_seed_makes_one_center_and_one_day() {
    let (one, report) = center(3, 60, RECORDS, 7);
    let (two, again) = center(3, 60, RECORDS, 7);
    let timeless = |report| {
        serde_json::to_string(&StorageReport {
            seconds: 0.0,
            ..report
        })
        .unwrap()
    };
    assert_eq!(timeless(report), timeless(again));
    assert_eq!(walk(&one), walk(&two));
    assert_eq!(rows(&one), rows(&two));
    let (first, second) = (continued(&one, 200), continued(&two, 200));
    let timeless = |report| {
        serde_json::to_string(&DayReport {
            seconds: 0.0,
            ..report
        })
        .unwrap()
    };
    assert_eq!(timeless(first), timeless(second));
    assert_eq!(walk(&one), walk(&two));
    assert_eq!(rows(&one), rows(&two));
    let (other, _) = center(3, 60, RECORDS, 8);
    assert_ne!(walk(&one), walk(&other));
}

#[test]
fn the_report_counts_what_a_walk_counts() {
    let (folder, report) = center(2, 40, RECORDS, 1);
    let tree = walk(&folder);
    let files: Vec<_> = tree.values().flatten().collect();
    assert_eq!(report.files, files.len() as u64);
    assert_eq!(report.directories, (tree.len() - files.len()) as u64);
    assert_eq!(
        report.bytes,
        files
            .iter()
            .map(|(content, _)| content.len() as u64)
            .sum::<u64>()
    );
    assert_eq!(report.rows, rows(&folder).len() as u64);
    assert_eq!(report.patients, 40);
    assert_eq!(report.records, RECORDS);
    let foreign = planted(&report, PlantedKind::ForeignTwoBytes);
    let keys: BTreeSet<(String, RecordKey)> = tree
        .keys()
        .filter(|path| format!("volumes/{}", String::from_utf8_lossy(path)) != foreign)
        .filter_map(|path| split(path))
        .filter_map(|(volume, _, object)| record_of(&object).map(|(key, _)| (volume, key)))
        .collect();
    assert_eq!(keys.len() as u64, RECORDS);
    assert_eq!(report.records_by_kind.values().sum::<u64>(), RECORDS);
    for place in 0..kind::Kind::COUNT {
        assert!(
            report
                .records_by_kind
                .contains_key(kind::Kind::at(place).code()),
            "{}",
            kind::Kind::at(place).code()
        );
    }
    assert_eq!(report.planted.len(), 16);
}

#[test]
fn small_and_lopsided_centers_are_exact_too() {
    for (facilities, patients, records) in [
        (1, 1, 20),
        (4, 1, 20),
        (1, 1, 2_000),
        (2, 500, 20),
        (5, 300, 300),
    ] {
        let (folder, report) = center(facilities, patients, records, 3);
        assert_eq!(report.records, records, "{facilities} {patients} {records}");
        assert_eq!(
            report.files,
            walk(&folder).values().flatten().count() as u64
        );
        assert_eq!(report.planted.is_empty(), records < 200);
        let more = continued(&folder, 100);
        assert_eq!(
            more.creates + more.updates + more.deletes + more.renames_only,
            100
        );
    }
}

#[test]
fn every_message_decodes_and_every_content_is_distinct() {
    let (folder, report) = center(3, 60, RECORDS, 1);
    let excused: BTreeSet<&str> = report
        .planted
        .iter()
        .map(|anomaly| anomaly.path.as_str())
        .collect();
    let mut contents = HashMap::new();
    let mut seen = BTreeSet::new();
    for (path, content) in walk(&folder) {
        let (Some((content, _)), Some((volume, patient, object))) = (content, split(&path)) else {
            continue;
        };
        let text_path = format!("volumes/{}", String::from_utf8_lossy(&path));
        if excused.contains(text_path.as_str()) || volume.ends_with("REG01") {
            continue;
        }
        assert_eq!(
            contents.insert(content.clone(), text_path.clone()),
            None,
            "{text_path}"
        );
        let known: Vec<_> = anomalies(&patient, &object)
            .into_iter()
            .filter(|found| {
                !matches!(
                    found,
                    crate::ssmix::Anomaly::Timestamp { digits: 15 }
                        | crate::ssmix::Anomaly::Department
                )
            })
            .collect();
        assert_eq!(known, [], "{text_path}");
        let message = match classify(&object) {
            Object::Standard { .. } => true,
            Object::Extended { document, .. } => document.ends_with(b".hl7"),
            Object::Stray { reason } => panic!("{text_path}: {reason}"),
        };
        if message {
            check_message(&content, &patient, &text_path, &mut seen);
        }
    }
    for segment in [
        "AL1", "DB1", "DG1", "EVN", "IAM", "IN1", "IPC", "NK1", "ODS", "PRB", "RXA", "RXC", "RXE",
        "RXR", "SPM", "TQ1", "ZE1", "ZPR",
    ] {
        assert!(seen.contains(segment), "no {segment} anywhere");
    }
}

fn check_message(content: &[u8], patient: &[u8], path: &str, seen: &mut BTreeSet<String>) {
    assert_eq!(content.last(), Some(&b'\r'), "{path}");
    let segments: Vec<String> = content
        .split(|&b| b == b'\r')
        .filter(|segment| !segment.is_empty())
        .map(|segment| {
            let (text, _, errors) = ISO_2022_JP.decode(segment);
            assert!(!errors && !text.contains('〓'), "{path}: {text}");
            text.into_owned()
        })
        .collect();
    let fields = |name: &str| -> Vec<String> {
        let found = segments.iter().find(|segment| segment.starts_with(name));
        found
            .unwrap_or_else(|| panic!("{path} has no {name}"))
            .split('|')
            .map(str::to_owned)
            .collect()
    };
    seen.extend(
        segments
            .iter()
            .filter_map(|segment| segment.get(..3))
            .map(str::to_owned),
    );
    let (header, identity) = (fields("MSH"), fields("PID"));
    assert_eq!((header[11].as_str(), header.len()), ("2.5", 21), "{path}");
    assert!(header[17].starts_with("~ISO"), "{path}");
    let id = identity[3].split('^').next().unwrap();
    assert!(
        patient.ends_with(format!("/{id}").as_bytes()),
        "{path}: {id}"
    );
    let needed: &[(&str, usize)] = match header[8].as_str() {
        "ADT^A08^ADT_A01" => &[
            ("NK1", 5),
            ("DB1", 4),
            ("OBX", 11),
            ("AL1", 3),
            ("IN1", 3),
            ("PV1", 7),
        ],
        "ADT^A60^ADT_A60" => &[("IAM", 6)],
        "PPR^ZD1^PPR_ZD1" => &[("PRB", 18), ("ZPR", 2)],
        "RDE^O11^RDE_O11" => &[("ORC", 12), ("RXE", 21), ("TQ1", 7), ("RXR", 1)],
        "RAS^O17^RAS_O17" => &[("ORC", 12), ("RXA", 20)],
        "OUL^R22^OUL_R22" => &[("SPM", 17), ("OBR", 4), ("OBX", 11)],
        "OML^O33^OML_O33" => &[("SPM", 17), ("ORC", 12), ("OBR", 4), ("OBX", 11)],
        "OMG^O19^OMG_O19" | "ORU^R01^ORU_R01" => &[("OBR", 4), ("OBX", 5)],
        "OMI^Z23^OMI_Z23" => &[("OBR", 4), ("IPC", 3), ("ZE1", 3)],
        "OMD^O03^OMD_O03" => &[("ODS", 4), ("TQ1", 7)],
        _ => &[("PV1", 7)],
    };
    for (name, field) in needed {
        assert!(fields(name).len() > *field, "{path}: {name}-{field}");
    }
}

/// Names of valid files and content folders that share a key with another.
fn twins(tree: &Tree) -> Vec<BTreeSet<Vec<u8>>> {
    let mut valid: BTreeMap<(String, RecordKey), BTreeSet<Vec<u8>>> = BTreeMap::new();
    for path in tree
        .iter()
        .filter(|(_, content)| content.is_some())
        .map(|(path, _)| path)
    {
        let Some((volume, patient, object)) = split(path) else {
            continue;
        };
        if let Some((key, Flag::Valid)) = record_of(&object) {
            let name = object
                .split(|&b| b == b'/')
                .take(3)
                .collect::<Vec<_>>()
                .join(&b'/');
            valid
                .entry((volume, key))
                .or_default()
                .insert([patient, name].concat());
        }
    }
    valid
        .into_values()
        .filter(|names| names.len() > 1)
        .collect()
}

#[test]
fn days_keep_one_valid_file_per_key_and_rows_that_match() {
    let (folder, report) = center(2, 50, RECORDS, 1);
    let before = walk(&folder);
    let mut days = vec![continued(&folder, 400)];
    let after = walk(&folder);
    days.push(continued(&folder, 3));
    let (first, second) = (&days[0], &days[1]);
    assert!(first.day < second.day, "{} {}", first.day, second.day);
    assert_eq!(first.day, "2026-04-01");
    assert_eq!(
        first.creates + first.updates + first.deletes + first.renames_only,
        400
    );
    let new_files = after
        .iter()
        .filter(|(path, content)| content.is_some() && !before.contains_key(*path))
        .count() as u64;
    assert!(
        new_files <= first.files_written + first.files_renamed,
        "{new_files}"
    );
    assert_eq!(
        after.len() - before.len(),
        (first.files_written + first.directories_made) as usize
    );
    // Every renamed file kept content and mtime.
    let kept: BTreeSet<_> = after.values().flatten().collect();
    assert!(
        before
            .values()
            .flatten()
            .all(|content| kept.contains(content))
    );
    let tree = walk(&folder);
    let twins = twins(&tree);
    assert_eq!(twins.len(), 1, "only the planted twin: {twins:?}");
    let (on_disk, rows) = (named(&tree), rows(&folder));
    let spoken: BTreeSet<String> = rows.iter().map(|(path, _)| path.clone()).collect();
    let below = |what| {
        planted(&report, what)
            .trim_start_matches("volumes/")
            .to_owned()
    };
    assert_eq!(
        spoken.difference(&on_disk).cloned().collect::<Vec<_>>(),
        [below(PlantedKind::DanglingRow)]
    );
    let mut silent = [
        below(PlantedKind::ForeignTwoBytes),
        below(PlantedKind::MissingRow),
    ];
    silent.sort_unstable();
    assert_eq!(
        on_disk.difference(&spoken).cloned().collect::<Vec<_>>(),
        silent
    );
    assert_eq!(rows.len() - spoken.len(), 1, "only the planted duplicate");
}

#[test]
fn what_cannot_be_is_refused() {
    let (folder, _) = center(1, 1, 20, 1);
    let out = folder.path().join("c");
    let again = StorageOptions {
        out: out.clone(),
        facilities: 1,
        patients: 1,
        records: 20,
        seed: 1,
    };
    assert!(matches!(storage(&again, &Silent), Err(GenError::NotEmpty { path }) if path == out));
    let none = StorageOptions {
        out: folder.path().join("d"),
        facilities: 0,
        ..again
    };
    assert!(matches!(
        storage(&none, &Silent),
        Err(GenError::Option {
            option: "facilities",
            ..
        })
    ));
    let foreign = DayOptions {
        out: folder.path().to_owned(),
        changes: 1,
        seed: None,
    };
    assert!(matches!(
        day(&foreign, &Silent),
        Err(GenError::NotACenter { .. })
    ));
}

#[test]
fn the_registry_links_people_and_hashes_open() {
    use argon2::password_hash::phc::PasswordHash;
    use argon2::{Argon2, PasswordVerifier};
    let (folder, _) = center(3, 90, 300, 1);
    let table = |path: &str| -> Vec<Vec<String>> {
        let mut reader =
            csv::Reader::from_path(folder.path().join("c/volumes").join(path)).unwrap();
        reader
            .records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect())
            .collect()
    };
    let user = &table("0410000001/REG01/users.csv")[0];
    let hash = PasswordHash::new(&user[2]).unwrap();
    assert!(user[2].starts_with("$argon2id$"));
    Argon2::default()
        .verify_password(password_of(&user[0]).as_bytes(), &hash)
        .unwrap();
    let linkage = table("0410000002/REG01/linkage.csv");
    let mut ids: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for row in &linkage {
        ids.entry(&row[0]).or_default().insert((&row[1], &row[2]));
    }
    let linked = ids.values().filter(|ids| ids.len() > 1).count();
    assert!(linked * 10 >= ids.len(), "{linked} of {}", ids.len());
    assert!(!table("0410000002/REG01/disclosure.csv").is_empty());
    assert_eq!(table("COMMON/REG01/facilities.csv").len(), 3);
    assert!(!table("COMMON/REG01/masters/drugs.csv").is_empty());
}
