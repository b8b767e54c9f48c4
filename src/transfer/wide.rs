//! A leaf with many files, of which nobody knows what differs: its manifest is
//! compared page by page, so that a change in a million entries costs a few
//! pages.

use hikae_protocol::entry::Entry;
use hikae_protocol::list::ListFetch;
use hikae_protocol::message::{ContentForm, DeltaEntry, ListAnswer, ListWant};
use hikae_protocol::tree::ChildKind;

use super::compare::fault;
use super::incoming::Incoming;
use super::replica::{Round, blocking};
use super::report::{Done, PullError};

impl Round<'_> {
    /// Brings a leaf to what was proven by pages of its manifest, and stages
    /// it.
    ///
    /// Errors: `PullError`.
    pub(super) async fn wide(&self, mut leaf: Incoming, done: &mut Done) -> Result<(), PullError> {
        let key = leaf.wanted.key.clone();
        let own: Vec<Entry> = leaf.held_entries();
        let mut list = ListFetch::new(leaf.wanted.digest, own, self.entries);
        let listed = loop {
            let wrong = |error| fault(key.as_bytes(), error);
            if let Some(listed) = list.whole().map_err(wrong)? {
                break listed;
            }
            let want = ListWant {
                path: key.as_bytes().to_vec(),
                kind: ChildKind::Leaf,
                digest: list.digest(),
                held: list.hints(),
                fresh: false,
            };
            done.requests += 1;
            match self.lists(vec![want]).await?.and_then(|mut one| one.pop()) {
                None | Some(ListAnswer::Moved) => {
                    done.moved += 1;
                    return Ok(());
                }
                Some(ListAnswer::Pages { pages, marks }) => {
                    if !list.take(&pages, marks).map_err(wrong)? {
                        return Err(fault(key.as_bytes(), "an answer that brings nothing"));
                    }
                }
                Some(ListAnswer::Leaves(_)) => {
                    return Err(fault(key.as_bytes(), "leaves for a manifest"));
                }
            }
        };
        let entries = listed.into_iter().map(|(entry, mark)| DeltaEntry {
            sequence: mark.map_or_else(|| leaf.held_sequence(&entry.path), |mark| mark.sequence),
            entry,
            content: ContentForm::Later,
        });
        let entries = entries.collect();
        leaf.listed(entries)?;
        match leaf.lacking().is_empty() {
            false => self.lacking(leaf, done).await,
            true => {
                let catalogue = self.catalogue.clone();
                blocking(move || Ok(catalogue.stage(vec![leaf.record()])?)).await
            }
        }
    }
}
