//! How things stand, for `status`.

use hikae_protocol::snapshot::{Cursor, Snapshot};
use serde::Serialize;

use super::center::{Center, RefreshReport};
use super::peers::{PeerBook, PeerState};
use super::replica::{HeldVolume, Replica, ScrubStatus, Sparse, SyncReport};
use crate::catalogue::{Catalogue, RebuildReport};
use crate::config::{Peer, Role};
use crate::transfer::LinkFigures;
use crate::walk::LeftOut;

/// A node's status.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub node_id: String,
    pub role: Role,
    pub snapshot: Option<SnapshotStatus>,
    /// What the tree shows; a replica's.
    pub published: Option<CursorStatus>,
    /// The tree shows the last commit.
    pub is_published: Option<bool>,
    pub peers: Vec<PeerStatus>,
    pub sources: Vec<SourceStatus>,
    /// What a sparse replica does not hold; none where everything is.
    pub sparse: Option<Sparse>,
    /// Volumes of which something is held by the guard.
    pub held: Vec<HeldVolume>,
    /// How far reading everything again is; of a replica that stays.
    pub scrub: Option<ScrubStatus>,
    pub left_out_total: u64,
    /// Those that somebody has to do something about.
    pub left_out_failures: u64,
    /// The first, failures before all others.
    pub left_out: Vec<LeftOut>,
    /// What failed at the last refresh.
    pub errors: Vec<String>,
    pub last_refresh: Option<RefreshReport>,
    pub last_sync: Option<SyncReport>,
    pub rebuilt: Option<RebuildReport>,
    pub store: String,
    pub store_bytes: u64,
    /// Bytes that are free on the store's file system.
    pub free_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct CursorStatus {
    pub epoch: u64,
    pub sequence: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct SnapshotStatus {
    pub epoch: u64,
    pub sequence: u64,
    pub root: String,
    pub leaves: u64,
    pub entries: u64,
    pub bytes: u64,
    /// The signer's clock, RFC 3339.
    pub signed_at: String,
    /// The node's own clock when it was committed, RFC 3339.
    pub accepted_at: String,
    /// Seconds since then.
    pub age_seconds: i64,
    pub signer: String,
}

#[derive(Debug, Serialize)]
pub(super) struct PeerStatus {
    pub name: String,
    pub node_id: String,
    /// What it last told to be durable there.
    pub durable: Option<CursorStatus>,
    pub published: Option<CursorStatus>,
    pub told_at: Option<String>,
    /// Commits that it is behind.
    pub behind: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct SourceStatus {
    pub node_id: String,
    /// As of the pull that goes on, or was the last.
    pub links: Vec<LinkFigures>,
}

impl From<Cursor> for CursorStatus {
    fn from(cursor: Cursor) -> CursorStatus {
        CursorStatus {
            epoch: cursor.epoch.counter,
            sequence: cursor.sequence,
        }
    }
}

/// RFC 3339.
pub(super) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

fn snapshot(catalogue: &Catalogue) -> Option<SnapshotStatus> {
    let commit = catalogue.commit_record()?;
    let Snapshot {
        cursor,
        root,
        leaves,
        entries,
        bytes,
        time_ms,
        ..
    } = commit.snapshot().ok()?;
    Some(SnapshotStatus {
        epoch: cursor.epoch.counter,
        sequence: cursor.sequence,
        root: root.to_string(),
        leaves,
        entries,
        bytes,
        signed_at: time(time_ms),
        accepted_at: time(commit.accepted_ms),
        age_seconds: (super::center::now_ms() - commit.accepted_ms) / 1000,
        signer: commit.signed.signer.to_string(),
    })
}

fn bytes_below(folder: &std::path::Path) -> u64 {
    let Ok(items) = std::fs::read_dir(folder) else {
        return 0;
    };
    items
        .flatten()
        .map(|item| match item.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&item.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

fn common(catalogue: &Catalogue, config: &crate::config::Config, node_id: String) -> Status {
    let free = rustix::fs::statvfs(&config.store).ok();
    Status {
        node_id,
        role: config.role,
        snapshot: snapshot(catalogue),
        published: None,
        is_published: None,
        peers: vec![],
        sources: vec![],
        sparse: None,
        held: vec![],
        scrub: None,
        left_out_total: 0,
        left_out_failures: 0,
        left_out: vec![],
        errors: vec![],
        last_refresh: None,
        last_sync: None,
        rebuilt: catalogue.rebuilt().cloned(),
        store: config.store.display().to_string(),
        store_bytes: bytes_below(&config.store),
        free_bytes: free.map(|free| free.f_bavail * free.f_frsize),
    }
}

/// Who may pull from a node, and how far they are.
fn peers(book: &PeerBook, catalogue: &Catalogue) -> Vec<PeerStatus> {
    let own = catalogue.snapshot().map(|snapshot| snapshot.cursor);
    let status = |(peer, state): (Peer, Option<PeerState>)| {
        let acknowledged = state.as_ref().and_then(|state| state.acknowledged.clone());
        let durable = acknowledged.as_ref().and_then(|told| told.durable);
        let same_epoch = own
            .zip(durable)
            .filter(|(own, durable)| own.epoch == durable.epoch);
        PeerStatus {
            name: peer.name,
            node_id: peer.id.to_string(),
            durable: durable.map(CursorStatus::from),
            published: acknowledged
                .and_then(|told| told.published)
                .map(CursorStatus::from),
            told_at: state.map(|state| time(state.at_ms)),
            behind: same_epoch.map(|(own, durable)| own.sequence.saturating_sub(durable.sequence)),
        }
    };
    book.all().into_iter().map(status).collect()
}

/// The status of a center.
pub(super) fn center(center: &Center) -> Status {
    let mut status = common(center.catalogue(), center.config(), center.id().to_string());
    status.peers = peers(center.peers(), center.catalogue());
    status.last_refresh = center.last_refresh();
    let left_out = center.left_out();
    status.left_out_total = left_out.total;
    status.left_out_failures = left_out.failures;
    status.left_out = left_out.named;
    status.errors = status
        .last_refresh
        .as_ref()
        .map(|last| last.errors.clone())
        .unwrap_or_default();
    status
}

/// The status of a replica.
pub(super) fn replica(replica: &Replica) -> Status {
    let catalogue = replica.catalogue();
    let mut status = common(catalogue, replica.config(), replica.id().to_string());
    match (replica.published(), replica.is_published()) {
        (Ok(mark), Ok(is_published)) => {
            status.is_published = is_published;
            status.published = mark.and_then(|mark| mark.cursor).map(CursorStatus::from);
        }
        (Err(error), _) | (_, Err(error)) => status.errors.push(error.to_string()),
    }
    let sources = replica.config().source.iter();
    status.sources = sources
        .map(|source| SourceStatus {
            node_id: source.id.to_string(),
            links: match replica.session(&source.id) {
                Some(session) => session.links,
                None => source.link.iter().map(LinkFigures::of).collect(),
            },
        })
        .collect();
    match replica.held() {
        Ok(held) => status.held = held,
        Err(error) => status.errors.push(error.to_string()),
    }
    match replica.sparse() {
        Ok(sparse) => status.sparse = sparse,
        Err(error) => status.errors.push(error.to_string()),
    }
    match replica.scrub_status() {
        Ok(scrub) => status.scrub = scrub,
        Err(error) => status.errors.push(error.to_string()),
    }
    match replica.left_out() {
        Ok((total, named)) => (status.left_out_total, status.left_out) = (total, named),
        Err(error) => status.errors.push(error.to_string()),
    }
    status.last_sync = replica.last_sync();
    status.peers = peers(replica.peers(), catalogue);
    status
}
