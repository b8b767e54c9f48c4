//! `hikae scan`: bring a center's catalogue up to date.

use clap::Args;

use super::{Context, progress, route};
use crate::replicate::center::Look;
use crate::replicate::node::{Command, Outcome};

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub(super) struct ScanArguments {
    /// Look only where the INDEX DB names directories.
    #[arg(long, conflicts_with = "walk")]
    hints: bool,
    /// Look at the whole storage, and compare it with the INDEX DB.
    #[arg(long)]
    walk: bool,
    /// Take swapped, emptied or vanished roots as they are now.
    #[arg(long)]
    accept_root: bool,
}

pub(super) async fn run(context: &Context, arguments: &ScanArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    let look = match (arguments.hints, arguments.walk || arguments.accept_root) {
        (true, _) => Look::Hints,
        (_, true) => Look::Walk,
        _ => Look::Due,
    };
    let command = Command::Scan {
        look,
        accept_root: arguments.accept_root,
    };
    route::execute(home, command, progress::monitor()).await
}
