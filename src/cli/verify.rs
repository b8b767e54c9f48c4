//! `hikae verify`: read everything again and name each difference.

use clap::Args;

use super::{Context, progress, route};
use crate::replicate::command::{Command, Outcome};
use crate::replicate::replica::VerifyOptions;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// Only this share of the patient directories, in percent.
    #[arg(long, value_name = "P", default_value_t = 100.0, value_parser = percent)]
    sample: f64,
    /// Make whole what differs: from the own segments and tree, and from a
    /// source. What is not ours in the tree is moved aside.
    #[arg(long)]
    repair: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 100.0 => Ok(value),
        _ => Err("expected a number above 0 and up to 100".into()),
    }
}

pub(super) async fn run(context: &Context, arguments: &VerifyArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    let options = VerifyOptions {
        sample: arguments.sample,
        repair: arguments.repair,
    };
    route::execute(home, Command::Verify(options), progress::monitor()).await
}
