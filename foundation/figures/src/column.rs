//! The data of a trace: columns of numbers or texts, grids of numbers, and single coordinates.
//!
//! Plotly writes a missing value as `null`; we hold it as `NaN` in numbers and `None` in texts, and draw it as a gap.
//! Python's Plotly 6 writes NumPy arrays as base64 (`{"dtype": "f8", "bdata": "…"}`); both types read that form and
//! write plain arrays.

use base64::Engine;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::dates;

/// One column of a trace: an array of numbers, or of texts (categories, dates, labels).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Column {
    /// Numbers; whatever is not finite is written as `null` and drawn as a gap.
    Numbers(Vec<f64>),
    /// Texts: categories, or dates such as `2024-05-01 12:30`; `None` is a gap.
    Texts(Vec<Option<String>>),
}

impl Column {
    /// How many values the column holds, gaps included.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// Whether the column holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dates from microseconds since the Unix epoch, UTC, in the form Plotly reads (`2024-05-01 12:30:00.250`);
    /// an instant outside the years -9999 to 9999 is a gap.
    pub fn from_unix_micros(instants: impl IntoIterator<Item = i64>) -> Self {
        Self::Texts(instants.into_iter().map(|micros| dates::format_millis(micros as f64 / 1000.0)).collect())
    }

    /// The value at `index` as a label: a text as it is, a number in its shortest form.
    pub(crate) fn label(&self, index: usize) -> Option<String> {
        match self {
            Self::Numbers(numbers) => numbers.get(index).filter(|n| n.is_finite()).map(f64::to_string),
            Self::Texts(texts) => texts.get(index).cloned().flatten(),
        }
    }
}

impl Default for Column {
    fn default() -> Self {
        Self::Numbers(Vec::new())
    }
}

macro_rules! column_from_numbers {
    ($($number:ty),*) => { $(
        impl From<Vec<$number>> for Column {
            fn from(numbers: Vec<$number>) -> Self { Self::Numbers(numbers.into_iter().map(|n| n as f64).collect()) }
        }
        impl From<&[$number]> for Column {
            fn from(numbers: &[$number]) -> Self { Self::Numbers(numbers.iter().map(|n| *n as f64).collect()) }
        }
        impl<const N: usize> From<[$number; N]> for Column {
            fn from(numbers: [$number; N]) -> Self { Self::from(numbers.as_slice()) }
        }
    )* };
}
#[expect(clippy::cast_lossless, reason = "one macro body for all number types")]
mod numbers {
    use super::Column;
    column_from_numbers!(f64, f32, i32, i64, u32, u64, usize);
}

impl From<Vec<String>> for Column {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts.into_iter().map(Some).collect())
    }
}

impl From<Vec<Option<f64>>> for Column {
    fn from(numbers: Vec<Option<f64>>) -> Self {
        Self::Numbers(numbers.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect())
    }
}

impl From<Vec<&str>> for Column {
    fn from(texts: Vec<&str>) -> Self {
        Self::Texts(texts.into_iter().map(|text| Some(text.to_owned())).collect())
    }
}

impl<const N: usize> From<[&str; N]> for Column {
    fn from(texts: [&str; N]) -> Self {
        Self::from(texts.to_vec())
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Numbers(numbers) => serialize_numbers(numbers, serializer),
            Self::Texts(texts) => texts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Array(values) => column_of(values).map_err(serde::de::Error::custom),
            Value::Object(map) => typed_array(&map).map(Self::Numbers).map_err(serde::de::Error::custom),
            other => Err(serde::de::Error::custom(format!("a column is a JSON array, not {other}"))),
        }
    }
}

/// Numbers if every value is one (or a gap), otherwise texts, as Plotly's own axis type detection has it.
fn column_of(values: Vec<Value>) -> Result<Column, String> {
    if values.iter().any(|value| value.is_array() || value.is_object()) {
        return Err("a column holds numbers, texts and nulls only".to_owned());
    }
    if values.iter().all(|value| value.is_number() || value.is_null()) {
        let numbers = values.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect();
        return Ok(Column::Numbers(numbers));
    }
    let texts = values.into_iter().map(|value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    });
    Ok(Column::Texts(texts.collect()))
}

/// Decodes Plotly's typed array: `dtype` is NumPy's little-endian code, `bdata` the base64 of the memory.
fn typed_array(map: &serde_json::Map<String, Value>) -> Result<Vec<f64>, String> {
    let text =
        |key: &str| map.get(key).and_then(Value::as_str).ok_or_else(|| format!("typed array has no {key}"));
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text("bdata")?)
        .map_err(|error| format!("bdata of a typed array is not base64: {error}"))?;
    macro_rules! decode {
        ($number:ty) => {{
            let (chunks, rest) = bytes.as_chunks::<{ size_of::<$number>() }>();
            if !rest.is_empty() {
                return Err("bdata of a typed array ends inside a number".to_owned());
            }
            chunks.iter().map(|chunk| f64::from(<$number>::from_le_bytes(*chunk))).collect()
        }};
    }
    Ok(match text("dtype")? {
        "i1" => decode!(i8),
        "u1" | "u1c" => decode!(u8),
        "i2" => decode!(i16),
        "u2" => decode!(u16),
        "i4" => decode!(i32),
        "u4" => decode!(u32),
        "f4" => decode!(f32),
        "f8" => decode!(f64),
        other => return Err(format!("typed array has the unknown dtype {other}")),
    })
}

fn serialize_numbers<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(numbers.len()))?;
    for number in numbers {
        sequence.serialize_element(&number.is_finite().then_some(number))?;
    }
    sequence.end()
}

/// A grid of numbers by rows, as a heatmap's `z`; rows may differ in length, `NaN` is an empty cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid(pub Vec<Vec<f64>>);

impl From<Vec<Vec<f64>>> for Grid {
    fn from(rows: Vec<Vec<f64>>) -> Self {
        Self(rows)
    }
}

impl Serialize for Grid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Row<'a>(&'a [f64]);
        impl Serialize for Row<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize_numbers(self.0, serializer)
            }
        }
        serializer.collect_seq(self.0.iter().map(|row| Row(row)))
    }
}

impl<'de> Deserialize<'de> for Grid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        grid_of(Value::deserialize(deserializer)?).map(Self).map_err(serde::de::Error::custom)
    }
}

fn grid_of(value: Value) -> Result<Vec<Vec<f64>>, String> {
    match value {
        Value::Array(rows) => rows.into_iter().map(row_of).collect(),
        Value::Object(map) => {
            let shape = map.get("shape").and_then(Value::as_str).ok_or("typed grid has no shape")?;
            let columns = shape.split(',').nth(1).and_then(|count| count.trim().parse::<usize>().ok());
            let columns = columns
                .filter(|count| *count > 0)
                .ok_or_else(|| format!("typed grid has the shape {shape}"))?;
            Ok(typed_array(&map)?.chunks(columns).map(<[f64]>::to_vec).collect())
        }
        other => Err(format!("a grid is an array of rows, not {other}")),
    }
}

fn row_of(value: Value) -> Result<Vec<f64>, String> {
    let column = match value {
        Value::Array(values) => column_of(values)?,
        Value::Object(map) => Column::Numbers(typed_array(&map)?),
        other => return Err(format!("a row of a grid is an array, not {other}")),
    };
    match column {
        Column::Numbers(numbers) => Ok(numbers),
        Column::Texts(_) => Err("a grid holds numbers and nulls only".to_owned()),
    }
}

/// One coordinate: a number, or a text that names a date or a category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A number in the axis's unit.
    Number(f64),
    /// A date or a category.
    Text(String),
}

macro_rules! scalar_from_numbers {
    ($($number:ty),*) => { $(
        impl From<$number> for Scalar {
            fn from(number: $number) -> Self { Self::Number(f64::from(number)) }
        }
    )* };
}
scalar_from_numbers!(f64, f32, i32, u32);

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// The two ends of an axis; `None` leaves that end to the data. On a log axis the ends are powers of ten, as in Plotly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Range(pub Option<Scalar>, pub Option<Scalar>);

impl<A: Into<Scalar>, B: Into<Scalar>> From<(A, B)> for Range {
    fn from((start, end): (A, B)) -> Self {
        Self(Some(start.into()), Some(end.into()))
    }
}

/// One value for the whole trace, or one for each of its points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrEach<T> {
    /// The same for all points.
    One(T),
    /// One for each point, in order.
    Each(Vec<T>),
}

impl<T> OneOrEach<T> {
    /// The value for the point at `index`; `None` past the end of a list.
    pub fn at(&self, index: usize) -> Option<&T> {
        match self {
            Self::One(value) => Some(value),
            Self::Each(values) => values.get(index),
        }
    }
}

impl<T> From<Vec<T>> for OneOrEach<T> {
    fn from(values: Vec<T>) -> Self {
        Self::Each(values)
    }
}

impl From<f64> for OneOrEach<f64> {
    fn from(value: f64) -> Self {
        Self::One(value)
    }
}

impl From<&str> for OneOrEach<String> {
    fn from(value: &str) -> Self {
        Self::One(value.to_owned())
    }
}

/// Labels of points: one for all, or a column with one for each (numbers are written out).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Labels {
    /// The same text at every point.
    One(String),
    /// One text for each point; `None` is no label.
    Each(Column),
}

impl Labels {
    /// The label of the point at `index`, if it has one that is not empty.
    pub(crate) fn at(&self, index: usize) -> Option<String> {
        let label = match self {
            Self::One(text) => Some(text.clone()),
            Self::Each(column) => column.label(index),
        };
        label.filter(|text| !text.is_empty())
    }
}

impl From<&str> for Labels {
    fn from(text: &str) -> Self {
        Self::One(text.to_owned())
    }
}

impl<T> From<Vec<T>> for Labels
where
    Column: From<Vec<T>>,
{
    fn from(texts: Vec<T>) -> Self {
        Self::Each(Column::from(texts))
    }
}
