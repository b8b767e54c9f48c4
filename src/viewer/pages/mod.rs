//! The pages, one file each. A page of a patient is a function of a `View`:
//! what it shows was granted and logged before it was called.

pub(super) mod assets;
mod banner;
mod body;
pub(super) mod calendar;
mod cda;
pub(super) mod documents;
pub(super) mod emergency;
pub(super) mod examinations;
pub(super) mod history;
pub(super) mod laboratory;
pub(super) mod medication;
pub(super) mod patients;
pub(super) mod problems;
pub(super) mod record;
pub(super) mod records;
pub(super) mod sign_in;
pub(super) mod stays;
pub(super) mod summary;
mod table;
mod trend;

use maud::{Markup, html};

use super::audit::Whose;
use super::gate::{Gate, User};
use super::layout;
use super::request::{Reply, Request, escaped};
use super::view::View;
use crate::clinical::Coded;
use crate::language::Language;

/// The tabs of a patient: name in the address, Japanese, English.
const TABS: [(&str, &str, &str); 9] = [
    ("summary", "サマリ", "Summary"),
    ("calendar", "カレンダー", "Calendar"),
    ("medication", "処方・注射", "Medication"),
    ("laboratory", "検体検査", "Laboratory"),
    ("examinations", "画像・生理検査", "Examinations"),
    ("problems", "病名・アレルギー", "Problems"),
    ("stays", "受診・入院", "Visits"),
    ("documents", "文書", "Documents"),
    ("records", "全記録", "All records"),
];

/// The address of a page of a patient.
pub(super) fn patient_path(whose: &Whose, page: &str) -> String {
    let (facility, patient) = (escaped(&whose.facility), escaped(&whose.patient));
    format!("/p/{facility}/{patient}/{page}")
}

/// The address with what was chosen for all tabs: other facilities, a
/// snapshot.
pub(super) fn with_choices(path: &str, request: &Request) -> String {
    let chosen = ["across", "at"].into_iter().filter_map(|name| {
        let value = request.field(name);
        (!value.is_empty()).then(|| format!("{name}={}", escaped(value)))
    });
    let chosen: Vec<String> = chosen.collect();
    match chosen.is_empty() {
        true => path.to_string(),
        false => format!("{path}?{}", chosen.join("&")),
    }
}

/// A page of a patient around what a tab shows.
pub(super) fn patient_page(view: &View<'_>, user: &User, tab: &str, content: Markup) -> Reply {
    let language = view.language;
    let known = TABS.iter().find(|(name, ..)| *name == tab);
    let title = known.map_or(language.pick("記録", "Record"), |tab| {
        language.pick(tab.1, tab.2)
    });
    let frame = view.gate.frame(user, view.request, title);
    let head = html! {
        (banner::banner(view))
        nav.tabs aria-label=(language.pick("患者の記録", "Patient's records")) {
            @for (name, japanese, english) in TABS {
                a href=(view.tab(name)) aria-current=[(name == tab).then_some("page")] {
                    (language.pick(japanese, english))
                }
            }
        }
    };
    let content = html! {
        (banner::tools(view, tab))
        (content)
    };
    Reply::page(layout::page(&frame.frame(), head, content))
}

/// The page that offers the right of an emergency.
pub(super) fn offer(gate: &Gate, user: &User, request: &Request) -> Reply {
    let language: Language = request.language();
    let frame = gate.frame(
        user,
        request,
        language.pick("緊急時の開示", "Open in an emergency"),
    );
    let form = emergency::opening_form(&request.whose(), language, None);
    Reply::Page {
        status: 403,
        markup: layout::page(&frame.frame(), html! {}, form),
    }
}

/// The name, and the code that others know.
fn named(coded: &Coded) -> Markup {
    let code = coded
        .standard()
        .map(|code| (code.code.as_str(), code.system.as_str()));
    html! {
        (coded.text())
        @if let Some((code, system)) = code.filter(|(code, _)| !code.is_empty()) {
            span.small.soft { " " (system) ":" (code) }
        }
    }
}
