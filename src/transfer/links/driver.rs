//! The task of a session: carries out what the scheduler says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::snapshot::NodeId;
use quinn::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::path::Path;
use super::{Open, RETURN, SessionFigures, TRIES, Watch};
use crate::config::Source;
use crate::transfer::link::{self, HANDSHAKE, Link, LinkError, SMALL_BUFFERS};
use crate::transfer::meter::Meter;
use crate::transfer::replica::ANSWER_DEADLINE;
use crate::transfer::route;
use crate::transfer::scheduler::{Action, AttemptId, Class, RequestId, Scheduler, Standing};

/// How often figures are brought up to date.
const FIGURES: Duration = Duration::from_millis(200);

/// What the owner of a session says to its task.
pub(super) enum Command {
    /// There will be requests for so many bytes.
    Expect(u64),
    /// Ask by any link.
    Ask {
        request: Frame,
        bytes: u64,
        answer: oneshot::Sender<Result<Frame, LinkError>>,
    },
    /// Say farewell.
    Close,
}

/// What a task of the session came to.
enum Done {
    Connected {
        link: usize,
        result: Result<Link, LinkError>,
    },
    /// A connection ended.
    Closed { link: usize, connection: usize },
    Answered {
        attempt: AttemptId,
        first_byte: Duration,
        result: Result<Frame, LinkError>,
        /// The connection is gone, too.
        gone: bool,
    },
}

struct Waiting {
    request: Frame,
    answer: oneshot::Sender<Result<Frame, LinkError>>,
    attempts: usize,
    asked: Duration,
}

struct Attempt {
    link: usize,
    request: RequestId,
    meter: Arc<Meter>,
    task: AbortHandle,
}

pub(super) struct Driver {
    source: NodeId,
    key: SigningKey,
    patience: Duration,
    begun: Instant,
    scheduler: Scheduler,
    paths: Vec<Path>,
    requests: BTreeMap<RequestId, Waiting>,
    attempts: BTreeMap<AttemptId, Attempt>,
    work: JoinSet<Done>,
    /// Links in the order in which they answered.
    order: Vec<usize>,
    /// When the last connection was there.
    alive: Duration,
    /// When the last answer came that was used.
    heard: Duration,
    next_request: u64,
    open: watch::Sender<Open>,
    watch: Watch,
    told: Duration,
    notes: Vec<String>,
}

impl Driver {
    pub(super) fn new(
        source: &Source,
        key: SigningKey,
        open: watch::Sender<Open>,
        watch: Watch,
    ) -> Driver {
        let limits: Vec<Option<u64>> = source
            .link
            .iter()
            .map(|link| link.rate.map(|rate| rate.bytes_per_second))
            .collect();
        Driver {
            source: source.id,
            key,
            patience: source.patience,
            begun: Instant::now(),
            scheduler: Scheduler::new(&limits),
            paths: source.link.iter().map(Path::new).collect(),
            requests: BTreeMap::new(),
            attempts: BTreeMap::new(),
            work: JoinSet::new(),
            order: vec![],
            alive: Duration::ZERO,
            heard: Duration::ZERO,
            next_request: 0,
            open,
            watch,
            told: Duration::ZERO,
            notes: vec![],
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Runs until the owner closes the session or is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            self.measure();
            while let Some(action) = self.scheduler.next(self.now()) {
                self.act(action);
            }
            self.check_hope();
            let wake = self.scheduler.wake(self.now());
            tokio::select! {
                command = commands.recv() => match command {
                    None | Some(Command::Close) => break,
                    Some(command) => self.command(command),
                },
                Some(done) = self.work.join_next() => match done {
                    Ok(done) => self.done(done),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => tracing::error!(%error, "a task of a session failed"),
                },
                () = tokio::time::sleep(wake) => {}
            }
        }
        self.tell_figures();
        self.work.shutdown().await;
        let farewells = self.paths.iter_mut().filter_map(|path| path.link.take());
        futures_util::future::join_all(farewells.map(Link::close)).await;
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Close => {}
            Command::Expect(bytes) => self.scheduler.expect(bytes),
            Command::Ask {
                request,
                bytes,
                answer,
            } => {
                if let Open::Failed(text) = &*self.open.borrow() {
                    let _ = answer.send(Err(LinkError::NoLink(text.clone())));
                    return;
                }
                let class = match request.kind {
                    FrameKind::Fetch => Class::Bundle,
                    FrameKind::Contents => Class::Ranges,
                    _ => Class::Other,
                };
                self.next_request += 1;
                let id = RequestId(self.next_request);
                self.scheduler.push(id, class, bytes);
                let waiting = Waiting {
                    request,
                    answer,
                    attempts: 0,
                    asked: self.begun.elapsed(),
                };
                self.requests.insert(id, waiting);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Probe { link } => self.connect(link),
            Action::Ask {
                attempt,
                link,
                request,
            } => self.ask(attempt, link, request),
        }
    }

    fn connect(&mut self, link: usize) {
        let path = &self.paths[link];
        let within = match path.connections {
            0 => HANDSHAKE,
            _ => RETURN,
        };
        let (options, key, source) = (path.options.clone(), self.key.clone(), self.source);
        self.work.spawn(async move {
            let result = link::connect(source, &options, &key, within).await;
            Done::Connected { link, result }
        });
    }

    fn ask(&mut self, attempt: AttemptId, link: usize, request: RequestId) {
        let connection = self.paths[link].link.as_ref();
        let connection = connection.map(|link| link.connection().clone());
        let waiting = self.requests.get_mut(&request);
        let (Some(connection), Some(waiting)) = (connection, waiting) else {
            self.scheduler.drop_request(request);
            return;
        };
        let silent = self
            .begun
            .elapsed()
            .saturating_sub(self.heard.max(waiting.asked));
        if waiting.attempts >= TRIES && silent >= ANSWER_DEADLINE {
            return self.fail_request(request, LinkError::Silent(silent));
        }
        waiting.attempts += 1;
        let frame = waiting.request.clone();
        let meter = Arc::new(self.paths[link].meter.of_answer());
        let metered = meter.clone();
        let task = self.work.spawn(async move {
            let asked = Instant::now();
            let mut first_byte = None;
            let result = exchange(&connection, &frame, &metered, || {
                first_byte = Some(asked.elapsed());
            })
            .await;
            Done::Answered {
                attempt,
                first_byte: first_byte.unwrap_or_else(|| asked.elapsed()),
                result,
                gone: connection.close_reason().is_some(),
            }
        });
        let attempted = Attempt {
            link,
            request,
            meter,
            task,
        };
        self.attempts.insert(attempt, attempted);
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Connected { link, result } => self.connected(link, result),
            Done::Closed { link, connection } => self.closed(link, connection),
            Done::Answered {
                attempt,
                first_byte,
                result,
                gone,
            } => match result {
                Ok(frame) => self.answered(attempt, first_byte, frame),
                Err(error) => self.unanswered(attempt, error, gone),
            },
        }
    }

    fn connected(&mut self, link: usize, result: Result<Link, LinkError>) {
        let now = self.now();
        let opened = match result {
            Ok(opened) => opened,
            Err(error) => {
                tracing::info!(%error, "a link does not answer");
                self.paths[link].error = Some(error.to_string());
                self.scheduler.probed(now, link);
                return;
            }
        };
        if self.scheduler.standing(link) == Standing::Open {
            // It came back by itself meanwhile.
            self.scheduler.probed(now, link);
            return;
        }
        let connection = opened.connection().clone();
        self.work.spawn(async move {
            let id = connection.stable_id();
            connection.closed().await;
            Done::Closed {
                link,
                connection: id,
            }
        });
        let path = &mut self.paths[link];
        path.part();
        path.connections += 1;
        path.link = Some(opened);
        self.order.retain(|other| *other != link);
        self.order.push(link);
        let stopped = self.scheduler.connected(now, link);
        self.stop(stopped);
        self.tell_open();
        self.note_routes();
    }

    fn closed(&mut self, link: usize, connection: usize) {
        let path = &mut self.paths[link];
        let current = path.link.as_ref().map(Link::connection);
        let Some(current) = current.filter(|current| current.stable_id() == connection) else {
            return;
        };
        let reason = current.close_reason();
        let why = reason.as_ref().map(link::explained);
        tracing::info!(link = path.options.name, ?why, "a link was lost");
        if reason.as_ref().is_some_and(link::is_refusal) {
            // It never was one.
            path.connections -= 1;
        }
        path.error = Some(format!(
            "link {} to {}: {}",
            path.options.name,
            path.options.remote,
            why.unwrap_or_default()
        ));
        path.part();
        self.order.retain(|other| *other != link);
        let stopped = self.scheduler.lost(self.now(), link);
        self.stop(stopped);
        self.tell_open();
    }

    fn answered(&mut self, attempt: AttemptId, first_byte: Duration, frame: Frame) {
        let Some(done) = self.attempts.remove(&attempt) else {
            return;
        };
        let bytes = done.meter.of_this();
        let (first, stopped) = self
            .scheduler
            .answered(self.now(), attempt, bytes, first_byte);
        self.stop(stopped);
        match self.requests.remove(&done.request).filter(|_| first) {
            Some(waiting) => {
                self.heard = self.now();
                let _ = waiting.answer.send(Ok(frame));
            }
            None => self.scheduler.wasted(done.link, bytes),
        }
    }

    /// An attempt without an answer: another connection may do better; a peer
    /// that stays and does not answer is at fault.
    fn unanswered(&mut self, attempt: AttemptId, error: LinkError, gone: bool) {
        let Some(done) = self.attempts.remove(&attempt) else {
            return;
        };
        let (link, request) = (done.link, done.request);
        self.scheduler.wasted(link, done.meter.of_this());
        if gone {
            // The lease ends with the connection, which is looked at alone.
            return;
        }
        if !self.scheduler.failed(attempt) {
            self.fail_request(request, error);
        }
    }

    fn fail_request(&mut self, request: RequestId, error: LinkError) {
        let stopped = self.scheduler.drop_request(request);
        self.stop(stopped);
        if let Some(waiting) = self.requests.remove(&request) {
            let _ = waiting.answer.send(Err(error));
        }
    }

    /// Ends attempts that nobody waits for.
    fn stop(&mut self, attempts: Vec<AttemptId>) {
        for attempt in attempts {
            if let Some(stopped) = self.attempts.remove(&attempt) {
                stopped.task.abort();
                let bytes = stopped.meter.of_this();
                self.scheduler.wasted(stopped.link, bytes);
            }
        }
    }

    fn measure(&mut self) {
        let now = self.now();
        for (link, path) in self.paths.iter().enumerate() {
            self.scheduler.measured(now, link, path.signs());
            let hours = path.options.hours;
            let allowed = hours.is_none_or(|hours| hours.contain(&jiff::Zoned::now()));
            self.scheduler.allow(link, allowed);
        }
        let unwanted: Vec<RequestId> = self
            .requests
            .iter()
            .filter(|(_, waiting)| waiting.answer.is_closed())
            .map(|(id, _)| *id)
            .collect();
        for request in unwanted {
            self.requests.remove(&request);
            let stopped = self.scheduler.drop_request(request);
            self.stop(stopped);
        }
        if now.saturating_sub(self.told) >= FIGURES {
            self.tell_figures();
        }
    }

    /// Gives up when no link is left to hope for.
    fn check_hope(&mut self) {
        let now = self.now();
        if self.paths.iter().any(|path| path.link.is_some()) {
            self.alive = now;
        }
        let usable = |link: &usize| self.scheduler.is_allowed(*link);
        let usable: Vec<usize> = (0..self.paths.len()).filter(usable).collect();
        let held = !self.attempts.is_empty();
        if usable.is_empty() && !held {
            let names = self.paths.iter().filter_map(|path| {
                let hours = path.options.hours?;
                Some(format!("{} only {hours}", path.options.name))
            });
            let names = names.collect::<Vec<_>>().join(", ");
            return self.fail(format!("no link may be used at this hour: {names}"));
        }
        let was_up = self.paths.iter().any(|path| path.connections > 0);
        let hopeless = match was_up {
            true => now.saturating_sub(self.alive) >= self.patience,
            false => usable.iter().all(|link| self.paths[*link].error.is_some()),
        };
        if hopeless {
            let errors = self.paths.iter().filter_map(|path| path.error.clone());
            let errors = errors.collect::<Vec<_>>().join("; ");
            self.fail(format!("no link answers: {errors}"));
        }
    }

    fn fail(&mut self, text: String) {
        if matches!(&*self.open.borrow(), Open::Failed(_)) {
            return;
        }
        self.open.send_replace(Open::Failed(text.clone()));
        let requests: Vec<RequestId> = self.requests.keys().copied().collect();
        for request in requests {
            self.fail_request(request, LinkError::NoLink(text.clone()));
        }
    }

    fn tell_open(&mut self) {
        if matches!(&*self.open.borrow(), Open::Failed(_)) {
            return;
        }
        let links = self.order.iter().filter_map(|link| {
            let allowed = self.scheduler.is_allowed(*link);
            self.paths[*link].link.as_ref().filter(|_| allowed)
        });
        let connections: Vec<Connection> = links.map(|link| link.connection().clone()).collect();
        self.open.send_replace(Open::Connections(connections));
    }

    /// Says which links are one in truth.
    fn note_routes(&mut self) {
        let open = self.paths.iter().filter_map(|path| {
            let local = path.link.as_ref()?.local()?;
            let route = route::between(local, path.options.remote.ip())?;
            Some((path.options.name.clone(), local, route))
        });
        let open: Vec<_> = open.collect();
        for (at, (name, _, route)) in open.iter().enumerate() {
            for (other, local, _) in open[..at].iter().filter(|one| one.2 == *route) {
                let note = format!(
                    "links {other} and {name} leave by the same route (from {local}): when it \
                     fails, both do"
                );
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
            }
        }
        let links = self.paths.iter().filter_map(|path| path.link.as_ref());
        if links.into_iter().any(|link| link.buffers().is_small())
            && !self.notes.iter().any(|note| note == SMALL_BUFFERS)
        {
            self.notes.push(SMALL_BUFFERS.into());
        }
    }

    fn tell_figures(&mut self) {
        self.told = self.now();
        let links = self.paths.iter_mut().enumerate();
        let links = links.map(|(at, path)| path.figures(&self.scheduler, at));
        self.watch.set(SessionFigures {
            links: links.collect(),
            notes: self.notes.clone(),
        });
    }
}

/// One request and its answer on a stream of its own; `begun` hears of the
/// first byte.
async fn exchange(
    connection: &Connection,
    request: &Frame,
    meter: &Meter,
    begun: impl FnOnce(),
) -> Result<Frame, LinkError> {
    let (mut send, mut receive) = link::open(connection).await?;
    link::send(&mut send, request).await?;
    let _ = send.finish();
    link::receive_answer(&mut receive, ANSWER_DEADLINE, meter, begun).await
}
