//! Reports: what was made, counted while it was made.

use std::collections::BTreeMap;

use serde::Serialize;

/// What `storage` made.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StorageReport {
    /// The seed; the same options and seed give the same center.
    pub seed: u64,
    /// Facilities, `COMMON` not counted.
    pub facilities: u64,
    /// Patients with at least one record, over all facilities.
    pub patients: u64,
    /// Record keys (patient, date, kind, order): exactly as many as were asked for.
    pub records: u64,
    /// The same by data kind; documents stand under the name of their kind folder.
    pub records_by_kind: BTreeMap<String, u64>,
    /// Records that have a superseded version beside the valid one.
    pub superseded: u64,
    /// Records that are deleted: their files end in `_0`.
    pub deleted: u64,
    /// Regular files below `volumes`, registry and planted ones included.
    pub files: u64,
    /// Directories below `volumes`, itself not counted.
    pub directories: u64,
    /// Sum of the sizes of these files, in bytes.
    pub bytes: u64,
    /// Rows of SSMIXIDX.
    pub rows: u64,
    /// Anomalies put in on purpose; none in a storage of fewer than 200 records.
    pub planted: Vec<PlantedAnomaly>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// An anomaly put into a storage on purpose.
#[derive(Debug, Clone, Serialize)]
pub struct PlantedAnomaly {
    /// The file or directory, relative to the center's folder, components joined by `/`.
    pub path: String,
    /// What is wrong there.
    pub what: PlantedKind,
    /// The same for a person to read.
    pub text: &'static str,
}

/// The anomalies of DOMAIN.md that the generator plants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlantedKind {
    /// Two bytes FB FC in a file under a wrong folder and another patient's name.
    ForeignTwoBytes,
    /// PID of another person in a message.
    OtherPerson,
    /// A file without content.
    ZeroByte,
    /// `Thumbs.db`.
    SystemFile,
    /// A gateway's `*.tmp`.
    Temporary,
    /// A file at a volume's root.
    StrayAtRoot,
    /// A directory without a file.
    EmptyDirectory,
    /// A timestamp of 14 digits in a name.
    ShortTimestamp,
    /// Two valid files of one key.
    TwoValid,
    /// Shift_JIS where the message says ISO-2022-JP.
    ShiftJis,
    /// No CR at the end of the last segment.
    NoTerminator,
    /// A leading 0x0B, a trailing 0x1C 0x0D.
    MllpWrapped,
    /// The same row twice.
    DuplicateRow,
    /// A row that points at nothing.
    DanglingRow,
    /// A file without a row.
    MissingRow,
    /// A row of the year 2050.
    FutureRow,
}

/// What `day` changed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DayReport {
    /// The day, `YYYY-MM-DD`.
    pub day: String,
    /// The seed that was used.
    pub seed: u64,
    /// Transactions: exactly as many as were asked for; the sum of the next four.
    pub changes: u64,
    /// Records that are new.
    pub creates: u64,
    /// Records whose valid file became history under a new one.
    pub updates: u64,
    /// Records of the standard storage that were deleted.
    pub deletes: u64,
    /// Content folders that were only renamed (deleted in the extended storage).
    pub renames_only: u64,
    /// New records by data kind; documents stand under the name of their kind folder.
    pub creates_by_kind: BTreeMap<String, u64>,
    /// Patients touched.
    pub patients: u64,
    /// Patients who had no record before; part of `patients`.
    pub new_patients: u64,
    /// Files that have another path now; those in a renamed content folder count each.
    pub files_renamed: u64,
    /// Files written, tombstones included.
    pub files_written: u64,
    /// Directories made.
    pub directories_made: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Distinct (facility, volume label, OutRelDirectory) among the rows of this day.
    pub hinted_directories: u64,
    /// Rows INSERTed.
    pub rows_inserted: u64,
    /// Rows UPDATEd.
    pub rows_updated: u64,
    /// Wall time in seconds.
    pub seconds: f64,
}
