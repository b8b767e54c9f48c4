//! `hikae restore`: write a past state to a folder.

use std::path::PathBuf;

use clap::Args;

use super::{Context, progress, route};
use crate::publish::Selection;
use crate::replicate::command::{Command, Outcome, exit_code};
use crate::replicate::replica::RestoreOptions;

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    /// A snapshot's number, or a time (RFC 3339): the latest snapshot that was
    /// accepted at or before it.
    #[arg(long, value_name = "SNAPSHOT|TIME")]
    at: String,
    /// An empty or new folder; one in which the same restore was cut off.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Only this volume: facility/label.
    #[arg(long, value_name = "V")]
    volume: Option<String>,
    /// Only this patient.
    #[arg(long, value_name = "ID")]
    patient: Option<String>,
}

pub(super) async fn run(context: &Context, arguments: RestoreArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    // The process that has the home may have another working folder.
    let to = match std::path::absolute(&arguments.to) {
        Ok(to) => to,
        Err(error) => {
            let text = format!("{}: {error}", arguments.to.display());
            return Outcome::error(exit_code::USAGE, &text);
        }
    };
    let options = RestoreOptions {
        at: arguments.at,
        to,
        selection: Selection {
            volume: arguments.volume,
            patient: arguments.patient,
        },
    };
    route::execute(home, Command::Restore(options), progress::monitor()).await
}
