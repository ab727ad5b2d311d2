//! The index finds what a scan finds.

use backlot_series::{Case, Pattern, Query, TagIndex, Tags};
use proptest::prelude::*;

fn query() -> impl Strategy<Value = Query> {
    let key = prop::sample::select(vec!["a", "b", "c"]);
    let value = prop::sample::select(vec!["0", "1", "2", "10", "x"]);
    let leaf = (key, value, 0..9u8).prop_map(|(key, value, form)| {
        let (key, value): (std::sync::Arc<str>, std::sync::Arc<str>) = (key.into(), value.into());
        match form {
            0 => Query::True,
            1 => Query::Has(key),
            2 => Query::Less(key, value),
            3 => Query::LessEqual(key, value),
            4 => Query::Greater(key, value),
            5 => Query::GreaterEqual(key, value),
            6 => Query::Regex(key, Pattern::new(value, Case::Sensitive).expect("it is a pattern")),
            7 => Query::In(key, vec![value, "2".into()]),
            _ => Query::Equal(key, value),
        }
    });
    leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| left.and(right)),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| left.or(right)),
            inner.prop_map(Query::negated),
        ]
    })
}

fn tags() -> impl Strategy<Value = Tags> {
    let key = prop::sample::select(vec!["a", "b", "c"]);
    let value = prop::sample::select(vec!["0", "1", "2", "10", "x"]);
    prop::collection::vec((key, value), 0..4).prop_map(Tags::new)
}

proptest! {
    #[test]
    fn the_index_finds_what_a_scan_finds(series in prop::collection::vec(tags(), 0..30), gone in 0..8usize, query in query()) {
        let mut index = TagIndex::default();
        for (id, tags) in series.iter().enumerate() {
            index.insert(id as u32, tags);
        }
        for (id, tags) in series.iter().enumerate().take(gone) {
            index.remove(id as u32, tags);
        }
        let scan: Vec<u32> = (0..series.len()).skip(gone).filter(|&id| query.matches(&series[id])).map(|id| id as u32).collect();
        prop_assert_eq!(index.find(&query).iter().collect::<Vec<_>>(), scan.clone());
        for key in index.keys(&query) {
            let having = scan.iter().filter(|&&id| series[id as usize].get(&key.name).is_some()).count();
            prop_assert_eq!(key.count, having as u64);
            let sum: u64 = index.values(&key.name, &query).iter().map(|value| value.count).sum();
            prop_assert_eq!(sum, key.count);
        }
    }
}
