//! Writes an SSMIXIDX table, whole: whoever reads it meanwhile sees the one
//! before.
//!
//! Beside the table lies a second one, `<table>_HIKAE`, that says which
//! snapshot it is of. A table with rows and without that is somebody else's,
//! and is left alone.

use super::session::{Session, SessionError};
use crate::config::{DatabaseKind, DatabaseUrl};

/// Columns and their widths in characters, guideline 1.2g; the last is a
/// time.
pub const COLUMNS: [(&str, usize); 12] = [
    ("VolumeLabel", 20),
    ("FacilityID", 10),
    ("PatientID", 15),
    ("OrderDate", 8),
    ("DataKind", 180),
    ("OrderNo", 22),
    ("ProcessingType", 3),
    ("EnterOrgCD", 5),
    ("TransactionDatetime", 17),
    ("OutRelDirectory", 260),
    ("FileName", 260),
    ("UpdateDatetime", 23),
];
/// Rows of one INSERT statement.
const INSERT_ROWS: usize = 200;

/// The values of a row, in the order of `COLUMNS`; an empty one is NULL.
pub type ExportRow = [String; COLUMNS.len()];

/// Which snapshot a table is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportMark {
    /// Counter of the epoch, and sequence number.
    pub cursor: (u64, u64),
    /// The root digest, hexadecimal.
    pub root: String,
}

/// Why a table was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Its name can't be written without quotes everywhere.
    #[error("table {0:?}: expected letters, digits and _, with a schema before a dot if need be")]
    Name(String),
    /// There is no database at such a URL.
    #[error("{0} is no database to write to")]
    Url(DatabaseUrl),
    /// Somebody else's rows are in it.
    #[error(
        "{url}, table {table}: has rows that hikae did not write; name another with --table, or \
         empty it"
    )]
    Foreign {
        /// Which database.
        url: DatabaseUrl,
        /// Which table.
        table: String,
    },
    /// The database refused.
    #[error("{url}, table {table}: {source}")]
    Session {
        /// Which database.
        url: DatabaseUrl,
        /// Which table.
        table: String,
        /// What it said.
        source: SessionError,
    },
}

/// A table that is being written.
pub struct Export {
    session: Session,
    url: DatabaseUrl,
    table: String,
    waiting: Vec<ExportRow>,
    insert_many: String,
    rows: u64,
}

fn is_name(table: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && part
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || char == '_')
    };
    table.split('.').count() <= 2 && table.split('.').all(part)
}

/// The statement that makes the table, those of its indexes, and that of its
/// mark.
fn made(kind: DatabaseKind, table: &str) -> Vec<String> {
    let (time, indexes, rest) = match kind {
        DatabaseKind::MySql => (
            "datetime(3)",
            ", INDEX (UpdateDatetime), INDEX (FacilityID, PatientID)",
            " CHARACTER SET utf8mb4",
        ),
        DatabaseKind::Postgres => ("timestamp(3)", "", ""),
        DatabaseKind::Sqlite | DatabaseKind::Lines => ("timestamp", "", ""),
    };
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|(name, width)| match *name {
            "UpdateDatetime" => format!("{name} {time}"),
            "FacilityID" => format!("{name} char({width})"),
            _ => format!("{name} varchar({width})"),
        })
        .collect();
    let mut statements = vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {table} ({}{indexes}){rest}",
            columns.join(", ")
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {table}_HIKAE (Epoch varchar(20), Sequence varchar(20), \
             Root char(64))"
        ),
    ];
    if kind != DatabaseKind::MySql {
        let name = table.replace('.', "_");
        for (suffix, columns) in [
            ("UPDATE", "UpdateDatetime"),
            ("PATIENT", "FacilityID, PatientID"),
        ] {
            statements.push(format!(
                "CREATE INDEX IF NOT EXISTS {name}_{suffix} ON {table} ({columns})"
            ));
        }
    }
    statements
}

/// The statement that inserts some rows.
fn insert(kind: DatabaseKind, table: &str, rows: usize) -> String {
    let mut number = 0;
    let mut parameter = || {
        number += 1;
        match kind {
            DatabaseKind::Postgres => format!("NULLIF(${number}, '')"),
            _ => "NULLIF(?, '')".into(),
        }
    };
    let rows: Vec<String> = (0..rows)
        .map(|_| {
            let values: Vec<String> = COLUMNS
                .iter()
                .map(|(name, _)| match (*name, kind) {
                    ("UpdateDatetime", DatabaseKind::Postgres) => {
                        format!("{}::timestamp", parameter())
                    }
                    _ => parameter(),
                })
                .collect();
            format!("({})", values.join(","))
        })
        .collect();
    let columns = COLUMNS.map(|(name, _)| name);
    format!(
        "INSERT INTO {table} ({}) VALUES {}",
        columns.join(", "),
        rows.join(",")
    )
}

impl Export {
    /// Makes the table where there is none, and begins to replace its rows.
    ///
    /// Errors: `ExportError`; nothing was changed then.
    pub fn begin(url: &DatabaseUrl, table: &str) -> Result<Export, ExportError> {
        if !is_name(table) {
            return Err(ExportError::Name(table.into()));
        }
        if url.kind() == DatabaseKind::Lines {
            return Err(ExportError::Url(url.clone()));
        }
        let wrong = |source| ExportError::Session {
            url: url.clone(),
            table: table.into(),
            source,
        };
        let mut session = Session::open(url, true).map_err(wrong)?;
        for statement in made(url.kind(), table) {
            session.run(&statement).map_err(wrong)?;
        }
        session.run("BEGIN").map_err(wrong)?;
        let mut has_rows = |table: &str| {
            let found = session.scalar(&format!("SELECT 'x' FROM {table} LIMIT 1"), &[]);
            found.map(|found| found.is_some()).map_err(wrong)
        };
        if has_rows(table)? && !has_rows(&format!("{table}_HIKAE"))? {
            return Err(ExportError::Foreign {
                url: url.clone(),
                table: table.into(),
            });
        }
        for table in [table, &format!("{table}_HIKAE")] {
            session
                .run(&format!("DELETE FROM {table}"))
                .map_err(wrong)?;
        }
        Ok(Export {
            session,
            insert_many: insert(url.kind(), table, INSERT_ROWS),
            url: url.clone(),
            table: table.into(),
            waiting: Vec::with_capacity(INSERT_ROWS),
            rows: 0,
        })
    }

    /// Adds a row.
    ///
    /// Errors: `ExportError::Session`.
    pub fn add(&mut self, row: ExportRow) -> Result<(), ExportError> {
        self.waiting.push(row);
        self.rows += 1;
        match self.waiting.len() < INSERT_ROWS {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        let rows = std::mem::take(&mut self.waiting);
        if rows.is_empty() {
            return Ok(());
        }
        let sql = match rows.len() {
            INSERT_ROWS => self.insert_many.clone(),
            fewer => insert(self.url.kind(), &self.table, fewer),
        };
        let values: Vec<&str> = rows.iter().flatten().map(String::as_str).collect();
        let done = self.session.rows(&sql, &values, &mut |_| {});
        done.map_err(|source| self.wrong(source))
    }

    fn wrong(&self, source: SessionError) -> ExportError {
        ExportError::Session {
            url: self.url.clone(),
            table: self.table.clone(),
            source,
        }
    }

    /// Says what the table is of, and shows it; gives the number of rows.
    ///
    /// Errors: `ExportError::Session`; the table is then as it was before.
    pub fn finish(mut self, mark: &ExportMark) -> Result<u64, ExportError> {
        self.flush()?;
        // Digits alone.
        let sql = format!(
            "INSERT INTO {}_HIKAE (Epoch, Sequence, Root) VALUES ('{}', '{}', '{}')",
            self.table, mark.cursor.0, mark.cursor.1, mark.root
        );
        for sql in [sql.as_str(), "COMMIT"] {
            let done = self.session.run(sql);
            done.map_err(|source| self.wrong(source))?;
        }
        Ok(self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_needs_quotes_is_refused() {
        for name in ["SSMIXIDX", "public.ssmixidx_2", "_x"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a b", "1a", "a;b", "a.b.c", "a.", "\"a\"", "表"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
