//! Leaf records in the segments: written in pages that are shared with the
//! record before, read whole.

use std::collections::HashMap;
use std::sync::Arc;

use hikae_protocol::message::{Tombstone, decode};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::{Items, PackBuilder};
use serde::de::DeserializeOwned;

use super::CatalogueError;
use super::item::{
    KnownPages, LIST_LEVEL_MAX, LeafItem, LeafItemRef, LeafSummary, List, PageList, PageRef,
    Unstage, encode, page_digest, page_items, write_list,
};
use super::leaf::{FileRecord, LeafRecord, RecordPlace};
use super::open::{Catalogue, RECORDS_LEVEL, missing};
use super::replay::wrong;
use super::value::LeafValue;
use crate::segment::{BlockKind, BlockPlace, SegmentReader};

/// Bytes of leaf records, or of pages, that share a block, before compression.
const RECORDS_BLOCK_BYTES: usize = 32 * 1024;
/// Keys in one block of dropped leaves: they fit whatever their length.
const UNSTAGE_KEYS_MAX: usize = 512;

/// Who has blocks reads records from them.
pub(super) trait Blocks {
    /// The items of a block.
    ///
    /// Errors: `CatalogueError`.
    fn items_of(&self, block: u64) -> Result<Arc<Items>, CatalogueError>;

    /// The record at `place`.
    ///
    /// Errors: `CatalogueError`.
    fn record_at(&self, place: RecordPlace) -> Result<LeafRecord, CatalogueError> {
        let LeafItem {
            summary,
            previous,
            forgotten,
            files,
            tombstones,
            standins,
        } = self.leaf_item(place)?;
        Ok(LeafRecord {
            bare: summary.bare_volume(),
            key: summary.key,
            sequence: summary.sequence,
            commit: summary.commit,
            previous,
            files: self.list::<FileRecord>(files)?,
            tombstones: self.list::<Tombstone>(tombstones)?,
            forgotten,
            standins: self.list::<FileRecord>(standins)?,
        })
    }

    fn leaf_item(&self, place: RecordPlace) -> Result<LeafItem, CatalogueError> {
        let items = self.items_of(place.block)?;
        let bytes = items.get(place.index).ok_or(missing(place))?;
        decode(bytes).map_err(|source| wrong(place.block, place.index, "leaf record", source))
    }

    fn list<T: DeserializeOwned>(&self, list: List<T>) -> Result<Vec<T>, CatalogueError> {
        let list = match list {
            List::Here(items) => return Ok(items),
            List::Paged(list) => list,
        };
        let mut items = Vec::new();
        for page in self.lowest_pages(list, |_| ())? {
            items.append(&mut self.page(&page)?);
        }
        Ok(items)
    }

    /// The pages that hold a list's items; every page is shown to `each`.
    fn lowest_pages(
        &self,
        list: PageList,
        mut each: impl FnMut(&PageRef),
    ) -> Result<Vec<PageRef>, CatalogueError> {
        let PageList { level, mut pages } = list;
        pages.iter().for_each(&mut each);
        for _ in 0..level.min(LIST_LEVEL_MAX) {
            let mut below = Vec::new();
            for page in &pages {
                below.append(&mut self.page(page)?);
            }
            pages = below;
            pages.iter().for_each(&mut each);
        }
        Ok(pages)
    }

    fn page<T: DeserializeOwned>(&self, page: &PageRef) -> Result<Vec<T>, CatalogueError> {
        let place = page.place;
        let items = self.items_of(place.block)?;
        let bytes = items.get(place.index).ok_or(missing(place))?;
        if page_digest(bytes) != page.digest {
            return Err(missing(place));
        }
        page_items(bytes).map_err(|source| wrong(place.block, place.index, "page", source))
    }
}

impl Blocks for Catalogue {
    fn items_of(&self, block: u64) -> Result<Arc<Items>, CatalogueError> {
        self.items(block)
    }
}

/// Blocks of segments, without an index.
pub(super) struct SegmentBlocks<'a> {
    pub reader: SegmentReader,
    pub places: &'a HashMap<u64, BlockPlace>,
}

impl Blocks for SegmentBlocks<'_> {
    fn items_of(&self, block: u64) -> Result<Arc<Items>, CatalogueError> {
        let place = self.places.get(&block).copied();
        let place = place.ok_or(missing(RecordPlace { block, index: 0 }))?;
        Ok(self.reader.items(block, place)?)
    }
}

impl Catalogue {
    /// The record at `place`.
    ///
    /// Errors: `CatalogueError`.
    pub fn record(&self, place: RecordPlace) -> Result<LeafRecord, CatalogueError> {
        self.record_at(place)
    }

    /// Every page of the record at `place`.
    pub(super) fn pages_of(&self, place: RecordPlace) -> Result<KnownPages, CatalogueError> {
        let item = self.leaf_item(place)?;
        let mut known = KnownPages::new();
        let files = [item.files, item.standins].into_iter().map(List::paged);
        for list in files.chain([item.tombstones.paged()]).flatten() {
            self.lowest_pages(list, |page| {
                known.insert(page.digest, page.place);
            })?;
        }
        Ok(known)
    }

    /// Appends leaf records; the next commit makes them the tree.
    ///
    /// Errors: `CatalogueError`.
    pub fn stage(&self, records: Vec<LeafRecord>) -> Result<(), CatalogueError> {
        let commit = self.next_commit();
        let mut pack = PackBuilder::default();
        let mut waiting = Vec::new();
        for mut record in records {
            record.commit = commit;
            record.previous = self.leaf(&record.key)?.map(|value| value.place);
            let mut summary = LeafSummary::of(&record);
            record.commit = self.since(&record.key, summary.digest, commit);
            summary.commit = record.commit;
            let item = self.item(&record, &summary)?;
            if !pack.is_empty() && pack.raw_bytes() + item.len() > RECORDS_BLOCK_BYTES {
                self.append_leaves(std::mem::take(&mut pack), &mut waiting)?;
            }
            let index = pack.push(&item);
            waiting.push((summary, index));
        }
        self.append_leaves(pack, &mut waiting)
    }

    /// The bytes of a record; pages that no earlier record of the leaf has are
    /// appended.
    fn item(&self, record: &LeafRecord, summary: &LeafSummary) -> Result<Vec<u8>, CatalogueError> {
        let mut known: Option<KnownPages> = None;
        let mut append = |pages: &[Vec<u8>]| {
            if known.is_none() {
                known = Some(self.earlier_pages(&record.key)?);
            }
            self.append_pages(pages, known.as_ref())
        };
        let item = LeafItemRef {
            summary,
            previous: record.previous,
            forgotten: record.forgotten,
            files: write_list(&record.files, &mut append)?,
            tombstones: write_list(&record.tombstones, &mut append)?,
            standins: write_list(&record.standins, &mut append)?,
        };
        encode(&item)
    }

    /// Pages of the leaf's records, if all of them can be read: what is
    /// damaged is written anew.
    fn earlier_pages(&self, key: &LeafKey) -> Result<KnownPages, CatalogueError> {
        let mut known = KnownPages::new();
        for value in [self.leaf(key)?, self.staged(key)?].into_iter().flatten() {
            if self.record(value.place).is_ok() {
                known.extend(self.pages_of(value.place)?);
            }
        }
        Ok(known)
    }

    /// Appends the pages that are not known.
    pub(super) fn append_pages(
        &self,
        pages: &[Vec<u8>],
        known: Option<&KnownPages>,
    ) -> Result<Vec<PageRef>, CatalogueError> {
        let mut refs: Vec<PageRef> = Vec::with_capacity(pages.len());
        let mut pack = PackBuilder::default();
        let mut packed = Vec::new();
        let flush = |pack: &mut PackBuilder, packed: &mut Vec<usize>, refs: &mut [PageRef]| {
            let pack = std::mem::take(pack).finish(RECORDS_LEVEL);
            let block = self.append(BlockKind::Pages, &pack.map_err(CatalogueError::Pack)?)?;
            for at in packed.drain(..) {
                refs[at].place.block = block;
            }
            Ok::<(), CatalogueError>(())
        };
        for page in pages {
            let digest = page_digest(page);
            if let Some(&place) = known.and_then(|known| known.get(&digest)) {
                refs.push(PageRef { digest, place });
                continue;
            }
            if !pack.is_empty() && pack.raw_bytes() + page.len() > RECORDS_BLOCK_BYTES {
                flush(&mut pack, &mut packed, &mut refs)?;
            }
            let index = pack.push(page);
            packed.push(refs.len());
            let place = RecordPlace { block: 0, index };
            refs.push(PageRef { digest, place });
        }
        if !pack.is_empty() {
            flush(&mut pack, &mut packed, &mut refs)?;
        }
        Ok(refs)
    }

    fn append_leaves(
        &self,
        pack: PackBuilder,
        waiting: &mut Vec<(LeafSummary, u32)>,
    ) -> Result<(), CatalogueError> {
        if pack.is_empty() {
            return Ok(());
        }
        let pack = pack.finish(RECORDS_LEVEL).map_err(CatalogueError::Pack)?;
        let block = self.append(BlockKind::Leaves, &pack)?;
        let staged: Vec<(LeafKey, LeafValue)> = waiting
            .drain(..)
            .map(|(summary, index)| LeafValue::of(summary, RecordPlace { block, index }))
            .collect();
        self.db.stage(&staged)
    }

    /// Drops staged leaves; without keys all of them.
    ///
    /// Errors: `CatalogueError`.
    pub fn unstage(&self, keys: &[LeafKey]) -> Result<(), CatalogueError> {
        let commit = self.next_commit();
        let append = |keys: &[LeafKey]| {
            let keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
            let mut pack = PackBuilder::default();
            pack.push(&encode(&Unstage { commit, keys })?);
            let pack = pack.finish(RECORDS_LEVEL).map_err(CatalogueError::Pack)?;
            self.append(BlockKind::Unstage, &pack)
        };
        match keys {
            [] => {
                append(&[])?;
            }
            _ => {
                for keys in keys.chunks(UNSTAGE_KEYS_MAX) {
                    append(keys)?;
                }
            }
        }
        self.db.unstage(keys.iter().map(LeafKey::as_bytes))
    }
}
