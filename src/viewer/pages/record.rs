//! One record: what it says by its kind, what a reader has to know of it, and
//! the way to its message and history.

use maud::{Markup, html};

use super::{body, records};
use crate::clinical::{Body, Kind};
use crate::viewer::view::View;

/// GET …/record/{label}/{file}
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let Some(item) = view.chosen() else {
        return missing(view);
    };
    let record = view.record(0, item);
    let blocked = record
        .as_ref()
        .is_some_and(|record| record.warning().is_some());
    let seen = !view.request.field("seen").is_empty();
    let address = view.address(0, item, "record");
    html! {
        h1 { (view.kind_name(item)) " " (crate::viewer::view::date_text(&item.date)) }
        p.small.soft {
            (records::state(view, item)) " / " (records::time_text(&item.timestamp)) " / " (item.label) " / "
            (item.path.text().to_string())
        }
        p.tools {
            @if view.may_raw {
                a href=(view.address(0, item, "raw")) { (pick("原文", "Raw message")) }
                @if item.version.is_some() { a href=(view.address(0, item, "history")) { (pick("履歴（旧版・削除）", "History")) } }
            }
            @if item.kind == Kind::Document { a href=(view.address(0, item, "file")) { (pick("ファイルを開く", "Open the file")) } }
        }
        @match &record {
            None if !item.is_kept() => { div.alarm { (pick("この端末には保管していません（保存条件の対象外）。センターまたはバックアップの画面で見られます。", "It is not kept on this computer: its filter leaves it out. The center or a backup has it.")) } }
            None => { div.alarm { (pick("この記録は保管庫から読み出せません（未着・破損・大きすぎる）。", "The record can't be read from the store.")) } }
            Some(record) => {
                (view.record_notes(record))
                @if blocked && !seen {
                    p { (pick("内容は別の患者のものかもしれないため、伏せています。", "What it says is withheld: it may be about another patient.")) }
                    p { a href=(super::calendar::joined(&address, "seen", "1")) { (pick("承知のうえで内容を表示する", "I understand; show it")) } }
                } @else {
                    (body::show(view, item, record))
                    @if matches!(record.body, Body::Uninterpreted) {
                        div.note { (pick("解釈できない内容のため、そのまま表示します。", "It could not be interpreted and is shown as it is.")) }
                        (body::plain(record))
                    }
                }
            }
        }
    }
}

/// What stands where there is no such file.
pub(super) fn missing(view: &View<'_>) -> Markup {
    html! {
        h1 { (view.language.pick("記録が見つかりません", "No such record")) }
        p { (view.language.pick("この時点の診療録には、このファイルはありません。", "The chart has no such file in this state.")) }
    }
}
