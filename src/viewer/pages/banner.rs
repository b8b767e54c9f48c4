//! The banner that stays above every page of a patient: who it is, what must
//! not be overlooked, and how old it all is.

use maud::{Markup, html};

use crate::clinical::{Basics, Kind, age, era_date};
use crate::viewer::clock;
use crate::viewer::view::View;

/// Allergies that the banner names; the others are counted.
const ALLERGIES_MAX: usize = 6;

/// The banner.
pub(super) fn banner(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let basics = view.basics();
    let facility = view.gate.registry().facility_name(&view.whose.facility);
    html! {
        section.banner aria-label=(pick("患者", "Patient")) {
            div {
                @match &basics {
                    Some(basics) => {
                        span.who { (basics.name.text()) }
                        span.kana { (basics.name.kana) }
                        span { (birth(view, basics)) " " (basics.sex.text(language)) }
                        @if basics.is_dead { " " span.tag { (pick("死亡", "deceased")) } }
                    }
                    None if view.leaves_out(&[Kind::Basics]) => { span.who { (pick("氏名不明（患者基本情報はこの端末に保管なし）", "Name unknown (basics are not kept here)")) } }
                    None => { span.who { (pick("氏名不明（患者基本情報なし）", "Name unknown (no basics)")) } }
                }
            }
            div.facts {
                span { b { (pick("施設", "Facility")) } (facility) }
                span { b { "ID" } (view.whose.patient) }
                (allergies(view))
                span { b { (pick("血液型", "Blood")) } (blood(basics.as_ref()).unwrap_or_else(|| match basics.is_none() && view.leaves_out(&[Kind::Basics]) {
                    true => pick("この端末に保管なし", "not kept here").into(),
                    false => pick("記載なし", "not recorded").into(),
                })) }
                (data_age(view))
            }
        }
    }
}

fn birth(view: &View<'_>, basics: &Basics) -> String {
    let language = view.language;
    let Some(birth) = &basics.birth else {
        return language.pick("生年月日不明", "birth unknown").into();
    };
    let Some(day) = birth.day() else {
        return birth.show();
    };
    let era = era_date(day, language).unwrap_or_default();
    let years = age(day, view.today()).map_or_else(String::new, |years| {
        language.pick(format!("{years}歳"), format!("{years} y"))
    });
    format!("{}（{era}） {years}", birth.show())
}

/// ABO and Rh as they are recorded. Only what the record says of Rh is called
/// so: its code is that of Rh, its value may be no more than "positive".
pub(super) fn blood(basics: Option<&Basics>) -> Option<String> {
    let basics = basics?;
    let rh = basics.blood_rh().map(|one| one.text()).map(|text| {
        match text.to_lowercase().contains("rh") {
            true => text,
            false => format!("Rh{text}"),
        }
    });
    let abo = basics.blood_abo().map(|one| one.text());
    let parts: Vec<String> = [abo, rh].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn allergies(view: &View<'_>) -> Markup {
    let language = view.language;
    let known = view.allergies();
    let label = language.pick("アレルギー", "Allergies");
    let is_partial = view.leaves_out(&[Kind::Allergies, Kind::Basics]);
    html! {
        @match known {
            known if is_partial && known.as_ref().is_none_or(Vec::is_empty) => { span { b { (label) } "⚠ " (language.pick("この端末に保管なし（他で確認）", "not kept here; look elsewhere")) } }
            None => { span { b { (label) } (language.pick("記録なし（「なし」とは限りません）", "no record (not the same as none)")) } }
            Some(known) if known.is_empty() => { span { b { (label) } (language.pick("記載なし", "none listed")) } }
            Some(known) => {
                span.allergy {
                    "⚠ " (label) ": "
                    (known.iter().take(ALLERGIES_MAX).map(|one| one.substance.text()).collect::<Vec<_>>().join("、"))
                    @if is_partial { (language.pick("（この端末にない記録あり）", " (and records that are not kept here)")) }
                    @if known.len() > ALLERGIES_MAX { (language.pick(" ほか", " and more: ")) (known.len() - ALLERGIES_MAX) }
                }
            }
        }
    }
}

/// When the state that is shown was signed by the center.
fn data_age(view: &View<'_>) -> Markup {
    let language = view.language;
    let viewer = view.gate.viewer();
    let now_ms = view.gate.now_ms();
    html! {
        @match view.commit {
            Some(commit) => {
                span.aged { "⏱ " (language.pick("過去の状態を表示中：", "Shown as of ")) (clock::minute(viewer.accepted_ms(commit).unwrap_or(0))) }
            }
            None => {
                @match viewer.signed_ms() {
                    None => { span.aged { (language.pick("データなし", "no data")) } }
                    Some(at_ms) => {
                        span.aged { b { (language.pick("データの時点", "Data as of")) } (clock::minute(at_ms)) " (" (clock::ago(at_ms, now_ms, language)) ")" }
                    }
                }
            }
        }
    }
}

/// What can be chosen for all tabs: other facilities, a snapshot.
pub(super) fn tools(view: &View<'_>, tab: &str) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let path = super::patient_path(&view.whose, tab);
    let across = !view.request.field("across").is_empty();
    let commits = view.gate.viewer().commits();
    let at = view.request.field("at");
    html! {
        @if let Some(commit) = view.commit {
            div.note {
                (pick("過去のスナップショットの内容です。現在の記録とは異なることがあります。", "This is an earlier snapshot; what holds now may differ."))
                " #" (commit) " "
                a href=(path) { (pick("最新に戻る", "Back to the newest")) }
            }
        }
        form.tools method="get" action=(path) {
            label.line for="across" {
                input #across type="checkbox" name="across" value="1" checked[across];
                (pick("他施設の記録も表示（串刺し）", "Other facilities' records too"))
            }
            label.line for="at" {
                (pick("時点", "As of"))
                select #at name="at" {
                    option value="" selected[at.is_empty()] { (pick("最新", "newest")) }
                    @for (number, at_ms) in &commits {
                        option value=(number) selected[at == number.to_string()] { (clock::minute(*at_ms)) " #" (number) }
                    }
                }
            }
            button.quiet { (pick("適用", "Apply")) }
            @for chart in view.charts.iter().filter(|chart| chart.is_bare()) {
                span.aged { "⚠ " (view.gate.registry().facility_name(chart.facility())) (pick("：この端末に保管していない記録群があります", ": some volumes are not kept here")) }
            }
            @if across {
                span.soft { (pick("表示中の施設：", "Shown: ")) @for at in 0..view.charts.len() { (view.mark(at)) " " } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clinical::{Body, Place, Record};

    fn blood_of(observations: &[&str]) -> Option<String> {
        let mut text = "MSH|^~\\&|||||20260301||ADT^A08|1|P|2.5\rPID|1||0000001\r".to_string();
        for one in observations {
            text += &format!("OBX|1|CWE|{one}||||||F\r");
        }
        let path = "-/ADT-00/0000001_-_ADT-00_000000000000001_20260301120000000_01_1";
        let place = Place::new("1", "STD01", b"000/000/0000001", path.as_bytes());
        match Record::read(place, text.as_bytes()).body {
            Body::Basics(basics) => blood(Some(&basics)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rh_is_said_only_where_the_record_says_rh() {
        let abo = |value: &str| format!("5H010000009199911^血液型-ABO式^JC10||{value}");
        let rh = |value: &str| format!("5H020000009199911^血液型-Rh式^JC10||{value}");
        let of = |one: &str| blood_of(&[one]).unwrap();
        assert_eq!(of(&abo("A^A^JSHR002")), "A");
        assert_eq!(of(&abo("^A 陽性")), "A 陽性");
        assert_eq!(of(&rh("+^陽性^JSHR003")), "Rh陽性");
        assert_eq!(of(&rh("^Rh(-)")), "Rh(-)");
        let both = [abo("A^A^JSHR002"), rh("+^陽性^JSHR003")];
        assert_eq!(blood_of(&[&both[0], &both[1]]).unwrap(), "A Rh陽性");
        // A code of the facility's own that begins alike is something else.
        assert_eq!(blood_of(&["5H020^不規則抗体^L||^陽性"]), None);
        assert_eq!(blood_of(&[]), None);
    }
}
