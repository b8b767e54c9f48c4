//! Makes the rows of an SSMIXIDX from the catalogue: what a path and a file's
//! time say of a record. What they do not say is left NULL.

use std::collections::BTreeMap;

use encoding_rs::SHIFT_JIS;
use hikae_protocol::objectpath::{LeafKey, PathText, split_last};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::catalogue::{Catalogue, CatalogueError, ContentPlace, LeafRecord};
use crate::config::DatabaseUrl;
use crate::disk::join;
use crate::index::{COLUMNS, Export, ExportError, ExportMark, ExportRow};
use crate::progress::Monitor;
use crate::ssmix::{Flag, Object, RecordKey, RecordName, classify};

/// Records without a row that are named, at most.
const NAMED_MAX: usize = 50;

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportFailure {
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("there is no snapshot yet; scan or sync first")]
    Empty,
}

/// What an export wrote.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct ExportReport {
    /// Where to, without the password.
    pub to: String,
    /// The table.
    pub table: String,
    /// The snapshot's sequence number.
    pub sequence: u64,
    /// Rows written.
    pub rows: u64,
    /// Files that are no record, and have no row.
    pub files_without_row: u64,
    /// Records that do not fit into the columns, and have no row.
    pub records_too_long: u64,
    /// The first of those.
    pub too_long: Vec<String>,
    /// How long it took, seconds.
    pub seconds: f64,
}

/// Writes the table `table` at `url` from the last commit.
///
/// Errors: `ExportFailure`; the table is then as it was before.
pub(super) fn export(
    catalogue: &Catalogue,
    url: &DatabaseUrl,
    table: &str,
    monitor: &dyn Monitor,
) -> Result<ExportReport, ExportFailure> {
    let started = std::time::Instant::now();
    let snapshot = catalogue.snapshot().ok_or(ExportFailure::Empty)?;
    let mut export = Export::begin(url, table)?;
    let mut report = ExportReport {
        to: url.to_string(),
        table: table.into(),
        sequence: snapshot.cursor.sequence,
        ..ExportReport::default()
    };
    monitor.stage("write the table", Some(snapshot.leaves));
    let zone = TimeZone::system();
    for facility in catalogue.names_below(b"")? {
        for label in catalogue.names_below(&facility)? {
            let volume = join(&facility, &label);
            for (key, value) in catalogue.view().leaves_below(&volume)? {
                monitor.advance(1);
                if value.entries > 0 {
                    let mut record = catalogue.record(value.place)?;
                    // The tree of a sparse replica does not show these.
                    record
                        .files
                        .retain(|file| file.content != ContentPlace::NotHeld);
                    leaf(&key, &record, &zone, &mut export, &mut report)?;
                }
            }
        }
    }
    report.rows = export.finish(&ExportMark {
        cursor: (snapshot.cursor.epoch.counter, snapshot.cursor.sequence),
        root: snapshot.root.to_string(),
    })?;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// A version of a record: a file of the standard storage, or a content folder
/// of the extended.
struct Version<'a> {
    date: &'a [u8],
    kind: &'a [u8],
    name: RecordName<'a>,
    /// Path of the file or folder, relative to the leaf.
    path: &'a [u8],
    mtime_ns: i64,
    extended: bool,
}

fn leaf(
    key: &LeafKey,
    record: &LeafRecord,
    zone: &TimeZone,
    export: &mut Export,
    report: &mut ExportReport,
) -> Result<(), ExportError> {
    let mut versions: Vec<Version<'_>> = Vec::new();
    for file in &record.files {
        let path = file.entry.path.as_bytes();
        let mut parts = path.splitn(4, |&byte| byte == b'/');
        let folder = (parts.next(), parts.next());
        match (classify(path), folder) {
            (Object::Standard { date, name, .. }, (_, Some(kind))) => versions.push(Version {
                date,
                kind,
                name,
                path,
                mtime_ns: file.entry.mtime_ns,
                extended: false,
            }),
            (
                Object::Extended {
                    date,
                    content,
                    document,
                    ..
                },
                (_, Some(kind)),
            ) => {
                let path = &path[..path.len() - document.len() - 1];
                match versions.last_mut().filter(|last| last.path == path) {
                    Some(known) => known.mtime_ns = known.mtime_ns.max(file.entry.mtime_ns),
                    None => versions.push(Version {
                        date,
                        kind,
                        name: content,
                        path,
                        mtime_ns: file.entry.mtime_ns,
                        extended: true,
                    }),
                }
            }
            _ => report.files_without_row += 1,
        }
    }
    // The tombstone of a deleted record is its newest file.
    let mut newest: BTreeMap<RecordKey, &[u8]> = BTreeMap::new();
    for version in versions.iter().filter(|version| !version.extended) {
        let time = newest.entry(version.name.key()).or_default();
        *time = version.name.timestamp.max(time);
    }
    for version in &versions {
        let is_newest = newest.get(&version.name.key()) == Some(&version.name.timestamp);
        let deletes = version.name.flag == Flag::Deleted && (version.extended || is_newest);
        let row = version.row(key, deletes, zone);
        let fits = row
            .iter()
            .zip(COLUMNS)
            .all(|(value, (_, width))| value.chars().count() <= width);
        if fits {
            export.add(row)?;
            continue;
        }
        report.records_too_long += 1;
        if report.too_long.len() < NAMED_MAX {
            let path = PathText::new(&join(key.as_bytes(), version.path)).to_string();
            report.too_long.push(path);
        }
    }
    Ok(())
}

impl Version<'_> {
    fn row(&self, key: &LeafKey, deletes: bool, zone: &TimeZone) -> ExportRow {
        let (facility, label) = split_last(key.volume());
        let (_, patient) = split_last(key.directory());
        let (folder, name) = split_last(self.path);
        let (folder_above, _) = split_last(folder);
        let directory = format!(
            "{}/{}",
            text(&join(key.directory(), folder_above)),
            text(self.kind)
        );
        [
            text(label),
            // A char(10), and not every database pads it.
            format!("{:<10}", text(facility)),
            text(patient),
            text(self.date),
            text(self.kind),
            text(self.name.order),
            match deletes {
                true => "DEL".into(),
                false => "INS".into(),
            },
            text(self.name.department.unwrap_or_default()),
            text(self.name.timestamp),
            directory,
            text(name),
            time(self.mtime_ns, zone),
        ]
    }
}

/// Names as text: UTF-8, else Shift_JIS.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => SHIFT_JIS.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// A file's time as databases write it, to the millisecond, local.
fn time(mtime_ns: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_nanosecond(i128::from(mtime_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    let local = time.to_zoned(zone.clone());
    local.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_databases_read_them() {
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        assert_eq!(
            time(1_775_088_000_123_456_789, &zone),
            "2026-04-02 09:00:00.123"
        );
        assert_eq!(time(-1, &zone), "1970-01-01 08:59:59.999");
    }
}
