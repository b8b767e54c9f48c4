//! `hikae prune`: forget snapshots beyond the retention, free what only they
//! needed.

use super::{Context, progress, route};
use crate::replicate::command::{Command, Outcome};

pub(super) async fn run(context: &Context) -> Outcome {
    match context.home() {
        Ok(home) => route::execute(home, Command::Prune, progress::monitor()).await,
        Err(outcome) => outcome,
    }
}
