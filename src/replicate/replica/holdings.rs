//! What a replica hands on: the signer's own snapshots, with the signer's
//! epoch and sequence numbers, and contents from the store.
//!
//! It hands on what it committed, never what is staged, and nothing that it
//! does not hold: a content that it lacks is lacking to who pulls from it.

use hikae_protocol::digest::Digest;
use hikae_protocol::message::Acknowledge;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::{NodeId, SignedSnapshot};

use super::Replica;
use crate::catalogue::{Catalogue, CatalogueError, FileRecord};
use crate::config::Peer;
use crate::transfer::{ContentError, Holdings};

impl Holdings for Replica {
    /// A replica has what it has: its own syncs bring it further.
    fn refresh(&self) {}

    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn content(
        &self,
        _key: &LeafKey,
        file: &FileRecord,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, ContentError> {
        if !file.content.is_held() {
            return Err(ContentError::Unavailable("it is lacking here, too".into()));
        }
        let bytes = self.catalogue.content_range(file.content, offset, length);
        let bytes =
            bytes.map_err(|error: CatalogueError| ContentError::Unavailable(error.to_string()))?;
        let whole = offset == 0 && u64::from(length) == file.entry.size;
        match whole && Digest::of_content(&bytes) != file.entry.digest {
            true => Err(ContentError::Unavailable(
                "the store has another one".into(),
            )),
            false => Ok(bytes),
        }
    }

    fn peer(&self, id: &NodeId) -> Option<Peer> {
        self.peers.peer(id)
    }

    /// Only the signer can begin another epoch.
    fn beyond(&self, id: &NodeId, _held: SignedSnapshot) {
        tracing::warn!(peer = %id, "shows a later snapshot, but only its signer can act on that");
    }

    fn acknowledged(&self, id: &NodeId, acknowledge: Acknowledge) {
        self.peers.acknowledged(id, acknowledge);
    }
}
