//! Courses: what happens to a patient over the year, as a sequence of events.
//!
//! Each visit or stay yields the events of linked records: an order and its result share the
//! order number, an admission has its discharge. What a record says is left to the composers.

use super::chance::{Chance, Stream};
use super::chart::Patient;
use super::event::{Event, Stay, What};
use super::kind::{DISCHARGE_SUMMARY, DOCUMENTS, Document, Kind};
use super::moment::Moment;
use super::ward::{DEPARTMENTS, WARDS};

/// The clinical year of a new storage begins here.
pub(super) const YEAR_START: (i16, i8, i8) = (2025, 4, 1);
/// Days of the clinical year.
pub(super) const YEAR_DAYS: i64 = 365;
/// Events per visit on the average; a stay has more.
const EVENTS_PER_VISIT: u64 = 7;
/// A stay needs room for its frame and some treatment.
const STAY_EVENTS_MIN: usize = 14;
/// Documents among the records, in percent.
const DOCUMENT_PERCENT: f64 = 3.0;
/// Stays among the visits, in percent.
const STAY_PERCENT: f64 = 14.0;
/// The order number of undated records.
const UNDATED_ORDER: &str = "999999999999999";

/// The course of one patient.
pub(super) struct Course<'a> {
    patient: &'a Patient<'a>,
    chance: Chance,
    /// Number of the next event.
    number: u64,
    orders: u64,
    visits: u64,
    visits_planned: u64,
    /// Undated kinds that exist already.
    undated: Vec<Kind>,
    first_day: Moment,
    days: i64,
}

impl<'a> Course<'a> {
    /// The course of a patient over the clinical year, for about `records` records.
    pub(super) fn of_year(patient: &'a Patient<'a>, records: u64) -> Self {
        let (year, month, day) = YEAR_START;
        Self {
            patient,
            chance: patient.chance(Stream::Course, 0),
            number: 0,
            orders: 0,
            visits: 0,
            visits_planned: (records / EVENTS_PER_VISIT).max(1),
            undated: Vec::new(),
            first_day: Moment::of_date(year, month, day),
            days: YEAR_DAYS,
        }
    }

    /// The course of one later day; events are numbered from `number`.
    pub(super) fn of_day(patient: &'a Patient<'a>, day: Moment, number: u64) -> Self {
        let chance = patient.chance(Stream::Course, number);
        Self {
            patient,
            chance,
            number,
            orders: number % 90_000,
            visits: 0,
            visits_planned: 1,
            undated: Vec::new(),
            first_day: day,
            days: 1,
        }
    }

    /// One event of a kind, on some day of the period; `None` for an undated kind that exists.
    pub(super) fn single(&mut self, kind: Kind) -> Option<Event> {
        let at = self.morning(0.0);
        let stay = kind.inpatient().then(|| self.stay(at));
        if kind.undated() {
            if self.undated.contains(&kind) {
                return None;
            }
            self.undated.push(kind);
        }
        Some(self.event(What::Standard(kind), at, stay))
    }

    /// A further version of a record that exists, under its own order number.
    pub(super) fn again(
        &mut self,
        what: What,
        order: &str,
        happened: Moment,
        written: Moment,
    ) -> Event {
        let inpatient = match what {
            What::Standard(kind) => kind.inpatient(),
            What::Document(place) => DOCUMENTS[place].inpatient,
        };
        let stay = inpatient.then(|| self.stay(happened));
        Event {
            order: order.to_owned(),
            written,
            ..self.event(what, happened, stay)
        }
    }

    /// A document on some day of the period.
    pub(super) fn document(&mut self) -> Event {
        let at = self.morning(0.0);
        let place = Document::by_share(self.chance.below(100));
        let stay = DOCUMENTS[place].inpatient.then(|| self.stay(at));
        self.event(What::Document(place), at, stay)
    }

    /// What is written when a patient comes for the first time, at most `room` events.
    pub(super) fn registration(&mut self, room: usize) -> Vec<Event> {
        let mut kinds = vec![Kind::Basics];
        for (kind, percent) in [
            (Kind::Problems, 80.0),
            (Kind::Physician, 40.0),
            (Kind::Allergies, 45.0),
        ] {
            if self.chance.percent(percent) {
                kinds.push(kind);
            }
        }
        // A short course is for treatment, not for papers.
        kinds.truncate(room.div_ceil(3).max(1));
        kinds
            .into_iter()
            .filter_map(|kind| self.single(kind))
            .collect()
    }

    /// The events of the next visit or stay: at least one, at most `room`.
    pub(super) fn visit(&mut self, room: usize) -> Vec<Event> {
        let along = self.visits as f64 / self.visits_planned as f64;
        // More visits than were planned fall anywhere.
        let along = if along < 1.0 {
            along
        } else {
            self.chance.real()
        };
        let at = self.morning(along);
        self.visits += 1;
        let last_day = self.first_day.plus_days(self.days - 16);
        let mut events =
            if room >= STAY_EVENTS_MIN && at < last_day && self.chance.percent(STAY_PERCENT) {
                self.inpatient(at, room)
            } else {
                self.outpatient(at)
            };
        events.truncate(room.max(1));
        self.with_documents(&mut events);
        events
    }

    /// A morning; `along` is the way through the period, 0 to 1.
    fn morning(&mut self, along: f64) -> Moment {
        let span = (self.days as f64 / self.visits_planned as f64).max(1.0);
        let offset = (along * self.days as f64 + self.chance.real() * span) as i64;
        let day = self.first_day.plus_days(offset.clamp(0, self.days - 1));
        day.plus_minutes(self.chance.between(8 * 60, 13 * 60))
            .plus_ms(self.chance.between(0, 59_999))
    }

    fn stay(&mut self, at: Moment) -> Stay {
        let ward = self.chance.below(WARDS.len());
        Stay {
            ward,
            other_ward: (ward + 1 + self.chance.below(WARDS.len() - 1)) % WARDS.len(),
            room: self.chance.between(301, 330) as u32,
            bed: self.chance.between(1, 4) as u32,
            admitted: at,
            discharged: at.plus_days(self.chance.between(3, 12)),
        }
    }

    fn event(&mut self, what: What, happened: Moment, stay: Option<Stay>) -> Event {
        self.number += 1;
        self.orders += 1;
        let own = self.chance.percent(75.0);
        let written = happened.plus_ms(self.chance.between(1_000, 40 * 60_000));
        let undated = matches!(what, What::Standard(kind) if kind.undated());
        Event {
            what,
            happened,
            written,
            order: if undated {
                UNDATED_ORDER.to_owned()
            } else {
                self.patient.facility.order(written, self.orders)
            },
            department: if own {
                self.patient.department
            } else {
                self.chance.below(DEPARTMENTS.len())
            },
            doctor: if own {
                self.patient.doctor
            } else {
                self.chance.below(self.patient.facility.doctors.len())
            },
            stay,
            number: self.number,
            subject: self.number,
        }
    }

    /// An order and what comes of it some hours later, under one order number.
    fn pair(
        &mut self,
        order: Kind,
        result: Kind,
        at: Moment,
        stay: Option<Stay>,
        out: &mut Vec<Event>,
    ) {
        let ordered = self.event(What::Standard(order), at, stay);
        let later = at.plus_minutes(self.chance.between(20, 240));
        let mut done = self.event(What::Standard(result), later, stay);
        done.order.clone_from(&ordered.order);
        (done.department, done.doctor, done.subject) =
            (ordered.department, ordered.doctor, ordered.subject);
        out.push(ordered);
        out.push(done);
    }

    fn outpatient(&mut self, at: Moment) -> Vec<Event> {
        let mut events = Vec::new();
        if self.chance.percent(22.0) {
            events.push(self.event(What::Standard(Kind::Visit), at, None));
        }
        for _ in 0..self.chance.below(3) {
            self.laboratory(at.plus_minutes(5), None, &mut events);
        }
        for (percent, order, result) in [
            (9.0, Kind::RadiologyOrder, Kind::RadiologyDone),
            (3.0, Kind::EndoscopyOrder, Kind::EndoscopyDone),
            (5.0, Kind::PhysiologyOrder, Kind::PhysiologyResult),
            (14.0, Kind::InjectionOrder, Kind::InjectionGiven),
        ] {
            if self.chance.percent(percent) {
                self.pair(order, result, at.plus_minutes(30), None, &mut events);
            }
        }
        if events.is_empty() || self.chance.percent(80.0) {
            if self.chance.percent(75.0) {
                self.pair(
                    Kind::Prescription,
                    Kind::PrescriptionGiven,
                    at.plus_minutes(60),
                    None,
                    &mut events,
                );
            } else {
                events.push(self.event(
                    What::Standard(Kind::Prescription),
                    at.plus_minutes(60),
                    None,
                ));
            }
        }
        events
    }

    /// Specimens: an order, and a result for each of its panels.
    fn laboratory(&mut self, at: Moment, stay: Option<Stay>, out: &mut Vec<Event>) {
        self.pair(Kind::SpecimenOrder, Kind::SpecimenResult, at, stay, out);
        if self.chance.percent(45.0) {
            let later = at.plus_minutes(self.chance.between(60, 300));
            let more = self.event(What::Standard(Kind::SpecimenResult), later, stay);
            out.push(more);
        }
    }

    fn inpatient(&mut self, at: Moment, room: usize) -> Vec<Event> {
        let stay = self.stay(at);
        let leaving = stay.discharged;
        let standard =
            |course: &mut Self, kind, when| course.event(What::Standard(kind), when, Some(stay));
        let mut frame = vec![standard(self, Kind::Admission, at)];
        if self.chance.percent(50.0) {
            let mut plan = standard(self, Kind::AdmissionPlan, at);
            plan.written = plan.written.plus_days(-1).max(self.first_day);
            frame.push(plan);
        }
        if self.chance.percent(15.0) {
            frame.push(standard(self, Kind::Leave, at.plus_days(1)));
            frame.push(standard(self, Kind::Return, at.plus_days(2)));
        }
        if self.chance.percent(25.0) {
            frame.push(standard(self, Kind::TransferPlan, at.plus_days(1)));
            frame.push(standard(self, Kind::Transfer, at.plus_days(2)));
        }
        if self.chance.percent(60.0) {
            frame.push(standard(
                self,
                Kind::DischargePlan,
                leaving.plus_minutes(-90),
            ));
        }
        frame.push(standard(self, Kind::Discharge, leaving));
        frame.push(self.event(
            What::Document(DISCHARGE_SUMMARY),
            leaving.plus_minutes(30),
            Some(stay),
        ));
        let treatment_room = room.saturating_sub(frame.len());
        let mut events = Vec::new();
        let mut day = at;
        while day < leaving && events.len() < treatment_room {
            self.ward_day(day, stay, &mut events);
            day = day.plus_days(1);
        }
        events.truncate(treatment_room);
        frame.append(&mut events);
        frame
    }

    fn ward_day(&mut self, day: Moment, stay: Stay, out: &mut Vec<Event>) {
        let stay = Some(stay);
        if self.chance.percent(55.0) {
            self.pair(
                Kind::InjectionOrder,
                Kind::InjectionGiven,
                day.plus_minutes(20),
                stay,
                out,
            );
        }
        for shift in 0..1 + self.chance.below(2) as i64 {
            out.push(self.event(
                What::Standard(Kind::InjectionGiven),
                day.plus_minutes(90 + shift * 150),
                stay,
            ));
        }
        for meal in 0..self.chance.below(3) as i64 {
            out.push(self.event(
                What::Standard(Kind::PrescriptionGiven),
                day.plus_minutes(60 + meal * 200),
                stay,
            ));
        }
        if self.chance.percent(45.0) {
            self.laboratory(day.plus_minutes(10), stay, out);
        }
        if self.chance.percent(30.0) {
            out.push(self.event(What::Standard(Kind::Meal), day.plus_minutes(40), stay));
        }
        if self.chance.percent(8.0) {
            self.pair(
                Kind::RadiologyOrder,
                Kind::RadiologyDone,
                day.plus_minutes(100),
                stay,
                out,
            );
        }
    }

    /// Turns some of the events into documents, so that documents keep their share.
    fn with_documents(&mut self, events: &mut [Event]) {
        for event in events {
            let framing = matches!(event.what, What::Standard(kind) if kind.inpatient());
            if framing || !self.chance.percent(DOCUMENT_PERCENT) {
                continue;
            }
            // Notes of a ward are written for those who lie there.
            let lies = event.stay.is_some();
            let place = (0..8)
                .map(|_| Document::by_share(self.chance.below(100)))
                .find(|&place| DOCUMENTS[place].inpatient == lies);
            if let Some(place) = place {
                event.what = What::Document(place);
                // An order and its result may both become notes: each needs a number of its own.
                self.orders += 1;
                event.order = self.patient.facility.order(event.written, self.orders);
            }
        }
    }
}
