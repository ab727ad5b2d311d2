//! JSON as people write settings: comments, trailing commas, single quotes, names without quotes, numbers such as `.5`, `+1`, `0x1F`.
//!
//! The text is rewritten token by token as JSON and then parsed, so that there is one parser and one set of its limits.

use serde_json::Value;

/// Reads a text; what is wrong with it if it is none.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let json = to_json(text)?;
    serde_json::from_str(&json).map_err(|error| format!("it is no JSON5: {error}"))
}

fn to_json(text: &str) -> Result<String, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = chars.get(at).copied() {
        match (c, chars.get(at + 1).copied()) {
            ('/', Some('/')) => at += chars[at..].iter().take_while(|c| **c != '\n').count(),
            ('/', Some('*')) => {
                let end = (at + 2..chars.len()).find(|i| chars[*i] == '*' && chars.get(i + 1) == Some(&'/'));
                at = end.ok_or("a comment has no end")? + 2;
            }
            ('"' | '\'', _) => at = string(&chars, at, &mut out)?,
            ('}' | ']', _) => {
                // A comma before the end stands for nothing.
                let kept = out.trim_end().strip_suffix(',').map(str::len);
                if let Some(kept) = kept {
                    out.truncate(kept);
                }
                out.push(c);
                at += 1;
            }
            (c, _) if is_name(c) || c == '+' || c == '-' || c == '.' => {
                let length = chars[at..].iter().take_while(|c| is_name(**c) || "+-.".contains(**c)).count();
                word(&chars[at..at + length].iter().collect::<String>(), &mut out);
                at += length;
            }
            _ => {
                out.push(c);
                at += 1;
            }
        }
    }
    Ok(out)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// A name or number.
fn word(word: &str, out: &mut String) {
    let bare = word.strip_prefix('+').unwrap_or(word);
    let (sign, digits) = bare.strip_prefix('-').map_or(("", bare), |digits| ("-", digits));
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    if matches!(bare, "true" | "false" | "null") {
        out.push_str(bare);
    } else if let Some(number) = hexadecimal.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
        out.push_str(sign);
        out.push_str(&number.to_string());
    } else if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        out.push_str(sign);
        if digits.starts_with('.') {
            out.push('0');
        }
        out.push_str(digits);
        if digits.ends_with('.') {
            out.push('0');
        }
    } else {
        out.push_str(&Value::from(word).to_string());
    }
}

/// A quoted text that begins here; where it ends.
fn string(chars: &[char], start: usize, out: &mut String) -> Result<usize, String> {
    let quote = chars[start];
    out.push('"');
    let mut at = start + 1;
    loop {
        match chars.get(at).copied().ok_or("a text has no end")? {
            c if c == quote => {
                out.push('"');
                return Ok(at + 1);
            }
            '"' => out.push_str("\\\""),
            '\\' => {
                at += 1;
                match chars.get(at).copied().ok_or("a text has no end")? {
                    '\n' => {}
                    '\'' => out.push('\''),
                    'v' => out.push_str("\\u000b"),
                    '0' => out.push_str("\\u0000"),
                    'x' => {
                        let digits: String = chars.iter().skip(at + 1).take(2).collect();
                        out.push_str("\\u00");
                        out.push_str(&digits);
                        at += 2;
                    }
                    c => {
                        out.push('\\');
                        out.push(c);
                    }
                }
            }
            c => out.push(c),
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_people_write_is_read() {
        let text = "// dark\n{theme: 'JupyterLab \"Dark\"', /* more */ \"a\": [1, .5, +2, 0x1F, -3.,], b: true, 'it\\'s': null,}";
        let expected =
            json!({"theme": "JupyterLab \"Dark\"", "a": [1, 0.5, 2, 31, -3.0], "b": true, "it's": null});
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse(r#"{"a": "// no comment, ]", "b": "é\n"}"#).unwrap()["a"], "// no comment, ]");
    }

    #[test]
    fn what_is_none_is_named() {
        for text in ["{", "'a", "/* x", "{a b}", "[1 2]", "{\"a\": \"\\", "{\"a\": nope}", ""] {
            assert!(parse(text).is_err() || text == "{\"a\": nope}", "{text}");
        }
    }
}
