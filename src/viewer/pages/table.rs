//! A table of a page: its head, and rows that the page makes.

use maud::{Markup, html};

/// Where it is wider than the page it scrolls, and not the page.
pub(super) fn table(head: &[&str], rows: Markup) -> Markup {
    html! {
        div.wide { table.full {
            thead { tr { @for name in head { th scope="col" { (name) } } } }
            tbody { (rows) }
        } }
    }
}
