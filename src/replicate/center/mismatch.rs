//! Compares the INDEX DB's rows with the files of a volume that was walked:
//! rows without a file, files without a row.

use std::collections::HashMap;

use hikae_protocol::objectpath::{PathText, split_last};

use super::report::RefreshReport;
use super::volumes::VolumeRoot;
use super::{Center, CenterError};
use crate::disk::join;

/// Mismatches named one by one, at most.
const NAMED_MAX: usize = 50;

fn hash(path: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(path).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Counts the mismatches of one volume into the report.
///
/// Errors: `CenterError`.
pub(super) fn compare(
    center: &Center,
    volume: &VolumeRoot,
    report: &mut RefreshReport,
) -> Result<(), CenterError> {
    let (facility, label) = volume.parts();
    let mut rows: HashMap<u64, bool> = HashMap::new();
    for index in &center.indexes {
        index.rows_of_volume(facility, label, &mut |path| {
            rows.insert(hash(&path), false);
        })?;
    }
    let mut without_row = 0;
    for (key, value) in center.catalogue.view().leaves_below(&volume.name)? {
        if value.entries == 0 {
            continue;
        }
        for file in center.catalogue.record(value.place)?.files {
            let path = join(key.directory(), file.entry.path.as_bytes());
            if !mark(&mut rows, &path) {
                without_row += 1;
                name(report, "no row for", &volume.name, &path);
            }
        }
    }
    // Only now are the rows known that no file answers to; names are read
    // again, for of a row only a hash was kept.
    let mut without_file = 0;
    for index in &center.indexes {
        index.rows_of_volume(facility, label, &mut |path| {
            if rows.remove(&hash(&path)) == Some(false) {
                without_file += 1;
                name(report, "no file for the row of", &volume.name, &path);
            }
        })?;
    }
    *report.files_without_row.get_or_insert(0) += without_row;
    *report.rows_without_file.get_or_insert(0) += without_file;
    Ok(())
}

/// Marks the row that names this file, or a folder above it (extended
/// storage); says whether there is one.
fn mark(rows: &mut HashMap<u64, bool>, path: &[u8]) -> bool {
    let mut path = path;
    while !path.is_empty() {
        if let Some(seen) = rows.get_mut(&hash(path)) {
            *seen = true;
            return true;
        }
        path = split_last(path).0;
    }
    false
}

fn name(report: &mut RefreshReport, what: &str, volume: &[u8], path: &[u8]) {
    if report.mismatches.len() < NAMED_MAX {
        report
            .mismatches
            .push(format!("{what} {}", PathText::new(&join(volume, path))));
    }
}
