//! Odd candidates, and an answer that does not depend on how it was come by.

use super::*;
use crate::Random;

fn question() -> Question {
    Question { alert: 380, before: 60, after: 15, ..Question::default() }
}

fn noise(seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..400).map(|_| 50.0 + 2.0 * random.normal()).collect()
}

fn stepped(seed: u64, at: usize, size: f64) -> Vec<f64> {
    let mut values = noise(seed);
    for value in &mut values[at..] {
        *value += size;
    }
    values
}

#[test]
fn a_change_is_dated_measured_and_put_before_the_alert() {
    let reference = Reference::new(&stepped(1, 370, 20.0), question()).unwrap();
    let Outcome::Tested { p, change: Some(change), .. } =
        reference.examine(0, &stepped(2, 362, -12.0)).unwrap().outcome
    else {
        panic!("not tested or not changed")
    };
    assert!(p < 1e-6 && change.interval.0 <= 362 && 362 <= change.interval.1, "{p} {change:?}");
    assert!((change.effect + 6.0).abs() < 1.5 && (change.before - 50.0).abs() < 1.0, "{change:?}");
    assert!((change.after - 38.0).abs() < 2.0);
}

#[test]
fn what_moves_before_the_alert_has_a_negative_lag() {
    let alert = stepped(1, 370, 20.0);
    let reference = Reference::new(&alert, question()).unwrap();
    // What the alert does, five points earlier and upside down.
    let own = noise(2);
    let early: Vec<f64> = (0..400).map(|t| own[t] - 3.0 * alert[(t + 5).min(399)]).collect();
    let Outcome::Tested { correlation: Some(peak), .. } = reference.examine(0, &early).unwrap().outcome
    else {
        panic!("not tested")
    };
    assert!(peak.lag == -5 && peak.r < -0.8 && peak.p < 1e-12, "{peak:?}");
}

#[test]
fn an_alert_whose_own_signal_shows_nothing_has_the_incident_that_was_last_before_it() {
    // It fires 18 points after the last change, longer than changes of one incident are apart; one decoy is older still.
    let reference = Reference::new(&noise(1), question()).unwrap();
    let signals: Vec<Vec<f64>> = (0..30)
        .map(|k| match k {
            3 => stepped(3, 325, 30.0),
            5..9 => stepped(k, 354 + 2 * (k as usize - 5), 20.0),
            _ => noise(k),
        })
        .collect();
    let findings: Vec<Finding> =
        signals.iter().enumerate().map(|(place, values)| reference.examine(place, values).unwrap()).collect();
    let conclusion = conclude(&findings, reference.own(), &question());
    let order: Vec<(usize, bool)> =
        conclusion.ranked.iter().map(|explained| (explained.candidate, explained.in_incident)).collect();
    assert_eq!((order[0], order.len()), ((5, true), 5), "{order:?}");
    assert!(order.contains(&(3, false)) && conclusion.ranked[0].score > 0.3, "{conclusion:?}");
}

#[test]
fn odd_candidates_are_named_not_guessed() {
    let reference = Reference::new(&stepped(1, 370, 20.0), question()).unwrap();
    let outcome = |values: &[f64]| reference.examine(0, values).unwrap().outcome;
    assert_eq!(outcome(&[3.0; 400]), Outcome::Untested(Untested::Constant));
    assert_eq!(outcome(&[f64::NAN; 400]), Outcome::Untested(Untested::Sparse));
    let mut infinite = noise(3);
    infinite[5] = f64::INFINITY;
    assert_eq!(outcome(&infinite), Outcome::Untested(Untested::Infinite));
    let mut half = noise(4);
    half[..230].fill(f64::NAN);
    assert_eq!(outcome(&half), Outcome::Untested(Untested::Sparse));
    assert!(reference.examine(0, &[1.0; 399]).is_err());
    // A counter that never moved and now does.
    let mut still = vec![0.0; 400];
    still[371..].fill(4.0);
    let Outcome::Tested { change: Some(change), .. } = outcome(&still) else { panic!("no change") };
    assert_eq!((change.at, change.before, change.after), (371, 0.0, 4.0));
    // One spike is no change.
    let mut spike = noise(5);
    spike[372] = 1e6;
    let Outcome::Tested { p, change: None, .. } = outcome(&spike) else { panic!("a change") };
    assert!(p > 0.05);
    // A change after a gap may have come anywhere in the gap.
    let mut gap = stepped(6, 365, 30.0);
    gap[358..366].fill(f64::NAN);
    let Outcome::Tested { change: Some(change), .. } = outcome(&gap) else { panic!("no change") };
    assert!(change.at == 366 && change.interval.0 <= 358, "{change:?}");
}

#[test]
fn questions_that_cannot_be_answered_are_refused() {
    let signal = noise(1);
    for bad in [
        Question { alert: 400, ..question() },
        Question { alert: 100, ..question() },
        Question { rate: 0.0, ..question() },
        Question { rate: f64::NAN, ..question() },
        Question { min_size: 0, ..question() },
        Question { lags: 400, ..question() },
        Question { before: 0, after: 0, ..question() },
    ] {
        assert!(Reference::new(&signal, bad.clone()).is_err(), "{bad:?}");
    }
    let mut infinite = signal.clone();
    infinite[0] = f64::NEG_INFINITY;
    assert!(Reference::new(&infinite, question()).is_err());
}

#[test]
fn the_conclusion_ranks_by_time_and_does_not_depend_on_the_order_of_findings() {
    let reference = Reference::new(&stepped(1, 372, 20.0), question()).unwrap();
    let mut signals: Vec<Vec<f64>> = (10..60).map(noise).collect();
    for (index, at) in [(7, 360), (20, 363), (21, 364), (30, 366), (31, 366), (40, 369)] {
        signals[index] = stepped(10 + index as u64, at, 25.0);
    }
    let mut findings: Vec<Finding> =
        signals.iter().enumerate().map(|(index, values)| reference.examine(index, values).unwrap()).collect();
    let conclusion = conclude(&findings, reference.own(), &question());
    let order: Vec<usize> = conclusion.ranked.iter().map(|explained| explained.candidate).collect();
    assert_eq!(order[0], 7, "{order:?}");
    assert_eq!(
        {
            let mut all = order.clone();
            all.sort_unstable();
            all
        },
        [7, 20, 21, 30, 31, 40]
    );
    assert!(conclusion.ranked[0].first_mover && conclusion.ranked[0].lag == -12);
    assert!(conclusion.ranked.iter().all(|explained| explained.in_incident && explained.q <= 0.05));
    assert_eq!(conclusion.clusters.iter().map(|cluster| cluster.members.len()).sum::<usize>(), 6);
    findings.reverse();
    assert_eq!(conclude(&findings, reference.own(), &question()), conclusion);
}
