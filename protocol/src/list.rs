//! Comparing two lists by their pages, SPEC.md section 5.2: the children of a
//! node, or the entries of a leaf.
//!
//! Who has the digest of the other's list asks for pages and names those that
//! it has. Whatever comes is proven by its own digest, from the list's digest
//! down; what is not named from there is refused.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::digest::{Digest, Domain};
use crate::message::{Mark, PageHint};
use crate::page::ListDigest;

/// Levels of pages that a list has, at most: more than any list needs.
const LEVELS_MAX: u8 = 16;

/// What a list is made of.
pub trait ListItem: Clone {
    /// The domain of the list's digest.
    const DOMAIN: Domain;

    /// By which the list is cut.
    fn name(&self) -> &[u8];

    /// Appends the canonical bytes.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Takes an item off the front of a page; none if there is no item.
    fn take(bytes: &mut &[u8]) -> Option<Self>;

    /// Whether it may stand behind another item.
    fn follows(&self, before: &Self) -> bool;
}

/// A page that is not what was asked for: the peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The bytes are no page.
    #[error("a page that is none")]
    Shape,
    /// Items out of order, or under another name than the page above says.
    #[error("a page whose items are out of order")]
    Order,
    /// Nothing proves it.
    #[error("a page that nothing names")]
    Unproven,
    /// More items than there can be.
    #[error("a list of more than {0} items")]
    Many(u64),
}

/// By what a page that is held is named in a request: the first bytes of its
/// digest.
pub fn page_hint(digest: &Digest) -> PageHint {
    let [a, b, c, d, e, f, g, h, ..] = digest.0;
    PageHint([a, b, c, d, e, f, g, h])
}

/// The digest of a list; its pages are shown to `sink`.
pub fn list_digest<T: ListItem>(
    items: &[T],
    sink: &mut dyn FnMut(crate::page::CutPage<'_>),
) -> Digest {
    let mut list = ListDigest::shown_to(T::DOMAIN, sink);
    let mut bytes = Vec::new();
    for item in items {
        bytes.clear();
        item.write(&mut bytes);
        list.push(item.name(), &bytes);
    }
    list.finish()
}

enum Page<T> {
    Lower(Vec<(T, Mark)>),
    Upper(u8, Vec<(Vec<u8>, Digest)>),
}

/// The other's list, as far as its pages came.
pub struct ListFetch<T> {
    digest: Digest,
    own: Vec<T>,
    own_pages: HashMap<Digest, Range<usize>>,
    got: HashMap<Digest, Page<T>>,
    items_max: u64,
}

/// A list that is there whole: the items, and what the source said beside of
/// those that came.
pub type Listed<T> = Vec<(T, Option<Mark>)>;

impl<T: ListItem> ListFetch<T> {
    /// The list with this digest, of at most so many items; `own` is what is
    /// held instead.
    pub fn new(digest: Digest, own: Vec<T>, items_max: u64) -> ListFetch<T> {
        let mut own_pages = HashMap::new();
        list_digest(&own, &mut |page| {
            own_pages.insert(page.digest, page.items);
        });
        ListFetch {
            digest,
            own,
            own_pages,
            got: HashMap::new(),
            items_max,
        }
    }

    /// The digest that the list must have.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What is held instead.
    pub fn own(&self) -> &[T] {
        &self.own
    }

    /// Goes on with another state of the list, of at most so many items: pages
    /// that came stay.
    pub fn retarget(&mut self, digest: Digest, items_max: u64) {
        (self.digest, self.items_max) = (digest, items_max);
    }

    /// Names of the pages that need not be sent.
    pub fn hints(&self) -> Vec<PageHint> {
        // A list of one page is held, or none of it is.
        let own = self.own_pages.keys().filter(|_| self.own_pages.len() > 1);
        let mut hints: Vec<PageHint> = own.chain(self.got.keys()).map(page_hint).collect();
        hints.sort_unstable();
        hints
    }

    /// Takes pages; `marks` are of the items of the lowest ones, in their
    /// order. Says whether any page is new.
    ///
    /// Errors: `ListError`.
    pub fn take(&mut self, pages: &[Vec<u8>], marks: Vec<Mark>) -> Result<bool, ListError> {
        let mut marks = marks.into_iter();
        let mut new = HashSet::new();
        for wire in pages {
            let digest = T::DOMAIN.digest(wire);
            let page = parse(wire, &mut marks)?;
            if self.got.insert(digest, page).is_none() {
                new.insert(digest);
            }
        }
        if marks.next().is_some() {
            return Err(ListError::Shape);
        }
        let walk = self.walk()?;
        match new.iter().all(|digest| walk.used.contains(digest)) {
            true => Ok(!new.is_empty()),
            false => Err(ListError::Unproven),
        }
    }

    /// The list, if all of it is there.
    ///
    /// Errors: `ListError`.
    pub fn whole(&self) -> Result<Option<Listed<T>>, ListError> {
        let walk = self.walk()?;
        Ok((!walk.missing).then_some(walk.items))
    }

    fn walk(&self) -> Result<Walk<T>, ListError> {
        let mut walk = Walk {
            items: Vec::new(),
            used: HashSet::new(),
            missing: false,
        };
        self.descend(self.digest, LEVELS_MAX, &mut walk)?;
        Ok(walk)
    }

    fn descend(&self, digest: Digest, below: u8, walk: &mut Walk<T>) -> Result<(), ListError> {
        if let Some(range) = self.own_pages.get(&digest) {
            for item in self.own.get(range.clone()).unwrap_or_default() {
                self.push(walk, item.clone(), None)?;
            }
            return Ok(());
        }
        match self.got.get(&digest) {
            None => walk.missing = true,
            Some(Page::Lower(items)) => {
                walk.used.insert(digest);
                for (item, mark) in items {
                    self.push(walk, item.clone(), Some(*mark))?;
                }
            }
            Some(Page::Upper(level, pages)) => {
                if *level >= below {
                    return Err(ListError::Shape);
                }
                walk.used.insert(digest);
                let mut before: Option<&[u8]> = None;
                for (name, page) in pages {
                    if before >= Some(name) {
                        return Err(ListError::Order);
                    }
                    before = Some(name);
                    let (held, missing) = (walk.items.len(), walk.missing);
                    self.descend(*page, *level, walk)?;
                    let came = walk.items.len() > held;
                    let last = walk.items.last().map(|(item, _)| item.name());
                    // Of a page of which parts are missing the end may be, too.
                    if came && walk.missing == missing && last != Some(name) {
                        return Err(ListError::Order);
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&self, walk: &mut Walk<T>, item: T, mark: Option<Mark>) -> Result<(), ListError> {
        if walk
            .items
            .last()
            .is_some_and(|(last, _)| !item.follows(last))
        {
            return Err(ListError::Order);
        }
        if walk.items.len() as u64 >= self.items_max {
            return Err(ListError::Many(self.items_max));
        }
        walk.items.push((item, mark));
        Ok(())
    }
}

struct Walk<T> {
    items: Listed<T>,
    used: HashSet<Digest>,
    missing: bool,
}

fn parse<T: ListItem>(
    wire: &[u8],
    marks: &mut impl Iterator<Item = Mark>,
) -> Result<Page<T>, ListError> {
    let (level, mut rest) = wire.split_first().ok_or(ListError::Shape)?;
    if *level == 0 {
        let mut items = Vec::new();
        while !rest.is_empty() {
            let item = T::take(&mut rest).ok_or(ListError::Shape)?;
            items.push((item, marks.next().ok_or(ListError::Shape)?));
        }
        return Ok(Page::Lower(items));
    }
    if *level >= LEVELS_MAX {
        return Err(ListError::Shape);
    }
    let mut pages = Vec::new();
    while !rest.is_empty() {
        let name = take_name(&mut rest).ok_or(ListError::Shape)?;
        let digest = take_digest(&mut rest).ok_or(ListError::Shape)?;
        pages.push((name.to_vec(), digest));
    }
    Ok(Page::Upper(*level, pages))
}

/// Takes a name with its length before it.
pub(crate) fn take_name<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *bytes = rest;
    Some(name)
}

/// Takes a digest.
pub(crate) fn take_digest(bytes: &mut &[u8]) -> Option<Digest> {
    let (digest, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(Digest(*digest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::{Child, ChildKind};

    fn child(name: u32, content: u8) -> Child {
        Child {
            kind: ChildKind::Leaf,
            name: format!("{name:07}").into_bytes(),
            digest: Digest::of_content(&[content]),
        }
    }

    /// What a source sends of a list to who has these pages: at most so many.
    fn answer(list: &[Child], hints: &[PageHint], most: usize) -> (Vec<Vec<u8>>, Vec<Mark>) {
        let (mut pages, mut marks) = (Vec::new(), Vec::new());
        let mut lower = 0;
        list_digest(list, &mut |page| {
            let is_known = hints.binary_search(&page_hint(&page.digest)).is_ok();
            if is_known || (page.level == 0 && lower == most) {
                return;
            }
            if page.level == 0 {
                lower += 1;
                marks.extend(page.items.clone().map(|at| Mark {
                    sequence: at as u64,
                    weight: 7,
                }));
            }
            pages.push(page.wire());
        });
        (pages, marks)
    }

    fn fetched(own: Vec<Child>, list: &[Child], most: usize) -> (Listed<Child>, usize, usize) {
        let digest = list_digest(list, &mut |_| {});
        let mut fetch = ListFetch::new(digest, own, u64::MAX);
        let (mut rounds, mut bytes) = (0, 0);
        loop {
            if let Some(whole) = fetch.whole().unwrap() {
                return (whole, rounds, bytes);
            }
            let (pages, marks) = answer(list, &fetch.hints(), most);
            bytes += pages.iter().map(Vec::len).sum::<usize>();
            assert!(fetch.take(&pages, marks).unwrap(), "no progress");
            rounds += 1;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// [S7-14] whatever is held, the other's list comes out, in parts or at
        /// once.
        #[test]
        fn the_other_list_comes_out(
            own in prop::collection::btree_map(0_u32..3000, 0_u8..3, 0..2000),
            changes in prop::collection::btree_map(0_u32..3000, 0_u8..4, 0..60),
            fresh: bool, most in 1_usize..20,
        ) {
            let mut list = own.clone();
            for (name, content) in changes {
                match content {
                    3 => drop(list.remove(&name)),
                    content => drop(list.insert(name, content)),
                }
            }
            let items = |map: std::collections::BTreeMap<u32, u8>| -> Vec<Child> {
                map.into_iter().map(|(name, content)| child(name, content)).collect()
            };
            let (own, list) = (if fresh { vec![] } else { items(own) }, items(list));
            let (whole, _, _) = fetched(own, &list, most);
            let names: Vec<Child> = whole.iter().map(|(child, _)| child.clone()).collect();
            prop_assert_eq!(names, list);
            for (at, (_, mark)) in whole.iter().enumerate() {
                prop_assert!(mark.is_none_or(|mark| mark.sequence == at as u64));
            }
        }
    }

    /// A list that became another one meanwhile, a longer one: what came is not
    /// sent again.
    #[test]
    fn what_came_of_an_earlier_state_stays() {
        let mut list: Vec<Child> = (0..5000).map(|at| child(at, 0)).collect();
        let digest = list_digest(&list, &mut |_| {});
        let mut fetch = ListFetch::<Child>::new(digest, vec![], 5000);
        let (pages, marks) = answer(&list, &[], usize::MAX);
        assert!(fetch.take(&pages, marks).unwrap());
        list.push(child(5000, 0));
        fetch.retarget(list_digest(&list, &mut |_| {}), 5001);
        let (again, marks) = answer(&list, &fetch.hints(), usize::MAX);
        assert!(again.len() < pages.len() / 2, "{} pages again", again.len());
        assert!(fetch.take(&again, marks).unwrap());
        assert_eq!(fetch.whole().unwrap().unwrap().len(), 5001);
    }

    /// One difference among many: one answer, and bytes as of a few pages.
    #[test]
    fn one_difference_costs_one_page_of_each_level() {
        let own: Vec<Child> = (0..100_000).map(|at| child(at, 0)).collect();
        let mut list = own.clone();
        list[54_321] = child(54_321, 1);
        let (_, rounds, bytes) = fetched(own, &list, usize::MAX);
        assert_eq!(rounds, 1);
        assert!(bytes < 3 * crate::limits::PAGE_BYTES_MAX, "{bytes} bytes");
    }

    /// [S7-15] pages that nothing names, that are no pages, whose items are out
    /// of order or too many are refused, and so are too few or too many marks.
    #[test]
    fn wrong_pages_are_refused() {
        let list: Vec<Child> = (0..2000).map(|at| child(at, 0)).collect();
        let digest = list_digest(&list, &mut |_| {});
        let (pages, marks) = answer(&list, &[], usize::MAX);
        let take = |pages: &[Vec<u8>], marks: &[Mark]| {
            ListFetch::<Child>::new(digest, vec![], 2000).take(pages, marks.to_vec())
        };
        assert_eq!(take(&pages, &marks), Ok(true));
        assert_eq!(take(&pages, &marks[1..]), Err(ListError::Shape));
        assert_eq!(
            take(&pages, &[&marks[..], &marks[..1]].concat()),
            Err(ListError::Shape)
        );
        let mut fewer = ListFetch::<Child>::new(digest, vec![], 1999);
        assert_eq!(
            fewer.take(&pages, marks.clone()),
            Err(ListError::Many(1999))
        );
        for at in 0..pages.len() {
            for byte in [0, 1, 3, pages[at].len() / 2, pages[at].len() - 1] {
                let mut bad = pages.clone();
                bad[at][byte] ^= 1;
                assert!(take(&bad, &marks).is_err(), "page {at} byte {byte}");
            }
        }
        // A list that its signer itself put out of order.
        let mut page = vec![0];
        for at in [1, 0] {
            child(at, 0).write(&mut page);
        }
        let mut turned = ListFetch::<Child>::new(Domain::Node.digest(&page), vec![], u64::MAX);
        assert_eq!(
            turned.take(&[page], vec![Mark::default(); 2]),
            Err(ListError::Order)
        );
        // A list whose signer itself put one page in twice.
        let (low, mark) = answer(&list[..3], &[], usize::MAX);
        let name = list[2].name.clone();
        let page = Domain::Node.digest(&low[0]);
        let item = [&crate::page::name_length(&name)[..], &name, &page.0].concat();
        for upper in [
            [&[1], &item[..], &item].concat(),
            [&[1], &item[1..]].concat(),
        ] {
            let mut twice = ListFetch::<Child>::new(Domain::Node.digest(&upper), vec![], u64::MAX);
            assert!(twice.take(&[low[0].clone(), upper], mark.clone()).is_err());
        }
    }
}
