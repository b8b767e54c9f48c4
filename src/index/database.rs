//! Reads an INDEX DB that answers SQL: what changed since a watermark, and
//! which rows a volume has.
//!
//! Each reading sees one state of the table. A connection is kept between
//! readings and made anew when it broke; a reading that fails leaves the
//! watermark where it was.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hikae_protocol::objectpath::PathText;

use super::dialect::{Column, Described, Dialect, Table, Texts};
use super::mysql::MySql;
use super::postgres::Postgres;
use super::session::{Columns, Session, SessionError};
use super::sqlite::Sqlite;
use super::watermark::row_hash;
use super::{Changes, Hint, IndexError, Watermark};
use crate::config::{DatabaseKind, DatabaseUrl, IndexDb};

/// An SSMIXIDX table that hints are read from.
#[derive(Debug)]
pub struct IndexDatabase {
    url: DatabaseUrl,
    table: String,
    overlap: Duration,
    zone: Option<i32>,
    dialect: &'static dyn Dialect,
    kept: Mutex<Option<Open>>,
}

/// An open connection, and the statements for the table as it was found.
struct Open {
    session: Session,
    texts: Texts,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.texts.fmt(f)
    }
}

/// A row's columns as bytes.
struct IndexRow {
    facility: Vec<u8>,
    label: Vec<u8>,
    directory: Vec<u8>,
    name: Vec<u8>,
    updated: Vec<u8>,
    is_time: bool,
}

impl IndexDatabase {
    /// The table that is configured. None for a URL at which nothing is read.
    pub fn new(config: &IndexDb) -> Option<IndexDatabase> {
        let dialect: &'static dyn Dialect = match config.url.kind() {
            DatabaseKind::Sqlite => &Sqlite,
            DatabaseKind::Postgres => &Postgres,
            DatabaseKind::MySql => &MySql,
            DatabaseKind::Lines => return None,
        };
        Some(IndexDatabase {
            url: config.url.clone(),
            table: config.table.clone(),
            overlap: config.overlap,
            zone: config.zone.map(|zone| zone.seconds),
            dialect,
            kept: Mutex::new(None),
        })
    }

    /// Which table it is, for messages and for the state that is kept of it.
    pub fn name(&self) -> String {
        format!("{} {}", self.url, self.table)
    }

    /// The watermark before the first walk: rows up to it are the walk's.
    ///
    /// Errors: `IndexError`.
    pub fn first_watermark(&self) -> Result<Watermark, IndexError> {
        let beginning = self.dialect.beginning();
        self.read(|open| {
            let now = open.now()?;
            let newest = open.newest(beginning, &now)?;
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
        self.read(|open| {
            let now = open.now()?;
            let from = self.overlapped(open, since.value.as_deref())?;
            // A row of the future says nothing of what was seen.
            let newest = open.newest(&from, &now)?.or_else(|| since.value.clone());
            // A clock that went back takes the watermark with it.
            let newest = newest.max(since.value.clone()).min(Some(now));
            let next = self.overlapped(open, newest.as_deref())?;
            let mut changes = Changes::default();
            changes.watermark.value = newest;
            let sql = open.texts.changed.clone();
            open.session.rows(&sql, &[&from], &mut |columns| {
                let row = IndexRow::new(columns);
                changes.rows_read += 1;
                let hash = row.hash();
                if !since.handled.contains(&hash) {
                    changes.rows_new += 1;
                    row.hint_into(&mut changes);
                }
                if row.updated.as_slice() >= next.as_bytes() {
                    changes.watermark.remember(hash);
                }
            })?;
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
        let [facility_text, label_text] =
            [facility, label].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        self.read(|open| {
            let sql = open.texts.of_volume.clone();
            let values = [&facility_text, &facility_text, &label_text, &label_text];
            open.session
                .rows(&sql, &values.map(String::as_str), &mut |columns| {
                    let mut columns = columns.into_iter();
                    let (directory, name) = (columns.next().flatten(), columns.next().flatten());
                    if let (Some(directory), Some(name)) = (directory, name)
                        && let Ok(path) = Hint::path(&directory)
                    {
                        each(crate::disk::join(&path, name.trim_ascii()));
                    }
                })
        })
    }

    /// The watermark less the overlap.
    fn overlapped(&self, open: &mut Open, value: Option<&str>) -> Result<String, SessionError> {
        let seconds = self.overlap.as_secs().to_string();
        let earlier = match value {
            Some(value) => open
                .session
                .scalar(&open.texts.earlier, &[value, &seconds])?,
            None => None,
        };
        Ok(earlier.unwrap_or_else(|| self.dialect.beginning().into()))
    }

    /// Reads in a transaction.
    fn read<T>(
        &self,
        work: impl FnOnce(&mut Open) -> Result<T, SessionError>,
    ) -> Result<T, IndexError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection that broke meanwhile is noticed by its first statement.
        let known = kept.take().filter(|_| self.dialect.keeps_connection());
        let known = known.and_then(|mut open| self.begin(&mut open.session).ok().map(|()| open));
        let mut open = match known {
            Some(open) => open,
            None => self.open()?,
        };
        let done = work(&mut open).map_err(|error| self.wrong(error))?;
        if open.session.run("ROLLBACK").is_ok() && self.dialect.keeps_connection() {
            *kept = Some(open);
        }
        Ok(done)
    }

    fn wrong(&self, source: SessionError) -> IndexError {
        IndexError::Session {
            url: self.url.to_string(),
            table: self.table.clone(),
            source,
        }
    }

    fn begin(&self, session: &mut Session) -> Result<(), SessionError> {
        let mut statements = self.dialect.begin().iter();
        statements.try_for_each(|sql| session.run(sql))
    }

    /// A new connection, in a transaction.
    fn open(&self) -> Result<Open, IndexError> {
        let (session, described) = self.describe().map_err(|error| self.wrong(error))?;
        let texts = Table::find(&self.table, described)
            .and_then(|table| self.dialect.texts(&table, self.zone))
            .map_err(|source| IndexError::Table {
                url: self.url.to_string(),
                table: self.table.clone(),
                source,
            })?;
        Ok(Open { session, texts })
    }

    fn describe(&self) -> Result<(Session, Vec<Described>), SessionError> {
        let mut session = Session::open(&self.url, false)?;
        self.begin(&mut session)?;
        let mut described = Vec::new();
        let name = [self.table.as_str(); 2];
        session.rows(self.dialect.columns(), &name, &mut |columns| {
            let mut texts = columns
                .into_iter()
                .map(|column| String::from_utf8_lossy(&column.unwrap_or_default()).into_owned());
            let mut next = || texts.next().unwrap_or_default();
            let (quoted, plain) = (next(), next());
            let column = Column {
                name: next(),
                kind: next(),
                charset: next(),
            };
            described.push((quoted, plain, column));
        })?;
        Ok((session, described))
    }
}

impl Open {
    fn now(&mut self) -> Result<String, SessionError> {
        let now = self.session.scalar(&self.texts.now, &[])?;
        Ok(now.unwrap_or_default())
    }

    fn newest(&mut self, from: &str, to: &str) -> Result<Option<String>, SessionError> {
        self.session.scalar(&self.texts.newest, &[from, to])
    }
}

impl IndexRow {
    fn new(columns: Columns) -> IndexRow {
        let mut columns = columns.into_iter();
        let mut next = || columns.next().flatten();
        IndexRow {
            facility: next().unwrap_or_default(),
            label: next().unwrap_or_default(),
            directory: next().unwrap_or_default(),
            name: next().unwrap_or_default(),
            updated: next().unwrap_or_default(),
            is_time: next().is_some(),
        }
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
            Ok(hint) => changes.hints.add(&hint),
            Err(error) => {
                changes.garbage(|| format!("row of {:?}: {error}", PathText::new(&self.name)))
            }
        }
        if !self.is_time {
            changes.garbage(|| {
                let (name, updated) = (PathText::new(&self.name), PathText::new(&self.updated));
                format!("row of {name:?}: UpdateDatetime {updated:?} is no time")
            });
        }
    }
}
