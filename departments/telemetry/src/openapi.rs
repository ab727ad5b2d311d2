//! The department's part of the OpenAPI document.

use serde_json::{Value, json};

pub(crate) fn fragment() -> Value {
    let query = |name: &str, about: &str| json!({ "name": name, "in": "query", "description": about, "schema": { "type": "string" } });
    let get = |summary: &str, parameters: Vec<Value>| {
        json!({ "get": {
            "tags": ["telemetry"], "summary": summary, "parameters": parameters,
            "responses": { "200": { "description": "The answer" }, "400": { "description": "A parameter or expression that is wrong: {type, message}" } }
        } })
    };
    let post = |summary: &str, media_type: &str| {
        json!({ "post": {
            "tags": ["telemetry"], "summary": summary,
            "requestBody": { "content": { media_type: {} } },
            "responses": {
                "200": { "description": "All was taken" },
                "202": { "description": "Some datapoints were refused: {type, errorCount, message}" },
                "204": { "description": "All was taken" },
                "400": { "description": "Nothing was taken" }
            }
        } })
    };
    let expression = || vec![query("q", "A stack expression")];
    json!({
        "tags": [{ "name": "telemetry", "description": "Dimensional metrics: Atlas' HTTP interface, and Prometheus' ways in" }],
        "paths": {
            "/atlas/api/v1/graph": get("A graph of an expression", vec![
                query("q", "A stack expression"),
                query("s", "Start: e-3h by default"),
                query("e", "End: now by default"),
                query("step", "Step, such as 5m"),
                query("format", "png, svg, json, std.json, stats.json, v2.json, csv, txt"),
                query("tz", "Time zone"),
            ]),
            "/atlas/api/v1/tags": get("Keys of tags", vec![query("q", "A query that series fulfil"), query("verbose", "1 for counts"), query("limit", "At most 1000"), query("offset", "From x-nflx-atlas-next-offset")]),
            "/atlas/api/v1/tags/{key}": {
                "parameters": [{ "name": "key", "in": "path", "required": true, "schema": { "type": "string" } }],
                "get": get("Values of a key", vec![query("q", "A query that series fulfil")])["get"],
            },
            "/atlas/api/v1/expr": get("How an expression is executed, word by word", expression()),
            "/atlas/api/v1/expr/normalize": get("An expression as it is written back", expression()),
            "/atlas/api/v1/expr/complete": get("Words that could follow", expression()),
            "/atlas/api/v1/expr/strip": get("An expression without conditions on some keys", vec![
                query("q", "A stack expression"),
                query("k", "A key to leave out; any number of them"),
                query("r", "What to leave out besides: filter, style"),
            ]),
            "/atlas/api/v1/expr/queries": get("The queries of an expression", expression()),
            "/atlas/api/v1/publish": post("Publishes datapoints with timestamps", "application/json"),
            "/atlas/api/v4/update": post("Adds counts and gauges to the present step, over all senders", "application/json"),
            "/alertmanager/api/v2/alerts": {
                "get": get("Alerts, as Alertmanager shows them", vec![query("filter", "A matcher, repeatable"), query("active", "false to leave these out"), query("silenced", "likewise"), query("inhibited", "likewise"), query("receiver", "A regular expression")])["get"],
                "post": post("Posts alerts, as Prometheus does", "application/json")["post"],
            },
            "/alertmanager/api/v2/alerts/groups": get("Alerts by group and receiver", vec![query("filter", "A matcher, repeatable")]),
            "/alertmanager/api/v2/silences": {
                "get": get("Silences", vec![query("filter", "A matcher, repeatable")])["get"],
                "post": post("Sets a silence; with timeIntervals a recurring one", "application/json")["post"],
            },
            "/telemetry/api/v1/rules": {
                "get": get("Alert rules, and how their evaluation goes", vec![query("after", "The id of the last one seen"), query("limit", "At most 1000")])["get"],
                "post": post("Makes one rule, or a list of them: {name, expression, labels, annotations, for, enabled}", "application/json")["post"],
            },
            "/telemetry/api/v1/alerts/{fingerprint}": {
                "parameters": [{ "name": "fingerprint", "in": "path", "required": true, "schema": { "type": "string" } }],
                "get": get("Why an alert was told, or was not", vec![])["get"],
            },
            "/telemetry/lwc/api/v1/expressions": get("Subscribed expressions", vec![]),
            "/telemetry/lwc/api/v1/evaluate": post("Values of subscribed expressions", "application/json"),
            "/prometheus/api/v1/write": post("Prometheus remote write 1.0", "application/x-protobuf"),
            "/prometheus/api/v1/import/prometheus": post("Samples in the text that exporters show", "text/plain"),
        }
    })
}
