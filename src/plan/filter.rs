//! What a replica keeps: volumes by name, contents by kind and date. Pure.

use std::sync::Arc;

use hikae_protocol::filter::{ContentFilter, any_matches};
use hikae_protocol::objectpath::ObjectPath;

/// What a replica keeps; the default keeps everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Patterns of volumes; none: every volume.
    pub volumes: Vec<String>,
    /// Which contents; none: all of them.
    pub contents: Option<Arc<ContentFilter>>,
}

impl Filter {
    /// Whether a volume (`facility/label`) is kept.
    pub fn keeps_volume(&self, volume: &[u8]) -> bool {
        self.volumes.is_empty() || any_matches(&self.volumes, volume)
    }

    /// Whether the content of a file of a leaf is kept.
    pub fn keeps(&self, path: &ObjectPath) -> bool {
        self.contents
            .as_ref()
            .is_none_or(|contents| contents.keeps(path))
    }

    /// Whether nothing is left out.
    pub fn is_whole(&self) -> bool {
        self.volumes.is_empty() && self.contents.is_none()
    }
}
