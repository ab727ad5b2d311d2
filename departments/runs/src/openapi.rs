//! The department's part of the OpenAPI document.

use serde_json::{Value, json};

use crate::{EVENTS_DOOR, RUNS_DOOR};

/// Whether an operation reads, writes, or streams.
enum Answer {
    /// JSON of this shape.
    Json(Value),
    /// Server-sent events; the text says which.
    Stream(&'static str),
    /// Bytes.
    Bytes,
}

pub(crate) fn fragment() -> Value {
    let mut paths = serde_json::Map::new();
    let mut add = |path: String, method: &str, operation: Value| {
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[method] = operation;
    };
    let run = || vec![path_parameter("run", "The run's id, or an unambiguous start of it")];
    let task = || {
        let mut all = run();
        all.push(path_parameter("step", "The step's name"));
        all.push(path_parameter("index", "The task's position in its map, from 0"));
        all
    };
    let at = |rest: &str| format!("{RUNS_DOOR}{rest}");

    let query = vec![
        query_parameter("state", "Run states, separated by commas", "string"),
        query_parameter("name", "Only runs of this name", "string"),
        query_parameter("before", "Only runs older than this one", "string"),
        query_parameter("limit", "At most so many (1000 at most)", "integer"),
    ];
    add(
        at("/runs"),
        "get",
        operation("runs", "listRuns", "Runs, newest first", query, None, Answer::Json(list("runs", "Run"))),
    );
    let body = Some(reference("Submission"));
    let mut submit = operation(
        "runs",
        "submitRun",
        "Begin a run; durable when this answers",
        vec![],
        body,
        Answer::Json(reference("Run")),
    );
    let created = submit["responses"]["200"].take();
    submit["responses"] = json!({ "201": created, "default": submit["responses"]["default"] });
    add(at("/runs"), "post", submit);
    add(
        at("/runs/{run}"),
        "get",
        operation("runs", "run", "One run", run(), None, Answer::Json(reference("Run"))),
    );
    add(
        at("/runs/{run}/spec"),
        "get",
        operation(
            "runs",
            "runSpec",
            "The spec of a run",
            run(),
            None,
            Answer::Json(json!({ "type": "object" })),
        ),
    );
    add(
        at("/runs/{run}/stream"),
        "get",
        operation(
            "runs",
            "runStream",
            "A run's states until its end",
            run(),
            None,
            Answer::Stream("`run` with a Run each time it changes, then `end`"),
        ),
    );
    add(
        at("/runs/{run}/steps"),
        "get",
        operation("runs", "steps", "The steps of a run", run(), None, Answer::Json(list("steps", "Step"))),
    );
    let mut step = run();
    step.push(path_parameter("step", "The step's name"));
    add(
        at("/runs/{run}/steps/{step}/outputs"),
        "get",
        operation(
            "runs",
            "outputs",
            "What a step gave: an object, or for a map a list of them",
            step,
            None,
            Answer::Json(json!({})),
        ),
    );
    let mut tasks = run();
    tasks.extend([
        query_parameter("step", "Only this step", "string"),
        query_parameter("state", "Task states, separated by commas", "string"),
        query_parameter("after", "Only tasks after this one (its number)", "integer"),
        query_parameter("limit", "At most so many (1000 at most)", "integer"),
    ]);
    add(
        at("/runs/{run}/tasks"),
        "get",
        operation(
            "runs",
            "tasks",
            "Tasks of a run, in the order of its steps",
            tasks,
            None,
            Answer::Json(list("tasks", "Task")),
        ),
    );
    let one = "/runs/{run}/steps/{step}/tasks/{index}";
    add(at(one), "get", operation("runs", "task", "One task", task(), None, Answer::Json(reference("Task"))));
    let mut log = task();
    log.push(query_parameter("after", "The `next` of the pieces seen", "integer"));
    log.push(query_parameter("limit", "At most so many pieces", "integer"));
    add(
        at(&format!("{one}/log")),
        "get",
        operation(
            "runs",
            "log",
            "Pieces of a task's log",
            log.clone(),
            None,
            Answer::Json(list("pieces", "LogPiece")),
        ),
    );
    add(
        at(&format!("{one}/log/stream")),
        "get",
        operation(
            "runs",
            "logStream",
            "A task's log as it is written, until its end",
            log,
            None,
            Answer::Stream("`line` with whole lines, then `end`"),
        ),
    );
    let mut artifact = task();
    artifact.push(path_parameter("path", "The blob's place in the task's outputs; may hold slashes"));
    artifact.push(query_parameter("show", "Show it in the browser, where its type is harmless", "string"));
    add(
        at(&format!("{one}/artifacts/{{path}}")),
        "get",
        operation(
            "runs",
            "artifact",
            "A blob among a task's outputs; byte ranges are understood",
            artifact,
            None,
            Answer::Bytes,
        ),
    );
    for (word, summary) in [
        ("cancel", "Stop a run; running tasks are ended"),
        ("pause", "Let no further task of a run start"),
        ("resume", "Let a paused run go on"),
        ("retry", "Run again what did not succeed"),
    ] {
        let body = match word {
            "cancel" => Some(json!({ "type": "object", "properties": { "reason": { "type": "string" } } })),
            "retry" => Some(
                json!({ "type": "object", "properties": { "from": { "type": "string", "description": "This step and all after it as well" } } }),
            ),
            _ => None,
        };
        add(
            at(&format!("/runs/{{run}}/{word}")),
            "post",
            operation("runs", word, summary, run(), body, Answer::Json(reference("Run"))),
        );
    }
    add(
        at("/workers"),
        "get",
        operation(
            "runs",
            "workers",
            "Workers seen lately",
            vec![],
            None,
            Answer::Json(list("workers", "Worker")),
        ),
    );
    add(
        at("/limits"),
        "get",
        operation(
            "runs",
            "limits",
            "Concurrency limits",
            vec![],
            None,
            Answer::Json(list("limits", "Limit")),
        ),
    );
    let capacity = Some(
        json!({ "type": "object", "required": ["capacity"], "properties": { "capacity": { "type": "integer", "minimum": 0 } } }),
    );
    let key = vec![path_parameter("key", "The limit's key")];
    add(
        at("/limits/{key}"),
        "put",
        operation(
            "runs",
            "setLimit",
            "Say how many tasks may hold a key at once",
            key,
            capacity,
            Answer::Json(list("limits", "Limit")),
        ),
    );

    let events = || {
        vec![
            query_parameter("after", "Only after this sequence number", "integer"),
            query_parameter("kind", "Only kinds (CloudEvents `type`) that start so", "string"),
            query_parameter("source", "Only from this source", "string"),
            query_parameter("subject", "Only about this subject", "string"),
            query_parameter("since", "Only at this moment or later, RFC 3339", "string"),
            query_parameter("limit", "At most so many (1000 at most)", "integer"),
        ]
    };
    add(
        format!("{EVENTS_DOOR}/events"),
        "get",
        operation(
            "events",
            "listEvents",
            "Events, oldest first",
            events(),
            None,
            Answer::Json(json!({
                "type": "object", "required": ["events", "next"],
                "properties": { "events": { "type": "array", "items": reference("CloudEvent") }, "next": { "type": "integer", "description": "The `after` of the following page" } }
            })),
        ),
    );
    let mut receive = operation(
        "events",
        "receiveEvents",
        "Take events from outside; each source and id once",
        vec![],
        None,
        Answer::Json(
            json!({ "type": "object", "properties": { "received": { "type": "array", "items": { "type": "string", "enum": ["appended", "duplicate"] } } } }),
        ),
    );
    receive["requestBody"] = json!({ "required": true, "content": {
        "application/cloudevents+json": { "schema": reference("CloudEvent") },
        "application/cloudevents-batch+json": { "schema": { "type": "array", "items": reference("CloudEvent") } }
    } });
    add(format!("{EVENTS_DOOR}/events"), "post", receive);
    add(
        format!("{EVENTS_DOOR}/stream"),
        "get",
        operation(
            "events",
            "eventStream",
            "Events from `after` on, then as they happen",
            events(),
            None,
            Answer::Stream("`event` with a CloudEvent, its sequence number as id"),
        ),
    );

    json!({
        "tags": [
            { "name": "runs", "description": "Durable work" },
            { "name": "events", "description": "What happened" }
        ],
        "paths": paths,
        "components": { "schemas": schemas() }
    })
}

fn operation(
    tag: &str,
    id: &str,
    summary: &str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answer: Answer,
) -> Value {
    let good = match answer {
        Answer::Json(schema) => {
            json!({ "description": "Done", "content": { "application/json": { "schema": schema } } })
        }
        Answer::Stream(what) => json!({
            "description": format!("Server-sent events: {what}"),
            "content": { "text/event-stream": { "schema": { "type": "string" } } }
        }),
        Answer::Bytes => json!({ "description": "The bytes", "content": { "application/octet-stream": {} } }),
    };
    let mut operation = json!({
        "tags": [tag], "operationId": id, "summary": summary,
        "responses": { "200": good, "default": { "$ref": "#/components/responses/Error" } }
    });
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(schema) = body {
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn path_parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": { "type": "string" } })
}

fn query_parameter(name: &str, description: &str, kind: &str) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": { "type": kind } })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn list(key: &str, item: &str) -> Value {
    json!({ "type": "object", "required": [key], "properties": { key: { "type": "array", "items": reference(item) } } })
}

/// The shapes, in as much detail as a reader needs; the work engine's own types are the truth.
fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let maybe_text = || json!({ "type": ["string", "null"] });
    let moment = || json!({ "type": "string", "format": "date-time" });
    let maybe_moment = || json!({ "type": ["string", "null"], "format": "date-time" });
    let whole = || json!({ "type": "integer" });
    json!({
        "Submission": {
            "type": "object", "required": ["spec"],
            "properties": {
                "spec": { "type": "object", "description": "The run's spec: name, params, steps" },
                "params": { "type": "object", "description": "Values of the spec's parameters" },
                "priority": whole(), "no_cache": { "type": "boolean" },
                "key": { "type": "string", "description": "Submissions with the same key are one run" }
            }
        },
        "TaskCounts": {
            "type": "object",
            "properties": { "total": whole(), "succeeded": whole(), "cached": whole(), "failed": whole(), "cancelled": whole() }
        },
        "Run": {
            "type": "object", "required": ["id", "name", "state", "created"],
            "properties": {
                "id": text(), "name": text(),
                "state": { "type": "string", "enum": ["queued", "running", "paused", "cancelling", "succeeded", "failed", "cancelled"] },
                "created": moment(), "started": maybe_moment(), "finished": maybe_moment(), "deadline": maybe_moment(),
                "error": maybe_text(), "submitted_by": text(), "priority": whole(), "params": { "type": "object" },
                "tasks": reference("TaskCounts"), "steps": whole(), "steps_ended": whole()
            }
        },
        "Step": {
            "type": "object", "required": ["name", "kind", "state"],
            "properties": {
                "name": text(), "kind": text(),
                "state": { "type": "string", "enum": ["waiting", "opening", "running", "succeeded", "failed", "skipped", "cancelled"] },
                "needs": { "type": "array", "items": text() }, "map": { "type": "boolean" }, "tasks": reference("TaskCounts"),
                "started": maybe_moment(), "finished": maybe_moment(), "error": maybe_text()
            }
        },
        "Task": {
            "type": "object", "required": ["task", "run", "step", "index", "state"],
            "properties": {
                "task": whole(), "run": text(), "step": text(), "index": whole(),
                "state": { "type": "string", "enum": ["held", "ready", "parked", "backoff", "paused", "running", "succeeded", "failed", "cancelled"] },
                "cached": { "type": "boolean" }, "attempt": whole(), "failures": whole(), "worker": { "type": ["integer", "null"] },
                "started": maybe_moment(), "finished": maybe_moment(), "progress": { "type": ["number", "null"] },
                "message": maybe_text(), "error": maybe_text(), "parked_on": maybe_text(), "item": {}, "outputs": {}
            }
        },
        "LogPiece": { "type": "object", "properties": { "attempt": whole(), "seq": whole(), "at": moment(), "text": text() } },
        "Worker": {
            "type": "object",
            "properties": {
                "worker": whole(), "name": text(), "pid": whole(), "cpus": { "type": "number" }, "state": text(),
                "started": moment(), "alive_until": moment(), "running": whole()
            }
        },
        "Limit": { "type": "object", "properties": { "key": text(), "capacity": whole(), "held": whole(), "parked": whole() } },
        "CloudEvent": {
            "type": "object", "required": ["specversion", "id", "source", "type"],
            "properties": {
                "specversion": text(), "id": text(), "source": text(), "type": text(), "subject": text(), "time": moment(), "data": {}
            }
        }
    })
}
