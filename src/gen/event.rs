//! Events: what happened to a patient and becomes a record.

use super::kind::Kind;
use super::moment::Moment;

/// What a record is: a kind of the standard storage, or a document (place in `DOCUMENTS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Standard(Kind),
    Document(usize),
}

/// A bed of a stay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stay {
    /// Place in `ward::WARDS`, and of the ward before or after a transfer.
    pub(super) ward: usize,
    pub(super) other_ward: usize,
    pub(super) room: u32,
    pub(super) bed: u32,
    pub(super) admitted: Moment,
    pub(super) discharged: Moment,
}

/// One record to be made.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) what: What,
    /// When it happened; the day is the record's date.
    pub(super) happened: Moment,
    /// When the gateway wrote it: the record's timestamp.
    pub(super) written: Moment,
    pub(super) order: String,
    /// Place in `ward::DEPARTMENTS`.
    pub(super) department: usize,
    /// Place among the facility's doctors.
    pub(super) doctor: usize,
    pub(super) stay: Option<Stay>,
    /// Names the event's stream of chance; unique for the patient.
    pub(super) number: u64,
    /// Shared by an order and what comes of it.
    pub(super) subject: u64,
}

impl Event {
    /// The date in the record's name and folder.
    pub(super) fn date(&self) -> String {
        match self.what {
            What::Standard(kind) if kind.undated() => "-".to_owned(),
            _ => self.happened.date(),
        }
    }
}
