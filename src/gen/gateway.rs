//! The gateway of a facility: puts one patient's records on disk and keeps their rows.
//!
//! A new storage is written straight away; a day's changes are written the way a gateway writes,
//! under temporary names and renamed into place.

use std::collections::BTreeMap;

use super::center::Center;
use super::chance::{Stream, digest};
use super::chart::Patient;
use super::disk::{Folder, Tally};
use super::error::GenError;
use super::event::{Event, What};
use super::frame::{Page, Version};
use super::kind::DOCUMENTS;
use super::ledger::Row;
use super::moment::Moment;
use crate::ssmix::{Flag, RecordName};

/// Label of the standard storage.
pub(super) const STANDARD: &str = "STD01";
/// Label of the extended storage.
pub(super) const EXTENDED: &str = "ANX01";
/// One of so many rows is written by a Windows gateway: `\` between folders.
const BACKSLASH_EVERY: u64 = 150;
/// One of so many content folders lies in a kind folder named in Shift_JIS.
const SHIFT_JIS_EVERY: u64 = 20;
/// One of so many content folders is named with six fields and a short timestamp.
const SIX_FIELDS_EVERY: u64 = 12;

/// How a record of a new storage has lived until now.
#[derive(Debug, Clone, Copy)]
pub(super) enum Life {
    Plain,
    /// Corrected at a moment.
    Updated(Moment),
    /// Deleted at a moment.
    Deleted(Moment),
}

/// Where a record was put.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) label: &'static str,
    /// Directory of the file or content folder, below the patient directory.
    directory: Vec<u8>,
    /// The same as the INDEX DB names it, below the volume's root.
    pub(super) row_directory: String,
    /// Name of the file or content folder.
    pub(super) name: String,
}

/// Writes the records of one patient.
pub(super) struct Gateway<'a> {
    seed: u64,
    patient: &'a Patient<'a>,
    volumes: &'a mut Folder,
    standard: Option<Folder>,
    extended: Option<Folder>,
    /// Write under temporary names; only kind folders in UTF-8.
    careful: bool,
    pub(super) rows: Vec<Row>,
    pub(super) kinds: BTreeMap<&'static str, u64>,
}

impl<'a> Gateway<'a> {
    pub(super) fn new(
        center: &Center,
        patient: &'a Patient<'a>,
        volumes: &'a mut Folder,
        careful: bool,
    ) -> Self {
        Self {
            seed: center.seed,
            patient,
            volumes,
            standard: None,
            extended: None,
            careful,
            rows: Vec::new(),
            kinds: BTreeMap::new(),
        }
    }

    /// What was made in the patient's directories.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for folder in [&self.standard, &self.extended].into_iter().flatten() {
            tally.add(folder.tally);
        }
        tally
    }

    /// The patient's directory in a volume.
    pub(super) fn folder(&mut self, label: &str) -> Result<&mut Folder, GenError> {
        let slot = if label == EXTENDED {
            &mut self.extended
        } else {
            &mut self.standard
        };
        match slot {
            Some(folder) => Ok(folder),
            None => {
                let folder =
                    self.volumes
                        .patient(&self.patient.facility.id, label, &self.patient.id)?;
                Ok(slot.insert(folder))
            }
        }
    }

    /// Writes a record of a new storage with all its versions.
    pub(super) fn record(&mut self, event: &Event, life: Life) -> Result<(), GenError> {
        *self.kinds.entry(kind_name(event.what)).or_default() += 1;
        let first = Version {
            revision: 0,
            taken_back: false,
            written: event.written,
        };
        match life {
            Life::Plain => {
                let placed = self.write(event, first, Flag::Valid)?;
                self.row(event, &placed, "INS", event.written, event.written);
            }
            Life::Updated(at) => {
                let placed = self.write(event, first, Flag::Superseded)?;
                self.row(event, &placed, "INS", event.written, at);
                let placed = self.write(
                    event,
                    Version {
                        revision: 1,
                        taken_back: false,
                        written: at,
                    },
                    Flag::Valid,
                )?;
                self.row(event, &placed, "INS", at, at);
            }
            Life::Deleted(at) => {
                let placed = self.write(event, first, Flag::Deleted)?;
                // The extended storage only renames.
                if placed.label == EXTENDED {
                    self.row(event, &placed, "DEL", event.written, at);
                } else {
                    self.row(event, &placed, "INS", event.written, at);
                    self.tombstone(event, at, 0)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the tombstone of a record of the standard storage, and its row.
    pub(super) fn tombstone(
        &mut self,
        event: &Event,
        at: Moment,
        revision: u32,
    ) -> Result<Placed, GenError> {
        let placed = self.write(
            event,
            Version {
                revision,
                taken_back: true,
                written: at,
            },
            Flag::Deleted,
        )?;
        self.row(event, &placed, "DEL", at, at);
        Ok(placed)
    }

    /// Writes one version of a record.
    pub(super) fn write(
        &mut self,
        event: &Event,
        version: Version,
        flag: Flag,
    ) -> Result<Placed, GenError> {
        let placed = self.place(event, version, flag);
        let patient = self.patient;
        let files = Page {
            patient,
            event,
            version,
        }
        .files();
        let fine = digest(
            self.seed,
            Stream::Nanoseconds,
            &[
                patient.stream[0],
                patient.stream[1],
                event.number,
                u64::from(version.revision),
            ],
        );
        let mtime = version.written.mtime(fine);
        let careful = self.careful;
        let folder = self.folder(placed.label)?;
        folder.make(&placed.directory)?;
        let target = placed.path();
        let document = matches!(event.what, What::Document(_));
        match (document, careful) {
            (false, true) => folder.write_in_place(&target, &files[0].1, mtime)?,
            (false, false) => folder.write(&target, &files[0].1, mtime)?,
            (true, _) => {
                let content = if careful {
                    [&target[..], b".tmp"].concat()
                } else {
                    target.clone()
                };
                folder.make(&content)?;
                for (name, bytes) in &files {
                    folder.write(
                        &[&content[..], b"/", name.as_bytes()].concat(),
                        bytes,
                        mtime,
                    )?;
                }
                if careful {
                    folder.move_to(&content, &target)?;
                }
            }
        }
        Ok(placed)
    }

    fn place(&self, event: &Event, version: Version, flag: Flag) -> Placed {
        let patient = self.patient;
        let (date, stamp) = (event.date(), version.written.stamp());
        let own = digest(
            self.seed,
            Stream::Life,
            &[patient.stream[0], patient.stream[1], event.number, 9],
        );
        let mut name = RecordName {
            patient: patient.id.as_bytes(),
            date: date.as_bytes(),
            kind: b"",
            order: event.order.as_bytes(),
            timestamp: stamp.as_bytes(),
            department: Some(department(patient, event).as_bytes()),
            flag,
        };
        let (label, folder) = match event.what {
            What::Standard(kind) => {
                name.kind = kind.code().as_bytes();
                (STANDARD, kind.code().as_bytes().to_vec())
            }
            What::Document(place) => {
                let document = &DOCUMENTS[place];
                name.kind = document.code.as_bytes();
                if own.is_multiple_of(SIX_FIELDS_EVERY) {
                    (name.timestamp, name.department) = (&stamp.as_bytes()[..15], None);
                }
                let shift_jis = !self.careful && (own >> 20).is_multiple_of(SHIFT_JIS_EVERY);
                (
                    EXTENDED,
                    if shift_jis {
                        document.folder_shift_jis()
                    } else {
                        document.folder.as_bytes().to_vec()
                    },
                )
            }
        };
        let leaf = crate::ssmix::patient_directory(patient.id.as_bytes());
        let mut row_directory = format!(
            "{}/{date}/{}",
            String::from_utf8_lossy(&leaf),
            kind_name(event.what)
        );
        if (own >> 40).is_multiple_of(BACKSLASH_EVERY) {
            row_directory = row_directory.replace('/', "\\");
        }
        Placed {
            label,
            directory: [date.as_bytes(), b"/", &folder].concat(),
            row_directory,
            name: String::from_utf8_lossy(&name.to_bytes()).into_owned(),
        }
    }

    /// Adds a row for what was placed.
    pub(super) fn row(
        &mut self,
        event: &Event,
        placed: &Placed,
        processing: &'static str,
        transaction: Moment,
        updated: Moment,
    ) {
        self.rows.push(Row {
            label: placed.label,
            facility: self.patient.facility.id.clone(),
            patient: self.patient.id.clone(),
            date: event.date(),
            kind: kind_name(event.what),
            order: event.order.clone(),
            processing,
            department: department(self.patient, event),
            transaction: transaction.stamp(),
            directory: placed.row_directory.clone(),
            file: placed.name.clone(),
            updated: updated.row(),
        });
    }
}

impl Placed {
    /// Directory of the file or content folder below the patient directory.
    pub(super) fn directory(&self) -> &[u8] {
        &self.directory
    }

    /// Path of the file or content folder below the patient directory.
    pub(super) fn path(&self) -> Vec<u8> {
        [&self.directory[..], b"/", self.name.as_bytes()].concat()
    }
}

/// DataKind of the INDEX DB: the kind's code, or the kind folder's name in UTF-8.
pub(super) fn kind_name(what: What) -> &'static str {
    match what {
        What::Standard(kind) => kind.code(),
        What::Document(place) => DOCUMENTS[place].folder,
    }
}

fn department(patient: &Patient<'_>, event: &Event) -> &'static str {
    match event.what {
        What::Standard(kind) if kind.undated() => "-",
        _ => patient.facility.department(event.department),
    }
}
