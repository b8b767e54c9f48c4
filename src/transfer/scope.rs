//! What a peer is given: the volumes that its entry in the configuration names
//! and that this node holds itself. Of all others it is told what the root's
//! proof needs, SPEC.md section 7.12, and nothing else leaves this node.

use std::collections::HashMap;

use hikae_protocol::bare::{BareVolume, bare_digest};
use hikae_protocol::filter::any_matches;
use hikae_protocol::filter::are_patterns;
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::BARE_VOLUMES_MAX;
use hikae_protocol::message::{Pull, RefusedCode};
use hikae_protocol::objectpath::{LeafKey, volume_of};
use hikae_protocol::pack::PackBuilder;

use super::source::{AnswerError, NAMES_LEVEL, encoded, refused};
use crate::catalogue::{Catalogue, CatalogueError, View};

/// Volumes that a peer may have.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    granted: Vec<String>,
}

impl Scope {
    /// By patterns of "facility/label".
    pub(super) fn new(granted: &[String]) -> Scope {
        Scope {
            granted: granted.to_vec(),
        }
    }

    /// Whether a peer gets anything of a volume.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn gives(
        &self,
        catalogue: &Catalogue,
        volume: &[u8],
    ) -> Result<bool, CatalogueError> {
        Ok(any_matches(&self.granted, volume) && !catalogue.is_bare(volume)?)
    }

    /// Refuses what is asked of other volumes.
    ///
    /// Errors: `AnswerError::Refused`.
    pub(super) fn check<'a>(
        &self,
        catalogue: &Catalogue,
        paths: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), AnswerError> {
        for path in paths {
            if !self.gives(catalogue, volume_of(path))? {
                return Err(refused(
                    RefusedCode::Forbidden,
                    "a volume that this peer is not given",
                ));
            }
        }
        Ok(())
    }

    /// Whether the peer gets every volume of the tree.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn is_whole(
        &self,
        view: &View,
        catalogue: &Catalogue,
    ) -> Result<bool, CatalogueError> {
        for volume in view.volumes()? {
            if !self.gives(catalogue, volume.as_bytes())? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a pull is answered with: leaves of some volumes, and the others bare.
pub(super) struct Split<'a> {
    scope: &'a Scope,
    pull: &'a Pull,
    catalogue: &'a Catalogue,
    known: HashMap<Vec<u8>, bool>,
}

impl<'a> Split<'a> {
    /// By what the peer may have and what it wants.
    ///
    /// Errors: `AnswerError::Refused`.
    pub(super) fn new(
        scope: &'a Scope,
        pull: &'a Pull,
        catalogue: &'a Catalogue,
    ) -> Result<Split<'a>, AnswerError> {
        if !are_patterns(&pull.volumes) {
            return Err(refused(RefusedCode::Malformed, "too many patterns"));
        }
        Ok(Split {
            scope,
            pull,
            catalogue,
            known: HashMap::new(),
        })
    }

    /// Whether the leaves of a volume are listed.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn lists(&mut self, volume: &[u8]) -> Result<bool, CatalogueError> {
        if let Some(known) = self.known.get(volume) {
            return Ok(*known);
        }
        let wanted = &self.pull.volumes;
        let lists = (wanted.is_empty() || any_matches(wanted, volume))
            && self.scope.gives(self.catalogue, volume)?;
        self.known.insert(volume.to_vec(), lists);
        Ok(lists)
    }

    /// The frame of the volumes that are bare; none if there are none.
    ///
    /// Errors: `AnswerError`.
    pub(super) fn bare(&mut self, view: &View) -> Result<Option<Frame>, AnswerError> {
        let mut bare: Vec<BareVolume> = Vec::new();
        for volume in view.volumes()? {
            let volume: LeafKey = volume;
            if !self.lists(volume.as_bytes())? {
                bare.extend(view.volume_as_bare(&volume)?);
            }
        }
        let Some(digest) = bare_digest(&bare) else {
            return Ok(None);
        };
        if bare.len() > BARE_VOLUMES_MAX {
            return Err(refused(RefusedCode::Unavailable, "too many volumes"));
        }
        let mut pack = PackBuilder::default();
        if self.pull.bare != Some(digest) {
            for volume in &bare {
                pack.push(&encoded(volume)?);
            }
        }
        let pack = pack
            .finish(NAMES_LEVEL)
            .map_err(|error| refused(RefusedCode::Unavailable, error.to_string()))?;
        Ok(Some(Frame::pack(FrameKind::Bare, &pack)?))
    }
}
