//! The `hikae` command.

fn main() -> std::process::ExitCode {
    hikae::cli::main()
}
