//! The ledger: SSMIXIDX, the INDEX DB's table, in SQLite.
//!
//! Calls block; they drive sqlx on a runtime of their own and so must not come from inside
//! another one. Rows are committed in large transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};
use tokio::runtime::Runtime;

use super::error::GenError;

/// Rows of one INSERT statement.
const INSERT_ROWS: usize = 200;
/// Width of FacilityID, a `char(10)`.
const FACILITY_WIDTH: usize = 10;
/// Rows with a later clock than this are not believed. A whole date: SQLite gives the column numeric
/// affinity, and would read a bare year as a number, which sorts before every text.
pub(super) const CLOCK_END: &str = "2050-01-01";

const TABLE: &str = "CREATE TABLE SSMIXIDX (VolumeLabel varchar(20), FacilityID char(10), PatientID varchar(15), \
    OrderDate varchar(8), DataKind varchar(180), OrderNo varchar(22), ProcessingType varchar(3), EnterOrgCD varchar(5), \
    TransactionDatetime varchar(17), OutRelDirectory varchar(260), FileName varchar(260), UpdateDatetime timestamp)";
const COLUMNS: &str = "VolumeLabel, FacilityID, PatientID, OrderDate, DataKind, OrderNo, ProcessingType, EnterOrgCD, \
    TransactionDatetime, OutRelDirectory, FileName, UpdateDatetime";
const INDEXES: [&str; 2] = [
    "CREATE INDEX SSMIXIDX_UPDATE ON SSMIXIDX (UpdateDatetime)",
    "CREATE INDEX SSMIXIDX_PATIENT ON SSMIXIDX (FacilityID, PatientID)",
];

/// A row to be inserted.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) label: &'static str,
    pub(super) facility: String,
    pub(super) patient: String,
    pub(super) date: String,
    pub(super) kind: &'static str,
    pub(super) order: String,
    /// `INS` or `DEL`.
    pub(super) processing: &'static str,
    pub(super) department: &'static str,
    /// 17 digits.
    pub(super) transaction: String,
    pub(super) directory: String,
    pub(super) file: String,
    pub(super) updated: String,
}

/// What is read back of a row.
#[derive(Debug, Clone)]
pub(super) struct StoredRow {
    pub(super) rowid: i64,
    pub(super) label: String,
    pub(super) facility: String,
    pub(super) directory: String,
    pub(super) file: String,
}

/// A row that changes.
#[derive(Debug, Clone)]
pub(super) struct RowUpdate {
    pub(super) rowid: i64,
    pub(super) file: String,
    pub(super) updated: String,
    /// `DEL` where nothing else says that the record is gone.
    pub(super) deleted: bool,
}

/// An open INDEX DB.
pub(super) struct Ledger {
    runtime: Runtime,
    connection: SqliteConnection,
    path: PathBuf,
    insert_many: Arc<String>,
    insert_one: Arc<String>,
}

impl Ledger {
    /// Makes the database with an empty table. Until [`Self::finish`] a crash leaves it unusable.
    pub(super) fn create(path: &Path) -> Result<Self, GenError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .pragma("cache_size", "-65536");
        let mut ledger = Self::connect(path, options)?;
        ledger.execute(TABLE)?;
        Ok(ledger)
    }

    /// Opens an existing database.
    pub(super) fn open(path: &Path) -> Result<Self, GenError> {
        Self::connect(path, SqliteConnectOptions::new().filename(path))
    }

    fn connect(path: &Path, options: SqliteConnectOptions) -> Result<Self, GenError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| GenError::Io {
                path: path.to_owned(),
                source,
            })?;
        let options = options.disable_statement_logging();
        let connection = runtime
            .block_on(SqliteConnection::connect_with(&options))
            .map_err(|source| GenError::Index {
                path: path.to_owned(),
                source,
            })?;
        let insert = |rows: usize| {
            let row = format!("({})", ["?"; 12].join(","));
            Arc::new(format!(
                "INSERT INTO SSMIXIDX ({COLUMNS}) VALUES {}",
                vec![row; rows].join(",")
            ))
        };
        Ok(Self {
            runtime,
            connection,
            path: path.to_owned(),
            insert_many: insert(INSERT_ROWS),
            insert_one: insert(1),
        })
    }

    fn error(path: &Path) -> impl Fn(sqlx::Error) -> GenError + use<'_> {
        |source| GenError::Index {
            path: path.to_owned(),
            source,
        }
    }

    /// Runs a statement without parameters: BEGIN, COMMIT and the like.
    pub(super) fn execute(&mut self, sql: &'static str) -> Result<(), GenError> {
        let done = self
            .runtime
            .block_on(sqlx::query(sql).execute(&mut self.connection));
        done.map(drop).map_err(Self::error(&self.path))
    }

    /// Inserts rows in their order.
    pub(super) fn insert(&mut self, rows: &[Row]) -> Result<(), GenError> {
        let chunks = rows.chunks_exact(INSERT_ROWS);
        let rest = chunks.remainder();
        for chunk in chunks {
            self.insert_chunk(chunk, self.insert_many.clone())?;
        }
        for row in rest {
            self.insert_chunk(std::slice::from_ref(row), self.insert_one.clone())?;
        }
        Ok(())
    }

    fn insert_chunk(&mut self, rows: &[Row], sql: Arc<String>) -> Result<(), GenError> {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for row in rows {
            query = query
                .bind(row.label)
                .bind(padded(&row.facility))
                .bind(row.patient.as_str())
                .bind(row.date.as_str())
                .bind(row.kind)
                .bind(row.order.as_str())
                .bind(row.processing)
                .bind(row.department)
                .bind(row.transaction.as_str())
                .bind(row.directory.as_str())
                .bind(row.file.as_str())
                .bind(row.updated.as_str());
        }
        self.runtime
            .block_on(query.execute(&mut self.connection))
            .map(drop)
            .map_err(Self::error(&self.path))
    }

    /// Changes rows by their rowid.
    pub(super) fn update(&mut self, updates: &[RowUpdate]) -> Result<(), GenError> {
        for update in updates {
            let sql = match update.deleted {
                true => {
                    "UPDATE SSMIXIDX SET FileName = ?, UpdateDatetime = ?, ProcessingType = 'DEL' WHERE rowid = ?"
                }
                false => "UPDATE SSMIXIDX SET FileName = ?, UpdateDatetime = ? WHERE rowid = ?",
            };
            let query = sqlx::query(sql)
                .bind(update.file.as_str())
                .bind(update.updated.as_str())
                .bind(update.rowid);
            self.runtime
                .block_on(query.execute(&mut self.connection))
                .map_err(Self::error(&self.path))?;
        }
        Ok(())
    }

    /// All rows of a patient, oldest first.
    pub(super) fn of_patient(
        &mut self,
        facility: &str,
        patient: &str,
    ) -> Result<Vec<StoredRow>, GenError> {
        let query = sqlx::query(
            "SELECT rowid, VolumeLabel, FacilityID, OutRelDirectory, FileName FROM SSMIXIDX \
             WHERE FacilityID = ? AND PatientID = ? ORDER BY rowid",
        )
        .bind(padded(facility))
        .bind(patient.to_owned());
        self.fetch(query)
    }

    /// The first valid, dated row of the standard storage at or behind a rowid.
    pub(super) fn valid_from(&mut self, rowid: i64) -> Result<Option<StoredRow>, GenError> {
        let query = sqlx::query(
            "SELECT rowid, VolumeLabel, FacilityID, OutRelDirectory, FileName FROM SSMIXIDX \
             WHERE rowid >= ? AND VolumeLabel = 'STD01' AND OrderDate <> '-' AND FileName LIKE '%\\_1' ESCAPE '\\' \
             ORDER BY rowid LIMIT 1",
        )
        .bind(rowid);
        Ok(self.fetch(query)?.into_iter().next())
    }

    fn fetch(
        &mut self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<Vec<StoredRow>, GenError> {
        let rows = self
            .runtime
            .block_on(query.fetch_all(&mut self.connection))
            .map_err(Self::error(&self.path))?;
        rows.iter()
            .map(stored)
            .collect::<Result<_, _>>()
            .map_err(Self::error(&self.path))
    }

    /// Runs a statement with one rowid as its parameter.
    pub(super) fn on_row(&mut self, sql: &'static str, rowid: i64) -> Result<(), GenError> {
        let done = self
            .runtime
            .block_on(sqlx::query(sql).bind(rowid).execute(&mut self.connection));
        done.map(drop).map_err(Self::error(&self.path))
    }

    /// The newest UpdateDatetime that a sane clock can have written.
    pub(super) fn newest(&mut self) -> Result<Option<String>, GenError> {
        let query =
            sqlx::query_scalar("SELECT max(UpdateDatetime) FROM SSMIXIDX WHERE UpdateDatetime < ?")
                .bind(CLOCK_END);
        self.runtime
            .block_on(query.fetch_one(&mut self.connection))
            .map_err(Self::error(&self.path))
    }

    /// The highest rowid; 0 for an empty table.
    pub(super) fn last(&mut self) -> Result<i64, GenError> {
        let query = sqlx::query_scalar("SELECT coalesce(max(rowid), 0) FROM SSMIXIDX");
        self.runtime
            .block_on(query.fetch_one(&mut self.connection))
            .map_err(Self::error(&self.path))
    }

    /// Rows of the table.
    pub(super) fn count(&mut self) -> Result<u64, GenError> {
        let query = sqlx::query_scalar("SELECT count(*) FROM SSMIXIDX");
        let rows: i64 = self
            .runtime
            .block_on(query.fetch_one(&mut self.connection))
            .map_err(Self::error(&self.path))?;
        Ok(rows.unsigned_abs())
    }

    /// Distinct directories named by rows whose UpdateDatetime lies in `[from, to)`.
    pub(super) fn directories(&mut self, from: &str, to: &str) -> Result<u64, GenError> {
        let query = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT DISTINCT FacilityID, VolumeLabel, replace(OutRelDirectory, '\\', '/') FROM SSMIXIDX \
             WHERE UpdateDatetime >= ? AND UpdateDatetime < ?)",
        )
        .bind(from.to_owned())
        .bind(to.to_owned());
        let rows: i64 = self
            .runtime
            .block_on(query.fetch_one(&mut self.connection))
            .map_err(Self::error(&self.path))?;
        Ok(rows.unsigned_abs())
    }

    /// Makes the indexes that a deployment has.
    pub(super) fn build_indexes(&mut self) -> Result<(), GenError> {
        INDEXES.into_iter().try_for_each(|sql| self.execute(sql))
    }

    /// Closes the database in an orderly way.
    pub(super) fn finish(self) -> Result<(), GenError> {
        self.runtime
            .block_on(self.connection.close())
            .map_err(Self::error(&self.path))
    }
}

#[cfg(test)]
impl Ledger {
    /// Path below `volumes` and UpdateDatetime of every row, by rowid.
    pub(super) fn all_for_tests(&mut self) -> Result<Vec<(String, String)>, GenError> {
        let query = sqlx::query_as::<_, (String, String)>(
            "SELECT trim(FacilityID) || '/' || VolumeLabel || '/' || replace(OutRelDirectory, '\\', '/') || '/' || FileName, \
             UpdateDatetime FROM SSMIXIDX ORDER BY rowid",
        );
        self.runtime
            .block_on(query.fetch_all(&mut self.connection))
            .map_err(Self::error(&self.path))
    }
}

fn stored(row: &SqliteRow) -> Result<StoredRow, sqlx::Error> {
    let facility: String = row.try_get(2)?;
    Ok(StoredRow {
        rowid: row.try_get(0)?,
        label: row.try_get(1)?,
        facility: facility.trim_end().to_owned(),
        directory: row.try_get::<String, _>(3)?.replace('\\', "/"),
        file: row.try_get(4)?,
    })
}

/// A `char(10)` as databases keep it.
fn padded(facility: &str) -> String {
    format!("{facility:<FACILITY_WIDTH$}")
}
