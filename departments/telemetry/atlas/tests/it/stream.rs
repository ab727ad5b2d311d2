//! A stream that is fed step by step gives what a graph of the same data gives.

use std::collections::BTreeMap;

use backlot_atlas::stream::{Input, NoPast, Stream};
use backlot_atlas::{DataExpr, Database, Error, Line, evaluate, parse_one, zone};
use backlot_series::{Grid, Tags};
use proptest::prelude::*;

const STEP: i64 = 60_000;

/// A store of whole columns, series in the order in which they came.
struct Columns {
    series: Vec<(Tags, Vec<f64>)>,
    first: i64,
}

impl Database for Columns {
    fn lines(&self, data: &DataExpr, grid: Grid) -> Result<Vec<Line>, Error> {
        let from = ((grid.start - self.first) / grid.step) as usize;
        let fitting = self.series.iter().filter(|(tags, _)| data.query.matches(tags));
        let part = |(tags, values): &'_ (Tags, Vec<f64>)| -> (Tags, Vec<f64>) {
            (tags.clone(), values[from..from + grid.len].to_vec())
        };
        let parts: Vec<(Tags, Vec<f64>)> = fitting.map(part).collect();
        Ok(data.collect(grid, 1, parts.iter().map(|(tags, values)| (tags, Some(&values[..])))))
    }
}

/// Expressions in which every function that has a memory, every aggregate and every join stands.
const EXPRESSIONS: &[&str] = &[
    "name,rps,:eq,:sum,80,:gt,5,:rolling-count,4,:gt",
    "name,rps,:eq,(,host,),:by,0,:add,1,:lt",
    "name,rps,:eq,:count,name,rps,:eq,:max,:add",
    "name,rps,:eq,(,host,),:by,:max,name,err,:eq,:sum,:div",
    "name,rps,:eq,(,host,),:by,name,err,:eq,(,host,),:by,:sub",
    "name,rps,:eq,(,host,app,),:by,name,rps,:eq,(,app,),:by,:div,100,:mul",
    "name,rps,:eq,:avg,:dup,10,0.1,0.02,:des,0.85,:mul,:lt",
    "name,rps,:eq,(,host,),:by,4,0.5,0.1,:des",
    "name,rps,:eq,(,host,),:by,3,0.5,0.1,:sdes",
    "name,rps,:eq,(,host,),:by,:dup,3,:rolling-min,:swap,3,:rolling-max,:add",
    "name,rps,:eq,(,host,),:by,4,2,:rolling-mean,3,:rolling-sum",
    "name,rps,:eq,(,host,),:by,2,:delay,:derivative",
    "name,rps,:eq,(,host,),:by,:integral,:cumulative-max",
    "name,rps,:eq,(,host,),:by,5m,:trend",
    "host,(,a,b,),:in,name,:has,:and,:min,app,x,:eq,:max,:mul",
    "name,rps,:eq,:all,:abs,50,:clamp-max",
    "minuteOfHour,:time,5,:gt,name,rps,:eq,:sum,:mul",
    "name,rps,:eq,(,host,),:by,:max,2,:rolling-count,name,none,:eq,:sum,:add",
    "name,rps,:eq,(,app,),:by,:stddev",
    "name,rps,:eq,(,app,),:by,:pct",
];

fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// Which series, at which step, with what value.
type Datapoint = (usize, usize, f64);

fn series(number: usize) -> Tags {
    let (name, host, app) =
        (["rps", "err"][number % 2], ["a", "b", "c"][number % 3], ["x", "y"][number / 3 % 2]);
    Tags::new([("name", name), ("host", host), ("app", app)])
}

fn agree(datapoints: &[Datapoint], steps: usize) -> Result<(), TestCaseError> {
    let first = 10 * 60 * STEP;
    let mut known: Vec<usize> = Vec::new();
    let mut by_step: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
    for &(number, step, value) in datapoints {
        by_step.entry(step).or_default().push((number, value));
    }
    for (number, _) in by_step.values().flatten() {
        if !known.contains(number) {
            known.push(*number);
        }
    }
    let columns = known.iter().map(|number| {
        let mut column = vec![f64::NAN; steps];
        for (step, points) in &by_step {
            for (_, value) in points.iter().filter(|(of, _)| of == number) {
                column[*step] = *value;
            }
        }
        (series(*number), column)
    });
    let store = Columns { series: columns.collect(), first };
    let utc = zone("UTC").unwrap();

    let mut stream = Stream::new(STEP, 1000, utc.clone());
    let exprs: Vec<_> = EXPRESSIONS.iter().map(|text| parse_one(text).unwrap().expr).collect();
    let ids: Vec<_> = exprs.iter().map(|expr| stream.add(expr.clone())).collect();
    let mut given: BTreeMap<_, BTreeMap<Tags, Vec<f64>>> = BTreeMap::new();
    for step in 0..steps {
        let end = first + step as i64 * STEP;
        for (number, value) in by_step.get(&step).into_iter().flatten() {
            // The store's numbers, by which both add up in the same order.
            let id = known.iter().position(|of| of == number).unwrap() as u32;
            stream.update(id, end, Input::Set(*value), || Some(series(*number)));
        }
        let mut wrong = None;
        stream.close(
            end,
            &NoPast,
            |id, at, lines| {
                assert_eq!(at, end);
                match lines {
                    Ok(lines) => {
                        for line in lines {
                            let of = given
                                .entry(id)
                                .or_default()
                                .entry(line.tags)
                                .or_insert_with(|| vec![f64::NAN; steps]);
                            of[step] = line.values[0];
                        }
                    }
                    Err(error) => wrong = Some(error),
                }
            },
            |_, _| {},
        );
        prop_assert!(wrong.is_none(), "{wrong:?}");
    }
    for (position, expr) in exprs.iter().enumerate() {
        let graph = evaluate(expr, &store, Grid::new(first, STEP, steps), &utc).unwrap();
        let streamed = given.remove(&ids[position]).unwrap_or_default();
        for line in &graph {
            let theirs = streamed.get(&line.tags);
            // A line that is missing in all steps up to the first datapoint of its series is not there yet in a stream.
            let theirs = theirs.cloned().unwrap_or_else(|| vec![f64::NAN; steps]);
            let begun = store
                .series
                .iter()
                .filter_map(|(_, column)| column.iter().position(|value| !value.is_nan()))
                .max()
                .unwrap_or(steps);
            for step in begun..steps {
                prop_assert_eq!(
                    bits(line.values[step]),
                    bits(theirs[step]),
                    "{} {} step {}: graph {:?} stream {:?}",
                    EXPRESSIONS[position],
                    line.tags,
                    step,
                    line.values,
                    theirs
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_stream_gives_what_a_graph_gives(
        later in proptest::collection::vec((0usize..12, 0usize..24, -100i32..100), 0..160),
        present in 1usize..12,
    ) {
        // All series that there are have a value in the first step, as series of a graph's window exist all along.
        let mut datapoints: Vec<Datapoint> = (0..present).map(|number| (number, 0, number as f64)).collect();
        datapoints.extend(later.into_iter().map(|(number, step, value)| (number % present, step, f64::from(value) / 8.0)));
        agree(&datapoints, 24)?;
    }
}

#[test]
fn late_datapoints_are_counted_and_series_are_capped() {
    let mut stream = Stream::new(10, 2, zone("UTC").unwrap());
    stream.add(parse_one(":true,(,name,),:by").unwrap().expr);
    stream.close(20, &NoPast, |_, _, _| {}, |_, _| {});
    let named = |name: &'static str| move || Some(Tags::new([("name", name)]));
    stream.update(0, 20, Input::Set(1.0), named("a"));
    for (id, name) in ["a", "b", "c"].into_iter().enumerate() {
        stream.update(id as u32, 30, Input::Add(1.0), named(name));
    }
    let counts = stream.counts();
    assert_eq!((counts.taken, counts.late, counts.refused), (2, 1, 1));
    let mut lines = 0;
    stream.close(30, &NoPast, |_, _, result| lines = result.unwrap().len(), |_, _| {});
    assert_eq!(lines, 2);
}

#[test]
fn a_stream_goes_on_from_the_past() {
    let first = 0;
    let column: Vec<f64> = (0..30).map(|step| f64::from(step * 7 % 11)).collect();
    let store = Columns { series: vec![(Tags::new([("name", "r")]), column.clone())], first };
    let expr = parse_one("name,r,:eq,:sum,10,0.1,0.5,:des").unwrap().expr;
    let utc = zone("UTC").unwrap();
    let graph = evaluate(&expr, &store, Grid::new(0, STEP, 30), &utc).unwrap();
    let mut stream = Stream::new(STEP, 10, utc);
    let id = stream.add(expr);
    stream.close(19 * STEP, &NoPast, |_, _, _| {}, |_, _| {});
    stream.warm(id, &store, Grid::new(0, STEP, 20)).unwrap();
    for step in 20..30 {
        let tags = || Some(Tags::new([("name", "r")]));
        stream.update(0, step as i64 * STEP, Input::Set(column[step]), tags);
        stream.close(
            step as i64 * STEP,
            &NoPast,
            |_, _, lines| {
                assert_eq!(lines.unwrap()[0].values[0], graph[0].values[step]);
            },
            |_, _| {},
        );
    }
}
