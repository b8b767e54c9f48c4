//! Signing in: facility, user, password and, for who has one, a code.

use maud::{Markup, html};

use crate::viewer::gate::{Gate, SignInError};
use crate::viewer::layout::{self, Frame};
use crate::viewer::request::{LANGUAGE_COOKIE, Reply, Request, SESSION_COOKIE};

/// GET /
pub(in crate::viewer) fn home(_: &Gate, _: &Request) -> Reply {
    Reply::elsewhere("/patients")
}

/// GET /sign-in
pub(in crate::viewer) fn form(gate: &Gate, request: &Request) -> Reply {
    Reply::page(page(gate, request, None))
}

/// POST /sign-in
pub(in crate::viewer) fn submit(gate: &Gate, request: &Request) -> Reply {
    let language = request.language();
    let text = match gate.sign_in(request) {
        Ok(token) => {
            return Reply::Elsewhere {
                path: "/patients".into(),
                cookies: vec![cookie(SESSION_COOKIE, &token, None)],
            };
        }
        Err(SignInError::Wait(wait_ms)) => {
            let minutes = (wait_ms + 59_999) / 60_000;
            language.pick(
                format!("失敗が続いたため、約{minutes}分間サインインできません。"),
                format!("Too many failures: wait about {minutes} min before the next try."),
            )
        }
        Err(SignInError::Wrong) => language.pick(
            "施設コード、利用者ID、パスワード、確認コードのいずれかが違います。".into(),
            "Facility, user, password or code is wrong.".into(),
        ),
        Err(SignInError::Failed(error)) => {
            tracing::error!(%error, "nobody can sign in");
            language.pick(
                "監査記録を書けないため、サインインできません。管理者に連絡してください。".into(),
                "The audit log can't be written, so nobody can sign in.".into(),
            )
        }
    };
    Reply::Page {
        status: 403,
        markup: page(gate, request, Some(&text)),
    }
}

/// POST /sign-out
pub(in crate::viewer) fn sign_out(gate: &Gate, request: &Request) -> Reply {
    gate.sign_out(request);
    Reply::Elsewhere {
        path: "/sign-in".into(),
        cookies: vec![cookie(SESSION_COOKIE, "", Some(0))],
    }
}

/// GET /language/{code}
pub(in crate::viewer) fn language(_: &Gate, request: &Request) -> Reply {
    let code = match request.part("code") {
        "en" => "en",
        _ => "ja",
    };
    Reply::Elsewhere {
        path: request.came_from().unwrap_or_else(|| "/patients".into()),
        cookies: vec![cookie(LANGUAGE_COOKIE, code, Some(365 * 24 * 60 * 60))],
    }
}

fn cookie(name: &str, value: &str, max_age: Option<u64>) -> String {
    let age = max_age.map_or_else(String::new, |age| format!("; Max-Age={age}"));
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{age}")
}

fn page(gate: &Gate, request: &Request, error: Option<&str>) -> Markup {
    let language = request.language();
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let facilities = gate.facilities();
    let typed = request.field("facility");
    let content = html! {
        div.card {
            h1 { (pick("サインイン", "Sign in")) }
            @if let Some(error) = error { div.alarm role="alert" { (error) } }
            form method="post" action="/sign-in" autocomplete="off" {
                div.field {
                    label for="facility" { (pick("施設コード", "Facility code")) }
                    input #facility name="facility" type="text" list="facilities" required inputmode="numeric" autofocus value=(typed);
                    datalist #facilities {
                        @for (id, name) in &facilities { option value=(id) { (name) } }
                    }
                }
                div.field {
                    label for="user" { (pick("利用者ID", "User id")) }
                    input #user name="user" type="text" required autocapitalize="none" spellcheck="false" value=(request.field("user"));
                }
                div.field {
                    label for="password" { (pick("パスワード", "Password")) }
                    input #password name="password" type="password" required;
                }
                div.field {
                    label for="code" { (pick("確認コード（設定している方のみ）", "One-time code (only if you have one)")) }
                    input #code name="code" type="text" inputmode="numeric" pattern="[0-9]{6}" maxlength="6" autocomplete="one-time-code";
                }
                div.field { button { (pick("サインイン", "Sign in")) } }
            }
        }
    };
    let emergency = gate.emergency();
    let frame = Frame {
        language,
        title: pick("サインイン", "Sign in"),
        user: None,
        may_review: false,
        may_declare: false,
        emergency: emergency.as_ref(),
    };
    layout::page(&frame, html! {}, content)
}
