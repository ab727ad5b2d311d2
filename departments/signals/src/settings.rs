//! The section `[signals]` of the configuration.
//!
//! ```toml
//! [signals]
//! candidates = "nf.app,www,:eq,:all"   # explains every alert that fires, by these signals
//! together = "2m"                      # alerts that fire within this after another share its explanation
//! most_an_hour = 30                    # explanations for alerts; further ones wait for a person to ask
//! ```

use backlot_work::Span;
use serde::Deserialize;

use crate::live::LiveAsked;

/// The settings; every one has a default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The query of the candidates by which alerts that fire are explained; without one none is.
    pub candidates: String,
    /// Alerts that fire within this after another are taken for the same incident, and share its explanation.
    pub together: Span,
    /// Explanations for alerts within an hour, at most.
    pub most_an_hour: u32,
    /// How long before an alert causes are looked for.
    pub before: Option<Span>,
    /// How long after it.
    pub after: Option<Span>,
    /// After how long signals repeat.
    pub season: Option<Span>,
    /// The distance of points.
    pub step: Option<Span>,
    /// How long before that what is usual is learnt from.
    pub history: Option<Span>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            candidates: String::new(),
            together: Span::seconds(120),
            most_an_hour: 30,
            before: None,
            after: None,
            season: None,
            step: None,
            history: None,
        }
    }
}

impl Settings {
    /// Checks what cannot be said by types.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub fn check(&self) -> Result<(), String> {
        if self.most_an_hour == 0 {
            return Err("`most_an_hour` is 0; leave `candidates` out to explain no alerts".to_owned());
        }
        // What would be refused at every alert is refused at the start.
        let asked = LiveAsked { unseen: true, candidates: "x".to_owned(), ..self.asked() };
        asked.window(0).map(drop).map_err(|error| error.to_string())
    }

    /// What is asked about an alert, but for the alert itself.
    pub(crate) fn asked(&self) -> LiveAsked {
        LiveAsked {
            candidates: self.candidates.clone(),
            before: self.before,
            after: self.after,
            season: self.season,
            step: self.step,
            history: self.history,
            ..LiveAsked::default()
        }
    }
}
