//! The house's configuration: one file, one section per department.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Error;

/// The configuration as read by the binary (file, environment and flags merged). A cheap handle is not needed: it is small.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config(Map<String, Value>);

impl Config {
    /// A configuration of these sections.
    pub fn new(sections: Map<String, Value>) -> Self {
        Self(sections)
    }

    /// A department's section as its own type. A missing section is read like an empty one, so a type whose fields all
    /// have defaults (`#[serde(default, deny_unknown_fields)]`) always succeeds on it.
    ///
    /// # Errors
    /// [`Error::Config`] names the section and what does not fit.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let value = self.0.get(name).cloned().unwrap_or_else(|| Value::Object(Map::new()));
        serde_json::from_value(value)
            .map_err(|error| Error::Config { section: name.to_owned(), reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Section {
        workers: u32,
    }

    #[test]
    fn a_section_is_typed_and_a_misspelt_key_is_named() {
        let sections = json!({"runs": {"workers": 3}, "bad": {"wrokers": 3}, "odd": 5});
        let config = Config::new(sections.as_object().unwrap().clone());
        assert_eq!(config.section::<Section>("runs").unwrap(), Section { workers: 3 });
        assert_eq!(config.section::<Section>("absent").unwrap(), Section::default());
        let message = config.section::<Section>("bad").unwrap_err().to_string();
        assert!(message.contains("[bad]") && message.contains("wrokers"), "{message}");
        assert!(config.section::<Section>("odd").is_err());
    }
}
