//! Paged digests of sorted lists: the one rule by which manifests and nodes
//! are cut, SPEC.md section 5.
//!
//! Keeps the invariant that a digest depends on the list alone, never on how
//! it came about, and that a change of one item changes one page of each
//! level. Items must arrive sorted by name, each name once.

use std::ops::Range;

use crate::digest::{Digest, Domain};
use crate::limits::{PAGE_BOUNDARY_BITS, PAGE_BYTES_MAX};

/// Items that a page above the lowest level has at least, so that each level
/// is at most half as long as the one below, whatever the names.
const UPPER_ITEMS_MIN: usize = 2;

/// Where the pages of one level of a list end.
#[derive(Debug)]
pub struct PageCutter {
    level: usize,
    items: usize,
    bytes: usize,
}

impl PageCutter {
    /// Of a list at `level`, 0 the lowest.
    pub fn new(level: usize) -> PageCutter {
        PageCutter {
            level,
            items: 0,
            bytes: 0,
        }
    }

    /// Whether the open page ends before an item of so many bytes, which
    /// would not fit. The item opens or joins a page.
    pub fn ends_before(&mut self, item_bytes: usize) -> bool {
        let ends = self.items > 0 && self.bytes + item_bytes > PAGE_BYTES_MAX;
        if ends {
            (self.items, self.bytes) = (0, 0);
        }
        self.items += 1;
        self.bytes += item_bytes;
        ends
    }

    /// Whether the open page ends after its last item, which has this name.
    pub fn ends_after(&mut self, name: &[u8]) -> bool {
        let long_enough = self.level == 0 || self.items >= UPPER_ITEMS_MIN;
        let ends = long_enough && is_boundary(self.level, name);
        if ends {
            (self.items, self.bytes) = (0, 0);
        }
        ends
    }
}

/// A page of a list, as the list is cut.
pub struct CutPage<'a> {
    /// 0 the lowest.
    pub level: usize,
    /// Its digest.
    pub digest: Digest,
    /// Which items of the list lie in it or below it.
    pub items: Range<usize>,
    /// The canonical bytes of its items, without the level.
    pub bytes: &'a [u8],
}

impl CutPage<'_> {
    /// The page as it is hashed and sent: the level first.
    pub fn wire(&self) -> Vec<u8> {
        [&[level_byte(self.level)], self.bytes].concat()
    }
}

/// Is shown every page of a list when it is closed, lower ones first.
pub type PageSink<'s> = &'s mut dyn FnMut(CutPage<'_>);

/// Computes the digest of a list while its items go by; memory is one page a
/// level.
pub struct ListDigest<'s> {
    domain: Domain,
    levels: Vec<Level>,
    /// Items so far.
    items: usize,
    sink: Option<PageSink<'s>>,
}

struct Level {
    cutter: PageCutter,
    page: Vec<u8>,
    items: usize,
    last_name: Vec<u8>,
    pages: u64,
    /// The first item of the list that the open page covers.
    first: usize,
}

impl Level {
    fn new(level: usize) -> Level {
        Level {
            cutter: PageCutter::new(level),
            page: Vec::new(),
            items: 0,
            last_name: Vec::new(),
            pages: 0,
            first: 0,
        }
    }
}

impl<'s> ListDigest<'s> {
    /// An empty list of `domain`.
    pub fn new(domain: Domain) -> ListDigest<'s> {
        ListDigest {
            domain,
            levels: vec![Level::new(0)],
            items: 0,
            sink: None,
        }
    }

    /// The same, whose pages are shown to `sink`.
    pub fn shown_to(domain: Domain, sink: PageSink<'s>) -> ListDigest<'s> {
        ListDigest {
            sink: Some(sink),
            ..ListDigest::new(domain)
        }
    }

    /// Appends an item: its name and its canonical bytes (which hold the name).
    pub fn push(&mut self, name: &[u8], item: &[u8]) {
        let at = self.items;
        self.items += 1;
        self.push_at(0, name, item, at..at + 1);
    }

    /// Appends an item that covers these items of the list.
    fn push_at(&mut self, depth: usize, name: &[u8], item: &[u8], covers: Range<usize>) {
        if self.levels.len() == depth {
            self.levels.push(Level::new(depth));
        }
        let level = self.levels.get_mut(depth);
        if level.is_some_and(|level| level.cutter.ends_before(item.len())) {
            self.close_page(depth, covers.start);
        }
        let Some(level) = self.levels.get_mut(depth) else {
            return;
        };
        level.page.extend_from_slice(item);
        level.items += 1;
        level.last_name.clear();
        level.last_name.extend_from_slice(name);
        if level.cutter.ends_after(name) {
            self.close_page(depth, covers.end);
        }
    }

    /// Closes the open page of a level: it covers the items before `end`.
    fn close_page(&mut self, depth: usize, end: usize) {
        let digest = self.open_page(depth, end);
        let Some(level) = self.levels.get_mut(depth) else {
            return;
        };
        let covers = level.first..end;
        level.first = end;
        let name = std::mem::take(&mut level.last_name);
        level.page.clear();
        level.items = 0;
        level.pages += 1;
        let item = upper_item(&name, &digest);
        self.push_at(depth + 1, &name, &item, covers);
    }

    /// The digest of the open page of a level, which is shown.
    fn open_page(&mut self, depth: usize, end: usize) -> Digest {
        let Some(level) = self.levels.get(depth) else {
            return page_digest(self.domain, 0, &[]);
        };
        let digest = page_digest(self.domain, depth, &level.page);
        if let Some(sink) = &mut self.sink {
            sink(CutPage {
                level: depth,
                digest,
                items: level.first..end,
                bytes: &level.page,
            });
        }
        digest
    }

    /// The digest of the whole list: that of the only page of the highest
    /// level.
    pub fn finish(mut self) -> Digest {
        let mut depth = 0;
        loop {
            let Some(level) = self.levels.get(depth) else {
                // Only reached when the level below was closed on its last
                // item as its only page: its digest is then the whole list's.
                return page_digest(self.domain, 0, &[]);
            };
            if level.pages == 0 && (depth == 0 || level.items > 1) {
                return self.open_page(depth, self.items);
            }
            if depth > 0 && level.pages == 0 {
                // A single page below: the digest it carries is the list's.
                return carried_digest(&level.page);
            }
            if level.items > 0 {
                self.close_page(depth, self.items);
            }
            depth += 1;
        }
    }
}

/// The canonical bytes of an item above the lowest level: the last name of a
/// page below and that page's digest.
fn upper_item(name: &[u8], digest: &Digest) -> Vec<u8> {
    let mut item = Vec::with_capacity(2 + name.len() + 32);
    item.extend_from_slice(&name_length(name));
    item.extend_from_slice(name);
    item.extend_from_slice(digest.as_bytes());
    item
}

fn carried_digest(item: &[u8]) -> Digest {
    let mut digest = [0; 32];
    let tail = item.len().saturating_sub(32);
    for (to, from) in digest.iter_mut().zip(item.get(tail..).unwrap_or_default()) {
        *to = *from;
    }
    Digest(digest)
}

/// A name's length as it stands before the name: two bytes, little endian.
/// Names are at most 4,096 bytes (SPEC.md [S3-1]).
pub fn name_length(name: &[u8]) -> [u8; 2] {
    u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes()
}

fn page_digest(domain: Domain, depth: usize, page: &[u8]) -> Digest {
    let mut hasher = domain.hasher();
    hasher.update(&[level_byte(depth)]);
    hasher.update(page);
    hasher.into()
}

fn level_byte(depth: usize) -> u8 {
    u8::try_from(depth).unwrap_or(u8::MAX)
}

fn is_boundary(depth: usize, name: &[u8]) -> bool {
    let mut hasher = Domain::Boundary.hasher();
    hasher.update(&[level_byte(depth)]);
    hasher.update(name);
    let digest = Digest::from(hasher);
    let [a, b, c, d, ..] = digest.0;
    u32::from_le_bytes([a, b, c, d]).trailing_zeros() >= PAGE_BOUNDARY_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule written as plainly as it can be: cut a whole list into pages,
    /// make the list of pages, and again, until one page is left.
    fn oracle(domain: Domain, items: &[(Vec<u8>, Vec<u8>)]) -> Digest {
        let mut list = items.to_vec();
        let mut depth = 0;
        loop {
            let mut pages: Vec<Vec<(Vec<u8>, Vec<u8>)>> = vec![vec![]];
            for item in &list {
                let page = pages.last_mut().unwrap();
                let bytes: usize = page.iter().map(|(_, bytes)| bytes.len()).sum();
                if !page.is_empty() && bytes + item.1.len() > PAGE_BYTES_MAX {
                    pages.push(vec![]);
                }
                let page = pages.last_mut().unwrap();
                page.push(item.clone());
                if (depth == 0 || page.len() >= 2) && is_boundary(depth, &item.0) {
                    pages.push(vec![]);
                }
            }
            if pages.len() > 1 && pages.last().unwrap().is_empty() {
                pages.pop();
            }
            let digests: Vec<(Vec<u8>, Vec<u8>)> = pages
                .iter()
                .map(|page| {
                    let bytes: Vec<u8> = page.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
                    let name = page
                        .last()
                        .map(|(name, _)| name.clone())
                        .unwrap_or_default();
                    let digest = page_digest(domain, depth, &bytes);
                    (name.clone(), upper_item(&name, &digest))
                })
                .collect();
            if digests.len() == 1 {
                return carried_digest(&digests[0].1);
            }
            list = digests;
            depth += 1;
        }
    }

    fn streamed(domain: Domain, items: &[(Vec<u8>, Vec<u8>)]) -> Digest {
        let mut list = ListDigest::new(domain);
        for (name, item) in items {
            list.push(name, item);
        }
        list.finish()
    }

    fn numbered(count: usize, width: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        (0..count)
            .map(|number| {
                let name = format!("{number:08}").into_bytes();
                let mut item = name.clone();
                item.resize(width.max(8), b'.');
                (name, item)
            })
            .collect()
    }

    /// [S5-3] the worked lists of SPEC.md section 5.2.
    #[test]
    fn the_worked_lists() {
        let list = |names: &mut dyn Iterator<Item = String>| {
            let mut list = ListDigest::new(Domain::Manifest);
            for name in names {
                let mut item = name_length(name.as_bytes()).to_vec();
                item.extend_from_slice(name.as_bytes());
                item.extend_from_slice(&3_u64.to_le_bytes());
                item.extend_from_slice(&0_i64.to_le_bytes());
                item.extend_from_slice(Digest::of_content(b"abc").as_bytes());
                list.push(name.as_bytes(), &item);
            }
            list.finish().to_string()
        };
        let short = |names: &[&str]| list(&mut names.iter().map(ToString::to_string));
        assert_eq!(
            short(&["cu", "cv", "cw"]),
            "f9a140c7e5a78065d3e12e2890bd1d76f440cacab1f28258811841caf890b569"
        );
        assert_eq!(
            short(&["cu", "cv"]),
            "24718a1e430e695714a0184d2e9ec8125b7deaf898ad8826574446a87e927e46"
        );
        assert_eq!(
            list(&mut (0..2000).map(|at| format!("n{at:04}"))),
            "6b0d08ff08382eb1423b97090b75fe06793a7f6ad66b930ca26782fc831c65c6"
        );
        assert_eq!(
            list(&mut (0..1000).map(|at| format!("n{at:04}/{}", "x".repeat(200)))),
            "0e8c8eb7cd223d73b323d803754267be371c53bd1dab54af24fa7baf35a207fb"
        );
    }

    #[test]
    fn agrees_with_the_oracle_at_many_lengths() {
        for count in [0, 1, 2, 3, 100, 255, 256, 257, 1000, 5000, 70_000] {
            let items = numbered(count, 60);
            assert_eq!(
                streamed(Domain::Manifest, &items),
                oracle(Domain::Manifest, &items),
                "{count} items"
            );
        }
        let wide = numbered(300, 4096);
        assert_eq!(streamed(Domain::Node, &wide), oracle(Domain::Node, &wide));
    }

    /// Lists that end exactly on a boundary, of one page and of several.
    #[test]
    fn agrees_with_the_oracle_where_a_list_ends_on_a_boundary() {
        let all = numbered(6000, 20);
        let ends: Vec<usize> = (0..all.len())
            .filter(|&at| is_boundary(0, &all[at].0))
            .collect();
        assert!(ends.len() > 5);
        for end in ends {
            assert_eq!(
                streamed(Domain::Manifest, &all[..=end]),
                oracle(Domain::Manifest, &all[..=end])
            );
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_oracle(
            names in prop::collection::btree_set(prop::collection::vec(any::<u8>(), 1..9), 0..1500),
            width in 1_usize..600,
        ) {
            let items: Vec<(Vec<u8>, Vec<u8>)> = names
                .into_iter()
                .map(|name| { let mut item = name.clone(); item.resize(name.len() + width, 7); (name, item) })
                .collect();
            prop_assert_eq!(streamed(Domain::Node, &items), oracle(Domain::Node, &items));
        }
    }
}
