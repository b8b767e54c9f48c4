//! A node that stays: answers peers and the control socket, refreshes or
//! pulls on its schedule, and closes cleanly when told to end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::center::{Center, Look};
use super::control::{self, ControlError};
use super::node::{Command, Node, NodeError, Outcome};
use crate::progress::{Monitor, Silent};
use crate::transfer::{Holdings, LinkError, listen, serve as serve_peers};

/// Between two pulls of a replica that follows its source.
const FOLLOW: Duration = Duration::from_secs(1);

/// Why a node could not stay.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The home or store is not usable.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A center was told to follow.
    #[error("a center pulls from nobody; run sync --follow on a backup or laptop")]
    CenterFollows,
    /// The control socket could not be opened.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A link could not be opened.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Told what a serving node does.
pub trait Observer: Send + Sync + 'static {
    /// The node answers now: its id, and the addresses that peers reach.
    fn ready(&self, node_id: &str, addresses: &[String]);
    /// A scheduled refresh or pull ended.
    fn done(&self, outcome: &Outcome);
}

/// Serves the home until `end` resolves. `credentials` is the folder with what
/// the service manager gives, if there is one.
///
/// Errors: `ServeError`, before anything is answered.
pub async fn serve(
    home: &Path,
    credentials: Option<&Path>,
    follow: bool,
    monitor: &dyn Monitor,
    observer: Arc<dyn Observer>,
    end: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let node = tokio::task::block_in_place(|| Node::open(home, credentials, monitor))?;
    let mut tasks = JoinSet::new();
    let mut addresses = Vec::new();
    let mut listeners = Vec::new();
    let id = match &node {
        Node::Center(_) if follow => {
            let _ = node.close();
            return Err(ServeError::CenterFollows);
        }
        Node::Center(center) => {
            for address in &center.config().listen {
                let admitting = center.clone();
                let admits = Arc::new(move |id: &_| admitting.peer(id).is_some());
                let listener = listen(address, center.key(), admits)?;
                let bound = listener.address().unwrap_or(address.addr);
                addresses.push(format!("{} {bound}", address.link));
                tasks.spawn(serve_peers(listener.clone(), center.clone()));
                listeners.push(listener);
            }
            tasks.spawn(refresh_on_schedule(center.clone(), observer.clone()));
            center.id()
        }
        Node::Replica(replica) => {
            if follow {
                tasks.spawn(follow_source(node.clone(), observer.clone()));
            }
            replica.id()
        }
    };
    tasks.spawn(control::answer(control::listen(home)?, node.clone()));
    observer.ready(&id.to_string(), &addresses);
    end.await;
    for listener in listeners {
        listener.close().await;
    }
    tasks.shutdown().await;
    if let Err(error) = tokio::task::block_in_place(|| node.close()) {
        tracing::warn!(%error, "not closed cleanly; the next start rebuilds the index");
    }
    Ok(())
}

async fn refresh_on_schedule(center: Arc<Center>, observer: Arc<dyn Observer>) {
    loop {
        let node = Node::Center(center.clone());
        let command = Command::Scan {
            look: Look::Due,
            accept_root: false,
        };
        let outcome = node.execute(command, Arc::new(Silent)).await;
        observer.done(&outcome);
        tokio::time::sleep(center.config().schedule.hints).await;
    }
}

async fn follow_source(node: Node, observer: Arc<dyn Observer>) {
    loop {
        let outcome = node.execute(Command::Sync, Arc::new(Silent)).await;
        observer.done(&outcome);
        tokio::time::sleep(FOLLOW).await;
    }
}
