//! Each kind of meter by hand, limits, and a naive twin.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const START: u64 = 1_700_000_000;

fn at(seconds: u64) -> Moment {
    Moment { monotonic: Duration::from_secs(seconds), epoch: Duration::from_secs(START + seconds) }
}

fn registry() -> Registry {
    Registry::new(Limits::default())
}

fn flush(registry: &mut Registry, now: Moment) -> Vec<String> {
    let mut out = Vec::new();
    registry.flush(now, &mut out);
    out.iter().map(ToString::to_string).collect()
}

/// Sends lines of one interval; gives what is published at its end.
fn interval(registry: &mut Registry, end: u64, lines: &[&str]) -> Vec<String> {
    for line in lines {
        registry.record(line.as_bytes(), at(end - 1)).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    flush(registry, at(end))
}

const NOTHING: [&str; 0] = [];

#[test]
fn counters_add_and_begin_again() {
    let r = &mut registry();
    assert_eq!(interval(r, 5, &["c:n,b=2,a=1:1", "c:n,a=1,b=2:2.5"]), ["n,a=1,b=2,statistic=count 3.5"]);
    assert_eq!(interval(r, 10, &[]), NOTHING);
    assert_eq!(interval(r, 15, &["c:n,a=1,b=2:0", "c:n,a=1,b=2:-1"]), NOTHING);
    assert_eq!(r.tally().ignored, 1);
    assert_eq!(interval(r, 20, &["c:n,statistic=duration:1"]), ["n,statistic=duration 1"]);
}

#[test]
fn monotonic_counters_tell_their_growth() {
    let r = &mut registry();
    // The first sample gives none; within an interval the last stands; a fall is told as nothing, and is the new base.
    assert_eq!(interval(r, 5, &["C:n:10"]), NOTHING);
    assert_eq!(interval(r, 10, &["C:n:11", "C:n:42.5"]), ["n,statistic=count 32.5"]);
    assert_eq!(interval(r, 15, &[]), NOTHING);
    assert_eq!(interval(r, 20, &["C:n:2"]), NOTHING);
    assert_eq!(interval(r, 25, &["C:n:5"]), ["n,statistic=count 3"]);
    assert_eq!(interval(r, 30, &["C:n:nan"]), NOTHING);
    assert_eq!(interval(r, 35, &["C:n:6"]), ["n,statistic=count 1"]);
}

#[test]
fn unsigned_monotonic_counters_wrap() {
    let r = &mut registry();
    assert_eq!(interval(r, 5, &["U:n:18446744073709551610"]), NOTHING);
    // 5 to the greatest, 1 over it, 4 on.
    assert_eq!(interval(r, 10, &["U:n:4"]), ["n,statistic=count 10"]);
    // A source that began again seems to have grown by nearly 2^64.
    assert_eq!(interval(r, 15, &["U:n:3"]), ["n,statistic=count 0"]);
    assert_eq!(interval(r, 20, &["U:n:-1"]), ["n,statistic=count 0"]);
    assert_eq!(interval(r, 25, &[]), NOTHING);
}

#[test]
fn sampled_counters_tell_growth_in_a_second() {
    let r = &mut registry();
    assert_eq!(interval(r, 5, &["X,1000:n:10"]), NOTHING);
    // (40 - 10) in 3 s, the sample in between and those out of order or without a time apart.
    let lines = ["X,2000:n:20", "X,4000:n:40", "X,3000:n:99", "X,4000:n:99", "X:n:99"];
    assert_eq!(interval(r, 10, &lines), ["n,statistic=count 10"]);
    assert_eq!(r.tally().ignored, 3);
    assert_eq!(interval(r, 15, &[]), NOTHING);
    assert_eq!(interval(r, 20, &["X,6000:n:41"]), ["n,statistic=count 0.5"]);
    // Two samples of a first interval are enough.
    assert_eq!(interval(r, 25, &["X,1000:m:1", "X,1500:m:2"]), ["m,statistic=count 2"]);
}

#[test]
fn timers_tell_four_numbers_in_seconds() {
    let r = &mut registry();
    let expected = [
        "n,statistic=count 2",
        "n,statistic=totalTime 0.142",
        "n,statistic=totalOfSquares 0.011764",
        "n,statistic=max 0.1",
    ];
    assert_eq!(interval(r, 5, &["t:n:0.042", "t:n:0.1", "t:n:-1"]), expected);
    assert_eq!(interval(r, 10, &[]), NOTHING);
    // Zero is a time, and counts.
    assert_eq!(interval(r, 15, &["t:n:0"])[0], "n,statistic=count 1");
    // A statistic of the client gives way.
    assert_eq!(interval(r, 20, &["t:m,statistic=x:1"])[1], "m,statistic=totalTime 1");
}

#[test]
fn summaries_tell_four_numbers() {
    let r = &mut registry();
    let expected = [
        "n,statistic=count 2",
        "n,statistic=totalAmount 7",
        "n,statistic=totalOfSquares 25",
        "n,statistic=max 4",
    ];
    assert_eq!(interval(r, 5, &["d:n:3", "d:n:4", "d:n:-4"]), expected);
    assert_eq!(interval(r, 10, &[]), NOTHING);
}

#[test]
fn percentile_meters_count_buckets_besides() {
    let r = &mut registry();
    let lines = ["T:n:0.1", "T:n:0.1", "T:n:0", "T:n:604800", "T:n:-1", "t:n:1"];
    let expected = [
        // The plain timer of the same id is the same timer.
        "n,statistic=count 5",
        "n,statistic=totalTime 604801.2",
        // 604800^2 + 1 + 2 * 0.1^2, to the sixteen digits that a float has.
        "n,statistic=totalOfSquares 365783040001.01996",
        "n,statistic=max 604800",
        "n,percentile=T0001,statistic=percentile 1",
        "n,percentile=T0073,statistic=percentile 2",
        "n,percentile=T00CC,statistic=percentile 1",
    ];
    assert_eq!(interval(r, 5, &lines), expected);
    assert_eq!(interval(r, 10, &[]), NOTHING);
    let expected = [
        "m,statistic=count 2",
        "m,statistic=totalAmount 45",
        "m,statistic=totalOfSquares 1773",
        "m,statistic=max 42",
        "m,percentile=D0003,statistic=percentile 1",
        "m,percentile=D0014,statistic=percentile 1",
    ];
    assert_eq!(interval(r, 15, &["D:m:42.9", "D:m:3", "D:m:-1"]), expected);
    assert_eq!((r.size().percentile_timers, r.size().percentile_summaries), (1, 1));
}

#[test]
fn gauges_are_told_until_they_expire() {
    let r = &mut registry();
    assert_eq!(interval(r, 5, &["g:n:1", "g:n:1.5"]), ["n,statistic=gauge 1.5"]);
    assert_eq!(flush(r, at(10)), ["n,statistic=gauge 1.5"]);
    // Set at 4; 15 minutes later it is still told, one second on no more.
    assert_eq!(flush(r, at(904)), ["n,statistic=gauge 1.5"]);
    assert_eq!(flush(r, at(905)), NOTHING);
    assert_eq!((r.size().meters, r.tally().expired), (0, 1));
}

#[test]
fn a_gauge_keeps_the_time_to_live_it_was_given() {
    let r = &mut registry();
    assert_eq!(interval(r, 5, &["g,10:n:1"]).len(), 1);
    assert_eq!(flush(r, at(14)).len(), 1);
    // Set again at 15 without a time to live: ten seconds more.
    assert_eq!(interval(r, 16, &["g:n:2"]), ["n,statistic=gauge 2"]);
    assert_eq!(flush(r, at(25)).len(), 1);
    assert_eq!(flush(r, at(26)), NOTHING);
    // At least five seconds.
    assert_eq!(interval(r, 31, &["g,1:m:1"]).len(), 1);
    assert_eq!(flush(r, at(35)).len(), 1);
    assert_eq!(flush(r, at(36)), NOTHING);
    // NaN takes it back, infinity is ignored.
    assert_eq!(interval(r, 41, &["g:o:1", "g:o:inf"]), ["o,statistic=gauge 1"]);
    assert_eq!(interval(r, 46, &["g:o:nan"]), NOTHING);
}

#[test]
fn max_gauges_tell_the_greatest_and_begin_again() {
    let r = &mut registry();
    assert_eq!(interval(r, 5, &["m:n:-3", "m:n:-1", "m:n:-2", "m:n:nan"]), ["n,statistic=max -1"]);
    assert_eq!(interval(r, 10, &[]), NOTHING);
}

#[test]
fn sketches_tell_their_registers() {
    let r = &mut registry();
    // "a" is d24ec4f1a98c6e5b: register 5b & 3f = 1b, no zero before the first one.
    let lines = ["S:n:YQ==", "S:n:YQ==", "s:n:1", "s:n:2305843009213693953"];
    let expected = ["n,distinct=R01,statistic=distinct 59", "n,distinct=R1B,statistic=distinct 1"];
    assert_eq!(interval(r, 5, &lines), expected);
    assert_eq!(interval(r, 10, &[]), NOTHING);
}

#[test]
fn age_gauges_grow_forever() {
    let r = &mut registry();
    assert_eq!(interval(r, 5, &["A:n:0"]), ["n,statistic=gauge 1"]);
    assert_eq!(flush(r, at(3604)), ["n,statistic=gauge 3600"]);
    assert_eq!(interval(r, 3610, &["A:n:1700000000.5"]), ["n,statistic=gauge 3609.5"]);
    // It outlives every other meter, and follows a clock that is set back.
    assert_eq!(flush(r, at(1_000_000)), ["n,statistic=gauge 999999.5"]);
    let back = Moment { monotonic: Duration::from_secs(1_000_005), epoch: Duration::from_secs(START) };
    assert_eq!(flush(r, back), ["n,statistic=gauge -0.5"]);
}

#[test]
fn age_gauges_have_a_limit() {
    let r = &mut Registry::new(Limits { age_gauges: 2, ..Limits::default() });
    assert_eq!(interval(r, 5, &["A:a:0", "A:b:0", "A:c:0", "A:a:0"]).len(), 2);
    assert_eq!(r.tally().dropped, 1);
    assert_eq!(r.delete(Deletable::AgeGauges, Some(&Id::new("a"))), 1);
    assert_eq!(r.delete(Deletable::AgeGauges, Some(&Id::new("a"))), 0);
    // The new one takes the freed place.
    assert_eq!(interval(r, 10, &["A:c:0"]), ["c,statistic=gauge 1", "b,statistic=gauge 6"]);
    assert_eq!(r.delete(Deletable::AgeGauges, None), 2);
    assert_eq!(flush(r, at(15)), NOTHING);
}

#[test]
fn a_time_to_live_does_not_follow_the_clock_on_the_wall() {
    let r = &mut registry();
    r.record(b"g:n:1", at(0)).unwrap();
    let ahead = Moment { monotonic: Duration::from_secs(5), epoch: Duration::from_secs(START + 3600) };
    assert_eq!(flush(r, ahead), ["n,statistic=gauge 1"]);
}

#[test]
fn idle_meters_go_and_come_back_as_new() {
    let r = &mut registry();
    assert_eq!(interval(r, 5, &["C:n:10", "c:m:1"]).len(), 1);
    assert_eq!(flush(r, at(905)), NOTHING);
    assert_eq!((r.size().meters, r.size().spellings, r.size().bytes), (0, 0, 0));
    // Another id takes the freed place; the old spelling does not find it.
    assert_eq!(interval(r, 910, &["C:o:1", "C:n:12"]), NOTHING);
    assert_eq!(interval(r, 915, &["C:o:2", "C:n:15"]), ["o,statistic=count 1", "n,statistic=count 3"]);
}

#[test]
fn values_that_are_no_numbers_spoil_nothing() {
    let r = &mut registry();
    let lines =
        ["c:n:1", "c:n:nan", "c:n:1e400", "t:n:nan", "t:n:inf", "d:n:inf", "T:n:inf", "m:n:inf", "D:n:nan"];
    assert_eq!(interval(r, 5, &lines), ["n,statistic=count 1"]);
    assert_eq!(r.tally().ignored, 8);
    let sums = ["c:n:1e308", "c:n:1e308", "c:n:1e308", "d:n:1e200"];
    let published = interval(r, 10, &sums);
    assert!(published.iter().all(|line| !line.contains("inf")), "{published:?}");
}

#[test]
fn a_refused_line_changes_nothing_else() {
    let r = &mut registry();
    let mut refusals = Vec::new();
    let datagram = b"\nc:n:1\n\n\nc::1\nq:n:1\nc:n,k=:1\nX:x:1\nc:n:2junk\n";
    r.record_lines(datagram, at(0), |line, error| {
        refusals.push(format!("{}: {error}", String::from_utf8_lossy(line)));
    });
    assert_eq!(refusals, ["c::1: Missing name", "q:n:1: Unknown type: q", "c:n,k=:1: Missing value"]);
    let expected =
        Tally { parsed: 3, refused: 3, trailing: 1, ignored: 1, hits: 1, misses: 1, ..Tally::default() };
    assert_eq!(r.tally(), expected);
    assert_eq!(r.size().meters, 1);
    assert_eq!(flush(r, at(5)), ["n,statistic=count 3"]);
}

#[test]
fn dogstatsd_reaches_the_same_meters() {
    let r = &mut registry();
    let datagram =
        b"n:1|c|@0.5|#a:1\nn:2:3|c|#a:1\ng:2.5|g|#shell\nh:3|h|@0.3\nt:12.5|ms|@0.5\nu:1|s\nbad|c\n";
    let mut refused = 0;
    r.record_statsd_lines(datagram, at(0), |_, _| refused += 1);
    r.record(b"c:n,a=1:10", at(0)).unwrap();
    let expected = [
        "n,a=1,statistic=count 17",
        "h,statistic=count 3",
        "h,statistic=totalAmount 9",
        "h,statistic=totalOfSquares 27",
        "h,statistic=max 3",
        "g,shell=1,statistic=gauge 2.5",
        "t,statistic=count 2",
        "t,statistic=totalTime 0.025",
        "t,statistic=totalOfSquares 0.0003125",
        "t,statistic=max 0.0125",
    ];
    assert_eq!(flush(r, at(5)), expected);
    assert_eq!((refused, r.tally().parsed, r.tally().ignored), (1, 7, 1));
    // The smallest rate there is would repeat a value without end.
    r.record_statsd(b"h:1|h|@5e-324", at(6)).unwrap();
    r.record_statsd(b"n:1|c|@5e-324|#a:1", at(6)).unwrap();
    assert_eq!(flush(r, at(10)), expected[5..6]);
}

#[test]
fn ids_over_the_limit_are_folded_into_their_name() {
    let r = &mut Registry::new(Limits { meters: 3, ..Limits::default() });
    let lines =
        ["c:a,i=1:1", "c:a,i=2:1", "g:g,i=1:1", "c:a,i=3:1", "c:a,i=4:1", "c:b:5", "t:a,i=1:1", "g:g,i=2:1"];
    let expected = [
        "a,i=1,statistic=count 1",
        "a,i=2,statistic=count 1",
        "a,overflow=ids,statistic=count 2",
        "b,overflow=ids,statistic=count 5",
        "g,i=1,statistic=gauge 1",
        "a,overflow=ids,statistic=count 1",
        "a,overflow=ids,statistic=totalTime 1",
        "a,overflow=ids,statistic=totalOfSquares 1",
        "a,overflow=ids,statistic=max 1",
    ];
    assert_eq!(interval(r, 5, &lines), expected);
    assert_eq!((r.tally().folded, r.tally().dropped), (4, 1));
    // When those within the limit go, there is room again.
    assert_eq!(flush(r, at(905)), NOTHING);
    assert_eq!(interval(r, 910, &["c:b:1"]), ["b,statistic=count 1"]);
}

#[test]
fn a_name_with_runaway_tags_leaves_room_for_others() {
    let r = &mut Registry::new(Limits { meters: 10, meters_of_a_name: 4, ..Limits::default() });
    for i in 0..100 {
        r.record(format!("c:bad,i={i}:1").as_bytes(), at(0)).unwrap();
    }
    r.record(b"c:good,i=1:1", at(0)).unwrap();
    let published = flush(r, at(5));
    assert_eq!(published[4..], ["bad,overflow=ids,statistic=count 96", "good,i=1,statistic=count 1"]);
}

#[test]
fn long_ids_are_limited_by_their_bytes() {
    let r = &mut Registry::new(Limits { id_bytes: 10_000, ..Limits::default() });
    for i in 0..100 {
        r.record(format!("c:n,i={i}{}:1", "x".repeat(1000)).as_bytes(), at(0)).unwrap();
    }
    assert!(r.size().bytes <= 10_000 && r.size().meters < 12, "{:?}", r.size());
    assert_eq!(flush(r, at(5)).last().unwrap(), "n,overflow=ids,statistic=count 91");
}

#[test]
fn spellings_without_end_are_forgotten() {
    let r = &mut Registry::new(Limits { meters: 10, ..Limits::default() });
    for i in 0..1000 {
        r.record(format!("c:n,a={i},a=1:1").as_bytes(), at(0)).unwrap();
    }
    assert!(r.size().spellings <= 20);
    assert_eq!(flush(r, at(5)), ["n,a=1,statistic=count 1000"]);
}

#[test]
fn five_million_ids_stay_under_the_cap() {
    let limits = Limits { meters: 20_000, meters_of_a_name: 10_000, ..Limits::default() };
    let r = &mut Registry::new(limits);
    let mut line = String::new();
    for i in 0..5_000_000_u32 {
        use std::fmt::Write;
        line.clear();
        write!(line, "c:n{},user={i}:1", i % 3000).unwrap();
        r.record(line.as_bytes(), at(0)).unwrap();
    }
    let (size, tally) = (r.size(), r.tally());
    assert_eq!(size.meters, 21_000);
    assert!(size.spellings <= 40_000 && size.bytes < 1 << 20, "{size:?}");
    assert_eq!(tally.parsed, 5_000_000);
    // 2000 of the names have no place to be folded into.
    let recorded: f64 = {
        let mut out = Vec::new();
        r.flush(at(5), &mut out);
        out.iter().map(|measurement| measurement.value).sum()
    };
    assert_eq!(recorded + tally.dropped as f64, 5_000_000.0);
    assert_eq!(tally.folded as f64, recorded - 20_000.0);
    // When the flood is over, its memory is given back.
    flush(r, at(1000));
    assert_eq!((r.size(), r.tally().expired), (Size::default(), 21_000));
}

#[test]
fn a_flush_in_parts_takes_each_update_once() {
    let r = &mut registry();
    let mut out = Vec::new();
    for i in 0..100 {
        r.record(format!("c:n,i={i}:1").as_bytes(), at(0)).unwrap();
    }
    let mut part = FlushPart::default();
    let mut steps = 0;
    while r.flush_part(&mut part, 7, at(5), &mut out) == Flushing::Unfinished {
        steps += 1;
        r.record(b"c:n,i=99:1", at(5)).unwrap();
        r.record(b"c:late:1", at(5)).unwrap();
    }
    r.flush(at(10), &mut out);
    let total: f64 = out.iter().map(|measurement| measurement.value).sum();
    assert!(steps > 14);
    assert_eq!(total, 100.0 + 2.0 * f64::from(steps));
}

/// The rules once more, in the plainest way: all values of an interval are kept and added up at its end.
#[derive(Default)]
struct Naive {
    counters: BTreeMap<String, Vec<f64>>,
    timers: BTreeMap<String, Vec<f64>>,
    gauges: BTreeMap<String, f64>,
    monotonic: BTreeMap<String, (Option<f64>, f64)>,
}

impl Naive {
    fn record(&mut self, kind: char, id: &str, value: f64) {
        match kind {
            'c' => self.counters.entry(id.to_owned()).or_default().push(value),
            't' => self.timers.entry(id.to_owned()).or_default().push(value),
            'g' => drop(self.gauges.insert(id.to_owned(), value)),
            _ => self.monotonic.entry(id.to_owned()).or_insert((None, 0.0)).1 = value,
        }
    }

    fn flush(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        for (id, values) in std::mem::take(&mut self.counters) {
            let sum: f64 = values.iter().sum();
            if sum > 0.0 {
                out.push(format!("{id},statistic=count {sum}"));
            }
        }
        for (id, values) in std::mem::take(&mut self.timers) {
            let nanos: Vec<f64> = values.iter().map(|value| value * 1e9).collect();
            out.push(format!("{id},statistic=count {}", values.len()));
            out.push(format!("{id},statistic=totalTime {}", nanos.iter().sum::<f64>() / 1e9));
            let squares: f64 = nanos.iter().map(|nanos| nanos * nanos).sum();
            out.push(format!("{id},statistic=totalOfSquares {}", squares / 1e18));
            out.push(format!("{id},statistic=max {}", nanos.iter().copied().fold(0.0, f64::max) / 1e9));
        }
        out.extend(self.gauges.iter().map(|(id, value)| format!("{id},statistic=gauge {value}")));
        for (id, (previous, value)) in &mut self.monotonic {
            if let Some(previous) = previous
                && *value > *previous
            {
                out.push(format!("{id},statistic=count {}", *value - *previous));
            }
            *previous = Some(*value);
        }
        out.sort();
        out
    }
}

proptest! {
    #[test]
    fn the_registry_agrees_with_its_naive_twin(
        intervals in proptest::collection::vec(
            proptest::collection::vec(("[ctgC]", "[ab]", 0_u8..3, 0_u16..1000), 0..40),
            1..6,
        ),
    ) {
        let (mut registry, mut naive) = (registry(), Naive::default());
        for (step, updates) in intervals.iter().enumerate() {
            let now = at(5 * step as u64);
            for (kind, name, tag, value) in updates {
                // Two spellings of each id.
                let spelling = if value % 2 == 0 { format!("{name},t={tag},s=0") } else { format!("{name},s=0,t={tag}") };
                registry.record(format!("{kind}:{spelling}:{value}").as_bytes(), now).unwrap();
                naive.record(kind.chars().next().unwrap(), &format!("{name},s=0,t={tag}"), f64::from(*value));
            }
            let published = |text: String| {
                // Tags are in order; the naive twin puts the statistic last.
                let (head, value) = text.split_once(' ').unwrap();
                let mut parts: Vec<&str> = head.split(',').collect();
                parts[1..].sort_unstable();
                format!("{} {value}", parts.join(","))
            };
            let mut ours: Vec<String> = flush(&mut registry, now).into_iter().map(published).collect();
            let mut theirs: Vec<String> = naive.flush().into_iter().map(published).collect();
            ours.sort();
            theirs.sort();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn any_datagram_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let mut registry = registry();
        registry.record_lines(&bytes, at(0), |_, _| {});
        registry.record_statsd_lines(&bytes, at(0), |_, _| {});
        prop_assert!(flush(&mut registry, at(5)).iter().all(|line| !line.contains("inf") && !line.contains("NaN")));
    }
}
