//! Answers peers: offers and proofs, bundles, ranges of contents.

use std::sync::Arc;
use std::time::Duration;

use hikae_protocol::filter::are_patterns;
use hikae_protocol::frame::{Frame, FrameError, FrameKind};
use hikae_protocol::limits::{
    BUNDLE_BYTES, FETCH_LEAVES_MAX, HELD_MAX, LARGE_BYTES_MIN, PROOF_LEAVES_MAX,
};
use hikae_protocol::list::page_hint;
use hikae_protocol::message::{
    Beyond, Chunks, ContentForm, Contents, DeltaState, Fetch, LeafDelta, LeafProof, LeafWant,
    Offer, ProofBase, ProofEnd, Pull, Refused, RefusedCode,
};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::PackBuilder;
use hikae_protocol::snapshot::{Cursor, NodeId};
use quinn::{Connection, RecvStream, SendStream};

use super::handout::{chunk_list, ranges};
use super::link::{self, LinkError, LinkStats, Listener};
use super::lists::lists;
use super::scope::{Scope, Split};
use super::{ContentError, Holdings};
use crate::catalogue::{CatalogueError, FileRecord, LeafRecord, LeafValue};

/// A peer that opened a stream has this long to ask.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks at whether a connected peer still may pull.
const ADMISSION: Duration = Duration::from_secs(2);
/// zstd level of contents and deltas: they rest as they travelled, a fifth smaller than
/// at level 3. What does not compress costs nothing more.
pub(super) const CONTENTS_LEVEL: i32 = 8;
/// zstd level of proofs and lists, which are digests mostly.
pub(super) const NAMES_LEVEL: i32 = 3;
/// Bytes of names in one bundle, before compression.
pub(super) const DELTA_BYTES: usize = 1024 * 1024;

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("{0}")]
    Refused(Refused),
    #[error("a task of ours failed: {0}")]
    Task(String),
}

pub(super) fn refused(code: RefusedCode, text: impl Into<String>) -> AnswerError {
    let mut text: String = text.into();
    text.truncate(text.floor_char_boundary(hikae_protocol::limits::ERROR_TEXT_BYTES_MAX));
    AnswerError::Refused(Refused { code, text })
}

/// Answers every peer that reaches `listener`, until it is closed.
pub async fn serve(listener: Listener, holdings: Arc<dyn Holdings>) {
    let mut peers = tokio::task::JoinSet::new();
    while let Some(incoming) = listener.endpoint().accept().await {
        let holdings = holdings.clone();
        peers.spawn(async move {
            match incoming.await {
                Ok(connection) => serve_peer(connection, holdings).await,
                Err(error) => tracing::warn!(%error, "a handshake failed"),
            }
        });
        while peers.try_join_next().is_some() {}
    }
    peers.shutdown().await;
}

async fn serve_peer(connection: Connection, holdings: Arc<dyn Holdings>) {
    let Some(peer) = link::peer_of(&connection) else {
        return;
    };
    tracing::info!(peer = %peer, remote = %connection.remote_address(), "connected");
    let mut streams = tokio::task::JoinSet::new();
    let next = tokio::time::Instant::now() + ADMISSION;
    let mut admission = tokio::time::interval_at(next, ADMISSION);
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept_bi() => accepted,
            _ = admission.tick() => match holdings.peer(&peer) {
                Some(_) => continue,
                None => {
                    tracing::warn!(peer = %peer, "may not pull any more and is cut off");
                    connection.close(0_u32.into(), b"");
                    break;
                }
            },
        };
        let Ok((send, receive)) = accepted else {
            break;
        };
        let holdings = holdings.clone();
        streams.spawn(async move { answer(send, receive, peer, holdings).await });
        while streams.try_join_next().is_some() {}
    }
    streams.shutdown().await;
    let stats = LinkStats::of(&connection);
    tracing::info!(
        peer = %peer,
        sent = stats.bytes_sent,
        received = stats.bytes_received,
        packets_sent = stats.packets_sent,
        packets_lost = stats.packets_lost,
        rtt_us = stats.rtt_us,
        "disconnected"
    );
}

async fn answer(
    mut send: SendStream,
    mut receive: RecvStream,
    peer: NodeId,
    holdings: Arc<dyn Holdings>,
) {
    let result = answer_request(&mut send, &mut receive, peer, holdings).await;
    if let Err(error) = result {
        tracing::warn!(peer = %peer, %error, "a request was not answered");
        let refusal = match error {
            AnswerError::Link(LinkError::Frame(error)) | AnswerError::Frame(error) => Refused {
                code: RefusedCode::Malformed,
                text: error.to_string(),
            },
            AnswerError::Link(_) => return,
            AnswerError::Refused(refusal) => refusal,
            AnswerError::Catalogue(_) | AnswerError::Task(_) => Refused {
                code: RefusedCode::Unavailable,
                text: "the source's own catalogue or disk failed; see its log".into(),
            },
        };
        if let Ok(frame) = Frame::message(FrameKind::Refused, &refusal) {
            let _ = link::send(&mut send, &frame).await;
        }
    }
    let _ = send.finish();
}

async fn answer_request(
    send: &mut SendStream,
    receive: &mut RecvStream,
    peer: NodeId,
    holdings: Arc<dyn Holdings>,
) -> Result<(), AnswerError> {
    let frame = link::receive_request(receive, REQUEST_DEADLINE)
        .await?
        .ok_or(LinkError::Ended)?;
    let Some(granted) = holdings.peer(&peer) else {
        return Err(refused(
            RefusedCode::Forbidden,
            "this key may not pull here",
        ));
    };
    let scope = Scope::new(&granted.volumes);
    let answers = blocking(move || match frame.kind {
        FrameKind::Pull => proof(&*holdings, &frame.decode()?, &scope),
        FrameKind::Lists => lists(&*holdings, &frame.decode()?, &scope),
        FrameKind::Fetch => {
            let fetch: Fetch = frame.decode()?;
            let keys = fetch.leaves.iter().map(|want| want.key.as_bytes());
            scope.check(holdings.catalogue(), keys)?;
            bundle(&*holdings, &fetch)
        }
        FrameKind::Contents => {
            let wanted: Contents = frame.decode()?;
            scope.check(holdings.catalogue(), [wanted.key.as_bytes()])?;
            ranges(&*holdings, &wanted)
        }
        FrameKind::Chunks => {
            let wanted: Chunks = frame.decode()?;
            scope.check(holdings.catalogue(), [wanted.key.as_bytes()])?;
            chunk_list(&*holdings, &wanted)
        }
        FrameKind::Acknowledge => {
            holdings.acknowledged(&peer, frame.decode()?);
            Ok(vec![])
        }
        FrameKind::Beyond => {
            let beyond: Beyond = frame.decode()?;
            holdings.beyond(&peer, beyond.held);
            Ok(vec![])
        }
        other => Err(refused(
            RefusedCode::Malformed,
            format!("{other:?} is no request"),
        )),
    })
    .await?;
    for frame in answers {
        link::send(send, &frame).await?;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AnswerError> + Send + 'static,
) -> Result<T, AnswerError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| AnswerError::Task(error.to_string()))?
}

/// The offer, bare volumes, the proof and its end.
fn proof(holdings: &dyn Holdings, pull: &Pull, scope: &Scope) -> Result<Vec<Frame>, AnswerError> {
    holdings.refresh();
    let catalogue = holdings.catalogue();
    let mut split = Split::new(scope, pull, catalogue)?;
    let view = catalogue.view();
    let Some((commit, snapshot)) = view.head() else {
        return Err(refused(
            RefusedCode::Unavailable,
            "the first scan is not done yet",
        ));
    };
    let is_known = |have: &Cursor| {
        have.epoch == snapshot.cursor.epoch && have.sequence <= snapshot.cursor.sequence
    };
    type Leaves<'a> = Box<dyn Iterator<Item = Result<(LeafKey, LeafValue), CatalogueError>> + 'a>;
    let (base, leaves): (ProofBase, Leaves<'_>) = match pull.have {
        Some(have) if is_known(&have) => {
            let changed = view.changed_since(have.sequence)?;
            (ProofBase::Cursor, Box::new(changed.into_iter().map(Ok)))
        }
        Some(_) => (ProofBase::Apart, Box::new(std::iter::empty())),
        None => {
            let all = view.each_leaf_below(&[]);
            let is_there = |leaf: &Result<(LeafKey, LeafValue), CatalogueError>| {
                leaf.as_ref().map_or(true, |(_, value)| value.entries > 0)
            };
            (ProofBase::Empty, Box::new(all.filter(is_there)))
        }
    };
    let offer = Offer {
        snapshot: commit.signed.clone(),
        base,
    };
    let mut frames = vec![Frame::message(FrameKind::Offer, &offer)?];
    frames.extend(split.bare(&view)?);
    let proof_frame = |pack: PackBuilder| -> Result<Frame, AnswerError> {
        let pack = pack
            .finish(NAMES_LEVEL)
            .map_err(|error| unavailable(error.to_string()))?;
        Ok(Frame::pack(FrameKind::Proof, &pack)?)
    };
    let mut pack = PackBuilder::default();
    let mut listed = 0;
    for leaf in leaves {
        let (key, value) = leaf?;
        if !split.lists(key.volume())? {
            continue;
        }
        listed += 1;
        let leaf = LeafProof {
            key,
            digest: value.digest,
            sequence: value.sequence,
            weight: match base {
                ProofBase::Cursor => value.newest_bytes,
                ProofBase::Empty | ProofBase::Apart => value.bytes,
            },
        };
        if pack.len() == PROOF_LEAVES_MAX || pack.raw_bytes() >= DELTA_BYTES {
            frames.push(proof_frame(std::mem::take(&mut pack))?);
        }
        pack.push(&encoded(&leaf)?);
    }
    if !pack.is_empty() {
        frames.push(proof_frame(pack)?);
    }
    let end = ProofEnd { leaves: listed };
    frames.push(Frame::message(FrameKind::ProofEnd, &end)?);
    Ok(frames)
}

pub(super) fn encoded<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, AnswerError> {
    postcard::to_stdvec(value).map_err(|error| unavailable(error.to_string()))
}

fn unavailable(text: String) -> AnswerError {
    refused(RefusedCode::Unavailable, text)
}

/// The leaf as of the snapshot that the peer goes to; none if it changed
/// since.
pub(super) fn leaf_at(
    holdings: &dyn Holdings,
    key: &LeafKey,
    to: &Cursor,
) -> Result<Option<LeafRecord>, AnswerError> {
    let catalogue = holdings.catalogue();
    // The leaf and the snapshot are read together; what the leaf's record needs
    // may be freed meanwhile, and then it has another record.
    let find = || {
        let view = catalogue.view();
        let cursor = view.head().map(|(_, snapshot)| snapshot.cursor);
        let Some(cursor) = cursor.filter(|cursor| cursor.epoch == to.epoch) else {
            return Err(refused(RefusedCode::Moved, "another epoch has begun"));
        };
        let value = catalogue.leaf(key)?;
        // A number beyond the last commit's is of an earlier epoch: a replica
        // keeps it of leaves that are the same in this one.
        let moved = to.sequence.saturating_add(1)..=cursor.sequence;
        Ok(value.filter(|value| !moved.contains(&value.sequence)))
    };
    let Some(value) = find()? else {
        return Ok(None);
    };
    match catalogue.record(value.place) {
        Ok(record) => Ok(Some(record)),
        Err(_) if find()? != Some(value) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// One bundle: a delta for every leaf that was asked for, in that order, and
/// the contents that fit.
fn bundle(holdings: &dyn Holdings, fetch: &Fetch) -> Result<Vec<Frame>, AnswerError> {
    let held = fetch.leaves.iter().map(|want| want.held.len());
    let only = fetch.only.as_ref().map(|only| &only.kinds[..]);
    if fetch.leaves.len() > FETCH_LEAVES_MAX
        || held.max().unwrap_or(0) > HELD_MAX
        || !are_patterns(only.unwrap_or_default())
    {
        return Err(refused(RefusedCode::Malformed, "too much in one fetch"));
    }
    let mut deltas = PackBuilder::default();
    let mut contents = PackBuilder::default();
    for want in &fetch.leaves {
        let budget = DELTA_BYTES.saturating_sub(deltas.raw_bytes());
        let state = leaf_delta(holdings, want, fetch, budget, &mut contents)?;
        let delta = LeafDelta {
            key: want.key.clone(),
            state,
        };
        let encoded = delta.encode();
        deltas.push(&encoded.map_err(|error| unavailable(error.to_string()))?);
    }
    let packed = |pack: PackBuilder| {
        let pack = pack.finish(CONTENTS_LEVEL);
        pack.map_err(|error| unavailable(error.to_string()))
    };
    let frame = Frame::bundle(&packed(deltas)?, &packed(contents)?)?;
    Ok(vec![frame])
}

fn leaf_delta(
    holdings: &dyn Holdings,
    want: &LeafWant,
    fetch: &Fetch,
    budget: usize,
    contents: &mut PackBuilder,
) -> Result<DeltaState, AnswerError> {
    let only = fetch.only.as_ref();
    let Some(record) = leaf_at(holdings, &want.key, &fetch.to)? else {
        return Ok(DeltaState::Moved);
    };
    let mut delta = record.delta(want.base, want.after.as_ref(), budget);
    for entry in &mut delta.entries {
        let hint = page_hint(&entry.entry.digest);
        if want.held.binary_search(&hint).is_ok() {
            entry.content = ContentForm::Held;
        }
    }
    if delta.more || !want.inline {
        return Ok(DeltaState::Delta(delta));
    }
    for entry in &mut delta.entries {
        let size = entry.entry.size;
        let fits = size < LARGE_BYTES_MIN
            && contents.raw_bytes() < BUNDLE_BYTES
            && contents.has_room(size as usize);
        let keeps = only.is_none_or(|only| only.keeps(&entry.entry.path));
        let Some(file) = record
            .file(&entry.entry.path)
            .filter(|_| fits && keeps && entry.content == ContentForm::Later)
        else {
            continue;
        };
        entry.content = match holdings.content(&want.key, file, 0, size as u32) {
            Ok(bytes) => ContentForm::Inline(contents.push(&bytes)),
            Err(error) => {
                warn_lacking(&want.key, file, &error);
                ContentForm::Lacking
            }
        };
    }
    Ok(DeltaState::Delta(delta))
}

pub(super) fn warn_lacking(key: &LeafKey, file: &FileRecord, error: &ContentError) {
    let path = file.entry.path.text();
    tracing::warn!(leaf = %key.text(), %path, %error, "a content can't be handed out");
}

#[cfg(test)]
mod tests;
