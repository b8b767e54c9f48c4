//! The block: 72 bytes of header, the coded pack or what sealing made of it,
//! zeros to a multiple of 8.
//!
//! The one place where a pack becomes stored bytes and stored bytes a pack.
//! Header and digest are of the stored bytes and bind a block to its store
//! and place; what is sealed is bound to the store and to what the block is,
//! so stored bytes can be moved as they are.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use hikae_protocol::digest::{Digest, Domain};
use hikae_protocol::limits::PACK_RAW_BYTES_MAX;
use hikae_protocol::pack::{Items, Pack, PackError};

use super::SegmentError;
use super::file::FILE_NUMBER;
use super::folder::StoreId;
use super::log::BlockPlace;
use crate::seal::{SEALED_MORE_BYTES, Seal, SealError};

/// Bytes of a block's header.
pub const BLOCK_HEADER_BYTES: usize = 72;
/// Blocks begin at multiples of this.
pub(super) const BLOCK_ALIGNMENT: u64 = 8;
/// The first bytes of a block.
pub(super) const BLOCK_MAGIC: [u8; 4] = *b"hkBL";

/// What a block's items are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Contents of files.
    Contents,
    /// Leaf records.
    Leaves,
    /// Pages of leaf records.
    Pages,
    /// One commit record: what was staged before it takes effect.
    Commit,
    /// One record that names staged leaves that are dropped.
    Unstage,
    /// One record that says which commits are forgotten.
    Prune,
    /// Of a checkpoint: leaves of the tree.
    CheckpointLeaves,
    /// Of a checkpoint: nodes of the tree.
    CheckpointNodes,
    /// Of a checkpoint: where blocks lie.
    CheckpointBlocks,
    /// Of a checkpoint: commits.
    CheckpointCommits,
    /// The last of a checkpoint.
    CheckpointEnd,
}

const KINDS: [(BlockKind, u8); 11] = [
    (BlockKind::Contents, 1),
    (BlockKind::Leaves, 2),
    (BlockKind::Pages, 3),
    (BlockKind::Commit, 4),
    (BlockKind::Unstage, 5),
    (BlockKind::CheckpointLeaves, 6),
    (BlockKind::CheckpointBlocks, 7),
    (BlockKind::CheckpointCommits, 8),
    (BlockKind::CheckpointEnd, 9),
    (BlockKind::Prune, 10),
    (BlockKind::CheckpointNodes, 11),
];

impl BlockKind {
    /// Whether such blocks are a checkpoint's; others are a segment's.
    pub fn is_of_checkpoint(self) -> bool {
        matches!(
            self,
            BlockKind::CheckpointLeaves
                | BlockKind::CheckpointNodes
                | BlockKind::CheckpointBlocks
                | BlockKind::CheckpointCommits
                | BlockKind::CheckpointEnd
        )
    }

    fn byte(self) -> u8 {
        KINDS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or(0, |(_, byte)| *byte)
    }

    fn from_byte(byte: u8) -> Option<BlockKind> {
        KINDS
            .iter()
            .find(|(_, written)| *written == byte)
            .map(|(kind, _)| *kind)
    }
}

/// A block's header, SPEC.md [S9-3].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    /// What the items are.
    pub kind: BlockKind,
    /// The codec of the pack.
    pub codec: u8,
    /// Stable id of the block, unique in the store.
    pub id: u64,
    /// Id of the key that sealed it; 0: it is not sealed.
    pub key: u32,
    /// Bytes of the coded pack, sealed where the store is.
    pub stored_bytes: u32,
    /// Bytes of the pack when decoded.
    pub raw_bytes: u32,
    /// Digest of the stored bytes.
    pub digest: Digest,
}

impl BlockHeader {
    /// The written form, bound to its store and place.
    pub fn to_bytes(self, store: &StoreId, place: BlockPlace) -> [u8; BLOCK_HEADER_BYTES] {
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&BLOCK_MAGIC);
        bytes[4] = self.kind.byte();
        bytes[5] = self.codec;
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.key.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.stored_bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes[32..64].copy_from_slice(self.digest.as_bytes());
        let check = block_check(&bytes, store, place);
        bytes[64..72].copy_from_slice(&check);
        bytes
    }

    /// Reads a header; none if it is no header, damaged, over a bound, or was
    /// written for another store or place. A store is sealed as a whole or not
    /// at all: a header with another key's id is none of its.
    pub fn parse(
        bytes: &[u8; BLOCK_HEADER_BYTES],
        store: &StoreId,
        place: BlockPlace,
    ) -> Option<BlockHeader> {
        let reserved = [&bytes[6..8], &bytes[28..32]];
        if bytes[..4] != BLOCK_MAGIC
            || bytes[64..72] != block_check(bytes, store, place)
            || reserved.concat().iter().any(|&byte| byte != 0)
        {
            return None;
        }
        let u32_at = |at: usize| bytes[at..at + 4].try_into().ok().map(u32::from_le_bytes);
        let header = BlockHeader {
            kind: BlockKind::from_byte(bytes[4])?,
            codec: bytes[5],
            id: u64::from_le_bytes(bytes[8..16].try_into().ok()?),
            key: u32_at(16)?,
            stored_bytes: u32_at(20)?,
            raw_bytes: u32_at(24)?,
            digest: Digest(bytes[32..64].try_into().ok()?),
        };
        let bounded = header.stored_bytes as usize <= PACK_RAW_BYTES_MAX + header.more_bytes()
            && header.raw_bytes as usize <= PACK_RAW_BYTES_MAX;
        let in_checkpoint = place.segment == FILE_NUMBER;
        let is_here = header.kind.is_of_checkpoint() == in_checkpoint;
        (bounded && is_here && header.key == store.key()).then_some(header)
    }

    /// Bytes that sealing added.
    fn more_bytes(&self) -> usize {
        match self.key {
            0 => 0,
            _ => SEALED_MORE_BYTES,
        }
    }

    /// What a sealed block is bound to beside its store and key: id, kind,
    /// codec, raw bytes.
    fn bound(&self) -> [u8; 14] {
        let mut bytes = [0; 14];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8] = self.kind.byte();
        bytes[9] = self.codec;
        bytes[10..].copy_from_slice(&self.raw_bytes.to_le_bytes());
        bytes
    }

    /// Whether `stored` are the bytes that were written.
    fn is_of(&self, stored: &[u8]) -> bool {
        let same = Domain::Block.digest(stored) == self.digest;
        #[cfg(test)]
        let same = same || super::sabotage::believes_all();
        same
    }

    /// Bytes from the block's begin to the next one's.
    pub fn span(&self) -> u64 {
        let bytes = BLOCK_HEADER_BYTES as u64 + u64::from(self.stored_bytes);
        bytes.next_multiple_of(BLOCK_ALIGNMENT)
    }
}

fn block_check(bytes: &[u8; BLOCK_HEADER_BYTES], store: &StoreId, place: BlockPlace) -> [u8; 8] {
    header_check(&[
        store.as_bytes(),
        &place.segment.to_le_bytes(),
        &place.offset.to_le_bytes(),
        &bytes[..64],
    ])
}

/// Eight bytes of the derived digest of a header.
pub(super) fn header_check(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = Domain::Header.hasher();
    for part in parts {
        hasher.update(part);
    }
    let [a, b, c, d, e, f, g, h, ..] = Digest::from(hasher).0;
    [a, b, c, d, e, f, g, h]
}

/// Why stored bytes are no block, or no pack comes out of them.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// They are not what was written.
    #[error("digest")]
    Digest,
    /// Codec or sizes are no pack's, or it does not decode.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// They are what was written, and do not open with the store's key.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl BlockError {
    /// The error of the block at byte `offset` of the segment at `path`.
    pub fn at(self, path: PathBuf, offset: u64) -> SegmentError {
        let what = match self {
            BlockError::Pack(source) => {
                return SegmentError::Pack {
                    path,
                    offset,
                    source,
                };
            }
            BlockError::Digest => "digest",
            BlockError::Seal(_) => "it does not open with the store's key",
        };
        SegmentError::Damaged { path, offset, what }
    }
}

/// A block: what it is, and its stored bytes, which fit each other.
#[derive(Debug, Clone)]
pub struct Block {
    /// The header.
    pub header: BlockHeader,
    stored: Bytes,
    seal: Option<Arc<Seal>>,
}

impl Block {
    /// The block that holds `pack`, sealed where the store is.
    ///
    /// Errors: `SealError`.
    pub fn new(
        kind: BlockKind,
        id: u64,
        pack: &Pack,
        seal: Option<&Arc<Seal>>,
    ) -> Result<Block, SealError> {
        let mut header = BlockHeader {
            kind,
            codec: pack.codec.byte(),
            id,
            key: seal.map_or(0, |_| crate::seal::KEY_ID),
            stored_bytes: 0,
            raw_bytes: pack.raw_bytes,
            digest: Digest([0; 32]),
        };
        let stored = match seal {
            None => pack.data.clone(),
            Some(seal) => seal.seal_block(&header.bound(), &pack.data)?.into(),
        };
        header.stored_bytes = stored.len() as u32;
        header.digest = Domain::Block.digest(&stored);
        Ok(Block {
            header,
            stored,
            seal: seal.cloned(),
        })
    }

    /// The block of a header that was read and the stored bytes behind it.
    ///
    /// Errors: `BlockError`; whether a sealed one opens is not asked here.
    pub fn checked(
        header: BlockHeader,
        stored: Bytes,
        seal: Option<&Arc<Seal>>,
    ) -> Result<Block, BlockError> {
        if !header.is_of(&stored) {
            return Err(BlockError::Digest);
        }
        let coded = stored.len().checked_sub(header.more_bytes());
        let coded = coded.ok_or(PackError::Shape)?;
        Pack::check_parts(header.codec, header.raw_bytes, coded as u64)?;
        Ok(Block {
            header,
            stored,
            seal: seal.cloned(),
        })
    }

    /// The bytes behind the header, as they are stored: what is copied when a
    /// block moves.
    pub fn stored(&self) -> &Bytes {
        &self.stored
    }

    /// The coded pack.
    ///
    /// Errors: `BlockError::Seal`.
    pub fn pack(&self) -> Result<Pack, BlockError> {
        let coded = match (&self.seal, self.header.key) {
            (_, 0) => self.stored.clone(),
            (Some(seal), _) => seal.open_block(&self.header.bound(), &self.stored)?.into(),
            (None, _) => return Err(SealError::Forged.into()),
        };
        let (codec, raw_bytes) = (self.header.codec, self.header.raw_bytes);
        Ok(Pack::from_parts(codec, raw_bytes, coded)?)
    }

    /// The decoded items.
    ///
    /// Errors: `BlockError`.
    pub fn items(&self) -> Result<Items, BlockError> {
        Ok(self.pack()?.unpack()?)
    }

    /// The whole written form: header, stored bytes, padding.
    pub fn to_bytes(&self, store: &StoreId, place: BlockPlace) -> BytesMut {
        let span = self.header.span() as usize;
        let mut bytes = BytesMut::with_capacity(span);
        bytes.put_slice(&self.header.to_bytes(store, place));
        bytes.put_slice(&self.stored);
        bytes.resize(span, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::golden::{assert_golden, golden};
    use crate::segment::{LogEnd, SEGMENT_BYTES, SegmentError, SegmentFolder, SegmentLog, scan};
    use hikae_protocol::pack::PackBuilder;

    const EMPTY: LogEnd = LogEnd::EMPTY;

    /// [S9-1] [S9-3] the headers of SPEC.md section 9, and a whole segment.
    #[test]
    fn golden_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let id = folder.path().join("segments/store.id");
        std::fs::create_dir(folder.path().join("segments")).unwrap();
        std::fs::write(id, golden("store_id")).unwrap();
        let segments = SegmentFolder::in_store(folder.path()).unwrap();
        assert_eq!(segments.store().as_bytes(), &[7; 16]);
        assert_golden("store_id", &segments.header(0));
        assert_golden("segment_header", &segments.header(1));
        let data = b"\x02\0\0\0\x03\0\0\0\0\0\0\0abc";
        let pack = Pack::from_parts(0, 15, data[..].into()).unwrap();
        let place = BlockPlace {
            segment: 1,
            offset: 40,
        };
        let store = segments.store();
        let header = Block::new(BlockKind::Contents, 7, &pack, None)
            .unwrap()
            .header;
        assert_golden("block_header", &header.to_bytes(store, place));
        let read: [u8; BLOCK_HEADER_BYTES] = golden("block_header").try_into().unwrap();
        assert_eq!(BlockHeader::parse(&read, store, place), Some(header));
        for (kind, byte) in KINDS {
            let block = Block::new(kind, 7, &pack, None).unwrap();
            assert_eq!(block.to_bytes(store, place)[4], byte);
        }

        let next = LogEnd {
            next_id: 7,
            ..EMPTY
        };
        let mut log = SegmentLog::open(&segments, next, SEGMENT_BYTES).unwrap();
        log.append(BlockKind::Contents, &pack).unwrap();
        log.append(BlockKind::Unstage, &pack).unwrap();
        log.sync().unwrap();
        let file = folder.path().join("segments/00000001.seg");
        assert_golden("segment", &std::fs::read(&file).unwrap());
        std::fs::write(&file, golden("segment")).unwrap();
        let mut found = vec![];
        let (end, damages) = scan::<SegmentError>(&segments, LogEnd::EMPTY, |scanned| {
            assert_eq!(scanned.block.pack().unwrap(), pack);
            found.push((scanned.block.header.kind, scanned.block.header.id));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [(BlockKind::Contents, 7), (BlockKind::Unstage, 8)]);
        assert_eq!((end.offset, end.next_id, damages.len()), (216, 9, 0));
    }

    /// [S9-3] every flipped bit of a header is noticed, and [S9-4] it does not
    /// pass at another place, nor in another store.
    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let mut builder = PackBuilder::default();
        builder.push(b"abc");
        let pack = builder.finish(3).unwrap();
        let header = Block::new(BlockKind::Contents, 7, &pack, None)
            .unwrap()
            .header;
        let [store, other] = [0; 2].map(|_| {
            let folder = tempfile::tempdir().unwrap();
            *SegmentFolder::in_store(folder.path()).unwrap().store()
        });
        let place = BlockPlace {
            segment: 3,
            offset: 40,
        };
        let bytes = header.to_bytes(&store, place);
        assert_eq!(BlockHeader::parse(&bytes, &store, place), Some(header));
        for at in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[at / 8] ^= 1 << (at % 8);
            assert_eq!(BlockHeader::parse(&bad, &store, place), None, "bit {at}");
        }
        for elsewhere in [(3, 48), (4, 40)] {
            let (segment, offset) = elsewhere;
            let place = BlockPlace { segment, offset };
            assert_eq!(BlockHeader::parse(&bytes, &store, place), None);
        }
        assert_eq!(BlockHeader::parse(&bytes, &other, place), None);
    }
}
