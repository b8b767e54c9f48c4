//! Problems: PPR-01, which holds all of a patient's.

use super::coded::Coded;
use super::when::When;
use crate::hl7::{Message, Segment};

/// One PRB with its ZPR.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// PRB-1: `AD` added, `UP` updated, `DE` deleted, `CO` corrected.
    pub action: String,
    /// PRB-2: when that was done.
    pub acted_at: Option<When>,
    /// PRB-3: the name, by MDCDX2.
    pub name: Coded,
    /// PRB-4: the problem's number.
    pub id: String,
    /// PRB-7: onset, when the problem was established.
    pub established: Option<When>,
    /// PRB-9: when it was resolved, as it is written. Some systems fill it for what still lasts.
    pub resolved: Option<When>,
    /// PRB-10: ICD-10 and the setting in which it was found.
    pub classification: Coded,
    /// PRB-13: suspected, confirmed.
    pub confirmation: Coded,
    /// PRB-14: the outcome.
    pub outcome: Coded,
    /// PRB-15: when the outcome was said.
    pub outcome_at: Option<When>,
    /// PRB-16: onset, the date when it began.
    pub onset: Option<When>,
    /// PRB-17: the same in words.
    pub text: String,
    /// PRB-18: main or not.
    pub ranking: Coded,
    /// PRB-25: how confidential it is.
    pub security: Coded,
    /// ZPR: modifiers before and behind the name, with the name where the sender puts it there.
    pub modifiers: Vec<Coded>,
}

impl Problem {
    /// Every PRB of a message.
    pub(super) fn all(message: &Message) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for segment in message
            .segments
            .iter()
            .filter(|segment| !segment.is_blank())
        {
            match (segment.name.as_str(), found.last_mut()) {
                ("PRB", _) => found.push(Self::of(segment)),
                ("ZPR", Some(last)) => {
                    let fields = segment.fields().filter(|(number, _)| *number > 1);
                    let coded = fields.flat_map(|(_, field)| Coded::all(field));
                    last.modifiers
                        .extend(coded.filter(|coded| *coded != last.name));
                }
                _ => {}
            }
        }
        found
    }

    fn of(segment: &Segment) -> Self {
        let coded = |number| Coded::of(segment.field(number));
        let when = |number| When::of(segment.field(number));
        Self {
            action: segment.field(1).text(),
            acted_at: when(2),
            name: coded(3),
            id: segment.field(4).component(1).text(),
            established: when(7),
            resolved: when(9),
            classification: coded(10),
            confirmation: coded(13),
            outcome: coded(14),
            outcome_at: when(15),
            onset: when(16),
            text: segment.field(17).text(),
            ranking: coded(18),
            security: coded(25),
            modifiers: Vec::new(),
        }
    }

    /// The record says that this problem is deleted.
    pub fn is_withdrawn(&self) -> bool {
        self.action == "DE"
    }

    /// PRB-13 says that it is a suspicion.
    pub fn is_suspected(&self) -> bool {
        self.confirmation.text().contains('疑')
            || self.confirmation.code_in("JHSD0005") == Some("1")
    }

    /// PRB-18 says that it is the main problem.
    pub fn is_main(&self) -> bool {
        self.ranking.text().contains('主') || self.ranking.code_in("JHSD0007") == Some("1")
    }

    /// The outcome says that it is over: recovered in full, or died of. Whatever else is said
    /// counts as lasting.
    pub fn is_over(&self) -> bool {
        let outcome = &self.outcome;
        outcome.has_code("F")
            || outcome.has_code("D")
            || matches!(outcome.text(), "治癒" | "回復" | "死亡")
    }

    /// PRB-10: the ICD-10 code.
    pub fn icd10(&self) -> Option<&str> {
        let codes = ["I10", "ICD10", "ICD-10"];
        let found = codes
            .iter()
            .find_map(|system| self.classification.code_in(system));
        found.filter(|code| !code.is_empty())
    }

    /// Since when: PRB-16, else PRB-7.
    pub fn since(&self) -> Option<&When> {
        self.onset.as_ref().or(self.established.as_ref())
    }

    /// For people: the name, its modifiers behind it in brackets.
    pub fn title(&self) -> String {
        let name = [self.name.text(), &self.text]
            .into_iter()
            .find(|name| !name.is_empty());
        let modifiers: Vec<&str> = self
            .modifiers
            .iter()
            .map(Coded::text)
            .filter(|text| !text.is_empty() && *text != self.name.text())
            .collect();
        match modifiers.is_empty() {
            true => name.unwrap_or_default().to_owned(),
            false => format!("{}（{}）", name.unwrap_or_default(), modifiers.join("・")),
        }
    }
}
