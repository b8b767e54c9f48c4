//! The frame of every page: bar, emergency, banner, tabs, foot.

use maud::{DOCTYPE, Markup, html};

use super::emergency::Emergency;
use crate::language::Language;

/// What the frame says besides the page.
pub(super) struct Frame<'a> {
    pub language: Language,
    /// The title, which says no name: titles are kept in a browser's history.
    pub title: &'a str,
    /// Facility and name of who is signed in.
    pub user: Option<&'a str>,
    /// Whether this user may look at the openings of emergencies.
    pub may_review: bool,
    /// Whether this user may declare an emergency.
    pub may_declare: bool,
    /// The emergency in force.
    pub emergency: Option<&'a Emergency>,
}

/// A whole page around `content`; `banner` lies above it, outside of `main`.
pub(super) fn page(frame: &Frame<'_>, banner: Markup, content: Markup) -> Markup {
    let language = frame.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    html! {
        (DOCTYPE)
        html lang=(pick("ja", "en")) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (frame.title) " - hikae" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/icon.svg" type="image/svg+xml";
            }
            body {
                a.skip href="#content" { (pick("本文へ", "Skip to content")) }
                header.bar {
                    a.name href="/patients" { "控え hikae" }
                    @if frame.user.is_some() {
                        nav aria-label=(pick("全体", "Main")) {
                            a href="/patients" { (pick("患者検索", "Patients")) }
                            @if frame.may_declare || frame.emergency.is_some() {
                                " " a href="/emergency" { (pick("緊急時", "Emergency")) }
                            }
                            @if frame.may_review {
                                " " a href="/review" { (pick("開示確認", "Review")) }
                            }
                        }
                    }
                    span.grow {}
                    a href=(pick("/language/en", "/language/ja")) lang=(pick("en", "ja")) { (pick("English", "日本語")) }
                    @if let Some(user) = frame.user {
                        span { (user) }
                        form method="post" action="/sign-out" { button { (pick("サインアウト", "Sign out")) } }
                    }
                }
                @if let Some(emergency) = frame.emergency {
                    div.emergency role="status" {
                        (pick("⚠ 緊急時モード", "⚠ Emergency declared")) ": " (emergency.reason) " "
                        (pick("（終了 ", "(until ")) (super::clock::minute(emergency.until_ms)) (pick("）", ")"))
                    }
                }
                (banner)
                main #content { (content) }
            }
        }
    }
}

/// A page that only says something.
pub(super) fn message(frame: &Frame<'_>, title: &str, text: &str) -> Markup {
    let content = html! {
        h1 { (title) }
        p { (text) }
        p { a href="/patients" { (frame.language.pick("患者検索へ", "To the patients")) } }
    };
    page(frame, html! {}, content)
}
