//! The registry: tables with faults, and access against a slow, obvious oracle.

use hikae::registry::{
    Basis, CommonRegistry, Condition, Consent, Emergency, FacilityRegistry, FaultKind, Opening,
    OpeningError, Patient, Permission, Policy, Refusal, Role, Scope, Source, Viewer,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const AGE_MAX: SignedDuration = SignedDuration::from_hours(24 * 30);
const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g";

fn now() -> Timestamp {
    "2026-03-31T15:30:00Z".parse().unwrap()
}

fn source<'a>(file: &'a str, text: Option<&'a str>) -> Source<'a> {
    Source {
        file,
        bytes: text.map(str::as_bytes),
        current_at: Some(now()),
        changed_at: None,
    }
}

fn users(rows: &str) -> String {
    let header = "user_id,display_name,password_hash,role,totp_secret,permissions";
    format!("{header}\n{}", rows.replace("HASH", &format!("\"{HASH}\"")))
}

fn registry(users: &str, linkage: Option<&str>, disclosure: Option<&str>) -> FacilityRegistry {
    FacilityRegistry::read(
        "A",
        source("A/REG01/users.csv", Some(users)),
        source("A/REG01/linkage.csv", linkage),
        source("A/REG01/disclosure.csv", disclosure),
    )
}

fn patient(facility: &str, id: &str) -> Patient {
    Patient {
        facility: facility.to_owned(),
        id: id.to_owned(),
    }
}

fn policy<'a>(
    registry: &'a FacilityRegistry,
    emergency: Option<&'a Emergency>,
    openings: &'a [Opening],
) -> Policy<'a> {
    Policy {
        registry,
        emergency,
        openings,
        now: now(),
        age_max: AGE_MAX,
    }
}

fn faults(registry: &FacilityRegistry) -> Vec<String> {
    registry
        .faults()
        .iter()
        .map(|fault| fault.to_string())
        .collect()
}

const LINKAGE: &str = "person_id,facility_id,patient_id\nP1,A,1\nP1,B,11\nP1,C,21\nP2,B,12\n";
const DISCLOSURE: &str =
    "person_id,owner_facility_id,allowed,until\nP1,B,true,\nP1,C,true,2026-03-31\nP2,B,true,\n";
const DOCTOR: &str = "ishi,医師,HASH,physician,,emergency\nkango,看護師,HASH,nurse,,\nsaigai,災害,HASH,physician,JBSWY3DP,search_all;declare\n";

// [S15-4]
#[test]
fn users_are_read_and_faults_are_named_by_file_and_line() {
    let text = users(&format!(
        "{DOCTOR}ishi,again,HASH,nurse,,\nbad,医師,plain,physician,,\nodd,医師,HASH,physician,,fly\n,x,HASH,nurse,,\nshort,x\nt,x,HASH,nurse,l0wer,\n"
    ));
    let registry = registry(&text, Some(LINKAGE), Some(DISCLOSURE));
    let users = &registry.users.content;
    let ids: Vec<_> = users.iter().map(|user| user.id.as_str()).collect();
    // Of an id that is there twice, nobody counts.
    assert_eq!(ids, ["kango", "saigai"]);
    let saigai = users.get("saigai").unwrap();
    assert_eq!(
        (&saigai.role, saigai.totp_secret.as_deref()),
        (&Role::Physician, Some("JBSWY3DP"))
    );
    assert!(
        saigai.may(Permission::Declare)
            && saigai.may(Permission::History)
            && !saigai.may(Permission::Emergency)
    );
    assert!(!users.get("kango").unwrap().may(Permission::History));
    let file = "A/REG01/users.csv";
    assert_eq!(
        faults(&registry),
        [
            format!("{file}:5: user_id ishi again (first in line 2)"),
            format!("{file}:6: password_hash is \"(hidden)\", expected an argon2id PHC string"),
            format!(
                "{file}:7: permissions is \"fly\", expected emergency, search_all, review, history or declare, joined by ;"
            ),
            format!("{file}:8: user_id is empty"),
            format!("{file}:9: 2 fields instead of 6"),
            format!("{file}:10: totp_secret is \"(hidden)\", expected base32"),
        ]
    );
    // No secret is in what a log could print.
    let debug = format!("{:?}", saigai);
    assert!(
        !debug.contains("argon2id") && !debug.contains("JBSWY3DP"),
        "{debug}"
    );
}

// [S15-1] [S15-2] [S15-3] [S15-6]
#[test]
fn tables_that_cannot_be_relied_on_mean_no() {
    let text = users(DOCTOR);
    let other = patient("B", "11");
    let refusal = |linkage: Option<&str>, disclosure: Option<&str>| {
        let registry = registry(&text, linkage, disclosure);
        let viewer = Viewer::of(&registry, "kango").unwrap();
        // The own facility's patients are always seen.
        let own = policy(&registry, None, &[])
            .open(&viewer, &patient("A", "1"))
            .unwrap();
        assert_eq!(
            (own.basis(), own.with_history()),
            (&Basis::OwnFacility, false)
        );
        policy(&registry, None, &[])
            .open(&viewer, &other)
            .map(|grant| grant.basis().clone())
    };
    let disclosed = Basis::Disclosed {
        person: "P1".to_owned(),
        until: None,
    };
    assert_eq!(refusal(Some(LINKAGE), Some(DISCLOSURE)), Ok(disclosed));
    assert_eq!(
        refusal(None, Some(DISCLOSURE)),
        Err(Refusal::Linkage(Condition::Missing))
    );
    assert_eq!(
        refusal(Some(LINKAGE), None),
        Err(Refusal::Disclosure(Condition::Missing))
    );
    assert_eq!(
        refusal(Some(""), Some(DISCLOSURE)),
        Err(Refusal::Linkage(Condition::Void))
    );
    assert_eq!(
        refusal(Some("person_id,facility_id\n"), Some(DISCLOSURE)),
        Err(Refusal::Linkage(Condition::Void))
    );
    let header = "person_id,owner_facility_id,allowed,until\n";
    assert_eq!(
        refusal(Some(LINKAGE), Some(header)),
        Err(Refusal::NotDisclosed)
    );
    // A row of which nobody knows whom it meant could have been the "no".
    let torn = format!("{DISCLOSURE}P1,B\n");
    assert_eq!(
        refusal(Some(LINKAGE), Some(&torn)),
        Err(Refusal::Disclosure(Condition::Void))
    );
    // Rows that can't be read, or that contradict each other.
    for rows in [
        "P1,B,fales,\n",
        "P1,B,true,soon\n",
        "P1,B,true,\nP1,B,false,\n",
        "P1,B,false,\nP1,B,true,\n",
        "P1,B,true,2030-01-01\nP1,B,true,\n",
    ] {
        assert_eq!(
            refusal(Some(LINKAGE), Some(&format!("{header}{rows}"))),
            Err(Refusal::Denied),
            "{rows}"
        );
    }
    // A patient who is said to be two persons is nobody.
    let twice = format!("{LINKAGE}P2,B,11\n");
    assert_eq!(
        refusal(Some(&twice), Some(DISCLOSURE)),
        Err(Refusal::NotLinked)
    );
    // Linked, but to nobody of this facility.
    let elsewhere = "person_id,facility_id,patient_id\nP1,B,11\nP1,C,21\n";
    assert_eq!(
        refusal(Some(elsewhere), Some(DISCLOSURE)),
        Err(Refusal::NotLinked)
    );
}

// [S15-1]
#[test]
fn ages_count_from_when_a_table_was_the_centers() {
    let text = users(DOCTOR);
    let mut registry = registry(&text, Some(LINKAGE), Some(DISCLOSURE));
    let viewer = Viewer::of(&registry, "ishi").unwrap();
    let other = patient("B", "11");
    let hours = SignedDuration::from_hours;
    for (current_at, expected) in [
        (Some(now() - hours(24 * 30)), None),
        (
            Some(now() - hours(24 * 30 + 1)),
            Some(Condition::Stale {
                age: Some(hours(24 * 30 + 1)),
            }),
        ),
        (Some(now() + hours(1)), None),
        // A table from the future is of unknown age.
        (Some(now() + hours(2)), Some(Condition::Stale { age: None })),
        (None, Some(Condition::Stale { age: None })),
    ] {
        registry.disclosure.current_at = current_at;
        let found = policy(&registry, None, &[]).open(&viewer, &other).err();
        assert_eq!(found, expected.map(Refusal::Disclosure), "{current_at:?}");
    }
}

// [S15-5]
#[test]
fn the_last_day_of_a_disclosure_ends_at_midnight_in_japan() {
    let text = users(DOCTOR);
    let registry = registry(&text, Some(LINKAGE), Some(DISCLOSURE));
    let viewer = Viewer::of(&registry, "ishi").unwrap();
    let at = |time: &str| {
        let policy = Policy {
            now: time.parse().unwrap(),
            ..policy(&registry, None, &[])
        };
        policy.open(&viewer, &patient("C", "21")).map(drop)
    };
    assert_eq!(at("2026-03-31T14:59:59Z"), Ok(()));
    assert_eq!(
        at("2026-03-31T15:00:00Z"),
        Err(Refusal::Ended("2026-03-31".parse().unwrap()))
    );
}

fn emergency(from: i64, until: i64) -> Emergency {
    let hour = |hours| now() + SignedDuration::from_hours(hours);
    Emergency {
        id: "E1".to_owned(),
        from: hour(from),
        until: hour(until),
    }
}

#[test]
fn emergencies_need_the_right_a_reason_and_end() {
    let text = users(DOCTOR);
    let registry = registry(&text, Some(LINKAGE), Some(DISCLOSURE));
    let [ishi, kango, saigai] =
        ["ishi", "kango", "saigai"].map(|id| Viewer::of(&registry, id).unwrap());
    let on = emergency(-2, 2);
    let target = patient("D", "5");
    let open = |viewer: &Viewer, emergency: &Emergency, reason: &str| {
        Opening::new(
            viewer,
            emergency,
            target.clone(),
            reason,
            Consent::Unable,
            now(),
        )
    };
    assert_eq!(
        open(&kango, &on, "意識なし"),
        Err(OpeningError::NotPermitted)
    );
    assert_eq!(open(&ishi, &on, "  "), Err(OpeningError::Reason));
    assert_eq!(
        open(&ishi, &emergency(-2, 0), "意識なし"),
        Err(OpeningError::NoEmergency)
    );
    assert_eq!(
        open(&ishi, &emergency(1, 2), "意識なし"),
        Err(OpeningError::NoEmergency)
    );
    let opening = open(&ishi, &on, "意識なし").unwrap();
    let openings = [opening.clone()];

    let basis = |viewer: &Viewer, patient: &Patient, emergency: Option<&Emergency>| {
        policy(&registry, emergency, &openings)
            .open(viewer, patient)
            .map(|grant| grant.basis().clone())
    };
    assert_eq!(
        basis(&ishi, &target, Some(&on)),
        Ok(Basis::Emergency(Box::new(opening)))
    );
    // Nobody else, nothing else, not without the emergency, not after it, not in another one.
    assert_eq!(basis(&saigai, &target, Some(&on)), Err(Refusal::NotLinked));
    assert_eq!(
        basis(&ishi, &patient("D", "6"), Some(&on)),
        Err(Refusal::NotLinked)
    );
    assert_eq!(basis(&ishi, &target, None), Err(Refusal::NotLinked));
    assert_eq!(
        basis(&ishi, &target, Some(&emergency(-2, 0))),
        Err(Refusal::NotLinked)
    );
    let another = Emergency {
        id: "E2".to_owned(),
        ..on.clone()
    };
    assert_eq!(
        basis(&ishi, &target, Some(&another)),
        Err(Refusal::NotLinked)
    );

    let scope = |viewer: &Viewer, emergency| {
        policy(&registry, emergency, &[])
            .search(viewer)
            .unwrap()
            .scope()
    };
    assert_eq!(
        (scope(&ishi, None), scope(&ishi, Some(&on))),
        (Scope::OwnFacility, Scope::AllFacilities)
    );
    assert_eq!(
        (scope(&kango, Some(&on)), scope(&saigai, None)),
        (Scope::OwnFacility, Scope::AllFacilities)
    );
    // Finding is not opening.
    assert_eq!(basis(&saigai, &target, None), Err(Refusal::NotLinked));
}

#[test]
fn linked_patients_that_may_not_be_seen_are_not_counted() {
    let text = users(DOCTOR);
    let registry = registry(&text, Some(LINKAGE), Some(DISCLOSURE));
    let viewer = Viewer::of(&registry, "ishi").unwrap();
    let own = patient("A", "1");
    let linked: Vec<_> = policy(&registry, None, &[])
        .linked(&viewer, &own)
        .iter()
        .map(|grant| grant.patient().clone())
        .collect();
    // C's disclosure ended half an hour ago.
    assert_eq!(linked, [own, patient("B", "11")]);
    let foreign = FacilityRegistry {
        facility: "B".to_owned(),
        ..registry.clone()
    };
    assert_eq!(
        policy(&foreign, None, &[]).open(&viewer, &patient("A", "1")),
        Err(Refusal::OtherRegistry)
    );
    assert!(policy(&foreign, None, &[]).search(&viewer).is_err());
}

#[test]
fn facilities_and_masters() {
    let facilities = "\u{FEFF}facility_id,name,name_kana,note\nA,登呂病院,トロビョウイン,x\nA,again,,\nB,海浜病院,カイヒン,\n";
    let drugs = "code,name\n100,薬\n,x\n";
    let common = CommonRegistry::read(
        source("COMMON/REG01/facilities.csv", Some(facilities)),
        [(
            "drugs",
            source("COMMON/REG01/masters/drugs.csv", Some(drugs)),
        )],
    );
    let found = &common.facilities.content;
    assert_eq!(found.get("A").unwrap().name, "登呂病院");
    assert_eq!(found.iter().count(), 2);
    assert_eq!(common.masters["drugs"].content.name_of("100"), Some("薬"));
    let faults: Vec<_> = common
        .faults()
        .iter()
        .map(|fault| fault.to_string())
        .collect();
    assert_eq!(
        faults,
        [
            "COMMON/REG01/facilities.csv:3: facility_id A again (first in line 2)",
            "COMMON/REG01/masters/drugs.csv:3: code is empty"
        ]
    );
    assert!(matches!(
        common.facilities.faults[0].kind,
        FaultKind::Duplicate { first: 2, .. }
    ));
}

#[test]
fn the_generators_registry_has_no_faults() {
    use hikae::r#gen::{StorageOptions, storage};
    use hikae::progress::Silent;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("storage");
    let options = StorageOptions {
        out: out.clone(),
        facilities: 3,
        patients: 30,
        records: 300,
        seed: 7,
    };
    storage(&options, &Silent).unwrap();
    let mut read = 0;
    for item in std::fs::read_dir(out.join("volumes")).unwrap() {
        let folder = item.unwrap().path();
        let facility = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let table = |name: &str| std::fs::read_to_string(folder.join("REG01").join(name)).ok();
        if facility == "COMMON" {
            let facilities = table("facilities.csv");
            let common = CommonRegistry::read(source("facilities.csv", facilities.as_deref()), []);
            assert_eq!(
                (
                    common.faults().len(),
                    common.facilities.content.iter().count()
                ),
                (0, 3)
            );
            continue;
        }
        let [users, linkage, disclosure] =
            ["users.csv", "linkage.csv", "disclosure.csv"].map(table);
        let registry = FacilityRegistry::read(
            &facility,
            source("users.csv", users.as_deref()),
            source("linkage.csv", linkage.as_deref()),
            source("disclosure.csv", disclosure.as_deref()),
        );
        assert_eq!(faults(&registry), [""; 0]);
        assert_eq!(registry.users.content.iter().count(), 5);
        let ishi = registry.users.content.get("ishi").unwrap();
        assert!(ishi.may(Permission::Emergency) && !ishi.may(Permission::SearchAll));
        read += 1;
    }
    assert_eq!(read, 3);
}

/// A row of each table, by small numbers so that they meet.
type Rows = (Vec<(u8, u8, u8)>, Vec<(u8, u8, u8, u8)>);

fn tables() -> impl Strategy<Value = Rows> {
    let link = (0u8..3, 0u8..3, 0u8..3);
    let rule = (0u8..3, 0u8..3, 0u8..4, 0u8..3);
    (
        proptest::collection::vec(link, 0..7),
        proptest::collection::vec(rule, 0..7),
    )
}

const FACILITIES: [&str; 3] = ["A", "B", "C"];
const ALLOWED: [&str; 4] = ["true", "true", "false", "maybe"];
const UNTIL: [&str; 3] = ["", "2026-04-01", "2026-03-31"];

/// May the nurse of A see this patient: the rules once more, slowly.
fn oracle(links: &[(u8, u8, u8)], rules: &[(u8, u8, u8, u8)], facility: u8, id: u8) -> bool {
    if facility == 0 {
        return true;
    }
    let persons_of = |facility: u8, id: u8| {
        let mut persons: Vec<u8> = links
            .iter()
            .filter(|row| (row.1, row.2) == (facility, id))
            .map(|row| row.0)
            .collect();
        persons.dedup();
        persons
    };
    let persons = persons_of(facility, id);
    let [person] = persons[..] else {
        return false;
    };
    // Someone of A is that person and nobody else.
    let known_at_a = (0..3).any(|own| persons_of(0, own) == [person]);
    let rows: Vec<_> = rules
        .iter()
        .filter(|row| (row.0, row.1) == (person, facility))
        .collect();
    let all_allow = rows.iter().all(|row| row.2 < 2 && row.3 < 2);
    let same = rows.iter().all(|row| row.3 == rows[0].3);
    known_at_a && !rows.is_empty() && all_allow && same
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn access_is_what_the_obvious_rules_say((links, rules) in tables()) {
        let mut linkage = "person_id,facility_id,patient_id\n".to_owned();
        for (person, facility, id) in &links {
            linkage.push_str(&format!("P{person},{},{id}\n", FACILITIES[usize::from(*facility)]));
        }
        let mut disclosure = "person_id,owner_facility_id,allowed,until\n".to_owned();
        for (person, owner, allowed, until) in &rules {
            let (allowed, until) = (ALLOWED[usize::from(*allowed)], UNTIL[usize::from(*until)]);
            disclosure.push_str(&format!("P{person},{},{allowed},{until}\n", FACILITIES[usize::from(*owner)]));
        }
        let text = users(DOCTOR);
        let registry = registry(&text, Some(&linkage), Some(&disclosure));
        let viewer = Viewer::of(&registry, "kango").unwrap();
        let policy = policy(&registry, None, &[]);
        for (facility, name) in FACILITIES.iter().enumerate() {
            for id in 0..3u8 {
                let one = patient(name, &id.to_string());
                let expected = oracle(&links, &rules, facility as u8, id);
                prop_assert_eq!(policy.open(&viewer, &one).is_ok(), expected, "{:?}\n{}\n{}", one, linkage, disclosure);
                // What is linked is what may be opened.
                for grant in policy.linked(&viewer, &one) {
                    prop_assert!(policy.open(&viewer, grant.patient()).is_ok());
                }
            }
        }
    }

    #[test]
    fn no_bytes_panic_in_any_table(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[a-zA-Z_,\"\\n]{0,80}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            let source = Source { file: "x.csv", bytes: Some(bytes), current_at: None, changed_at: None };
            FacilityRegistry::read("A", source, source, source).faults();
            CommonRegistry::read(source, [("m", source)]).faults();
        }
    }
}
