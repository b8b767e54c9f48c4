//! Changes who may pull, in the configuration. A node that serves reads it
//! again by itself (`peers`).

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use hikae_protocol::snapshot::NodeId;
use serde::Serialize;

use super::command::{Outcome, exit_code};
use crate::config::{Config, ConfigError, FILE_NAME, with_peer, without_peer};
use crate::disk::{DiskError, errno, replace_file};

/// What is to be changed.
#[derive(Debug, Clone)]
pub enum PeerChange {
    /// Nothing.
    None,
    /// One more may pull.
    Add {
        /// For messages.
        name: String,
        /// Its node id.
        id: NodeId,
    },
    /// One may pull no more.
    Revoke {
        /// Its name or node id.
        who: String,
    },
}

#[derive(Debug, Serialize)]
struct ListedPeer {
    name: String,
    node_id: String,
    volumes: Vec<String>,
}

/// Changes who may pull from the home at `path`, and says who may then.
pub fn change(path: &Path, change: PeerChange) -> Outcome {
    let usage = |error: &dyn std::fmt::Display| Outcome::error(exit_code::USAGE, error);
    let file = path.join(FILE_NAME);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(source) => return usage(&ConfigError::Read { path: file, source }),
    };
    // A configuration that is none is not changed, nor is one made.
    if let Err(error) = Config::parse(path, &text) {
        return usage(&error);
    }
    let changed = match &change {
        PeerChange::None => Ok(text.clone()),
        PeerChange::Add { name, id } => with_peer(&text, name, id),
        PeerChange::Revoke { who } => without_peer(&text, who),
    };
    let changed = match changed {
        Ok(changed) => changed,
        Err(error) => return usage(&format!("{}: {error}", file.display())),
    };
    let config = match Config::parse(path, &changed) {
        Ok(config) => config,
        Err(error) => return usage(&error),
    };
    if changed != text
        && let Err(error) = replace(&file, &changed)
    {
        return Outcome::error(exit_code::FAILED, &error);
    }
    listed(config)
}

/// Replaces the configuration; mode and owner stay, for the service has to
/// read it whoever changed it.
fn replace(file: &Path, text: &str) -> Result<(), DiskError> {
    let wrong = |error: std::io::Error| DiskError::at("replace", file, errno(&error));
    let was = std::fs::metadata(file).map_err(wrong)?;
    replace_file(file, text.as_bytes())?;
    std::fs::set_permissions(file, was.permissions()).map_err(wrong)?;
    let now = std::fs::metadata(file).map_err(wrong)?;
    match (now.uid(), now.gid()) == (was.uid(), was.gid()) {
        true => Ok(()),
        false => chown(file, Some(was.uid()), Some(was.gid())).map_err(wrong),
    }
}

fn listed(config: Config) -> Outcome {
    let peers = config.peer.into_iter().map(|peer| ListedPeer {
        name: peer.name,
        node_id: peer.id.to_string(),
        volumes: peer.volumes,
    });
    let peers: Vec<ListedPeer> = peers.collect();
    let lines = peers
        .iter()
        .map(|peer| format!("{} {} {}", peer.node_id, peer.volumes.join(","), peer.name));
    let text = match peers.is_empty() {
        true => "nobody may pull from here".into(),
        false => lines.collect::<Vec<_>>().join("\n"),
    };
    Outcome {
        exit_code: exit_code::DONE,
        json: serde_json::json!({ "peers": peers }),
        text,
    }
}
