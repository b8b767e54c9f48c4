//! A replica: pulls from a source, keeps what it pulled in its store, and
//! shows it as a tree.

mod filter;
mod guard;
mod holdings;
mod promote;
mod repair;
mod report;
mod restore;
mod scrub;
mod verify;

pub use filter::Sparse;
pub(in crate::replicate) use filter::forget_filter;
pub use guard::{Counts, DecisionOptions, DecisionReport, GuardError, HeldState, HeldVolume};
pub use promote::{PromoteError, PromoteReport};
pub use repair::RepairReport;
pub use report::SyncReport;
pub use restore::RestoreOptions;
pub use scrub::ScrubStatus;
pub use verify::{Difference, VerifyOptions, VerifyReport};

use std::collections::BTreeMap;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hikae_protocol::message::Acknowledge;
use hikae_protocol::snapshot::NodeId;

use super::home::{Home, HomeError};
use super::peers::PeerBook;
use super::prune::{Keep, PruneReport, begin_prune};
use crate::catalogue::{Catalogue, CatalogueError, LeafRecord, RebuildReport};
use crate::config::{Config, Source};
use crate::plan::Filter;
use crate::progress::Monitor;
use crate::publish::{PublishError, PublishedMark};
use crate::seal::Passphrase;
use crate::transfer::{Links, PullError, SessionFigures, Watch, acknowledge, pull};
use crate::walk::{LeftOut, LeftOutReason};
use guard::{Guard, Shown};
use verify::Part;

/// A source that could not be pulled from is not waited for again so soon, if
/// another one answers.
const REST: Duration = Duration::from_secs(30);
/// Between beginning to connect to one source and to the next.
const HEAD_START: Duration = Duration::from_millis(500);
/// Contents that were left out and are named, at most.
const NAMED_MAX: usize = 100;

/// Why a replica could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The store failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The tree could not be brought up to date.
    #[error("{0}")]
    Publish(#[from] PublishError),
    /// What is held could not be told; nothing was published.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// It can't become a source.
    #[error(transparent)]
    Promote(#[from] PromoteError),
    /// No source is configured.
    #[error("no [source] in the configuration to pull from")]
    NoSource,
    /// No source could be pulled from: what each said.
    #[error("no source could be pulled from: {}", .0.join("; "))]
    Sources(Vec<String>),
    /// A source that must be looked at by a person.
    #[error("{0}")]
    Alarm(PullError),
    /// A task of ours failed.
    #[error("a task of ours failed: {0}")]
    Task(String),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the segments lost their end, and what that means. What remembered
/// later commits forgets them before others get their numbers.
fn cut_off(catalogue: &Catalogue) -> Result<Option<String>, ReplicaError> {
    let last = catalogue.last_commit();
    let mut why = match catalogue.rebuilt() {
        Some(rebuilt) if rebuilt.cut_off => Some(rebuilt.reason.to_string()),
        _ => None,
    };
    if Guard::forget_after(catalogue, last)? {
        why = Some("the guard counted later snapshots".into());
    }
    // A garbled mark stops the next publication, and says so then.
    if let Ok(Some(mut mark)) = PublishedMark::read(catalogue.files()) {
        let shown = mark.commit;
        if mark.forget_after(catalogue, last)? {
            mark.save(catalogue.files())?;
            why = Some(format!("the tree shows snapshot {shown}"));
        }
    }
    let is_damaged = |rebuilt: &RebuildReport| !rebuilt.damages.is_empty();
    if why.is_some() || catalogue.rebuilt().is_some_and(is_damaged) {
        forget_filter(catalogue).map_err(CatalogueError::Disk)?;
    }
    Ok(why.map(|why| {
        format!(
            "the end of the segments is lost: {why}, the last snapshot in them is {last}; what \
             came after it comes again with the next sync"
        )
    }))
}

/// An open replica.
pub struct Replica {
    home: Home,
    catalogue: Arc<Catalogue>,
    peers: PeerBook,
    last: Mutex<Option<SyncReport>>,
    /// How the segments lost their end, if they did.
    cut_off: Option<String>,
    /// Sources that could not be pulled from, and when that was.
    unreached: Mutex<BTreeMap<NodeId, Instant>>,
    /// The links to each source in the pull that goes on, or was the last.
    sessions: Mutex<BTreeMap<NodeId, Watch>>,
    /// One sync or verification at a time.
    turn: tokio::sync::Mutex<()>,
    /// Held by those who look back, and by the begin of a pruning against them.
    past: RwLock<()>,
    /// Held by who writes segments anew. Before `turn` and `past`.
    segments: Mutex<()>,
}

impl Replica {
    /// A replica's home, and its store.
    ///
    /// Errors: `ReplicaError`.
    pub(in crate::replicate) fn of(
        home: Home,
        catalogue: Catalogue,
    ) -> Result<Replica, ReplicaError> {
        let cut_off = cut_off(&catalogue)?;
        if let Some(lost) = &cut_off {
            tracing::error!("{lost}");
        }
        Ok(Replica {
            cut_off,
            peers: PeerBook::new(&home.config),
            home,
            catalogue: Arc::new(catalogue),
            last: Mutex::new(None),
            unreached: Mutex::new(BTreeMap::new()),
            sessions: Mutex::new(BTreeMap::new()),
            turn: tokio::sync::Mutex::new(()),
            past: RwLock::new(()),
            segments: Mutex::new(()),
        })
    }

    /// Gives a sealed store another passphrase. A wrong old one is counted.
    ///
    /// Errors: `HomeError`; the old one then still opens it.
    pub(in crate::replicate) fn change_passphrase(
        &self,
        old: &Passphrase,
        new: Passphrase,
    ) -> Result<(), HomeError> {
        let changed = || self.catalogue.change_passphrase(old, new);
        Ok(self.home.guesses.counted(changed)??)
    }

    /// The catalogue.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.home.config
    }

    /// Its node id.
    pub fn id(&self) -> NodeId {
        super::identity::node_id(&self.home.key)
    }

    /// Its key.
    pub fn key(&self) -> &ed25519_dalek::SigningKey {
        &self.home.key
    }

    /// Who may pull, and what they told.
    pub(super) fn peers(&self) -> &PeerBook {
        &self.peers
    }

    /// The last sync of this process.
    pub fn last_sync(&self) -> Option<SyncReport> {
        locked(&self.last).clone()
    }

    /// The links to this source in the pull that goes on, or was the last of
    /// this process.
    pub fn session(&self, source: &NodeId) -> Option<SessionFigures> {
        locked(&self.sessions).get(source).map(Watch::figures)
    }

    /// What the tree shows.
    ///
    /// Errors: `PublishError`.
    pub fn published(&self) -> Result<Option<PublishedMark>, PublishError> {
        PublishedMark::read(self.catalogue.files())
    }

    /// Whether the tree shows the last commit, and nothing else; none if it
    /// never showed one.
    ///
    /// Errors: `PublishError`.
    pub fn is_published(&self) -> Result<Option<bool>, PublishError> {
        let commit = self.catalogue.commit_record();
        let commit = commit.map_or(0, |commit| commit.number);
        let mark = self.published()?;
        Ok(mark.map(|mark| mark.shows(commit)))
    }

    /// Contents of the last commit that the source could not hand out: how
    /// many, and the first by name. The next sync asks again.
    ///
    /// Errors: `CatalogueError`.
    pub fn left_out(&self) -> Result<(u64, Vec<LeftOut>), CatalogueError> {
        let (mut total, mut named) = (0, Vec::new());
        for key in self.catalogue.lacking()? {
            let record = self.catalogue.leaf_record(&key)?;
            for file in record.iter().flat_map(LeafRecord::lacking) {
                total += 1;
                if named.len() < NAMED_MAX {
                    named.push(LeftOut {
                        path: format!("{}/{}", key.text(), file.entry.path.text()),
                        reason: LeftOutReason::Lacking,
                    });
                }
            }
        }
        Ok((total, named))
    }

    /// Pulls from one source after the other, as they answer, until the signer
    /// itself did, commits, publishes: what is newest of all that they can prove is taken.
    ///
    /// Errors: `ReplicaError`; what is durable stays durable.
    pub async fn sync(&self, monitor: &dyn Monitor) -> Result<SyncReport, ReplicaError> {
        let _turn = self.turn.lock().await;
        // What could not be written for want of room may have it now.
        self.catalogue.recover()?;
        let started = Instant::now();
        if self.config().source.is_empty() {
            return Err(ReplicaError::NoSource);
        }
        let filter = self.filter();
        let filter = tokio::task::block_in_place(|| self.refilter(&filter, monitor))?;
        let mut failures = Vec::new();
        let mut best: Option<SyncReport> = None;
        let (mut reaching, mut awaited) = self.reach();
        while let Some(reached) = reaching.next().await {
            let source = reached.source;
            awaited -= usize::from(!reached.rested);
            let pulled = match reached.links {
                Ok(links) => {
                    self.sync_from(source, links, &filter, started, monitor)
                        .await
                }
                Err(error) => Err(error),
            };
            match pulled {
                Ok(report) => {
                    locked(&self.unreached).remove(&source.id);
                    best = Some(match best {
                        Some(best) if best.worth() > report.worth() => best,
                        _ => report,
                    });
                    // Nobody has anything newer than the signer itself.
                    if source.id == source.signer() {
                        break;
                    }
                }
                Err(SourceError::Next(error)) => {
                    locked(&self.unreached).insert(source.id, Instant::now());
                    let links = source.link.iter();
                    let links: Vec<String> = links
                        .map(|link| format!("{} {}", link.name, link.remote))
                        .collect();
                    failures.push(format!("{} ({}): {error}", source.id, links.join(", ")));
                }
                Err(SourceError::Stop(error)) => return Err(error),
            }
            // Whoever was out of reach just now is waited for only if nobody
            // else answered.
            if best.is_some() && awaited == 0 {
                break;
            }
        }
        drop(reaching);
        let Some(mut report) = best else {
            return Err(ReplicaError::Sources(failures));
        };
        report.seconds = started.elapsed().as_secs_f64();
        report.sources_failed = failures;
        *locked(&self.last) = Some(report.clone());
        Ok(report)
    }

    /// Connects to the sources side by side, in the order in which they are
    /// configured, each with a head start: who is out of reach holds up nobody.
    /// Also says how many were not out of reach a moment ago.
    fn reach(&self) -> (FuturesUnordered<impl Future<Output = Reached<'_>>>, usize) {
        let sources = self.config().source.iter();
        let (resting, ready): (Vec<_>, Vec<_>) = sources
            .map(|source| (source, self.rests(source)))
            .partition(|(_, rests)| *rests);
        let awaited = ready.len();
        let reaching = (0..).zip(ready.into_iter().chain(resting));
        let reaching = reaching.map(|(at, (source, rested))| async move {
            tokio::time::sleep(HEAD_START * at).await;
            Reached {
                source,
                rested,
                links: self.connect(source).await,
            }
        });
        (reaching.collect(), awaited)
    }

    /// Begins a session with a source: it is there as soon as one of its links is.
    async fn connect(&self, source: &Source) -> Result<Links, SourceError> {
        let links = Links::open(source, &self.home.key);
        locked(&self.sessions).insert(source.id, links.watch().clone());
        match links.answered().await {
            Ok(()) => Ok(links),
            Err(error) => {
                links.close().await;
                Err(SourceError::Next(PullError::Link(error)))
            }
        }
    }

    /// Whether a source was out of reach a moment ago.
    fn rests(&self, source: &Source) -> bool {
        let unreached = locked(&self.unreached);
        let since = unreached.get(&source.id);
        since.is_some_and(|since| since.elapsed() < REST)
    }

    async fn sync_from(
        &self,
        source: &Source,
        links: Links,
        filter: &Filter,
        started: Instant,
        monitor: &dyn Monitor,
    ) -> Result<SyncReport, SourceError> {
        let mut notes: Vec<String> = self.cut_off.iter().cloned().collect();
        if self.config().seal && self.config().tree.is_some() {
            let note = "seal = true: the store is sealed, the published tree is in clear";
            monitor.note(note);
            notes.push(note.into());
        }
        let result = pull(
            &links,
            &self.catalogue,
            source.signer(),
            (filter, self.config().tree.as_deref()),
            monitor,
        )
        .await;
        let mut report = SyncReport {
            source: source.id.to_string(),
            pull_seconds: started.elapsed().as_secs_f64(),
            notes,
            ..SyncReport::default()
        };
        let published = match &result {
            Ok(_) => tokio::task::block_in_place(|| self.show(monitor)),
            Err(_) => Ok(Shown::default()),
        };
        if let (Ok(pulled), Ok(shown)) = (&result, &published)
            && (pulled.changed || shown.publish.as_ref().is_some_and(|shown| shown.leaves > 0))
        {
            self.acknowledge(&links).await;
        }
        let figures = links.close().await;
        figures.notes.iter().for_each(|note| monitor.note(note));
        report.link = figures.total();
        report.links = figures.links;
        report.notes.extend(figures.notes);
        report.pull = result.map_err(SourceError::from)?;
        let shown = published.map_err(SourceError::Stop)?;
        (report.publish, report.held) = (shown.publish, shown.held);
        self.describe(&mut report).map_err(SourceError::Stop)?;
        Ok(report)
    }

    async fn acknowledge(&self, links: &Links) {
        let told = Acknowledge {
            durable: self.catalogue.snapshot().map(|snapshot| snapshot.cursor),
            published: self.published().ok().flatten().and_then(|mark| mark.cursor),
            lacking: self.left_out().map_or(0, |(total, _)| total),
        };
        if let Err(error) = acknowledge(links, &told).await {
            tracing::warn!(%error, "the source was not told how far we are");
        }
    }

    fn describe(&self, report: &mut SyncReport) -> Result<(), ReplicaError> {
        let Some(snapshot) = self.catalogue.snapshot() else {
            return Ok(());
        };
        let own = self.catalogue.with_digests([])?.root;
        report.sequence = snapshot.cursor.sequence;
        report.root = Some(own);
        report.roots_equal = own == snapshot.root;
        report.leaves = snapshot.leaves;
        report.entries = snapshot.entries;
        report.bytes = snapshot.bytes;
        (report.left_out_total, report.left_out) = self.left_out()?;
        report.sparse = self.sparse()?;
        Ok(())
    }

    /// Re-reads the store against what is durable and the tree against what
    /// is published.
    ///
    /// Errors: `ReplicaError`.
    pub fn verify(
        &self,
        options: &VerifyOptions,
        monitor: &dyn Monitor,
    ) -> Result<VerifyReport, ReplicaError> {
        let _turn = self.turn.blocking_lock();
        verify::verify(self, &Part::Sample(options.sample), monitor)
    }

    /// Does something while no sync changes the catalogue.
    pub fn still<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = self.turn.blocking_lock();
        work()
    }

    /// Forgets snapshots beyond the retention and frees what only they needed.
    /// Syncs and restores go on meanwhile: they wait for the begin and the end
    /// alone.
    ///
    /// Errors: `ReplicaError`.
    pub fn prune(&self, monitor: &dyn Monitor) -> Result<PruneReport, CatalogueError> {
        let _segments = locked(&self.segments);
        let (mut report, compaction) = {
            let _alone = self.alone();
            begin_prune(&self.catalogue, &self.keep(monitor))?
        };
        if let Some(compaction) = compaction {
            report.compact = self.catalogue.run_compaction(&compaction, monitor)?;
            let _turn = self.turn.blocking_lock();
            self.catalogue.end_compaction(&report.compact)?;
        }
        Ok(report)
    }

    /// A moment without a sync and without anybody who looks back. Waits for
    /// the one without keeping the other waiting.
    fn alone(&self) -> (tokio::sync::MutexGuard<'_, ()>, RwLockWriteGuard<'_, ()>) {
        loop {
            let turn = self.turn.blocking_lock();
            match self.past.try_write() {
                Ok(past) => return (turn, past),
                Err(TryLockError::Poisoned(poisoned)) => return (turn, poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => drop(turn),
            }
            drop(self.past.write());
        }
    }

    /// What has to be kept.
    fn keep(&self, monitor: &dyn Monitor) -> Keep {
        Keep {
            time: self.config().retention.keep,
            // Where that can't be told a person has to look first: all is kept
            // that a publication may need.
            needed: self.needed(monitor).unwrap_or(Some(0)),
        }
    }

    /// As long as this is held nothing is forgotten.
    pub(in crate::replicate) fn look_back(&self) -> RwLockReadGuard<'_, ()> {
        self.past.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes cleanly. A task that still has the catalogue makes the next
    /// opening rebuild.
    ///
    /// Errors: `CatalogueError`.
    pub fn close(self) -> Result<(), CatalogueError> {
        match Arc::into_inner(self.catalogue) {
            Some(catalogue) => catalogue.close(),
            None => Ok(()),
        }
    }
}

/// What came of connecting to a source.
struct Reached<'a> {
    source: &'a Source,
    /// It was out of reach a moment ago.
    rested: bool,
    links: Result<Links, SourceError>,
}

/// Whether another source may do better.
enum SourceError {
    Next(PullError),
    Stop(ReplicaError),
}

impl From<PullError> for SourceError {
    fn from(error: PullError) -> SourceError {
        match error {
            PullError::Exchange(hikae_protocol::exchange::ExchangeError::Equivocation(_)) => {
                SourceError::Stop(ReplicaError::Alarm(error))
            }
            PullError::Catalogue(error) => SourceError::Stop(ReplicaError::Catalogue(error)),
            other => SourceError::Next(other),
        }
    }
}
