//! The one table of routes: what each needs, and what it does. `dispatch` is
//! the only place that calls a page, and checks what it needs before.

use std::sync::Arc;

use maud::Markup;

use super::Viewer;
use super::chart::Chart;
use super::gate::{Access, Gate, GateError, User};
use super::pages::{
    self, assets, calendar, documents, emergency, examinations, history, laboratory, medication,
    patients, problems, record, records, sign_in, stays, summary,
};
use super::request::{Reply, Request};
use super::view::View;
use crate::registry::{Grant, Permission};

/// How a route is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Changes nothing but the log.
    Get,
    /// From one of our own pages only.
    Post,
}

/// What a route needs. Everything else is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it says nothing of anybody.
    Nothing,
    /// A user who is signed in.
    User,
    /// A permission of the user.
    Permission(Permission),
    /// A grant for the patient in the path.
    Patient,
    /// A grant, and the permission to see raw messages and history.
    RawPatient,
}

enum Run {
    Open(fn(&Gate, &Request) -> Reply),
    User(fn(&Gate, &User, &Request) -> Reply),
    Tab(&'static str, fn(&View<'_>) -> Markup),
    File(&'static str, fn(&View<'_>) -> Option<Reply>),
}

/// A line of the table.
pub struct Route {
    /// How it is asked.
    pub method: Method,
    /// Its path, parts in braces.
    pub path: &'static str,
    /// What it needs.
    pub needs: Needs,
    run: Run,
}

const fn open(method: Method, path: &'static str, run: fn(&Gate, &Request) -> Reply) -> Route {
    Route {
        method,
        path,
        needs: Needs::Nothing,
        run: Run::Open(run),
    }
}

const fn user(
    method: Method,
    path: &'static str,
    needs: Needs,
    run: fn(&Gate, &User, &Request) -> Reply,
) -> Route {
    Route {
        method,
        path,
        needs,
        run: Run::User(run),
    }
}

const fn tab(path: &'static str, name: &'static str, run: fn(&View<'_>) -> Markup) -> Route {
    Route {
        method: Method::Get,
        path,
        needs: Needs::Patient,
        run: Run::Tab(name, run),
    }
}

const DECLARE: Needs = Needs::Permission(Permission::Declare);
const REVIEW: Needs = Needs::Permission(Permission::Review);

/// Every route.
#[rustfmt::skip] // a table: one route a line
pub static ROUTES: &[Route] = &[
    open(Method::Get, "/", sign_in::home),
    open(Method::Get, "/style.css", assets::style),
    open(Method::Get, "/icon.svg", assets::icon),
    open(Method::Get, "/sign-in", sign_in::form),
    open(Method::Post, "/sign-in", sign_in::submit),
    open(Method::Post, "/sign-out", sign_in::sign_out),
    open(Method::Get, "/language/{code}", sign_in::language),
    user(Method::Get, "/patients", Needs::User, patients::show),
    user(Method::Post, "/patients", Needs::User, patients::search),
    user(Method::Get, "/emergency", Needs::User, emergency::show),
    user(Method::Post, "/emergency/declare", DECLARE, emergency::declare),
    user(Method::Post, "/emergency/end", DECLARE, emergency::end),
    user(Method::Get, "/review", REVIEW, emergency::review),
    user(Method::Post, "/review", REVIEW, emergency::reviewed),
    // What it needs beyond is checked, and logged, where the right is given.
    user(Method::Post, "/p/{facility}/{patient}/open", Needs::Permission(Permission::Emergency), emergency::open),
    tab("/p/{facility}/{patient}/summary", "summary", summary::page),
    tab("/p/{facility}/{patient}/calendar", "calendar", calendar::page),
    tab("/p/{facility}/{patient}/medication", "medication", medication::page),
    tab("/p/{facility}/{patient}/laboratory", "laboratory", laboratory::page),
    tab("/p/{facility}/{patient}/examinations", "examinations", examinations::page),
    tab("/p/{facility}/{patient}/problems", "problems", problems::page),
    tab("/p/{facility}/{patient}/stays", "stays", stays::page),
    tab("/p/{facility}/{patient}/documents", "documents", documents::page),
    tab("/p/{facility}/{patient}/records", "records", records::page),
    tab("/p/{facility}/{patient}/record/{label}/{file}", "record", record::page),
    Route {
        method: Method::Get,
        path: "/p/{facility}/{patient}/file/{label}/{file}",
        needs: Needs::Patient,
        run: Run::File("file", documents::file),
    },
    Route {
        method: Method::Get,
        path: "/p/{facility}/{patient}/raw/{label}/{file}",
        needs: Needs::RawPatient,
        run: Run::Tab("raw", history::raw),
    },
    Route {
        method: Method::Get,
        path: "/p/{facility}/{patient}/history/{label}/{file}",
        needs: Needs::RawPatient,
        run: Run::Tab("history", history::page),
    },
];

/// Answers one request by its route.
pub(super) fn dispatch(viewer: &Arc<Viewer>, route: &Route, request: &Request) -> Reply {
    let gate = Gate::new(viewer);
    if let Run::Open(run) = route.run {
        return run(&gate, request);
    }
    let Some(user) = gate.user(request) else {
        return Reply::elsewhere("/sign-in");
    };
    let permitted = match route.needs {
        Needs::Permission(permission) => user.may(permission),
        Needs::RawPatient => user.may(Permission::History),
        Needs::Nothing | Needs::User | Needs::Patient => true,
    };
    if !permitted {
        return match gate.log_refusal(&user, request, route.path) {
            Ok(()) => gate.refused(&user, request),
            Err(error) => gate.failed(&user, request, &error),
        };
    }
    match route.run {
        Run::Open(run) => run(&gate, request),
        Run::User(run) => run(&gate, &user, request),
        Run::Tab(name, run) => patient(&gate, &user, request, name, |view| {
            Some(pages::patient_page(view, &user, name, run(view)))
        }),
        Run::File(name, run) => patient(&gate, &user, request, name, run),
    }
}

/// Opens the charts that are granted, and shows a page of them.
fn patient(
    gate: &Gate,
    user: &User,
    request: &Request,
    page: &str,
    show: impl FnOnce(&View<'_>) -> Option<Reply>,
) -> Reply {
    let shown = || -> Result<Reply, GateError> {
        let commit = match gate.commit(request) {
            Ok(commit) => commit,
            Err(()) => return Ok(gate.missing(user, request)),
        };
        let grants = match gate.open(user, request, page)? {
            Access::Open(grants) => grants,
            Access::ByEmergency => return Ok(pages::offer(gate, user, request)),
            Access::No => return Ok(gate.refused(user, request)),
        };
        let mut charts = Vec::new();
        for grant in &grants {
            charts.push(Chart::open(gate.viewer().catalogue(), grant, commit)?);
        }
        let is_known = charts
            .first()
            .is_some_and(|chart| !chart.items().is_empty());
        if !is_known {
            return Ok(gate.missing(user, request));
        }
        let view = View {
            language: request.language(),
            request,
            gate,
            whose: request.whose(),
            charts,
            may_raw: grants.first().is_some_and(Grant::with_history),
            commit,
        };
        Ok(show(&view).unwrap_or_else(|| gate.missing(user, request)))
    };
    shown().unwrap_or_else(|error| gate.failed(user, request, &error))
}
