//! An HTTP POST of the webhook's body.

use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use super::Failure;
use crate::config::Webhook;

/// How much of an answer is read, for the message.
const LONGEST_ANSWER: u64 = 512;

/// Threads for blocking clients are bounded by tokio's pool; a connection that nobody takes ends here.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Posts the body. Servers in trouble (5xx, 429) are asked again, those that refuse are not.
pub(super) async fn post(webhook: &Webhook, body: Vec<u8>, left: Duration) -> Result<(), Failure> {
    let limit = webhook.timeout.unwrap_or(super::TRY_TIMEOUT).min(left).max(Duration::from_millis(10));
    let webhook = webhook.clone();
    let posted = tokio::task::spawn_blocking(move || blocking(&webhook, &body, limit)).await;
    posted.unwrap_or_else(|error| Err(Failure::passing(error.to_string())))
}

fn agent() -> &'static ureq::Agent {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .http_status_as_error(false)
            .user_agent(concat!("backlot/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent()
    })
}

fn blocking(webhook: &Webhook, body: &[u8], limit: Duration) -> Result<(), Failure> {
    let mut request = agent().post(&webhook.url).content_type("application/json");
    if let Some(authorization) = &webhook.authorization {
        request = request.header("authorization", &authorization.0);
    }
    let request = request.config().timeout_global(Some(limit)).build();
    // The URL may carry a secret, so messages name what went wrong and not where.
    let mut answer = request.send(body).map_err(|error| Failure::passing(format!("webhook: {error}")))?;
    let status = answer.status().as_u16();
    if (200..300).contains(&status) {
        return Ok(());
    }
    let mut said = Vec::new();
    // What cannot be read is left out of the message.
    let _ = answer.body_mut().as_reader().take(LONGEST_ANSWER).read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said);
    let message = format!("webhook: unexpected status code {status}: {}", said.trim());
    if status >= 500 || status == 429 {
        Err(Failure::passing(message))
    } else {
        Err(Failure::lasting(message))
    }
}
