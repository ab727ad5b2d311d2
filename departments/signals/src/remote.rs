//! Explanations by a running server: asked for, waited for and fetched over its door.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use backlot_department::{CommandError, Endpoint};
use serde::Deserialize;

use crate::Explanation;
use crate::department::DOOR;
use crate::live::LiveAsked;

/// The server answers a wait after this many seconds, whether the run has ended or not.
const WAIT_SECONDS: u64 = 20;

/// How long a run may take before the command gives up on it; the run goes on.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long one answer may take: a fetch of metrics or a wait, and some.
const ANSWER: Duration = Duration::from_secs(90);

/// The largest explanation that is read.
const MOST_BYTES: u64 = 256 << 20;

/// An explanation and its other forms.
pub(crate) struct Explained {
    pub(crate) explanation: Explanation,
    /// By the name of the form: timeline, figure, figure_light.
    pub(crate) files: BTreeMap<&'static str, Vec<u8>>,
}

#[derive(Deserialize)]
struct Accepted {
    run: String,
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
    mend: String,
}

struct Server<'a> {
    agent: ureq::Agent,
    endpoint: &'a Endpoint,
}

/// Asks the server, and waits for the answer. Blocks.
pub(crate) fn explain(
    endpoint: &Endpoint,
    asked: &LiveAsked,
    forms: &[&'static str],
) -> Result<Explained, CommandError> {
    let config =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(ANSWER));
    let server = Server { agent: config.build().new_agent(), endpoint };
    let body = serde_json::to_string(asked)
        .map_err(|error| CommandError::failed(error.to_string(), "please report this"))?;
    let accepted: Accepted = server.json(&server.call("/explanations", Some(body))?)?;
    let run = accepted.run;
    let begun = Instant::now();
    let explanation = loop {
        match server.call(&format!("/explanations/{run}?wait={WAIT_SECONDS}"), None) {
            Ok(bytes) => break server.json(&bytes)?,
            Err(error) if error.code == STILL_AT_WORK && begun.elapsed() < PATIENCE => {}
            Err(error) if error.code == STILL_AT_WORK => {
                return Err(CommandError::failed(
                    format!("run {run} has not ended after {} s", PATIENCE.as_secs()),
                    "look whether a worker lives with `backlot runs workers`",
                ));
            }
            Err(error) => return Err(error),
        }
    };
    let mut files = BTreeMap::new();
    for form in forms {
        files.insert(*form, server.call(&format!("/explanations/{run}/files/{form}"), None)?);
    }
    Ok(Explained { explanation, files })
}

/// Not an exit code of a process: the answer to a wait that was in vain.
const STILL_AT_WORK: u8 = u8::MAX;

impl Server<'_> {
    fn authorised<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.endpoint.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn call(&self, path: &str, body: Option<String>) -> Result<Vec<u8>, CommandError> {
        let url = format!("{}{DOOR}{path}", self.endpoint.url);
        let sent = match body {
            Some(body) => self.authorised(self.agent.post(&url)).content_type("application/json").send(body),
            None => self.authorised(self.agent.get(&url)).call(),
        };
        let lost = |error: ureq::Error| {
            CommandError::new(
                CommandError::UNREACHABLE,
                format!("the server at {} does not answer: {error}", self.endpoint.url),
                "start one with `backlot up`, or name another with --url",
            )
        };
        let mut answer = sent.map_err(lost)?;
        let bytes = answer.body_mut().with_config().limit(MOST_BYTES).read_to_vec().map_err(lost)?;
        if answer.status().is_success() {
            return Ok(bytes);
        }
        let status = answer.status().as_u16();
        Err(match serde_json::from_slice::<Refused>(&bytes) {
            Ok(Refused { error }) if error.code == "still_at_work" => {
                CommandError::new(STILL_AT_WORK, error.message, error.mend)
            }
            Ok(Refused { error }) => {
                let code = if status < 500 { CommandError::USAGE } else { CommandError::FAILED };
                CommandError::new(code, error.message, error.mend)
            }
            Err(_) => CommandError::failed(
                format!("the server at {} answered {status}", self.endpoint.url),
                "check that --url names a Backlot server of this version",
            ),
        })
    }

    fn json<T: serde::de::DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CommandError> {
        serde_json::from_slice(bytes).map_err(|error| {
            CommandError::failed(
                format!("the server at {} gave what is no explanation: {error}", self.endpoint.url),
                "check that --url names a Backlot server of this version",
            )
        })
    }
}
