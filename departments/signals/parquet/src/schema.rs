//! What each column of a file is to us.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use crate::Error;

/// What columns of numbers may be called to be the time.
const TIME_NAMES: [&str; 5] = ["time", "timestamp", "ts", "date", "datetime"];

/// What pandas calls an index that has no name.
const PANDAS_INDEX: &str = "__index_level_";

/// A column that is read.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) index: usize,
    pub(crate) meaning: Meaning,
}

/// What a column's values say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// Points in time: this many of the unit are a millisecond, or a unit is so many milliseconds.
    Time { per_milli: i64, millis: i64 },
    /// Numbers, to be multiplied by this.
    Number { scale: f64, is_unsigned: bool },
    /// UTF-8.
    Text,
}

/// Which columns are read as what.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) time: Column,
    pub(crate) texts: Vec<Column>,
    pub(crate) numbers: Vec<Column>,
    pub(crate) notes: Vec<String>,
}

impl Plan {
    pub(crate) fn of(schema: &SchemaDescriptor) -> Result<Self, Error> {
        let (mut columns, mut left_out) = (Vec::new(), Vec::new());
        for (index, column) in schema.columns().iter().enumerate() {
            let name = column.path().string();
            match meaning(column) {
                Some(meaning) => columns.push(Column { name, index, meaning }),
                None => left_out.push(name),
            }
        }
        let is_time = |column: &Column| matches!(column.meaning, Meaning::Time { .. });
        let called_time = |column: &Column| {
            let name = column.name.to_lowercase();
            matches!(column.meaning, Meaning::Number { .. }) && TIME_NAMES.contains(&name.as_str())
        };
        let place = columns.iter().position(is_time).or_else(|| columns.iter().position(called_time));
        let Some(place) = place else {
            let names: Vec<&str> = schema.columns().iter().map(|column| column.name()).take(5).collect();
            return Err(Error::NoTime(format!("its columns are {}", names.join(", "))));
        };
        let time = columns.remove(place);
        let mut plan = Self { time, texts: Vec::new(), numbers: Vec::new(), notes: Vec::new() };
        for column in columns {
            match column.meaning {
                Meaning::Text => plan.texts.push(column),
                Meaning::Number { .. } if !column.name.starts_with(PANDAS_INDEX) => plan.numbers.push(column),
                _ => left_out.push(column.name),
            }
        }
        if plan.numbers.is_empty() {
            return Err(Error::NoNumbers);
        }
        if !left_out.is_empty() {
            let some: Vec<&str> = left_out.iter().take(5).map(String::as_str).collect();
            plan.notes.push(format!(
                "{} columns are neither numbers nor tags and left out: {}",
                left_out.len(),
                some.join(", ")
            ));
        }
        Ok(plan)
    }
}

/// `None` for what is not read: lists, structures in lists, bytes, intervals.
fn meaning(column: &ColumnDescriptor) -> Option<Meaning> {
    if column.max_rep_level() > 0 {
        return None;
    }
    let (logical, converted) = (column.logical_type_ref(), column.converted_type());
    let time = |per_milli, millis| Some(Meaning::Time { per_milli, millis });
    let number = |scale, is_unsigned| Some(Meaning::Number { scale, is_unsigned });
    let decimal = || number(10_f64.powi(-column.type_scale().clamp(0, 300)), false);
    match (column.physical_type(), logical, converted) {
        (Physical::INT96, ..) | (Physical::INT64, None, ConvertedType::TIMESTAMP_MILLIS) => time(1, 1),
        (Physical::INT64, Some(LogicalType::Timestamp(stamp)), _) => match stamp.unit {
            TimeUnit::MILLIS => time(1, 1),
            TimeUnit::MICROS => time(1_000, 1),
            TimeUnit::NANOS => time(1_000_000, 1),
        },
        (Physical::INT64, None, ConvertedType::TIMESTAMP_MICROS) => time(1_000, 1),
        (Physical::INT32, Some(LogicalType::Date), _) | (Physical::INT32, None, ConvertedType::DATE) => {
            time(1, 86_400_000)
        }
        (Physical::INT32 | Physical::INT64, Some(LogicalType::Decimal(_)), _)
        | (Physical::INT32 | Physical::INT64, None, ConvertedType::DECIMAL) => decimal(),
        (Physical::INT32 | Physical::INT64, Some(LogicalType::Integer(kind)), _) => {
            number(1.0, !kind.is_signed)
        }
        (Physical::INT32 | Physical::INT64, None, kind) => {
            let is_unsigned = matches!(
                kind,
                ConvertedType::UINT_8
                    | ConvertedType::UINT_16
                    | ConvertedType::UINT_32
                    | ConvertedType::UINT_64
            );
            let is_time_of_day = matches!(kind, ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS);
            if is_time_of_day { None } else { number(1.0, is_unsigned) }
        }
        (Physical::FLOAT | Physical::DOUBLE | Physical::BOOLEAN, ..) => number(1.0, false),
        (Physical::BYTE_ARRAY, Some(LogicalType::String | LogicalType::Enum), _)
        | (Physical::BYTE_ARRAY, None, ConvertedType::UTF8 | ConvertedType::ENUM) => Some(Meaning::Text),
        _ => None,
    }
}
