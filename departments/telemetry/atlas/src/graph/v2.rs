//! The format `v2.json`: a list of items, of which a reader draws the graph.

use serde_json::{Value, json};

use super::figure::{Look, Style, looks};
use super::request::ScaleKind;
use super::text::{NonFinite, value as write_value};
use super::{Graph, Shown};

pub(super) fn json(graph: &Graph) -> String {
    let request = &graph.request;
    let mut items = vec![metadata(graph).to_string()];
    let mut plots: Vec<u32> = looks(graph).iter().map(|look| look.axis).collect();
    plots.sort_unstable();
    plots.dedup();
    let bound =
        |bound: Option<f64>| bound.map_or_else(|| json!("auto-style"), |bound| json!(bound.to_string()));
    for plot in plots {
        let mut item = json!({
            "type": "plot-metadata",
            "id": plot,
            "scale": if request.scale == ScaleKind::Log { "LOGARITHMIC" } else { "LINEAR" },
            "upper": bound(request.bounds.1),
            "lower": bound(request.bounds.0),
            "tickLabelMode": "DECIMAL",
        });
        if let Some(title) = request.axis_title.as_ref().filter(|_| plot == 0) {
            item["ylabel"] = json!(title);
        }
        items.push(item.to_string());
    }
    for (line, look) in graph.lines.iter().zip(looks(graph)) {
        let color =
            format!("{:02x}{:02x}{:02x}{:02x}", look.color.r, look.color.g, look.color.b, look.color.a);
        if look.style == Style::Vspan {
            for (from, to) in Look::spans(graph, line) {
                let item = json!({ "type": "vspan", "plot": look.axis, "label": line.legend, "color": color, "t1": from, "t2": to });
                items.push(item.to_string());
            }
            continue;
        }
        items.push(series(graph, line, &color, look.axis, look.style, look.width));
    }
    format!("[{}]", items.join(","))
}

fn metadata(graph: &Graph) -> Value {
    let request = &graph.request;
    let zone = request.zone.iana_name().unwrap_or("UTC");
    let mut item = json!({
        "type": "graph-metadata",
        "startTime": graph.grid.start,
        "endTime": graph.grid.last() + graph.grid.step,
        "timezones": [zone],
        "step": graph.grid.step,
        "width": request.width,
        "height": request.height,
        "layout": "CANVAS",
        "zoom": request.zoom,
        "legendType": if request.legend == super::request::Toggle::On { "LABELS_WITH_STATS" } else { "OFF" },
        "onlyGraph": request.only_graph == super::request::Toggle::On,
        "theme": if request.theme == backlot_figures::Theme::Dark { "dark" } else { "light" },
        "warnings": graph.notices,
    });
    if let Some(title) = &request.title {
        item["title"] = json!(title);
    }
    item
}

fn series(graph: &Graph, line: &Shown, color: &str, plot: u32, style: Style, width: f64) -> String {
    let styled = graph.style(line);
    let item = json!({
        "type": "timeseries",
        "plot": plot,
        "label": line.legend,
        "color": color,
        "lineStyle": style.name(),
        "lineWidth": width,
        "query": styled.expr.to_string(),
        "groupByKeys": styled.expr.grouping().iter().map(|key| &**key).collect::<Vec<_>>(),
        "tags": line.tags,
    });
    let mut text = item.to_string();
    text.pop();
    text.push_str(",\"data\":{\"type\":\"array\",\"values\":[");
    for (at, value) in line.values.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        write_value(*value, NonFinite::Quoted, &mut text);
    }
    text.push_str("]}}");
    text
}
