//! The contents that a bundle did not bring: small ones together, large ones
//! piece by piece, and those that the source can't hand out.

use futures_util::{StreamExt, TryStreamExt, stream};
use hikae_protocol::digest::Digest;
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::{BUNDLE_BYTES, LARGE_BYTES_MIN};
use hikae_protocol::message::{Contents, DeltaEntry, Range, RefusedCode};
use hikae_protocol::pack::{Pack, PackBuilder};

use super::incoming::{Incoming, check_content};
use super::link::LinkError;
use super::replica::{Done, PullError, Round, blocking};
use crate::catalogue::ContentPlace;

/// Pieces of one large file that are on their way at once.
const PIECES: usize = 4;
impl Round<'_> {
    /// Fetches the contents that a leaf lacks, and stages it.
    pub(super) async fn lacking(
        &self,
        mut leaf: Incoming,
        done: &mut Done,
    ) -> Result<(), PullError> {
        let received = done.received;
        let (small, large): (Vec<_>, Vec<_>) = leaf
            .lacking()
            .into_iter()
            .partition(|entry| entry.entry.size < LARGE_BYTES_MIN);
        for batch in batches(small) {
            match self.small(&leaf, &batch, done).await {
                Ok(places) => places
                    .into_iter()
                    .for_each(|(digest, place)| leaf.stored(digest, place)),
                Err(error) => return moved_or(error, done),
            }
        }
        for entry in large {
            match self.large(&leaf, &entry, done).await {
                Ok(place) => leaf.stored(entry.entry.digest, place),
                Err(error) => return moved_or(error, done),
            }
        }
        if leaf.is_held() && done.received == received {
            return Ok(());
        }
        let catalogue = self.catalogue.clone();
        blocking(move || Ok(catalogue.stage(vec![leaf.record()?])?)).await
    }

    async fn small(
        &self,
        leaf: &Incoming,
        batch: &[DeltaEntry],
        done: &mut Done,
    ) -> Result<Vec<(Digest, ContentPlace)>, PullError> {
        let ranges = batch
            .iter()
            .map(|entry| range(entry, 0, entry.entry.size as u32))
            .collect();
        let pack = self.ranges(leaf, ranges, done).await?;
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

    /// A large content, piece by piece; it is believed, and referred to, only
    /// when the whole has the proven digest. Lacking when a piece is.
    async fn large(
        &self,
        leaf: &Incoming,
        entry: &DeltaEntry,
        done: &mut Done,
    ) -> Result<ContentPlace, PullError> {
        let size = entry.entry.size;
        let piece = BUNDLE_BYTES as u64;
        let offsets = (0..size.div_ceil(piece)).map(|at| at * piece);
        let mut requests = 0;
        let mut pieces = stream::iter(offsets)
            .map(|offset| {
                let length = piece.min(size - offset) as u32;
                let mut own = Done::default();
                async move {
                    self.ranges(leaf, vec![range(entry, offset, length)], &mut own)
                        .await
                }
            })
            .buffered(PIECES.max(self.links.requests()));
        let fault = || {
            PullError::Fault(format!(
                "the content of {}/{} is not the proven one",
                leaf.wanted.key.text(),
                entry.entry.path.text()
            ))
        };
        let mut hasher = blake3::Hasher::new();
        let mut places: Vec<(u64, u32)> = Vec::new();
        let mut bytes = 0;
        while let Some(pack) = pieces.try_next().await? {
            requests += 1;
            let items = unpacked(&pack)?;
            let content = items
                .get(0)
                .filter(|_| items.len() == 1)
                .ok_or_else(fault)?;
            if content.is_empty() {
                return Ok(ContentPlace::Lacking);
            }
            if content.len() as u64 != piece.min(size - bytes) {
                return Err(fault());
            }
            hasher.update(content);
            bytes += content.len() as u64;
            places.push((self.append(pack).await?, 0));
        }
        drop(pieces);
        if Digest::from(hasher) != entry.entry.digest {
            return Err(fault());
        }
        done.requests += requests;
        done.received += 1;
        done.bytes += size;
        let list =
            postcard::to_stdvec(&places).map_err(|error| PullError::Task(error.to_string()))?;
        let mut pack = PackBuilder::default();
        pack.push(&list);
        let pack = pack
            .finish(3)
            .map_err(|error| PullError::Task(error.to_string()))?;
        let block = self.append(pack).await?;
        Ok(ContentPlace::Pieces { block, index: 0 })
    }

    async fn ranges(
        &self,
        leaf: &Incoming,
        ranges: Vec<Range>,
        done: &mut Done,
    ) -> Result<Pack, PullError> {
        let bytes = ranges.iter().map(|range| u64::from(range.length)).sum();
        let contents = Contents {
            to: self.to,
            key: leaf.wanted.key.clone(),
            ranges,
        };
        done.requests += 1;
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

fn moved_or(error: PullError, done: &mut Done) -> Result<(), PullError> {
    match error {
        PullError::Refused(refused) if refused.code == RefusedCode::Moved => {
            done.moved += 1;
            Ok(())
        }
        other => Err(other),
    }
}

fn range(entry: &DeltaEntry, offset: u64, length: u32) -> Range {
    Range {
        path: entry.entry.path.clone(),
        digest: entry.entry.digest,
        offset,
        length,
    }
}

fn unpacked(pack: &Pack) -> Result<hikae_protocol::pack::Items, PullError> {
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
