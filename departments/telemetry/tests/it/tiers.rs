//! Rollup tiers against a store that keeps everything: wide steps are the same, whoever answers.

use std::fs;
use std::path::Path;

use backlot_atlas::{Database, parse_one};
use backlot_series::Grid;
use backlot_telemetry::store::{Effect, Options, Sample, Store, Tier};

const STEP: i64 = 60_000;
const STEPS: i64 = 5000;

fn options(directory: &Path) -> Options {
    let tier = |multiple: i64, kept: i64| Tier { step: multiple * STEP, retention: kept * STEP };
    Options {
        directory: Some(directory.to_owned()),
        hot: 120 * STEP,
        retention: 1700 * STEP,
        tiers: vec![tier(2, 4000), tier(6, 100_000)],
        ..Options::default()
    }
}

/// The same samples into both, some of them late: behind what is rolled up already.
fn write(stores: [&Store; 2], random: &mut fastrand::Rng, from: i64) {
    let mut batches = stores.map(Store::batch);
    for step in from..from + 100 {
        for host in ["a", "b", "c"] {
            // A host is silent now and then, and one begins late.
            if random.u8(0..10) == 0 || (host == "c" && step < 2000) {
                continue;
            }
            let value = f64::from(random.i32(-40..400)) / 4.0;
            let late = if random.u8(0..50) == 0 { random.i64(0..1000).min(step - 1) } else { 0 };
            for batch in &mut batches {
                let sample = Sample::Value(Effect::Set, value);
                assert!(batch.write(&[("host", host), ("name", "x")], (step - late) * STEP, sample));
            }
        }
    }
    for batch in batches {
        batch.commit().expect("it is written");
    }
}

fn compare(tiered: &Store, whole: &Store, from: i64, multiple: i64) {
    let step = multiple * STEP;
    let first = (from / multiple + 1) * multiple;
    let grid = Grid::new(first * STEP, step, ((STEPS - first) / multiple) as usize);
    for expression in [
        "name,x,:eq,:sum",
        "name,x,:eq,:count",
        "name,x,:eq,:min",
        "name,x,:eq,:max,(,host,),:by",
        "name,x,:eq,:all",
        "name,x,:eq,:sum,:cf-max",
        "name,x,:eq,:sum,:cf-min,(,host,),:by",
        "name,x,:eq,:max,:cf-sum",
        "name,x,:eq,:count,:cf-sum",
        "name,x,:eq,:count,:cf-max",
        "name,x,:eq,:min,:cf-avg",
    ] {
        let styled = parse_one(expression).expect("an expression");
        let data = styled.expr.data()[0].clone();
        let (one, other) =
            (tiered.lines(&data, grid).expect("lines"), whole.lines(&data, grid).expect("lines"));
        assert_eq!(one.len(), other.len(), "{expression}");
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one.label(), other.label());
            for (at, (one, other)) in one.values.iter().zip(&other.values).enumerate() {
                let is_same = one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan());
                assert!(is_same, "{expression}, steps of {multiple}, point {at}: {one} and {other}");
            }
        }
    }
}

#[test]
fn wide_steps_outlive_narrow_ones() {
    let home = tempfile::tempdir().expect("a directory");
    let mut tiered = Store::open(options(home.path()), 0).expect("the store opens");
    let whole = Store::open(Options::default(), 0).expect("the store opens");
    let mut random = fastrand::Rng::with_seed(9);
    for from in (1..STEPS).step_by(100) {
        write([&tiered, &whole], &mut random, from);
        tiered.checkpoint((from + 99) * STEP).expect("a checkpoint");
        if from % 700 == 1 {
            drop(tiered);
            tiered = Store::open(options(home.path()), (from + 99) * STEP).expect("it opens again");
        }
    }
    for _ in 0..2 {
        compare(&tiered, &whole, 0, 6);
        compare(&tiered, &whole, 0, 12);
        compare(&tiered, &whole, STEPS - 3500, 2);
        compare(&tiered, &whole, STEPS - 1500, 1);
        let step = |age: i64| tiered.step_at((STEPS - age) * STEP) / STEP;
        assert_eq!([1000, 2000, 3900, 4500].map(step), [1, 2, 2, 6]);
        drop(tiered);
        tiered = Store::open(options(home.path()), STEPS * STEP).expect("it opens again");
    }
}

#[test]
fn files_and_series_of_a_tier_are_forgotten_in_the_end() {
    let home = tempfile::tempdir().expect("a directory");
    let store = Store::open(options(home.path()), 0).expect("the store opens");
    let other = Store::open(Options::default(), 0).expect("the store opens");
    let mut random = fastrand::Rng::with_seed(2);
    for from in (1..1500).step_by(100) {
        write([&store, &other], &mut random, from);
        store.checkpoint((from + 99) * STEP).expect("a checkpoint");
    }
    let files = |prefix: &str| {
        let names = fs::read_dir(home.path()).expect("a directory").flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).count()
    };
    assert!(files("tier-120-") >= 2, "{}", files("tier-120-"));
    for now in [10_000, 200_000, 200_001] {
        store.checkpoint(now * STEP).expect("a checkpoint");
    }
    assert_eq!((store.size().series, files("tier-120-") <= 2), (0, true));
}
