//! The contents that a bundle did not bring: small ones together, large ones
//! by chunks, and those that the source can't hand out.
//!
//! What came is staged now and then, and however it ends: it is not asked for
//! again.

use hikae_protocol::digest::Digest;
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::{BUNDLE_BYTES, LARGE_BYTES_MIN};
use hikae_protocol::message::{Contents, DeltaEntry, Range, RefusedCode};
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::pack::Pack;

use super::incoming::{Incoming, check_content};
use super::link::LinkError;
use super::replica::{Round, blocking};
use super::report::{Done, PullError};
use crate::catalogue::ContentPlace;

/// Bytes of a leaf's contents that wait until it is staged, at least.
const UNSTAGED_BYTES: u64 = 8 * 1024 * 1024;
/// And as many for each entry of the leaf: staging writes them all.
const UNSTAGED_BYTES_ENTRY: u64 = 256;

/// A leaf whose contents arrive.
pub(super) struct Gathering {
    pub leaf: Incoming,
    /// Bytes that came since it was staged.
    pub unstaged: u64,
}

impl Gathering {
    /// Whether it is time to stage it.
    pub(super) fn is_due(&self) -> bool {
        let weight = self.leaf.entries() as u64 * UNSTAGED_BYTES_ENTRY;
        self.unstaged >= UNSTAGED_BYTES.max(weight)
    }
}

impl Round<'_> {
    /// Fetches the contents that a leaf lacks, and stages it.
    pub(super) async fn lacking(&self, leaf: Incoming, done: &mut Done) -> Result<(), PullError> {
        let received = done.received;
        let mut gathering = Gathering { leaf, unstaged: 0 };
        let result = self.gather(&mut gathering, done).await;
        let came = done.received > received || gathering.unstaged > 0;
        if came || result.is_ok() && !gathering.leaf.is_held() {
            self.stage(&mut gathering).await?;
        }
        match result {
            Err(PullError::Refused(refused)) if refused.code == RefusedCode::Moved => {
                done.moved += 1;
                Ok(())
            }
            other => other,
        }
    }

    async fn gather(&self, gathering: &mut Gathering, done: &mut Done) -> Result<(), PullError> {
        let (small, large): (Vec<_>, Vec<_>) = gathering
            .leaf
            .lacking()
            .into_iter()
            .partition(|entry| entry.entry.size < LARGE_BYTES_MIN);
        // First: it keeps what an earlier attempt left.
        self.large(gathering, large, done).await?;
        for batch in batches(small) {
            for (digest, place) in self.small(&gathering.leaf, &batch, done).await? {
                gathering.leaf.stored(digest, place);
            }
            gathering.unstaged += batch.iter().map(|entry| entry.entry.size).sum::<u64>();
            if gathering.is_due() {
                self.stage(gathering).await?;
            }
        }
        Ok(())
    }

    /// Stages what there is of a leaf; what is missing counts as lacking.
    pub(super) async fn stage(&self, gathering: &mut Gathering) -> Result<(), PullError> {
        gathering.unstaged = 0;
        let record = gathering.leaf.record();
        let catalogue = self.catalogue.clone();
        blocking(move || {
            catalogue.stage(vec![record])?;
            Ok(catalogue.sync_if_due()?)
        })
        .await
    }

    async fn small(
        &self,
        leaf: &Incoming,
        batch: &[DeltaEntry],
        done: &mut Done,
    ) -> Result<Vec<(Digest, ContentPlace)>, PullError> {
        let ranges = batch
            .iter()
            .map(|entry| Range {
                path: entry.entry.path.clone(),
                digest: entry.entry.digest,
                chunk: None,
            })
            .collect();
        done.requests += 1;
        let bytes = batch.iter().map(|entry| entry.entry.size).sum();
        let pack = self.ranges(&leaf.wanted.key, ranges, bytes).await?;
        let items = unpacked(&pack)?;
        if items.len() != batch.len() {
            return Err(PullError::Fault(
                "fewer contents than were asked for".into(),
            ));
        }
        let is_lacking =
            |entry: &DeltaEntry, content: &[u8]| content.is_empty() && entry.entry.size > 0;
        let mut held = 0;
        for (entry, content) in batch.iter().zip(items.iter()) {
            if !is_lacking(entry, content) {
                check_content(&leaf.wanted.key, entry, content)?;
                held += 1;
                done.bytes += entry.entry.size;
            }
        }
        done.received += held;
        let block = match held {
            0 => 0,
            _ => self.append(pack).await?,
        };
        let places = batch.iter().zip(items.iter()).zip(0..);
        Ok(places
            .map(|((entry, content), index)| {
                let place = match is_lacking(entry, content) {
                    true => ContentPlace::Lacking,
                    false => ContentPlace::Item { block, index },
                };
                (entry.entry.digest, place)
            })
            .collect())
    }

    /// Small contents or chunks, of about so many bytes.
    pub(super) async fn ranges(
        &self,
        key: &LeafKey,
        ranges: Vec<Range>,
        bytes: u64,
    ) -> Result<Pack, PullError> {
        let contents = Contents {
            to: self.to,
            key: key.clone(),
            ranges,
        };
        let frame = Frame::message(FrameKind::Contents, &contents).map_err(LinkError::from)?;
        let answer = self.ask(&frame, FrameKind::Ranges, bytes).await?;
        answer
            .unpack()
            .map_err(|error| PullError::Link(error.into()))
    }

    async fn append(&self, pack: Pack) -> Result<u64, PullError> {
        let catalogue = self.catalogue.clone();
        blocking(move || Ok(catalogue.append_contents(&pack)?)).await
    }
}

/// The items of a pack of contents.
///
/// Errors: `PullError::Fault`.
pub(super) fn unpacked(pack: &Pack) -> Result<hikae_protocol::pack::Items, PullError> {
    pack.unpack()
        .map_err(|error| PullError::Fault(format!("contents do not unpack: {error}")))
}

/// Small contents, cut into requests.
fn batches(entries: Vec<DeltaEntry>) -> Vec<Vec<DeltaEntry>> {
    let mut batches: Vec<Vec<DeltaEntry>> = Vec::new();
    let mut bytes = u64::MAX;
    for entry in entries {
        let full = bytes.saturating_add(entry.entry.size) > BUNDLE_BYTES as u64
            || batches.last().is_some_and(|batch| batch.len() >= 128);
        if full {
            batches.push(vec![]);
            bytes = 0;
        }
        bytes += entry.entry.size;
        if let Some(batch) = batches.last_mut() {
            batch.push(entry);
        }
    }
    batches
}
