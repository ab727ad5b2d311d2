//! Values to and from PostgreSQL's binary format, by the type the server declares for each parameter and column.

use std::error::Error as StdError;
use std::fmt::Write;

use tokio_postgres::Statement;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::error::shorten;
use crate::{Error, Value};

type AnyError = Box<dyn StdError + Sync + Send>;

/// Checks the number of values and that each fits its parameter's type, so that the error can name it.
pub(super) fn check(statement: &Statement, params: &[Value], sql: &str) -> Result<(), Error> {
    let types = statement.params();
    if types.len() != params.len() {
        let problem = format!("count is {}, the statement has {}", params.len(), types.len());
        return Err(Error::Parameter { problem, sql: shorten(sql) });
    }
    for (index, (value, kind)) in params.iter().zip(types).enumerate() {
        if !fits(value, kind) {
            let problem = format!(
                "${} is declared {kind}, got {}; CAST it to the type that is meant",
                index + 1,
                value.type_name()
            );
            return Err(Error::Parameter { problem, sql: shorten(sql) });
        }
    }
    Ok(())
}

fn is_text(kind: &Type) -> bool {
    matches!(*kind, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN)
}

fn fits(value: &Value, kind: &Type) -> bool {
    match value {
        Value::Null => true,
        Value::Integer(i) => match *kind {
            Type::INT8 | Type::FLOAT8 => true,
            Type::INT4 => i32::try_from(*i).is_ok(),
            Type::INT2 => i16::try_from(*i).is_ok(),
            Type::BOOL => matches!(i, 0 | 1),
            _ => false,
        },
        Value::Real(_) => matches!(*kind, Type::FLOAT8 | Type::FLOAT4),
        Value::Text(text) => is_text(kind) && !text.contains('\0'),
        Value::Bytes(_) => *kind == Type::BYTEA,
    }
}

/// A value on its way to a parameter that [`check`] found it to fit.
#[derive(Debug)]
pub(super) struct Bound<'a>(pub(super) &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, AnyError> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(i) => match *kind {
                Type::INT4 => i32::try_from(*i)?.to_sql(kind, out),
                Type::INT2 => i16::try_from(*i)?.to_sql(kind, out),
                Type::BOOL => (*i != 0).to_sql(kind, out),
                Type::FLOAT8 => (*i as f64).to_sql(kind, out),
                _ => i.to_sql(kind, out),
            },
            Value::Real(r) => match *kind {
                Type::FLOAT4 => (*r as f32).to_sql(kind, out),
                _ => r.to_sql(kind, out),
            },
            Value::Text(text) => text.as_str().to_sql(kind, out),
            Value::Bytes(bytes) => bytes.as_slice().to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A column's value.
pub(super) struct Decoded(pub(super) Value);

impl<'a> FromSql<'a> for Decoded {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Decoded, AnyError> {
        Ok(Decoded(match *kind {
            Type::INT8 => Value::Integer(i64::from_sql(kind, raw)?),
            Type::INT4 => Value::Integer(i32::from_sql(kind, raw)?.into()),
            Type::INT2 => Value::Integer(i16::from_sql(kind, raw)?.into()),
            Type::OID => Value::Integer(u32::from_sql(kind, raw)?.into()),
            Type::BOOL => Value::Integer(bool::from_sql(kind, raw)?.into()),
            Type::FLOAT8 => Value::Real(f64::from_sql(kind, raw)?),
            Type::FLOAT4 => Value::Real(f32::from_sql(kind, raw)?.into()),
            Type::NUMERIC => numeric(raw)?,
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            Type::VOID => Value::Null,
            _ if is_text(kind) => Value::Text(std::str::from_utf8(raw)?.to_owned()),
            _ => return Err(format!("type {kind} is not portable; CAST it to BIGINT, TEXT or BYTEA").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Decoded, AnyError> {
        Ok(Decoded(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// NUMERIC, which SUM over BIGINT yields: an integer when it is whole and fits, else the nearest real.
///
/// Format (PostgreSQL `numeric_send`): digit count, weight of the first digit, sign, display scale, each 16 bits, then
/// the digits in base 10,000, the most significant first.
fn numeric(raw: &[u8]) -> Result<Value, AnyError> {
    const NEGATIVE: u16 = 0x4000;
    let mut words = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut next = || words.next().ok_or("numeric value is cut short");
    let count = i32::from(next()?);
    let weight = i32::from(next()? as i16);
    let sign = next()?;
    let _display_scale = next()?;
    match sign {
        0xC000 => return Ok(Value::Real(f64::NAN)),
        0xD000 => return Ok(Value::Real(f64::INFINITY)),
        0xF000 => return Ok(Value::Real(f64::NEG_INFINITY)),
        _ => {}
    }
    let mut whole: Option<i128> = Some(0);
    let mut text = String::from("0");
    for position in 0..count {
        let digit = next()?;
        let _ = write!(text, "{digit:04}");
        let is_fraction = position > weight;
        whole = match whole {
            Some(sum) if !is_fraction => sum.checked_mul(10_000).and_then(|s| s.checked_add(digit.into())),
            Some(sum) if digit == 0 => Some(sum),
            _ => None,
        };
    }
    // Trailing zero digits are not sent.
    for _ in count..=weight {
        whole = whole.and_then(|sum| sum.checked_mul(10_000));
    }
    let signed = whole.map(|sum| if sign == NEGATIVE { -sum } else { sum });
    if let Some(integer) = signed.and_then(|sum| i64::try_from(sum).ok()) {
        return Ok(Value::Integer(integer));
    }
    let exponent = (weight + 1 - count) * 4;
    let magnitude: f64 = format!("{text}e{exponent}").parse()?;
    Ok(Value::Real(if sign == NEGATIVE { -magnitude } else { magnitude }))
}
