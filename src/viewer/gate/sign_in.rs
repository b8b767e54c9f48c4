//! Signing in and out, and who a request is of.

use std::time::Instant;

use super::{Gate, GateError, User};
use crate::registry;
use crate::viewer::audit::{Action, Who};
use crate::viewer::credentials;
use crate::viewer::lockout::Guess;
use crate::viewer::request::{Request, SESSION_COOKIE};
use crate::viewer::session::SessionId;

/// Why nobody signed in.
pub(in crate::viewer) enum SignInError {
    /// Too many guesses: milliseconds to wait.
    Wait(i64),
    /// Something of it is wrong; never said what.
    Wrong,
    /// It can't be logged or counted.
    Failed(GateError),
}

impl Gate {
    /// Signs in and gives the token of a new session.
    pub(in crate::viewer) fn sign_in(&self, request: &Request) -> Result<String, SignInError> {
        let address = request.address();
        let guess = Guess {
            facility: request.field("facility").trim(),
            user: request.field("user").trim(),
            address: &address,
        };
        let failed = |error: GateError| SignInError::Failed(error);
        let who = Who {
            facility: guess.facility.chars().take(64).collect(),
            user: guess.user.chars().take(64).collect(),
        };
        let lockouts = &self.viewer.lockouts;
        let wait = lockouts.begin(guess, self.now_ms);
        let wait = wait.map_err(|error| failed(error.into()))?;
        if wait > 0 {
            self.log(Some(&who), request, Action::SignInFailed, None, "waits")
                .map_err(|error| failed(error.into()))?;
            return Err(SignInError::Wait(wait));
        }
        let user = self.tables.user(guess.facility, guess.user);
        let right = credentials::check(
            user,
            request.field("password"),
            request.field("code"),
            self.now_ms,
        );
        let taken = match right {
            None => Ok(false),
            Some(step) => lockouts.succeed(guess, step),
        };
        if !taken.map_err(|error| failed(error.into()))? {
            self.log(Some(&who), request, Action::SignInFailed, None, "")
                .map_err(|error| failed(error.into()))?;
            return Err(SignInError::Wrong);
        }
        self.log(Some(&who), request, Action::SignedIn, None, "")
            .map_err(|error| failed(error.into()))?;
        // A session that this browser had before is over.
        if let Some(token) = request.cookies.get(SESSION_COOKIE) {
            self.viewer.sessions.end(SessionId::of(token));
        }
        let token = self.viewer.sessions.begin(who, Instant::now());
        token.map_err(|_| SignInError::Wrong)
    }

    /// Ends the session of the request.
    pub(in crate::viewer) fn sign_out(&self, request: &Request) {
        let token = request.cookies.get(SESSION_COOKIE);
        let session = token.and_then(|token| self.viewer.sessions.end(SessionId::of(token)));
        if let Some(session) = session {
            let _ = self.log(Some(&session.who), request, Action::SignedOut, None, "");
        }
    }

    /// Who is signed in; nobody if the registry does not know the user any
    /// more.
    pub(in crate::viewer) fn user(&self, request: &Request) -> Option<User> {
        let session = SessionId::of(request.cookies.get(SESSION_COOKIE)?);
        let found = self.viewer.sessions.find(session, Instant::now())?;
        let own = self.tables.facility(&found.who.facility)?;
        let known = registry::Viewer::of(own, &found.who.user)?;
        Some(User {
            name: known.user().display_name.clone(),
            facility_name: self.tables.facility_name(&found.who.facility).to_string(),
            known,
            who: found.who,
            session,
        })
    }
}
