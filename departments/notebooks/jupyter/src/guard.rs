//! Who may come in: a token in a header or the query, or a cookie that was given for one; and what every answer carries.
//!
//! A cookie is sent by the browser whoever wrote the page, so a request that changes something and has only a cookie must also name
//! the `_xsrf` value, which only our own pages can read. Tokens are compared in constant time.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::hmac;

use crate::error::Error;
use crate::server::Server;
use crate::web::{Query, escape};

/// The cookie of those who showed the token.
const COOKIE: &str = "backlot-jupyter";

/// How long a cookie lasts, in seconds: 30 days, as in jupyter_server.
const COOKIE_AGE: u32 = 30 * 24 * 3600;

/// Who sent a request: an extension of it. A guard around this server puts it in for those whom it has let in already; for all others it is
/// the user of the server's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(pub String);

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<User, Error> {
        let user = parts.extensions.get::<User>().cloned();
        user.ok_or_else(|| Error::internal("no guard stands before this route"))
    }
}

/// How a request showed its right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The server asks for none.
    NotAsked,
    /// A guard around this server has let the request in, and looked at where it comes from.
    Outer,
    /// The token, in a header.
    Header,
    /// The token, in the query.
    Query,
    /// Our cookie.
    Cookie,
}

/// The guard before every route.
pub(crate) async fn guard(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let is_let_in = request.extensions().get::<User>().is_some();
    if !is_let_in {
        request.extensions_mut().insert(User(server.config.user.clone()));
    }
    let is_api = request.uri().path().starts_with("/api") || request.uri().path().starts_with("/lab/api");
    let is_open =
        matches!(request.uri().path(), "/login" | "/logout" | "/api" | "/api/" | "/api/security/csp-report")
            || request.uri().path().starts_with("/static/")
            || request.uri().path().starts_with("/api/notebooks");
    let proof = if is_let_in { Some(Proof::Outer) } else { proof(&server, request.headers(), request.uri()) };
    let cookies = cookies_to_set(&server, request.headers(), request.uri(), proof);
    let mut answer = match proof {
        _ if is_open => next.run(request).await,
        None if is_api || request.method() != Method::GET || is_upgrade(request.headers()) => {
            Error::forbidden("Forbidden").into_response()
        }
        None => {
            let base = server.config.base_url.trim_end_matches('/');
            let wanted = request.uri().path_and_query().map_or("/", |wanted| wanted.as_str());
            let location = format!("{base}/login?next={}", escape(&format!("{base}{wanted}")));
            (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
        }
        Some(proof) => match check_origin(&server, request.headers(), request.method(), request.uri(), proof)
        {
            Ok(()) => next.run(request).await,
            Err(error) => error.into_response(),
        },
    };
    for cookie in cookies {
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    let report =
        format!("frame-ancestors 'self'; report-uri {}api/security/csp-report", server.config.base_url);
    let policy = if is_api { format!("{report}; default-src 'none'") } else { report };
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        answer.headers_mut().entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    }
    // JupyterLab frames what it shows, from this very server.
    answer.headers_mut().insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

fn proof(server: &Server, headers: &HeaderMap, uri: &Uri) -> Option<Proof> {
    let Some(token) = &server.config.token else { return Some(Proof::NotAsked) };
    let is_token = |given: &str| is_same(given, token);
    if let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
        && let Some((scheme, given)) = given.split_once(' ')
        && (scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer"))
    {
        return is_token(given.trim()).then_some(Proof::Header);
    }
    if let Some(given) = Query::of(uri).get("token") {
        return is_token(given).then_some(Proof::Query);
    }
    let given = cookie(headers, COOKIE)?;
    is_same(&given, &seal(token)).then_some(Proof::Cookie)
}

/// Compares secrets in a time that tells nothing of them: their codes under a key are compared.
fn is_same(given: &str, secret: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"backlot-jupyter comparison");
    hmac::verify(&key, given.as_bytes(), hmac::sign(&key, secret.as_bytes()).as_ref()).is_ok()
}

/// What the cookie holds: proof that the token was known, from which it cannot be read.
fn seal(token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    crate::chance::hex(hmac::sign(&key, b"backlot-jupyter cookie").as_ref())
}

/// The value of a cookie.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

fn cookies_to_set(server: &Server, headers: &HeaderMap, uri: &Uri, proof: Option<Proof>) -> Vec<String> {
    let mut cookies = Vec::new();
    if let (Some(Proof::Query), Some(token)) = (proof, &server.config.token) {
        cookies.push(login_cookie(&server.config.base_url, token));
    }
    let is_page = !uri.path().starts_with("/api") && !uri.path().starts_with("/static");
    if is_page && cookie(headers, "_xsrf").is_none() {
        let value = crate::chance::hex(&crate::chance::bytes(16));
        cookies.push(format!("_xsrf={value}; Path={}; SameSite=Lax", server.config.base_url));
    }
    cookies
}

/// The cookie that lets a browser in.
pub(crate) fn login_cookie(base_url: &str, token: &str) -> String {
    let value = seal(token);
    format!("{COOKIE}={value}; Path={base_url}; HttpOnly; SameSite=Lax; Max-Age={COOKIE_AGE}")
}

/// The same cookie, taken away.
pub(crate) fn logout_cookie(base_url: &str) -> String {
    format!("{COOKIE}=; Path={base_url}; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// Whether the token is this one.
pub(crate) fn is_token(server: &Server, given: &str) -> bool {
    let token = server.config.token.as_deref().unwrap_or_default();
    is_same(given, token)
}

/// Refuses what another site's page may have sent.
fn check_origin(
    server: &Server,
    headers: &HeaderMap,
    method: &Method,
    uri: &Uri,
    proof: Proof,
) -> Result<(), Error> {
    if matches!(proof, Proof::Outer | Proof::Header | Proof::Query) {
        return Ok(()); // a token is not sent by itself, and another guard has looked itself
    }
    if proof == Proof::NotAsked && !is_local_name(headers) {
        // A page of another site may make its own name lead here, and no token stands in its way.
        return Err(Error::forbidden("without a token this server answers to loopback names only"));
    }
    if let Some(origin) = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok())
        && !is_own_origin(server, headers, origin)
    {
        return Err(Error::forbidden(format!("the origin {origin} is not allowed here")));
    }
    let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_safe || proof == Proof::NotAsked {
        return Ok(());
    }
    let known = cookie(headers, "_xsrf");
    let header = headers.get("x-xsrftoken").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let named = header.or_else(|| Query::of(uri).get("_xsrf").map(str::to_owned));
    match (known, named) {
        (Some(known), Some(named)) if !known.is_empty() && known == named => Ok(()),
        (_, None) => Err(Error::forbidden("'_xsrf' argument missing from POST")),
        _ => Err(Error::forbidden("XSRF cookie does not match POST argument")),
    }
}

/// Whether the client calls us by a name of this machine that no other site can have; one that sends no name is no browser.
fn is_local_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let host = host.to_str().unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_loopback = name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    is_loopback || name.eq_ignore_ascii_case("localhost")
}

fn is_own_origin(server: &Server, headers: &HeaderMap, origin: &str) -> bool {
    let allowed = server.config.allow_origin.as_deref();
    if allowed == Some("*") || allowed == Some(origin) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}
