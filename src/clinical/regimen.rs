//! Regimens: what a patient was prescribed, and an estimate of what is still taken.
//!
//! Nobody knows from a prescription whether it was taken. The estimate is start plus days, and
//! every page that shows it must say so ([`Taking::text`] does).

use jiff::ToSpan;
use jiff::civil::Date;

use super::medication::{MedicationOrder, Timing};
use super::record::{Body, Record};
use super::when::{NEVER, When};
use crate::language::Language;

/// One drug of a prescription that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Medication<'a> {
    /// The record that it stands in.
    pub record: &'a Record,
    /// As it was ordered.
    pub order: &'a MedicationOrder,
    /// First day, as far as it is known.
    pub from: Option<Date>,
    /// Whether it is still taken: an estimate.
    pub taking: Taking,
}

/// An estimate of whether a drug is still taken, from the prescription alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taking {
    /// The days that were prescribed are not over.
    Probably {
        /// The last of them.
        until: Date,
    },
    /// They have not begun.
    Planned {
        /// The first of them.
        from: Date,
    },
    /// The prescription does not say for how long, or from when: as needed, or unclear.
    Unknown,
    /// They are over.
    Over {
        /// The last of them.
        until: Date,
    },
}

/// Every drug of the prescriptions that count (valid, of this patient, not cancelled): those that
/// are probably taken first, each group with the newest first.
pub fn medications<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    today: Date,
) -> Vec<Medication<'a>> {
    let mut found: Vec<Medication<'a>> = Vec::new();
    for record in records.into_iter().filter(|record| record.counts()) {
        let Body::Prescription(orders) = &record.body else {
            continue;
        };
        for order in orders.iter().filter(|order| !order.is_cancelled()) {
            found.push(Medication::of(record, order, today));
        }
    }
    found.sort_by_key(|one| {
        let group = match one.taking {
            Taking::Probably { .. } => 0,
            Taking::Planned { .. } => 1,
            Taking::Unknown => 2,
            Taking::Over { .. } => 3,
        };
        (group, std::cmp::Reverse(one.from))
    });
    found
}

impl<'a> Medication<'a> {
    fn of(record: &'a Record, order: &'a MedicationOrder, today: Date) -> Self {
        let ordered = order
            .ordered_at
            .as_ref()
            .and_then(When::day)
            .or(record.date);
        let starts = order
            .timings
            .iter()
            .filter_map(|timing| timing.from.as_ref()?.day());
        let from = starts.min().or(ordered);
        // Timings in a row, such as a dose that is reduced, end with the last of them; one
        // without an end leaves it open.
        let mut until = order.timings.first().and(Some(Date::MIN));
        for timing in &order.timings {
            until = until.and_then(|before| Some(before.max(last_day(timing, from)?)));
        }
        Self {
            record,
            order,
            from,
            taking: match (from, until) {
                (Some(from), _) if from > today => Taking::Planned { from },
                (_, Some(until)) if until >= today => Taking::Probably { until },
                (_, Some(until)) => Taking::Over { until },
                _ => Taking::Unknown,
            },
        }
    }
}

/// The last day of a timing: as it is written, else start plus days.
fn last_day(timing: &Timing, from: Option<Date>) -> Option<Date> {
    if let Some(to) = timing.to.as_ref().and_then(When::day) {
        return Some(to);
    }
    let days = timing.days().filter(|days| *days > 0)?;
    let from = timing.from.as_ref().and_then(When::day).or(from)?;
    let last = from.checked_add(i64::from(days - 1).days()).ok()?;
    (last < NEVER).then_some(last)
}

impl Taking {
    /// For people; says that it is an estimate.
    pub fn text(self, language: Language) -> String {
        match self {
            Self::Probably { until } => language.pick(
                format!("服用中と推定（{until} まで）"),
                format!("probably taken until {until} (estimate)"),
            ),
            Self::Planned { from } => language.pick(
                format!("開始前と推定（{from} から）"),
                format!("probably not begun before {from} (estimate)"),
            ),
            Self::Unknown => language.pick(
                "服用中か不明（日数の記載なし）".to_owned(),
                "unknown (no days given)".to_owned(),
            ),
            Self::Over { until } => language.pick(
                format!("終了と推定（{until} まで）"),
                format!("probably over since {until} (estimate)"),
            ),
        }
    }
}
