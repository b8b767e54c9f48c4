//! Registry volumes: users, linkage and disclosure of each facility; facilities and masters of all.
//!
//! Passwords of the synthetic users are no secret: [`password_of`] tells them.

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};

use super::center::Center;
use super::chance::{Chance, Stream, digest};
use super::disease::DISEASES;
use super::disk::Folder;
use super::error::GenError;
use super::facility::Facility;
use super::laboratory::PANELS;
use super::moment::Moment;
use super::pharmacy::ORAL;
use super::ward::DEPARTMENTS;
use crate::progress::Monitor;

/// Label of registry volumes.
const REGISTRY: &str = "REG01";
/// The facility id under which everybody's tables lie.
const COMMON: &str = "COMMON";
/// argon2id: memory in KiB, passes, lanes. Low, since a demonstration logs in often.
const ARGON2: (u32, u32, u32) = (8 * 1024, 2, 1);

/// A user who is known at every facility.
struct User {
    id: &'static str,
    role: &'static str,
    title: &'static str,
    permissions: &'static str,
    totp: &'static str,
}

const USERS: &[User] = &[
    User {
        id: "ishi",
        role: "physician",
        title: "医師",
        permissions: "emergency",
        totp: "",
    },
    User {
        id: "kango",
        role: "nurse",
        title: "看護師",
        permissions: "",
        totp: "",
    },
    User {
        id: "yakuzai",
        role: "pharmacist",
        title: "薬剤師",
        permissions: "",
        totp: "",
    },
    User {
        id: "saigai",
        role: "physician",
        title: "災害医療担当",
        permissions: "emergency;search_all;declare",
        totp: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    },
    User {
        id: "kanri",
        role: "administrator",
        title: "管理者",
        permissions: "search_all;review;declare",
        totp: "",
    },
];

/// The password of a synthetic user: `hikae-` and the user id.
pub fn password_of(user_id: &str) -> String {
    format!("hikae-{user_id}")
}

/// Writes `REG01` of every facility and `COMMON/REG01`.
pub(super) fn write(
    center: &Center,
    root: &mut Folder,
    monitor: &dyn Monitor,
) -> Result<(), GenError> {
    let hashes: Vec<String> = USERS
        .iter()
        .map(|user| hash(center.seed, user.id))
        .collect::<Result<_, _>>()?;
    for facility in &center.facilities {
        users(center, root, facility, &hashes)?;
        linkage(center, root, facility)?;
        disclosure(center, root, facility)?;
        monitor.advance(1);
    }
    common(center, root)
}

fn hash(seed: u64, user: &str) -> Result<String, GenError> {
    let error = |source| GenError::Password {
        user: user.to_owned(),
        source,
    };
    let (memory, passes, lanes) = ARGON2;
    let params = Params::new(memory, passes, lanes, None).map_err(|source| error(source.into()))?;
    let number = user
        .bytes()
        .fold(0u64, |sum, byte| sum * 31 + u64::from(byte));
    let salt: Vec<u8> = (0..2)
        .flat_map(|part| digest(seed, Stream::Registry, &[number, part]).to_le_bytes())
        .collect();
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = hasher
        .hash_password_with_salt(password_of(user).as_bytes(), &salt)
        .map_err(error)?;
    Ok(hash.to_string())
}

/// A table under construction.
struct Table<'a> {
    center: &'a Center,
    path: String,
    writer: csv::Writer<Vec<u8>>,
}

impl<'a> Table<'a> {
    fn new(
        center: &'a Center,
        facility: &str,
        name: &str,
        header: &[&str],
    ) -> Result<Self, GenError> {
        let mut table = Self {
            center,
            path: format!("{facility}/{REGISTRY}/{name}"),
            writer: csv::Writer::from_writer(Vec::new()),
        };
        table.row(header)?;
        Ok(table)
    }

    fn row(&mut self, fields: &[&str]) -> Result<(), GenError> {
        self.writer
            .write_record(fields)
            .map_err(|source| GenError::Table {
                path: self.center.volumes().join(&self.path),
                source,
            })
    }

    fn finish(self, root: &mut Folder) -> Result<(), GenError> {
        let path = self.center.volumes().join(&self.path);
        let content = self.writer.into_inner().map_err(|error| GenError::Io {
            path,
            source: error.into_error(),
        })?;
        if let Some((directory, _)) = self.path.rsplit_once('/') {
            root.make(directory.as_bytes())?;
        }
        let written = Moment::of_date(2026, 3, 31).plus_minutes(23 * 60);
        root.write(
            self.path.as_bytes(),
            &content,
            written.mtime(content.len() as u64),
        )
    }
}

fn users(
    center: &Center,
    root: &mut Folder,
    facility: &Facility,
    hashes: &[String],
) -> Result<(), GenError> {
    let header = [
        "user_id",
        "display_name",
        "password_hash",
        "role",
        "totp_secret",
        "permissions",
    ];
    let mut table = Table::new(center, &facility.id, "users.csv", &header)?;
    for (place, (user, hash)) in USERS.iter().zip(hashes).enumerate() {
        let name = &facility.doctors[place % facility.doctors.len()].name;
        let display = format!("{} {}（{}）", name.family, name.given, user.title);
        table.row(&[
            user.id,
            &display,
            hash,
            user.role,
            user.totp,
            user.permissions,
        ])?;
    }
    table.finish(root)
}

fn person_id(center: &Center, facility: u32, number: u64) -> String {
    let (first, number) = center.person(facility, number);
    format!("P{:04}{number:08}", first + 1)
}

/// All ids of every person who has a patient here.
fn linkage(center: &Center, root: &mut Folder, facility: &Facility) -> Result<(), GenError> {
    let mut table = Table::new(
        center,
        &facility.id,
        "linkage.csv",
        &["person_id", "facility_id", "patient_id"],
    )?;
    for number in 0..facility.patients {
        let person = person_id(center, facility.index, number);
        for index in center.registrations(facility.index, number) {
            let other = &center.facilities[index as usize];
            table.row(&[&person, &other.id, &other.patient_id(number)])?;
        }
    }
    table.finish(root)
}

/// What this facility may see of its persons' records elsewhere: mostly yes, sometimes no, not
/// any more, or nothing said.
fn disclosure(center: &Center, root: &mut Folder, facility: &Facility) -> Result<(), GenError> {
    let header = ["person_id", "owner_facility_id", "allowed", "until"];
    let mut table = Table::new(center, &facility.id, "disclosure.csv", &header)?;
    for number in 0..facility.patients {
        let registrations = center.registrations(facility.index, number);
        if registrations.clone().count() < 2 {
            continue;
        }
        let person = person_id(center, facility.index, number);
        for index in registrations.filter(|&index| index != facility.index) {
            let owner = &center.facilities[index as usize].id;
            let mut chance = Chance::of(
                center.seed,
                Stream::Registry,
                &[u64::from(facility.index), number, u64::from(index)],
            );
            let until = Moment::of_date(2026, 3, 31)
                .plus_days(chance.between(400, 1800))
                .iso_date();
            match chance.below(20) {
                0..=11 => table.row(&[&person, owner, "true", ""])?,
                12..=15 => table.row(&[&person, owner, "true", &until])?,
                16 => table.row(&[&person, owner, "true", "2025-09-30"])?,
                17 | 18 => table.row(&[&person, owner, "false", ""])?,
                _ => {}
            }
        }
    }
    table.finish(root)
}

fn common(center: &Center, root: &mut Folder) -> Result<(), GenError> {
    let mut table = Table::new(
        center,
        COMMON,
        "facilities.csv",
        &["facility_id", "name", "name_kana"],
    )?;
    for facility in &center.facilities {
        table.row(&[&facility.id, &facility.name, &facility.name_kana])?;
    }
    table.finish(root)?;
    let departments: Vec<_> = DEPARTMENTS.to_vec();
    let drugs: Vec<_> = ORAL.iter().map(|drug| (drug.code, drug.name)).collect();
    let mut tests: Vec<_> = PANELS
        .iter()
        .flat_map(|panel| panel.tests)
        .map(|test| (test.code, test.name))
        .collect();
    tests.sort_unstable();
    tests.dedup();
    let diseases: Vec<_> = DISEASES
        .iter()
        .map(|disease| (disease.code, disease.name))
        .collect();
    for (name, rows) in [
        ("departments", departments),
        ("drugs", drugs),
        ("laboratory", tests),
        ("diseases", diseases),
    ] {
        let mut table = Table::new(
            center,
            COMMON,
            &format!("masters/{name}.csv"),
            &["code", "name"],
        )?;
        for (code, text) in rows {
            table.row(&[code, text])?;
        }
        table.finish(root)?;
    }
    Ok(())
}
