//! What a patient's pages put together: what is taken, other facilities'
//! records, an earlier state, and a viewer beside a process that follows.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use jiff::{ToSpan, Zoned};

use crate::client::Client;
use crate::harness::{Process, Site};
use crate::matrix::{facility_name, tables};
use crate::samples::text_of;
use crate::shelter::{FACILITIES, LAPTOP, LONG_PATIENT, Shelter};

/// A patient whose prescriptions are over, running, planned and unclear.
const TREATED: &str = "88800025";

/// A day from today on, as folders name it.
fn day(from_today: i64) -> String {
    let day = Zoned::now().date().checked_add(from_today.days()).unwrap();
    day.strftime("%Y%m%d").to_string()
}

fn put(site: &Site, kind: &str, date: &str, order: u64, text: &str) {
    let (one, two) = (&TREATED[..3], &TREATED[3..6]);
    let name = format!("{TREATED}_{date}_{kind}_{order:015}_{date}120000000_01_1");
    site.put(
        &format!(
            "{}/STD01/{one}/{two}/{TREATED}/{date}/{kind}/{name}",
            FACILITIES[0]
        ),
        text.as_bytes(),
    );
}

fn order(drug: &str, from: &str, duration: &str) -> String {
    format!(
        "MSH|^~\\&|||||20260301||RDE^O11|1|P|2.5\rPID|1||{TREATED}||服薬^確認||19400102|F\r\
         ORC|NW|1||1_01\rRXE||1^{drug}^L|1||TAB^錠^MR9P\rTQ1|||1^1日1回朝食後|||{duration}|{from}\r"
    )
}

/// A patient of the third facility who is linked with the treated one, and
/// whom that facility does not disclose.
const UNDISCLOSED: &str = "77000000";

/// Four prescriptions, and so many injections after them that they fill every
/// page.
pub fn plant(site: &Site) {
    let drugs = [
        ("終了薬", -100, "7^d"),
        ("服用中薬", -30, "90^d"),
        ("頓用薬", -29, ""),
        ("予定薬", -28, "14^d"),
    ];
    for (number, (drug, ordered, duration)) in (1..).zip(drugs) {
        let from = if drug == "予定薬" {
            day(5)
        } else {
            day(ordered)
        };
        put(
            site,
            "OMP-01",
            &day(ordered),
            number,
            &order(drug, &from, duration),
        );
    }
    for number in 0..120_u32 {
        let date = day(-1 - i64::from(number % 20));
        put(
            site,
            "OMP-02",
            &date,
            100 + u64::from(number),
            &order("点滴", &date, "1^d"),
        );
    }
    let (one, two) = (&TREATED[..3], &TREATED[3..6]);
    let name = format!("{TREATED}_-_ADT-00_000000000000001_20260301120000000_01_1");
    site.put(
        &format!(
            "{}/STD01/{one}/{two}/{TREATED}/-/ADT-00/{name}",
            FACILITIES[0]
        ),
        format!(
            "MSH|^~\\&|||||20260301||ADT^A08|1|P|2.5\rPID|1||{TREATED}||服薬^確認||19400102|F\r\
             AL1|1|DA^薬剤アレルギー^HL70127|1^アンピシリン^99XYZ\r"
        )
        .as_bytes(),
    );
    let linkage = site.volumes().join(FACILITIES[0]).join("REG01/linkage.csv");
    let mut text = fs::read_to_string(&linkage).unwrap();
    for (facility, patient) in [(FACILITIES[0], TREATED), (FACILITIES[2], UNDISCLOSED)] {
        text += &format!("person-linked-only,{facility},{patient}\n");
    }
    fs::write(linkage, text).unwrap();
}

/// What is taken is told from the newest prescriptions, whatever page is
/// shown, and what is planned has a heading of its own.
pub fn what_is_taken(shelter: &Shelter) {
    let client = Client::signed_in(&shelter.url, FACILITIES[0], "ishi");
    for page in ["medication", "medication?until=20200101", "summary"] {
        let answer = client.get(&format!("/p/{}/{TREATED}/{page}", FACILITIES[0]));
        assert_eq!(answer.status, 200, "{page}");
        let text = text_of(&answer.body);
        let after = |heading: &str| {
            let (_, rest) = text
                .split_once(heading)
                .unwrap_or_else(|| panic!("{page}: {heading}"));
            rest.to_string()
        };
        let probably = after("おそらく服用中（推定）");
        let (probably, rest) = probably.split_once("これから始まる処方（推定）").unwrap();
        let (planned, rest) = rest.split_once("日数の記載がない処方").unwrap();
        let (unclear, _) = rest.split_once("お薬手帳").unwrap();
        for (drug, section) in [
            ("服用中薬", probably),
            ("予定薬", planned),
            ("頓用薬", unclear),
        ] {
            assert!(section.contains(drug), "{page}: {drug} in {section}");
        }
        for other in ["予定薬", "終了薬", "頓用薬", "点滴"] {
            assert!(!probably.contains(other), "{page}: {other} in {probably}");
        }
    }
}

/// An allergy that only the basics name is on the page of allergies, too.
pub fn allergies_of_the_basics(shelter: &Shelter) {
    let client = Client::signed_in(&shelter.url, FACILITIES[0], "ishi");
    let page = client.get(&format!("/p/{}/{TREATED}/problems", FACILITIES[0]));
    let text = text_of(&page.body);
    assert!(text.contains("アンピシリン"), "{text}");
    assert!(!text.contains("アレルギーの記録がありません"), "{text}");
}

/// The number of files that a patient's page of all records tells.
fn count(client: &Client, facility: &str, patient: &str, more: &str) -> u64 {
    let answer = client.get(&format!("/p/{facility}/{patient}/records{more}"));
    assert_eq!(answer.status, 200, "{facility} {patient} {more}");
    let text = text_of(&answer.body);
    let (before, _) = text.split_once(" 件").unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Across facilities there are the records of those that disclose, each marked
/// with its facility; of others there is nothing, in counts neither.
pub fn across_facilities(shelter: &Shelter) {
    let own = FACILITIES[0];
    let clients = FACILITIES.map(|facility| Client::signed_in(&shelter.url, facility, "ishi"));
    let tables = tables(shelter, own);
    let (mut open, mut closed) = (0, 0);
    for ((facility, patient), person) in &tables.persons {
        if facility != own {
            continue;
        }
        let elsewhere: Vec<(&str, &str)> = tables
            .persons
            .iter()
            .filter(|((at, _), other)| at != own && *other == person)
            .map(|((at, id), _)| (at.as_str(), id.as_str()))
            .collect();
        let (shown, hidden): (Vec<_>, Vec<_>) = elsewhere.into_iter().partition(|(at, _)| {
            tables
                .disclosed
                .contains(&(person.clone(), (*at).to_string()))
        });
        if (shown.is_empty() || open > 3) && (hidden.is_empty() || closed > 3) {
            continue;
        }
        (open, closed) = (open + shown.len(), closed + hidden.len());
        let alone = count(&clients[0], own, patient, "");
        let expected = shown.iter().map(|(at, id)| {
            let place = FACILITIES
                .iter()
                .position(|facility| facility == at)
                .unwrap();
            count(&clients[place], at, id, "")
        });
        let expected: u64 = alone + expected.sum::<u64>();
        assert_eq!(
            count(&clients[0], own, patient, "?across=1"),
            expected,
            "{patient}"
        );
        for tab in ["records", "calendar", "summary"] {
            let page = clients[0].get(&format!("/p/{own}/{patient}/{tab}?across=1"));
            let text = text_of(&page.body);
            for (at, _) in &shown {
                let mark = format!("⇄ {}", facility_name(shelter, at));
                assert!(text.contains(&mark), "{tab} of {patient}: {mark}");
            }
            let names: BTreeSet<String> = hidden
                .iter()
                .map(|(at, _)| facility_name(shelter, at))
                .collect();
            for name in names {
                assert!(
                    !text.contains(&name),
                    "{tab} of {patient}: {name} is not disclosed"
                );
            }
        }
    }
    assert!(open > 0 && closed > 0, "{open} disclosed, {closed} not");
}

/// A viewer beside `sync --follow`: what arrives is shown, an earlier state can
/// still be looked at, and the one that follows lives on without the viewer.
pub fn beside_follow_and_as_of(shelter: &mut Shelter) {
    shelter.stop();
    let center = shelter.site.serve();
    let mut follow: Process = shelter.site.spawn_logged(LAPTOP, &["sync", "--follow"]);
    let until = Instant::now() + Duration::from_secs(60);
    while shelter.laptop(&["status"]).json["last_sync"].is_null() {
        assert!(Instant::now() < until, "{}", shelter.site.log(LAPTOP));
        std::thread::sleep(Duration::from_millis(100));
    }
    shelter.start();
    let client = Client::signed_in(&shelter.url, FACILITIES[0], "ishi");
    let page = format!("/p/{}/{TREATED}/medication", FACILITIES[0]);
    let before = client.get(&page).body;
    // The first state in the list is the newest.
    let commits = |body: &str| -> Vec<u64> {
        let options = body.split("<option value=\"").skip(1);
        options
            .filter_map(|rest| rest.split('"').next()?.parse().ok())
            .collect()
    };
    let old = *commits(&before).iter().max().unwrap();
    put(
        &shelter.site,
        "OMP-01",
        &day(-2),
        900,
        &order("新着薬", &day(-2), "30^d"),
    );
    shelter.site.center(&["scan", "--walk"]).ok();
    while !client.get(&page).body.contains("新着薬") {
        assert!(Instant::now() < until, "{}", shelter.site.log(LAPTOP));
        std::thread::sleep(Duration::from_millis(200));
    }
    let now = client.get(&page).body;
    assert!(commits(&now).iter().any(|commit| *commit > old));
    let past = client.get(&format!("{page}?at={old}"));
    assert_eq!(past.status, 200);
    assert!(!past.body.contains("新着薬"), "it was not there then");
    assert!(past.body.contains("服用中薬") && past.body.contains("過去のスナップショット"));
    for odd in ["999999", "x", "-1"] {
        assert_eq!(
            client.get(&format!("{page}?at={odd}")).status,
            404,
            "at={odd}"
        );
    }
    shelter.stop();
    assert!(follow.is_running(), "{}", shelter.site.log(LAPTOP));
    // Who asked for the viewer went away, and the viewer with it.
    let until = Instant::now() + Duration::from_secs(10);
    while client.get(&page).status != 0 {
        assert!(Instant::now() < until, "the viewer is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    shelter.laptop(&["status"]).ok();
    follow.end();
    center.end();
    shelter.start();
}

/// A patient of the own facility with a disclosed chart elsewhere.
fn linked(shelter: &Shelter) -> String {
    let own = FACILITIES[0];
    let tables = tables(shelter, own);
    let mut persons = tables.persons.iter();
    let linked = persons.find(|((facility, _), person)| {
        let elsewhere = |at: &str| {
            let chart = tables
                .persons
                .iter()
                .any(|((other, _), same)| other == at && same == *person);
            chart
                && tables
                    .disclosed
                    .contains(&((*person).clone(), at.to_string()))
        };
        facility == own && FACILITIES[1..].iter().any(|at| elsewhere(at))
    });
    linked.unwrap().0.1.clone()
}

/// What a filter leaves out is said wherever somebody could take it for none.
pub fn what_the_filter_leaves_out(shelter: &mut Shelter) {
    let config = shelter.site.path(LAPTOP).join("hikae.toml");
    let whole = fs::read_to_string(&config).unwrap();
    let pulled = |shelter: &mut Shelter, text: String| {
        shelter.stop();
        fs::write(&config, text).unwrap();
        let center = shelter.site.serve();
        let report = shelter.laptop(&["sync"]).ok();
        center.end();
        shelter.start();
        assert_eq!(report["roots_equal"], true);
        report
    };
    let filter = format!(
        "[filter]\nvolumes = [\"{}/*\", \"COMMON/*\"]\nkinds = [\"OMP-*\"]\n",
        FACILITIES[0]
    );
    let report = pulled(shelter, whole.clone() + &filter);
    assert!(!report["sparse"].is_null(), "{report}");
    let client = Client::signed_in(&shelter.url, FACILITIES[0], "ishi");
    let text = |patient: &str, page: &str| {
        let answer = client.get(&format!("/p/{}/{patient}/{page}", FACILITIES[0]));
        assert_eq!(answer.status, 200, "{patient} {page}");
        (text_of(&answer.body), answer.body)
    };
    let (summary, page) = text(TREATED, "summary");
    for said in ["この端末には一部の記録しかありません", "服用中薬"] {
        assert!(summary.contains(said), "{said}: {summary}");
    }
    // In the banner, which is above the page.
    for said in [
        "患者基本情報はこの端末に保管なし",
        "⚠ この端末に保管なし（他で確認）",
        "</b>この端末に保管なし",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let (laboratory, _) = text(LONG_PATIENT, "laboratory");
    assert!(
        laboratory.contains("この端末に保管していない記録"),
        "{laboratory}"
    );
    let (_, records) = text(LONG_PATIENT, "records?group=laboratory");
    let record = records.split("href=\"").skip(1);
    let record = record.filter_map(|rest| rest.split('"').next());
    let record = record
        .map(|address| address.replace("&amp;", "&"))
        .find(|address| address.contains("/record/"));
    let page = client.get(&record.expect("a result is listed"));
    assert!(text_of(&page.body).contains("この端末には保管していません"));
    let (_, across) = text(&linked(shelter), "summary?across=1");
    assert!(
        across.contains("この端末に保管していない記録群があります"),
        "{across}"
    );
    client.post("/patients", &[("words", TREATED)]);
    let found = client.get("/patients");
    assert!(found.body.contains(TREATED), "{}", text_of(&found.body));

    pulled(shelter, whole);
    let client = Client::signed_in(&shelter.url, FACILITIES[0], "ishi");
    let page = client.get(&format!("/p/{}/{TREATED}/summary", FACILITIES[0]));
    assert!(!page.body.contains("この端末に"), "{}", text_of(&page.body));
}
