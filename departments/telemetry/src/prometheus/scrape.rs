//! Asks exporters for their metrics, as Prometheus does: `[[telemetry.scrape]]` of the configuration.
//!
//! Samples get the tags `job` and `instance`; labels of those names that the exporter sends become `exported_job` and
//! `exported_instance`. Each time `up` (1 or 0), `scrape_duration_seconds` and `scrape_samples_scraped` are written besides.

use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::text::text_format;
use super::{Refused, label};
use crate::ingest::LARGEST_BODY;
use crate::settings::ScrapeSettings;
use crate::state::State;

/// How long an exporter may take, if its interval is not shorter.
const PATIENCE: Duration = Duration::from_secs(10);

/// One exporter.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    url: String,
    tags: Vec<(String, String)>,
    interval: Option<i64>,
}

/// The exporters of a job.
pub(crate) fn targets(settings: &ScrapeSettings) -> impl Iterator<Item = Target> {
    settings.targets.iter().map(|target| {
        let (instance, url) = match target.strip_prefix("http://") {
            Some(rest) => (rest.split('/').next().unwrap_or(rest), target.clone()),
            None => (target.as_str(), format!("http://{target}{}", settings.path)),
        };
        let tags =
            vec![("instance".to_owned(), instance.to_owned()), ("job".to_owned(), settings.job.clone())];
        Target { url, tags, interval: settings.interval }
    })
}

/// Asks until it is aborted. An exporter that does not answer is told once, and again when it does.
pub(crate) async fn keep(state: State, target: Target) {
    let interval = target.interval.unwrap_or(state.settings.step);
    let interval = Duration::from_millis(interval.unsigned_abs());
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE.min(interval)))
        .user_agent(concat!("backlot-telemetry/", env!("CARGO_PKG_VERSION")))
        .build();
    let client = ureq::Agent::from(config);
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut is_up = true;
    loop {
        ticks.tick().await;
        let (state, target, client) = (state.clone(), target.clone(), client.clone());
        let url = target.url.clone();
        let Ok(result) = tokio::task::spawn_blocking(move || once(&state, &target, &client)).await else {
            return;
        };
        match &result {
            Err(error) if is_up => {
                tracing::warn!(%url, %error, "an exporter cannot be read; it is asked again and again");
            }
            Ok(()) if !is_up => tracing::info!(%url, "the exporter is read again"),
            _ => {}
        }
        is_up = result.is_ok();
    }
}

/// Why an exporter's metrics are not there.
#[derive(Debug, thiserror::Error)]
enum ScrapeError {
    #[error("{0}")]
    Http(Box<ureq::Error>),
    #[error("{0}")]
    Refused(#[from] Refused),
}

impl From<ureq::Error> for ScrapeError {
    fn from(error: ureq::Error) -> Self {
        Self::Http(Box::new(error))
    }
}

fn once(state: &State, target: &Target, client: &ureq::Agent) -> Result<(), ScrapeError> {
    let began = Instant::now();
    let taken = ask(state, target, client);
    let took = began.elapsed();
    let meters = &state.counters.meters;
    let timer = if taken.is_ok() { &meters.scrapes } else { &meters.failed_scrapes };
    timer.record(took);
    let (up, samples) = match &taken {
        Ok(samples) => (1, *samples),
        Err(_) => (0, 0),
    };
    let labels: Vec<String> = target.tags.iter().map(|(key, value)| label(key, value)).collect();
    let labels = labels.join(",");
    let told = format!(
        "up{{{labels}}} {up}\nscrape_duration_seconds{{{labels}}} {}\nscrape_samples_scraped{{{labels}}} {samples}\n",
        took.as_secs_f64()
    );
    text_format(state, &told, &[])?;
    taken.map(drop)
}

fn ask(state: &State, target: &Target, client: &ureq::Agent) -> Result<usize, ScrapeError> {
    let mut response = client.get(&target.url).header("accept", "text/plain;version=0.0.4").call()?;
    let text = response.body_mut().with_config().limit(LARGEST_BODY as u64).read_to_string()?;
    Ok(text_format(state, &text, &target.tags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_addresses_or_hosts() {
        let settings = ScrapeSettings {
            job: "node".to_owned(),
            targets: vec!["h:9100".to_owned(), "http://b:1/x/y".to_owned()],
            path: "/metrics".to_owned(),
            interval: None,
        };
        let all: Vec<Target> = targets(&settings).collect();
        assert_eq!((&*all[0].url, &*all[0].tags[0].1), ("http://h:9100/metrics", "h:9100"));
        assert_eq!((&*all[1].url, &*all[1].tags[0].1), ("http://b:1/x/y", "b:1"));
    }
}
