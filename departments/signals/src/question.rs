//! What a person asks, in names and times, as a kernel's question in places.

use backlot_signals_kernels::explain::Question;
use backlot_work::Span;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::table::{Header, parse_time};

/// What is asked about a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asked {
    /// The name of the alert's signal.
    pub alert: String,
    /// When it fired: RFC 3339, or seconds since 1970. Without it, at the end of the table.
    pub at: Option<String>,
    /// How long before the alert causes are looked for.
    pub before: Option<Span>,
    /// How long after it.
    pub after: Option<Span>,
    /// Correlations are taken over lags up to this.
    pub lags: Option<Span>,
    /// After how long signals repeat. Without it a day, when the table holds at least three.
    pub season: Option<Span>,
    /// The share of false discoveries, at most.
    pub rate: f64,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            alert: String::new(),
            at: None,
            before: None,
            after: None,
            lags: None,
            season: None,
            rate: Question::default().rate,
        }
    }
}

pub(crate) const DAY_MS: i64 = 86_400_000;

/// A season shows after so many repetitions.
pub(crate) const SEASONS_SEEN: i64 = 3;

impl Asked {
    /// The question in places of the table.
    ///
    /// # Errors
    /// A time outside the table, spans that are no spans of it, what the kernel refuses.
    pub fn question(&self, header: &Header) -> Result<Question, Error> {
        let usual = Question::default();
        let points = |span: Option<Span>, usual: usize| {
            span.map_or(usual, |span| {
                (span.duration().as_millis() / u128::from(header.step_ms.unsigned_abs())) as usize
            })
        };
        let last = header.points.saturating_sub(1);
        let alert = match &self.at {
            None => last,
            Some(text) => {
                let at = parse_time(text).ok_or_else(|| {
                    Error::Time(format!("`{text}` is no time; write RFC 3339 or seconds since 1970"))
                })?;
                let inside = header.start_ms..=header.time_ms(last) + header.step_ms - 1;
                if !inside.contains(&at) {
                    return Err(Error::Time(format!(
                        "the alert at {text} lies outside the table, which is from {} to {}; give a time between",
                        show_time(header.time_ms(0)),
                        show_time(header.time_ms(last)),
                    )));
                }
                ((at - header.start_ms) / header.step_ms) as usize
            }
        };
        let season = match self.season {
            Some(span) => Some(points(Some(span), 0)),
            None => {
                let seen = header.step_ms * header.points as i64;
                let fits = DAY_MS % header.step_ms == 0 && DAY_MS / header.step_ms >= 2;
                (fits && seen >= SEASONS_SEEN * DAY_MS).then(|| (DAY_MS / header.step_ms) as usize)
            }
        };
        let before = points(self.before, usual.before);
        let question = Question {
            alert,
            before,
            after: points(self.after, usual.after),
            lags: points(self.lags, before.min(last).max(1)),
            season,
            rate: self.rate,
            min_size: usual.min_size,
        };
        question.check(header.points)?;
        Ok(question)
    }
}

/// RFC 3339 of milliseconds since 1970.
pub(crate) fn show_time(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| format!("{milliseconds} ms"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times_become_places() {
        let header = Header {
            start_ms: 0,
            step_ms: 300_000,
            points: 1440,
            names: vec!["a".into()],
            notes: Vec::new(),
        };
        let asked = Asked { alert: "a".into(), at: Some("1970-01-05T20:02:00Z".into()), ..Asked::default() };
        let question = asked.question(&header).unwrap();
        assert_eq!((question.alert, question.season, question.before), (1392, Some(288), 60));
        let asked = Asked { before: Some(Span::seconds(3600)), season: Some(Span::seconds(7200)), ..asked };
        let question = asked.question(&header).unwrap();
        assert_eq!((question.before, question.lags, question.season), (12, 12, Some(24)));
        let outside = Asked { at: Some("1971-01-01T00:00:00Z".into()), ..asked.clone() };
        assert!(outside.question(&header).unwrap_err().to_string().contains("1970-01-05T23:55:00Z"));
        let nonsense = Asked { at: Some("soon".into()), ..asked };
        assert!(nonsense.question(&header).is_err());
    }
}
