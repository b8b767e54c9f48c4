//! Summaries: what is in them, what is kept out, and what is told apart.

use hikae::clinical::{
    AllergyClass, Body, Flag, Record, Taking, medications, series, stays, summarize,
};
use hikae::language::Language;
use jiff::civil::{Date, date};

use crate::shared::{all_samples, are_there, record, record_at, sample};

const TODAY: Date = date(2024, 1, 10);

fn prescription(day: &str, order: u64, drug: &str, days: &str, control: &str) -> Record {
    let segments = format!(
        "ORC|{control}|{order:015}||1|||||{day}100000\rRXE||{drug}|1||TAB^錠^MR9P\rTQ1|1||U1&１日３回毎食後&JAMISDP01|||{days}|{day}00"
    );
    record(day, "OMP-01", order, "RDE^O11", &segments)
}

#[test]
fn the_estimate_of_what_is_taken() {
    let records = [
        prescription("20240105", 1, "1^終了薬^HOT9", "5^d", "NW"),
        prescription("20240105", 2, "2^服用薬^HOT9", "6^d", "NW"),
        prescription("20240101", 3, "3^頓用薬^HOT9", "10^回", "NW"),
        prescription("20240111", 4, "4^予定薬^HOT9", "2^w", "NW"),
        prescription("20240109", 5, "5^取消薬^HOT9", "30^d", "CA"),
    ];
    let found: Vec<_> = medications(&records, TODAY)
        .into_iter()
        .map(|one| (one.order.drug.text(), one.taking))
        .collect();
    assert_eq!(
        found,
        [
            ("服用薬", Taking::Probably { until: TODAY }),
            (
                "予定薬",
                Taking::Planned {
                    from: date(2024, 1, 11)
                }
            ),
            ("頓用薬", Taking::Unknown),
            (
                "終了薬",
                Taking::Over {
                    until: date(2024, 1, 9)
                }
            ),
        ]
    );
    for (_, taking) in found {
        let words = taking.text(Language::Japanese);
        assert!(words.contains("推定") || words.contains("不明"), "{words}");
        let words = taking.text(Language::English);
        assert!(
            words.contains("estimate") || words.contains("unknown"),
            "{words}"
        );
    }
}

#[test]
fn ordered_and_given_are_never_in_one_list() {
    let given = record(
        "20240109",
        "OMP-11",
        9,
        "RAS^O17",
        "ORC|NW|000000000000009\rRXA|0|1|202401090800|202401090800|7^与薬^HOT9|1|TAB^錠|||||||||||||CP",
    );
    let ordered = prescription("20240108", 8, "8^処方薬^HOT9", "7^d", "NW");
    let records = [&given, &ordered];
    let summary = summarize(&records, TODAY);
    let taken: Vec<_> = summary
        .medications
        .iter()
        .map(|one| one.order.drug.text())
        .collect();
    let received: Vec<_> = summary
        .given
        .iter()
        .map(|(_, one)| one.drug.text())
        .collect();
    assert_eq!((taken, received), (vec!["処方薬"], vec!["与薬"]));
}

#[test]
fn each_drug_is_there_once_by_its_newest_prescription() {
    let records = [
        prescription("20240101", 1, "1^薬^HOT9", "28^d", "NW"),
        prescription("20240108", 2, "1^薬^HOT9", "28^d", "NW"),
    ];
    let summary = summarize(&[&records[0], &records[1]], TODAY);
    assert_eq!(summary.medications.len(), 1);
    assert_eq!(summary.medications[0].from, Some(date(2024, 1, 8)));
}

#[test]
fn allergies_once_severe_drugs_first_and_silence_is_not_none() {
    let details = record(
        "20240101",
        "ADT-61",
        1,
        "ADT^A60",
        "IAM|1|LA^花粉^HL70127|5A^スギ^JC10|MI^軽度|くしゃみ|A\rIAM|2|DA^薬剤^HL70127|1^ペニシリン^HOT9|MO^中等度|発疹|A\r\
         IAM|3|DA^薬剤^HL70127|2^造影剤^HOT9|SV^重度|ショック|A\rIAM|4|FA^食物^HL70127|3^ソバ^JC10|SV^重度|湿疹|D",
    );
    let basics = record(
        "20240101",
        "ADT-00",
        2,
        "ADT^A08",
        "AL1|1|DA^薬剤^HL70127|9^ﾍﾟﾆｼﾘﾝ^99XYZ",
    );
    let summary = summarize(&[&basics, &details], TODAY);
    let shown: Vec<_> = summary
        .allergies
        .iter()
        .map(|(_, one)| (one.class, one.substance.text()))
        .collect();
    assert_eq!(
        shown,
        [
            (AllergyClass::Drug, "造影剤"),
            (AllergyClass::Drug, "ペニシリン"),
            (AllergyClass::Pollen, "スギ")
        ]
    );
    assert!(summary.allergies_recorded);
    let silent = record("20240101", "ADT-00", 2, "ADT^A08", "DB1|1|PT||N");
    let summary = summarize(&[&silent], TODAY);
    assert!(summary.allergies.is_empty() && !summary.allergies_recorded);
}

#[test]
fn records_of_other_patients_stay_out_and_are_listed() {
    if !are_there("summary") {
        return;
    }
    let records: Vec<Record> = all_samples()
        .iter()
        .filter(|path| path.starts_with("999"))
        .map(|path| sample(path))
        .collect();
    let all: Vec<&Record> = records.iter().collect();
    let summary = summarize(&all, date(2011, 7, 3));
    // ADT-61, PPR-01 and OML-11 of the samples name other patients.
    let allergies: Vec<_> = summary
        .allergies
        .iter()
        .map(|(_, one)| one.substance.text())
        .collect();
    assert_eq!(allergies, ["ペニシリン"]);
    assert!(summary.problems.is_empty() && summary.laboratory.is_empty());
    assert_eq!(summary.left_out.len(), 10);
    let taken: Vec<_> = summary
        .medications
        .iter()
        .map(|one| one.order.drug.text())
        .collect();
    assert_eq!(taken.len(), 3);
    assert_eq!(summary.basics.unwrap().1.blood_abo().unwrap().text(), "A");
    assert_eq!(summary.stays[0].records.len(), 3);
    assert_eq!(summary.newest, Some(date(2011, 12, 20)));
}

/// Results of one message: code, value, unit.
fn results_at(
    facility: &str,
    day: &str,
    order: u64,
    material: &str,
    results: &[(&str, &str, &str)],
) -> Record {
    let mut segments =
        format!("SPM|1|||{material}|||||||||||||{day}0900\rOBR|1|{order:015}||E^生化学^99O03");
    for (code, value, unit) in results {
        segments.push_str(&format!("\rOBX|1|NM|{code}||{value}|{unit}|1-10||||F"));
    }
    record_at(facility, day, "OML-11", order, "OUL^R22", &segments)
}

const SERUM: &str = "023^血清^JC10";
const ALBUMIN: &str = "3A015000002327101^アルブミン^JC10";

#[test]
fn series_join_where_analyte_specimen_and_unit_agree() {
    let records = [
        results_at(
            "A",
            "20240101",
            1,
            SERUM,
            &[(ALBUMIN, "4.1", "g/dL^g/dL^ISO+")],
        ),
        // Another method, another writing of the unit, another facility, the local code first.
        results_at(
            "B",
            "20240103",
            2,
            SERUM,
            &[(
                "10^Alb^99X^3A015000002399901^アルブミン^JC10",
                "12",
                "g/dl^g/dl^99XYZ",
            )],
        ),
        // Another material, kind of result, analyte.
        results_at("A", "20240102", 3, "001^尿^JC10", &[(ALBUMIN, "1", "g/dL")]),
        results_at(
            "A",
            "20240102",
            4,
            SERUM,
            &[("3A015000002327102^アルブミン^JC10", "1", "g/dL")],
        ),
        results_at(
            "A",
            "20240102",
            5,
            SERUM,
            &[("3A016000002327101^A/G比^JC10", "1", "g/dL")],
        ),
    ];
    let found = series(&records);
    let lengths: Vec<usize> = found.iter().map(|one| one.points.len()).collect();
    assert_eq!((found.len(), lengths.iter().max()), (4, Some(&2)));
    let long = found.iter().find(|one| one.points.len() == 2).unwrap();
    assert_eq!(
        (long.title, long.specimen, long.unit),
        ("アルブミン", "血清", "g/dl")
    );
    assert_eq!(long.lines().len(), 1);
    assert_eq!(long.points[1].observation.flag().unwrap().flag, Flag::High);
}

#[test]
fn a_change_of_unit_breaks_the_line() {
    let records = [
        results_at("A", "20240101", 1, SERUM, &[(ALBUMIN, "4.1", "g/dL")]),
        results_at("A", "20240102", 2, SERUM, &[(ALBUMIN, "4.2", "g/dL")]),
        results_at("A", "20240103", 3, SERUM, &[(ALBUMIN, "41", "g/L")]),
        results_at("A", "20240104", 4, SERUM, &[(ALBUMIN, "4.3", "g/dL")]),
        // A million of units is no thousandth of one.
        results_at("A", "20240105", 5, SERUM, &[(ALBUMIN, "1", "mU/L")]),
        results_at("A", "20240106", 6, SERUM, &[(ALBUMIN, "1", "MU/L")]),
    ];
    let found = series(&records);
    let lines: Vec<(&str, Vec<usize>)> = found
        .iter()
        .map(|one| (one.unit, one.lines().iter().map(Vec::len).collect()))
        .collect();
    assert_eq!(lines.len(), 4);
    assert!(lines.contains(&("g/dL", vec![2, 1])), "{lines:?}");
    assert!(lines.contains(&("g/L", vec![1])), "{lines:?}");
}

#[test]
fn local_codes_are_joined_at_their_own_facility_only() {
    let local = "10222^ＴＰ^99X03";
    let records = [
        results_at("A", "20240101", 1, SERUM, &[(local, "1", "g/dL")]),
        results_at("A", "20240102", 2, SERUM, &[(local, "2", "g/dL")]),
        results_at("B", "20240103", 3, SERUM, &[(local, "3", "g/dL")]),
    ];
    let lengths: Vec<usize> = series(&records)
        .iter()
        .map(|one| one.points.len())
        .collect();
    assert_eq!(lengths, [2, 1]);
}

#[test]
fn withdrawn_results_are_in_no_series() {
    let withdrawn = "SPM|1|||023^血清^JC10|||||||||||||202401010900\rOBR|1|1\rOBX|1|NM|3A015000002327101^Alb^JC10||4|g/dL|||||D\r\
                     OBX|2|NM|3A015000002327101^Alb^JC10||<2|g/dL|||||F\rOBX|3|ST|3A015000002327101^Alb^JC10||溶血|g/dL|||||F";
    let records = [record("20240101", "OML-11", 1, "OUL^R22", withdrawn)];
    let found = series(&records);
    let texts: Vec<String> = found[0]
        .points
        .iter()
        .map(|point| point.observation.text())
        .collect();
    assert_eq!(texts, ["<2", "溶血"]);
    // What is no number is listed, never drawn.
    assert_eq!(found[0].lines()[0].len(), 1);
}

fn moved(day: &str, kind: &str, order: u64, trigger: &str, pv1: &str, happened: &str) -> Record {
    let segments = format!("EVN||{day}1300||||{happened}\rPV1|1|I|{pv1}");
    record(day, kind, order, &format!("ADT^{trigger}"), &segments)
}

#[test]
fn stays_begin_and_end_and_what_was_taken_back_is_in_none() {
    let times =
        |admitted: &str, discharged: &str| format!("{}{admitted}|{discharged}", "|".repeat(41));
    let records = [
        moved(
            "20240105",
            "ADT-52",
            3,
            "A03",
            &format!("5^502^1{}", times("202401011000", "202401051100")),
            "202401051100",
        ),
        moved(
            "20240101",
            "ADT-22",
            1,
            "A01",
            &format!("3^301^1{}", times("202401011000", "")),
            "202401011000",
        ),
        moved("20240103", "ADT-42", 2, "A02", "5^502^1", "202401031500"),
        moved(
            "20240106",
            "ADT-22",
            4,
            "A11",
            &format!("3^301^1{}", times("202401061000", "")),
            "202401061000",
        ),
        moved(
            "20240108",
            "ADT-22",
            5,
            "A01",
            &format!("3^302^1{}", times("202401081000", "")),
            "202401081000",
        ),
    ];
    let found = stays(&records);
    let shown: Vec<_> = found
        .iter()
        .map(|stay| {
            (
                stay.admitted.unwrap().to_string(),
                stay.discharged.map(|time| time.to_string()),
                stay.place.text(),
                stay.records.len(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (
                "2024-01-08T10:00:00".to_owned(),
                None,
                "3-302-1".to_owned(),
                1
            ),
            (
                "2024-01-01T10:00:00".to_owned(),
                Some("2024-01-05T11:00:00".to_owned()),
                "5-502-1".to_owned(),
                3
            ),
        ]
    );
    let Body::Movement(back) = &records[3].body else {
        panic!()
    };
    assert!(back.taken_back);
}
