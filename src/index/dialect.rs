//! What differs between databases: the texts of the statements. Pure.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// The columns that a hint needs, by their names in the guideline.
const NEEDED: [&str; 5] = [
    "FacilityID",
    "VolumeLabel",
    "OutRelDirectory",
    "FileName",
    UPDATED,
];
const UPDATED: &str = "UpdateDatetime";

/// Why a table is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// There is none of that name.
    #[error("no such table (or no right to see it)")]
    Absent,
    /// More than one, none of them written like that.
    #[error("the name fits several tables: {}", .0.join(", "))]
    Several(Vec<String>),
    /// It lacks columns.
    #[error("no such column: {}; it has {}", .missing.join(", "), .has.join(", "))]
    Columns {
        /// Which.
        missing: Vec<&'static str>,
        /// What it has.
        has: Vec<String>,
    },
    /// UpdateDatetime can't be compared with a time.
    #[error("column {column} is of type {found}; expected {expected}")]
    Type {
        /// Its name there.
        column: String,
        /// Its type.
        found: String,
        /// Types that are times.
        expected: &'static str,
    },
}

/// A column as the database describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// As it is written there.
    pub(super) name: String,
    /// Its type, without length.
    pub(super) kind: String,
    /// The character set of its texts; empty: bytes.
    pub(super) charset: String,
}

/// A table of which all needed columns are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// Its name, quoted.
    pub(super) name: String,
    pub(super) facility: Column,
    pub(super) label: Column,
    pub(super) directory: Column,
    pub(super) file: Column,
    pub(super) updated: Column,
}

/// The statements for one table. Times go in and come out as text, in one
/// form that orders like the times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Texts {
    /// The database's own now.
    pub(super) now: String,
    /// The greatest UpdateDatetime from the first time to the second.
    pub(super) newest: String,
    /// A time less some seconds.
    pub(super) earlier: String,
    /// FacilityID, VolumeLabel, OutRelDirectory, FileName, UpdateDatetime as
    /// bytes, and the last as a time, or NULL if it is none: rows from a time
    /// on.
    pub(super) changed: String,
    /// OutRelDirectory, FileName of a facility and a label, each given twice.
    pub(super) of_volume: String,
}

/// A kind of database.
pub(super) trait Dialect: Debug + Send + Sync {
    /// Whether a connection may be kept: one to a file would go on with a
    /// file that another one took the place of.
    fn keeps_connection(&self) -> bool;

    /// Begins a transaction in which every statement sees one state.
    fn begin(&self) -> &'static [&'static str];

    /// Table as it is quoted, its name, column, type, character set: of all
    /// columns of tables with a name, given twice, in whatever case.
    fn columns(&self) -> &'static str;

    /// A time before all times.
    fn beginning(&self) -> &'static str;

    /// The statements for a table. `zone` is how many seconds east of
    /// Greenwich its times are where the column has no zone; if nobody knows,
    /// they are local time or UTC, and the database's now is the earlier of
    /// the two.
    ///
    /// Errors: `TableError::Type`.
    fn texts(&self, table: &Table, zone: Option<i32>) -> Result<Texts, TableError>;
}

/// One row of what `Dialect::columns` gives: table as quoted, its name, and
/// the column.
pub(super) type Described = (String, String, Column);

impl Table {
    /// The table `name` among what the database described.
    ///
    /// Errors: `TableError`.
    pub(super) fn find(name: &str, described: Vec<Described>) -> Result<Table, TableError> {
        let mut tables: BTreeMap<String, (String, Vec<Column>)> = BTreeMap::new();
        for (quoted, plain, column) in described {
            let table = tables.entry(quoted).or_insert((plain, vec![]));
            table.1.push(column);
        }
        if tables.len() > 1 {
            // Several in whatever case: the one that is written like this.
            let exact = |plain: &str| plain == name || name.ends_with(&format!(".{plain}"));
            let names: Vec<String> = tables.keys().cloned().collect();
            tables.retain(|_, (plain, _)| exact(plain));
            if tables.len() != 1 {
                return Err(TableError::Several(names));
            }
        }
        let (name, (_, columns)) = tables.pop_first().ok_or(TableError::Absent)?;
        let find = |wanted: &str| {
            let mut columns = columns.iter();
            columns.find(|column| column.name.eq_ignore_ascii_case(wanted))
        };
        let missing = || TableError::Columns {
            missing: NEEDED
                .into_iter()
                .filter(|wanted| find(wanted).is_none())
                .collect(),
            has: columns.iter().map(|column| column.name.clone()).collect(),
        };
        let get = |wanted: &str| find(wanted).cloned().ok_or_else(missing);
        let [facility, label, directory, file, updated] = NEEDED;
        Ok(Table {
            name,
            facility: get(facility)?,
            label: get(label)?,
            directory: get(directory)?,
            file: get(file)?,
            updated: get(updated)?,
        })
    }

    /// UpdateDatetime can't be used.
    pub(super) fn wrong_type(&self, expected: &'static str) -> TableError {
        TableError::Type {
            column: self.updated.name.clone(),
            found: self.updated.kind.clone(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(table: &str, columns: &[&str]) -> Vec<Described> {
        let column = |name: &&str| Column {
            name: (*name).into(),
            kind: "text".into(),
            charset: String::new(),
        };
        let row = |name| (format!("\"{table}\""), table.to_string(), column(name));
        columns.iter().map(row).collect()
    }

    const LOWER: [&str; 6] = [
        "volumelabel",
        "facilityid",
        "outreldirectory",
        "filename",
        "updatedatetime",
        "more",
    ];

    #[test]
    fn tables_and_columns_are_found_in_whatever_case() {
        let found = Table::find("SSMIXIDX", described("ssmixidx", &LOWER)).unwrap();
        assert_eq!(found.name, "\"ssmixidx\"");
        assert_eq!(found.facility.name, "facilityid");
        let both = [described("ssmixidx", &LOWER), described("SSMIXIDX", &LOWER)].concat();
        let found = Table::find("SSMIXIDX", both.clone()).unwrap();
        assert_eq!(found.name, "\"SSMIXIDX\"");
        let several = Table::find("SsmixIdx", both).unwrap_err();
        assert!(matches!(several, TableError::Several(names) if names.len() == 2));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(Table::find("T", vec![]), Err(TableError::Absent));
        let error = Table::find("T", described("T", &["FacilityID", "x"])).unwrap_err();
        let text = error.to_string();
        for name in ["VolumeLabel", "OutRelDirectory", "FileName", UPDATED, "x"] {
            assert!(text.contains(name), "{text}");
        }
    }
}
