//! The use cases in order: refresh, serve, sync, verify, status.
//!
//! Everything a command does is one `Command`, whether the command opens the
//! home itself or reaches the process that has it open.

pub mod center;
pub mod command;
pub mod control;
mod epoch;
mod export;
mod guesses;
pub mod history;
pub mod home;
pub mod identity;
mod locked;
pub mod node;
pub mod passphrase;
pub mod peering;
mod peers;
pub mod prune;
pub mod replica;
pub mod serve;
mod status;
mod summary;
pub mod view;

pub(crate) use summary::bytes;
