//! Inhibition: while one alert fires, others that follow from it are not told.
//!
//! For each rule the firing source alerts are kept by the values of the rule's equal labels, so that asking whether an alert is
//! inhibited costs one look-up a rule, however many alerts there are. The index is a function of the firing alerts alone: after a
//! reload or a restart it is built from all of them before anything is sent, so nothing is ever told because its inhibitor
//! was not loaded yet.

use std::collections::{BTreeSet, HashMap};

use crate::Labels;
use crate::config::InhibitRule;
use crate::labels::Fingerprint;
use crate::matcher::all_match;

#[derive(Clone, Debug, Default)]
pub(crate) struct Inhibitor {
    rules: Vec<InhibitRule>,
    sources: Vec<HashMap<Vec<String>, BTreeSet<(bool, Fingerprint)>>>,
}

impl Inhibitor {
    pub(crate) fn new<'a>(
        rules: &[InhibitRule],
        firing: impl Iterator<Item = (Fingerprint, &'a Labels)>,
    ) -> Self {
        let mut inhibitor = Self { rules: rules.to_vec(), sources: vec![HashMap::new(); rules.len()] };
        for (fingerprint, labels) in firing {
            inhibitor.insert(fingerprint, labels);
        }
        inhibitor
    }

    fn key(rule: &InhibitRule, labels: &Labels) -> Vec<String> {
        rule.equal.iter().map(|name| labels.get(name).to_owned()).collect()
    }

    /// An alert fires.
    pub(crate) fn insert(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        for (rule, sources) in self.rules.iter().zip(&mut self.sources) {
            if all_match(&rule.source, labels) {
                // Those that could be targets too come last: they inhibit fewer.
                let is_target = all_match(&rule.target, labels);
                sources.entry(Self::key(rule, labels)).or_default().insert((is_target, fingerprint));
            }
        }
    }

    /// An alert is over.
    pub(crate) fn remove(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        for (rule, sources) in self.rules.iter().zip(&mut self.sources) {
            let key = Self::key(rule, labels);
            if let Some(set) = sources.get_mut(&key) {
                set.remove(&(false, fingerprint));
                set.remove(&(true, fingerprint));
                if set.is_empty() {
                    sources.remove(&key);
                }
            }
        }
    }

    /// The alert that inhibits these labels: of two that could inhibit one another neither does.
    pub(crate) fn inhibiting(&self, labels: &Labels) -> Option<Fingerprint> {
        self.rules.iter().zip(&self.sources).find_map(|(rule, sources)| {
            if sources.is_empty() || !all_match(&rule.target, labels) {
                return None;
            }
            let (source_is_target, fingerprint) = sources.get(&Self::key(rule, labels))?.first()?;
            let two_sided = *source_is_target && all_match(&rule.source, labels);
            (!two_sided).then_some(*fingerprint)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::parse_matchers;

    #[test]
    fn many_targets_cost_one_look_each_and_nothing_inhibits_itself() {
        let rule = InhibitRule {
            source: parse_matchers(r#"severity=~"down|page""#).unwrap(),
            target: parse_matchers(r#"severity=~"page|ticket""#).unwrap(),
            equal: vec!["host".to_owned()],
        };
        let of = |host: &str, severity: &str| -> Labels {
            [("host", host), ("severity", severity)].into_iter().collect()
        };
        let (down, page) = (of("a", "down"), of("b", "page"));
        let firing = [(down.fingerprint(), &down), (page.fingerprint(), &page)];
        let mut inhibitor = Inhibitor::new(&[rule], firing.into_iter());
        assert_eq!(inhibitor.inhibiting(&of("a", "ticket")), Some(down.fingerprint()));
        assert_eq!(inhibitor.inhibiting(&of("b", "ticket")), Some(page.fingerprint()));
        // A page is source and target: it inhibits neither itself nor another page.
        assert_eq!(inhibitor.inhibiting(&page), None);
        assert_eq!(inhibitor.inhibiting(&of("c", "ticket")), None);
        inhibitor.remove(down.fingerprint(), &down);
        assert_eq!(inhibitor.inhibiting(&of("a", "ticket")), None);
    }
}
