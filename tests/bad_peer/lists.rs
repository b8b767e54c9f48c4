//! Lies in the lists by which trees are compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use hikae_protocol::digest::{Digest, Domain};
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::PACK_RAW_BYTES_MAX;
use hikae_protocol::list::list_digest;
use hikae_protocol::message::{ListAnswer, Lists, Mark, Offer, ProofBase};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::Snapshot;
use hikae_protocol::tree::{Child, ChildKind, child_path, node_digest};

use super::quic::{Evil, Say};
use super::tale::*;
use super::{copied, key_of, look, noise, point_at, sync_within, tell};

impl Tale {
    fn digests(&self) -> BTreeMap<LeafKey, Digest> {
        let keys = self.leaves.keys();
        keys.map(|key| (key.clone(), self.digest(key))).collect()
    }

    /// The children of a node.
    fn children(&self, path: &[u8]) -> Vec<Child> {
        let leaves = self.digests();
        let mut children = BTreeMap::new();
        for key in leaves.keys() {
            let skip = match path.is_empty() {
                true => 0,
                false if key.as_bytes().starts_with(&[path, b"/"].concat()) => path.len() + 1,
                false => continue,
            };
            let components = if path.is_empty() { 2 } else { 1 };
            let rest = key.as_bytes()[skip..].split(|&byte| byte == b'/');
            let name = rest.take(components).collect::<Vec<_>>().join(&b'/');
            let below = [&key.as_bytes()[..skip], &name].concat();
            let (kind, digest) = match below == key.as_bytes() {
                true => (ChildKind::Leaf, leaves[key]),
                false => (ChildKind::Node, node_digest(&below, &leaves).unwrap()),
            };
            children.insert((name.clone(), kind), Child { kind, name, digest });
        }
        children.into_values().collect()
    }

    /// An offer after which the trees are compared.
    fn apart(&self, request: &Frame, snapshot: Snapshot) -> Option<Vec<Say>> {
        (request.kind == FrameKind::Pull).then(|| {
            let offer = Offer {
                snapshot: self.sign(snapshot),
                base: ProofBase::Apart,
            };
            vec![Say::Frame(message(FrameKind::Offer, &offer)), end_of(0)]
        })
    }

    /// The answers for lists, as they are.
    fn listed(&self, request: &Frame) -> Vec<ListAnswer> {
        let wanted: Lists = request.decode().unwrap();
        let answer = |path: &[u8]| {
            let children = self.children(path);
            let mut pages = vec![];
            list_digest(&children, &mut |page| pages.push(page.wire()));
            ListAnswer::Pages {
                pages,
                marks: children.iter().map(|_| MARK).collect(),
            }
        };
        wanted.lists.iter().map(|list| answer(&list.path)).collect()
    }

    /// Compares honestly, but for what `lie` makes of the answers.
    fn compared(&self, request: &Frame, lie: impl Fn(&mut Vec<ListAnswer>)) -> Option<Vec<Say>> {
        if request.kind == FrameKind::Lists {
            let mut answers = self.listed(request);
            lie(&mut answers);
            return Some(vec![listed_of(&answers)]);
        }
        self.apart(request, self.snapshot(have_of(request)))
    }
}

const MARK: Mark = Mark {
    sequence: 1,
    weight: 100,
};

fn have_of(request: &Frame) -> Option<hikae_protocol::snapshot::Cursor> {
    match request.kind {
        FrameKind::Pull => have(request),
        _ => None,
    }
}

fn listed_of(answers: &[ListAnswer]) -> Say {
    Say::Frame(Frame::pack(FrameKind::Listed, &pack_of(answers)).unwrap())
}

fn pages_of(answer: &mut ListAnswer) -> (&mut Vec<Vec<u8>>, &mut Vec<Mark>) {
    match answer {
        ListAnswer::Pages { pages, marks } => (pages, marks),
        other => panic!("{other:?}"),
    }
}

/// [S7-15] what no digest proves is refused, whatever it is.
#[test]
fn lies_in_lists_are_refused_and_named() {
    tell(&[
        ("another page", "nothing names", |tale, request| {
            tale.compared(request, |answers| {
                let (pages, _) = pages_of(&mut answers[0]);
                pages[0][40] ^= 1;
            })
        }),
        ("half a page", "a page that is none", |tale, request| {
            tale.compared(request, |answers| {
                let (pages, _) = pages_of(&mut answers[0]);
                pages[0].pop();
            })
        }),
        ("a page too many", "nothing names", |tale, request| {
            tale.compared(request, |answers| {
                let (pages, _) = pages_of(&mut answers[0]);
                pages.push(vec![0]);
            })
        }),
        ("a mark too many", "a page that is none", |tale, request| {
            tale.compared(request, |answers| pages_of(&mut answers[0]).1.push(MARK))
        }),
        ("no page", "brings nothing", |tale, request| {
            tale.compared(request, |answers| {
                let (pages, marks) = pages_of(&mut answers[0]);
                pages.clear();
                marks.clear();
            })
        }),
        ("an answer too many", "not asked for", |tale, request| {
            tale.compared(request, |answers| answers.push(ListAnswer::Moved))
        }),
        (
            "leaves of a node that is held",
            "do not give",
            |tale, request| {
                tale.compared(request, |answers| {
                    answers[0] = ListAnswer::Leaves(vec![]);
                })
            },
        ),
        ("it moves for ever", "kept changing", |tale, request| {
            tale.compared(request, |answers| answers[0] = ListAnswer::Moved)
        }),
        (
            "leaves where there are none",
            "does not add up",
            |tale, request| {
                // Signed is a tree whose pages are cut at another place.
                let children = tale.children(b"");
                let mut page = vec![1];
                let digest = list_digest(&children, &mut |_| {});
                page.extend_from_slice(&(children[0].name.len() as u16).to_le_bytes());
                page.extend_from_slice(&children[0].name);
                page.extend_from_slice(digest.as_bytes());
                if request.kind == FrameKind::Lists {
                    return Some(
                        match request.decode::<Lists>().unwrap().lists[0].path.is_empty() {
                            false => vec![listed_of(&tale.listed(request))],
                            true => {
                                let mut answers = tale.listed(request);
                                pages_of(&mut answers[0]).0.push(page);
                                vec![listed_of(&answers)]
                            }
                        },
                    );
                }
                let root = Domain::Node.digest(&page);
                let snapshot = tale.snapshot(have_of(request));
                tale.apart(request, Snapshot { root, ..snapshot })
            },
        ),
        (
            "a child outside of everything",
            "no tree has",
            |tale, request| {
                let child = Child {
                    kind: ChildKind::Leaf,
                    name: b"../../x".to_vec(),
                    digest: Digest([1; 32]),
                };
                assert!(child_path(b"", &child).is_none());
                let mut pages = vec![];
                let root = list_digest(&[child], &mut |page| pages.push(page.wire()));
                if request.kind == FrameKind::Lists {
                    let marks = vec![MARK];
                    return Some(vec![listed_of(&[ListAnswer::Pages { pages, marks }])]);
                }
                let snapshot = tale.snapshot(have_of(request));
                tale.apart(request, Snapshot { root, ..snapshot })
            },
        ),
        (
            "lists that are a bomb",
            "does not decompress",
            |tale, request| {
                if request.kind == FrameKind::Lists {
                    let pack = bomb(PACK_RAW_BYTES_MAX as u32);
                    return Some(vec![Say::Frame(raw(FrameKind::Listed, pack))]);
                }
                tale.compared(request, |_| {})
            },
        ),
        ("lists of garbage", "wrong pack", |tale, request| {
            if request.kind == FrameKind::Lists {
                return Some(vec![Say::Frame(raw(FrameKind::Listed, noise(500, 6)))]);
            }
            tale.compared(request, |_| {})
        }),
        ("a proof for lists", "frame where", |tale, request| {
            if request.kind == FrameKind::Lists {
                return Some(vec![proof_of(&tale.proofs())]);
            }
            tale.compared(request, |_| {})
        }),
    ]);
}

/// [S8-12] changes that do not add up are no end: the trees are compared, and
/// what is proven then is taken.
#[test]
fn changes_that_do_not_add_up_are_made_up_for_by_comparing() {
    let site = copied();
    let tale = Tale::new(key_of(&site, "center"));
    let told = tale.clone();
    let evil = Evil::new(
        &tale.key,
        Arc::new(move |request| match request.kind {
            FrameKind::Pull => {
                let offer = Offer {
                    snapshot: told.sign(told.snapshot(have(request))),
                    base: ProofBase::Cursor,
                };
                let offer = Say::Frame(message(FrameKind::Offer, &offer));
                vec![offer, proof_of(&told.proofs()[1..]), end_of(1)]
            }
            FrameKind::Lists => vec![listed_of(&told.listed(request))],
            FrameKind::Acknowledge => vec![],
            _ => told.answer(request),
        }),
    );
    point_at(&site, evil.port);
    let report = sync_within(&site, 30).ok();
    assert_eq!(report["roots_equal"], true, "{report}");
    assert_eq!(look(&site.tree()).len(), 4);
    site.backup(&["verify"]).ok();
}
