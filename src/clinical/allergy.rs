//! Allergies: IAM of ADT-61, AL1 of ADT-00.

use super::coded::Coded;
use super::when::When;
use crate::hl7::{Message, Segment};
use crate::language::Language;

/// One allergy.
#[derive(Debug, Clone, PartialEq)]
pub struct Allergy {
    /// What kind of thing the patient is allergic to.
    pub class: AllergyClass,
    /// IAM-2 or AL1-2 as it is written.
    pub class_coded: Coded,
    /// IAM-3 or AL1-3.
    pub substance: Coded,
    /// IAM-4 or AL1-4.
    pub severity: Coded,
    /// IAM-5 or AL1-5, each repetition.
    pub reactions: Vec<String>,
    /// IAM-6: added, updated, deleted.
    pub action: Coded,
    /// IAM-11 or AL1-6: since when.
    pub onset: Option<When>,
    /// IAM-12: since when, in words.
    pub onset_text: String,
    /// IAM-13 or 14: where it was reported; IAM-17: how certain it is.
    pub certainty: Coded,
}

/// HL70127.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AllergyClass {
    /// `DA`
    Drug,
    /// `FA`
    Food,
    /// `EA`
    Environment,
    /// `LA`
    Pollen,
    /// Anything else: see the words.
    Other,
}

impl Allergy {
    /// Every IAM, else every AL1, of a message.
    pub(super) fn all(message: &Message) -> Vec<Self> {
        let filled = |segment: &&Segment| !segment.is_blank();
        let mut found: Vec<Self> = message
            .all("IAM")
            .filter(filled)
            .map(Self::of_iam)
            .collect();
        if found.is_empty() {
            found.extend(message.all("AL1").filter(filled).map(Self::of_al1));
        }
        found
    }

    fn of_iam(segment: &Segment) -> Self {
        Self {
            onset: When::of(segment.field(11)),
            onset_text: segment.field(12).text(),
            action: Coded::of(segment.field(6)),
            certainty: Coded::of(segment.field(17)),
            ..Self::common(segment)
        }
    }

    fn of_al1(segment: &Segment) -> Self {
        Self {
            onset: When::of(segment.field(6)),
            ..Self::common(segment)
        }
    }

    /// IAM-1 to 5 are AL1-1 to 5.
    fn common(segment: &Segment) -> Self {
        let class = Coded::of(segment.field(2));
        Self {
            class: AllergyClass::of(&class),
            class_coded: class,
            substance: Coded::of(segment.field(3)),
            severity: Coded::of(segment.field(4)),
            reactions: segment
                .field(5)
                .repetitions()
                .map(|reaction| Coded::of(reaction).text().to_owned())
                .filter(|reaction| !reaction.is_empty())
                .collect(),
            action: Coded::default(),
            onset: None,
            onset_text: String::new(),
            certainty: Coded::default(),
        }
    }

    /// The record says that this allergy is deleted.
    pub fn is_withdrawn(&self) -> bool {
        self.action.has_code("D")
    }

    /// The severity is `SV`.
    pub fn is_severe(&self) -> bool {
        self.severity.has_code("SV")
    }

    /// Since when, for people: the date and the words.
    pub fn onset_shown(&self) -> String {
        let date = self.onset.as_ref().map(When::show).unwrap_or_default();
        format!("{date} {}", self.onset_text).trim().to_owned()
    }
}

impl AllergyClass {
    fn of(coded: &Coded) -> Self {
        match coded.codes.first().map(|code| code.code.as_str()) {
            Some("DA") => Self::Drug,
            Some("FA") => Self::Food,
            Some("EA") => Self::Environment,
            Some("LA") => Self::Pollen,
            _ => Self::Other,
        }
    }

    /// For people.
    pub fn text(self, language: Language) -> &'static str {
        match self {
            Self::Drug => language.pick("薬剤", "drug"),
            Self::Food => language.pick("食物", "food"),
            Self::Environment => language.pick("環境", "environment"),
            Self::Pollen => language.pick("花粉", "pollen"),
            Self::Other => language.pick("その他", "other"),
        }
    }
}
