//! A new storage: patients on several threads, their rows on one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::center::Center;
use super::chance::Stream;
use super::course::Course;
use super::disk::{Folder, Tally};
use super::dispatch::{Assignment, Dispatcher, Gate, WHOLE_RANGE_RECORDS};
use super::error::GenError;
use super::event::Event;
use super::gateway::{EXTENDED, Gateway, Life, STANDARD};
use super::ledger::{Ledger, Row};
use super::moment::Moment;
use super::report::StorageReport;
use super::{anomaly, registry};
use crate::progress::Monitor;

/// Facilities that ids and names are made for.
const FACILITIES_MAX: u32 = 9_999;
/// Events drawn at a time at most.
const VISIT_EVENTS_MAX: u64 = 160;
/// Rows sent to the ledger at a time, about.
const PARCEL_ROWS: usize = 2_000;
/// Parcels that wait for the ledger.
const PARCELS_MAX: usize = 64;
/// Rows of one transaction, about.
const COMMIT_ROWS: usize = 50_000;
/// Records with a superseded version, and deleted ones, in percent.
const UPDATED_PERCENT: f64 = 4.0;
const DELETED_PERCENT: f64 = 0.6;
/// The last moment of the clinical year, with a minute to spare.
const YEAR_END: (i16, i8, i8) = (2026, 4, 1);

/// What a new center should be.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Where it is made; absent or empty.
    pub out: PathBuf,
    /// Facilities, 1 to 9,999.
    pub facilities: u32,
    /// Patients over all facilities, at least 1.
    pub patients: u64,
    /// Records over all facilities, at least 1.
    pub records: u64,
    /// Seed of every choice.
    pub seed: u64,
}

/// Rows of a job, in order.
struct Parcel {
    job: u64,
    rows: Vec<Row>,
    last: bool,
}

/// What one thread has made.
#[derive(Default)]
struct Share {
    tally: Tally,
    kinds: BTreeMap<&'static str, u64>,
    patients: u64,
    superseded: u64,
    deleted: u64,
}

/// Makes a new center: `out/volumes`, `out/index.db`, and `out/center.json` last of all.
///
/// Blocks; makes threads of its own. Errors: [`GenError::NotEmpty`], [`GenError::Option`], and
/// whatever the disk or the database refuse, each with its path.
pub fn storage(options: &StorageOptions, monitor: &dyn Monitor) -> Result<StorageReport, GenError> {
    let begun = Instant::now();
    check(options)?;
    // The ledger drives a runtime of its own, which may not be nested in a caller's.
    let mut report = std::thread::scope(|scope| {
        scope
            .spawn(|| make(options, monitor))
            .join()
            .unwrap_or(Err(GenError::Stopped))
    })?;
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

fn check(options: &StorageOptions) -> Result<(), GenError> {
    let allowed = "1 to 9999";
    if !(1..=FACILITIES_MAX).contains(&options.facilities) {
        return Err(GenError::Option {
            option: "facilities",
            given: options.facilities.into(),
            allowed,
        });
    }
    for (option, given) in [("patients", options.patients), ("records", options.records)] {
        if given == 0 {
            return Err(GenError::Option {
                option,
                given,
                allowed: "1 or more",
            });
        }
    }
    let out = &options.out;
    let error = |source| GenError::Io {
        path: out.clone(),
        source,
    };
    std::fs::create_dir_all(out).map_err(error)?;
    if std::fs::read_dir(out).map_err(error)?.next().is_some() {
        return Err(GenError::NotEmpty { path: out.clone() });
    }
    Ok(())
}

fn make(options: &StorageOptions, monitor: &dyn Monitor) -> Result<StorageReport, GenError> {
    let mut center = Center::new(
        &options.out,
        options.seed,
        options.facilities,
        options.patients,
        options.records,
    );
    let mut report = StorageReport {
        seed: center.seed,
        facilities: options.facilities.into(),
        ..StorageReport::default()
    };
    let volumes = center.volumes();
    std::fs::create_dir(&volumes).map_err(|source| GenError::Io {
        path: volumes.clone(),
        source,
    })?;
    let mut root = Folder::open(&volumes)?;
    for facility in &center.facilities {
        for label in [STANDARD, EXTENDED] {
            root.make(format!("{}/{label}", facility.id).as_bytes())?;
        }
    }
    monitor.stage("records", Some(center.records));
    let share = records(&center, &volumes, monitor)?;
    monitor.stage("registry", Some(center.facilities.len() as u64));
    registry::write(&center, &mut root, monitor)?;
    monitor.stage("index", None);
    let mut ledger = Ledger::open(&center.index())?;
    ledger.build_indexes()?;
    if center.records >= WHOLE_RANGE_RECORDS {
        monitor.stage("anomalies", None);
        report.planted = anomaly::plant(&mut center, &mut root, &mut ledger)?;
    }
    report.rows = ledger.count()?;
    ledger.finish()?;
    center.remember()?;
    let mut tally = share.tally;
    tally.add(root.tally);
    (report.files, report.directories, report.bytes) =
        (tally.files, tally.directories, tally.bytes);
    (report.patients, report.superseded, report.deleted) =
        (share.patients, share.superseded, share.deleted);
    report.records = share.kinds.values().sum();
    report.records_by_kind = share
        .kinds
        .into_iter()
        .map(|(kind, count)| (kind.to_owned(), count))
        .collect();
    Ok(report)
}

/// Makes all records and their rows.
fn records(center: &Center, volumes: &Path, monitor: &dyn Monitor) -> Result<Share, GenError> {
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 8));
    let dispatcher = Mutex::new(Dispatcher::new(center));
    let gate = Gate::default();
    let (sender, receiver) = bounded(PARCELS_MAX);
    let mut results = std::thread::scope(|scope| {
        let ledger = scope.spawn(|| {
            let done = keep_ledger(&center.index(), receiver, &gate);
            gate.stop();
            done.map(|()| Share::default())
        });
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let sender = sender.clone();
                scope.spawn(|| {
                    let done = work(center, volumes, &dispatcher, &gate, sender, monitor);
                    if done.is_err() {
                        gate.stop();
                    }
                    done
                })
            })
            .collect();
        drop(sender);
        let mut results: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or(Err(GenError::Stopped)))
            .collect();
        results.push(ledger.join().unwrap_or(Err(GenError::Stopped)));
        results
    });
    // Of several errors the one that began it is worth reading.
    results.sort_by_key(|result| matches!(result, Err(GenError::Stopped)));
    let mut sum = Share::default();
    for result in results {
        let share = result?;
        sum.tally.add(share.tally);
        sum.patients += share.patients;
        sum.superseded += share.superseded;
        sum.deleted += share.deleted;
        for (kind, count) in share.kinds {
            *sum.kinds.entry(kind).or_default() += count;
        }
    }
    Ok(sum)
}

/// One thread: takes jobs until there are none.
fn work(
    center: &Center,
    volumes: &Path,
    dispatcher: &Mutex<Dispatcher>,
    gate: &Gate,
    sender: Sender<Parcel>,
    monitor: &dyn Monitor,
) -> Result<Share, GenError> {
    let mut root = Folder::open(volumes)?;
    let mut share = Share::default();
    loop {
        let next = dispatcher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_job();
        let Some(job) = next else { break };
        gate.enter(job.number)?;
        let mut rows = Vec::new();
        for assignment in &job.patients {
            let mut send = |rows: &mut Vec<Row>| {
                let parcel = Parcel {
                    job: job.number,
                    rows: std::mem::take(rows),
                    last: false,
                };
                sender.send(parcel).map_err(|_| GenError::Stopped)
            };
            patient(
                center, assignment, &mut root, &mut share, &mut rows, &mut send,
            )?;
            monitor.advance(assignment.records);
        }
        sender
            .send(Parcel {
                job: job.number,
                rows,
                last: true,
            })
            .map_err(|_| GenError::Stopped)?;
    }
    share.tally.add(root.tally);
    Ok(share)
}

/// Makes the records of one patient.
fn patient(
    center: &Center,
    assignment: &Assignment,
    root: &mut Folder,
    share: &mut Share,
    rows: &mut Vec<Row>,
    send: &mut dyn FnMut(&mut Vec<Row>) -> Result<(), GenError>,
) -> Result<(), GenError> {
    let (facility, number) = center.initial_patient(assignment.place);
    let patient = center.patient(facility, number);
    let mut course = Course::of_year(&patient, assignment.records);
    let mut gateway = Gateway::new(center, &patient, root, false);
    gateway.rows = std::mem::take(rows);
    let mut chance = patient.chance(Stream::Life, 0);
    let mut left = assignment.records;
    let mut events: Vec<Event> = assignment
        .forced
        .iter()
        .filter_map(|&kind| course.single(kind))
        .collect();
    if left > events.len() as u64 {
        let room = (left - events.len() as u64).min(VISIT_EVENTS_MAX) as usize;
        events.append(&mut course.registration(room));
    }
    while left > 0 {
        events.truncate(left.min(VISIT_EVENTS_MAX) as usize);
        for event in events.drain(..) {
            let life = life(&mut chance, &event);
            match life {
                Life::Plain => {}
                Life::Updated(_) => share.superseded += 1,
                Life::Deleted(_) => share.deleted += 1,
            }
            gateway.record(&event, life)?;
            left -= 1;
        }
        if gateway.rows.len() >= PARCEL_ROWS {
            send(&mut gateway.rows)?;
        }
        if left > 0 {
            events = course.visit(left.min(VISIT_EVENTS_MAX) as usize);
        }
    }
    share.patients += 1;
    share.tally.add(gateway.tally());
    for (kind, count) in &gateway.kinds {
        *share.kinds.entry(kind).or_default() += count;
    }
    *rows = gateway.rows;
    Ok(())
}

/// Draws how a record lived on; a correction comes within two days and within the year.
fn life(chance: &mut super::chance::Chance, event: &Event) -> Life {
    let (draw, minutes) = (chance.real() * 100.0, chance.between(20, 2_880));
    let end = Moment::of_date(YEAR_END.0, YEAR_END.1, YEAR_END.2).plus_minutes(-1);
    let at = event.written.plus_minutes(minutes).min(end);
    if at <= event.written || draw > UPDATED_PERCENT + DELETED_PERCENT {
        Life::Plain
    } else if draw < DELETED_PERCENT {
        Life::Deleted(at)
    } else {
        Life::Updated(at)
    }
}

/// The ledger's thread: writes rows in the order of jobs, whatever order they come in.
fn keep_ledger(path: &Path, receiver: Receiver<Parcel>, gate: &Gate) -> Result<(), GenError> {
    let mut ledger = Ledger::create(path)?;
    let mut waiting: BTreeMap<u64, Vec<(Vec<Row>, bool)>> = BTreeMap::new();
    let (mut next, mut open) = (0u64, 0usize);
    ledger.execute("BEGIN")?;
    for parcel in receiver {
        waiting
            .entry(parcel.job)
            .or_default()
            .push((parcel.rows, parcel.last));
        while let Some(parts) = waiting.remove(&next) {
            let finished = parts.iter().any(|(_, last)| *last);
            for (rows, _) in parts {
                open += rows.len();
                ledger.insert(&rows)?;
            }
            if !finished {
                break;
            }
            next += 1;
            gate.written();
        }
        if open >= COMMIT_ROWS {
            ledger.execute("COMMIT")?;
            ledger.execute("BEGIN")?;
            open = 0;
        }
    }
    ledger.execute("COMMIT")?;
    ledger.finish()
}
