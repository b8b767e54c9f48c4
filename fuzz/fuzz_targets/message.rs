//! Any bytes as any message: an error or a value, never a panic; a value's
//! encoding decodes to the same value.
#![no_main]

use hikae_protocol::message::*;
use libfuzzer_sys::fuzz_target;

fn check<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>(bytes) {
        let again = postcard::to_stdvec(&value).expect("a decoded value encodes");
        assert_eq!(decode::<T>(&again).as_ref(), Ok(&value));
    }
}

/// A delta beside contents of some lengths.
fn delta(bytes: &[u8]) {
    let mut pack = hikae_protocol::pack::PackBuilder::default();
    for content in [&b""[..], b"a", b"MSH|^~\\&|"] {
        pack.push(content);
    }
    let contents = pack.finish(3).and_then(|pack| pack.unpack()).expect("a pack");
    if let Ok(value) = LeafDelta::decode(bytes, &mut Inlined::new(&contents)) {
        let again = value.encode().expect("a decoded value encodes");
        assert_eq!(LeafDelta::decode(&again, &mut Inlined::new(&contents)).as_ref(), Ok(&value));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 15 {
        0 => check::<Pull>(bytes),
        1 => check::<Offer>(bytes),
        2 => check::<LeafProof>(bytes),
        3 => check::<ProofEnd>(bytes),
        4 => check::<Fetch>(bytes),
        5 => delta(bytes),
        6 => check::<Contents>(bytes),
        7 => check::<Acknowledge>(bytes),
        8 => check::<Refused>(bytes),
        9 => check::<Lists>(bytes),
        10 => check::<ListAnswer>(bytes),
        11 => check::<Chunks>(bytes),
        12 => check::<ChunkList>(bytes),
        13 => check::<hikae_protocol::bare::BareVolume>(bytes),
        _ => check::<hikae_protocol::snapshot::Snapshot>(bytes),
    }
});
