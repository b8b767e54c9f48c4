//! Retention: what is pruned, what never is, and that nobody waits for it.

use std::fs;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use hikae::catalogue::{Catalogue, ContentPlace, FileRecord, LeafRecord};
use hikae::progress::{Monitor, Silent};
use hikae::replicate::command::Command;
use hikae::replicate::node::Node;
use hikae::replicate::passphrase::Credentials;
use hikae_protocol::digest::Digest;
use hikae_protocol::entry::Entry;
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use hikae_protocol::pack::PackBuilder;
use hikae_protocol::snapshot::{Cursor, Epoch, Snapshot, VerifiedSnapshot};

use super::harness::{Site, assert_same_files, look, number};

/// Stands still where segments are written anew, until it is let go.
#[derive(Default)]
struct Gate {
    /// It stands there; it may go on.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    const PATIENCE: Duration = Duration::from_secs(60);

    fn wait(&self, until: impl Fn(&(bool, bool)) -> bool) -> bool {
        let state = self.state.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(state, Gate::PATIENCE, |state| !until(state));
        !waited.unwrap().1.timed_out()
    }

    fn set(&self, change: impl Fn(&mut (bool, bool))) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

impl Monitor for Gate {
    fn stage(&self, name: &str, _total: Option<u64>) {
        if name == "compact segments" {
            self.set(|state| state.0 = true);
            assert!(
                self.wait(|state| state.1),
                "nobody let the compaction go on"
            );
        }
    }
    fn advance(&self, _items: u64) {}
    fn links(&self, _text: &str) {}
    fn note(&self, _text: &str) {}
}

/// Rewrites many files of a volume, so that their old contents are due.
fn rewrite(site: &Site, day: u8) {
    for (at, path) in look(&site.volumes().join("0410000001/STD01"))
        .into_keys()
        .enumerate()
        .take(100)
    {
        let mut content = vec![0; 900];
        let seed = [day, at as u8];
        blake3::Hasher::new()
            .update(&seed)
            .finalize_xof()
            .fill(&mut content);
        let path = String::from_utf8(path).unwrap();
        site.put(&format!("0410000001/STD01/{path}"), &content);
    }
}

/// A sync and a restore end while a compaction is under way in the same
/// process; what it takes beside the store is told, and is a segment at most.
#[test]
fn a_sync_ends_while_a_compaction_is_under_way() {
    let site = Site::generated_in_memory(1, 20, 300);
    let center = site.serve();
    site.backup(&["sync"]).ok();
    for day in 0..3 {
        rewrite(&site, day);
        site.center(&["scan", "--walk"]).ok();
        site.backup(&["sync"]).ok();
    }
    std::thread::sleep(Duration::from_millis(1100));
    rewrite(&site, 9);
    site.center(&["scan", "--walk"]).ok();
    site.backup(&["sync"]).ok();
    let state = look(&site.volumes());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let none = Credentials {
        folder: None,
        typed: None,
    };
    let node = Node::open(&site.path("backup"), &none, &Silent).unwrap();
    let gate = Arc::new(Gate::default());
    let pruning = {
        let (node, gate) = (node.clone(), gate.clone());
        runtime.spawn(async move { node.execute(Command::Prune, gate).await })
    };
    assert!(gate.wait(|state| state.0), "nothing is compacted");
    let begun = Instant::now();
    site.put("0410000001/STD01/new", b"MSH|new");
    site.center(&["scan", "--walk"]).ok();
    let synced = runtime.block_on(async {
        let sync = node.execute(Command::Sync, Arc::new(Silent));
        tokio::time::timeout(Gate::PATIENCE / 2, sync).await
    });
    let synced = synced.expect("the sync waits for the compaction");
    assert_eq!(synced.exit_code, 0, "{}", synced.text);
    assert_eq!(synced.json["pull"]["changed"], true);
    site.assert_equal();
    let options = serde_json::json!({
        "at": "5", "to": site.path("to"), "selection": { "volume": null, "patient": null }
    });
    let restore = Command::Restore(serde_json::from_value(options).unwrap());
    let restored = runtime.block_on(node.execute(restore, Arc::new(Silent)));
    assert_eq!(restored.exit_code, 0, "{}", restored.text);
    assert_same_files(&look(&site.path("to")), &state);
    println!("a sync and a restore in {:?} meanwhile", begun.elapsed());
    gate.set(|state| state.1 = true);
    let pruned = runtime.block_on(pruning).unwrap();
    assert_eq!(pruned.exit_code, 0, "{}", pruned.text);
    let report = &pruned.json;
    assert!(report["segments_compacted"].as_u64() >= Some(1), "{report}");
    assert!(report["bytes_freed"].as_u64() > Some(100_000), "{report}");
    // A segment of 64 MiB and one block more.
    let extra = report["extra_bytes_max"].as_u64().unwrap();
    assert!(extra > 0 && extra <= (64 << 20) + (5 << 20), "{report}");
    node.close().unwrap();
    drop(runtime);
    center.end();
    site.backup(&["verify"]).ok();
    let rebuilt = site.backup(&["rebuild"]).ok();
    assert_eq!(rebuilt["root_matches"], true);
    site.backup(&["verify"]).ok();
}

/// One commit of a leaf whose content is the commit's number.
fn commit(catalogue: &Catalogue, sequence: u64, accepted_ms: i64) {
    let content = sequence.to_le_bytes();
    let mut pack = PackBuilder::default();
    pack.push(&content);
    let block = catalogue.append_contents(&pack.finish(3).unwrap()).unwrap();
    let key = format!("F/L/{}", sequence % 20);
    let mut record = LeafRecord::empty(LeafKey::parse(key.as_bytes()).unwrap());
    let file = FileRecord {
        entry: Entry {
            path: ObjectPath::parse(b"file").unwrap(),
            size: 8,
            mtime_ns: 1,
            digest: Digest::of_content(&content),
        },
        sequence,
        content: ContentPlace::Item { block, index: 0 },
        stat: None,
    };
    record.change(&[], vec![file], sequence);
    catalogue.stage(vec![record]).unwrap();
    let (update, totals) = catalogue.with_staged().unwrap();
    let snapshot = Snapshot {
        cursor: Cursor {
            epoch: Epoch {
                counter: 1,
                random: [7; 16],
            },
            sequence,
        },
        root: update.root,
        leaves: totals.leaves,
        entries: totals.entries,
        bytes: totals.bytes,
        time_ms: 0,
        previous: None,
    };
    let signed = VerifiedSnapshot::sign(snapshot, &SigningKey::from_bytes(&[1; 32])).unwrap();
    catalogue
        .commit((&update, totals), &signed, accepted_ms)
        .unwrap();
}

const DAY_MS: i64 = 24 * 3600 * 1000;
const JUMP_MS: i64 = 50 * 365 * DAY_MS;

/// A flood of snapshots (`HIKAE_FLOOD`, default 10,000), and clocks that jump by
/// fifty years either way, for the flood or for a day: of the thirty days before
/// those of the last ten, which are to be kept, are all there after `prune`, and
/// each adds up to the root that was signed.
#[test]
fn floods_and_clock_jumps_forget_nothing_early() {
    let flood = number("HIKAE_FLOOD", 10_000);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let cases = [
        ("a flood", flood, 0, 0),
        ("a flood in fifty years", 100, JUMP_MS, 0),
        ("a flood fifty years ago", 100, -JUMP_MS, 0),
        ("a day in fifty years", 3, 0, JUMP_MS),
        ("a day fifty years ago", 3, 0, -JUMP_MS),
    ];
    for (name, flood, flood_jump, day_jump) in cases {
        let site = Site::empty();
        let config = site.path("backup/hikae.toml");
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains("keep = \"1s\""));
        fs::write(&config, text.replace("keep = \"1s\"", "keep = \"10d\"")).unwrap();
        let memory = super::harness::memory_folder();
        let catalogue = Catalogue::open(&memory.path().join("store"), None, &Silent).unwrap();
        for day in 1..=30 {
            let jump = if day == 25 { day_jump } else { 0 };
            commit(&catalogue, day, now - (30 - day as i64) * DAY_MS + jump);
        }
        for at in 1..=flood {
            commit(&catalogue, 30 + at, now + flood_jump + at as i64);
        }
        catalogue.close().unwrap();
        std::os::unix::fs::symlink(memory.path().join("store"), site.path("backup/store")).unwrap();
        let report = site.backup(&["prune"]).ok();
        let listed = site.backup(&["snapshots"]).ok();
        let kept: Vec<u64> = listed["snapshots"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["snapshot"].as_u64().unwrap())
            .collect();
        assert!(kept[0] <= 20, "{name}: {report}");
        let all: Vec<u64> = (kept[0]..=30 + flood).collect();
        assert!(kept == all, "{name}: not all from {} on", kept[0]);
        let catalogue = Catalogue::open(&memory.path().join("store"), None, &Silent).unwrap();
        let mut checked = 0;
        for number in (20..=30).chain([31, 30 + flood]) {
            let signed = catalogue.commit_numbered(number).unwrap().unwrap();
            let root = catalogue.root_at(number).unwrap();
            assert_eq!(root, signed.snapshot().unwrap().root, "{name}: {number}");
            checked += 1;
        }
        println!(
            "{name}: {} of {} snapshots kept from {} on, {checked} roots the same",
            kept.len(),
            30 + flood,
            kept[0]
        );
        catalogue.close().unwrap();
    }
}
