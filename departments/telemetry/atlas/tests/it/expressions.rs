//! `tests/golden/expressions.txt`, evaluated at once and step by step.

use backlot_atlas::demo::Demo;
use backlot_atlas::{Line, State, evaluate, evaluate_with, parse_one, zone};
use backlot_series::Grid;

const CASES: &str = include_str!("../golden/expressions.txt");
const LEN: usize = 10;

struct Case {
    expression: &'static str,
    expected: &'static str,
}

fn cases() -> impl Iterator<Item = Case> {
    let lines = CASES.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| {
        let (expression, expected) = line.split_once("  =>  ").expect("a case has two sides");
        Case { expression, expected }
    })
}

/// Values as the file has them.
fn values(text: &str) -> Vec<f64> {
    let values: Vec<f64> = text
        .split_whitespace()
        .map(|value| value.replace("Infinity", "inf").parse().expect("a number"))
        .collect();
    if values.len() == 1 { vec![values[0]; LEN] } else { values }
}

fn same(left: &[f64], right: &[f64]) -> bool {
    let same = |(a, b): (&f64, &f64)| {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() || *a == 0.0 && *b == 0.0
    };
    left.len() == right.len() && left.iter().zip(right).all(same)
}

/// Whether the lines are those of the case; if not, what they are.
fn check(case: &Case, lines: &[Line]) -> Result<(), String> {
    let expected: Vec<&str> = case.expected.split(" ; ").filter(|line| *line != "nothing").collect();
    let agrees = |line: &Line, expected: &str| {
        let (tags, rest) = expected.split_once("} \"").expect("tags and a label");
        let (label, numbers) = rest.split_once("\" ").expect("a label and values");
        let own = if line.tags.is_empty() { String::new() } else { line.tags.to_string() };
        own == tags[1..] && line.label() == label && same(&line.values, &values(numbers))
    };
    if lines.len() == expected.len()
        && lines.iter().zip(&expected).all(|(line, expected)| agrees(line, expected))
    {
        return Ok(());
    }
    let found: Vec<String> =
        lines.iter().map(|line| format!("{{{}}} {:?} {:?}", line.tags, line.label(), line.values)).collect();
    Err(format!("{}\n  expected {}\n  found    {}", case.expression, case.expected, found.join(" ; ")))
}

#[test]
fn every_case_evaluates_as_worked_by_hand() {
    let (demo, utc) = (Demo::constants(0..=10), zone("UTC").unwrap());
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases() {
        count += 1;
        let result = parse_one(case.expression)
            .and_then(|styled| evaluate(&styled.expr, &demo, Grid::new(0, 60_000, LEN), &utc));
        let checked = match (case.expected.strip_prefix("error "), result) {
            (Some(part), Err(error)) if error.to_string().contains(part) => Ok(()),
            (None, Ok(lines)) => check(&case, &lines),
            (_, result) => {
                Err(format!("{}\n  expected {}\n  found    {result:?}", case.expression, case.expected))
            }
        };
        wrong.extend(checked.err());
    }
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 175, "only {count} cases");
}

/// What depends on the whole window at once.
const WHOLE: [&str; 6] = [":stat", "-mf", ":filter", "topk", "bottomk", ":sdes"];

#[test]
fn a_stream_says_what_the_graph_says() {
    let (demo, utc) = (Demo::constants(0..=10), zone("UTC").unwrap());
    for case in cases().filter(|case| {
        !case.expected.starts_with("error") && !WHOLE.iter().any(|word| case.expression.contains(word))
    }) {
        let styled = parse_one(case.expression).unwrap();
        for width in [1, 5] {
            let mut state = State::default();
            let mut lines: Vec<Line> = Vec::new();
            for start in (0..LEN).step_by(width) {
                let grid = Grid::new(start as i64 * 60_000, 60_000, width);
                let part = evaluate_with(&styled.expr, &demo, grid, &utc, &mut state).unwrap();
                if lines.is_empty() {
                    lines = part;
                } else {
                    lines.iter_mut().zip(part).for_each(|(line, part)| line.values.extend(part.values));
                }
            }
            check(&case, &lines).unwrap_or_else(|difference| panic!("{width} steps at once: {difference}"));
        }
    }
}

#[test]
fn an_expression_is_written_as_it_is_read() {
    for case in
        cases().filter(|case| !case.expected.starts_with("error") && !case.expression.contains(":stat-"))
    {
        let styled = parse_one(case.expression).unwrap();
        let text = styled.to_string();
        let again =
            parse_one(&text).unwrap_or_else(|error| panic!("{} is written {text}: {error}", case.expression));
        assert_eq!(again.to_string(), text, "{}", case.expression);
    }
}
