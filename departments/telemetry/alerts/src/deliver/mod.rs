//! Receivers: from a notification to an HTTP server, a mailbox or a program.
//!
//! [`send`] tries until it succeeds, the failure is one that trying again cannot mend, or the notification's deadline is
//! there; between tries it waits longer and longer. It holds no lock and no queue: whoever calls it decides how many run at
//! once, so that a receiver that hangs holds up its own notifications and nobody else's.

mod command;
mod mail;
mod webhook;

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Target;
use crate::engine::Notification;
use crate::wire::WebhookBody;

/// The wait before the second try; it grows by half with each.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait between tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Longest time for one try where the configuration says none.
const TRY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why something could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    message: String,
    /// Whether another try could do better.
    again: bool,
}

impl Failure {
    fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), again: true }
    }

    fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), again: false }
    }
}

/// Sends a notification; `time` is what is left until its deadline.
///
/// # Errors
/// The last failure, with how often it was tried.
pub async fn send(
    target: &Target,
    notification: &Notification,
    external_url: &str,
    time: Duration,
) -> Result<(), String> {
    let deadline = Instant::now() + time;
    let max_alerts = if let Target::Webhook(webhook) = target { webhook.max_alerts } else { 0 };
    let body = WebhookBody::new(notification, external_url, max_alerts);
    let json = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
    let mut wait = FIRST_WAIT;
    let mut tries = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let one = async {
            match target {
                Target::Webhook(webhook) => webhook::post(webhook, json.clone(), left).await,
                Target::Email(email) => mail::send(email, notification, &body, external_url).await,
                Target::Command(command) => command::run(command, &json).await,
            }
        };
        let limit = match target {
            Target::Webhook(webhook) => webhook.timeout.unwrap_or(TRY_TIMEOUT),
            Target::Email(_) => TRY_TIMEOUT,
            Target::Command(command) => command.timeout,
        };
        let limit = limit.min(left);
        let outcome = match tokio::time::timeout(limit, one).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::passing(format!("no answer within {:.1} s", limit.as_secs_f64()))),
        };
        tries += 1;
        let failure = match outcome {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if !failure.again || left <= wait {
            let times = if tries == 1 { "once".to_owned() } else { format!("{tries} times") };
            return Err(format!("{failure} (tried {times})"));
        }
        tokio::time::sleep(wait).await;
        wait = (wait + wait / 2).min(LONGEST_WAIT);
    }
}
