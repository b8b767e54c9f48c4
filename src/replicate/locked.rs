//! A home whose sealed store waits for its passphrase: nobody typed it, no
//! file holds it. It has the home and answers on the control socket, but
//! nothing is read, pulled or served until `hikae unlock` brought it.

use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::command::{Command, Outcome, Secret, exit_code};
use super::control;
use super::home::Home;
use super::identity::node_id;
use super::node::Node;
use super::passphrase::is_new;
use super::replica::Replica;
use crate::progress::Monitor;
use crate::seal::SealOptions;

/// Answers until the store is open. Also gives the clients that are still
/// answered then.
pub(super) async fn opened(home: Home, listener: &UnixListener) -> (Node, JoinSet<()>) {
    let (sender, mut receiver) = mpsc::channel(1);
    let waiting = Arc::new(Waiting {
        home: Mutex::new(Some(home)),
        opened: sender,
    });
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            Some(node) = receiver.recv() => return (node, clients),
            Some(_) = clients.join_next() => {}
            Ok((stream, _)) = listener.accept() => {
                let waiting = waiting.clone();
                clients.spawn(async move {
                    let execute = move |command, monitor| async move {
                        waiting.execute(command, monitor).await
                    };
                    if let Err(error) = control::answer_one(stream, execute).await {
                        tracing::debug!(%error, "a control client went away");
                    }
                });
            }
        }
    }
}

struct Waiting {
    /// None as soon as the store is open.
    home: Mutex<Option<Home>>,
    opened: mpsc::Sender<Node>,
}

impl Waiting {
    async fn execute(&self, command: Command, monitor: Arc<dyn Monitor>) -> Outcome {
        match command {
            Command::Unlock { passphrase } => self.unlock(passphrase, monitor).await,
            Command::Status => self.status().await,
            _ => Outcome::error(
                exit_code::FAILED,
                &"the store is locked: give its passphrase by `hikae unlock`",
            ),
        }
    }

    async fn unlock(&self, passphrase: Secret, monitor: Arc<dyn Monitor>) -> Outcome {
        let mut waiting = self.home.lock().await;
        let Some(mut home) = waiting.take() else {
            return unlocked("it is unlocked already");
        };
        match passphrase.passphrase() {
            Ok(passphrase) => home.seal = Some(SealOptions::new(passphrase)),
            Err(error) => {
                *waiting = Some(home);
                return Outcome::error(exit_code::USAGE, &error);
            }
        }
        let opened = tokio::task::block_in_place(|| home.open_store(&*monitor));
        let catalogue = match opened {
            Err(error) => {
                home.seal = None;
                *waiting = Some(home);
                return Outcome::error(exit_code::FAILED, &error);
            }
            Ok(catalogue) => catalogue,
        };
        let replica = match Replica::of(home, catalogue) {
            Err(error) => return Outcome::error(exit_code::FAILED, &error),
            Ok(replica) => Arc::new(replica),
        };
        match self.opened.send(Node::Replica(replica)).await {
            Ok(()) => unlocked("the store is unlocked"),
            Err(_) => Outcome::error(exit_code::FAILED, &"the process ends"),
        }
    }

    async fn status(&self) -> Outcome {
        let waiting = self.home.lock().await;
        let Some(home) = &*waiting else {
            return unlocked("the store was unlocked just now");
        };
        let id = node_id(&home.key).to_string();
        let report = serde_json::json!({
            "role": home.config.role, "node_id": id, "locked": true,
            "new": is_new(&home.config),
        });
        let text = format!("node {id}: locked; give the passphrase by `hikae unlock`");
        Outcome::report(exit_code::DONE, &report, text)
    }
}

fn unlocked(text: &str) -> Outcome {
    let report = serde_json::json!({ "unlocked": true });
    Outcome::report(exit_code::DONE, &report, text.into())
}
