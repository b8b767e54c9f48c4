//! Moves snapshots, proofs and bundles between nodes over QUIC; SPEC.md is
//! its law.
//!
//! `source` answers, `replica` asks; both speak through `link`, which knows
//! quinn. A replica asks a session, `links`: any link may answer, and which is
//! asked is the `scheduler`'s to say. What is asked for in which bundle is
//! `plan`'s to decide.

mod adopt;
mod chunks;
mod compare;
mod contents;
mod handout;
mod incoming;
mod link;
mod links;
mod lists;
mod meter;
mod proof;
mod replica;
mod report;
mod route;
mod scheduler;
mod scope;
mod source;
mod tls;
mod wanted;
mod wide;

pub use link::{LinkError, LinkStats, Listener, SocketBuffers, listen};
pub use links::{LinkFigures, Links, SessionFigures, Watch};
pub use proof::{BareChange, Proven};
pub use replica::{acknowledge, pull};
pub use report::{PullError, PullReport};
pub use source::serve;

use hikae_protocol::message::Acknowledge;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::{NodeId, SignedSnapshot};

use crate::catalogue::{Catalogue, FileRecord};
use crate::config::Peer;

/// Why a content can't be handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The file is no longer what the catalogue says.
    #[error("the file changed or is gone")]
    Moved,
    /// It can't be read.
    #[error("{0}")]
    Unavailable(String),
}

/// What a serving node has to offer. Blocking; called on blocking threads.
pub trait Holdings: Send + Sync + 'static {
    /// Brings the catalogue up to date with a call that begins after this.
    fn refresh(&self);

    /// The catalogue.
    fn catalogue(&self) -> &Catalogue;

    /// Bytes of a file's content; the whole is checked against its digest.
    ///
    /// Errors: `ContentError`.
    fn content(
        &self,
        key: &LeafKey,
        file: &FileRecord,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, ContentError>;

    /// The peer with this key, if it may pull.
    fn peer(&self, id: &NodeId) -> Option<Peer>;

    /// A peer showed a snapshot that it holds, beyond the one offered. Not yet
    /// verified.
    fn beyond(&self, id: &NodeId, held: SignedSnapshot);

    /// A peer told how far it is.
    fn acknowledged(&self, id: &NodeId, acknowledge: Acknowledge);
}
