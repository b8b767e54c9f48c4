//! Movements: visits, admissions, leaves, transfers, discharges, and who is in charge (ADT).

use super::coded::Coded;
use super::person::Staff;
use super::when::When;
use crate::hl7::{Message, Value};
use crate::language::Language;

/// Where a patient is, or goes: PV1 with what is around it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Movement {
    /// The message takes the event back: A11, A13 and so on.
    pub taken_back: bool,
    /// PV1-2.
    pub class: PatientClass,
    /// PV1-3: where the patient is.
    pub place: Location,
    /// PV1-6: where the patient was.
    pub prior: Location,
    /// PV1-7.
    pub doctors: Vec<Staff>,
    /// PV1-8.
    pub referred_by: Option<Staff>,
    /// PV1-10: the department.
    pub department: Coded,
    /// PV1-17: who admitted.
    pub admitted_by: Option<Staff>,
    /// PV1-36: where to, and how, the patient was discharged.
    pub disposition: Coded,
    /// PV1-44.
    pub admitted: Option<When>,
    /// PV1-45.
    pub discharged: Option<When>,
    /// EVN-2: when the event was recorded.
    pub recorded: Option<When>,
    /// EVN-6: when it happened.
    pub happened: Option<When>,
    /// PV2-8: expected admission.
    pub expected_from: Option<When>,
    /// PV2-9: expected discharge.
    pub expected_to: Option<When>,
    /// PV2-11: days expected.
    pub expected_days: String,
    /// DG1.
    pub diagnoses: Vec<Diagnosis>,
}

/// One DG1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    /// DG1-3.
    pub code: Coded,
    /// DG1-4: in words.
    pub text: String,
    /// DG1-6: `A` at admission, `W` working, `F` final.
    pub kind: String,
}

/// PV1-2.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PatientClass {
    /// `I`
    Inpatient,
    /// `O`
    Outpatient,
    /// `E`
    Emergency,
    /// Nothing said.
    #[default]
    Unsaid,
    /// Something else, as it is written.
    Odd(String),
}

/// A place: PL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Location {
    /// PL.1: the ward; for an outpatient the department.
    pub ward: String,
    /// PL.2.
    pub room: String,
    /// PL.3.
    pub bed: String,
    /// PL.4: the facility.
    pub facility: String,
    /// PL.6: `N` a nursing unit, `C` a clinic.
    pub kind: String,
    /// PL.9: in words.
    pub description: String,
}

impl Movement {
    pub(super) fn of(message: &Message) -> Self {
        let pv1 = |number| message.field("PV1", number);
        let trigger = message.field("MSH", 9).component(2).text();
        Self {
            taken_back: takes_back(&trigger),
            class: PatientClass::of(&pv1(2).text()),
            place: Location::of(pv1(3)),
            prior: Location::of(pv1(6)),
            doctors: pv1(7).repetitions().filter_map(Staff::of).collect(),
            referred_by: Staff::of(pv1(8)),
            department: Coded::of(pv1(10)),
            admitted_by: Staff::of(pv1(17)),
            disposition: Coded::of(pv1(36)),
            admitted: When::of(pv1(44)),
            discharged: When::of(pv1(45)),
            recorded: When::of(message.field("EVN", 2)),
            happened: When::of(message.field("EVN", 6)),
            expected_from: When::of(message.field("PV2", 8)),
            expected_to: When::of(message.field("PV2", 9)),
            expected_days: message.field("PV2", 11).text(),
            diagnoses: message
                .all("DG1")
                .filter(|segment| !segment.is_blank())
                .map(|segment| Diagnosis {
                    code: Coded::of(segment.field(3)),
                    text: segment.field(4).text(),
                    kind: segment.field(6).text(),
                })
                .collect(),
        }
    }
}

/// The triggers that cancel an event (DOMAIN.md, "Data kinds and messages").
fn takes_back(trigger: &str) -> bool {
    const CANCELS: [&str; 12] = [
        "A11", "A12", "A13", "A23", "A25", "A26", "A27", "A32", "A33", "A52", "A53", "A55",
    ];
    CANCELS.contains(&trigger)
}

impl PatientClass {
    fn of(text: &str) -> Self {
        match text {
            "I" => Self::Inpatient,
            "O" => Self::Outpatient,
            "E" => Self::Emergency,
            "" => Self::Unsaid,
            other => Self::Odd(other.to_owned()),
        }
    }

    /// For people.
    pub fn text(&self, language: Language) -> &str {
        match self {
            Self::Inpatient => language.pick("入院", "inpatient"),
            Self::Outpatient => language.pick("外来", "outpatient"),
            Self::Emergency => language.pick("救急", "emergency"),
            Self::Unsaid => "",
            Self::Odd(text) => text,
        }
    }
}

impl Location {
    pub(super) fn of(value: Value<'_>) -> Self {
        let part = |number| value.component(number).text();
        Self {
            ward: part(1),
            room: part(2),
            bed: part(3),
            facility: part(4),
            kind: part(6),
            description: part(9),
        }
    }

    /// It says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// For people: ward, room and bed joined by a dash.
    pub fn text(&self) -> String {
        let parts = [&self.ward, &self.room, &self.bed];
        let parts: Vec<&str> = parts
            .iter()
            .map(|part| part.as_str())
            .filter(|part| !part.is_empty())
            .collect();
        let place = parts.join("-");
        if place.is_empty() {
            self.description.clone()
        } else {
            place
        }
    }
}
