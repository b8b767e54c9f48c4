//! Times as records write them: 4 to 17 digits, partial or wrong, always with their own text.

use jiff::civil::{Date, DateTime, Time, date};

use super::era::era_date;
use crate::hl7::Value;
use crate::language::Language;

/// Years that a record can speak of.
const YEARS: std::ops::RangeInclusive<i16> = 1850..=2199;

/// A time of a record: what is written, and as much as it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// As it is written.
    pub text: String,
    /// What it means; `None` for what is no time: then the text is shown with a note.
    pub moment: Option<Moment>,
    /// Something of the text was left unread, such as a thirteenth digit or a month 13.
    pub odd: bool,
}

/// A time, as exact as it was written. Local time of the facility; no offset is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A year.
    Year(i16),
    /// A year and a month.
    Month(i16, i8),
    /// A day.
    Day(Date),
    /// A day and the time of day, to the minute or finer.
    Time(DateTime),
}

impl When {
    /// The time in a field or component; `None` where it is empty.
    pub(super) fn of(value: Value<'_>) -> Option<Self> {
        (!value.is_empty()).then(|| Self::parse(&value.component(1).text()))
    }

    /// Reads HL7's TS: digits, perhaps a fraction and an offset behind them.
    pub fn parse(text: &str) -> Self {
        let trimmed = text.trim();
        let end = trimmed
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(trimmed.len());
        let (digits, behind) = trimmed.split_at(end);
        let (moment, used) = read(digits);
        Self {
            text: trimmed.to_owned(),
            odd: moment.is_none() || used < digits.len() || !is_fraction(behind),
            moment,
        }
    }

    /// The day, where it is known.
    pub fn day(&self) -> Option<Date> {
        match self.moment? {
            Moment::Day(day) => Some(day),
            Moment::Time(time) => Some(time.date()),
            Moment::Year(_) | Moment::Month(..) => None,
        }
    }

    /// The year, where anything is known.
    pub fn year(&self) -> Option<i16> {
        Some(self.earliest()?.year())
    }

    /// The first moment that it can mean: for sorting.
    pub fn earliest(&self) -> Option<DateTime> {
        let day = match self.moment? {
            Moment::Year(year) => Date::new(year, 1, 1).ok()?,
            Moment::Month(year, month) => Date::new(year, month, 1).ok()?,
            Moment::Day(day) => day,
            Moment::Time(time) => return Some(time),
        };
        Some(day.to_datetime(Time::midnight()))
    }

    /// For people: `2011-12-20 21:00`, as exact as it is; the text itself where it is no time.
    pub fn show(&self) -> String {
        match self.moment {
            None => self.text.clone(),
            Some(Moment::Year(year)) => format!("{year}"),
            Some(Moment::Month(year, month)) => format!("{year}-{month:02}"),
            Some(Moment::Day(day)) => day.to_string(),
            Some(Moment::Time(time)) => {
                format!("{} {:02}:{:02}", time.date(), time.hour(), time.minute())
            }
        }
    }

    /// The day with its Japanese year, `1948-04-05（昭和23年）`; like [`When::show`] otherwise.
    pub fn show_with_era(&self, language: Language) -> String {
        match (self.moment, self.day()) {
            (Some(Moment::Day(_)), Some(day)) => match era_date(day, language) {
                Some(era) => language.pick(format!("{day}（{era}）"), format!("{day} ({era})")),
                None => self.show(),
            },
            _ => self.show(),
        }
    }
}

/// A fraction of a second, an offset, both or none.
fn is_fraction(text: &str) -> bool {
    let text = match text.strip_prefix('.') {
        Some(rest) => rest.trim_start_matches(|letter: char| letter.is_ascii_digit()),
        None => text,
    };
    let mut letters = text.chars();
    match letters.next() {
        None => true,
        Some('+' | '-') => text.len() == 5 && letters.all(|letter| letter.is_ascii_digit()),
        Some(_) => false,
    }
}

/// As much of the digits as is a time, and how many of them that was.
fn read(digits: &str) -> (Option<Moment>, usize) {
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i16>().ok();
    let small = |from, to| i8::try_from(number(from, to)?).ok();
    let Some(year) = number(0, 4).filter(|year| YEARS.contains(year)) else {
        return (None, 0);
    };
    if digits.len() == 4 {
        return (Some(Moment::Year(year)), 4);
    }
    let Some(month) = small(4, 6).filter(|month| (1..=12).contains(month)) else {
        return (None, 0);
    };
    if digits.len() == 6 {
        return (Some(Moment::Month(year, month)), 6);
    }
    let Some(day) = small(6, 8).and_then(|day| Date::new(year, month, day).ok()) else {
        return (None, 0);
    };
    let Some(hour) = small(8, 10).filter(|hour| (0..24).contains(hour)) else {
        return (Some(Moment::Day(day)), 8);
    };
    let minute = small(10, 12).filter(|minute| (0..60).contains(minute));
    let second = small(12, 14).filter(|second| (0..60).contains(second));
    let used = match (minute, second) {
        (None, _) => 10,
        (Some(_), None) => 12,
        (Some(_), Some(_)) if digits.len() <= 17 => digits.len(),
        _ => 14,
    };
    let second = minute.and(second).unwrap_or(0);
    let time = day.at(hour, minute.unwrap_or(0), second, 0);
    (Some(Moment::Time(time)), used)
}

/// The day that the first eight digits of a name or folder mean.
pub(super) fn day_of_name(name: &[u8]) -> Option<Date> {
    let text = std::str::from_utf8(name).ok()?;
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    When::parse(text).day()
}

/// A day that never comes: for sorting what has no time to the end.
pub(super) const NEVER: Date = date(9999, 12, 31);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> (String, bool) {
        let when = When::parse(text);
        (when.show(), when.odd)
    }

    #[test]
    fn eight_to_seventeen_digits() {
        for (text, expected) in [
            ("20111220", "2011-12-20"),
            ("2011070100", "2011-07-01 00:00"),
            ("201112202100", "2011-12-20 21:00"),
            ("20111220224447", "2011-12-20 22:44"),
            ("201112202244473", "2011-12-20 22:44"),
            ("20111220224447339", "2011-12-20 22:44"),
            ("20111220224447.3399", "2011-12-20 22:44"),
            ("20111220224447+0900", "2011-12-20 22:44"),
            ("20111220224447.3+0900", "2011-12-20 22:44"),
            ("199601", "1996-01"),
            ("2007", "2007"),
            (" 20111220 ", "2011-12-20"),
        ] {
            assert_eq!(shown(text), (expected.to_owned(), false), "{text}");
        }
    }

    #[test]
    fn what_is_partly_or_not_a_time_says_so() {
        for (text, expected) in [
            ("2011070112345", "2011-07-01 12:34"),
            ("201107012", "2011-07-01"),
            ("20110701250000", "2011-07-01"),
            ("201107011260", "2011-07-01 12:00"),
            ("20110230", "20110230"),
            ("20111301", "20111301"),
            ("00000000", "00000000"),
            ("小学校低学年の頃", "小学校低学年の頃"),
            ("2011/12/20", "2011"),
            ("123456789012345678901", "123456789012345678901"),
        ] {
            assert_eq!(shown(text), (expected.to_owned(), true), "{text}");
        }
    }

    #[test]
    fn with_the_era() {
        let when = When::parse("19480405");
        assert_eq!(
            when.show_with_era(Language::Japanese),
            "1948-04-05（昭和23年）"
        );
        assert_eq!(
            When::parse("1948").show_with_era(Language::Japanese),
            "1948"
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[0-9.+-]{0,24}|\\PC{0,12}") {
            let when = When::parse(&text);
            when.show();
            when.earliest();
            prop_assert_eq!(when.moment.is_none() && !when.odd, false);
        }
    }
}
