//! Samples of a fleet, in every form that ours or the peer takes. A body is one step of some series, as publishers send it.

use std::fmt::Write;
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
    /// Prometheus' remote write, uncompressed; see [`Form::send`].
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

    /// A body: the values of some series at a step that ends at a time.
    pub fn body(self, series: Range<usize>, step: usize, time: i64) -> Vec<u8> {
        let mut text = String::new();
        match self {
            Form::Publish => {
                text.push_str("{\"tags\":{},\"metrics\":[");
                for number in series {
                    let _ = write!(text, "{{\"tags\":{{\"name\":\"{METRIC}\",\"atlas.dstype\":\"gauge\"");
                    for (key, value) in tags(number) {
                        let _ = write!(text, ",\"{key}\":\"{value}\"");
                    }
                    let _ = write!(text, "}},\"timestamp\":{time},\"value\":{}}},", value(number, step));
                }
                text.pop();
                text.push_str("]}");
            }
            Form::Compact | Form::Update => return self.tabled(series, step, time).into_bytes(),
            Form::RemoteWrite => {
                let mut body = Vec::new();
                for number in series {
                    let mut labels = Vec::new();
                    label("__name__", METRIC_UNDERLINED, &mut labels);
                    for (key, value) in tags(number) {
                        label(key, &value, &mut labels);
                    }
                    let mut sample = vec![0x09];
                    sample.extend_from_slice(&f64::from(value(number, step)).to_le_bytes());
                    sample.push(0x10);
                    varint(time as u64, &mut sample);
                    field(2, &sample, &mut labels);
                    field(1, &labels, &mut body);
                }
                return snap::raw::Encoder::new().compress_vec(&body).unwrap_or_default();
            }
            Form::Text => {
                for number in series {
                    let _ = write!(text, "{METRIC_UNDERLINED}{{");
                    for (key, value) in tags(number) {
                        let _ = write!(text, "{key}=\"{value}\",");
                    }
                    text.pop();
                    let _ = writeln!(text, "}} {} {time}", value(number, step));
                }
            }
            Form::JsonLines => {
                for number in series {
                    let _ = write!(text, "{{\"metric\":{{\"__name__\":\"{METRIC_UNDERLINED}\"");
                    for (key, value) in tags(number) {
                        let _ = write!(text, ",\"{key}\":\"{value}\"");
                    }
                    let value = value(number, step);
                    let _ = writeln!(text, "}},\"values\":[{value}],\"timestamps\":[{time}]}}");
                }
            }
            Form::Influx => {
                for number in series {
                    text.push_str("server");
                    for (key, value) in tags(number) {
                        let _ = write!(text, ",{key}={value}");
                    }
                    let _ = writeln!(text, " requestCount={} {time}", value(number, step));
                }
            }
        }
        text.into_bytes()
    }

    fn tabled(self, series: Range<usize>, step: usize, time: i64) -> String {
        let mut known = std::collections::HashMap::new();
        let mut strings: Vec<String> = Vec::new();
        let mut position = |text: &str| {
            *known.entry(text.to_owned()).or_insert_with(|| {
                strings.push(text.to_owned());
                strings.len() - 1
            })
        };
        let mut points = String::new();
        for number in series.clone() {
            if self == Form::Compact {
                // An id is a SHA-1 in hexadecimal; nobody reads it here or there.
                let _ = write!(points, ",\"{number:040x}\",7");
                let _ = write!(points, ",{},{}", position("atlas.dstype"), position("gauge"));
            } else {
                points.push_str(",6");
            }
            let _ = write!(points, ",{},{}", position("name"), position(METRIC));
            for (key, value) in tags(number) {
                let _ = write!(points, ",{},{}", position(key), position(&value));
            }
            let value = value(number, step);
            let _ = if self == Form::Compact {
                write!(points, ",{time},{value}")
            } else {
                write!(points, ",0,{value}")
            };
        }
        let table: String = strings.iter().map(|string| format!(",\"{string}\"")).collect();
        let count = if self == Form::Compact { format!(",{}", series.len()) } else { String::new() };
        format!("[{}{table}{count}{points}]", strings.len())
    }
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
