//! Laboratory results: a flow sheet of the newest days with flags and trends,
//! then what is no number, cultures, and what was ordered.

use std::collections::BTreeSet;

use jiff::civil::Date;
use maud::{Markup, html};

use super::table::table;
use super::trend::trend;
use crate::clinical::{Body, Flagged, Kind, Observation, Point, Record, Series, series};
use crate::language::Language;
use crate::viewer::view::{Read, View};

/// Reports that are read for the sheet and its trends.
const REPORTS_MAX: usize = 80;
/// Days across the sheet.
const DAYS_MAX: usize = 8;
/// Rows of the sheet.
const SERIES_MAX: usize = 150;
/// Orders that are listed.
const ORDERS_MAX: usize = 20;

/// GET …/laboratory
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let reads = view.read(&[Kind::LabResult], REPORTS_MAX);
    let records: Vec<&Record> = reads.records.iter().map(|read| &read.record).collect();
    let all = series(records.iter().copied());
    let days = days(&all);
    let orders = view.read(&[Kind::LabOrder], ORDERS_MAX);
    html! {
        h1 { (pick("検体検査", "Laboratory")) }
        p.soft.small {
            (pick("H 高値・L 低値。「*」は検査室の判定がないため基準値から判定したもの。グラフの帯は基準範囲、□は範囲外、▽△は「<」「>」の結果（測定限界の外）。単位が変わると線は切れます。",
                "H high, L low. “*” was derived from the reference range because the laboratory gave no flag. The band is the reference range, □ is out of it, ▽ △ a result that is only known to lie below or above a number. A change of unit breaks the line."))
        }
        (reads.notes(view))
        @if all.is_empty() { (reads.none(view)) }
        @else { (sheet(view, &all, &days, &reads.records)) }
        (cultures(view, &reads.records))
        (reads.pages(view, "laboratory"))
        h2 { (pick("検査の依頼（結果とは別）", "Ordered (not results)")) }
        (orders.notes(view))
        @if orders.is_empty() { (orders.none(view)) }
        ul.plain { @for read in &orders.records { li {
            (view.link(read, &read.date_text())) " "
            (ordered(read)) " " (view.mark(read.chart))
        } } }
    }
}

fn ordered(read: &Read) -> String {
    let Body::LabOrder(report) = &read.record.body else {
        return String::new();
    };
    let panels = report
        .specimens
        .iter()
        .flat_map(|specimen| &specimen.panels);
    let names: Vec<&str> = panels
        .map(|panel| panel.code.text())
        .filter(|text| !text.is_empty())
        .collect();
    names.join("、")
}

/// The newest days on which anything was measured, oldest first.
fn days(all: &[Series<'_>]) -> Vec<Date> {
    let days: BTreeSet<Date> = all
        .iter()
        .flat_map(|one| one.points.iter().map(|point| point.at.date()))
        .collect();
    let mut days: Vec<Date> = days.into_iter().rev().take(DAYS_MAX).collect();
    days.reverse();
    days
}

fn sheet(view: &View<'_>, all: &[Series<'_>], days: &[Date], reads: &[Read]) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        div.wide tabindex="0" { table.full {
            thead { tr {
                th scope="col" { (pick("検査", "Test")) }
                th scope="col" { (pick("単位", "Unit")) }
                th scope="col" { (pick("基準値", "Reference")) }
                @for day in days { th scope="col" { (day.to_string()) } }
                th scope="col" { (pick("推移", "Trend")) }
            } }
            tbody { @for one in all.iter().take(SERIES_MAX) { (row(view, one, days, reads)) } }
        } }
        @if all.len() > SERIES_MAX { p.note { (all.len() - SERIES_MAX) (pick(" 項目は表示していません。全記録から開いてください。", " tests are not shown; see all records.")) } }
    }
}

fn row(view: &View<'_>, one: &Series<'_>, days: &[Date], reads: &[Read]) -> Markup {
    let newest = one.points.last().map(|point| point.observation);
    let label = format!(
        "{} {}",
        one.title,
        view.language.pick("の推移", "over time")
    );
    html! {
        tr {
            th scope="row" { (one.title) @if !one.specimen.is_empty() { div.small.soft { (one.specimen) } } }
            td.small { (one.unit) }
            td.small.nowrap { (newest.map_or("", |one| one.range.text.as_str())) }
            @for day in days {
                td.number {
                    @for point in one.points.iter().filter(|point| point.at.date() == *day) {
                        div { (cell(view, point, reads)) }
                    }
                }
            }
            td { (trend(one, &label)) }
        }
    }
}

fn cell(view: &View<'_>, point: &Point<'_>, reads: &[Read]) -> Markup {
    let read = reads
        .iter()
        .find(|read| std::ptr::eq(&raw const read.record, point.record));
    let text = result(point.observation, view.language);
    html! {
        @match read {
            Some(read) => {
                a href=(view.address(read.chart, &read.item, "record")) { (text) }
                @if !view.is_own(read.chart) { span.other title=(view.facility(read.chart)) { "⇄" } }
            }
            None => { (text) }
        }
    }
}

/// A result with its flag, which is a letter and only then a colour.
pub(super) fn result(one: &Observation, language: Language) -> Markup {
    let status = one.status.text(language);
    html! {
        @match one.flag() {
            Some(flagged) if !flagged.flag.mark().is_empty() => {
                span class=(class(flagged)) title=(flagged.flag.text(language)) {
                    (one.text()) " " (flagged.flag.mark()) @if flagged.derived { "*" }
                }
            }
            _ => { (one.text()) }
        }
        @if !status.is_empty() { " " span.tag { (status) } }
        @if one.flag_disagrees() { " " span.tag { (language.pick("判定と基準値が不一致", "flag and range disagree")) } }
    }
}

fn class(flagged: Flagged) -> &'static str {
    match flagged.flag.mark() {
        "L" | "LL" => "low",
        _ => "high",
    }
}

/// Results of cultures: organisms and their amounts.
fn cultures(view: &View<'_>, reads: &[Read]) -> Markup {
    let language = view.language;
    let mut rows = Vec::new();
    for read in reads {
        let Body::LabResult(report) = &read.record.body else {
            continue;
        };
        for specimen in &report.specimens {
            for panel in &specimen.panels {
                for culture in panel.cultures() {
                    rows.push((read, specimen, culture));
                }
            }
        }
    }
    html! {
        @if !rows.is_empty() {
            h2 { (language.pick("培養・同定", "Cultures")) }
            (table(&[
                language.pick("日付", "Date"),
                language.pick("材料", "Specimen"),
                language.pick("菌", "Organism"),
                language.pick("量", "Amount"),
                language.pick("施設", "Facility"),
            ], html! { @for (read, specimen, culture) in &rows {
                    tr {
                        td.nowrap { (view.link(read, &read.date_text())) }
                        td { (specimen.material.text()) }
                        td { (culture.organism.map(|one| one.text()).unwrap_or_default())
                            @for other in culture.others() { div.small { (other.code.text()) ": " (other.text()) } } }
                        td { (culture.amount.map(|one| one.text()).unwrap_or_default()) }
                        td { (view.mark(read.chart)) }
                    }
                } }))
        }
    }
}
