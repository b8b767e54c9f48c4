//! Adopting a tree that lies there before the first copy, brought by rsync or
//! by a store that was lost: contents that it has do not come over a link.
//!
//! Nothing of it is believed: what is taken has the digest of a proven entry.
//! Names play no part, so a file is found under an older name, too. Nothing in
//! the tree is changed here.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use hikae_protocol::chunk::{Chunk, first_cut};
use hikae_protocol::digest::Digest;
use hikae_protocol::entry::Entry;
use hikae_protocol::limits::{BUNDLE_BYTES, CHUNK_BYTES_MAX, LARGE_BYTES_MIN};
use hikae_protocol::list::page_hint;
use hikae_protocol::message::{DeltaEntry, PageHint};
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use hikae_protocol::pack::PackBuilder;

use super::incoming::Incoming;
use super::report::PullError;
use super::source::CONTENTS_LEVEL;
use crate::catalogue::{
    Catalogue, CatalogueError, ChunkPages, ChunkRecord, ContentPlace, LeafRecord, RecordPlace,
};
use crate::disk::{Directory, join};
use crate::walk::look_at;

/// A tree whose contents may be taken.
pub(super) struct Adoptable {
    root: Directory,
}

/// Files of a leaf of such a tree, by digest.
#[derive(Default)]
pub(super) struct AdoptableFiles(HashMap<Digest, ObjectPath>);

impl Adoptable {
    /// The tree at `path`, if a copy begins and something lies there.
    pub(super) fn open(catalogue: &Catalogue, path: &Path) -> Option<Adoptable> {
        if catalogue.snapshot().is_some() {
            return None;
        }
        let root = Directory::open_root(path).ok()?;
        let is_empty = root.list().ok()?.is_empty();
        (!is_empty).then_some(Adoptable { root })
    }

    /// Reads every file of a leaf.
    pub(super) fn files_of(&self, key: &LeafKey) -> AdoptableFiles {
        let Ok(directory) = self.root.open_listed(key.as_bytes()) else {
            return AdoptableFiles::default();
        };
        let nothing = LeafRecord::empty(key.clone());
        let look = look_at(&nothing, b"", Some(&directory), true, &mut Vec::new());
        let files = look.added.into_iter();
        AdoptableFiles(
            files
                .map(|file| (file.entry.digest, file.entry.path))
                .collect(),
        )
    }

    /// Takes what the leaves lack and the tree has; says how many contents.
    ///
    /// Errors: `PullError::Catalogue`. What can't be read is left to the link.
    pub(super) fn take(
        &self,
        catalogue: &Catalogue,
        leaves: &mut [Incoming],
    ) -> Result<u64, PullError> {
        let mut adopted = 0;
        let mut pack = PackBuilder::default();
        let mut packed: Vec<(usize, Digest, u32)> = Vec::new();
        for at in 0..leaves.len() {
            let Some(leaf) = leaves.get_mut(at) else {
                break;
            };
            for DeltaEntry { entry, .. } in leaf.lacking() {
                let Some(path) = leaf.adoptable.0.get(&entry.digest) else {
                    continue;
                };
                let path = join(leaf.wanted.key.as_bytes(), path.as_bytes());
                if entry.size >= LARGE_BYTES_MIN {
                    if let Some(place) = self.large(catalogue, &path, &entry)? {
                        leaf.stored(entry.digest, place);
                        adopted += 1;
                    }
                } else if let Some(content) = self.small(&path, &entry) {
                    adopted += 1;
                    packed.push((at, entry.digest, pack.push(&content)));
                }
            }
            if pack.raw_bytes() >= BUNDLE_BYTES {
                store(catalogue, &mut pack, &mut packed, leaves)?;
            }
        }
        store(catalogue, &mut pack, &mut packed, leaves)?;
        Ok(adopted)
    }

    /// A small content, if the file still has it.
    fn small(&self, path: &[u8], entry: &Entry) -> Option<Vec<u8>> {
        let file = self.root.open_file(path).ok()?;
        let mut content = Vec::with_capacity(entry.size as usize);
        file.take(entry.size + 1).read_to_end(&mut content).ok()?;
        (Digest::of_content(&content) == entry.digest).then_some(content)
    }

    /// A large content, stored chunk by chunk, if the file still has it.
    fn large(
        &self,
        catalogue: &Catalogue,
        path: &[u8],
        entry: &Entry,
    ) -> Result<Option<ContentPlace>, PullError> {
        let Ok(mut file) = self.root.open_file(path) else {
            return Ok(None);
        };
        let mut hasher = blake3::Hasher::new();
        let mut chunks: Vec<ChunkRecord> = Vec::new();
        let mut pack = Chunked::default();
        let mut window: Vec<u8> = Vec::new();
        let mut left = entry.size;
        while left > 0 || !window.is_empty() {
            let more = (CHUNK_BYTES_MAX as u64).min(left);
            let read = file.by_ref().take(more).read_to_end(&mut window);
            if read.ok().map(|read| read as u64) != Some(more) {
                return Ok(None);
            }
            left -= more;
            while window.len() >= CHUNK_BYTES_MAX || left == 0 && !window.is_empty() {
                let rest = window.split_off(first_cut(&window));
                let bytes = std::mem::replace(&mut window, rest);
                hasher.update(&bytes);
                pack.push(&bytes);
                if pack.pack.raw_bytes() >= BUNDLE_BYTES {
                    chunks.append(&mut pack.store(catalogue)?);
                }
            }
        }
        chunks.append(&mut pack.store(catalogue)?);
        if Digest::from(hasher) != entry.digest {
            return Ok(None);
        }
        let mut pages = ChunkPages::default();
        let lists = catalogue.append_chunk_lists(&[&chunks], &mut pages)?;
        let place = lists.first();
        Ok(place.map(|&RecordPlace { block, index }| ContentPlace::Chunks { block, index }))
    }
}

/// Chunks that wait to be stored together.
#[derive(Default)]
struct Chunked {
    pack: PackBuilder,
    chunks: Vec<(Chunk, u32)>,
}

impl Chunked {
    fn push(&mut self, bytes: &[u8]) {
        let chunk = Chunk {
            digest: Digest::of_content(bytes),
            bytes: bytes.len() as u32,
        };
        self.chunks.push((chunk, self.pack.push(bytes)));
    }

    fn store(&mut self, catalogue: &Catalogue) -> Result<Vec<ChunkRecord>, PullError> {
        if self.chunks.is_empty() {
            return Ok(vec![]);
        }
        let pack = std::mem::take(&mut self.pack).finish(CONTENTS_LEVEL);
        let block = catalogue.append_contents(&pack.map_err(CatalogueError::Pack)?)?;
        let chunks = self.chunks.drain(..).map(|(chunk, index)| ChunkRecord {
            chunk,
            place: RecordPlace { block, index },
        });
        Ok(chunks.collect())
    }
}

impl AdoptableFiles {
    /// Contents that need not come along.
    pub(super) fn hints(&self) -> impl Iterator<Item = PageHint> {
        self.0.keys().map(page_hint)
    }
}

fn store(
    catalogue: &Catalogue,
    pack: &mut PackBuilder,
    packed: &mut Vec<(usize, Digest, u32)>,
    leaves: &mut [Incoming],
) -> Result<(), PullError> {
    if packed.is_empty() {
        return Ok(());
    }
    let pack = std::mem::take(pack).finish(CONTENTS_LEVEL);
    let block = catalogue.append_contents(&pack.map_err(CatalogueError::Pack)?)?;
    for (at, digest, index) in packed.drain(..) {
        if let Some(leaf) = leaves.get_mut(at) {
            leaf.stored(digest, ContentPlace::Item { block, index });
        }
    }
    Ok(())
}
