//! One column's values, decoded batch after batch.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, Int96};
use parquet::file::reader::FileReader;

use crate::Error;
use crate::schema::{Column, Meaning};

/// Rows decoded at once.
const BATCH: usize = 1 << 16;

/// A time as a number: seconds reach this in the year 5138, milliseconds did in 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// Further from 1970 than this many milliseconds is no time of a metric, and arithmetic with it might overflow.
const FARTHEST: f64 = 9e15;

/// Hands every value of a column in the order of the rows to `take`; `None` where it is null.
fn decode<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    most_level: i16,
    expected: usize,
    take: &mut impl FnMut(Option<&T::T>) -> Result<(), Error>,
) -> Result<usize, Error> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut rows = 0;
    loop {
        levels.clear();
        values.clear();
        let (records, _, _) = reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Ok(rows);
        }
        rows += records;
        if rows > expected {
            return Err(Error::Broken("a column has more values than the file has rows".to_owned()));
        }
        if most_level == 0 {
            for value in &values {
                take(Some(value))?;
            }
            continue;
        }
        let mut there = values.iter();
        for level in &levels {
            let value = if *level == most_level { there.next() } else { None };
            if *level == most_level && value.is_none() {
                return Err(Error::Broken("a page has fewer values than it says".to_owned()));
            }
            take(value)?;
        }
    }
}

/// Reads a column in all row groups; `take` is called once for each row.
fn read(
    file: &dyn FileReader,
    column: &Column,
    rows: usize,
    mut take: impl FnMut(Option<Value<'_>>) -> Result<(), Error>,
) -> Result<(), Error> {
    let level = file.metadata().file_metadata().schema_descr().column(column.index).max_def_level();
    let mut seen = 0;
    for group in 0..file.num_row_groups() {
        let reader = file.get_row_group(group)?.get_column_reader(column.index)?;
        let left = rows - seen;
        macro_rules! typed {
            ($reader:expr, $value:expr) => {
                decode(&mut $reader, level, left, &mut |value| take(value.map($value)))?
            };
        }
        seen += match reader {
            ColumnReader::BoolColumnReader(mut reader) => {
                typed!(reader, |value| Value::Integer(i64::from(*value)))
            }
            ColumnReader::Int32ColumnReader(mut reader) => typed!(reader, |value| Value::Short(*value)),
            ColumnReader::Int64ColumnReader(mut reader) => typed!(reader, |value| Value::Integer(*value)),
            ColumnReader::Int96ColumnReader(mut reader) => {
                typed!(reader, |value: &Int96| Value::Integer(value.to_millis()))
            }
            ColumnReader::FloatColumnReader(mut reader) => {
                typed!(reader, |value| Value::Float(f64::from(*value)))
            }
            ColumnReader::DoubleColumnReader(mut reader) => typed!(reader, |value| Value::Float(*value)),
            ColumnReader::ByteArrayColumnReader(mut reader) => typed!(reader, Value::Bytes),
            ColumnReader::FixedLenByteArrayColumnReader(_) => {
                return Err(Error::Broken(format!(
                    "the column `{}` is not what the schema says",
                    column.name
                )));
            }
        };
    }
    if seen == rows {
        Ok(())
    } else {
        Err(Error::Broken(format!("the column `{}` has {seen} values for {rows} rows", column.name)))
    }
}

enum Value<'a> {
    Short(i32),
    Integer(i64),
    Float(f64),
    Bytes(&'a ByteArray),
}

/// The values of a column of numbers; NaN for null.
pub(crate) fn numbers(file: &dyn FileReader, column: &Column, rows: usize) -> Result<Vec<f64>, Error> {
    let Meaning::Number { scale, is_unsigned } = column.meaning else {
        return Err(Error::Broken(format!("the column `{}` holds no numbers", column.name)));
    };
    let mut values = Vec::new();
    read(file, column, rows, |value| {
        let number = match value {
            None => f64::NAN,
            Some(Value::Float(value)) => value,
            Some(Value::Short(value)) if is_unsigned => f64::from(value.cast_unsigned()),
            Some(Value::Short(value)) => f64::from(value),
            Some(Value::Integer(value)) if is_unsigned => value.cast_unsigned() as f64,
            Some(Value::Integer(value)) => value as f64,
            Some(Value::Bytes(_)) => {
                return Err(Error::Broken(format!("the column `{}` holds bytes", column.name)));
            }
        };
        values.push(if scale == 1.0 { number } else { number * scale });
        Ok(())
    })?;
    Ok(values)
}

/// The times in milliseconds since 1970.
pub(crate) fn times(file: &dyn FileReader, column: &Column, rows: usize) -> Result<Vec<i64>, Error> {
    let mut times = Vec::new();
    let mut row = 0;
    read(file, column, rows, |value| {
        row += 1;
        let as_number = |number: f64| {
            let millis = if number.abs() >= MILLISECONDS_FROM { number } else { number * 1000.0 };
            (millis.abs() < FARTHEST).then(|| millis.round() as i64)
        };
        let whole = match value {
            Some(Value::Short(value)) => Some(i64::from(value)),
            Some(Value::Integer(value)) => Some(value),
            _ => None,
        };
        let time = match (column.meaning, value) {
            (Meaning::Time { per_milli, millis }, _) => {
                whole.map(|whole| whole.div_euclid(per_milli).saturating_mul(millis))
            }
            (_, Some(Value::Float(value))) => as_number(value),
            _ => whole.and_then(|whole| as_number(whole as f64)),
        };
        let time = time.filter(|time| (*time as f64).abs() < FARTHEST);
        times.push(time.ok_or(Error::TimeMissing(row))?);
        Ok(())
    })?;
    Ok(times)
}

/// The texts of a column as numbers, the same for the same text, and the texts; the number 0 is null.
pub(crate) fn texts(
    file: &dyn FileReader,
    column: &Column,
    rows: usize,
) -> Result<(Vec<u32>, Vec<String>), Error> {
    let mut known = std::collections::HashMap::new();
    let (mut numbers, mut texts) = (Vec::new(), vec![String::new()]);
    let mut last: Option<(ByteArray, u32)> = None;
    read(file, column, rows, |value| {
        let number = match value {
            None => 0,
            Some(Value::Bytes(bytes)) => match &last {
                Some((same, number)) if same == bytes => *number,
                _ => {
                    let number = match known.get(bytes.data()) {
                        Some(number) => *number,
                        None => {
                            let text = String::from_utf8_lossy(bytes.data()).into_owned();
                            let number = texts.len() as u32;
                            texts.push(text);
                            known.insert(bytes.data().to_vec(), number);
                            number
                        }
                    };
                    last = Some((bytes.clone(), number));
                    number
                }
            },
            Some(_) => return Err(Error::Broken(format!("the column `{}` holds no text", column.name))),
        };
        numbers.push(number);
        Ok(())
    })?;
    Ok((numbers, texts))
}
