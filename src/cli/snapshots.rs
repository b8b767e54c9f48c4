//! `hikae snapshots`: list what can be looked back to.

use super::{Context, progress, route};
use crate::replicate::command::{Command, Outcome};

pub(super) async fn run(context: &Context) -> Outcome {
    match context.home() {
        Ok(home) => route::execute(home, Command::Snapshots, progress::monitor()).await,
        Err(outcome) => outcome,
    }
}
