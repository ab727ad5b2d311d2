//! The buckets of percentile meters.
//!
//! A percentile meter counts, for each recorded value, the bucket that the value falls into; percentiles are then computed
//! from the counts of all hosts together, which no average of percentiles could give. Bounds grow like the powers of four,
//! each cut into nine parts of a third of its power, so that a bucket's width is at most a third of its values. The formula is
//! that of Spectator's `PercentileBuckets`: 1, 2, 3, and for `exp` = 2, 4, .., 60 with `cur` = 2^exp and `delta` = cur / 3 the
//! values `cur`, `cur + delta`, .. as long as they are less than 4 `cur` - `delta`; the last bucket ends at `i64::MAX`.
//!
//! ```
//! use backlot_meters::buckets;
//!
//! let milliseconds_42 = buckets::index_of(42_000_000);
//! assert!(buckets::upper_bound(milliseconds_42 - 1) <= 42_000_000);
//! assert!(buckets::upper_bound(milliseconds_42) > 42_000_000);
//! ```

/// How many buckets there are.
pub const COUNT: usize = 276;

/// The index of the bucket that `value` falls into. Values below one fall into the first.
///
/// The bound of its bucket is greater than the value. It is the first such bound but for the last few values before a power of
/// four: thirds are rounded down, so these count as a tenth part of their own power, which is the next power's first bucket.
pub fn index_of(value: i64) -> usize {
    if value <= 0 {
        return 0;
    }
    let value = value.unsigned_abs();
    if value <= 4 {
        return value as usize;
    }
    // The greatest power of four that is not above the value, and where its buckets begin.
    let power = value.ilog2() / 2;
    let base = 1_u64 << (2 * power);
    let offset = ((value - base) / (base / 3)) as usize;
    (offset + FIRST[power as usize] + 1).min(COUNT - 1)
}

/// The upper bound of a bucket; that of the last for an index beyond it.
pub fn upper_bound(index: usize) -> i64 {
    BOUNDS[index.min(COUNT - 1)]
}

/// The value at percentile `p` (0 to 100) of these counts of buckets, interpolated within its bucket.
///
/// `NaN` if all counts are zero. Nanoseconds in, nanoseconds out: a timer's result is to be multiplied by 1e-9.
pub fn percentile(counts: &[f64], p: f64) -> f64 {
    let total: f64 = counts.iter().sum();
    if total.is_nan() || total <= 0.0 {
        return f64::NAN;
    }
    let (mut seen, mut before, mut lower) = (0.0, 0.0, 0.0);
    for (index, count) in counts.iter().enumerate().take(COUNT) {
        seen += count;
        let share = 100.0 * seen / total;
        let upper = BOUNDS[index] as f64;
        if *count > 0.0 && share >= p {
            return lower + (upper - lower) * ((p - before) / (share - before)).clamp(0.0, 1.0);
        }
        (before, lower) = (share, upper);
    }
    lower
}

/// The upper bound of each bucket.
static BOUNDS: [i64; COUNT] = bounds();

/// For each power of four, the index of the bucket whose bound it is; zero for 4^0.
static FIRST: [usize; 32] = firsts();

const fn bounds() -> [i64; COUNT] {
    let mut bounds = [i64::MAX; COUNT];
    (bounds[0], bounds[1], bounds[2]) = (1, 2, 3);
    let mut filled = 3;
    let mut exponent = 2;
    while exponent < 62 {
        let power = 1_i64 << exponent;
        let delta = power / 3;
        let end = power - delta + 3 * power;
        let mut bound = power;
        while bound < end {
            bounds[filled] = bound;
            filled += 1;
            bound += delta;
        }
        exponent += 2;
    }
    bounds
}

const fn firsts() -> [usize; 32] {
    let mut firsts = [0; 32];
    let mut power = 1;
    while power < 32 {
        let mut index = 0;
        // 4^31 is in the last bucket, which has no bound of its own.
        while index < COUNT - 1 && BOUNDS[index] != 1_i64 << (2 * power) {
            index += 1;
        }
        firsts[power] = index;
        power += 1;
    }
    firsts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_has_the_known_bounds() {
        assert_eq!(BOUNDS[..18], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 21, 26, 31]);
        assert_eq!(
            BOUNDS[266..269],
            [1_152_921_504_606_846_976, 1_537_228_672_809_129_301, 1_921_535_841_011_411_626]
        );
        assert_eq!((BOUNDS[274], BOUNDS[275]), (4_227_378_850_225_105_576, i64::MAX));
        assert!(BOUNDS.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((FIRST[0], FIRST[1], FIRST[2], FIRST[30], FIRST[31]), (0, 3, 14, 266, 275));
    }

    #[test]
    fn values_fall_into_the_known_buckets() {
        let table =
            [(i64::MIN, 0), (-1, 0), (0, 0), (1, 1), (4, 4), (5, 5), (15, 15), (16, 15), (20, 15), (21, 16)];
        for (value, index) in table {
            assert_eq!(index_of(value), index, "{value}");
        }
        // 24 h, the longest time a percentile timer tells apart, and the quirk before a power of four.
        assert_eq!((index_of(60), index_of(61), index_of(63), index_of(64)), (23, 24, 24, 24));
        assert_eq!((index_of(1 << 62), index_of(i64::MAX)), (275, 275));
    }

    #[test]
    fn a_percentile_lies_within_its_bucket() {
        let mut counts = [0.0; COUNT];
        (0..100_000).for_each(|value| counts[index_of(value)] += 1.0);
        for p in [25.0, 50.0, 90.0, 99.0, 100.0] {
            let exact = p * 1000.0;
            assert!((percentile(&counts, p) - exact).abs() <= 0.1 * exact, "{p}");
        }
        assert!(percentile(&[0.0; COUNT], 50.0).is_nan());
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values(value in prop_oneof![any::<i64>(), 0..100_000_i64]) {
            let index = index_of(value);
            prop_assert!(value < upper_bound(index) || value == i64::MAX);
            // Two buckets down the bound is surely not above: one for the bucket, one for the rounded thirds.
            prop_assert!(index < 2 || upper_bound(index - 2) <= value);
        }
    }
}
