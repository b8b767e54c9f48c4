//! A declared emergency: a state with an end, signed by the node, and the
//! records that were opened by it, each with reason and consent, until
//! somebody reviewed them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ed25519_dalek::{Signature, Signer, SigningKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::audit::{Who, Whose};
use super::vault::{Vault, VaultError};
use crate::registry::{self, Consent, Patient};

const RECORD: &str = "emergency";
const OPENINGS: &str = "openings";
/// Context of the digest that a declaration is signed by.
const CONTEXT: &str = "hikae 1 emergency";
/// How long an emergency lasts, at most, in hours: who needs longer declares
/// it again.
pub(super) const HOURS_MAX: u32 = 168;
/// Openings that are kept, at most; reviewed ones go first.
const OPENINGS_MAX: usize = 10_000;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// An emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Emergency {
    /// Who declared it.
    pub by: Who,
    /// Why.
    pub reason: String,
    /// When, milliseconds since the epoch.
    pub from_ms: i64,
    /// When it ends by itself.
    pub until_ms: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Signed {
    body: Vec<u8>,
    signature: Vec<u8>,
}

/// A record that was opened by the right of an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opening {
    /// Who opened it.
    pub who: Who,
    /// Whose it is.
    pub whose: Whose,
    /// Why.
    pub reason: String,
    /// Who agreed, by its code.
    pub consent: String,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// In which emergency.
    pub emergency: String,
    /// Who reviewed it.
    pub reviewed: Option<Who>,
}

impl Opening {
    /// As the rules of access know it; none of what can't be read.
    fn rule(&self) -> Option<registry::Opening> {
        Some(registry::Opening {
            emergency: self.emergency.clone(),
            facility: self.who.facility.clone(),
            user: self.who.user.clone(),
            patient: Patient {
                facility: self.whose.facility.clone(),
                id: self.whose.patient.clone(),
            },
            at: Timestamp::from_millisecond(self.at_ms).ok()?,
            reason: self.reason.clone(),
            consent: Consent::of_code(&self.consent)?,
        })
    }
}

impl Emergency {
    /// As the rules of access know it.
    pub(super) fn rule(&self) -> Option<registry::Emergency> {
        Some(registry::Emergency {
            id: self.id(),
            from: Timestamp::from_millisecond(self.from_ms).ok()?,
            until: Timestamp::from_millisecond(self.until_ms).ok()?,
        })
    }

    fn id(&self) -> String {
        format!("{}/{}/{}", self.by.facility, self.by.user, self.from_ms)
    }
}

struct State {
    emergency: Option<Emergency>,
    openings: Vec<Opening>,
}

/// The emergencies of one viewer.
pub(super) struct Emergencies {
    vault: Vault,
    key: SigningKey,
    state: Mutex<State>,
}

impl Emergencies {
    /// Reads the state. A declaration that this node did not sign is none.
    pub(super) fn open(vault: &Vault, key: &SigningKey) -> Result<Emergencies, VaultError> {
        let emergency = match vault.read::<Option<Signed>>(RECORD)?.flatten() {
            None => None,
            Some(signed) => {
                let believed = believed(&signed, key);
                if believed.is_none() {
                    tracing::error!("the declared emergency is not signed by this node");
                }
                believed
            }
        };
        let openings = vault.read::<Vec<Opening>>(OPENINGS)?.unwrap_or_default();
        Ok(Emergencies {
            vault: vault.clone(),
            key: key.clone(),
            state: Mutex::new(State {
                emergency,
                openings,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The emergency that is in force. Before its begin none is: a clock that
    /// was turned back does not make one longer.
    pub(super) fn current(&self, now_ms: i64) -> Option<Emergency> {
        let state = self.lock();
        let current = state.emergency.as_ref();
        current
            .filter(|emergency| (emergency.from_ms..emergency.until_ms).contains(&now_ms))
            .cloned()
    }

    /// Declares an emergency of some hours.
    pub(super) fn declare(
        &self,
        by: Who,
        reason: String,
        hours: u32,
        now_ms: i64,
    ) -> Result<Emergency, VaultError> {
        let emergency = Emergency {
            by,
            reason,
            from_ms: now_ms,
            until_ms: now_ms + i64::from(hours.clamp(1, HOURS_MAX)) * HOUR_MS,
        };
        let body = postcard::to_stdvec(&emergency).unwrap_or_default();
        let signature = self.key.sign(&blake3::derive_key(CONTEXT, &body));
        let signed = Signed {
            body,
            signature: signature.to_bytes().to_vec(),
        };
        let mut state = self.lock();
        self.vault.write(RECORD, &Some(signed))?;
        state.emergency = Some(emergency.clone());
        Ok(emergency)
    }

    /// Ends the emergency; every right that it gave ends with it.
    pub(super) fn end(&self) -> Result<(), VaultError> {
        let mut state = self.lock();
        self.vault.write(RECORD, &None::<Signed>)?;
        state.emergency = None;
        Ok(())
    }

    /// Adds what a user opened; durable when this returns.
    pub(super) fn add(&self, opening: &registry::Opening) -> Result<(), VaultError> {
        let mut state = self.lock();
        let mut openings = state.openings.clone();
        openings.push(Opening {
            who: Who {
                facility: opening.facility.clone(),
                user: opening.user.clone(),
            },
            whose: Whose {
                facility: opening.patient.facility.clone(),
                patient: opening.patient.id.clone(),
            },
            reason: opening.reason.clone(),
            consent: opening.consent.code().into(),
            at_ms: opening.at.as_millisecond(),
            emergency: opening.emergency.clone(),
            reviewed: None,
        });
        if openings.len() > OPENINGS_MAX
            && let Some(oldest) = openings
                .iter()
                .position(|opening| opening.reviewed.is_some())
        {
            openings.remove(oldest);
        }
        self.vault.write(OPENINGS, &openings)?;
        state.openings = openings;
        Ok(())
    }

    /// Every opening, as the rules of access know it.
    pub(super) fn rules(&self) -> Vec<registry::Opening> {
        self.lock()
            .openings
            .iter()
            .filter_map(Opening::rule)
            .collect()
    }

    /// Every opening, the oldest first.
    pub(super) fn openings(&self) -> Vec<Opening> {
        self.lock().openings.clone()
    }

    /// Marks the opening at this place of the list as reviewed; gives it, if
    /// it is the one of that time.
    pub(super) fn review(
        &self,
        at: usize,
        at_ms: i64,
        by: &Who,
    ) -> Result<Option<Opening>, VaultError> {
        let mut state = self.lock();
        let mut openings = state.openings.clone();
        let Some(opening) = openings
            .get_mut(at)
            .filter(|opening| opening.at_ms == at_ms)
        else {
            return Ok(None);
        };
        opening.reviewed = Some(by.clone());
        let opening = opening.clone();
        self.vault.write(OPENINGS, &openings)?;
        state.openings = openings;
        Ok(Some(opening))
    }
}

fn believed(signed: &Signed, key: &SigningKey) -> Option<Emergency> {
    let signature = Signature::from_slice(&signed.signature).ok()?;
    let digest = blake3::derive_key(CONTEXT, &signed.body);
    key.verifying_key()
        .verify_strict(&digest, &signature)
        .ok()?;
    postcard::from_bytes(&signed.body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(user: &str) -> Who {
        Who {
            facility: "A".into(),
            user: user.into(),
        }
    }

    fn opening(all: &Emergencies, at_ms: i64) -> Option<registry::Opening> {
        Some(registry::Opening {
            emergency: all.current(at_ms)?.rule()?.id,
            facility: "A".into(),
            user: "ishi".into(),
            patient: Patient {
                facility: "B".into(),
                id: "1".into(),
            },
            at: Timestamp::from_millisecond(at_ms).ok()?,
            reason: "unconscious".into(),
            consent: Consent::Unable,
        })
    }

    #[test]
    fn an_emergency_ends_and_its_openings_are_reviewed() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path(), None).unwrap();
        let key = SigningKey::from_bytes(&[3; 32]);
        let all = Emergencies::open(&vault, &key).unwrap();
        assert!(opening(&all, 5).is_none(), "without an emergency");
        all.declare(who("kanri"), "quake".into(), 1, 10).unwrap();
        assert!(all.current(9).is_none(), "the clock went back");
        assert!(all.current(10 + HOUR_MS).is_none(), "it is over");
        let one = opening(&all, 12).unwrap();
        all.add(&one).unwrap();
        for all in [&all, &Emergencies::open(&vault, &key).unwrap()] {
            assert!(all.current(13).is_some());
            assert_eq!(all.rules(), std::slice::from_ref(&one));
        }
        all.end().unwrap();
        assert!(all.current(13).is_none());
        all.declare(who("kanri"), "again".into(), 1, 20).unwrap();
        let again = all.current(21).unwrap().rule().unwrap();
        assert_ne!(again.id, one.emergency, "the right of another one");
        assert_eq!(
            all.review(0, 12, &who("kanri")).unwrap().unwrap().reason,
            "unconscious"
        );
        assert!(all.review(0, 13, &who("kanri")).unwrap().is_none());
        let kept = Emergencies::open(&vault, &key).unwrap().openings();
        assert_eq!(kept[0].reviewed, Some(who("kanri")));
    }

    #[test]
    fn a_declaration_of_another_key_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path(), None).unwrap();
        let other = Emergencies::open(&vault, &SigningKey::from_bytes(&[4; 32])).unwrap();
        other.declare(who("ishi"), "mine".into(), 24, 10).unwrap();
        assert!(other.current(11).is_some());
        let own = Emergencies::open(&vault, &SigningKey::from_bytes(&[3; 32])).unwrap();
        assert!(own.current(11).is_none());
    }
}
