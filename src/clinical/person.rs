//! People: names, sexes, addresses, phones, and the staff who signed.

use crate::hl7::Value;
use crate::language::Language;

/// A person's name in its two writings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Name {
    /// As it is written, mostly kanji: family and given name with a space between.
    pub kanji: String,
    /// As it is spoken: kana.
    pub kana: String,
}

impl Name {
    /// From an XPN field: a repetition marked `P` is the kana, `I` the kanji; an unmarked one is
    /// told by its letters.
    pub(super) fn of(value: Value<'_>) -> Self {
        let mut name = Self::default();
        for one in value.repetitions() {
            let text = joined([one.component(1), one.component(2), one.component(3)]);
            let is_kana = match one.component(8).text().as_str() {
                "P" => true,
                "I" | "A" => false,
                _ => is_kana(&text) && !name.kanji.is_empty(),
            };
            let place = if is_kana {
                &mut name.kana
            } else {
                &mut name.kanji
            };
            if place.is_empty() {
                *place = text;
            }
        }
        name
    }

    /// The one that there is, kanji first.
    pub fn text(&self) -> &str {
        if self.kanji.is_empty() {
            &self.kana
        } else {
            &self.kanji
        }
    }
}

/// Family and given name; an XPN.1 of subcomponents has the family name first.
fn joined<const N: usize>(parts: [Value<'_>; N]) -> String {
    parts
        .iter()
        .map(|part| part.subcomponent(1).text())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn is_kana(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|letter| {
            matches!(letter, '\u{3040}'..='\u{30FF}' | '\u{FF61}'..='\u{FF9F}' | ' ' | '　')
        })
}

/// PID-8.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub enum Sex {
    /// `M`.
    Male,
    /// `F`.
    Female,
    /// `O`, `A` or `N`.
    Other,
    /// Nothing or `U`.
    #[default]
    Unknown,
    /// Something else, as it is written.
    Odd(String),
}

impl Sex {
    pub(super) fn of(value: Value<'_>) -> Self {
        match value.component(1).text().as_str() {
            "M" => Self::Male,
            "F" => Self::Female,
            "O" | "A" | "N" => Self::Other,
            "" | "U" => Self::Unknown,
            other => Self::Odd(other.to_owned()),
        }
    }

    /// For people.
    pub fn text(&self, language: Language) -> &str {
        match self {
            Self::Male => language.pick("男", "male"),
            Self::Female => language.pick("女", "female"),
            Self::Other => language.pick("その他", "other"),
            Self::Unknown => language.pick("不明", "unknown"),
            Self::Odd(text) => text,
        }
    }
}

/// An address: XAD.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Address {
    /// Postal code.
    pub postal: String,
    /// All parts that there are, the widest first.
    pub text: String,
    /// XAD.7: `H` home, `B` business; as it is written.
    pub kind: String,
}

impl Address {
    /// Every repetition that says anything.
    pub(super) fn all(value: Value<'_>) -> Vec<Self> {
        value
            .repetitions()
            .map(|one| {
                // Japanese addresses stand whole in XAD.8; others in parts, the narrowest first.
                let parts = [4, 3, 8, 1, 2].map(|number| one.component(number).text());
                Self {
                    postal: one.component(5).text(),
                    text: parts
                        .into_iter()
                        .filter(|part| !part.is_empty())
                        .collect::<Vec<_>>()
                        .join(" "),
                    kind: one.component(7).text(),
                }
            })
            .filter(|address| !address.postal.is_empty() || !address.text.is_empty())
            .collect()
    }
}

/// A phone: XTN.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Phone {
    /// The number, or an address of mail.
    pub number: String,
    /// XTN.2: `PRN` home, `WPN` work, `EMR` emergency; as it is written.
    pub usage: String,
}

impl Phone {
    /// Every repetition that says anything.
    pub(super) fn all(value: Value<'_>) -> Vec<Self> {
        value
            .repetitions()
            .map(|one| {
                let parts = [6, 7].map(|number| one.component(number).text()).concat();
                let whole = [12, 1, 4].map(|number| one.component(number).text());
                let number = whole
                    .into_iter()
                    .chain([parts])
                    .find(|text| !text.is_empty());
                Self {
                    number: number.unwrap_or_default(),
                    usage: one.component(2).text(),
                }
            })
            .filter(|phone| !phone.number.is_empty())
            .collect()
    }

    /// What the number is for, for people; empty where it is not said.
    pub fn usage_text(&self, language: Language) -> &str {
        match self.usage.as_str() {
            "PRN" => language.pick("自宅", "home"),
            "ORN" => language.pick("別宅", "other home"),
            "WPN" => language.pick("勤務先", "work"),
            "EMR" => language.pick("緊急", "emergency"),
            other => other,
        }
    }
}

/// A member of the staff: XCN.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Staff {
    /// The id at the facility.
    pub id: String,
    /// The name; one that is not divided (`医師一郎`) stays so.
    pub name: String,
}

impl Staff {
    /// From an XCN field; `None` where it says nothing.
    pub(super) fn of(value: Value<'_>) -> Option<Self> {
        // A repetition in kana comes second.
        let staff = Self {
            id: value.component(1).text(),
            name: joined([value.component(2), value.component(3)]),
        };
        (!staff.id.is_empty() || !staff.name.is_empty()).then_some(staff)
    }

    /// For people: the name, else the id.
    pub fn text(&self) -> &str {
        if self.name.is_empty() {
            &self.id
        } else {
            &self.name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::Message;

    fn message(field: &str) -> Message {
        Message::read(format!("MSH|^~\\&\rPID|{field}\r").as_bytes())
    }

    #[test]
    fn names_by_their_mark_and_without_one() {
        let marked = message("カンジャ^タロウ^^^^^L^P~患者^太郎^^^^^L^I");
        let unmarked = message("患者^太郎~カンジャ^タロウ");
        for message in [marked, unmarked] {
            let name = Name::of(message.field("PID", 1));
            assert_eq!(
                (name.kanji.as_str(), name.kana.as_str()),
                ("患者 太郎", "カンジャ タロウ")
            );
        }
        let name = Name::of(message("ヤマダ^ハナコ").field("PID", 1));
        assert_eq!(name.text(), "ヤマダ ハナコ");
    }

    #[test]
    fn staff_divided_or_not() {
        let name = |field: &str| Staff::of(message(field).field("PID", 1)).map(|staff| staff.name);
        assert_eq!(name("110^医師^一郎^^^^^^^L").as_deref(), Some("医師 一郎"));
        assert_eq!(name("607^医師一郎^^^^^^^^L").as_deref(), Some("医師一郎"));
        assert_eq!(name(""), None);
    }

    #[test]
    fn phones_and_addresses() {
        let phones = Phone::all(
            message("^PRN^PH^^^^^^^^^054-000-0000~^EMR^PH^^^^^^^^^03-5999-9999~090")
                .field("PID", 1),
        );
        let numbers: Vec<_> = phones
            .iter()
            .map(|phone| (phone.usage.as_str(), phone.number.as_str()))
            .collect();
        assert_eq!(
            numbers,
            [
                ("PRN", "054-000-0000"),
                ("EMR", "03-5999-9999"),
                ("", "090")
            ]
        );
        let addresses =
            Address::all(message("^^^^422-8033^JPN^H^静岡県静岡市登呂１−３−５").field("PID", 1));
        assert_eq!(addresses[0].text, "静岡県静岡市登呂１−３−５");
        assert_eq!(
            (addresses[0].postal.as_str(), addresses[0].kind.as_str()),
            ("422-8033", "H")
        );
    }
}
