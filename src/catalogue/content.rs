//! Ranges of stored contents, for those that pull from a replica.

use super::chunks::each_chunk;
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
        let mut bytes: Vec<u8> = Vec::new();
        let mut take = |at: u64, piece: &[u8]| {
            let from = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
            let piece = piece.get(from..).unwrap_or_default();
            bytes.extend_from_slice(&piece[..piece.len().min(length - bytes.len())]);
            match bytes.len() == length {
                true => Err(Stop::Enough),
                false => Ok(()),
            }
        };
        let mut at = 0;
        let read = match place.chunks() {
            None => self.content(place, |piece| {
                let begin = at;
                at += piece.len() as u64;
                take(begin, piece)
            }),
            Some(list) => each_chunk(
                self,
                list,
                |_| (),
                |chunk| {
                    let begin = at;
                    at += u64::from(chunk.chunk.bytes);
                    // Chunks before the range are not read.
                    match at <= offset {
                        true => take(begin, &[]),
                        false => self.chunk(chunk, |piece| take(begin, piece)),
                    }
                },
            ),
        };
        match read {
            Err(Stop::Failed(error)) => Err(error),
            Ok(()) | Err(Stop::Enough) if bytes.len() == length => Ok(bytes),
            Ok(()) | Err(Stop::Enough) => Err(missing(RecordPlace { block: 0, index: 0 })),
        }
    }
}
