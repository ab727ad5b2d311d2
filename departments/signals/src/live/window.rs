//! From spans of time to a grid.

use backlot_series::Grid;
use backlot_work::Span;

use super::LiveAsked;
use crate::Error;
use crate::question::{DAY_MS, SEASONS_SEEN, show_time};
use crate::table::parse_time;
use backlot_signals_kernels::explain::{LEAST_BASELINE, Question};

/// The distance of points unless another is asked for: the step at which most metrics are kept.
const USUAL_STEP_MS: i64 = 60_000;

/// Three days are looked at, so that the day shows, unless that is more points than this.
const MOST_USUAL_POINTS: i64 = 5_000;

/// Otherwise this many times the focus: what the kernels compare with.
const BASELINE_FOCUSES: i64 = 6;

/// Points of one signal: six weeks of minutes.
const MOST_POINTS: i64 = 65_536;

/// Which points are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// All of them.
    pub grid: Grid,
    /// The end of the last whole step when the alert fired, in milliseconds since 1970.
    pub fired: i64,
}

impl LiveAsked {
    /// The points to fetch at `now` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`Error::Time`] for times that are none or lie in the future, spans that make no sense.
    pub fn window(&self, now: i64) -> Result<Window, Error> {
        let wrong = |reason: String| Err(Error::Time(reason));
        if self.candidates.trim().is_empty() {
            return wrong(
                "no candidates are asked for; give a query of them, such as `app,www,:eq,:all`".to_owned(),
            );
        }
        if self.alert.trim().is_empty() && !self.unseen {
            return wrong("no alert is named; give the query of its signal".to_owned());
        }
        let step = self.step.map_or(USUAL_STEP_MS, millis);
        if step < 1000 || DAY_MS % step != 0 {
            return wrong(format!(
                "a step of {} s does not divide a day; give 5s, 10s, 1m or 5m",
                step as f64 / 1000.0
            ));
        }
        let at = match &self.at {
            None => now,
            Some(text) => match parse_time(text) {
                Some(at) => at,
                None => return wrong(format!("`{text}` is no time; write RFC 3339 or seconds since 1970")),
            },
        };
        if at > now + step {
            return wrong(format!(
                "the alert at {} lies in the future; it is {}; give a time before",
                show_time(at),
                show_time(now)
            ));
        }
        let whole = |time: i64| time.div_euclid(step) * step;
        let usual = Question::default();
        let points = |span: Option<Span>, usual: i64| span.map_or(usual, |span| millis(span) / step);
        let (before, after) =
            (points(self.before, usual.before as i64), points(self.after, usual.after as i64));
        let focus = before + after + 1;
        let least = (BASELINE_FOCUSES * focus).max(LEAST_BASELINE as i64);
        let days = SEASONS_SEEN * DAY_MS / step;
        let history = match (self.history, self.season) {
            (Some(history), _) => millis(history) / step,
            (None, Some(season)) => least.max(SEASONS_SEEN * millis(season) / step),
            (None, None) if days + focus <= MOST_USUAL_POINTS => least.max(days),
            (None, None) => least,
        };
        let fired = whole(at.min(now));
        // Of the step that ends now not every publisher has reported.
        let last = (fired + after * step).min(whole(now) - step).max(fired);
        let length = history + before + (last - fired) / step + 1;
        if length > MOST_POINTS {
            return wrong(format!(
                "{length} points of {} s are more than {MOST_POINTS}; give a shorter --history or a wider --step",
                step as f64 / 1000.0
            ));
        }
        let grid = Grid::new(last - (length - 1) * step, step, length as usize);
        Ok(Window { grid, fired })
    }
}

fn millis(span: Span) -> i64 {
    i64::try_from(span.duration().as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_030_000;

    fn asked() -> LiveAsked {
        LiveAsked { alert: "a".into(), candidates: "b".into(), ..LiveAsked::default() }
    }

    #[test]
    fn an_old_alert_has_points_after_it_and_a_fresh_one_none() {
        let window = asked().window(NOW).unwrap();
        assert_eq!((window.fired, window.grid.last()), (1_800_000_000_000, 1_800_000_000_000));
        assert_eq!(window.grid.len, 3 * 1440 + 60 + 1);
        let old = LiveAsked { at: Some("1799990000".into()), ..asked() }.window(NOW).unwrap();
        assert_eq!(old.fired, 1_799_989_980_000);
        assert_eq!(old.grid.last() - old.fired, 30 * 60_000);
        let fresh = LiveAsked { at: Some("1799999880".into()), ..asked() }.window(NOW).unwrap();
        assert_eq!(fresh.grid.last(), 1_799_999_940_000, "the step that ends now may lack publishers");
    }

    #[test]
    fn the_history_holds_three_seasons_or_six_focuses() {
        let fine = LiveAsked { step: Some(Span::seconds(5)), ..asked() }.window(NOW).unwrap();
        assert_eq!(fine.grid.len, 6 * 91 + 60 + 1);
        let weekly =
            LiveAsked { season: Some(Span::seconds(7 * 86_400)), step: Some(Span::seconds(300)), ..asked() };
        assert_eq!(weekly.window(NOW).unwrap().grid.len, 3 * 2016 + 60 + 1);
        let named = LiveAsked { history: Some(Span::seconds(7200)), ..asked() };
        assert_eq!(named.window(NOW).unwrap().grid.len, 120 + 60 + 1);
    }

    #[test]
    fn what_cannot_be_fetched_is_refused_with_the_mend() {
        let refusal = |asked: LiveAsked| asked.window(NOW).unwrap_err().to_string();
        assert!(refusal(LiveAsked { at: Some("soon".into()), ..asked() }).contains("RFC 3339"));
        assert!(refusal(LiveAsked { at: Some("2099-01-01T00:00:00Z".into()), ..asked() }).contains("future"));
        assert!(refusal(LiveAsked { candidates: " ".into(), ..asked() }).contains("candidates"));
        assert!(refusal(LiveAsked { alert: String::new(), ..asked() }).contains("alert"));
        assert!(refusal(LiveAsked { step: Some(Span::seconds(7)), ..asked() }).contains("divide a day"));
        assert!(
            refusal(LiveAsked { history: Some(Span::seconds(u64::MAX / 2)), ..asked() })
                .contains("--history")
        );
        assert!(
            refusal(LiveAsked { before: Some(Span::seconds(10_000_000)), ..asked() }).contains("--history")
        );
    }
}
