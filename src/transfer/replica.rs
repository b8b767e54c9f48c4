//! Pulls: proves, fetches, stores, commits. Rounds go on until a whole
//! snapshot is there; a leaf that moved on meanwhile comes with a newer one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::message::{Acknowledge, Beyond, Fetch, LeafWant, Refused, RefusedCode};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::{Cursor, NodeId, Snapshot, VerifiedSnapshot};
use tokio::sync::Semaphore;

use super::adopt::Adoptable;
use super::compare::Seen;
use super::incoming::{Bundle, Incoming, Taken, take};
use super::link::LinkError;
use super::links::Links;
use super::proof::{Asked, Proof, Proven, prove};
use super::report::{Done, PullError, PullReport};
use crate::catalogue::{Catalogue, Totals};
use crate::plan::{Filter, WantedLeaf, bundles};
use crate::progress::Monitor;

/// The source may have to walk its storage first.
pub(super) const PROOF_DEADLINE: Duration = Duration::from_secs(3600);
/// For any other answer, and for every further part of one.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// How long requests that are under way may still take when one failed.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How often the links' figures are drawn.
const DRAW: Duration = Duration::from_secs(1);
/// Rounds against a source that keeps moving, at most.
pub(super) const ROUNDS_MAX: u64 = 100;
/// Rounds that bring a snapshot with lacking contents, until they wait for
/// the next pull.
const LACKING_ROUNDS: u64 = 3;

/// Pulls the newest snapshot that `trusted` signed, and commits it. A first
/// copy takes contents from the tree at `adopt`, if something lies there.
///
/// Errors: `PullError`.
pub async fn pull(
    links: &Links,
    catalogue: &Arc<Catalogue>,
    trusted: NodeId,
    (filter, adopt): (&Filter, Option<&Path>),
    monitor: &dyn Monitor,
) -> Result<PullReport, PullError> {
    let users = Arc::strong_count(catalogue);
    let result = pull_rounds(links, catalogue, trusted, (filter, adopt), monitor).await;
    // After an error, work on blocking threads may still be storing; nobody
    // else may commit until it is done.
    while result.is_err() && Arc::strong_count(catalogue) > users {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    result
}

async fn pull_rounds(
    links: &Links,
    catalogue: &Arc<Catalogue>,
    trusted: NodeId,
    (filter, adopt): (&Filter, Option<&Path>),
    monitor: &dyn Monitor,
) -> Result<PullReport, PullError> {
    let asked = Asked {
        links,
        catalogue,
        trusted,
        filter,
    };
    let mut report = PullReport::default();
    let lacked: BTreeSet<LeafKey> = catalogue.lacking()?.into_iter().collect();
    let mut commits = 0;
    // What an earlier round proved, and lists that came, stay good.
    let mut known: Option<Proven> = None;
    let mut seen = Seen::default();
    let adoptable = adopt.and_then(|path| Adoptable::open(catalogue, path));
    let adoptable = adoptable.map(Arc::new);
    loop {
        if report.rounds == ROUNDS_MAX {
            match commits {
                0 => return Err(PullError::Moving),
                _ => break,
            }
        }
        report.rounds += 1;
        report.proof_round_trips += 1;
        let (snapshot, volumes, proven) = match prove(&asked, known.as_ref()).await? {
            Proof::Unchanged => break,
            Proof::Stale { same_epoch } => {
                // Only the signer itself can begin another epoch, and once is
                // enough to tell it.
                let signer = links.source() == trusted;
                if same_epoch && signer && !report.stale {
                    report.stale = true;
                    tell_beyond(links, catalogue).await?;
                    continue;
                }
                report.stale = true;
                return Ok(report);
            }
            Proof::Proven(proven) => (
                proven.snapshot.clone(),
                proven.volumes.clone(),
                Some(*proven),
            ),
            Proof::Apart(apart) => {
                let (snapshot, volumes) = *apart;
                (snapshot, volumes, None)
            }
        };
        let round = Round {
            links,
            catalogue,
            to: snapshot.snapshot().cursor,
            entries: snapshot.snapshot().entries,
            adoptable: adoptable.clone(),
            filter,
            room: Semaphore::new(links.requests()),
            monitor,
            is_over: AtomicBool::new(false),
        };
        let proven = match proven {
            Some(proven) => proven,
            None => {
                known = None;
                let round_trips = &mut report.proof_round_trips;
                let compared = round.compare((&snapshot, &volumes), &mut seen, round_trips);
                match compared.await? {
                    None => continue,
                    Some(leaves) => {
                        Proven::compared((catalogue, filter), snapshot, leaves, volumes)?
                    }
                }
            }
        };
        if !round.run(&proven, &mut report).await? {
            known = Some(proven);
            continue;
        }
        known = None;
        seen = Seen::default();
        report.changed = true;
        report.stale = false;
        commits += 1;
        // A newer snapshot may have what this one's source lacked.
        if commits == LACKING_ROUNDS || catalogue.lacking()?.is_empty() {
            break;
        }
    }
    complete(&asked, catalogue, &lacked, monitor, &mut report).await?;
    Ok(report)
}

/// Asks again for contents that an earlier pull lacked and that still are;
/// what comes is committed.
async fn complete(
    asked: &Asked<'_>,
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
    let mut other = Vec::new();
    for leaf in catalogue.all_staged() {
        let (key, staged) = leaf?;
        let held = catalogue.leaf(&key)?;
        if held.is_none_or(|held| held.digest != staged.digest) {
            other.push(key);
        }
    }
    if !other.is_empty() {
        catalogue.unstage(&other)?;
    }
    let round = Round {
        links: asked.links,
        catalogue,
        to: snapshot.cursor,
        entries: snapshot.entries,
        adoptable: None,
        filter: asked.filter,
        room: Semaphore::new(asked.links.requests()),
        monitor,
        is_over: AtomicBool::new(false),
    };
    let mut completed = stream::iter(still)
        .map(|key| round.complete(key))
        .buffer_unordered(asked.links.requests());
    while let Some(done) = completed.try_next().await? {
        done.count_into(report);
    }
    drop(completed);
    if !catalogue.has_staged() {
        return Ok(());
    }
    report.changed = true;
    round.commit(commit.verified()?).await
}

/// Tells the source how far this replica is.
///
/// Errors: `PullError::Link`.
pub async fn acknowledge(links: &Links, told: &Acknowledge) -> Result<(), PullError> {
    let frame = Frame::message(FrameKind::Acknowledge, told).map_err(LinkError::from)?;
    Ok(links.tell(&frame).await?)
}

/// Shows the source its own snapshot that it no longer has.
async fn tell_beyond(links: &Links, catalogue: &Catalogue) -> Result<(), PullError> {
    let Some(commit) = catalogue.commit_record() else {
        return Ok(());
    };
    let beyond = Beyond {
        held: commit.signed,
    };
    let frame = Frame::message(FrameKind::Beyond, &beyond).map_err(LinkError::from)?;
    Ok(links.tell(&frame).await?)
}

/// One round: from what the replica holds to one snapshot.
pub(super) struct Round<'a> {
    pub(super) links: &'a Links,
    pub(super) catalogue: &'a Arc<Catalogue>,
    pub(super) to: Cursor,
    /// Entries of that snapshot.
    pub(super) entries: u64,
    /// A tree that lay there before the first copy.
    pub(super) adoptable: Option<Arc<Adoptable>>,
    /// What is kept.
    pub(super) filter: &'a Filter,
    /// For answers with chunks, of all leaves, until they were taken.
    pub(super) room: Semaphore,
    monitor: &'a dyn Monitor,
    /// It failed: nothing more is asked for.
    is_over: AtomicBool,
}

/// What is asked for at once.
enum Work {
    /// Leaves of one bundle.
    Bundle(Vec<WantedLeaf>),
    /// The contents that a staged leaf lacks.
    Staged(LeafKey),
}

impl Round<'_> {
    /// Fetches and commits; says whether the snapshot is there whole.
    async fn run(&self, proven: &Proven, report: &mut PullReport) -> Result<bool, PullError> {
        let snapshot = proven.snapshot.clone();
        let wants = self.wanted(proven, report)?;
        let files = describe(snapshot.snapshot(), wants.len());
        self.monitor.stage(&files, Some(wants.len() as u64));
        self.links
            .expect(sum(wants.leaves().map(|leaf| leaf.answer_bytes())));
        let work = wants.unfinished.iter().cloned().map(Work::Staged);
        let work = work.chain(bundles(wants.leaves()).map(Work::Bundle));
        let mut taken = stream::iter(work)
            .map(|work| self.work(work))
            .buffer_unordered(self.links.requests());
        let moved = report.leaves_moved;
        let mut drawn = Instant::now();
        while let Some(done) = taken.next().await {
            match done {
                Ok(done) => done.count_into(report),
                Err(error) => {
                    // The others stage what came before they end.
                    self.is_over.store(true, Ordering::Relaxed);
                    let rest = async { while taken.next().await.is_some() {} };
                    let _ = tokio::time::timeout(LAST_ANSWERS, rest).await;
                    return Err(error);
                }
            }
            if drawn.elapsed() >= DRAW {
                drawn = Instant::now();
                self.monitor.links(&self.links.watch().figures().line());
            }
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
            let (update, totals) = catalogue.with_staged()?;
            let signed = Totals::of(snapshot.snapshot());
            if totals != signed {
                return Err(PullError::Fault(
                    "the counts that it signed are not those of the leaves".into(),
                ));
            }
            let now = jiff::Timestamp::now().as_millisecond();
            catalogue.commit((&update, totals), &snapshot, now)?;
            Ok(())
        })
        .await
    }

    async fn work(&self, work: Work) -> Result<Done, PullError> {
        match work {
            Work::Bundle(wanted) => self.bundle(wanted).await,
            Work::Staged(key) => {
                let done = self.finish(&key).await;
                self.monitor.advance(1);
                done
            }
        }
    }

    /// Asks again for the contents that a leaf of the tree lacks.
    async fn complete(&self, key: LeafKey) -> Result<Done, PullError> {
        let done = match self.finish(&key).await {
            // It is of a volume that is not given any more.
            Err(PullError::Refused(refused)) if refused.code == RefusedCode::Forbidden => {
                Done::default()
            }
            done => done?,
        };
        // What moved on comes with a newer snapshot.
        Ok(Done { moved: 0, ..done })
    }

    /// Asks for the contents that a leaf lacks, as it is staged or else in the
    /// tree.
    async fn finish(&self, key: &LeafKey) -> Result<Done, PullError> {
        let mut done = Done::default();
        let record = match self.catalogue.staged(key)? {
            Some(staged) => Some(self.catalogue.record(staged.place)?),
            None => self.catalogue.leaf_record(key)?,
        };
        let record = record.and_then(|record| record.digest().map(|digest| (record, digest)));
        if let Some((record, digest)) = record {
            self.lacking(Incoming::completing(record, digest, self.filter), &mut done)
                .await?;
        }
        Ok(done)
    }

    /// Leaves of which nothing came yet, with what an older tree has of them.
    async fn incoming(&self, wanted: Vec<WantedLeaf>) -> Result<Vec<Incoming>, PullError> {
        let (catalogue, adoptable) = (self.catalogue.clone(), self.adoptable.clone());
        let entries = self.entries;
        let filter = self.filter.clone();
        blocking(move || {
            let leaf = |wanted: WantedLeaf| {
                let mut leaf = Incoming::new(wanted, &catalogue, entries, &filter)?;
                if let Some(adoptable) = &adoptable {
                    leaf.adoptable = adoptable.files_of(&leaf.wanted.key);
                }
                Ok(leaf)
            };
            wanted.into_iter().map(leaf).collect()
        })
        .await
    }

    /// Takes from an older tree what leaves lack; says which lack more.
    async fn adopt(
        &self,
        mut leaves: Vec<Incoming>,
        done: &mut Done,
    ) -> Result<Vec<Incoming>, PullError> {
        let Some(adoptable) = self.adoptable.clone().filter(|_| !leaves.is_empty()) else {
            return Ok(leaves);
        };
        let catalogue = self.catalogue.clone();
        let (lacking, adopted) = blocking(move || {
            let adopted = adoptable.take(&catalogue, &mut leaves)?;
            let (whole, lacking): (Vec<_>, Vec<_>) = leaves
                .into_iter()
                .partition(|leaf| leaf.lacking().is_empty());
            catalogue.stage(whole.iter().map(Incoming::record).collect())?;
            Ok((lacking, adopted))
        })
        .await?;
        done.adopted += adopted;
        Ok(lacking)
    }

    /// Fetches and stores the leaves of one bundle.
    async fn bundle(&self, wanted: Vec<WantedLeaf>) -> Result<Done, PullError> {
        let mut done = Done::default();
        let leaves = wanted.len() as u64;
        let mut waiting: Vec<Incoming> = Vec::new();
        waiting.append(&mut self.incoming(wanted).await?);
        loop {
            let (wide, narrow) = waiting.into_iter().partition(Incoming::is_wide);
            waiting = narrow;
            for leaf in wide {
                self.wide(leaf, &mut done).await?;
            }
            if waiting.is_empty() {
                break;
            }
            let wants: Vec<LeafWant> = waiting.iter().map(Incoming::want).collect();
            let fetch = Fetch {
                to: self.to,
                leaves: wants,
                only: self.filter.contents.as_deref().cloned(),
            };
            done.requests += 1;
            let frame = Frame::message(FrameKind::Fetch, &fetch).map_err(LinkError::from)?;
            let bytes = sum(waiting.iter().map(|leaf| leaf.wanted.answer_bytes()));
            let answer = match self.ask(&frame, FrameKind::Bundle, bytes).await {
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
                catalogue.sync_if_due()?;
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
        for leaf in self.adopt(taken.lacking, done).await? {
            self.lacking(leaf, done).await?;
        }
        let mut waiting = taken.unfinished;
        for wanted in taken.mismatched {
            tracing::warn!(leaf = %wanted.key.text(), "a delta does not fit; asking for the whole leaf");
            waiting.push(Incoming::new(
                wanted,
                self.catalogue,
                self.entries,
                self.filter,
            )?);
        }
        Ok(waiting)
    }

    /// Asks by any link for about so many bytes.
    pub(super) async fn ask(
        &self,
        request: &Frame,
        expected: FrameKind,
        bytes: u64,
    ) -> Result<Frame, PullError> {
        if self.is_over.load(Ordering::Relaxed) {
            return Err(PullError::Over);
        }
        let answer = self.links.ask(request, bytes).await?;
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

/// About how many bytes the answer for these leaves has, before compression.
fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

fn describe(snapshot: &Snapshot, leaves: usize) -> String {
    format!(
        "fetch {leaves} leaves of snapshot {}",
        snapshot.cursor.sequence
    )
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PullError> + Send + 'static,
) -> Result<T, PullError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| PullError::Task(error.to_string()))?
}
