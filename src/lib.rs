//! hikae (控え, the copy one keeps): content-addressed replication of SS-MIX2
//! medical records over QUIC.
//!
//! The library never prints, reads the environment or exits; `cli` and the
//! binary do. See ARCHITECTURE.md for how the folders depend on each other.

pub mod catalogue;
pub mod disk;
pub mod progress;
pub mod segment;
pub mod config;
pub mod index;
pub mod walk;
pub mod plan;
pub mod replicate;
pub mod transfer;
