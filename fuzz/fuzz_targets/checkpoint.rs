//! A checkpoint of any items, then flipped anywhere, beside any segments: it
//! is believed or not, and nothing else happens.
#![no_main]

mod memory;

use arbitrary::Arbitrary;
use hikae::catalogue::StoreState;
use hikae::progress::Silent;
use hikae::segment::{BlockFileWriter, BlockKind, LogEnd, SegmentLog};
use hikae_protocol::pack::{Pack, PackBuilder};
use libfuzzer_sys::fuzz_target;
use memory::Memory;

const KINDS: [BlockKind; 6] = [
    BlockKind::CheckpointLeaves,
    BlockKind::CheckpointNodes,
    BlockKind::CheckpointBlocks,
    BlockKind::CheckpointCommits,
    BlockKind::CheckpointEnd,
    BlockKind::Leaves,
];

#[derive(Debug, Arbitrary)]
struct Case {
    commit: Vec<u8>,
    blocks: Vec<(u8, Vec<Vec<u8>>)>,
    end: Option<Vec<u8>>,
    flips: Vec<(u16, u8)>,
}

fn packed(items: &[Vec<u8>]) -> Option<Pack> {
    let mut pack = PackBuilder::default();
    items.iter().for_each(|item| {
        pack.push(item);
    });
    pack.finish(1).ok()
}

fuzz_target!(|case: Case| {
    let (files, folder) = Memory::store();
    let mut log = SegmentLog::open(&folder, LogEnd::EMPTY, 1 << 20).expect("an empty log opens");
    let Some(commit) = packed(&[case.commit]) else { return };
    log.append(BlockKind::Commit, &commit).expect("memory has room");
    let mut writer = BlockFileWriter::new(&folder, "checkpoint").expect("memory has room");
    for (kind, items) in &case.blocks {
        let Some(pack) = packed(items) else { return };
        writer.append(KINDS[usize::from(*kind) % KINDS.len()], &pack).expect("memory has room");
    }
    if let Some(end) = case.end {
        let Some(pack) = packed(&[end]) else { return };
        writer.append(BlockKind::CheckpointEnd, &pack).expect("memory has room");
    }
    writer.finish().expect("memory has room");
    for (at, with) in case.flips {
        files.edit("checkpoint", |bytes| {
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= with;
        });
    }
    if let Ok(state) = StoreState::read(&folder, &Silent) {
        assert!(state.damages.is_empty());
    }
});
