//! Words that make conditions.

use std::sync::Arc;

use backlot_series::{Case, Pattern, Query};

use super::Operand::{Any, List, Query as Condition, Text};
use super::{Form, Operand, condition};
use crate::expr::Change;
use crate::stack::{Item, Machine};
use crate::{Error, Styled};

const KEY_VALUE: &[Operand] = &[Text, Text];

const fn form(
    word: &'static str,
    operands: &'static [Operand],
    about: &'static str,
    action: fn(&mut Machine) -> Result<(), Error>,
) -> Form {
    Form { word, operands, result: "Query", about, action }
}

pub(super) const FORMS: &[Form] = &[
    form("true", &[], "Every series.", |m| m.push(Query::True)),
    form("false", &[], "No series.", |m| m.push(Query::False)),
    form("has", &[Text], "The key is there.", |m| {
        let key = m.pop_text()?;
        m.push(Query::Has(key))
    }),
    form("eq", KEY_VALUE, "The key has this value.", |m| {
        condition(m, |key, value| Ok(Query::Equal(key, value)))
    }),
    form("lt", KEY_VALUE, "The key's value comes before this text.", |m| {
        condition(m, |key, value| Ok(Query::Less(key, value)))
    }),
    form("le", KEY_VALUE, "The key's value comes before this text or is it.", |m| {
        condition(m, |key, value| Ok(Query::LessEqual(key, value)))
    }),
    form("gt", KEY_VALUE, "The key's value comes after this text.", |m| {
        condition(m, |key, value| Ok(Query::Greater(key, value)))
    }),
    form("ge", KEY_VALUE, "The key's value comes after this text or is it.", |m| {
        condition(m, |key, value| Ok(Query::GreaterEqual(key, value)))
    }),
    form("re", KEY_VALUE, "The key's value begins with a match of this regular expression.", |m| {
        condition(m, pattern)
    }),
    form("reic", KEY_VALUE, "As :re, whatever the case of letters.", |m| {
        condition(m, |key, value| Ok(Query::RegexIgnoreCase(key, compile(value, Case::Insensitive)?)))
    }),
    form("contains", KEY_VALUE, "The key's value contains this text.", |m| {
        condition(m, |key, value| pattern(key, format!(".*{}", regex::escape(&value)).into()))
    }),
    form("starts", KEY_VALUE, "The key's value begins with this text.", |m| {
        condition(m, |key, value| pattern(key, regex::escape(&value).into()))
    }),
    form("ends", KEY_VALUE, "The key's value ends with this text.", |m| {
        condition(m, |key, value| pattern(key, format!(".*{}$", regex::escape(&value)).into()))
    }),
    form("in", &[Text, List], "The key has one of these values.", |m| {
        let values = m.pop_texts()?;
        let key = m.pop_text()?;
        m.push(Query::In(key, values))
    }),
    form("and", &[Condition, Condition], "Both conditions hold.", |m| {
        let right = m.pop_query()?;
        let left = m.pop_query()?;
        m.push(left.and(right))
    }),
    form("or", &[Condition, Condition], "One of the conditions holds.", |m| {
        let right = m.pop_query()?;
        let left = m.pop_query()?;
        m.push(left.or(right))
    }),
    form("not", &[Condition], "The condition does not hold.", |m| {
        let query = m.pop_query()?;
        m.push(query.negated())
    }),
    form("cq", &[Any, Condition], "Narrows every query of an expression by a condition.", |m| {
        let more = m.pop_query()?;
        match m.pop()? {
            Item::Query(query) => m.push(query.and(more)),
            Item::List(list) => m.push(list),
            other => match other.to_styled() {
                Ok(styled) => m.push(Styled { expr: styled.expr.change(&Change::And(more))?, ..styled }),
                // A text that is no number reads nothing, so there is nothing to narrow.
                Err(_) => m.push(other),
            },
        }
    }),
];

fn compile(text: Arc<str>, case: Case) -> Result<Pattern, Error> {
    Pattern::new(text, case).map_err(|error| Error::argument(error.to_string()))
}

fn pattern(key: Arc<str>, text: Arc<str>) -> Result<Query, Error> {
    Ok(Query::Regex(key, compile(text, Case::Sensitive)?))
}
