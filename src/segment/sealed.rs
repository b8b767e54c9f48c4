//! Tests of sealed blocks, and of stores that are sealed and are not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hikae_protocol::limits::PACK_RAW_BYTES_MAX;
use hikae_protocol::pack::{Codec, Pack, PackBuilder};

use super::*;
use crate::disk::golden::{assert_golden, golden};
use crate::seal::{KEY_FILES, Passphrase, SEALED_MORE_BYTES, Seal, SealOptions};

const PLACE: BlockPlace = BlockPlace {
    segment: 1,
    offset: 40,
};

fn pack(text: &[u8]) -> Pack {
    let mut builder = PackBuilder::default();
    builder.push(text);
    builder.finish(3).unwrap()
}

fn sealed(folder: &Path) -> SegmentFolder {
    SegmentFolder::in_sealed_store(folder, &SealOptions::cheap()).unwrap()
}

/// A sealed store with blocks of these kinds.
fn written(folder: &Path, kinds: &[BlockKind]) -> (SegmentFolder, Vec<BlockPlace>) {
    let segments = sealed(folder);
    let mut log = SegmentLog::open(&segments, LogEnd::EMPTY, SEGMENT_BYTES).unwrap();
    let append = |kind: &BlockKind| log.append(*kind, &pack(b"a planted text")).unwrap().1;
    let places = kinds.iter().map(append).collect();
    log.sync().unwrap();
    (segments, places)
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = walkdir::WalkDir::new(folder).into_iter();
    let files = files.map(|file| file.unwrap());
    let files = files.filter(|file| file.file_type().is_file());
    files
        .map(|file| {
            let name = file.path().strip_prefix(folder).unwrap();
            let name = name.to_str().unwrap().to_string();
            (name, fs::read(file.path()).unwrap())
        })
        .collect()
}

/// [S9-3] [S9-25] the sealed block of SPEC.md section 9.7, which the golden
/// key opens.
#[test]
fn golden_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().join("segments");
    fs::create_dir(&segments).unwrap();
    fs::write(segments.join("store.id"), golden("store_id_sealed")).unwrap();
    fs::write(segments.join("store.key"), golden("store_key")).unwrap();
    let options = SealOptions {
        passphrase: Passphrase::of_text("開けゴマ"),
        ..SealOptions::cheap()
    };
    let opened = SegmentFolder::in_sealed_store(folder.path(), &options).unwrap();
    assert_golden("store_id_sealed", &opened.header(0));
    let whole = golden("sealed_block");
    let header = whole[..BLOCK_HEADER_BYTES].try_into().unwrap();
    let header = BlockHeader::parse(header, opened.store(), PLACE).unwrap();
    let stored = BLOCK_HEADER_BYTES + header.stored_bytes as usize;
    let stored = Bytes::copy_from_slice(&whole[BLOCK_HEADER_BYTES..stored]);
    let block = Block::checked(header, stored, opened.seal()).unwrap();
    assert_golden("sealed_block", &block.to_bytes(opened.store(), PLACE));
    let items = block.items().unwrap();
    assert_eq!(items.iter().collect::<Vec<_>>(), [&b"abc"[..], b""]);
    assert_eq!((header.key, header.id), (1, 7));
    let mut segment = opened.header(1).to_vec();
    segment.extend_from_slice(&whole);
    fs::write(segments.join("00000001.seg"), segment).unwrap();
    let read = SegmentReader::new(&opened).read_pack(PLACE).unwrap();
    assert_eq!((read.codec, read.raw_bytes), (Codec::Stored, 15));
}

/// [S9-25] every flipped bit of a sealed block is noticed, and it passes as
/// no other block: not with another id, kind, codec or size.
#[test]
fn a_sealed_block_passes_as_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let segments = sealed(folder.path());
    let (store, seal) = (segments.store(), segments.seal());
    let block = Block::new(BlockKind::Leaves, 7, &pack(b"abc"), seal).unwrap();
    assert_eq!(block.pack().unwrap(), pack(b"abc"));
    let bytes = block.to_bytes(store, PLACE);
    let read = |bytes: &[u8]| {
        let header = bytes[..BLOCK_HEADER_BYTES].try_into().unwrap();
        let header = BlockHeader::parse(header, store, PLACE)?;
        let end = BLOCK_HEADER_BYTES + header.stored_bytes as usize;
        let stored = Bytes::copy_from_slice(&bytes[BLOCK_HEADER_BYTES..end]);
        Block::checked(header, stored, seal).ok()?.pack().ok()
    };
    assert_eq!(read(&bytes), Some(pack(b"abc")));
    let end = BLOCK_HEADER_BYTES + block.stored().len();
    for bit in 0..end * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(read(&bad), None, "bit {bit}");
    }
    // With check and digest that are right: who can write these still has
    // not the key.
    let header = block.header;
    let others = [
        BlockHeader { id: 8, ..header },
        BlockHeader {
            kind: BlockKind::Contents,
            ..header
        },
        BlockHeader { codec: 1, ..header },
        BlockHeader {
            raw_bytes: header.raw_bytes + 1,
            ..header
        },
    ];
    for other in others {
        let written = other.to_bytes(store, PLACE);
        assert_eq!(BlockHeader::parse(&written, store, PLACE), Some(other));
        let block = Block::checked(other, block.stored().clone(), seal).unwrap();
        let error = block.pack().unwrap_err().at("s".into(), 40).to_string();
        assert!(
            error.contains("does not open with the store's key"),
            "{error}"
        );
    }
    // Moved elsewhere as it is stored, it is what it was.
    let place = BlockPlace {
        segment: 9,
        offset: 80,
    };
    let moved = block.to_bytes(store, place);
    assert_eq!(moved[BLOCK_HEADER_BYTES..], bytes[BLOCK_HEADER_BYTES..]);
    let header = moved[..BLOCK_HEADER_BYTES].try_into().unwrap();
    assert_eq!(BlockHeader::parse(header, store, place), Some(block.header));
}

/// [S9-3] [S9-26] a store is sealed as a whole: a block without its key's id
/// is none there, nor one with an id in a store that is not sealed.
#[test]
fn a_block_of_the_other_form_is_none() {
    let folders = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let sealed = sealed(folders[0].path());
    let plain = SegmentFolder::in_store(folders[1].path()).unwrap();
    let header = |of: &SegmentFolder| {
        let block = Block::new(BlockKind::Leaves, 7, &pack(b"abc"), of.seal());
        block.unwrap().header
    };
    for (header, store) in [(header(&sealed), &plain), (header(&plain), &sealed)] {
        let bytes = header.to_bytes(store.store(), PLACE);
        assert_eq!(BlockHeader::parse(&bytes, store.store(), PLACE), None);
    }
    let another = BlockHeader {
        key: 2,
        ..header(&sealed)
    };
    let bytes = another.to_bytes(sealed.store(), PLACE);
    assert_eq!(BlockHeader::parse(&bytes, sealed.store(), PLACE), None);
}

/// [S9-3] [S9-4] sealing adds 40 bytes to what a block may have.
#[test]
fn the_bounds_of_a_sealed_block() {
    let folder = tempfile::tempdir().unwrap();
    let segments = sealed(folder.path());
    let (store, seal) = (segments.store(), segments.seal());
    let most = PACK_RAW_BYTES_MAX as u32;
    let large = Pack {
        codec: Codec::Stored,
        raw_bytes: most,
        data: vec![7; PACK_RAW_BYTES_MAX].into(),
    };
    let block = Block::new(BlockKind::Contents, 1, &large, seal).unwrap();
    assert_eq!(block.header.stored_bytes, most + SEALED_MORE_BYTES as u32);
    let parse = |header: BlockHeader| {
        let bytes = header.to_bytes(store, PLACE);
        BlockHeader::parse(&bytes, store, PLACE)
    };
    assert_eq!(parse(block.header), Some(block.header));
    let over = BlockHeader {
        stored_bytes: block.header.stored_bytes + 1,
        ..block.header
    };
    assert_eq!(parse(over), None);
    // Stored bytes less 40 are not over the raw ones, nor are there fewer.
    let small = Block::new(BlockKind::Contents, 1, &pack(b""), seal).unwrap();
    let checked = |header: BlockHeader, stored: &[u8]| {
        let digest = hikae_protocol::digest::Domain::Block.digest(stored);
        let stored_bytes = stored.len() as u32;
        let header = BlockHeader {
            digest,
            stored_bytes,
            ..header
        };
        Block::checked(header, Bytes::copy_from_slice(stored), seal).is_ok()
    };
    assert!(checked(small.header, small.stored()));
    assert!(!checked(
        small.header,
        &[small.stored(), &b"x"[..]].concat()
    ));
    assert!(!checked(
        small.header,
        &small.stored()[..SEALED_MORE_BYTES - 1]
    ));
}

/// [S9-27] a sealed block that fits its digest and does not open is damage
/// that is named, and nobody's bytes.
#[test]
fn a_block_that_does_not_open_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let kinds = [BlockKind::Contents, BlockKind::Commit];
    let (segments, places) = written(folder.path(), &kinds);
    let path = folder.path().join("segments/00000001.seg");
    let whole = fs::read(&path).unwrap();
    assert!(!whole.windows(14).any(|bytes| bytes == b"a planted text"));
    // Sealed by another key, digest and check as they have to be.
    let other = Arc::new(Seal::with_key(*segments.store().as_bytes(), [1; 32]));
    let forged = Block::new(
        BlockKind::Contents,
        1,
        &pack(b"a planted text"),
        Some(&other),
    );
    let forged = forged.unwrap().to_bytes(segments.store(), places[0]);
    let mut bytes = whole.clone();
    bytes[40..40 + forged.len()].copy_from_slice(&forged);
    fs::write(&path, bytes).unwrap();
    let reader = SegmentReader::new(&sealed(folder.path()));
    for error in [
        reader.read_pack(places[0]).unwrap_err(),
        reader.items(1, places[0]).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(
            text.contains("00000001.seg") && text.contains("byte 40"),
            "{text}"
        );
        assert!(
            text.contains("does not open with the store's key"),
            "{text}"
        );
    }
    assert_eq!(reader.items(2, places[1]).unwrap().len(), 1);
}

/// [S9-26] a store of the other form, without its key or with another
/// passphrase is refused with a word of what to do, and nothing is changed.
#[test]
fn a_store_that_does_not_open_is_not_changed() {
    let folders = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let [locked, plain] = folders.each_ref().map(|folder| folder.path());
    written(locked, &[BlockKind::Commit]);
    let segments = SegmentFolder::in_store(plain).unwrap();
    let mut log = SegmentLog::open(&segments, LogEnd::EMPTY, SEGMENT_BYTES).unwrap();
    log.append(BlockKind::Commit, &pack(b"abc")).unwrap();
    let cheap = SealOptions::cheap();
    let wrong = SealOptions {
        passphrase: Passphrase::of_text("wrong"),
        ..SealOptions::cheap()
    };
    let refused = |folder: &Path, options: Option<&SealOptions>, expected: &str| {
        let before = files(folder);
        let opened = match options {
            Some(options) => SegmentFolder::in_sealed_store(folder, options),
            None => SegmentFolder::in_store(folder),
        };
        let text = opened.unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
        assert_eq!(files(folder), before, "{expected}");
    };
    refused(locked, None, "the store is sealed");
    refused(
        locked,
        Some(&wrong),
        "the passphrase does not open this store",
    );
    refused(plain, Some(&cheap), "needs a new store");
    // The id is made anew from a segment, but not before the key is there.
    fs::remove_file(locked.join("segments/store.id")).unwrap();
    refused(
        locked,
        Some(&wrong),
        "the passphrase does not open this store",
    );
    sealed(locked);
    let keys = KEY_FILES.map(|name| (name, fs::read(locked.join(name)).unwrap()));
    for (name, _) in &keys {
        fs::write(locked.join(name), b"x").unwrap();
    }
    refused(locked, Some(&cheap), "garbled");
    for (name, _) in &keys {
        fs::remove_file(locked.join(name)).unwrap();
    }
    refused(locked, Some(&cheap), "nothing of the store can be read");
    refused(locked, None, "the store is sealed");
    // A key whose store is gone is not written over.
    for (name, bytes) in &keys {
        fs::write(locked.join(name), bytes).unwrap();
    }
    for name in ["store.id", "00000001.seg"] {
        fs::remove_file(locked.join("segments").join(name)).unwrap();
    }
    refused(locked, Some(&cheap), "nothing is touched");
    refused(locked, None, "nothing is touched");
}
