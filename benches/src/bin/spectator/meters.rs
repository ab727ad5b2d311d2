//! Nanoseconds to update a meter of ours.

use std::hint::black_box;
use std::time::{Duration, Instant};

use backlot_benches::statistics::median;

/// What a counter is to take.
const COUNTER_NS: f64 = 10.0;

/// Prints the table.
pub(crate) fn print(quick: bool, runs: usize) {
    let updates: u32 = if quick { 100_000 } else { 50_000_000 };
    let registry = backlot_meters::Registry::default();
    let counter = registry.counter("bench.counter");
    let timer = registry.timer("bench.timer");
    let percentiles = registry.percentile_timer("bench.percentiles");
    let gauge = registry.gauge("bench.gauge");
    let time = |update: &dyn Fn()| {
        let measured = (0..runs).map(|_| {
            let began = Instant::now();
            update();
            began.elapsed().as_secs_f64() * 1e9 / f64::from(updates)
        });
        median(&measured.collect::<Vec<_>>())
    };
    println!("\n{:44} {:>12} {:>33}", "a meter of our own, medians", "ns", "target");
    let one = time(&|| (0..updates).for_each(|_| black_box(&counter).increment()));
    println!("{:44} {one:>12.1} {:>33}", "counter", COUNTER_NS);
    let two = time(&|| {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..updates).for_each(|_| black_box(&counter).increment()));
            }
        });
    });
    println!("{:44} {two:>12.1}", "counter, two threads at once");
    let value = Duration::from_micros(1500);
    println!("{:44} {:>12.1}", "timer", time(&|| (0..updates).for_each(|_| timer.record(black_box(value)))));
    let percentile = time(&|| (0..updates).for_each(|_| percentiles.record(black_box(value))));
    println!("{:44} {percentile:>12.1}", "percentile timer");
    println!(
        "{:44} {:>12.1}",
        "gauge",
        time(&|| (0..updates).for_each(|n| gauge.set(black_box(f64::from(n)))))
    );
}
