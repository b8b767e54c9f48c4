//! Snapshots: what a source signs, and which of two a replica may take.
//!
//! Hashes and signatures are over the received bytes, never over a
//! re-encoding. SPEC.md section 6.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Domain, NotHex, parse_hex};
use crate::message::{DecodeError, decode};

const SIGNATURE_CONTEXT: &[u8] = b"hikae 1 snapshot signature\0";

/// A node's identity: its ed25519 public key, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub [u8; 32]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Digest(self.0), f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for NodeId {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<NodeId, NotHex> {
        parse_hex(text).map(NodeId)
    }
}

/// One catalogue's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Grows by one with each new life of the signer's catalogue.
    pub counter: u64,
    /// Tells two lives apart that claim one counter.
    pub random: [u8; 16],
}

/// A place in a signer's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The catalogue's life.
    pub epoch: Epoch,
    /// The commit within it; the first is 1.
    pub sequence: u64,
}

/// The state of a signer's tree at one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which commit of which life.
    pub cursor: Cursor,
    /// The root digest of the whole tree.
    pub root: Digest,
    /// Leaves that have entries.
    pub leaves: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// The signer's clock, milliseconds since the epoch. Information only.
    pub time_ms: i64,
    /// Digest of the signed bytes of the snapshot before this one.
    pub previous: Option<Digest>,
}

/// A snapshot as it travels and rests: bytes, signer, signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedSnapshot {
    /// Who signed.
    pub signer: NodeId,
    /// The snapshot in its encoded form.
    pub body: Vec<u8>,
    /// ed25519 over a context and `body`, 64 bytes.
    pub signature: Vec<u8>,
}

/// A snapshot whose signature was checked; there is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSnapshot {
    signed: SignedSnapshot,
    snapshot: Snapshot,
}

/// Why a snapshot is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Signed by somebody else than the trusted node.
    #[error("the snapshot is signed by {found}, trusted is {trusted}")]
    Signer {
        /// Who signed.
        found: NodeId,
        /// Who should have.
        trusted: NodeId,
    },
    /// The signature does not fit, or the key is none.
    #[error("the snapshot's signature by {0} is wrong")]
    Signature(NodeId),
    /// The signed bytes are no snapshot.
    #[error("the signed bytes are no snapshot: {0}")]
    Body(DecodeError),
}

fn signed_bytes(body: &[u8]) -> Vec<u8> {
    [SIGNATURE_CONTEXT, body].concat()
}

impl VerifiedSnapshot {
    /// Encodes and signs.
    ///
    /// Errors: `DecodeError` if the encoder fails, which it does not for
    /// these types.
    pub fn sign(snapshot: Snapshot, key: &SigningKey) -> Result<VerifiedSnapshot, DecodeError> {
        let body = postcard::to_stdvec(&snapshot).map_err(DecodeError::from)?;
        let signature = key.sign(&signed_bytes(&body)).to_bytes().to_vec();
        let signer = NodeId(key.verifying_key().to_bytes());
        Ok(VerifiedSnapshot {
            signed: SignedSnapshot {
                signer,
                body,
                signature,
            },
            snapshot,
        })
    }

    /// Checks signer, signature and form. SPEC.md [S6-2].
    ///
    /// Errors: `SnapshotError`.
    pub fn verify(
        signed: SignedSnapshot,
        trusted: &NodeId,
    ) -> Result<VerifiedSnapshot, SnapshotError> {
        if signed.signer != *trusted {
            return Err(SnapshotError::Signer {
                found: signed.signer,
                trusted: *trusted,
            });
        }
        let wrong = || SnapshotError::Signature(signed.signer);
        let key = VerifyingKey::from_bytes(&signed.signer.0).map_err(|_| wrong())?;
        let signature = Signature::from_slice(&signed.signature).map_err(|_| wrong())?;
        key.verify_strict(&signed_bytes(&signed.body), &signature)
            .map_err(|_| wrong())?;
        let snapshot = decode(&signed.body).map_err(SnapshotError::Body)?;
        Ok(VerifiedSnapshot { signed, snapshot })
    }

    /// What was signed.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The form that travels and rests.
    pub fn signed(&self) -> &SignedSnapshot {
        &self.signed
    }

    /// The digest by which the next snapshot names this one.
    pub fn digest(&self) -> Digest {
        Domain::Snapshot.digest(&self.signed.body)
    }
}

/// How an offered snapshot stands to the one that a replica has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The same commit with the same root.
    Same,
    /// A later commit of the same life.
    Newer,
    /// A later life: cursors of the old one mean nothing in it.
    NewEpoch,
    /// An earlier commit or life: not taken, no alarm.
    Stale,
    /// Two roots for one commit, or two lives with one counter: the signer,
    /// or somebody with its key, says different things. Stop and alarm.
    Equivocation,
}

/// Compares an offered snapshot with the one held. SPEC.md [S6-3].
pub fn standing(held: Option<&Snapshot>, offered: &Snapshot) -> Standing {
    let Some(held) = held else {
        return Standing::NewEpoch;
    };
    let (old, new) = (held.cursor.epoch, offered.cursor.epoch);
    if new.counter != old.counter {
        return match new.counter > old.counter {
            true => Standing::NewEpoch,
            false => Standing::Stale,
        };
    }
    if new.random != old.random {
        return Standing::Equivocation;
    }
    match offered.cursor.sequence.cmp(&held.cursor.sequence) {
        std::cmp::Ordering::Greater => Standing::Newer,
        std::cmp::Ordering::Less => Standing::Stale,
        std::cmp::Ordering::Equal if offered.root == held.root => Standing::Same,
        std::cmp::Ordering::Equal => Standing::Equivocation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(counter: u64, sequence: u64, root: &[u8]) -> Snapshot {
        Snapshot {
            cursor: Cursor {
                epoch: Epoch {
                    counter,
                    random: [7; 16],
                },
                sequence,
            },
            root: Digest::of_content(root),
            leaves: 1,
            entries: 2,
            bytes: 3,
            time_ms: 4,
            previous: None,
        }
    }

    /// [S6-2] a snapshot is believed only if the trusted node's signature
    /// over the received bytes holds: every flipped byte is noticed.
    #[test]
    fn every_flipped_byte_of_a_signed_snapshot_is_noticed() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let id = NodeId(key.verifying_key().to_bytes());
        let signed = VerifiedSnapshot::sign(snapshot(1, 1, b"r"), &key).unwrap();
        let wire = postcard::to_stdvec(signed.signed()).unwrap();
        assert!(VerifiedSnapshot::verify(decode(&wire).unwrap(), &id).is_ok());
        for at in 0..wire.len() {
            for bit in 0..8 {
                let mut bad = wire.clone();
                bad[at] ^= 1 << bit;
                let Ok(decoded) = decode::<SignedSnapshot>(&bad) else {
                    continue;
                };
                assert!(VerifiedSnapshot::verify(decoded, &id).is_err(), "byte {at}");
            }
        }
    }

    /// [S6-3] lower counters and sequences are stale, two roots for one
    /// sequence are an equivocation.
    #[test]
    fn standings() {
        let held = snapshot(2, 5, b"r");
        let check = |offered: &Snapshot| standing(Some(&held), offered);
        assert_eq!(check(&snapshot(2, 5, b"r")), Standing::Same);
        assert_eq!(check(&snapshot(2, 6, b"s")), Standing::Newer);
        assert_eq!(check(&snapshot(2, 4, b"q")), Standing::Stale);
        assert_eq!(check(&snapshot(1, 9, b"q")), Standing::Stale);
        assert_eq!(check(&snapshot(3, 1, b"q")), Standing::NewEpoch);
        assert_eq!(check(&snapshot(2, 5, b"s")), Standing::Equivocation);
        let mut other = snapshot(2, 6, b"s");
        other.cursor.epoch.random = [8; 16];
        assert_eq!(check(&other), Standing::Equivocation);
        assert_eq!(standing(None, &held), Standing::NewEpoch);
    }
}
