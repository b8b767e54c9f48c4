//! A connection to an INDEX DB, and the statements it answers.
//!
//! Calls block: they wait on a runtime of their own, and so must not come
//! from inside another one. Rows are handed on one by one as they arrive;
//! nothing here grows with their number.

use std::str::FromStr;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::database::HasStatementCache;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, ColumnIndex, ConnectOptions, Database, Decode, Encode, Executor, IntoArguments,
    MySqlConnection, PgConnection, Row, SqliteConnection, Type,
};
use tokio::runtime::Runtime;

use crate::config::{DatabaseKind, DatabaseUrl};

/// How long a locked SQLite database is waited for.
const BUSY: Duration = Duration::from_secs(5);
/// How long a server may take to let us in.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the next row is waited for. A table without an index on
/// UpdateDatetime is read as a whole before its first row comes.
const NEXT_ROW: Duration = Duration::from_secs(10 * 60);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// What the database or its driver said.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// It does not answer.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// No runtime to wait with.
    #[error("{0}")]
    Runtime(std::io::Error),
}

/// The columns of a row; none is NULL.
pub(super) type Columns = Vec<Option<Vec<u8>>>;

enum Connection {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
    MySql(Box<MySqlConnection>),
}

/// An open connection.
pub(super) struct Session {
    connection: Connection,
    runtime: Option<Runtime>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever drops it may be inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Session {
    /// Connects; a SQLite database is opened for reading only, unless
    /// `create`.
    ///
    /// Errors: `SessionError`.
    pub(super) fn open(url: &DatabaseUrl, create: bool) -> Result<Session, SessionError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(SessionError::Runtime)?;
        let connected = runtime.block_on(async {
            tokio::time::timeout(CONNECT, connect(url, create))
                .await
                .map_err(|_| SessionError::Silent(CONNECT))
        });
        Ok(Session {
            connection: connected??,
            runtime: Some(runtime),
        })
    }

    /// Runs a statement without parameters and without an answer.
    ///
    /// Errors: `SessionError`.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), SessionError> {
        let sql = AssertSqlSafe(sql.to_string());
        let connection = &mut self.connection;
        wait(self.runtime.as_ref(), async {
            match connection {
                Connection::Sqlite(open) => open.execute(sql).await.map(drop),
                Connection::Postgres(open) => open.execute(sql).await.map(drop),
                Connection::MySql(open) => open.execute(sql).await.map(drop),
            }
        })
    }

    /// The first column of the first row; none if there is no row, or NULL.
    ///
    /// Errors: `SessionError`.
    pub(super) fn scalar(
        &mut self,
        sql: &str,
        values: &[&str],
    ) -> Result<Option<String>, SessionError> {
        let mut found = None;
        self.rows(sql, values, &mut |columns| {
            found = found
                .take()
                .or_else(|| columns.into_iter().next().flatten());
        })?;
        Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Hands each row to `each` as it arrives.
    ///
    /// Errors: `SessionError`; some rows may have been handed over.
    pub(super) fn rows(
        &mut self,
        sql: &str,
        values: &[&str],
        each: &mut dyn FnMut(Columns),
    ) -> Result<(), SessionError> {
        let connection = &mut self.connection;
        let work = async {
            match connection {
                Connection::Sqlite(open) => fetch::<sqlx::Sqlite>(open, sql, values, each).await,
                Connection::Postgres(open) => {
                    fetch::<sqlx::Postgres>(open, sql, values, each).await
                }
                Connection::MySql(open) => fetch::<sqlx::MySql>(open, sql, values, each).await,
            }
        };
        match self.runtime.as_ref() {
            Some(runtime) => runtime.block_on(work),
            None => Ok(()),
        }
    }
}

fn wait<T>(
    runtime: Option<&Runtime>,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, SessionError> {
    let silent = || SessionError::Silent(NEXT_ROW);
    let runtime = runtime.ok_or_else(silent)?;
    let work = async { tokio::time::timeout(NEXT_ROW, work).await };
    Ok(runtime.block_on(work).map_err(|_| silent())??)
}

async fn connect(url: &DatabaseUrl, create: bool) -> Result<Connection, sqlx::Error> {
    let text = url.secret();
    Ok(match url.kind() {
        DatabaseKind::Sqlite | DatabaseKind::Lines => Connection::Sqlite(
            SqliteConnectOptions::from_str(text)?
                .read_only(!create)
                .create_if_missing(create)
                .busy_timeout(BUSY)
                .disable_statement_logging()
                .connect()
                .await?,
        ),
        DatabaseKind::Postgres => Connection::Postgres(Box::new(
            PgConnectOptions::from_str(text)?
                .application_name("hikae")
                .disable_statement_logging()
                .connect()
                .await?,
        )),
        DatabaseKind::MySql => Connection::MySql(Box::new(
            MySqlConnectOptions::from_str(text)?
                .disable_statement_logging()
                .connect()
                .await?,
        )),
    })
}

async fn fetch<DB>(
    connection: &mut DB::Connection,
    sql: &str,
    values: &[&str],
    each: &mut dyn FnMut(Columns),
) -> Result<(), SessionError>
where
    DB: Database + HasStatementCache,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    DB::Arguments: IntoArguments<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'r> Vec<u8>: Decode<'r, DB> + Type<DB>,
    usize: ColumnIndex<DB::Row>,
{
    // Not kept by the server: a pooler before it may give us another one
    // next time.
    let mut query = sqlx::query::<DB>(AssertSqlSafe(sql.to_string())).persistent(false);
    for value in values {
        query = query.bind((*value).to_string());
    }
    let mut rows = query.fetch(connection);
    loop {
        let next = tokio::time::timeout(NEXT_ROW, rows.try_next());
        let Some(row) = next.await.map_err(|_| SessionError::Silent(NEXT_ROW))?? else {
            return Ok(());
        };
        // Every column is text or bytes: their bytes are taken as they are.
        let columns: Result<Columns, sqlx::Error> = (0..row.len())
            .map(|at| row.try_get_unchecked::<Option<Vec<u8>>, usize>(at))
            .collect();
        each(columns?);
    }
}
