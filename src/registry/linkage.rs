//! Linkage (紐づけ): which ids of which facilities are one person: `linkage.csv`.

use std::collections::{BTreeMap, BTreeSet};

use super::access::Patient;
use super::table::{FaultKind, OnBadRow, Source, Table, read};

const COLUMNS: [&str; 3] = ["person_id", "facility_id", "patient_id"];

/// Persons and their ids. A patient who is said to be two persons is linked to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Linkage {
    persons: BTreeMap<Patient, Person>,
    patients: BTreeMap<String, BTreeSet<Patient>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Person {
    /// `None` where the table contradicts itself.
    id: Option<String>,
    line: u64,
}

impl Linkage {
    /// Reads `linkage.csv`.
    pub fn read(source: Source<'_>) -> Table<Self> {
        read(
            source,
            &COLUMNS,
            OnBadRow::Skip,
            |linkage: &mut Self, row| {
                let person = row.required("person_id")?;
                let patient = Patient {
                    facility: row.required("facility_id")?.to_owned(),
                    id: row.required("patient_id")?.to_owned(),
                };
                linkage.add(person, patient, row.line)
            },
        )
    }

    fn add(&mut self, person: &str, patient: Patient, line: u64) -> Result<(), FaultKind> {
        if let Some(before) = self.persons.get_mut(&patient) {
            // The same row again changes nothing, but somebody should know.
            if before.id.as_deref() != Some(person)
                && let Some(former) = before.id.take()
                && let Some(patients) = self.patients.get_mut(&former)
            {
                patients.remove(&patient);
            }
            return Err(FaultKind::Duplicate {
                what: format!("patient {} of {}", patient.id, patient.facility),
                first: before.line,
            });
        }
        let id = Some(person.to_owned());
        self.persons.insert(patient.clone(), Person { id, line });
        self.patients
            .entry(person.to_owned())
            .or_default()
            .insert(patient);
        Ok(())
    }

    /// The person that a patient is.
    pub fn person_of(&self, patient: &Patient) -> Option<&str> {
        self.persons.get(patient)?.id.as_deref()
    }

    /// Every patient that is this person, in order.
    pub fn patients_of(&self, person: &str) -> impl Iterator<Item = &Patient> {
        self.patients.get(person).into_iter().flatten()
    }
}
