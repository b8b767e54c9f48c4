//! Numbers and reference ranges as laboratories write them, and the flag that follows from both.
//!
//! A flag is only derived where it is certain: `<5` against `1-10` says nothing.

use unicode_normalization::UnicodeNormalization;

use super::observation::{Comparator, Flag};

/// A reference range: its text, and what of it is understood.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReferenceRange {
    /// As it is written.
    pub text: String,
    limits: Limits,
}

/// What a reference range allows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Limits {
    /// Not understood: no flag is derived.
    #[default]
    Unknown,
    /// A lowest and a highest value; at least one of them.
    Numbers {
        low: Option<Limit>,
        high: Option<Limit>,
    },
    /// A grade such as `(-)`.
    Grade(u8),
}

/// The end of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limit {
    value: f64,
    /// The value itself is in the range.
    within: bool,
}

impl ReferenceRange {
    /// Reads `1.2-2.0`, `>10`, `<15`, `5.0以下`, `(-)` and the like; anything else is kept as text.
    pub fn parse(text: &str) -> Self {
        let plain = plain(text);
        Self {
            text: text.trim().to_owned(),
            limits: limits(&plain).unwrap_or_default(),
        }
    }

    /// The lowest and the highest normal number, where the range has them: for drawing.
    pub fn bounds(&self) -> (Option<f64>, Option<f64>) {
        match self.limits {
            Limits::Numbers { low, high } => {
                (low.map(|limit| limit.value), high.map(|limit| limit.value))
            }
            _ => (None, None),
        }
    }
}

/// The flag that a result has by its reference range; `None` where that is not certain.
pub fn derive_flag(result: &str, range: &ReferenceRange) -> Option<Flag> {
    match range.limits {
        Limits::Unknown => None,
        Limits::Grade(normal) => {
            let grade = grade(&plain(result))?;
            Some(match grade > normal {
                true => Flag::Abnormal,
                false => Flag::Normal,
            })
        }
        Limits::Numbers { low, high } => {
            let (comparator, value) = number(result)?;
            of_number(comparator, value, low, high)
        }
    }
}

fn of_number(
    comparator: Comparator,
    value: f64,
    low: Option<Limit>,
    high: Option<Limit>,
) -> Option<Flag> {
    let exact = comparator == Comparator::Equal;
    // A value "less than v" lies below v, itself not included; "v or less" includes it.
    let at_most = exact || matches!(comparator, Comparator::Less | Comparator::LessOrEqual);
    let at_least = exact || matches!(comparator, Comparator::Greater | Comparator::GreaterOrEqual);
    let below = |limit: Limit| match (limit.within, comparator) {
        (true, Comparator::Less) => value <= limit.value,
        (true, _) => value < limit.value,
        (false, _) => value <= limit.value,
    };
    let above = |limit: Limit| match (limit.within, comparator) {
        (true, Comparator::Greater) => value >= limit.value,
        (true, _) => value > limit.value,
        (false, _) => value >= limit.value,
    };
    if at_most && low.is_some_and(below) {
        return Some(Flag::Low);
    }
    if at_least && high.is_some_and(above) {
        return Some(Flag::High);
    }
    // Certainly inside: an end that the value is open to must have no limit.
    let inside = exact
        || (at_most && low.is_none() && high.is_some_and(|limit| !above(limit)))
        || (at_least && high.is_none() && low.is_some_and(|limit| !below(limit)));
    inside.then_some(Flag::Normal)
}

/// The number that a result is, with its comparator: `7.2`, `< 2`, `>1000`, `１．５`.
pub(super) fn number(text: &str) -> Option<(Comparator, f64)> {
    let plain = plain(text);
    let (comparator, rest) = comparator(&plain);
    let (value, rest) = leading_number(rest)?;
    rest.is_empty().then_some((comparator, value))
}

/// Compatibility forms folded, spaces gone, one sign for each of the families of dashes.
fn plain(text: &str) -> String {
    text.nfkc()
        .filter(|letter| !letter.is_whitespace())
        .map(|letter| match letter {
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            '\u{301C}' => '~',
            '≦' | '⩽' => '≤',
            '≧' | '⩾' => '≥',
            letter => letter,
        })
        .collect()
}

fn comparator(text: &str) -> (Comparator, &str) {
    const SIGNS: [(&str, Comparator); 8] = [
        ("<=", Comparator::LessOrEqual),
        (">=", Comparator::GreaterOrEqual),
        ("=<", Comparator::LessOrEqual),
        ("=>", Comparator::GreaterOrEqual),
        ("≤", Comparator::LessOrEqual),
        ("≥", Comparator::GreaterOrEqual),
        ("<", Comparator::Less),
        (">", Comparator::Greater),
    ];
    SIGNS
        .iter()
        .find_map(|(sign, comparator)| Some((*comparator, text.strip_prefix(sign)?)))
        .unwrap_or((Comparator::Equal, text))
}

/// A number at the beginning, and what is behind it. Commas may stand between thousands.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = text.len() - unsigned.len();
    let length = unsigned
        .find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | ','))
        .unwrap_or(unsigned.len());
    let (number, rest) = text.split_at(sign + length);
    let digits = number.trim_start_matches(['-', '+']);
    let whole = digits.split('.').next().unwrap_or_default();
    let mut groups = whole.split(',');
    let grouped = groups
        .next()
        .is_some_and(|first| !first.is_empty() && first.len() <= 3 || !whole.contains(','))
        && groups.all(|group| group.len() == 3);
    if !grouped
        || digits
            .split('.')
            .skip(1)
            .any(|decimals| decimals.is_empty() || decimals.contains(','))
    {
        return None;
    }
    let value: f64 = number.replace(',', "").parse().ok()?;
    value.is_finite().then_some((value, rest))
}

fn limits(plain: &str) -> Option<Limits> {
    if let Some(grade) = grade(plain) {
        return Some(Limits::Grade(grade));
    }
    let numbers = |low, high| Some(Limits::Numbers { low, high });
    let limit = |value, within| Some(Limit { value, within });
    let (sign, rest) = comparator(plain);
    if sign != Comparator::Equal {
        let (value, rest) = leading_number(rest)?;
        return match (rest, sign) {
            ("", Comparator::Less) => numbers(None, limit(value, false)),
            ("", Comparator::LessOrEqual) => numbers(None, limit(value, true)),
            ("", Comparator::Greater) => numbers(limit(value, false), None),
            ("", _) => numbers(limit(value, true), None),
            _ => None,
        };
    }
    if let Some(rest) = plain.strip_prefix('~') {
        let (value, rest) = leading_number(rest)?;
        return rest.is_empty().then_some(Limits::Numbers {
            low: None,
            high: limit(value, true),
        });
    }
    let (first, rest) = leading_number(plain)?;
    match rest {
        "以下" => return numbers(None, limit(first, true)),
        "未満" => return numbers(None, limit(first, false)),
        "以上" | "~" => return numbers(limit(first, true), None),
        "超" => return numbers(limit(first, false), None),
        _ => {}
    }
    let (second, rest) = leading_number(rest.strip_prefix(['-', '~'])?)?;
    (rest.is_empty() && first <= second).then_some(Limits::Numbers {
        low: limit(first, true),
        high: limit(second, true),
    })
}

/// A grade on the scale of strips and cultures: 0 negative, 1 ±, 2 for 1+ and so on.
fn grade(plain: &str) -> Option<u8> {
    let bare = plain
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(plain);
    match bare {
        "-" | "陰性" => return Some(0),
        "±" | "+-" | "+/-" => return Some(1),
        "陽性" => return Some(2),
        _ => {}
    }
    let signs = bare.trim_start_matches(|letter: char| letter.is_ascii_digit());
    match (bare.len() - signs.len(), signs) {
        (0, signs)
            if !signs.is_empty() && signs.len() <= 5 && signs.bytes().all(|sign| sign == b'+') =>
        {
            Some(1 + signs.len() as u8)
        }
        (1, "+") => Some(1 + bare.parse::<u8>().ok().or(bare.get(..1)?.parse().ok())?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flag(result: &str, range: &str) -> Option<Flag> {
        derive_flag(result, &ReferenceRange::parse(range))
    }

    #[test]
    fn ranges_of_two_numbers() {
        for range in [
            "1.2-2.0",
            "1.2～2.0",
            "1.2 〜 2.0",
            "１．２－２．０",
            "1.2~2.0",
            "1.2 − 2.0",
        ] {
            assert_eq!(flag("1.7", range), Some(Flag::Normal), "{range}");
            assert_eq!(flag("1.2", range), Some(Flag::Normal), "{range}");
            assert_eq!(flag("2.0", range), Some(Flag::Normal), "{range}");
            assert_eq!(flag("1.1", range), Some(Flag::Low), "{range}");
            assert_eq!(flag("2.1", range), Some(Flag::High), "{range}");
        }
        assert_eq!(flag("-3", "-2.0-2.0"), Some(Flag::Low));
        assert_eq!(flag("3500", "4,000-9,000"), Some(Flag::Low));
        assert_eq!(flag("3,500", "4000-9000"), Some(Flag::Low));
    }

    #[test]
    fn ranges_of_one_number() {
        assert_eq!(flag("15", "<15"), Some(Flag::High));
        assert_eq!(flag("14.9", "<15"), Some(Flag::Normal));
        assert_eq!(flag("10", ">10"), Some(Flag::Low));
        assert_eq!(flag("10.1", ">10"), Some(Flag::Normal));
        for range in ["5.0以下", "<=5.0", "≦5.0", "～5.0"] {
            assert_eq!(flag("5.0", range), Some(Flag::Normal), "{range}");
            assert_eq!(flag("5.1", range), Some(Flag::High), "{range}");
        }
        assert_eq!(flag("5.0", "5.0未満"), Some(Flag::High));
        assert_eq!(flag("40", "40以上"), Some(Flag::Normal));
        assert_eq!(flag("40", "40超"), Some(Flag::Low));
    }

    #[test]
    fn values_with_a_comparator_only_where_it_is_certain() {
        assert_eq!(flag("< 2", "5-10"), Some(Flag::Low));
        assert_eq!(flag("<5", "5-10"), Some(Flag::Low));
        assert_eq!(flag("<=5", "5-10"), None);
        assert_eq!(flag("<7", "5-10"), None);
        assert_eq!(flag(">1000", "0-100"), Some(Flag::High));
        assert_eq!(flag(">50", "0-100"), None);
        assert_eq!(flag("<0.5", "<1"), Some(Flag::Normal));
        assert_eq!(flag("<2", "<1"), None);
        assert_eq!(flag(">100", ">38"), Some(Flag::Normal));
    }

    #[test]
    fn grades_against_a_grade() {
        for grade in ["(1+)", " 2 +", "3+", "(±)", "++", "陽性", "（＋）"] {
            assert_eq!(flag(grade, "(-)"), Some(Flag::Abnormal), "{grade}");
        }
        for grade in ["(-)", "-", "陰性", "（－）"] {
            assert_eq!(flag(grade, "(-)"), Some(Flag::Normal), "{grade}");
        }
        assert_eq!(flag("(-)", "(±)"), Some(Flag::Normal));
    }

    #[test]
    fn what_is_not_understood_has_no_flag() {
        for (result, range) in [
            ("1.7", ""),
            ("1.7", "M:13-17 F:12-15"),
            ("溶血", "1.2-2.0"),
            ("(1+)", "1.2-2.0"),
            ("1.7", "(-)"),
            ("", "1.2-2.0"),
            ("1.7", "2.0-1.2"),
            ("1,7", "1.2-2.0"),
            ("1.7.1", "1.2-2.0"),
            ("NaN", "1.2-2.0"),
        ] {
            assert_eq!(flag(result, range), None, "{result} {range}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_number_agrees_with_the_obvious(value in -50i32..50, low in -50i32..50, width in 0i32..40) {
            let high = low + width;
            let expected = if value < low { Flag::Low } else if value > high { Flag::High } else { Flag::Normal };
            prop_assert_eq!(flag(&value.to_string(), &format!("{low}-{high}")), Some(expected));
        }

        #[test]
        fn nothing_panics(result in "\\PC{0,12}|[<>=0-9.,+() -]{0,9}", range in "\\PC{0,12}|[<>=0-9.,+()~ -]{0,9}") {
            flag(&result, &range);
            ReferenceRange::parse(&range).bounds();
        }
    }
}
