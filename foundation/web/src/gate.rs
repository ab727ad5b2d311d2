//! The gate before every door: is the request meant for us, who sent it, may they, did their browser mean it, and is it
//! within bounds.
//!
//! Three attacks come from web pages that the user of this machine happens to visit:
//!
//! - *DNS rebinding*: the page's own name starts to resolve to 127.0.0.1, and the page reads our answers as its own.
//!   Its requests still carry its name in `Host`, so [`check_host`] refuses names that are not ours.
//! - *Cross-site requests*: the page posts a form to us and the browser adds our cookie (or needs none, at an open
//!   door). Browsers say where a request comes from in `Sec-Fetch-Site` and `Origin`, which pages cannot forge; a state
//!   change, or a WebSocket handshake, from elsewhere is refused. Other ports of this machine are elsewhere: `SameSite`
//!   cookies do not tell ports apart, these headers do.
//! - *Reading an open door through a proxy*: a request that was forwarded, or addressed to a configured public name, is
//!   not local even when its last hop is, so an open door asks it for a token.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http_body_util::Limited;

use crate::access::changes_state;
use crate::body::{GuardedBody, Received};
use crate::envelope::Facts;
use crate::requests::{Answered, DoorMeters};
use crate::serve::Connection;
use crate::shell::Shared;
use crate::tokens::Denied;
use crate::{Access, ApiError, Caller, Scopes, Via};

/// Headers that say a proxy stood between the client and us.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

/// What stands before one door.
pub(crate) struct Gate {
    pub(crate) shared: Arc<Shared>,
    pub(crate) access: Access,
    pub(crate) token_in_query: bool,
    pub(crate) body_limit: u64,
    pub(crate) time_limit: Duration,
    pub(crate) meters: Option<Arc<DoorMeters>>,
}

pub(crate) async fn gate(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let mut response = pass(&gate, request, next).await;
    if let Some(meters) = &gate.meters {
        response.extensions_mut().insert(Answered(Arc::clone(meters)));
    }
    response
}

async fn pass(gate: &Gate, mut request: Request, next: Next) -> Response {
    let Some(facts) = request.extensions().get::<Facts>().cloned() else {
        return ApiError::internal(&"no envelope around the gate").into_response();
    };
    if gate.token_in_query
        && facts.wants_html
        && facts.method == Method::GET
        && let Some(token) = query_token(&request)
    {
        return Redirect::to(&login_with(&facts, &token)).into_response();
    }
    let caller = match admit(gate, &facts, &request) {
        Ok(caller) => caller,
        Err(error)
            if facts.wants_html
                && error.status == StatusCode::UNAUTHORIZED
                && facts.method == Method::GET =>
        {
            return Redirect::to(&login_path(&facts)).into_response();
        }
        Err(error) => return error.into_response(),
    };
    if content_length(request.headers()).is_some_and(|length| length > gate.body_limit) {
        return ApiError::body_too_large().into_response();
    }
    request.extensions_mut().insert(caller.clone());
    let received = Received::default();
    let request = request.map(|body| {
        let guarded = GuardedBody::new(body, gate.shared.config.limits.body_stall, received.clone());
        let limit = usize::try_from(gate.body_limit).unwrap_or(usize::MAX);
        Body::new(Limited::new(guarded, limit))
    });
    let answer = tokio::time::timeout(gate.time_limit, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| timed_out(received.is_whole()).into_response());
    response.extensions_mut().insert(caller);
    response
}

/// Decides whether the request may pass, and who sent it.
fn admit(gate: &Gate, facts: &Facts, request: &Request) -> Result<Caller, ApiError> {
    let caller = match identify(gate, request) {
        Ok(Some(caller)) => caller,
        // Stock clients of an open door may insist on sending some token; on this machine it need not be one of ours.
        Ok(None) | Err(_) if gate.access == Access::Open && facts.local => anonymous(),
        Ok(None) => return Err(unauthenticated("unauthenticated", "this needs a token")),
        Err(error) => return Err(error),
    };
    check_origin(&caller, request)?;
    if let Some(scope) = gate.access.scope_for(&facts.method) {
        caller.require(scope)?;
    }
    Ok(caller)
}

fn anonymous() -> Caller {
    Caller::new("loopback", Scopes::default(), Via::Loopback)
}

/// Who sent the request, by its bearer token or else its session cookie.
fn identify(gate: &Gate, request: &Request) -> Result<Option<Caller>, ApiError> {
    let tokens = &gate.shared.config.tokens;
    if !tokens.are_on() {
        return Ok(Some(Caller::new("loopback", Scopes::admin(), Via::Loopback)));
    }
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        let token = bearer(value).ok_or_else(|| {
            unauthenticated("unauthenticated", "the Authorization header is not `Bearer TOKEN`")
        })?;
        return tokens.authenticate(token).map(Some).map_err(denied);
    }
    if gate.token_in_query
        && let Some(token) = query_token(request)
    {
        return tokens.authenticate(&token).map(Some).map_err(denied);
    }
    match session_cookie(request) {
        Some(cookie) => match tokens.session(cookie) {
            Ok(caller) => Ok(Some(caller)),
            // A stale cookie is no identity, and no reason to refuse what needs none.
            Err(Denied::Unknown | Denied::Expired) => Ok(None),
            Err(Denied::Failed(error)) => Err(ApiError::internal(&error)),
        },
        None => Ok(None),
    }
}

/// The token of `Bearer TOKEN`, or of `token TOKEN` as Jupyter's clients write it.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    known.then_some(token.trim())
}

/// The token of `?token=TOKEN`.
fn query_token(request: &Request) -> Option<String> {
    let pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, token) = pairs.into_iter().find(|(key, _)| *key == "token")?;
    let token = percent_encoding::percent_decode_str(token).decode_utf8().ok()?.into_owned();
    (!token.is_empty()).then_some(token)
}

pub(crate) fn denied(denied: Denied) -> ApiError {
    match denied {
        Denied::Unknown => unauthenticated("token_unknown", "this token is not known here"),
        Denied::Expired => unauthenticated("token_expired", "this token has expired"),
        Denied::Failed(error) => ApiError::internal(&error),
    }
}

fn unauthenticated(code: &'static str, message: &str) -> ApiError {
    let mend =
        "send `Authorization: Bearer TOKEN`; the admin token is in the file admin.token of the server's home";
    ApiError::new(StatusCode::UNAUTHORIZED, code, message, mend)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"backlot\""))
}

fn login_path(facts: &Facts) -> String {
    let wanted = facts.uri.path_and_query().map_or("/", |path| path.as_str());
    let next = percent_encoding::utf8_percent_encode(wanted, percent_encoding::NON_ALPHANUMERIC);
    format!("/login?next={next}")
}

/// Where a browser trades the token of a page's address for a session, and is sent on to the page without it.
fn login_with(facts: &Facts, token: &str) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let others = facts.uri.query().unwrap_or_default().split('&');
    let others: Vec<&str> = others.filter(|pair| !pair.is_empty() && !pair.starts_with("token=")).collect();
    let query = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    let next = format!("{}{query}", facts.uri.path());
    format!("/login?token={}&next={}", encode(token), encode(&next))
}

fn timed_out(body_received: bool) -> ApiError {
    if body_received {
        let mend = "ask for less at once, or try again later";
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timed_out",
            "the answer took longer than this door allows",
            mend,
        )
    } else {
        let mend = "send the whole body without pausing";
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_too_slow",
            "the request body did not arrive in time",
            mend,
        )
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

// Cookies. The name carries the port: cookies are shared by all ports of a host, and two servers on one machine should
// not log each other's users out.

pub(crate) fn session_cookie_name(connection: Option<&Connection>) -> String {
    format!("backlot_session_{}", connection.map_or(0, |connection| connection.local_port))
}

pub(crate) fn session_cookie(request: &Request) -> Option<&str> {
    let name = session_cookie_name(request.extensions().get());
    let cookies = request.headers().get_all(header::COOKIE).iter();
    let mut pairs = cookies.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.find_map(|pair| pair.trim().split_once('=').and_then(|(key, value)| (key == name).then_some(value)))
}

// Same origin.

/// Refuses a state change that another site's page caused. A bearer token is proof enough, since no browser adds it by
/// itself; with the cookie the request must prove where it comes from; without either it must not come from elsewhere.
pub(crate) fn check_origin(caller: &Caller, request: &Request) -> Result<(), ApiError> {
    let is_upgrade = request.headers().contains_key(header::UPGRADE);
    if caller.via() == Via::Bearer || !(changes_state(request.method()) || is_upgrade) {
        return Ok(());
    }
    let proof_needed = caller.via() == Via::Session;
    if is_same_origin(request.headers()).unwrap_or(!proof_needed) { Ok(()) } else { Err(cross_origin()) }
}

fn cross_origin() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "cross_origin",
        "a page of another origin may not change anything here",
        "use the console's own pages, or send a bearer token",
    )
}

/// Whether the browser says that the request comes from our own pages; `None` when it says nothing.
fn is_same_origin(headers: &HeaderMap) -> Option<bool> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let site =
        text(HeaderName::from_static("sec-fetch-site")).map(|site| matches!(site, "same-origin" | "none"));
    let origin = text(header::ORIGIN).map(|origin| {
        let host = text(header::HOST).unwrap_or_default();
        match origin.split_once("://") {
            Some(("http", authority)) => same_authority(authority, host, ":80"),
            Some(("https", authority)) => same_authority(authority, host, ":443"),
            _ => false,
        }
    });
    match (site, origin) {
        (None, None) => None,
        (site, origin) => Some(site.unwrap_or(true) && origin.unwrap_or(true)),
    }
}

fn same_authority(one: &str, other: &str, default_port: &str) -> bool {
    let bare =
        |authority: &str| authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase();
    bare(one) == bare(other)
}

// The host.

/// Refuses a request that is not addressed to us, and says whether it is local: from this machine, under a loopback
/// name, through no proxy.
pub(crate) fn check_host(shared: &Shared, request: &Request) -> Result<bool, ApiError> {
    let listens_on_loopback =
        request.extensions().get::<Connection>().is_some_and(|connection| connection.loopback);
    let Some(host) = host_of(request)? else {
        // HTTP/1.0 knows no Host. Browsers always send one, so no web page is behind this.
        return Ok(listens_on_loopback && !is_forwarded(request.headers()));
    };
    let is_configured = shared.config.hosts.iter().any(|name| name.eq_ignore_ascii_case(&host));
    let is_loopback_name = is_loopback_name(&host);
    let accepted = if listens_on_loopback {
        is_loopback_name || is_configured
    } else {
        // An address cannot be rebound, only a name can.
        shared.config.hosts.is_empty() || is_configured || is_loopback_name || parse_ip(&host).is_some()
    };
    if !accepted {
        return Err(ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            format!("this server does not answer to the name {host:?}"),
            "use 127.0.0.1 or localhost, or add the name to the server's `hosts`",
        ));
    }
    Ok(listens_on_loopback && is_loopback_name && !is_forwarded(request.headers()))
}

/// The host name that the request is addressed to, without the port. The target's authority, where there is one,
/// outranks the header (RFC 9112, section 3.2.2).
fn host_of(request: &Request) -> Result<Option<String>, ApiError> {
    let malformed = || {
        ApiError::bad_request(
            "the Host header is missing, repeated or malformed",
            "send one Host header: HOST[:PORT]",
        )
    };
    let mut given = request.headers().get_all(header::HOST).iter();
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        return Err(malformed());
    }
    let authority = match (request.uri().authority(), first) {
        (Some(authority), _) => authority.clone(),
        (None, Some(value)) => {
            let text = value.to_str().map_err(|_| malformed())?;
            text.parse::<Authority>().map_err(|_| malformed())?
        }
        (None, None) if request.version() < Version::HTTP_11 => return Ok(None),
        (None, None) => return Err(malformed()),
    };
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(malformed());
    }
    Ok(Some(authority.host().to_owned()))
}

fn is_loopback_name(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || parse_ip(host).is_some_and(|address| address.is_loopback())
}

fn parse_ip(host: &str) -> Option<std::net::IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same_origin(fields: &[(&'static str, &'static str)]) -> Option<bool> {
        let pairs = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        is_same_origin(&pairs.collect())
    }

    #[test]
    fn origins_differ_by_scheme_host_and_port() {
        let host = ("host", "127.0.0.1:7700");
        assert_eq!(same_origin(&[host]), None);
        assert_eq!(same_origin(&[host, ("origin", "http://127.0.0.1:7700")]), Some(true));
        assert_eq!(same_origin(&[host, ("origin", "http://127.0.0.1:8888")]), Some(false));
        assert_eq!(same_origin(&[host, ("origin", "http://localhost:7700")]), Some(false));
        assert_eq!(same_origin(&[host, ("origin", "null")]), Some(false));
        assert_eq!(same_origin(&[host, ("origin", "http://evil.example")]), Some(false));
        assert_eq!(same_origin(&[host, ("sec-fetch-site", "same-site")]), Some(false));
        assert_eq!(same_origin(&[host, ("sec-fetch-site", "cross-site")]), Some(false));
        assert_eq!(same_origin(&[host, ("sec-fetch-site", "same-origin")]), Some(true));
        let lying = [host, ("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")];
        assert_eq!(same_origin(&lying), Some(false));
        assert_eq!(same_origin(&[("host", "a.example"), ("origin", "https://A.example")]), Some(true));
        assert_eq!(same_origin(&[("host", "a.example:443"), ("origin", "https://a.example")]), Some(true));
        assert_eq!(same_origin(&[("host", "a.example:443"), ("origin", "http://a.example")]), Some(false));
    }

    #[test]
    fn loopback_names_are_few() {
        for name in ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "[::1]"] {
            assert!(is_loopback_name(name), "{name}");
        }
        for name in
            ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "0.0.0.0", "10.0.0.1", "[::]", ""]
        {
            assert!(!is_loopback_name(name), "{name}");
        }
    }

    #[test]
    fn both_bearer_spellings_are_read() {
        let read = |text| bearer(&HeaderValue::from_static(text)).map(str::to_owned);
        assert_eq!(read("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(read("token abc").as_deref(), Some("abc"));
        assert_eq!(read("Basic abc"), None);
        assert_eq!(read("abc"), None);
    }
}
