//! The little that the ledger must know about SQL text: parameter spelling, and what sort of statement it is.
//!
//! Statements are written with `$1 $2 …`. SQLite would read `$1` as a parameter *named* `$1`, numbered by first
//! appearance, so it gets `?1`. Literals, quoted names and comments are left alone.

/// What a statement does, as far as its first word tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only reads: SELECT, VALUES, EXPLAIN, PRAGMA, SHOW.
    Read,
    /// Changes rows, perhaps none: INSERT, UPDATE, DELETE, WITH, MERGE, REPLACE.
    Change,
    /// Anything else that is allowed, such as CREATE: counted as a change.
    Schema,
    /// BEGIN, COMMIT, SAVEPOINT and the like, which are the ledger's own.
    Control,
}

/// The sort of statement `sql` is.
pub(crate) fn kind(sql: &str) -> Kind {
    let word = first_word(sql);
    let is = |words: &[&str]| words.iter().any(|w| w.eq_ignore_ascii_case(word));
    if is(&["select", "values", "explain", "pragma", "show"]) {
        Kind::Read
    } else if is(&["insert", "update", "delete", "with", "merge", "replace"]) {
        Kind::Change
    } else if is(&["begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare"])
    {
        Kind::Control
    } else {
        Kind::Schema
    }
}

fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';' || c == '(');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            break;
        }
    }
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    &rest[..end]
}

/// A plain `INSERT INTO … VALUES ($1, …, $n)` as one statement for `rows` rows: `VALUES ($1, …, $n), ($n+1, …), …`. `None`
/// for every other statement, also one with ON CONFLICT, which may not meet the same row twice, and one with RETURNING.
pub(crate) fn for_rows(sql: &str, rows: usize) -> Option<String> {
    let text = sql.trim();
    let values = text.to_ascii_uppercase().rfind("VALUES")?; // the same length: only ASCII letters change
    let (head, tuple) = (&text[..values], text[values + "VALUES".len()..].trim());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "_,()".contains(c);
    if !first_word(head).eq_ignore_ascii_case("insert") || !head.chars().all(is_plain) {
        return None;
    }
    let parameters: Vec<&str> =
        tuple.strip_prefix('(')?.strip_suffix(')')?.split(',').map(str::trim).collect();
    let in_order = (1..).zip(&parameters).all(|(number, parameter)| *parameter == format!("${number}"));
    if !in_order {
        return None;
    }
    let width = parameters.len();
    let tuples: Vec<String> = (0..rows)
        .map(|row| {
            let places: Vec<String> =
                (1..=width).map(|column| format!("${}", row * width + column)).collect();
            format!("({})", places.join(", "))
        })
        .collect();
    Some(format!("{head}VALUES {}", tuples.join(", ")))
}

/// `sql` with `$n` parameters spelled `?n`.
pub(crate) fn for_sqlite(sql: &str) -> String {
    let bytes = sql.as_bytes();
    let mut out = String::with_capacity(sql.len());
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => at = end_of_quote(bytes, at, quote),
            b'-' if bytes.get(at + 1) == Some(&b'-') => at = find(bytes, at, b"\n"),
            b'/' if bytes.get(at + 1) == Some(&b'*') => at = find(bytes, at + 2, b"*/"),
            b'$' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {
                out.push_str(&sql[copied..at]);
                out.push('?');
                copied = at + 1;
                at += 2;
            }
            _ => at += 1,
        }
    }
    out.push_str(&sql[copied..]);
    out
}

/// The index just past the quoted text that opens at `start`. A doubled quote inside closes and opens again, which
/// comes to the same.
fn end_of_quote(bytes: &[u8], start: usize, quote: u8) -> usize {
    let inside = &bytes[start + 1..];
    inside.iter().position(|&b| b == quote).map_or(bytes.len(), |length| start + 1 + length + 1)
}

/// The index just past the next `needle`, or the end.
fn find(bytes: &[u8], start: usize, needle: &[u8]) -> usize {
    let rest = &bytes[start..];
    rest.windows(needle.len()).position(|w| w == needle).map_or(bytes.len(), |at| start + at + needle.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_inserts_become_statements_of_many_rows() {
        assert_eq!(
            for_rows("insert into t (a, b)\n  values ( $1,$2 )", 3).unwrap(),
            "insert into t (a, b)\n  VALUES ($1, $2), ($3, $4), ($5, $6)"
        );
        for sql in [
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO NOTHING",
            "INSERT INTO t (a) VALUES ($1) RETURNING a",
            "INSERT INTO t (a, b) VALUES ($2, $1)",
            "INSERT INTO t (a, b) VALUES ($1, $1)",
            "INSERT INTO t (a) VALUES ($1 + 1)",
            "INSERT INTO t (a) VALUES ($1), ($2)",
            "INSERT INTO t (a) VALUES (1)",
            "INSERT INTO \"t values\" (a) SELECT $1",
            "INSERT INTO t (a) SELECT 'values' || $1",
            "UPDATE t SET a = $1",
            "VALUES ($1)",
        ] {
            assert_eq!(for_rows(sql, 2), None, "{sql}");
        }
    }

    #[test]
    fn parameters_become_question_marks() {
        for (sql, expected) in [
            ("SELECT $1, $12", "SELECT ?1, ?12"),
            ("SELECT '$1', \"$2\", $3", "SELECT '$1', \"$2\", ?3"),
            ("SELECT 'it''s $1' || $1", "SELECT 'it''s $1' || ?1"),
            ("SELECT $1 -- not $2\n, $2", "SELECT ?1 -- not $2\n, ?2"),
            ("SELECT /* $1 ' */ $1", "SELECT /* $1 ' */ ?1"),
            ("SELECT 'unclosed $1", "SELECT 'unclosed $1"),
            ("SELECT 'é$1' , $1", "SELECT 'é$1' , ?1"),
            ("$", "$"),
        ] {
            assert_eq!(for_sqlite(sql), expected);
        }
    }

    #[test]
    fn first_words_decide() {
        assert_eq!(kind("select 1"), Kind::Read);
        assert_eq!(kind("  -- why\n /* and */ (SELECT 1)"), Kind::Read);
        assert_eq!(kind("WITH x AS (SELECT 1) DELETE FROM t"), Kind::Change);
        assert_eq!(kind("CREATE TABLE t (a BIGINT)"), Kind::Schema);
        assert_eq!(kind(";COMMIT"), Kind::Control);
        assert_eq!(kind(""), Kind::Schema);
    }

    proptest::proptest! {
        #[test]
        fn translation_keeps_everything_else(sql in "[a-z$0-9'\"\\-/*\n é]{0,60}") {
            let translated = for_sqlite(&sql);
            proptest::prop_assert_eq!(translated.replace('?', "$"), sql);
        }
    }
}
