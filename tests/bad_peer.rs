//! Peers that are strangers, speak garbage or lie: nothing of it is taken,
//! the fault is named with the peer, and the next honest sync ends equal.
//!
//! The evil source runs in this process: it has the key that the backup pins
//! and trusts, tells a tale that would be accepted, and lies in one place.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

#[path = "bad_peer/bare.rs"]
mod bare;
mod harness;
#[path = "bad_peer/lists.rs"]
mod lists;
#[path = "bad_peer/quic.rs"]
mod quic;
#[path = "bad_peer/tale.rs"]
mod tale;

use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ed25519_dalek::{Signer, SigningKey};
use hikae_protocol::chunk::Chunk;
use hikae_protocol::digest::{Digest, parse_hex};
use hikae_protocol::frame::{Frame, FrameKind};
use hikae_protocol::limits::{CHUNKS_MAX, PACK_RAW_BYTES_MAX};
use hikae_protocol::message::{
    Acknowledge, ChunkAt, Chunks, ContentForm, Contents, Delta, DeltaEntry, DeltaState, Fetch,
    LeafDelta, LeafProof, LeafWant, Pull, Range, Refused, RefusedCode,
};
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use hikae_protocol::pack::PackBuilder;
use hikae_protocol::snapshot::{Cursor, Epoch, NodeId, SignedSnapshot, Snapshot, VerifiedSnapshot};
use serde::Serialize;

use harness::{Ran, Site, hikae_under, look, noise, record};
use quic::{Client, Evil, Say, written};
use tale::*;

// ---------------------------------------------------------------- the site

/// A center of ten patients without an INDEX DB, scanned and synced.
fn copied() -> Site {
    let site = Site::empty();
    site.configure(false);
    for patient in 0..10 {
        let path = record(&format!("{:07}", 1_000_000 + patient), 1);
        site.put(&format!("{VOLUME}/{path}"), path.as_bytes());
    }
    site.center(&["scan"]).ok();
    site.sync().ok();
    site.assert_equal();
    site
}

fn key_of(site: &Site, home: &str) -> SigningKey {
    let text = fs::read_to_string(site.path(home).join("node.key")).unwrap();
    SigningKey::from_bytes(&parse_hex(text.trim()).unwrap())
}

/// A sync that is ended (code 124) when it does not end by itself.
fn sync_within(site: &Site, seconds: u32) -> Ran {
    let (home, seconds) = (site.text("backup"), seconds.to_string());
    let timeout = ["timeout", "--kill-after=1", &seconds];
    hikae_under(&timeout, &["sync", "--home", &home])
}

/// Makes the backup pull from this port.
fn point_at(site: &Site, port: u16) {
    change(site, "backup", |text| {
        let (before, rest) = text.split_once("127.0.0.1:").unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        format!("{before}127.0.0.1:{port}\"{after}")
    });
}

fn change(site: &Site, home: &str, change: impl Fn(&str) -> String) {
    let file = site.path(home).join("hikae.toml");
    let text = fs::read_to_string(&file).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed, "nothing was changed");
    fs::write(&file, changed).unwrap();
}

/// Writes one more record at the center.
fn one_more(site: &Site, order: u64) {
    let path = format!("{VOLUME}/{}", record("1000003", order));
    site.put(&path, format!("record {order}").as_bytes());
}

// ------------------------------------------------------- strangers and noise

/// A sync fails with this error, shows nothing new, and converges after the
/// configuration is mended.
fn refused(expected: &[&str], home: &str, wrong: impl Fn(&Site, &str) -> String) {
    let site = copied();
    let before = look(&site.tree());
    let right = fs::read_to_string(site.path(home).join("hikae.toml")).unwrap();
    change(&site, home, |text| wrong(&site, text));
    one_more(&site, 2);
    let error = site.sync().failed(1);
    for expected in expected {
        assert!(error.contains(expected), "expected {expected:?} in {error}");
    }
    assert_eq!(before, look(&site.tree()), "a stranger changed the tree");
    site.backup(&["verify"]).ok();
    fs::write(site.path(home).join("hikae.toml"), right).unwrap();
    site.sync().ok();
    site.assert_equal();
}

fn other_id() -> String {
    NodeId(SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes()).to_string()
}

/// [S8-2] the source admits keys of its peers alone.
#[test]
fn a_backup_that_the_center_does_not_know_is_refused_and_told_where_to_look() {
    refused(&["loopback", "[[peer]]"], "center", |site, text| {
        text.replace(&site.backup_id, &other_id())
    });
}

/// [S8-2] the replica admits the key of its source alone.
#[test]
fn a_center_whose_key_is_not_the_pinned_one_is_refused() {
    refused(
        &["loopback", "not the pinned one", &other_id()],
        "backup",
        |site, text| text.replace(&site.center_id, &other_id()),
    );
}

/// [S6-2] a replica believes the signer that it was told to trust.
#[test]
fn a_source_whose_signer_is_not_the_trusted_one_is_refused() {
    refused(&["is signed by", &other_id()], "backup", |_, text| {
        text.replace(
            "[[source.link]]",
            &format!("trust = \"{}\"\n[[source.link]]", other_id()),
        )
    });
}

#[test]
fn a_source_that_is_not_there_is_named_with_its_link_and_address() {
    let site = copied();
    let before = look(&site.tree());
    one_more(&site, 2);
    let error = sync_within(&site, 30).failed(1);
    for expected in [
        "loopback",
        &format!("127.0.0.1:{}", site.port),
        &site.center_id,
    ] {
        assert!(error.contains(expected), "expected {expected:?} in {error}");
    }
    assert_eq!(before, look(&site.tree()));
    site.sync().ok();
    site.assert_equal();
}

#[test]
fn a_source_that_stops_in_the_middle_is_given_up_and_pulled_from_later() {
    let site = copied();
    let center = site.serve();
    let signal = |name: &str| {
        let pid = center.0.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    };
    // Enough to be stopped in the middle of.
    for order in 2..400 {
        let path = format!("{VOLUME}/{}", record("1000003", order));
        site.put(&path, &noise(50_000, order));
    }
    let before = look(&site.tree());
    let ran = std::thread::scope(|threads| {
        let syncing = threads.spawn(|| sync_within(&site, 60));
        std::thread::sleep(Duration::from_millis(400));
        signal("-STOP");
        syncing.join().unwrap()
    });
    signal("-CONT");
    // A machine that is fast enough was done before.
    if ran.code != Some(0) {
        let error = ran.failed(1);
        assert!(
            error.contains("lost") || error.contains("answer"),
            "{error}"
        );
        assert_eq!(before, look(&site.tree()));
    }
    site.backup(&["sync"]).ok();
    site.assert_equal();
}

#[test]
fn garbage_on_the_center_s_port_keeps_no_honest_sync_back() {
    let site = Site::generated(2, 40, 2_000);
    site.center(&["scan"]).ok();
    let center = site.serve();
    let ended = AtomicBool::new(false);
    let mut sent = 0;
    std::thread::scope(|threads| {
        let noisy = threads.spawn(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut sent = 0_u64;
            while !ended.load(Ordering::Relaxed) {
                let mut bytes = noise(1 + (sent as usize * 37) % 1_400, sent);
                // Half of it looks like the begin of a QUIC connection.
                if sent.is_multiple_of(2) {
                    bytes.resize(1_200, 7);
                    bytes[..5].copy_from_slice(&[0xc3, 0, 0, 0, 1]);
                }
                let _ = socket.send_to(&bytes, ("127.0.0.1", site.port));
                sent += 1;
                if sent.is_multiple_of(64) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            sent
        });
        std::thread::sleep(Duration::from_millis(100));
        let first = sync_within(&site, 60);
        site.day(100);
        let second = sync_within(&site, 60);
        ended.store(true, Ordering::Relaxed);
        sent = noisy.join().unwrap();
        first.ok();
        second.ok();
    });
    assert!(sent > 1_000, "only {sent} datagrams of noise");
    site.assert_equal();
    site.center(&["status"]).ok();
    center.end();
}

// --------------------------------------------------- a client of nonsense

/// [S4-3] kinds that only a source sends are refused there; [S7-1] an
/// `Acknowledge` changes nothing.
#[test]
fn nonsense_from_a_known_client_is_refused_and_the_center_goes_on() {
    let site = copied();
    let center = site.serve();
    let client = Client::new(&key_of(&site, "backup"), site.port);
    let to = Cursor {
        epoch: Epoch {
            counter: 1,
            random: [0; 16],
        },
        sequence: 1,
    };
    let leaf = LeafKey::parse(format!("{VOLUME}/100/000/1000003").as_bytes()).unwrap();
    let want = LeafWant {
        key: leaf.clone(),
        base: None,
        after: None,
        inline: true,
        held: vec![],
    };
    let range = Range {
        path: ObjectPath::parse(b"x").unwrap(),
        digest: Digest([0; 32]),
        chunk: Some(ChunkAt {
            offset: u64::MAX,
            chunk: Chunk {
                digest: Digest([0; 32]),
                bytes: u32::MAX,
            },
        }),
    };
    let contents = |ranges: Vec<Range>| Contents {
        to,
        key: leaf.clone(),
        ranges,
    };
    #[derive(Serialize)]
    struct RawWant(Vec<u8>, Option<u64>, Option<Vec<u8>>, bool);
    let traversal = |key: &[u8], after: Option<&[u8]>| {
        let want = RawWant(key.to_vec(), None, after.map(<[u8]>::to_vec), true);
        let fetch = (to, vec![want]);
        raw(FrameKind::Fetch, postcard::to_stdvec(&fetch).unwrap())
    };
    let small = Range {
        chunk: None,
        ..range.clone()
    };
    let chunks = Chunks {
        to,
        key: leaf.clone(),
        path: ObjectPath::parse(b"x").unwrap(),
        digest: Digest([0; 32]),
        from: u64::MAX,
    };
    let nonsense: Vec<(&str, Vec<u8>)> = vec![
        ("an unknown kind", vec![0xee, 0, 0, 0, 0]),
        ("a pull of 4 GiB", vec![0x01, 0xff, 0xff, 0xff, 0xff]),
        ("a fetch over its bound", vec![0x02, 1, 0, 16, 0]),
        (
            "an answer's kind",
            written(&raw(FrameKind::Offer, vec![1; 40])),
        ),
        (
            "a pull that does not decode",
            written(&raw(FrameKind::Pull, vec![7; 40])),
        ),
        (
            "bytes after a pull",
            written(&raw(FrameKind::Pull, vec![0, 0, 1])),
        ),
        (
            "a fetch that does not decode",
            written(&raw(FrameKind::Fetch, noise(5_000, 3))),
        ),
        (
            "a leaf outside",
            written(&traversal(b"0410000001/STD01/../../../etc", None)),
        ),
        (
            "a path outside",
            written(&traversal(leaf.as_bytes(), Some(b"../../x"))),
        ),
        (
            "too many leaves",
            written(&message(
                FrameKind::Fetch,
                &Fetch {
                    to,
                    leaves: vec![want.clone(); 5_000],
                    only: None,
                },
            )),
        ),
        (
            "a range beyond everything",
            written(&message(
                FrameKind::Contents,
                &contents(vec![range.clone(); 3]),
            )),
        ),
        (
            "too many ranges",
            written(&message(FrameKind::Contents, &contents(vec![small; 5_000]))),
        ),
        (
            "chunks beyond everything",
            written(&message(FrameKind::Chunks, &chunks)),
        ),
        (
            "chunks that do not decode",
            written(&raw(FrameKind::Chunks, noise(5_000, 4))),
        ),
        (
            "another epoch",
            written(&message(
                FrameKind::Fetch,
                &Fetch {
                    to,
                    leaves: vec![want],
                    only: None,
                },
            )),
        ),
        ("garbage", noise(3_000, 4)),
    ];
    for (name, bytes) in nonsense {
        let answer = client.say(&bytes);
        let refused = answer.first() == Some(&FrameKind::Refused.byte());
        assert!(
            refused,
            "{name} was answered by {:02x?}",
            &answer[..answer.len().min(40)]
        );
    }
    for cut in [
        &[][..],
        &[0x01],
        &[0x01, 9, 0, 0],
        &[0x02, 9, 0, 0, 0, 1, 2],
    ] {
        assert!(client.say(cut).is_empty(), "half a frame was answered");
    }
    // What a peer says of itself is shown; that it is far beyond, too.
    let beyond = Some(Cursor {
        sequence: u64::MAX,
        ..to
    });
    let told = Acknowledge {
        durable: beyond,
        published: beyond,
        lacking: u64::MAX,
    };
    let told = written(&message(FrameKind::Acknowledge, &told));
    assert!(
        client.say(&told).is_empty(),
        "an end without a frame is due"
    );
    // Streams that never say what they want, next to an honest sync. (32 are
    // allowed; the right to open one again comes in batches.)
    let open = client.begin(&[0x02, 0, 0, 15, 0, 1, 2, 3], 24);
    one_more(&site, 2);
    sync_within(&site, 30).ok();
    site.assert_equal();
    drop(open);
    // And after the client has gone without a word.
    drop(client);
    one_more(&site, 3);
    sync_within(&site, 30).ok();
    site.assert_equal();
    site.center(&["status"]).ok();
    center.end();
}

// ------------------------------------------------------------ the evil source

/// One lie: a name, what the error says of it, and the answer where it is
/// told; none where the tale is told as it is.
type Lie = (
    &'static str,
    &'static str,
    fn(&Tale, &Frame) -> Option<Vec<Say>>,
);

/// Each lie is told to a backup that has an honest copy.
fn tell(lies: &[Lie]) {
    let site = copied();
    let center = site.serve();
    let tale = Tale::new(key_of(&site, "center"));
    for (at, (name, expected, lie)) in lies.iter().enumerate() {
        let before = look(&site.tree());
        let (tale, lie) = (tale.clone(), *lie);
        let told = Arc::new(AtomicBool::new(false));
        let telling = told.clone();
        let evil = Evil::new(
            &tale.key.clone(),
            Arc::new(move |request| match lie(&tale, request) {
                Some(say) => {
                    telling.store(true, Ordering::Relaxed);
                    say
                }
                None => tale.answer(request),
            }),
        );
        point_at(&site, evil.port);
        let ran = sync_within(&site, 30);
        assert_eq!(ran.code, Some(1), "{name}: {} {}", ran.json, ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
        let error = ran.failed(1);
        assert!(told.load(Ordering::Relaxed), "{name} was not told: {error}");
        assert!(
            error.contains(expected) && error.contains(&site.center_id),
            "{name}: expected {expected:?} in {error}"
        );
        assert_eq!(before, look(&site.tree()), "{name} changed the tree");
        site.backup(&["verify"]).ok();
        drop(evil);
        point_at(&site, site.port);
        one_more(&site, 2 + at as u64);
        let report = sync_within(&site, 30).ok();
        assert_eq!(report["roots_equal"], true, "after {name}");
        site.assert_equal();
    }
    center.end();
}

fn at(kind: FrameKind, request: &Frame, say: impl FnOnce() -> Vec<Say>) -> Option<Vec<Say>> {
    (request.kind == kind).then(say)
}

/// Without it the lies would show nothing.
#[test]
fn the_tale_is_taken_where_it_does_not_lie() {
    let site = Site::empty();
    site.configure(false);
    let tale = Tale::new(key_of(&site, "center"));
    let told = tale.clone();
    let evil = Evil::new(&tale.key, Arc::new(move |request| told.answer(request)));
    point_at(&site, evil.port);
    let report = sync_within(&site, 30).ok();
    assert_eq!(report["roots_equal"], true);
    let shown = look(&site.tree());
    assert_eq!(shown.len(), 4);
    for (key, files) in &tale.leaves {
        for (entry, content) in files {
            let path = [key.as_bytes(), b"/", entry.path.as_bytes()].concat();
            assert_eq!(shown[&path].content, *content);
        }
    }
}

/// [S8-1] a frame of any other kind than is due is refused.
#[test]
fn lies_in_frames_are_refused_and_named() {
    tell(&[
        (
            "another kind than an offer",
            "where an offer was due",
            |_, request| at(FrameKind::Pull, request, || vec![end_of(0)]),
        ),
        (
            "a request instead of an answer",
            "where an offer was due",
            |_, request| {
                at(FrameKind::Pull, request, || {
                    vec![Say::Frame(message(FrameKind::Pull, &Pull::all(None)))]
                })
            },
        ),
        (
            "an unknown kind",
            "unknown frame kind 0xee",
            |_, request| {
                at(FrameKind::Pull, request, || {
                    vec![Say::Bytes(vec![0xee, 0, 0, 0, 0])]
                })
            },
        ),
        ("an offer over its bound", "over its bound", |_, request| {
            at(FrameKind::Pull, request, || {
                vec![Say::Bytes(vec![0x10, 1, 16, 0, 0])]
            })
        }),
        ("a proof of 4 GiB", "over its bound", |tale, request| {
            at(FrameKind::Pull, request, || {
                vec![
                    tale.offer(request),
                    Say::Bytes(vec![0x11, 0xff, 0xff, 0xff, 0xff]),
                ]
            })
        }),
        ("nothing at all", "too early", |_, request| {
            at(FrameKind::Pull, request, Vec::new)
        }),
        ("half a header", "too early", |_, request| {
            at(FrameKind::Pull, request, || {
                vec![Say::Bytes(vec![0x10, 9, 0])]
            })
        }),
        ("half an offer", "too early", |tale, request| {
            at(FrameKind::Pull, request, || {
                vec![cut(tale.offer(request), 60)]
            })
        }),
        ("no proof after the offer", "too early", |tale, request| {
            at(FrameKind::Pull, request, || vec![tale.offer(request)])
        }),
        (
            "an offer that does not decode",
            "does not decode",
            |_, request| {
                at(FrameKind::Pull, request, || {
                    vec![Say::Frame(raw(FrameKind::Offer, vec![0xff; 200]))]
                })
            },
        ),
        (
            "two offers",
            "where a proof or its end was due",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    vec![tale.offer(request), tale.offer(request)]
                })
            },
        ),
        ("half a bundle", "too early", |tale, request| {
            at(FrameKind::Fetch, request, || {
                let (deltas, contents) = tale.deltas(request);
                vec![cut(bundle_of(&deltas, contents), 100)]
            })
        }),
        (
            "another kind than a bundle",
            "where Bundle was due",
            |_, request| at(FrameKind::Fetch, request, || vec![end_of(0)]),
        ),
        ("a refusal", "no reason", |_, request| {
            at(FrameKind::Fetch, request, || {
                let refused = Refused {
                    code: RefusedCode::Forbidden,
                    text: "no reason".into(),
                };
                vec![Say::Frame(message(FrameKind::Refused, &refused))]
            })
        }),
    ]);
}

/// ed25519 over the context of a snapshot and these bytes.
fn signed_bytes(key: &SigningKey, body: Vec<u8>) -> SignedSnapshot {
    let signed = [&b"hikae 1 snapshot signature\0"[..], &body].concat();
    SignedSnapshot {
        signer: NodeId(key.verifying_key().to_bytes()),
        signature: key.sign(&signed).to_bytes().to_vec(),
        body,
    }
}

/// A leaf of a proof whose key was not checked.
#[derive(Serialize)]
struct RawProof(Vec<u8>, Option<Digest>, u64, u64);

/// [S8-5] without a proof that adds up nothing is fetched, stored or shown.
#[test]
fn lies_in_proofs_are_refused_and_named() {
    tell(&[
        (
            "a flipped bit in the signature",
            "signature",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    let mut signed = tale.sign(tale.snapshot(have(request)));
                    signed.signature[20] ^= 1;
                    vec![tale.offered(signed), proof_of(&tale.proofs()), end_of(2)]
                })
            },
        ),
        (
            "a flipped bit in what was signed",
            "signature",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    let mut signed = tale.sign(tale.snapshot(have(request)));
                    signed.body[30] ^= 1;
                    vec![tale.offered(signed), proof_of(&tale.proofs()), end_of(2)]
                })
            },
        ),
        ("another signer", "is signed by", |tale, request| {
            at(FrameKind::Pull, request, || {
                let key = SigningKey::from_bytes(&[8; 32]);
                let signed = VerifiedSnapshot::sign(tale.snapshot(have(request)), &key).unwrap();
                vec![
                    tale.offered(signed.signed().clone()),
                    proof_of(&tale.proofs()),
                    end_of(2),
                ]
            })
        }),
        (
            "another signer under the trusted name",
            "signature",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    let key = SigningKey::from_bytes(&[8; 32]);
                    let signed =
                        VerifiedSnapshot::sign(tale.snapshot(have(request)), &key).unwrap();
                    let signed = SignedSnapshot {
                        signer: NodeId(tale.key.verifying_key().to_bytes()),
                        ..signed.signed().clone()
                    };
                    vec![tale.offered(signed), proof_of(&tale.proofs()), end_of(2)]
                })
            },
        ),
        (
            "a signature over garbage",
            "no snapshot",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    vec![tale.offered(signed_bytes(&tale.key, noise(90, 5)))]
                })
            },
        ),
        (
            "leaves in the wrong order",
            "out of order",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    let mut proofs = tale.proofs();
                    proofs.reverse();
                    vec![tale.offer(request), proof_of(&proofs), end_of(2)]
                })
            },
        ),
        ("a leaf twice", "out of order", |tale, request| {
            at(FrameKind::Pull, request, || {
                let proofs = tale.proofs();
                vec![
                    tale.offer(request),
                    proof_of(&proofs),
                    proof_of(&proofs[1..]),
                    end_of(3),
                ]
            })
        }),
        (
            "more leaves announced than sent",
            "incomplete",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    vec![tale.offer(request), proof_of(&tale.proofs()), end_of(3)]
                })
            },
        ),
        ("a leaf left away", "does not add up", |tale, request| {
            at(FrameKind::Pull, request, || {
                vec![
                    tale.offer(request),
                    proof_of(&tale.proofs()[1..]),
                    end_of(1),
                ]
            })
        }),
        (
            "another digest of a leaf",
            "does not add up",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    let mut proofs = tale.proofs();
                    proofs[0].digest = Some(Digest([1; 32]));
                    vec![tale.offer(request), proof_of(&proofs), end_of(2)]
                })
            },
        ),
        ("another root", "does not add up", |tale, request| {
            at(FrameKind::Pull, request, || {
                let snapshot = Snapshot {
                    root: Digest([1; 32]),
                    ..tale.snapshot(have(request))
                };
                vec![
                    tale.offered(tale.sign(snapshot)),
                    proof_of(&tale.proofs()),
                    end_of(2),
                ]
            })
        }),
        (
            "a leaf outside of everything",
            "does not decode",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    let proof = RawProof(b"0410000001/STD01/../../x".to_vec(), None, 1, 1);
                    vec![tale.offer(request), proof_of(&[proof]), end_of(1)]
                })
            },
        ),
        (
            "a proof that declares 4 GiB",
            "declares",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    let pack = pack_bytes(1, u32::MAX, &[0; 100]);
                    vec![tale.offer(request), Say::Frame(raw(FrameKind::Proof, pack))]
                })
            },
        ),
        (
            "a proof that is a bomb",
            "does not decompress",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    let pack = bomb(PACK_RAW_BYTES_MAX as u32);
                    vec![tale.offer(request), Say::Frame(raw(FrameKind::Proof, pack))]
                })
            },
        ),
        ("a proof of garbage", "wrong pack", |tale, request| {
            at(FrameKind::Pull, request, || {
                vec![
                    tale.offer(request),
                    Say::Frame(raw(FrameKind::Proof, noise(500, 6))),
                ]
            })
        }),
        (
            "a leaf as large as the world",
            "does not add up",
            |tale, request| {
                at(FrameKind::Pull, request, || {
                    let mut proofs = tale.proofs();
                    for proof in &mut proofs {
                        (proof.weight, proof.sequence) = (u64::MAX, u64::MAX);
                        proof.digest = Some(Digest([2; 32]));
                    }
                    vec![tale.offer(request), proof_of(&proofs), end_of(2)]
                })
            },
        ),
    ]);
}

/// Changes the first leaf's delta of a bundle.
fn deltas_with(
    tale: &Tale,
    request: &Frame,
    change: impl Fn(&mut Vec<DeltaEntry>),
) -> Option<Vec<Say>> {
    at(FrameKind::Fetch, request, || {
        let (mut deltas, contents) = tale.deltas(request);
        if let DeltaState::Delta(delta) = &mut deltas[0].state {
            change(&mut delta.entries);
        }
        vec![bundle_of(&deltas, contents)]
    })
}

/// A bundle of one entry whose path was not checked.
fn entry_at(tale: &Tale, request: &Frame, path: &[u8]) -> Option<Vec<Say>> {
    #[derive(Serialize)]
    struct RawEntry(Vec<u8>, i64, u64, RawForm);
    /// The second variant is inline.
    #[derive(Serialize)]
    enum RawForm {
        #[allow(dead_code, reason = "a place")]
        Held,
        Inline(u32),
    }
    at(FrameKind::Fetch, request, || {
        let entries = vec![RawEntry(path.to_vec(), 0, 1, RawForm::Inline(0))];
        let no_tombstones: Vec<u8> = vec![];
        // 1 is the variant of a delta.
        let delta = (tale.small(), 1_u8, entries, no_tombstones, false);
        let mut contents = PackBuilder::default();
        contents.push(b"evil");
        vec![bundle_with(
            &pack_of(&[delta]),
            &contents.finish(3).unwrap(),
        )]
    })
}

/// [S7-6] other leaves than were asked for, [S7-7] entries out of order,
/// [S8-6] manifests and [S8-7] contents that are not the proven ones: none of
/// it is taken.
#[test]
fn lies_in_bundles_are_refused_and_named() {
    tell(&[
        (
            "one flipped byte of a content",
            "the proven digest",
            |tale, request| {
                let mut lying = tale.clone();
                let small = tale.small().clone();
                lying.leaves.get_mut(&small).unwrap()[1].1[2] ^= 1;
                at(FrameKind::Fetch, request, || lying.answer(request))
            },
        ),
        ("a longer content", "the proven digest", |tale, request| {
            let mut lying = tale.clone();
            let small = tale.small().clone();
            lying.leaves.get_mut(&small).unwrap()[2].1.push(0);
            at(FrameKind::Fetch, request, || lying.answer(request))
        }),
        (
            "contents of each other",
            "the proven digest",
            |tale, request| {
                deltas_with(tale, request, |entries| {
                    entries[0].content = ContentForm::Inline(1);
                    entries[1].content = ContentForm::Inline(0);
                })
            },
        ),
        (
            "a content that is not there",
            "is not in the bundle",
            |tale, request| {
                deltas_with(tale, request, |entries| {
                    entries[1].content = ContentForm::Inline(u32::MAX);
                })
            },
        ),
        (
            "an entry left away",
            "the proven digest",
            |tale, request| deltas_with(tale, request, |entries| drop(entries.pop())),
        ),
        ("an entry more", "the proven digest", |tale, request| {
            deltas_with(tale, request, |entries| {
                let mut more = entries[2].clone();
                more.content = ContentForm::Later;
                more.entry.path = ObjectPath::parse(b"zzz").unwrap();
                entries.push(more);
            })
        }),
        ("another time", "the proven digest", |tale, request| {
            deltas_with(tale, request, |entries| entries[0].entry.mtime_ns += 1)
        }),
        ("another size", "the proven digest", |tale, request| {
            deltas_with(tale, request, |entries| {
                entries[0].content = ContentForm::Later;
                entries[0].entry.size = u64::MAX;
            })
        }),
        ("contents of a part", "inline", |tale, request| {
            at(FrameKind::Fetch, request, || {
                let (mut deltas, contents) = tale.deltas(request);
                if let DeltaState::Delta(delta) = &mut deltas[0].state {
                    delta.more = true;
                }
                vec![bundle_of(&deltas, contents)]
            })
        }),
        (
            "entries in the wrong order",
            "not in order",
            |tale, request| deltas_with(tale, request, |entries| entries.swap(0, 1)),
        ),
        ("an entry twice", "not in order", |tale, request| {
            deltas_with(tale, request, |entries| {
                let mut again = entries[2].clone();
                again.content = ContentForm::Later;
                entries.push(again);
            })
        }),
        ("a content twice", "another entry's", |tale, request| {
            deltas_with(tale, request, |entries| {
                entries[1].content = entries[0].content;
            })
        }),
        (
            "a path that leads out",
            "does not decode",
            |tale, request| entry_at(tale, request, b"../x"),
        ),
        (
            "a path that leads out later",
            "does not decode",
            |tale, request| entry_at(tale, request, b"20250401/../../../../../../x"),
        ),
        (
            "a path from the root",
            "does not decode",
            |tale, request| entry_at(tale, request, b"/etc/x"),
        ),
        ("a path with a NUL", "does not decode", |tale, request| {
            entry_at(tale, request, b"x\0y")
        }),
        ("a path without end", "does not decode", |tale, request| {
            entry_at(tale, request, &b"x/".repeat(3_000))
        }),
        ("other leaves", "other leaves", |tale, request| {
            at(FrameKind::Fetch, request, || {
                let (mut deltas, contents) = tale.deltas(request);
                deltas[0].key = LeafKey::parse(b"0410000001/STD01/1/2/3").unwrap();
                vec![bundle_of(&deltas, contents)]
            })
        }),
        ("fewer leaves", "other leaves", |tale, request| {
            at(FrameKind::Fetch, request, || {
                let (deltas, contents) = tale.deltas(request);
                vec![bundle_of(&deltas[1..], contents)]
            })
        }),
        ("a bundle that declares 4 GiB", "declares", |_, request| {
            at(FrameKind::Fetch, request, || {
                vec![bundle_bytes(
                    &pack_bytes(1, u32::MAX, &[0; 100]),
                    &empty_pack(),
                )]
            })
        }),
        (
            "contents that declare 4 GiB",
            "declares",
            |tale, request| {
                at(FrameKind::Fetch, request, || {
                    let mut deltas = BytesMut::new();
                    pack_of_deltas(&tale.deltas(request).0).write(&mut deltas);
                    vec![bundle_bytes(&deltas, &pack_bytes(0, u32::MAX, &[0; 100]))]
                })
            },
        ),
        (
            "contents that are a bomb",
            "does not decompress",
            |tale, request| {
                at(FrameKind::Fetch, request, || {
                    let mut deltas = BytesMut::new();
                    pack_of_deltas(&tale.deltas(request).0).write(&mut deltas);
                    vec![bundle_bytes(&deltas, &bomb(1_000_000))]
                })
            },
        ),
        ("a bundle of garbage", "wrong pack", |_, request| {
            at(FrameKind::Fetch, request, || {
                vec![Say::Frame(raw(FrameKind::Bundle, noise(700, 8)))]
            })
        }),
        (
            "leaves that always have moved on",
            "kept changing",
            |tale, request| {
                at(FrameKind::Fetch, request, || {
                    let (mut deltas, contents) = tale.deltas(request);
                    deltas
                        .iter_mut()
                        .for_each(|delta| delta.state = DeltaState::Moved);
                    vec![bundle_of(&deltas, contents)]
                })
            },
        ),
    ]);
}

/// [S8-7] contents that came by themselves are checked, too.
#[test]
fn lies_in_contents_are_refused_and_named() {
    tell(&[
        (
            "one flipped byte of a large content",
            "not the listed one",
            |tale, request| {
                at(FrameKind::Contents, request, || {
                    let mut ranges = tale.ranges(request);
                    ranges[0][1_000] ^= 1;
                    vec![ranges_of(&ranges)]
                })
            },
        ),
        ("a shorter piece", "not the listed one", |tale, request| {
            at(FrameKind::Contents, request, || {
                let mut ranges = tale.ranges(request);
                ranges[0].pop();
                vec![ranges_of(&ranges)]
            })
        }),
        ("a longer piece", "not the listed one", |tale, request| {
            at(FrameKind::Contents, request, || {
                let mut ranges = tale.ranges(request);
                ranges[0].extend_from_slice(&[0; 1_000_000]);
                vec![ranges_of(&ranges)]
            })
        }),
        ("no piece", "fewer chunks", |_, request| {
            at(FrameKind::Contents, request, || vec![ranges_of(&[])])
        }),
        (
            "another kind than pieces",
            "where Ranges was due",
            |_, request| at(FrameKind::Contents, request, || vec![end_of(0)]),
        ),
        ("a piece that declares 4 GiB", "declares", |_, request| {
            at(FrameKind::Contents, request, || {
                vec![Say::Frame(raw(
                    FrameKind::Ranges,
                    pack_bytes(1, u32::MAX, &[0; 9]),
                ))]
            })
        }),
        ("a piece that is a bomb", "do not unpack", |_, request| {
            at(FrameKind::Contents, request, || {
                vec![Say::Frame(raw(FrameKind::Ranges, bomb(1_000_000)))]
            })
        }),
        (
            "a list of one chunk too many",
            "a list of 513 chunks",
            |tale, request| {
                lists(tale, request, |chunks| {
                    *chunks = vec![
                        Chunk {
                            bytes: 40_000,
                            ..chunks[0]
                        };
                        CHUNKS_MAX + 1
                    ];
                })
            },
        ),
        (
            "a list that goes beyond the end",
            "beyond the end",
            |tale, request| {
                lists(tale, request, |chunks| {
                    let more = chunks[0];
                    chunks.push(more);
                })
            },
        ),
        ("an empty chunk", "a chunk of 0 bytes", |tale, request| {
            lists(tale, request, |chunks| chunks[0].bytes = 0)
        }),
        (
            "a chunk too short",
            "a chunk of 32767 bytes",
            |tale, request| lists(tale, request, |chunks| chunks[0].bytes = 32_767),
        ),
        (
            "a chunk too long",
            "a chunk of 524289 bytes",
            |tale, request| lists(tale, request, |chunks| chunks[0].bytes = 524_289),
        ),
        ("a chunk of 4 GiB", "beyond the end", |tale, request| {
            lists(tale, request, |chunks| chunks[0].bytes = u32::MAX)
        }),
        (
            "a chunk with another digest than its bytes",
            "not the listed one",
            |tale, request| lists(tale, request, |chunks| chunks[1].digest = Digest([9; 32])),
        ),
        (
            "two chunks of one digest",
            "not the listed one",
            |tale, request| {
                lists(tale, request, |chunks| {
                    let (one, two) = (chunks[0], chunks[1]);
                    chunks[0] = Chunk {
                        digest: two.digest,
                        ..one
                    };
                    assert_ne!(one.bytes, two.bytes);
                })
            },
        ),
        (
            "another kind than a list",
            "where ChunkList was due",
            |_, request| at(FrameKind::Chunks, request, || vec![end_of(0)]),
        ),
        (
            "a list that does not decode",
            "does not decode",
            |_, request| {
                at(FrameKind::Chunks, request, || {
                    vec![Say::Frame(raw(FrameKind::ChunkList, noise(700, 8)))]
                })
            },
        ),
        ("a list over its bound", "over its bound", |_, request| {
            at(FrameKind::Chunks, request, || {
                vec![Say::Bytes(vec![0x22, 1, 128, 0, 0])]
            })
        }),
        ("half a piece", "too early", |tale, request| {
            at(FrameKind::Contents, request, || {
                vec![cut(ranges_of(&tale.ranges(request)), 5_000)]
            })
        }),
        (
            "small contents, one too few",
            "fewer contents",
            |tale, request| small_later(tale, request, |ranges| drop(ranges.pop())),
        ),
        (
            "small contents, one of them wrong",
            "is not the proven one",
            |tale, request| small_later(tale, request, |ranges| ranges[1][0] ^= 1),
        ),
    ]);
}

/// The list of chunks, but for a change.
fn lists(tale: &Tale, request: &Frame, change: impl Fn(&mut Vec<Chunk>)) -> Option<Vec<Say>> {
    at(FrameKind::Chunks, request, || {
        let mut chunks = tale.chunks(request);
        change(&mut chunks);
        vec![list_of(chunks)]
    })
}

/// Small contents do not come along; when they are asked for, this.
fn small_later(
    tale: &Tale,
    request: &Frame,
    change: impl Fn(&mut Vec<Vec<u8>>),
) -> Option<Vec<Say>> {
    match request.kind {
        FrameKind::Fetch => {
            let (mut deltas, _) = tale.deltas(request);
            for delta in &mut deltas {
                if let DeltaState::Delta(delta) = &mut delta.state {
                    for entry in &mut delta.entries {
                        entry.content = ContentForm::Later;
                    }
                }
            }
            Some(vec![bundle_of(&deltas, PackBuilder::default())])
        }
        FrameKind::Contents => {
            let wanted: Contents = request.decode().unwrap();
            (wanted.key == *tale.small()).then(|| {
                let mut ranges = tale.ranges(request);
                change(&mut ranges);
                vec![ranges_of(&ranges)]
            })
        }
        _ => None,
    }
}

/// One offer to a backup that has an honest copy: the sync's outcome.
fn offered(offer: fn(&Tale, Cursor) -> Snapshot) -> (Site, Ran, bool) {
    let site = copied();
    let before = look(&site.tree());
    let tale = Tale::new(key_of(&site, "center"));
    let told = tale.clone();
    let evil = Evil::new(
        &tale.key,
        Arc::new(move |request| match request.kind {
            FrameKind::Pull => vec![
                told.offered(told.sign(offer(&told, have(request).unwrap()))),
                proof_of(&told.proofs()),
                end_of(2),
            ],
            _ => told.answer(request),
        }),
    );
    point_at(&site, evil.port);
    let ran = sync_within(&site, 30);
    point_at(&site, site.port);
    let unchanged = before == look(&site.tree());
    (site, ran, unchanged)
}

/// [S6-5] at an equivocation nothing is taken, and somebody is told.
#[test]
fn two_roots_for_one_commit_are_an_alarm() {
    for other_life in [false, true] {
        let offer: fn(&Tale, Cursor) -> Snapshot = match other_life {
            false => |tale, have| Snapshot {
                cursor: have,
                ..tale.snapshot(Some(have))
            },
            true => |tale, mut have| {
                have.epoch.random = [4; 16];
                tale.snapshot(Some(have))
            },
        };
        let (site, ran, unchanged) = offered(offer);
        let error = ran.failed(1);
        assert!(error.contains("equivocation"), "{error}");
        assert!(unchanged);
        one_more(&site, 2);
        site.sync().ok();
        site.assert_equal();
    }
}

/// [S6-5] no other source is asked instead, though it has something newer; one
/// that only fails is passed over.
#[test]
fn after_an_equivocation_no_other_source_is_asked() {
    for alarming in [true, false] {
        let site = copied();
        one_more(&site, 2);
        site.center(&["scan"]).ok();
        let center = site.serve();
        let before = look(&site.tree());
        let tale = Tale::new(key_of(&site, "center"));
        let told = tale.clone();
        let evil = Evil::new(
            &tale.key,
            Arc::new(move |request| match alarming {
                true => {
                    let cursor = have(request).unwrap();
                    let snapshot = Snapshot {
                        cursor,
                        ..told.snapshot(Some(cursor))
                    };
                    vec![told.offered(told.sign(snapshot))]
                }
                false => vec![],
            }),
        );
        change(&site, "backup", |text| {
            let (above, source) = text.split_once("[source]").unwrap();
            format!("{above}[[source]]{source}\n[[source]]{source}")
        });
        point_at(&site, evil.port);
        let ran = sync_within(&site, 30);
        if alarming {
            let error = ran.failed(1);
            assert!(error.contains("equivocation"), "{error}");
            assert_eq!(before, look(&site.tree()));
        } else {
            ran.ok();
            site.assert_equal();
        }
        center.end();
    }
}

/// [S6-6] what a replica holds is what its last commit recorded: each sync
/// is a process of its own.
#[test]
fn an_older_snapshot_is_stale_and_not_taken() {
    for other_life in [false, true] {
        let offer: fn(&Tale, Cursor) -> Snapshot = match other_life {
            false => |tale, have| Snapshot {
                cursor: Cursor {
                    sequence: have.sequence - 1,
                    ..have
                },
                ..tale.snapshot(Some(have))
            },
            true => |tale, mut have| {
                have.epoch.counter -= 1;
                tale.snapshot(Some(have))
            },
        };
        let (site, ran, unchanged) = offered(offer);
        let report = ran.ok();
        assert_eq!(report["pull"]["stale"], true);
        assert!(unchanged);
        one_more(&site, 2);
        site.sync().ok();
        site.assert_equal();
    }
}

/// The counts are signed beside the root: they have to be the leaves' own,
/// or the next commit computes from wrong ones.
/// [S8-9] nothing of such a snapshot is committed.
#[test]
fn counts_that_are_not_those_of_the_leaves_are_refused() {
    let lies: [fn(&Tale, Cursor) -> Snapshot; 4] = [
        |tale, have| Snapshot {
            leaves: 0,
            ..tale.snapshot(Some(have))
        },
        |tale, have| Snapshot {
            entries: u64::MAX,
            ..tale.snapshot(Some(have))
        },
        |tale, have| Snapshot {
            bytes: 1,
            ..tale.snapshot(Some(have))
        },
        |tale, have| Snapshot {
            entries: 3,
            ..tale.snapshot(Some(have))
        },
    ];
    for lie in lies {
        let (site, ran, unchanged) = offered(lie);
        let error = ran.failed(1);
        assert!(error.contains(&site.center_id), "{error}");
        assert!(unchanged);
        one_more(&site, 2);
        site.sync().ok();
        site.assert_equal();
    }
}

/// Answers without end, each well-formed and quick.
fn endless(script: fn(&Tale, &Frame) -> Option<Vec<Say>>) {
    let site = copied();
    let before = look(&site.tree());
    let tale = Tale::new(key_of(&site, "center"));
    let told = tale.clone();
    let evil = Evil::new(
        &tale.key,
        Arc::new(move |request| script(&told, request).unwrap_or_else(|| told.answer(request))),
    );
    point_at(&site, evil.port);
    let begun = Instant::now();
    let ran = sync_within(&site, 20);
    assert_eq!(
        ran.code,
        Some(1),
        "not given up after {:?}: {} {}",
        begun.elapsed(),
        ran.json,
        ran.stderr
    );
    assert_eq!(before, look(&site.tree()));
    drop(evil);
    point_at(&site, site.port);
    one_more(&site, 2);
    site.sync().ok();
    site.assert_equal();
}

#[test]
fn a_delta_that_always_promises_more_is_given_up() {
    endless(|tale, request| {
        at(FrameKind::Fetch, request, || {
            let fetch: Fetch = request.decode().unwrap();
            let more = |want: &LeafWant| LeafDelta {
                key: want.key.clone(),
                state: DeltaState::Delta(Delta {
                    more: true,
                    ..Delta::default()
                }),
            };
            let _ = tale;
            let deltas: Vec<LeafDelta> = fetch.leaves.iter().map(more).collect();
            vec![bundle_of(&deltas, PackBuilder::default())]
        })
    });
}

#[test]
fn a_proof_of_empty_frames_without_end_is_given_up() {
    endless(|tale, request| {
        at(FrameKind::Pull, request, || {
            let nothing: [LeafProof; 0] = [];
            let Say::Frame(frame) = proof_of(&nothing) else {
                return vec![];
            };
            vec![tale.offer(request), Say::Forever(frame)]
        })
    });
}

/// A source that stays connected and says nothing more.
#[test]
fn a_silence_is_given_up_wherever_it_begins() {
    type Silent = fn(&Tale, &Frame) -> Option<Vec<Say>>;
    let silences: [(&str, Silent); 3] = [
        ("in a bundle", |tale, request| {
            at(FrameKind::Fetch, request, || {
                let (deltas, contents) = tale.deltas(request);
                vec![cut(bundle_of(&deltas, contents), 50), Say::Silence]
            })
        }),
        ("before the contents", |_, request| {
            at(FrameKind::Contents, request, || vec![Say::Silence])
        }),
        // The source has walked by then: nothing is left to wait for.
        ("after the offer", |tale, request| {
            at(FrameKind::Pull, request, || {
                vec![tale.offer(request), Say::Silence]
            })
        }),
    ];
    let outcomes: Vec<(&str, Ran)> = std::thread::scope(|threads| {
        let tasks: Vec<_> = silences
            .into_iter()
            .map(|(name, silence)| {
                threads.spawn(move || {
                    let site = copied();
                    let before = look(&site.tree());
                    let tale = Tale::new(key_of(&site, "center"));
                    let told = tale.clone();
                    let evil = Evil::new(
                        &tale.key,
                        Arc::new(move |request| {
                            silence(&told, request).unwrap_or_else(|| told.answer(request))
                        }),
                    );
                    point_at(&site, evil.port);
                    let ran = sync_within(&site, 70);
                    assert_eq!(before, look(&site.tree()), "silence {name}");
                    drop(evil);
                    point_at(&site, site.port);
                    one_more(&site, 2);
                    site.sync().ok();
                    site.assert_equal();
                    (name, ran)
                })
            })
            .collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect()
    });
    for (name, ran) in outcomes {
        assert_eq!(ran.code, Some(1), "silence {name} was not given up");
        let error = ran.failed(1);
        assert!(error.contains("did not answer"), "silence {name}: {error}");
    }
}

/// STYLE 22: text from peers is escaped: what a peer says must not steer the
/// operator's terminal.
/// [S7-12] a refusal is escaped before it is shown.
#[test]
fn the_words_of_a_peer_are_shown_escaped() {
    let site = copied();
    let tale = Tale::new(key_of(&site, "center"));
    let evil = Evil::new(
        &tale.key,
        Arc::new(|_| {
            let refused = Refused {
                code: RefusedCode::Forbidden,
                text: "\x1b[2J\x1b]0;owned\x07\nall is well\r".into(),
            };
            vec![Say::Frame(message(FrameKind::Refused, &refused))]
        }),
    );
    point_at(&site, evil.port);
    let ran = Command::new(env!("CARGO_BIN_EXE_hikae"))
        .args(["sync", "--home", site.text("backup").as_str()])
        .env("HIKAE_LOG", "error")
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("all is well"), "{said:?}");
    let steering = said.trim_end().chars().find(|letter| letter.is_control());
    assert_eq!(steering, None, "{said:?}");
}
