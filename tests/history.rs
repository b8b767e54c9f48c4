//! Nothing is ever lost: every snapshot that is kept can be listed, compared
//! and restored; the guard holds what looks like an attack; damage is named
//! and healed; a lost center is replaced.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

#[path = "history/damaged.rs"]
mod damaged;
#[path = "history/full.rs"]
mod full;
#[path = "history/guarded.rs"]
mod guarded;
mod harness;
#[path = "history/matrix.rs"]
mod matrix;
#[path = "history/promoted.rs"]
mod promoted;
#[path = "history/pruned.rs"]
mod pruned;
#[path = "history/rejected.rs"]
mod rejected;
#[path = "history/restored.rs"]
mod restored;
#[path = "history/rotten.rs"]
mod rotten;
#[path = "history/small.rs"]
mod small;
