//! Window functions against functions of whole slices.

use backlot_series::nan;
use backlot_series::window::{
    Delay, Derivative, Des, Integral, Online, RollingCount, RollingMax, RollingMean, RollingMin, RollingSum,
    SlidingDes, Trend,
};
use proptest::prelude::*;

fn run(mut function: impl Online, values: &[f64]) -> Vec<f64> {
    values.iter().map(|&value| function.next(value)).collect()
}

/// A function of each window of up to `n` values, the newest last.
fn naive(n: usize, values: &[f64], function: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    (0..values.len()).map(|at| function(&values[(at + 1).saturating_sub(n)..=at])).collect()
}

fn same(left: &[f64], right: &[f64]) -> bool {
    let close =
        |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * (1.0 + a.abs());
    left.len() == right.len() && left.iter().zip(right).all(|(&a, &b)| close(a, b))
}

fn present(window: &[f64]) -> Vec<f64> {
    window.iter().copied().filter(|value| !value.is_nan()).collect()
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![Just(f64::NAN), Just(0.0), -1e6..1e6, (-5i32..5).prop_map(f64::from)]
}

proptest! {
    #[test]
    fn rolling_functions_are_those_of_the_window(values in prop::collection::vec(value(), 0..80), n in 1..12usize, least in 1..5usize) {
        let fold = |combine: fn(f64, f64) -> f64| move |window: &[f64]| window.iter().copied().fold(f64::NAN, combine);
        let count = |window: &[f64]| window.iter().filter(|value| nan::is_true(**value)).count() as f64;
        prop_assert!(same(&run(RollingCount::new(n), &values), &naive(n, &values, count)));
        prop_assert!(same(&run(RollingMin::new(n), &values), &naive(n, &values, fold(nan::min))));
        prop_assert!(same(&run(RollingMax::new(n), &values), &naive(n, &values, fold(nan::max))));
        prop_assert!(same(&run(RollingSum::new(n), &values), &naive(n, &values, fold(nan::add))));
        let mean = |window: &[f64]| {
            let there = present(window);
            if there.len() < least { f64::NAN } else { there.iter().sum::<f64>() / there.len() as f64 }
        };
        prop_assert!(same(&run(RollingMean::new(n, least), &values), &naive(n, &values, mean)));
        let trend = |window: &[f64]| {
            let there = present(window);
            if window.len() < n || there.is_empty() { f64::NAN } else { there.iter().sum::<f64>() / n as f64 }
        };
        prop_assert!(same(&run(Trend::new(n), &values), &naive(n, &values, trend)));
        let delay = |window: &[f64]| if window.len() <= n { f64::NAN } else { window[0] };
        prop_assert!(same(&run(Delay::new(n), &values), &naive(n + 1, &values, delay)));
        let total = |window: &[f64]| window.iter().copied().fold(f64::NAN, nan::add);
        prop_assert!(same(&run(Integral::default(), &values), &naive(usize::MAX, &values, total)));
        let slope = |window: &[f64]| if window.len() < 2 { f64::NAN } else { window[1] - window[0] };
        prop_assert!(same(&run(Derivative::default(), &values), &naive(2, &values, slope)));
    }

    #[test]
    fn a_sliding_forecast_forgets(before in prop::collection::vec(-100.0..100.0f64, 0..5), after in prop::collection::vec(-100.0..100.0f64, 40)) {
        // Both streams are whole turns of 5 before the common part, of which 10 values decide.
        let longer: Vec<f64> = before.iter().cycle().take(if before.is_empty() { 0 } else { 10 }).chain(&after).copied().collect();
        let (short, long) = (run(SlidingDes::new(5, 0.1, 0.5), &after), run(SlidingDes::new(5, 0.1, 0.5), &longer));
        let tail = |all: &[f64]| all[all.len() - 30..].iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(tail(&short), tail(&long));
    }
}

#[test]
fn smoothing_by_hand() {
    // level 10, trend 0; then 0.5·20 + 0.5·10 = 15, trend 0.5·5 = 2.5; then 0.5·20 + 0.5·17.5 = 18.75.
    let forecasts = run(Des::new(1, 0.5, 0.5), &[10.0, 20.0, f64::NAN, 20.0, 0.0]);
    assert!(forecasts[0].is_nan());
    assert_eq!(forecasts[1..], [10.0, 15.0, 15.0, 18.75]);
}
