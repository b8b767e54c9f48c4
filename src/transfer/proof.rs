//! Proof before content: the replica asks for the newest snapshot and what
//! changed, and computes the root over its own tree. Unless it is the signed
//! one, the trees are compared (`compare`); unless that adds up, nothing else
//! happens.

use hikae_protocol::bare::{BareVolume, bare_digest};
use hikae_protocol::digest::Digest;
use hikae_protocol::exchange::{ExchangeError, Progress, PullExchange};
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::message::{LeafProof, ProofBase, Pull};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::{NodeId, Snapshot, Standing, VerifiedSnapshot};
use quinn::Connection;

use super::link;
use super::links::{Links, TRIES};
use super::replica::{ANSWER_DEADLINE, PROOF_DEADLINE};
use super::report::PullError;
use crate::catalogue::{Catalogue, VolumeNode, Volumes};
use crate::plan::Filter;

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
    /// What is bare then, and what no longer is.
    pub volumes: BareChange,
}

/// The bare volumes of a snapshot, as a replica that knows others sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BareChange {
    /// Volumes that are bare then.
    pub bare: Vec<BareVolume>,
    /// Volumes that were, and are not any more: they are given now, or gone.
    pub opened: Vec<LeafKey>,
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
    Apart(Box<(VerifiedSnapshot, BareChange)>),
}

struct Answer {
    snapshot: VerifiedSnapshot,
    standing: Standing,
    base: ProofBase,
    /// Volumes that are not given; none: the source told of none.
    bare: Option<Vec<BareVolume>>,
    leaves: Vec<LeafProof>,
}

/// Who is asked, and for what.
pub(super) struct Asked<'a> {
    pub links: &'a Links,
    pub catalogue: &'a Catalogue,
    pub trusted: NodeId,
    pub filter: &'a Filter,
}

/// Asks for a proof: of what changed since `known`, which an earlier round
/// proved, or since the last commit.
///
/// Errors: `PullError`.
pub(super) async fn prove(asked: &Asked<'_>, known: Option<&Proven>) -> Result<Proof, PullError> {
    let catalogue = asked.catalogue;
    let (held, own) = match known {
        Some(known) => (
            Some(known.snapshot.snapshot().clone()),
            known.volumes.bare.clone(),
        ),
        None => (catalogue.snapshot(), catalogue.view().bare_volumes()?),
    };
    let mut answer = ask(asked, held.clone(), bare_digest(&own)).await?;
    let snapshot = answer.snapshot.snapshot();
    if answer.standing == Standing::Stale {
        let held = held.map(|held| held.cursor.epoch);
        return Ok(Proof::Stale {
            same_epoch: held == Some(snapshot.cursor.epoch),
        });
    }
    let listed = match answer.bare.take() {
        None => vec![],
        Some(listed) if listed.is_empty() => own,
        Some(listed) => listed,
    };
    let volumes = BareChange::new(catalogue, &listed)?;
    let mut opened = volumes.opened.iter();
    let widened = opened.any(|volume| asked.filter.keeps_volume(volume.as_bytes()));
    match (answer.standing, known) {
        // Of what is given now nothing is known but its digest.
        _ if widened => return Ok(Proof::Apart(Box::new((answer.snapshot, volumes)))),
        (Standing::Same, Some(known)) => return Ok(Proof::Proven(Box::new(known.clone()))),
        // The own tree may have lost leaves to damage: it is whole only if it
        // adds up.
        (Standing::Same, None) => {
            if catalogue.with_digests([])?.root == snapshot.root {
                return Ok(Proof::Unchanged);
            }
            tracing::warn!("the own tree is not the signed one; comparing the trees");
            return Ok(Proof::Apart(Box::new((answer.snapshot, volumes))));
        }
        _ => {}
    }
    if answer.base == ProofBase::Apart {
        return Ok(Proof::Apart(Box::new((answer.snapshot, volumes))));
    }
    check(asked, answer, volumes, known)
}

impl BareChange {
    /// What `listed`, which a source does not give, changes. A volume that is
    /// held whole stays so as long as it did not change.
    ///
    /// Errors: `PullError::NotGiven`: nothing that is held goes because a
    /// source says so.
    fn new(catalogue: &Catalogue, listed: &[BareVolume]) -> Result<BareChange, PullError> {
        let view = catalogue.view();
        let mut change = BareChange::default();
        for bare in listed {
            let held = match catalogue.is_bare(bare.volume.as_bytes())? {
                true => None,
                false => view.volume_as_bare(&bare.volume)?,
            };
            match held {
                None => change.bare.push(bare.clone()),
                Some(held) if (held.leaf, held.node) == (bare.leaf, bare.node) => {}
                Some(_) => return Err(PullError::NotGiven(bare.volume.text())),
            }
        }
        for own in view.bare_volumes()? {
            if listed.iter().all(|bare| bare.volume != own.volume) {
                change.opened.push(own.volume);
            }
        }
        Ok(change)
    }

    /// Whether nothing is known of a volume but its digest.
    pub(super) fn is_bare(&self, volume: &[u8]) -> bool {
        let at = self
            .bare
            .binary_search_by(|bare| bare.volume.as_bytes().cmp(volume));
        at.is_ok()
    }

    fn nodes(&self) -> Volumes {
        let name = |volume: &LeafKey| volume.as_bytes().to_vec();
        let bare = self.bare.iter();
        let bare = bare.map(|bare| (name(&bare.volume), VolumeNode::Bare(bare.node)));
        let opened = self.opened.iter();
        bare.chain(opened.map(|volume| (name(volume), VolumeNode::Open)))
            .collect()
    }
}

/// Asks by the link that answered first; by another if it is lost meanwhile.
async fn ask(
    asked: &Asked<'_>,
    held: Option<Snapshot>,
    bare: Option<Digest>,
) -> Result<Answer, PullError> {
    let mut tries = 1;
    loop {
        let connection = asked.links.first().await?;
        match ask_by(&connection, asked, held.clone(), bare).await {
            Err(PullError::Link(error)) if connection.close_reason().is_some() && tries < TRIES => {
                tracing::info!(%error, "asking for the proof by another connection");
                tries += 1;
            }
            other => return other,
        }
    }
}

/// Pulls, and takes what comes. More leaves than there can be are none.
async fn ask_by(
    connection: &Connection,
    asked: &Asked<'_>,
    held: Option<Snapshot>,
    bare: Option<Digest>,
) -> Result<Answer, PullError> {
    let pull = Pull {
        have: held.as_ref().map(|held| held.cursor),
        volumes: asked.filter.volumes.clone(),
        bare,
    };
    let (mut send, mut receive) = link::open(connection).await?;
    link::send(
        &mut send,
        &Frame::message(FrameKind::Pull, &pull).map_err(link::LinkError::from)?,
    )
    .await?;
    let _ = send.finish();
    let mut exchange = PullExchange::new(asked.trusted, held);
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
                    bare: None,
                    leaves: vec![],
                });
            }
            (Ok(Progress::Bare(volumes)), Some(answer)) => answer.bare = Some(volumes),
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
    asked: &Asked<'_>,
    answer: Answer,
    volumes: BareChange,
    known: Option<&Proven>,
) -> Result<Proof, PullError> {
    let Answer {
        snapshot,
        standing,
        base,
        leaves,
        ..
    } = answer;
    let catalogue = asked.catalogue;
    check_given(&leaves, &volumes, asked.filter)?;
    let leaves = match (base, known) {
        (ProofBase::Empty, _) => {
            with_unlisted(catalogue, leaves, snapshot.snapshot().cursor.sequence)?
        }
        (_, Some(known)) => {
            let mut all = known.leaves.clone();
            all.retain(|leaf| !volumes.is_bare(leaf.key.volume()));
            all.extend(leaves);
            ordered(all)
        }
        (_, None) => ordered(leaves),
    };
    if !adds_up(catalogue, &snapshot, &leaves, &volumes)? {
        if base == ProofBase::Empty {
            return Err(PullError::Root);
        }
        tracing::warn!("the changes do not add up to the signed root; comparing the trees");
        return Ok(Proof::Apart(Box::new((snapshot, volumes))));
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
        volumes,
    })))
}

/// Refuses leaves of volumes that are bare, or were not asked for: the root
/// does not prove them.
fn check_given(
    leaves: &[LeafProof],
    volumes: &BareChange,
    filter: &Filter,
) -> Result<(), PullError> {
    let is_wrong = |leaf: &&LeafProof| {
        let volume = leaf.key.volume();
        volumes.is_bare(volume) || !filter.keeps_volume(volume)
    };
    match leaves.iter().find(is_wrong) {
        None => Ok(()),
        Some(leaf) => Err(PullError::Fault(format!(
            "leaf {} of a volume that is not given",
            leaf.key.text()
        ))),
    }
}

fn adds_up(
    catalogue: &Catalogue,
    snapshot: &VerifiedSnapshot,
    leaves: &[LeafProof],
    volumes: &BareChange,
) -> Result<bool, PullError> {
    let gone = volumes.opened.iter().map(|volume| (volume, None));
    let bare = volumes.bare.iter();
    let bare = bare.map(|bare| (&bare.volume, bare.leaf));
    let digests = leaves.iter().map(|leaf| (&leaf.key, leaf.digest));
    // A volume's own leaf may be given again: the later digest counts.
    let digests = gone.chain(bare).chain(digests);
    let grown = catalogue.with_volumes(digests, &volumes.nodes())?;
    Ok(grown.root == snapshot.snapshot().root)
}

impl Proven {
    /// What was proven of a leaf; none: it does not differ.
    pub(super) fn leaf(&self, key: &LeafKey) -> Option<&LeafProof> {
        let at = self.leaves.binary_search_by(|leaf| leaf.key.cmp(key));
        at.ok().and_then(|at| self.leaves.get(at))
    }

    /// What a comparison of the trees found.
    ///
    /// Errors: `PullError::Root` if it does not add up to the signed root.
    pub(super) fn compared(
        (catalogue, filter): (&Catalogue, &Filter),
        snapshot: VerifiedSnapshot,
        leaves: Vec<LeafProof>,
        volumes: BareChange,
    ) -> Result<Proven, PullError> {
        check_given(&leaves, &volumes, filter)?;
        match adds_up(catalogue, &snapshot, &leaves, &volumes)? {
            true => Ok(Proven {
                snapshot,
                leaves,
                base: None,
                volumes,
            }),
            false => Err(PullError::Root),
        }
    }
}

/// Leaves in canonical order; a later proof of a leaf takes the place of an
/// earlier one.
fn ordered(mut leaves: Vec<LeafProof>) -> Vec<LeafProof> {
    leaves.sort_by(|one, two| one.key.cmp(&two.key));
    leaves.dedup_by(|later, earlier| {
        let are_one = later.key == earlier.key;
        if are_one {
            std::mem::swap(later, earlier);
        }
        are_one
    });
    leaves
}

/// A whole list, and a removal for every leaf that it does not name, at the
/// signer's commit `sequence`: an earlier one is not known.
fn with_unlisted(
    catalogue: &Catalogue,
    listed: Vec<LeafProof>,
    sequence: u64,
) -> Result<Vec<LeafProof>, PullError> {
    let mut all = ordered(listed);
    let listed = all.len();
    for (key, value) in catalogue.view().leaves_below(&[])? {
        let names = |all: &[LeafProof]| all.binary_search_by(|leaf| leaf.key.cmp(&key)).is_ok();
        if value.entries > 0 && value.bare.is_none() && !names(&all[..listed]) {
            all.push(LeafProof {
                key,
                digest: None,
                sequence,
                weight: 0,
            });
        }
    }
    Ok(ordered(all))
}
