//! Problems and allergies.

use maud::{Markup, html};

use super::table::table;
use crate::clinical::{Allergy, Body, Kind, Problem, When, fold};
use crate::language::Language;
use crate::viewer::view::{Read, View};

/// Files on the page: each holds all of one facility's.
const FILES_MAX: usize = 50;

/// GET …/problems
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    // What only the basics (AL1) name is in no ADT-61.
    let allergies = view.read(&[Kind::Allergies, Kind::Basics], FILES_MAX);
    let none = allergies.records.iter().all(|read| listed(read).is_empty());
    let problems = view.read(&[Kind::Problems], FILES_MAX);
    html! {
        h1 { (pick("病名・アレルギー", "Problems and allergies")) }
        h2 { (pick("アレルギー", "Allergies")) }
        (allergies.notes(view))
        @if none {
            p { (pick("アレルギーの記録がありません。「アレルギーなし」とは限りません。", "No allergy record. That is not the same as no allergies.")) }
        } @else { (allergy_table(view, &allergies.records)) }
        h2 { (pick("病名", "Problems")) }
        (problems.notes(view))
        @if problems.is_empty() { (problems.none(view)) }
        @else { (problem_table(view, &problems.records)) }
    }
}

/// A table of problems, main ones first, what is over behind.
pub(super) fn problem_table(view: &View<'_>, reads: &[Read]) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        (table(&[
            pick("病名", "Problem"),
            "ICD-10",
            pick("開始", "Since"),
            pick("終了", "Until"),
            pick("転帰", "Outcome"),
            pick("区分", "Kind"),
            pick("施設", "Facility"),
        ], html! { @for read in reads { (problem_rows(view, read)) } }))
    }
}

/// A table of allergies, severe ones marked in words.
pub(super) fn allergy_table(view: &View<'_>, reads: &[Read]) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        (table(&[
            pick("種類", "Class"),
            pick("原因物質", "Substance"),
            pick("重症度", "Severity"),
            pick("症状", "Reaction"),
            pick("発現時期", "Onset"),
            pick("施設", "Facility"),
        ], html! { @for read in reads {
            @for one in listed(read) {
                @if !is_repeated(read, one, reads) { (allergy_row(view, read, one)) }
            }
        } }))
    }
}

/// The allergies of a record: those of ADT-61, or those that the basics name.
fn listed(read: &Read) -> &[Allergy] {
    match &read.record.body {
        Body::Allergies(allergies) => allergies,
        Body::Basics(basics) => &basics.allergies,
        _ => &[],
    }
}

/// What the basics name is repeated where ADT-61 of the same chart says it.
fn is_repeated(read: &Read, one: &Allergy, reads: &[Read]) -> bool {
    let name = |one: &Allergy| fold(one.substance.text());
    matches!(read.record.body, Body::Basics(_))
        && reads
            .iter()
            .filter(|other| other.chart == read.chart)
            .filter(|other| matches!(other.record.body, Body::Allergies(_)))
            .flat_map(listed)
            .any(|other| name(other) == name(one))
}

fn allergy_row(view: &View<'_>, read: &Read, one: &Allergy) -> Markup {
    let language = view.language;
    html! {
        tr.old[one.is_withdrawn()] {
            td { (one.class.text(language)) }
            td { span.text { (view.link(read, one.substance.text())) }
                @if one.is_withdrawn() { " " span.tag { (language.pick("取消", "withdrawn")) } } }
            td { @if one.is_severe() { span.high { "⚠ " (one.severity.text()) } } @else { (one.severity.text()) } }
            td { (one.reactions.join("、")) }
            td { (one.onset_shown()) }
            td { (view.mark(read.chart)) }
        }
    }
}

fn problem_rows(view: &View<'_>, read: &Read) -> Markup {
    let Body::Problems(problems) = &read.record.body else {
        return html! {};
    };
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by_key(|one| (one.is_withdrawn(), one.is_over(), !one.is_main()));
    html! { @for one in sorted { (problem_row(view, read, one)) } }
}

fn problem_row(view: &View<'_>, read: &Read, one: &Problem) -> Markup {
    html! {
        tr.old[one.is_withdrawn()].past[one.is_over()] {
            td { span.text { (view.link(read, &one.title())) }
                @if let Some(code) = one.name.standard() { div.small.soft { (code.system) ":" (code.code) } } }
            td { (one.icd10().unwrap_or_default())
                @if !one.classification.is_empty() { div.small { (one.classification.text()) } } }
            td.nowrap { (time(one.since())) }
            // Some systems fill it for what still lasts.
            td.nowrap { @if one.is_over() { (time(one.resolved.as_ref())) } }
            td { (one.outcome.text()) @if let Some(at) = &one.outcome_at { " " span.small { (at.show()) } } }
            td { (marks(one, view.language))
                @if !one.confirmation.is_empty() { div.small.soft { (one.confirmation.text()) } } }
            td { (view.mark(read.chart)) }
        }
    }
}

/// Main, suspected, withdrawn: in words.
pub(super) fn marks(one: &Problem, language: Language) -> Markup {
    html! {
        @if one.is_main() { span.tag { (language.pick("主病名", "main")) } " " }
        @if one.is_suspected() { span.tag { (language.pick("疑い", "suspected")) } " " }
        @if one.is_withdrawn() { span.tag { (language.pick("取消", "withdrawn")) } }
    }
}

fn time(when: Option<&When>) -> String {
    when.map(When::show).unwrap_or_default()
}
