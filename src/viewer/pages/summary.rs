//! The emergency summary: one page, also on A4 paper.

use maud::{Markup, html};

use super::{banner, laboratory, medication, problems};
use crate::clinical::{EmergencySummary, Kind, Quantity, Record, Stay, medications, summarize};
use crate::language::Language;
use crate::viewer::chart::Chart;
use crate::viewer::clock;
use crate::viewer::view::{Read, View};

/// Newest records of each kind that a summary is made of.
const DATED_MAX: usize = 40;
/// Newest laboratory reports.
const REPORTS_MAX: usize = 20;
/// Newest documents.
const DOCUMENTS_MAX: usize = 12;
/// Laboratory results that are listed.
const RESULTS_MAX: usize = 30;

/// GET …/summary
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let mut groups = vec![
        view.read(&[Kind::Basics, Kind::Allergies, Kind::Problems], DATED_MAX),
        medication::prescriptions(view),
        view.read(&[Kind::PrescriptionGiven, Kind::InjectionGiven], DATED_MAX),
        view.read(&[Kind::LabResult], REPORTS_MAX),
        view.read_where(DATED_MAX, |item| {
            item.kind.is_movement() && item.date != "-"
        }),
    ];
    groups.push(view.read_where(DOCUMENTS_MAX, |item| {
        item.kind == Kind::Document && item.document.starts_with(b"main_document")
    }));
    let reads: Vec<&Read> = groups.iter().flat_map(|group| &group.records).collect();
    let records: Vec<&Record> = reads.iter().map(|read| &read.record).collect();
    let summary = summarize(&records, view.today());
    html! {
        h1 { (pick("緊急時サマリ", "Emergency summary")) }
        p.screen.soft.small { (pick("ブラウザの印刷でA4に収まります。", "Prints on A4 by the browser's own printing.")) }
        @if groups.iter().any(|group| group.left_out > 0) || view.charts.iter().any(Chart::is_bare) {
            div.alarm role="note" {
                "⚠ " (pick(
                    "この端末には一部の記録しかありません。「記録なし」は、存在しないことを意味しません。",
                    "Only a part of the records is kept on this computer: none recorded does not mean that there are none.",
                ))
            }
        }
        @for group in &groups { (group.notes(view)) }
        @if let Some((_, basics)) = &summary.basics {
            p { b { (pick("血液型 ", "Blood ")) } (banner::blood(Some(basics)).unwrap_or_else(|| pick("記載なし", "not recorded").into())) "　"
                @if let Some(one) = basics.height() { b { (pick("身長 ", "Height ")) } (one.text()) " " (one.unit.text()) "　" }
                @if let Some(one) = basics.weight() { b { (pick("体重 ", "Weight ")) } (one.text()) " " (one.unit.text()) } }
        }
        div.columns {
            section { (allergies(view, &summary)) }
            section { (active(view, &summary, &reads)) }
            section {
                @if summary.medications.is_empty() { (latest(&records, view)) }
                @else { (medication::taken_list(view, &summary.medications)) }
            }
            section { (given(view, &summary)) }
            section { (results(&summary, language)) }
            section { (courses(view, &summary.stays)) }
        }
        (documents(view, &summary, &reads))
        @if let Some((_, basics)) = &summary.basics {
            details open { summary { (pick("連絡先・基本情報", "Contacts and basics")) } (super::body::person(basics, language)) }
        }
        p.small.soft { (pick("表示日時 ", "Shown at ")) (clock::minute(view.gate.now_ms())) " — hikae" }
    }
}

fn allergies(view: &View<'_>, summary: &EmergencySummary<'_>) -> Markup {
    let language = view.language;
    html! {
        h2 { (language.pick("アレルギー", "Allergies")) }
        @if !summary.allergies_recorded {
            p.note { (language.pick("記録がありません。「アレルギーなし」とは限りません。", "No record. That is not the same as none.")) }
        } @else if summary.allergies.is_empty() { p { (language.pick("記載なし", "None listed.")) } }
        ul { @for (_, one) in &summary.allergies {
            li {
                span.tag { (one.class.text(language)) } " " b.high[one.is_severe()] { (one.substance.text()) } " "
                (one.severity.text()) " " (one.reactions.join("、")) " " span.small.soft { (one.onset_shown()) }
            }
        } }
    }
}

fn active(view: &View<'_>, summary: &EmergencySummary<'_>, reads: &[&Read]) -> Markup {
    let language = view.language;
    html! {
        h2 { (language.pick("病名（継続中）", "Active problems")) }
        @if summary.problems.is_empty() { p { (language.pick("記載なし", "None recorded.")) } }
        ul { @for (record, one) in &summary.problems {
            li {
                @match read_of(reads, record) { Some(read) => { (view.link(read, &one.title())) } None => { (one.title()) } }
                " " (problems::marks(one, language)) " "
                span.small.soft { (one.since().map(|when| when.show()).unwrap_or_default()) "〜" }
                @if let Some(read) = read_of(reads, record).filter(|read| !view.is_own(read.chart)) { " " (view.mark(read.chart)) }
            }
        } }
    }
}

/// The last prescriptions where none is estimated to be taken still: after a
/// disaster the records may be older than the days that were prescribed.
fn latest(records: &[&Record], view: &View<'_>) -> Markup {
    let language = view.language;
    let all = medications(records.iter().copied(), view.today());
    let newest = all.iter().filter_map(|one| one.from).max();
    html! {
        h2 { (language.pick("直近の処方（日数は終了と推定）", "Last prescription (days probably over)")) }
        @if newest.is_none() { p { (language.pick("処方の記録はありません。", "None recorded.")) } }
        ul { @for one in all.iter().filter(|one| one.from == newest && newest.is_some()) {
            li { (medication::drug_line(one, language)) }
        } }
    }
}

fn given(view: &View<'_>, summary: &EmergencySummary<'_>) -> Markup {
    let language = view.language;
    html! {
        h2 { (language.pick("最近の実施（投与済み）", "Given lately")) }
        @if summary.given.is_empty() { p { (language.pick("記録なし", "None recorded.")) } }
        ul { @for (_, one) in &summary.given {
            li {
                span.small { (one.from.as_ref().map(|when| when.show()).unwrap_or_default()) } " "
                b { (one.drug.text()) } " " (one.amount.as_ref().map(Quantity::text).unwrap_or_default()) " "
                span.soft { (one.completion.text(language)) }
            }
        } }
    }
}

fn results(summary: &EmergencySummary<'_>, language: Language) -> Markup {
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let newest = summary
        .laboratory
        .iter()
        .filter_map(|one| Some((one, one.points.last()?)));
    let mut newest: Vec<_> = newest.collect();
    newest.sort_by_key(|one| std::cmp::Reverse(one.1.at.date()));
    html! {
        h2 { (pick("最近の検査（最新値）", "Latest results")) }
        @if newest.is_empty() { p { (pick("記録なし", "None recorded.")) } }
        @else { table.small.results {
            thead { tr { th scope="col" { (pick("検査", "Test")) } th scope="col" { (pick("値", "Value")) } th scope="col" { (pick("日付", "Date")) } } }
            tbody { @for (one, point) in newest.iter().take(RESULTS_MAX) {
                tr { th scope="row" { (one.title) }
                    td.number { (laboratory::result(point.observation, language)) " " (one.unit) }
                    td.nowrap { (point.at.date().to_string()) } }
            } }
        } }
    }
}

fn courses(view: &View<'_>, stays: &[Stay<'_>]) -> Markup {
    let language = view.language;
    html! {
        h2 { (language.pick("最近の入院", "Latest stays")) }
        @if stays.is_empty() { p { (language.pick("記録なし", "None recorded.")) } }
        ul { @for stay in stays {
            li {
                (stay.admitted.map_or_else(|| language.pick("不明", "unknown").to_string(), |at| at.date().to_string())) " 〜 "
                (stay.discharged.map(|at| at.date().to_string()).unwrap_or_default()) " "
                (stay.place.text()) " "
                (stay.discharge.map_or("", |movement| movement.disposition.text())) " "
                span.small.soft { (view.gate.registry().facility_name(stay.facility)) }
            }
        } }
    }
}

fn documents(view: &View<'_>, summary: &EmergencySummary<'_>, reads: &[&Read]) -> Markup {
    let language = view.language;
    html! {
        h2 { (language.pick("最近の文書", "Latest documents")) }
        @if summary.documents.is_empty() { p { (language.pick("記録なし", "None recorded.")) } }
        ul { @for record in &summary.documents {
            @if let Some(read) = read_of(reads, record) {
                li { (read.date_text()) " " (view.link(read, &view.kind_name(&read.item))) " " (view.mark(read.chart)) }
            }
        } }
    }
}

fn read_of<'a>(reads: &[&'a Read], record: &Record) -> Option<&'a Read> {
    reads
        .iter()
        .find(|read| std::ptr::eq(&raw const read.record, record))
        .copied()
}
