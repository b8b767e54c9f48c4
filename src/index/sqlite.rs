//! An INDEX DB in SQLite: times are texts that gateways write.

use super::dialect::{Dialect, Table, TableError, Texts};

/// How SQLite writes times, so that they compare as text.
const TIME: &str = "'%Y-%m-%d %H:%M:%f'";

/// SQLite.
#[derive(Debug)]
pub(super) struct Sqlite;

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Dialect for Sqlite {
    fn keeps_connection(&self) -> bool {
        false
    }

    fn begin(&self) -> &'static [&'static str] {
        &["BEGIN"]
    }

    fn columns(&self) -> &'static str {
        "SELECT '\"' || replace(m.name, '\"', '\"\"') || '\"', m.name, p.name, p.type, '' \
         FROM sqlite_master m JOIN pragma_table_info(m.name) p \
         WHERE m.type IN ('table', 'view') AND lower(m.name) IN (lower(?), lower(?))"
    }

    fn beginning(&self) -> &'static str {
        ""
    }

    fn texts(&self, table: &Table, zone: Option<i32>) -> Result<Texts, TableError> {
        let columns = [
            &table.facility,
            &table.label,
            &table.directory,
            &table.file,
            &table.updated,
        ];
        let [facility, label, directory, file, updated] = columns.map(|found| quoted(&found.name));
        let table = &table.name;
        Ok(Texts {
            now: match zone {
                Some(zone) => format!("SELECT strftime({TIME}, 'now', '{zone} seconds')"),
                None => format!(
                    "SELECT min(strftime({TIME}, 'now'), strftime({TIME}, 'now', 'localtime'))"
                ),
            },
            newest: format!(
                "SELECT max(strftime({TIME}, {updated})) FROM {table} WHERE {updated} >= ? \
                 AND typeof({updated}) = 'text' AND strftime({TIME}, {updated}) <= ?"
            ),
            earlier: format!("SELECT strftime({TIME}, ?, '-' || ? || ' seconds')"),
            changed: format!(
                "SELECT CAST({facility} AS BLOB), CAST({label} AS BLOB), \
                 CAST({directory} AS BLOB), CAST({file} AS BLOB), CAST({updated} AS BLOB), \
                 CASE WHEN typeof({updated}) = 'text' THEN strftime({TIME}, {updated}) END \
                 FROM {table} WHERE {updated} >= ?"
            ),
            of_volume: format!(
                "SELECT CAST({directory} AS BLOB), CAST({file} AS BLOB) FROM {table} \
                 WHERE trim({facility}) IN (?, ?) AND trim({label}) IN (?, ?)"
            ),
        })
    }
}
