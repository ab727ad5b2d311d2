//! Arithmetic that knows what is missing: NaN is "no value", not "not a number".
//!
//! Where one side is missing the other decides; where both are, the result is missing. Infinities are values.

/// The sum, a missing side read as zero.
#[inline]
pub fn add(a: f64, b: f64) -> f64 {
    if a.is_nan() {
        b
    } else if b.is_nan() {
        a
    } else {
        a + b
    }
}

/// The difference, a missing side read as zero.
#[inline]
pub fn sub(a: f64, b: f64) -> f64 {
    add(a, -b)
}

/// The smaller of the values there are.
#[inline]
pub fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b < a { b } else { a }
}

/// The larger of the values there are.
#[inline]
pub fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b > a { b } else { a }
}

/// One where there is a value, else missing: what a count adds up.
#[inline]
pub fn present(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { 1.0 }
}

/// Values closer to zero than this are false: sums of fractions rarely end in exactly zero.
const NEARLY_ZERO: f64 = 1e-12;

/// Whether a value is true: neither missing nor (nearly) zero.
#[inline]
pub fn is_true(value: f64) -> bool {
    value.abs() > NEARLY_ZERO
}

/// Adds a column onto another, slot by slot, as [`add`] does.
pub fn add_all(sums: &mut [f64], values: &[f64]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        // Selects instead of branches, so that the compiler makes vectors of it.
        let both = *sum + value;
        let one = if value.is_nan() { *sum } else { *value };
        *sum = if sum.is_nan() || value.is_nan() { one } else { both };
    }
}

/// Folds a column into another, slot by slot.
pub fn fold_all(into: &mut [f64], values: &[f64], combine: impl Fn(f64, f64) -> f64) {
    for (slot, value) in into.iter_mut().zip(values) {
        *slot = combine(*slot, *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_that_is_there_decides() {
        let cases = [(1.0, 2.0), (f64::NAN, 2.0), (1.0, f64::NAN), (f64::INFINITY, 1.0)];
        let sums = cases.map(|(a, b)| add(a, b));
        assert_eq!(sums, [3.0, 2.0, 1.0, f64::INFINITY]);
        assert_eq!(cases.map(|(a, b)| sub(a, b)), [-1.0, -2.0, 1.0, f64::INFINITY]);
        assert_eq!(cases.map(|(a, b)| min(a, b)), [1.0, 2.0, 1.0, 1.0]);
        assert_eq!(cases.map(|(a, b)| max(a, b)), [2.0, 2.0, 1.0, f64::INFINITY]);
        assert!(add(f64::NAN, f64::NAN).is_nan() && min(f64::NAN, f64::NAN).is_nan());
    }

    #[test]
    fn a_column_is_added_as_its_values_are() {
        let some = [1.0, f64::NAN, 3.0, f64::NAN, f64::INFINITY];
        let other = [10.0, 20.0, f64::NAN, f64::NAN, 1.0];
        let mut sums = some;
        add_all(&mut sums, &other);
        for slot in 0..some.len() {
            assert_eq!(sums[slot].to_bits(), add(some[slot], other[slot]).to_bits(), "slot {slot}");
        }
    }

    #[test]
    fn truth_is_a_value_away_from_zero() {
        assert!(is_true(1.0) && is_true(-0.5) && is_true(f64::INFINITY));
        assert!(!is_true(0.0) && !is_true(1e-13) && !is_true(f64::NAN));
    }
}
