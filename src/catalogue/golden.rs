//! Golden bytes of the records, SPEC.md sections 9.3, 9.4 and 10.4.

use hikae_protocol::bare::BareVolume;
use hikae_protocol::chunk::Chunk;
use hikae_protocol::digest::Digest;
use hikae_protocol::entry::Entry;
use hikae_protocol::message::{Tombstone, decode};
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use hikae_protocol::snapshot::SignedSnapshot;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Commit;
use super::checkpoint::{
    CheckpointBlock, CheckpointCommit, CheckpointEnd, CheckpointLeaf, CheckpointNode,
};
use super::chunks::ChunkRecord;
use super::item::{
    LeafItem, LeafSummary, List, PageList, PageRef, Prune, Unstage, encode, page_items,
};
use super::leaf::{ContentPlace, FileRecord, LeafRecord, RecordPlace, StatRecord};
use crate::disk::golden::{assert_golden, golden};
use crate::segment::LogEnd;

/// Compares what is written, and says what the golden bytes read as.
fn both_ways<T: Serialize + DeserializeOwned>(name: &str, value: &T) -> T {
    assert_golden(name, &postcard::to_stdvec(value).unwrap());
    decode(&golden(name)).unwrap()
}

fn file(
    path: &str,
    (size, mtime_ns, digest): (u64, i64, Digest),
    sequence: u64,
    content: ContentPlace,
) -> FileRecord {
    FileRecord {
        entry: Entry {
            path: ObjectPath::parse(path.as_bytes()).unwrap(),
            size,
            mtime_ns,
            digest,
        },
        sequence,
        content,
        stat: None,
    }
}

/// A record with every place of a content but `Partial`.
fn record() -> LeafRecord {
    let digest = |byte| Digest([byte; 32]);
    let item = |block, index| ContentPlace::Item { block, index };
    let large = ContentPlace::Chunks {
        block: 301,
        index: 0,
    };
    let abc = (3, 1_743_465_600_000_000_000, Digest::of_content(b"abc"));
    let stat = |ctime_ns, inode, settled| {
        Some(StatRecord {
            ctime_ns,
            inode,
            settled,
        })
    };
    LeafRecord {
        key: LeafKey::parse(b"F/L/000/001/0000001").unwrap(),
        sequence: 300,
        commit: 12,
        previous: Some(RecordPlace {
            block: 200,
            index: 1,
        }),
        files: vec![
            FileRecord {
                stat: stat(1_743_465_600_000_000_000, 4711, true),
                ..file("a_1", abc, 7, ContentPlace::Storage)
            },
            file("b_1", (3, -1, digest(0x22)), 300, item(300, 2)),
            file("c_1", (2_500_000, 0, digest(0x33)), 299, large),
            FileRecord {
                stat: stat(-1, 1, false),
                ..file("d_1", (9, 0, digest(0x44)), 300, ContentPlace::Lacking)
            },
        ],
        tombstones: vec![Tombstone {
            path: ObjectPath::parse(b"b_2").unwrap(),
            digest: digest(0x55),
            added: 7,
            removed: 300,
        }],
        forgotten: 6,
        standins: vec![file("d_1", (8, 0, digest(0x66)), 298, item(12, 0))],
        bare: None,
    }
}

/// The item of a record whose lists are short.
fn item(record: LeafRecord) -> LeafItem {
    LeafItem {
        summary: LeafSummary::of(&record),
        previous: record.previous,
        forgotten: record.forgotten,
        files: List::Here(record.files),
        tombstones: List::Here(record.tombstones),
        standins: List::Here(record.standins),
    }
}

fn page_refs() -> Vec<PageRef> {
    let page = |block, index| PageRef {
        digest: Digest([block as u8; 32]),
        place: RecordPlace { block, index },
    };
    vec![page(300, 0), page(301, 2)]
}

/// [S9-16] the summary is that of the lists.
#[test]
fn leaf_records() {
    let empty = LeafRecord::empty(LeafKey::parse(b"F/L").unwrap());
    let bare = BareVolume {
        volume: LeafKey::parse(b"G/L").unwrap(),
        leaf: Some(Digest([0x22; 32])),
        node: Some(Digest([0x33; 32])),
        leaves: 257,
        entries: 300,
        bytes: 5,
    };
    let bare = LeafRecord {
        commit: 12,
        ..LeafRecord::bare(bare, 300)
    };
    let records = [
        ("leaf_record", record()),
        ("leaf_empty", empty),
        ("leaf_bare", bare),
    ];
    for (name, record) in records {
        let item = item(record);
        assert_eq!(both_ways(name, &item), item);
        assert_eq!(LeafSummary::parse(&golden(name)).unwrap(), item.summary);
    }
    let mut paged = item(record());
    paged.files = List::Paged(PageList {
        level: 1,
        pages: page_refs(),
    });
    assert_eq!(both_ways("leaf_paged", &paged), paged);
}

/// [S9-8] pages are items one after the other.
#[test]
fn pages() {
    let files = record().files;
    let page: Vec<u8> = files
        .iter()
        .flat_map(|file| encode(file).unwrap())
        .collect();
    assert_golden("page_files", &page);
    assert_eq!(page_items::<FileRecord>(&page).unwrap(), files);
    let page: Vec<u8> = page_refs()
        .iter()
        .flat_map(|page| encode(page).unwrap())
        .collect();
    assert_golden("page_pages", &page);
    assert_eq!(page_items::<PageRef>(&page).unwrap(), page_refs());
}

#[test]
fn an_unstage_record() {
    let unstage = Unstage {
        commit: 300,
        keys: vec![b"F/L".to_vec(), b"F/L/000/001/0000001".to_vec()],
    };
    assert_eq!(both_ways("unstage_record", &unstage), unstage);
}

#[test]
fn a_prune_record() {
    let prune = Prune { oldest: 300 };
    assert_eq!(both_ways("prune_record", &prune), prune);
}

#[test]
fn items_of_a_checkpoint() {
    let leaf = CheckpointLeaf {
        summary: LeafSummary::of(&record()),
        place: RecordPlace {
            block: 300,
            index: 1,
        },
    };
    assert_eq!(both_ways("checkpoint_leaf", &leaf), leaf);
    let node = CheckpointNode {
        path: b"F/L/000".to_vec(),
        digest: Digest([0x5a; 32]),
    };
    assert_eq!(both_ways("checkpoint_node", &node), node);
    let block = CheckpointBlock {
        id: 300,
        segment: 2,
        offset: 4096,
    };
    assert_eq!(both_ways("checkpoint_block", &block), block);
    let commit = CheckpointCommit {
        number: 300,
        block: 299,
        accepted_ms: 1_743_465_600_000,
    };
    assert_eq!(both_ways("checkpoint_commit", &commit), commit);
    let end = CheckpointEnd {
        log: LogEnd {
            segment: 2,
            offset: 8192,
            next_id: 301,
        },
        commit: decode(&golden("commit_record")).unwrap(),
        leaves: 1,
        nodes: 4,
        blocks: 300,
        commits: 2,
    };
    assert_eq!(both_ways("checkpoint_end", &end), end);
}

#[test]
fn lists_of_chunks() {
    let record = |byte: u8, bytes, block, index| ChunkRecord {
        chunk: Chunk {
            digest: Digest([byte; 32]),
            bytes,
        },
        place: RecordPlace { block, index },
    };
    let chunks = vec![record(0x77, 524_288, 300, 0), record(0x88, 70_001, 301, 2)];
    let here = List::Here(chunks);
    assert_eq!(both_ways("chunk_records", &here), here);
    let paged: List<ChunkRecord> = List::Paged(PageList {
        level: 0,
        pages: page_refs(),
    });
    assert_eq!(both_ways("chunk_records_paged", &paged), paged);
}

/// Some of a content came; or the filter leaves it out.
#[test]
fn a_partial_content() {
    let place = ContentPlace::Partial {
        block: 300,
        index: 2,
    };
    let partial = file("e_1", (2_500_000, 0, Digest([0x99; 32])), 300, place);
    assert_eq!(both_ways("file_partial", &partial), partial);
    let left_out = file(
        "e_1",
        (2_500_000, 0, Digest([0x99; 32])),
        300,
        ContentPlace::NotHeld,
    );
    assert_eq!(both_ways("file_not_held", &left_out), left_out);
}

/// The snapshot is the one of SPEC.md section 6.1.
#[test]
fn a_commit_record() {
    let signer = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    let read: Commit = decode(&golden("commit_record")).unwrap();
    let SignedSnapshot {
        body, signature, ..
    } = read.signed.clone();
    let commit = Commit {
        number: 300,
        signed: SignedSnapshot {
            signer: signer.parse().unwrap(),
            body,
            signature,
        },
        accepted_ms: 1_743_465_600_000,
    };
    assert_eq!(both_ways("commit_record", &commit), commit);
    assert_eq!(commit.snapshot().unwrap().cursor.sequence, 300);
    assert_eq!(commit.signed.signature.len(), 64);
}
