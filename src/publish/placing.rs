//! Contents on their way from the store to the staging folder: by the blocks
//! that hold them, so that each block is read and decoded once for all files
//! that are written together, whatever days brought them.

use std::fs::File;
use std::io::{Seek, Write};

use hikae_protocol::entry::Entry;
use hikae_protocol::limits::CHUNK_BYTES_MIN;
use rayon::prelude::*;
use rustix::io::Errno;

use super::PublishError;
use super::staging::{Staged, Staging, set_mtime};
use crate::catalogue::{Catalogue, CatalogueError, ContentPlace};

/// A file that is to be written.
pub(super) struct Placement {
    /// The plan that it is of.
    pub plan: usize,
    pub entry: Entry,
    pub place: ContentPlace,
    pub staged: Staged,
}

/// A file whose content could not be read.
pub(super) struct Lost {
    /// The plan that it is of.
    pub plan: usize,
    pub entry: Entry,
    pub error: CatalogueError,
}

/// Writes files.
pub(super) struct Placing<'a> {
    pub catalogue: &'a Catalogue,
    pub staging: &'a Staging,
    /// Each is synced.
    pub sync: bool,
    /// What can't be read is left away.
    pub is_lenient: bool,
}

impl Placing<'_> {
    /// Writes all files; gives those that could not be read.
    ///
    /// Errors: `PublishError`.
    pub(super) fn place(&self, mut all: Vec<Placement>) -> Result<Vec<Lost>, PublishError> {
        all.par_sort_unstable_by_key(|placement| order(placement.place));
        let lost: Result<Vec<Vec<Lost>>, PublishError> = all
            .par_chunk_by(|one, two| {
                block(one.place).is_some_and(|at| block(two.place) == Some(at))
            })
            .map(|of_block| self.place_some(of_block))
            .collect();
        Ok(lost?.into_iter().flatten().collect())
    }

    /// Files of one block, or a single one.
    fn place_some(&self, placements: &[Placement]) -> Result<Vec<Lost>, PublishError> {
        let Some(block) = placements.first().and_then(|first| block(first.place)) else {
            return self.place_each(placements, |placement, file| {
                self.catalogue.content(placement.place, |piece| file(piece))
            });
        };
        let items = self.catalogue.items(block);
        self.place_each(placements, |placement, file| {
            let content = match (placement.place, &items) {
                (ContentPlace::Item { index, .. }, Ok(items)) => items.get(index),
                _ => None,
            };
            match content {
                Some(content) => file(content),
                // Asked for once more, for its error.
                None => self.catalogue.content(placement.place, |piece| file(piece)),
            }
        })
    }

    fn place_each(
        &self,
        placements: &[Placement],
        write: impl Fn(
            &Placement,
            &mut dyn FnMut(&[u8]) -> Result<(), PublishError>,
        ) -> Result<(), PublishError>,
    ) -> Result<Vec<Lost>, PublishError> {
        let mut all_lost = Vec::new();
        for placement in placements {
            let (folder, name) = (
                self.staging.folder(&placement.staged),
                &placement.staged.name[..],
            );
            let mut file = folder.create_file(name)?;
            let wrong = |errno| PublishError::Disk(folder.error("write", name, errno));
            let from_io =
                |error: std::io::Error| wrong(Errno::from_io_error(&error).unwrap_or(Errno::IO));
            let mut holes = false;
            let mut put = |piece: &[u8]| {
                holes = is_hole(piece);
                match holes {
                    true => file.seek_relative(piece.len() as i64).map_err(from_io),
                    false => file.write_all(piece).map_err(from_io),
                }
            };
            match write(placement, &mut put) {
                Err(PublishError::Catalogue(error)) if self.is_lenient => {
                    folder.remove_file(name)?;
                    all_lost.push(Lost {
                        plan: placement.plan,
                        entry: placement.entry.clone(),
                        error,
                    });
                    continue;
                }
                done => done?,
            }
            if holes {
                // The last bytes were passed over, not written.
                file.set_len(placement.entry.size).map_err(from_io)?;
            }
            set_mtime(&file, placement.entry.mtime_ns).map_err(wrong)?;
            if self.sync {
                File::sync_all(&file).map_err(from_io)?;
            }
        }
        Ok(all_lost)
    }
}

/// Whether bytes are left out of a file, where they read as zeros: a large
/// file that has holes at the source has them in the tree.
fn is_hole(piece: &[u8]) -> bool {
    piece.len() >= CHUNK_BYTES_MIN && piece.iter().all(|&byte| byte == 0)
}

/// The block of a content that lies in one.
fn block(place: ContentPlace) -> Option<u64> {
    match place {
        ContentPlace::Item { block, .. } => Some(block),
        _ => None,
    }
}

/// Contents in the order in which they lie; those of several blocks at the end.
fn order(place: ContentPlace) -> (u64, u32) {
    match place {
        ContentPlace::Item { block, index } | ContentPlace::Chunks { block, index } => {
            (block, index)
        }
        ContentPlace::Storage
        | ContentPlace::Lacking
        | ContentPlace::Partial { .. }
        | ContentPlace::NotHeld => (u64::MAX, 0),
    }
}
