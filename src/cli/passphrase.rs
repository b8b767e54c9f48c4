//! `hikae passphrase`: another passphrase for a sealed store.

use std::path::PathBuf;

use clap::Args;

use super::{Context, progress, route};
use crate::replicate::node::{Command, Outcome, Secret, exit_code};
use crate::seal::Passphrase;

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
    let old = given(arguments.old_file.as_ref(), "old passphrase: ");
    let new = given(arguments.new_file.as_ref(), "new passphrase: ");
    let (old, new) = match (old, new) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(error), _) | (_, Err(error)) => return Outcome::error(exit_code::USAGE, &error),
    };
    if arguments.new_file.is_none() {
        let again = given(None, "new passphrase, again: ");
        if !again.is_ok_and(|again| again == new) {
            return Outcome::error(exit_code::USAGE, &"the two are not the same");
        }
    }
    let command = Command::Passphrase { old, new };
    route::execute(home, command, progress::monitor()).await
}

fn given(file: Option<&PathBuf>, prompt: &str) -> Result<Secret, String> {
    let typed = match file {
        Some(file) => {
            let bytes =
                std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            Passphrase::of_file(bytes).map_err(|error| format!("{}: {error}", file.display()))?
        }
        None => super::typed(prompt)
            .ok_or("type it at a terminal, or name a file: --old-file, --new-file")?,
    };
    Ok(Secret::of(typed))
}
