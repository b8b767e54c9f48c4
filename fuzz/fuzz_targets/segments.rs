//! Any blocks in any order, with any items, then cut and flipped anywhere: a
//! state or an error, damage within the files, and a log that goes on.
#![no_main]

mod memory;

use arbitrary::Arbitrary;
use hikae::catalogue::StoreState;
use hikae::progress::Silent;
use hikae::segment::{BlockKind, LogEnd, SegmentLog};
use hikae_protocol::pack::PackBuilder;
use libfuzzer_sys::fuzz_target;
use memory::Memory;

const KINDS: [BlockKind; 6] = [
    BlockKind::Contents,
    BlockKind::Leaves,
    BlockKind::Pages,
    BlockKind::Commit,
    BlockKind::Unstage,
    BlockKind::CheckpointEnd,
];

#[derive(Debug, Arbitrary)]
struct Case {
    blocks: Vec<(u8, Vec<Vec<u8>>)>,
    full_at: u16,
    flips: Vec<(bool, u16, u8)>,
    cut: Option<u16>,
}

fuzz_target!(|case: Case| {
    let (files, folder) = Memory::store();
    let full_at = u64::from(case.full_at).max(64);
    let mut log = SegmentLog::open(&folder, LogEnd::EMPTY, full_at).expect("an empty log opens");
    for (kind, items) in &case.blocks {
        let mut pack = PackBuilder::default();
        items.iter().for_each(|item| {
            pack.push(item);
        });
        let Ok(pack) = pack.finish(1) else { return };
        log.append(KINDS[usize::from(*kind) % KINDS.len()], &pack).expect("memory has room");
    }
    let newest = log.end().segment;
    drop(log);
    for (first, at, with) in case.flips {
        let number = if first { 1 } else { newest };
        files.edit(&format!("segments/{number:08}.seg"), |bytes| {
            if !bytes.is_empty() {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= with;
            }
        });
    }
    if let Some(cut) = case.cut {
        files.edit(&format!("segments/{newest:08}.seg"), |bytes| {
            bytes.truncate(usize::from(cut));
        });
    }
    let Ok(state) = StoreState::read(&folder, &Silent) else { return };
    for damage in &state.damages {
        let name = damage.path.to_str().expect("a name of ours");
        let length = files.0.lock().expect("no panic").get(name).map_or(0, Vec::len) as u64;
        assert!(damage.bytes == 0 || damage.offset < length.max(40), "{damage}");
    }
    let mut log = SegmentLog::open(&folder, state.end, full_at).expect("the log goes on");
    let pack = PackBuilder::default().finish(1).expect("it is empty");
    let (id, _) = log.append(BlockKind::Contents, &pack).expect("memory has room");
    let again = StoreState::read(&folder, &Silent).expect("what was read is read again");
    assert_eq!(again.leaves_read(), state.leaves_read());
    assert_eq!(again.end.next_id, id + 1);
});
