//! Problems and allergies.

use maud::{Markup, html};

use super::table::table;
use crate::clinical::{Allergy, Body, Kind, Problem};
use crate::language::Language;
use crate::viewer::view::{Read, View};

/// Files on the page: each holds all of one facility's.
const FILES_MAX: usize = 50;

/// GET …/problems
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let allergies = view.read(&[Kind::Allergies], FILES_MAX);
    let problems = view.read(&[Kind::Problems], FILES_MAX);
    html! {
        h1 { (pick("病名・アレルギー", "Problems and allergies")) }
        h2 { (pick("アレルギー", "Allergies")) }
        (allergies.notes(view))
        @if allergies.is_empty() {
            p { (pick("アレルギーの記録がありません。「アレルギーなし」とは限りません。", "No allergy record. That is not the same as no allergies.")) }
        } @else { (allergy_table(view, &allergies.records)) }
        h2 { (pick("病名", "Problems")) }
        (problems.notes(view))
        @if problems.is_empty() { p { (pick("ありません。", "None.")) } }
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
                    @if let Body::Allergies(allergies) = &read.record.body {
                        @for one in allergies { (allergy_row(view, read, one)) }
                    }
                } }))
    }
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
            td { span.text { (view.link(read, &one.title())) } }
            td { (one.icd10().unwrap_or_default()) }
            td.nowrap { (one.since().map(|when| when.show()).unwrap_or_default()) }
            td { (one.outcome.text()) @if let Some(at) = &one.outcome_at { " " span.small { (at.show()) } } }
            td { (marks(one, view.language)) }
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
