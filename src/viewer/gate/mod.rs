//! The one way in: sign-in, sessions, permissions, and the grants that open a
//! patient's records, each in the audit log before anything is read.
//!
//! Pages get no catalogue and no roster. What they show of a patient comes in
//! a `View`, and only `Gate::open` makes one.

mod emergency;
mod replies;
mod sign_in;

pub(super) use sign_in::SignInError;

use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::Viewer;
use super::audit::{Action, AuditError, Event, Who, Whose};
use super::clock;
use super::emergency::Emergency;
use super::layout::Frame;
use super::request::Request;
use super::roster::{Found, Search};
use super::session::SessionId;
use super::tables::{AGE_MAX, Tables};
use super::vault::VaultError;
use crate::language::Language;
use crate::registry::{self, Condition, Grant, Patient, Permission, Policy, Refusal, Scope};

/// Faults of tables that a page names.
const FAULTS_MAX: usize = 10;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum GateError {
    /// It can't be logged, so it does not happen.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The viewer's files failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Catalogue(#[from] crate::catalogue::CatalogueError),
}

/// Who is signed in, as the registry knows the user now. Only a live session
/// makes one.
pub(super) struct User {
    pub who: Who,
    /// The user's name.
    pub name: String,
    /// The facility's name.
    pub facility_name: String,
    session: SessionId,
    known: registry::Viewer,
}

impl User {
    /// Whether the registry gives this permission.
    pub(super) fn may(&self, permission: Permission) -> bool {
        self.known.user().may(permission)
    }
}

/// What a page's frame says, owned.
pub(super) struct OwnedFrame {
    language: Language,
    title: String,
    user: String,
    pub may_review: bool,
    pub may_declare: bool,
    pub emergency: Option<Emergency>,
}

impl OwnedFrame {
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame {
            language: self.language,
            title: &self.title,
            user: Some(&self.user),
            may_review: self.may_review,
            may_declare: self.may_declare,
            emergency: self.emergency.as_ref(),
        }
    }
}

/// What came of asking for a patient.
pub(super) enum Access {
    /// The records may be read: of the patient, and of the same person
    /// elsewhere as far as it is disclosed.
    Open(Vec<Grant>),
    /// Not now; by the right of the emergency it could be.
    ByEmergency,
    /// Not, whether there is such a patient or not.
    No,
}

/// The way in. Made for one request.
pub(super) struct Gate {
    viewer: Arc<Viewer>,
    tables: Arc<Tables>,
    now_ms: i64,
}

impl Gate {
    pub(super) fn new(viewer: &Arc<Viewer>) -> Gate {
        Gate {
            viewer: viewer.clone(),
            tables: viewer.tables(),
            now_ms: clock::now_ms(),
        }
    }

    /// Now, milliseconds since the epoch.
    pub(super) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub(super) fn viewer(&self) -> &Arc<Viewer> {
        &self.viewer
    }

    pub(super) fn registry(&self) -> &Tables {
        &self.tables
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Ids and names of the facilities, for the form of the sign-in.
    pub(super) fn facilities(&self) -> Vec<(String, String)> {
        let facilities = self.tables.facilities();
        facilities
            .map(|(id, name)| (id.into(), name.into()))
            .collect()
    }

    /// The emergency in force.
    pub(super) fn emergency(&self) -> Option<Emergency> {
        self.viewer.emergencies.current(self.now_ms)
    }

    /// What the frame of a page says.
    pub(super) fn frame(&self, user: &User, request: &Request, title: &str) -> OwnedFrame {
        OwnedFrame {
            language: request.language(),
            title: title.into(),
            user: format!("{} {}", user.facility_name, user.name),
            may_review: user.may(Permission::Review),
            may_declare: user.may(Permission::Declare),
            emergency: self.emergency(),
        }
    }

    fn log(
        &self,
        who: Option<&Who>,
        request: &Request,
        action: Action,
        whose: Option<&Whose>,
        detail: &str,
    ) -> Result<(), AuditError> {
        let event = Event {
            number: 0,
            previous: [0; 32],
            time_ms: self.now_ms,
            user: who.cloned(),
            from: request.address(),
            action,
            patient: whose.cloned(),
            detail: detail.into(),
        };
        self.viewer.audit.write(event).map(drop)
    }

    /// Asks for a patient's records. What may be shown, and what may not, is
    /// in the log when this returns.
    ///
    /// Errors: it can't be logged; then nothing is shown.
    pub(super) fn open(
        &self,
        user: &User,
        request: &Request,
        page: &str,
    ) -> Result<Access, GateError> {
        let whose = request.whose();
        let access = self.access(user, &whose, !request.field("across").is_empty());
        match &access {
            Access::Open(grants) => {
                for grant in grants {
                    let whose = whose_of(grant.patient());
                    let at = request.field("at");
                    let detail = match at.is_empty() {
                        true => page.to_string(),
                        false => format!("{page} at={at}"),
                    };
                    self.log(
                        Some(&user.who),
                        request,
                        Action::Shown,
                        Some(&whose),
                        &detail,
                    )?;
                }
            }
            Access::ByEmergency | Access::No => {
                self.log(
                    Some(&user.who),
                    request,
                    Action::Refused,
                    Some(&whose),
                    page,
                )?;
            }
        }
        Ok(access)
    }

    /// Calls `with` with the rules that hold for a user now; none if there are
    /// none.
    fn policy<T>(&self, user: &User, with: impl FnOnce(&Policy<'_>) -> T) -> Option<T> {
        let registry = self.tables.facility(&user.who.facility)?;
        let emergency = self.emergency().and_then(|emergency| emergency.rule());
        let openings = self.viewer.emergencies.rules();
        let policy = Policy {
            registry,
            emergency: emergency.as_ref(),
            openings: &openings,
            now: self.now(),
            age_max: AGE_MAX,
        };
        Some(with(&policy))
    }

    fn access(&self, user: &User, whose: &Whose, across: bool) -> Access {
        let patient = patient_of(whose);
        let access = self.policy(user, |policy| match policy.open(&user.known, &patient) {
            Ok(_) if across => Access::Open(policy.linked(&user.known, &patient)),
            Ok(grant) => Access::Open(vec![grant]),
            Err(Refusal::OtherRegistry) => Access::No,
            Err(_) if policy.is_emergency() && user.may(Permission::Emergency) => {
                Access::ByEmergency
            }
            Err(_) => Access::No,
        });
        access.unwrap_or(Access::No)
    }

    /// The commit that a request asks for: none is the newest.
    ///
    /// Errors: one that is not kept.
    pub(super) fn commit(&self, request: &Request) -> Result<Option<u64>, ()> {
        match request.field("at") {
            "" => Ok(None),
            text => {
                let number: u64 = text.parse().map_err(|_| ())?;
                let kept = self.viewer.accepted_ms(number);
                kept.map(|_| Some(number)).ok_or(())
            }
        }
    }

    /// Logs that a page was asked for without the permission for it.
    pub(super) fn log_refusal(
        &self,
        user: &User,
        request: &Request,
        page: &str,
    ) -> Result<(), GateError> {
        let whose = (!request.part("patient").is_empty()).then(|| request.whose());
        Ok(self.log(
            Some(&user.who),
            request,
            Action::Refused,
            whose.as_ref(),
            page,
        )?)
    }
}

impl Gate {
    /// Searches the list of patients, as far as the user may.
    pub(super) fn search(
        &self,
        user: &User,
        request: &Request,
        search: &Search,
    ) -> Result<Found, GateError> {
        let scope = self.scope(user);
        let all = !search.all.is_empty() && scope == Some(Scope::AllFacilities);
        let detail = format!(
            "words={} birth={} sex={} all={all}",
            search.words, search.birth, search.sex
        );
        if scope.is_none() {
            self.log(Some(&user.who), request, Action::Refused, None, &detail)?;
            return Ok(Found::default());
        }
        self.log(Some(&user.who), request, Action::Searched, None, &detail)?;
        let facility = (!all).then_some(user.who.facility.as_str());
        Ok(self.viewer.roster().find(facility, &search.find()))
    }

    /// Where a user may search; none: nowhere.
    pub(super) fn scope(&self, user: &User) -> Option<Scope> {
        let grant = self.policy(user, |policy| policy.search(&user.known));
        grant?.ok().map(|grant| grant.scope())
    }

    /// What is to be known of the registry's tables: their age, and what is
    /// wrong with them by file and line.
    pub(super) fn registry_notes(&self, user: &User, language: Language) -> Vec<String> {
        let state = self.tables.state(&user.who.facility, self.now());
        let mut notes: Vec<String> = state
            .into_iter()
            .filter_map(|(file, condition)| {
                Some(format!("{file}: {}", wrong(condition, language)?))
            })
            .collect();
        let faults = self.tables.faults(&user.who.facility);
        notes.extend(
            faults
                .iter()
                .take(FAULTS_MAX)
                .map(|fault| fault.text(language)),
        );
        notes
    }

    /// The search that this session made last.
    pub(super) fn last_search(&self, user: &User) -> Option<Search> {
        self.viewer
            .sessions
            .find(user.session, Instant::now())?
            .search
    }

    /// Remembers a search for going back.
    pub(super) fn remember(&self, user: &User, search: Search) {
        self.viewer.sessions.remember(user.session, search);
    }
}

fn patient_of(whose: &Whose) -> Patient {
    Patient {
        facility: whose.facility.clone(),
        id: whose.patient.clone(),
    }
}

fn whose_of(patient: &Patient) -> Whose {
    Whose {
        facility: patient.facility.clone(),
        patient: patient.id.clone(),
    }
}

/// What is wrong with a table, if anything is.
fn wrong(condition: Condition, language: Language) -> Option<String> {
    let days = |age: SignedDuration| age.as_hours() / 24;
    match condition {
        Condition::Fresh { .. } => None,
        Condition::Stale { age: Some(age) } => Some(language.pick(
            format!("{}日前の表です。他施設の開示には使えません。", days(age)),
            format!(
                "{} days old: no other facility is disclosed by it.",
                days(age)
            ),
        )),
        Condition::Stale { age: None } => Some(language.pick(
            "いつの表か分からないため、他施設の開示には使えません。".into(),
            "nobody knows how old: no other facility is disclosed by it.".into(),
        )),
        Condition::Missing => Some(language.pick("表がありません。".into(), "missing.".into())),
        Condition::Void => Some(language.pick("表を読めません。".into(), "can't be read.".into())),
    }
}
