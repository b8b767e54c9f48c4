//! An open node, and the commands that it carries out.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hikae_protocol::digest::Digest;
use serde_json::Value;

use super::center::{Asked, Center, CenterError, Look};
use super::command::{Command, Outcome, Secret, exit_code};
use super::export::export;
use super::history::{self, DiffOptions, HistoryError};
use super::home::{Home, HomeError};
use super::passphrase::Credentials;
use super::peers::PeerBook;
use super::replica::{
    DecisionReport, GuardError, PromoteReport, Replica, ReplicaError, RestoreOptions, VerifyReport,
    forget_filter,
};
use super::view::ViewOptions;
use super::{status, summary};
use crate::catalogue::{Catalogue, CatalogueError, RebuildReport};
use crate::config::{DatabaseUrl, Role};
use crate::progress::Monitor;
use crate::viewer::{AuditError, bundle};

/// Why a node could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The home is not usable.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store is not usable.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The center is not usable.
    #[error(transparent)]
    Center(#[from] CenterError),
    /// The replica is not usable.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
}

impl NodeError {
    /// The exit code that says it.
    pub fn exit_code(&self) -> u8 {
        match self {
            NodeError::Home(
                HomeError::Config(_)
                | HomeError::Identity(_)
                | HomeError::Passphrase(_)
                | HomeError::Present(_),
            ) => exit_code::USAGE,
            NodeError::Center(CenterError::NoVolumes(_)) => exit_code::USAGE,
            _ => exit_code::FAILED,
        }
    }
}

/// Makes the index of the home at `path` anew from the segments, without the
/// checkpoint.
pub fn rebuild(path: &Path, credentials: &Credentials, monitor: &dyn Monitor) -> Outcome {
    match rebuilt(path, credentials, monitor) {
        Err(error) => Outcome::error(error.exit_code(), &error),
        Ok(None) => Outcome::report(exit_code::DONE, &Value::Null, "the store is empty".into()),
        Ok(Some(report)) => {
            let code = match report.root_matches && report.damages.is_empty() {
                true => exit_code::DONE,
                false => exit_code::DIFFER,
            };
            let text = summary::rebuild(&report);
            Outcome::report(code, &report, text)
        }
    }
}

fn rebuilt(
    path: &Path,
    credentials: &Credentials,
    monitor: &dyn Monitor,
) -> Result<Option<RebuildReport>, NodeError> {
    let home = Home::open(path, credentials)?;
    let catalogue = home.open_anew(monitor)?;
    let report = catalogue.rebuilt().cloned();
    let is_lost = |report: &RebuildReport| report.cut_off || !report.damages.is_empty();
    if report.as_ref().is_some_and(is_lost) {
        forget_filter(&catalogue).map_err(CatalogueError::Disk)?;
    }
    catalogue.close()?;
    Ok(report)
}

/// How long work that still runs is waited for at the end.
const LAST_USERS: Duration = Duration::from_secs(20);

/// An open node.
#[derive(Clone)]
pub enum Node {
    /// A source.
    Center(Arc<Center>),
    /// A backup or laptop.
    Replica(Arc<Replica>),
}

impl Node {
    /// Opens the home at `path`. `credentials` is the folder with what the
    /// service manager gives, if there is one.
    ///
    /// Errors: `NodeError`.
    pub fn open(
        path: &Path,
        credentials: &Credentials,
        monitor: &dyn Monitor,
    ) -> Result<Node, NodeError> {
        let home = Home::open(path, credentials)?;
        Ok(match home.config.role {
            Role::Center => Node::Center(Arc::new(Center::open(home, monitor)?)),
            Role::Backup | Role::Laptop => {
                let catalogue = home.open_store(monitor)?;
                Node::Replica(Arc::new(Replica::of(home, catalogue)?))
            }
        })
    }

    /// Carries a command out.
    pub async fn execute(&self, command: Command, monitor: Arc<dyn Monitor>) -> Outcome {
        match (self, command) {
            (Node::Center(center), Command::Scan(asked)) => {
                let center = center.clone();
                blocking(move || scan(&center, &asked, &*monitor)).await
            }
            (Node::Replica(replica), Command::Sync) => sync(replica, &*monitor).await,
            (Node::Replica(replica), Command::Verify(options)) if options.repair => {
                verified(replica.verify_and_repair(&options, &*monitor).await)
            }
            (Node::Replica(replica), Command::Scrub(share)) => {
                let replica = replica.clone();
                blocking(move || verified(replica.scrub(share, &*monitor))).await
            }
            (Node::Center(_), Command::Scrub(_)) => {
                Outcome::error(exit_code::USAGE, &"a center walks its storage")
            }
            (Node::Replica(replica), Command::Promote) => {
                let replica = replica.clone();
                blocking(move || promoted(replica.promote(&*monitor))).await
            }
            (Node::Center(_), Command::Promote) => Outcome::error(
                exit_code::USAGE,
                &"a center is a source already; promote a backup",
            ),
            (Node::Replica(replica), Command::Verify(options)) => {
                let replica = replica.clone();
                blocking(move || verified(replica.verify(&options, &*monitor))).await
            }
            (Node::Center(center), Command::Verify(_)) => {
                let center = center.clone();
                blocking(move || verify_center(&center, &*monitor)).await
            }
            (node, Command::Prune) => {
                let node = node.clone();
                blocking(move || node.prune(&*monitor)).await
            }
            (Node::Replica(replica), Command::Approve(options)) => {
                let replica = replica.clone();
                blocking(move || decision(replica.approve(&options, &*monitor))).await
            }
            (Node::Replica(replica), Command::Reject(options)) => {
                let replica = replica.clone();
                blocking(move || decision(replica.reject(&options, &*monitor))).await
            }
            (Node::Center(_), Command::Approve(_) | Command::Reject(_)) => Outcome::error(
                exit_code::USAGE,
                &"a center holds nothing; what a backup holds is decided there",
            ),
            (node, Command::Snapshots) => {
                let node = node.clone();
                blocking(move || node.snapshots(&*monitor)).await
            }
            (node, Command::Diff(options)) => {
                let node = node.clone();
                blocking(move || node.diff(&options, &*monitor)).await
            }
            (node, Command::Restore(options)) => {
                let node = node.clone();
                blocking(move || node.restore(&options, &*monitor)).await
            }
            (node, Command::IndexExport { to, table }) => {
                let node = node.clone();
                blocking(move || node.export(&to, &table, &*monitor)).await
            }
            (node, Command::Status) => {
                let node = node.clone();
                blocking(move || node.status()).await
            }
            (Node::Replica(replica), Command::View(options)) => {
                view(replica, &options, &*monitor).await
            }
            (Node::Replica(replica), Command::Audit { export }) => {
                let replica = replica.clone();
                blocking(move || audit(&replica, export)).await
            }
            (Node::Replica(replica), Command::Passphrase { old, new }) => {
                let replica = replica.clone();
                blocking(move || change_passphrase(&replica, old, new)).await
            }
            (Node::Center(_), Command::Passphrase { .. } | Command::Unlock { .. }) => {
                Outcome::error(exit_code::USAGE, &"the store of a center is not sealed")
            }
            (Node::Replica(replica), Command::Unlock { .. }) => unlocked_before(replica),
            (Node::Center(_), Command::View(_) | Command::Audit { .. }) => Outcome::error(
                exit_code::USAGE,
                &"a center has no viewer; run it on a backup or laptop",
            ),
            (Node::Replica(_), Command::Scan(_)) => Outcome::error(
                exit_code::USAGE,
                &"only a center has a storage to scan; a replica syncs",
            ),
            (Node::Center(_), Command::Sync) => Outcome::error(
                exit_code::USAGE,
                &"a center pulls from nobody; run sync on a backup or laptop",
            ),
        }
    }

    fn prune(&self, monitor: &dyn Monitor) -> Outcome {
        let pruned = match self {
            Node::Center(center) => center.prune(monitor),
            Node::Replica(replica) => replica.prune(monitor),
        };
        match pruned {
            Err(error) => Outcome::error(exit_code::FAILED, &error),
            Ok(report) => {
                let code = match report.compact.segments_damaged.is_empty() {
                    true => exit_code::DONE,
                    false => exit_code::FAILED,
                };
                let text = summary::prune(&report);
                Outcome::report(code, &report, text)
            }
        }
    }

    fn catalogue(&self) -> &Catalogue {
        match self {
            Node::Center(center) => center.catalogue(),
            Node::Replica(replica) => replica.catalogue(),
        }
    }

    fn snapshots(&self, monitor: &dyn Monitor) -> Outcome {
        match history::snapshots(self.catalogue(), monitor) {
            Err(error) => Outcome::error(exit_code::FAILED, &error),
            Ok(lines) => {
                let text = summary::snapshots(&lines);
                let report = serde_json::json!({ "snapshots": lines });
                Outcome::report(exit_code::DONE, &report, text)
            }
        }
    }

    fn diff(&self, options: &DiffOptions, monitor: &dyn Monitor) -> Outcome {
        let _looking = match self {
            Node::Center(_) => None,
            Node::Replica(replica) => Some(replica.look_back()),
        };
        match history::diff(self.catalogue(), options, monitor) {
            Err(error) => past(&error),
            Ok(report) => {
                let text = summary::diff(&report);
                Outcome::report(exit_code::DONE, &report, text)
            }
        }
    }

    fn restore(&self, options: &RestoreOptions, monitor: &dyn Monitor) -> Outcome {
        let restored = match self {
            Node::Center(_) => Err(HistoryError::Center),
            Node::Replica(replica) => replica.restore(options, monitor),
        };
        match restored {
            Err(error) => past(&error),
            Ok(report) => {
                let code = match (report.roots_equal, report.is_whole()) {
                    (false, _) => exit_code::DIFFER,
                    (true, false) => exit_code::FAILED,
                    (true, true) => exit_code::DONE,
                };
                let text = summary::restore(&report);
                Outcome::report(code, &report, text)
            }
        }
    }

    fn export(&self, to: &DatabaseUrl, table: &str, monitor: &dyn Monitor) -> Outcome {
        let exported = match self {
            Node::Center(center) => center.still(|| export(center.catalogue(), to, table, monitor)),
            Node::Replica(replica) => {
                replica.still(|| export(replica.catalogue(), to, table, monitor))
            }
        };
        match exported {
            Err(error) => Outcome::error(exit_code::FAILED, &error),
            Ok(report) => {
                let code = match report.records_too_long {
                    0 => exit_code::DONE,
                    _ => exit_code::FAILED,
                };
                let text = summary::export(&report);
                Outcome::report(code, &report, text)
            }
        }
    }

    fn status(&self) -> Outcome {
        let status = match self {
            Node::Center(center) => status::center(center),
            Node::Replica(replica) => status::replica(replica),
        };
        let text = summary::status(&status);
        Outcome::report(exit_code::DONE, &status, text)
    }

    /// Closes cleanly, if nobody else uses the node any more.
    ///
    /// Errors: `CatalogueError`; the next opening rebuilds then.
    pub fn close(self) -> Result<(), CatalogueError> {
        let until = Instant::now() + LAST_USERS;
        // Work on blocking threads can't be stopped, only waited for.
        while self.users() > 1 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        match self {
            Node::Center(center) => Arc::into_inner(center).map_or(Ok(()), Center::close),
            Node::Replica(replica) => Arc::into_inner(replica).map_or(Ok(()), Replica::close),
        }
    }

    /// Who may pull from it, and what they told.
    pub(super) fn peers(&self) -> &PeerBook {
        match self {
            Node::Center(center) => center.peers(),
            Node::Replica(replica) => replica.peers(),
        }
    }

    fn users(&self) -> usize {
        match self {
            Node::Center(center) => Arc::strong_count(center),
            Node::Replica(replica) => Arc::strong_count(replica),
        }
    }
}

fn decision(decided: Result<DecisionReport, ReplicaError>) -> Outcome {
    match decided {
        Err(ReplicaError::Guard(
            error @ (GuardError::NotHeld { .. } | GuardError::Newer { .. }),
        )) => Outcome::error(exit_code::USAGE, &error),
        Err(error) => Outcome::error(exit_code::FAILED, &error),
        Ok(report) => {
            let text = summary::decision(&report);
            Outcome::report(exit_code::DONE, &report, text)
        }
    }
}

fn past(error: &HistoryError) -> Outcome {
    let code = match error.is_usage() {
        true => exit_code::USAGE,
        false => exit_code::FAILED,
    };
    Outcome::error(code, error)
}

async fn blocking(work: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.unwrap_or_else(|error| Outcome::error(exit_code::FAILED, &error))
}

fn scan(center: &Center, asked: &Asked, monitor: &dyn Monitor) -> Outcome {
    match center.refresh(asked, monitor) {
        Err(error) => Outcome::error(exit_code::FAILED, &error),
        Ok(report) => {
            let code = match report.is_failure() {
                true => exit_code::FAILED,
                false => exit_code::DONE,
            };
            let text = summary::refresh(&report);
            Outcome::report(code, &report, text)
        }
    }
}

async fn sync(replica: &Replica, monitor: &dyn Monitor) -> Outcome {
    match replica.sync(monitor).await {
        Err(error @ ReplicaError::NoSource) => Outcome::error(exit_code::USAGE, &error),
        Err(error) => Outcome::error(exit_code::FAILED, &error),
        Ok(report) => {
            let code = match (report.roots_equal, report.left_out_total) {
                (false, _) => exit_code::DIFFER,
                _ if !report.held.is_empty() => exit_code::HELD,
                (true, 0) => exit_code::DONE,
                (true, _) => exit_code::FAILED,
            };
            let text = summary::sync(&report);
            Outcome::report(code, &report, text)
        }
    }
}

async fn view(replica: &Replica, options: &ViewOptions, monitor: &dyn Monitor) -> Outcome {
    match replica.view(options, monitor, std::future::pending()).await {
        Err(error) => Outcome::error(exit_code::FAILED, &error),
        Ok(()) => Outcome::report(exit_code::DONE, &Value::Null, String::new()),
    }
}

/// Nobody waits for a passphrase any more.
fn unlocked_before(replica: &Replica) -> Outcome {
    if replica.catalogue().seal().is_none() {
        return Outcome::error(exit_code::USAGE, &"the store is not sealed");
    }
    let report = serde_json::json!({ "unlocked": true });
    Outcome::report(exit_code::DONE, &report, "it is unlocked already".into())
}

fn change_passphrase(replica: &Replica, old: Secret, new: Secret) -> Outcome {
    if replica.catalogue().seal().is_none() {
        return Outcome::error(exit_code::USAGE, &"the store is not sealed");
    }
    let given = old
        .passphrase()
        .and_then(|old| Ok((old, new.passphrase()?)));
    let (old, new) = match given {
        Ok(given) => given,
        Err(error) => return Outcome::error(exit_code::USAGE, &error),
    };
    match replica.change_passphrase(&old, new) {
        Err(error) => Outcome::error(exit_code::FAILED, &error),
        Ok(()) => {
            let mut text = "the store has another passphrase now".to_string();
            if let Some(file) = &replica.config().passphrase_file {
                text += &format!("; write it to {}", file.display());
            }
            Outcome::report(
                exit_code::DONE,
                &serde_json::json!({ "changed": true }),
                text,
            )
        }
    }
}

fn audit(replica: &Replica, export: bool) -> Outcome {
    match replica.audit() {
        Err(error @ AuditError::Vault(_)) => Outcome::error(exit_code::FAILED, &error),
        Err(error) => Outcome::error(exit_code::DIFFER, &error),
        Ok((events, _)) if export => {
            let bundle = bundle(&events, &replica.id().to_string());
            let text = serde_json::to_string_pretty(&bundle).unwrap_or_default();
            Outcome::report(exit_code::DONE, &bundle, text)
        }
        Ok((_, head)) => {
            let digest = Digest(head.digest);
            let report = serde_json::json!({ "lines": head.lines, "head": digest.to_string() });
            let text = format!(
                "{} lines, all as they were written; head {digest}",
                head.lines
            );
            Outcome::report(exit_code::DONE, &report, text)
        }
    }
}

fn promoted(promoted: Result<PromoteReport, ReplicaError>) -> Outcome {
    match promoted {
        Err(error) => Outcome::error(exit_code::FAILED, &error),
        Ok(report) => {
            let text = summary::promote(&report);
            Outcome::report(exit_code::DONE, &report, text)
        }
    }
}

fn verified(verified: Result<VerifyReport, ReplicaError>) -> Outcome {
    match verified {
        Err(error) => Outcome::error(exit_code::FAILED, &error),
        Ok(report) => {
            let mended = report.repair.as_ref().map(|repair| repair.remaining_total);
            let code = match mended == Some(0) || report.is_equal() {
                true => exit_code::DONE,
                false => exit_code::DIFFER,
            };
            let text = summary::verify(&report);
            Outcome::report(code, &report, text)
        }
    }
}

/// A center's records are its storage: all contents are read again, and what
/// differs from the catalogue becomes a new snapshot and is reported.
fn verify_center(center: &Center, monitor: &dyn Monitor) -> Outcome {
    match center.refresh(&Look::Reread.into(), monitor) {
        Err(error) => Outcome::error(exit_code::FAILED, &error),
        Ok(report) => {
            let code = match (report.is_failure(), report.leaves_changed) {
                (true, _) => exit_code::FAILED,
                (false, 0) => exit_code::DONE,
                (false, _) => exit_code::DIFFER,
            };
            let text = summary::refresh(&report);
            Outcome::report(code, &report, text)
        }
    }
}
