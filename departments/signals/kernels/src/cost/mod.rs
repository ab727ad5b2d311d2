//! Costs: how badly one segment is described by one model.
//!
//! A segmentation's cost is the sum over its segments, and the searches of [`crate::segment`] minimise it. Each cost is prepared once, in linear or (kernels) quadratic
//! time, and then answers for any segment without looking at its points again.
//!
//! | cost | a segment is good when | formula |
//! |---|---|---|
//! | [`L2`] | it is near its mean | Σ‖x−x̄‖² |
//! | [`L1`] | it is near its median | Σ‖x−med‖₁ |
//! | [`Normal`] | it is a narrow Gaussian | n·log det(Σ̂+δI) |
//! | [`Kernel`] (rbf) | its distribution is one | Σk(x,x) − Σk(x,y)/n, k = exp(−γ‖x−y‖²) |
//! | [`Kernel`] (cosine) | its points have one direction | the same, k = cos(x,y) |
//! | [`Regression`] (linear) | the first dimension is linear in the others | least squares' rest |
//! | [`Regression`] (ar) | each point follows from the last ones | least squares' rest |
//! | [`ContinuousLinear`] | it is near the line through its ends | Σ‖x−line‖² |
//! | [`Quadratic`] (rank) | its ranks are like all others | −n·r̄ᵀΣ̂⁺r̄ |
//! | [`Quadratic`] (ml) | it is near its mean in Mahalanobis' metric | Σ(x−x̄)ᵀM(x−x̄) |
//!
//! Formulae: C. Truong, L. Oudre, N. Vayatis, Selective review of offline change point detection methods, Signal Processing 167 (2020).

mod continuous;
mod kernel;
mod l1;
mod l2;
mod normal;
mod quadratic;
mod regression;

pub use continuous::ContinuousLinear;
pub use kernel::{Kernel, MAX_KERNEL_POINTS};
pub use l1::L1;
pub use l2::L2;
pub use normal::Normal;
pub use quadratic::Quadratic;
pub use regression::Regression;

use crate::{Error, Signal};

/// What a search may conclude from the costs of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruning {
    /// Cutting a segment in two never raises the sum of costs, so PELT may drop starts.
    Splits,
    /// Cutting may raise the sum; every start must be tried.
    Never,
}

/// The cost of any segment of one signal.
pub trait Cost {
    /// The number of points of the signal.
    fn points(&self) -> usize;

    /// The fewest points of a segment for which the cost means something.
    fn min_size(&self) -> usize;

    /// The cost of the points from `start` up to, not with, `end`; at least one point, within the signal.
    fn error(&self, start: usize, end: usize) -> f64;

    /// Whether starts may be dropped.
    fn pruning(&self) -> Pruning {
        Pruning::Splits
    }

    /// The sum over the segments that end at `ends`, the last of which is the end of the signal.
    fn sum(&self, ends: &[usize]) -> f64 {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends).map(|(start, &end)| self.error(start, end)).sum()
    }
}

impl<C: Cost + ?Sized> Cost for Box<C> {
    fn points(&self) -> usize {
        (**self).points()
    }

    fn min_size(&self) -> usize {
        (**self).min_size()
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        (**self).error(start, end)
    }

    fn pruning(&self) -> Pruning {
        (**self).pruning()
    }
}

/// A cost by name, with its parameters.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Model {
    /// Least absolute deviations from the median.
    L1,
    /// Least squares from the mean.
    L2,
    /// A Gaussian of free mean and covariance; `floor` is added to each variance.
    Normal {
        /// Keeps constant segments from costing minus infinity; 0 lets them.
        floor: f64,
    },
    /// A Gaussian kernel; without `gamma` one over the median squared distance.
    Rbf {
        /// One over the squared width.
        gamma: Option<f64>,
    },
    /// The cosine kernel.
    Cosine,
    /// The first dimension is a linear function of the others.
    Linear,
    /// A line through the points at the segment's ends.
    ContinuousLinear,
    /// The mean of ranks.
    Rank,
    /// Mahalanobis' metric; without `metric` the inverse of the signal's covariance.
    Mahalanobis {
        /// A symmetric matrix, row after row.
        metric: Option<Vec<f64>>,
    },
    /// Autoregression of this order.
    Autoregressive {
        /// Earlier points that a point depends on.
        order: usize,
    },
}

impl Model {
    /// What [`Model::Normal`] adds to variances unless told otherwise.
    pub const NORMAL_FLOOR: f64 = 1e-6;
    /// The order of [`Model::Autoregressive`] unless told otherwise.
    pub const AR_ORDER: usize = 4;

    /// The model of this name with its usual parameters: `l1`, `l2`, `normal`, `rbf`, `cosine`, `linear`, `clinear`, `rank`, `ml`
    /// (or `mahalanobis`), `ar`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "l1" => Self::L1,
            "l2" => Self::L2,
            "normal" => Self::Normal { floor: Self::NORMAL_FLOOR },
            "rbf" => Self::Rbf { gamma: None },
            "cosine" => Self::Cosine,
            "linear" => Self::Linear,
            "clinear" => Self::ContinuousLinear,
            "rank" => Self::Rank,
            "ml" | "mahalanobis" => Self::Mahalanobis { metric: None },
            "ar" => Self::Autoregressive { order: Self::AR_ORDER },
            _ => return None,
        })
    }

    /// Every name that [`Model::named`] knows, once each.
    pub const NAMES: [&'static str; 10] =
        ["l1", "l2", "normal", "rbf", "cosine", "linear", "clinear", "rank", "ml", "ar"];

    /// Prepares the cost of a signal.
    ///
    /// # Errors
    /// Too few points, too many for a kernel, a covariance without inverse, a parameter outside its range.
    pub fn fit(&self, signal: &Signal) -> Result<Box<dyn Cost + Send + Sync>, Error> {
        if signal.points() == 0 {
            return Err(Error::TooShort { points: 0, needed: 1 });
        }
        Ok(match self {
            Self::L1 => Box::new(L1::new(signal)),
            Self::L2 => Box::new(L2::new(signal)),
            Self::Normal { floor } => Box::new(Normal::new(signal, *floor)?),
            Self::Rbf { gamma } => Box::new(Kernel::rbf(signal, *gamma)?),
            Self::Cosine => Box::new(Kernel::cosine(signal)?),
            Self::Linear => Box::new(Regression::linear(signal)?),
            Self::ContinuousLinear => Box::new(ContinuousLinear::new(signal)),
            Self::Rank => Box::new(Quadratic::rank(signal)),
            Self::Mahalanobis { metric } => Box::new(Quadratic::mahalanobis(signal, metric.as_deref())?),
            Self::Autoregressive { order } => Box::new(Regression::autoregressive(signal, *order)?),
        })
    }
}
