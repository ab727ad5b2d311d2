//! From samples at any time to values on steps.
//!
//! A gauge or a sum belongs to the step that ends at or after its time. A rate is an average over the time since the sample
//! before, so it is spread over the steps that this time touches, each weighted with its share, as RRDtool does; a counter is
//! first made a rate.

/// How the samples of a series become values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// A rate per second: spread over steps.
    #[default]
    Rate,
    /// A running count: made a rate per second first.
    Counter,
    /// A reading: the last of a step holds.
    Gauge,
    /// A part of a sum: those of a step are added.
    Sum,
}

impl DataKind {
    /// By the value of the tag `atlas.dstype`; unknown ones are rates.
    pub fn from_tag(value: Option<&str>) -> Self {
        match value {
            Some("counter") => Self::Counter,
            Some("gauge") => Self::Gauge,
            Some("sum") => Self::Sum,
            _ => Self::Rate,
        }
    }
}

/// The end of the step that a time lies in, both in milliseconds.
pub fn step_end(time: i64, step: i64) -> i64 {
    let over = time.rem_euclid(step);
    if over == 0 { time } else { time - over + step }
}

/// Spreads the rates of one series over steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateSpread {
    last: Option<i64>,
    part: f64,
}

impl RateSpread {
    /// Takes a rate that holds since the sample before, and gives out the steps that are complete now: their end and value.
    /// After a silence longer than `heartbeat` it begins anew. A sample not later than the one before is left out.
    pub fn update(
        &mut self,
        time: i64,
        rate: f64,
        step: i64,
        heartbeat: i64,
        mut complete: impl FnMut(i64, f64),
    ) {
        let floor = time - time.rem_euclid(step);
        let share = |span: i64| span as f64 / step as f64;
        match self.last {
            Some(last) if time <= last => return,
            Some(last) if time - last <= heartbeat => {
                let last_floor = last - last.rem_euclid(step);
                if floor == last_floor {
                    self.part += rate * share(time - last);
                } else {
                    let first = last_floor + step;
                    complete(first, self.part + rate * share(first - last));
                    let mut end = first + step;
                    while end <= floor {
                        complete(end, rate);
                        end += step;
                    }
                    self.part = rate * share(time - floor);
                }
            }
            _ => {
                let offset = time - floor;
                complete(floor, rate * share(step - offset));
                self.part = rate * share(offset);
            }
        }
        self.last = Some(time);
    }
}

/// Makes rates per second of a running count.
#[derive(Clone, Copy, Debug, Default)]
pub struct CounterRate(Option<(i64, f64)>);

impl CounterRate {
    /// The rate since the sample before; zero if the count went back, for then it began anew. `None` for the first sample, and for one
    /// that is not later than the one before.
    pub fn update(&mut self, time: i64, count: f64) -> Option<f64> {
        let (last, before) = self.0.replace((time, count))?;
        if time <= last {
            self.0 = Some((last, before));
            return None;
        }
        Some((count - before).max(0.0) / ((time - last) as f64 / 1000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(samples: &[(i64, f64)]) -> Vec<(i64, f64)> {
        let mut spread = RateSpread::default();
        let mut steps = Vec::new();
        for &(time, rate) in samples {
            spread.update(time, rate, 10, 25, |end, value| steps.push((end, value)));
        }
        steps
    }

    #[test]
    fn rates_on_the_boundaries_are_themselves() {
        assert_eq!(spread(&[(10, 1.0), (20, 2.0), (30, 3.0)]), [(10, 1.0), (20, 2.0), (30, 3.0)]);
    }

    #[test]
    fn rates_between_are_weighted() {
        // 7 of ten belong to the step that ended at 10; from 13 to 23 it is 2, of which 7 tenths before 20.
        let expected = [(10, 0.7), (20, 0.3 + 2.0 * 0.7), (30, 2.0 * 0.3 + 4.0 * 0.7), (40, 4.0)];
        let steps = spread(&[(13, 1.0), (23, 2.0), (43, 4.0)]);
        assert_eq!(steps.len(), 4);
        for (step, expected) in steps.iter().zip(expected) {
            assert!(step.0 == expected.0 && (step.1 - expected.1).abs() < 1e-12, "{steps:?}");
        }
        // Several samples in one step; a late one is left out; silence begins anew.
        assert_eq!(
            spread(&[(10, 1.0), (15, 2.0), (12, 9.0), (20, 4.0), (60, 8.0)]),
            [(10, 1.0), (20, 3.0), (60, 8.0)]
        );
    }

    #[test]
    fn counts_become_rates() {
        let mut counter = CounterRate::default();
        let rates = [(0, 5.0), (10_000, 25.0), (10_000, 99.0), (20_000, 3.0), (25_000, 4.0)]
            .map(|(time, count)| counter.update(time, count));
        assert_eq!(rates, [None, Some(2.0), None, Some(0.0), Some(0.2)]);
        assert_eq!([0, 1, 60, 61].map(|time| step_end(time, 60)), [0, 60, 60, 120]);
    }
}
