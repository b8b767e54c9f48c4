//! The audit log: `<home>/viewer/audit.log`, a chain of signed lines, and
//! `audit.head`, which says how long it was.
//!
//! A line is durable before the page it speaks of is sent; if it can't be
//! written nothing is shown. An edited, moved or missing line breaks the
//! chain; a line that was cut off at the end is missed by the head. Whoever
//! has the node's key and both files can forge a log: keep exports elsewhere.

mod event;
mod fhir;

pub use event::{Action, Event, Who, Whose};
pub use fhir::bundle;

use std::sync::{Mutex, PoisonError};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::vault::{Vault, VaultError};

const LOG: &str = "audit.log";
const HEAD: &str = "audit.head";
/// Context of the digest that a line is signed by and the next one names.
const CONTEXT: &str = "hikae 1 audit line";

/// Why the log can't be written or believed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Its files failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A line is not what was written.
    #[error("audit log, line {number}: {what}")]
    Line {
        /// Which.
        number: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Lines are missing at the end.
    #[error("audit log: {found} lines, but {expected} were written: the end was cut off")]
    Short {
        /// Lines found.
        found: u64,
        /// Lines written.
        expected: u64,
    },
    /// An earlier write failed; nothing is written after it.
    #[error("the audit log failed before; start the viewer again")]
    Poisoned,
}

#[derive(Serialize, Deserialize)]
struct Line {
    event: Vec<u8>,
    signature: Vec<u8>,
}

/// How long the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Lines.
    pub lines: u64,
    /// Digest of the last one.
    pub digest: [u8; 32],
}

/// The log of one node, open for writing.
pub struct AuditLog {
    vault: Vault,
    key: SigningKey,
    head: Mutex<Option<Head>>,
}

impl AuditLog {
    /// Opens the log and checks all of it; what a stop left of a line that was
    /// never acknowledged is cut off.
    pub(super) fn open(vault: &Vault, key: &SigningKey) -> Result<AuditLog, AuditError> {
        let (_, found) = read(vault, &key.verifying_key())?;
        let frames = vault.frames(LOG)?;
        if frames.whole_bytes < frames.file_bytes {
            vault.cut(LOG, frames.whole_bytes)?;
        }
        Ok(AuditLog {
            vault: vault.clone(),
            key: key.clone(),
            head: Mutex::new(Some(found)),
        })
    }

    /// Writes a line; durable when this returns. Its number, time and chain
    /// are given here.
    ///
    /// Errors: `AuditError`; what it speaks of must then not happen.
    pub(super) fn write(&self, mut event: Event) -> Result<u64, AuditError> {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        // After a failed write nobody knows what the file holds.
        let last = head.take().ok_or(AuditError::Poisoned)?;
        event.number = last.lines + 1;
        event.previous = last.digest;
        let wrong = |_| AuditError::Line {
            number: last.lines + 1,
            what: "can't be encoded",
        };
        let bytes = postcard::to_stdvec(&event).map_err(wrong)?;
        let digest = blake3::derive_key(CONTEXT, &bytes);
        let line = Line {
            event: bytes,
            signature: self.key.sign(&digest).to_bytes().to_vec(),
        };
        let line = postcard::to_stdvec(&line).map_err(wrong)?;
        self.vault.append(LOG, event.number, &line)?;
        let now = Head {
            lines: event.number,
            digest,
        };
        self.vault.write(HEAD, &now)?;
        *head = Some(now);
        Ok(event.number)
    }
}

/// Reads and checks a log that another process may be writing.
///
/// Errors: `AuditError` that names the first wrong line.
pub(super) fn read(vault: &Vault, key: &VerifyingKey) -> Result<(Vec<Event>, Head), AuditError> {
    // The head first: lines that come meanwhile are more, never less.
    let head = vault.read::<Head>(HEAD)?.unwrap_or_default();
    let (events, found) = checked(&vault.frames(LOG)?.bodies, key)?;
    match found.lines < head.lines {
        true => Err(AuditError::Short {
            found: found.lines,
            expected: head.lines,
        }),
        false => Ok((events, found)),
    }
}

/// The events of the lines, if they are one chain signed by `key`.
fn checked(bodies: &[Vec<u8>], key: &VerifyingKey) -> Result<(Vec<Event>, Head), AuditError> {
    let mut head = Head::default();
    let mut events = Vec::with_capacity(bodies.len());
    for (number, body) in (1..).zip(bodies) {
        let wrong = |what| AuditError::Line { number, what };
        let line: Line = postcard::from_bytes(body).map_err(|_| wrong("is no line"))?;
        let digest = blake3::derive_key(CONTEXT, &line.event);
        let signature = Signature::from_slice(&line.signature);
        signature
            .and_then(|signature| key.verify_strict(&digest, &signature))
            .map_err(|_| wrong("is not signed by this node"))?;
        let event: Event = postcard::from_bytes(&line.event).map_err(|_| wrong("is no event"))?;
        if event.number != number || event.previous != head.digest {
            return Err(wrong("does not follow the line before"));
        }
        head = Head {
            lines: number,
            digest,
        };
        events.push(event);
    }
    Ok((events, head))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::seal::Seal;

    fn event(detail: &str) -> Event {
        Event {
            number: 0,
            previous: [0; 32],
            time_ms: 1,
            user: Some(Who {
                facility: "0410000001".into(),
                user: "ishi".into(),
            }),
            from: "127.0.0.1".into(),
            action: Action::Shown,
            patient: None,
            detail: detail.into(),
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    fn open(folder: &Path, sealed: bool) -> Result<AuditLog, AuditError> {
        let seal = sealed.then(|| Arc::new(Seal::with_key([7; 16], [9; 32])));
        AuditLog::open(&Vault::open(folder, seal).unwrap(), &key())
    }

    /// Where the frames of a log begin.
    fn cuts(bytes: &[u8]) -> Vec<usize> {
        let mut cuts = vec![0];
        while let Some(length) = bytes
            .get(cuts[cuts.len() - 1]..)
            .and_then(|rest| rest.first_chunk::<4>())
        {
            cuts.push(cuts[cuts.len() - 1] + 20 + u32::from_le_bytes(*length) as usize);
        }
        cuts
    }

    /// Each edit, deletion, exchange and cut of the log is noticed, in clear
    /// and sealed, and at the next start too.
    #[test]
    fn tampering_is_noticed() {
        for sealed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let log = open(folder.path(), sealed).unwrap();
            for number in 0..5 {
                log.write(event(&format!("page {number}"))).unwrap();
            }
            assert_eq!(read(&log.vault, &key().verifying_key()).unwrap().0.len(), 5);
            drop(log);
            let path = folder.path().join("audit.log");
            let whole = std::fs::read(&path).unwrap();
            let cuts = cuts(&whole);
            assert_eq!(cuts.len(), 6);
            let frame = |at: usize| &whole[cuts[at]..cuts[at + 1]];
            let join = |order: &[usize]| {
                order
                    .iter()
                    .flat_map(|&at| frame(at).to_vec())
                    .collect::<Vec<u8>>()
            };
            let mut bad = vec![
                ("the last deleted", join(&[0, 1, 2, 3])),
                ("one deleted", join(&[0, 1, 3, 4])),
                ("the first deleted", join(&[1, 2, 3, 4])),
                ("exchanged", join(&[0, 2, 1, 3, 4])),
                ("twice", join(&[0, 1, 1, 2, 3, 4])),
                ("empty", vec![]),
                ("torn", whole[..whole.len() - 3].to_vec()),
            ];
            for at in (0..whole.len()).step_by(7) {
                let mut edited = whole.clone();
                edited[at] ^= 1;
                bad.push(("edited", edited));
            }
            for (what, bytes) in bad {
                std::fs::write(&path, &bytes).unwrap();
                assert!(open(folder.path(), sealed).is_err(), "{what} ({sealed})");
            }
            std::fs::write(&path, &whole).unwrap();
            let log = open(folder.path(), sealed).unwrap();
            log.write(event("after")).unwrap();
            assert_eq!(read(&log.vault, &key().verifying_key()).unwrap().1.lines, 6);
        }
    }

    /// An edit with a right checksum, by somebody without the node's key.
    #[test]
    fn a_line_of_another_key_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path(), None).unwrap();
        let forged = AuditLog::open(&vault, &SigningKey::from_bytes(&[4; 32])).unwrap();
        forged.write(event("a page")).unwrap();
        let error = AuditLog::open(&vault, &key()).err().unwrap();
        assert!(
            matches!(error, AuditError::Line { number: 1, .. }),
            "{error}"
        );
    }

    /// A line that was synced before the power went, without its head.
    #[test]
    fn a_line_without_its_head_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path(), false).unwrap();
        log.write(event("one")).unwrap();
        let head = std::fs::read(folder.path().join("audit.head")).unwrap();
        log.write(event("two")).unwrap();
        std::fs::write(folder.path().join("audit.head"), head).unwrap();
        let log = open(folder.path(), false).unwrap();
        assert_eq!(log.write(event("three")).unwrap(), 3);
    }

    /// After a failed write nothing more is written.
    #[test]
    fn what_can_not_be_written_stops_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path(), false).unwrap();
        log.write(event("one")).unwrap();
        std::fs::create_dir(folder.path().join(".new-audit.head")).unwrap();
        assert!(log.write(event("two")).is_err());
        assert!(matches!(
            log.write(event("three")),
            Err(AuditError::Poisoned)
        ));
    }
}
