//! The emergency: declare and end it, open a record by it, review what was
//! opened.

use maud::{Markup, html};

use super::table::table;
use crate::language::Language;
use crate::registry::{Consent, OpeningError, REASON_LETTERS_MAX};
use crate::viewer::clock;
use crate::viewer::emergency::{HOURS_MAX, Opening};
use crate::viewer::gate::{Gate, User};
use crate::viewer::layout;
use crate::viewer::request::{Reply, Request};

/// Letters of a reason, at least: "x" is none.
const REASON_LETTERS_MIN: usize = 2;

/// GET /emergency
pub(in crate::viewer) fn show(gate: &Gate, user: &User, request: &Request) -> Reply {
    Reply::page(page(gate, user, request, None))
}

/// POST /emergency/declare
pub(in crate::viewer) fn declare(gate: &Gate, user: &User, request: &Request) -> Reply {
    let language = request.language();
    let Some(reason) = reason(request) else {
        return wrong(gate, user, request, too_short(language));
    };
    let hours = request.field("hours").parse().unwrap_or(0);
    if !(1..=HOURS_MAX).contains(&hours) {
        let text = language.pick("時間は1から168の間で入力してください。", "Hours: 1 to 168.");
        return wrong(gate, user, request, text);
    }
    match gate.declare(user, request, reason, hours) {
        Ok(()) => Reply::elsewhere("/emergency"),
        Err(error) => gate.failed(user, request, &error),
    }
}

/// POST /emergency/end
pub(in crate::viewer) fn end(gate: &Gate, user: &User, request: &Request) -> Reply {
    match gate.end_emergency(user, request) {
        Ok(()) => Reply::elsewhere("/emergency"),
        Err(error) => gate.failed(user, request, &error),
    }
}

/// POST /p/{facility}/{patient}/open
pub(in crate::viewer) fn open(gate: &Gate, user: &User, request: &Request) -> Reply {
    let language = request.language();
    let again = || {
        let frame = gate.frame(user, request, language.pick("開示", "Open a record"));
        let form = opening_form(&request.whose(), language, Some(too_short(language)));
        Reply::Page {
            status: 400,
            markup: layout::page(&frame.frame(), html! {}, form),
        }
    };
    let consent = Consent::of_code(request.field("consent"));
    match gate.open_by_emergency(user, request, request.field("reason"), consent) {
        Ok(Ok(())) => {
            let whose = request.whose();
            Reply::elsewhere(super::patient_path(&whose, "summary"))
        }
        Ok(Err(Some(OpeningError::Reason))) => again(),
        Ok(Err(_)) => gate.refused(user, request),
        Err(error) => gate.failed(user, request, &error),
    }
}

/// GET /review
pub(in crate::viewer) fn review(gate: &Gate, user: &User, request: &Request) -> Reply {
    let language = request.language();
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let openings = gate.openings(user);
    let content = html! {
        h1 { (pick("緊急時開示の確認", "Records opened in emergencies")) }
        p.soft { (pick("緊急時に理由と同意を記録して開いた診療録の一覧です。内容を確かめ、確認済みにしてください。",
            "Records that were opened by the right of an emergency. Look at each and mark it as reviewed.")) }
        @if openings.is_empty() { p { (pick("ありません。", "None.")) } }
        @else {
            (table(&[
                pick("日時", "When"),
                pick("利用者", "User"),
                pick("患者", "Patient"),
                pick("理由", "Reason"),
                pick("同意", "Consent"),
                pick("確認", "Review"),
            ], html! { @for (at, opening) in openings.iter().rev() { (row(*at, opening, language)) } }))
        }
    };
    let frame = gate.frame(user, request, pick("緊急時開示の確認", "Review"));
    Reply::page(layout::page(&frame.frame(), html! {}, content))
}

/// POST /review
pub(in crate::viewer) fn reviewed(gate: &Gate, user: &User, request: &Request) -> Reply {
    let at = request.field("at").parse();
    let at_ms = request.field("at_ms").parse();
    let (Ok(at), Ok(at_ms)) = (at, at_ms) else {
        return Reply::elsewhere("/review");
    };
    match gate.review(user, request, at, at_ms) {
        Ok(()) => Reply::elsewhere("/review"),
        Err(error) => gate.failed(user, request, &error),
    }
}

fn row(at: usize, opening: &Opening, language: Language) -> Markup {
    html! {
        tr {
            td.nowrap { (clock::minute(opening.at_ms)) }
            td { (opening.who.facility) " " (opening.who.user) }
            td { (opening.whose.facility) " " (opening.whose.patient) }
            td { (opening.reason) }
            td { (Consent::of_code(&opening.consent).map_or("", |consent| consent.text(language))) }
            td {
                @match &opening.reviewed {
                    Some(by) => { "✓ " (by.facility) " " (by.user) }
                    None => {
                        form method="post" action="/review" {
                            input type="hidden" name="at" value=(at);
                            input type="hidden" name="at_ms" value=(opening.at_ms);
                            button.quiet { (language.pick("確認済みにする", "Mark as reviewed")) }
                        }
                    }
                }
            }
        }
    }
}

fn reason(request: &Request) -> Option<String> {
    let reason = request.field("reason").trim();
    let length = reason.chars().count();
    (REASON_LETTERS_MIN..=REASON_LETTERS_MAX)
        .contains(&length)
        .then(|| reason.to_string())
}

fn too_short(language: Language) -> &'static str {
    language.pick(
        "理由を2文字以上500文字以内で、同意の取り方とともに入力してください。",
        "Give a reason of 2 to 500 letters, and how consent was given.",
    )
}

fn wrong(gate: &Gate, user: &User, request: &Request, text: &str) -> Reply {
    Reply::Page {
        status: 400,
        markup: page(gate, user, request, Some(text)),
    }
}

fn page(gate: &Gate, user: &User, request: &Request, error: Option<&str>) -> Markup {
    let language = request.language();
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let frame = gate.frame(user, request, pick("緊急時", "Emergency"));
    let content = html! {
        h1 { (pick("緊急時モード", "Emergency")) }
        @if let Some(error) = error { div.alarm role="alert" { (error) } }
        @match &frame.emergency {
            Some(emergency) => {
                dl.facts {
                    dt { (pick("宣言した利用者", "Declared by")) } dd { (emergency.by.facility) " " (emergency.by.user) }
                    dt { (pick("理由", "Reason")) } dd { (emergency.reason) }
                    dt { (pick("開始", "Since")) } dd { (clock::minute(emergency.from_ms)) }
                    dt { (pick("終了予定", "Until")) } dd { (clock::minute(emergency.until_ms)) }
                }
                @if frame.may_declare {
                    form method="post" action="/emergency/end" { button { (pick("緊急時モードを終了する", "End the emergency")) } }
                }
            }
            None => { p { (pick("緊急時モードは宣言されていません。", "No emergency is declared.")) } }
        }
        @if frame.may_declare {
            h2 { (pick("宣言する", "Declare")) }
            p.soft { (pick("宣言中は、権限のある利用者が、理由と同意を記録したうえで、開示されていない診療録を開けます。すべて記録され、後で確認されます。",
                "While it lasts, users with that right can open records that are not disclosed, with a reason and a recorded consent. All of it is logged and reviewed.")) }
            form method="post" action="/emergency/declare" {
                label for="reason" { (pick("理由", "Reason")) }
                textarea #reason name="reason" required {}
                label for="hours" { (pick("何時間（1〜168）", "Hours (1 to 168)")) }
                input #hours name="hours" type="number" min="1" max=(HOURS_MAX) value="24" required;
                " " button { (pick("宣言する", "Declare")) }
            }
        }
    };
    layout::page(&frame.frame(), html! {}, content)
}

/// The form that opens a record by the right of an emergency.
pub(in crate::viewer) fn opening_form(
    whose: &crate::viewer::audit::Whose,
    language: Language,
    error: Option<&str>,
) -> Markup {
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        h1 { (pick("緊急時の開示", "Open in an emergency")) }
        @if let Some(error) = error { div.alarm role="alert" { (error) } }
        p { (pick("この診療録は通常は閲覧できません。緊急時の権限で開くには、理由と同意の取り方を記録してください。記録は後で確認されます。",
            "This record is not open to you. To open it by the right of the emergency, record why and who agreed. It will be reviewed.")) }
        form method="post" action=(super::patient_path(whose, "open")) {
            label for="reason" { (pick("理由", "Reason")) }
            textarea #reason name="reason" required {}
            fieldset {
                legend { (pick("同意", "Consent")) }
                @for consent in Consent::ALL {
                    label.line for={ "consent-" (consent.code()) } {
                        input id={ "consent-" (consent.code()) } type="radio" name="consent" value=(consent.code()) required;
                        (consent.text(language))
                    }
                }
            }
            p { button { (pick("記録して開く", "Record and open")) } }
        }
    }
}
