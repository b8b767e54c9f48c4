//! How many heaps the allocator may keep.
//!
//! glibc gives threads heaps of their own and keeps what is freed in each: with
//! as many as it likes a first copy of a million records takes half as much again,
//! and a day nearly twice. Without unsafe code their number can only be said by the
//! environment, before a process begins.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// glibc's name for the greatest number of heaps (mallopt(3), M_ARENA_MAX).
const VARIABLE: &str = "MALLOC_ARENA_MAX";
/// No more than cores of a small machine.
const HEAPS: &str = "2";
/// Says that it was done: glibc takes its own name away from a process with
/// more rights than who began it.
const MARK: &str = "HIKAE_HEAPS";

/// Begins this process again with few heaps, unless somebody said how many. Where
/// that can't be done it goes on as it is.
pub(super) fn limit() {
    let said = [VARIABLE, MARK].map(std::env::var_os);
    if !cfg!(target_env = "gnu") || said.iter().any(Option::is_some) {
        return;
    }
    let mut arguments = std::env::args_os();
    let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) else {
        return;
    };
    // An attempt that fails leaves signals changed: none where it must fail.
    if !program.is_file() {
        return;
    }
    let mut again = Command::new(program);
    let _error = again.arg0(name).args(arguments).env(VARIABLE, HEAPS).exec();
}
