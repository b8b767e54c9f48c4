//! Every file of the patient, by date: also what is superseded, deleted, of no
//! known kind, or no record at all. Nothing is dropped.

use maud::{Markup, html};

use super::calendar::{group, joined};
use super::table::table;
use crate::ssmix::Flag;
use crate::viewer::chart::Item;
use crate::viewer::view::{View, date_text};

/// Files on a page.
const ROWS_MAX: usize = 200;

/// GET …/records
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let (date, chosen) = (view.request.field("date"), view.request.field("group"));
    let from: usize = view.request.field("from").parse().unwrap_or(0);
    let mut items: Vec<(usize, &Item)> = Vec::new();
    for (chart, all) in view.charts.iter().enumerate() {
        let fits = |item: &&Item| {
            (date.is_empty() || item.date == date)
                && (chosen.is_empty() || group(item.kind) == chosen)
                && (view.may_raw || item.flag.is_none() || item.is_current())
        };
        items.extend(all.items().iter().filter(fits).map(|item| (chart, item)));
    }
    items.sort_by(|one, two| {
        let key = |item: &Item| (item.date.clone(), item.timestamp.clone());
        key(two.1)
            .cmp(&key(one.1))
            .then(one.1.path.cmp(&two.1.path))
    });
    let more = items.len() > from.saturating_add(ROWS_MAX);
    let shown: Vec<_> = items.iter().skip(from).take(ROWS_MAX).collect();
    html! {
        h1 { (pick("全記録", "All records")) }
        @if !date.is_empty() || !chosen.is_empty() {
            p { (pick("絞り込み：", "Only: ")) (date_text(date)) " "
                @for (name, japanese, english) in super::calendar::GROUPS { @if name == chosen { (language.pick(japanese, english)) } }
                " " a href=(view.tab("records")) { (pick("すべて表示", "Show all")) } }
        }
        p.small.soft { (items.len()) (pick(" 件", " files"))
            @if !view.may_raw { (pick("（履歴と削除済みは権限のある方のみ）", " (history only for those who may)")) } }
        (table(&[
            pick("日付", "Date"),
            pick("種別", "Kind"),
            pick("状態", "State"),
            pick("記録日時", "Recorded"),
            pick("ファイル", "File"),
            pick("施設", "Facility"),
        ], html! { @for (chart, item) in shown { (row(view, *chart, item)) } }))
        nav.pages aria-label=(pick("ページ", "Pages")) {
            @if from > 0 { a href=(step(view, from.saturating_sub(ROWS_MAX))) { (pick("← 前", "← Back")) } }
            @if more { a href=(step(view, from + ROWS_MAX)) { (pick("次 →", "Next →")) } }
        }
    }
}

fn step(view: &View<'_>, from: usize) -> String {
    let mut address = view.tab("records");
    for name in ["date", "group"] {
        if !view.request.field(name).is_empty() {
            address = joined(&address, name, view.request.field(name));
        }
    }
    joined(&address, "from", &from.to_string())
}

fn row(view: &View<'_>, chart: usize, item: &Item) -> Markup {
    let file = item.path.split_name().1;
    html! {
        tr.old[!item.is_current()] {
            td.nowrap { (date_text(&item.date)) }
            td { (view.link_item(chart, item, &view.kind_name(item))) }
            td {
                (state(view, item))
                @if !item.is_kept() { " " span.tag { (view.language.pick("保管外", "not kept here")) } }
            }
            td.nowrap { (time_text(&item.timestamp)) }
            td.small { (String::from_utf8_lossy(file)) }
            td { (view.mark(chart)) }
        }
    }
}

/// Valid, superseded, deleted: in words.
pub(super) fn state(view: &View<'_>, item: &Item) -> &'static str {
    let language = view.language;
    match (item.flag, item.is_current()) {
        (Some(Flag::Valid), true) => language.pick("有効", "valid"),
        (Some(Flag::Valid), false) => language.pick("重複（古い有効）", "second valid one"),
        (Some(Flag::Superseded), _) => language.pick("旧版", "superseded"),
        (Some(Flag::Deleted), _) => language.pick("削除", "deleted"),
        (None, _) => language.pick("標準外", "not a record"),
    }
}

/// `20260331123000…` as `2026-03-31 12:30`.
pub(super) fn time_text(timestamp: &str) -> String {
    match (
        timestamp.get(..8),
        timestamp.get(8..10),
        timestamp.get(10..12),
    ) {
        (Some(date), Some(hour), Some(minute)) => format!("{} {hour}:{minute}", date_text(date)),
        _ => timestamp.to_string(),
    }
}
