//! Each anomaly of DOMAIN.md's list: it is seen, said, and drops nothing.

use hikae::clinical::{Basics, Body, Kind, Note, summarize, versions};
use hikae::hl7;
use hikae::language::Language;
use jiff::civil::date;
use proptest::prelude::*;

use crate::shared::{
    all_samples, are_there, assert_noted, notes, of_kind, read, record, sample, shown,
};

#[test]
fn pid_3_differs_from_the_path_in_these_samples() {
    if !are_there("PID-3") {
        return;
    }
    let mut blocked = Vec::new();
    let mut messages = 0;
    for path in all_samples() {
        let record = sample(&path);
        messages += usize::from(record.message.is_message());
        if record
            .notes
            .iter()
            .any(|note| matches!(note, Note::OtherPatient { .. }))
        {
            assert!(record.warning().is_some() && !record.counts());
            blocked.push((record.kind.code(), record.identity.ids.join(" ")));
        }
    }
    blocked.sort();
    let expected = [
        ("ADT-61", "12345678"),
        ("OMD", "1234567890"),
        ("OMG-01", "12345678"),
        ("OMG-02", "10345678"),
        ("OMG-03", "12345678"),
        ("OMG-11", "3330000333"),
        ("OMG-12", "10345678"),
        ("OMG-13", "12345678"),
        ("OML-11", "0001000052"),
        // Twice: once valid, once deleted.
        ("OMP-11", "9999013"),
        ("OMP-11", "9999013"),
        ("PPR-01", "1234567890"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(kind, id)| (*kind, (*id).to_owned()))
        .collect();
    assert_eq!((messages, blocked), (21, expected));
}

#[test]
fn another_person_in_the_message_is_seen_by_id_name_birth_and_sex() {
    if !are_there("another person") {
        return;
    }
    let mut record = of_kind("OMG-11");
    assert_noted(&record, "this may be another patient's record");
    let Body::Basics(basics) = of_kind("ADT-00").body else {
        panic!()
    };
    record.compare_with(&basics);
    for words in ["PID-5 differs", "PID-7 differs", "PID-8 differs"] {
        assert_noted(&record, words);
    }
    // The same patient's records say nothing of the kind, but for a birth date.
    let mut discharge = of_kind("ADT-52");
    discharge.compare_with(&basics);
    let differs: Vec<String> = notes(&discharge)
        .into_iter()
        .filter(|note| note.contains("differs"))
        .collect();
    assert_eq!(
        differs,
        ["PID-7 differs from the patient's basics (here 1970-04-05, there 1948-04-05)"]
    );
}

#[test]
fn ids_that_differ_by_zeros_are_one() {
    let message = "MSH|^~\\&|||||20110701||ADT^A08\rPID|1||0009999013\r";
    let object = "-/ADT-00/9999013_-_ADT-00_999999999999999_20110701000000000_-_1";
    assert!(read(object, message.as_bytes()).counts());
    let other = message.replace("0009999013", "9999014");
    assert!(!read(object, other.as_bytes()).counts());
    // One of several ids is enough.
    let several = message.replace("0009999013", "77~9999013");
    assert!(read(object, several.as_bytes()).counts());
    let none = read(object, message.replace("0009999013", "").as_bytes());
    assert!(none.counts());
    assert_noted(&none, "no patient id inside");
}

#[test]
fn the_file_of_two_bytes_under_another_patients_name() {
    if !are_there("two bytes") {
        return;
    }
    let record = sample(
        "000/000/0000001/20000401/ADT-31/9999013_20110630_OMP-11_123456789012345_20110701113813225_01_1",
    );
    assert!(record.warning().is_some() && !record.counts());
    assert_eq!(record.body, Body::Uninterpreted);
    for words in [
        "the name is of patient 9999013",
        "the name is of date 20110630",
        "the name is of kind OMP-11",
        "does not begin with MSH",
        "read as Shift_JIS",
        "line 1 is no segment",
    ] {
        assert_noted(&record, words);
    }
    // The bytes are shown, as the one character that they are in Shift_JIS.
    assert_eq!(record.message.segments[0].text, "髙");
}

#[test]
fn orders_and_years_that_differ() {
    if !are_there("orders") {
        return;
    }
    let endoscopy = of_kind("OMG-12");
    assert_noted(
        &endoscopy,
        "the order number inside is 201112191656100, in the name 201112201656100",
    );
    let order = of_kind("OMG-02");
    assert_noted(
        &order,
        "ORC-9 is of another year (2012-12-20) than the folder (2011-12-20)",
    );
    let injection = of_kind("OMP-02");
    assert_noted(
        &injection,
        "ORC-9 is of another year (2009-07-01) than the folder (2011-07-01)",
    );
    // Around New Year another year is nothing odd.
    let orc = "ORC|NW|000000000000007|||||||20260102100000\rRXE||1^薬^HOT9|1||TAB";
    let near = record("20251230", "OMP-01", 7, "RDE^O11", orc);
    assert!(near.notes.is_empty(), "{:?}", near.notes);
}

#[test]
fn a_birth_date_shifted_by_two_fields() {
    if !are_there("shifted") {
        return;
    }
    let record = of_kind("OMG-13");
    assert_eq!(record.identity.birth, None);
    assert_noted(&record, "PID-7 is empty, and PID-9 has \"19470515\"");
}

#[test]
fn segments_without_content_are_counted_and_give_no_drug() {
    if !are_there("blank") {
        return;
    }
    let record = sample(
        "000/000/0000001/20000401/OMP-11/0000001_20000401_OMP-11_123456789012345_20110701113813225_01_1",
    );
    let Body::PrescriptionGiven(given) = &record.body else {
        panic!()
    };
    assert_eq!(given.len(), 2);
    assert!(
        notes(&record)
            .iter()
            .any(|note| note.ends_with("segments without content"))
    );
    assert_noted(&record, "RXA-3 is of another year");
    // All lines are there.
    assert!(
        record
            .message
            .segments
            .iter()
            .any(|segment| segment.name == "ZE2")
    );
}

#[test]
fn times_that_are_none_or_have_thirteen_digits() {
    let orc =
        "ORC|NW|000000000000007|||||||2011070112345\rRXE||1^薬^HOT9|1||TAB\rTQ1|1||||||20110231";
    let one = record("20110701", "OMP-01", 7, "RDE^O11", orc);
    assert_noted(&one, "ORC-9 is not a proper time: \"2011070112345\"");
    assert_noted(&one, "TQ1-7 is not a proper time: \"20110231\"");
    let Body::Prescription(orders) = &one.body else {
        panic!()
    };
    assert_eq!(shown(&orders[0].ordered_at), "2011-07-01 12:34");
    assert_eq!(shown(&orders[0].timings[0].from), "20110231");
    assert!(one.counts());
}

#[test]
fn deletions_spaces_and_a_department_of_none() {
    let orc = "ORC|NW|000000000000007|||||||20110701100000|||  110^ 医師一郎 \rRXE||\"\"^\"\"|\"\"||TAB^　錠　^MR9P";
    let one = record("20110701", "OMP-01", 7, "RDE^O11", orc);
    let Body::Prescription(orders) = &one.body else {
        panic!()
    };
    assert_eq!(orders[0].ordered_by.as_ref().unwrap().name, "医師一郎");
    assert_eq!(
        (
            orders[0].drug.text(),
            orders[0].dose.as_ref().unwrap().text().as_str()
        ),
        ("", "錠")
    );
    assert_noted(&one, "RXE-2 says that its value is deleted");
    assert_noted(&one, "RXE-3 says that its value is deleted");
    if are_there("department") {
        assert_eq!(of_kind("OMG-01").department, "");
        assert_eq!(of_kind("OMP-01").department, "01");
    }
}

#[test]
fn stray_files_and_files_without_content() {
    let object = "20110701/OMP-01/9999013_20110701_OMP-01_000000000000007_20110701113813225_01_1";
    let empty = read(object, b"");
    assert_eq!(empty.body, Body::Uninterpreted);
    assert_noted(&empty, "the file is empty");
    for stray in [
        "20110701/OMP-01/Thumbs.db",
        ".DS_Store",
        "20110701/OMP-01/x.tmp",
        "readme.txt",
    ] {
        let record = read(stray, b"MSH|^~\\&\rPID|1||9999013\r");
        assert_eq!((record.flag, record.counts()), (None, false), "{stray}");
        assert_noted(&record, "an unknown data kind");
        assert_eq!(record.message.segments.len(), 2, "{stray}");
    }
    assert!(versions([&b"20110701/OMP-01/Thumbs.db"[..]]).is_empty());
}

#[test]
fn a_message_of_another_kind_is_never_taken_for_this_one() {
    // An order in the folder of what was given would read as given.
    let order = "ORC|NW|000000000000007\rRXE||1^薬^HOT9|1||TAB";
    let one = record("20110701", "OMP-11", 7, "RDE^O11", order);
    assert_eq!(one.body, Body::Uninterpreted);
    assert_noted(&one, "a message of type RDE^O11 is no OMP-11");
    assert_eq!(one.message.all("RXE").count(), 1);
}

#[test]
fn shift_jis_in_a_file_that_says_otherwise() {
    let text = "MSH|^~\\&|||||20110701||RDE^O11|||||||||~ISO IR87\rPID|1||9999013||表能^ソ十\rORC|NW|000000000000007\rRXE||1^ﾀﾞｰｾﾞﾝ表^HOT9|1||TAB\r";
    let bytes = encoding_rs::SHIFT_JIS.encode(text).0;
    let object = "20110701/OMP-01/9999013_20110701_OMP-01_000000000000007_20110701113813225_01_1";
    let one = read(object, &bytes);
    assert_eq!(one.identity.name.kanji, "表能 ソ十");
    let Body::Prescription(orders) = &one.body else {
        panic!()
    };
    assert_eq!(orders[0].drug.text(), "ﾀﾞｰｾﾞﾝ表");
    assert_eq!(
        notes(&one),
        ["characters that are not ISO-2022-JP were read as Shift_JIS"]
    );
    assert!(one.counts());
}

#[test]
fn every_note_has_words_in_both_languages() {
    if !are_there("notes") {
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for path in all_samples() {
        for note in sample(&path).notes {
            let (japanese, english) = (note.text(Language::Japanese), note.text(Language::English));
            assert!(!japanese.is_ascii() && english.len() > 3, "{note:?}");
            seen.insert(format!("{:?}", std::mem::discriminant(&note)));
        }
    }
    assert!(seen.len() >= 7, "{seen:?}");
    let note = Note::Reading(hl7::Note::Empty);
    assert_eq!(note.text(Language::Japanese), "ファイルが空です");
}

#[test]
fn a_message_of_too_many_segments_is_shown_uninterpreted() {
    let many = "RXE||1^薬^HOT9|1||TAB\r".repeat(20_001);
    let one = record("20110701", "OMP-01", 7, "RDE^O11", &many);
    assert_eq!(
        (one.body.clone(), one.message.segments.len()),
        (Body::Uninterpreted, 20_003)
    );
    assert_noted(&one, "too many segments to interpret");
    assert_eq!(Basics::default().death, None);
}

/// A message with segments of every kind.
const EVERYTHING: &str = "MSH|^~\\&|HIS||GW||20240105120000||TYPE^A08|1|P|2.5\rEVN||20240105\rPID|1||9999013^^^^PI||患者^太郎^^^^^L^I|\
    |19480405|M\rPV1|1|I|3^301^1\rNK1|1|患者^花子\rDB1|1|PT||Y\rAL1|1|DA|1^ペニシリン\rIAM|1|DA|1^ペニシリン|SV|発疹|D\r\
    PRB|AD|20240105|1^胃炎^MDCDX2\rZPR||1^胃炎\rSPM|1|1||023^血清^JC10\rORC|PA|7||1||||6|20240105\rTQ1|1||U&食後|||5^d|20240105\r\
    OBR|1|7||E^生化学|||20240105\rOBX|1|NM|3A015000002327101^Alb^JC10|1|4.1~2|g/dL|1-10\rNTE|1||注\rZE1|1|RS|1^撮影\rIPC|A|P|1.2\r\
    RXE||1^薬^HOT9|1||TAB\rRXR|PO^口\rRXC|B|1^輸液|1|HON\rRXA|0|1|20240105|20240105|1^薬|1|TAB\rODS|D||1^常食|控えめ\rIN1|1|1^国保\r";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damage_panics_in_any_kind(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 0..12),
        lines in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        for kind in Kind::all() {
            let mut segments: Vec<&str> = EVERYTHING.split('\r').collect();
            for line in &lines {
                let copied = segments[line.index(segments.len())];
                segments.push(copied);
            }
            let text = segments.join("\r").replace("TYPE", message_type(kind));
            let mut bytes = encoding_rs::ISO_2022_JP.encode(&text).0.into_owned();
            for (place, byte, how) in &cuts {
                let place = place.index(bytes.len());
                match how {
                    0 => bytes[place] = *byte,
                    1 => bytes.insert(place, *byte),
                    2 => drop(bytes.remove(place)),
                    _ => bytes[place] = b"|^~&\\\r"[usize::from(*byte) % 6],
                }
            }
            let object = format!("20240105/{0}/9999013_20240105_{0}_000000000000007_20240105120000000_01_1", kind.code());
            let one = read(&object, &bytes);
            summarize(&[&one], date(2024, 1, 6));
            let lines = bytes.split(|byte| matches!(byte, b'\r' | b'\n' | 0x0B | 0x1C)).filter(|line| !line.is_empty());
            prop_assert_eq!(one.message.segments.len(), lines.count());
        }
    }
}

fn message_type(kind: Kind) -> &'static str {
    match kind.code().get(..4) {
        Some("ADT-") => "ADT",
        Some("PPR-") => "PPR",
        Some("OML-") if kind == Kind::LabResult => "OUL",
        Some("OML-") => "OML",
        Some("OMP-") if matches!(kind, Kind::Prescription | Kind::Injection) => "RDE",
        Some("OMP-") => "RAS",
        Some("OMG-") if kind == Kind::PhysiologyResult => "ORU",
        Some("OMG-") if matches!(kind, Kind::RadiologyDone | Kind::EndoscopyDone) => "OMI",
        Some("OMG-") => "OMG",
        _ => "OMD",
    }
}
