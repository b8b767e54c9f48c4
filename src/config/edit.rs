//! Changes to who may pull, in the text of `hikae.toml`: everything else stays
//! as a person wrote it, comments too.

use hikae_protocol::snapshot::NodeId;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use super::database::without_passwords;

/// Why a configuration could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("{0}")]
    Parse(String),
    /// `peer` is written in a form that is not changed here.
    #[error("peers are not written as [[peer]] tables here; change them by hand")]
    Form,
    /// There is one already.
    #[error("there is a peer {0:?} already")]
    Present(String),
    /// There is none.
    #[error("there is no peer {0:?}")]
    Absent(String),
}

fn parsed(text: &str) -> Result<DocumentMut, EditError> {
    let parsed = text.parse::<DocumentMut>();
    parsed.map_err(|error| EditError::Parse(without_passwords(error.to_string().trim_end())))
}

/// The peers of a document, as tables; `[peer]` becomes the first of them.
fn peers(document: &mut DocumentMut) -> Result<&mut ArrayOfTables, EditError> {
    let none = || Item::ArrayOfTables(ArrayOfTables::new());
    let item = document.entry("peer").or_insert_with(none);
    if let Item::Table(table) = item {
        let mut tables = ArrayOfTables::new();
        tables.push(std::mem::take(table));
        *item = Item::ArrayOfTables(tables);
    }
    item.as_array_of_tables_mut().ok_or(EditError::Form)
}

fn is(table: &Table, key: &str, text: &str) -> bool {
    table.get(key).and_then(Item::as_str) == Some(text)
}

/// The text with one more peer, behind the others.
///
/// Errors: `EditError`.
pub fn with_peer(text: &str, name: &str, id: &NodeId) -> Result<String, EditError> {
    let mut document = parsed(text)?;
    let tables = peers(&mut document)?;
    let id = id.to_string();
    for (key, text) in [("name", name), ("id", &id)] {
        if tables.iter().any(|table| is(table, key, text)) {
            return Err(EditError::Present(text.to_string()));
        }
    }
    let mut table = Table::new();
    table.insert("name", value(name));
    table.insert("id", value(id));
    tables.push(table);
    Ok(document.to_string())
}

/// The text without the peer of this name or node id.
///
/// Errors: `EditError`.
pub fn without_peer(text: &str, who: &str) -> Result<String, EditError> {
    let mut document = parsed(text)?;
    let tables = peers(&mut document)?;
    let before = tables.len();
    tables.retain(|table| !is(table, "name", who) && !is(table, "id", who));
    let after = tables.len();
    if after == before {
        return Err(EditError::Absent(who.to_string()));
    }
    if after == 0 {
        document.remove("peer");
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# ours\nrole = \"center\" # yes\n\n[volumes]\ndiscover = \"v\"\n";

    fn id(byte: u8) -> NodeId {
        NodeId([byte; 32])
    }

    #[test]
    fn what_is_added_can_be_taken_away_and_all_else_stays() {
        let one = with_peer(TEXT, "east", &id(1)).unwrap();
        assert!(one.starts_with(TEXT), "{one}");
        let two = with_peer(&one, "west \"2\"", &id(2)).unwrap();
        assert_eq!(two.matches("[[peer]]").count(), 2, "{two}");
        let west = without_peer(&two, "east").unwrap();
        assert!(west.contains("west") && !west.contains("east"), "{west}");
        let none = without_peer(&west, &id(2).to_string()).unwrap();
        assert_eq!(none.trim_end(), TEXT.trim_end());
    }

    #[test]
    fn a_single_table_is_one_of_several_then() {
        let single = format!(
            "{TEXT}[peer] # the first\nname = \"a\"\nid = \"{}\"\n",
            id(1)
        );
        let two = with_peer(&single, "b", &id(2)).unwrap();
        assert_eq!(two.matches("[[peer]]").count(), 2, "{two}");
        assert!(without_peer(&single, "a").unwrap().starts_with(TEXT));
    }

    #[test]
    fn twice_none_and_other_forms_are_refused() {
        let one = with_peer(TEXT, "east", &id(1)).unwrap();
        for (name, id) in [("east", id(2)), ("other", id(1))] {
            let again = with_peer(&one, name, &id);
            assert!(matches!(again, Err(EditError::Present(_))), "{again:?}");
        }
        let absent = without_peer(&one, "west");
        assert_eq!(absent, Err(EditError::Absent("west".into())));
        let inline = with_peer("peer = [{ name = \"a\" }]\n", "b", &id(1));
        assert_eq!(inline, Err(EditError::Form));
        assert!(matches!(
            with_peer("role = ", "b", &id(1)),
            Err(EditError::Parse(_))
        ));
    }
}
