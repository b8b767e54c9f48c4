//! Radiology, endoscopy, physiology and vitals: ordered and done apart.

use maud::{Markup, html};

use super::laboratory::result;
use super::named;
use super::table::table;
use crate::clinical::{Body, Examination, Kind, Observation, Order};
use crate::language::Language;
use crate::viewer::view::{Read, Reads, View};

/// Records of each table.
const ROWS_MAX: usize = 80;
/// Findings that a row shows; the others are on the record's page.
const FINDINGS_MAX: usize = 12;

const ORDERS: [Kind; 3] = [
    Kind::RadiologyOrder,
    Kind::EndoscopyOrder,
    Kind::PhysiologyOrder,
];
const DONE: [Kind; 3] = [
    Kind::RadiologyDone,
    Kind::EndoscopyDone,
    Kind::PhysiologyResult,
];

/// GET …/examinations
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let done = view.read(&DONE, ROWS_MAX);
    let orders = view.read(&ORDERS, ROWS_MAX);
    html! {
        h1 { (pick("画像・生理検査", "Examinations")) }
        h2 { (pick("実施・結果", "Done")) }
        (done.notes(view))
        (listed(view, &done))
        h2 { (pick("依頼（実施とは別）", "Ordered (not done)")) }
        (orders.notes(view))
        (listed(view, &orders))
        (done.pages(view, "examinations"))
    }
}

fn listed(view: &View<'_>, reads: &Reads) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        @if reads.is_empty() { (reads.none(view)) }
        @else { (table(&[
            pick("日付", "Date"),
            pick("種別", "Kind"),
            pick("検査", "Examination"),
            pick("所見・結果", "Findings"),
            pick("施設", "Facility"),
        ], html! { @for read in &reads.records { (row(view, read)) } })) }
    }
}

fn row(view: &View<'_>, read: &Read) -> Markup {
    let (Body::ExaminationOrder(one) | Body::ExaminationDone(one)) = &read.record.body else {
        return html! {};
    };
    let findings: Vec<&Observation> = one.observations().collect();
    html! {
        tr {
            td.nowrap { (view.link(read, &read.date_text())) }
            td { (view.kind_name(&read.item)) }
            td { (names(one, view.language)) }
            td {
                @for finding in findings.iter().take(FINDINGS_MAX) { (finding_line(finding, view.language)) }
                @if findings.len() > FINDINGS_MAX { div.small { (view.link(read, view.language.pick("ほかの所見 →", "more →"))) } }
            }
            td { (view.mark(read.chart)) }
        }
    }
}

fn names(one: &Examination, language: Language) -> Markup {
    html! {
        @for order in one.all() {
            div { (order.code.text())
                @if order.is_cancelled() { " " span.tag { (language.pick("中止", "cancelled")) } } }
            @for detail in &order.details { div.small { (detail.code.text()) } }
            @for reason in &order.reasons { div.small.soft { (reason) } }
        }
    }
}

/// One finding or measurement.
pub(super) fn finding_line(one: &Observation, language: Language) -> Markup {
    html! {
        div.small { span.soft { (one.code.text()) } " " (result(one, language)) " " (one.unit.text()) }
    }
}

/// An examination in full, for its own page.
pub(super) fn whole(one: &Examination, language: Language) -> Markup {
    html! { @for order in &one.orders { (order_whole(order, language)) } }
}

fn order_whole(order: &Order, language: Language) -> Markup {
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let time = |when: &Option<crate::clinical::When>| {
        when.as_ref().map(|when| when.show()).unwrap_or_default()
    };
    html! {
        h3 { (named(&order.code)) @if order.is_cancelled() { " " span.tag { (pick("中止", "cancelled")) } } }
        dl.facts {
            dt { (pick("番号", "Number")) } dd { (order.number) }
            dt { (pick("依頼", "Ordered")) } dd { (time(&order.ordered_at)) " " (order.ordered_by.as_ref().map_or("", |by| by.text())) " " (order.department.text()) }
            @if order.done_at.is_some() { dt { (pick("実施", "Done")) } dd { (time(&order.done_at)) } }
            @if order.reported_at.is_some() { dt { (pick("報告", "Reported")) } dd { (time(&order.reported_at)) } }
            @for reason in &order.reasons { dt { (pick("目的", "Reason")) } dd { (reason) } }
            @for image in &order.images {
                dt { (pick("画像", "Images")) } dd.small { (image.accession) " " (image.procedure) " " (image.study) " " (image.modality.text()) }
            }
            @for comment in &order.comments { dt { (pick("コメント", "Comment")) } dd { (comment) } }
        }
        @for observation in &order.observations { (finding_line(observation, language)) }
        @for detail in &order.details {
            h3 { (detail.code.text()) }
            @for (number, text) in &detail.others { div.small { span.soft { "ZE1-" (number) } " " (text) } }
            @for observation in &detail.observations { (finding_line(observation, language)) }
        }
        @for part in &order.parts { (order_whole(part, language)) }
    }
}
