//! Reading a run's spec from a file. Whether it can run is the server's to say, which knows the kinds.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::Error;

/// The server takes no larger request.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a spec: JSON or TOML as the file's ending says, else as it looks.
///
/// # Errors
/// [`Error::Spec`] names the file, and the place in it that is wrong.
pub fn read_spec(path: &Path) -> Result<Value, Error> {
    let failed = |reason: String| Error::Spec { path: path.to_owned(), reason };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text);
    if read.map_err(|error| failed(error.to_string()))? as u64 > MOST_BYTES {
        return Err(failed("it is larger than 16 MiB".to_owned()));
    }
    let is_json = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    };
    let value = if is_json {
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?
    } else {
        toml::from_str(&text).map_err(|error| failed(at(&text, &error)))?
    };
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(failed("it is no JSON object".to_owned())),
    }
}

/// TOML's error in one line.
fn at(text: &str, error: &toml::de::Error) -> String {
    let place = error.span().map(|span| {
        let before = text.get(..span.start).unwrap_or_default();
        format!("line {}: ", before.matches('\n').count() + 1)
    });
    format!("{}{}", place.unwrap_or_default(), error.message().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn specs_are_read_by_ending_or_look() {
        let home = tempfile::tempdir().unwrap();
        let toml = "name = \"x\"\n[[step]]\nname = \"a\"\nkind = \"k\"\n";
        let json = r#" {"name": "x", "step": [{"name": "a", "kind": "k"}]}"#;
        for (name, text) in [("a.toml", toml), ("a.json", json), ("a", toml), ("b", json)] {
            let path = home.path().join(name);
            std::fs::write(&path, text).unwrap();
            let spec = read_spec(&path).unwrap();
            assert_eq!(spec, json!({ "name": "x", "step": [{ "name": "a", "kind": "k" }] }), "{name}");
        }
    }

    #[test]
    fn mistakes_name_their_place_in_one_line() {
        let home = tempfile::tempdir().unwrap();
        for (name, text, place) in [
            ("a.toml", "name = 1\nstep = [", "line 2"),
            ("a.json", "{\n,", "line 2"),
            ("b.json", "[]", "no JSON object"),
        ] {
            let path = home.path().join(name);
            std::fs::write(&path, text).unwrap();
            let error = read_spec(&path).unwrap_err().to_string();
            assert!(error.contains(place) && error.contains(name) && !error.contains('\n'), "{error}");
        }
        assert!(read_spec(Path::new("/no/such/spec")).unwrap_err().to_string().contains("/no/such/spec"));
    }
}
