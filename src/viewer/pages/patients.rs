//! The list of patients: search by a part of name, kana or id, by birth date
//! and sex.

use maud::{Markup, html};

use super::table::table;
use crate::clinical::{age, era_date};
use crate::language::Language;
use crate::registry::Scope;
use crate::viewer::audit::Whose;
use crate::viewer::clock;
use crate::viewer::gate::{Gate, User};
use crate::viewer::layout;
use crate::viewer::request::{Reply, Request};
use crate::viewer::roster::{Found, Row, Search, Sex, birth_of};

/// GET /patients
pub(in crate::viewer) fn show(gate: &Gate, user: &User, request: &Request) -> Reply {
    let search = gate.last_search(user);
    let found = match &search {
        None => None,
        Some(search) => match gate.search(user, request, search) {
            Ok(found) => Some(found),
            Err(error) => return gate.failed(user, request, &error),
        },
    };
    let search = search.unwrap_or_default();
    Reply::page(page(gate, user, request, &search, found.as_ref()))
}

/// POST /patients: remembers the search and shows it by GET, so that going
/// back works and no name stands in an address.
pub(in crate::viewer) fn search(gate: &Gate, user: &User, request: &Request) -> Reply {
    let text = |name: &str| request.field(name).trim().chars().take(100).collect();
    let search = Search {
        words: text("words"),
        birth: text("birth"),
        sex: text("sex"),
        all: text("all"),
    };
    gate.remember(user, search);
    Reply::elsewhere("/patients")
}

fn page(
    gate: &Gate,
    user: &User,
    request: &Request,
    search: &Search,
    found: Option<&Found>,
) -> Markup {
    let language = request.language();
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let frame = gate.frame(user, request, pick("患者検索", "Patients"));
    let unread = !search.birth.is_empty() && birth_of(&search.birth).is_none();
    let content = html! {
        h1 { (pick("患者検索", "Patients")) " " span.soft.small { (user.facility_name) } }
        (state(gate, user, language))
        form.search method="post" action="/patients" role="search" autocomplete="off" {
            div { label for="words" { (pick("氏名・カナ・患者ID（一部でも可）", "Name, kana or id, or a part of it")) }
                input #words name="words" type="search" value=(search.words) size="28" autofocus; }
            div { label for="birth" { (pick("生年月日（例 1955-01-02, S30.1.2）", "Birth (1955-01-02, S30.1.2)")) }
                input #birth name="birth" type="text" value=(search.birth) size="14"; }
            div { label for="sex" { (pick("性別", "Sex")) }
                select #sex name="sex" {
                    option value="" { (pick("すべて", "all")) }
                    option value="M" selected[search.sex == "M"] { (pick("男", "male")) }
                    option value="F" selected[search.sex == "F"] { (pick("女", "female")) }
                } }
            @if gate.scope(user) == Some(Scope::AllFacilities) {
                label.line for="all" { input #all type="checkbox" name="all" value="1" checked[!search.all.is_empty()];
                    (pick("他施設も検索", "Other facilities too")) }
            }
            button { (pick("検索", "Search")) }
        }
        @if unread { div.alarm role="alert" { (pick("生年月日を読み取れません。例：1955-01-02、S30.1.2、昭和30年1月2日", "The birth date can't be read. Like 1955-01-02 or S30.1.2")) } }
        @if let Some(found) = found.filter(|_| !unread) { (list(gate, found, language)) }
    };
    layout::page(&frame.frame(), html! {}, content)
}

/// How old the data and the registry are, before anybody searches.
fn state(gate: &Gate, user: &User, language: Language) -> Markup {
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let viewer = gate.viewer();
    html! {
        p.small.soft {
            @match viewer.signed_ms() {
                None => { (pick("まだデータがありません。", "No data yet.")) }
                Some(at_ms) => { (pick("データの時点 ", "Data as of ")) b { (clock::minute(at_ms)) } " (" (clock::ago(at_ms, gate.now_ms(), language)) ")" }
            }
            @if !viewer.is_roster_current() { " " span.tag { (pick("患者一覧を更新中", "list is being updated")) } }
        }
        @for note in gate.registry_notes(user, language) { div.note { (note) } }
    }
}

fn list(gate: &Gate, found: &Found, language: Language) -> Markup {
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        p role="status" { (found.rows.len()) (pick(" 人", " patients"))
            @if found.more { (pick(" 以上います。条件を追加してください。", " and more: narrow the search.")) } }
        @if !found.rows.is_empty() { (table(&[
            pick("患者ID", "Id"),
            pick("氏名", "Name"),
            pick("カナ", "Kana"),
            pick("生年月日", "Birth"),
            pick("年齢", "Age"),
            pick("性別", "Sex"),
            pick("施設", "Facility"),
        ], html! { @for row in &found.rows { (line(gate, row, language)) } })) }
    }
}

fn line(gate: &Gate, row: &Row, language: Language) -> Markup {
    let whose = Whose {
        facility: row.facility.clone(),
        patient: row.patient.clone(),
    };
    let name = match row.name.is_empty() {
        true => language.pick("（氏名の記録なし）", "(no name recorded)"),
        false => &row.name,
    };
    let day = row.birth.and_then(day_of);
    let today = clock::civil(gate.now_ms()).date();
    let years = day.and_then(|day| age(day, today));
    let sex = match row.sex {
        Some(Sex::Male) => language.pick("男", "male"),
        Some(Sex::Female) => language.pick("女", "female"),
        None => "",
    };
    html! {
        tr {
            td.nowrap { (row.patient) }
            td { a href=(super::patient_path(&whose, "summary")) { b { (name) } } }
            td { (row.kana) }
            td.nowrap { @if let Some(day) = day { (day.to_string()) " " span.small.soft { (era_date(day, language).unwrap_or_default()) } } }
            td.number { @if let Some(years) = years { (years) } }
            td { (sex) }
            td { (gate.registry().facility_name(&row.facility)) }
        }
    }
}

fn day_of(number: u32) -> Option<jiff::civil::Date> {
    let year = i16::try_from(number / 10_000).ok()?;
    let month = i8::try_from(number / 100 % 100).ok()?;
    jiff::civil::Date::new(year, month, i8::try_from(number % 100).ok()?).ok()
}
