//! Moments: local time of the center (JST) to the millisecond, and its spellings.
//!
//! Names and rows carry local time without a zone; only mtimes need the instant behind it.

use jiff::{Timestamp, civil, tz::Offset};
use rustix::fs::Timespec;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// Japan Standard Time, which knows no summer time.
const JST_MS: i64 = 9 * 60 * MINUTE_MS;

/// Milliseconds of local time since 1970-01-01T00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

impl Moment {
    /// Midnight at the beginning of a calendar date; the epoch for a date that does not exist.
    pub(super) fn of_date(year: i16, month: i8, day: i8) -> Self {
        civil::Date::new(year, month, day)
            .map(Self::of_civil)
            .unwrap_or(Self(0))
    }

    /// Reads the first ten characters of `YYYY-MM-DD…`.
    pub(super) fn parse_date(text: &str) -> Option<Self> {
        let date: civil::Date = text.get(..10)?.parse().ok()?;
        Some(Self::of_civil(date))
    }

    /// Reads `YYYYMMDD`.
    pub(super) fn parse_digits(text: &str) -> Option<Self> {
        let part = |from: usize, to: usize| text.get(from..to);
        let date = civil::Date::new(
            part(0, 4)?.parse().ok()?,
            part(4, 6)?.parse().ok()?,
            part(6, 8)?.parse().ok()?,
        );
        date.ok().map(Self::of_civil)
    }

    fn of_civil(date: civil::Date) -> Self {
        let at = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0));
        Self(at.map(Timestamp::as_millisecond).unwrap_or(0))
    }

    pub(super) fn plus_days(self, days: i64) -> Self {
        Self(self.0 + days * DAY_MS)
    }

    pub(super) fn plus_minutes(self, minutes: i64) -> Self {
        Self(self.0 + minutes * MINUTE_MS)
    }

    pub(super) fn plus_ms(self, ms: i64) -> Self {
        Self(self.0 + ms)
    }

    /// Days since 1970.
    pub(super) fn day_number(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    /// Midnight of its day.
    pub(super) fn midnight(self) -> Self {
        Self(self.day_number() * DAY_MS)
    }

    fn civil(self) -> civil::DateTime {
        Offset::UTC
            .to_datetime(Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// `YYYYMMDD`.
    pub(super) fn date(self) -> String {
        let at = self.civil();
        format!("{:04}{:02}{:02}", at.year(), at.month(), at.day())
    }

    /// `YYYYMMDDHHMM`.
    pub(super) fn minutes(self) -> String {
        let at = self.civil();
        format!(
            "{:04}{:02}{:02}{:02}{:02}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute()
        )
    }

    /// `YYYYMMDDHHMMSS`.
    pub(super) fn seconds(self) -> String {
        let mut text = self.stamp();
        text.truncate(14);
        text
    }

    /// `YYYYMMDDHHMMSSFFF`: 17 digits, as in names.
    pub(super) fn stamp(self) -> String {
        let at = self.civil();
        format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}{:03}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }

    /// `YYYYMMDDHHMMSS.mmm`: HL7's way.
    pub(super) fn hl7(self) -> String {
        let mut text = self.stamp();
        text.insert(14, '.');
        text
    }

    /// `YYYY-MM-DD HH:MM:SS.mmm`: UpdateDatetime of the INDEX DB.
    pub(super) fn row(self) -> String {
        let at = self.civil();
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }

    /// `YYYY-MM-DD`.
    pub(super) fn iso_date(self) -> String {
        let mut text = self.row();
        text.truncate(10);
        text
    }

    /// The instant as a file's mtime; `fine` gives the digits below a millisecond.
    pub(super) fn mtime(self, fine: u64) -> Timespec {
        let instant = self.0 - JST_MS;
        let nanoseconds = instant.rem_euclid(1000) * 1_000_000 + (fine % 1_000_000) as i64;
        Timespec {
            tv_sec: instant.div_euclid(1000),
            tv_nsec: nanoseconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let at = Moment::of_date(2025, 4, 1).plus_minutes(61).plus_ms(2_003);
        assert_eq!(at.stamp(), "20250401010102003");
        assert_eq!(at.row(), "2025-04-01 01:01:02.003");
        assert_eq!(at.hl7(), "20250401010102.003");
        assert_eq!(
            (at.date(), at.minutes(), at.seconds()),
            (
                "20250401".into(),
                "202504010101".into(),
                "20250401010102".into()
            )
        );
        assert_eq!(
            Moment::parse_date("2025-04-01 01:01:02.003"),
            Some(at.midnight())
        );
        assert_eq!(Moment::parse_date("soon"), None);
    }

    #[test]
    fn an_mtime_is_nine_hours_earlier() {
        let mtime = Moment::of_date(1970, 1, 1)
            .plus_ms(9 * 3_600_000 + 5)
            .mtime(1_000_007);
        assert_eq!((mtime.tv_sec, mtime.tv_nsec), (0, 5_000_007));
    }
}
