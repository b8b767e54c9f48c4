//! `hikae reject`: go on with a held volume, but for its suspect records.

use super::approve::DecisionArguments;
use super::{Context, progress, route};
use crate::replicate::command::{Command, Outcome};

pub(super) async fn run(context: &Context, arguments: DecisionArguments) -> Outcome {
    let command = Command::Reject(arguments.options());
    match context.home() {
        Ok(home) => route::execute(home, command, progress::monitor()).await,
        Err(outcome) => outcome,
    }
}
