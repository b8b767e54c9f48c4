//! The calendar: dates down, kinds across, how many records each day has, by
//! facility.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::clinical::Kind;
use crate::viewer::chart::Item;
use crate::viewer::request::escaped;
use crate::viewer::view::{Reads, View, date_text};

/// Dates on a page.
const DATES_MAX: usize = 60;

/// Groups of kinds: name in addresses, Japanese, English.
pub(super) const GROUPS: [(&str, &str, &str); 9] = [
    ("visit", "外来", "Visit"),
    ("stay", "入退院", "Stay"),
    ("ordered", "処方・注射指示", "Ordered"),
    ("given", "実施", "Given"),
    ("laboratory", "検体検査", "Lab"),
    ("examination", "画像・生理", "Exam"),
    ("meal", "食事", "Meal"),
    ("document", "文書", "Document"),
    ("other", "その他", "Other"),
];

/// The group of a kind.
pub(super) fn group(kind: Kind) -> &'static str {
    match kind {
        Kind::Visit => "visit",
        kind if kind.is_movement() => "stay",
        Kind::Prescription | Kind::Injection => "ordered",
        Kind::PrescriptionGiven | Kind::InjectionGiven => "given",
        Kind::LabOrder | Kind::LabResult => "laboratory",
        Kind::RadiologyOrder
        | Kind::EndoscopyOrder
        | Kind::PhysiologyOrder
        | Kind::RadiologyDone
        | Kind::EndoscopyDone
        | Kind::PhysiologyResult => "examination",
        Kind::Meals => "meal",
        Kind::Document => "document",
        _ => "other",
    }
}

/// Whether a file stands for a record in counts: current, and of a document
/// the first of its folder.
pub(super) fn is_counted(item: &Item) -> bool {
    item.is_current()
        && (item.kind != Kind::Document || item.document.starts_with(b"main_document"))
}

/// By group and chart, how many.
type Day = BTreeMap<(&'static str, usize), usize>;

/// GET …/calendar
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let until = view.request.field("until");
    let mut days: BTreeMap<&str, Day> = BTreeMap::new();
    for (chart, items) in view.charts.iter().enumerate() {
        for item in items.items().iter().filter(|item| is_counted(item)) {
            let day = days.entry(&item.date).or_default();
            *day.entry((group(item.kind), chart)).or_default() += 1;
        }
    }
    let undated = days.remove("-");
    let dates = days.iter().rev();
    let mut dates = dates.filter(|(date, _)| until.is_empty() || **date < until);
    let shown: Vec<_> = dates.by_ref().take(DATES_MAX).collect();
    let older = dates
        .next()
        .is_some()
        .then(|| shown.last().map(|day| *day.0))
        .flatten();
    html! {
        h1 { (pick("カレンダー", "Calendar")) }
        p.soft.small { (pick("数字は件数です。⇄ は他施設の記録です。", "Numbers count records. ⇄ marks other facilities.")) }
        div.wide { table.matrix {
            thead { tr {
                th scope="col" { (pick("日付", "Date")) }
                @for (_, japanese, english) in GROUPS { th.mark scope="col" { (language.pick(japanese, english)) } }
            } }
            tbody {
                @if until.is_empty() && let Some(day) = &undated { (row(view, "-", day)) }
                @for (date, day) in &shown { (row(view, date, day)) }
            }
        } }
        @if shown.is_empty() && undated.is_none() { (Reads::default().none(view)) }
        nav.pages aria-label=(pick("期間", "Period")) {
            @if !until.is_empty() { a href=(view.tab("calendar")) { (pick("最新へ", "Newest")) } }
            @if let Some(older) = older { a href=(joined(&view.tab("calendar"), "until", older)) { (pick("さらに古い日付 →", "Older →")) } }
        }
    }
}

fn row(view: &View<'_>, date: &str, day: &Day) -> Markup {
    let language = view.language;
    html! {
        tr {
            th.date scope="row" {
                a href=(joined(&view.tab("records"), "date", date)) {
                    @if date == "-" { (language.pick("日付なし", "Undated")) } @else { (date_text(date)) }
                }
            }
            @for (group, japanese, english) in GROUPS {
                @let counts: Vec<(usize, usize)> = (0..view.charts.len())
                    .filter_map(|chart| day.get(&(group, chart)).map(|count| (chart, *count))).collect();
                @if counts.is_empty() { td.none {} }
                @else {
                    td {
                        a href=(joined(&joined(&view.tab("records"), "date", date), "group", group))
                            aria-label={ (date_text(date)) " " (language.pick(japanese, english)) } {
                            @for (chart, count) in counts {
                                @if view.is_own(chart) { (count) }
                                @else { span.other title=(view.facility(chart)) { "⇄" (count) } }
                                " "
                            }
                        }
                    }
                }
            }
        }
    }
}

/// An address with one more choice.
pub(super) fn joined(address: &str, name: &str, value: &str) -> String {
    let sign = if address.contains('?') { '&' } else { '?' };
    format!("{address}{sign}{name}={}", escaped(value))
}
