//! A session: every link to one source, and the requests that any of them may
//! answer.
//!
//! Requests carry leaf keys, so a source knows nothing of sessions: it sees
//! connections of one peer. Which link takes which request is the
//! scheduler's to say; here connections are opened and bytes are moved.

mod driver;
mod figures;
mod path;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use hikae_protocol::frame::Frame;
use hikae_protocol::snapshot::NodeId;
use quinn::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::link::{self, LinkError};
use super::replica::ANSWER_DEADLINE;
use super::scheduler::LEASES_MAX;
use crate::config::Source;
use driver::{Command, Driver};

pub use figures::{LinkFigures, SessionFigures};

/// Requests beyond those that the links hold: what a link takes next is there.
const AHEAD: usize = 4;
/// Connections that one request without a lease is tried by, at most.
pub(super) const TRIES: usize = 8;

/// What the connections of a session are, now.
#[derive(Debug, Clone)]
enum Open {
    /// Those that answered, the first first.
    Connections(Vec<Connection>),
    /// The session has failed.
    Failed(String),
}

/// Figures of a session while it goes on, and after it.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<SessionFigures>>);

impl Watch {
    /// As of some moments ago.
    pub fn figures(&self) -> SessionFigures {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, figures: SessionFigures) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }
}

/// All links to one source.
pub struct Links {
    source: NodeId,
    count: usize,
    commands: mpsc::UnboundedSender<Command>,
    open: watch::Receiver<Open>,
    watch: Watch,
    task: JoinHandle<()>,
}

impl Links {
    /// Begins a session: connects by the first link that answers, by the
    /// others once there is something to fetch.
    pub fn open(source: &Source, key: &SigningKey) -> Links {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (sender, open) = watch::channel(Open::Connections(vec![]));
        let watch = Watch::default();
        let driver = Driver::new(source, key.clone(), sender, watch.clone());
        Links {
            source: source.id,
            count: source.link.len(),
            commands,
            open,
            watch,
            task: tokio::spawn(driver.run(receiver)),
        }
    }

    /// The node that all links lead to.
    pub(super) fn source(&self) -> NodeId {
        self.source
    }

    /// Figures of the links, also while they work.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// How many requests keep all links at work.
    pub(super) fn requests(&self) -> usize {
        self.count * LEASES_MAX + AHEAD
    }

    /// There will be requests for about so many bytes.
    pub(super) fn expect(&self, bytes: u64) {
        let _ = self.commands.send(Command::Expect(bytes));
    }

    /// Asks by whichever link is free, for about so many bytes before
    /// compression.
    ///
    /// Errors: `LinkError`.
    pub(super) async fn ask(&self, request: &Frame, bytes: u64) -> Result<Frame, LinkError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Ask {
            request: request.clone(),
            bytes,
            answer,
        };
        let ended = || LinkError::NoLink("the session has ended".into());
        self.commands.send(command).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Waits until a link answers.
    ///
    /// Errors: `LinkError::NoLink`.
    pub async fn answered(&self) -> Result<(), LinkError> {
        self.first().await.map(drop)
    }

    /// The connection that answered first and still does; waits for one.
    ///
    /// Errors: `LinkError::NoLink`.
    pub(super) async fn first(&self) -> Result<Connection, LinkError> {
        let mut open = self.open.clone();
        loop {
            match &*open.borrow_and_update() {
                Open::Failed(text) => return Err(LinkError::NoLink(text.clone())),
                Open::Connections(connections) => {
                    let mut alive = connections.iter();
                    if let Some(first) = alive.find(|one| one.close_reason().is_none()) {
                        return Ok(first.clone());
                    }
                }
            }
            let ended = |_| LinkError::NoLink("the session has ended".into());
            open.changed().await.map_err(ended)?;
        }
    }

    /// Sends what has no answer, and waits until it was taken.
    ///
    /// Errors: `LinkError`.
    pub(super) async fn tell(&self, frame: &Frame) -> Result<(), LinkError> {
        for _ in 1..TRIES {
            let connection = self.first().await?;
            match tell_by(&connection, frame).await {
                Err(error) if connection.close_reason().is_some() => {
                    tracing::info!(%error, "telling the source by another connection");
                }
                done => return done,
            }
        }
        tell_by(&self.first().await?, frame).await
    }

    /// Says farewell by every link.
    pub async fn close(self) -> SessionFigures {
        let _ = self.commands.send(Command::Close);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task of a session failed");
        }
        self.watch.figures()
    }
}

async fn tell_by(connection: &Connection, frame: &Frame) -> Result<(), LinkError> {
    let (mut send, mut receive) = link::open(connection).await?;
    link::send(&mut send, frame).await?;
    let _ = send.finish();
    while link::receive(&mut receive, ANSWER_DEADLINE)
        .await?
        .is_some()
    {}
    Ok(())
}

/// How long an attempt to come back may take.
const RETURN: Duration = Duration::from_secs(3);
