//! `hikae audit`: check or export what the viewer showed to whom.

use clap::{Args, Subcommand};

use super::{Context, progress, route};
use crate::replicate::command::{Command, Outcome};

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub(super) struct AuditArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// Check that no line was changed, moved, removed or cut off.
    Verify,
    /// Print it as a FHIR Bundle of AuditEvents (IHE BALP).
    Export,
}

pub(super) async fn run(context: &Context, arguments: &AuditArguments) -> Outcome {
    let export = matches!(arguments.what, What::Export);
    match context.home() {
        Ok(home) => route::execute(home, Command::Audit { export }, progress::monitor()).await,
        Err(outcome) => outcome,
    }
}
