//! The right of an emergency: declared, used, reviewed, ended, each in the
//! audit log before it holds.

use super::{Access, Gate, GateError, User, patient_of};
use crate::registry::{self, Consent, OpeningError};
use crate::viewer::audit::Action;
use crate::viewer::emergency::Opening;
use crate::viewer::request::Request;

impl Gate {
    /// Declares an emergency.
    pub(in crate::viewer) fn declare(
        &self,
        user: &User,
        request: &Request,
        reason: String,
        hours: u32,
    ) -> Result<(), GateError> {
        let detail = format!("{hours} h: {reason}");
        self.log(
            Some(&user.who),
            request,
            Action::EmergencyDeclared,
            None,
            &detail,
        )?;
        let emergencies = &self.viewer.emergencies;
        emergencies.declare(user.who.clone(), reason, hours, self.now_ms)?;
        Ok(())
    }

    /// Ends it.
    pub(in crate::viewer) fn end_emergency(
        &self,
        user: &User,
        request: &Request,
    ) -> Result<(), GateError> {
        self.log(Some(&user.who), request, Action::EmergencyEnded, None, "")?;
        Ok(self.viewer.emergencies.end()?)
    }

    /// Opens a record by the right of the emergency. The inner error is why
    /// not; none where it is not the emergency that is lacking.
    pub(in crate::viewer) fn open_by_emergency(
        &self,
        user: &User,
        request: &Request,
        reason: &str,
        consent: Option<Consent>,
    ) -> Result<Result<(), Option<OpeningError>>, GateError> {
        let whose = request.whose();
        let emergency = self.emergency().and_then(|emergency| emergency.rule());
        let (Access::ByEmergency, Some(emergency)) = (self.access(user, &whose, false), emergency)
        else {
            self.log(
                Some(&user.who),
                request,
                Action::Refused,
                Some(&whose),
                "open",
            )?;
            return Ok(Err(None));
        };
        let Some(consent) = consent else {
            return Ok(Err(Some(OpeningError::Reason)));
        };
        let patient = patient_of(&whose);
        let opening = registry::Opening::new(
            &user.known,
            &emergency,
            patient,
            reason,
            consent,
            self.now(),
        );
        let opening = match opening {
            Ok(opening) => opening,
            Err(error) => return Ok(Err(Some(error))),
        };
        let detail = format!("{}: {}", consent.code(), opening.reason);
        self.log(
            Some(&user.who),
            request,
            Action::EmergencyOpened,
            Some(&whose),
            &detail,
        )?;
        self.viewer.emergencies.add(&opening)?;
        Ok(Ok(()))
    }

    /// What was opened by the right of emergencies, with each one's place in
    /// the whole list: by users of the own facility, and of its patients.
    pub(in crate::viewer) fn openings(&self, user: &User) -> Vec<(usize, Opening)> {
        let own = &user.who.facility;
        let all = self.viewer.emergencies.openings().into_iter().enumerate();
        all.filter(|(_, opening)| opening.who.facility == *own || opening.whose.facility == *own)
            .collect()
    }

    /// Marks an opening as reviewed.
    pub(in crate::viewer) fn review(
        &self,
        user: &User,
        request: &Request,
        at: usize,
        at_ms: i64,
    ) -> Result<(), GateError> {
        let openings = self.openings(user);
        let Some((_, opening)) = openings
            .iter()
            .find(|(place, one)| *place == at && one.at_ms == at_ms)
        else {
            return Ok(());
        };
        let whose = Some(&opening.whose);
        self.log(
            Some(&user.who),
            request,
            Action::EmergencyReviewed,
            whose,
            &opening.reason,
        )?;
        self.viewer.emergencies.review(at, at_ms, &user.who)?;
        Ok(())
    }
}
