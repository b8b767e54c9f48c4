//! Every route, for every kind of user, facility and patient, against what the
//! tables of the registry say, read here without the library.

use std::collections::BTreeMap;
use std::fs;

use hikae::viewer::{Method, Needs, ROUTES};

use crate::client::{Answer, Client};
use crate::shelter::{FACILITIES, Shelter};

/// What a route is expected to need. A route without a line fails.
#[derive(Clone, Copy, PartialEq)]
enum Expected {
    Open,
    SignIn,
    Review,
    Declare,
    /// An emergency, which is not declared.
    Emergency,
    Patient,
    Raw,
}

const EXPECTED: [(&str, Expected); 25] = [
    ("/", Expected::Open),
    ("/style.css", Expected::Open),
    ("/icon.svg", Expected::Open),
    ("/sign-in", Expected::Open),
    ("/sign-out", Expected::Open),
    ("/language/{code}", Expected::Open),
    ("/patients", Expected::SignIn),
    ("/emergency", Expected::SignIn),
    ("/emergency/declare", Expected::Declare),
    ("/emergency/end", Expected::Declare),
    ("/review", Expected::Review),
    ("/p/{facility}/{patient}/open", Expected::Emergency),
    ("/p/{facility}/{patient}/summary", Expected::Patient),
    ("/p/{facility}/{patient}/calendar", Expected::Patient),
    ("/p/{facility}/{patient}/medication", Expected::Patient),
    ("/p/{facility}/{patient}/laboratory", Expected::Patient),
    ("/p/{facility}/{patient}/examinations", Expected::Patient),
    ("/p/{facility}/{patient}/problems", Expected::Patient),
    ("/p/{facility}/{patient}/stays", Expected::Patient),
    ("/p/{facility}/{patient}/documents", Expected::Patient),
    ("/p/{facility}/{patient}/records", Expected::Patient),
    (
        "/p/{facility}/{patient}/record/{label}/{file}",
        Expected::Patient,
    ),
    (
        "/p/{facility}/{patient}/file/{label}/{file}",
        Expected::Patient,
    ),
    ("/p/{facility}/{patient}/raw/{label}/{file}", Expected::Raw),
    (
        "/p/{facility}/{patient}/history/{label}/{file}",
        Expected::Raw,
    ),
];

/// Users of `gen` without a one-time code: id, whether they see raw messages,
/// review and declare.
const USERS: [(&str, bool, bool); 3] = [
    ("ishi", true, false),
    ("kango", false, false),
    ("kanri", false, true),
];

/// One facility's tables.
pub struct Tables {
    /// Patient to person.
    pub persons: BTreeMap<(String, String), String>,
    /// Person and owner that are disclosed today.
    pub disclosed: Vec<(String, String)>,
}

fn rows(shelter: &Shelter, facility: &str, name: &str) -> Vec<Vec<String>> {
    let path = shelter
        .site
        .volumes()
        .join(facility)
        .join("REG01")
        .join(name);
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().skip(1);
    rows.map(|row| row.split(',').map(str::to_string).collect())
        .collect()
}

pub fn tables(shelter: &Shelter, facility: &str) -> Tables {
    let today = jiff::Zoned::now().date().to_string();
    let linkage = rows(shelter, facility, "linkage.csv").into_iter();
    let disclosure = rows(shelter, facility, "disclosure.csv").into_iter();
    Tables {
        persons: linkage
            .map(|row| ((row[1].clone(), row[2].clone()), row[0].clone()))
            .collect(),
        disclosed: disclosure
            .filter(|row| row[2] == "true" && (row[3].is_empty() || row[3] >= today))
            .map(|row| (row[0].clone(), row[1].clone()))
            .collect(),
    }
}

/// A facility's name.
pub fn facility_name(shelter: &Shelter, facility: &str) -> String {
    let path = shelter.site.volumes().join("COMMON/REG01/facilities.csv");
    let text = fs::read_to_string(path).unwrap();
    let mut rows = text.lines().map(|row| row.split(',').collect::<Vec<_>>());
    rows.find(|row| row[0] == facility).unwrap()[1].to_string()
}

impl Tables {
    fn is_open(&self, own: &str, facility: &str, patient: &str) -> bool {
        if own == facility {
            return true;
        }
        let Some(person) = self
            .persons
            .get(&(facility.to_string(), patient.to_string()))
        else {
            return false;
        };
        let here = self
            .persons
            .iter()
            .any(|((at, _), other)| at == own && other == person);
        here && self
            .disclosed
            .contains(&(person.clone(), facility.to_string()))
    }
}

/// A file of a patient that is a document, so that every route has one.
fn file_of(shelter: &Shelter, facility: &str, patient: &str) -> String {
    let (one, two) = (&patient[..3], &patient[3..6]);
    let folder = shelter
        .site
        .volumes()
        .join(facility)
        .join("STD01")
        .join(one)
        .join(two)
        .join(patient);
    let basics = folder.join("-/ADT-00");
    let name = fs::read_dir(basics)
        .unwrap()
        .flatten()
        .map(|item| item.file_name())
        .min();
    format!("-/ADT-00/{}", name.unwrap().to_str().unwrap())
}

fn path(route: &str, facility: &str, patient: &str, file: &str) -> String {
    let hex: String = file.bytes().map(|byte| format!("{byte:02x}")).collect();
    let path = route
        .replace("{facility}", facility)
        .replace("{patient}", patient)
        .replace("{label}", "STD01")
        .replace("{file}", &hex)
        .replace("{code}", "ja");
    assert!(!path.contains('{'), "{route}: what stands for its parts?");
    path
}

/// Patients to try: one of the own facility, and of each other one a patient
/// that is open to it and one that is not, as far as there are.
fn patients(shelter: &Shelter, own: &str, tables: &Tables) -> Vec<(String, String, bool)> {
    let mut found = Vec::new();
    for facility in FACILITIES {
        for wanted in [true, false] {
            let all = shelter.patients(facility);
            let patient = all
                .into_iter()
                .find(|one| tables.is_open(own, facility, one) == wanted);
            found.extend(patient.map(|patient| (facility.to_string(), patient, wanted)));
        }
    }
    assert!(
        found
            .iter()
            .any(|(facility, _, open)| facility != own && *open),
        "nobody is disclosed"
    );
    assert!(
        found.iter().any(|(_, _, open)| !open),
        "everybody is disclosed"
    );
    found
}

fn ask(client: &Client, method: Method, path: &str) -> Answer {
    match method {
        Method::Get => client.get(path),
        Method::Post => client.post(path, &[]),
    }
}

/// Asks every route as everybody.
pub fn check(shelter: &Shelter) {
    for route in ROUTES {
        let known = EXPECTED.iter().any(|(path, _)| *path == route.path);
        assert!(known, "{}: give this route a line in EXPECTED", route.path);
        let expected = EXPECTED
            .iter()
            .find(|(path, _)| *path == route.path)
            .unwrap()
            .1;
        let is_open = route.needs == Needs::Nothing;
        assert_eq!(is_open, expected == Expected::Open, "{}", route.path);
    }
    let own = FACILITIES[0];
    let tables = tables(shelter, own);
    let patients = patients(shelter, own, &tables);
    let nobody = Client::new(&shelter.url);
    for (user, sees_raw, is_administrator) in USERS {
        let client = Client::signed_in(&shelter.url, own, user);
        for route in ROUTES.iter().filter(|route| route.path != "/sign-out") {
            let expected = EXPECTED
                .iter()
                .find(|(path, _)| *path == route.path)
                .unwrap()
                .1;
            let of_patient = route.path.contains("{patient}");
            let tried = if of_patient {
                &patients[..]
            } else {
                &patients[..1]
            };
            for (facility, patient, is_open) in tried {
                let file = file_of(shelter, facility, patient);
                let path = path(route.path, facility, patient, &file);
                let name = format!("{user}@{own} {:?} {path}", route.method);
                let answer = ask(&client, route.method, &path);
                let forbidden = match expected {
                    Expected::Open | Expected::SignIn => {
                        route.method == Method::Post && path == "/sign-in"
                    }
                    Expected::Review | Expected::Declare => !is_administrator,
                    Expected::Emergency => true,
                    Expected::Patient => !is_open,
                    Expected::Raw => !is_open || !sees_raw,
                };
                assert_eq!(
                    answer.status == 403,
                    forbidden,
                    "{name}: {} {}",
                    answer.status,
                    answer.body
                );
                assert!(answer.status < 500, "{name}: {}", answer.status);
                if forbidden && of_patient {
                    assert!(
                        !answer.body.contains(patient.as_str()),
                        "{name} names the patient"
                    );
                }
                if of_patient && user == "ishi" {
                    let refused = ask(&nobody, route.method, &path);
                    assert_eq!(
                        (refused.status, refused.location()),
                        (303, "/sign-in"),
                        "{path}"
                    );
                    assert_eq!(refused.body, "");
                }
            }
        }
    }
}
