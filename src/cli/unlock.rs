//! `hikae unlock`: the passphrase for a process that waits for it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Context, passphrase, progress, typed, typed_twice};
use crate::replicate::command::{Command, Outcome, exit_code};
use crate::replicate::control;

/// Arguments of `unlock`.
#[derive(Debug, Args)]
pub(super) struct UnlockArguments {
    /// A file with the passphrase, instead of typing it.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, arguments: &UnlockArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    let (is_locked, is_new) = match ask(home, Command::Status).await {
        Ok(status) => {
            let says = |key: &str| status.json.get(key) == Some(&true.into());
            (says("locked"), says("new"))
        }
        Err(outcome) => return outcome,
    };
    if !is_locked {
        return Outcome {
            exit_code: exit_code::DONE,
            json: serde_json::json!({ "unlocked": true }),
            text: "it is not locked".into(),
        };
    }
    let file = arguments.passphrase_file.as_ref();
    let given = passphrase::given(file, "--passphrase-file", || match is_new {
        true => typed_twice("passphrase of the new store: "),
        false => typed("passphrase: "),
    });
    let passphrase = match given {
        Ok(passphrase) => passphrase,
        Err(error) => return Outcome::error(exit_code::USAGE, &error),
    };
    ask(home, Command::Unlock { passphrase })
        .await
        .unwrap_or_else(|outcome| outcome)
}

/// What the process that has the home says.
async fn ask(home: &Path, command: Command) -> Result<Outcome, Outcome> {
    let asked = control::ask(home, &command, &*progress::monitor()).await;
    let asked = asked.map_err(|error| Outcome::error(exit_code::FAILED, &error))?;
    asked.ok_or_else(|| {
        Outcome::error(
            exit_code::FAILED,
            &"no process waits in this home: start `hikae view`, `sync --follow` or `serve`",
        )
    })
}
