//! What a sync did, as it is reported.

use hikae_protocol::digest::Digest;
use serde::Serialize;

use super::{HeldVolume, Sparse};
use crate::publish::PublishReport;
use crate::replicate::center::digest_text;
use crate::transfer::{LinkFigures, LinkStats, PullReport};
use crate::walk::LeftOut;

/// What a sync did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SyncReport {
    /// The source's node id.
    pub source: String,
    /// What the pull did.
    pub pull: PullReport,
    /// What all links together moved.
    pub link: LinkStats,
    /// What each link did.
    pub links: Vec<LinkFigures>,
    /// Seconds for handshake, pull and commit.
    pub pull_seconds: f64,
    /// What the publication did; none without a tree.
    pub publish: Option<PublishReport>,
    /// The signer's sequence number that is durable now.
    pub sequence: u64,
    /// The root digest of the replica's own tree.
    #[serde(serialize_with = "digest_text")]
    pub root: Option<Digest>,
    /// The root equals the one that the source signed.
    pub roots_equal: bool,
    /// Leaves of the tree.
    pub leaves: u64,
    /// Entries of the tree.
    pub entries: u64,
    /// Bytes of the contents.
    pub bytes: u64,
    /// Contents of the snapshot that the source could not hand out.
    pub left_out_total: u64,
    /// The first of those, by name.
    pub left_out: Vec<LeftOut>,
    /// What is not held here by the filter; none where everything is.
    pub sparse: Option<Sparse>,
    /// Volumes of which something is held by the guard.
    pub held: Vec<HeldVolume>,
    /// Settings that this version does not act on, or that reach less far
    /// than one may think.
    pub notes: Vec<String>,
    /// Sources that could not be pulled from, though another one could.
    pub sources_failed: Vec<String>,
    /// How long it took, seconds.
    pub seconds: f64,
}

impl SyncReport {
    /// Of several sources, which one's report is told: something new before
    /// nothing new before something old.
    pub(super) fn worth(&self) -> u8 {
        match (self.pull.changed, self.pull.stale) {
            (true, _) => 2,
            (false, false) => 1,
            (false, true) => 0,
        }
    }
}
