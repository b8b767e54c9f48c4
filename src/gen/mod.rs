//! A synthetic center: volumes full of plausible records, an INDEX DB, and days of changes.
//!
//! Everything follows from a seed: the same options give the same names, bytes, mtimes and rows.
//! No record is a real person's. What real storages get wrong is put in on purpose and listed in
//! the report. Replicating a center is left to the rest of the program; nothing here reads what
//! the rest writes.
//!
//! Data flows one way: `center` and `chart` say who there is, `course` what happens, `frame` and
//! the composers (`administration`, `medication`, `specimen`, `examination`, `document`) what is
//! written about it, `gateway` and `ledger` put it on disk; `storage` and `day` drive them.

mod administration;
mod anomaly;
mod attachment;
mod center;
mod chance;
mod chart;
mod course;
mod day;
mod disease;
mod disk;
mod dispatch;
mod document;
mod error;
mod event;
mod examination;
mod facility;
mod frame;
mod gateway;
mod imaging;
mod kind;
mod laboratory;
mod ledger;
mod medication;
mod message;
mod moment;
mod people;
mod person;
mod pharmacy;
mod record;
mod registry;
mod report;
mod shift;
mod specimen;
mod storage;
#[cfg(test)]
mod tests;
mod ward;

pub use day::{DayOptions, day};
pub use error::GenError;
pub use registry::password_of;
pub use report::{DayReport, PlantedAnomaly, PlantedKind, StorageReport};
pub use storage::{StorageOptions, storage};

/// The seed where none is given.
pub const DEFAULT_SEED: u64 = 20_110_311;
