//! An INDEX DB in PostgreSQL. The session's time zone is UTC.

use super::dialect::{Column, Dialect, Table, TableError, Texts};

/// PostgreSQL.
#[derive(Debug)]
pub(super) struct Postgres;

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A column's text as bytes of UTF-8, or in a database without encoding the
/// bytes that it has.
fn bytes(column: &Column) -> String {
    let encoding = match column.charset.as_str() {
        "SQL_ASCII" => "SQL_ASCII",
        _ => "UTF8",
    };
    format!("convert_to({}::text, '{encoding}')", quoted(&column.name))
}

impl Dialect for Postgres {
    fn keeps_connection(&self) -> bool {
        true
    }

    fn begin(&self) -> &'static [&'static str] {
        &["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]
    }

    fn columns(&self) -> &'static str {
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relname::text, \
         a.attname::text, format_type(a.atttypid, NULL), getdatabaseencoding()::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = c.oid \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped \
         AND ((lower(c.relname::text) = lower($1) AND pg_table_is_visible(c.oid)) \
         OR lower(n.nspname || '.' || c.relname) = lower($2)) ORDER BY a.attnum"
    }

    fn beginning(&self) -> &'static str {
        "-infinity"
    }

    fn texts(&self, table: &Table, zone: Option<i32>) -> Result<Texts, TableError> {
        let kind = table.updated.kind.as_str();
        let now = match (kind, zone) {
            ("timestamp with time zone", _) => "now()".to_string(),
            ("timestamp without time zone" | "date", Some(zone)) => {
                format!("now() AT TIME ZONE 'UTC' + interval '{zone} seconds'")
            }
            // The session's own zone is UTC; the log's is the one that the
            // server was set up with.
            ("timestamp without time zone" | "date", None) => "least(now() AT TIME ZONE 'UTC', \
                 now() AT TIME ZONE current_setting('log_timezone'))"
                .to_string(),
            _ => {
                let expected = "timestamp, with or without time zone, or date";
                return Err(table.wrong_type(expected));
            }
        };
        let (facility, label) = (quoted(&table.facility.name), quoted(&table.label.name));
        let updated = quoted(&table.updated.name);
        let (directory, file) = (bytes(&table.directory), bytes(&table.file));
        let name = &table.name;
        Ok(Texts {
            now: format!("SELECT ({now})::{kind}::text"),
            newest: format!(
                "SELECT max({updated})::text FROM {name} \
                 WHERE {updated} >= $1::{kind} AND {updated} <= $2::{kind}"
            ),
            earlier: format!("SELECT ($1::{kind} - ($2 || ' seconds')::interval)::{kind}::text"),
            changed: format!(
                "SELECT {}, {}, {directory}, {file}, {updated}::text, {updated}::text \
                 FROM {name} WHERE {updated} >= $1::{kind}",
                bytes(&table.facility),
                bytes(&table.label),
            ),
            // An index on the facility can be used: its column is as wide
            // as the guideline says.
            of_volume: format!(
                "SELECT {directory}, {file} FROM {name} \
                 WHERE {facility} IN ($1, rpad($2, 10)) AND trim({label}::text) IN ($3, $4)"
            ),
        })
    }
}
