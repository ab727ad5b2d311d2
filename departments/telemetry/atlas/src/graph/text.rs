//! Results as text: JSON, statistics, tables.

use std::fmt::Write;

use backlot_series::Summary;

use super::Graph;
use crate::{number, time};

/// How numbers that JSON has not are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NonFinite {
    /// `NaN`: what Atlas' own clients read.
    Bare,
    /// `"NaN"`: what every JSON reader reads.
    Quoted,
}

pub(super) fn value(value: f64, form: NonFinite, into: &mut String) {
    let quote = form == NonFinite::Quoted && !value.is_finite();
    if quote {
        into.push('"');
    }
    number::write(value, into);
    if quote {
        into.push('"');
    }
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list<T>(items: impl IntoIterator<Item = T>, into: &mut String, mut write: impl FnMut(T, &mut String)) {
    into.push('[');
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            into.push(',');
        }
        write(item, into);
    }
    into.push(']');
}

fn heads(graph: &Graph, text: &mut String) {
    text.push_str(",\"legend\":");
    list(&graph.lines, text, |line, text| text.push_str(&quoted(&line.legend)));
    text.push_str(",\"metrics\":");
    list(&graph.lines, text, |line, text| {
        text.push_str(&serde_json::to_string(&line.tags).unwrap_or_default());
    });
}

pub(super) fn json(graph: &Graph, form: NonFinite) -> String {
    let mut text = format!("{{\"start\":{},\"step\":{}", graph.grid.start, graph.grid.step);
    heads(graph, &mut text);
    text.push_str(",\"values\":");
    list(0..graph.grid.len, &mut text, |at, text| {
        list(&graph.lines, text, |line, text| value(line.values[at], form, text));
    });
    text.push_str(",\"notices\":");
    list(&graph.notices, &mut text, |notice, text| text.push_str(&quoted(notice)));
    text.push('}');
    text
}

pub(super) fn stats(graph: &Graph) -> String {
    let end = graph.grid.last() + graph.grid.step;
    let mut text = format!("{{\"start\":{},\"end\":{end},\"step\":{}", graph.grid.start, graph.grid.step);
    heads(graph, &mut text);
    text.push_str(",\"stats\":");
    list(&graph.lines, &mut text, |line, text| {
        let summary = Summary::of(&line.values);
        let _ = write!(text, "{{\"count\":{}", summary.count);
        for (name, number) in [
            ("avg", summary.average()),
            ("total", summary.total),
            ("max", summary.max),
            ("min", summary.min),
            ("last", summary.last),
        ] {
            let _ = write!(text, ",\"{name}\":");
            value(number, NonFinite::Bare, text);
        }
        text.push('}');
    });
    text.push_str(",\"notices\":");
    list(&graph.notices, &mut text, |notice, text| text.push_str(&quoted(notice)));
    text.push('}');
    text
}

pub(super) fn table(graph: &Graph, separator: char) -> String {
    let mut text = "\"timestamp\"".to_owned();
    for line in &graph.lines {
        let _ = write!(text, "{separator}\"{}\"", line.legend.replace('"', "\"\""));
    }
    text.push('\n');
    for at in 0..graph.grid.len {
        let local = time::local(graph.grid.time(at), &graph.request.zone);
        let zone = if local.offset().is_zero() { "Z".to_owned() } else { local.strftime("%:z").to_string() };
        let _ = write!(text, "{}{zone}", local.strftime("%Y-%m-%dT%H:%M:%S"));
        for line in &graph.lines {
            let _ = write!(text, "{separator}{:.6}", line.values[at]);
        }
        text.push('\n');
    }
    text
}
