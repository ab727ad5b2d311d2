//! Signing in and out of the console.
//!
//! `/login?token=…` is what the command line prints: it trades the token for a cookie and redirects, so that the token stays
//! neither in the address bar nor in the history's titles. The form on `/login` does the same by hand.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;

use crate::console::frame::bare_page;
use crate::extract::{Form, Query};
use crate::serve::Connection;
use crate::shell::Shared;
use crate::tokens::{Denied, SESSION_LIFE};
use crate::{ApiError, Caller, Scopes, Via, gate};

/// Far more than a token and a path need.
const MAX_FORM: usize = 8 * 1024;

#[derive(Deserialize)]
struct Login {
    token: Option<String>,
    next: Option<String>,
}

pub(crate) fn login_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/login", get(login_by_link).post(login_by_form))
        .route("/logout", post(logout))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_FORM))
        .layer(tower_http::timeout::TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            std::time::Duration::from_secs(10),
        ))
}

async fn login_by_link(
    State(shared): State<Arc<Shared>>,
    Query(login): Query<Login>,
    request: Request,
) -> Response {
    let next = local_path(login.next.as_deref());
    if !shared.config.tokens.are_on() {
        return Redirect::to(&next).into_response();
    }
    let connection = request.extensions().get::<Connection>();
    match login.token {
        Some(token) => sign_in(shared, connection.copied(), token, next).await,
        None => form_page(&shared, &next, None).into_response(),
    }
}

async fn login_by_form(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, ApiError> {
    refuse_foreign(&request)?;
    let connection = request.extensions().get::<Connection>().copied();
    let Form(login) = <Form<Login> as axum::extract::FromRequest<()>>::from_request(request, &()).await?;
    let next = local_path(login.next.as_deref());
    Ok(sign_in(shared, connection, login.token.unwrap_or_default(), next).await)
}

async fn sign_in(
    shared: Arc<Shared>,
    connection: Option<Connection>,
    token: String,
    next: String,
) -> Response {
    let tokens = shared.config.tokens.clone();
    // A login writes a file and waits for the disk.
    let login = tokio::task::spawn_blocking(move || tokens.login(token.trim())).await;
    let message = match login {
        Ok(Ok(session)) => {
            let life = SESSION_LIFE.as_secs();
            return (
                [
                    (header::SET_COOKIE, cookie(connection.as_ref(), &session, life)),
                    (header::CACHE_CONTROL, no_store()),
                ],
                Redirect::to(&next),
            )
                .into_response();
        }
        Ok(Err(Denied::Unknown)) => "This token is not known here.",
        Ok(Err(Denied::Expired)) => "This token has expired.",
        Ok(Err(Denied::Failed(error))) => return ApiError::internal(&error).into_response(),
        Err(error) => return ApiError::internal(&error).into_response(),
    };
    (StatusCode::UNAUTHORIZED, form_page(&shared, &next, Some(message))).into_response()
}

async fn logout(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, ApiError> {
    refuse_foreign(&request)?;
    let connection = request.extensions().get::<Connection>();
    let expired = cookie(connection, "", 0);
    if let Some(session) = gate::session_cookie(&request).map(str::to_owned) {
        let tokens = shared.config.tokens.clone();
        let ended = tokio::task::spawn_blocking(move || tokens.logout(&session)).await;
        ended.map_err(|error| ApiError::internal(&error))?.map_err(|error| ApiError::internal(&error))?;
    }
    Ok(([(header::SET_COOKIE, expired)], Redirect::to("/login")).into_response())
}

/// Signing someone in or out is a state change too, though nobody is signed in yet.
fn refuse_foreign(request: &Request) -> Result<(), ApiError> {
    gate::check_origin(&Caller::new("nobody", Scopes::default(), Via::Loopback), request)
}

/// `HttpOnly` keeps it from scripts, `SameSite=Strict` from other sites' requests. Not `Secure`: loopback is plain HTTP.
fn cookie(connection: Option<&Connection>, value: &str, seconds: u64) -> HeaderValue {
    let name = gate::session_cookie_name(connection);
    HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}"))
        .expect("invariant: the name and the hexadecimal session are plain ASCII")
}

fn no_store() -> HeaderValue {
    HeaderValue::from_static("no-store")
}

/// Where to go afterwards: a path of ours, or the overview. `//host` and `/\host` are other hosts to a browser, and
/// control characters are stripped by it, so a path with any of these is not ours.
fn local_path(next: Option<&str>) -> String {
    let is_ours = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
            && !path.starts_with("/login")
    };
    next.filter(is_ours).unwrap_or("/").to_owned()
}

fn form_page(shared: &Shared, next: &str, message: Option<&str>) -> Markup {
    let body = html! {
        h1 { "Sign in" }
        @if let Some(message) = message { p.alert role="alert" { (message) } }
        form.login method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            label for="token" { "Access token" }
            input #token type="password" name="token" required autofocus autocomplete="current-password" spellcheck="false"
                placeholder="backlot_…";
            button.primary type="submit" { "Sign in" }
        }
        p.muted { "The server printed a sign-in link when it started. The admin token is also in the file " code { "admin.token" } " in its home directory." }
    };
    bare_page(&shared.assets, "Sign in", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_paths_are_gone_to() {
        for good in ["/", "/runs", "/runs/1?filter=a%20b"] {
            assert_eq!(local_path(Some(good)), good);
        }
        let bad = [
            "",
            "runs",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
            "/\t/evil",
            "/login?next=/",
        ];
        for path in bad {
            assert_eq!(local_path(Some(path)), "/", "{path:?}");
        }
        assert_eq!(local_path(None), "/");
    }
}
