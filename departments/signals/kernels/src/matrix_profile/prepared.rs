//! What the recurrence needs of each window.

/// Diagonals that go side by side.
pub(super) const WIDTH: usize = 32;

/// A signal prepared for one length of window. The per-window columns are longer by [`WIDTH`] than there are windows, so that side by side
/// diagonals may run over the end.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) window: usize,
    /// Less the mean of all points, which keeps digits; missing points are 0.
    pub(super) values: Vec<f64>,
    pub(super) means: Vec<f64>,
    pub(super) f: Vec<f64>,
    pub(super) g: Vec<f64>,
    /// 1/√(sum of squares about the mean); NaN for windows that are not compared this way, which fails every comparison.
    pub(super) v: Vec<f64>,
    pub(super) kind: Vec<Kind>,
    level: f64,
    /// The length of the run of equal values that ends at the last point, and of the run without a missing one.
    equal: usize,
    there: usize,
}

/// How a window is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Shaped,
    Constant,
    Missing,
}

impl Prepared {
    /// Of all these points, with padding.
    pub(super) fn new(values: &[f64], window: usize) -> Self {
        let mut prepared = Self::empty(values, window);
        for &value in values {
            prepared.push(value);
        }
        for column in [&mut prepared.f, &mut prepared.g] {
            column.resize(column.len() + WIDTH, 0.0);
        }
        prepared.v.resize(prepared.v.len() + WIDTH, f64::NAN);
        prepared
    }

    /// Of no points yet, at the level of these.
    pub(super) fn empty(values: &[f64], window: usize) -> Self {
        let there = values.iter().filter(|value| !value.is_nan());
        let (sum, count) = there.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        let level = if count > 0.0 { sum / count } else { 0.0 };
        Self {
            window,
            values: Vec::with_capacity(values.len()),
            means: Vec::new(),
            f: Vec::new(),
            g: Vec::new(),
            v: Vec::new(),
            kind: Vec::new(),
            level: if level.is_finite() { level } else { 0.0 },
            equal: 0,
            there: 0,
        }
    }

    pub(super) fn windows(&self) -> usize {
        self.kind.len()
    }

    /// Appends a point; gives the window that it completes.
    pub(super) fn push(&mut self, value: f64) -> Option<usize> {
        let shifted = if value.is_nan() { 0.0 } else { value - self.level };
        self.there = if value.is_nan() { 0 } else { self.there + 1 };
        let is_as_before = self.there > 1 && self.values.last() == Some(&shifted);
        self.equal = if is_as_before { self.equal + 1 } else { usize::from(self.there > 0) };
        self.values.push(shifted);
        let at = self.values.len().checked_sub(self.window)?;
        let points = &self.values[at..];
        let mean = points.iter().sum::<f64>() / self.window as f64;
        let squares: f64 = points.iter().map(|value| (value - mean) * (value - mean)).sum();
        let kind = if self.there < self.window {
            Kind::Missing
        } else if self.equal >= self.window {
            Kind::Constant
        } else {
            Kind::Shaped
        };
        let (f, g) = if at == 0 {
            (0.0, 0.0)
        } else {
            let (new, old) = (self.values[at + self.window - 1], self.values[at - 1]);
            ((new - old) / 2.0, (new - mean) + (old - self.means[at - 1]))
        };
        self.means.push(mean);
        self.f.push(f);
        self.g.push(g);
        self.v.push(if kind == Kind::Shaped { 1.0 / squares.sqrt() } else { f64::NAN });
        self.kind.push(kind);
        Some(at)
    }

    /// The covariance (times the number of points) of one window with one of another signal, from their points.
    pub(super) fn covariance(&self, at: usize, other: &Self, other_at: usize) -> f64 {
        let (mean, other_mean) = (self.means[at], other.means[other_at]);
        let pairs = self.values[at..at + self.window].iter().zip(&other.values[other_at..]);
        pairs.map(|(a, b)| (a - mean) * (b - other_mean)).sum()
    }

    /// The distance of two windows, from their points: that of the windows brought to mean 0 and length 1, so nothing cancels where they are alike.
    pub(super) fn distance(&self, at: usize, other: &Self, other_at: usize) -> f64 {
        match (self.kind[at], other.kind[other_at]) {
            (Kind::Missing, _) | (_, Kind::Missing) => f64::INFINITY,
            (Kind::Constant, Kind::Constant) => 0.0,
            (Kind::Constant, _) | (_, Kind::Constant) => (self.window as f64).sqrt(),
            (Kind::Shaped, Kind::Shaped) => {
                let (mean, other_mean) = (self.means[at], other.means[other_at]);
                let (scale, other_scale) = (self.v[at], other.v[other_at]);
                let pairs = self.values[at..at + self.window].iter().zip(&other.values[other_at..]);
                let squares: f64 = pairs
                    .map(|(a, b)| {
                        let apart = (a - mean) * scale - (b - other_mean) * other_scale;
                        apart * apart
                    })
                    .sum();
                (squares * self.window as f64).sqrt()
            }
        }
    }
}
