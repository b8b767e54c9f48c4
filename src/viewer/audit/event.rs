//! What the audit log says: who did what, when, to whose records, from where.

use serde::{Deserialize, Serialize};

/// One line of the log. Its encoding is the format: fields are only ever added
/// at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The first is 1.
    pub number: u64,
    /// Digest of the line before; zeros before the first.
    pub previous: [u8; 32],
    /// The node's clock, milliseconds since the epoch.
    pub time_ms: i64,
    /// Who; as typed, where the sign-in failed.
    pub user: Option<Who>,
    /// Where the request came from.
    pub from: String,
    /// What was done.
    pub action: Action,
    /// Whose records.
    pub patient: Option<Whose>,
    /// What exactly: the page, the words that were searched for, a reason.
    pub detail: String,
}

/// A user of a facility.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Who {
    /// The facility's id.
    pub facility: String,
    /// The user's id.
    pub user: String,
}

/// A patient of a facility.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Whose {
    /// The facility's id.
    pub facility: String,
    /// The patient's id there.
    pub patient: String,
}

/// What was done. Append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Signed in.
    SignedIn,
    /// Tried to.
    SignInFailed,
    /// Signed out, or the session ended.
    SignedOut,
    /// Searched the list of patients.
    Searched,
    /// A page of a patient was shown.
    Shown,
    /// A page was asked for and not shown.
    Refused,
    /// An emergency was declared.
    EmergencyDeclared,
    /// It was ended before its time.
    EmergencyEnded,
    /// A record was opened by the right of an emergency.
    EmergencyOpened,
    /// Such an opening was looked at by who reviews them.
    EmergencyReviewed,
    /// The log was exported.
    Exported,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 11] = [
        Action::SignedIn,
        Action::SignInFailed,
        Action::SignedOut,
        Action::Searched,
        Action::Shown,
        Action::Refused,
        Action::EmergencyDeclared,
        Action::EmergencyEnded,
        Action::EmergencyOpened,
        Action::EmergencyReviewed,
        Action::Exported,
    ];

    /// Whether what was asked for was denied.
    pub fn is_refusal(self) -> bool {
        matches!(self, Action::SignInFailed | Action::Refused)
    }
}
