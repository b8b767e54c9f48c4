//! A further day of a center's life: changes by the gateways of all facilities.
//!
//! Files are in place before their rows are committed, as in the field. Patients are worked on
//! in the order of the day's clock, a bounded number at a time.

use std::path::PathBuf;
use std::time::Instant;

use super::center::Center;
use super::chance::{Chance, Stream, digest};
use super::course::YEAR_START;
use super::disk::Folder;
use super::error::GenError;
use super::ledger::{Ledger, StoredRow};
use super::moment::Moment;
use super::report::DayReport;
use super::shift::{self, Outcome, Plan};
use crate::progress::Monitor;

/// Transactions of a patient on one day, on the average.
const CHANGES_PER_PATIENT: u64 = 4;
/// One of so many patients who come was never here before.
const NEW_PATIENT_EVERY: u64 = 60;
/// Changes from which on somebody new comes.
const NEW_PATIENT_CHANGES: u64 = 40;
/// Patients worked on before their rows are committed.
const BATCH: usize = 64;
/// Threads that write files.
const THREADS: usize = 2;
/// Facilities open at seven and take the last patient at six.
const OPENING_MINUTES: i64 = 7 * 60;
const OPEN_MS: u64 = 11 * 3_600_000;

/// What the day should be like.
#[derive(Debug, Clone)]
pub struct DayOptions {
    /// A center made by `storage`.
    pub out: PathBuf,
    /// Transactions to be made: exactly so many.
    pub changes: u64,
    /// Seed; by default it follows from the center and the day.
    pub seed: Option<u64>,
}

/// Makes one day of changes: the day after the newest in the INDEX DB, years from 2050 on not
/// believed.
///
/// Blocks; makes threads of its own. Errors: [`GenError::NotACenter`] for a folder that
/// `storage` did not make or not finish, and whatever the disk or the database refuse. A day
/// that fails leaves some files without rows, as a gateway that dies does.
pub fn day(options: &DayOptions, monitor: &dyn Monitor) -> Result<DayReport, GenError> {
    let begun = Instant::now();
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

fn make(options: &DayOptions, monitor: &dyn Monitor) -> Result<DayReport, GenError> {
    let mut center = Center::open(&options.out)?;
    let mut ledger = Ledger::open(&center.index())?;
    let newest = ledger.newest()?.and_then(|text| Moment::parse_date(&text));
    let (year, month, day) = YEAR_START;
    let today = newest
        .unwrap_or(Moment::of_date(year, month, day))
        .plus_days(1);
    let seed = options
        .seed
        .unwrap_or_else(|| digest(center.seed, Stream::Day, &[today.day_number() as u64]));
    let mut report = DayReport {
        day: today.iso_date(),
        seed,
        changes: options.changes,
        ..DayReport::default()
    };
    let mut planner = Planner::new(&center, seed, today, options.changes);
    let mut folders: Vec<Folder> = (0..THREADS)
        .map(|_| Folder::open(&center.volumes()))
        .collect::<Result<_, _>>()?;
    monitor.stage("changes", Some(options.changes));
    loop {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(plan) = planner.next_plan(&mut center) else {
                break;
            };
            let facility = &center.facilities[plan.facility];
            let rows = ledger.of_patient(&facility.id, &facility.patient_id(plan.number))?;
            batch.push((plan, rows));
        }
        if batch.is_empty() {
            break;
        }
        let outcomes = work(&center, &batch, &mut folders)?;
        monitor.advance(batch.iter().map(|(plan, _)| plan.transactions).sum());
        commit(&mut ledger, &outcomes)?;
        outcomes
            .iter()
            .for_each(|outcome| add(&mut report, outcome));
    }
    for folder in &folders {
        report.directories_made += folder.tally.directories;
    }
    report.hinted_directories = ledger.directories(&today.row(), &today.plus_days(1).row())?;
    ledger.finish()?;
    center.remember()?;
    Ok(report)
}

/// Who comes, in the order of the day.
struct Planner {
    chance: Chance,
    today: Moment,
    changes_left: u64,
    patients: u64,
    done: u64,
    /// Walks over all initial patients without meeting one twice.
    place: u64,
    stride: u64,
    /// Of the patients who come, how many are new.
    newcomers: u64,
}

impl Planner {
    fn new(center: &Center, seed: u64, today: Moment, changes: u64) -> Self {
        let chance = &mut Chance::of(seed, Stream::Day, &[center.seed, today.day_number() as u64]);
        let known = center.patients.max(1);
        let patients = changes.div_ceil(CHANGES_PER_PATIENT).min(known);
        let newcomers = if changes >= NEW_PATIENT_CHANGES {
            patients.div_ceil(NEW_PATIENT_EVERY)
        } else {
            0
        };
        let place = chance.number() % known;
        let mut stride = 1 + chance.number() % known;
        while common_divisor(stride, known) != 1 {
            stride += 1;
        }
        let chance = Chance::of(
            seed,
            Stream::Day,
            &[center.seed, today.day_number() as u64, 1],
        );
        Self {
            chance,
            today,
            changes_left: changes,
            patients,
            done: 0,
            place,
            stride,
            newcomers,
        }
    }

    /// The next patient; the last one takes what is left, so that the sum is exact.
    fn next_plan(&mut self, center: &mut Center) -> Option<Plan> {
        if self.changes_left == 0 {
            return None;
        }
        let left = (self.patients - self.done).max(1);
        let average = self.changes_left.div_ceil(left);
        let spare = self.changes_left - (left - 1).min(self.changes_left - 1);
        let transactions = match left {
            1 => self.changes_left,
            _ => (self.chance.between(1, 2 * average as i64 - 1) as u64).clamp(1, spare),
        };
        let passed = self.done as f64 / self.patients as f64;
        let begin = self
            .today
            .plus_minutes(OPENING_MINUTES)
            .plus_ms((passed * OPEN_MS as f64) as i64);
        self.done += 1;
        self.changes_left -= transactions;
        let newcomer = self.newcomers > 0
            && self
                .done
                .is_multiple_of((self.patients / self.newcomers).max(1));
        let (facility, number) = if newcomer {
            self.newcomers -= 1;
            let index = self.chance.below(center.facilities.len());
            let joined = center.joined.entry(index as u32).or_default();
            *joined += 1;
            (index, center.facilities[index].patients + *joined - 1)
        } else {
            self.place = (self.place + self.stride) % center.patients.max(1);
            let (facility, number) = center.initial_patient(self.place);
            (facility.index as usize, number)
        };
        Some(Plan {
            facility,
            number,
            transactions,
            begin,
        })
    }
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Works on a batch with a few threads; outcomes come in the order of the plans.
fn work(
    center: &Center,
    batch: &[(Plan, Vec<StoredRow>)],
    folders: &mut [Folder],
) -> Result<Vec<Outcome>, GenError> {
    let part = batch.len().div_ceil(folders.len().max(1)).max(1);
    let parts: Vec<Result<Vec<Outcome>, GenError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = batch
            .chunks(part)
            .zip(folders.iter_mut())
            .map(|(plans, folder)| {
                scope.spawn(move || {
                    plans
                        .iter()
                        .map(|(plan, rows)| shift::run(center, plan, rows, folder))
                        .collect()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(GenError::Stopped)))
            .collect()
    });
    let mut outcomes = Vec::with_capacity(batch.len());
    for part in parts {
        outcomes.extend(part?);
    }
    Ok(outcomes)
}

/// Commits the rows of a batch whose files are in place.
fn commit(ledger: &mut Ledger, outcomes: &[Outcome]) -> Result<(), GenError> {
    ledger.execute("BEGIN IMMEDIATE")?;
    for outcome in outcomes {
        ledger.update(&outcome.row_updates)?;
        ledger.insert(&outcome.inserts)?;
    }
    ledger.execute("COMMIT")
}

fn add(report: &mut DayReport, outcome: &Outcome) {
    report.creates += outcome.creates;
    report.updates += outcome.updates;
    report.deletes += outcome.deletes;
    report.renames_only += outcome.renames_only;
    report.patients += 1;
    report.new_patients += u64::from(outcome.new_patient);
    report.files_renamed += outcome.tally.renamed;
    report.files_written += outcome.tally.files;
    report.directories_made += outcome.tally.directories;
    report.bytes += outcome.tally.bytes;
    report.rows_inserted += outcome.inserts.len() as u64;
    report.rows_updated += outcome.row_updates.len() as u64;
    for (kind, count) in &outcome.kinds {
        *report
            .creates_by_kind
            .entry((*kind).to_owned())
            .or_default() += count;
    }
}
