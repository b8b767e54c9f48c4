//! The replica's side of a pull, as a state machine: which frame may come
//! next, and what it means. SPEC.md section 8.
//!
//! Checks signature, standing, order and bounds; whether the proven leaves
//! add up to the signed root is for the owner of the tree to compute.

use crate::bare::{BareError, BareVolume, check_bare};
use crate::frame::{Frame, FrameError, FrameKind};
use crate::limits::{BARE_VOLUMES_MAX, PASSING_LEAVES_MAX, PROOF_LEAVES_MAX, PROOF_TOTAL_MAX};
use crate::message::{LeafProof, Offer, ProofBase, ProofEnd, Refused, decode};
use crate::objectpath::LeafKey;
use crate::snapshot::{NodeId, Snapshot, SnapshotError, Standing, VerifiedSnapshot, standing};

/// What a pull has brought so far.
#[derive(Debug)]
enum State {
    /// The pull is sent; only an offer may come.
    Asked,
    /// The offer is there; bare volumes may come first, then leaves, in
    /// canonical order, or the end.
    Proving {
        /// Bare volumes may still come.
        is_first: bool,
        last: Option<LeafKey>,
        leaves: u64,
        leaves_max: u64,
    },
    /// The proof is complete, or was not needed.
    Ended,
}

/// What a frame brought.
#[derive(Debug)]
pub enum Progress {
    /// A snapshot that may be taken, and what its proof starts from.
    Offered {
        /// The snapshot.
        snapshot: Box<VerifiedSnapshot>,
        /// How it stands to the one held.
        standing: Standing,
        /// What the proof is relative to.
        base: ProofBase,
    },
    /// Volumes that are not given; none: those that the pull named.
    Bare(Vec<BareVolume>),
    /// Leaves of the proof.
    Leaves(Vec<LeafProof>),
    /// The proof is complete.
    Ended,
}

/// The peer broke the protocol, or refused.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// A frame that may not come now.
    #[error("the peer sent a {found:?} frame where {expected} was due")]
    Order {
        /// What came.
        found: FrameKind,
        /// What was due.
        expected: &'static str,
    },
    /// A frame that does not decode.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A snapshot that is not believed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Two roots for one commit: somebody uses the signer's key.
    #[error(
        "equivocation: the signer offers epoch {} sequence {} with root {}, but signed another before",
        .0.cursor.epoch.counter, .0.cursor.sequence, .0.root
    )]
    Equivocation(Box<Snapshot>),
    /// Leaves out of order, too many, or fewer than announced.
    #[error("the proof is out of order or incomplete after {leaves} leaves")]
    Proof {
        /// Leaves until then.
        leaves: u64,
    },
    /// No list of bare volumes.
    #[error(transparent)]
    Bare(#[from] BareError),
    /// More leaves than there can be.
    #[error("the peer lists more leaves than the snapshot counts: over {most}")]
    Many {
        /// How many there can be.
        most: u64,
    },
    /// The peer refused.
    #[error("the peer refused: {0}")]
    Refused(Refused),
}

/// One pull, from the request to the end of the proof.
#[derive(Debug)]
pub struct PullExchange {
    trusted: NodeId,
    held: Option<Snapshot>,
    state: State,
}

impl PullExchange {
    /// A pull from a replica that holds `held`, believing `trusted`.
    pub fn new(trusted: NodeId, held: Option<Snapshot>) -> PullExchange {
        PullExchange {
            trusted,
            held,
            state: State::Asked,
        }
    }

    /// Whether the exchange is over.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Takes the next frame.
    ///
    /// Errors: `ExchangeError`; the exchange is then over.
    pub fn receive(&mut self, frame: &Frame) -> Result<Progress, ExchangeError> {
        if frame.kind == FrameKind::Refused {
            return Err(ExchangeError::Refused(Refused::received(frame)?));
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Asked => self.offered(frame),
            State::Proving {
                is_first: true,
                last,
                leaves,
                leaves_max,
            } if frame.kind == FrameKind::Bare => {
                self.state = State::Proving {
                    is_first: false,
                    last,
                    leaves,
                    leaves_max,
                };
                bare(frame)
            }
            State::Proving {
                last,
                leaves,
                leaves_max,
                ..
            } => self.proving(frame, last, leaves, leaves_max),
            State::Ended => Err(ExchangeError::Order {
                found: frame.kind,
                expected: "nothing",
            }),
        }
    }

    fn offered(&mut self, frame: &Frame) -> Result<Progress, ExchangeError> {
        if frame.kind != FrameKind::Offer {
            return Err(ExchangeError::Order {
                found: frame.kind,
                expected: "an offer",
            });
        }
        let Offer { snapshot, base } = frame.decode()?;
        let snapshot = VerifiedSnapshot::verify(snapshot, &self.trusted)?;
        let standing = standing(self.held.as_ref(), snapshot.snapshot());
        if standing == Standing::Equivocation {
            return Err(ExchangeError::Equivocation(Box::new(
                snapshot.snapshot().clone(),
            )));
        }
        let held = self.held.as_ref().map_or(0, |held| held.leaves);
        let offered = snapshot.snapshot().leaves;
        let leaves_max = match base {
            ProofBase::Empty => offered,
            ProofBase::Apart => 0,
            // Leaves that came and went since are in neither tree.
            ProofBase::Cursor => held
                .saturating_add(offered)
                .saturating_add(PASSING_LEAVES_MAX),
        };
        self.state = State::Proving {
            is_first: true,
            last: None,
            leaves: 0,
            leaves_max: leaves_max.min(PROOF_TOTAL_MAX),
        };
        Ok(Progress::Offered {
            snapshot: Box::new(snapshot),
            standing,
            base,
        })
    }

    fn proving(
        &mut self,
        frame: &Frame,
        mut last: Option<LeafKey>,
        mut leaves: u64,
        leaves_max: u64,
    ) -> Result<Progress, ExchangeError> {
        match frame.kind {
            FrameKind::ProofEnd => match frame.decode::<ProofEnd>()?.leaves == leaves {
                true => Ok(Progress::Ended),
                false => Err(ExchangeError::Proof { leaves }),
            },
            FrameKind::Proof => {
                let items = frame
                    .unpack()?
                    .unpack()
                    .map_err(|error| frame.wrong_pack(error))?;
                if items.is_empty() || items.len() > PROOF_LEAVES_MAX {
                    return Err(ExchangeError::Proof { leaves });
                }
                let mut proofs = Vec::with_capacity(items.len());
                for item in items.iter() {
                    let proof: LeafProof = decode(item).map_err(|error| frame.wrong(error))?;
                    leaves += 1;
                    if last.as_ref() >= Some(&proof.key) {
                        return Err(ExchangeError::Proof { leaves });
                    }
                    if leaves > leaves_max {
                        return Err(ExchangeError::Many { most: leaves_max });
                    }
                    last = Some(proof.key.clone());
                    proofs.push(proof);
                }
                self.state = State::Proving {
                    is_first: false,
                    last,
                    leaves,
                    leaves_max,
                };
                Ok(Progress::Leaves(proofs))
            }
            found => Err(ExchangeError::Order {
                found,
                expected: "a proof or its end",
            }),
        }
    }
}

/// The volumes of a frame, if they can be such a list.
fn bare(frame: &Frame) -> Result<Progress, ExchangeError> {
    let items = frame.unpack()?.unpack();
    let items = items.map_err(|error| frame.wrong_pack(error))?;
    if items.len() > BARE_VOLUMES_MAX {
        return Err(BareError::Many(items.len()).into());
    }
    let volumes = items.iter().map(decode::<BareVolume>);
    let volumes: Vec<BareVolume> = volumes
        .collect::<Result<_, _>>()
        .map_err(|error| frame.wrong(error))?;
    check_bare(&volumes)?;
    Ok(Progress::Bare(volumes))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::digest::Digest;
    use crate::pack::PackBuilder;
    use crate::snapshot::{Cursor, Epoch};

    fn offer(key: &SigningKey, sequence: u64) -> Frame {
        offer_of(key, sequence, 2)
    }

    fn offer_of(key: &SigningKey, sequence: u64, leaves: u64) -> Frame {
        let snapshot = Snapshot {
            cursor: Cursor {
                epoch: Epoch {
                    counter: 1,
                    random: [0; 16],
                },
                sequence,
            },
            root: Digest::of_content(&sequence.to_le_bytes()),
            leaves,
            entries: 0,
            bytes: 0,
            time_ms: 0,
            previous: None,
        };
        let signed = VerifiedSnapshot::sign(snapshot, key).unwrap();
        let offer = Offer {
            snapshot: signed.signed().clone(),
            base: ProofBase::Empty,
        };
        Frame::message(FrameKind::Offer, &offer).unwrap()
    }

    fn proof(keys: &[&str]) -> Frame {
        let mut builder = PackBuilder::default();
        for key in keys {
            let leaf = LeafProof {
                key: LeafKey::parse(key.as_bytes()).unwrap(),
                digest: None,
                sequence: 1,
                weight: 0,
            };
            builder.push(&postcard::to_stdvec(&leaf).unwrap());
        }
        Frame::pack(FrameKind::Proof, &builder.finish(3).unwrap()).unwrap()
    }

    fn end(leaves: u64) -> Frame {
        Frame::message(FrameKind::ProofEnd, &ProofEnd { leaves }).unwrap()
    }

    fn run(frames: &[Frame], trusted: &SigningKey) -> Result<bool, ExchangeError> {
        let mut pull = PullExchange::new(NodeId(trusted.verifying_key().to_bytes()), None);
        for frame in frames {
            pull.receive(frame)?;
        }
        Ok(pull.is_ended())
    }

    /// [S7-4] a frame of a proof has 1 to 16,384 leaves.
    #[test]
    fn a_frame_of_a_proof_is_bounded_and_never_empty() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let names: Vec<String> = (0..=PROOF_LEAVES_MAX)
            .map(|at| format!("F/L/{at:06}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let most = &names[..PROOF_LEAVES_MAX];
        let run = |leaves: &[&str]| {
            let count = leaves.len() as u64;
            let frames = [offer_of(&key, 1, count), proof(leaves), end(count)];
            run(&frames, &key)
        };
        assert!(run(most).unwrap());
        assert!(run(&names).is_err());
        assert!(run(&[]).is_err());
    }

    /// [S8-11] no more leaves than there can be; [S8-1] [S7-4] frames come in one order: offer, proofs in canonical
    /// order, end; the end has their number.
    #[test]
    fn order_is_kept() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let other = SigningKey::from_bytes(&[2; 32]);
        let good = [offer(&key, 1), proof(&["F/L/a", "F/L/b"]), end(2)];
        assert!(run(&good, &key).unwrap());
        assert!(run(&good, &other).is_err());
        assert!(!run(&good[..2], &key).unwrap());
        for bad in [
            vec![proof(&["F/L"])],
            vec![end(0)],
            vec![offer(&key, 1), offer(&key, 1)],
            vec![offer(&key, 1), proof(&["F/L/b", "F/L/a"])],
            vec![offer(&key, 1), proof(&["F/L/a"]), proof(&["F/L/a"])],
            vec![offer(&key, 1), proof(&["F/L/a"]), end(2)],
            vec![offer(&key, 1), proof(&["F/L/a", "F/L/b", "F/L/c"]), end(3)],
            vec![offer(&key, 1), end(0), end(0)],
        ] {
            assert!(run(&bad, &key).is_err(), "{bad:?}");
        }
    }
}
