//! The center: its facilities and patients, and the file that remembers them between days.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chance::{Stream, digest, share};
use super::chart::Patient;
use super::error::GenError;
use super::facility::Facility;

/// Name of the file that marks a finished center.
const CENTER_FILE: &str = "center.json";
/// Version of that file.
const FORMAT: u32 = 1;
/// Share of a facility's patients who are also at the facility before it.
const LINKED_SHARE: f64 = 0.25;

/// What is remembered between days.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    format: u32,
    seed: u64,
    facilities: u32,
    patients: u64,
    records: u64,
    /// Patients that later days added, by facility.
    joined: BTreeMap<u32, u64>,
    /// Directories with a planted anomaly, relative to the center; later days leave them alone.
    protected: BTreeSet<String>,
}

/// A synthetic center.
pub(super) struct Center {
    pub(super) out: PathBuf,
    pub(super) seed: u64,
    pub(super) facilities: Vec<Facility>,
    /// Initial patients of all facilities before this one.
    before: Vec<u64>,
    pub(super) patients: u64,
    pub(super) records: u64,
    pub(super) joined: BTreeMap<u32, u64>,
    pub(super) protected: BTreeSet<String>,
}

impl Center {
    /// A center with nothing on disk yet.
    pub(super) fn new(out: &Path, seed: u64, facilities: u32, patients: u64, records: u64) -> Self {
        let weights: Vec<u64> = (0..u64::from(facilities))
            .map(|index| 2 + digest(seed, Stream::Weight, &[index, 1]) % 7)
            .collect();
        let total: u64 = weights.iter().sum();
        let (mut list, mut before) = (Vec::new(), Vec::new());
        let (mut passed, mut given) = (0u64, 0u64);
        for (index, weight) in (0..facilities).zip(weights) {
            passed += weight;
            let end = (u128::from(patients) * u128::from(passed) / u128::from(total)) as u64;
            before.push(given);
            list.push(Facility::of(seed, index, end - given));
            given = end;
        }
        let (joined, protected) = (BTreeMap::new(), BTreeSet::new());
        Self {
            out: out.to_owned(),
            seed,
            facilities: list,
            before,
            patients,
            records,
            joined,
            protected,
        }
    }

    /// A center that was made before.
    ///
    /// Errors: [`GenError::NotACenter`] when its memory, volumes or INDEX DB are missing.
    pub(super) fn open(out: &Path) -> Result<Self, GenError> {
        let foreign = |reason: String| GenError::NotACenter {
            path: out.to_owned(),
            reason,
        };
        let text = std::fs::read(out.join(CENTER_FILE))
            .map_err(|error| foreign(format!("{CENTER_FILE}: {error}")))?;
        let memory: Memory = serde_json::from_slice(&text)
            .map_err(|error| foreign(format!("{CENTER_FILE}: {error}")))?;
        if memory.format != FORMAT {
            return Err(foreign(format!(
                "{CENTER_FILE} has format {}, expected {FORMAT}",
                memory.format
            )));
        }
        let mut center = Self::new(
            out,
            memory.seed,
            memory.facilities,
            memory.patients,
            memory.records,
        );
        for needed in [center.volumes(), center.index()] {
            if !needed.exists() {
                return Err(foreign(format!("{} is missing", needed.display())));
            }
        }
        (center.joined, center.protected) = (memory.joined, memory.protected);
        Ok(center)
    }

    /// Remembers the center; a crash leaves the old memory or the new one.
    pub(super) fn remember(&self) -> Result<(), GenError> {
        let memory = Memory {
            format: FORMAT,
            seed: self.seed,
            facilities: self.facilities.len() as u32,
            patients: self.patients,
            records: self.records,
            joined: self.joined.clone(),
            protected: self.protected.clone(),
        };
        let path = self.out.join(CENTER_FILE);
        let temporary = self.out.join(format!("{CENTER_FILE}.tmp"));
        let error = |source: std::io::Error| GenError::Io {
            path: path.clone(),
            source,
        };
        let text = serde_json::to_vec_pretty(&memory).map_err(|source| error(source.into()))?;
        std::fs::write(&temporary, text).map_err(error)?;
        std::fs::rename(&temporary, &path).map_err(error)
    }

    /// `DIR/volumes`.
    pub(super) fn volumes(&self) -> PathBuf {
        self.out.join("volumes")
    }

    /// `DIR/index.db`.
    pub(super) fn index(&self) -> PathBuf {
        self.out.join("index.db")
    }

    /// Facility and number there of an initial patient, counted over all facilities.
    pub(super) fn initial_patient(&self, place: u64) -> (&Facility, u64) {
        let index = self
            .before
            .partition_point(|&before| before <= place)
            .saturating_sub(1);
        (&self.facilities[index], place - self.before[index])
    }

    /// Opens the chart of a patient.
    pub(super) fn patient<'a>(&self, facility: &'a Facility, number: u64) -> Patient<'a> {
        Patient::of(
            self.seed,
            facility,
            number,
            self.person(facility.index, number),
        )
    }

    /// Whether a patient is also the patient of the same number at the facility before. Ids
    /// differ all the same: each facility counts its own.
    fn linked(&self, facility: u32, number: u64) -> bool {
        let at = facility as usize;
        at > 0
            && number < self.facilities[at].patients
            && number < self.facilities[at - 1].patients
            && share(digest(
                self.seed,
                Stream::Linkage,
                &[u64::from(facility), number],
            )) < LINKED_SHARE
    }

    /// Where the person was registered first: facility and number there.
    pub(super) fn person(&self, mut facility: u32, number: u64) -> (u64, u64) {
        while self.linked(facility, number) {
            facility -= 1;
        }
        (u64::from(facility), number)
    }

    /// All facilities where the person who is this patient has an id under the same number.
    pub(super) fn registrations(
        &self,
        facility: u32,
        number: u64,
    ) -> std::ops::RangeInclusive<u32> {
        let (first, _) = self.person(facility, number);
        let mut last = facility;
        while (last as usize) + 1 < self.facilities.len() && self.linked(last + 1, number) {
            last += 1;
        }
        first as u32..=last
    }
}
