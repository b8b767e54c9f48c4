//! What came of a pull: counts, and why it failed.

use hikae_protocol::exchange::ExchangeError;
use hikae_protocol::message::Refused;
use hikae_protocol::objectpath::PathText;
use serde::Serialize;

use super::link::LinkError;
use super::replica::ROUNDS_MAX;
use crate::catalogue::CatalogueError;

/// Why a pull failed. What was stored until then stays.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The link or the framing failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The peer broke the protocol or offered what is not believed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The peer sent what was not proven.
    #[error("the peer is at fault: {0}")]
    Fault(String),
    /// The peer refused.
    #[error("the source refused: {0}")]
    Refused(Refused),
    /// Our own store failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Neither the whole list nor a comparison of the trees adds up.
    #[error("the source's list of leaves does not add up to the root that was signed")]
    Root,
    /// The source changes faster than it is copied.
    #[error("the source kept changing for {ROUNDS_MAX} rounds")]
    Moving,
    /// The source does not give what is held, and it changed.
    #[error(
        "the source does not give volume {0}, which is held here and changed since; if it is to \
         go, leave it out of [filter] volumes"
    )]
    NotGiven(PathText),
    /// Another request of the pull failed, which is told instead.
    #[error("the pull is over")]
    Over,
    /// A task of ours failed.
    #[error("a task of ours failed: {0}")]
    Task(String),
}

/// What a pull did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PullReport {
    /// The tree changed.
    pub changed: bool,
    /// The source is behind this replica.
    pub stale: bool,
    /// Rounds, each against one snapshot.
    pub rounds: u64,
    /// Requests that waited for an answer, one after the other: proofs.
    pub proof_round_trips: u64,
    /// Requests for bundles and contents.
    pub requests: u64,
    /// Leaves that differed.
    pub leaves: u64,
    /// Leaves that were staged by an earlier, broken pull.
    pub leaves_resumed: u64,
    /// Leaves that changed at the source meanwhile.
    pub leaves_moved: u64,
    /// Leaves that went away.
    pub leaves_removed: u64,
    /// Files whose content came over the link.
    pub contents_received: u64,
    /// Bytes of those, before compression.
    pub content_bytes: u64,
    /// Files whose content was held already: renames and copies.
    pub contents_referenced: u64,
    /// Contents that were taken from a tree that lay there before.
    pub contents_adopted: u64,
}

/// Counts of one bundle.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) requests: u64,
    pub(super) moved: u64,
    pub(super) received: u64,
    pub(super) referenced: u64,
    pub(super) adopted: u64,
    pub(super) bytes: u64,
}

impl Done {
    pub(super) fn count_into(&self, report: &mut PullReport) {
        report.leaves_moved += self.moved;
        report.requests += self.requests;
        report.contents_received += self.received;
        report.content_bytes += self.bytes;
        report.contents_referenced += self.referenced;
        report.contents_adopted += self.adopted;
    }
}
