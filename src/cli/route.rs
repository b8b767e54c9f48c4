//! How a command reaches its home: by the process that has it, or by opening
//! it here.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::progress::Monitor;
use crate::replicate::command::{Command, Outcome, exit_code};
use crate::replicate::control;
use crate::replicate::home::HomeError;
use crate::replicate::node::{Node, NodeError};

/// A process that begins or ends has the home, and no socket, for a moment.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Carries a command out in the home.
pub(super) async fn execute(home: &Path, command: Command, monitor: Arc<dyn Monitor>) -> Outcome {
    let until = Instant::now() + PATIENCE;
    let mut credentials = None;
    loop {
        match control::ask(home, &command, &*monitor).await {
            Ok(Some(outcome)) => return outcome,
            Ok(None) => {}
            Err(error) => return Outcome::error(exit_code::FAILED, &error),
        }
        // Asked for once, and only where no other process has the home.
        let credentials = credentials.get_or_insert_with(|| super::credentials(home));
        let opened = tokio::task::block_in_place(|| Node::open(home, credentials, &*monitor));
        let node = match opened {
            Ok(node) => node,
            Err(NodeError::Home(HomeError::Busy(_))) if Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Outcome::error(error.exit_code(), &error),
        };
        let outcome = node.execute(command, monitor.clone()).await;
        if let Err(error) = tokio::task::block_in_place(|| node.close()) {
            monitor.note(&format!(
                "not closed cleanly ({error}); the next start rebuilds the index"
            ));
        }
        return outcome;
    }
}
