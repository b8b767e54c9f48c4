//! Visits and stays: what happened, and the single movements.

use maud::{Markup, html};

use super::table::table;
use crate::clinical::{Body, Kind, Movement, PatientClass, Record, Stay, stays};
use crate::viewer::view::{Read, View};

/// Movements that are read.
const ROWS_MAX: usize = 200;

/// GET …/stays
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let reads = view.read_where(ROWS_MAX, |item| {
        item.kind.is_movement() || item.kind == Kind::Meals
    });
    let records: Vec<&Record> = reads.records.iter().map(|read| &read.record).collect();
    let all = stays(records.iter().copied());
    html! {
        h1 { (pick("受診・入院", "Visits and stays")) }
        (reads.notes(view))
        h2 { (pick("入院", "Stays")) }
        @if all.is_empty() { (reads.none(view)) }
        @else { (table(&[
            pick("入院", "From"),
            pick("退院", "To"),
            pick("病棟・病室", "Place"),
            pick("退院先・転帰", "Discharge"),
            pick("施設", "Facility"),
        ], html! { @for stay in &all { (stay_row(view, stay)) } })) }
        h2 { (pick("受診・移動の記録", "Movements")) }
        @if reads.is_empty() { (reads.none(view)) }
        @else { (movement_table(view, &reads.records)) }
        (reads.pages(view, "stays"))
    }
}

/// Movements and meals, as their records say.
pub(super) fn movement_table(view: &View<'_>, reads: &[Read]) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        (table(&[
            pick("日付", "Date"),
            pick("種別", "Kind"),
            pick("区分", "Class"),
            pick("診療科・場所", "Where"),
            pick("医師", "Doctor"),
            pick("内容", "Details"),
            pick("施設", "Facility"),
        ], html! { @for read in reads { (row(view, read)) } }))
    }
}

fn stay_row(view: &View<'_>, stay: &Stay<'_>) -> Markup {
    let language = view.language;
    let day = |at: Option<jiff::civil::DateTime>| at.map(|at| at.date().to_string());
    let from = day(stay.admitted).unwrap_or_else(|| language.pick("不明", "unknown").into());
    let to = day(stay.discharged);
    let discharge = stay
        .discharge
        .map_or("", |movement| movement.disposition.text());
    let chart = view
        .charts
        .iter()
        .position(|chart| chart.facility() == stay.facility);
    html! {
        tr {
            td.nowrap { (from) }
            td.nowrap { (to.unwrap_or_else(|| language.pick("退院の記録なし", "no discharge recorded").into())) }
            td { (stay.place.text()) }
            td { (discharge) }
            td { @if let Some(chart) = chart { (view.mark(chart)) } }
        }
    }
}

fn row(view: &View<'_>, read: &Read) -> Markup {
    let language = view.language;
    let none = Movement::default();
    let movement = match &read.record.body {
        Body::Movement(movement) => movement,
        _ => &none,
    };
    let doctors: Vec<&str> = movement
        .doctors
        .iter()
        .map(|doctor| doctor.text())
        .collect();
    html! {
        tr.old[movement.taken_back] {
            td.nowrap { (view.link(read, &read.date_text())) }
            td { span.text { (view.kind_name(&read.item)) }
                @if movement.taken_back { " " span.tag { (language.pick("取消", "taken back")) } } }
            td { (movement.class.text(language)) }
            td { (movement.department.text()) " "
                @if movement.place.text() != movement.department.text() { (movement.place.text()) } }
            td { (doctors.join("、")) }
            td { (details(view, movement)) (meals(read)) }
            td { (view.mark(read.chart)) }
        }
    }
}

fn details(view: &View<'_>, movement: &Movement) -> Markup {
    let language = view.language;
    let times = [
        (
            match movement.class {
                PatientClass::Outpatient | PatientClass::Emergency => {
                    language.pick("来院", "arrived")
                }
                _ => language.pick("入院", "admitted"),
            },
            &movement.admitted,
        ),
        (language.pick("退院", "discharged"), &movement.discharged),
        (language.pick("発生", "happened"), &movement.happened),
        (
            language.pick("入院予定", "expected from"),
            &movement.expected_from,
        ),
        (
            language.pick("退院予定", "expected to"),
            &movement.expected_to,
        ),
    ];
    html! {
        @for (name, time) in times { @if let Some(time) = time { div.small { (name) ": " (time.show()) } } }
        @if let Some(by) = &movement.admitted_by { div.small { (language.pick("入院決定: ", "admitted by: ")) (by.text()) } }
        @if let Some(by) = &movement.referred_by { div.small { (language.pick("紹介: ", "referred by: ")) (by.text()) } }
        @if !movement.disposition.is_empty() { div { (movement.disposition.text()) } }
        @if !movement.prior.is_empty() { div.small { (language.pick("前の場所: ", "from: ")) (movement.prior.text()) } }
        @for diagnosis in &movement.diagnoses { div.small { (diagnosis.code.text()) " " (diagnosis.text) } }
    }
}

fn meals(read: &Read) -> Markup {
    let Body::Meals(meals) = &read.record.body else {
        return html! {};
    };
    html! {
        @for meal in meals {
            @for timing in &meal.timings {
                div.small { (timing.usages.iter().map(|usage| usage.text()).collect::<Vec<_>>().join("、")) " "
                    (timing.from.as_ref().map(|from| from.show()).unwrap_or_default()) " " (timing.priority.text()) }
            }
            @for item in &meal.items {
                div.small { (item.codes.iter().map(|code| code.text()).collect::<Vec<_>>().join("、")) " " (item.text) }
            }
            @if let Some(by) = &meal.ordered_by { div.small.soft { (by.text()) " "
                (meal.ordered_at.as_ref().map(|at| at.show()).unwrap_or_default()) } }
        }
    }
}
