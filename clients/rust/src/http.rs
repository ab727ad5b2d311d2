//! Requests and answers: addresses, time limits, and what an error of the transport or the server means.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body, RequestBuilder, Timeout};
use url::{Host, Url};

use crate::Error;
use crate::endpoint::Endpoint;

/// A machine that is there answers within a second; a few more for one across an ocean or waking up.
const CONNECT: Duration = Duration::from_secs(10);

/// The server itself gives up on a request after a minute, and says so; that answer is waited for.
const RESPONSE: Duration = Duration::from_secs(75);

/// Longest pause within a stream, and of a server in taking a request. The server sends a sign of life into a quiet stream every 15 seconds; after
/// three that are missing the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);

/// The largest JSON answer: the outputs of a large map. Beyond it the server's own limit on lists lies too.
const MOST_ANSWER: u64 = 256 * 1024 * 1024;

/// The largest error that is read.
const MOST_ERROR: u64 = 1024 * 1024;

/// What is asked for, below the server's base address.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    segments: Vec<String>,
    query: Vec<(&'static str, String)>,
}

impl Target {
    /// A path; its fixed part may hold several segments.
    pub(crate) fn new(fixed: &str) -> Self {
        Self { segments: fixed.split('/').map(str::to_owned).collect(), query: Vec::new() }
    }

    /// A further segment that comes from outside.
    ///
    /// # Errors
    /// [`Error::Argument`] for text that cannot be a segment: nothing, `.` and `..` would name another path.
    pub(crate) fn segment(mut self, what: &str, text: &str) -> Result<Self, Error> {
        if matches!(text, "" | "." | "..") {
            return Err(Error::Argument { what: format!("{text:?} is no {what}"), mend: "name it in full" });
        }
        self.segments.push(text.to_owned());
        Ok(self)
    }

    /// Further fixed segments.
    pub(crate) fn fixed(mut self, fixed: &str) -> Self {
        self.segments.extend(fixed.split('/').map(str::to_owned));
        self
    }

    /// A query parameter, if there is a value.
    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(crate) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        url.path_segments_mut()
            .expect("invariant: an endpoint's URL has a host, so it has segments")
            .pop_if_empty()
            .extend(&self.segments);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

/// A pool of connections to one server.
pub(crate) fn agent(endpoint: &Endpoint) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(RESPONSE))
        .timeout_per_read(Some(RESPONSE))
        .timeout_per_write(Some(SILENCE))
        .user_agent(concat!("backlot-client/", env!("CARGO_PKG_VERSION")));
    let is_loopback = match endpoint.url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if is_loopback {
        // A proxy of the environment stands on another machine, where our loopback address is somebody else's.
        config = config.proxy(None);
    }
    config.build().new_agent()
}

/// A request that was not answered as wished.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether the server has certainly done nothing: the request never reached it, or it asked for another token.
    pub(crate) is_undone: bool,
}

/// What a request asks.
#[derive(Clone, Copy)]
pub(crate) enum Ask<'a> {
    /// To read.
    Get,
    /// To read a stream that begins after this message.
    Stream(Option<u64>),
    /// To do something.
    Post(&'a Value),
}

/// Sends a request and returns the head of a good answer, its body unread.
pub(crate) fn send(
    agent: &Agent,
    endpoint: &Endpoint,
    target: &Target,
    ask: Ask<'_>,
) -> Result<Response<Body>, Failure> {
    let url = target.url(&endpoint.url);
    let lost = |error: ureq::Error| Failure {
        is_undone: is_undone(&error),
        error: unreachable(&endpoint.url, &error),
    };
    let bearer = endpoint.token.as_ref().map(|token| format!("Bearer {token}"));
    let response = match ask {
        Ask::Get => with_token(agent.get(url.as_str()), bearer).call(),
        Ask::Stream(last) => {
            let request = agent.get(url.as_str()).header(header::ACCEPT, "text/event-stream");
            let request = match last {
                Some(last) => request.header("last-event-id", last),
                None => request,
            };
            with_token(request, bearer).config().timeout_per_read(Some(SILENCE)).build().call()
        }
        Ask::Post(body) => {
            let request = agent.post(url.as_str()).header(header::CONTENT_TYPE, "application/json");
            with_token(request, bearer).send(body.to_string())
        }
    };
    let response = response.map_err(lost)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let is_undone = response.status() == StatusCode::UNAUTHORIZED;
    Err(Failure { error: refusal(response, &url), is_undone })
}

fn with_token<B>(request: RequestBuilder<B>, bearer: Option<String>) -> RequestBuilder<B> {
    match bearer {
        Some(bearer) => request.header(header::AUTHORIZATION, bearer),
        None => request,
    }
}

/// Reads a JSON answer.
pub(crate) fn read_json<T: DeserializeOwned>(response: Response<Body>, url: &Url) -> Result<T, Error> {
    let read = response.into_body().into_with_config().limit(MOST_ANSWER).read_to_vec();
    let bytes = read.map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(limit) => {
            Error::Answer { url: url.to_string(), reason: format!("it is longer than {limit} bytes") }
        }
        error => unreachable(url, &error),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::Answer { url: url.to_string(), reason: error.to_string() })
}

/// The transport's failure, said of the server's address.
pub(crate) fn unreachable(url: &Url, error: &dyn std::fmt::Display) -> Error {
    Error::Unreachable { url: url.as_str().trim_end_matches('/').to_owned(), reason: error.to_string() }
}

/// Whether the request cannot have reached the server.
fn is_undone(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        ureq::Error::Timeout(phase) => matches!(phase, Timeout::Resolve | Timeout::Connect),
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorParts,
}

#[derive(Deserialize)]
struct ErrorParts {
    code: String,
    message: String,
    #[serde(default)]
    mend: String,
    request_id: Option<String>,
}

/// What an answer that is no success says.
fn refusal(response: Response<Body>, url: &Url) -> Error {
    let status = response.status();
    let text = response.into_body().into_with_config().limit(MOST_ERROR).read_to_vec().unwrap_or_default();
    if let Ok(ErrorBody { error: parts }) = serde_json::from_slice(&text) {
        let ErrorParts { code, message, mend, request_id } = parts;
        return Error::Refused { status: status.as_u16(), code, message, mend, request_id };
    }
    if status.is_client_error() || status.is_server_error() {
        // Not our server's words: a proxy before it, or another server altogether.
        return Error::Refused {
            status: status.as_u16(),
            code: format!("http_{}", status.as_u16()),
            message: format!("{url} answers {status}"),
            mend: "check that a Backlot server is reached there, and not something before it".to_owned(),
            request_id: None,
        };
    }
    Error::Answer { url: url.to_string(), reason: format!("it is {status}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_what_comes_from_outside_in_its_place() {
        let base = Url::parse("http://127.0.0.1:7700/house/").unwrap();
        let target = Target::new("runs/api/v1/runs").segment("run", "a/b?c d%").unwrap().fixed("steps");
        let target = target.query("state", Some("x&y")).query("name", None::<&str>);
        let url = target.url(&base);
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:7700/house/runs/api/v1/runs/a%2Fb%3Fc%20d%25/steps?state=x%26y"
        );
        for bad in ["", ".", ".."] {
            assert_eq!(Target::new("runs").segment("run", bad).unwrap_err().code(), "bad_argument");
        }
    }
}
