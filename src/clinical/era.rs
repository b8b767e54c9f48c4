//! Japanese years and ages.

use jiff::civil::{Date, date};

use crate::language::Language;

/// An era: its first day, name, letter, and romanised name.
pub(super) struct Era {
    pub(super) first: Date,
    pub(super) name: &'static str,
    pub(super) letter: char,
    roman: &'static str,
}

/// The eras since the civil calendar, the newest first.
pub(super) const ERAS: [Era; 5] = [
    Era {
        first: date(2019, 5, 1),
        name: "令和",
        letter: 'r',
        roman: "Reiwa",
    },
    Era {
        first: date(1989, 1, 8),
        name: "平成",
        letter: 'h',
        roman: "Heisei",
    },
    Era {
        first: date(1926, 12, 25),
        name: "昭和",
        letter: 's',
        roman: "Showa",
    },
    Era {
        first: date(1912, 7, 30),
        name: "大正",
        letter: 't',
        roman: "Taisho",
    },
    Era {
        first: date(1868, 10, 23),
        name: "明治",
        letter: 'm',
        roman: "Meiji",
    },
];

/// The Japanese year of a day: `昭和23年`, the first year `元年`; `None` before Meiji.
pub fn era_date(day: Date, language: Language) -> Option<String> {
    let era = ERAS.iter().find(|era| era.first <= day)?;
    let year = day.year() - era.first.year() + 1;
    let japanese = match year {
        1 => format!("{}元年", era.name),
        year => format!("{}{year}年", era.name),
    };
    Some(language.pick(japanese, format!("{} {year}", era.roman)))
}

/// Whole years from birth to a day; `None` for a birth after it. Someone born on 29 February is a
/// year older on 1 March.
pub fn age(birth: Date, on: Date) -> Option<u16> {
    if birth > on {
        return None;
    }
    let had_birthday = (on.month(), on.day()) >= (birth.month(), birth.day());
    let years = on.year() - birth.year() - i16::from(!had_birthday);
    u16::try_from(years).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(year: i16, month: i8, day: i8) -> Option<String> {
        era_date(date(year, month, day), Language::Japanese)
    }

    #[test]
    fn eras_change_on_their_day() {
        for ((year, month, day), expected) in [
            ((2026, 11, 24), "令和8年"),
            ((2019, 5, 1), "令和元年"),
            ((2019, 4, 30), "平成31年"),
            ((1989, 1, 8), "平成元年"),
            ((1989, 1, 7), "昭和64年"),
            ((1926, 12, 25), "昭和元年"),
            ((1926, 12, 24), "大正15年"),
            ((1912, 7, 30), "大正元年"),
            ((1912, 7, 29), "明治45年"),
        ] {
            assert_eq!(shown(year, month, day).as_deref(), Some(expected));
        }
        assert_eq!(shown(1860, 1, 1), None);
        assert_eq!(
            era_date(date(1948, 4, 5), Language::English).as_deref(),
            Some("Showa 23")
        );
    }

    #[test]
    fn ages_change_on_the_birthday() {
        let birth = date(1948, 4, 5);
        assert_eq!(age(birth, date(2011, 4, 4)), Some(62));
        assert_eq!(age(birth, date(2011, 4, 5)), Some(63));
        assert_eq!(age(birth, birth), Some(0));
        assert_eq!(age(birth, date(1948, 4, 4)), None);
        let leap = date(2000, 2, 29);
        assert_eq!(age(leap, date(2001, 2, 28)), Some(0));
        assert_eq!(age(leap, date(2001, 3, 1)), Some(1));
    }
}
