//! Emergencies: a declared state with an end, and what is opened in it.

use jiff::Timestamp;
use thiserror::Error;

use super::access::{Patient, Viewer};
use crate::language::Language;

/// Letters of a reason at least and at most.
const REASON_LETTERS_MIN: usize = 2;
/// Letters of a reason at most.
pub const REASON_LETTERS_MAX: usize = 500;

/// A declared emergency. That it was declared by somebody who may is the viewer's to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emergency {
    /// Names this emergency in openings and in the audit log.
    pub id: String,
    /// From this moment.
    pub from: Timestamp,
    /// To this one, itself not included.
    pub until: Timestamp,
}

impl Emergency {
    /// It is going on.
    pub fn is_on(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

/// How a patient agreed that a record is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consent {
    /// The patient said yes.
    OralByPatient,
    /// The family said yes.
    ByFamily,
    /// Nobody could be asked.
    Unable,
}

impl Consent {
    /// Every way, in the order of a form.
    pub const ALL: [Self; 3] = [Self::OralByPatient, Self::ByFamily, Self::Unable];

    /// The word that forms and logs use.
    pub fn code(self) -> &'static str {
        match self {
            Self::OralByPatient => "patient",
            Self::ByFamily => "family",
            Self::Unable => "unable",
        }
    }

    /// The way that a word means.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|consent| consent.code() == code)
    }

    /// For people.
    pub fn text(self, language: Language) -> &'static str {
        match self {
            Self::OralByPatient => language.pick("本人の口頭同意", "oral, by the patient"),
            Self::ByFamily => language.pick("家族の同意", "by the family"),
            Self::Unable => language.pick("同意を得られない状態", "unable to consent"),
        }
    }
}

/// One record that one user opened in one emergency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The emergency's id.
    pub emergency: String,
    /// The user's facility.
    pub facility: String,
    /// The user.
    pub user: String,
    /// Whose record.
    pub patient: Patient,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// How the patient agreed.
    pub consent: Consent,
}

/// Why a record is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpeningError {
    /// No reason was given, or one that says nothing.
    #[error("a reason of {REASON_LETTERS_MIN} to {REASON_LETTERS_MAX} letters is needed")]
    Reason,
    /// There is no emergency now.
    #[error("no emergency is declared")]
    NoEmergency,
    /// The user has not the right.
    #[error("this user may not open records in an emergency")]
    NotPermitted,
}

impl Opening {
    /// Opens a record. What it opens is decided anew at each request, by [`super::Policy`].
    ///
    /// Errors: each variant of [`OpeningError`].
    pub fn new(
        viewer: &Viewer,
        emergency: &Emergency,
        patient: Patient,
        reason: &str,
        consent: Consent,
        now: Timestamp,
    ) -> Result<Self, OpeningError> {
        if !emergency.is_on(now) {
            return Err(OpeningError::NoEmergency);
        }
        if !viewer.may_open_in_emergencies() {
            return Err(OpeningError::NotPermitted);
        }
        let reason = reason.trim();
        if !(REASON_LETTERS_MIN..=REASON_LETTERS_MAX).contains(&reason.chars().count()) {
            return Err(OpeningError::Reason);
        }
        Ok(Self {
            emergency: emergency.id.clone(),
            facility: viewer.facility().to_owned(),
            user: viewer.user().id.clone(),
            patient,
            at: now,
            reason: reason.to_owned(),
            consent,
        })
    }
}
