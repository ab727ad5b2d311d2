//! The searches against naive twins.

use super::{Grid, Stop, binary, bottom_up, dynamic, functional, pelt, penalised};
use crate::cost::{Cost, L2, Model};
use crate::testing::{Case, Random, exhaustive, naive_cost, random_signal};
use crate::{Error, Signal};

/// A few hundred here; `cargo xtask conformance signals` judges ten thousand.
const CASES: usize = 600;

#[test]
fn costs_are_those_of_the_points_alone() {
    for number in 0..CASES {
        let case = Case::new(number);
        let cost = case.model.fit(&case.signal).unwrap();
        let points = case.signal.points();
        let mut random = Random::new(number as u64);
        for _ in 0..20 {
            let start = random.below(points - 8);
            let end = start + cost.min_size() + random.below(points - start - cost.min_size() + 1);
            let (fast, naive) = (cost.error(start, end), naive_cost(&case.model, &case.signal, start, end));
            let squares: f64 = case.signal.values().iter().map(|value| value * value).sum();
            let tolerance = 1e-9 * (1.0 + naive.abs()) + 1e-12 * squares;
            assert!(
                (fast - naive).abs() <= tolerance || fast == naive,
                "case {number}, {:?} of [{start}, {end}): {fast}, naive {naive}",
                case.model
            );
        }
    }
}

#[test]
fn pelt_is_exact_for_every_cost_and_grid() {
    for number in 0..CASES {
        let mut case = Case::new(number);
        let cost = case.model.fit(&case.signal).unwrap();
        case.grid.min_size = case.grid.min_size.max(cost.min_size());
        let found = pelt(&cost, case.grid, case.penalty).unwrap();
        case.judge(&found).unwrap_or_else(|why| panic!("case {number}, {:?}: {why}", case.model));
    }
}

#[test]
fn functional_pruning_is_exact_for_every_minimum_size() {
    for number in 0..2 * CASES {
        let mut random = Random::new(number as u64);
        let points = 1 + random.below(120);
        let signal = random_signal(&mut random, points, 1);
        let grid = Grid::every(1 + random.below(points.min(9)));
        let penalty = libm::exp(8.0 * random.even() - 4.0) * f64::from(u8::from(number % 9 != 0));
        let found = functional(signal.values(), grid.min_size, penalty).unwrap();
        let case = Case { signal, model: Model::L2, grid, penalty };
        case.judge(&found).unwrap_or_else(|why| panic!("case {number}: {why}"));
    }
}

#[test]
fn a_given_number_of_changes_is_met_at_the_least_cost() {
    for number in 0..60 {
        let mut random = Random::new(number);
        let signal = random_signal(&mut random, 14, 1);
        let cost = L2::new(&signal);
        let grid = Grid { min_size: 1 + random.below(3), jump: 1 + random.below(2) };
        for changes in 0..4 {
            let mut least = f64::INFINITY;
            each_segmentation(14, grid, changes, &mut |ends| least = least.min(cost.sum(ends)));
            if least == f64::INFINITY {
                assert!(dynamic(&cost, grid, changes).is_err());
                continue;
            }
            let found = dynamic(&cost, grid, changes).unwrap();
            assert_eq!(found.len(), changes + 1);
            assert!((cost.sum(&found) - least).abs() < 1e-9 * (1.0 + least), "{number}: {found:?}");
        }
    }
}

fn each_segmentation(points: usize, grid: Grid, changes: usize, then: &mut dyn FnMut(&[usize])) {
    fn go(points: usize, grid: Grid, changes: usize, ends: &mut Vec<usize>, then: &mut dyn FnMut(&[usize])) {
        let start = ends.last().copied().unwrap_or(0);
        if changes == 0 {
            if points >= start + grid.min_size {
                ends.push(points);
                then(ends);
                ends.pop();
            }
            return;
        }
        for end in (start + grid.min_size..points).filter(|end| end.is_multiple_of(grid.jump)) {
            ends.push(end);
            go(points, grid, changes - 1, ends, then);
            ends.pop();
        }
    }
    go(points, grid, changes, &mut Vec::new(), then);
}

#[test]
fn the_clean_step_is_where_it_is() {
    let mut values = vec![0.0; 33];
    values.extend([5.0; 30]);
    assert_eq!(functional(&values, 2, 1.0).unwrap(), [33, 63]);
    let signal = Signal::scalar(&values).unwrap();
    for name in ["l1", "l2", "rbf", "rank", "ml"] {
        let cost = Model::named(name).unwrap().fit(&signal).unwrap();
        let grid = Grid::every(cost.min_size().max(2));
        assert_eq!(pelt(&cost, grid, 1.0).unwrap(), [33, 63], "{name}");
        assert_eq!(dynamic(&cost, grid, 1).unwrap(), [33, 63], "{name}");
        assert_eq!(binary(&cost, grid, Stop::Changes(1)).unwrap(), [33, 63], "{name}");
        assert_eq!(bottom_up(&cost, grid, Stop::Penalty(1.0)).unwrap().last(), Some(&63), "{name}");
    }
}

#[test]
fn steps_at_a_huge_level_are_found() {
    let mut random = Random::new(7);
    let values: Vec<f64> = (0..300)
        .map(|index| if index < 100 { 0.0 } else if index < 200 { 1e9 } else { 1e9 + 20.0 } + random.normal())
        .collect();
    assert_eq!(functional(&values, 2, 30.0).unwrap(), [100, 200, 300]);
    let cost = L2::new(&Signal::scalar(&values).unwrap());
    assert_eq!(pelt(&cost, Grid::every(2), 30.0).unwrap(), [100, 200, 300]);
}

#[test]
fn greedy_searches_are_no_better_than_exact_ones() {
    for number in 0..200 {
        let mut random = Random::new(number);
        let signal = random_signal(&mut random, 50, 1);
        let cost = L2::new(&signal);
        let grid = Grid::every(2);
        let best = penalised(&cost, &pelt(&cost, grid, 3.0).unwrap(), 3.0);
        for ends in [
            binary(&cost, grid, Stop::Penalty(3.0)).unwrap(),
            bottom_up(&cost, grid, Stop::Penalty(3.0)).unwrap(),
        ] {
            assert!(penalised(&cost, &ends, 3.0) >= best - 1e-9 * best.abs());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let signal = Signal::scalar(&[1.0, 2.0, 3.0]).unwrap();
    let cost = L2::new(&signal);
    assert_eq!(
        pelt(&cost, Grid::every(4), 1.0),
        Err(Error::Segments { changes: 0, points: 3, min_size: 4, jump: 1 })
    );
    assert!(dynamic(&cost, Grid::every(2), 1).is_err());
    assert!(matches!(pelt(&cost, Grid::every(1), -1.0), Err(Error::Parameter { name: "penalty", .. })));
    assert!(pelt(&cost, Grid { min_size: 1, jump: 0 }, 1.0).is_err());
    assert!(functional(&[1.0, f64::NAN], 1, 1.0).is_err());
    assert!(functional(&[], 1, 1.0).is_err());
    assert_eq!(functional(&[1.0, 1.0, 1.0], 1, 0.0), Ok(vec![3]));
    assert_eq!(functional(&[1.0, 9.0], 1, f64::INFINITY), Ok(vec![2]));
}

#[test]
fn the_twin_is_right_on_a_case_done_by_hand() {
    let signal = Signal::scalar(&[0.0, 0.0, 4.0, 4.0]).unwrap();
    let naive = |start, end| naive_cost(&Model::L2, &signal, start, end);
    assert_eq!(exhaustive(naive, 4, Grid::every(1), 1.0), (vec![2, 4], 2.0));
    assert_eq!(exhaustive(naive, 4, Grid::every(1), 100.0), (vec![4], 116.0));
}
