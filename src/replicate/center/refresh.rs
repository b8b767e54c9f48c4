//! The refresh: hints and due walks, to differences, to leaf records, to a
//! signed snapshot.

use std::collections::BTreeMap;
use std::time::Instant;

use hikae_protocol::objectpath::{LeafKey, PathText};
use hikae_protocol::snapshot::{Cursor, Epoch, Snapshot, VerifiedSnapshot};

use super::leftout::{LeftOutList, LeftOutSummary};
use super::report::{Look, RefreshReport};
use super::state::SourceState;
use super::taker::Taker;
use super::volumes::{self, Discovered, RootError, VolumeRoot};
use super::{Asked, Center, CenterError, locked, mismatch, now_ms};
use crate::catalogue::CatalogueError;
use crate::disk::{Directory, join};
use crate::index::{Hints, Watermark};
use crate::progress::Monitor;
use crate::replicate::epoch::next_epoch;
use crate::walk::{LeafLook, Parts, Scope, VolumeWalk};

/// Looks that wait to be taken, at most.
const LOOKS_WAITING: usize = 1024;

/// What is to be looked at in this refresh.
struct Round {
    /// By volume; a volume without scope is left alone.
    scopes: BTreeMap<Vec<u8>, (Scope, bool)>,
    /// Where each INDEX DB's next reading goes on.
    watermarks: BTreeMap<String, Watermark>,
    /// Hints of volumes that are known and not there now.
    absent: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Brings the catalogue up to date.
pub(super) fn refresh(
    center: &Center,
    state: &mut SourceState,
    asked: &Asked,
    monitor: &dyn Monitor,
) -> Result<RefreshReport, CenterError> {
    let (accept, started) = (asked.accept_root, Instant::now());
    let mut report = RefreshReport::default();
    if center
        .catalogue
        .commit_record()
        .is_some_and(|held| held.signed.signer != center.id())
    {
        return Err(CenterError::Key);
    }
    let whole = center.catalogue.is_whole()?;
    let look = match (whole, asked.look) {
        (false, Look::Due | Look::Hints | Look::Lines) => Look::Walk,
        (_, look) => look,
    };
    let discovered = volumes::discover(center.config())?;
    let found = &discovered.volumes;
    report.volumes = found.len() as u64;
    *locked(&center.roots) = found
        .iter()
        .map(|volume| (volume.name.clone(), volume.root.clone()))
        .collect();
    let mut again = std::mem::take(&mut state.again);
    // What is not there now is looked at when it is there again.
    state.again = again
        .extract_if(.., |key, _| !discovered.has(key.volume()))
        .collect();
    let mut round = plan(center, state, (look, asked), &discovered, &mut report);
    for (key, directories) in &again {
        if let Scope::Parts(parts) = &mut scope_of(&mut round, key.volume()).0 {
            parts.leaves.insert(key.clone(), directories.clone());
        }
    }
    let missed = std::mem::take(&mut state.missed);
    for (volume, directory) in missed.iter().chain(&round.absent.clone()) {
        match discovered.has(volume) {
            true => add_directory(&mut round, volume, directory.clone()),
            false => drop(state.missed.insert((volume.clone(), directory.clone()))),
        }
    }
    monitor.stage("look at the storage", None);
    let scopes = std::mem::take(&mut round.scopes);
    let result = look_at_volumes(center, state, scopes, found, accept, &mut report, monitor);
    if result.is_err() {
        state.again.extend(again);
        state.missed.extend(missed);
    }
    result?;
    forget_vanished(center, state, &discovered, accept, &mut report)?;
    if !whole {
        all_was_seen(state, &discovered, &report)?;
    }
    commit(center, center.due_epoch()?, &mut report)?;
    center.epoch_begun();
    let rebuilt = center.catalogue.rebuilt();
    let damages = rebuilt.iter().flat_map(|rebuilt| &rebuilt.damages);
    report.errors.extend(damages.map(ToString::to_string));
    if matches!(look, Look::Walk | Look::Reread) && !center.indexes.is_empty() {
        for volume in found.iter().filter(|volume| !volume.is_registry()) {
            if let Err(error) = mismatch::compare(center, volume, &mut report) {
                report.errors.push(error.to_string());
            }
        }
    }
    state.watermarks.extend(round.watermarks);
    report.directories_again = state.again.values().map(|below| below.len() as u64).sum();
    state.among_volumes = LeftOutList::default();
    for item in discovered.left_out {
        state.among_volumes.add(item, true);
    }
    let left_out = left_out(state);
    report.left_out_total = left_out.total;
    report.left_out_failures = left_out.failures;
    report.left_out = left_out.named;
    state.commit = center.catalogue.last_commit();
    state.save(center.catalogue.files())?;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Whether the walk that brings back what damage took saw everything: what it
/// did not see must not be signed away.
///
/// Errors: `CenterError::Damaged` with the first thing that it did not see.
fn all_was_seen(
    state: &SourceState,
    discovered: &Discovered,
    report: &RefreshReport,
) -> Result<(), CenterError> {
    let unseen = left_out(state).named.into_iter();
    let unseen = unseen.chain(discovered.left_out.iter().cloned());
    let mut unseen = unseen.filter(|item| item.reason.is_failure());
    let first = report.errors.first().cloned();
    match first.or_else(|| unseen.next().map(|item| item.to_string())) {
        Some(what) => Err(CenterError::Damaged(what)),
        None => Ok(()),
    }
}

/// What is not copied: how many, and the first by name.
pub(super) fn left_out(state: &SourceState) -> LeftOutSummary {
    let volumes = state.volumes.values().map(|volume| &volume.left_out);
    LeftOutSummary::of(volumes.chain([&state.among_volumes]))
}

fn scope_of<'a>(round: &'a mut Round, volume: &[u8]) -> &'a mut (Scope, bool) {
    round
        .scopes
        .entry(volume.to_vec())
        .or_insert_with(|| (Scope::Parts(Parts::default()), false))
}

fn add_directory(round: &mut Round, volume: &[u8], directory: Vec<u8>) {
    if let Scope::Parts(parts) = &mut scope_of(round, volume).0 {
        parts.directories.push(directory);
    }
}

/// Reads the INDEX DBs, or takes the lines, and decides which volumes are
/// walked.
fn plan(
    center: &Center,
    state: &SourceState,
    (look, asked): (Look, &Asked),
    discovered: &Discovered,
    report: &mut RefreshReport,
) -> Round {
    let mut round = Round {
        scopes: BTreeMap::new(),
        watermarks: BTreeMap::new(),
        absent: vec![],
    };
    let found = &discovered.volumes;
    walks(center, state, look, found, &mut round);
    if let Some(lines) = &asked.lines {
        report.rows_read = lines.lines;
        report.rows_new = lines.lines;
        report.rows_garbage = lines.bad_lines;
        report.garbage.clone_from(&lines.bad);
        if lines.bad_lines > 0 {
            let text = format!("{} lines name no directory of a volume", lines.bad_lines);
            report.errors.push(text);
        }
        take_hints(state, discovered, lines.hints.clone(), &mut round, report);
        return round;
    }
    for index in &center.indexes {
        let known = state.watermarks.get(&index.name());
        // The first watermark is taken before the first walk begins.
        let Some(known) = known else {
            match index.first_watermark() {
                Ok(first) => {
                    round.watermarks.insert(index.name(), first);
                    // What changed before this watermark is the walk's, also
                    // where one was made while the database was away.
                    for volume in found {
                        let whole = (Scope::Whole, false);
                        round.scopes.entry(volume.name.clone()).or_insert(whole);
                    }
                }
                Err(error) => report.errors.push(error.to_string()),
            }
            continue;
        };
        let changes = match index.changes(known) {
            Ok(changes) => changes,
            Err(error) => {
                report.errors.push(error.to_string());
                continue;
            }
        };
        report.rows_read += changes.rows_read;
        report.rows_new += changes.rows_new;
        report.rows_garbage += changes.garbage_rows;
        report.garbage.extend(changes.garbage);
        take_hints(state, discovered, changes.hints, &mut round, report);
        if changes.watermark != *known {
            round.watermarks.insert(index.name(), changes.watermark);
        }
    }
    round
}

fn take_hints(
    state: &SourceState,
    discovered: &Discovered,
    hints: Hints,
    round: &mut Round,
    report: &mut RefreshReport,
) {
    for (volume, directories) in hints.into_volumes() {
        let count = directories.len() as u64;
        if discovered.has(&volume) {
            report.directories_hinted += count;
            if let Scope::Parts(parts) = &mut scope_of(round, &volume).0 {
                parts.directories.extend(directories);
            }
        } else if state.volumes.contains_key(&volume) {
            let absent = directories.into_iter();
            round
                .absent
                .extend(absent.map(|directory| (volume.clone(), directory)));
        } else {
            report.hints_of_unknown_volumes += count;
        }
    }
}

fn walks(
    center: &Center,
    state: &SourceState,
    look: Look,
    found: &[VolumeRoot],
    round: &mut Round,
) {
    let schedule = &center.config().schedule;
    let now = now_ms();
    let mut overdue = 1;
    for volume in found {
        let known = state.volumes.get(&volume.name).cloned().unwrap_or_default();
        let late = |since: i64, span: std::time::Duration| {
            now.saturating_sub(since) >= span.as_millis() as i64
        };
        let reread = known.reread_ms > 0 && late(known.reread_ms, schedule.reread);
        let (walk, reread) = match look {
            _ if volume.is_registry() => (true, false),
            Look::Walk => (true, false),
            Look::Reread => (true, true),
            _ if known.walked_ms == 0 => (true, false),
            Look::Hints | Look::Lines => (false, false),
            Look::Due if center.config().index_db.is_empty() => (true, reread),
            Look::Due if overdue > 0 && late(known.walked_ms, schedule.walk) => {
                overdue -= 1;
                (true, reread)
            }
            Look::Due => (false, false),
        };
        if walk {
            round
                .scopes
                .insert(volume.name.clone(), (Scope::Whole, reread));
        }
    }
}

fn look_at_volumes(
    center: &Center,
    state: &mut SourceState,
    mut scopes: BTreeMap<Vec<u8>, (Scope, bool)>,
    found: &[VolumeRoot],
    accept: bool,
    report: &mut RefreshReport,
    monitor: &dyn Monitor,
) -> Result<(), CenterError> {
    for volume in found {
        let Some((scope, reread)) = scopes.remove(&volume.name) else {
            continue;
        };
        let known = state.volumes.entry(volume.name.clone()).or_default();
        let had_records = has_records(center, volume)?;
        match volumes::open(volume, known, had_records, accept) {
            Ok((root, identity)) => {
                known.identity = Some(identity);
                look_at_volume(center, state, volume, &root, scope, reread, report, monitor)?;
            }
            Err(error) => {
                report.errors.push(error.to_string());
                if let Scope::Parts(parts) = scope {
                    let missed = parts.directories.into_iter();
                    state
                        .missed
                        .extend(missed.map(|directory| (volume.name.clone(), directory)));
                    state.again.extend(parts.leaves);
                }
            }
        }
    }
    Ok(())
}

/// Whether the catalogue has files of a volume: below its root, or, as of a
/// registry, in it.
fn has_records(center: &Center, volume: &VolumeRoot) -> Result<bool, CatalogueError> {
    if let Ok(root) = LeafKey::parse(&volume.name)
        && let Some(leaf) = center.catalogue.leaf(&root)?
        && leaf.entries > 0
    {
        return Ok(true);
    }
    Ok(!center.catalogue.names_below(&volume.name)?.is_empty())
}

#[expect(
    clippy::too_many_arguments,
    reason = "one refresh's context; a struct for it would be passed whole as well"
)]
fn look_at_volume(
    center: &Center,
    state: &mut SourceState,
    volume: &VolumeRoot,
    root: &Directory,
    scope: Scope,
    reread: bool,
    report: &mut RefreshReport,
    monitor: &dyn Monitor,
) -> Result<(), CenterError> {
    let begun = now_ms();
    let (sender, receiver) = crossbeam_channel::bounded(LOOKS_WAITING);
    let whole = matches!(scope, Scope::Whole);
    let mut taker = Taker {
        center,
        volume,
        sequence: next_sequence(center),
        staged: BTreeMap::new(),
        again: BTreeMap::new(),
        left_out: left_out_before(state, volume, &scope),
        whole,
        missed: vec![],
        report,
        monitor,
    };
    let taken = std::thread::scope(|threads| {
        threads.spawn(move || {
            // Fails only when the taker gave up after an error.
            let found = |look: Result<LeafLook, CatalogueError>| drop(sender.send(look));
            let walk = VolumeWalk {
                volume: &volume.name,
                root,
                catalogue: &center.catalogue,
                found: &found,
                reread,
            };
            center.pool.install(|| walk.run(scope));
        });
        receiver.into_iter().try_for_each(|look| taker.take(look?))
    });
    let taken = taken.and_then(|()| taker.stage());
    let (again, missed) = (taker.again, taker.missed.into_iter());
    let known = state.volumes.entry(volume.name.clone()).or_default();
    known.left_out = taker.left_out;
    taken?;
    state
        .missed
        .extend(missed.map(|directory| (volume.name.clone(), directory)));
    state.again.extend(again);
    let known = state.volumes.entry(volume.name.clone()).or_default();
    if whole {
        known.walked_ms = begun;
        known.reread_ms = match reread || known.reread_ms == 0 {
            true => begun,
            false => known.reread_ms,
        };
        report.volumes_walked += u64::from(!volume.is_registry());
    }
    Ok(())
}

/// What is known to be left out, without what is looked at now.
fn left_out_before(state: &mut SourceState, volume: &VolumeRoot, scope: &Scope) -> LeftOutList {
    let known = state.volumes.entry(volume.name.clone()).or_default();
    let mut left_out = std::mem::take(&mut known.left_out);
    match scope {
        Scope::Whole => LeftOutList::default(),
        Scope::Parts(parts) => {
            let directories = parts
                .directories
                .iter()
                .map(|directory| join(&volume.name, directory));
            let leaves = parts
                .leaves
                .iter()
                .flat_map(|(key, below)| below.iter().map(|below| join(key.as_bytes(), below)));
            let looked: Vec<String> = directories
                .chain(leaves)
                .map(|path| PathText::new(&path).to_string())
                .collect();
            left_out.look_again(&looked);
            left_out
        }
    }
}

/// Volumes that were known and are no longer found: an error, or with
/// `accept` everything in them is removed.
fn forget_vanished(
    center: &Center,
    state: &mut SourceState,
    discovered: &Discovered,
    accept: bool,
    report: &mut RefreshReport,
) -> Result<(), CenterError> {
    let vanished: Vec<Vec<u8>> = state
        .volumes
        .keys()
        .filter(|name| !discovered.has(name) && discovered.unreadable(name).is_none())
        .cloned()
        .collect();
    for name in vanished {
        if !accept {
            let volume = PathText::new(&name);
            report
                .errors
                .push(RootError::Vanished { volume }.to_string());
            continue;
        }
        let sequence = next_sequence(center);
        let leaves = center.catalogue.view().leaves_below(&name)?;
        let mut records = Vec::new();
        for (_, value) in leaves.into_iter().filter(|(_, value)| value.entries > 0) {
            let mut record = center.catalogue.record(value.place)?;
            let removed: Vec<_> = record
                .files
                .iter()
                .map(|file| file.entry.path.clone())
                .collect();
            report.leaves_changed += 1;
            report.files_removed += removed.len() as u64;
            record.change(&removed, vec![], sequence);
            records.push(record);
        }
        center.catalogue.stage(records)?;
        state.volumes.remove(&name);
        state.again.retain(|key, _| key.volume() != name);
        state.missed.retain(|(volume, _)| *volume != name);
    }
    Ok(())
}

fn next_sequence(center: &Center) -> u64 {
    center
        .catalogue
        .snapshot()
        .map_or(1, |snapshot| snapshot.cursor.sequence + 1)
}

/// Signs the tree as it is under the next epoch.
pub(super) fn begin_epoch(center: &Center) -> Result<(), CenterError> {
    if !center.catalogue.is_whole()? {
        // The walk that is due comes first; a replica tells again.
        return Ok(());
    }
    let next = next_epoch(center.catalogue.snapshot().as_ref()).ok_or(CenterError::Random)?;
    commit(center, Some(next), &mut RefreshReport::default())
}

/// Signs and commits what was staged, if there is anything, nothing was ever
/// signed, or an epoch begins.
fn commit(
    center: &Center,
    epoch: Option<Epoch>,
    report: &mut RefreshReport,
) -> Result<(), CenterError> {
    let catalogue = &center.catalogue;
    let held = catalogue.commit_record();
    let snapshot = catalogue.snapshot();
    if catalogue.has_staged() || snapshot.is_none() || epoch.is_some() {
        let (update, totals) = catalogue.with_staged()?;
        let same = snapshot
            .as_ref()
            .filter(|snapshot| snapshot.root == update.root && epoch.is_none());
        let verified = match (same, &held) {
            // Only stat records differ: the tree is what was signed before.
            (Some(_), Some(held)) => VerifiedSnapshot::verify(held.signed.clone(), &center.id())
                .map_err(|_| CenterError::Key)?,
            _ => {
                let next = Snapshot {
                    cursor: Cursor {
                        epoch: match (epoch, &snapshot) {
                            (Some(epoch), _) => epoch,
                            (None, Some(snapshot)) => snapshot.cursor.epoch,
                            (None, None) => next_epoch(None).ok_or(CenterError::Random)?,
                        },
                        sequence: next_sequence(center),
                    },
                    root: update.root,
                    leaves: totals.leaves,
                    entries: totals.entries,
                    bytes: totals.bytes,
                    time_ms: now_ms(),
                    previous: held.map(|held| {
                        hikae_protocol::digest::Domain::Snapshot.digest(&held.signed.body)
                    }),
                };
                VerifiedSnapshot::sign(next, &center.home.key).map_err(CenterError::Sign)?
            }
        };
        catalogue.commit((&update, totals), &verified, now_ms())?;
    }
    if let Some(snapshot) = catalogue.snapshot() {
        report.sequence = snapshot.cursor.sequence;
        report.root = Some(snapshot.root);
        report.leaves = snapshot.leaves;
        report.entries = snapshot.entries;
        report.bytes = snapshot.bytes;
    }
    Ok(())
}
