//! Contents by ranges, and where large ones are cut.

use super::*;

/// [S7-13] one content that can't be handed out is named, the others come;
/// [S7-11] each range in its place.
#[test]
fn a_content_that_is_lacking_keeps_nothing_else_back() {
    let mut told = Told::new();
    let files: [(&str, &[u8]); 3] = [("x", b"one"), ("y", b"two"), ("z", b"three")];
    told.commit(1, &[("F/L/a", &files)]);
    told.lacking.insert(Digest::of_content(b"two"));
    let (deltas, contents) = told.fetched(1, vec![want("F/L/a")]);
    let forms = delta_of(&deltas[0]).entries.iter();
    let forms: Vec<ContentForm> = forms.map(|entry| entry.content).collect();
    let inline = ContentForm::Inline;
    assert_eq!(forms, [inline(0), ContentForm::Lacking, inline(1)]);
    assert_eq!(contents, [&b"one"[..], b"three"]);
    let wanted = asking(&[
        ("z", b"three", Some((2, 3))),
        ("y", b"two", None),
        ("x", b"one", None),
    ]);
    let items = answered(&told, &wanted);
    assert_eq!(items, [&b"ree"[..], b"", b"one"]);
}

/// A file, its content, and which bytes of it as a chunk; none: all.
type Asked<'a> = (&'a str, &'a [u8], Option<(u64, u32)>);

fn asking(ranges: &[Asked]) -> Contents {
    let chunk_at = |content: &[u8], offset: u64, bytes: u32| {
        let chunk = content.get(offset as usize..);
        let chunk = chunk.and_then(|rest| rest.get(..bytes as usize));
        let digest = Digest::of_content(chunk.unwrap_or_default());
        let chunk = Chunk { digest, bytes };
        ChunkAt { offset, chunk }
    };
    let ranges = ranges.iter().map(|&(name, content, part)| Range {
        path: path(name),
        digest: Digest::of_content(content),
        chunk: part.map(|(offset, bytes)| chunk_at(content, offset, bytes)),
    });
    Contents {
        to: cursor(1),
        key: key("F/L/a"),
        ranges: ranges.collect(),
    }
}

fn answered(told: &Told, wanted: &Contents) -> Vec<Vec<u8>> {
    let pack = ranges(told, wanted).unwrap()[0].unpack().unwrap();
    pack.unpack().unwrap().iter().map(<[u8]>::to_vec).collect()
}

/// [S7-10] how much may be asked for at once, and where.
#[test]
fn ranges_are_bounded_and_within_their_file() {
    let mut told = Told::new();
    let large = vec![7; 3 << 20];
    told.commit(1, &[("F/L/a", &[("l", &large), ("x", b"one")])]);
    let piece = 1 << 20;
    let part = |offset, bytes| -> Asked { ("l", &large, Some((offset, bytes))) };
    let two = asking(&[part(0, piece), part(2 << 20, piece)]);
    assert_eq!(answered(&told, &two).concat().len(), 2 << 20);
    let none: Asked = ("x", b"one", Some((3, 0)));
    let empty = asking(&[none; RANGES_MAX]);
    assert_eq!(answered(&told, &empty).len(), RANGES_MAX);
    for malformed in [
        asking(&[part(0, 2 * piece + 1)]),
        asking(&[part(0, 100)]),
        asking(&[part(0, piece), part(0, piece), ("x", b"one", None)]),
        asking(&[("l", &large, None)]),
        asking(&[("x", b"one", Some((0, 4)))]),
        asking(&[("x", b"one", Some((3, 1)))]),
        asking(&[("x", b"one", Some((u64::MAX, 1)))]),
        asking(&[none; RANGES_MAX + 1]),
    ] {
        assert_eq!(code(ranges(&told, &malformed)), RefusedCode::Malformed);
    }
    for moved in [
        asking(&[("gone", b"one", None)]),
        asking(&[("x", b"another", None)]),
    ] {
        assert_eq!(code(ranges(&told, &moved)), RefusedCode::Moved);
    }
}

/// [S7-18] a chunk is handed out only as the one that was asked for.
#[test]
fn a_chunk_of_another_content_is_not_handed_out() {
    let mut told = Told::new();
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
    told.commit(1, &[("F/L/a", &[("l", &large)])]);
    let wanted = asking(&[("l", &large, Some((5, 70_000)))]);
    assert_eq!(answered(&told, &wanted), [&large[5..70_005]]);
    let mut changed = large.clone();
    changed[40_000] ^= 1;
    told.contents.insert(Digest::of_content(&large), changed);
    assert_eq!(answered(&told, &wanted), [b""]);
}

/// [S7-17] lists of chunks cover a content, one behind the other.
#[test]
fn lists_of_chunks_cover_a_content() {
    let mut told = Told::new();
    let large: Vec<u8> = (0..40_000_000_u32)
        .map(|at| (at.wrapping_mul(at) >> 13) as u8)
        .collect();
    let small = vec![1; 1 << 20];
    let files = [("l", &large[..]), ("m", &small), ("x", &small[1..])];
    told.commit(1, &[("F/L/a", &files)]);
    let asked = |name: &str, content: &[u8], from| Chunks {
        to: cursor(1),
        key: key("F/L/a"),
        path: path(name),
        digest: Digest::of_content(content),
        from,
    };
    let list = |told: &Told, asked: &Chunks| -> Vec<Chunk> {
        let frames = chunk_list(told, asked).unwrap();
        frames[0].decode::<ChunkList>().unwrap().chunks
    };
    for (name, content) in [("l", &large), ("m", &small)] {
        let (mut from, mut lists) = (0, 0);
        while from < content.len() as u64 {
            let chunks = list(&told, &asked(name, content, from));
            assert!(!chunks.is_empty());
            let end = check_chunks(&chunks, from, content.len() as u64).unwrap();
            for chunk in chunks {
                let bytes = &content[from as usize..][..chunk.bytes as usize];
                assert_eq!(Digest::of_content(bytes), chunk.digest);
                assert_eq!(first_cut(&content[from as usize..]), bytes.len());
                from += bytes.len() as u64;
            }
            assert_eq!(from, end);
            lists += 1;
        }
        assert_eq!(lists, content.len().div_ceil(CHUNK_SPAN_BYTES as usize));
    }
    for malformed in [
        asked("x", &small[1..], 0),
        asked("m", &small, 1 << 20),
        asked("m", &small, u64::MAX),
    ] {
        assert_eq!(code(chunk_list(&told, &malformed)), RefusedCode::Malformed);
    }
    for moved in [asked("gone", &small, 0), asked("m", &large, 0)] {
        assert_eq!(code(chunk_list(&told, &moved)), RefusedCode::Moved);
    }
    told.lacking.insert(Digest::of_content(&small));
    assert_eq!(list(&told, &asked("m", &small, 0)), []);
}

/// [S8-4] a peer that was admitted and may not pull any more is told so at its
/// next request.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_may_not_pull_any_more_is_told_so() {
    let (ours, theirs) = ([2, 3])
        .map(|seed| SigningKey::from_bytes(&[seed; 32]))
        .into();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let address = config::Listen {
        link: "loopback".into(),
        addr: any,
    };
    let listener = link::listen(&address, &ours, Arc::new(|_| true)).unwrap();
    let source = NodeId(ours.verifying_key().to_bytes());
    let path = config::SourceLink {
        name: "loopback".into(),
        remote: listener.address().unwrap(),
        local: None,
        rate: None,
        hours: None,
    };
    let serving = tokio::spawn(serve(listener.clone(), Arc::new(Told::new())));
    let link = link::connect(source, &path, &theirs, link::HANDSHAKE)
        .await
        .unwrap();
    let pull = Pull::all(None);
    for _ in 0..2 {
        let (mut send, mut receive) = link::open(link.connection()).await.unwrap();
        let frame = Frame::message(FrameKind::Pull, &pull).unwrap();
        link::send(&mut send, &frame).await.unwrap();
        let answer = link::receive(&mut receive, REQUEST_DEADLINE).await.unwrap();
        let refused = Refused::received(&answer.unwrap()).unwrap();
        assert_eq!(refused.code, RefusedCode::Forbidden);
    }
    link.close().await;
    listener.close().await;
    serving.await.unwrap();
}
