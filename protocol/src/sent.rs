//! How messages travel that leave away what follows from elsewhere, SPEC.md
//! 7.4 and 7.5: what a key begins with, size and digest of an inline content.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::entry::Entry;
use crate::filter::ContentFilter;
use crate::limits::FETCH_LEAVES_MAX;
use crate::message::{
    ContentForm, Delta, DeltaEntry, DeltaError, DeltaState, Fetch, Inlined, LeafDelta, LeafWant,
    PageHint, Tombstone, decode,
};
use crate::objectpath::{LeafKey, ObjectPath, PathError};
use crate::snapshot::Cursor;

/// A fetch whose keys say only what is new in them.
#[derive(Serialize, Deserialize)]
pub(crate) struct SentFetch {
    to: Cursor,
    leaves: Vec<SentWant>,
    only: Option<ContentFilter>,
}

#[derive(Serialize, Deserialize)]
struct SentWant {
    /// With so many bytes of the key before the key begins.
    shared: u32,
    rest: Vec<u8>,
    base: Option<u64>,
    after: Option<ObjectPath>,
    inline: bool,
    held: Vec<PageHint>,
}

impl From<Fetch> for SentFetch {
    fn from(fetch: Fetch) -> SentFetch {
        let mut before: Option<LeafKey> = None;
        let leaves = fetch.leaves.into_iter().map(|want| {
            let (key, last) = (want.key.as_bytes(), before.as_ref());
            let last = last.map_or(&b""[..], LeafKey::as_bytes);
            let same = key.iter().zip(last).take_while(|(one, two)| one == two);
            let shared = same.count();
            let rest = key.get(shared..).unwrap_or_default().to_vec();
            before = Some(want.key);
            SentWant {
                shared: shared as u32,
                rest,
                base: want.base,
                after: want.after,
                inline: want.inline,
                held: want.held,
            }
        });
        SentFetch {
            to: fetch.to,
            leaves: leaves.collect(),
            only: fetch.only,
        }
    }
}

/// Why what travelled is no fetch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("a key begins with more than the key before has")]
    Shared,
    /// Each may stand for a long key: so many are never made.
    #[error("more leaves than one fetch may name")]
    Many,
}

impl TryFrom<SentFetch> for Fetch {
    type Error = FetchError;

    fn try_from(sent: SentFetch) -> Result<Fetch, FetchError> {
        if sent.leaves.len() > FETCH_LEAVES_MAX {
            return Err(FetchError::Many);
        }
        let mut before = Vec::new();
        let mut leaves = Vec::with_capacity(sent.leaves.len());
        for want in sent.leaves {
            if want.shared as usize > before.len() {
                return Err(FetchError::Shared);
            }
            before.truncate(want.shared as usize);
            before.extend_from_slice(&want.rest);
            leaves.push(LeafWant {
                key: LeafKey::parse(&before)?,
                base: want.base,
                after: want.after,
                inline: want.inline,
                held: want.held,
            });
        }
        Ok(Fetch {
            to: sent.to,
            leaves,
            only: sent.only,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct SentLeaf {
    key: LeafKey,
    state: SentState,
}

#[derive(Serialize, Deserialize)]
enum SentState {
    Moved,
    Delta(SentDelta),
}

#[derive(Serialize, Deserialize)]
struct SentDelta {
    entries: Vec<SentEntry>,
    tombstones: Vec<Tombstone>,
    more: bool,
}

#[derive(Serialize, Deserialize)]
struct SentEntry {
    path: ObjectPath,
    mtime_ns: i64,
    sequence: u64,
    content: SentForm,
}

#[derive(Serialize, Deserialize)]
enum SentForm {
    Held(Named),
    Inline(u32),
    Later(Named),
    Lacking(Named),
}

/// A content that does not come along.
#[derive(Serialize, Deserialize)]
struct Named {
    size: u64,
    digest: Digest,
}

impl From<&DeltaEntry> for SentEntry {
    fn from(entry: &DeltaEntry) -> SentEntry {
        let named = Named {
            size: entry.entry.size,
            digest: entry.entry.digest,
        };
        SentEntry {
            path: entry.entry.path.clone(),
            mtime_ns: entry.entry.mtime_ns,
            sequence: entry.sequence,
            content: match entry.content {
                ContentForm::Held => SentForm::Held(named),
                ContentForm::Inline(index) => SentForm::Inline(index),
                ContentForm::Later => SentForm::Later(named),
                ContentForm::Lacking => SentForm::Lacking(named),
            },
        }
    }
}

impl SentEntry {
    fn received(self, contents: &mut Inlined<'_>) -> Result<DeltaEntry, DeltaError> {
        let (content, named) = match self.content {
            SentForm::Held(named) => (ContentForm::Held, named),
            SentForm::Later(named) => (ContentForm::Later, named),
            SentForm::Lacking(named) => (ContentForm::Lacking, named),
            SentForm::Inline(index) => {
                let content = contents.name(&self.path, index)?;
                let named = Named {
                    size: content.len() as u64,
                    digest: Digest::of_content(content),
                };
                (ContentForm::Inline(index), named)
            }
        };
        Ok(DeltaEntry {
            entry: Entry {
                path: self.path,
                size: named.size,
                mtime_ns: self.mtime_ns,
                digest: named.digest,
            },
            sequence: self.sequence,
            content,
        })
    }
}

/// What travels of a delta.
pub(crate) fn encode(delta: &LeafDelta) -> Result<Vec<u8>, postcard::Error> {
    let state = match &delta.state {
        DeltaState::Moved => SentState::Moved,
        DeltaState::Delta(delta) => SentState::Delta(SentDelta {
            entries: delta.entries.iter().map(SentEntry::from).collect(),
            tombstones: delta.tombstones.clone(),
            more: delta.more,
        }),
    };
    let key = delta.key.clone();
    postcard::to_stdvec(&SentLeaf { key, state })
}

/// A delta that came with these contents.
pub(crate) fn receive(bytes: &[u8], contents: &mut Inlined<'_>) -> Result<LeafDelta, DeltaError> {
    let sent: SentLeaf = decode(bytes)?;
    let state = match sent.state {
        SentState::Moved => DeltaState::Moved,
        SentState::Delta(delta) => {
            let entries = delta.entries.into_iter();
            let entries: Result<Vec<DeltaEntry>, DeltaError> =
                entries.map(|entry| entry.received(contents)).collect();
            DeltaState::Delta(Delta {
                entries: entries?,
                tombstones: delta.tombstones,
                more: delta.more,
            })
        }
    };
    let key = sent.key;
    Ok(LeafDelta { key, state })
}
