//! Facilities and masters, the same for everybody: `COMMON/REG01`.

use std::collections::BTreeMap;

use super::table::{Fault, FaultKind, OnBadRow, Source, Table, read};

/// The tables of `COMMON/REG01`.
#[derive(Debug, Clone, PartialEq)]
pub struct CommonRegistry {
    /// `facilities.csv`.
    pub facilities: Table<Facilities>,
    /// `masters/<name>.csv` by name.
    pub masters: BTreeMap<String, Table<Master>>,
}

/// Facilities by their id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facilities {
    facilities: BTreeMap<String, (Facility, u64)>,
}

/// A facility.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facility {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its name in kana.
    pub kana: String,
}

/// Names by code.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Master {
    names: BTreeMap<String, (String, u64)>,
}

impl CommonRegistry {
    /// Reads the tables; a master's name is its file's without ending.
    pub fn read<'a>(
        facilities: Source<'_>,
        masters: impl IntoIterator<Item = (&'a str, Source<'a>)>,
    ) -> Self {
        Self {
            facilities: Facilities::read(facilities),
            masters: masters
                .into_iter()
                .map(|(name, source)| (name.to_owned(), Master::read(source)))
                .collect(),
        }
    }

    /// What is wrong with the tables.
    pub fn faults(&self) -> Vec<&Fault> {
        let masters = self.masters.values().flat_map(|master| &master.faults);
        self.facilities.faults.iter().chain(masters).collect()
    }
}

impl Facilities {
    /// Reads `facilities.csv`.
    pub fn read(source: Source<'_>) -> Table<Self> {
        let columns = ["facility_id", "name", "name_kana"];
        read(
            source,
            &columns,
            OnBadRow::Skip,
            |facilities: &mut Self, row| {
                let facility = Facility {
                    id: row.required("facility_id")?.to_owned(),
                    name: row.required("name")?.to_owned(),
                    kana: row.get("name_kana").to_owned(),
                };
                let what = format!("facility_id {}", facility.id);
                add(
                    &mut facilities.facilities,
                    facility.id.clone(),
                    facility,
                    row.line,
                    what,
                )
            },
        )
    }

    /// The facility with this id.
    pub fn get(&self, id: &str) -> Option<&Facility> {
        self.facilities.get(id).map(|(facility, _)| facility)
    }

    /// Every facility, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Facility> {
        self.facilities.values().map(|(facility, _)| facility)
    }
}

impl Master {
    /// Reads a table of codes and names.
    pub fn read(source: Source<'_>) -> Table<Self> {
        read(
            source,
            &["code", "name"],
            OnBadRow::Skip,
            |master: &mut Self, row| {
                let code = row.required("code")?.to_owned();
                let name = row.required("name")?.to_owned();
                let what = format!("code {code}");
                add(&mut master.names, code, name, row.line, what)
            },
        )
    }

    /// The name of a code.
    pub fn name_of(&self, code: &str) -> Option<&str> {
        self.names.get(code).map(|(name, _)| name.as_str())
    }
}

/// The first of two stays: these are names for people, nobody's right depends on them.
fn add<T>(
    found: &mut BTreeMap<String, (T, u64)>,
    key: String,
    value: T,
    line: u64,
    what: String,
) -> Result<(), FaultKind> {
    if let Some((_, first)) = found.get(&key) {
        return Err(FaultKind::Duplicate {
            what,
            first: *first,
        });
    }
    found.insert(key, (value, line));
    Ok(())
}
