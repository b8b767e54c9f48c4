//! How long a search takes among a million patients of one facility, and how
//! long the list takes to be made. `HIKAE_ROSTER_PATIENTS` sets another size.

use std::time::Instant;

use hikae::viewer::{Find, Roster, Row, Sex};

const FAMILIES: [(&str, &str); 8] = [
    ("佐藤", "サトウ"),
    ("鈴木", "スズキ"),
    ("高橋", "タカハシ"),
    ("渡辺", "ワタナベ"),
    ("伊藤", "イトウ"),
    ("千葉", "チバ"),
    ("今野", "コンノ"),
    ("三浦", "ミウラ"),
];
const GIVEN: [(&str, &str); 8] = [
    ("恵子", "ケイコ"),
    ("太郎", "タロウ"),
    ("花子", "ハナコ"),
    ("一郎", "イチロウ"),
    ("美咲", "ミサキ"),
    ("健", "ケン"),
    ("由美", "ユミ"),
    ("翔太", "ショウタ"),
];

fn row(number: usize) -> Row {
    let family = FAMILIES[number % 8];
    let given = GIVEN[number / 8 % 8];
    Row {
        facility: "0410000001".into(),
        patient: format!("{number:010}"),
        name: format!("{} {}", family.0, given.0),
        kana: format!("{} {}", family.1, given.1),
        birth: Some(19_300_101 + (number % 900_000) as u32),
        sex: Some(match number % 2 {
            0 => Sex::Male,
            _ => Sex::Female,
        }),
    }
}

fn main() {
    let count = std::env::var("HIKAE_ROSTER_PATIENTS");
    let count: usize = count
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000);
    let mut rows: Vec<Row> = (0..count).map(row).collect();
    if let Some(last) = rows.last_mut() {
        (last.name, last.kana) = ("蘭 稀".into(), "ララギ マレ".into());
    }
    let begun = Instant::now();
    let roster = Roster::of(rows);
    println!(
        "{} patients: list made in {:.2} s",
        roster.len(),
        begun.elapsed().as_secs_f64()
    );
    let near_the_end = format!("{:07}", count - 2);
    for (what, words, birth) in [
        ("a frequent name", "今野", None),
        ("a rare name, the last one", "蘭", None),
        ("a part of its kana in hiragana", "ららぎ", None),
        ("a name that is nobody's", "龍宮寺", None),
        ("an id near the end", near_the_end.as_str(), None),
        (
            "name and birth date that are nobody's",
            "今野",
            Some(18_000_101),
        ),
    ] {
        let find = Find::new(words, birth, None);
        let mut times: Vec<f64> = (0..9)
            .map(|_| {
                let begun = Instant::now();
                let found = roster.find(Some("0410000001"), &find);
                std::hint::black_box(found.rows.len());
                begun.elapsed().as_secs_f64() * 1000.0
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{what:40} median {:6.1} ms, slowest {:6.1} ms",
            times[4], times[8]
        );
    }
}
