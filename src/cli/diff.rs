//! `hikae diff`: what changed between two snapshots.

use clap::Args;

use super::{Context, progress, route};
use crate::replicate::command::{Command, Outcome};
use crate::replicate::history::DiffOptions;

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArguments {
    /// A snapshot's number, or a time (RFC 3339).
    #[arg(value_name = "A")]
    from: String,
    /// Another one.
    #[arg(value_name = "B")]
    to: String,
}

pub(super) async fn run(context: &Context, arguments: DiffArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    let options = DiffOptions {
        from: arguments.from,
        to: arguments.to,
    };
    route::execute(home, Command::Diff(options), progress::monitor()).await
}
