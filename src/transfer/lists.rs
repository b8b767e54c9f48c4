//! Answers for lists of the tree: pages of nodes and of leaves that the peer
//! does not have, or all leaves below a node of which it has nothing.

use hikae_protocol::entry::Entry;
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::{FRESH_LEAVES_MAX, LISTS_MAX};
use hikae_protocol::list::{ListItem, list_digest, page_hint};
use hikae_protocol::message::{LeafProof, ListAnswer, ListWant, Lists, Mark, RefusedCode};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::PackBuilder;
use hikae_protocol::snapshot::Cursor;
use hikae_protocol::tree::{Child, ChildKind, child_path};

use super::Holdings;
use super::scope::Scope;
use super::source::{AnswerError, DELTA_BYTES, NAMES_LEVEL, encoded, leaf_at, refused};

/// Items of lists that are read for one request, about: what is asked for
/// beyond is answered without pages, and asked for again.
const ITEMS: usize = 1024 * 1024;

/// What is left of an answer.
struct Budget {
    bytes: usize,
    items: usize,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.bytes == 0 || self.items == 0
    }
}

/// One answer for each list, in that order.
///
/// Errors: `AnswerError`.
pub(super) fn lists(
    holdings: &dyn Holdings,
    wanted: &Lists,
    scope: &Scope,
) -> Result<Vec<Frame>, AnswerError> {
    if wanted.lists.len() > LISTS_MAX {
        return Err(refused(
            RefusedCode::Malformed,
            "too many lists in one request",
        ));
    }
    // The root's own list is part of every proof.
    let paths = wanted.lists.iter().map(|want| &want.path[..]);
    scope.check(holdings.catalogue(), paths.filter(|path| !path.is_empty()))?;
    let mut budget = Budget {
        bytes: DELTA_BYTES,
        items: ITEMS,
    };
    let mut pack = PackBuilder::default();
    for want in &wanted.lists {
        let answer = match (budget.is_spent(), want.kind) {
            (true, _) => ListAnswer::Pages {
                pages: vec![],
                marks: vec![],
            },
            (false, ChildKind::Node) => node(holdings, (want, scope), &wanted.to, &mut budget)?,
            (false, ChildKind::Leaf) => leaf(holdings, want, &wanted.to, &mut budget)?,
        };
        pack.push(&encoded(&answer)?);
    }
    let pack = pack
        .finish(NAMES_LEVEL)
        .map_err(|error| refused(RefusedCode::Unavailable, error.to_string()))?;
    Ok(vec![Frame::pack(FrameKind::Listed, &pack)?])
}

fn node(
    holdings: &dyn Holdings,
    (want, scope): (&ListWant, &Scope),
    to: &Cursor,
    budget: &mut Budget,
) -> Result<ListAnswer, AnswerError> {
    if !want.path.is_empty() && LeafKey::parse(&want.path).is_err() {
        return Err(refused(
            RefusedCode::Malformed,
            "a path that no node can have",
        ));
    }
    let view = holdings.catalogue().view();
    let epoch = view.head().map(|(_, snapshot)| snapshot.cursor.epoch);
    if epoch != Some(to.epoch) {
        return Err(refused(RefusedCode::Moved, "another epoch has begun"));
    }
    let children = view.children(&want.path)?;
    budget.items = budget.items.saturating_sub(children.len());
    if list_digest(&children, &mut |_| {}) != want.digest {
        return Ok(ListAnswer::Moved);
    }
    let is_whole = !want.path.is_empty() || scope.is_whole(&view, holdings.catalogue())?;
    if want.fresh
        && is_whole
        && let Some(leaves) = view.few_leaves_below(&want.path, FRESH_LEAVES_MAX)?
    {
        budget.items = budget.items.saturating_sub(leaves.len());
        let proofs: Vec<LeafProof> = leaves
            .into_iter()
            .map(|(key, value)| LeafProof {
                key,
                digest: value.digest,
                sequence: value.sequence,
                weight: value.bytes,
            })
            .collect();
        let bytes = proofs.iter().map(|leaf| leaf.key.as_bytes().len() + 48);
        budget.bytes = budget.bytes.saturating_sub(bytes.sum());
        return Ok(ListAnswer::Leaves(proofs));
    }
    let mark = |child: &Child| -> Result<Mark, AnswerError> {
        let key = match child.kind {
            ChildKind::Node => None,
            ChildKind::Leaf => {
                child_path(&want.path, child).and_then(|path| LeafKey::parse(&path).ok())
            }
        };
        let catalogue = holdings.catalogue();
        let value = match key {
            Some(key) if scope.gives(catalogue, key.volume())? => Some(catalogue.leaf(&key)?),
            _ => None,
        };
        Ok(value.flatten().map_or(Mark::default(), |value| Mark {
            sequence: value.sequence,
            weight: value.bytes,
        }))
    };
    pages(&children, want, mark, budget)
}

fn leaf(
    holdings: &dyn Holdings,
    want: &ListWant,
    to: &Cursor,
    budget: &mut Budget,
) -> Result<ListAnswer, AnswerError> {
    let key = LeafKey::parse(&want.path)
        .map_err(|_| refused(RefusedCode::Malformed, "a path that no leaf can have"))?;
    let Some(record) = leaf_at(holdings, &key, to)? else {
        return Ok(ListAnswer::Moved);
    };
    let entries: Vec<Entry> = record.files.iter().map(|file| file.entry.clone()).collect();
    budget.items = budget.items.saturating_sub(entries.len());
    if list_digest(&entries, &mut |_| {}) != want.digest {
        return Ok(ListAnswer::Moved);
    }
    let mark = |entry: &Entry| {
        let sequence = record.file(&entry.path).map_or(0, |file| file.sequence);
        Ok(Mark {
            sequence,
            weight: 0,
        })
    };
    pages(&entries, want, mark, budget)
}

/// The pages of a list that the peer does not have: all above the lowest, and
/// of those as many as fit, one at least.
fn pages<T: ListItem>(
    items: &[T],
    want: &ListWant,
    mark: impl Fn(&T) -> Result<Mark, AnswerError>,
    budget: &mut Budget,
) -> Result<ListAnswer, AnswerError> {
    let (mut pages, mut lower) = (Vec::new(), Vec::new());
    list_digest(items, &mut |page| {
        let is_held = want.held.binary_search(&page_hint(&page.digest)).is_ok();
        if is_held || (page.level == 0 && budget.bytes == 0) {
            return;
        }
        if page.level == 0 {
            lower.push(page.items.clone());
        }
        let wire = page.wire();
        budget.bytes = budget.bytes.saturating_sub(wire.len());
        pages.push(wire);
    });
    let named = lower
        .into_iter()
        .flat_map(|range| items.get(range))
        .flatten();
    Ok(ListAnswer::Pages {
        marks: named.map(mark).collect::<Result<_, _>>()?,
        pages,
    })
}
