//! The messages of hikae/1, SPEC.md section 7.
//!
//! A replica asks on a stream of its own, a source answers there. No message
//! changes records, history or rights on the peer that receives it.
//! postcard: the order of fields and of variants is the format; append only.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::chunk::Chunk;
use crate::digest::Digest;
use crate::entry::Entry;
use crate::filter::ContentFilter;
use crate::frame::{Frame, FrameError};
use crate::limits::{ERROR_TEXT_BYTES_MAX, LARGE_BYTES_MIN};
use crate::objectpath::{LeafKey, ObjectPath, PathText};
use crate::pack::Items;
use crate::sent::{self, SentFetch};
use crate::snapshot::{Cursor, SignedSnapshot};
use crate::tree::ChildKind;

/// Why bytes are no message of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// postcard refused them.
    #[error("malformed: {0}")]
    Malformed(postcard::Error),
    /// A value, and then more.
    #[error("{0} bytes after the end")]
    Trailing(usize),
}

impl From<postcard::Error> for DecodeError {
    fn from(error: postcard::Error) -> DecodeError {
        DecodeError::Malformed(error)
    }
}

/// Decodes a value that fills `bytes`.
///
/// Errors: `DecodeError`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    match rest.len() {
        0 => Ok(value),
        trailing => Err(DecodeError::Trailing(trailing)),
    }
}

/// Asks for the newest snapshot and the proof of what changed since `have`.
/// The source brings its catalogue up to date first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// The cursor of the tree that the replica knows; none for a new replica.
    pub have: Option<Cursor>,
    /// Patterns of the volumes that it wants; none: every volume.
    pub volumes: Vec<String>,
    /// The digest of the list of bare volumes that it knows.
    pub bare: Option<Digest>,
}

impl Pull {
    /// Of every volume.
    pub fn all(have: Option<Cursor>) -> Pull {
        Pull {
            have,
            volumes: vec![],
            bare: None,
        }
    }
}

/// The first answer to a pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The newest snapshot.
    pub snapshot: SignedSnapshot,
    /// What the proof that follows starts from.
    pub base: ProofBase,
}

/// What a proof is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProofBase {
    /// The cursor named in the pull: leaves changed since.
    Cursor,
    /// Nothing, for the pull named nothing: every leaf is listed.
    Empty,
    /// Nothing: the cursor that was named means nothing here, and no leaf is
    /// listed. The trees have to be compared.
    Apart,
}

/// One leaf of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafProof {
    /// Which leaf.
    pub key: LeafKey,
    /// Its digest; none when it is no longer in the tree.
    pub digest: Option<Digest>,
    /// The commit that last changed it.
    pub sequence: u64,
    /// About how many bytes its new contents have: a hint for planning.
    pub weight: u64,
}

/// Ends a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofEnd {
    /// How many leaves were listed.
    pub leaves: u64,
}

/// The first bytes of a digest: enough to say what need not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PageHint(pub [u8; 8]);

/// Asks for lists of the tree by their digests: children of nodes, entries of
/// leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lists {
    /// The snapshot that the replica is going to.
    pub to: Cursor,
    /// The lists.
    pub lists: Vec<ListWant>,
}

/// One list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListWant {
    /// The path of the node, empty for the root, or the key of the leaf.
    pub path: Vec<u8>,
    /// A leaf's entries or a node's children.
    pub kind: ChildKind,
    /// The digest that the list has in the snapshot.
    pub digest: Digest,
    /// Pages that need not be sent, in order.
    pub held: Vec<PageHint>,
    /// Nothing below the node is held: all its leaves may be listed at once.
    pub fresh: bool,
}

/// The answer for one list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListAnswer {
    /// It is another one by now: pull again.
    Moved,
    /// Pages of it that are not held, as many as fit.
    Pages {
        /// As they are hashed, the level first.
        pages: Vec<Vec<u8>>,
        /// Of each item of the pages of level 0, in their order.
        marks: Vec<Mark>,
    },
    /// Every leaf below a node of which nothing is held.
    Leaves(Vec<LeafProof>),
}

/// What a source says beside an item of a list. No digest covers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Of a leaf or an entry: the commit that last changed it. Of a node 0.
    pub sequence: u64,
    /// Of a leaf: about how many bytes its contents have. Else 0.
    pub weight: u64,
}

/// Asks for a bundle: what changed in these leaves. Of each key travels what
/// differs from the key before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SentFetch", into = "SentFetch")]
pub struct Fetch {
    /// The snapshot that the replica is going to.
    pub to: Cursor,
    /// In canonical order.
    pub leaves: Vec<LeafWant>,
    /// Other contents do not come along; none: all of them may.
    pub only: Option<ContentFilter>,
}

/// What a replica wants of one leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafWant {
    /// Which leaf.
    pub key: LeafKey,
    /// The commit whose state of the leaf the replica has; none: everything.
    pub base: Option<u64>,
    /// Go on after this path: the rest of a delta that did not fit.
    pub after: Option<ObjectPath>,
    /// Whether small new contents come along inline.
    pub inline: bool,
    /// Contents that need not come along: the first bytes of their digests, in
    /// order.
    pub held: Vec<PageHint>,
}

/// The answer for one leaf. Size and digest of an inline content follow from its
/// bytes, and do not travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafDelta {
    /// Which leaf.
    pub key: LeafKey,
    /// What it says.
    pub state: DeltaState,
}

impl LeafDelta {
    /// What travels of it.
    ///
    /// Errors: postcard's.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        sent::encode(self)
    }

    /// Decodes a delta that came with these contents; those that it has inline
    /// are hashed.
    ///
    /// Errors: `DeltaError`.
    pub fn decode(bytes: &[u8], contents: &mut Inlined<'_>) -> Result<LeafDelta, DeltaError> {
        sent::receive(bytes, contents)
    }
}

/// The contents of a bundle while its deltas are decoded. An entry names one in a
/// few bytes: each may be named once, so no more is hashed than came.
#[derive(Debug)]
pub struct Inlined<'a> {
    items: &'a Items,
    named: Vec<bool>,
}

impl<'a> Inlined<'a> {
    /// Of which none is named yet.
    pub fn new(items: &'a Items) -> Inlined<'a> {
        Inlined {
            items,
            named: vec![false; items.len()],
        }
    }

    /// The content of an entry that names it.
    pub(crate) fn name(&mut self, path: &ObjectPath, index: u32) -> Result<&'a [u8], DeltaError> {
        let named = self.named.get_mut(index as usize);
        let (Some(named), Some(content)) = (named, self.items.get(index)) else {
            return Err(DeltaError::Absent(path.text()));
        };
        if content.len() as u64 >= LARGE_BYTES_MIN {
            return Err(DeltaError::Large(path.text()));
        }
        match std::mem::replace(named, true) {
            true => Err(DeltaError::Twice(path.text())),
            false => Ok(content),
        }
    }
}

/// Why bytes are no delta of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// They do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An inline content is not there.
    #[error("the content of {0} is not in the bundle")]
    Absent(PathText),
    /// An inline content that another entry has named.
    #[error("the content of {0} in the bundle is another entry's")]
    Twice(PathText),
    /// An inline content that has to come in chunks.
    #[error("the content of {0} is too large to be in a bundle")]
    Large(PathText),
}

/// Whether a delta is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeltaState {
    /// The leaf changed after the snapshot: pull again, it is in a newer one.
    Moved,
    /// What changed.
    Delta(Delta),
}

/// What changed in a leaf since the base of a `LeafWant`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delta {
    /// New or changed entries, by path.
    pub entries: Vec<DeltaEntry>,
    /// Removed paths, by path; paths that are entries again come after.
    pub tombstones: Vec<Tombstone>,
    /// There is more after the last path of this delta.
    pub more: bool,
}

/// An entry and where its content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaEntry {
    /// The entry.
    pub entry: Entry,
    /// The commit that brought it.
    pub sequence: u64,
    /// Where its content is.
    pub content: ContentForm,
}

/// Where the content of an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentForm {
    /// The leaf at the base has a file with this digest: a rename or copy.
    Held,
    /// Item of the bundle's contents.
    Inline(u32),
    /// To be asked for by `Contents`, if the replica needs it.
    Later,
    /// The source can't hand it out now: the file changed since the snapshot,
    /// or can't be read. To be asked for by `Contents` at another time.
    Lacking,
}

/// A path that was removed, kept outside of digests for younger cursors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The removed path.
    pub path: ObjectPath,
    /// The digest of what was there.
    pub digest: Digest,
    /// The commit that brought it.
    pub added: u64,
    /// The commit that removed it.
    pub removed: u64,
}

/// Asks for ranges of contents that were not inline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The snapshot that the replica is going to.
    pub to: Cursor,
    /// The leaf that has them.
    pub key: LeafKey,
    /// What is wanted; answered in order, one item each. An empty item for a
    /// range that is not empty: the source can't hand it out now.
    pub ranges: Vec<Range>,
}

/// A small content, or a chunk of a large one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Which file of the leaf.
    pub path: ObjectPath,
    /// The content that the replica expects there.
    pub digest: Digest,
    /// Which chunk of it; none: all of it.
    pub chunk: Option<ChunkAt>,
}

/// A chunk and where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkAt {
    /// First byte.
    pub offset: u64,
    /// The chunk.
    pub chunk: Chunk,
}

/// Asks where a large content is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunks {
    /// The snapshot that the replica is going to.
    pub to: Cursor,
    /// The leaf that has it.
    pub key: LeafKey,
    /// Which file of the leaf.
    pub path: ObjectPath,
    /// The content that the replica expects there.
    pub digest: Digest,
    /// Where to begin: 0, or where an earlier list ended.
    pub from: u64,
}

/// Some chunks of a large content, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkList {
    /// None: the source can't hand the content out now.
    pub chunks: Vec<Chunk>,
}

/// Tells a source how far the replica is, for the source's status only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge {
    /// What is durable.
    pub durable: Option<Cursor>,
    /// What the tree shows; none without a tree.
    pub published: Option<Cursor>,
    /// Contents of the durable snapshot that the source could not hand out.
    pub lacking: u64,
}

/// Shows a source a snapshot of its own that is beyond the one it offers: its
/// catalogue was restored from an older image, and it must begin the next
/// epoch. Only its own signature makes it do so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beyond {
    /// What the replica holds.
    pub held: SignedSnapshot,
}

/// A request was not granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code:?}: {text}")]
pub struct Refused {
    /// Why.
    pub code: RefusedCode,
    /// In words, for a person.
    pub text: String,
}

impl Refused {
    /// Decodes a refusal; its text is cut to its bound and escaped, for it is
    /// a peer's.
    ///
    /// Errors: `FrameError::Decode`.
    pub fn received(frame: &Frame) -> Result<Refused, FrameError> {
        let refused: Refused = frame.decode()?;
        let bytes = refused.text.as_bytes();
        let bytes = bytes.get(..ERROR_TEXT_BYTES_MAX).unwrap_or(bytes);
        Ok(Refused {
            text: PathText::new(bytes).to_string(),
            ..refused
        })
    }
}

/// Why a request was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusedCode {
    /// The request breaks the protocol.
    Malformed,
    /// The peer may not have this.
    Forbidden,
    /// The content or leaf is no longer what was asked for: pull again.
    Moved,
    /// The source can't answer now; its catalogue or disk fails.
    Unavailable,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::FrameKind;
    use crate::pack::PackBuilder;
    use crate::snapshot::Epoch;

    fn contents(items: &[&[u8]]) -> Items {
        let mut pack = PackBuilder::default();
        for item in items {
            pack.push(item);
        }
        pack.finish(3).unwrap().unpack().unwrap()
    }

    fn received(bytes: &[u8], items: &[&[u8]]) -> Result<LeafDelta, DeltaError> {
        LeafDelta::decode(bytes, &mut Inlined::new(&contents(items)))
    }

    proptest! {
        /// [S4-4] decoding hostile bytes gives an error, never a panic.
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Pull>(&bytes);
            let _ = decode::<Offer>(&bytes);
            let _ = decode::<LeafProof>(&bytes);
            let _ = decode::<Lists>(&bytes);
            let _ = decode::<ListAnswer>(&bytes);
            let _ = decode::<Fetch>(&bytes);
            let _ = received(&bytes, &[b"one"]);
            let _ = decode::<Contents>(&bytes);
            let _ = decode::<Chunks>(&bytes);
            let _ = decode::<ChunkList>(&bytes);
            let _ = decode::<Refused>(&bytes);
        }
    }

    /// [S1-2] what is no value of its type is refused, and so is every end
    /// before the last field.
    #[test]
    fn what_is_no_value_is_refused() {
        for pull in [&[2][..], &[0, 2], &[1], &[]] {
            assert!(decode::<Pull>(pull).is_err(), "{pull:02x?}");
        }
        let nines = |last: u8| [&[0xff; 9][..], &[last]].concat();
        assert!(decode::<ProofEnd>(&nines(1)).is_ok());
        assert!(decode::<ProofEnd>(&nines(2)).is_err());
        assert!(decode::<ProofEnd>(&[0xff; 11]).is_err());
        assert!(decode::<RefusedCode>(&[4]).is_err());
        assert!(decode::<Refused>(&[0, 2, b'a', 0xff]).is_err());
        // F/L, a delta of one entry `a`: its form, no tombstones, no more.
        let delta = |form: &[u8]| {
            let before = &[3, b'F', b'/', b'L', 1, 1, 1, b'a', 0, 1][..];
            received(&[before, form, &[0, 0]].concat(), &[b"one"])
        };
        for form in [&[4][..], &[1], &[1, 0xff, 0xff, 0xff, 0xff, 0x10], &[]] {
            let refused = delta(form).unwrap_err();
            assert!(matches!(refused, DeltaError::Decode(_)), "{form:02x?}");
        }
        let beyond = delta(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(matches!(beyond, Err(DeltaError::Absent(_))));
        assert!(delta(&[1, 0]).is_ok());
        let whole = postcard::to_stdvec(&fetch(&["F/L"])).unwrap();
        assert_eq!(decode::<Fetch>(&whole), Ok(fetch(&["F/L"])));
        for cut in 0..whole.len() {
            assert!(decode::<Fetch>(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    fn fetch(keys: &[&str]) -> Fetch {
        let want = |key: &&str| LeafWant {
            key: LeafKey::parse(key.as_bytes()).unwrap(),
            base: Some(300),
            after: Some(ObjectPath::parse(b"a").unwrap()),
            inline: true,
            held: vec![PageHint([7; 8])],
        };
        Fetch {
            to: Cursor {
                epoch: Epoch {
                    counter: 1,
                    random: [7; 16],
                },
                sequence: 300,
            },
            leaves: keys.iter().map(want).collect(),
            only: None,
        }
    }

    /// [S7-23] a key says what differs from the one before, in any order; a share
    /// of more than there is, or that leaves no key, is refused.
    #[test]
    fn keys_share_what_they_begin_with() {
        let keys = ["F/L/001", "F/L/001/002", "F/L/001/003", "A/B", "A/B"];
        let told = fetch(&keys);
        let bytes = postcard::to_stdvec(&told).unwrap();
        assert_eq!(decode::<Fetch>(&bytes), Ok(told));
        let size = |keys: &[&str]| postcard::to_stdvec(&fetch(keys)).unwrap().len();
        let each = |key: &&str| size(&[key]) - size(&[]);
        // 7, 10 and 3 bytes of the keys before.
        let saved = keys.iter().map(each).sum::<usize>() - (bytes.len() - size(&[]));
        assert_eq!(saved, 7 + 10 + 3);
        let mut whole = postcard::to_stdvec(&fetch(&["F/L", "F/M"])).unwrap();
        let second = whole.windows(3).position(|at| at == [2, 1, b'M']).unwrap();
        for shared in [4, 0] {
            whole[second] = shared;
            assert!(decode::<Fetch>(&whole).is_err(), "{shared}");
        }
    }

    /// [S7-9] size and digest of an inline content are those of its bytes.
    #[test]
    fn an_inline_content_is_known_by_its_bytes() {
        let entry = |content: &[u8], form| DeltaEntry {
            entry: Entry {
                path: ObjectPath::parse(b"a").unwrap(),
                size: content.len() as u64,
                mtime_ns: -1,
                digest: Digest::of_content(content),
            },
            sequence: 300,
            content: form,
        };
        let delta = |entry| LeafDelta {
            key: LeafKey::parse(b"F/L").unwrap(),
            state: DeltaState::Delta(Delta {
                entries: vec![entry],
                ..Delta::default()
            }),
        };
        let told = delta(entry(b"two", ContentForm::Inline(1)));
        let bytes = told.encode().unwrap();
        assert_eq!(received(&bytes, &[b"one", b"two"]), Ok(told));
        let other = received(&bytes, &[b"one", b"other"]);
        let other_told = delta(entry(b"other", ContentForm::Inline(1)));
        assert_eq!(other, Ok(other_told));
        for form in [ContentForm::Held, ContentForm::Later, ContentForm::Lacking] {
            let told = delta(entry(b"three", form));
            let longer = told.encode().unwrap();
            assert_eq!(longer.len(), bytes.len() + 32);
            assert_eq!(received(&longer, &[]), Ok(told));
        }
        let large = vec![7; LARGE_BYTES_MIN as usize];
        let refused = received(&bytes, &[b"one", &large]).unwrap_err();
        assert!(matches!(refused, DeltaError::Large(_)));
        assert!(received(&bytes, &[b"one", &large[1..]]).is_ok());
        // Of two leaves, in one bundle.
        let items = contents(&[b"one", b"two"]);
        let mut both = Inlined::new(&items);
        assert!(LeafDelta::decode(&bytes, &mut both).is_ok());
        let refused = LeafDelta::decode(&bytes, &mut both).unwrap_err();
        assert!(matches!(refused, DeltaError::Twice(_)));
    }

    /// [S7-12] a refusal's text is cut to its bound, and escaped.
    #[test]
    fn a_refusal_is_cut_and_escaped() {
        let received = |text: String| {
            let code = RefusedCode::Moved;
            let frame = Frame::message(FrameKind::Refused, &Refused { code, text }).unwrap();
            Refused::received(&frame).unwrap().text
        };
        assert_eq!(received("x".repeat(3000)), "x".repeat(1024));
        assert_eq!(received("\x1b[2J控\n".into()), "\\u{1b}[2J控\\n");
        // Cut inside of a letter.
        assert!(received("控".repeat(400)).ends_with("控\\xe6"));
    }

    /// [S1-3] a message fills its bytes.
    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = postcard::to_stdvec(&ProofEnd { leaves: 3 }).unwrap();
        bytes.push(0);
        assert_eq!(decode::<ProofEnd>(&bytes), Err(DecodeError::Trailing(1)));
    }
}
