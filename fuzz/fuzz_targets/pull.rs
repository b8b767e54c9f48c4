//! Any sequence of frames at a replica that pulls: never a panic, never an
//! end without a believed offer.
#![no_main]

use bytes::Bytes;
use hikae_protocol::exchange::{Progress, PullExchange};
use hikae_protocol::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader};
use hikae_protocol::snapshot::NodeId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut pull = PullExchange::new(NodeId([7; 32]), None);
    let mut rest = data;
    while let Some((header, after)) = rest.split_at_checked(FRAME_HEADER_BYTES) {
        let Ok(header) = FrameHeader::parse(header.try_into().expect("five bytes")) else { return };
        let (payload, next) = after.split_at(header.length.min(after.len()));
        let frame = Frame {
            kind: header.kind,
            payload: Bytes::copy_from_slice(payload),
        };
        match pull.receive(&frame) {
            Ok(Progress::Offered { .. }) => panic!("an offer was believed that nobody signed"),
            Ok(_) => {}
            Err(_) => return,
        }
        rest = next;
    }
});
