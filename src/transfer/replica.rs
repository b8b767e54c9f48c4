//! Pulls: proves, fetches, stores, commits. Rounds go on until a whole
//! snapshot is there; a leaf that moved on meanwhile comes with a newer one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use hikae_protocol::digest::Digest;
use hikae_protocol::exchange::ExchangeError;
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::{BUNDLE_BYTES, LARGE_BYTES_MIN};
use hikae_protocol::message::{
    Acknowledge, Beyond, Contents, DeltaEntry, Fetch, LeafProof, LeafWant, Range, Refused,
    RefusedCode,
};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::{Pack, PackBuilder};
use hikae_protocol::snapshot::{Cursor, NodeId, Snapshot, VerifiedSnapshot};
use quinn::Connection;
use serde::Serialize;

use super::incoming::{Bundle, Incoming, Taken, check_content, take};
use super::link::{self, Link, LinkError};
use super::proof::{Proof, Proven, prove};
use crate::catalogue::{Catalogue, CatalogueError, ContentPlace, LeafRecord, Totals};
use crate::plan::{WantedLeaf, bundles};
use crate::progress::Monitor;

/// The source may have to walk its storage first.
pub(super) const PROOF_DEADLINE: Duration = Duration::from_secs(3600);
/// For any other answer, and for every further part of one.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Requests for bundles that are on their way at once.
const REQUESTS: usize = 8;
/// Pieces of one large file that are on their way at once.
const PIECES: usize = 4;
/// Rounds against a source that keeps moving, at most.
const ROUNDS_MAX: u64 = 100;
/// Rounds that bring a snapshot with lacking contents, until they wait for
/// the next pull.
const LACKING_ROUNDS: u64 = 3;

/// Why a pull failed. What was stored until then stays.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The link or the framing failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The peer broke the protocol or offered what is not believed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The peer sent what was not proven.
    #[error("the peer is at fault: {0}")]
    Fault(String),
    /// The peer refused.
    #[error("the source refused: {0}")]
    Refused(Refused),
    /// Our own store failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Not even the whole list adds up.
    #[error("the source's list of leaves does not add up to the root that it signed")]
    Root,
    /// The source changes faster than it is copied.
    #[error("the source kept changing for {ROUNDS_MAX} rounds")]
    Moving,
    /// A task of ours failed.
    #[error("a task of ours failed: {0}")]
    Task(String),
}

/// What a pull did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PullReport {
    /// The tree changed.
    pub changed: bool,
    /// The source is behind this replica.
    pub stale: bool,
    /// Rounds, each against one snapshot.
    pub rounds: u64,
    /// Requests that waited for an answer, one after the other: proofs.
    pub proof_round_trips: u64,
    /// Requests for bundles and contents.
    pub requests: u64,
    /// Leaves that differed.
    pub leaves: u64,
    /// Leaves that were staged by an earlier, broken pull.
    pub leaves_resumed: u64,
    /// Leaves that changed at the source meanwhile.
    pub leaves_moved: u64,
    /// Leaves that went away.
    pub leaves_removed: u64,
    /// Files whose content came over the link.
    pub contents_received: u64,
    /// Bytes of those, before compression.
    pub content_bytes: u64,
    /// Files whose content was held already: renames and copies.
    pub contents_referenced: u64,
}

/// Pulls the newest snapshot that `trusted` signed, and commits it.
///
/// Errors: `PullError`.
pub async fn pull(
    link: &Link,
    catalogue: &Arc<Catalogue>,
    trusted: NodeId,
    monitor: &dyn Monitor,
) -> Result<PullReport, PullError> {
    let users = Arc::strong_count(catalogue);
    let result = pull_rounds(link.connection(), catalogue, trusted, monitor).await;
    // After an error, work on blocking threads may still be storing; nobody
    // else may commit until it is done.
    while result.is_err() && Arc::strong_count(catalogue) > users {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    result
}

async fn pull_rounds(
    connection: &Connection,
    catalogue: &Arc<Catalogue>,
    trusted: NodeId,
    monitor: &dyn Monitor,
) -> Result<PullReport, PullError> {
    let mut report = PullReport::default();
    let lacked: BTreeSet<LeafKey> = catalogue.lacking()?.into_iter().collect();
    let mut commits = 0;
    for _ in 0..ROUNDS_MAX {
        report.rounds += 1;
        let round_trips = &mut report.proof_round_trips;
        let proven = match prove(connection, catalogue, trusted, round_trips).await? {
            Proof::Unchanged => break,
            Proof::Stale { same_epoch } => {
                // Only the signer itself can begin another epoch, and once is
                // enough to tell it.
                let signer = link::peer_of(connection) == Some(trusted);
                if same_epoch && signer && !report.stale {
                    report.stale = true;
                    tell_beyond(connection, catalogue).await?;
                    continue;
                }
                report.stale = true;
                return Ok(report);
            }
            Proof::Proven(proven) => *proven,
        };
        let round = Round {
            connection,
            catalogue,
            to: proven.snapshot.snapshot().cursor,
            entries: proven.snapshot.snapshot().entries,
            monitor,
        };
        if !round.run(proven, &mut report).await? {
            continue;
        }
        report.changed = true;
        report.stale = false;
        commits += 1;
        // A newer snapshot may have what this one's source lacked.
        if commits == LACKING_ROUNDS || catalogue.lacking()?.is_empty() {
            break;
        }
    }
    if report.rounds == ROUNDS_MAX && commits == 0 {
        return Err(PullError::Moving);
    }
    complete(connection, catalogue, &lacked, monitor, &mut report).await?;
    Ok(report)
}

/// Asks again for contents that an earlier pull lacked and that still are;
/// what comes is committed.
async fn complete(
    connection: &Connection,
    catalogue: &Arc<Catalogue>,
    lacked: &BTreeSet<LeafKey>,
    monitor: &dyn Monitor,
    report: &mut PullReport,
) -> Result<(), PullError> {
    let mut still = catalogue.lacking()?;
    still.retain(|key| lacked.contains(key));
    let (Some(commit), Some(snapshot)) = (catalogue.commit_record(), catalogue.snapshot()) else {
        return Ok(());
    };
    if still.is_empty() {
        return Ok(());
    }
    // What a broken pull of another snapshot left must not come along.
    if !catalogue.all_staged()?.is_empty() {
        catalogue.unstage(&[])?;
    }
    let round = Round {
        connection,
        catalogue,
        to: snapshot.cursor,
        entries: snapshot.entries,
        monitor,
    };
    let mut completed = stream::iter(still)
        .map(|key| round.complete(key))
        .buffer_unordered(REQUESTS);
    while let Some(done) = completed.try_next().await? {
        done.count_into(report);
    }
    drop(completed);
    if catalogue.all_staged()?.is_empty() {
        return Ok(());
    }
    report.changed = true;
    let again = VerifiedSnapshot::verify(commit.signed.clone(), &commit.signed.signer)
        .map_err(ExchangeError::from)?;
    round.commit(again).await
}

/// Tells the source how far this replica is.
///
/// Errors: `PullError::Link`.
pub async fn acknowledge(link: &Link, told: &Acknowledge) -> Result<(), PullError> {
    let frame = Frame::message(FrameKind::Acknowledge, told).map_err(LinkError::from)?;
    tell(link.connection(), &frame).await
}

/// Shows the source its own snapshot that it no longer has.
async fn tell_beyond(connection: &Connection, catalogue: &Catalogue) -> Result<(), PullError> {
    let Some(commit) = catalogue.commit_record() else {
        return Ok(());
    };
    let beyond = Beyond {
        held: commit.signed,
    };
    let frame = Frame::message(FrameKind::Beyond, &beyond).map_err(LinkError::from)?;
    tell(connection, &frame).await
}

/// Sends what has no answer, and waits until it was taken.
async fn tell(connection: &Connection, frame: &Frame) -> Result<(), PullError> {
    let (mut send, mut receive) = link::open(connection).await?;
    link::send(&mut send, frame).await?;
    let _ = send.finish();
    while link::receive(&mut receive, ANSWER_DEADLINE)
        .await?
        .is_some()
    {}
    Ok(())
}

/// One round: from what the replica holds to one snapshot.
struct Round<'a> {
    connection: &'a Connection,
    catalogue: &'a Arc<Catalogue>,
    to: Cursor,
    /// Entries of that snapshot.
    entries: u64,
    monitor: &'a dyn Monitor,
}

impl Round<'_> {
    /// Fetches and commits; says whether the snapshot is there whole.
    async fn run(&self, proven: Proven, report: &mut PullReport) -> Result<bool, PullError> {
        let snapshot = proven.snapshot.clone();
        let wanted = self.wanted(&proven, report)?;
        let files = describe(snapshot.snapshot(), wanted.len());
        self.monitor.stage(&files, Some(wanted.len() as u64));
        let cut = bundles(wanted);
        let mut taken = stream::iter(cut)
            .map(|bundle| self.bundle(bundle))
            .buffer_unordered(REQUESTS);
        let moved = report.leaves_moved;
        while let Some(done) = taken.try_next().await? {
            done.count_into(report);
        }
        if report.leaves_moved > moved {
            return Ok(false);
        }
        self.commit(snapshot).await?;
        Ok(true)
    }

    /// Makes what is staged the tree of `snapshot`.
    async fn commit(&self, snapshot: VerifiedSnapshot) -> Result<(), PullError> {
        let catalogue = self.catalogue.clone();
        blocking(move || {
            let staged = catalogue.all_staged()?;
            let (update, totals) = catalogue.with_leaves(&staged)?;
            let signed = Totals::of(snapshot.snapshot());
            if totals != signed {
                return Err(PullError::Fault(
                    "the counts that it signed are not those of the leaves".into(),
                ));
            }
            let now = jiff::Timestamp::now().as_millisecond();
            catalogue.commit(&staged, (&update, totals), &snapshot, now)?;
            Ok(())
        })
        .await
    }

    /// Asks again for the contents that a leaf of the tree lacks.
    async fn complete(&self, key: LeafKey) -> Result<Done, PullError> {
        let mut done = Done::default();
        let record = self.catalogue.leaf_record(&key)?;
        let record = record.and_then(|record| record.digest().map(|digest| (record, digest)));
        if let Some((record, digest)) = record {
            self.lacking(Incoming::completing(record, digest), &mut done)
                .await?;
        }
        // What moved on comes with a newer snapshot.
        done.moved = 0;
        Ok(done)
    }

    /// The leaves to fetch; what was staged for another state is dropped, what
    /// left the tree is staged as empty.
    fn wanted(
        &self,
        proven: &Proven,
        report: &mut PullReport,
    ) -> Result<Vec<WantedLeaf>, PullError> {
        let proofs: HashMap<_, _> = proven.leaves.iter().map(|leaf| (&leaf.key, leaf)).collect();
        let staged = self.catalogue.all_staged()?;
        let wrong = staged.iter().filter(|(key, value)| {
            let proof = proofs.get(key);
            proof.is_none_or(|proof| {
                proof.digest != value.digest || proof.sequence != value.sequence
            })
        });
        let wrong: Vec<_> = wrong.map(|(key, _)| key.clone()).collect();
        if !wrong.is_empty() {
            self.catalogue.unstage(&wrong)?;
        }
        let mut wanted = Vec::new();
        let mut emptied = Vec::new();
        for leaf in &proven.leaves {
            let held = self.catalogue.leaf(&leaf.key)?;
            if held.and_then(|held| held.digest) == leaf.digest {
                continue;
            }
            report.leaves += 1;
            if self.catalogue.staged(&leaf.key)?.is_some() {
                report.leaves_resumed += 1;
                continue;
            }
            match leaf.digest {
                None => emptied.push(self.emptied(leaf)?),
                Some(digest) => {
                    let base = proven.base.filter(|_| held.is_some());
                    let inline = held.is_none() || base.is_some();
                    wanted.push(WantedLeaf::new(leaf, digest, base, inline));
                }
            }
        }
        report.leaves_removed += emptied.len() as u64;
        self.catalogue.stage(emptied)?;
        Ok(wanted)
    }

    fn emptied(&self, leaf: &LeafProof) -> Result<LeafRecord, PullError> {
        let old = self.catalogue.leaf_record(&leaf.key)?;
        let mut record = old.unwrap_or_else(|| LeafRecord::empty(leaf.key.clone()));
        let paths: Vec<_> = record
            .files
            .iter()
            .map(|file| file.entry.path.clone())
            .collect();
        record.change(&paths, vec![], leaf.sequence);
        Ok(record)
    }

    /// Fetches and stores the leaves of one bundle.
    async fn bundle(&self, wanted: Vec<WantedLeaf>) -> Result<Done, PullError> {
        let mut done = Done::default();
        let leaves = wanted.len() as u64;
        let mut waiting: Vec<Incoming> = Vec::new();
        for leaf in wanted {
            waiting.push(Incoming::new(leaf, self.catalogue, self.entries)?);
        }
        while !waiting.is_empty() {
            let wants: Vec<LeafWant> = waiting.iter().map(next_want).collect();
            let fetch = Fetch {
                to: self.to,
                leaves: wants,
            };
            done.requests += 1;
            let frame = Frame::message(FrameKind::Fetch, &fetch).map_err(LinkError::from)?;
            let answer = match self.ask(&frame, FrameKind::Bundle).await {
                Err(PullError::Refused(refused)) if refused.code == RefusedCode::Moved => {
                    done.moved += waiting.len() as u64;
                    return Ok(done);
                }
                other => other?,
            };
            let catalogue = self.catalogue.clone();
            let taken = blocking(move || {
                let keys: Vec<_> = waiting.iter().map(|leaf| &leaf.wanted.key).collect();
                let bundle = Bundle::decode(&answer, &keys)?;
                let mut taken = take(&catalogue, bundle, waiting)?;
                catalogue.stage(std::mem::take(&mut taken.ready))?;
                Ok(taken)
            })
            .await?;
            waiting = self.go_on(taken, &mut done).await?;
        }
        self.monitor.advance(leaves);
        Ok(done)
    }

    /// Counts what a bundle brought, fetches the contents that it lacked, and
    /// says what is still to be asked for.
    async fn go_on(&self, taken: Taken, done: &mut Done) -> Result<Vec<Incoming>, PullError> {
        done.moved += taken.moved;
        done.received += taken.received;
        done.referenced += taken.referenced;
        done.bytes += taken.bytes;
        for leaf in taken.lacking {
            self.lacking(leaf, done).await?;
        }
        let mut waiting = taken.unfinished;
        for wanted in taken.mismatched {
            tracing::warn!(leaf = %wanted.key.text(), "a delta does not fit; asking for the whole leaf");
            waiting.push(Incoming::new(wanted, self.catalogue, self.entries)?);
        }
        Ok(waiting)
    }

    /// Fetches the contents that a leaf lacks, and stages it.
    async fn lacking(&self, mut leaf: Incoming, done: &mut Done) -> Result<(), PullError> {
        let received = done.received;
        let (small, large): (Vec<_>, Vec<_>) = leaf
            .lacking()
            .into_iter()
            .partition(|entry| entry.entry.size < LARGE_BYTES_MIN);
        for batch in batches(small) {
            match self.small(&leaf, &batch, done).await {
                Ok(places) => places
                    .into_iter()
                    .for_each(|(digest, place)| leaf.stored(digest, place)),
                Err(error) => return moved_or(error, done),
            }
        }
        for entry in large {
            match self.large(&leaf, &entry, done).await {
                Ok(place) => leaf.stored(entry.entry.digest, place),
                Err(error) => return moved_or(error, done),
            }
        }
        if leaf.is_held() && done.received == received {
            return Ok(());
        }
        let catalogue = self.catalogue.clone();
        blocking(move || Ok(catalogue.stage(vec![leaf.record()?])?)).await
    }

    async fn small(
        &self,
        leaf: &Incoming,
        batch: &[DeltaEntry],
        done: &mut Done,
    ) -> Result<Vec<(Digest, ContentPlace)>, PullError> {
        let ranges = batch
            .iter()
            .map(|entry| range(entry, 0, entry.entry.size as u32))
            .collect();
        let pack = self.ranges(leaf, ranges, done).await?;
        let items = unpacked(&pack)?;
        if items.len() != batch.len() {
            return Err(PullError::Fault(
                "fewer contents than were asked for".into(),
            ));
        }
        let is_lacking =
            |entry: &DeltaEntry, content: &[u8]| content.is_empty() && entry.entry.size > 0;
        let mut held = 0;
        for (entry, content) in batch.iter().zip(items.iter()) {
            if !is_lacking(entry, content) {
                check_content(&leaf.wanted.key, entry, content)?;
                held += 1;
                done.bytes += entry.entry.size;
            }
        }
        done.received += held;
        let block = match held {
            0 => 0,
            _ => self.append(pack).await?,
        };
        let places = batch.iter().zip(items.iter()).zip(0..);
        Ok(places
            .map(|((entry, content), index)| {
                let place = match is_lacking(entry, content) {
                    true => ContentPlace::Lacking,
                    false => ContentPlace::Item { block, index },
                };
                (entry.entry.digest, place)
            })
            .collect())
    }

    /// A large content, piece by piece; it is believed, and referred to, only
    /// when the whole has the proven digest. Lacking when a piece is.
    async fn large(
        &self,
        leaf: &Incoming,
        entry: &DeltaEntry,
        done: &mut Done,
    ) -> Result<ContentPlace, PullError> {
        let size = entry.entry.size;
        let piece = BUNDLE_BYTES as u64;
        let offsets = (0..size.div_ceil(piece)).map(|at| at * piece);
        let mut requests = 0;
        let mut pieces = stream::iter(offsets)
            .map(|offset| {
                let length = piece.min(size - offset) as u32;
                let mut own = Done::default();
                async move {
                    self.ranges(leaf, vec![range(entry, offset, length)], &mut own)
                        .await
                }
            })
            .buffered(PIECES);
        let fault = || {
            PullError::Fault(format!(
                "the content of {}/{} is not the proven one",
                leaf.wanted.key.text(),
                entry.entry.path.text()
            ))
        };
        let mut hasher = blake3::Hasher::new();
        let mut places: Vec<(u64, u32)> = Vec::new();
        let mut bytes = 0;
        while let Some(pack) = pieces.try_next().await? {
            requests += 1;
            let items = unpacked(&pack)?;
            let content = items
                .get(0)
                .filter(|_| items.len() == 1)
                .ok_or_else(fault)?;
            if content.is_empty() {
                return Ok(ContentPlace::Lacking);
            }
            if content.len() as u64 != piece.min(size - bytes) {
                return Err(fault());
            }
            hasher.update(content);
            bytes += content.len() as u64;
            places.push((self.append(pack).await?, 0));
        }
        drop(pieces);
        if Digest::from(hasher) != entry.entry.digest {
            return Err(fault());
        }
        done.requests += requests;
        done.received += 1;
        done.bytes += size;
        let list =
            postcard::to_stdvec(&places).map_err(|error| PullError::Task(error.to_string()))?;
        let mut pack = PackBuilder::default();
        pack.push(&list);
        let pack = pack
            .finish(3)
            .map_err(|error| PullError::Task(error.to_string()))?;
        let block = self.append(pack).await?;
        Ok(ContentPlace::Pieces { block, index: 0 })
    }

    async fn ranges(
        &self,
        leaf: &Incoming,
        ranges: Vec<Range>,
        done: &mut Done,
    ) -> Result<Pack, PullError> {
        let contents = Contents {
            to: self.to,
            key: leaf.wanted.key.clone(),
            ranges,
        };
        done.requests += 1;
        let frame = Frame::message(FrameKind::Contents, &contents).map_err(LinkError::from)?;
        let answer = self.ask(&frame, FrameKind::Ranges).await?;
        answer
            .unpack()
            .map_err(|error| PullError::Link(error.into()))
    }

    async fn append(&self, pack: Pack) -> Result<u64, PullError> {
        let catalogue = self.catalogue.clone();
        blocking(move || Ok(catalogue.append_contents(&pack)?)).await
    }

    async fn ask(&self, request: &Frame, expected: FrameKind) -> Result<Frame, PullError> {
        let (mut send, mut receive) = link::open(self.connection).await?;
        link::send(&mut send, request).await?;
        let _ = send.finish();
        let answer = link::receive(&mut receive, ANSWER_DEADLINE)
            .await?
            .ok_or(LinkError::Ended)?;
        match answer.kind {
            kind if kind == expected => Ok(answer),
            FrameKind::Refused => Err(PullError::Refused(
                Refused::received(&answer).map_err(LinkError::from)?,
            )),
            other => Err(PullError::Fault(format!(
                "a {other:?} frame where {expected:?} was due"
            ))),
        }
    }
}

/// Counts of one bundle.
#[derive(Debug, Default)]
struct Done {
    requests: u64,
    moved: u64,
    received: u64,
    referenced: u64,
    bytes: u64,
}

impl Done {
    fn count_into(&self, report: &mut PullReport) {
        report.leaves_moved += self.moved;
        report.requests += self.requests;
        report.contents_received += self.received;
        report.content_bytes += self.bytes;
        report.contents_referenced += self.referenced;
    }
}

fn moved_or(error: PullError, done: &mut Done) -> Result<(), PullError> {
    match error {
        PullError::Refused(refused) if refused.code == RefusedCode::Moved => {
            done.moved += 1;
            Ok(())
        }
        other => Err(other),
    }
}

fn next_want(leaf: &Incoming) -> LeafWant {
    LeafWant {
        after: leaf.last_path(),
        ..leaf.wanted.want()
    }
}

fn range(entry: &DeltaEntry, offset: u64, length: u32) -> Range {
    Range {
        path: entry.entry.path.clone(),
        digest: entry.entry.digest,
        offset,
        length,
    }
}

fn unpacked(pack: &Pack) -> Result<hikae_protocol::pack::Items, PullError> {
    pack.unpack()
        .map_err(|error| PullError::Fault(format!("contents do not unpack: {error}")))
}

/// Small contents, cut into requests.
fn batches(entries: Vec<DeltaEntry>) -> Vec<Vec<DeltaEntry>> {
    let mut batches: Vec<Vec<DeltaEntry>> = Vec::new();
    let mut bytes = u64::MAX;
    for entry in entries {
        let full = bytes.saturating_add(entry.entry.size) > BUNDLE_BYTES as u64
            || batches.last().is_some_and(|batch| batch.len() >= 128);
        if full {
            batches.push(vec![]);
            bytes = 0;
        }
        bytes += entry.entry.size;
        if let Some(batch) = batches.last_mut() {
            batch.push(entry);
        }
    }
    batches
}

fn describe(snapshot: &Snapshot, leaves: usize) -> String {
    format!(
        "fetch {leaves} leaves of snapshot {}",
        snapshot.cursor.sequence
    )
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PullError> + Send + 'static,
) -> Result<T, PullError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| PullError::Task(error.to_string()))?
}
