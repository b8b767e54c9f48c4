//! `hikae gen`: make a synthetic center, or one more day in it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Context, progress};
use crate::r#gen::{DEFAULT_SEED, DayOptions, GenError, StorageOptions, day, storage};
use crate::progress::Monitor;
use crate::replicate::command::{Outcome, exit_code};

/// Arguments of `gen`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct GenArguments {
    #[command(subcommand)]
    more: Option<More>,
    #[command(flatten)]
    storage: Option<StorageArguments>,
}

#[derive(Debug, Subcommand)]
enum More {
    /// One further day of changes, as a gateway makes them.
    Day(DayArguments),
}

#[derive(Debug, Args)]
struct StorageArguments {
    /// A folder that is absent or empty.
    #[arg(long, value_name = "DIR", required = true)]
    out: PathBuf,
    /// Facilities.
    #[arg(long, value_name = "N", required = true)]
    facilities: u32,
    /// Patients over all facilities.
    #[arg(long, value_name = "N", required = true)]
    patients: u64,
    /// Records over all facilities.
    #[arg(long, value_name = "N", required = true)]
    records: u64,
    /// The same seed makes the same center.
    #[arg(long, value_name = "S", default_value_t = DEFAULT_SEED)]
    seed: u64,
}

#[derive(Debug, Args)]
struct DayArguments {
    /// A folder that `gen` made.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Transactions.
    #[arg(long, value_name = "N")]
    changes: u64,
    /// By default it follows from the center and the day.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

pub(super) async fn run(_context: &Context, arguments: GenArguments) -> Outcome {
    let monitor = progress::monitor();
    match (arguments.more, arguments.storage) {
        (Some(More::Day(arguments)), _) => {
            let options = DayOptions {
                out: arguments.out,
                changes: arguments.changes,
                seed: arguments.seed,
            };
            made(move || day(&options, &*monitor)).await
        }
        (None, Some(arguments)) => {
            let options = StorageOptions {
                out: arguments.out,
                facilities: arguments.facilities,
                patients: arguments.patients,
                records: arguments.records,
                seed: arguments.seed,
            };
            made(move || storage(&options, &*monitor as &dyn Monitor)).await
        }
        (None, None) => Outcome::error(
            exit_code::USAGE,
            &"name --out, --facilities, --patients and --records",
        ),
    }
}

async fn made<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, GenError> + Send + 'static,
) -> Outcome {
    match tokio::task::spawn_blocking(work).await {
        Err(error) => Outcome::error(exit_code::FAILED, &error),
        Ok(Err(error)) => Outcome::error(exit_code::FAILED, &error),
        Ok(Ok(report)) => {
            let json = serde_json::to_value(&report).unwrap_or_default();
            Outcome {
                exit_code: exit_code::DONE,
                text: serde_json::to_string_pretty(&json).unwrap_or_default(),
                json,
            }
        }
    }
}
