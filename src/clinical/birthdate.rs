//! Birth dates as people type them: Western or Japanese.

use jiff::civil::Date;
use unicode_normalization::UnicodeNormalization;

use super::era::ERAS;

/// Reads `1979-03-02`, `1979/3/2`, `19790302`, `1979年3月2日`, `S54.3.2`, `昭和54年3月2日`, `昭54-3-2`,
/// `S540302`; `元` is the first year. `None` for anything else, and for a day that is not in the
/// era that is named.
pub fn parse_birth_date(text: &str) -> Option<Date> {
    let plain: String = text
        .nfkc()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let lower = plain.to_lowercase();
    for (place, era) in ERAS.iter().enumerate() {
        let short: String = era.name.chars().take(1).collect();
        let rest = lower
            .strip_prefix(era.name)
            .or_else(|| lower.strip_prefix(&short))
            .or_else(|| lower.strip_prefix(era.letter));
        let Some(rest) = rest else {
            continue;
        };
        let (year, month, day) = numbers(rest.trim_start_matches('.'), 2)?;
        let year = era.first.year().checked_add(year)?.checked_sub(1)?;
        let date = Date::new(year, month, day).ok()?;
        // The eras stand newest first: the one before is the next in time.
        let ends = place.checked_sub(1).and_then(|next| ERAS.get(next));
        let within = date >= era.first && ends.is_none_or(|next| date < next.first);
        return within.then_some(date);
    }
    let (year, month, day) = numbers(&lower, 4)?;
    (1850..=2199)
        .contains(&year)
        .then(|| Date::new(year, month, day).ok())?
}

/// Year, month and day: divided by any sign, or digits in a row with a year of `width` digits.
fn numbers(text: &str, width: usize) -> Option<(i16, i8, i8)> {
    let text = match text.strip_prefix('元') {
        Some(rest) => format!("1{rest}"),
        None => text.to_owned(),
    };
    if text.len() == width + 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let (year, rest) = text.split_at(width);
        let (month, day) = rest.split_at(2);
        return Some((year.parse().ok()?, month.parse().ok()?, day.parse().ok()?));
    }
    let is_divider = |letter: char| {
        matches!(
            letter,
            '-' | '/' | '.' | '年' | '月' | '日' | '\u{2010}'..='\u{2015}' | '\u{2212}' | 'ー'
        )
    };
    let parts: Vec<&str> = text.split(is_divider).collect();
    let parts = match parts.as_slice() {
        [parts @ .., ""] => parts,
        parts => parts,
    };
    let [year, month, day] = parts else {
        return None;
    };
    if (width == 4 && year.len() != 4)
        || year.len() > width
        || !year.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    Some((year.parse().ok()?, month.parse().ok()?, day.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    #[test]
    fn one_day_in_many_writings() {
        for text in [
            "1979-03-02",
            "1979/3/2",
            "19790302",
            "1979年3月2日",
            "１９７９．３．２",
            "S54.3.2",
            "s54/03/02",
            "昭和54年3月2日",
            "昭和５４年３月２日",
            "昭54-3-2",
            "S540302",
            "S.54.3.2",
            " 1979 - 3 - 2 ",
        ] {
            assert_eq!(parse_birth_date(text), Some(date(1979, 3, 2)), "{text}");
        }
        assert_eq!(parse_birth_date("平成元年1月8日"), Some(date(1989, 1, 8)));
        assert_eq!(parse_birth_date("R1.5.1"), Some(date(2019, 5, 1)));
        assert_eq!(parse_birth_date("M45.7.29"), Some(date(1912, 7, 29)));
    }

    #[test]
    fn what_is_no_day_is_none() {
        for text in [
            "",
            "S54",
            "1979",
            "1979-13-01",
            "1979-02-30",
            "昭和64年1月8日",
            "平成元年1月7日",
            "T1.7.29",
            "79-3-2",
            "患者",
            "S54.3",
            "54.3.2",
            "S54.3.2.1",
            "-1979-3-2",
            "昭和0年1月1日",
        ] {
            assert_eq!(parse_birth_date(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,16}|[SHRTMshrtm昭平元0-9./年月日-]{0,14}") {
            parse_birth_date(&text);
        }
    }
}
