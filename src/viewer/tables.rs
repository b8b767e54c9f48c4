//! The registry's tables as the replica holds them: read anew whenever a
//! commit brought others.

use std::collections::BTreeMap;

use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use jiff::{SignedDuration, Timestamp};

use super::chart::REGISTRY_LABEL;
use crate::catalogue::{Catalogue, CatalogueError};
use crate::registry::{CommonRegistry, Condition, FacilityRegistry, Source, Table, User};

/// The facility id under which everybody's tables lie.
const COMMON: &str = "COMMON";
/// The folder of the masters.
const MASTERS: &str = "masters";
/// How old linkage and disclosure may be: what was revoked since is not known
/// here, but a disaster lasts for weeks.
pub(super) const AGE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A file's bytes and times.
struct File {
    name: String,
    bytes: Vec<u8>,
    changed_at: Option<Timestamp>,
}

/// Every table of the replica.
#[derive(Debug)]
pub(super) struct Tables {
    facilities: BTreeMap<String, FacilityRegistry>,
    common: CommonRegistry,
    /// The commit that they are of.
    pub commit: u64,
}

impl Tables {
    /// Reads the tables.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn read(catalogue: &Catalogue) -> Result<Tables, CatalogueError> {
        let commit = catalogue.commit_record().map_or(0, |commit| commit.number);
        let signed_at = catalogue.snapshot().map(|snapshot| snapshot.time_ms);
        let signed_at = signed_at.and_then(|at| Timestamp::from_millisecond(at).ok());
        let mut facilities = BTreeMap::new();
        for volume in catalogue.names_below(b"")? {
            let Some((facility, label)) = split(&volume) else {
                continue;
            };
            if label != REGISTRY_LABEL || facility == COMMON {
                continue;
            }
            let read = |name| file(catalogue, facility, name);
            let files = [
                read("users.csv")?,
                read("linkage.csv")?,
                read("disclosure.csv")?,
            ];
            let [users, linkage, disclosure] = files.each_ref().map(|file| source(file, signed_at));
            let registry = FacilityRegistry::read(facility, users, linkage, disclosure);
            facilities.insert(facility.to_string(), registry);
        }
        let names = file(catalogue, COMMON, "facilities.csv")?;
        let masters = masters(catalogue)?;
        let masters = masters
            .iter()
            .map(|(name, file)| (name.as_str(), source(file, signed_at)));
        Ok(Tables {
            facilities,
            common: CommonRegistry::read(source(&names, signed_at), masters),
            commit,
        })
    }

    /// The registry of one facility; none if the replica has none.
    pub(super) fn facility(&self, facility: &str) -> Option<&FacilityRegistry> {
        self.facilities.get(facility)
    }

    /// A user of a facility.
    pub(super) fn user(&self, facility: &str, user: &str) -> Option<&User> {
        self.facilities.get(facility)?.users.content.get(user)
    }

    /// The name of a facility, else its id.
    pub(super) fn facility_name<'a>(&'a self, facility: &'a str) -> &'a str {
        let known = self.common.facilities.content.get(facility);
        known.map_or(facility, |known| known.name.as_str())
    }

    /// Facilities whose users can sign in: id and name.
    pub(super) fn facilities(&self) -> impl Iterator<Item = (&str, &str)> {
        let ids = self.facilities.keys();
        ids.map(|id| (id.as_str(), self.facility_name(id)))
    }

    /// How old the tables of a facility are, and what is wrong with them.
    pub(super) fn state(&self, facility: &str, now: Timestamp) -> Vec<(String, Condition)> {
        fn of<T>(table: &Table<T>, now: Timestamp) -> (String, Condition) {
            (table.file.clone(), table.condition(now, AGE_MAX))
        }
        let Some(registry) = self.facilities.get(facility) else {
            return vec![];
        };
        vec![
            of(&registry.users, now),
            of(&registry.linkage, now),
            of(&registry.disclosure, now),
            of(&self.common.facilities, now),
        ]
    }

    /// What is wrong with the tables that a facility uses, by file and line.
    pub(super) fn faults(&self, facility: &str) -> Vec<&crate::registry::Fault> {
        let own = self.facilities.get(facility).map(FacilityRegistry::faults);
        own.into_iter()
            .flatten()
            .chain(self.common.faults())
            .collect()
    }
}

fn split(volume: &[u8]) -> Option<(&str, &[u8])> {
    let slash = volume.iter().position(|&byte| byte == b'/')?;
    let facility = std::str::from_utf8(volume.get(..slash)?).ok()?;
    Some((facility, volume.get(slash + 1..)?))
}

fn source(file: &File, current_at: Option<Timestamp>) -> Source<'_> {
    let is_there = file.changed_at.is_some();
    Source {
        file: &file.name,
        bytes: is_there.then_some(&file.bytes),
        current_at,
        changed_at: file.changed_at,
    }
}

/// A file of a facility's registry volume; empty and without a time if it is
/// not there.
fn file(catalogue: &Catalogue, facility: &str, name: &str) -> Result<File, CatalogueError> {
    let volume = [facility.as_bytes(), b"/", REGISTRY_LABEL].concat();
    let text = format!("{}/{name}", String::from_utf8_lossy(&volume));
    let mut found = File {
        name: text,
        bytes: vec![],
        changed_at: None,
    };
    let Ok((key, path)) = LeafKey::of_file(&volume, name.as_bytes()) else {
        return Ok(found);
    };
    if let Some(record) = catalogue.leaf_record(&key)?
        && let Some(file) = record.file(&path)
        && file.content.is_held()
    {
        catalogue.content::<CatalogueError>(file.content, |part| {
            found.bytes.extend_from_slice(part);
            Ok(())
        })?;
        let changed = Timestamp::from_nanosecond(i128::from(file.entry.mtime_ns));
        found.changed_at = Some(changed.unwrap_or(Timestamp::UNIX_EPOCH));
    }
    Ok(found)
}

fn masters(catalogue: &Catalogue) -> Result<Vec<(String, File)>, CatalogueError> {
    let volume = [COMMON.as_bytes(), b"/", REGISTRY_LABEL].concat();
    let any = format!("{MASTERS}/any.csv");
    let Ok((key, _)) = LeafKey::of_file(&volume, any.as_bytes()) else {
        return Ok(vec![]);
    };
    let Some(record) = catalogue.leaf_record(&key)? else {
        return Ok(vec![]);
    };
    let mut found = Vec::new();
    for entry in &record.files {
        let path: &ObjectPath = &entry.entry.path;
        let Ok(name) = std::str::from_utf8(path.as_bytes()) else {
            continue;
        };
        let Some(master) = name.strip_suffix(".csv") else {
            continue;
        };
        let whole = format!("{MASTERS}/{name}");
        found.push((master.to_string(), file(catalogue, COMMON, &whole)?));
    }
    Ok(found)
}
