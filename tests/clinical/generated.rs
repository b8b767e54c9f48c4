//! Every kind that the generator makes: each listed field of each message is in what was
//! extracted. What stands in a message is told by a strict decoder and a plain split, not by the
//! code under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hikae::clinical::{Body, DocumentType, Kind, Place, Record, versions};
use hikae::r#gen::{PlantedKind, StorageOptions, StorageReport, storage};
use hikae::progress::Silent;
use hikae::ssmix::Flag;

use crate::shared::notes;

/// DOMAIN.md, "What a clinician needs from each": segment and field, components where not all.
const LISTED: &[(&str, &[usize])] = &[
    ("PID", &[3, 5, 7]),
    ("RXE", &[2, 3, 5, 10, 11, 19, 21, 23, 24]),
    ("TQ1", &[3, 6, 7, 8]),
    ("RXR", &[1, 3]),
    ("RXC", &[2, 3, 4]),
    ("RXA", &[3, 4, 5, 6, 7]),
    ("SPM", &[4, 17]),
    ("OBR", &[4]),
    ("OBX", &[3, 5, 6, 7]),
    ("IAM", &[2, 3, 4, 5, 11, 12]),
    ("AL1", &[2, 3]),
    ("PRB", &[3, 7, 10, 13, 14, 16, 18]),
    ("ZPR", &[5]),
    ("NK1", &[2, 3, 5]),
    ("IN1", &[2, 3]),
    ("IPC", &[1, 3]),
    ("ODS", &[3, 4]),
];
/// PV1 matters in movements only.
const PLACE: (&str, &[usize]) = ("PV1", &[7, 36, 44, 45]);
/// Facilities, patients and records: enough for each kind and each anomaly.
const SIZE: (u32, u64, u64) = (3, 40, 2000);

struct Center {
    _folder: tempfile::TempDir,
    out: PathBuf,
    report: StorageReport,
}

fn center() -> Center {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("storage");
    let (facilities, patients, records) = SIZE;
    let options = StorageOptions {
        out: out.clone(),
        facilities,
        patients,
        records,
        seed: 7,
    };
    let report = storage(&options, &Silent).unwrap();
    Center {
        _folder: folder,
        out,
        report,
    }
}

/// Facility, label, patient directory, object path and file of everything but registry volumes.
fn files(center: &Center) -> Vec<(Place, PathBuf)> {
    let root = center.out.join("volumes");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let relative = path.strip_prefix(&root).unwrap();
            if let Some(place) = place(relative) {
                found.push((place, path));
            }
        }
    }
    found
}

fn place(path: &Path) -> Option<Place> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let parts: Vec<&[u8]> = bytes.splitn(6, |byte| *byte == b'/').collect();
    let [facility, label, one, two, patient, object] = parts.as_slice() else {
        return None;
    };
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let directory = [*one, *two, *patient].join(&b'/');
    (text(label) != "REG01").then(|| Place::new(&text(facility), &text(label), &directory, object))
}

fn planted(center: &Center, path: &Path) -> Option<PlantedKind> {
    let found = center.report.planted.iter().find(|one| {
        // The anomalies of rows are none of files.
        let of_row = matches!(
            one.what,
            PlantedKind::DuplicateRow
                | PlantedKind::DanglingRow
                | PlantedKind::MissingRow
                | PlantedKind::FutureRow
        );
        !of_row && center.out.join(&one.path) == path
    });
    found.map(|one| one.what)
}

#[test]
fn every_listed_field_of_every_generated_kind_is_extracted() {
    let center = center();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut documents: BTreeMap<DocumentType, usize> = BTreeMap::new();
    let mut checked = 0;
    for (place, path) in files(&center) {
        let bytes = fs::read(&path).unwrap();
        let record = Record::read(place, &bytes);
        if let Some(what) = planted(&center, &path) {
            check_planted(what, &record);
            continue;
        }
        assert_eq!(notes(&record), [""; 0], "{}", path.display());
        assert_ne!(record.body, Body::Uninterpreted, "{}", path.display());
        *kinds.entry(record.kind.code()).or_default() += 1;
        if let Some(kind) = &record.document {
            *documents.entry(kind.document_type).or_default() += 1;
        }
        if record.message.is_message() {
            checked += check_message(&record, &bytes, &path);
        }
    }
    // 26 kinds of the standard storage and documents, which have no code; every type of them.
    assert_eq!(kinds.len(), Kind::all().count() + 1, "{kinds:?}");
    assert_eq!(documents.len(), 8, "{documents:?}");
    assert!(checked > 10_000, "only {checked} fields");
    assert_two_valid(&center);
}

/// Every text of the listed fields is somewhere in the extracted body.
fn check_message(record: &Record, bytes: &[u8], path: &Path) -> usize {
    let (text, _, errors) = encoding_rs::ISO_2022_JP.decode(bytes);
    assert!(!errors);
    let found = format!("{:?} {:?}", record.body, record.identity);
    // Detached marks of kana are escaped there.
    let found = found.replace("\\u{ff9e}", "ﾞ").replace("\\u{ff9f}", "ﾟ");
    let mut checked = 0;
    for line in text.split('\r') {
        let fields: Vec<&str> = line.split('|').collect();
        let listed = LISTED.iter().find(|(name, _)| *name == fields[0]).copied();
        let movement = record.kind.is_movement().then_some(PLACE);
        for (name, numbers) in listed
            .or(movement.filter(|(name, _)| *name == fields[0]))
            .into_iter()
        {
            for number in numbers {
                let Some(field) = fields.get(*number) else {
                    continue;
                };
                for part in parts(
                    name,
                    *number,
                    fields.get(2).copied().unwrap_or_default(),
                    field,
                ) {
                    assert!(
                        found.contains(part),
                        "{}: {name}-{number} {part}\n{found}",
                        path.display()
                    );
                    checked += 1;
                }
            }
        }
    }
    checked
}

/// The texts of a field that must be shown: of coded ones code, text and system; of persons,
/// phones and the like what is not a type mark of HL7.
fn parts<'a>(name: &str, number: usize, value_type: &str, field: &'a str) -> Vec<&'a str> {
    let all = field
        .split(['^', '~', '&'])
        .map(str::trim)
        .filter(|part| !part.is_empty());
    match (name, number) {
        // Times are shown in another form, people without their id.
        ("OBX", 5) if value_type == "TS" => field.get(..4).into_iter().collect(),
        ("OBX", 5) if value_type == "XCN" => all.skip(1).filter(|part| part.len() > 1).collect(),
        ("PID", 3) => all.filter(|part| *part != "PI").collect(),
        ("PID", 5) | ("NK1", 2) | ("PV1", 7) => all.filter(|part| part.len() > 1).collect(),
        ("NK1", _) => all.filter(|part| !matches!(*part, "PH")).collect(),
        // A name in an observation has marks of HL7, too; a drug its amount.
        ("OBX", 5) => all
            .filter(|part| part.len() > 1 && !matches!(*part, "AMP" | "KAI" | "MR9P" | "JSHR"))
            .collect(),
        _ => all.collect(),
    }
}

fn check_planted(what: PlantedKind, record: &Record) {
    let notes = notes(record);
    let has = |words: &str| notes.iter().any(|note| note.contains(words));
    match what {
        PlantedKind::OtherPerson => {
            assert!(
                record.warning().is_some() && has("this may be another patient's"),
                "{notes:?}"
            );
        }
        PlantedKind::ForeignTwoBytes => assert!(record.warning().is_some(), "{notes:?}"),
        PlantedKind::ZeroByte => assert!(has("the file is empty"), "{notes:?}"),
        PlantedKind::ShiftJis => assert!(has("read as Shift_JIS") && record.counts(), "{notes:?}"),
        PlantedKind::ShortTimestamp => assert!(has("14 digits") && record.counts(), "{notes:?}"),
        PlantedKind::SystemFile | PlantedKind::Temporary | PlantedKind::StrayAtRoot => {
            assert_eq!(record.flag, None);
        }
        // Nothing is wrong with what they say.
        PlantedKind::NoTerminator | PlantedKind::MllpWrapped | PlantedKind::TwoValid => {
            assert_eq!(notes, [""; 0], "{what:?}");
            assert_ne!(record.body, Body::Uninterpreted);
        }
        _ => {}
    }
}

/// The planted twin is current, and the record is anomalous; no other is.
fn assert_two_valid(center: &Center) {
    let twin = center
        .report
        .planted
        .iter()
        .find(|one| one.what == PlantedKind::TwoValid)
        .unwrap();
    let twin = center.out.join(&twin.path);
    let mut leaves: BTreeMap<(String, Vec<u8>), Vec<Vec<u8>>> = BTreeMap::new();
    for (place, _) in files(center) {
        let volume = format!("{}/{}", place.facility, place.label);
        leaves
            .entry((volume, place.directory.to_vec()))
            .or_default()
            .push(place.object);
    }
    let mut anomalous = Vec::new();
    let mut valid = 0;
    for paths in leaves.values() {
        for record in versions(paths.iter().map(Vec::as_slice)) {
            let current = record.current.as_ref();
            valid += usize::from(current.is_some());
            assert!(current.is_none_or(|current| current.flag == Flag::Valid));
            if record.two_valid {
                anomalous.push(current.unwrap().name.clone());
            }
        }
    }
    let twin = twin
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .as_bytes()
        .to_vec();
    assert_eq!(anomalous, [twin]);
    assert!(valid as u64 > center.report.records / 2);
}
