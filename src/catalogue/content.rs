//! Ranges of stored contents, for those that pull from a replica.

use std::ops::ControlFlow;

use super::leaf::ContentPlace;
use super::open::missing;
use super::{Catalogue, CatalogueError, RecordPlace};

/// Why a walk over the pieces of a content ended early.
enum Stop {
    Enough,
    Failed(CatalogueError),
}

impl From<CatalogueError> for Stop {
    fn from(error: CatalogueError) -> Stop {
        Stop::Failed(error)
    }
}

impl Catalogue {
    /// `length` bytes of a stored content from `offset` on.
    ///
    /// Errors: `CatalogueError`, also when the content is shorter.
    pub fn content_range(
        &self,
        place: ContentPlace,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, CatalogueError> {
        let length = length as usize;
        let mut skip = offset;
        let mut bytes: Vec<u8> = Vec::new();
        let mut take = |piece: &[u8]| {
            let from = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= from as u64;
            let piece = &piece[from..];
            bytes.extend_from_slice(&piece[..piece.len().min(length - bytes.len())]);
            match bytes.len() == length {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let read = self.content(place, |piece| match take(piece) {
            ControlFlow::Break(()) => Err(Stop::Enough),
            ControlFlow::Continue(()) => Ok(()),
        });
        match read {
            Err(Stop::Failed(error)) => Err(error),
            Ok(()) | Err(Stop::Enough) if bytes.len() == length => Ok(bytes),
            Ok(()) | Err(Stop::Enough) => Err(missing(RecordPlace { block: 0, index: 0 })),
        }
    }
}
