//! `hikae serve`: answer peers and commands until ended by a signal.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Context, progress};
use crate::replicate::node::{Outcome, exit_code};
use crate::replicate::serve::{Observer, ServeError, serve};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArguments {}

pub(super) async fn run(context: &Context, _arguments: &ServeArguments) -> Outcome {
    match context.home() {
        Ok(home) => stay(context, home, false).await,
        Err(outcome) => outcome,
    }
}

/// Serves a home until SIGINT or SIGTERM; a replica that follows pulls all
/// the while.
pub(super) async fn stay(context: &Context, home: &Path, follow: bool) -> Outcome {
    let observer = Arc::new(Printed { json: context.json });
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
    match serve(
        home,
        super::credentials().as_deref(),
        follow,
        &*progress::monitor(),
        observer,
        ended,
    )
    .await
    {
        Ok(()) => Outcome {
            exit_code: exit_code::DONE,
            json: serde_json::json!({ "ended": true }),
            text: "ended".into(),
        },
        Err(error @ ServeError::CenterFollows) => Outcome::error(exit_code::USAGE, &error),
        Err(ServeError::Node(error)) => Outcome::error(error.exit_code(), &error),
        Err(error) => Outcome::error(exit_code::FAILED, &error),
    }
}

/// Says on stderr what a serving node does; stdout is for the outcome.
struct Printed {
    json: bool,
}

impl Observer for Printed {
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
        if outcome.exit_code != exit_code::DONE {
            let _ = writeln!(std::io::stderr(), "{}", outcome.text);
        }
    }
}

fn listed(addresses: &[String]) -> String {
    match addresses.is_empty() {
        true => "no link".into(),
        false => addresses.join(", "),
    }
}
