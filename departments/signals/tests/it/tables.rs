//! Odd tables at the command and the door: what each becomes is in docs/signals.md.

use std::num::NonZeroUsize;

use backlot_signals::{Asked, Error, Explanation, Table, explain};
use backlot_signals_kernels::explain::Untested;

const POINTS: usize = 300;

/// A table of an alert that steps at 270 and one other signal.
fn csv(other: impl Fn(usize) -> String) -> String {
    let noise = |point: usize| (point * 7919 % 101) as f64 / 10.0;
    let mut text = String::from("time,alert,other\n");
    for point in 0..POINTS {
        let alert = noise(point) + if point < 270 { 0.0 } else { 50.0 };
        text += &format!("{},{alert},{}\n", point * 60, other(point));
    }
    text
}

fn answer(text: &str) -> Result<Explanation, Error> {
    let asked = Asked { alert: "alert".into(), at: Some((272 * 60).to_string()), ..Asked::default() };
    explain(&Table::from_csv(text)?, &asked, NonZeroUsize::MIN)
}

#[test]
fn odd_signals_are_named_not_guessed() {
    let untested = |other: fn(usize) -> String| answer(&csv(other)).unwrap().untested[0].reason;
    assert_eq!(untested(|_| "7".into()), Untested::Constant);
    assert_eq!(untested(|_| "NaN".into()), Untested::Sparse);
    assert_eq!(untested(|point| if point % 5 == 0 { "1".into() } else { String::new() }), Untested::Sparse);
    assert_eq!(
        untested(|point| if point == 9 { "inf".into() } else { point.to_string() }),
        Untested::Infinite
    );
    // Many equal values are no special case: a count that is 0 or 1 and then 4 or 5.
    let tied =
        answer(&csv(|point| ((point * 31 % 2) + if point < 262 { 0 } else { 4 }).to_string())).unwrap();
    assert!(tied.untested.is_empty() && tied.timeline[0].signal == "other", "{tied:?}");
}

#[test]
fn odd_alerts_and_short_tables_are_refused_with_the_mend() {
    let refusal = |text: &str| answer(text).unwrap_err().to_string();
    let infinite: String = csv(|point| point.to_string())
        .lines()
        .map(|line| if line.starts_with("600,") { "600,1e999,9\n".to_owned() } else { format!("{line}\n") })
        .collect();
    assert!(refusal(&infinite).contains("infinite"), "{}", refusal(&infinite));
    let short: String = csv(|point| point.to_string()).lines().take(50).collect::<Vec<_>>().join("\n");
    assert!(refusal(&short).contains("outside the table"), "{}", refusal(&short));
    let asked = Asked { alert: "alert".into(), ..Asked::default() };
    let few = explain(&Table::from_csv(&short).unwrap(), &asked, NonZeroUsize::MIN).unwrap_err().to_string();
    assert!(few.contains("too few") && few.contains("60"), "{few}");
    // An alert that is constant, or missing, is no error: its time is known, and its own change is not.
    let flat = csv(|point| ((point * 31 % 7) + if point < 262 { 0 } else { 40 }).to_string());
    let flat: String = flat
        .lines()
        .map(|line| match line.split(',').collect::<Vec<_>>()[..] {
            [time, alert, other] if alert != "alert" => format!("{time},3,{other}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let explanation = answer(&flat).unwrap();
    assert!(
        explanation.alert.changed.is_none() && explanation.timeline[0].signal == "other",
        "{explanation:?}"
    );
}

#[test]
fn irregular_times_are_put_on_the_grid_and_told() {
    let text = csv(|point| ((point * 31 % 7) + if point < 262 { 0 } else { 40 }).to_string());
    let mut gappy = String::new();
    for (_, line) in text.lines().enumerate().filter(|(line, _)| line % 17 != 3) {
        gappy += &line.replacen("15600,", "15623,", 1);
        gappy.push('\n');
    }
    let explanation = answer(&gappy).unwrap();
    assert_eq!(explanation.timeline[0].signal, "other");
    assert!(explanation.notes[0].contains("18 of 300 steps have no line"), "{:?}", explanation.notes);
    assert!(explanation.notes[1].contains("1 lines lie off the grid"), "{:?}", explanation.notes);
}
