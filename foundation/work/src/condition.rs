//! Conditions: the `when` of a step.
//!
//! A condition compares references and literals: `${params.codec} == "x264" and ${steps.probe.video.width} >= 640`.
//! Operators, loosest first: `or`, `and`, `not`, then `== != < <= > >=`; parentheses group. A lone operand is true
//! unless it is null, false, 0, or an empty string, list or object.

use serde_json::Value;

use crate::reference::{Reference, ReferenceError};

/// A condition, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// A literal value.
    Literal(Value),
    /// A `${…}`.
    Reference(Reference),
    /// `not a`
    Not(Box<Condition>),
    /// `a and b`
    And(Box<Condition>, Box<Condition>),
    /// `a or b`
    Or(Box<Condition>, Box<Condition>),
    /// `a < b` and its kin.
    Compare(Box<Condition>, Comparison, Box<Condition>),
}

/// The operator of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Parentheses and `not`s may nest this deep; a person never needs more, and the parser's stack is bounded.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Compare(Comparison),
    Operand(Condition),
}

impl Condition {
    /// Reads a condition.
    pub(crate) fn parse(text: &str) -> Result<Condition, ReferenceError> {
        let mut parser = Parser { text, tokens: tokens(text)?, at: 0 };
        let condition = parser.or(0)?;
        if parser.at == parser.tokens.len() {
            Ok(condition)
        } else {
            Err(parser.error("write `and` or `or` between two comparisons"))
        }
    }

    /// Every reference in the condition.
    pub(crate) fn references(&self) -> Vec<&Reference> {
        match self {
            Condition::Literal(_) => Vec::new(),
            Condition::Reference(reference) => vec![reference],
            Condition::Not(inner) => inner.references(),
            Condition::And(a, b) | Condition::Or(a, b) | Condition::Compare(a, _, b) => {
                let mut all = a.references();
                all.extend(b.references());
                all
            }
        }
    }

    /// Decides the condition; `lookup` gives the value of a reference.
    pub(crate) fn holds(
        &self,
        lookup: &mut dyn FnMut(&Reference) -> Result<Value, ReferenceError>,
    ) -> Result<bool, ReferenceError> {
        Ok(truth(&self.value(lookup)?))
    }

    fn value(
        &self,
        lookup: &mut dyn FnMut(&Reference) -> Result<Value, ReferenceError>,
    ) -> Result<Value, ReferenceError> {
        Ok(match self {
            Condition::Literal(value) => value.clone(),
            Condition::Reference(reference) => lookup(reference)?,
            Condition::Not(inner) => Value::Bool(!inner.holds(lookup)?),
            Condition::And(a, b) => Value::Bool(a.holds(lookup)? && b.holds(lookup)?),
            Condition::Or(a, b) => Value::Bool(a.holds(lookup)? || b.holds(lookup)?),
            Condition::Compare(a, comparison, b) => {
                Value::Bool(compare(&a.value(lookup)?, *comparison, &b.value(lookup)?)?)
            }
        })
    }
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn compare(a: &Value, comparison: Comparison, b: &Value) -> Result<bool, ReferenceError> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let ordering = match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x.as_f64().zip(y.as_f64()).and_then(|(x, y)| x.partial_cmp(&y))
        }
        (Value::String(x), Value::String(y)) => Some(x.cmp(y)),
        _ if matches!(comparison, Comparison::Equal | Comparison::NotEqual) => {
            return Ok((a == b) == (comparison == Comparison::Equal));
        }
        _ => None,
    };
    let ordering = ordering.ok_or_else(|| {
        ReferenceError(format!("{a} and {b} cannot be put in order; compare two numbers or two strings"))
    })?;
    Ok(match comparison {
        Comparison::Equal => ordering == Equal,
        Comparison::NotEqual => ordering != Equal,
        Comparison::Less => ordering == Less,
        Comparison::LessOrEqual => ordering != Greater,
        Comparison::Greater => ordering == Greater,
        Comparison::GreaterOrEqual => ordering != Less,
    })
}

fn tokens(text: &str) -> Result<Vec<Token>, ReferenceError> {
    let bad = |why: String| ReferenceError(format!("condition `{text}`: {why}"));
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, used) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '$' => {
                let end = rest.find('}').ok_or_else(|| bad("a `${` is never closed".into()))?;
                let inner = rest.strip_prefix("${").map(|inner| &inner[..end - 2]);
                let inner = inner.ok_or_else(|| bad("a reference is written ${…}".into()))?;
                (Token::Operand(Condition::Reference(Reference::parse(inner)?)), end + 1)
            }
            '"' | '\'' => {
                let end = rest[1..].find(first).ok_or_else(|| bad("a string is never closed".into()))?;
                (Token::Operand(Condition::Literal(Value::String(rest[1..=end].to_owned()))), end + 2)
            }
            '=' | '!' | '<' | '>' => {
                let (comparison, used) = if rest.starts_with("==") {
                    (Comparison::Equal, 2)
                } else if rest.starts_with("!=") {
                    (Comparison::NotEqual, 2)
                } else if rest.starts_with("<=") {
                    (Comparison::LessOrEqual, 2)
                } else if rest.starts_with(">=") {
                    (Comparison::GreaterOrEqual, 2)
                } else if first == '<' {
                    (Comparison::Less, 1)
                } else if first == '>' {
                    (Comparison::Greater, 1)
                } else {
                    return Err(bad(format!("`{first}` alone is no operator; use == or !=")));
                };
                (Token::Compare(comparison), used)
            }
            _ => {
                let end =
                    rest.find(|c: char| c.is_whitespace() || "()=!<>\"'$".contains(c)).unwrap_or(rest.len());
                let word = &rest[..end];
                let token = match word {
                    "and" => Token::And,
                    "or" => Token::Or,
                    "not" => Token::Not,
                    "true" => Token::Operand(Condition::Literal(Value::Bool(true))),
                    "false" => Token::Operand(Condition::Literal(Value::Bool(false))),
                    "null" => Token::Operand(Condition::Literal(Value::Null)),
                    number => {
                        let number = number
                            .parse::<f64>()
                            .ok()
                            .and_then(serde_json::Number::from_f64)
                            .ok_or_else(|| {
                                bad(format!("`{word}` is neither a number, a string in quotes nor ${{…}}"))
                            })?;
                        Token::Operand(Condition::Literal(Value::Number(number)))
                    }
                };
                (token, end)
            }
        };
        tokens.push(token);
        rest = rest[used..].trim_start();
    }
    Ok(tokens)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, why: &str) -> ReferenceError {
        ReferenceError(format!("condition `{}`: {why}", self.text))
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let hit = self.tokens.get(self.at) == Some(wanted);
        self.at += usize::from(hit);
        hit
    }

    fn or(&mut self, depth: usize) -> Result<Condition, ReferenceError> {
        let mut left = self.and(depth)?;
        while self.take(&Token::Or) {
            left = Condition::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Condition, ReferenceError> {
        let mut left = self.not(depth)?;
        while self.take(&Token::And) {
            left = Condition::And(Box::new(left), Box::new(self.not(depth)?));
        }
        Ok(left)
    }

    fn not(&mut self, depth: usize) -> Result<Condition, ReferenceError> {
        if depth > MAX_DEPTH {
            return Err(self.error("it nests too deep"));
        }
        if self.take(&Token::Not) {
            return Ok(Condition::Not(Box::new(self.not(depth + 1)?)));
        }
        let left = self.operand(depth)?;
        if let Some(Token::Compare(comparison)) = self.tokens.get(self.at) {
            let comparison = *comparison;
            self.at += 1;
            return Ok(Condition::Compare(Box::new(left), comparison, Box::new(self.operand(depth)?)));
        }
        Ok(left)
    }

    fn operand(&mut self, depth: usize) -> Result<Condition, ReferenceError> {
        if self.take(&Token::Open) {
            let inner = self.or(depth + 1)?;
            return if self.take(&Token::Close) {
                Ok(inner)
            } else {
                Err(self.error("a `(` is never closed"))
            };
        }
        match self.tokens.get(self.at) {
            Some(Token::Operand(operand)) => {
                let operand = operand.clone();
                self.at += 1;
                Ok(operand)
            }
            _ => Err(self.error("a value is missing; write a reference, a number or a string in quotes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(text: &str) -> bool {
        let params = json!({"n": 3, "codec": "x264", "none": null, "list": [1]});
        Condition::parse(text)
            .unwrap()
            .holds(&mut |reference| match &reference.root {
                crate::reference::Root::Param(name) => Ok(params[name].clone()),
                _ => Err(ReferenceError("params only".into())),
            })
            .unwrap()
    }

    #[test]
    fn operators_bind_as_documented() {
        assert!(holds("${params.n} == 3"));
        assert!(holds("${params.n} >= 3 and ${params.codec} == 'x264'"));
        assert!(holds("false or true and true"));
        assert!(!holds("(true or true) and false"));
        assert!(holds("not ${params.none} and ${params.list}"));
        assert!(holds("not (1 > 2)"));
        assert!(holds("${params.none} == null"));
        assert!(holds("${params.codec} != 3"));
        assert!(!holds("0"));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "1 +", "(1", "${params.n", "a == b", "1 = 1", "1 2", "'x", "and"] {
            assert!(Condition::parse(bad).is_err(), "{bad}");
        }
        let deep = "(".repeat(5000) + "1" + &")".repeat(5000);
        assert!(Condition::parse(&deep).is_err());
        let nots = "not ".repeat(5000) + "1";
        assert!(Condition::parse(&nots).is_err());
        let unordered = Condition::parse("1 < 'a'").unwrap();
        assert!(unordered.holds(&mut |_| unreachable!("no references")).is_err());
    }
}
