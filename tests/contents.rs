//! Contents that are large, that change while they are read, and that come in
//! several attempts: what has to travel and to rest is counted.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;
#[path = "contents/large.rs"]
mod large;
#[path = "bad_peer/quic.rs"]
#[expect(dead_code, reason = "clients are for the tests of bad peers")]
mod quic;
#[path = "contents/resume.rs"]
mod resume;
#[path = "bad_peer/tale.rs"]
#[expect(dead_code, reason = "lies are for the tests of bad peers")]
mod tale;
