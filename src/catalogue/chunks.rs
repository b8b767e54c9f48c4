//! Lists of chunks: how a large content rests, SPEC.md section 9.3.
//!
//! A list is written as those of a leaf record are, in pages where it is long;
//! a page that an earlier list has is not written again. So a content that
//! changed in one place costs the chunks around it and a page.

use hikae_protocol::chunk::Chunk;
use hikae_protocol::message::decode;
use hikae_protocol::pack::PackBuilder;
use serde::{Deserialize, Serialize};

use super::CatalogueError;
use super::item::{KnownPages, List, ListRef, Named, PageRef, encode, write_list};
use super::leaf::{ContentPlace, RecordPlace};
use super::open::{Catalogue, RECORDS_LEVEL, missing};
use super::records::Blocks;
use super::replay::wrong;

/// A chunk that rests in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRecord {
    /// What it is.
    pub chunk: Chunk,
    /// The item that it is.
    pub place: RecordPlace,
}

impl Named for ChunkRecord {
    fn name(&self) -> &[u8] {
        self.chunk.digest.as_bytes()
    }
}

/// Pages of lists that were read or written: they are not written again.
#[derive(Debug, Default)]
pub struct ChunkPages(KnownPages);

/// The list at `place`; its pages are shown to `page`.
///
/// Errors: `CatalogueError`.
pub(super) fn each_chunk<E: From<CatalogueError>>(
    blocks: &impl Blocks,
    place: RecordPlace,
    mut page: impl FnMut(&PageRef),
    mut each: impl FnMut(&ChunkRecord) -> Result<(), E>,
) -> Result<(), E> {
    let items = blocks.items_of(place.block)?;
    let item = items.get(place.index).ok_or(missing(place))?;
    let list: List<ChunkRecord> =
        decode(item).map_err(|source| wrong(place.block, place.index, "list of chunks", source))?;
    let pages = match list {
        List::Here(chunks) => return chunks.iter().try_for_each(each),
        List::Paged(list) => blocks.lowest_pages(list, &mut page)?,
    };
    for page in pages {
        let chunks: Vec<ChunkRecord> = blocks.page(&page)?;
        chunks.iter().try_for_each(&mut each)?;
    }
    Ok(())
}

impl Catalogue {
    /// The chunks of a content, or of what came of one; none of one that does
    /// not rest in chunks.
    ///
    /// Errors: `CatalogueError`.
    pub fn chunks(
        &self,
        place: ContentPlace,
        pages: &mut ChunkPages,
    ) -> Result<Vec<ChunkRecord>, CatalogueError> {
        let Some(place) = place.chunks() else {
            return Ok(vec![]);
        };
        let mut chunks = Vec::new();
        let known = |page: &PageRef| {
            pages.0.insert(page.digest, page.place);
        };
        each_chunk(self, place, known, |chunk| {
            chunks.push(*chunk);
            Ok::<(), CatalogueError>(())
        })?;
        Ok(chunks)
    }

    /// Hands the bytes of a chunk to `each`.
    ///
    /// Errors: `CatalogueError`, and whatever `each` returns.
    pub fn chunk<E: From<CatalogueError>>(
        &self,
        chunk: &ChunkRecord,
        each: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let items = self.items(chunk.place.block)?;
        let bytes = items.get(chunk.place.index);
        let bytes = bytes.filter(|bytes| bytes.len() == chunk.chunk.bytes as usize);
        each(bytes.ok_or(missing(chunk.place))?)
    }

    /// Appends lists of chunks, and says where each lies.
    ///
    /// Errors: `CatalogueError`.
    pub fn append_chunk_lists(
        &self,
        lists: &[&[ChunkRecord]],
        pages: &mut ChunkPages,
    ) -> Result<Vec<RecordPlace>, CatalogueError> {
        let mut pack = PackBuilder::default();
        let mut places = Vec::with_capacity(lists.len());
        for list in lists {
            let written: ListRef<'_, ChunkRecord> = write_list(list, |bytes| {
                let refs = self.append_pages(bytes, Some(&pages.0))?;
                let places = refs.iter().map(|page| (page.digest, page.place));
                pages.0.extend(places);
                Ok(refs)
            })?;
            let item = encode(&written)?;
            if !pack.has_room(item.len()) {
                self.append_lists(std::mem::take(&mut pack), &mut places)?;
            }
            let index = pack.push(&item);
            places.push(RecordPlace { block: 0, index });
        }
        self.append_lists(pack, &mut places)?;
        Ok(places)
    }

    fn append_lists(
        &self,
        pack: PackBuilder,
        places: &mut [RecordPlace],
    ) -> Result<(), CatalogueError> {
        if pack.is_empty() {
            return Ok(());
        }
        let pack = pack.finish(RECORDS_LEVEL).map_err(CatalogueError::Pack)?;
        let block = self.append_contents(&pack)?;
        // Those of blocks that were written before have theirs.
        for place in places.iter_mut().filter(|place| place.block == 0) {
            place.block = block;
        }
        Ok(())
    }
}
