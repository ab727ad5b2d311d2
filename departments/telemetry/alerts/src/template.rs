//! Templates of subjects and texts: the part of Go's templates that notifications need.
//!
//! `{{ .Status }}`, `{{ .Receiver }}`, `{{ .ExternalURL }}`, `{{ .GroupLabels.NAME }}`, `{{ .CommonLabels.NAME }}`,
//! `{{ .CommonAnnotations.NAME }}`, the whole of one of the last three, and `| toUpper`, `| toLower`. Anything else is refused
//! when the configuration is read, not when the alert is to be sent.

use crate::Labels;

/// Why a template is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the template action `{0}` is not supported; there are .Status, .Receiver, .ExternalURL, .GroupLabels, .CommonLabels and .CommonAnnotations, with toUpper and toLower"
)]
pub struct TemplateError(String);

/// A text with places to fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Source, Case),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Status,
    Receiver,
    ExternalUrl,
    Group(Option<String>),
    Common(Option<String>),
    Annotation(Option<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    AsIs,
    Upper,
    Lower,
}

/// What a template is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// `firing` or `resolved`.
    pub status: &'a str,
    /// The receiver's name.
    pub receiver: &'a str,
    /// Where people find us.
    pub external_url: &'a str,
    /// The group's labels.
    pub group: &'a Labels,
    /// Labels that all alerts share.
    pub common: &'a Labels,
    /// Annotations that all alerts share.
    pub annotations: &'a Labels,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// An action that is not among those above.
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (action, after) = after.split_once("}}").ok_or_else(|| TemplateError(shorten(after)))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(piece(action)?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// Fills it.
    pub fn fill(&self, values: &Values<'_>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Value(source, case) => {
                    let value = source.get(values);
                    match case {
                        Case::AsIs => text.push_str(&value),
                        Case::Upper => text.push_str(&value.to_uppercase()),
                        Case::Lower => text.push_str(&value.to_lowercase()),
                    }
                }
            }
        }
        text
    }
}

fn shorten(text: &str) -> String {
    text.trim().chars().take(80).collect()
}

fn piece(action: &str) -> Result<Piece, TemplateError> {
    let wrong = || TemplateError(shorten(action));
    let mut parts = action.split('|').map(str::trim);
    let source = parts.next().unwrap_or_default();
    let case = match (parts.next(), parts.next()) {
        (None, _) => Case::AsIs,
        (Some("toUpper"), None) => Case::Upper,
        (Some("toLower"), None) => Case::Lower,
        _ => return Err(wrong()),
    };
    let name = |prefix: &str| {
        let rest = source.strip_prefix(prefix)?;
        match rest.strip_prefix('.') {
            Some(name) if crate::labels::is_label_name(name) => Some(Some(name.to_owned())),
            None if rest.is_empty() => Some(None),
            _ => None,
        }
    };
    let source = match source {
        ".Status" => Source::Status,
        ".Receiver" => Source::Receiver,
        ".ExternalURL" => Source::ExternalUrl,
        _ => name(".GroupLabels")
            .map(Source::Group)
            .or_else(|| name(".CommonLabels").map(Source::Common))
            .or_else(|| name(".CommonAnnotations").map(Source::Annotation))
            .ok_or_else(wrong)?,
    };
    Ok(Piece::Value(source, case))
}

impl Source {
    fn get(&self, values: &Values<'_>) -> String {
        let of = |labels: &Labels, name: &Option<String>| match name {
            Some(name) => labels.get(name).to_owned(),
            None => {
                labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
            }
        };
        match self {
            Self::Status => values.status.to_owned(),
            Self::Receiver => values.receiver.to_owned(),
            Self::ExternalUrl => values.external_url.to_owned(),
            Self::Group(name) => of(values.group, name),
            Self::Common(name) => of(values.common, name),
            Self::Annotation(name) => of(values.annotations, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        let template =
            Template::new("[{{ .Status | toUpper }}] {{.GroupLabels.alertname}}: {{ .CommonLabels }}")
                .unwrap();
        let group: Labels = [("alertname", "Disk")].into_iter().collect();
        let common = group.clone().with("host", "a");
        let values = Values {
            status: "firing",
            receiver: "r",
            external_url: "",
            group: &group,
            common: &common,
            annotations: &Labels::default(),
        };
        assert_eq!(template.fill(&values), "[FIRING] Disk: alertname=Disk host=a");
    }

    #[test]
    fn what_is_not_there_is_refused_when_it_is_read() {
        for text in
            ["{{ range .Alerts }}", "{{ .Status", "{{ .Status | html | toUpper }}", "{{ .CommonLabels.a.b }}"]
        {
            assert!(Template::new(text).is_err(), "{text}");
        }
    }
}
