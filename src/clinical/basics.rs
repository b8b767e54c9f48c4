//! Basics: who the patient is (ADT-00).

use super::allergy::Allergy;
use super::coded::Coded;
use super::movement::Movement;
use super::observation::Observation;
use super::person::{Address, Name, Phone, Sex};
use super::when::When;
use crate::hl7::{Message, Segment};

/// Codes of JLAC10 begin so, up to the material.
const HEIGHT: &str = "9N001";
const WEIGHT: &str = "9N006";
const BLOOD_ABO: &str = "5H010";
const BLOOD_RH: &str = "5H020";

/// What ADT-00 says of a patient.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Basics {
    /// PID-5.
    pub name: Name,
    /// PID-7.
    pub birth: Option<When>,
    /// PID-8.
    pub sex: Sex,
    /// PID-11.
    pub addresses: Vec<Address>,
    /// PID-13.
    pub home_phones: Vec<Phone>,
    /// PID-14.
    pub work_phones: Vec<Phone>,
    /// PID-33: when this was last changed.
    pub updated: Option<When>,
    /// PID-30 and 29: whether and when the patient died.
    pub death: Option<When>,
    /// PID-30 is `Y`.
    pub is_dead: bool,
    /// NK1.
    pub kin: Vec<Kin>,
    /// DB1-4 is `Y`: disabled; `None` where nothing is said.
    pub disabled: Option<bool>,
    /// DB1-2 and others in words, as they are written.
    pub disability: String,
    /// OBX: height, weight, blood groups and whatever else.
    pub observations: Vec<Observation>,
    /// AL1.
    pub allergies: Vec<Allergy>,
    /// IN1.
    pub insurances: Vec<Insurance>,
    /// PV1.
    pub place: Movement,
}

/// One NK1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kin {
    /// NK1-2.
    pub name: Name,
    /// NK1-3.
    pub relationship: Coded,
    /// NK1-4.
    pub addresses: Vec<Address>,
    /// NK1-5 and 6.
    pub phones: Vec<Phone>,
    /// NK1-13.
    pub employer: String,
}

/// One IN1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Insurance {
    /// IN1-2.
    pub plan: Coded,
    /// IN1-3: the insurer's number.
    pub number: String,
    /// IN1-4: the insurer's name.
    pub insurer: String,
    /// IN1-10 and IN1-36: symbol and number of the insured.
    pub insured: String,
    /// IN1-12.
    pub from: Option<When>,
    /// IN1-13.
    pub to: Option<When>,
    /// IN1-17: whose it is.
    pub relationship: Coded,
}

impl Basics {
    pub(super) fn of(message: &Message) -> Self {
        let pid = |number| message.field("PID", number);
        let filled = |segment: &&Segment| !segment.is_blank();
        let disabilities: Vec<&Segment> = message.all("DB1").filter(filled).collect();
        let disabled = |answer: &str| {
            disabilities
                .iter()
                .any(|segment| segment.field(4).text() == answer)
        };
        Self {
            name: Name::of(pid(5)),
            birth: When::of(pid(7)),
            sex: Sex::of(pid(8)),
            addresses: Address::all(pid(11)),
            home_phones: Phone::all(pid(13)),
            work_phones: Phone::all(pid(14)),
            updated: When::of(pid(33)),
            death: When::of(pid(29)),
            is_dead: pid(30).text() == "Y",
            kin: message.all("NK1").filter(filled).map(Kin::of).collect(),
            disabled: match (disabled("Y"), disabled("N")) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
            disability: disabilities
                .iter()
                .flat_map(|segment| {
                    [2, 3, 4, 5].map(|number| Coded::of(segment.field(number)).text().to_owned())
                })
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
            observations: message
                .all("OBX")
                .filter(filled)
                .map(Observation::of)
                .collect(),
            allergies: Allergy::all(message),
            insurances: message
                .all("IN1")
                .filter(filled)
                .map(Insurance::of)
                .collect(),
            place: Movement::of(message),
        }
    }

    /// OBX 9N001…, in the unit that is written.
    pub fn height(&self) -> Option<&Observation> {
        self.observed(HEIGHT)
    }

    /// OBX 9N006…, in the unit that is written.
    pub fn weight(&self) -> Option<&Observation> {
        self.observed(WEIGHT)
    }

    /// OBX 5H010…: A, B, AB or O.
    pub fn blood_abo(&self) -> Option<&Observation> {
        self.observed(BLOOD_ABO)
    }

    /// OBX 5H020…: Rh positive or negative.
    pub fn blood_rh(&self) -> Option<&Observation> {
        self.observed(BLOOD_RH)
    }

    fn observed(&self, code: &str) -> Option<&Observation> {
        self.observations.iter().find(|one| {
            let jlac10 = one.code.code_in("JC10");
            jlac10.is_some_and(|known| known.starts_with(code))
                && !one.readings.is_empty()
                && one.status != super::observation::ResultStatus::Withdrawn
        })
    }
}

impl Kin {
    fn of(segment: &Segment) -> Self {
        let phones = [5, 6].map(|number| Phone::all(segment.field(number)));
        Self {
            name: Name::of(segment.field(2)),
            relationship: Coded::of(segment.field(3)),
            addresses: Address::all(segment.field(4)),
            phones: phones.concat(),
            employer: segment.field(13).component(1).text(),
        }
    }
}

impl Insurance {
    fn of(segment: &Segment) -> Self {
        let insured = [10, 36].map(|number| segment.field(number).component(1).text());
        Self {
            plan: Coded::of(segment.field(2)),
            number: segment.field(3).component(1).text(),
            insurer: segment.field(4).component(1).text(),
            insured: insured.join(" ").trim().to_owned(),
            from: When::of(segment.field(12)),
            to: When::of(segment.field(13)),
            relationship: Coded::of(segment.field(17)),
        }
    }
}
