//! Stays: admissions, transfers, leaves and discharges put together.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime};

use super::kind::Kind;
use super::movement::{Location, Movement};
use super::record::{Body, Record};
use super::when::When;

/// A stay at one facility, as far as its records tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Stay<'a> {
    /// The facility.
    pub facility: &'a str,
    /// When it began; `None` where no record says.
    pub admitted: Option<DateTime>,
    /// When it ended; `None` while it lasts, or where no record says.
    pub discharged: Option<DateTime>,
    /// The discharge record, which says where to.
    pub discharge: Option<&'a Movement>,
    /// Where the patient was last.
    pub place: &'a Location,
    /// The records in the order of their events.
    pub records: Vec<&'a Record>,
}

/// The stays of all records that count (valid, of this patient, not taken back), the newest first.
/// Plans are in none.
pub fn stays<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Stay<'a>> {
    let mut events: BTreeMap<&'a str, Vec<Event<'a>>> = BTreeMap::new();
    for record in records.into_iter().filter(|record| record.counts()) {
        if let Some(event) = Event::of(record) {
            events
                .entry(&record.place.facility)
                .or_default()
                .push(event);
        }
    }
    let mut found: Vec<Stay<'a>> = events
        .into_iter()
        .flat_map(|(facility, events)| of_facility(facility, events))
        .collect();
    found.sort_by_key(|stay| std::cmp::Reverse(stay.admitted.or(stay.discharged)));
    found
}

struct Event<'a> {
    at: Option<DateTime>,
    record: &'a Record,
    movement: &'a Movement,
}

impl<'a> Event<'a> {
    fn of(record: &'a Record) -> Option<Self> {
        let Body::Movement(movement) = &record.body else {
            return None;
        };
        let own = match record.kind {
            Kind::Admission => &movement.admitted,
            Kind::Discharge => &movement.discharged,
            Kind::Transfer | Kind::Leave | Kind::Return => &None,
            _ => return None,
        };
        let told = own
            .as_ref()
            .or(movement.happened.as_ref())
            .and_then(When::earliest);
        let folder = record
            .date
            .map(|day| day.to_datetime(jiff::civil::Time::midnight()));
        (!movement.taken_back).then_some(Self {
            at: told.or(folder),
            record,
            movement,
        })
    }
}

fn day_of(time: Option<DateTime>) -> Option<Date> {
    time.map(|time| time.date())
}

fn of_facility<'a>(facility: &'a str, mut events: Vec<Event<'a>>) -> Vec<Stay<'a>> {
    events.sort_by_key(|event| (event.at, event.record.kind));
    let mut stays: Vec<Stay<'a>> = Vec::new();
    let mut open = false;
    for event in events {
        let kind = event.record.kind;
        // A transfer that was entered after the discharge of its day begins no stay.
        let late = !matches!(kind, Kind::Admission | Kind::Discharge)
            && stays.last().is_some_and(|stay| {
                stay.discharged.is_some() && day_of(stay.discharged) == day_of(event.at)
            });
        if late && !open {
            if let Some(stay) = stays.last_mut() {
                stay.records.push(event.record);
            }
            continue;
        }
        if kind == Kind::Admission || !open {
            let told = event.movement.admitted.as_ref().and_then(When::earliest);
            stays.push(Stay {
                facility,
                admitted: if kind == Kind::Admission {
                    event.at
                } else {
                    told
                },
                discharged: None,
                discharge: None,
                place: &event.movement.place,
                records: Vec::new(),
            });
            open = true;
        }
        let Some(stay) = stays.last_mut() else {
            continue;
        };
        stay.records.push(event.record);
        if !event.movement.place.is_empty() {
            stay.place = &event.movement.place;
        }
        if kind == Kind::Discharge {
            stay.discharged = event.at;
            stay.discharge = Some(event.movement);
            open = false;
        }
    }
    stays
}
