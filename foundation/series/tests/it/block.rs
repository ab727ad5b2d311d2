//! Columns come back bit for bit, and no bytes bring the reader down.

use backlot_series::block::{self, BlockError};
use proptest::prelude::*;

fn round_trip(values: &[f64]) -> usize {
    let mut bytes = vec![];
    block::encode(values, &mut bytes);
    let mut back = vec![7.0];
    let length = bytes.len();
    bytes.push(0xff);
    assert_eq!(block::decode(&bytes, &mut back), Ok(length));
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let expected: Vec<f64> =
        values.iter().map(|value| if value.is_nan() { f64::NAN } else { *value }).collect();
    assert_eq!(bits(&back[1..]), bits(&expected));
    length
}

#[test]
fn what_machines_measure_takes_about_a_byte() {
    assert_eq!(round_trip(&[f64::NAN; 60]), 3);
    assert_eq!(round_trip(&[42.5; 60]), 11);
    assert_eq!(round_trip(&[]), 3);
    // A counter of packets, a percentage with two digits, a slow counter with a gap.
    let packets: Vec<f64> = (0..60).map(|at| f64::from(1_000_000 + at * 700 + at * at % 50)).collect();
    assert!(round_trip(&packets) <= 60 + 24);
    let percent: Vec<f64> = (0..60).map(|at| f64::from(4000 + at * 37 % 101) / 100.0).collect();
    assert!(round_trip(&percent) <= 60 * 2);
    let mut slow: Vec<f64> = (0..60).map(|at| f64::from(at / 20)).collect();
    slow[17] = f64::NAN;
    assert!(round_trip(&slow) <= 40);
}

#[test]
fn odd_doubles_survive() {
    round_trip(&[0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX, 5e-324, f64::NAN]);
    round_trip(&[9_007_199_254_740_991.0, 9_007_199_254_740_992.0, -9_007_199_254_740_992.0, 0.1, 1e-15]);
    round_trip(&[f64::NAN, 1.0]);
    round_trip(&[-0.0, -0.0]);
    round_trip(&[1.0, -0.0]);
    round_trip(&[-0.0, 0.25, f64::NAN, 0.0]);
}

#[test]
fn damage_is_an_error() {
    let mut bytes = vec![];
    block::encode(&[1.0, 2.5, 9.75, f64::NAN, 3.1], &mut bytes);
    for length in 0..bytes.len() {
        assert_eq!(block::decode(&bytes[..length], &mut vec![]), Err(BlockError::Short), "cut at {length}");
    }
    assert_eq!(block::decode(&[9, 1, 0], &mut vec![]), Err(BlockError::Form(9)));
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(-0.0),
        any::<f64>(),
        (-1000i32..1000).prop_map(f64::from),
        (-100_000i32..100_000, 0u32..6)
            .prop_map(|(value, digits)| f64::from(value) / 10f64.powi(digits as i32)),
        any::<u64>().prop_map(f64::from_bits),
    ]
}

proptest! {
    #[test]
    fn any_column_comes_back(values in prop::collection::vec(value(), 0..200)) {
        round_trip(&values);
    }

    #[test]
    fn any_decimals_come_back(base in -1_000_000_000i64..1_000_000_000, steps in prop::collection::vec(-50i64..500, 0..130), digits in 0i32..4) {
        let mut sum = base;
        let values: Vec<f64> = steps.iter().map(|step| { sum += step; sum as f64 / 10f64.powi(digits) }).collect();
        round_trip(&values);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut values = vec![];
        if let Ok(length) = block::decode(&bytes, &mut values) {
            prop_assert!(length <= bytes.len() && values.len() <= block::LONGEST);
        }
    }
}
