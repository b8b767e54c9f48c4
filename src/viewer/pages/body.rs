//! What one record says, by its kind: every field that has a meaning, and the
//! whole message where nothing has.

use maud::{Markup, html};

use super::{cda, examinations, laboratory, medication, problems, stays, table::table};
use crate::clinical::{Basics, Body, LabReport, Observation, Panel, Record, ResultStatus, When};
use crate::language::Language;
use crate::viewer::chart::Item;
use crate::viewer::view::{Read, View};

/// The content of a record.
pub(super) fn show(view: &View<'_>, item: &Item, record: &Record) -> Markup {
    let language = view.language;
    let reads = [Read {
        chart: 0,
        item: item.clone(),
        record: record.clone(),
    }];
    match &record.body {
        Body::Basics(basics) => person(basics, language),
        Body::Movement(_) | Body::Meals(_) => stays::movement_table(view, &reads),
        Body::Allergies(_) => problems::allergy_table(view, &reads),
        Body::Problems(_) => problems::problem_table(view, &reads),
        Body::Prescription(_) | Body::Injection(_) => medication::ordered_table(view, &reads),
        Body::PrescriptionGiven(_) | Body::InjectionGiven(_) => {
            medication::given_table(view, &reads)
        }
        Body::LabOrder(report) | Body::LabResult(report) => lab(report, language),
        Body::ExaminationOrder(one) | Body::ExaminationDone(one) | Body::Vitals(one) => {
            examinations::whole(one, language)
        }
        Body::Document(document) => cda::document(view, item, document),
        Body::Attachment(media) => super::documents::attachment(view, item, *media),
        Body::Uninterpreted => html! {},
    }
}

/// The message, a segment a line.
pub(super) fn plain(record: &Record) -> Markup {
    html! {
        pre.raw tabindex="0" {
            @for segment in &record.message.segments { (segment.text) "\n" }
        }
    }
}

fn time(when: &Option<When>) -> String {
    when.as_ref().map(|when| when.show()).unwrap_or_default()
}

/// Who the patient is, and whom to call.
pub(super) fn person(basics: &Basics, language: Language) -> Markup {
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        dl.facts {
            dt { (pick("氏名", "Name")) } dd { (basics.name.kanji) " " span.soft { (basics.name.kana) } }
            dt { (pick("生年月日", "Birth")) } dd { (basics.birth.as_ref().map(|when| when.show_with_era(language)).unwrap_or_default()) }
            dt { (pick("性別", "Sex")) } dd { (basics.sex.text(language)) }
            @if let Some(death) = &basics.death { dt { (pick("死亡", "Died")) } dd { (death.show()) } }
            @if basics.updated.is_some() { dt { (pick("最終更新", "Last changed")) } dd { (time(&basics.updated)) } }
            @if !basics.place.place.is_empty() { dt { (pick("病棟・場所", "Place")) } dd { (basics.place.place.text()) } }
            @for address in &basics.addresses { dt { (pick("住所", "Address")) } dd { "〒" (address.postal) " " (address.text) } }
            @for phone in basics.home_phones.iter().chain(&basics.work_phones) {
                dt { (pick("電話", "Phone")) " " (phone.usage_text(language)) } dd { (phone.number) }
            }
            @for kin in &basics.kin {
                dt { (pick("緊急連絡先", "Next of kin")) }
                dd { (kin.name.text()) " " (kin.relationship.text()) " "
                    @for phone in &kin.phones { (phone.number) " " }
                    @if !kin.employer.is_empty() { span.small { (kin.employer) " " } }
                    @for address in &kin.addresses { span.small { (address.text) } } }
            }
            @if basics.disabled.is_some() || !basics.disability.is_empty() {
                dt { (pick("障害", "Disability")) }
                dd { @match basics.disabled { Some(true) => { (pick("あり ", "yes ")) } Some(false) => { (pick("なし ", "no ")) } None => {} } (basics.disability) }
            }
            @for one in &basics.observations { dt { (one.code.text()) } dd { (laboratory::result(one, language)) " " (one.unit.text()) } }
            @for one in &basics.allergies { dt { (pick("アレルギー", "Allergy")) } dd { (one.class.text(language)) ": " (one.substance.text()) " " (one.severity.text()) " " (one.reactions.join("、")) } }
            @for one in &basics.insurances {
                dt { (pick("保険", "Insurance")) }
                dd { (one.plan.text()) " " (one.number) " " (one.insurer) " " (one.insured) " " (one.relationship.text()) " "
                    @if one.from.is_some() || one.to.is_some() { span.small.soft { (time(&one.from)) "〜" (time(&one.to)) } } }
            }
        }
    }
}

fn lab(report: &LabReport, language: Language) -> Markup {
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        @for specimen in &report.specimens {
            h3 { (pick("材料: ", "Specimen: ")) (specimen.material.text()) }
            p.small.soft { (pick("採取 ", "collected ")) (time(&specimen.collected)) " " (specimen.comments.join(" ")) }
            @for panel in &specimen.panels {
                h3 { (panel.code.text()) }
                p.small.soft { (panel_facts(panel, language)) }
                @if !panel.results.is_empty() {
                    (table(&[
                        pick("検査", "Test"),
                        pick("結果", "Result"),
                        pick("単位", "Unit"),
                        pick("基準値", "Reference"),
                        pick("状態", "State"),
                        pick("測定", "At"),
                    ], html! { @for one in &panel.results { (lab_row(one, language)) } }))
                }
                @for (_, comment) in &panel.comments { p.small { (comment) } }
            }
        }
    }
}

fn panel_facts(panel: &Panel, language: Language) -> String {
    let facts = [
        (language.pick("番号", "number"), panel.order.clone()),
        (language.pick("検査", "observed"), time(&panel.observed)),
        (language.pick("報告", "reported"), time(&panel.reported)),
        (
            language.pick("依頼", "by"),
            panel.ordered_by.as_ref().map_or("", |by| by.text()).into(),
        ),
        ("", panel.department.text().into()),
    ];
    let facts = facts.iter().filter(|(_, text)| !text.is_empty());
    let facts: Vec<String> = facts
        .map(|(name, text)| format!("{name} {text}").trim().into())
        .collect();
    facts.join(" / ")
}

fn lab_row(one: &Observation, language: Language) -> Markup {
    let status = match one.status {
        ResultStatus::Final => language.pick("確定", "final"),
        // Beside the result.
        _ => "",
    };
    html! {
        tr {
            th scope="row" {
                (one.code.text())
                @if let Some(code) = one.code.standard() { div.small.soft { (code.code) } }
                @if !one.sub_id.is_empty() { div.small.soft { "#" (one.sub_id) } }
            }
            td { (laboratory::result(one, language)) }
            td { (one.unit.text()) }
            td { (one.range.text) }
            td { (status) }
            td.small.nowrap { (time(&one.at)) }
        }
    }
}
