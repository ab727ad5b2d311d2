//! The configuration file: TOML, flattened to settings, and one table per department.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_department::CommandError;
use serde_json::{Map, Value};

use super::keys::{self, nearest};

/// A file larger than this is not a configuration.
const MOST_BYTES: u64 = 1 << 20;

/// What a configuration file says.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// Where it was read from; `None` when there is none.
    pub(crate) path: Option<PathBuf>,
    /// Settings by key, as text.
    pub(crate) settings: BTreeMap<&'static str, String>,
    /// The tables of departments.
    pub(crate) sections: Map<String, Value>,
}

impl File {
    /// Reads the file. One that is not there is an empty one, unless it was asked for.
    pub(crate) fn read(path: &Path, is_asked_for: bool, departments: &[&str]) -> Result<Self, CommandError> {
        let refuse = |reason: String, mend: &str| {
            CommandError::usage(format!("the configuration {}: {reason}", path.display()), mend)
        };
        let meta = match std::fs::metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_asked_for => {
                return Ok(Self::default());
            }
            Err(error) => return Err(refuse(error.to_string(), "write it, or name another with --config")),
        };
        if !meta.is_file() || meta.len() > MOST_BYTES {
            return Err(refuse("it is not a file of at most 1 MiB".into(), "name a TOML file with --config"));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| refuse(error.to_string(), "make it a readable text file"))?;
        let mut file = Self::parse(&text, departments).map_err(|fault| {
            let place = fault.line.map(|line| format!("line {line}: ")).unwrap_or_default();
            refuse(format!("{place}{}", fault.reason), &fault.mend)
        })?;
        file.path = Some(path.to_owned());
        Ok(file)
    }

    fn parse(text: &str, departments: &[&str]) -> Result<Self, Fault> {
        let table: toml::Table = toml::from_str(text).map_err(|error| Fault {
            line: error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1),
            reason: error.message().lines().collect::<Vec<_>>().join(" "),
            mend: "correct that line".to_owned(),
        })?;
        let mut file = Self::default();
        for (name, value) in table {
            if departments.contains(&name.as_str()) {
                file.section(name, value)?;
            } else if let toml::Value::Table(inner) = value {
                for (inner_name, inner_value) in inner {
                    file.setting(&format!("{name}.{inner_name}"), &inner_value, departments)?;
                }
            } else {
                file.setting(&name, &value, departments)?;
            }
        }
        Ok(file)
    }

    fn section(&mut self, name: String, value: toml::Value) -> Result<(), Fault> {
        let json =
            serde_json::to_value(&value).map_err(|error| Fault::new(error.to_string(), "correct it"))?;
        if !json.is_object() {
            return Err(Fault::new(
                format!("`{name}` is a department, so it holds a table"),
                format!("write [{name}] and its settings below"),
            ));
        }
        self.sections.insert(name, json);
        Ok(())
    }

    fn setting(&mut self, name: &str, value: &toml::Value, departments: &[&str]) -> Result<(), Fault> {
        let Some(key) = keys::ALL.iter().find(|key| key.name == name) else {
            return Err(unknown(name, departments));
        };
        let scalar = |value: &toml::Value| match value {
            toml::Value::String(text) => Some(text.clone()),
            toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
                Some(value.to_string())
            }
            _ => None,
        };
        let text = match value {
            toml::Value::Array(items) => {
                items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|items| items.join(","))
            }
            other => scalar(other),
        };
        let text = text.ok_or_else(|| {
            Fault::new(
                format!("`{name}` cannot be a table or a date"),
                format!("give it a {}", key.value_name),
            )
        })?;
        self.settings.insert(key.name, text);
        Ok(())
    }
}

struct Fault {
    line: Option<usize>,
    reason: String,
    mend: String,
}

impl Fault {
    fn new(reason: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { line: None, reason: reason.into(), mend: mend.into() }
    }
}

fn unknown(name: &str, departments: &[&str]) -> Fault {
    let settings = keys::ALL.iter().map(|key| key.name);
    let tables = ["workers"].into_iter().chain(departments.iter().copied());
    // A misspelt table is told from a misspelt key within a right one by where the nearest word is.
    let near_table =
        name.split_once('.').and_then(|(table, _)| nearest(table, tables.clone().filter(|&t| t != table)));
    let mend = match (nearest(name, settings), near_table) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(near)) => format!("did you mean the table [{near}]?"),
        (None, None) => "`backlot config show` lists the keys".to_owned(),
    };
    Fault::new(format!("`{name}` is not a setting"), mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        File::parse(text, &["runs", "media"]).unwrap_err()
    }

    #[test]
    fn settings_are_flattened_and_sections_kept() {
        let text =
            "ledger = 'sqlite:///x'\nhosts = ['a', 'b']\n[workers]\ncpus = 1.5\n[media]\nffmpeg = 'x'\n";
        let file = File::parse(text, &["media"]).ok().unwrap();
        let settings: Vec<(&str, &str)> =
            file.settings.iter().map(|(key, text)| (*key, text.as_str())).collect();
        assert_eq!(settings, [("hosts", "a,b"), ("ledger", "sqlite:///x"), ("workers.cpus", "1.5")]);
        assert_eq!(file.sections["media"]["ffmpeg"], "x");
    }

    #[test]
    fn a_misspelt_key_or_table_is_named_with_the_near_miss() {
        for (text, wrong, near) in [
            ("ledgr = 'x'", "`ledgr`", "`ledger`"),
            ("[workers]\ncpu = 1", "`workers.cpu`", "`workers.cpus`"),
            ("[wokers]\ncpus = 1", "`wokers.cpus`", "`workers.cpus`"),
            ("[meida]\nffmpeg = 1", "`meida.ffmpeg`", "[media]"),
            ("catering = 1", "`catering`", "config show"),
        ] {
            let fault = fault(text);
            assert!(
                fault.reason.contains(wrong) && fault.mend.contains(near),
                "{}; {}",
                fault.reason,
                fault.mend
            );
        }
    }

    #[test]
    fn a_malformed_file_is_refused_with_its_line() {
        assert_eq!(fault("home = 'x'\nledger = = 1").line, Some(2));
        assert!(fault("media = 3").mend.contains("[media]"));
        assert!(fault("home = 1979-05-27").reason.contains("home"));
    }
}
