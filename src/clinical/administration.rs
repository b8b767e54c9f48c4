//! Medication given: OMP-11 and OMP-12. What was ordered is another type.

use super::coded::Coded;
use super::medication::Route;
use super::person::Staff;
use super::quantity::Quantity;
use super::when::When;
use crate::hl7::{Message, Segment};
use crate::language::Language;

/// One RXA: a drug that was given, or was not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Administration {
    /// ORC-4.
    pub group: String,
    /// ORC-2: the order that was carried out.
    pub order: String,
    /// ORC-12: who ordered it.
    pub ordered_by: Option<Staff>,
    /// ORC-17.
    pub department: Coded,
    /// RXA-3.
    pub from: Option<When>,
    /// RXA-4.
    pub to: Option<When>,
    /// RXA-5.
    pub drug: Coded,
    /// RXA-6 and 7.
    pub amount: Option<Quantity>,
    /// RXA-8.
    pub form: Coded,
    /// RXA-9: notes of the one who gave it.
    pub notes: Vec<Coded>,
    /// RXA-10.
    pub given_by: Option<Staff>,
    /// RXA-11: where.
    pub place: String,
    /// RXA-12: the rate, as it is written.
    pub rate: String,
    /// RXA-18: why it was refused.
    pub refusal: Vec<Coded>,
    /// RXA-20.
    pub completion: Completion,
    /// RXA-22.
    pub entered_at: Option<When>,
    /// RXR.
    pub routes: Vec<Route>,
    /// NTE.
    pub comments: Vec<String>,
}

/// RXA-20.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Completion {
    /// `CP`
    Complete,
    /// `PA`: a part of it.
    Partial,
    /// `RE`: refused.
    Refused,
    /// `NA`: not given.
    NotGiven,
    /// Nothing said.
    #[default]
    Unsaid,
    /// Something else, as it is written.
    Odd(String),
}

impl Administration {
    /// Every RXA of a message. An RXR holds for all RXA since the last one.
    pub(super) fn all(message: &Message) -> Vec<Self> {
        let mut given: Vec<Self> = Vec::new();
        let mut head = Self::default();
        // The first of those that the next RXR holds for, and whether it came already.
        let (mut first, mut routed) = (0, false);
        for segment in message
            .segments
            .iter()
            .filter(|segment| !segment.is_blank())
        {
            match segment.name.as_str() {
                "ORC" => {
                    head = Self::head(segment);
                    (first, routed) = (given.len(), false);
                }
                "RXA" => {
                    if routed {
                        (first, routed) = (given.len(), false);
                    }
                    given.push(head.clone().with(segment));
                }
                "RXR" => {
                    let route = Route::of(segment);
                    for one in given.iter_mut().skip(first) {
                        one.routes.push(route.clone());
                    }
                    routed = true;
                }
                "NTE" => {
                    let text = segment.field(3).text();
                    if let Some(last) = given.last_mut().filter(|_| !text.is_empty()) {
                        last.comments.push(text);
                    }
                }
                _ => {}
            }
        }
        given
    }

    fn head(segment: &Segment) -> Self {
        Self {
            group: segment.field(4).component(1).text(),
            order: segment.field(2).component(1).text(),
            ordered_by: Staff::of(segment.field(12)),
            department: Coded::of(segment.field(17)),
            ..Self::default()
        }
    }

    fn with(self, segment: &Segment) -> Self {
        let place = segment.field(11);
        let parts = [4, 1, 2, 3].map(|number| place.component(number).text());
        Self {
            from: When::of(segment.field(3)),
            to: When::of(segment.field(4)),
            drug: Coded::of(segment.field(5)),
            amount: Quantity::of(segment.field(6), segment.field(7)),
            form: Coded::of(segment.field(8)),
            notes: Coded::all(segment.field(9)),
            given_by: Staff::of(segment.field(10)),
            place: parts
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("-"),
            rate: segment.field(12).text(),
            refusal: Coded::all(segment.field(18)),
            completion: Completion::of(&segment.field(20).text()),
            entered_at: When::of(segment.field(22)),
            ..self
        }
    }

    /// The drug reached the patient, at least in part, as far as the record says.
    pub fn was_given(&self) -> bool {
        !matches!(self.completion, Completion::Refused | Completion::NotGiven)
    }
}

impl Completion {
    fn of(text: &str) -> Self {
        match text {
            "CP" => Self::Complete,
            "PA" => Self::Partial,
            "RE" => Self::Refused,
            "NA" => Self::NotGiven,
            "" => Self::Unsaid,
            other => Self::Odd(other.to_owned()),
        }
    }

    /// For people.
    pub fn text(&self, language: Language) -> &str {
        match self {
            Self::Complete => language.pick("実施", "given"),
            Self::Partial => language.pick("一部実施", "given in part"),
            Self::Refused => language.pick("拒否", "refused"),
            Self::NotGiven => language.pick("未実施", "not given"),
            Self::Unsaid => language.pick("記載なし", "not said"),
            Self::Odd(text) => text,
        }
    }
}
