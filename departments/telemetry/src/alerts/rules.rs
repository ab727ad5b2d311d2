//! Rules: an expression, and what an alert of it is called.

use std::collections::{HashMap, HashSet};

use backlot_alerts::{Fingerprint, Labels, is_label_name};
use backlot_atlas::{Expr, Line, parse, substitute};
use backlot_series::{Tags, nan};
use serde::{Deserialize, Serialize};

/// Most rules of a house.
pub(crate) const MOST_RULES: usize = 200_000;

/// Most alerts of one rule: beyond them something is wrong with the rule, not with the house.
const MOST_ALERTS_OF_A_RULE: usize = 1000;

/// A rule as it is kept and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// Its id.
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) spec: RuleSpec,
    /// When it was last changed, in milliseconds since 1970.
    pub(crate) updated_at: i64,
    /// By whom.
    pub(crate) updated_by: String,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSpec {
    /// The alert's name.
    pub(crate) name: String,
    /// The expression whose lines are alerts where they are not zero.
    pub(crate) expression: String,
    /// Labels beside those that come from a line's tags.
    #[serde(default)]
    pub(crate) labels: Labels,
    /// Annotations; `$key` is the line's tag, `$value` its value.
    #[serde(default)]
    pub(crate) annotations: Labels,
    /// How long a line must be so before it is an alert: `5m`.
    #[serde(default, rename = "for", skip_serializing_if = "String::is_empty")]
    pub(crate) wait: String,
    /// Whether it is evaluated.
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
}

fn yes() -> bool {
    true
}

/// A rule that was read.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) expr: Expr,
    /// In milliseconds.
    pub(crate) wait: i64,
}

/// Longest texts of a rule.
const LONGEST_NAME: usize = 200;
const LONGEST_EXPRESSION: usize = 16 << 10;
const LONGEST_TEXTS: usize = 8 << 10;

impl RuleSpec {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub(crate) fn compile(&self) -> Result<Compiled, String> {
        if self.name.trim().is_empty() || self.name.len() > LONGEST_NAME {
            return Err(format!("`name` is empty or longer than {LONGEST_NAME} bytes"));
        }
        if self.expression.len() > LONGEST_EXPRESSION {
            return Err(format!("`expression` is longer than {LONGEST_EXPRESSION} bytes"));
        }
        for (what, texts) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if let Some((name, _)) = texts.iter().find(|(name, _)| !is_label_name(name)) {
                return Err(format!("{what}: `{name}` is no name; use letters, digits and _"));
            }
            let size: usize = texts.iter().map(|(name, value)| name.len() + value.len()).sum();
            if size > LONGEST_TEXTS {
                return Err(format!("{what} are longer than {LONGEST_TEXTS} bytes"));
            }
        }
        let wait = if self.wait.is_empty() {
            0
        } else {
            backlot_atlas::duration(&self.wait).map_err(|error| format!("`for`: {error}; write 5m"))?
        };
        if !(0..=7 * 86_400_000).contains(&wait) {
            return Err("`for` is longer than a week".to_owned());
        }
        let all = parse(&self.expression).map_err(|error| error.to_string())?;
        // Graphs of alerts show signal and prediction beside the span in which the alert holds.
        let spans: Vec<_> = all.iter().filter(|styled| styled.get("ls") == Some("vspan")).collect();
        let signal = match (&all[..], &spans[..]) {
            ([one], _) => one,
            (_, [span]) => *span,
            ([], _) => return Err("the expression leaves nothing on the stack".to_owned()),
            _ => {
                return Err(format!(
                    "the expression leaves {} lines of thought on the stack; leave one, or mark the alert's with :vspan",
                    all.len()
                ));
            }
        };
        if signal.get("offset").is_some() {
            return Err("an alert is about now; the list of offsets makes several graphs of one".to_owned());
        }
        Ok(Compiled { expr: signal.expr.clone(), wait })
    }

    /// The labels of the alert of a line.
    pub(crate) fn labels_of(&self, tags: &Tags) -> Labels {
        let mut labels = Labels::default();
        for (key, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
            labels.set(label_name(key), value);
        }
        for (name, value) in self.labels.iter() {
            labels.set(name, value);
        }
        labels.set("alertname", self.name.as_str());
        labels
    }

    /// The annotations of the alert of a line.
    pub(crate) fn annotations_of(&self, tags: &Tags, value: f64) -> Labels {
        let fill = |text: &str| {
            substitute(text, &mut |key| match key {
                "value" => backlot_atlas::number_text(value),
                key => tags.get(key).unwrap_or(key).to_owned(),
            })
        };
        self.annotations.iter().map(|(name, text)| (name.to_owned(), fill(text))).collect()
    }
}

/// A tag's key as a label's name: what a name cannot have becomes `_`.
fn label_name(key: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut name: String = key.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// A line that has begun to be an alert.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Begun {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    /// Since when it holds.
    pub(crate) since: i64,
    pub(crate) value: f64,
}

/// What a rule remembers of its lines.
#[derive(Debug, Default)]
pub(crate) struct RuleState {
    /// Lines that hold, and since when.
    holding: HashMap<Tags, i64>,
    /// Its alerts.
    firing: HashSet<Fingerprint>,
}

impl RuleState {
    /// One whose alerts fire already.
    pub(crate) fn of(firing: impl IntoIterator<Item = Fingerprint>) -> Self {
        Self { holding: HashMap::new(), firing: firing.into_iter().collect() }
    }

    /// How many alerts fire, and how many lines hold.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.firing.len(), self.holding.len())
    }

    /// Its alerts.
    pub(crate) fn firing(&self) -> impl Iterator<Item = Fingerprint> {
        self.firing.iter().copied()
    }

    /// Goes on by one step, which ends at `at`; `position` is that of the step in the lines' values. Gives alerts that began
    /// and those that are over.
    pub(crate) fn step(
        &mut self,
        rule: &RuleSpec,
        wait: i64,
        at: i64,
        lines: &[Line],
        position: usize,
        settle: bool,
    ) -> (Vec<Begun>, Vec<Fingerprint>) {
        let holds = |line: &&Line| line.values.get(position).is_some_and(|&value| nan::is_true(value));
        let mut still = HashMap::new();
        let (mut begun, mut firing) = (Vec::new(), HashSet::new());
        for line in lines.iter().filter(holds).take(MOST_ALERTS_OF_A_RULE) {
            let since = self.holding.get(&line.tags).copied().unwrap_or(at);
            still.insert(line.tags.clone(), since);
            if !settle {
                continue;
            }
            let labels = rule.labels_of(&line.tags);
            let fingerprint = labels.fingerprint();
            // An alert that fired before a restart need not wait again.
            let fires = self.firing.contains(&fingerprint);
            if fires || at - since >= wait {
                if !fires && !firing.contains(&fingerprint) {
                    let value = line.values[position];
                    let annotations = rule.annotations_of(&line.tags, value);
                    begun.push(Begun { labels, annotations, since, value });
                }
                firing.insert(fingerprint);
            }
        }
        self.holding = still;
        if !settle {
            return (Vec::new(), Vec::new());
        }
        let over = self.firing.difference(&firing).copied().collect();
        self.firing = firing;
        (begun, over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(expression: &str) -> RuleSpec {
        RuleSpec {
            name: "High".to_owned(),
            expression: expression.to_owned(),
            labels: [("severity", "page")].into_iter().collect(),
            annotations: [("summary", "$(nf.node) has $value")].into_iter().collect(),
            wait: String::new(),
            enabled: true,
        }
    }

    #[test]
    fn one_line_of_thought_is_an_alert() {
        assert!(spec("name,a,:eq,:sum,5,:gt").compile().is_ok());
        assert!(spec("name,a,:eq,:sum,:dup,5,:gt,:vspan").compile().is_ok());
        for (expression, part) in [("a,:foo", "unknown word"), ("1,2", "2 lines of thought"), ("", "nothing")]
        {
            let error = spec(expression).compile().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let bad = RuleSpec { wait: "soon".to_owned(), ..spec("1") };
        assert!(bad.compile().unwrap_err().contains("`for`"));
        let bad = RuleSpec { labels: [("a.b", "c")].into_iter().collect(), ..spec("1") };
        assert!(bad.compile().unwrap_err().contains("a.b"));
    }

    #[test]
    fn lines_wait_begin_and_end() {
        let rule = spec("1");
        let line = |value: f64| Line::new(Tags::new([("nf.node", "i-1")]), None, vec![value]);
        let mut state = RuleState::default();
        assert!(state.step(&rule, 60, 0, &[line(1.0)], 0, true).0.is_empty());
        assert!(state.step(&rule, 60, 30, &[line(0.0)], 0, true).0.is_empty());
        assert!(state.step(&rule, 60, 60, &[line(2.0)], 0, true).0.is_empty());
        let (begun, _) = state.step(&rule, 60, 120, &[line(3.0)], 0, true);
        assert_eq!((begun[0].since, begun[0].value), (60, 3.0));
        assert_eq!(begun[0].labels.to_string(), r#"{alertname="High", nf_node="i-1", severity="page"}"#);
        assert_eq!(begun[0].annotations.get("summary"), "i-1 has 3.0");
        let (begun, over) = state.step(&rule, 60, 180, &[line(3.0)], 0, true);
        assert!(begun.is_empty() && over.is_empty());
        let (_, over) = state.step(&rule, 60, 240, &[line(f64::NAN)], 0, true);
        assert_eq!(over.len(), 1);
    }
}
