//! Shifts: the transactions of one patient on one day, as the gateway makes them.
//!
//! Renames come before the new file, and both before any row. What is on disk decides, not the
//! INDEX DB: a row without its file is never worked on.

use std::collections::{HashMap, VecDeque};

use super::center::Center;
use super::chance::{Chance, Stream};
use super::chart::Patient;
use super::course::Course;
use super::disk::{Folder, Tally};
use super::error::GenError;
use super::event::{Event, What};
use super::frame::Version;
use super::gateway::{EXTENDED, Gateway, Placed, STANDARD, kind_name};
use super::kind::{DOCUMENTS, Kind};
use super::ledger::{Row, RowUpdate, StoredRow};
use super::moment::Moment;
use crate::ssmix::{Flag, RecordKey, RecordName};

/// Transactions in percent: creates, updates, deletes; the rest touches extended records only.
const CREATE_PERCENT: f64 = 60.0;
const UPDATE_PERCENT: f64 = 30.0;
const DELETE_PERCENT: f64 = 8.0;
/// Events drawn at a time.
const VISIT_EVENTS_MAX: usize = 40;
/// Longest time between two transactions, and the time that a shift may take in all.
const PAUSE_MS_MAX: i64 = 90_000;
const SHIFT_MS_MAX: i64 = 4 * 3_600_000;

/// What is planned for one patient.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Place of the facility, number of the patient there.
    pub(super) facility: usize,
    pub(super) number: u64,
    pub(super) transactions: u64,
    pub(super) begin: Moment,
}

/// What a shift has done; rows are still to be committed.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) creates: u64,
    pub(super) updates: u64,
    pub(super) deletes: u64,
    pub(super) renames_only: u64,
    pub(super) new_patient: bool,
    pub(super) tally: Tally,
    pub(super) kinds: HashMap<&'static str, u64>,
    pub(super) inserts: Vec<Row>,
    pub(super) row_updates: Vec<RowUpdate>,
}

/// Where a record's row stands.
#[derive(Debug, Clone, Copy)]
enum RowPlace {
    Stored(i64),
    /// Among the rows that this shift inserts: an update is merged into it.
    Fresh(usize),
}

/// A file or content folder that can be worked on.
#[derive(Debug, Clone)]
struct Held {
    row: RowPlace,
    label: &'static str,
    /// Below the patient directory.
    directory: Vec<u8>,
    file: String,
    key: RecordKey,
    flag: Flag,
    what: What,
}

/// One patient's day.
struct Shift<'a> {
    gateway: Gateway<'a>,
    course: Course<'a>,
    chance: Chance,
    held: Vec<Held>,
    upcoming: VecDeque<Event>,
    clock: Moment,
    pause_ms: i64,
    outcome: Outcome,
}

/// Makes the transactions of one patient. `rows` are all that the INDEX DB has of the patient.
pub(super) fn run(
    center: &Center,
    plan: &Plan,
    rows: &[StoredRow],
    volumes: &mut Folder,
) -> Result<Outcome, GenError> {
    let facility = &center.facilities[plan.facility];
    let patient = center.patient(facility, plan.number);
    // Numbers of a day lie above those of the storage and of all earlier days.
    let number = (plan.begin.day_number() as u64) << 20;
    let mut shift = Shift {
        course: Course::of_day(&patient, plan.begin.midnight(), number),
        chance: patient.chance(Stream::Transactions, number),
        held: held(center, &patient, rows),
        gateway: Gateway::new(center, &patient, volumes, true),
        upcoming: VecDeque::new(),
        clock: plan.begin,
        pause_ms: (SHIFT_MS_MAX / plan.transactions.max(1) as i64).clamp(1, PAUSE_MS_MAX),
        outcome: Outcome {
            new_patient: rows.is_empty(),
            ..Outcome::default()
        },
    };
    if rows.is_empty() {
        shift
            .upcoming
            .extend(shift.course.registration(VISIT_EVENTS_MAX));
    }
    for _ in 0..plan.transactions {
        shift.transaction()?;
    }
    let Shift {
        gateway,
        mut outcome,
        ..
    } = shift;
    outcome.tally = gateway.tally();
    outcome.inserts = gateway.rows;
    Ok(outcome)
}

/// The records that rows speak of: not planted, spoken of once, and named as records are.
fn held(center: &Center, patient: &Patient<'_>, rows: &[StoredRow]) -> Vec<Held> {
    let mut times: HashMap<(&str, &str), u32> = HashMap::new();
    for row in rows {
        *times.entry((&row.directory, &row.file)).or_default() += 1;
    }
    let leaf = crate::ssmix::patient_directory(patient.id.as_bytes());
    let below = format!("{}/", String::from_utf8_lossy(&leaf));
    let mut held = Vec::new();
    for row in rows {
        let place = format!("{}/{}/{}", row.facility, row.label, row.directory);
        if center.protected.contains(&place) || times.get(&(&row.directory, &row.file)) != Some(&1)
        {
            continue;
        }
        let (Some(directory), Ok(name)) = (
            row.directory.strip_prefix(&below),
            RecordName::parse(row.file.as_bytes()),
        ) else {
            continue;
        };
        let Some((_, folder)) = directory.split_once('/') else {
            continue;
        };
        let document = DOCUMENTS
            .iter()
            .position(|document| document.folder == folder);
        let Some(what) = document
            .map(What::Document)
            .or_else(|| Kind::of_code(folder).map(What::Standard))
        else {
            continue;
        };
        held.push(Held {
            row: RowPlace::Stored(row.rowid),
            label: if row.label == EXTENDED {
                EXTENDED
            } else {
                STANDARD
            },
            directory: directory.as_bytes().to_vec(),
            file: row.file.clone(),
            key: name.key(),
            flag: name.flag,
            what,
        });
    }
    held
}

impl Shift<'_> {
    fn transaction(&mut self) -> Result<(), GenError> {
        self.clock = self.clock.plus_ms(
            self.chance
                .between(1 + self.pause_ms / 3, 1 + self.pause_ms),
        );
        let roll = self.chance.real() * 100.0;
        if roll < CREATE_PERCENT {
            return self.create(None);
        }
        let updating = roll < CREATE_PERCENT + UPDATE_PERCENT;
        let deleting = !updating && roll < CREATE_PERCENT + UPDATE_PERCENT + DELETE_PERCENT;
        let extended = !updating && !deleting;
        match self.pick(extended, deleting)? {
            Some(place) if updating => self.update(place),
            Some(place) if deleting => self.delete(place),
            Some(place) if self.chance.percent(50.0) => self.rename_only(place),
            Some(place) => self.update(place),
            None if extended => {
                let event = self.course.document();
                self.create(Some(event))
            }
            None => self.create(None),
        }
    }

    /// A valid record that is on disk; what turns out to be missing is forgotten.
    fn pick(&mut self, extended: bool, deleting: bool) -> Result<Option<usize>, GenError> {
        let label = if extended { EXTENDED } else { STANDARD };
        loop {
            let fits = |held: &Held| {
                let undated = matches!(held.what, What::Standard(kind) if kind.undated());
                held.label == label && held.flag == Flag::Valid && !(deleting && undated)
            };
            let fitting: Vec<usize> = (0..self.held.len())
                .filter(|&place| fits(&self.held[place]))
                .collect();
            if fitting.is_empty() {
                return Ok(None);
            }
            let place = *self.chance.pick(&fitting);
            let path = self.held[place].path();
            if self.gateway.folder(label)?.has(&path) {
                return Ok(Some(place));
            }
            self.held.remove(place);
        }
    }

    fn create(&mut self, event: Option<Event>) -> Result<(), GenError> {
        if self.upcoming.is_empty() && event.is_none() {
            self.upcoming.extend(self.course.visit(VISIT_EVENTS_MAX));
        }
        let Some(mut event) = event.or_else(|| self.upcoming.pop_front()) else {
            return Ok(());
        };
        event.written = self.clock;
        event.happened = self.clock.plus_minutes(-10);
        let placed = self.gateway.write(
            &event,
            Version {
                revision: 0,
                taken_back: false,
                written: self.clock,
            },
            Flag::Valid,
        )?;
        self.hold(&event, &placed, Flag::Valid);
        *self.outcome.kinds.entry(kind_name(event.what)).or_default() += 1;
        self.outcome.creates += 1;
        Ok(())
    }

    /// Adds the row of a new file, and holds it for later transactions.
    fn hold(&mut self, event: &Event, placed: &Placed, flag: Flag) {
        self.gateway
            .row(event, placed, "INS", self.clock, self.clock);
        let Ok(name) = RecordName::parse(placed.name.as_bytes()) else {
            return;
        };
        self.held.push(Held {
            row: RowPlace::Fresh(self.gateway.rows.len() - 1),
            label: placed.label,
            directory: placed.directory().to_vec(),
            file: placed.name.clone(),
            key: name.key(),
            flag,
            what: event.what,
        });
    }

    /// The next version of a record as an event.
    fn again(&mut self, place: usize) -> Event {
        let held = &self.held[place];
        let order = String::from_utf8_lossy(&held.key.order).into_owned();
        let date = String::from_utf8_lossy(&held.key.date);
        let morning = Moment::parse_digits(&date).map(|day| day.plus_minutes(9 * 60 + 30));
        let happened = morning.unwrap_or(self.clock);
        self.course.again(held.what, &order, happened, self.clock)
    }

    fn update(&mut self, place: usize) -> Result<(), GenError> {
        let event = self.again(place);
        self.rename(place, Flag::Superseded, false)?;
        let placed = self.gateway.write(
            &event,
            Version {
                revision: 1,
                taken_back: false,
                written: self.clock,
            },
            Flag::Valid,
        )?;
        self.hold(&event, &placed, Flag::Valid);
        self.outcome.updates += 1;
        Ok(())
    }

    fn delete(&mut self, place: usize) -> Result<(), GenError> {
        let event = self.again(place);
        let key = self.held[place].key.clone();
        for other in 0..self.held.len() {
            let held = &self.held[other];
            if held.key == key && held.label == STANDARD && held.flag != Flag::Deleted {
                let path = held.path();
                if self.gateway.folder(STANDARD)?.has(&path) {
                    self.rename(other, Flag::Deleted, false)?;
                }
            }
        }
        self.gateway.tombstone(&event, self.clock, 1)?;
        self.outcome.deletes += 1;
        Ok(())
    }

    fn rename_only(&mut self, place: usize) -> Result<(), GenError> {
        self.rename(place, Flag::Deleted, true)?;
        self.outcome.renames_only += 1;
        Ok(())
    }

    /// Renames a file or content folder to another flag, and changes its row.
    fn rename(&mut self, place: usize, flag: Flag, deleted: bool) -> Result<(), GenError> {
        let held = &mut self.held[place];
        let Ok(name) = RecordName::parse(held.file.as_bytes()) else {
            return Ok(());
        };
        let from = held.path();
        held.file = String::from_utf8_lossy(&name.with_flag(flag).to_bytes()).into_owned();
        held.flag = flag;
        let to = held.path();
        self.gateway.folder(held.label)?.rename(&from, &to)?;
        let (file, updated) = (held.file.clone(), self.clock.row());
        match held.row {
            RowPlace::Stored(rowid) => self.outcome.row_updates.push(RowUpdate {
                rowid,
                file,
                updated,
                deleted,
            }),
            RowPlace::Fresh(at) => {
                let row = &mut self.gateway.rows[at];
                (row.file, row.updated) = (file, updated);
                if deleted {
                    row.processing = "DEL";
                }
            }
        }
        Ok(())
    }
}

impl Held {
    fn path(&self) -> Vec<u8> {
        [&self.directory[..], b"/", self.file.as_bytes()].concat()
    }
}
