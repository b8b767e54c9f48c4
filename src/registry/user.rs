//! Users of a facility: `users.csv`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::table::{FaultKind, OnBadRow, Source, Table, read};
use crate::language::Language;

const COLUMNS: [&str; 6] = [
    "user_id",
    "display_name",
    "password_hash",
    "role",
    "totp_secret",
    "permissions",
];

/// The users of a facility by their id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Users {
    users: BTreeMap<String, User>,
    /// The line in which each id was first seen, those that don't count included.
    lines: BTreeMap<String, u64>,
}

/// Someone who may sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The id by which the user signs in.
    pub id: String,
    /// The name that is shown.
    pub display_name: String,
    /// argon2id, as a PHC string.
    pub password_hash: String,
    /// The second factor: base32; `None` for none.
    pub totp_secret: Option<String>,
    /// What the user is.
    pub role: Role,
    /// What the user may beyond the own facility's patients.
    pub permissions: BTreeSet<Permission>,
}

/// What a user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// `physician`
    Physician,
    /// `nurse`
    Nurse,
    /// `pharmacist`
    Pharmacist,
    /// `administrator`
    Administrator,
    /// Something else, as it is written: no rights follow from it.
    Other(String),
}

/// A right beyond the own facility's patients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// `emergency`: open records in a declared emergency.
    Emergency,
    /// `search_all`: find other facilities' patients, linked or not. Opening is another matter.
    SearchAll,
    /// `review`: see what was opened in emergencies, and the audit log.
    Review,
    /// `history`: see raw messages, superseded and deleted records. Physicians have it.
    History,
    /// `declare`: declare an emergency, and end it.
    Declare,
}

const PERMISSIONS: [(&str, Permission); 5] = [
    ("emergency", Permission::Emergency),
    ("search_all", Permission::SearchAll),
    ("review", Permission::Review),
    ("history", Permission::History),
    ("declare", Permission::Declare),
];

impl Users {
    /// Reads `users.csv`. Of an id that is there twice, nobody counts.
    pub fn read(source: Source<'_>) -> Table<Self> {
        read(source, &COLUMNS, OnBadRow::Skip, |users: &mut Self, row| {
            let id = row.required("user_id")?.to_owned();
            if let Some(&first) = users.lines.get(&id) {
                users.users.remove(&id);
                let what = format!("user_id {id}");
                return Err(FaultKind::Duplicate { what, first });
            }
            users.lines.insert(id.clone(), row.line);
            let user = User {
                display_name: row.required("display_name")?.to_owned(),
                password_hash: hash(row.required("password_hash")?)?,
                role: Role::of(row.required("role")?),
                totp_secret: totp(row.get("totp_secret"))?,
                permissions: permissions(row.get("permissions"))?,
                id: id.clone(),
            };
            users.users.insert(id, user);
            Ok(())
        })
    }

    /// The user with this id.
    pub fn get(&self, id: &str) -> Option<&User> {
        self.users.get(id)
    }

    /// Every user, by id.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }
}

fn hash(text: &str) -> Result<String, FaultKind> {
    if text.starts_with("$argon2id$") {
        return Ok(text.to_owned());
    }
    Err(FaultKind::Value {
        column: "password_hash",
        value: "(hidden)".to_owned(),
        expected: "an argon2id PHC string",
    })
}

fn totp(text: &str) -> Result<Option<String>, FaultKind> {
    let is_base32 = text
        .bytes()
        .all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7' | b'='));
    match (text, is_base32) {
        ("", _) => Ok(None),
        (_, true) => Ok(Some(text.trim_end_matches('=').to_owned())),
        (_, false) => Err(FaultKind::Value {
            column: "totp_secret",
            value: "(hidden)".to_owned(),
            expected: "base32",
        }),
    }
}

/// A right that nobody knows makes the row a fault: the user would be told less than was meant.
fn permissions(text: &str) -> Result<BTreeSet<Permission>, FaultKind> {
    let names = text.split([';', ' ']).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let known = PERMISSIONS.iter().find(|(known, _)| *known == name);
            known
                .map(|(_, permission)| *permission)
                .ok_or_else(|| FaultKind::Value {
                    column: "permissions",
                    value: name.to_owned(),
                    expected: "emergency, search_all, review, history or declare, joined by ;",
                })
        })
        .collect()
}

impl User {
    /// The user has this right.
    pub fn may(&self, permission: Permission) -> bool {
        let by_role = permission == Permission::History && self.role == Role::Physician;
        by_role || self.permissions.contains(&permission)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("display_name", &self.display_name)
            .field("role", &self.role)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

impl Role {
    fn of(text: &str) -> Self {
        match text {
            "physician" => Self::Physician,
            "nurse" => Self::Nurse,
            "pharmacist" => Self::Pharmacist,
            "administrator" => Self::Administrator,
            other => Self::Other(other.to_owned()),
        }
    }

    /// For people.
    pub fn text(&self, language: Language) -> &str {
        match self {
            Self::Physician => language.pick("医師", "physician"),
            Self::Nurse => language.pick("看護師", "nurse"),
            Self::Pharmacist => language.pick("薬剤師", "pharmacist"),
            Self::Administrator => language.pick("管理者", "administrator"),
            Self::Other(text) => text,
        }
    }
}
