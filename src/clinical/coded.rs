//! Coded values: HL7's CE and CWE, whose two triplets come in either order.

use crate::hl7::Value;

/// Coding systems that are known beyond a facility, as their names begin.
const STANDARD_SYSTEMS: [&str; 22] = [
    "HOT", "YJ", "JC10", "JC11", "JLAC", "MDCDX2", "MDC", "I10", "ICD", "I9", "LN", "JJ1017",
    "LENDO", "HL7", "JAMISD", "MR9P", "JHSD", "JSHR", "ISO", "DCM", "MML", "JANIS",
];

/// One triplet: code, text and coding system; any of them may be empty, not all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Code {
    /// The code.
    pub code: String,
    /// What it means, by the sender.
    pub text: String,
    /// The coding system's name, such as `JC10`.
    pub system: String,
}

/// A coded value: up to two triplets, and the words that were coded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Coded {
    /// The triplets that say anything, in the message's order.
    pub codes: Vec<Code>,
    /// CWE.9, the original text.
    pub original: String,
}

impl Code {
    /// The coding system is one that others know, too.
    pub fn is_standard(&self) -> bool {
        STANDARD_SYSTEMS
            .iter()
            .any(|known| self.system.starts_with(known))
    }
}

impl Coded {
    /// The coded value in a field; of its first repetition.
    pub(super) fn of(value: Value<'_>) -> Self {
        Self::from_parts(|number| value.component(number).text())
    }

    /// The coded value in a component, cut by subcomponents (`TAB&錠&MR9P`).
    pub(super) fn of_component(component: Value<'_>) -> Self {
        Self::from_parts(|number| component.subcomponent(number).text())
    }

    /// Every repetition that says anything.
    pub(super) fn all(value: Value<'_>) -> Vec<Self> {
        value
            .repetitions()
            .map(Self::of)
            .filter(|coded| !coded.is_empty())
            .collect()
    }

    fn from_parts(part: impl Fn(usize) -> String) -> Self {
        let triplet = |from: usize| Code {
            code: part(from),
            text: part(from + 1),
            system: part(from + 2),
        };
        Self {
            codes: [triplet(1), triplet(4)]
                .into_iter()
                .filter(|code| !code.code.is_empty() || !code.text.is_empty())
                .collect(),
            original: part(9),
        }
    }

    /// It says nothing.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty() && self.original.is_empty()
    }

    /// For people: the text of the standard triplet, else of the local one, else the words that
    /// were coded, else a code.
    pub fn text(&self) -> &str {
        let texts = self.standard().into_iter().chain(&self.codes);
        let found = texts
            .map(|code| code.text.as_str())
            .chain([self.original.as_str()])
            .find(|text| !text.is_empty());
        let code = self.standard().or(self.codes.first());
        found.unwrap_or_else(|| code.map_or("", |code| code.code.as_str()))
    }

    /// The triplet of a coding system that others know, too.
    pub fn standard(&self) -> Option<&Code> {
        self.codes.iter().find(|code| code.is_standard())
    }

    /// The triplet of the facility's own.
    pub fn local(&self) -> Option<&Code> {
        self.codes.iter().find(|code| !code.is_standard())
    }

    /// The code by a coding system whose name begins so.
    pub fn code_in(&self, system: &str) -> Option<&str> {
        self.codes
            .iter()
            .find(|code| code.system.starts_with(system) && !code.code.is_empty())
            .map(|code| code.code.as_str())
    }

    /// Some triplet has this code.
    pub fn has_code(&self, code: &str) -> bool {
        self.codes.iter().any(|one| one.code == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::Message;

    fn coded(field: &str) -> Coded {
        let message = Message::read(format!("MSH|^~\\&\rOBX|1|x|{field}\r").as_bytes());
        Coded::of(message.field("OBX", 3))
    }

    #[test]
    fn triplets_in_either_order() {
        let one = coded("3A010000002327101^総蛋白^JC10^10222^ＴＰ^99X03");
        let other = coded("10222^ＴＰ^99X03^3A010000002327101^総蛋白^JC10");
        for coded in [&one, &other] {
            assert_eq!(coded.text(), "総蛋白");
            assert_eq!(coded.code_in("JC10"), Some("3A010000002327101"));
            assert_eq!(coded.local().unwrap().text, "ＴＰ");
        }
        assert_eq!(one.standard(), other.standard());
    }

    #[test]
    fn either_triplet_may_be_empty() {
        assert_eq!(coded("^５時間一定速度で^99IC6").text(), "５時間一定速度で");
        assert_eq!(coded("^^^10222^ＴＰ^99X03").text(), "ＴＰ");
        assert_eq!(coded("US^^DCM").text(), "US");
        assert_eq!(coded("001^^99XY3").text(), "001");
        assert_eq!(coded("1^^JC10^2^text^99Z").text(), "text");
        assert_eq!(coded("^^^^^^^^しびれ").text(), "しびれ");
        assert_eq!(coded("只の文").text(), "只の文");
        assert!(coded("").is_empty() && coded("^^^").is_empty() && coded("\"\"").is_empty());
        assert_eq!(coded("").text(), "");
    }
}
