//! A profile that grows with its signal.

use super::join::{Best, conclude};
use super::prepared::{Kind, Prepared};
use super::{Profile, check, usual_exclusion};
use crate::Error;

/// Points after which covariances are computed anew from the points.
const RENEWED: usize = 4096;

/// A signal and its profile, extended point by point. A point takes time in proportion to the windows before it.
///
/// ```
/// use backlot_signals_kernels::matrix_profile::Streaming;
///
/// let wave: Vec<f64> = (0..200).map(|t| f64::from(t % 20)).collect();
/// let mut profile = Streaming::new(&wave, 20)?;
/// let usual = profile.push(0.0)?.expect("a window ends here");
/// let unusual = profile.push(50.0)?.expect("a window ends here");
/// assert!(usual.distance < 1e-6 && unusual.distance > 1.0);
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Streaming {
    prepared: Prepared,
    exclusion: usize,
    left: Best,
    right: Best,
    /// Of the newest window with each before it, itself included.
    covariances: Vec<f64>,
    since_renewed: usize,
}

/// The window that a point completed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Appended {
    /// Where it begins.
    pub at: usize,
    /// Its distance to the nearest window before it; infinite without one.
    pub distance: f64,
    /// Where that begins.
    pub nearest: Option<usize>,
}

impl Streaming {
    /// Starts with some points, of which there may be fewer than a window.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::Infinite`].
    pub fn new(values: &[f64], window: usize) -> Result<Self, Error> {
        match check(values, window) {
            Ok(()) | Err(Error::TooShort { .. }) => {}
            Err(error) => return Err(error),
        }
        // The level is that of the first points, if there are any.
        let mut streaming = Self {
            prepared: Prepared::empty(values, window),
            exclusion: usual_exclusion(window),
            left: Best::new(0),
            right: Best::new(0),
            covariances: Vec::new(),
            since_renewed: 0,
        };
        for &value in values {
            streaming.push(value)?;
        }
        Ok(streaming)
    }

    /// Appends a point (NaN: a missing one) and gives the window that it completes, if there are enough points.
    ///
    /// # Errors
    /// [`Error::Infinite`]; the point is then not appended.
    pub fn push(&mut self, value: f64) -> Result<Option<Appended>, Error> {
        if value.is_infinite() {
            return Err(Error::Infinite { index: self.prepared.values.len(), value });
        }
        let Some(at) = self.prepared.push(value) else { return Ok(None) };
        self.left.push();
        self.right.push();
        self.follow(at);
        let prepared = &self.prepared;
        let count = (at + 1).saturating_sub(self.exclusion + 1);
        for earlier in 0..count {
            let r = match (prepared.kind[earlier], prepared.kind[at]) {
                (Kind::Missing, _) | (_, Kind::Missing) => continue,
                (Kind::Constant, Kind::Constant) => 1.0,
                (Kind::Constant, _) | (_, Kind::Constant) => 0.5,
                (Kind::Shaped, Kind::Shaped) => {
                    self.covariances[earlier] * prepared.v[at] * prepared.v[earlier]
                }
            };
            self.left.offer(at, r, earlier);
            self.right.offer(earlier, r, at);
        }
        let nearest = self.left.get(at).map(|(_, place)| place);
        let distance = nearest.map_or(f64::INFINITY, |place| prepared.distance(at, prepared, place));
        Ok(Some(Appended { at, distance, nearest }))
    }

    /// Brings the covariances to the window at `at`.
    fn follow(&mut self, at: usize) {
        let prepared = &self.prepared;
        self.covariances.push(0.0);
        if self.since_renewed == 0 {
            for (earlier, covariance) in self.covariances.iter_mut().enumerate() {
                *covariance = prepared.covariance(earlier, prepared, at);
            }
        } else {
            let (f, g) = (prepared.f[at], prepared.g[at]);
            for earlier in (1..=at).rev() {
                self.covariances[earlier] =
                    self.covariances[earlier - 1] + f * prepared.g[earlier] + g * prepared.f[earlier];
            }
            self.covariances[0] = prepared.covariance(0, prepared, at);
        }
        self.since_renewed = (self.since_renewed + 1) % RENEWED;
    }

    /// The profile so far.
    pub fn profile(&self) -> Profile {
        conclude(&self.prepared, self.exclusion, &self.left, &self.right)
    }
}
