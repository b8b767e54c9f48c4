//! Items of one kind in order, read block by block where they are asked for.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use hikae_protocol::message::{DecodeError, decode};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::Items;
use lru::LruCache;

use super::{CheckpointLeaf, CheckpointNode, order};
use crate::catalogue::CatalogueError;
use crate::catalogue::replay::wrong;
use crate::catalogue::value::LeafValue;
use crate::segment::BlockFile;

/// Decoded blocks of a run that are kept, at most; each has some hundred items.
const BLOCKS_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// What leaves are looked for by: of a leaf its own, of a block the greatest of
/// its leaves.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::catalogue) struct Marks {
    /// The signer's commit.
    pub sequence: u64,
    /// The node's own commit.
    pub commit: u64,
    /// Contents that are lacking.
    pub lacking: u32,
}

impl Marks {
    pub(in crate::catalogue) fn of(value: &LeafValue) -> Marks {
        Marks {
            sequence: value.sequence,
            commit: value.commit,
            lacking: value.lacking,
        }
    }

    fn max(self, other: Marks) -> Marks {
        Marks {
            sequence: self.sequence.max(other.sequence),
            commit: self.commit.max(other.commit),
            lacking: self.lacking.max(other.lacking),
        }
    }
}

/// An item that stands in a run by its path.
pub(super) trait Item: Clone {
    /// The path.
    fn path(&self) -> &[u8];

    /// What it is looked for by.
    fn marks(&self) -> Marks;

    /// Errors: `DecodeError`.
    fn parse(item: &[u8]) -> Result<Self, DecodeError>;
}

/// A leaf as the index has it.
pub(super) type Leaf = (LeafKey, LeafValue);

impl Item for Leaf {
    fn path(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn marks(&self) -> Marks {
        Marks::of(&self.1)
    }

    fn parse(item: &[u8]) -> Result<Leaf, DecodeError> {
        let CheckpointLeaf { summary, place } = decode(item)?;
        Ok(LeafValue::of(summary, place))
    }
}

impl Item for CheckpointNode {
    fn path(&self) -> &[u8] {
        &self.path
    }

    fn marks(&self) -> Marks {
        Marks::default()
    }

    fn parse(item: &[u8]) -> Result<CheckpointNode, DecodeError> {
        decode(item)
    }
}

/// What is known of a block without reading it.
#[derive(Debug)]
struct Fence {
    /// Where it begins.
    offset: u64,
    /// The path of its first item.
    first: Vec<u8>,
    marks: Marks,
}

/// Items of one kind, by depth and path.
#[derive(Debug)]
pub(super) struct Run<T> {
    fences: Vec<Fence>,
    /// The last path.
    last: Option<Vec<u8>>,
    pub count: u64,
    blocks: Mutex<LruCache<usize, Arc<Vec<T>>>>,
}

impl<T> Default for Run<T> {
    fn default() -> Run<T> {
        Run {
            fences: Vec::new(),
            last: None,
            count: 0,
            blocks: Mutex::new(LruCache::new(BLOCKS_MAX)),
        }
    }
}

impl<T: Item> Run<T> {
    /// Takes the items of the next block, which begins at `offset`; false if they
    /// are not behind the ones before.
    pub(super) fn push<'a>(&mut self, offset: u64, items: impl Iterator<Item = &'a T>) -> bool
    where
        T: 'a,
    {
        let mut fence: Option<Fence> = None;
        let mut last: Option<&T> = None;
        for item in items {
            let before = last.map(T::path).or(self.last.as_deref());
            if before.is_some_and(|before| order(before) >= order(item.path())) {
                return false;
            }
            let fence = fence.get_or_insert_with(|| Fence {
                offset,
                first: item.path().to_vec(),
                marks: Marks::default(),
            });
            fence.marks = fence.marks.max(item.marks());
            self.count += 1;
            last = Some(item);
        }
        self.last = last.map(|item| item.path().to_vec()).or(self.last.take());
        self.fences.extend(fence);
        true
    }

    /// The items of a block.
    pub(super) fn block(
        &self,
        file: &BlockFile,
        index: usize,
    ) -> Result<Arc<Vec<T>>, CatalogueError> {
        let kept = || self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(items) = kept().get(&index) {
            return Ok(items.clone());
        }
        let (_, items, _) = file.block(self.fences[index].offset)?;
        let items = Arc::new(parsed(&items)?);
        kept().put(index, items.clone());
        Ok(items)
    }

    /// The item of a path.
    ///
    /// Errors: `CatalogueError` of a block that is not as it was.
    pub(super) fn get(&self, file: &BlockFile, path: &[u8]) -> Result<Option<T>, CatalogueError> {
        let wanted = order(path);
        let after = |fence: &Fence| order(&fence.first) <= wanted;
        let Some(index) = self.fences.partition_point(after).checked_sub(1) else {
            return Ok(None);
        };
        let items = self.block(file, index)?;
        let found = items.binary_search_by(|item| order(item.path()).cmp(&wanted));
        Ok(found.ok().map(|at| items[at].clone()))
    }

    /// The blocks from the first on that can hold items of a depth whose paths
    /// begin with `prefix`.
    pub(super) fn from(&self, depth: u8, prefix: &[u8]) -> Range<usize> {
        let before = |fence: &Fence| order(&fence.first) <= (depth, prefix);
        let first = self.fences.partition_point(before).saturating_sub(1);
        first..self.fences.len()
    }

    /// The items whose marks are `wanted`; only blocks whose marks are so are read.
    pub(super) fn marked(
        &self,
        file: &BlockFile,
        wanted: impl Fn(Marks) -> bool + Copy,
    ) -> impl Iterator<Item = Result<T, CatalogueError>> {
        let blocks = self.fences.iter().enumerate();
        let blocks = blocks.filter(move |(_, fence)| wanted(fence.marks));
        let items = items(blocks.map(move |(index, _)| self.block(file, index)));
        items.filter(move |item| item.as_ref().map_or(true, |item| wanted(item.marks())))
    }
}

/// The items of blocks; an error stands for its block.
pub(super) fn items<T: Item>(
    blocks: impl Iterator<Item = Result<Arc<Vec<T>>, CatalogueError>>,
) -> impl Iterator<Item = Result<T, CatalogueError>> {
    blocks.flat_map(|block| {
        let (items, error) = match block {
            Ok(items) => (items, None),
            Err(error) => (Arc::default(), Some(error)),
        };
        let count = items.len();
        let items = (0..count).map(move |at| Ok(items[at].clone()));
        error.map(Err).into_iter().chain(items)
    })
}

/// Of items in order those of one depth whose paths begin with `prefix`.
pub(super) fn within<T: Item>(
    items: impl Iterator<Item = Result<T, CatalogueError>>,
    depth: u8,
    prefix: Vec<u8>,
) -> impl Iterator<Item = Result<T, CatalogueError>> {
    let from = prefix.clone();
    let behind = items.skip_while(
        move |item| matches!(item, Ok(item) if order(item.path()) < (depth, &from[..])),
    );
    behind.take_while(move |item| match item {
        Ok(item) => {
            let (found, path) = order(item.path());
            found == depth && path.starts_with(&prefix)
        }
        Err(_) => true,
    })
}

/// The decoded items of a block.
pub(super) fn parsed<T: Item>(items: &Items) -> Result<Vec<T>, CatalogueError> {
    let parse = |(index, item)| {
        T::parse(item).map_err(|source| wrong(0, index as u32, "item of a checkpoint", source))
    };
    items.iter().enumerate().map(parse).collect()
}
