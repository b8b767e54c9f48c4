//! The pure part of hikae: what is on the wire and what is hashed and signed.
//!
//! Owns digests, object paths, messages, framing, limits, the Merkle rules and
//! snapshots, as SPEC.md states them. No I/O, no clock, no runtime: everything
//! here is a function from bytes to values or back, and never panics on bytes
//! that came from outside.

pub mod bare;
pub mod chunk;
pub mod digest;
pub mod entry;
pub mod exchange;
pub mod filter;
pub mod frame;
pub mod limits;
pub mod list;
pub mod message;
pub mod objectpath;
pub mod pack;
pub mod page;
mod sent;
pub mod snapshot;
pub mod tree;
