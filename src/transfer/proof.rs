//! Proof before content: the replica asks for the newest snapshot and what
//! changed, and computes the root over its own tree. Unless it is the signed
//! one, the trees are compared (`compare`); unless that adds up, nothing else
//! happens.

use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::exchange::{ExchangeError, Progress, PullExchange};
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::message::{LeafProof, ProofBase, Pull};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::{NodeId, Snapshot, Standing, VerifiedSnapshot};
use quinn::Connection;

use super::link;
use super::links::{Links, TRIES};
use super::replica::{ANSWER_DEADLINE, PROOF_DEADLINE, PullError};
use crate::catalogue::Catalogue;

/// A snapshot whose root the replica's tree will have once these leaves have
/// these digests.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The snapshot.
    pub snapshot: VerifiedSnapshot,
    /// Leaves that differ, in canonical order.
    pub leaves: Vec<LeafProof>,
    /// The replica's tree is of the signer's same epoch: leaves may be asked
    /// for as deltas from the commit that it holds.
    pub base: Option<u64>,
}

/// What a pull came to before any content.
#[derive(Debug)]
pub(super) enum Proof {
    /// Nothing is newer.
    Unchanged,
    /// The source is behind the replica: in the same epoch or an older one.
    Stale {
        /// The same one.
        same_epoch: bool,
    },
    /// There is something to fetch.
    Proven(Box<Proven>),
    /// There is no list of changes, or it does not add up: the trees have to
    /// be compared.
    Apart(Box<VerifiedSnapshot>),
}

struct Answer {
    snapshot: VerifiedSnapshot,
    standing: Standing,
    base: ProofBase,
    leaves: Vec<LeafProof>,
}

/// Asks for a proof: of what changed since `known`, which an earlier round
/// proved, or since the last commit.
///
/// Errors: `PullError`.
pub(super) async fn prove(
    links: &Links,
    catalogue: &Catalogue,
    trusted: NodeId,
    known: Option<&Proven>,
) -> Result<Proof, PullError> {
    let held = match known {
        Some(known) => Some(known.snapshot.snapshot().clone()),
        None => catalogue.snapshot(),
    };
    let answer = ask(links, held.clone(), trusted).await?;
    let snapshot = answer.snapshot.snapshot();
    match (answer.standing, known) {
        (Standing::Same, Some(known)) => return Ok(Proof::Proven(Box::new(known.clone()))),
        // The own tree may have lost leaves to damage: it is whole only if it
        // adds up.
        (Standing::Same, None) => {
            if catalogue.with_digests([])?.root == snapshot.root {
                return Ok(Proof::Unchanged);
            }
            tracing::warn!("the own tree is not the signed one; comparing the trees");
            return Ok(Proof::Apart(Box::new(answer.snapshot)));
        }
        (Standing::Stale, _) => {
            let held = held.map(|held| held.cursor.epoch);
            return Ok(Proof::Stale {
                same_epoch: held == Some(snapshot.cursor.epoch),
            });
        }
        _ => {}
    }
    if answer.base == ProofBase::Apart {
        return Ok(Proof::Apart(Box::new(answer.snapshot)));
    }
    check(catalogue, answer, known)
}

/// Pulls, and takes what comes. More leaves than there can be are none.
/// Asks by the link that answered first; by another if it is lost meanwhile.
async fn ask(links: &Links, held: Option<Snapshot>, trusted: NodeId) -> Result<Answer, PullError> {
    let mut tries = 1;
    loop {
        let connection = links.first().await?;
        match ask_by(&connection, held.clone(), trusted).await {
            Err(PullError::Link(error)) if connection.close_reason().is_some() && tries < TRIES => {
                tracing::info!(%error, "asking for the proof by another connection");
                tries += 1;
            }
            other => return other,
        }
    }
}

async fn ask_by(
    connection: &Connection,
    held: Option<Snapshot>,
    trusted: NodeId,
) -> Result<Answer, PullError> {
    let pull = Pull {
        have: held.as_ref().map(|held| held.cursor),
    };
    let (mut send, mut receive) = link::open(connection).await?;
    link::send(
        &mut send,
        &Frame::message(FrameKind::Pull, &pull).map_err(link::LinkError::from)?,
    )
    .await?;
    let _ = send.finish();
    let mut exchange = PullExchange::new(trusted, held);
    let mut offered: Option<Answer> = None;
    while !exchange.is_ended() {
        // Once it offers, nothing is left to wait for.
        let deadline = match offered {
            None => PROOF_DEADLINE,
            Some(_) => ANSWER_DEADLINE,
        };
        let frame = link::receive(&mut receive, deadline)
            .await?
            .ok_or(link::LinkError::Ended)?;
        match (exchange.receive(&frame), &mut offered) {
            (
                Ok(Progress::Offered {
                    snapshot,
                    standing,
                    base,
                }),
                _,
            ) => {
                offered = Some(Answer {
                    snapshot: *snapshot,
                    standing,
                    base,
                    leaves: vec![],
                });
            }
            (Ok(Progress::Leaves(mut some)), Some(answer)) => answer.leaves.append(&mut some),
            (Err(error @ ExchangeError::Many { .. }), Some(answer))
                if answer.base == ProofBase::Cursor =>
            {
                tracing::warn!(%error, "comparing the trees");
                answer.base = ProofBase::Apart;
                answer.leaves = vec![];
                break;
            }
            (Err(error), _) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(offered.ok_or(link::LinkError::Ended)?)
}

/// The differences, if they add up to the signed root.
fn check(
    catalogue: &Catalogue,
    answer: Answer,
    known: Option<&Proven>,
) -> Result<Proof, PullError> {
    let Answer {
        snapshot,
        standing,
        base,
        leaves,
    } = answer;
    let leaves = match (base, known) {
        (ProofBase::Empty, _) => {
            with_unlisted(catalogue, leaves, snapshot.snapshot().cursor.sequence)?
        }
        (_, Some(known)) => merged(&known.leaves, leaves),
        (_, None) => leaves,
    };
    if !adds_up(catalogue, &snapshot, &leaves)? {
        if base == ProofBase::Empty {
            return Err(PullError::Root);
        }
        tracing::warn!("the changes do not add up to the signed root; comparing the trees");
        return Ok(Proof::Apart(Box::new(snapshot)));
    }
    let base = match known {
        Some(known) => known.base,
        None => catalogue
            .snapshot()
            .filter(|_| standing == Standing::Newer)
            .map(|held| held.cursor.sequence),
    };
    Ok(Proof::Proven(Box::new(Proven {
        snapshot,
        leaves,
        base,
    })))
}

fn adds_up(
    catalogue: &Catalogue,
    snapshot: &VerifiedSnapshot,
    leaves: &[LeafProof],
) -> Result<bool, PullError> {
    let digests = leaves.iter().map(|leaf| (&leaf.key, leaf.digest));
    Ok(catalogue.with_digests(digests)?.root == snapshot.snapshot().root)
}

impl Proven {
    /// What a comparison of the trees found.
    ///
    /// Errors: `PullError::Root` if it does not add up to the signed root.
    pub(super) fn compared(
        catalogue: &Catalogue,
        snapshot: VerifiedSnapshot,
        leaves: Vec<LeafProof>,
    ) -> Result<Proven, PullError> {
        match adds_up(catalogue, &snapshot, &leaves)? {
            true => Ok(Proven {
                snapshot,
                leaves,
                base: None,
            }),
            false => Err(PullError::Root),
        }
    }
}

/// What was proven before, and what changed since.
fn merged(before: &[LeafProof], since: Vec<LeafProof>) -> Vec<LeafProof> {
    let before = before.iter().map(|leaf| (leaf.key.clone(), leaf.clone()));
    let mut all: BTreeMap<LeafKey, LeafProof> = before.collect();
    all.extend(since.into_iter().map(|leaf| (leaf.key.clone(), leaf)));
    all.into_values().collect()
}

/// A whole list, and a removal for every leaf that it does not name, at the
/// signer's commit `sequence`: an earlier one is not known.
fn with_unlisted(
    catalogue: &Catalogue,
    listed: Vec<LeafProof>,
    sequence: u64,
) -> Result<Vec<LeafProof>, PullError> {
    let names: BTreeSet<LeafKey> = listed.iter().map(|leaf| leaf.key.clone()).collect();
    let mut all = listed;
    for (key, value) in catalogue.view().leaves_below(&[])? {
        if value.entries > 0 && !names.contains(&key) {
            all.push(LeafProof {
                key,
                digest: None,
                sequence,
                weight: 0,
            });
        }
    }
    all.sort_unstable_by(|one, two| one.key.cmp(&two.key));
    Ok(all)
}
