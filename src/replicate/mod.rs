//! The use cases in order: refresh, serve, sync, verify, status.
//!
//! Everything a command does is one call here, whether the command opens the
//! home itself or reaches the process that has it open.

pub mod center;
pub mod home;
pub mod identity;
