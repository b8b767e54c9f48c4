//! Tables: CSV with a header, read row by row; what can't be read is named by file and line.

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::language::Language;

/// Bytes of a table at most.
pub const TABLE_BYTES_MAX: usize = 256 << 20;
/// Faults of one table that are kept at most.
const FAULTS_MAX: usize = 100;
/// How far a table may come from the future without being suspect: clocks differ.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// A table's file.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name for people, such as `0410000001/REG01/users.csv`.
    pub file: &'a str,
    /// Its content; `None` where it is missing.
    pub bytes: Option<&'a [u8]>,
    /// When it was last known to be the center's: the time of the signed snapshot that it is in.
    pub current_at: Option<Timestamp>,
    /// When it was last changed: the file's own time.
    pub changed_at: Option<Timestamp>,
}

/// What a table holds, and in which condition it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Table<T> {
    /// The file's name.
    pub file: String,
    /// What could be read; empty for a table that is missing or void.
    pub content: T,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// When it was last known to be the center's.
    pub current_at: Option<Timestamp>,
    /// When it was last changed.
    pub changed_at: Option<Timestamp>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Read,
    Missing,
    Void,
}

/// Whether a table can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is there and new enough.
    Fresh {
        /// Since it was known to be the center's.
        age: SignedDuration,
    },
    /// It is older than what is accepted, or nobody knows how old.
    Stale {
        /// Since it was known to be the center's, where that is known.
        age: Option<SignedDuration>,
    },
    /// There is no such file.
    Missing,
    /// It can't be read as a whole.
    Void,
}

/// Something wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}:{line}: {kind}")]
pub struct Fault {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What can be wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FaultKind {
    /// More than [`TABLE_BYTES_MAX`].
    #[error("the table is too long ({bytes} bytes)")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// The header lacks a column.
    #[error("no column {column}")]
    Column {
        /// The column.
        column: &'static str,
    },
    /// The header names a column twice.
    #[error("the column {column} stands there twice")]
    ColumnTwice {
        /// The column.
        column: &'static str,
    },
    /// A row has more or fewer fields than the header.
    #[error("{found} fields instead of {expected}")]
    Fields {
        /// Fields of the row.
        found: usize,
        /// Fields of the header.
        expected: usize,
    },
    /// A row is no UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// The rest can't be read as CSV.
    #[error("not CSV")]
    Csv,
    /// A field must not be empty.
    #[error("{column} is empty")]
    Empty {
        /// The column.
        column: &'static str,
    },
    /// A field has a value that means nothing.
    #[error("{column} is {value:?}, expected {expected}")]
    Value {
        /// The column.
        column: &'static str,
        /// What it is; never that of a secret.
        value: String,
        /// What it could be.
        expected: &'static str,
    },
    /// What must be there once is there again. None of them counts.
    #[error("{what} again (first in line {first})")]
    Duplicate {
        /// What.
        what: String,
        /// Where it was first.
        first: u64,
    },
}

impl Fault {
    /// For a person to read.
    pub fn text(&self, language: Language) -> String {
        match language {
            Language::English => self.to_string(),
            Language::Japanese => format!("{}:{}: {}", self.file, self.line, self.kind.japanese()),
        }
    }
}

impl FaultKind {
    fn japanese(&self) -> String {
        match self {
            Self::TooLong { bytes } => format!("表が大きすぎます（{bytes} バイト）"),
            Self::Column { column } => format!("列 {column} がありません"),
            Self::ColumnTwice { column } => format!("列 {column} が重複しています"),
            Self::Fields { found, expected } => {
                format!("項目が {found} 個です（{expected} 個のはず）")
            }
            Self::Encoding => "UTF-8 ではありません".to_owned(),
            Self::Csv => "CSV として読めません".to_owned(),
            Self::Empty { column } => format!("{column} が空です"),
            Self::Value {
                column,
                value,
                expected,
            } => format!("{column} が「{value}」です（{expected} のはず）"),
            Self::Duplicate { what, first } => {
                format!("{what} が重複しています（最初は {first} 行目）")
            }
        }
    }
}

impl<T> Table<T> {
    /// Whether the table can be relied on at a time, when `age_max` is accepted.
    pub fn condition(&self, now: Timestamp, age_max: SignedDuration) -> Condition {
        match (self.state, self.current_at) {
            (State::Missing, _) => Condition::Missing,
            (State::Void, _) => Condition::Void,
            (State::Read, None) => Condition::Stale { age: None },
            (State::Read, Some(current_at)) => {
                let age = now.duration_since(current_at);
                if age < -CLOCK_SKEW {
                    return Condition::Stale { age: None };
                }
                let age = age.max(SignedDuration::ZERO);
                match age <= age_max {
                    true => Condition::Fresh { age },
                    false => Condition::Stale { age: Some(age) },
                }
            }
        }
    }

    /// The content, if the table can be relied on.
    pub(super) fn fresh(&self, now: Timestamp, age_max: SignedDuration) -> Result<&T, Condition> {
        match self.condition(now, age_max) {
            Condition::Fresh { .. } => Ok(&self.content),
            condition => Err(condition),
        }
    }
}

/// One row while it is read.
pub(super) struct Row<'a> {
    pub(super) line: u64,
    columns: &'a [&'static str],
    places: &'a [usize],
    record: &'a csv::StringRecord,
}

impl Row<'_> {
    /// The field of a column, without spaces around it; empty for a column that is optional and
    /// not there.
    pub(super) fn get(&self, column: &'static str) -> &str {
        let place = self.columns.iter().position(|known| *known == column);
        let place = place.and_then(|place| self.places.get(place).copied());
        place
            .and_then(|place| self.record.get(place))
            .unwrap_or_default()
            .trim()
    }

    /// The same, where it must not be empty.
    pub(super) fn required(&self, column: &'static str) -> Result<&str, FaultKind> {
        match self.get(column) {
            "" => Err(FaultKind::Empty { column }),
            field => Ok(field),
        }
    }
}

/// What becomes of a table when a row of it can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnBadRow {
    /// The others count: the table only ever allows.
    Skip,
    /// None counts: the row could have been a "no".
    Void,
}

/// Reads a table. `add` takes each row, and says what is wrong with it; `finish` is called at the
/// end for what only the whole table shows.
pub(super) fn read<T: Default>(
    source: Source<'_>,
    columns: &[&'static str],
    on_bad_row: OnBadRow,
    mut add: impl FnMut(&mut T, &Row<'_>) -> Result<(), FaultKind>,
) -> Table<T> {
    let mut table = Table {
        file: source.file.to_owned(),
        content: T::default(),
        faults: Vec::new(),
        current_at: source.current_at,
        changed_at: source.changed_at,
        state: State::Read,
    };
    let Some(bytes) = source.bytes else {
        table.state = State::Missing;
        return table;
    };
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.len() > TABLE_BYTES_MAX {
        table.fault(1, FaultKind::TooLong { bytes: bytes.len() });
        table.void();
        return table;
    }
    if let Err((line, kind)) = table.rows(bytes, columns, on_bad_row, &mut add) {
        table.fault(line, kind);
        table.void();
    }
    table
}

impl<T: Default> Table<T> {
    fn rows(
        &mut self,
        bytes: &[u8],
        columns: &[&'static str],
        on_bad_row: OnBadRow,
        add: &mut impl FnMut(&mut T, &Row<'_>) -> Result<(), FaultKind>,
    ) -> Result<(), (u64, FaultKind)> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(bytes);
        let mut record = csv::ByteRecord::new();
        let header = reader
            .read_byte_record(&mut record)
            .map_err(|_| (1, FaultKind::Csv))?;
        if !header {
            let column = columns.first().copied().unwrap_or_default();
            return Err((1, FaultKind::Column { column }));
        }
        let width = record.len();
        let places = places(&record, columns)?;
        let mut line = reader.position().line();
        while reader
            .read_byte_record(&mut record)
            .map_err(|_| (line, FaultKind::Csv))?
        {
            let at = record.position().map_or(line, csv::Position::line);
            line = reader.position().line();
            let read = text_of(&record, width).and_then(|record| {
                let row = Row {
                    line: at,
                    columns,
                    places: &places,
                    record: &record,
                };
                add(&mut self.content, &row).map_err(|kind| (false, kind))
            });
            match read {
                Ok(()) => {}
                // A row of which not even the fields are known says nothing about whom it meant.
                Err((true, kind)) if on_bad_row == OnBadRow::Void => return Err((at, kind)),
                Err((_, kind)) => self.fault(at, kind),
            }
        }
        Ok(())
    }

    pub(super) fn fault(&mut self, line: u64, kind: FaultKind) {
        if self.faults.len() < FAULTS_MAX {
            let file = self.file.clone();
            self.faults.push(Fault { file, line, kind });
        }
    }

    fn void(&mut self) {
        self.state = State::Void;
        self.content = T::default();
    }
}

fn places(
    header: &csv::ByteRecord,
    columns: &[&'static str],
) -> Result<Vec<usize>, (u64, FaultKind)> {
    columns
        .iter()
        .map(|&column| {
            let mut found = (0..header.len()).filter(|place| {
                header
                    .get(*place)
                    .is_some_and(|name| name.trim_ascii() == column.as_bytes())
            });
            match (found.next(), found.next()) {
                (Some(place), None) => Ok(place),
                (None, _) => Err((1, FaultKind::Column { column })),
                (Some(_), Some(_)) => Err((1, FaultKind::ColumnTwice { column })),
            }
        })
        .collect()
}

/// The row as text; `true` beside a fault says that the row's fields are not known.
fn text_of(record: &csv::ByteRecord, width: usize) -> Result<csv::StringRecord, (bool, FaultKind)> {
    if record.len() != width {
        let (found, expected) = (record.len(), width);
        return Err((true, FaultKind::Fields { found, expected }));
    }
    csv::StringRecord::from_byte_record(record.clone()).map_err(|_| (true, FaultKind::Encoding))
}
