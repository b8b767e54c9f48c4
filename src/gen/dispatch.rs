//! Dispatch: cuts a new storage into jobs, and keeps the threads within sight of each other.
//!
//! Jobs are numbered in the order of patients. Rows are written in the order of jobs, so the
//! INDEX DB does not depend on how fast which thread is; the gate bounds what waits meanwhile.

use std::sync::{Condvar, Mutex, PoisonError};

use super::center::Center;
use super::chance::{Stream, digest, share};
use super::error::GenError;
use super::kind::Kind;

/// Records of a job, about.
const JOB_RECORDS: u64 = 250;
/// Jobs that may be ahead of the rows written.
const WINDOW: u64 = 48;
/// From so many records on every kind is made to occur, and anomalies are planted.
pub(super) const WHOLE_RANGE_RECORDS: u64 = 200;

/// Records to be made for one patient.
#[derive(Debug)]
pub(super) struct Assignment {
    /// Place among all initial patients.
    pub(super) place: u64,
    pub(super) records: u64,
    /// Kinds that have to occur here.
    pub(super) forced: Vec<Kind>,
}

/// Consecutive patients for one thread.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) patients: Vec<Assignment>,
}

/// Hands out jobs; shares the records out over the patients without holding a list of them.
pub(super) struct Dispatcher {
    seed: u64,
    patients: u64,
    records: u64,
    total_weight: u64,
    next: u64,
    passed_weight: u64,
    given: u64,
    jobs: u64,
    forced: usize,
}

impl Dispatcher {
    pub(super) fn new(center: &Center) -> Self {
        let (seed, patients, records) = (center.seed, center.patients, center.records);
        let total_weight = (0..patients).map(|place| weight(seed, place)).sum();
        let forced = if records >= WHOLE_RANGE_RECORDS {
            0
        } else {
            Kind::COUNT
        };
        Self {
            seed,
            patients,
            records,
            total_weight,
            next: 0,
            passed_weight: 0,
            given: 0,
            jobs: 0,
            forced,
        }
    }

    /// The next job; `None` when all patients are given out.
    pub(super) fn next_job(&mut self) -> Option<Job> {
        let mut patients = Vec::new();
        let mut records = 0;
        while self.next < self.patients && records < JOB_RECORDS {
            let assignment = self.assign();
            records += assignment.records;
            if assignment.records > 0 {
                patients.push(assignment);
            }
        }
        if patients.is_empty() {
            return None;
        }
        self.jobs += 1;
        Some(Job {
            number: self.jobs - 1,
            patients,
        })
    }

    /// Everybody gets one record where there are enough, the rest goes by weight.
    fn assign(&mut self) -> Assignment {
        let place = self.next;
        self.next += 1;
        self.passed_weight += weight(self.seed, place);
        let (each, spread) = match self.records.checked_sub(self.patients) {
            Some(spread) => (self.next, spread),
            None => (0, self.records),
        };
        let end = each
            + (u128::from(spread) * u128::from(self.passed_weight) / u128::from(self.total_weight))
                as u64;
        let records = end - self.given;
        self.given = end;
        // Many patients take one kind each, few patients share all of them out.
        let left = Kind::COUNT - self.forced;
        let patients_left = (self.patients - place).min(left.max(1) as u64) as usize;
        let take = left.div_ceil(patients_left).min(records as usize);
        let forced = (self.forced..self.forced + take).map(Kind::at).collect();
        self.forced += take;
        Assignment {
            place,
            records,
            forced,
        }
    }
}

/// Patients with long histories are few.
fn weight(seed: u64, place: u64) -> u64 {
    let draw = share(digest(seed, Stream::Weight, &[place]));
    (4.0 / (draw + 0.12)) as u64
}

/// Lets threads start a job only when the rows of earlier ones are nearly all written.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Gate {
    /// Waits until job `number` may start.
    ///
    /// Errors: [`GenError::Stopped`] when another part of the work has failed.
    pub(super) fn enter(&self, number: u64) -> Result<(), GenError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self
            .changed
            .wait_while(state, |(written, stopped)| {
                !*stopped && number >= *written + WINDOW
            })
            .unwrap_or_else(PoisonError::into_inner);
        if state.1 {
            Err(GenError::Stopped)
        } else {
            Ok(())
        }
    }

    /// The rows of one more job are written.
    pub(super) fn written(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
        self.changed.notify_all();
    }

    /// Nobody enters any more.
    pub(super) fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignments(patients: u64, records: u64) -> Vec<Assignment> {
        let center = Center::new(std::path::Path::new("/nowhere"), 5, 3, patients, records);
        let mut dispatcher = Dispatcher::new(&center);
        std::iter::from_fn(|| dispatcher.next_job())
            .flat_map(|job| job.patients)
            .collect()
    }

    #[test]
    fn records_are_shared_out_exactly() {
        for (patients, records) in [(1, 20), (7, 20), (100, 20), (100, 300), (1000, 12_345)] {
            let assignments = assignments(patients, records);
            assert_eq!(
                assignments.iter().map(|a| a.records).sum::<u64>(),
                records,
                "{patients} {records}"
            );
            if records >= patients {
                assert_eq!(assignments.len() as u64, patients);
            }
        }
    }

    #[test]
    fn every_kind_is_forced_somewhere() {
        for (patients, records) in [(1, 300), (20, 300), (300, 300), (5000, 300)] {
            let mut kinds: Vec<Kind> = assignments(patients, records)
                .into_iter()
                .flat_map(|a| a.forced)
                .collect();
            kinds.sort_unstable();
            assert_eq!(kinds.len(), Kind::COUNT, "{patients} patients");
        }
    }
}
