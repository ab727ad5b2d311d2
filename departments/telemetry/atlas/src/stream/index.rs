//! Which queries a series fulfils, without asking each.
//!
//! A query is taken apart into alternatives, each a conjunction. The equalities of a conjunction, sorted by key with `name` first,
//! are its path in a tree; what remains of it is asked at the end of the path. A series walks all paths that its own tags
//! open: a few look-ups by value, whether there are ten queries or a hundred thousand. Queries that begin with no equality
//! stand at the root, and are asked for every new series.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use backlot_series::{Query, Tags};

/// Most alternatives that a query is taken apart into; one with more is asked as a whole.
const MOST_ALTERNATIVES: usize = 64;

/// An index of queries.
#[derive(Debug)]
pub struct QueryIndex<T> {
    root: Node<T>,
    queries: usize,
}

#[derive(Debug)]
struct Node<T> {
    here: Vec<(Query, T)>,
    below: BTreeMap<Arc<str>, HashMap<Arc<str>, Node<T>>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { here: Vec::new(), below: BTreeMap::new() }
    }
}

impl<T> Default for QueryIndex<T> {
    fn default() -> Self {
        Self { root: Node::default(), queries: 0 }
    }
}

type Path = Vec<(Arc<str>, Arc<str>)>;

/// The paths under which a query stands.
fn paths(query: &Query) -> Vec<Path> {
    let Some(alternatives) = alternatives(query) else { return vec![Vec::new()] };
    let mut paths: Vec<Path> = alternatives
        .into_iter()
        .map(|mut path| {
            path.sort_by(|left, right| {
                ((&*left.0 != "name"), &left.0, &left.1).cmp(&((&*right.0 != "name"), &right.0, &right.1))
            });
            path.dedup();
            path
        })
        .collect();
    paths.sort();
    paths.dedup();
    // A path that begins with another one would find the query twice.
    let all = paths.clone();
    paths.retain(|path| !all.iter().any(|shorter| shorter.len() < path.len() && path.starts_with(shorter)));
    paths
}

/// The equalities of each alternative; `None` if there are too many.
fn alternatives(query: &Query) -> Option<Vec<Path>> {
    let found = match query {
        Query::Equal(key, value) => vec![vec![(key.clone(), value.clone())]],
        Query::In(key, values) => values.iter().map(|value| vec![(key.clone(), value.clone())]).collect(),
        Query::And(left, right) => {
            let (left, right) = (alternatives(left)?, alternatives(right)?);
            if left.len().saturating_mul(right.len()) > MOST_ALTERNATIVES {
                return None;
            }
            let both = |(left, right): (&Path, &Path)| left.iter().chain(right).cloned().collect();
            left.iter().flat_map(|left| right.iter().map(move |right| both((left, right)))).collect()
        }
        Query::Or(left, right) => {
            let mut found = alternatives(left)?;
            found.extend(alternatives(right)?);
            found
        }
        Query::False => Vec::new(),
        _ => vec![Vec::new()],
    };
    (found.len() <= MOST_ALTERNATIVES).then_some(found)
}

impl<T: Copy + Ord> QueryIndex<T> {
    /// Adds a query.
    pub fn insert(&mut self, query: &Query, item: T) {
        for path in paths(query) {
            let node = path.into_iter().fold(&mut self.root, |node, (key, value)| {
                node.below.entry(key).or_default().entry(value).or_default()
            });
            node.here.push((query.clone(), item));
        }
        self.queries += 1;
    }

    /// Removes a query, as it was added.
    pub fn remove(&mut self, query: &Query, item: T) {
        for path in paths(query) {
            self.root.remove(&path, query, item);
        }
        self.queries = self.queries.saturating_sub(1);
    }

    /// How many queries there are.
    pub fn len(&self) -> usize {
        self.queries
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.queries == 0
    }

    /// Gives each query that a series fulfils, once.
    pub fn find(&self, tags: &Tags, mut found: impl FnMut(T)) {
        // A series may come to a query with alternatives by several ways.
        let mut all = Vec::new();
        self.root.find(tags, &mut |item| all.push(item));
        all.sort_unstable();
        all.dedup();
        all.into_iter().for_each(&mut found);
    }
}

impl<T: Copy + Ord> Node<T> {
    fn find(&self, tags: &Tags, found: &mut dyn FnMut(T)) {
        for (query, item) in &self.here {
            if query.matches(tags) {
                found(*item);
            }
        }
        for (key, values) in &self.below {
            if let Some(below) = tags.get(key).and_then(|value| values.get(value)) {
                below.find(tags, found);
            }
        }
    }

    fn remove(&mut self, path: &[(Arc<str>, Arc<str>)], query: &Query, item: T) {
        let Some(((key, value), rest)) = path.split_first() else {
            self.here.retain(|(known, of)| !(*of == item && known == query));
            return;
        };
        let Some(values) = self.below.get_mut(key) else { return };
        if let Some(node) = values.get_mut(value) {
            node.remove(rest, query, item);
            if node.here.is_empty() && node.below.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            self.below.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query() -> impl Strategy<Value = Query> {
        let key = || prop_oneof![Just("name"), Just("a"), Just("b")];
        let value = || prop_oneof![Just("x"), Just("y"), Just("z")];
        let leaf = prop_oneof![
            4 => (key(), value()).prop_map(|(key, value)| Query::equal(key, value)),
            1 => key().prop_map(|key| Query::Has(key.into())),
            1 => (key(), proptest::collection::vec(value(), 0..3))
                .prop_map(|(key, values)| Query::In(key.into(), values.into_iter().map(Into::into).collect())),
            1 => Just(Query::True),
            1 => Just(Query::False),
        ];
        leaf.prop_recursive(4, 24, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(left, right)| left.and(right)),
                (inner.clone(), inner.clone()).prop_map(|(left, right)| left.or(right)),
                inner.prop_map(Query::negated),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_finds_what_asking_each_finds(
            queries in proptest::collection::vec(query(), 1..12),
            removed in 0usize..12,
            series in proptest::collection::vec(("name|a|b", "x|y|z"), 0..3),
        ) {
            let tags = Tags::new(series);
            let mut index = QueryIndex::default();
            for (item, query) in queries.iter().enumerate() {
                index.insert(query, item);
            }
            if let Some(query) = queries.get(removed) {
                index.remove(query, removed);
            }
            let mut found = Vec::new();
            index.find(&tags, |item| found.push(item));
            found.sort_unstable();
            let expected: Vec<usize> =
                (0..queries.len()).filter(|item| *item != removed && queries[*item].matches(&tags)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
