//! HTTPS: turns requests into `Request`s and `Reply`s into responses. Every
//! header that keeps a browser safe is set here, on every response.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Form, FromRequest, FromRequestParts, Query, RawPathParams};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Request as HttpRequest, Response, StatusCode};
use axum::routing::{MethodFilter, on};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};

use super::Viewer;
use super::request::{Reply, Request};
use super::routes::{self, Route};

/// How long a browser may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long open requests may take when the viewer ends.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// Bytes of a form, at most.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// Nothing but our own style sheet and pictures; no script at all.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";
/// Of documents: a browser's own PDF viewer brings its style along.
const FILE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; \
                           object-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Serves until `end` resolves.
///
/// Errors: the listener can't be used.
pub(super) async fn serve(
    viewer: Arc<Viewer>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    end: impl Future<Output = ()>,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let handle = Handle::new();
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls)).handshake_timeout(HANDSHAKE);
    let server = axum_server::from_tcp(listener)?
        .acceptor(acceptor)
        .handle(handle.clone())
        .serve(router(viewer).into_make_service_with_connect_info::<SocketAddr>());
    tokio::pin!(server);
    let _ending = Ending(handle.clone());
    tokio::select! {
        ended = &mut server => return ended,
        () = end => handle.graceful_shutdown(Some(LAST_REQUESTS)),
    }
    server.await
}

/// Ends every connection when it goes: whoever asked for the viewer may go away
/// at any time, and nothing is shown after that.
struct Ending(Handle<SocketAddr>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

/// The routes of the table, and nothing else.
pub(super) fn router(viewer: Arc<Viewer>) -> Router {
    let mut router = Router::new();
    for route in routes::ROUTES {
        let viewer = viewer.clone();
        let filter = match route.method {
            routes::Method::Get => MethodFilter::GET,
            routes::Method::Post => MethodFilter::POST,
        };
        let answer = move |request: HttpRequest<Body>| answer(viewer.clone(), route, request);
        router = router.route(route.path, on(filter, answer));
    }
    router.fallback(move |request: HttpRequest<Body>| async move {
        match viewer.hosts.is_ours(&host(&request)) {
            true => plain(StatusCode::NOT_FOUND, "not found"),
            false => plain(StatusCode::MISDIRECTED_REQUEST, "not a name of this viewer"),
        }
    })
}

async fn answer(
    viewer: Arc<Viewer>,
    route: &'static Route,
    request: HttpRequest<Body>,
) -> Response<Body> {
    let host = host(&request);
    if !viewer.hosts.is_ours(&host) {
        return plain(StatusCode::MISDIRECTED_REQUEST, "not a name of this viewer");
    }
    let changes = request.method() == Method::POST;
    let origin = text(request.headers(), &header::ORIGIN);
    // Read to its end in any case: HTTP/2 takes an answer before that for a
    // broken stream.
    let request = match read(request, changes).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    if changes && !viewer.hosts.is_same_origin(origin.as_deref(), &host) {
        return plain(StatusCode::FORBIDDEN, "not from a page of this viewer");
    }
    // Files, hashes and templates: work of a thread that may block.
    let reply = tokio::task::spawn_blocking(move || routes::dispatch(&viewer, route, &request));
    match reply.await {
        Ok(reply) => response(reply),
        Err(error) => {
            tracing::error!(%error, path = route.path, "a page failed");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the page failed")
        }
    }
}

async fn read(request: HttpRequest<Body>, is_form: bool) -> Result<Request, Response<Body>> {
    let bad = |_| {
        plain(
            StatusCode::BAD_REQUEST,
            "not a request that this viewer understands",
        )
    };
    let (mut parts, body) = request.into_parts();
    let path = RawPathParams::from_request_parts(&mut parts, &()).await;
    let path = path.map_err(|_| bad(()))?;
    let path = path.iter().map(|(name, value)| (name.into(), value.into()));
    let path: BTreeMap<String, String> = path.collect();
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let from = from.map(|info| info.0.ip());
    let cookies = cookies(&parts.headers);
    let referer = text(&parts.headers, &header::REFERER).unwrap_or_default();
    let fields = match is_form {
        false => {
            Query::<Vec<(String, String)>>::from_request_parts(&mut parts, &())
                .await
                .map_err(|_| bad(()))?
                .0
        }
        true => {
            let body = axum::body::to_bytes(body, FORM_BYTES_MAX).await;
            let body = body.map_err(|_| bad(()))?;
            let request = HttpRequest::from_parts(parts, Body::from(body));
            Form::<Vec<(String, String)>>::from_request(request, &())
                .await
                .map_err(|_| bad(()))?
                .0
        }
    };
    Ok(Request {
        path,
        fields: fields.into_iter().collect(),
        cookies,
        referer,
        from,
    })
}

fn host(request: &HttpRequest<Body>) -> String {
    let named = text(request.headers(), &header::HOST);
    // HTTP/2 has the host in the request's line.
    let authority = request.uri().authority().map(|host| host.as_str().into());
    authority.or(named).unwrap_or_default()
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn cookies(headers: &HeaderMap) -> BTreeMap<String, String> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    pairs
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn response(reply: Reply) -> Response<Body> {
    let mut response = match reply {
        Reply::Page { status, markup } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            whole(status, "text/html; charset=utf-8", markup.into_string())
        }
        Reply::Elsewhere { path, cookies } => {
            let mut response = whole(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
            set(&mut response, header::LOCATION, &path);
            for cookie in cookies {
                if let Ok(value) = HeaderValue::from_str(&cookie) {
                    response.headers_mut().append(header::SET_COOKIE, value);
                }
            }
            response
        }
        Reply::File {
            media,
            bytes,
            save_as,
            is_asset,
        } => {
            let mut response = whole(StatusCode::OK, media, bytes);
            if let Some(name) = save_as {
                let name = super::request::escaped(&name);
                let value = format!("attachment; filename*=UTF-8''{name}");
                set(&mut response, header::CONTENT_DISPOSITION, &value);
            }
            set(&mut response, header::CONTENT_SECURITY_POLICY, FILE_POLICY);
            if is_asset {
                set(
                    &mut response,
                    header::CACHE_CONTROL,
                    "private, max-age=86400",
                );
            }
            response
        }
    };
    harden(&mut response);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = whole(status, "text/plain; charset=utf-8", text);
    harden(&mut response);
    response
}

fn whole(status: StatusCode, media: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, media);
    response
}

fn harden(response: &mut Response<Body>) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // No page of a patient stays in a cache on the disk.
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ] {
        if !response.headers().contains_key(&name) {
            set(response, name, value);
        }
    }
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
