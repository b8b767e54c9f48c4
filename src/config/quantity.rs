//! Quantities as they are written in the configuration: rates and hours.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A data rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Bytes per second.
    pub bytes_per_second: u64,
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected =
            || de::Error::custom(format!("{text:?} is no rate; expected like \"800Mbit/s\""));
        let number = text.strip_suffix("bit/s").ok_or_else(expected)?;
        let (number, factor) = match number.as_bytes().last() {
            Some(b'k') => (&number[..number.len() - 1], 1_000),
            Some(b'M') => (&number[..number.len() - 1], 1_000_000),
            Some(b'G') => (&number[..number.len() - 1], 1_000_000_000),
            _ => (number, 1),
        };
        let bits: u64 = number.trim().parse().map_err(|_| expected())?;
        match bits.checked_mul(factor) {
            Some(bits) if bits >= 8 => Ok(Rate {
                bytes_per_second: bits / 8,
            }),
            _ => Err(expected()),
        }
    }
}

/// Hours of the day, local time; may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Minutes after midnight, inclusive.
    pub from: u16,
    /// Minutes after midnight, exclusive.
    pub to: u16,
}

impl Hours {
    /// Whether this moment is within them.
    pub fn contain(&self, at: &jiff::Zoned) -> bool {
        let minute = at.hour() as u16 * 60 + at.minute() as u16;
        match self.from < self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [self.from, self.to].map(|at| format!("{:02}:{:02}", at / 60, at % 60));
        write!(f, "{from}-{to}")
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hours, D::Error> {
        let text = String::deserialize(deserializer)?;
        let minutes = |text: &str| -> Option<u16> {
            let (hours, minutes) = text.split_once(':')?;
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let parsed = text
            .split_once('-')
            .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
        match parsed {
            Some((from, to)) if from != to => Ok(Hours { from, to }),
            _ => Err(de::Error::custom(format!(
                "{text:?} are no hours; expected like \"20:00-06:00\""
            ))),
        }
    }
}

/// How far local time is from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of Greenwich.
    pub seconds: i32,
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Zone, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = || {
            let (sign, rest) = match text.split_at_checked(1)? {
                ("+", rest) => (1, rest),
                ("-", rest) => (-1, rest),
                _ => return None,
            };
            let (hours, minutes) = rest.split_once(':')?;
            let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
            let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
            (hours <= 14 && minutes < 60).then_some(Zone {
                seconds: sign * seconds,
            })
        };
        parse().ok_or_else(|| {
            de::Error::custom(format!("{text:?} is no zone; expected like \"+09:00\""))
        })
    }
}

/// A span of time like "10m" or "90d".
pub(super) fn duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<std::time::Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        de::Error::custom(format!(
            "{text:?} is no span of time ({error}); expected like \"10m\""
        ))
    })
}

/// A span of time that is not nothing.
pub(super) fn some_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<std::time::Duration, D::Error> {
    let span = duration(deserializer)?;
    match span.is_zero() {
        true => Err(de::Error::custom("expected more than no time")),
        false => Ok(span),
    }
}

/// The same, of a key that may be missing.
pub(super) fn some_span<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<std::time::Duration>, D::Error> {
    some_time(deserializer).map(Some)
}

/// A share, from 0 to 1.
pub(super) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err(de::Error::custom(format!(
            "share {share}: expected a number from 0 to 1"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_go_over_midnight() {
        let at = |hour, minute| {
            let date = jiff::civil::date(2026, 3, 1).at(hour, minute, 59, 0);
            date.in_tz("Asia/Tokyo").unwrap()
        };
        let (day, night) = (
            Hours {
                from: 8 * 60,
                to: 17 * 60 + 30,
            },
            Hours {
                from: 20 * 60,
                to: 6 * 60,
            },
        );
        assert_eq!(night.to_string(), "20:00-06:00");
        for (hour, minute, by_day, by_night) in [
            (0, 0, false, true),
            (5, 59, false, true),
            (6, 0, false, false),
            (8, 0, true, false),
            (17, 29, true, false),
            (17, 30, false, false),
            (20, 0, false, true),
            (23, 59, false, true),
        ] {
            let at = at(hour, minute);
            assert_eq!(day.contain(&at), by_day, "{at}");
            assert_eq!(night.contain(&at), by_night, "{at}");
        }
    }
}
