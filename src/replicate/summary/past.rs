//! Of the past: what there is, what differs, what was restored and forgotten.

use std::fmt::Write;

use super::{bytes, lines};
use crate::publish::RestoreReport;
use crate::replicate::history::{DiffReport, SnapshotLine, Tally};
use crate::replicate::prune::PruneReport;

/// A pruning.
pub(in crate::replicate) fn prune(report: &PruneReport) -> String {
    let mut out = String::new();
    let compact = &report.compact;
    let _ = writeln!(
        out,
        "{} commits forgotten, commit {} is the oldest; {} of {} segments written anew (one at a \
         time, {} at most), {} of {} freed",
        compact.commits_forgotten,
        report.oldest_commit,
        compact.segments_compacted,
        compact.segments,
        bytes(compact.extra_bytes_max),
        bytes(compact.bytes_freed),
        bytes(compact.bytes_before),
    );
    let damaged = &compact.segments_damaged;
    lines(
        &mut out,
        "damaged, left as they are",
        damaged.len() as u64,
        damaged,
    );
    out
}

/// The snapshots that are kept.
pub(in crate::replicate) fn snapshots(snapshots: &[SnapshotLine]) -> String {
    let mut out = format!(
        "{:>9}  {:<26} {:>12} {:>12} {:>10}  {}\n",
        "snapshot", "accepted", "signed as", "records", "bytes", "root"
    );
    for line in snapshots {
        let _ = writeln!(
            out,
            "{:>9}  {:<26} {:>12} {:>12} {:>10}  {}",
            line.snapshot,
            line.accepted_at,
            format!("{}.{}", line.epoch, line.sequence),
            line.entries,
            bytes(line.bytes),
            line.root.get(..16).unwrap_or(&line.root)
        );
    }
    let _ = write!(out, "{} snapshots", snapshots.len());
    out
}

/// A comparison of two snapshots.
pub(in crate::replicate) fn diff(report: &DiffReport) -> String {
    let mut out = format!(
        "{:<24} {:<24} {:>9} {:>10} {:>9} {:>9}\n",
        "volume", "kind", "added", "superseded", "removed", "changed"
    );
    let mut row = |volume: &str, kind: &str, tally: &Tally| {
        let _ = writeln!(
            out,
            "{volume:<24} {kind:<24} {:>9} {:>10} {:>9} {:>9}",
            tally.added, tally.superseded, tally.removed, tally.changed
        );
    };
    for line in &report.lines {
        row(&line.volume, &line.kind, &line.tally);
    }
    row("all", "", &report.total);
    let _ = write!(
        out,
        "from snapshot {} to {}: {} patient directories differ",
        report.from, report.to, report.leaves
    );
    out
}

/// A restore.
pub(in crate::replicate) fn restore(report: &RestoreReport) -> String {
    let mut out = String::new();
    if report.resumed {
        let _ = writeln!(out, "an earlier restore was gone on with");
    }
    let _ = writeln!(
        out,
        "{} files ({}) of {} patient directories as of snapshot {} are in {}; {} were written now",
        report
            .files
            .saturating_sub(report.lacking + report.not_held + report.damaged.len() as u64),
        bytes(report.bytes),
        report.leaves,
        report.snapshot,
        report.to.display(),
        report.files_written
    );
    let _ = writeln!(
        out,
        "the snapshot's root is {}",
        match report.roots_equal {
            true => "the signed one",
            false => "NOT the signed one",
        }
    );
    if report.lacking > 0 {
        let _ = writeln!(
            out,
            "not there, as the source could not hand them out: {}",
            report.lacking
        );
    }
    if report.not_held > 0 {
        let _ = writeln!(
            out,
            "NOT RESTORED, left out by the filter of this copy: {} files",
            report.not_held
        );
    }
    for (what, damaged) in [
        (
            "NOT RESTORED, volumes of which this copy has nothing",
            &report.bare,
        ),
        ("NOT RESTORED, damaged in the store", &report.damaged),
        (
            "PATIENTS NOT RESTORED, their records are damaged in the store",
            &report.leaves_damaged,
        ),
    ] {
        lines(&mut out, what, damaged.len() as u64, damaged);
    }
    let _ = write!(out, "{:.2} s", report.seconds);
    out
}
