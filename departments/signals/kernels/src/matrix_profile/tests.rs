use std::num::NonZeroUsize;

use super::*;
use crate::isa::Isa;
use crate::testing::Random;

/// All distances from the points alone.
fn naive_distance(a: &[f64], b: &[f64]) -> f64 {
    if a.iter().chain(b).any(|value| value.is_nan()) {
        return f64::INFINITY;
    }
    let scaled = |values: &[f64]| -> Option<Vec<f64>> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let deviation =
            (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt();
        let is_constant = values.iter().all(|value| *value == values[0]);
        (!is_constant).then(|| values.iter().map(|value| (value - mean) / deviation).collect())
    };
    match (scaled(a), scaled(b)) {
        (None, None) => 0.0,
        (None, _) | (_, None) => (a.len() as f64).sqrt(),
        (Some(a), Some(b)) => a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt(),
    }
}

/// Walks, waves, steps with constant stretches, and missing points.
fn signal(random: &mut Random, points: usize) -> Vec<f64> {
    let kind = random.below(4);
    let mut level = 1e3 * random.normal();
    let mut values: Vec<f64> = (0..points)
        .map(|t| match kind {
            0 => random.normal(),
            1 => {
                level += random.normal();
                level
            }
            2 => 5.0 * libm::sin(t as f64 / 3.0) + random.normal(),
            _ => {
                if random.below(9) == 0 {
                    level = random.below(4) as f64;
                }
                level
            }
        })
        .collect();
    if random.below(3) == 0 {
        for _ in 0..3 {
            values[random.below(points)] = f64::NAN;
        }
    }
    values
}

fn two() -> NonZeroUsize {
    NonZeroUsize::new(2).unwrap()
}

fn is_close(found: f64, least: f64) -> bool {
    found == least || (found - least).abs() < 1e-6 * (1.0 + least)
}

#[test]
fn profiles_are_those_of_the_naive_twin() {
    for number in 0..150 {
        let mut random = Random::new(number);
        let window = 3 + random.below(20);
        let points = 2 * window + 8 + random.below(160);
        let values = signal(&mut random, points);
        let found = self_join(&values, window, two()).unwrap();
        let at = |place: usize| &values[place..place + window];
        let windows = points - window + 1;
        for i in 0..windows {
            let of = |places: &mut dyn Iterator<Item = usize>| {
                let far = places.filter(|j| i.abs_diff(*j) > found.exclusion);
                far.map(|j| naive_distance(at(i), at(j))).fold(f64::INFINITY, f64::min)
            };
            let (left, right) = (of(&mut (0..i)), of(&mut (i..windows)));
            let to = |other: Option<usize>| other.map_or(f64::INFINITY, |j| naive_distance(at(i), at(j)));
            let context = format!("{number}: window {i} of {window} points");
            assert!(
                is_close(found.distances[i], left.min(right)),
                "{context}: {} {left} {right}",
                found.distances[i]
            );
            assert!(is_close(to(found.nearest[i]), left.min(right)), "{context}");
            assert!(is_close(to(found.left[i]), left) && is_close(to(found.right[i]), right), "{context}");
        }
        let mut streaming = Streaming::new(&values[..points / 2], window).unwrap();
        for value in &values[points / 2..] {
            streaming.push(*value).unwrap();
        }
        let grown = streaming.profile();
        for i in 0..windows {
            assert!(is_close(grown.distances[i], found.distances[i]), "{number}: window {i}");
        }
    }
}

#[test]
fn joins_of_two_signals_are_those_of_the_naive_twin() {
    for number in 0..100 {
        let mut random = Random::new(number + 500);
        let window = 3 + random.below(12);
        let (a, b) = (window + random.below(100), window + random.below(100));
        let (values, others) = (signal(&mut random, a), signal(&mut random, b));
        let found = ab_join(&values, &others, window, two()).unwrap();
        for i in 0..=a - window {
            let own = &values[i..i + window];
            let least =
                others.windows(window).map(|other| naive_distance(own, other)).fold(f64::INFINITY, f64::min);
            assert!(is_close(found.distances[i], least), "{number}: {i}: {} {least}", found.distances[i]);
            if let Some(j) = found.nearest[i] {
                assert!(is_close(naive_distance(own, &others[j..j + window]), least));
            }
        }
    }
}

#[test]
fn instruction_sets_and_threads_change_no_bit() {
    let mut random = Random::new(11);
    // More rows than between renewals, so that threads and renewals meet.
    let values = signal(&mut random, 5000);
    let bits =
        |profile: &Profile| -> Vec<u64> { profile.distances.iter().map(|value| value.to_bits()).collect() };
    let first = self_join_on(Isa::available()[0], &values, 50, 13, NonZeroUsize::MIN).unwrap();
    for isa in Isa::available() {
        for threads in [1, 2, 3] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let again = self_join_on(isa, &values, 50, 13, threads).unwrap();
            assert_eq!(again, first, "{}", isa.name());
            assert_eq!(bits(&again), bits(&first));
        }
    }
}

#[test]
fn discords_and_motifs_are_what_was_planted() {
    let mut random = Random::new(3);
    let mut values: Vec<f64> = (0..2000).map(|_| random.normal()).collect();
    let shape: Vec<f64> = (0..40).map(|t| 4.0 * libm::sin(f64::from(t * t) / 100.0)).collect();
    for at in [300, 1400] {
        for (offset, value) in shape.iter().enumerate() {
            values[at + offset] = 3.0 * value + 0.01 * values[at + offset] + 70.0;
        }
    }
    let profile = self_join(&values, 40, two()).unwrap();
    let motif = profile.motifs(2)[0];
    assert_eq!((motif.at, motif.other), (300, 1400));
    let wave: Vec<f64> = (0..2000)
        .map(|t| libm::sin(f64::from(t) / 8.0) + if (1000..1010).contains(&t) { 0.8 } else { 0.0 })
        .collect();
    let discords = self_join(&wave, 40, two()).unwrap().discords(3);
    assert!((960..1010).contains(&discords[0].at), "{discords:?}");
    assert!(discords.iter().skip(1).all(|other| other.at.abs_diff(discords[0].at) >= 40));
}

#[test]
fn odd_input_has_an_answer_or_an_error() {
    let one = NonZeroUsize::MIN;
    assert_eq!(self_join(&[0.0; 9], 8, one).unwrap_err(), Error::TooShort { points: 9, needed: 11 });
    assert!(matches!(self_join(&[0.0; 9], 2, one), Err(Error::Parameter { name: "window", .. })));
    assert!(matches!(self_join(&[f64::INFINITY; 30], 5, one), Err(Error::Infinite { index: 0, .. })));
    let missing = self_join(&[f64::NAN; 40], 5, one).unwrap();
    assert!(missing.nearest.iter().all(Option::is_none) && missing.discords(2).is_empty());
    let constant = self_join(&[7.0; 40], 5, one).unwrap();
    assert!(constant.distances.iter().all(|distance| *distance == 0.0));
    assert_eq!((constant.nearest[0], constant.nearest[9]), (Some(3), Some(0)));
    let mut streaming = Streaming::new(&[], 4).unwrap();
    assert_eq!(streaming.push(1.0), Ok(None));
    assert!(streaming.push(f64::NEG_INFINITY).is_err());
    assert!(ab_join(&[1.0, 2.0], &[1.0; 9], 3, one).is_err());
}
