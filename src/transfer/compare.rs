//! Tree compare: from the signed root down to the leaves that differ, level by
//! level, all lists of a level in one wave of requests.
//!
//! Every page is proven by the digest that a proven page above it names. What
//! came stays when a node moved on at the source: the next round, with a newer
//! snapshot, asks only for what is new in it.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use hikae_protocol::digest::Digest;
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::{FRESH_LEAVES_MAX, REQUEST_BYTES_MAX};
use hikae_protocol::list::{ListError, ListFetch, Listed};
use hikae_protocol::message::{LeafProof, ListAnswer, ListWant, Lists, RefusedCode, decode};
use hikae_protocol::objectpath::{LeafKey, PathText};
use hikae_protocol::snapshot::VerifiedSnapshot;
use hikae_protocol::tree::{Child, ChildKind, child_path, node_digest};

use super::link::LinkError;
use super::proof::BareChange;
use super::replica::Round;
use super::report::PullError;

/// About how many bytes of the answer are one list.
const LIST_BYTES: u64 = 8 * 1024;

/// Lists in one request.
const LISTS: usize = 1024;

/// Lists of nodes that came in this pull, by path.
#[derive(Default)]
pub(super) struct Seen(HashMap<Vec<u8>, ListFetch<Child>>);

/// A node that differs, and its list of children as far as it came.
struct Open {
    path: Vec<u8>,
    list: ListFetch<Child>,
}

/// What a comparison found so far.
#[derive(Default)]
struct Found {
    leaves: Vec<LeafProof>,
    moved: bool,
}

impl Round<'_> {
    /// The leaves in which the own tree differs from that of `snapshot`, in
    /// canonical order; none if the source's tree moved on meanwhile.
    ///
    /// Errors: `PullError`.
    pub(super) async fn compare(
        &self,
        (snapshot, volumes): (&VerifiedSnapshot, &BareChange),
        seen: &mut Seen,
        round_trips: &mut u64,
    ) -> Result<Option<Vec<LeafProof>>, PullError> {
        let leaves_max = snapshot.snapshot().leaves;
        let mut found = Found::default();
        let mut open = vec![self.open(vec![], snapshot.snapshot().root, leaves_max, seen)?];
        loop {
            let mut waiting = Vec::new();
            while let Some(node) = open.pop() {
                match node
                    .list
                    .whole()
                    .map_err(|error| fault(&node.path, error))?
                {
                    None => waiting.push(node),
                    Some(listed) => {
                        for (path, digest) in
                            self.differences(&node, listed, volumes, &mut found)?
                        {
                            open.push(self.open(path, digest, leaves_max, seen)?);
                        }
                        seen.0.insert(node.path, node.list);
                    }
                }
            }
            if waiting.is_empty() || found.moved {
                seen.0
                    .extend(waiting.into_iter().map(|node| (node.path, node.list)));
                break;
            }
            *round_trips += 1;
            waiting.sort_unstable_by(|one, two| one.path.cmp(&two.path));
            let mut answers = stream::iter(requests(waiting))
                .map(|nodes| self.ask_lists(nodes))
                .buffer_unordered(self.links.requests());
            while let Some((nodes, answers)) = answers.try_next().await? {
                open.append(&mut taken(nodes, answers, &mut found, seen)?);
            }
        }
        if found.moved {
            return Ok(None);
        }
        let mut leaves = found.leaves;
        leaves.sort_unstable_by(|one, two| one.key.cmp(&two.key));
        Ok(Some(leaves))
    }

    fn open(
        &self,
        path: Vec<u8>,
        digest: Digest,
        leaves_max: u64,
        seen: &mut Seen,
    ) -> Result<Open, PullError> {
        let list = match seen.0.remove(&path) {
            Some(mut list) => {
                list.retarget(digest, leaves_max);
                list
            }
            None => ListFetch::new(digest, self.catalogue.view().children(&path)?, leaves_max),
        };
        Ok(Open { path, list })
    }

    /// Asks for lists; without an answer for any if the source has begun
    /// another epoch.
    async fn ask_lists(
        &self,
        nodes: Vec<Open>,
    ) -> Result<(Vec<Open>, Option<Vec<ListAnswer>>), PullError> {
        let lists = nodes.iter().map(|node| ListWant {
            path: node.path.clone(),
            kind: ChildKind::Node,
            digest: node.list.digest(),
            held: node.list.hints(),
            fresh: node.list.own().is_empty(),
        });
        let answers = self.lists(lists.collect()).await?;
        Ok((nodes, answers))
    }

    /// The answers for lists, one for each; none if another epoch has begun.
    ///
    /// Errors: `PullError`.
    pub(super) async fn lists(
        &self,
        lists: Vec<ListWant>,
    ) -> Result<Option<Vec<ListAnswer>>, PullError> {
        let count = lists.len();
        let request = Lists { to: self.to, lists };
        let frame = Frame::message(FrameKind::Lists, &request).map_err(LinkError::from)?;
        let answer = match self
            .ask(&frame, FrameKind::Listed, count as u64 * LIST_BYTES)
            .await
        {
            Err(PullError::Refused(refused)) if refused.code == RefusedCode::Moved => {
                return Ok(None);
            }
            answer => answer?,
        };
        let link = |error| PullError::Link(LinkError::from(error));
        let items = answer.unpack().map_err(link)?;
        let items = items
            .unpack()
            .map_err(|error| link(answer.wrong_pack(error)))?;
        let answers = items.iter().map(decode::<ListAnswer>);
        let answers: Vec<ListAnswer> = answers
            .collect::<Result<_, _>>()
            .map_err(|error| link(answer.wrong(error)))?;
        match answers.len() == count {
            true => Ok(Some(answers)),
            false => Err(PullError::Fault("lists that were not asked for".into())),
        }
    }

    /// Compares a node's children with the own ones: leaves that differ are
    /// found, nodes are said.
    fn differences(
        &self,
        node: &Open,
        listed: Listed<Child>,
        volumes: &BareChange,
        found: &mut Found,
    ) -> Result<Vec<(Vec<u8>, Digest)>, PullError> {
        let path_of = |child: &Child| {
            child_path(&node.path, child)
                .and_then(|path| Some((LeafKey::parse(&path).ok()?, path)))
                .ok_or_else(|| fault(&node.path, "a child that no tree has"))
        };
        let mut own: BTreeMap<(&[u8], ChildKind), Digest> = BTreeMap::new();
        for child in node.list.own() {
            // Of a bare volume nothing is held below its digest.
            if !node.path.is_empty() || !self.catalogue.is_bare(&child.name)? {
                own.insert((&child.name, child.kind), child.digest);
            }
        }
        let mut nodes = Vec::new();
        for (child, mark) in &listed {
            let held = own.remove(&(&child.name[..], child.kind));
            let is_bare = node.path.is_empty() && volumes.is_bare(&child.name);
            if held == Some(child.digest) || is_bare {
                continue;
            }
            let (key, path) = path_of(child)?;
            let mark = mark.unwrap_or_default();
            match child.kind {
                ChildKind::Node => nodes.push((path, child.digest)),
                ChildKind::Leaf => found.leaves.push(LeafProof {
                    key,
                    digest: Some(child.digest),
                    sequence: mark.sequence,
                    weight: held.map_or(mark.weight, |_| 0),
                }),
            }
        }
        for (name, kind) in own.into_keys() {
            let child = Child {
                kind,
                name: name.to_vec(),
                digest: node.list.digest(),
            };
            let (key, path) = path_of(&child)?;
            match kind {
                ChildKind::Leaf => found.leaves.push(self.removed(key)),
                ChildKind::Node => {
                    for (key, value) in self.catalogue.view().leaves_below(&path)? {
                        if value.entries > 0 && key.as_bytes() != path {
                            found.leaves.push(self.removed(key));
                        }
                    }
                }
            }
        }
        Ok(nodes)
    }

    /// A leaf that is not in the tree any more; when it went is not known.
    fn removed(&self, key: LeafKey) -> LeafProof {
        LeafProof {
            key,
            digest: None,
            sequence: self.to.sequence,
            weight: 0,
        }
    }
}

/// Takes the answers for nodes; says which are to be looked at again.
fn taken(
    nodes: Vec<Open>,
    answers: Option<Vec<ListAnswer>>,
    found: &mut Found,
    seen: &mut Seen,
) -> Result<Vec<Open>, PullError> {
    let Some(answers) = answers else {
        found.moved = true;
        seen.0
            .extend(nodes.into_iter().map(|node| (node.path, node.list)));
        return Ok(vec![]);
    };
    let mut open = Vec::new();
    let mut progress = false;
    for (mut node, answer) in nodes.into_iter().zip(answers) {
        match answer {
            ListAnswer::Moved => {
                progress = true;
                found.moved = true;
                seen.0.insert(node.path, node.list);
            }
            ListAnswer::Pages { pages, marks } => {
                let new = node.list.take(&pages, marks);
                progress |= new.map_err(|error| fault(&node.path, error))?;
                open.push(node);
            }
            ListAnswer::Leaves(leaves) => {
                progress = true;
                check_leaves(&node, &leaves)?;
                found.leaves.extend(leaves);
            }
        }
    }
    match progress {
        true => Ok(open),
        false => Err(PullError::Fault("an answer that brings nothing".into())),
    }
}

/// All leaves below a node of which nothing is held: they have to give its
/// digest.
fn check_leaves(node: &Open, leaves: &[LeafProof]) -> Result<(), PullError> {
    let above = match node.path.is_empty() {
        true => vec![],
        false => [&node.path[..], b"/"].concat(),
    };
    let mut digests = BTreeMap::new();
    for leaf in leaves {
        let digest = leaf
            .digest
            .filter(|_| leaf.key.as_bytes().starts_with(&above));
        let digest = digest.ok_or_else(|| fault(&node.path, "a leaf that is not below it"))?;
        digests.insert(leaf.key.clone(), digest);
    }
    let fits = node.list.own().is_empty()
        && leaves.len() <= FRESH_LEAVES_MAX
        && digests.len() == leaves.len()
        && node_digest(&node.path, &digests) == Some(node.list.digest());
    match fits {
        true => Ok(()),
        false => Err(fault(&node.path, "its leaves do not give its digest")),
    }
}

/// Cuts nodes into requests.
fn requests(nodes: Vec<Open>) -> Vec<Vec<Open>> {
    let mut requests: Vec<Vec<Open>> = Vec::new();
    let mut bytes = 0;
    for node in nodes {
        let size = node.path.len() + 64 + 8 * node.list.hints().len();
        let full = bytes + size > REQUEST_BYTES_MAX / 2
            || requests.last().is_none_or(|request| request.len() == LISTS);
        if full {
            requests.push(vec![]);
            bytes = 0;
        }
        bytes += size;
        if let Some(request) = requests.last_mut() {
            request.push(node);
        }
    }
    requests
}

pub(super) fn fault(path: &[u8], what: impl std::fmt::Display) -> PullError {
    PullError::Fault(format!("{}: {what}", PathText::new(path)))
}

impl From<ListError> for PullError {
    fn from(error: ListError) -> PullError {
        PullError::Fault(error.to_string())
    }
}
