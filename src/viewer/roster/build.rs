//! The roster follows the catalogue: what changed since a commit is read
//! again, and the log in the vault grows by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock};

use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::Epoch;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Roster, Row, Sex};
use crate::catalogue::{Catalogue, CatalogueError};
use crate::clinical::{Body, Kind};
use crate::progress::Monitor;
use crate::ssmix::patient_directory;
use crate::viewer::chart::{Chart, Item, REGISTRY_LABEL};
use crate::viewer::vault::{Vault, VaultError};

const LOG: &str = "roster.log";
/// Rows of a frame, at most.
const FRAME_ROWS_MAX: usize = 10_000;
/// The log is written anew when it has this many rows for each that is
/// needed.
const LOG_SHARE_MAX: usize = 3;

/// Why the roster could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The store failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The log failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Up to where a roster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// The node's own commit.
    commit: u64,
    /// The epoch of its signer: a store that was made anew has other commits.
    epoch: Epoch,
}

/// A frame of the log.
#[derive(Serialize, Deserialize)]
struct Frame {
    rows: Vec<Row>,
    /// Facility and id of patients that are gone.
    gone: Vec<(String, String)>,
    /// Of the last frame of an update: up to where the roster is then.
    cursor: Option<Cursor>,
}

/// Keeps the roster up to date.
pub(in crate::viewer) struct Follower {
    catalogue: Arc<Catalogue>,
    vault: Vault,
    cursor: Option<Cursor>,
    frames: u64,
    rows: usize,
}

type Patient = (String, String);

impl Follower {
    /// The roster as its log has it; empty if that is lost, of another store,
    /// or sealed with another key.
    pub(in crate::viewer) fn open(catalogue: &Arc<Catalogue>, vault: &Vault) -> (Follower, Roster) {
        let mut follower = Follower {
            catalogue: catalogue.clone(),
            vault: vault.clone(),
            cursor: None,
            frames: 0,
            rows: 0,
        };
        let roster = match follower.load() {
            Ok(roster) => roster,
            Err(error) => {
                tracing::warn!(%error, "the list of patients is made anew");
                Roster::default()
            }
        };
        if follower.cursor.is_none() {
            return (follower, Roster::default());
        }
        (follower, roster)
    }

    fn load(&mut self) -> Result<Roster, RosterError> {
        let read = self.vault.frames(LOG)?;
        let mut rows: BTreeMap<Patient, Row> = BTreeMap::new();
        let mut cursor = None;
        let mut waiting: Vec<Frame> = Vec::new();
        for body in &read.bodies {
            let Ok(frame) = postcard::from_bytes::<Frame>(body) else {
                return Ok(Roster::default());
            };
            let end = frame.cursor;
            waiting.push(frame);
            if end.is_none() {
                continue;
            }
            cursor = end;
            for frame in waiting.drain(..) {
                self.rows += frame.rows.len() + frame.gone.len();
                for row in frame.rows {
                    rows.insert((row.facility.clone(), row.patient.clone()), row);
                }
                for gone in frame.gone {
                    rows.remove(&gone);
                }
            }
        }
        let is_cut = read.whole_bytes < read.file_bytes || !waiting.is_empty();
        let known = self.newest().is_some_and(|newest| {
            cursor.is_some_and(|cursor: Cursor| {
                cursor.epoch == newest.epoch && cursor.commit <= newest.commit
            })
        });
        if !known || is_cut {
            return Ok(Roster::default());
        }
        self.cursor = cursor;
        self.frames = read.bodies.len() as u64;
        Ok(Roster::of(rows.into_values().collect()))
    }

    fn newest(&self) -> Option<Cursor> {
        let view = self.catalogue.view();
        view.head().map(|(commit, snapshot)| Cursor {
            commit: commit.number,
            epoch: snapshot.cursor.epoch,
        })
    }

    /// Whether nothing was committed since.
    pub(in crate::viewer) fn is_current(&self) -> bool {
        self.cursor == self.newest()
    }

    /// Brings the roster up to the newest commit.
    ///
    /// Errors: `RosterError`; the roster is then as it was.
    pub(in crate::viewer) fn follow(
        &mut self,
        roster: &RwLock<Roster>,
        monitor: &dyn Monitor,
    ) -> Result<(), RosterError> {
        let Some(newest) = self.newest() else {
            return Ok(());
        };
        if self.cursor == Some(newest) {
            return Ok(());
        }
        let since = self
            .cursor
            .filter(|cursor| cursor.epoch == newest.epoch && cursor.commit < newest.commit);
        let patients = match since {
            Some(since) => patients(self.catalogue.committed_since(since.commit)?.iter()),
            None => {
                let leaves = self.catalogue.view().leaves_below(b"")?;
                patients(leaves.iter().map(|(key, _)| key))
            }
        };
        monitor.stage("list of patients", Some(patients.len() as u64));
        let read: Vec<(Patient, Option<Row>)> = patients
            .into_par_iter()
            .map(|(facility, patient)| {
                let row = row(&self.catalogue, &facility, &patient)?;
                monitor.advance(1);
                Ok(((facility, patient), row))
            })
            .collect::<Result<_, CatalogueError>>()?;
        match since {
            Some(_) => self.change(roster, read, newest),
            None => self.replace(roster, read, newest),
        }
    }

    fn change(
        &mut self,
        roster: &RwLock<Roster>,
        read: Vec<(Patient, Option<Row>)>,
        newest: Cursor,
    ) -> Result<(), RosterError> {
        self.append(&read, newest)?;
        let mut facilities: BTreeMap<String, BTreeMap<String, Option<Row>>> = BTreeMap::new();
        for ((facility, patient), row) in read {
            facilities.entry(facility).or_default().insert(patient, row);
        }
        let mut roster = roster
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for (facility, changes) in facilities {
            roster.change(&facility, changes);
        }
        self.cursor = Some(newest);
        if self.rows > LOG_SHARE_MAX * roster.len().max(FRAME_ROWS_MAX) {
            let rows: Vec<Row> = roster.rows().cloned().collect();
            drop(roster);
            self.write_anew(&rows, newest)?;
        }
        Ok(())
    }

    fn replace(
        &mut self,
        roster: &RwLock<Roster>,
        read: Vec<(Patient, Option<Row>)>,
        newest: Cursor,
    ) -> Result<(), RosterError> {
        let rows: Vec<Row> = read.into_iter().filter_map(|(_, row)| row).collect();
        self.write_anew(&rows, newest)?;
        let made = Roster::of(rows);
        *roster
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = made;
        self.cursor = Some(newest);
        Ok(())
    }

    fn append(
        &mut self,
        read: &[(Patient, Option<Row>)],
        newest: Cursor,
    ) -> Result<(), RosterError> {
        let parts = read.chunks(FRAME_ROWS_MAX).count().max(1);
        for part in 0..parts {
            let from = part * FRAME_ROWS_MAX;
            let own = read.get(from..).unwrap_or_default();
            let own = own.get(..FRAME_ROWS_MAX.min(own.len())).unwrap_or_default();
            let frame = Frame {
                rows: own.iter().filter_map(|(_, row)| row.clone()).collect(),
                gone: own
                    .iter()
                    .filter(|(_, row)| row.is_none())
                    .map(|(patient, _)| patient.clone())
                    .collect(),
                cursor: (part + 1 == parts).then_some(newest),
            };
            let body = postcard::to_stdvec(&frame).unwrap_or_default();
            self.vault.append(LOG, self.frames + 1, &body)?;
            self.frames += 1;
            self.rows += own.len();
        }
        Ok(())
    }

    fn write_anew(&mut self, rows: &[Row], newest: Cursor) -> Result<(), RosterError> {
        let parts: Vec<&[Row]> = match rows.is_empty() {
            true => vec![&[]],
            false => rows.chunks(FRAME_ROWS_MAX).collect(),
        };
        let count = parts.len();
        let bodies = parts.into_iter().enumerate().map(|(at, rows)| {
            let frame = Frame {
                rows: rows.to_vec(),
                gone: vec![],
                cursor: (at + 1 == count).then_some(newest),
            };
            postcard::to_stdvec(&frame).unwrap_or_default()
        });
        let bodies: Vec<Vec<u8>> = bodies.collect();
        self.vault.replace_log(LOG, &bodies)?;
        (self.frames, self.rows) = (bodies.len() as u64, rows.len());
        Ok(())
    }
}

/// The patients whose leaves these are; strays and registries are nobody's.
fn patients<'a>(keys: impl Iterator<Item = &'a LeafKey>) -> BTreeSet<Patient> {
    keys.filter_map(patient_of).collect()
}

fn patient_of(key: &LeafKey) -> Option<Patient> {
    let volume = key.volume();
    let slash = volume.iter().position(|&byte| byte == b'/')?;
    let (facility, label) = (volume.get(..slash)?, volume.get(slash + 1..)?);
    let directory = key.directory();
    let patient = directory.rsplit(|&byte| byte == b'/').next()?;
    let is_patient = label != REGISTRY_LABEL && patient_directory(patient) == directory;
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_string);
    is_patient.then_some(())?;
    Some((text(facility)?, text(patient)?))
}

/// What the newest basics say; a patient without any is listed by id.
fn row(
    catalogue: &Arc<Catalogue>,
    facility: &str,
    patient: &str,
) -> Result<Option<Row>, CatalogueError> {
    let chart = Chart::of(catalogue, facility, patient, None)?;
    if chart.items().is_empty() {
        return Ok(None);
    }
    let mut basics: Vec<&Item> = chart
        .items()
        .iter()
        .filter(|item| item.is_current() && item.kind == Kind::Basics)
        .collect();
    basics.sort_by(|one, two| two.timestamp.cmp(&one.timestamp));
    let mut row = Row {
        facility: facility.into(),
        patient: patient.into(),
        name: String::new(),
        kana: String::new(),
        birth: None,
        sex: None,
    };
    for item in basics {
        let Some(record) = chart.record(item)? else {
            continue;
        };
        if let (true, Body::Basics(basics)) = (record.counts(), &record.body) {
            row.name = basics.name.text().to_string();
            row.kana = basics.name.kana.clone();
            let day = basics.birth.as_ref().and_then(|when| when.day());
            row.birth = day.map(super::number_of);
            row.sex = match basics.sex {
                crate::clinical::Sex::Male => Some(Sex::Male),
                crate::clinical::Sex::Female => Some(Sex::Female),
                _ => None,
            };
            break;
        }
    }
    Ok(Some(row))
}
