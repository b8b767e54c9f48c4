//! `hikae scan`: bring a center's catalogue up to date.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Context, progress, route};
use crate::config::Config;
use crate::index::{Lines, Places};
use crate::replicate::center::{Asked, Look};
use crate::replicate::command::{Command, Outcome, exit_code};

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub(super) struct ScanArguments {
    /// Look only where the INDEX DB names directories.
    #[arg(long, conflicts_with = "walk")]
    hints: bool,
    /// Look only where these lines name directories: one path or one row of
    /// SSMIXIDX each, as CSV or TSV, with or without a header; `-` reads
    /// standard input.
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["hints", "walk", "accept_root"])]
    hints_from: Option<PathBuf>,
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
    let asked = match &arguments.hints_from {
        Some(file) => match lines(home, file) {
            Ok(lines) => Asked {
                look: Look::Lines,
                accept_root: false,
                lines: Some(lines),
            },
            Err(outcome) => return outcome,
        },
        None => Asked {
            accept_root: arguments.accept_root,
            ..look.into()
        },
    };
    route::execute(home, Command::Scan(asked), progress::monitor()).await
}

/// Reads the lines of a file, or of standard input.
fn lines(home: &Path, file: &Path) -> Result<Lines, Outcome> {
    let config = Config::load(home).map_err(|error| Outcome::error(exit_code::USAGE, &error))?;
    let roots = config.volume.into_iter();
    let places = Places {
        discover: config.volumes.map(|volumes| volumes.discover),
        roots: roots
            .map(|volume| (format!("{}/{}", volume.facility, volume.label), volume.root))
            .collect(),
    };
    let read = match file == Path::new("-") {
        true => Lines::read(std::io::stdin().lock(), &places),
        false => File::open(file).and_then(|open| Lines::read(BufReader::new(open), &places)),
    };
    read.map_err(|error| {
        let text = format!("{}: {error}", file.display());
        Outcome::error(exit_code::FAILED, &text)
    })
}
