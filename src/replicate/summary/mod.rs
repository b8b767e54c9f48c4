//! Reports in words, for a terminal.

mod past;

pub(super) use past::{diff, prune, restore, snapshots};

use std::fmt::Write;

use super::center::RefreshReport;
use super::export::ExportReport;
use super::replica::{
    DecisionReport, HeldState, HeldVolume, PromoteReport, RepairReport, SyncReport, VerifyReport,
};
use super::status::Status;
use crate::catalogue::RebuildReport;
use crate::transfer::LinkFigures;
use crate::walk::Counts;

/// Lines of one kind that are shown; `--json` has all.
const SHOWN_MAX: usize = 20;

/// Bytes in a unit that a person reads.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

fn lines<T: std::fmt::Display>(out: &mut String, title: &str, total: u64, items: &[T]) {
    if total == 0 {
        return;
    }
    let _ = writeln!(out, "{title}: {total}");
    for item in items.iter().take(SHOWN_MAX) {
        let _ = writeln!(out, "  {item}");
    }
    if total > items.len().min(SHOWN_MAX) as u64 {
        let _ = writeln!(out, "  ... (`--json` names more)");
    }
}

fn looked(counts: &Counts) -> String {
    format!(
        "{} directories listed, {} files compared, {} read ({})",
        counts.directories_read,
        counts.files_compared,
        counts.files_read,
        bytes(counts.bytes_read)
    )
}

/// An export of the INDEX DB.
pub(super) fn export(report: &ExportReport) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}, table {}: {} rows of snapshot {}; {} files are no record",
        report.to, report.table, report.rows, report.sequence, report.files_without_row
    );
    lines(
        &mut out,
        "records that do not fit into the columns",
        report.records_too_long,
        &report.too_long,
    );
    let _ = write!(out, "{:.2} s", report.seconds);
    out
}

/// A rebuild of the index.
pub(super) fn rebuild(report: &RebuildReport) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "index of {} leaves rebuilt in {:.1} s; the root is {}",
        report.leaves,
        report.seconds,
        match report.root_matches {
            true => "the signed one",
            false => "NOT the signed one",
        }
    );
    let damages = &report.damages;
    lines(&mut out, "damaged", damages.len() as u64, damages);
    out
}

/// A refresh.
pub(super) fn refresh(report: &RefreshReport) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "INDEX DB: {} new rows named {} directories; {} of {} volumes walked",
        report.rows_new, report.directories_hinted, report.volumes_walked, report.volumes
    );
    let _ = writeln!(out, "looked: {}", looked(&report.counts));
    let _ = writeln!(
        out,
        "found: {} patient directories changed, {} files new, {} gone",
        report.leaves_changed, report.files_added, report.files_removed
    );
    if let (Some(rows), Some(files)) = (report.rows_without_file, report.files_without_row) {
        let _ = writeln!(
            out,
            "INDEX DB against files: {rows} rows without a file, {files} files without a row"
        );
    }
    lines(
        &mut out,
        "mismatches",
        report.mismatches.len() as u64,
        &report.mismatches,
    );
    lines(
        &mut out,
        "rows that name nothing",
        report.rows_garbage,
        &report.garbage,
    );
    if report.hints_of_unknown_volumes > 0 {
        let _ = writeln!(
            out,
            "hints of volumes that are not here: {}",
            report.hints_of_unknown_volumes
        );
    }
    lines(
        &mut out,
        "not copied",
        report.left_out_total,
        &report.left_out,
    );
    lines(
        &mut out,
        "ERRORS, nothing was removed there",
        report.errors.len() as u64,
        &report.errors,
    );
    if let Some(root) = report.root {
        let _ = writeln!(
            out,
            "snapshot {}: {} records, {}, root {root}",
            report.sequence,
            report.entries,
            bytes(report.bytes)
        );
    }
    let _ = write!(out, "{:.2} s", report.seconds);
    out
}

/// A sync.
pub(super) fn sync(report: &SyncReport) -> String {
    let mut out = String::new();
    let pull = &report.pull;
    if pull.stale {
        let _ = writeln!(out, "the source is behind this replica; nothing was taken");
    } else if pull.changed {
        let _ = writeln!(
            out,
            "pulled {} patient directories: {} contents ({}), {} renames without content",
            pull.leaves,
            pull.contents_received,
            bytes(pull.content_bytes),
            pull.contents_referenced
        );
    } else {
        let _ = writeln!(out, "nothing changed");
    }
    let wire = report.link.bytes_received + report.link.bytes_sent;
    let _ = writeln!(
        out,
        "on the wire: {}, {} proof round trip(s), {} requests",
        bytes(wire),
        pull.proof_round_trips,
        pull.requests
    );
    if report.links.len() > 1 {
        report
            .links
            .iter()
            .for_each(|figures| link(&mut out, figures));
    }
    if let Some(publish) = &report.publish {
        let _ = writeln!(
            out,
            "tree: {} files written, {} renamed, {} removed",
            publish.files_written, publish.files_renamed, publish.files_removed
        );
        lines(
            &mut out,
            "files in the tree that are not ours",
            publish.foreign.len() as u64,
            &publish.foreign,
        );
    }
    held(&mut out, &report.held);
    out.extend(report.sparse.iter().map(|sparse| format!("{sparse}\n")));
    lines(
        &mut out,
        "not copied",
        report.left_out_total,
        &report.left_out,
    );
    lines(&mut out, "notes", report.notes.len() as u64, &report.notes);
    let failed = &report.sources_failed;
    lines(&mut out, "sources that failed", failed.len() as u64, failed);
    if let Some(root) = report.root {
        let equal = match report.roots_equal {
            true => "equal to the signed one",
            false => "NOT the signed one",
        };
        let _ = writeln!(
            out,
            "snapshot {}: {} records, {}, root {root} is {equal}",
            report.sequence,
            report.entries,
            bytes(report.bytes)
        );
    }
    let _ = write!(out, "{:.2} s", report.seconds);
    out
}

/// What is held, and what to do.
fn held(out: &mut String, held: &[HeldVolume]) {
    for HeldVolume {
        volume,
        shows_snapshot,
        held_snapshot,
        state,
        since_ms,
        counts,
        records_pinned,
        examples,
    } in held
    {
        let since = super::status::time(*since_ms);
        if *state == HeldState::Rejected {
            let _ = writeln!(
                out,
                "REJECTED {volume}: {records_pinned} records are shown as of snapshot \
                 {shows_snapshot} until the source has them again (held since {since})"
            );
            continue;
        }
        let _ = writeln!(
            out,
            "HELD {volume} since {since}: {} files gone, {} renamed, {} rewritten, {} with another \
             time, {} that are no messages any more",
            counts.removed, counts.renamed, counts.rewritten, counts.retimed, counts.implausible
        );
        for example in examples.iter().take(3) {
            let _ = writeln!(out, "  {example}");
        }
        let _ = writeln!(
            out,
            "  the tree shows snapshot {shows_snapshot}; compare: hikae diff {shows_snapshot} \
             {held_snapshot}; then: hikae approve {volume}, or hikae reject {volume}"
        );
    }
}

/// What a person decided.
pub(super) fn decision(report: &DecisionReport) -> String {
    let mut out = String::new();
    if let Some(publish) = &report.publish {
        let _ = writeln!(
            out,
            "tree: {} files written, {} renamed, {} removed",
            publish.files_written, publish.files_renamed, publish.files_removed
        );
    }
    held(&mut out, &report.held);
    let _ = write!(out, "{}: decided", report.volume);
    out
}

/// A promotion.
pub(super) fn promote(report: &PromoteReport) -> String {
    let mut out = String::new();
    if report.leaves_kept_back > 0 {
        let _ = writeln!(
            out,
            "{} patient directories were held or rejected; they are signed as the tree shows them",
            report.leaves_kept_back
        );
    }
    let _ = writeln!(
        out,
        "this node signs its own snapshots now: epoch {}, {} records",
        report.epoch, report.entries
    );
    let _ = write!(
        out,
        "others follow it with [source] id = \"{}\" (and without trust)",
        report.node_id
    );
    out
}

fn repaired(out: &mut String, repair: &RepairReport) {
    let _ = writeln!(
        out,
        "repaired: {} contents taken back from the tree, {} contents and {} patient directories \
         asked for again, {} files of the tree written, {} segments written anew",
        repair.contents_from_tree,
        repair.contents_asked,
        repair.leaves_asked,
        repair.tree.files_written,
        repair.store.segments_healed
    );
    if let Some(error) = &repair.source_failed {
        let _ = writeln!(out, "no source could be asked: {error}");
    }
    if let Some(folder) = &repair.tree.aside_folder {
        let title = format!("not ours, moved to {folder}");
        lines(
            out,
            &title,
            repair.tree.aside.len() as u64,
            &repair.tree.aside,
        );
    }
    let left = &repair.store.segments_left;
    lines(
        out,
        "damaged segments that older snapshots need, left as they are",
        left.len() as u64,
        left,
    );
    let named: Vec<String> = repair
        .remaining
        .iter()
        .map(|left| format!("{} {}: {}", left.place, left.path, left.what))
        .collect();
    lines(out, "STILL DIFFERENT", repair.remaining_total, &named);
    if repair.remaining_total == 0 {
        let _ = writeln!(out, "everything is as signed again");
    }
}

/// One link of a session.
fn link(out: &mut String, link: &LinkFigures) {
    let _ = write!(
        out,
        "  link {} to {}: {}",
        link.name, link.remote, link.state
    );
    if link.connections > 0 {
        let _ = write!(
            out,
            ", {}/s, {:.1} ms, {:.2} % lost, {} in flight, {} bundles ({}), {} retries, {} hedges, \
             {} twice",
            bytes(link.rate),
            link.moved.rtt_us as f64 / 1e3,
            link.loss * 100.0,
            bytes(link.in_flight),
            link.bundles,
            bytes(link.answer_bytes),
            link.retries,
            link.hedges,
            bytes(link.bytes_twice)
        );
    }
    match (&link.error, link.state) {
        (Some(error), "down" | "doubtful") => {
            let _ = writeln!(out, " ({error})");
        }
        _ => out.push('\n'),
    }
}

/// A verification.
pub(super) fn verify(report: &VerifyReport) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "read {} stored contents ({}) and {} files of the tree in {} patient directories",
        report.contents,
        bytes(report.content_bytes),
        report.tree_files,
        report.leaves
    );
    let named: Vec<String> = report
        .differences
        .iter()
        .map(|difference| {
            format!(
                "{} {}: {}",
                difference.place, difference.path, difference.what
            )
        })
        .collect();
    lines(&mut out, "DIFFERENCES", report.differences_total, &named);
    if let Some(why) = &report.index_rebuilt {
        let _ = writeln!(out, "the index was made anew: {why}");
    }
    if let Some(repair) = &report.repair {
        repaired(&mut out, repair);
        let _ = write!(out, "{:.2} s", report.seconds);
        return out;
    }
    let _ = writeln!(
        out,
        "{}",
        match report.is_equal() {
            true => "everything is as signed",
            false => "NOT everything is as signed",
        }
    );
    let _ = write!(out, "{:.2} s", report.seconds);
    out
}

/// A status.
pub(super) fn status(status: &Status) -> String {
    let mut out = String::new();
    let role = serde_json::to_value(status.role).unwrap_or_default();
    let _ = writeln!(
        out,
        "{} {}",
        role.as_str().unwrap_or_default(),
        status.node_id
    );
    match &status.snapshot {
        None => out.push_str("no snapshot yet\n"),
        Some(snapshot) => {
            let _ = writeln!(
                out,
                "snapshot {} (epoch {}): {} records of {} patient directories, {}, signed {}, here for {} s",
                snapshot.sequence,
                snapshot.epoch,
                snapshot.entries,
                snapshot.leaves,
                bytes(snapshot.bytes),
                snapshot.signed_at,
                snapshot.age_seconds
            );
            let _ = writeln!(out, "root {}", snapshot.root);
        }
    }
    if let Some(is_published) = status.is_published {
        let _ = writeln!(
            out,
            "tree: {}",
            match is_published {
                true => "shows this snapshot",
                false if !status.held.is_empty() => "shows this snapshot, but for what is held",
                false => "does not show this snapshot yet; the next sync goes on",
            }
        );
    }
    for peer in &status.peers {
        let known = match (&peer.behind, &peer.told_at) {
            (Some(0), Some(at)) => format!("has this snapshot, told {at}"),
            (Some(behind), Some(at)) => format!("is {behind} commits behind, told {at}"),
            _ => "has told nothing since this process began".into(),
        };
        let _ = writeln!(out, "peer {}: {known}", peer.name);
    }
    for source in &status.sources {
        let _ = writeln!(
            out,
            "source {} by {} link(s)",
            source.node_id,
            source.links.len()
        );
        source
            .links
            .iter()
            .for_each(|figures| link(&mut out, figures));
    }
    held(&mut out, &status.held);
    out.extend(status.sparse.iter().map(|sparse| format!("{sparse}\n")));
    lines(
        &mut out,
        "not copied",
        status.left_out_total,
        &status.left_out,
    );
    lines(
        &mut out,
        "ERRORS",
        status.errors.len() as u64,
        &status.errors,
    );
    if let Some(scrub) = &status.scrub {
        let last = scrub.last_ended_at.as_ref();
        let last = last.map_or_else(String::new, |at| {
            format!(
                "; the pass before ended {at} with {}",
                scrub.last_differences
            )
        });
        let _ = writeln!(
            out,
            "read again since {}: {} patient directories, {} differences{last}",
            scrub.begun_at, scrub.leaves, scrub.differences
        );
    }
    if let Some(rebuilt) = &status.rebuilt {
        let _ = writeln!(
            out,
            "the index was rebuilt in {:.2} s: {}",
            rebuilt.seconds, rebuilt.reason
        );
    }
    let free = status
        .free_bytes
        .map_or_else(String::new, |free| format!(", {} free", bytes(free)));
    let _ = write!(
        out,
        "store {}: {}{free}",
        status.store,
        bytes(status.store_bytes)
    );
    out
}
