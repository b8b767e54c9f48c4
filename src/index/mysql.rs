//! An INDEX DB in MySQL or MariaDB. The session's time zone is UTC.

use super::dialect::{Column, Dialect, Table, TableError, Texts};

/// MySQL and MariaDB.
#[derive(Debug)]
pub(super) struct MySql;

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A column's text as bytes of UTF-8, or its bytes if it has no character
/// set.
fn bytes(column: &Column) -> String {
    let name = quoted(&column.name);
    match column.charset.is_empty() {
        true => format!("CAST({name} AS BINARY)"),
        false => format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)"),
    }
}

impl Dialect for MySql {
    fn keeps_connection(&self) -> bool {
        true
    }

    fn begin(&self) -> &'static [&'static str] {
        &[
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ]
    }

    fn columns(&self) -> &'static str {
        "SELECT CONCAT('`', REPLACE(TABLE_SCHEMA, '`', '``'), '`.`', \
         REPLACE(TABLE_NAME, '`', '``'), '`'), TABLE_NAME, COLUMN_NAME, DATA_TYPE, \
         COALESCE(CHARACTER_SET_NAME, '') FROM information_schema.COLUMNS \
         WHERE (LOWER(TABLE_NAME) = LOWER(?) AND TABLE_SCHEMA = DATABASE()) \
         OR LOWER(CONCAT(TABLE_SCHEMA, '.', TABLE_NAME)) = LOWER(?) ORDER BY ORDINAL_POSITION"
    }

    fn beginning(&self) -> &'static str {
        "1000-01-01 00:00:00.000000"
    }

    fn texts(&self, table: &Table, zone: Option<i32>) -> Result<Texts, TableError> {
        let now = match (table.updated.kind.to_ascii_lowercase().as_str(), zone) {
            ("timestamp", _) => "UTC_TIMESTAMP(6)".to_string(),
            ("datetime" | "date", Some(zone)) => {
                format!("UTC_TIMESTAMP(6) + INTERVAL {zone} SECOND")
            }
            ("datetime" | "date", None) => {
                "LEAST(UTC_TIMESTAMP(6), COALESCE(CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', \
                 @@global.time_zone), UTC_TIMESTAMP(6)))"
                    .to_string()
            }
            _ => return Err(table.wrong_type("timestamp, datetime or date")),
        };
        let (facility, label) = (quoted(&table.facility.name), quoted(&table.label.name));
        let updated = quoted(&table.updated.name);
        let (directory, file) = (bytes(&table.directory), bytes(&table.file));
        let name = &table.name;
        // A day has no hours: what is compared with it must have none.
        let kind = match table.updated.kind.eq_ignore_ascii_case("date") {
            true => "DATE",
            false => "DATETIME(6)",
        };
        let text = |value: &str| format!("CAST(CAST({value} AS {kind}) AS CHAR)");
        Ok(Texts {
            now: format!("SELECT {}", text(&now)),
            newest: format!(
                "SELECT {} FROM {name} WHERE {updated} >= CAST(? AS {kind}) \
                 AND {updated} <= CAST(? AS {kind})",
                text(&format!("MAX({updated})"))
            ),
            earlier: format!(
                "SELECT {}",
                text(&format!("CAST(? AS {kind}) - INTERVAL ? SECOND"))
            ),
            changed: format!(
                "SELECT {}, {}, {directory}, {file}, {time}, {time} FROM {name} \
                 WHERE {updated} >= CAST(? AS {kind})",
                bytes(&table.facility),
                bytes(&table.label),
                time = text(&updated),
            ),
            // An index on the facility can be used: its column is as wide
            // as the guideline says.
            of_volume: format!(
                "SELECT {directory}, {file} FROM {name} \
                 WHERE {facility} IN (?, RPAD(?, 10, ' ')) AND TRIM({label}) IN (?, ?)"
            ),
        })
    }
}
