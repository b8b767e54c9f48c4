//! Prescriptions and injections: what is ordered and what was given, in two
//! tables that never mix.

use maud::{Markup, html};

use super::{named, table::table};
use crate::clinical::{
    Administration, Body, Kind, Medication, MedicationOrder, Quantity, Route, Taking, taken,
};
use crate::language::Language;
use crate::viewer::view::{Read, Reads, View};

/// Orders and administrations on a page, at most.
const ROWS_MAX: usize = 50;

/// Prescriptions from which it is estimated what is taken.
const TAKEN_MAX: usize = 100;

/// Prescriptions from which it is estimated what is still taken: the newest,
/// whatever page is shown, and no injections, which would crowd them out.
pub(super) fn prescriptions(view: &View<'_>) -> Reads {
    view.newest(TAKEN_MAX, |item| item.kind == Kind::Prescription)
}

/// GET …/medication
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let ordered = view.read(&[Kind::Prescription, Kind::Injection], ROWS_MAX);
    let given = view.read(&[Kind::PrescriptionGiven, Kind::InjectionGiven], ROWS_MAX);
    let prescribed = prescriptions(view);
    let taken = taken(
        prescribed.records.iter().map(|read| &read.record),
        view.today(),
    );
    html! {
        h1 { (pick("処方・注射", "Medication")) }
        p.soft.small { (pick("「指示」は医師が出した内容、「実施」は実際に投与した記録です。別々に表示します。",
            "“Ordered” is what was prescribed; “given” is what was administered. They are kept apart.")) }
        (taken_list(view, &taken))
        h2 { (pick("指示（処方・注射オーダ）", "Ordered")) }
        (ordered.notes(view))
        @if ordered.is_empty() { (ordered.none(view)) }
        @else { (ordered_table(view, &ordered.records)) }
        (ordered.pages(view, "medication"))
        h2 { (pick("実施（投与の記録）", "Given")) }
        (given.notes(view))
        @if given.is_empty() { (given.none(view)) }
        @else { (given_table(view, &given.records)) }
        (given.pages(view, "medication"))
    }
}

/// What was ordered.
pub(super) fn ordered_table(view: &View<'_>, reads: &[Read]) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        (table(&[
            pick("日付", "Date"),
            pick("種別", "Kind"),
            "Rp",
            pick("薬剤", "Drug"),
            pick("用量", "Dose"),
            pick("用法", "Usage"),
            pick("日数・期間", "Days"),
            pick("医師", "By"),
            pick("施設", "Facility"),
        ], html! { @for read in reads { (orders(view, read)) } }))
    }
}

/// What was given.
pub(super) fn given_table(view: &View<'_>, reads: &[Read]) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        (table(&[
            pick("実施日時", "Given at"),
            pick("種別", "Kind"),
            pick("薬剤", "Drug"),
            pick("量", "Amount"),
            pick("経路", "Route"),
            pick("状況", "Status"),
            pick("実施者", "By"),
            pick("施設", "Facility"),
        ], html! { @for read in reads { (administrations(view, read)) } }))
    }
}

/// What is probably still taken, what was not begun yet, and what nobody can
/// tell: an estimate, and says so.
pub(super) fn taken_list(view: &View<'_>, taken: &[Medication<'_>]) -> Markup {
    let language = view.language;
    let titles = [
        language.pick("おそらく服用中（推定）", "Probably still taken (estimate)"),
        language.pick(
            "これから始まる処方（推定）",
            "Planned, not begun yet (estimate)",
        ),
        language.pick("日数の記載がない処方", "Prescribed without days"),
    ];
    let title_of = |taking| match taking {
        Taking::Probably { .. } => Some(titles[0]),
        Taking::Planned { .. } => Some(titles[1]),
        Taking::Unknown => Some(titles[2]),
        Taking::Over { .. } => None,
    };
    html! {
        @for title in titles {
            @let drugs: Vec<_> = taken.iter().filter(|one| title_of(one.taking) == Some(title)).collect();
            @if !drugs.is_empty() {
                h2 { (title) }
                ul { @for one in drugs { li { (drug_line(one, language)) } } }
            }
        }
        @if !taken.is_empty() {
            p.note.small { (language.pick("処方の開始日と日数からの推定です。本人・家族・お薬手帳で確認してください。",
                "Estimated from start and days of the orders. Ask the patient or the family.")) }
        }
    }
}

/// One drug of a prescription on a line.
pub(super) fn drug_line(one: &Medication<'_>, language: Language) -> Markup {
    html! {
        b { (one.order.drug.text()) } " "
        (one.order.dose.as_ref().map(Quantity::text).unwrap_or_default()) " "
        (one.order.usage()) " "
        span.small.soft { (one.taking.text(language)) }
    }
}

fn orders(view: &View<'_>, read: &Read) -> Markup {
    let (Body::Prescription(orders) | Body::Injection(orders)) = &read.record.body else {
        return html! {};
    };
    let kind = view.kind_name(&read.item);
    html! {
        @for (at, order) in orders.iter().enumerate() {
            tr.old[order.is_cancelled()] {
                @if at == 0 {
                    td.nowrap rowspan=(orders.len()) { (view.link(read, &read.date_text())) }
                    td rowspan=(orders.len()) { (kind) }
                }
                td { (order.group) }
                td { (drug(order, view.language)) }
                td { (dose(order, view.language)) }
                td { (usage(order)) }
                td { (timing(order, view.language)) }
                td { (order.ordered_by.as_ref().map_or("", |staff| staff.text()))
                    @if !order.department.is_empty() { div.small { (order.department.text()) } }
                    @if let Some(at) = &order.ordered_at { div.small.soft.nowrap { (at.show()) } } }
                td { (view.mark(read.chart)) }
            }
        }
    }
}

fn drug(order: &MedicationOrder, language: Language) -> Markup {
    html! {
        span.text { (named(&order.drug)) }
        @if order.is_cancelled() { " " span.tag { (language.pick("中止・取消", "cancelled")) } }
        @for ingredient in &order.ingredients {
            div.small { (ingredient.role.text(language)) ": " (ingredient.drug.text()) " "
                (ingredient.amount.as_ref().map(|amount| amount.text()).unwrap_or_default()) }
        }
        @if !order.form.is_empty() { div.small { (order.form.text()) } }
        @for kind in &order.kinds { div.small.soft { (kind.text()) } }
        @for comment in &order.comments { div.small { (comment) } }
    }
}

fn dose(order: &MedicationOrder, language: Language) -> Markup {
    let text = |quantity: &Option<Quantity>| quantity.as_ref().map(Quantity::text);
    html! {
        @if let Some(dose) = text(&order.dose) {
            div { (language.pick("1回 ", "each ")) (dose)
                @if !order.dose_max.is_empty() { "–" (order.dose_max) } }
        }
        @if let Some(daily) = text(&order.daily) { div { (language.pick("1日 ", "daily ")) (daily) } }
        @if let Some(rate) = text(&order.rate) { div { (language.pick("速度 ", "rate ")) (rate) " / " (order.per) } }
        @if let Some(dispensed) = text(&order.dispensed) { div.small.soft { (language.pick("総量 ", "in all ")) (dispensed) } }
    }
}

fn usage(order: &MedicationOrder) -> Markup {
    html! {
        @for timing in &order.timings {
            @for usage in &timing.usages { div { (usage.text()) } }
            @if !timing.text.is_empty() { div.small { (timing.text) } }
        }
        @for instruction in &order.instructions { div.small { (instruction.text()) } }
        (routes(&order.routes))
    }
}

fn timing(order: &MedicationOrder, language: Language) -> Markup {
    html! {
        @for timing in &order.timings {
            @match timing.days() {
                Some(days) => { div { (language.pick(format!("{days}日分"), format!("{days} days"))) } }
                None => { @if let Some(duration) = &timing.duration { div { (duration.text()) } } }
            }
            @if let Some(from) = &timing.from {
                div.small.nowrap { (from.show()) @if let Some(to) = &timing.to { " – " (to.show()) } }
            }
        }
    }
}

fn administrations(view: &View<'_>, read: &Read) -> Markup {
    let (Body::PrescriptionGiven(given) | Body::InjectionGiven(given)) = &read.record.body else {
        return html! {};
    };
    let kind = view.kind_name(&read.item);
    html! {
        @for one in given { (administration(view, read, one, &kind)) }
    }
}

fn administration(view: &View<'_>, read: &Read, one: &Administration, kind: &str) -> Markup {
    let from = one.from.as_ref().map(|when| when.show());
    html! {
        tr.old[!one.was_given()] {
            td.nowrap {
                (view.link(read, &from.unwrap_or_else(|| read.date_text())))
                @if let Some(to) = one.to.as_ref().filter(|to| Some(*to) != one.from.as_ref()) { div.small { "– " (to.show()) } }
            }
            td { (kind) }
            td { span.text { (named(&one.drug)) } @for note in &one.notes { div.small { (note.text()) } } }
            td { (one.amount.as_ref().map(|amount| amount.text()).unwrap_or_default())
                @if !one.rate.is_empty() { div.small { (one.rate) } } }
            td { (routes(&one.routes)) }
            td { (one.completion.text(view.language))
                @for reason in &one.refusal { div.small { (reason.text()) } } }
            td { (one.given_by.as_ref().map_or("", |staff| staff.text()))
                @if !one.place.is_empty() { div.small { (one.place) } } }
            td { (view.mark(read.chart)) }
        }
    }
}

fn routes(routes: &[Route]) -> Markup {
    html! { @for route in routes { div.small { (route.text()) } } }
}
