//! Copies that are cut off: what was staged is not asked for again. The source
//! runs in this process and counts what it hands out.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use hikae_protocol::digest::{Digest, parse_hex};
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::list::page_hint;
use hikae_protocol::message::{
    ContentForm, Contents, Delta, DeltaState, Fetch, LeafDelta, Refused, RefusedCode,
};
use hikae_protocol::pack::PackBuilder;

use crate::harness::{Site, noise};
use crate::large::size;
use crate::quic::{Evil, Say};
use crate::tale::{Tale, bundle_of, message};

const MIB: u64 = 1024 * 1024;
/// What a killed replica may have to ask for again: 8 MiB that it had not
/// staged, and 20 answers that were under way (SPEC.md section 8).
const UNDER_WAY: u64 = 28 * MIB;

fn tale_of(site: &Site, content: &[u8]) -> Tale {
    let text = fs::read_to_string(site.path("center/node.key")).unwrap();
    let key = SigningKey::from_bytes(&parse_hex(text.trim()).unwrap());
    let mut tale = Tale::new(key);
    tale.add("8888888", 1, content.to_vec());
    tale
}

/// A source that tells the tale which is in `tale` when it is asked.
fn source(site: &Site, tale: &Arc<Mutex<Tale>>, handed: &Arc<AtomicU64>) -> Evil {
    let key = tale.lock().unwrap().key.clone();
    let (tale, handed) = (tale.clone(), handed.clone());
    let script = move |request: &Frame| {
        if request.kind == FrameKind::Contents {
            let wanted: Contents = request.decode().unwrap();
            let chunks = wanted.ranges.iter().filter_map(|range| range.chunk);
            let bytes = chunks.map(|at| u64::from(at.chunk.bytes)).sum();
            handed.fetch_add(bytes, Ordering::Relaxed);
        }
        tale.lock().unwrap().answer(request)
    };
    serving(site, Evil::new(&key, Arc::new(script)))
}

/// The source of the backup from now on.
fn serving(site: &Site, evil: Evil) -> Evil {
    let file = site.path("backup/hikae.toml");
    let text = fs::read_to_string(&file).unwrap();
    let port = format!("127.0.0.1:{}", site.port);
    fs::write(
        file,
        text.replace(&port, &format!("127.0.0.1:{}", evil.port)),
    )
    .unwrap();
    evil
}

/// [S8-13] a replica is killed again and again in the middle of a large file,
/// and the file's leaf moves on meanwhile: what was staged does not come
/// again. HIKAE_RESUME_MB=2048 is the long run.
#[test]
fn a_large_file_is_gone_on_with_after_kills() {
    let site = Site::empty();
    site.configure(false);
    let bytes = size("HIKAE_RESUME_MB", 200) as u64 * MIB;
    let mut content = noise(bytes as usize, 1);
    let tale = Arc::new(Mutex::new(tale_of(&site, &content)));
    let handed = Arc::new(AtomicU64::new(0));
    let _source = source(&site, &tale, &handed);
    let kills = 3;
    for kill in 0..kills {
        let before = handed.load(Ordering::Relaxed);
        let mut sync = site.spawn("backup", &["sync"]);
        while handed.load(Ordering::Relaxed) - before < bytes / 4 {
            std::thread::sleep(Duration::from_millis(2));
        }
        sync.kill();
        if kill == 1 {
            // Another file of the leaf, and other bytes in this one.
            content.splice(1000..1000, noise(3000, 2));
            let mut moved = tale_of(&site, &content);
            moved.add("8888888", 2, b"another record".to_vec());
            *tale.lock().unwrap() = moved;
        }
    }
    let report = site.backup(&["sync"]).ok();
    assert_eq!(report["roots_equal"], true, "{report:#}");
    let total = handed.load(Ordering::Relaxed) - 2_500_000;
    assert!(
        total <= bytes + kills * UNDER_WAY,
        "{} MiB of {} MiB were handed out",
        total / MIB,
        bytes / MIB
    );
    let shown = site.tree().join(crate::large::file_of("8888888"));
    let shown = Digest::of_content(&fs::read(shown).unwrap());
    assert_eq!(shown, Digest::of_content(&content));
    site.backup(&["verify"]).ok();
}

/// What a source was asked for that hands out one request's contents of each
/// pull but the last.
#[derive(Default)]
struct Told {
    came: HashSet<Digest>,
    again: Vec<Digest>,
    held: usize,
    is_last: bool,
    is_full: bool,
}

/// [S8-13] small contents of a leaf that is in the tree, came in part and moved
/// on do not come again, though the source does not know of them.
#[test]
fn small_contents_that_came_are_named_as_held() {
    let site = Site::empty();
    site.configure(false);
    let tale = Arc::new(Mutex::new(tale_of(&site, b"the first state")));
    let told = Arc::new(Mutex::new(Told {
        is_last: true,
        ..Told::default()
    }));
    let key = tale.lock().unwrap().key.clone();
    let script = {
        let (tale, told) = (tale.clone(), told.clone());
        move |request: &Frame| {
            let (tale, mut told) = (tale.lock().unwrap(), told.lock().unwrap());
            match request.kind {
                FrameKind::Fetch => vec![nothing_inline(&tale, &mut told, request)],
                FrameKind::Contents if !told.is_last && told.is_full => {
                    let text = "no more today".into();
                    let code = RefusedCode::Unavailable;
                    vec![Say::Frame(message(
                        FrameKind::Refused,
                        &Refused { code, text },
                    ))]
                }
                FrameKind::Contents => {
                    told.is_full = true;
                    let wanted: Contents = request.decode().unwrap();
                    let small = wanted.ranges.iter().filter(|range| range.chunk.is_none());
                    for range in small {
                        if !told.came.insert(range.digest) {
                            told.again.push(range.digest);
                        }
                    }
                    tale.answer(request)
                }
                _ => tale.answer(request),
            }
        }
    };
    let _source = serving(&site, Evil::new(&key, Arc::new(script)));
    site.backup(&["sync"]).ok();
    for (pull, orders) in [(1, 2..60), (2, 60..62)] {
        let mut tale = tale.lock().unwrap();
        for order in orders {
            tale.add("8888888", order, noise(60_000, order));
        }
        drop(tale);
        let mut told = told.lock().unwrap();
        (told.is_last, told.is_full, told.held) = (pull == 2, false, 0);
        drop(told);
        let ran = site.backup(&["sync"]);
        assert_eq!(
            ran.code,
            Some(if pull == 2 { 0 } else { 1 }),
            "{}",
            ran.stderr
        );
    }
    let told = told.lock().unwrap();
    assert!(told.held >= 10, "{} were named as held", told.held);
    assert_eq!(told.again, [], "asked for again");
    assert_eq!(told.came.len(), 64);
    site.backup(&["verify"]).ok();
}

/// Every entry of the leaves, without contents.
fn nothing_inline(tale: &Tale, told: &mut Told, request: &Frame) -> Say {
    let fetch: Fetch = request.decode().unwrap();
    let deltas = fetch.leaves.iter().map(|want| {
        told.held += want.held.len();
        let mut delta: Delta = tale.delta(&want.key, &mut PackBuilder::default());
        for entry in &mut delta.entries {
            let hint = page_hint(&entry.entry.digest);
            entry.content = match want.held.binary_search(&hint) {
                Ok(_) => ContentForm::Held,
                Err(_) => ContentForm::Later,
            };
        }
        LeafDelta {
            key: want.key.clone(),
            state: DeltaState::Delta(delta),
        }
    });
    bundle_of(&deltas.collect::<Vec<_>>(), PackBuilder::default())
}
