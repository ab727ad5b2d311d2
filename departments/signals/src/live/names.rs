//! What signals are called: `requests{app=www,status=500}`, without the tags that all of them share.

use std::collections::HashMap;

use backlot_series::{Series, Tags};

/// The tag that names a metric.
const NAME: &str = "name";

/// As much of a query stands for a series without tags.
const MOST_QUERY: usize = 80;

/// What to call a series with these tags; one without any is called as its query.
pub(crate) fn name_of(tags: &Tags, query: &str) -> String {
    let text = named(tags, |_, _| true);
    if text.is_empty() { query.chars().take(MOST_QUERY).collect() } else { text }
}

fn named(tags: &Tags, wanted: impl Fn(&str, &str) -> bool) -> String {
    let rest: Vec<String> = tags
        .iter()
        .filter(|(key, value)| *key != NAME && wanted(key, value))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let name = tags.get(NAME).unwrap_or_default();
    if rest.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", rest.join(",")) }
}

/// A name for each candidate, all different and none the alert's; and the tags they share, as a note.
pub(super) fn name_all(alert: &str, candidates: &[Series]) -> (Vec<String>, Option<String>) {
    let shared = shared(candidates);
    let mut taken = HashMap::from([(alert.to_owned(), 1_usize)]);
    let mut names = Vec::with_capacity(candidates.len());
    for one in candidates {
        let mut name = named(&one.tags, |key, _| shared.get(key).is_none());
        if name.is_empty() {
            name = named(&one.tags, |_, _| true);
        }
        if name.is_empty() {
            "signal".clone_into(&mut name);
        }
        // Several expressions of one query may give the same tags.
        while let Some(count) = taken.get_mut(&name) {
            *count += 1;
            let count = *count;
            name = format!("{name} #{count}");
        }
        taken.insert(name.clone(), 1);
        names.push(name);
    }
    let note = (!shared.is_empty()).then(|| format!("all candidates have {shared}"));
    (names, note)
}

/// The tags with one value in all candidates, the name left out; none of a single candidate.
fn shared(candidates: &[Series]) -> Tags {
    let Some((first, rest)) = candidates.split_first() else { return Tags::default() };
    if rest.is_empty() {
        return Tags::default();
    }
    let mut shared: Vec<(&str, &str)> = first.tags.iter().filter(|(key, _)| *key != NAME).collect();
    for one in rest {
        shared.retain(|(key, value)| one.tags.get(key) == Some(value));
    }
    Tags::new(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(pairs: &[(&str, &str)]) -> Series {
        Series { tags: Tags::new(pairs.iter().copied()), values: Vec::new() }
    }

    #[test]
    fn shared_tags_are_told_once_and_equal_names_are_numbered() {
        let all = [
            series(&[("name", "rps"), ("app", "www"), ("host", "a")]),
            series(&[("name", "rps"), ("app", "www"), ("host", "b")]),
            series(&[("name", "cpu"), ("app", "www")]),
            series(&[("name", "cpu"), ("app", "www")]),
            series(&[("name", "cpu"), ("app", "www")]),
            series(&[("name", "alert"), ("app", "www")]),
        ];
        let (names, note) = name_all("alert", &all);
        assert_eq!(names, ["rps{host=a}", "rps{host=b}", "cpu", "cpu #2", "cpu #3", "alert #2"]);
        assert_eq!(note.unwrap(), "all candidates have app=www");
        let (names, note) = name_all("x", &all[..1]);
        assert_eq!((names[0].as_str(), note), ("rps{app=www,host=a}", None));
        assert_eq!(name_of(&Tags::default(), ":true,:sum"), ":true,:sum");
        let (names, _) = name_all("x", &[series(&[]), series(&[])]);
        assert_eq!(names, ["signal", "signal #2"]);
    }
}
