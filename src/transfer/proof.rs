//! Proof before content: the replica asks for the newest snapshot and what
//! changed, and computes the root over its own tree; unless it is the signed
//! one, nothing else happens.

use std::collections::BTreeSet;

use hikae_protocol::digest::Digest;
use hikae_protocol::exchange::{ExchangeError, Progress, PullExchange};
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::message::{LeafProof, ProofBase, Pull};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::{NodeId, Standing, VerifiedSnapshot};
use quinn::Connection;

use super::link;
use super::replica::{ANSWER_DEADLINE, PROOF_DEADLINE, PullError};
use crate::catalogue::Catalogue;

/// A snapshot whose root the replica's tree will have once these leaves have
/// these digests.
#[derive(Debug)]
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
}

struct Answer {
    snapshot: VerifiedSnapshot,
    standing: Standing,
    base: ProofBase,
    leaves: Vec<LeafProof>,
}

/// Asks for a proof; once more for the whole list if the first does not add
/// up.
///
/// Errors: `PullError`.
pub(super) async fn prove(
    connection: &Connection,
    catalogue: &Catalogue,
    trusted: NodeId,
    round_trips: &mut u64,
) -> Result<Proof, PullError> {
    for whole in [false, true] {
        *round_trips += 1;
        let answer = match ask(connection, catalogue, trusted, whole).await {
            Err(PullError::Exchange(error @ ExchangeError::Many { .. })) if !whole => {
                tracing::warn!(%error, "asking for the whole list");
                continue;
            }
            answer => answer?,
        };
        match answer.standing {
            // The own tree may have lost leaves to damage: it is whole only
            // if it adds up.
            Standing::Same if !whole && own_root(catalogue)? == answer.snapshot.snapshot().root => {
                return Ok(Proof::Unchanged);
            }
            Standing::Same if !whole => {
                tracing::warn!("the own tree is not the signed one; asking for the whole list");
                continue;
            }
            Standing::Stale => {
                let offered = answer.snapshot.snapshot().cursor.epoch;
                let held = catalogue.snapshot().map(|held| held.cursor.epoch);
                return Ok(Proof::Stale {
                    same_epoch: held == Some(offered),
                });
            }
            _ => {}
        }
        if let Some(proven) = check(catalogue, answer)? {
            return Ok(Proof::Proven(Box::new(proven)));
        }
        tracing::warn!("the changes do not add up to the signed root; asking for the whole list");
    }
    Err(PullError::Root)
}

fn own_root(catalogue: &Catalogue) -> Result<Digest, PullError> {
    Ok(catalogue.with_digests([])?.root)
}

async fn ask(
    connection: &Connection,
    catalogue: &Catalogue,
    trusted: NodeId,
    whole: bool,
) -> Result<Answer, PullError> {
    let held = catalogue.snapshot();
    let pull = Pull {
        have: held.as_ref().map(|held| held.cursor),
        whole,
    };
    let (mut send, mut receive) = link::open(connection).await?;
    link::send(
        &mut send,
        &Frame::message(FrameKind::Pull, &pull).map_err(link::LinkError::from)?,
    )
    .await?;
    let _ = send.finish();
    let mut exchange = PullExchange::new(trusted, held);
    let mut offered = None;
    let mut leaves = Vec::new();
    while !exchange.is_ended() {
        // Once it offers, nothing is left to wait for.
        let deadline = match offered {
            None => PROOF_DEADLINE,
            Some(_) => ANSWER_DEADLINE,
        };
        let frame = link::receive(&mut receive, deadline)
            .await?
            .ok_or(link::LinkError::Ended)?;
        match exchange.receive(&frame)? {
            Progress::Offered {
                snapshot,
                standing,
                base,
            } => offered = Some((*snapshot, standing, base)),
            Progress::Leaves(mut some) => leaves.append(&mut some),
            Progress::Ended => {}
        }
    }
    let (snapshot, standing, base) = offered.ok_or(link::LinkError::Ended)?;
    Ok(Answer {
        snapshot,
        standing,
        base,
        leaves,
    })
}

/// The differences, if they add up to the signed root.
fn check(catalogue: &Catalogue, answer: Answer) -> Result<Option<Proven>, PullError> {
    let Answer {
        snapshot,
        standing,
        base,
        mut leaves,
    } = answer;
    if base == ProofBase::Empty {
        leaves = with_unlisted(catalogue, leaves, snapshot.snapshot().cursor.sequence)?;
    }
    let digests = leaves.iter().map(|leaf| (&leaf.key, leaf.digest));
    let root: Digest = catalogue.with_digests(digests)?.root;
    if root != snapshot.snapshot().root {
        return Ok(None);
    }
    let same_epoch = matches!(standing, Standing::Newer | Standing::Same);
    let held = catalogue.snapshot().filter(|_| same_epoch);
    Ok(Some(Proven {
        snapshot,
        leaves,
        base: held.map(|held| held.cursor.sequence),
    }))
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
