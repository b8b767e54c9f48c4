//! Contents on their way out: small ones whole, large ones by chunks.
//!
//! Keeps no state between requests, and hands nothing out that is not what
//! was asked for: the digest is computed over the very bytes that are sent.

use hikae_protocol::chunk::{Chunk, first_cut, is_full};
use hikae_protocol::digest::Digest;
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::{
    CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CONTENTS_BYTES_MAX, LARGE_BYTES_MIN, RANGES_MAX,
};
use hikae_protocol::message::{ChunkList, Chunks, Contents, Range, RefusedCode};
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use hikae_protocol::pack::PackBuilder;

use super::source::{AnswerError, CONTENTS_LEVEL, leaf_at, refused, warn_lacking};
use super::{ContentError, Holdings};
use crate::catalogue::{FileRecord, LeafRecord};

/// Bytes of a content that are read at once to be cut.
const READ_BYTES: u64 = 1024 * 1024;

/// Small contents and chunks, one item each; empty where it can't be handed
/// out.
pub(super) fn ranges(
    holdings: &dyn Holdings,
    wanted: &Contents,
) -> Result<Vec<Frame>, AnswerError> {
    let much = || {
        refused(
            RefusedCode::Malformed,
            "too much in one request for contents",
        )
    };
    if wanted.ranges.len() > RANGES_MAX {
        return Err(much());
    }
    let record = leaf_at(holdings, &wanted.key, &wanted.to)?.ok_or_else(moved)?;
    let mut bytes = 0;
    let mut found = Vec::with_capacity(wanted.ranges.len());
    for range in &wanted.ranges {
        let file = file_of(&record, &range.path, &range.digest)?;
        let (offset, length) = place_of(range, file)?;
        bytes += u64::from(length);
        if bytes > CONTENTS_BYTES_MAX {
            return Err(much());
        }
        found.push((file, offset, length));
    }
    let mut pack = PackBuilder::default();
    for (range, (file, offset, length)) in wanted.ranges.iter().zip(found) {
        let content = holdings.content(&wanted.key, file, offset, length);
        let content = content.and_then(|bytes| match range.chunk {
            Some(at) if Digest::of_content(&bytes) != at.chunk.digest => Err(ContentError::Moved),
            _ => Ok(bytes),
        });
        match content {
            Ok(bytes) => drop(pack.push(&bytes)),
            Err(error) => {
                warn_lacking(&wanted.key, file, &error);
                pack.push(&[]);
            }
        }
    }
    let pack = pack
        .finish(CONTENTS_LEVEL)
        .map_err(|error| refused(RefusedCode::Unavailable, error.to_string()))?;
    Ok(vec![Frame::pack(FrameKind::Ranges, &pack)?])
}

fn moved() -> AnswerError {
    refused(RefusedCode::Moved, "the leaf changed")
}

fn file_of<'a>(
    record: &'a LeafRecord,
    path: &ObjectPath,
    digest: &Digest,
) -> Result<&'a FileRecord, AnswerError> {
    let file = record.file(path);
    file.filter(|file| file.entry.digest == *digest)
        .ok_or_else(moved)
}

/// Offset and length of a range in its file.
fn place_of(range: &Range, file: &FileRecord) -> Result<(u64, u32), AnswerError> {
    let size = file.entry.size;
    match range.chunk {
        None if size < LARGE_BYTES_MIN => Ok((0, size as u32)),
        None => Err(refused(
            RefusedCode::Malformed,
            "a large content is asked for by chunks",
        )),
        Some(at) => {
            let end = at.offset.checked_add(u64::from(at.chunk.bytes));
            let is_chunk = at.chunk.bytes as usize >= CHUNK_BYTES_MIN || end == Some(size);
            match is_chunk && end.is_some_and(|end| end <= size) {
                true => Ok((at.offset, at.chunk.bytes)),
                false => Err(refused(
                    RefusedCode::Malformed,
                    "a chunk beyond the end of a file, or smaller than any",
                )),
            }
        }
    }
}

/// Where a large content is cut, from some byte on; an empty list where it
/// can't be read.
pub(super) fn chunk_list(
    holdings: &dyn Holdings,
    wanted: &Chunks,
) -> Result<Vec<Frame>, AnswerError> {
    let record = leaf_at(holdings, &wanted.key, &wanted.to)?.ok_or_else(moved)?;
    let file = file_of(&record, &wanted.path, &wanted.digest)?;
    if file.entry.size < LARGE_BYTES_MIN || wanted.from >= file.entry.size {
        return Err(refused(
            RefusedCode::Malformed,
            "chunks of a small content, or beyond the end of a large one",
        ));
    }
    let chunks = cut(holdings, &wanted.key, file, wanted.from).unwrap_or_else(|error| {
        warn_lacking(&wanted.key, file, &error);
        vec![]
    });
    let frame = Frame::message(FrameKind::ChunkList, &ChunkList { chunks })?;
    Ok(vec![frame])
}

/// Reads a content from byte `from` on, and cuts it until the list is full.
fn cut(
    holdings: &dyn Holdings,
    key: &LeafKey,
    file: &FileRecord,
    from: u64,
) -> Result<Vec<Chunk>, ContentError> {
    let size = file.entry.size;
    let mut chunks = Vec::new();
    let mut window: Vec<u8> = Vec::new();
    // Where the window begins in the content, and the next chunk in it.
    let (mut begin, mut at) = (from, 0);
    loop {
        let end = begin + window.len() as u64;
        if window.len() - at < CHUNK_BYTES_MAX && end < size {
            window.drain(..at);
            (begin, at) = (begin + at as u64, 0);
            let length = READ_BYTES.min(size - end) as u32;
            window.extend(holdings.content(key, file, end, length)?);
            continue;
        }
        let rest = &window[at..];
        let bytes = first_cut(rest);
        chunks.push(Chunk {
            digest: Digest::of_content(&rest[..bytes]),
            bytes: bytes as u32,
        });
        at += bytes;
        let to = begin + at as u64;
        if to >= size || is_full(chunks.len(), from, to) {
            return Ok(chunks);
        }
    }
}
