//! `hikae sync`: pull from the source, once or continuously.

use clap::Args;

use super::serve::stay;
use super::{Context, progress, route};
use crate::replicate::command::{Command, Outcome};

/// Arguments of `sync`.
#[derive(Debug, Args)]
pub(super) struct SyncArguments {
    /// Go on until ended.
    #[arg(long)]
    follow: bool,
}

pub(super) async fn run(context: &Context, arguments: &SyncArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    match arguments.follow {
        true => stay(context, home, true, None).await,
        false => route::execute(home, Command::Sync, progress::monitor()).await,
    }
}
