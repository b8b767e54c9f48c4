//! hikae and its rivals side by side on emulated lines: `cargo bench --bench
//! race`, as root.
//!
//! Center and backup are two network namespaces of this machine (`lab`). Every
//! rival brings the same storage and the same days over the same line, in
//! alternating order; what is not said to be cold is warm. A run that was
//! measured is kept: the same command goes on where it was stopped.
//!
//! | variable | default | |
//! |---|---|---|
//! | `HIKAE_RACE_RECORDS` | 200,000 | records of the storage |
//! | `HIKAE_RACE_RUNS` | 5 | runs of a cell; 3 if it takes over a minute |
//! | `HIKAE_RACE_NOISE` | 220 | MB that don't compress, for the works with two links |
//! | `HIKAE_RACE_ONLY` | all | works whose name begins so, separated by `;` |
//! | `HIKAE_RACE_FOLDER` | `target/tmp/race` | what is kept; remove it to begin anew |

#[path = "../lab/mod.rs"]
mod lab;
mod plot;
mod results;
mod rivals;
#[path = "../site/mod.rs"]
mod site;
mod stage;
mod works;

use std::path::PathBuf;

use anyhow::Result;
use lab::blast;
use results::Results;
use site::number;

/// What was asked for.
pub(crate) struct Options {
    pub(crate) records: u64,
    pub(crate) runs: u64,
    pub(crate) noise_mb: u64,
    pub(crate) only: Option<String>,
    pub(crate) folder: PathBuf,
}

impl Options {
    fn read() -> Result<Options> {
        let folder = std::env::var("HIKAE_RACE_FOLDER");
        let default = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("race");
        Ok(Options {
            records: number("HIKAE_RACE_RECORDS", 200_000)?,
            runs: number("HIKAE_RACE_RUNS", 5)?,
            noise_mb: number("HIKAE_RACE_NOISE", 220)?,
            only: std::env::var("HIKAE_RACE_ONLY").ok(),
            folder: folder.map_or_else(|_| default(), PathBuf::from),
        })
    }

    /// Whether a work was asked for.
    pub(crate) fn wants(&self, work: &str) -> bool {
        let only = self.only.as_deref();
        only.is_none_or(|only| only.split(';').any(|name| work.starts_with(name.trim())))
    }
}

fn main() -> Result<()> {
    if blast::entered()? || rivals::entered()? {
        return Ok(());
    }
    lab::possible()?;
    let options = Options::read()?;
    std::fs::create_dir_all(&options.folder)?;
    let mut results = Results::open(&options.folder)?;
    works::all(&options, &mut results)?;
    let text = results.text();
    print!("\n{text}");
    std::fs::write(options.folder.join("race.md"), &text)?;
    let plots = plot::all(&results, &options.folder)?;
    println!("\nevery run: {}", results.path().display());
    for plot in plots {
        println!("plot: {}", plot.display());
    }
    Ok(())
}
