//! From a trace's values to pixels, in two steps: a value becomes a number in the axis's *unit*, and a unit becomes a pixel.
//!
//! The unit is the value itself on a linear axis, its log10 on a log axis, milliseconds since 1970 on a date axis and the
//! place in the list (0, 1, 2, …) on an axis of categories. All arithmetic of ranges and ticks is done in units.

use std::collections::HashMap;

use crate::column::{Column, Scalar};
use crate::dates;
use crate::layout::{Axis, AxisKind};

/// Numbers beyond this size are drawn as if they had it, so that the difference of any two is finite.
const LARGEST: f64 = 1e300;
/// Most categories of one axis; those beyond it are gaps. More than a drawing has pixels for.
const MOST_CATEGORIES: usize = 20_000;
/// Pixels beyond this are drawn as if at it; it is far outside any drawing and exact in single precision.
const FARTHEST_PIXEL: f64 = 1e6;

/// What an axis's unit is.
#[derive(Clone, Debug)]
pub(crate) enum Unit {
    Linear,
    Log,
    Date,
    Category(Categories),
}

/// The names of an axis of categories, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Categories {
    pub(crate) names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Categories {
    pub(crate) fn add(&mut self, name: &str) {
        if self.names.len() < MOST_CATEGORIES && !self.places.contains_key(name) {
            self.places.insert(name.to_owned(), self.names.len());
            self.names.push(name.to_owned());
        }
    }
}

impl Unit {
    /// The unit of `axis`, on which these columns of the traces lie.
    pub(crate) fn of(axis: &Axis, columns: &[&Column]) -> Self {
        let kind = match axis.kind {
            Some(AxisKind::Auto) | None => guess(columns),
            Some(kind) => kind,
        };
        match kind {
            AxisKind::Log => Self::Log,
            AxisKind::Date => Self::Date,
            AxisKind::Category => {
                let mut categories = Categories::default();
                for column in axis.categoryarray.iter().chain(columns.iter().copied()) {
                    for index in 0..column.len() {
                        if let Some(name) = column.label(index) {
                            categories.add(&name);
                        }
                    }
                }
                Self::Category(categories)
            }
            _ => Self::Linear,
        }
    }

    /// The columns's values in this unit; `NaN` where a value has no place on the axis.
    pub(crate) fn read(&self, column: &Column) -> Vec<f64> {
        match column {
            Column::Numbers(numbers) if !matches!(self, Self::Category(_)) => {
                numbers.iter().map(|number| self.number(*number)).collect()
            }
            _ => (0..column.len())
                .map(|index| column.label(index).map_or(f64::NAN, |text| self.text(&text)))
                .collect(),
        }
    }

    /// A number in this unit.
    pub(crate) fn number(&self, number: f64) -> f64 {
        if !number.is_finite() {
            return f64::NAN;
        }
        let number = number.clamp(-LARGEST, LARGEST);
        match self {
            Self::Log if number > 0.0 => libm::log10(number),
            Self::Log => f64::NAN,
            _ => number,
        }
    }

    fn text(&self, text: &str) -> f64 {
        match self {
            Self::Category(categories) => categories.places.get(text).map_or(f64::NAN, |place| *place as f64),
            Self::Date => dates::parse(text).unwrap_or(f64::NAN),
            Self::Linear | Self::Log => text.trim().parse().map_or(f64::NAN, |number| self.number(number)),
        }
    }

    /// A coordinate of a shape in this unit: on a log axis the plain value, on an axis of categories a place or a name.
    pub(crate) fn scalar(&self, scalar: &Scalar) -> f64 {
        match scalar {
            Scalar::Number(number) => self.number(*number),
            Scalar::Text(text) => self.text(text),
        }
    }

    /// A coordinate of a range or an annotation in this unit: on a log axis the power of ten.
    pub(crate) fn range_scalar(&self, scalar: &Scalar) -> f64 {
        match (self, scalar) {
            (Self::Log, Scalar::Number(power)) => power.clamp(-300.0, 300.0),
            (Self::Log, Scalar::Text(text)) => text.trim().parse().unwrap_or(f64::NAN),
            _ => self.scalar(scalar),
        }
    }
}

/// Dates if every text is one, numbers if every text is one, otherwise categories: from the first column with a value.
fn guess(columns: &[&Column]) -> AxisKind {
    for column in columns {
        match column {
            Column::Numbers(numbers) if !numbers.is_empty() => return AxisKind::Linear,
            Column::Numbers(_) => {}
            Column::Texts(texts) => {
                let mut present = texts.iter().flatten().peekable();
                if present.peek().is_none() {
                    continue;
                }
                if present.clone().all(|text| dates::parse(text).is_some() && text.trim().len() > 4) {
                    return AxisKind::Date;
                }
                let is_number = |text: &String| text.trim().parse::<f64>().is_ok();
                return if present.all(is_number) { AxisKind::Linear } else { AxisKind::Category };
            }
        }
    }
    AxisKind::Linear
}

/// An axis with its ends and its place in the drawing.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) unit: Unit,
    /// The smaller end, in units.
    pub(crate) low: f64,
    /// The larger end, in units.
    pub(crate) high: f64,
    /// Where `low` lies in the drawing.
    pub(crate) low_pixel: f64,
    /// Where `high` lies in the drawing.
    pub(crate) high_pixel: f64,
    /// Whether it stands upright.
    pub(crate) is_vertical: bool,
}

impl Scale {
    /// Where `at` (in units) lies in the drawing; far outside at most [`FARTHEST_PIXEL`].
    pub(crate) fn pixel(&self, at: f64) -> f64 {
        let share = (at - self.low) / (self.high - self.low);
        let pixel = self.low_pixel + share * (self.high_pixel - self.low_pixel);
        pixel.clamp(-FARTHEST_PIXEL, FARTHEST_PIXEL)
    }

    /// Where the value zero lies: the nearest edge's side if it is not on the axis, the lower end on a log axis.
    pub(crate) fn zero_pixel(&self) -> f64 {
        match self.unit {
            Unit::Log => self.pixel(f64::NEG_INFINITY),
            _ => self.pixel(0.0),
        }
    }

    /// Where a number lies, with numbers that have no logarithm at the far lower end of a log axis.
    pub(crate) fn number_pixel(&self, number: f64) -> f64 {
        let at = self.unit.number(number);
        if at.is_nan() && number.is_finite() { self.pixel(f64::NEG_INFINITY) } else { self.pixel(at) }
    }
}

impl Scale {
    /// The plot's edge where shares of the axis's length are counted from: left, or bottom.
    pub(crate) fn low_edge(&self) -> f64 {
        if self.is_vertical {
            self.low_pixel.max(self.high_pixel)
        } else {
            self.low_pixel.min(self.high_pixel)
        }
    }

    /// The edge opposite to it: right, or top.
    pub(crate) fn high_edge(&self) -> f64 {
        if self.is_vertical {
            self.low_pixel.min(self.high_pixel)
        } else {
            self.low_pixel.max(self.high_pixel)
        }
    }
}
