//! The `hikae` command.

/// Threads that make and drop many small values wait less for each other, and
/// the kernel less for them, than with the system's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    hikae::cli::main()
}
