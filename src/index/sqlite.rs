//! An INDEX DB in SQLite, read-only.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use futures_util::TryStreamExt;
use hikae_protocol::objectpath::PathText;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};

use super::watermark::row_hash;
use super::{Changes, Hint, IndexError, Watermark};

/// How long a locked database is waited for.
const BUSY: Duration = Duration::from_secs(5);
/// How SQLite writes times, so that they compare as text.
const TIME: &str = "'%Y-%m-%d %H:%M:%f'";

/// A SQLite file with an SSMIXIDX table.
#[derive(Debug, Clone)]
pub struct SqliteIndex {
    url: String,
    table: String,
    overlap: Duration,
}

/// A row's columns as bytes, and its time in SQLite's form if it is a time.
struct IndexRow {
    facility: Vec<u8>,
    label: Vec<u8>,
    directory: Vec<u8>,
    name: Vec<u8>,
    updated: Vec<u8>,
    time: Option<String>,
}

impl SqliteIndex {
    /// The table `table` of the database at `url`; `overlap` is how late a
    /// transaction may commit.
    ///
    /// Errors: `IndexError::Url`.
    pub fn new(url: &str, table: &str, overlap: Duration) -> Result<SqliteIndex, IndexError> {
        if !url.starts_with("sqlite:") {
            return Err(IndexError::Url(url.into()));
        }
        Ok(SqliteIndex {
            url: url.into(),
            table: table.into(),
            overlap,
        })
    }

    /// Which database, for messages.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn wrong(&self, source: sqlx::Error) -> IndexError {
        IndexError::Database {
            url: self.url.clone(),
            table: self.table.clone(),
            source,
        }
    }

    fn quoted_table(&self) -> String {
        format!("\"{}\"", self.table.replace('"', "\"\""))
    }

    /// Waits for the database on a runtime of its own; must not be called
    /// from async code.
    fn wait<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, IndexError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| IndexError::Runtime {
                url: self.url.clone(),
                source,
            })?;
        runtime.block_on(work).map_err(|error| self.wrong(error))
    }

    async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        SqliteConnectOptions::from_str(&self.url)?
            .read_only(true)
            .create_if_missing(false)
            .busy_timeout(BUSY)
            .connect()
            .await
    }

    /// The watermark before the first walk: rows up to it are the walk's.
    ///
    /// Errors: `IndexError`.
    pub fn first_watermark(&self) -> Result<Watermark, IndexError> {
        self.wait(async {
            let mut connection = self.connect().await?;
            let mut transaction = connection.begin().await?;
            let now = database_now(&mut transaction).await?;
            let newest = format!(
                "SELECT max(strftime({TIME}, UpdateDatetime)) FROM {} \
                 WHERE UpdateDatetime <= ? AND typeof(UpdateDatetime) = 'text'",
                self.quoted_table()
            );
            let newest: Option<String> = sqlx::query_scalar(AssertSqlSafe(newest))
                .bind(&now)
                .fetch_one(&mut *transaction)
                .await?;
            Ok(Watermark {
                value: Some(newest.unwrap_or(now)),
                handled: HashSet::new(),
            })
        })
    }

    /// What changed since `since`, read in one transaction.
    ///
    /// Errors: `IndexError`; `since` is then still where to go on.
    pub fn changes(&self, since: &Watermark) -> Result<Changes, IndexError> {
        self.wait(async {
            let mut connection = self.connect().await?;
            let mut transaction = connection.begin().await?;
            let now = database_now(&mut transaction).await?;
            let mut changes = Changes::default();
            let mut newest = since.value.clone().unwrap_or_default();
            let from = self.overlapped(&mut transaction, &since.value).await?;
            let mut rows = Vec::new();
            let text = self.changed_rows();
            let mut stream = sqlx::query(AssertSqlSafe(text))
                .bind(&from)
                .fetch(&mut *transaction);
            while let Some(row) = stream.try_next().await? {
                let row = IndexRow::read(&row)?;
                changes.rows_read += 1;
                let hash = row.hash();
                // A row of the future says nothing of what was seen.
                if let Some(time) = &row.time
                    && *time > newest
                    && *time <= now
                {
                    newest.clone_from(time);
                }
                if !since.handled.contains(&hash) {
                    changes.rows_new += 1;
                    row.hint_into(&mut changes);
                }
                rows.push((hash, row.updated));
            }
            drop(stream);
            changes.watermark.value = Some(newest);
            let next = self
                .overlapped(&mut transaction, &changes.watermark.value)
                .await?;
            for (hash, updated) in rows {
                if updated.as_slice() >= next.as_bytes() {
                    changes.watermark.remember(hash);
                }
            }
            Ok(changes)
        })
    }

    /// Hands the path (relative to the volume's root) that every row of one
    /// volume names to `each`.
    ///
    /// Errors: `IndexError`.
    pub fn rows_of_volume(
        &self,
        facility: &[u8],
        label: &[u8],
        each: &mut dyn FnMut(Vec<u8>),
    ) -> Result<(), IndexError> {
        let text = format!(
            "SELECT CAST(OutRelDirectory AS BLOB), CAST(FileName AS BLOB) FROM {} \
             WHERE trim(FacilityID) = ? AND trim(VolumeLabel) = ?",
            self.quoted_table()
        );
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.wait(async {
            let mut connection = self.connect().await?;
            let mut stream = sqlx::query(AssertSqlSafe(text))
                .bind(text_of(facility))
                .bind(text_of(label))
                .fetch(&mut connection);
            while let Some(row) = stream.try_next().await? {
                let directory: Option<Vec<u8>> = row.try_get(0)?;
                let name: Option<Vec<u8>> = row.try_get(1)?;
                if let (Some(directory), Some(name)) = (directory, name)
                    && let Ok(hint) = Hint::from_columns(facility, label, &directory)
                {
                    each(crate::disk::join(&hint.directory, name.trim_ascii()));
                }
            }
            Ok(())
        })
    }

    fn changed_rows(&self) -> String {
        format!(
            "SELECT CAST(FacilityID AS BLOB), CAST(VolumeLabel AS BLOB), CAST(OutRelDirectory AS BLOB), \
             CAST(FileName AS BLOB), CAST(UpdateDatetime AS BLOB), \
             CASE WHEN typeof(UpdateDatetime) = 'text' THEN strftime({TIME}, UpdateDatetime) END \
             FROM {} WHERE UpdateDatetime >= ?",
            self.quoted_table()
        )
    }

    /// The watermark less the overlap, in the database's form.
    async fn overlapped(
        &self,
        connection: &mut SqliteConnection,
        value: &Option<String>,
    ) -> Result<String, sqlx::Error> {
        let Some(value) = value else {
            return Ok(String::new());
        };
        let earlier: Option<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT strftime({TIME}, ?, ?)")))
                .bind(value)
                .bind(format!("-{} seconds", self.overlap.as_secs()))
                .fetch_one(connection)
                .await?;
        Ok(earlier.unwrap_or_default())
    }
}

/// The database's own now. SQLite has no time zone: gateways write local time
/// or UTC, so the earlier of the two is taken.
async fn database_now(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let text = format!("SELECT min(strftime({TIME}, 'now'), strftime({TIME}, 'now', 'localtime'))");
    sqlx::query_scalar(AssertSqlSafe(text))
        .fetch_one(connection)
        .await
}

impl IndexRow {
    fn read(row: &SqliteRow) -> Result<IndexRow, sqlx::Error> {
        let bytes = |at: usize| -> Result<Vec<u8>, sqlx::Error> {
            Ok(row.try_get::<Option<Vec<u8>>, _>(at)?.unwrap_or_default())
        };
        Ok(IndexRow {
            facility: bytes(0)?,
            label: bytes(1)?,
            directory: bytes(2)?,
            name: bytes(3)?,
            updated: bytes(4)?,
            time: row.try_get(5)?,
        })
    }

    fn hash(&self) -> u64 {
        row_hash(&[
            &self.facility,
            &self.label,
            &self.directory,
            &self.name,
            &self.updated,
        ])
    }

    fn hint_into(&self, changes: &mut Changes) {
        match Hint::from_columns(&self.facility, &self.label, &self.directory) {
            Ok(hint) => {
                changes.hints.insert(hint);
            }
            Err(error) => {
                changes.garbage(|| format!("row of {:?}: {error}", PathText::new(&self.name)))
            }
        }
        if self.time.is_none() {
            changes.garbage(|| {
                let (name, updated) = (PathText::new(&self.name), PathText::new(&self.updated));
                format!("row of {name:?}: UpdateDatetime {updated:?} is no time")
            });
        }
    }
}
