//! A node that stays: answers peers and the control socket, refreshes or
//! pulls on its schedule, and closes cleanly when told to end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tokio::task::JoinSet;

use super::center::{Center, Look};
use super::command::{Command, Outcome, exit_code};
use super::control::{self, ControlError};
use super::home::{Home, HomeError};
use super::locked;
use super::node::{Node, NodeError};
use super::passphrase::{Credentials, PassphraseError};
use super::replica::Replica;
use super::view::ViewOptions;
use crate::config::Config;
use crate::progress::{Monitor, Silent};
use crate::transfer::{Holdings, LinkError, Listener, listen, serve as serve_peers};
use crate::viewer::ViewerError;

/// Parts of a scrubbing, and the time between two of them.
const SCRUB_PARTS: u32 = 1000;
const SCRUB_PAUSE_MIN: Duration = Duration::from_millis(200);
const SCRUB_PAUSE_MAX: Duration = Duration::from_secs(600);
/// Between two pulls of a replica that follows its source.
const FOLLOW: Duration = Duration::from_secs(1);
/// Between two looks at whether the configuration names other peers.
const RELOAD: Duration = Duration::from_secs(2);

/// Why a node could not stay.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The home or store is not usable.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A center was told to follow.
    #[error("a center pulls from nobody; run sync --follow on a backup or laptop")]
    CenterFollows,
    /// A center was told to show records.
    #[error("a center has no viewer; run view on a backup or laptop")]
    CenterViews,
    /// The viewer could not be opened.
    #[error(transparent)]
    Viewer(#[from] ViewerError),
    /// The control socket could not be opened.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A link could not be opened.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// What a replica does while it stays.
#[derive(Debug, Clone, Default)]
pub struct Stay {
    /// Pulls all the while, if it has a source.
    pub follow: bool,
    /// Shows its records.
    pub view: Option<ViewOptions>,
}

/// Told what a serving node does.
pub trait Observer: Send + Sync + 'static {
    /// The store is sealed, and waits for its passphrase.
    fn locked(&self);
    /// The node answers now: its id, and the addresses that peers reach.
    fn ready(&self, node_id: &str, addresses: &[String]);
    /// A scheduled refresh or pull ended.
    fn done(&self, outcome: &Outcome);
}

/// Serves the home until `end` resolves. `credentials` is what the process was
/// given to open a sealed store with; if that is nothing it waits for it.
///
/// Errors: `ServeError`, before anything is answered.
pub async fn serve(
    home: &Path,
    credentials: &Credentials,
    stay: Stay,
    monitor: &dyn Monitor,
    observer: Arc<dyn Observer>,
    end: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    tokio::pin!(end);
    let opened = tokio::task::block_in_place(|| Node::open(home, credentials, monitor));
    let mut tasks = JoinSet::new();
    let (node, listener) = match opened {
        Ok(node) => (node, None),
        Err(NodeError::Home(HomeError::Passphrase(PassphraseError::Unnamed(_)))) => {
            let locked = Home::locked(home).map_err(NodeError::from)?;
            let listener = control::listen(home)?;
            observer.locked();
            tokio::select! {
                (node, mut clients) = locked::opened(locked, &listener) => {
                    tasks.spawn(async move { while clients.join_next().await.is_some() {} });
                    (node, Some(listener))
                }
                () = &mut end => return Ok(()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    let (id, links) = match &node {
        Node::Center(_) if stay.view.is_some() => {
            let _ = node.close();
            return Err(ServeError::CenterViews);
        }
        Node::Center(_) if stay.follow => {
            let _ = node.close();
            return Err(ServeError::CenterFollows);
        }
        Node::Center(center) => {
            let links = Links::open(center.config(), center.key(), center.clone())?;
            tasks.spawn(refresh_on_schedule(center.clone(), observer.clone()));
            (center.id(), links)
        }
        Node::Replica(replica) => {
            let links = Links::open(replica.config(), replica.key(), replica.clone())?;
            let has_source = !replica.config().source.is_empty();
            if stay.follow && (has_source || stay.view.is_none()) {
                tasks.spawn(follow_source(node.clone(), observer.clone()));
            }
            tasks.spawn(scrub_on_schedule(replica.clone(), observer.clone()));
            tasks.spawn(prune_on_schedule(replica.clone(), observer.clone()));
            (replica.id(), links)
        }
    };
    for listener in &links.listeners {
        tasks.spawn(serve_peers(listener.clone(), links.holdings.clone()));
    }
    let listener = listener.map_or_else(|| control::listen(home), Ok)?;
    tasks.spawn(control::answer(listener, node.clone()));
    tasks.spawn(reload_peers(node.clone()));
    observer.ready(&id.to_string(), &links.addresses);
    let shown = match (&node, &stay.view) {
        (Node::Replica(replica), Some(options)) => replica.view(options, monitor, end).await,
        _ => {
            end.await;
            Ok(())
        }
    };
    for listener in links.listeners {
        listener.close().await;
    }
    drop(links.holdings);
    tasks.shutdown().await;
    if let Err(error) = tokio::task::block_in_place(|| node.close()) {
        tracing::warn!(%error, "not closed cleanly; the next start rebuilds the index");
    }
    Ok(shown?)
}

/// The links that peers reach a node by.
struct Links {
    listeners: Vec<Listener>,
    /// Name and address of each.
    addresses: Vec<String>,
    holdings: Arc<dyn Holdings>,
}

impl Links {
    fn open(
        config: &Config,
        key: &SigningKey,
        holdings: Arc<dyn Holdings>,
    ) -> Result<Links, ServeError> {
        let mut links = Links {
            listeners: vec![],
            addresses: vec![],
            holdings,
        };
        for address in &config.listen {
            let admitting = links.holdings.clone();
            let admits = Arc::new(move |id: &_| admitting.peer(id).is_some());
            let listener = listen(address, key, admits)?;
            let bound = listener.address().unwrap_or(address.addr);
            links.addresses.push(format!("{} {bound}", address.link));
            links.listeners.push(listener);
        }
        Ok(links)
    }
}

/// Reads who may pull again whenever the configuration changed.
async fn reload_peers(node: Node) {
    let book = node.peers();
    let file = book.home().join(crate::config::FILE_NAME);
    let stamp = || {
        let found = std::fs::metadata(&file).ok()?;
        Some((found.modified().ok()?, found.len()))
    };
    let mut known = stamp();
    loop {
        tokio::time::sleep(RELOAD).await;
        let now = stamp();
        if now == known {
            continue;
        }
        known = now;
        if let Err(error) = book.reload() {
            tracing::error!(%error, "who may pull stays as it was");
        }
    }
}

async fn refresh_on_schedule(center: Arc<Center>, observer: Arc<dyn Observer>) {
    loop {
        let node = Node::Center(center.clone());
        let command = Command::Scan(Look::Due.into());
        let outcome = node.execute(command, Arc::new(Silent)).await;
        observer.done(&outcome);
        tokio::time::sleep(center.config().schedule.hints).await;
    }
}

/// Reads a part of everything again and again, so that all was read within the
/// time that is set.
async fn scrub_on_schedule(replica: Arc<Replica>, observer: Arc<dyn Observer>) {
    let whole = replica.config().schedule.verify;
    let pause = (whole / SCRUB_PARTS).clamp(SCRUB_PAUSE_MIN, SCRUB_PAUSE_MAX);
    let share = (pause.as_secs_f64() / whole.as_secs_f64()).min(1.0);
    loop {
        tokio::time::sleep(pause).await;
        let node = Node::Replica(replica.clone());
        let outcome = node.execute(Command::Scrub(share), Arc::new(Silent)).await;
        observer.done(&outcome);
    }
}

/// Forgets what is beyond the retention.
async fn prune_on_schedule(replica: Arc<Replica>, observer: Arc<dyn Observer>) {
    loop {
        tokio::time::sleep(replica.config().schedule.prune).await;
        let asked = replica.clone();
        let due = tokio::task::spawn_blocking(move || asked.is_prune_due(&Silent)).await;
        if !matches!(due, Ok(Ok(false))) {
            let node = Node::Replica(replica.clone());
            observer.done(&node.execute(Command::Prune, Arc::new(Silent)).await);
        }
    }
}

async fn follow_source(node: Node, observer: Arc<dyn Observer>) {
    let mut told = None;
    loop {
        let outcome = node.execute(Command::Sync, Arc::new(Silent)).await;
        // What is held is told once, and again when it changes.
        let held = (outcome.exit_code == exit_code::HELD).then(|| outcome.json["held"].clone());
        if held.is_none() || held != told {
            observer.done(&outcome);
        }
        told = held;
        tokio::time::sleep(FOLLOW).await;
    }
}
