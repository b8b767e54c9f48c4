//! `hikae promote`: a backup becomes a source.

use super::{Context, progress, route};
use crate::replicate::command::{Command, Outcome};

pub(super) async fn run(context: &Context) -> Outcome {
    match context.home() {
        Ok(home) => route::execute(home, Command::Promote, progress::monitor()).await,
        Err(outcome) => outcome,
    }
}
