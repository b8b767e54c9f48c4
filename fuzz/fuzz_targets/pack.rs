//! Any bytes as a frame with packs: bounded by what is declared.
#![no_main]

use bytes::Bytes;
use hikae_protocol::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader};
use hikae_protocol::limits::PACK_RAW_BYTES_MAX;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((header, payload)) = data.split_at_checked(FRAME_HEADER_BYTES) else { return };
    let Ok(header) = FrameHeader::parse(header.try_into().expect("five bytes")) else { return };
    let frame = Frame {
        kind: header.kind,
        payload: Bytes::copy_from_slice(payload),
    };
    let packs = frame.unpack().into_iter().chain(frame.unpack_bundle().into_iter().flat_map(|(one, two)| [one, two]));
    for pack in packs {
        if let Ok(items) = pack.unpack() {
            let bytes: usize = items.iter().map(<[u8]>::len).sum();
            assert!(bytes <= PACK_RAW_BYTES_MAX);
        }
    }
});
