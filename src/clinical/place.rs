//! Places: where a record lies, which is what says whose it is.

use std::sync::Arc;

/// The place of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The facility that owns the volume.
    pub facility: Arc<str>,
    /// The volume's label.
    pub label: Arc<str>,
    /// The patient directory below the volume's root: `999/901/9999013`.
    pub directory: Arc<[u8]>,
    /// The file's path below that.
    pub object: Vec<u8>,
}

impl Place {
    /// A place by its four parts.
    pub fn new(facility: &str, label: &str, directory: &[u8], object: &[u8]) -> Self {
        Self {
            facility: facility.into(),
            label: label.into(),
            directory: directory.into(),
            object: object.into(),
        }
    }

    /// The patient's id: the last folder of the patient directory.
    pub fn patient(&self) -> &[u8] {
        self.directory
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default()
    }

    /// The file's own name.
    pub fn file_name(&self) -> &[u8] {
        self.object
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default()
    }
}
