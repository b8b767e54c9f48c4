//! The registry: users, linkage of patients, disclosure between facilities, facilities, masters;
//! and the rules of who may see what.
//!
//! Tables come as bytes of CSV files and say how old they are. A row that can't be read is a
//! [`Fault`] that names file and line; where it could have been a "no", the answer is no. Access is
//! denied by default: records are shown for a [`Grant`], which only [`Policy`] makes. Reading the
//! files, checking passwords and keeping the state of an emergency are left to the viewer.
//!
//! Source: DOMAIN.md, "Registry".

mod access;
mod disclosure;
mod emergency;
mod facility;
mod linkage;
mod table;
mod user;

pub use access::{Basis, Grant, Patient, Policy, Refusal, Scope, SearchGrant, Viewer};
pub use disclosure::{Disclosure, Rule};
pub use emergency::{Consent, Emergency, Opening, OpeningError, REASON_LETTERS_MAX};
pub use facility::{CommonRegistry, Facilities, Facility, Master};
pub use linkage::Linkage;
pub use table::{Condition, Fault, FaultKind, Source, TABLE_BYTES_MAX, Table};
pub use user::{Permission, Role, User, Users};

/// The registry volume's tables of one facility.
#[derive(Debug, Clone, PartialEq)]
pub struct FacilityRegistry {
    /// The facility's id.
    pub facility: String,
    /// Who may sign in.
    pub users: Table<Users>,
    /// Which ids are one person.
    pub linkage: Table<Linkage>,
    /// What this facility may see of others.
    pub disclosure: Table<Disclosure>,
}

impl FacilityRegistry {
    /// Reads the three tables; each may be missing.
    pub fn read(
        facility: &str,
        users: Source<'_>,
        linkage: Source<'_>,
        disclosure: Source<'_>,
    ) -> Self {
        Self {
            facility: facility.to_owned(),
            users: Users::read(users),
            linkage: Linkage::read(linkage),
            disclosure: Disclosure::read(disclosure),
        }
    }

    /// What is wrong with the tables.
    pub fn faults(&self) -> Vec<&Fault> {
        let tables = [
            &self.users.faults,
            &self.linkage.faults,
            &self.disclosure.faults,
        ];
        tables.into_iter().flatten().collect()
    }
}
