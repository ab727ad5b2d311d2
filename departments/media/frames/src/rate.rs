//! Frame rates are rationals: 24000/1001 is not 23.976.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// A positive frame rate in frames per second, kept in lowest terms.
///
/// ```
/// use backlot_frames::Rate;
/// let film: Rate = "24000/1001".parse()?;
/// assert_eq!(film.to_string(), "24000/1001");
/// assert!((film.per_second() - 23.976).abs() < 1e-3);
/// assert_eq!("50/2".parse::<Rate>()?, Rate::new(25, 1)?);
/// # Ok::<(), backlot_frames::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Rate {
    num: u32,
    den: u32,
}

impl Rate {
    /// A rate of `num/den` frames per second; [`Error::Rate`] when either is zero.
    pub fn new(num: u32, den: u32) -> Result<Self, Error> {
        if num == 0 || den == 0 {
            return Err(Error::Rate { num: num.into(), den: den.into() });
        }
        let divisor = gcd(num, den);
        Ok(Self { num: num / divisor, den: den / divisor })
    }

    /// The numerator, in lowest terms.
    pub fn num(self) -> u32 {
        self.num
    }

    /// The denominator, in lowest terms.
    pub fn den(self) -> u32 {
        self.den
    }

    /// Frames per second as a float, for display and estimates.
    pub fn per_second(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// How long `frames` frames last, in seconds.
    pub fn seconds(self, frames: u64) -> f64 {
        frames as f64 * f64::from(self.den) / f64::from(self.num)
    }
}

fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

impl FromStr for Rate {
    type Err = Error;

    /// Reads `30000/1001`, `30000:1001` or `25`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (num, den) = text.split_once(['/', ':']).unwrap_or((text, "1"));
        let term = |digits: &str| digits.trim().parse::<u32>().unwrap_or(0);
        Self::new(term(num), term(den))
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl TryFrom<String> for Rate {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}
