//! Samples of a fleet, in every form that ours or the peer takes. A body is one step of some series, as publishers send it.

use std::io::Write;
use std::ops::Range;

/// The forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Atlas' publish: an object for each metric.
    Publish,
    /// Atlas' publish: a table of strings, and numbers.
    Compact,
    /// The aggregator's update: a table of strings, and numbers; it knows no time.
    Update,
    /// Prometheus' remote write.
    RemoteWrite,
    /// Exporters' text with timestamps.
    Text,
    /// VictoriaMetrics' lines of JSON.
    JsonLines,
    /// Influx' line protocol.
    Influx,
}

/// The metric, so that one query finds all.
pub const METRIC: &str = "server.requestCount";

/// The metric's name where dots are not allowed.
pub const METRIC_UNDERLINED: &str = "server_requestCount";

/// Keys and values of a series beside its name, sorted.
pub fn tags(series: usize) -> [(&'static str, String); 5] {
    let (app, cluster) = (series % 100, series % 300);
    [
        ("app", format!("app{app:02}")),
        ("cluster", format!("app{app:02}-main-{cluster:03}")),
        ("node", format!("i-{:016x}", series.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        ("status", format!("{}", [200, 201, 304, 404, 500][series % 5])),
        ("zone", format!("us-east-1{}", ['a', 'b', 'c'][series % 3])),
    ]
}

/// The value of a series at a step: a whole number, so that sums are exact.
pub fn value(series: usize, step: usize) -> u32 {
    (series * 7919 % 1000 + step * (series % 17)) as u32
}

/// The sum of all values of a step.
pub fn sum(series: usize, step: usize) -> f64 {
    (0..series).map(|number| f64::from(value(number, step))).sum()
}

impl Form {
    /// What it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Form::Publish => "publish, JSON",
            Form::Compact => "publish, compact",
            Form::Update => "v4/update, JSON",
            Form::RemoteWrite => "remote write",
            Form::Text => "exporters' text",
            Form::JsonLines => "import, JSON lines",
            Form::Influx => "influx lines",
        }
    }

    /// The path of ours, and headers.
    pub fn ours(self) -> Option<(&'static str, &'static str)> {
        match self {
            Form::Publish | Form::Compact => Some(("/atlas/api/v1/publish", "")),
            Form::Update => Some(("/atlas/api/v4/update", "")),
            Form::RemoteWrite => Some(("/prometheus/api/v1/write", "content-encoding: snappy\r\n")),
            Form::Text => Some(("/prometheus/api/v1/import/prometheus", "")),
            Form::JsonLines | Form::Influx => None,
        }
    }

    /// The path of VictoriaMetrics, and headers.
    pub fn peers(self) -> Option<(&'static str, &'static str)> {
        match self {
            Form::Publish | Form::Compact | Form::Update => None,
            Form::RemoteWrite => Some(("/api/v1/write", "content-encoding: snappy\r\n")),
            Form::Text => Some(("/api/v1/import/prometheus", "")),
            Form::JsonLines => Some(("/api/v1/import", "")),
            Form::Influx => Some(("/write?precision=ms", "")),
        }
    }
}

/// Bodies of one form with the values of some series. What is the same in all of them is written once.
#[derive(Debug)]
pub struct Template {
    form: Form,
    series: Range<usize>,
    head: String,
    /// What comes before the numbers of each series.
    rows: Vec<Vec<u8>>,
}

impl Template {
    /// For these series.
    pub fn new(form: Form, series: Range<usize>) -> Self {
        let (mut head, mut rows) = (String::new(), Vec::new());
        match form {
            Form::Publish => head.push_str("{\"tags\":{},\"metrics\":["),
            Form::Compact | Form::Update => (head, rows) = tabled(form, series.clone()),
            Form::RemoteWrite | Form::Text | Form::JsonLines | Form::Influx => {}
        }
        if rows.is_empty() {
            rows = series.clone().map(|number| row(form, number)).collect();
        }
        Self { form, series, head, rows }
    }

    /// The values at a step that ends at a time.
    pub fn body(&self, step: usize, time: i64) -> Vec<u8> {
        let mut body = self.head.clone().into_bytes();
        body.reserve(self.rows.iter().map(|row| row.len() + 48).sum());
        for (row, number) in self.rows.iter().zip(self.series.clone()) {
            let value = value(number, step);
            if self.form == Form::RemoteWrite {
                let mut sample = vec![0x09];
                sample.extend_from_slice(&f64::from(value).to_le_bytes());
                sample.push(0x10);
                varint(time as u64, &mut sample);
                body.push(1 << 3 | 2);
                varint((row.len() + 2 + sample.len()) as u64, &mut body);
                body.extend_from_slice(row);
                field(2, &sample, &mut body);
                continue;
            }
            body.extend_from_slice(row);
            // Writing to memory does not fail.
            let _ = match self.form {
                Form::Publish => write!(body, "{time},\"value\":{value}}},"),
                Form::Compact => write!(body, ",{time},{value}"),
                Form::Update => write!(body, ",0,{value}"),
                Form::JsonLines => writeln!(body, "{value}],\"timestamps\":[{time}]}}"),
                Form::RemoteWrite | Form::Text | Form::Influx => writeln!(body, "{value} {time}"),
            };
        }
        match self.form {
            Form::Publish => {
                body.pop();
                body.extend_from_slice(b"]}");
            }
            Form::Compact | Form::Update => body.push(b']'),
            Form::RemoteWrite => return snap::raw::Encoder::new().compress_vec(&body).unwrap_or_default(),
            Form::Text | Form::JsonLines | Form::Influx => {}
        }
        body
    }
}

/// What comes before the numbers of a series, where that does not depend on the other series.
fn row(form: Form, number: usize) -> Vec<u8> {
    let tags = tags(number);
    let tagged = |before: &str, between: &str, after: &str| -> String {
        tags.iter().map(|(key, value)| format!("{before}{key}{between}{value}{after}")).collect()
    };
    match form {
        Form::Publish => {
            let tags = tagged(",\"", "\":\"", "\"");
            let kind = "\"atlas.dstype\":\"gauge\"";
            format!("{{\"tags\":{{\"name\":\"{METRIC}\",{kind}{tags}}},\"timestamp\":").into_bytes()
        }
        Form::Text => {
            let labels = tagged(",", "=\"", "\"");
            format!("{METRIC_UNDERLINED}{{{}}} ", &labels[1..]).into_bytes()
        }
        Form::JsonLines => {
            let labels = tagged(",\"", "\":\"", "\"");
            format!("{{\"metric\":{{\"__name__\":\"{METRIC_UNDERLINED}\"{labels}}},\"values\":[").into_bytes()
        }
        Form::Influx => format!("server{} requestCount=", tagged(",", "=", "")).into_bytes(),
        Form::RemoteWrite => {
            let mut labels = Vec::new();
            label("__name__", METRIC_UNDERLINED, &mut labels);
            for (key, value) in &tags {
                label(key, value, &mut labels);
            }
            labels
        }
        Form::Compact | Form::Update => Vec::new(),
    }
}

/// The table of a body's strings, and what comes before the numbers of each series.
fn tabled(form: Form, series: Range<usize>) -> (String, Vec<Vec<u8>>) {
    let mut known = std::collections::HashMap::new();
    let mut strings: Vec<String> = Vec::new();
    let mut position = |text: &str| {
        *known.entry(text.to_owned()).or_insert_with(|| {
            strings.push(text.to_owned());
            strings.len() - 1
        })
    };
    let mut rows = Vec::new();
    for number in series.clone() {
        let mut pairs = vec![("name", METRIC.to_owned())];
        let mut row = if form == Form::Compact {
            pairs.insert(0, ("atlas.dstype", "gauge".to_owned()));
            // An id is a SHA-1 in hexadecimal; nobody reads it here or there.
            format!(",\"{number:040x}\",7")
        } else {
            ",6".to_owned()
        };
        pairs.extend(tags(number));
        for (key, value) in pairs {
            let pair = format!(",{},{}", position(key), position(&value));
            row.push_str(&pair);
        }
        rows.push(row.into_bytes());
    }
    let table: String = strings.iter().map(|string| format!(",\"{string}\"")).collect();
    let count = if form == Form::Compact { format!(",{}", series.len()) } else { String::new() };
    (format!("[{}{table}{count}", strings.len()), rows)
}

fn label(key: &str, value: &str, into: &mut Vec<u8>) {
    let mut pair = Vec::new();
    field(1, key.as_bytes(), &mut pair);
    field(2, value.as_bytes(), &mut pair);
    field(1, &pair, into);
}

fn field(number: u8, bytes: &[u8], into: &mut Vec<u8>) {
    into.push(number << 3 | 2);
    varint(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

fn varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}
