//! The control socket: how a command reaches the process that has the home.
//!
//! One JSON line asks; JSON lines answer: progress, then the outcome. Only
//! the owner of the home can connect (mode 0600).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::command::{Command, Outcome, exit_code};
use super::node::Node;
use crate::progress::Monitor;

/// Bytes of one line, at most.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How often counts of progress are sent.
const TICK: Duration = Duration::from_millis(100);
/// Progress that waits to be sent, at most; more is summed up.
const WAITING_MAX: usize = 256;

/// A line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Stage { name: String, total: Option<u64> },
    Advance { items: u64 },
    Links { text: String },
    Note { text: String },
    Outcome(Box<Outcome>),
}

/// Why a running process could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket fails.
    #[error("control socket of {home}: {source}")]
    Socket {
        /// The home.
        home: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The process went away before it answered.
    #[error("the process that has {0} went away before it answered")]
    Gone(PathBuf),
}

/// The socket's path, short whatever the home's path is: a socket's name has
/// room for 107 bytes.
fn socket(home: &Path) -> std::io::Result<(std::os::fd::OwnedFd, PathBuf)> {
    use std::os::fd::AsRawFd;
    let folder = rustix::fs::open(
        home,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd()));
    Ok((folder, path))
}

/// Answers commands until it is dropped. The caller has the home's lock, so a
/// socket that lies there is a dead process's.
///
/// Errors: `ControlError::Socket`.
pub fn listen(home: &Path) -> Result<UnixListener, ControlError> {
    let wrong = |source| ControlError::Socket {
        home: home.to_path_buf(),
        source,
    };
    let (_folder, path) = socket(home).map_err(wrong)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(wrong(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(wrong)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
    Ok(listener)
}

/// Carries out what comes over the socket; ends with the task.
pub async fn answer(listener: UnixListener, node: Node) {
    let mut clients = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let node = node.clone();
        clients.spawn(async move {
            let execute =
                move |command, monitor| async move { node.execute(command, monitor).await };
            if let Err(error) = answer_one(stream, execute).await {
                tracing::debug!(%error, "a control client went away");
            }
        });
        while clients.try_join_next().is_some() {}
    }
}

/// Reads one command, and writes what `execute` says to it.
pub(super) async fn answer_one<F, W>(stream: UnixStream, execute: F) -> std::io::Result<()>
where
    F: FnOnce(Command, Arc<dyn Monitor>) -> W + Send + 'static,
    W: Future<Output = Outcome> + Send + 'static,
{
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(LINE_BYTES_MAX));
    read.read_line(&mut line).await?;
    let command: Result<Command, _> = serde_json::from_str(&line);
    let (sender, mut receiver) = mpsc::channel(WAITING_MAX);
    let monitor = Arc::new(Sent {
        sender,
        advanced: AtomicU64::new(0),
    });
    let working = monitor.clone();
    // A viewer is there for as long as who asked for it; everything else is
    // carried out to its end.
    let is_view = matches!(command, Ok(Command::View(_)));
    let mut work = tokio::spawn(async move {
        match command {
            Ok(command) => execute(command, working).await,
            Err(error) => Outcome::error(exit_code::USAGE, &format!("no command: {error}")),
        }
    });
    let mut tick = tokio::time::interval(TICK);
    let outcome = loop {
        tokio::select! {
            Some(line) = receiver.recv() => send(&mut write, &line).await?,
            _ = tick.tick() => {
                let items = monitor.advanced.swap(0, Ordering::Relaxed);
                if items > 0 {
                    send(&mut write, &Line::Advance { items }).await?;
                }
            }
            _ = read.read_u8(), if is_view => {
                work.abort();
                let _ = work.await;
                return Ok(());
            }
            outcome = &mut work => break outcome,
        }
    };
    while let Ok(line) = receiver.try_recv() {
        send(&mut write, &line).await?;
    }
    let outcome = outcome.unwrap_or_else(|error| Outcome::error(exit_code::FAILED, &error));
    send(&mut write, &Line::Outcome(Box::new(outcome))).await
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), line: &Line) -> std::io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await
}

struct Sent {
    sender: mpsc::Sender<Line>,
    advanced: AtomicU64,
}

impl Monitor for Sent {
    fn stage(&self, name: &str, total: Option<u64>) {
        let _ = self.sender.try_send(Line::Stage {
            name: name.into(),
            total,
        });
    }

    fn advance(&self, items: u64) {
        self.advanced.fetch_add(items, Ordering::Relaxed);
    }

    fn links(&self, text: &str) {
        let _ = self.sender.try_send(Line::Links { text: text.into() });
    }

    fn note(&self, text: &str) {
        let _ = self.sender.try_send(Line::Note { text: text.into() });
    }
}

/// Asks the process that has the home; none if there is no such process.
///
/// Errors: `ControlError`.
pub async fn ask(
    home: &Path,
    command: &Command,
    monitor: &dyn Monitor,
) -> Result<Option<Outcome>, ControlError> {
    let wrong = |source| ControlError::Socket {
        home: home.to_path_buf(),
        source,
    };
    let Ok((_folder, path)) = socket(home) else {
        return Ok(None);
    };
    let Ok(stream) = UnixStream::connect(&path).await else {
        return Ok(None);
    };
    let (read, mut write) = stream.into_split();
    let mut request = serde_json::to_vec(command).map_err(|error| wrong(error.into()))?;
    request.push(b'\n');
    write.write_all(&request).await.map_err(wrong)?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await.map_err(wrong)? {
        match serde_json::from_str(&line).map_err(|error| wrong(error.into()))? {
            Line::Stage { name, total } => monitor.stage(&name, total),
            Line::Advance { items } => monitor.advance(items),
            Line::Links { text } => monitor.links(&text),
            Line::Note { text } => monitor.note(&text),
            Line::Outcome(outcome) => return Ok(Some(*outcome)),
        }
    }
    Err(ControlError::Gone(home.to_path_buf()))
}
