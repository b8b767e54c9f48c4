//! Observations: OBX, whatever it is that was observed.

use super::coded::Coded;
use super::person::Staff;
use super::quantity::Quantity;
use super::range::{ReferenceRange, derive_flag, number};
use super::when::When;
use crate::hl7::{Segment, Value};
use crate::language::Language;

/// One OBX.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// OBX-1.
    pub set_id: String,
    /// OBX-2: `NM`, `ST`, `CWE`, `TX` and so on.
    pub value_type: String,
    /// OBX-3: what was observed.
    pub code: Coded,
    /// OBX-4: pairs what belongs together, such as an organism and its amount.
    pub sub_id: String,
    /// OBX-5, each repetition; empty for an order.
    pub readings: Vec<Reading>,
    /// OBX-6.
    pub unit: Coded,
    /// OBX-7.
    pub range: ReferenceRange,
    /// OBX-8 as it is written, repetitions joined by a space; often empty.
    pub given_flag: String,
    /// OBX-11.
    pub status: ResultStatus,
    /// OBX-14: when it was observed.
    pub at: Option<When>,
    /// OBX-16: who is responsible.
    pub observer: Option<Staff>,
    /// OBX-17.
    pub method: Coded,
}

/// One result.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// For people, as it was written but for spaces at its ends.
    pub text: String,
    /// The number that it is.
    pub number: Option<(Comparator, f64)>,
    /// The code that it is.
    pub coded: Option<Coded>,
}

/// What stands before a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparator {
    /// Nothing: the number itself.
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Whether a result is normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// Within the reference range.
    Normal,
    /// Below it.
    Low,
    /// Far below it.
    VeryLow,
    /// Above it.
    High,
    /// Far above it.
    VeryHigh,
    /// Not normal, without a direction.
    Abnormal,
    /// Very much so.
    VeryAbnormal,
}

/// A flag, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flagged {
    /// The flag.
    pub flag: Flag,
    /// It was derived from the reference range here: the laboratory gave none. Pages must say so.
    pub derived: bool,
}

/// OBX-11.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultStatus {
    /// `F`, or nothing said.
    Final,
    /// `C`: a correction.
    Corrected,
    /// `P`, `R`, `S`: not final.
    Preliminary,
    /// `D`, `W`: taken back, or wrong. Never to be used.
    Withdrawn,
    /// `X`: no result can be had.
    Unobtainable,
    /// `O`, `I`: ordered, not yet done.
    Ordered,
    /// Something else, as it is written.
    Odd(String),
}

impl Observation {
    pub(super) fn of(segment: &Segment) -> Self {
        let value_type = segment.field(2).text();
        let values = segment.field(5);
        Self {
            set_id: segment.field(1).text(),
            code: Coded::of(segment.field(3)),
            sub_id: segment.field(4).text(),
            readings: values
                .repetitions()
                .filter(|value| !value.is_empty())
                .map(|value| Reading::of(&value_type, value))
                .collect(),
            unit: Coded::of(segment.field(6)),
            range: ReferenceRange::parse(&segment.field(7).text()),
            given_flag: segment
                .field(8)
                .repetitions()
                .map(|flag| flag.component(1).text())
                .collect::<Vec<_>>()
                .join(" ")
                .trim()
                .to_owned(),
            status: ResultStatus::of(&segment.field(11).text()),
            at: When::of(segment.field(14)),
            observer: Staff::of(segment.field(16)),
            method: Coded::of(segment.field(17)),
            value_type,
        }
    }

    /// All results for people, repetitions on lines of their own.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.readings.iter().map(|one| one.text.as_str()).collect();
        texts.join("\n")
    }

    /// The number, where there is exactly one result and it is one.
    pub fn number(&self) -> Option<(Comparator, f64)> {
        match self.readings.as_slice() {
            [one] => one.number,
            _ => None,
        }
    }

    /// The laboratory's flag, else the one that the reference range gives.
    pub fn flag(&self) -> Option<Flagged> {
        let given = Flag::of(&self.given_flag).map(|flag| Flagged {
            flag,
            derived: false,
        });
        given.or_else(|| {
            let flag = self.derived_flag()?;
            (self.given_flag.is_empty()).then_some(Flagged {
                flag,
                derived: true,
            })
        })
    }

    /// The laboratory's flag and its own reference range disagree: both have to be shown.
    pub fn flag_disagrees(&self) -> bool {
        match (Flag::of(&self.given_flag), self.derived_flag()) {
            (Some(given), Some(derived)) => given.side() != derived.side(),
            _ => false,
        }
    }

    fn derived_flag(&self) -> Option<Flag> {
        match self.readings.as_slice() {
            [one] => derive_flag(&one.text, &self.range),
            _ => None,
        }
    }
}

impl Reading {
    fn of(value_type: &str, value: Value<'_>) -> Self {
        let coded = || Some(Coded::of(value)).filter(|coded| !coded.is_empty());
        let plain = |text: String| Self {
            number: number(&text),
            text,
            coded: None,
        };
        match value_type {
            "CE" | "CWE" | "CNE" | "IS" | "ID" => {
                let coded = coded();
                let text = coded.as_ref().map_or("", Coded::text).to_owned();
                Self {
                    number: None,
                    text,
                    coded,
                }
            }
            "XCN" | "XPN" | "PN" | "CN" => {
                let staff = Staff::of(value);
                plain_text(staff.map(|one| one.text().to_owned()), value)
            }
            "TS" | "DT" | "DTM" => plain_text(When::of(value).map(|when| when.show()), value),
            // JAHIS: a drug that was used, and how much of it.
            "ZRD" => {
                let drug = coded();
                let amount = Quantity {
                    amount: value.component(4).text(),
                    unit: Coded::of_component(value.component(5)),
                };
                let drug = drug.map(|drug| Coded {
                    codes: drug.codes.into_iter().take(1).collect(),
                    ..drug
                });
                let text = drug.as_ref().map_or("", Coded::text);
                let text = format!("{text} {}", amount.text()).trim().to_owned();
                Self {
                    number: None,
                    text,
                    coded: drug,
                }
            }
            // Structured numeric: comparator, number, separator, number.
            "SN" => plain(
                [1, 2, 3, 4]
                    .map(|number| value.component(number).text())
                    .concat(),
            ),
            "" if value.raw().contains('^') => Self::of("CWE", value),
            _ => plain(value.text()),
        }
    }
}

fn plain_text(text: Option<String>, value: Value<'_>) -> Reading {
    Reading {
        text: text.unwrap_or_else(|| value.text()),
        number: None,
        coded: None,
    }
}

impl Flag {
    /// Table 0078 and what laboratories write instead.
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "N" => Self::Normal,
            "L" | "<" | "↓" => Self::Low,
            "LL" => Self::VeryLow,
            "H" | ">" | "↑" => Self::High,
            "HH" => Self::VeryHigh,
            "A" | "*" => Self::Abnormal,
            "AA" => Self::VeryAbnormal,
            _ => return None,
        })
    }

    /// The mark that a page shows, which colour only supports.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::Low => "L",
            Self::VeryLow => "LL",
            Self::High => "H",
            Self::VeryHigh => "HH",
            Self::Abnormal => "A",
            Self::VeryAbnormal => "AA",
        }
    }

    /// For people.
    pub fn text(self, language: Language) -> &'static str {
        match self {
            Self::Normal => language.pick("基準内", "normal"),
            Self::Low => language.pick("低値", "low"),
            Self::VeryLow => language.pick("極低値", "very low"),
            Self::High => language.pick("高値", "high"),
            Self::VeryHigh => language.pick("極高値", "very high"),
            Self::Abnormal => language.pick("異常", "abnormal"),
            Self::VeryAbnormal => language.pick("高度異常", "very abnormal"),
        }
    }

    fn side(self) -> i8 {
        match self {
            Self::Normal => 0,
            Self::Low | Self::VeryLow => -1,
            Self::High | Self::VeryHigh => 1,
            Self::Abnormal | Self::VeryAbnormal => 2,
        }
    }
}

impl ResultStatus {
    fn of(text: &str) -> Self {
        match text {
            "F" | "" | "U" => Self::Final,
            "C" => Self::Corrected,
            "P" | "R" | "S" => Self::Preliminary,
            "D" | "W" => Self::Withdrawn,
            "X" | "N" => Self::Unobtainable,
            "O" | "I" => Self::Ordered,
            other => Self::Odd(other.to_owned()),
        }
    }

    /// For people; nothing for a final result.
    pub fn text(&self, language: Language) -> &str {
        match self {
            Self::Final => "",
            Self::Corrected => language.pick("訂正", "corrected"),
            Self::Preliminary => language.pick("中間報告", "preliminary"),
            Self::Withdrawn => language.pick("取消", "withdrawn"),
            Self::Unobtainable => language.pick("結果なし", "no result"),
            Self::Ordered => language.pick("依頼中", "ordered"),
            Self::Odd(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::Message;

    fn observed(fields: &str) -> Observation {
        let message = Message::read(format!("MSH|^~\\&\rOBX|1|{fields}\r").as_bytes());
        Observation::of(message.first("OBX").unwrap())
    }

    #[test]
    fn a_number_with_its_flag_derived() {
        let one = observed("NM|3A016^A/G比^JC10||2.7||1.2-2.0||||F|||201112191500");
        assert_eq!(one.text(), "2.7");
        assert_eq!(one.number(), Some((Comparator::Equal, 2.7)));
        assert_eq!(
            one.flag(),
            Some(Flagged {
                flag: Flag::High,
                derived: true
            })
        );
        assert_eq!(one.status, ResultStatus::Final);
        assert!(!one.flag_disagrees());
    }

    #[test]
    fn the_laboratorys_flag_comes_first_and_a_disagreement_is_seen() {
        let one = observed("NM|x||2.7||1.2-2.0|N|||F");
        assert_eq!(
            one.flag(),
            Some(Flagged {
                flag: Flag::Normal,
                derived: false
            })
        );
        assert!(one.flag_disagrees());
        let one = observed("NM|x||2.7||1.2-2.0|HH|||F");
        assert!(!one.flag_disagrees());
        // A flag that nobody knows is shown as it is, none is derived beside it.
        let one = observed("NM|x||2.7||1.2-2.0|要確認|||F");
        assert_eq!((one.flag(), one.given_flag.as_str()), (None, "要確認"));
    }

    #[test]
    fn every_type_of_value_has_words() {
        for (fields, expected) in [
            ("CWE|x||A^A^JSHR002", "A"),
            ("TX|x||心筋虚血疑い", "心筋虚血疑い"),
            ("XCN|x||123456^大江戸^信吉^^^^^^^L", "大江戸 信吉"),
            ("TS|x||20111120144512", "2011-11-20 14:45"),
            (
                "ZRD|x||100555401^セルシン5mg^HOT9^1^AMP&管&MR9P",
                "セルシン5mg 1 管",
            ),
            ("SN|x||>^100", ">100"),
            ("ST|x|| 2 +", "2 +"),
            ("NM|x||1~2", "1\n2"),
            ("FT|x||一行\\.br\\二行", "一行\n二行"),
            ("|x||K1^腸炎^99Z", "腸炎"),
            ("CWE|x||\"\"", ""),
        ] {
            assert_eq!(observed(fields).text(), expected, "{fields}");
        }
        let number = |fields| observed(fields).number();
        assert_eq!(number("ST|x||< 2"), Some((Comparator::Less, 2.0)));
        assert_eq!(number("ST|x||>1000"), Some((Comparator::Greater, 1000.0)));
        assert_eq!(number("ST|x||(1+)"), None);
        assert_eq!(number("NM|x||1~2"), None);
    }
}
