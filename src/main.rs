//! The `hikae` command.

/// Threads that make and drop many small values wait less for each other, and
/// the kernel less for them, than with the system's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // The allocator asks for huge pages, of which a node that waits would hold
    // hundreds of megabytes. A kernel without them has nothing to switch off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    hikae::cli::main()
}
