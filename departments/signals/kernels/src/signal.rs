//! A signal: points of one or more dimensions, all of them observed and finite.

use crate::Error;

/// Points in the order of time, each with the same number of dimensions, stored point after point. Every value is finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    values: Vec<f64>,
    dimensions: usize,
}

impl Signal {
    /// A signal of one dimension.
    ///
    /// # Errors
    /// [`Error::Infinite`], [`Error::Missing`]; see [`Observed`] for signals with gaps.
    pub fn scalar(values: &[f64]) -> Result<Self, Error> {
        Self::new(values.to_vec(), 1)
    }

    /// A signal of several dimensions: `values` holds point after point.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Infinite`], [`Error::Missing`].
    pub fn new(values: Vec<f64>, dimensions: usize) -> Result<Self, Error> {
        if dimensions == 0 || !values.len().is_multiple_of(dimensions) {
            return Err(Error::Shape { values: values.len(), columns: dimensions });
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) if values[index].is_nan() => Err(Error::Missing { index }),
            Some(index) => Err(Error::Infinite { index, value: values[index] }),
            None => Ok(Self { values, dimensions }),
        }
    }

    /// The number of points.
    pub fn points(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// The number of dimensions of a point.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// One point.
    pub fn point(&self, index: usize) -> &[f64] {
        &self.values[index * self.dimensions..(index + 1) * self.dimensions]
    }

    /// All values, point after point.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The values of one dimension.
    pub fn column(&self, dimension: usize) -> impl ExactSizeIterator<Item = f64> + '_ {
        (0..self.points()).map(move |index| self.values[index * self.dimensions + dimension])
    }

    /// The mean of each dimension.
    pub fn means(&self) -> Vec<f64> {
        let points = self.points().max(1) as f64;
        (0..self.dimensions).map(|dimension| self.column(dimension).sum::<f64>() / points).collect()
    }
}

/// The observed points of a signal with gaps: NaN is a missing point, which carries no weight anywhere.
///
/// Analyses work on the points that are there; a change point is then given as the place of the first observed point after it, so a change
/// inside a gap is dated to the gap's end, and the place before it ([`Observed::before`]) is the gap's start.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The values that are there.
    pub values: Vec<f64>,
    /// Where each stood.
    pub places: Vec<usize>,
    /// The number of points with the missing ones.
    pub points: usize,
}

impl Observed {
    /// The observed points of `values`.
    ///
    /// # Errors
    /// [`Error::Infinite`].
    pub fn of(values: &[f64]) -> Result<Self, Error> {
        // Not a search that stops at the first: this way it is a few vector instructions.
        if values.iter().fold(true, |all, value| all & value.is_finite()) {
            let points = values.len();
            return Ok(Self { values: values.to_vec(), places: (0..points).collect(), points });
        }
        let mut observed = Vec::with_capacity(values.len());
        let mut places = Vec::with_capacity(values.len());
        for (index, &value) in values.iter().enumerate() {
            if value.is_infinite() {
                return Err(Error::Infinite { index, value });
            }
            if !value.is_nan() {
                observed.push(value);
                places.push(index);
            }
        }
        Ok(Self { values: observed, places, points: values.len() })
    }

    /// The share of points that are missing, 0 to 1.
    pub fn missing(&self) -> f64 {
        if self.points == 0 { 1.0 } else { 1.0 - self.values.len() as f64 / self.points as f64 }
    }

    /// Where the observed point `index` stood; the end of the signal for the end of the observed points.
    pub fn place(&self, index: usize) -> usize {
        self.places.get(index).copied().unwrap_or(self.points)
    }

    /// The place after the observed point before `index`: where the gap before it begins, if there is one.
    pub fn before(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.place(before) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_named() {
        assert_eq!(Signal::scalar(&[1.0, f64::NAN]), Err(Error::Missing { index: 1 }));
        let infinite = Signal::new(vec![0.0, 1.0, f64::NEG_INFINITY, 0.0], 2).unwrap_err();
        assert_eq!(infinite, Error::Infinite { index: 2, value: f64::NEG_INFINITY });
        assert_eq!(Signal::new(vec![0.0; 3], 2), Err(Error::Shape { values: 3, columns: 2 }));
        assert_eq!(Signal::new(vec![], 0), Err(Error::Shape { values: 0, columns: 0 }));
    }

    #[test]
    fn places_come_back_across_gaps() {
        let observed = Observed::of(&[f64::NAN, 1.0, f64::NAN, f64::NAN, 2.0]).unwrap();
        assert_eq!(observed.values, [1.0, 2.0]);
        assert_eq!((observed.before(0), observed.place(0)), (0, 1));
        assert_eq!((observed.before(1), observed.place(1)), (2, 4));
        assert_eq!(observed.place(2), 5);
        assert!((observed.missing() - 0.6).abs() < 1e-12);
        assert!(Observed::of(&[0.0, f64::INFINITY]).is_err());
    }
}
