//! hikae (控え, the copy one keeps): content-addressed replication of SS-MIX2
//! medical records over QUIC.
//!
//! The library never prints, reads the environment or exits; `cli` and the
//! binary do. See ARCHITECTURE.md for how the folders depend on each other.

pub mod catalogue;
pub mod cli;
pub mod clinical;
pub mod config;
pub mod disk;
pub mod r#gen;
pub mod hl7;
pub mod index;
pub mod language;
pub mod plan;
pub mod progress;
pub mod publish;
pub mod registry;
pub mod replicate;
pub mod seal;
pub mod segment;
pub mod ssmix;
pub mod transfer;
pub mod viewer;
pub mod walk;
