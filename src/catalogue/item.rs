//! Leaf records as they rest, SPEC.md section 9.3: a summary, from which the
//! index is made without the rest, and lists that are cut into pages where
//! they are long.
//!
//! Keeps the invariant that a page is written once: what a change leaves as
//! it was is referred to where it lies.

use std::collections::HashMap;
use std::num::NonZeroU64;

use hikae_protocol::bare::BareVolume;
use hikae_protocol::digest::{Digest, Domain};
use hikae_protocol::limits::PAGE_BYTES_MAX;
use hikae_protocol::message::{DecodeError, Tombstone};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::page::PageCutter;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CatalogueError;
use super::leaf::{FileRecord, LeafRecord, RecordPlace};

/// A list of more bytes is cut into pages.
const LIST_HERE_BYTES_MAX: usize = PAGE_BYTES_MAX;
/// Levels of pages above the lowest, at most: more than any list needs.
pub(super) const LIST_LEVEL_MAX: u32 = 8;

/// What an index holds of a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeafSummary {
    pub key: LeafKey,
    pub sequence: u64,
    pub commit: u64,
    pub digest: Option<Digest>,
    pub entries: u64,
    pub bytes: u64,
    pub newest_bytes: u64,
    pub lacking: u32,
    pub bare: Option<BareSummary>,
}

/// What the record of a bare volume says instead of files; digest and counts
/// of its summary are the volume's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BareSummary {
    pub node: Option<Digest>,
    pub leaves: NonZeroU64,
}

impl LeafSummary {
    /// That of a record; computes the manifest's digest.
    pub(super) fn of(record: &LeafRecord) -> LeafSummary {
        let summary = LeafSummary {
            key: record.key.clone(),
            sequence: record.sequence,
            commit: record.commit,
            digest: record.digest(),
            entries: record.files.len() as u64,
            bytes: record.bytes(),
            newest_bytes: record.newest_bytes(),
            lacking: u32::try_from(record.lacking().count()).unwrap_or(u32::MAX),
            bare: None,
        };
        let bare = record.bare.as_ref();
        match bare.and_then(|bare| Some((bare, NonZeroU64::new(bare.leaves)?))) {
            None => summary,
            Some((bare, leaves)) => LeafSummary {
                entries: bare.entries,
                bytes: bare.bytes,
                bare: Some(BareSummary {
                    node: bare.node,
                    leaves,
                }),
                ..summary
            },
        }
    }

    /// The bare volume that it is of.
    pub(super) fn bare_volume(&self) -> Option<BareVolume> {
        self.bare.map(|bare| BareVolume {
            volume: self.key.clone(),
            leaf: self.digest,
            node: bare.node,
            leaves: bare.leaves.get(),
            entries: self.entries,
            bytes: self.bytes,
        })
    }

    /// The summary at the begin of an item.
    ///
    /// Errors: `DecodeError`.
    pub(super) fn parse(item: &[u8]) -> Result<LeafSummary, DecodeError> {
        let (summary, _) = postcard::take_from_bytes(item)?;
        Ok(summary)
    }
}

/// A leaf record as an item of a block.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeafItem {
    pub summary: LeafSummary,
    pub previous: Option<RecordPlace>,
    pub forgotten: u64,
    pub files: List<FileRecord>,
    pub tombstones: List<Tombstone>,
    pub standins: List<FileRecord>,
}

/// A list in an item.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum List<T> {
    /// The list.
    Here(Vec<T>),
    /// Pages of it, or of pages.
    Paged(PageList),
}

/// The same, to be written.
#[derive(Debug, Serialize)]
pub(super) enum ListRef<'a, T> {
    Here(&'a [T]),
    Paged(PageList),
}

/// What `LeafItem` is written from.
#[derive(Debug, Serialize)]
pub(super) struct LeafItemRef<'a> {
    pub summary: &'a LeafSummary,
    pub previous: Option<RecordPlace>,
    pub forgotten: u64,
    pub files: ListRef<'a, FileRecord>,
    pub tombstones: ListRef<'a, Tombstone>,
    pub standins: ListRef<'a, FileRecord>,
}

/// The highest pages of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageList {
    /// That of the pages named here; 0: they hold the list's items.
    pub level: u32,
    pub pages: Vec<PageRef>,
}

/// Where a page lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageRef {
    /// Of the page's bytes, in the domain record.
    pub digest: Digest,
    pub place: RecordPlace,
}

/// An item of a list that may be cut: its name decides where.
pub(super) trait Named {
    fn name(&self) -> &[u8];
}

impl Named for FileRecord {
    fn name(&self) -> &[u8] {
        self.entry.path.as_bytes()
    }
}

impl Named for Tombstone {
    fn name(&self) -> &[u8] {
        self.path.as_bytes()
    }
}

impl Named for PageRef {
    fn name(&self) -> &[u8] {
        self.digest.as_bytes()
    }
}

/// Pages by digest that a record's lists already have.
pub(super) type KnownPages = HashMap<Digest, RecordPlace>;

/// The list as it is written: here, or in pages, which `append` writes.
///
/// Errors: what `append` returns, `CatalogueError::Encode`.
pub(super) fn write_list<'a, T: Named + Serialize>(
    items: &'a [T],
    mut append: impl FnMut(&[Vec<u8>]) -> Result<Vec<PageRef>, CatalogueError>,
) -> Result<ListRef<'a, T>, CatalogueError> {
    let pages = cut(items, 0)?;
    if pages.iter().map(Vec::len).sum::<usize>() <= LIST_HERE_BYTES_MAX {
        return Ok(ListRef::Here(items));
    }
    let mut list = PageList {
        level: 0,
        pages: append(&pages)?,
    };
    loop {
        let pages = cut(&list.pages, list.level as usize + 1)?;
        if pages.len() <= 1 {
            return Ok(ListRef::Paged(list));
        }
        list = PageList {
            level: list.level + 1,
            pages: append(&pages)?,
        };
    }
}

/// The bytes of the pages of a list.
fn cut<T: Named + Serialize>(items: &[T], level: usize) -> Result<Vec<Vec<u8>>, CatalogueError> {
    let mut cutter = PageCutter::new(level);
    let mut pages: Vec<Vec<u8>> = Vec::new();
    let mut open = false;
    for item in items {
        let bytes = encode(item)?;
        open &= !cutter.ends_before(bytes.len());
        match pages.last_mut() {
            Some(page) if open => page.extend_from_slice(&bytes),
            _ => pages.push(bytes),
        }
        open = !cutter.ends_after(item.name());
    }
    Ok(pages)
}

/// The digest by which a page is known.
pub(super) fn page_digest(page: &[u8]) -> Digest {
    Domain::Record.digest(page)
}

/// The items of a page.
///
/// Errors: `DecodeError`.
pub(super) fn page_items<T: DeserializeOwned>(mut page: &[u8]) -> Result<Vec<T>, DecodeError> {
    let mut items = Vec::new();
    while !page.is_empty() {
        let (item, rest) = postcard::take_from_bytes(page)?;
        items.push(item);
        page = rest;
    }
    Ok(items)
}

/// The bytes of a value.
///
/// Errors: `CatalogueError::Encode`.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CatalogueError> {
    postcard::to_stdvec(value).map_err(|error| CatalogueError::Encode(error.into()))
}

/// The item of a block of kind unstage.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unstage {
    /// The commit that the leaves were staged for.
    pub commit: u64,
    /// Keys of the leaves; none: all.
    pub keys: Vec<Vec<u8>>,
}

/// The item of a block of kind prune.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Prune {
    /// The oldest commit that can be looked back to.
    pub oldest: u64,
}

impl<T> List<T> {
    /// Its pages, if it has any.
    pub(super) fn paged(self) -> Option<PageList> {
        match self {
            List::Here(_) => None,
            List::Paged(list) => Some(list),
        }
    }
}
