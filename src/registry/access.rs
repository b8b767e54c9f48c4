//! Access: who may see whose records. Deny by default, in one place.
//!
//! A [`Grant`] is made here and nowhere else, for one viewer and one patient at one moment; whatever
//! reads records takes one. So there is no way around these rules but to have none of its records.

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use super::FacilityRegistry;
use super::disclosure::Rule;
use super::emergency::{Emergency, Opening};
use super::table::Condition;
use super::user::{Permission, User};

/// Japanese time, by which days of the registry are counted.
const JAPAN: Offset = Offset::constant(9);

/// A patient of a facility.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Patient {
    /// The facility that owns the records.
    pub facility: String,
    /// The id there: the name of the patient directory.
    pub id: String,
}

/// Who is signed in: a user of a facility's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    facility: String,
    user: User,
}

impl Viewer {
    /// The user with this id in the facility's table; `None` for nobody. Whether the password is
    /// right is the caller's to check, with [`Viewer::user`].
    pub fn of(registry: &FacilityRegistry, user_id: &str) -> Option<Self> {
        Some(Self {
            facility: registry.facility.clone(),
            user: registry.users.content.get(user_id)?.clone(),
        })
    }

    /// The user's facility.
    pub fn facility(&self) -> &str {
        &self.facility
    }

    /// The user.
    pub fn user(&self) -> &User {
        &self.user
    }

    pub(super) fn may_open_in_emergencies(&self) -> bool {
        self.user.may(Permission::Emergency)
    }
}

/// The right of one viewer to see one patient's records. Only [`Policy::open`] makes one; it holds
/// for the request that it was made for.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    patient: Patient,
    basis: Basis,
    history: bool,
}

/// Why a grant was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// The patient is the viewer's own facility's.
    OwnFacility,
    /// The patient is linked to one of the viewer's facility, and the owner discloses.
    Disclosed {
        /// The person that both are.
        person: String,
        /// The last day of it.
        until: Option<Date>,
    },
    /// The viewer opened it in an emergency that is still going on.
    Emergency(Box<Opening>),
}

impl Grant {
    /// Whose records may be seen.
    pub fn patient(&self) -> &Patient {
        &self.patient
    }

    /// Why.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Raw messages, superseded and deleted records may be seen, too.
    pub fn with_history(&self) -> bool {
        self.history
    }
}

/// The right to search patients. Only [`Policy::search`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct SearchGrant {
    facility: String,
    scope: Scope,
}

/// Where may be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// At the viewer's own facility.
    OwnFacility,
    /// At every facility: who somebody is, not what the records say.
    AllFacilities,
}

impl SearchGrant {
    /// The viewer's own facility.
    pub fn facility(&self) -> &str {
        &self.facility
    }

    /// Where may be searched.
    pub fn scope(&self) -> Scope {
        self.scope
    }
}

/// Why records are not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The viewer is not of the facility whose registry this is.
    #[error("the user is of another facility")]
    OtherRegistry,
    /// The linkage can't be relied on.
    #[error("the linkage of patients is missing, out of date or can't be read")]
    Linkage(Condition),
    /// The disclosure can't be relied on.
    #[error("the disclosure table is missing, out of date or can't be read")]
    Disclosure(Condition),
    /// The patient is linked to none of the viewer's facility.
    #[error("the patient is not linked to a patient of this facility")]
    NotLinked,
    /// The table says nothing about this person and owner.
    #[error("the facility does not disclose this patient's records")]
    NotDisclosed,
    /// The table says no.
    #[error("the facility denies disclosure of this patient's records")]
    Denied,
    /// It said yes, until a day that is over.
    #[error("disclosure ended on {0}")]
    Ended(
        /// The last day.
        Date,
    ),
}

/// The rules at one moment, at one facility.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// The facility's tables.
    pub registry: &'a FacilityRegistry,
    /// The emergency that is declared, if one is.
    pub emergency: Option<&'a Emergency>,
    /// What was opened in it; others may be among them.
    pub openings: &'a [Opening],
    /// Now.
    pub now: Timestamp,
    /// How old linkage and disclosure may be.
    pub age_max: SignedDuration,
}

impl Policy<'_> {
    /// Whether a viewer may see a patient's records.
    ///
    /// Errors: the [`Refusal`] that a page may show.
    pub fn open(&self, viewer: &Viewer, patient: &Patient) -> Result<Grant, Refusal> {
        let basis = self.basis(viewer, patient)?;
        Ok(Grant {
            patient: patient.clone(),
            basis,
            history: viewer.user.may(Permission::History),
        })
    }

    /// Every patient that is the same person and that the viewer may see, the given one first, if
    /// it may be seen itself. What may not be seen is not even counted.
    pub fn linked(&self, viewer: &Viewer, patient: &Patient) -> Vec<Grant> {
        let linkage = self.registry.linkage.fresh(self.now, self.age_max).ok();
        let person = linkage.and_then(|linkage| linkage.person_of(patient));
        let others = person.and_then(|person| Some(linkage?.patients_of(person)));
        let others = others
            .into_iter()
            .flatten()
            .filter(|other| *other != patient);
        std::iter::once(patient)
            .chain(others)
            .filter_map(|one| self.open(viewer, one).ok())
            .collect()
    }

    /// Where a viewer may search.
    pub fn search(&self, viewer: &Viewer) -> Result<SearchGrant, Refusal> {
        self.same_facility(viewer)?;
        let in_emergency = self.is_emergency() && viewer.may_open_in_emergencies();
        let all = viewer.user.may(Permission::SearchAll) || in_emergency;
        Ok(SearchGrant {
            facility: viewer.facility.clone(),
            scope: if all {
                Scope::AllFacilities
            } else {
                Scope::OwnFacility
            },
        })
    }

    /// A declared emergency is going on.
    pub fn is_emergency(&self) -> bool {
        self.emergency
            .is_some_and(|emergency| emergency.is_on(self.now))
    }

    fn same_facility(&self, viewer: &Viewer) -> Result<(), Refusal> {
        match viewer.facility == self.registry.facility {
            true => Ok(()),
            false => Err(Refusal::OtherRegistry),
        }
    }

    fn basis(&self, viewer: &Viewer, patient: &Patient) -> Result<Basis, Refusal> {
        self.same_facility(viewer)?;
        if patient.facility == viewer.facility {
            return Ok(Basis::OwnFacility);
        }
        self.disclosed(viewer, patient).or_else(|refusal| {
            let opening = self.opening(viewer, patient).ok_or(refusal)?;
            Ok(Basis::Emergency(Box::new(opening.clone())))
        })
    }

    fn disclosed(&self, viewer: &Viewer, patient: &Patient) -> Result<Basis, Refusal> {
        let linkage = self.registry.linkage.fresh(self.now, self.age_max);
        let linkage = linkage.map_err(Refusal::Linkage)?;
        let disclosure = self.registry.disclosure.fresh(self.now, self.age_max);
        let disclosure = disclosure.map_err(Refusal::Disclosure)?;
        let person = linkage.person_of(patient).ok_or(Refusal::NotLinked)?;
        let mut patients = linkage.patients_of(person);
        if !patients.any(|one| one.facility == viewer.facility) {
            return Err(Refusal::NotLinked);
        }
        match disclosure.rule(person, &patient.facility) {
            None => Err(Refusal::NotDisclosed),
            Some(Rule::Denied) => Err(Refusal::Denied),
            Some(Rule::Allowed { until: Some(until) }) if self.today() > until => {
                Err(Refusal::Ended(until))
            }
            Some(Rule::Allowed { until }) => Ok(Basis::Disclosed {
                person: person.to_owned(),
                until,
            }),
        }
    }

    /// The newest opening of this patient by this viewer in the emergency that is going on.
    fn opening(&self, viewer: &Viewer, patient: &Patient) -> Option<&Opening> {
        let emergency = self
            .emergency
            .filter(|emergency| emergency.is_on(self.now))?;
        if !viewer.may_open_in_emergencies() {
            return None;
        }
        let own = self.openings.iter().filter(|opening| {
            opening.emergency == emergency.id
                && opening.facility == viewer.facility
                && opening.user == viewer.user.id
                && opening.patient == *patient
                && opening.at <= self.now
        });
        own.max_by_key(|opening| opening.at)
    }

    /// The day in Japan.
    fn today(&self) -> Date {
        JAPAN.to_datetime(self.now).date()
    }
}
