//! The store: what is read is what was written, also after a restart and after a crash.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use backlot_atlas::{Aggregate, DataExpr, Database, Line, parse_one};
use backlot_series::{Grid, Query, nan};
use backlot_telemetry::store::{Effect, Membership, Options, Sample, Store, StoreError};

const STEP: i64 = 60_000;

fn options(directory: Option<&Path>) -> Options {
    Options { directory: directory.map(Path::to_owned), hot: 120 * STEP, ..Options::default() }
}

fn data(expression: &str) -> DataExpr {
    let styled = parse_one(expression).expect("an expression");
    styled.expr.data()[0].clone()
}

fn values(lines: &[Line]) -> Vec<u64> {
    lines.iter().flat_map(|line| &line.values).map(|value| value.to_bits()).collect()
}

/// Everything there is, as bits.
fn everything(store: &Store, steps: i64) -> Vec<u64> {
    let all = DataExpr::new(Query::True, Aggregate::All);
    values(&store.lines(&all, Grid::new(0, STEP, steps as usize)).expect("it is read"))
}

/// Writes pseudo-random values; the naive twin of what is there.
struct Writer {
    random: fastrand::Rng,
    twin: BTreeMap<(String, i64), f64>,
}

impl Writer {
    fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), twin: BTreeMap::new() }
    }

    fn write(&mut self, store: &Store, count: usize, steps: std::ops::Range<i64>) {
        let mut batch = store.batch();
        for _ in 0..count {
            let host = format!("h{}", self.random.u32(0..20));
            let step = self.random.i64(steps.clone());
            let value = f64::from(self.random.i32(-5..50)) / 4.0;
            let effect = [Effect::Set, Effect::Add, Effect::Max][self.random.usize(0..3)];
            assert!(batch.write(
                &[("host", &host), ("name", "rps")],
                step * STEP,
                Sample::Value(effect, value)
            ));
            let slot = self.twin.entry((host, step)).or_insert(f64::NAN);
            *slot = match effect {
                Effect::Set => value,
                Effect::Add => nan::add(*slot, value),
                Effect::Max => nan::max(*slot, value),
            };
        }
        batch.commit().expect("it is written");
    }

    fn check(&self, store: &Store, steps: i64) {
        let lines = store
            .lines(&data("name,rps,:eq,(,host,),:by"), Grid::new(0, STEP, steps as usize))
            .expect("it is read");
        let mut found = BTreeMap::new();
        for line in &lines {
            for (step, value) in line.values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
                found.insert((line.tags.get("host").expect("a host").to_owned(), step as i64), *value);
            }
        }
        assert!(found == self.twin, "{} values are read, {} were written", found.len(), self.twin.len());
    }
}

#[test]
fn what_is_written_is_read_across_checkpoints_and_restarts() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(7);
    let mut now = 0;
    for round in 0..6 {
        let store = Store::open(options(Some(home.path())), now).unwrap();
        writer.check(&store, 1000);
        for part in 0..3 {
            let newest = round * 150 + part * 50 + 50;
            // Mostly new steps, some long past, which may be packed by now.
            writer.write(&store, 400, newest - 50..newest);
            writer.write(&store, 20, 0..newest);
            now = newest * STEP;
            if part == round % 3 {
                store.checkpoint(now).unwrap();
                writer.check(&store, 1000);
            }
        }
        writer.check(&store, 1000);
    }
}

#[test]
fn a_log_that_is_cut_ends_there_and_nothing_else_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(options(Some(home.path())), 0).unwrap();
    let mut states = vec![everything(&store, 50)];
    let mut writer = Writer::new(1);
    for _ in 0..5 {
        writer.write(&store, 30, 0..50);
        states.push(everything(&store, 50));
    }
    drop(store);
    let log = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("log-"))
        .unwrap();
    let bytes = fs::read(&log).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for cut in (16..=bytes.len()).step_by(37).chain([bytes.len()]) {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join(log.file_name().unwrap()), &bytes[..cut]).unwrap();
        let store = Store::open(options(Some(copy.path())), 0).unwrap();
        let found = everything(&store, 50);
        let state = states.iter().position(|state| *state == found);
        seen.insert(
            state.unwrap_or_else(|| {
                panic!("cut at {cut} of {} it is in no state that it was in", bytes.len())
            }),
        );
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_series_of_an_earlier_log_is_known_to_the_next() {
    let home = tempfile::tempdir().unwrap();
    // No checkpoint between: each process finds the series in the log of the one before.
    for step in 1..5 {
        let store = Store::open(options(Some(home.path())), 0).unwrap();
        let mut batch = store.batch();
        batch.write(&[("name", "rps")], step * STEP, Sample::Value(Effect::Set, step as f64));
        batch.commit().unwrap();
    }
    let store = Store::open(options(Some(home.path())), 0).unwrap();
    let lines = store.lines(&data("name,rps,:eq"), Grid::new(STEP, STEP, 4)).unwrap();
    assert_eq!(lines[0].values, [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn a_crash_between_segment_and_log_adds_nothing_twice() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(options(Some(home.path())), 0).unwrap();
    let mut batch = store.batch();
    batch.write(&[("name", "rps")], STEP, Sample::Value(Effect::Add, 1.0));
    batch.commit().unwrap();
    let log = home.path().join("log-000000000001");
    let before = fs::read(&log).unwrap();
    store.checkpoint(0).unwrap();
    assert!(!log.exists());
    drop(store);
    // The crash came after the segment had its name and before the log was gone.
    fs::write(&log, before).unwrap();
    let store = Store::open(options(Some(home.path())), 0).unwrap();
    assert_eq!(store.lines(&data("name,rps,:eq"), Grid::new(STEP, STEP, 1)).unwrap()[0].values, [1.0]);
}

#[test]
fn a_damaged_segment_is_named() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(options(Some(home.path())), 0).unwrap();
    Writer::new(3).write(&store, 100, 0..50);
    store.checkpoint(0).unwrap();
    drop(store);
    let segment = home.path().join("segment-000000000001");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let refused = Store::open(options(Some(home.path())), 0).map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    let other = Options { step: 5000, ..options(Some(home.path())) };
    fs::remove_file(&segment).unwrap();
    assert!(matches!(Store::open(other, 0).map(drop).unwrap_err(), StoreError::Step { .. }));
}

#[test]
fn what_is_too_old_is_forgotten_with_its_series() {
    let home = tempfile::tempdir().unwrap();
    let kept = Options { retention: 200 * STEP, ..options(Some(home.path())) };
    let store = Store::open(kept.clone(), 0).unwrap();
    let mut ids = Vec::new();
    for (name, time) in [("old", 10), ("new", 500)] {
        let mut batch = store.batch();
        let id = batch.find_or_insert(&[("name", name)]).unwrap();
        assert!(batch.put(id, time * STEP, Sample::Value(Effect::Set, 1.0)));
        batch.commit().unwrap();
        store.naming().remember([(1, name.as_bytes(), id)]);
        ids.push(id);
        store.checkpoint(time * STEP).unwrap();
    }
    store.checkpoint(501 * STEP).unwrap();
    assert_eq!(store.size().series, 1);
    // Nor is it known any more by what senders called it, and who looked it up before cannot write to it.
    let find = |name: &[u8]| store.naming().names().find(1, name);
    assert_eq!((find(b"old"), find(b"new")), (None, Some(ids[1])));
    assert!(!store.batch().put(ids[0], 501 * STEP, Sample::Value(Effect::Set, 1.0)));
    assert_eq!(
        store.values("name", &Query::True).iter().map(|value| value.name.to_string()).collect::<Vec<_>>(),
        ["new"]
    );
    let segments = || {
        fs::read_dir(home.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("segment"))
            .count()
    };
    assert_eq!(segments(), 2, "the newest may be empty");
    drop(store);
    assert_eq!(Store::open(kept, 501 * STEP).unwrap().size().series, 1);
}

#[test]
fn there_is_a_limit_of_series() {
    let store = Store::open(Options { max_series: 10, ..Options::default() }, 0).unwrap();
    let mut batch = store.batch();
    for number in 0..25 {
        batch.write(&[("id", &number.to_string()), ("name", "bomb")], STEP, Sample::Value(Effect::Set, 1.0));
    }
    let written = batch.commit().unwrap();
    assert_eq!((written.taken, written.refused, store.size().series), (10, 15, 10));
}

#[test]
fn steps_of_alerts_are_those_of_graphs() {
    let store = Store::open(Options::default(), 0).unwrap();
    let mut writer = Writer::new(11);
    for expression in [
        "name,rps,:eq,:sum",
        "name,rps,:eq,:count",
        "name,rps,:eq,:max,(,host,),:by",
        "host,h1,:re,:min",
        "name,no,:eq",
        "name,no,:eq,(,host,),:by",
    ] {
        let data = data(expression);
        let mut members = Membership::default();
        for step in 0..30 {
            writer.write(&store, 20, 0..30);
            let one = store.lines_at(&data, step * STEP, &mut members).unwrap();
            let graph = store.lines(&data, Grid::new(step * STEP, STEP, 1)).unwrap();
            assert_eq!(values(&one), values(&graph), "{expression} at {step}");
            assert_eq!(
                one.iter().map(Line::label).collect::<Vec<_>>(),
                graph.iter().map(Line::label).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn wider_steps_are_consolidated() {
    let store = Store::open(Options::default(), 0).unwrap();
    let mut batch = store.batch();
    for (step, value) in [(1, 1.0), (2, 3.0), (4, 8.0)] {
        batch.write(&[("name", "rps")], step * STEP, Sample::Value(Effect::Set, value));
    }
    batch.commit().unwrap();
    let wide = |expression: &str| {
        store.lines(&data(expression), Grid::new(2 * STEP, 2 * STEP, 2)).unwrap()[0].values.clone()
    };
    assert_eq!(wide("name,rps,:eq,:sum"), [2.0, 4.0]);
    assert_eq!(wide("name,rps,:eq,:sum,:cf-max"), [3.0, 8.0]);
    assert_eq!(wide("name,rps,:eq,:max"), [3.0, 8.0]);
    assert_eq!(wide("name,rps,:eq,:count"), [1.0, 0.5]);
}

#[test]
fn a_day_of_samples_takes_less_than_two_bytes_each() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(options(Some(home.path())), 0).unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let mut counters = vec![0.0; 50];
    let steps = 1440;
    for step in 0..steps {
        let mut batch = store.batch();
        for (number, counter) in counters.iter_mut().enumerate() {
            // A third constant, a third slow counters, a third busy ones with two decimals.
            *counter += match number % 3 {
                0 => 0.0,
                1 => f64::from(random.u8(0..3)),
                _ => f64::from(random.u32(500..700)) / 100.0,
            };
            let rounded = (*counter * 100.0_f64).round() / 100.0;
            batch.write(
                &[("host", "a"), ("name", "counter"), ("number", &number.to_string())],
                step * STEP,
                Sample::Value(Effect::Set, rounded),
            );
        }
        batch.commit().unwrap();
        if step % 360 == 359 {
            store.checkpoint(step * STEP).unwrap();
        }
    }
    let bytes = store.size().segment_bytes as f64 / (50 * steps) as f64;
    assert!(bytes < 2.0, "{bytes:.2} bytes a sample");
}
