//! The console: an expression editor with a live graph, and an explorer of tags.

mod chart;

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use backlot_atlas::number_text;
use backlot_series::Summary;
use backlot_web::ApiError;
use backlot_web::console::widgets::{self, Table};
use backlot_web::console::{self, Frame, format};
use maud::{Markup, html};

use self::chart::Chart;
use crate::atlas_door::{Parameters, condition, evaluate};
use crate::department::ATLAS_DOOR;
use crate::state::{Serving, Slot, State};

/// Lines shown in the table below a graph.
const MOST_ROWS: usize = 100;

/// Lines that a graph names; more would take its place.
const MOST_IN_LEGEND: usize = 12;

/// Metrics on the page without an expression.
const MOST_NAMES: usize = 40;

/// Most values of a tag on a page.
const MOST_VALUES: usize = 500;

pub(crate) fn routes(slot: Slot) -> Router {
    Router::new()
        .route("/", get(editor))
        .route("/server", get(server))
        .route("/tags", get(tag_keys))
        .route("/tags/{key}", get(tag_values))
        .route("/editor.js", get(script))
        .with_state(slot)
}

async fn script() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, include_str!("metrics.js")).into_response()
}

fn tabs(current: &str) -> Markup {
    let link = |label, path: &str| widgets::FilterLink {
        label,
        path: path.to_owned(),
        current: label == current,
        count: None,
    };
    let links =
        [link("Graph", "/metrics"), link("Tags", "/metrics/tags"), link("This server", "/metrics/server")];
    widgets::filter("Views", &links)
}

async fn editor(Serving(state): Serving, frame: Frame, RawQuery(query): RawQuery) -> Markup {
    let parameters = Parameters::read(query.as_deref());
    let expression = parameters.get("q").unwrap_or_default();
    let start = parameters.get("s").unwrap_or("e-3h");
    let end = parameters.get("e").unwrap_or("now");
    let shown = if expression.is_empty() { None } else { Some(evaluate(&state, &parameters).await) };
    let is_crowded = matches!(&shown, Some(Ok(graph)) if graph.lines.len() > MOST_IN_LEGEND);
    let legend = is_crowded.then_some(("no_legend", "1"));
    let parameters: Vec<(&str, &str)> =
        [("q", expression), ("s", start), ("e", end)].into_iter().chain(legend).collect();
    let chart = Chart {
        parameters: &parameters,
        alt: &format!("Graph of {expression}"),
        height: 380,
        every: (end == "now").then(|| every(&state)),
        id: Some("graph"),
        is_drawn: matches!(shown, Some(Ok(_))),
    };
    let body = html! {
        (tabs("Graph"))
        form.bar method="get" action="/metrics" {
            textarea #expression name="q" rows="3" cols="100" data-door=(ATLAS_DOOR) spellcheck="false" aria-label="Stack expression"
                placeholder="name,sps,:eq,(,nf.cluster,),:by" { (expression) }
            label { "Start" input name="s" value=(start); }
            label { "End" input name="e" value=(end); }
            button.button.primary type="submit" { "Draw" }
        }
        p.actions #words aria-live="polite" {}
        (chart.render())
        @match &shown {
            None => div data-drawn { (examples(&state)) },
            Some(Err(error)) => p.alert role="alert" data-drawn { (error.message()) },
            Some(Ok(graph)) => div data-drawn {
                (table(graph))
                p.note { (format::number(graph.lines.len() as u64)) " lines of " (graph.grid.len) " steps of " (backlot_atlas::duration_text(graph.grid.step)) }
                p.actions {
                    @for form in ["json", "csv", "v2.json", "png"] {
                        a href=(widgets::link(&format!("{ATLAS_DOOR}/api/v1/graph"), &[("q", expression), ("s", start), ("e", end), ("format", form)])) { (form) } " "
                    }
                }
            },
        }
        script src="/metrics/editor.js" defer {}
    };
    console::page(&frame.wide(), "Metrics", body)
}

/// How often a graph up to now is drawn again, in milliseconds.
fn every(state: &State) -> i64 {
    state.settings.step.clamp(5000, 60_000)
}

/// What the house says of itself: title, expression, unit.
const OWN: [(&str, &str, &str); 6] = [
    (
        "Requests",
        "nf.app,backlot,:eq,name,http.requests,:eq,:and,statistic,count,:eq,:and,:sum,(,door,status,),:by,$door $status,:legend",
        "a second",
    ),
    ("Latency", "nf.app,backlot,:eq,name,http.latency,:eq,:and,(,50,90,99,),:percentiles", "seconds"),
    (
        "Tasks",
        "nf.app,backlot,:eq,name,work.tasks,:eq,:and,statistic,count,:eq,:and,:sum,(,kind,outcome,),:by,$kind $outcome,:legend",
        "a second",
    ),
    (
        "Tasks held and waiting",
        "nf.app,backlot,:eq,name,work.(running|waiting|ready)$,:re,:and,:max,(,name,),:by,$name,:legend",
        "tasks",
    ),
    ("Samples", "nf.app,backlot,:eq,name,telemetry.samples,:eq,:and,:sum,(,id,),:by,$id,:legend", "a second"),
    ("The store", "nf.app,backlot,:eq,name,telemetry.bytes,:eq,:and,:max,(,id,),:by,$id,:legend", "bytes"),
];

fn own_chart(state: &State, title: &str, expression: &str, unit: &str) -> Markup {
    let chart = Chart {
        parameters: &[("q", expression), ("s", "e-3h"), ("ylabel", unit)],
        alt: &format!("{title}, {unit}"),
        height: 260,
        every: Some(every(state)),
        id: None,
        is_drawn: true,
    };
    chart.render()
}

/// The server's own metrics.
async fn server(Serving(state): Serving, frame: Frame) -> Markup {
    let body = html! {
        (tabs("This server"))
        @if !state.settings.self_metrics {
            p.note { "This server keeps no metrics of itself: " code { "self_metrics" } " is off in its configuration." }
        }
        @for (title, expression, unit) in OWN {
            (widgets::section(title, html! {
                (own_chart(&state, title, expression, unit))
                p.note { a href=(widgets::link("/metrics", &[("q", expression)])) { "Edit" } }
            }))
        }
        script src="/metrics/editor.js" defer {}
    };
    console::page(&frame.wide(), "This server", body)
}

fn table(graph: &backlot_atlas::graph::Graph) -> Markup {
    let mut table =
        Table::new(["Line", "Last", "Average", "Least", "Largest", "Values"]).numeric(&[1, 2, 3, 4, 5]);
    let colors = backlot_atlas::graph::colors(graph);
    for (line, color) in graph.lines.iter().zip(&colors).take(MOST_ROWS) {
        let summary = Summary::of(&line.values);
        let cell = |value: f64| html! { @if value.is_nan() { "–" } @else { (short(value)) } };
        table.push([
            html! { (swatch(color)) " " span title=(line.tags) { (line.legend) } },
            cell(summary.last),
            cell(summary.average()),
            cell(summary.min),
            cell(summary.max),
            html! { (summary.count) },
        ]);
    }
    table.render()
}

/// A square of a line's colour: the legend of narrow pictures, and of those with too many lines for one.
fn swatch([light, dark]: &[String; 2]) -> Markup {
    // Neither blanks nor `#`, which end an address.
    let square = |color: &str| {
        let color = color.trim_start_matches('#');
        format!(
            "data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%3E%3Crect%20width='12'%20height='12'%20rx='3'%20fill='%23{color}'/%3E%3C/svg%3E"
        )
    };
    html! {
        picture {
            source media=(chart::DARK) srcset=(square(dark));
            img src=(square(light)) width="12" height="12" alt="";
        }
    }
}

/// About four digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e9).contains(&size) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.4}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        number_text(value)
    }
}

fn examples(state: &State) -> Markup {
    let size = state.store.size();
    let names = state.store.values("name", &backlot_series::Query::True);
    html! {
        (widgets::stats([
            widgets::stat("Series", &format::number(size.series), ""),
            widgets::stat("Samples", &format::number(size.samples), "since the start"),
            widgets::stat("On disk", &format::bytes(size.segment_bytes + size.log_bytes), &format!("{} of it log", format::bytes(size.log_bytes))),
        ]))
        @if names.is_empty() {
            (widgets::empty("No metrics yet", html! { "Point a Spectator client at " code { (ATLAS_DOOR) "/api/v4/update" } ", or Prometheus' remote_write at " code { "/prometheus/api/v1/write" } }))
        } @else {
            (widgets::section("What there is", html! {
                (metrics(&names))
            }))
        }
    }
}

/// Metrics and their series, each a link to its graph.
fn metrics(names: &[backlot_series::KeyCount]) -> Markup {
    let mut table = Table::new(["Metric", "Series"]).numeric(&[1]);
    for name in names.iter().take(MOST_NAMES) {
        let expression = format!("name,{},:eq,:sum", backlot_series::StackWord(&name.name));
        table.push([
            html! { a href=(widgets::link("/metrics", &[("q", &expression)])) { (name.name) } },
            html! { (format::number(name.count)) },
        ]);
    }
    table.render()
}

async fn tag_keys(Serving(state): Serving, frame: Frame) -> Markup {
    let mut table = Table::new(["Tag", "Series"]).numeric(&[1]);
    for key in state.store.keys(&backlot_series::Query::True) {
        table.push([
            html! { a href={ "/metrics/tags/" (widgets::path_segment(&key.name)) } { (key.name) } },
            html! { (format::number(key.count)) },
        ]);
    }
    let body = html! {
        (tabs("Tags"))
        @if table.is_empty() { (widgets::empty("No tags yet", html! { "They come with the first metrics" })) } @else { (table.render()) }
    };
    console::page(&frame, "Tags", body)
}

async fn tag_values(
    Serving(state): Serving,
    frame: Frame,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Markup, ApiError> {
    let parameters = Parameters::read(query.as_deref());
    let text = parameters.get("q").unwrap_or_default();
    let narrowed = condition(Some(text))
        .map_err(|error| ApiError::bad_request(error.to_string(), "write a query, such as name,sps,:eq"))?;
    let values = state.store.values(&key, &narrowed);
    let mut table = Table::new(["Value", "Series", "See"]).numeric(&[1]);
    for value in values.iter().take(MOST_VALUES) {
        let expression =
            format!("{},{},:eq", backlot_series::StackWord(&key), backlot_series::StackWord(&value.name));
        let by_name = format!("{expression},(,name,),:by");
        table.push([
            html! { (value.name) },
            html! { (format::number(value.count)) },
            html! {
                a href=(widgets::link("/metrics", &[("q", if key == "name" { &expression } else { &by_name })])) { "Graph" } " · "
                a href=(widgets::link("/metrics/tags/name", &[("q", &expression)])) { "Metrics with it" }
            },
        ]);
    }
    let body = html! {
        (tabs("Tags"))
        form.bar method="get" {
            label { "Narrowed by a query" input name="q" value=(text) placeholder="name,sps,:eq"; }
            button.button type="submit" { "Narrow" }
        }
        (table.render())
        @if values.len() > MOST_VALUES { p.note { "The first " (MOST_VALUES) " of " (format::number(values.len() as u64)) } }
    };
    Ok(console::page(&frame.crumb("Tags", "/metrics/tags"), &key, body))
}
