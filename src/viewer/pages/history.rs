//! The message as it came, and the versions of a record: for those who may.

use maud::{Markup, html};

use super::{body, record, records, table::table};
use crate::viewer::chart::Item;
use crate::viewer::view::View;

/// Bytes of a file that are shown when it is no message.
const BYTES_MAX: usize = 4096;

/// GET …/raw/{label}/{file}
pub(in crate::viewer) fn raw(view: &View<'_>) -> Markup {
    let language = view.language;
    let Some(item) = view.chosen() else {
        return record::missing(view);
    };
    let read = view.record(0, item);
    html! {
        h1 { (language.pick("原文", "Raw message")) }
        p.small.soft { (item.label) "/" (item.path.text().to_string()) " — " (item.size) (language.pick(" バイト", " bytes")) }
        p { (view.link_item(0, item, language.pick("記録に戻る", "Back to the record"))) }
        @match read {
            None => { div.alarm { (language.pick("読み出せません。", "It can't be read.")) } }
            Some(read) => {
                (view.record_notes(&read))
                @if read.message.segments.is_empty() { (bytes(view, item)) }
                @else { (body::plain(&read)) }
            }
        }
    }
}

fn bytes(view: &View<'_>, item: &Item) -> Markup {
    let bytes = view
        .charts
        .first()
        .and_then(|chart| chart.bytes(item).ok().flatten());
    let bytes = bytes.unwrap_or_default();
    let shown = bytes.get(..BYTES_MAX.min(bytes.len())).unwrap_or_default();
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.chars().take(BYTES_MAX).collect(),
        Err(_) => shown.escape_ascii().to_string(),
    };
    html! { pre.raw tabindex="0" { (text) } }
}

/// GET …/history/{label}/{file}
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let Some(item) = view.chosen() else {
        return record::missing(view);
    };
    let items = view.charts.first().map_or(&[][..], |chart| chart.items());
    let same = |other: &&Item| other.is_of_record(item) && other.document == item.document;
    let mut versions: Vec<&Item> = items.iter().filter(same).collect();
    versions.sort_by_key(|version| version.version);
    html! {
        h1 { (language.pick("履歴", "History")) }
        p.soft.small { (language.pick("同じ記録の版（新しい順）。1＝有効、2＝旧版、0＝削除。", "Versions of the record, newest first. 1 valid, 2 superseded, 0 deleted.")) }
        (table(&[
            language.pick("記録日時", "Recorded"),
            language.pick("状態", "State"),
            language.pick("ファイル", "File"),
            language.pick("原文", "Raw"),
        ], html! { @for version in versions {
                tr.old[!version.is_current()] {
                    td.nowrap { (records::time_text(&version.timestamp)) }
                    td { (records::state(view, version)) }
                    td.small { (view.link_item(0, version, &version.path.text().to_string())) }
                    td { a href=(view.address(0, version, "raw")) { (language.pick("原文", "raw")) } }
                }
            } }))
    }
}
