//! Times of this machine, for people: Japanese time, whatever the machine's
//! own zone is.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::language::Language;

/// Milliseconds since the epoch.
pub(super) fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_millis() as i64)
}

/// Japanese civil time; Japan has one offset, all year.
pub(super) fn civil(at_ms: i64) -> DateTime {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let japan = TimeZone::fixed(Offset::constant(9));
    at.to_zoned(japan).datetime()
}

/// `2026-03-31 23:30`.
pub(super) fn minute(at_ms: i64) -> String {
    civil(at_ms).strftime("%Y-%m-%d %H:%M").to_string()
}

/// How long ago, by the coarsest unit that says enough.
pub(super) fn ago(at_ms: i64, now_ms: i64, language: Language) -> String {
    let minutes = now_ms.saturating_sub(at_ms).max(0) / 60_000;
    let (count, japanese, english) = match minutes {
        0..120 => (minutes, "分前", "min ago"),
        120..2880 => (minutes / 60, "時間前", "hours ago"),
        _ => (minutes / 1440, "日前", "days ago"),
    };
    language.pick(format!("{count}{japanese}"), format!("{count} {english}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_japanese_and_coarse() {
        assert_eq!(minute(1_775_000_000_000), "2026-04-01 08:33");
        for (minutes, text) in [
            (0, "0分前"),
            (119, "119分前"),
            (120, "2時間前"),
            (2880, "2日前"),
        ] {
            assert_eq!(ago(0, minutes * 60_000, Language::Japanese), text);
        }
        assert_eq!(ago(10, 0, Language::English), "0 min ago");
    }
}
