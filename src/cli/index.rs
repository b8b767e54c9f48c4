//! `hikae index export`: an SSMIXIDX for the programs beside a backup.

use clap::{Args, Subcommand};

use super::{Context, progress, route};
use crate::config::DatabaseUrl;
use crate::replicate::command::{Command, Outcome, exit_code};

/// Arguments of `index`.
#[derive(Debug, Args)]
pub(super) struct IndexArguments {
    #[command(subcommand)]
    command: IndexCommands,
}

#[derive(Debug, Subcommand)]
enum IndexCommands {
    /// Make an SSMIXIDX from the catalogue.
    Export(ExportArguments),
}

/// Arguments of `index export`.
#[derive(Debug, Args)]
struct ExportArguments {
    /// The database, like sqlite:///path/index.db, postgres://user@host/database
    /// or mysql://user@host/database.
    #[arg(long, value_name = "URL")]
    to: String,
    /// The table.
    #[arg(long, default_value = "SSMIXIDX")]
    table: String,
}

pub(super) async fn run(context: &Context, arguments: IndexArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    let IndexCommands::Export(ExportArguments { to, table }) = arguments.command;
    let to = match DatabaseUrl::parse(&to) {
        Ok(to) => to,
        Err(error) => return Outcome::error(exit_code::USAGE, &error),
    };
    route::execute(
        home,
        Command::IndexExport { to, table },
        progress::monitor(),
    )
    .await
}
