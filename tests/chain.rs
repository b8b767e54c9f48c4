//! Chains: center, backup, and who pulls from the backup. Everybody proves
//! the copy against what the center signed.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

#[path = "chain/adopt.rs"]
mod adopt;
#[path = "chain/compare.rs"]
mod compare;
#[path = "chain/node.rs"]
mod node;
#[path = "chain/serving.rs"]
mod serving;
#[path = "chain/sparse.rs"]
mod sparse;
