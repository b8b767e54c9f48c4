//! `hikae passphrase`: another passphrase for a sealed store.

use std::path::PathBuf;

use clap::Args;

use super::{Context, progress, route, typed, typed_twice};
use crate::replicate::command::{Command, Outcome, Secret, exit_code};
use crate::seal::Passphrase;

/// The flags that name files.
const FILES: &str = "--old-file, --new-file";

/// Arguments of `passphrase`.
#[derive(Debug, Args)]
pub(super) struct PassphraseArguments {
    /// A file with the new passphrase, instead of typing it twice.
    #[arg(long, value_name = "FILE")]
    new_file: Option<PathBuf>,
    /// A file with the old one, instead of typing it.
    #[arg(long, value_name = "FILE")]
    old_file: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, arguments: &PassphraseArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    let old = given(arguments.old_file.as_ref(), FILES, || {
        typed("old passphrase: ")
    });
    let new = given(arguments.new_file.as_ref(), FILES, || {
        typed_twice("new passphrase: ")
    });
    let (old, new) = match (old, new) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(error), _) | (_, Err(error)) => return Outcome::error(exit_code::USAGE, &error),
    };
    let command = Command::Passphrase { old, new };
    route::execute(home, command, progress::monitor()).await
}

/// What a file holds, or else somebody types; `flags` name a file.
pub(super) fn given(
    file: Option<&PathBuf>,
    flags: &str,
    ask: impl FnOnce() -> Option<Passphrase>,
) -> Result<Secret, String> {
    let passphrase = match file {
        Some(file) => {
            let bytes =
                std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            Passphrase::of_file(bytes).map_err(|error| format!("{}: {error}", file.display()))?
        }
        None => ask().ok_or_else(|| format!("type it at a terminal, or name a file: {flags}"))?,
    };
    Ok(Secret::of(passphrase))
}
