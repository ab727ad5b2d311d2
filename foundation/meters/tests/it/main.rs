//! The meters, from their handles to their measurements, over time that the tests make.

use std::time::Duration;

use backlot_meters::{Id, Limits, Registry};

const STEP: Duration = Duration::from_secs(5);

fn lines(registry: &Registry, now: Duration) -> Vec<String> {
    registry.snapshot(now).iter().map(ToString::to_string).collect()
}

#[test]
fn each_interval_begins_again() {
    let registry = Registry::default();
    let counter = registry.counter("c");
    let timer = registry.timer("t");
    let summary = registry.distribution_summary("d");
    counter.add(3);
    for millis in [1500, 500] {
        timer.record(Duration::from_millis(millis));
    }
    for amount in [3, 4] {
        summary.record(amount);
    }
    let expected = [
        "c,statistic=count 3",
        "t,statistic=count 2",
        "t,statistic=totalTime 2",
        "t,statistic=totalOfSquares 2.5",
        "t,statistic=max 1.5",
        "d,statistic=count 2",
        "d,statistic=totalAmount 7",
        "d,statistic=totalOfSquares 25",
        "d,statistic=max 4",
    ];
    assert_eq!(lines(&registry, STEP), expected);
    assert_eq!(lines(&registry, 2 * STEP), Vec::<String>::new());
    counter.increment();
    assert_eq!(lines(&registry, 3 * STEP), ["c,statistic=count 1"]);
}

#[test]
fn percentiles_count_their_buckets() {
    let registry = Registry::default();
    let timer = registry.percentile_timer("t");
    // 100 ms lies in 4^13 + 1/3.., 120 ms a third above; zero counts as 1 ns, and a week as a day.
    for millis in [100, 100, 120] {
        timer.record(Duration::from_millis(millis));
    }
    timer.record(Duration::ZERO);
    timer.record(Duration::from_hours(7 * 24));
    registry.percentile_distribution_summary("d").record(42);
    let expected = [
        "t,percentile=T0001,statistic=percentile 1",
        "t,percentile=T0073,statistic=percentile 2",
        "t,percentile=T0074,statistic=percentile 1",
        "t,percentile=T00CC,statistic=percentile 1",
        "d,percentile=D0014,statistic=percentile 1",
    ];
    let all = lines(&registry, STEP);
    let percentiles: Vec<_> = all.iter().filter(|line| line.contains("percentile=")).collect();
    assert_eq!(percentiles, expected);
    assert_eq!(all[1], "t,statistic=totalTime 604800.32");
    assert_eq!(lines(&registry, 2 * STEP), Vec::<String>::new());
}

#[test]
fn a_gauge_lives_for_a_while() {
    let registry = Registry::new(Limits { time_to_live: 2 * STEP, ..Limits::default() });
    let gauge = registry.gauge("g");
    assert_eq!(lines(&registry, STEP), Vec::<String>::new());
    gauge.set(1.5);
    for step in [2, 3, 4] {
        assert_eq!(lines(&registry, step * STEP), ["g,statistic=gauge 1.5"]);
    }
    assert_eq!(lines(&registry, 5 * STEP), Vec::<String>::new());
    gauge.set(f64::NAN);
    assert_eq!(lines(&registry, 6 * STEP), Vec::<String>::new());
    gauge.set(2.0);
    assert_eq!(lines(&registry, 7 * STEP), ["g,statistic=gauge 2"]);
}

#[test]
fn an_age_grows_until_it_succeeds() {
    let registry = Registry::default();
    let age = registry.age_gauge("a");
    age.succeeded();
    let ages: Vec<_> = (1..=3).flat_map(|step| lines(&registry, step * STEP)).collect();
    assert_eq!(ages, ["a,statistic=gauge 0", "a,statistic=gauge 5", "a,statistic=gauge 10"]);
    age.succeeded();
    assert_eq!(lines(&registry, 4 * STEP), ["a,statistic=gauge 0"]);
}

#[test]
fn a_max_gauge_gives_the_greatest_of_the_interval() {
    let registry = Registry::default();
    let max = registry.max_gauge("m");
    for value in [1.0, 3.0, 2.0] {
        max.update(value);
    }
    assert_eq!(lines(&registry, STEP), ["m,statistic=max 3"]);
    assert_eq!(lines(&registry, 2 * STEP), Vec::<String>::new());
}

#[test]
fn the_same_id_is_the_same_meter() {
    let registry = Registry::default();
    registry.counter(Id::new("c").with("a", "1").with("b", "2")).increment();
    registry.counter(Id::new("c").with("b", "2").with("a", "1")).increment();
    // A timer of the same name is another meter.
    registry.timer(Id::new("c").with("a", "1").with("b", "2"));
    assert_eq!(registry.len(), 2);
    assert_eq!(lines(&registry, STEP), ["c,a=1,b=2,statistic=count 2"]);
}

#[test]
fn a_statistic_of_its_own_stays() {
    let registry = Registry::default();
    registry.counter(Id::new("c").with("statistic", "duration")).increment();
    registry.gauge(Id::new("g").with("statistic", "percent")).set(5.0);
    assert_eq!(lines(&registry, STEP), ["c,statistic=duration 1", "g,statistic=percent 5"]);
}

#[test]
fn what_nobody_keeps_is_forgotten_after_a_while() {
    let registry = Registry::new(Limits { time_to_live: STEP, ..Limits::default() });
    let kept = registry.counter("kept");
    registry.counter("dropped").increment();
    assert_eq!(lines(&registry, STEP).len(), 1);
    lines(&registry, 2 * STEP);
    assert_eq!(registry.len(), 2);
    lines(&registry, 3 * STEP);
    assert_eq!(registry.len(), 1);
    kept.increment();
    assert_eq!(lines(&registry, 4 * STEP), ["kept,statistic=count 1"]);
}

#[test]
fn too_many_meters_work_unpublished_and_are_told() {
    let registry = Registry::new(Limits { meters: 1, ..Limits::default() });
    registry.counter("one").increment();
    let two = registry.counter("two");
    two.increment();
    assert_eq!(two.count(), 1);
    assert_eq!(
        lines(&registry, STEP),
        ["one,statistic=count 1", "spectator.metersRefused,statistic=count 1"]
    );
    assert_eq!(lines(&registry, 2 * STEP), Vec::<String>::new());
}
