//! Every run that was measured, kept in one file as it is measured.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::site::spread;

/// A cell over this many seconds is measured three times.
const LONG: f64 = 60.0;
const RUNS_OF_LONG: u64 = 3;

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    /// Bytes that came out of the line, both ways.
    pub(crate) wire_bytes: u64,
    /// What is to be known of it; of a run that failed, why.
    pub(crate) note: Option<String>,
    /// It did not do the work.
    #[serde(default)]
    pub(crate) failed: bool,
}

/// A moment of a transfer: seconds, and bytes per second of each link.
pub(crate) type Moment = (f64, Vec<f64>);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// By work, what is to be known of it.
    notes: BTreeMap<String, String>,
    /// In the order in which works came.
    order: Vec<(String, String)>,
    /// By work, rival.
    cells: BTreeMap<String, BTreeMap<String, Vec<Run>>>,
    /// By work: how its links did over time.
    series: BTreeMap<String, Vec<Moment>>,
}

/// All results of a folder.
pub(crate) struct Results {
    path: PathBuf,
    kept: Kept,
}

impl Results {
    pub(crate) fn open(folder: &Path) -> Result<Results> {
        let path = folder.join("race.json");
        let kept = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{}: remove it to begin anew", path.display()))?,
            Err(_) => Kept::default(),
        };
        Ok(Results { path, kept })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn keep(&self) -> Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(&self.kept)?)?;
        Ok(fs::rename(new, &self.path)?)
    }

    pub(crate) fn runs(&self, work: &str, rival: &str) -> &[Run] {
        let cell = self.kept.cells.get(work).and_then(|work| work.get(rival));
        cell.map_or(&[], Vec::as_slice)
    }

    /// Whether run number `run` of a cell is still to be measured.
    pub(crate) fn lacks(&self, work: &str, rival: &str, run: u64) -> bool {
        let runs = self.runs(work, rival);
        let long = runs.iter().any(|run| run.seconds > LONG || run.failed);
        // Who gave up once after so long is not waited for again.
        let over = runs.iter().any(|run| run.seconds > LONG && run.failed);
        runs.len() as u64 <= run && !over && !(long && run >= RUNS_OF_LONG)
    }

    pub(crate) fn add(&mut self, work: &str, rival: &str, run: Run) -> Result<()> {
        eprintln!(
            "{work}: {rival}: {:.2} s, {:.2} MB{}",
            run.seconds,
            run.wire_bytes as f64 / 1e6,
            run.note
                .as_deref()
                .map_or(String::new(), |note| format!(" ({note})"))
        );
        let cell = (work.to_string(), rival.to_string());
        if !self.kept.order.contains(&cell) {
            self.kept.order.push(cell);
        }
        let works = self.kept.cells.entry(work.into()).or_default();
        works.entry(rival.into()).or_default().push(run);
        self.keep()
    }

    pub(crate) fn note(&mut self, work: &str, note: String) -> Result<()> {
        self.kept.notes.insert(work.into(), note);
        self.keep()
    }

    pub(crate) fn has_note(&self, work: &str) -> bool {
        self.kept.notes.contains_key(work)
    }

    pub(crate) fn set_series(&mut self, work: &str, series: Vec<Moment>) -> Result<()> {
        self.kept.series.insert(work.into(), series);
        self.keep()
    }

    pub(crate) fn series(&self, work: &str) -> Option<&Vec<Moment>> {
        self.kept.series.get(work)
    }

    /// Cells in the order in which they were first measured.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (&str, &str, &[Run])> {
        let order = self.kept.order.iter();
        order.map(|(work, rival)| (work.as_str(), rival.as_str(), self.runs(work, rival)))
    }

    /// The middle, least and greatest time of a cell's runs that did the work.
    pub(crate) fn spread(runs: &[Run]) -> Option<(f64, f64, f64)> {
        let done = runs.iter().filter(|run| !run.failed);
        let seconds: Vec<f64> = done.map(|run| run.seconds).collect();
        (!seconds.is_empty()).then(|| spread(seconds))
    }

    /// A table for README: medians, and ratios to the first of each work.
    pub(crate) fn text(&self) -> String {
        let mut works: Vec<&str> = vec![];
        for (work, _, _) in self.cells() {
            if !works.contains(&work) {
                works.push(work);
            }
        }
        let mut out = String::from(
            "| work | who | median s | min-max s | runs | on the wire | of the first |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for work in &works {
            let cells = self.cells().filter(|cell| cell.0 == *work);
            let mut first = None;
            for (_, rival, runs) in cells {
                out += &row(work, rival, runs, &mut first);
            }
        }
        out.push('\n');
        for (work, note) in &self.kept.notes {
            out += &format!("- {work}: {note}\n");
        }
        out
    }
}

fn row(work: &str, rival: &str, runs: &[Run], first: &mut Option<f64>) -> String {
    let Some((median, min, max)) = Results::spread(runs) else {
        let why = runs
            .last()
            .and_then(|run| run.note.clone())
            .unwrap_or_default();
        return format!(
            "| {work} | {rival} | failed: {why} | | {} | | |\n",
            runs.len()
        );
    };
    let first = *first.get_or_insert(median);
    let mut wires: Vec<f64> = runs.iter().map(|run| run.wire_bytes as f64).collect();
    wires.sort_by(f64::total_cmp);
    format!(
        "| {work} | {rival} | {median:.2} | {min:.2}-{max:.2} | {} | {:.3} MB | {:.2} x |\n",
        runs.len(),
        wires[wires.len() / 2] / 1e6,
        median / first
    )
}
