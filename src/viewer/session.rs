//! Who is signed in. A session is a random token in a cookie; here only its
//! digest is kept. Sessions end when unused, after a working day, and with the
//! process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::audit::Who;

/// A session that is not used ends after this.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// Every session ends after this.
const ABSOLUTE: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at a time, at most; the one that was not used for longest ends.
const SESSIONS_MAX: usize = 1000;
/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

/// What is remembered between two pages of one user.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Who signed in.
    pub who: Who,
    /// The last search, so that going back shows it again and no name gets
    /// into an address.
    pub search: Option<super::roster::Search>,
    begun: Instant,
    used: Instant,
}

/// The digest of a token: what a session is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId([u8; 32]);

impl SessionId {
    pub(super) fn of(token: &str) -> SessionId {
        SessionId(*blake3::hash(token.as_bytes()).as_bytes())
    }
}

/// Every session of this process.
#[derive(Default)]
pub(super) struct Sessions {
    sessions: Mutex<HashMap<SessionId, Session>>,
}

impl Sessions {
    /// Begins a session under a new token; a token that was there before means
    /// nothing, so none can be planted.
    ///
    /// Errors: the system gives no random numbers.
    pub(super) fn begin(&self, who: Who, now: Instant) -> Result<String, getrandom::Error> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes)?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let session = Session {
            who,
            search: None,
            begun: now,
            used: now,
        };
        let mut sessions = self.lock();
        sessions.retain(|_, session| is_alive(session, now));
        if sessions.len() >= SESSIONS_MAX
            && let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.used)
        {
            let oldest = *oldest.0;
            sessions.remove(&oldest);
        }
        sessions.insert(SessionId::of(&token), session);
        Ok(token)
    }

    /// The session of a token, if it did not end; it is used now.
    pub(super) fn find(&self, id: SessionId, now: Instant) -> Option<Session> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(&id)?;
        if !is_alive(session, now) {
            sessions.remove(&id);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Remembers a search.
    pub(super) fn remember(&self, id: SessionId, search: super::roster::Search) {
        if let Some(session) = self.lock().get_mut(&id) {
            session.search = Some(search);
        }
    }

    /// Ends a session.
    pub(super) fn end(&self, id: SessionId) -> Option<Session> {
        self.lock().remove(&id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_alive(session: &Session, now: Instant) -> bool {
    now.duration_since(session.used) < IDLE && now.duration_since(session.begun) < ABSOLUTE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> Who {
        Who {
            facility: "1".into(),
            user: "ishi".into(),
        }
    }

    #[test]
    fn sessions_end_unused_and_after_a_day() {
        let sessions = Sessions::default();
        let begun = Instant::now();
        let id = SessionId::of(&sessions.begin(who(), begun).unwrap());
        let mut now = begun;
        while now + IDLE / 2 < begun + ABSOLUTE {
            now += IDLE / 2;
            assert!(sessions.find(id, now).is_some());
        }
        assert!(sessions.find(id, begun + ABSOLUTE).is_none());
        let id = SessionId::of(&sessions.begin(who(), begun).unwrap());
        assert!(sessions.find(id, begun + IDLE).is_none());
        assert!(sessions.find(id, begun).is_none(), "it came back");
    }

    #[test]
    fn a_token_is_unknown_until_it_was_given() {
        let sessions = Sessions::default();
        let now = Instant::now();
        assert!(sessions.find(SessionId::of("planted"), now).is_none());
        let [one, two] = [(), ()].map(|()| sessions.begin(who(), now).unwrap());
        assert_ne!(one, two);
        sessions.end(SessionId::of(&one));
        assert!(sessions.find(SessionId::of(&one), now).is_none());
        assert!(sessions.find(SessionId::of(&two), now).is_some());
    }

    #[test]
    fn sessions_are_bounded() {
        let sessions = Sessions::default();
        let now = Instant::now();
        for _ in 0..SESSIONS_MAX + 10 {
            sessions.begin(who(), now).unwrap();
        }
        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
    }
}
