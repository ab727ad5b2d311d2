//! The values that go into statements and come out of rows, the same on both backends.

use crate::{Error, Timestamp};

/// One SQL value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// BIGINT and its smaller kin; booleans are 0 and 1, times are microseconds.
    Integer(i64),
    /// DOUBLE PRECISION.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BYTEA.
    Bytes(Vec<u8>),
}

impl Value {
    /// The value's type as messages name it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Integer(_) => "integer",
            Value::Real(_) => "real",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$v:ident| $make:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($v: $from) -> Value {
                $make
            }
        }
    )*};
}

value_from! {
    i64 => |v| Value::Integer(v);
    i32 => |v| Value::Integer(i64::from(v));
    u32 => |v| Value::Integer(i64::from(v));
    u16 => |v| Value::Integer(i64::from(v));
    bool => |v| Value::Integer(i64::from(v));
    f64 => |v| Value::Real(v);
    &str => |v| Value::Text(v.to_owned());
    String => |v| Value::Text(v);
    &String => |v| Value::Text(v.clone());
    Vec<u8> => |v| Value::Bytes(v);
    &[u8] => |v| Value::Bytes(v.to_vec());
    Timestamp => |v| Value::Integer(v.micros());
    &Value => |v| v.clone();
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// `params![a, b]` is `&[Value::from(a), Value::from(b)]`.
#[macro_export]
macro_rules! params {
    () => { &[] as &[$crate::Value] };
    ($($value:expr),+ $(,)?) => { &[$($crate::Value::from($value)),+] };
}

/// One row of an answer: its values in the order of the columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Row {
        Row { values }
    }

    /// Column `index` (from 0) as a `T`; an error when there is no such column or it holds something else.
    pub fn get<T: FromValue>(&self, index: usize) -> Result<T, Error> {
        let Some(value) = self.values.get(index) else {
            let problem = format!("there is none, the row has {} columns", self.values.len());
            return Err(Error::Column { index, problem });
        };
        T::from_value(value).ok_or_else(|| Error::Column {
            index,
            problem: format!("found {}, asked for {}", value.type_name(), T::EXPECTED),
        })
    }

    /// The values, in column order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Takes the values out, in column order.
    pub fn into_values(self) -> Vec<Value> {
        self.values
    }
}

/// A Rust type that a column can be read as.
pub trait FromValue: Sized {
    /// The type as messages name it.
    const EXPECTED: &'static str;

    /// The value as this type, or `None` when it is another.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for i64 {
    const EXPECTED: &'static str = "integer";

    fn from_value(value: &Value) -> Option<i64> {
        match value {
            Value::Integer(i) => Some(*i),
            _ => None,
        }
    }
}

macro_rules! narrow_integer {
    ($($int:ty),*) => {$(
        impl FromValue for $int {
            const EXPECTED: &'static str = concat!("integer that fits ", stringify!($int));

            fn from_value(value: &Value) -> Option<$int> {
                i64::from_value(value).and_then(|i| <$int>::try_from(i).ok())
            }
        }
    )*};
}

narrow_integer!(i32, u16, u32, u64, usize);

impl FromValue for bool {
    const EXPECTED: &'static str = "integer 0 or 1";

    fn from_value(value: &Value) -> Option<bool> {
        match value {
            Value::Integer(0) => Some(false),
            Value::Integer(1) => Some(true),
            _ => None,
        }
    }
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "real";

    fn from_value(value: &Value) -> Option<f64> {
        match value {
            Value::Real(r) => Some(*r),
            Value::Integer(i) => Some(*i as f64),
            _ => None,
        }
    }
}

impl FromValue for String {
    const EXPECTED: &'static str = "text";

    fn from_value(value: &Value) -> Option<String> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    const EXPECTED: &'static str = "bytes";

    fn from_value(value: &Value) -> Option<Vec<u8>> {
        match value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl FromValue for Timestamp {
    const EXPECTED: &'static str = "integer (microseconds)";

    fn from_value(value: &Value) -> Option<Timestamp> {
        i64::from_value(value).map(Timestamp::from_micros)
    }
}

impl FromValue for Value {
    const EXPECTED: &'static str = "value";

    fn from_value(value: &Value) -> Option<Value> {
        Some(value.clone())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_value(value: &Value) -> Option<Option<T>> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_by_type() {
        let row = Row::new(vec![Value::Integer(7), Value::Null, Value::Text("x".into()), Value::Integer(1)]);
        assert_eq!(row.get::<i64>(0).unwrap(), 7);
        assert_eq!(row.get::<f64>(0).unwrap(), 7.0);
        assert_eq!(row.get::<Option<i64>>(1).unwrap(), None);
        assert_eq!(row.get::<String>(2).unwrap(), "x");
        assert!(row.get::<bool>(3).unwrap());
        assert_eq!(row.get::<String>(0).unwrap_err().to_string(), "column 0: found integer, asked for text");
        assert_eq!(
            row.get::<i64>(9).unwrap_err().to_string(),
            "column 9: there is none, the row has 4 columns"
        );
        assert!(row.get::<bool>(0).is_err());
        assert!(Row::new(vec![Value::Integer(-1)]).get::<u64>(0).is_err());
    }

    #[test]
    fn params_take_many_types() {
        let none: Option<&str> = None;
        let values = params![1i64, "a", none, true, Some(2.5), vec![1u8], Timestamp::from_micros(3)];
        assert_eq!(values[1], Value::Text("a".into()));
        assert_eq!(values[2], Value::Null);
        assert_eq!(values[3], Value::Integer(1));
        assert_eq!(values[4], Value::Real(2.5));
        assert_eq!(values[6], Value::Integer(3));
        assert!(params![].is_empty());
    }
}
