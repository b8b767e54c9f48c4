//! `hikae serve`: answer peers and commands until ended by a signal.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::route::{PATIENCE, PAUSE};
use super::{Context, progress};
use crate::progress::Silent;
use crate::replicate::command::{Command, Outcome, exit_code};
use crate::replicate::control;
use crate::replicate::home::HomeError;
use crate::replicate::node::NodeError;
use crate::replicate::serve::{Observer, ServeError, Stay, serve};
use crate::replicate::view::ViewOptions;

/// Between two pulls that another process is asked for.
const FOLLOW: Duration = Duration::from_secs(1);

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArguments {}

pub(super) async fn run(context: &Context, _arguments: &ServeArguments) -> Outcome {
    match context.home() {
        Ok(home) => stay(context, home, false, None).await,
        Err(outcome) => outcome,
    }
}

/// Serves a home until SIGINT or SIGTERM; a replica that follows pulls all
/// the while, and shows its records in a browser if it is asked to.
pub(super) async fn stay(
    context: &Context,
    home: &Path,
    follow: bool,
    view: Option<ViewOptions>,
) -> Outcome {
    let observer = Arc::new(Printed {
        json: context.json,
        last: Mutex::default(),
    });
    let ended = async {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(ended);
    let views = view.is_some();
    let credentials = super::credentials(home);
    let until = Instant::now() + PATIENCE;
    let served = loop {
        let view = view.clone();
        let served = serve(
            home,
            &credentials,
            Stay { follow, view },
            &*progress::monitor(),
            observer.clone(),
            &mut ended,
        )
        .await;
        if !matches!(
            served,
            Err(ServeError::Node(NodeError::Home(HomeError::Busy(_))))
        ) {
            break served;
        }
        tokio::select! {
            () = follow_beside(home, &observer), if follow && !views => {}
            is_held = is_held(home), if !follow || views => {
                if is_held || Instant::now() > until {
                    break served;
                }
            }
            () = &mut ended => return by_signal(),
        }
    };
    match served {
        Ok(()) => by_signal(),
        Err(error @ (ServeError::CenterFollows | ServeError::CenterViews)) => {
            Outcome::error(exit_code::USAGE, &error)
        }
        Err(ServeError::Node(error)) => Outcome::error(error.exit_code(), &error),
        Err(error) => Outcome::error(exit_code::FAILED, &error),
    }
}

/// Ended by a signal.
pub(super) fn by_signal() -> Outcome {
    Outcome {
        exit_code: exit_code::DONE,
        json: serde_json::json!({ "ended": true }),
        text: "ended".into(),
    }
}

/// Whether the process that has the home stays: it answers. A command that
/// has it for a moment does not; then this takes a moment.
async fn is_held(home: &Path) -> bool {
    match control::ask(home, &Command::Status, &Silent).await {
        Ok(None) => {
            tokio::time::sleep(PAUSE).await;
            false
        }
        Ok(Some(_)) | Err(_) => true,
    }
}

/// Another process has the home: while it answers it is asked to pull, again
/// and again. A command that has it for a moment does not.
async fn follow_beside(home: &Path, observer: &Printed) {
    loop {
        let outcome = match control::ask(home, &Command::Sync, &Silent).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return tokio::time::sleep(PAUSE).await,
            Err(error) => Outcome::error(exit_code::FAILED, &error),
        };
        observer.done(&outcome);
        tokio::time::sleep(FOLLOW).await;
    }
}

/// Says on stderr what a serving node does; stdout is for the outcome.
struct Printed {
    json: bool,
    /// What was said last: a source that is away for hours is named once.
    last: Mutex<String>,
}

impl Observer for Printed {
    fn locked(&self) {
        let mut err = std::io::stderr();
        let _ = match self.json {
            true => writeln!(err, "{}", serde_json::json!({ "locked": true })),
            false => writeln!(err, "locked: give the passphrase by `hikae unlock`"),
        };
    }

    fn ready(&self, node_id: &str, addresses: &[String]) {
        let mut err = std::io::stderr();
        let _ = match self.json {
            true => writeln!(
                err,
                "{}",
                serde_json::json!({ "ready": node_id, "listen": addresses })
            ),
            false => writeln!(
                err,
                "ready: node {node_id}, listening on {}",
                listed(addresses)
            ),
        };
    }

    fn done(&self, outcome: &Outcome) {
        let text = match outcome.exit_code {
            exit_code::DONE => "",
            _ => outcome.text.as_str(),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !text.is_empty() && *last != text {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
        *last = text.to_string();
    }
}

fn listed(addresses: &[String]) -> String {
    match addresses.is_empty() {
        true => "no link".into(),
        false => addresses.join(", "),
    }
}
