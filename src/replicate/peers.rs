//! Who may pull here, as the configuration says at this moment, and what each
//! of them told. The same at a center and at a replica that serves.
//!
//! Whoever the file no longer names may not pull any more: the file is read
//! again while the node serves, and the transfer cuts live connections off.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hikae_protocol::message::Acknowledge;
use hikae_protocol::snapshot::NodeId;

use super::center::now_ms;
use crate::config::{Config, ConfigError, Peer};

/// What a peer told, for the status.
#[derive(Debug, Clone, Default)]
pub(super) struct PeerState {
    /// What it last acknowledged.
    pub acknowledged: Option<Acknowledge>,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
}

#[derive(Debug)]
struct Known {
    peers: Vec<Peer>,
    told: BTreeMap<NodeId, PeerState>,
}

/// The peers of a node.
#[derive(Debug)]
pub(super) struct PeerBook {
    home: PathBuf,
    known: Mutex<Known>,
}

impl PeerBook {
    /// The peers that the configuration of a home names.
    pub(super) fn new(config: &Config) -> PeerBook {
        PeerBook {
            home: config.home.clone(),
            known: Mutex::new(Known {
                peers: config.peer.clone(),
                told: BTreeMap::new(),
            }),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer with this key, if it may pull.
    pub(super) fn peer(&self, id: &NodeId) -> Option<Peer> {
        let known = self.known();
        known.peers.iter().find(|peer| peer.id == *id).cloned()
    }

    /// Every peer that may pull, with what it told.
    pub(super) fn all(&self) -> Vec<(Peer, Option<PeerState>)> {
        let known = self.known();
        let peers = known.peers.iter();
        peers
            .map(|peer| (peer.clone(), known.told.get(&peer.id).cloned()))
            .collect()
    }

    /// A peer told how far it is.
    pub(super) fn acknowledged(&self, id: &NodeId, acknowledge: Acknowledge) {
        let state = PeerState {
            acknowledged: Some(acknowledge),
            at_ms: now_ms(),
        };
        self.known().told.insert(*id, state);
    }

    /// Reads the peers of the configuration again.
    ///
    /// Errors: `ConfigError`; who may pull then stays as it was.
    pub(super) fn reload(&self) -> Result<(), ConfigError> {
        let peers = Config::load(&self.home)?.peer;
        let mut known = self.known();
        for gone in &known.peers {
            if peers.iter().all(|peer| peer.id != gone.id) {
                tracing::info!(peer = %gone.name, id = %gone.id, "may not pull any more");
            }
        }
        known.peers = peers;
        Ok(())
    }

    /// The folder of the configuration.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }
}
