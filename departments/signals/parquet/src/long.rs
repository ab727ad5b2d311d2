//! Long tables: a row is one point of one signal, or of several with the same tags.

use std::collections::HashMap;

use parquet::file::reader::FileReader;

use crate::schema::{Column, Plan};
use crate::{Columns, Error, column, each};

/// What a column of texts that names the signal may be called.
const NAMES: [&str; 4] = ["name", "metric", "signal", "__name__"];

/// Reads the texts and numbers, and gives each combination of texts a column.
pub(crate) fn read(
    file: &dyn FileReader,
    plan: Plan,
    times: Vec<i64>,
    most_values: usize,
) -> Result<Columns, Error> {
    let rows = times.len();
    let texts = each(&plan.texts, |text| column::texts(file, text, rows))?;
    let (members, keys) = groups(&texts, rows);
    let mut distinct = times.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let values = distinct.len().saturating_mul(keys.len()).saturating_mul(plan.numbers.len());
    if values > most_values {
        return Err(Error::TooMany { values, limit: most_values });
    }
    let places = places(&times, &distinct);
    // A point may be null, so that one is there is known apart from its values.
    let mut is_there = vec![false; keys.len() * distinct.len()];
    for (&signal, &place) in members.iter().zip(&places) {
        if std::mem::replace(&mut is_there[signal * distinct.len() + place], true) {
            let signal = name(&plan, &texts, &keys[signal], &plan.numbers[0]);
            return Err(Error::Twice { signal, time: distinct[place] });
        }
    }
    let (mut names, mut signals) = (Vec::new(), Vec::new());
    for number in &plan.numbers {
        let column = column::numbers(file, number, rows)?;
        let mut filled = vec![vec![f64::NAN; distinct.len()]; keys.len()];
        for ((value, &signal), &place) in column.into_iter().zip(&members).zip(&places) {
            filled[signal][place] = value;
        }
        names.extend(keys.iter().map(|key| name(&plan, &texts, key, number)));
        signals.append(&mut filled);
    }
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|a, b| names[*a].cmp(&names[*b]));
    let signals_in_order = order.iter().map(|&place| std::mem::take(&mut signals[place])).collect();
    let names_in_order = order.iter().map(|&place| std::mem::take(&mut names[place])).collect();
    Ok(Columns { times: distinct, names: names_in_order, signals: signals_in_order, notes: plan.notes })
}

/// Which signal each row belongs to, and the texts of each signal.
fn groups(texts: &[(Vec<u32>, Vec<String>)], rows: usize) -> (Vec<usize>, Vec<Vec<u32>>) {
    let mut known: HashMap<Vec<u32>, usize> = HashMap::new();
    let mut members = Vec::with_capacity(rows);
    let mut key = Vec::with_capacity(texts.len());
    let mut keys: Vec<Vec<u32>> = Vec::new();
    for row in 0..rows {
        key.clear();
        key.extend(texts.iter().map(|(numbers, _)| numbers[row]));
        let member = match (members.last(), known.get(&key)) {
            (Some(&last), _) if keys[last] == key => last,
            (_, Some(&member)) => member,
            _ => {
                known.insert(key.clone(), keys.len());
                keys.push(key.clone());
                keys.len() - 1
            }
        };
        members.push(member);
    }
    (members, keys)
}

/// The place of each row's time among the distinct ones.
fn places(times: &[i64], distinct: &[i64]) -> Vec<usize> {
    let mut last = 0;
    let place = |&time: &i64| {
        // Rows come sorted by time, or signal after signal: the same place or the next.
        if distinct[last] != time {
            last = if distinct.get(last + 1) == Some(&time) {
                last + 1
            } else {
                distinct.partition_point(|other| *other < time)
            };
        }
        last
    };
    times.iter().map(place).collect()
}

fn name(plan: &Plan, texts: &[(Vec<u32>, Vec<String>)], key: &[u32], number: &Column) -> String {
    let (mut base, mut tags) = (None, Vec::new());
    for ((column, (_, known)), &text) in plan.texts.iter().zip(texts).zip(key) {
        if text == 0 {
            continue;
        }
        let text = &known[text as usize];
        if base.is_none() && NAMES.contains(&column.name.to_lowercase().as_str()) {
            base = Some(text.clone());
        } else {
            tags.push(format!("{}={text}", column.name));
        }
    }
    let base = match base {
        Some(base) if plan.numbers.len() > 1 => format!("{base}.{}", number.name),
        Some(base) => base,
        None => number.name.clone(),
    };
    if tags.is_empty() { base } else { format!("{base}{{{}}}", tags.join(",")) }
}
