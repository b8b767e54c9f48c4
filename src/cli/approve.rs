//! `hikae approve`: publish what is held of a volume.

use clap::Args;

use super::{Context, progress, route};
use crate::replicate::command::{Command, Outcome};
use crate::replicate::replica::DecisionOptions;

/// Arguments of `approve` and `reject`.
#[derive(Debug, Args)]
pub(super) struct DecisionArguments {
    /// The volume: facility/label, as `status` names it.
    #[arg(value_name = "VOLUME")]
    volume: String,
    /// Only if this is still the last snapshot that is held.
    #[arg(long, value_name = "N")]
    snapshot: Option<u64>,
}

impl DecisionArguments {
    pub(super) fn options(self) -> DecisionOptions {
        DecisionOptions {
            volume: self.volume,
            snapshot: self.snapshot,
        }
    }
}

pub(super) async fn run(context: &Context, arguments: DecisionArguments) -> Outcome {
    let command = Command::Approve(arguments.options());
    match context.home() {
        Ok(home) => route::execute(home, command, progress::monitor()).await,
        Err(outcome) => outcome,
    }
}
