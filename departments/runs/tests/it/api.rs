//! The runs door.

use backlot_web::testing::read_until;
use backlot_work::RunState;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::support::{Lot, RUNS};

#[tokio::test]
async fn a_run_is_submitted_followed_and_read() {
    let lot = Lot::open().await;
    let steps = json!([
        { "name": "first", "kind": "test.echo", "input": { "n": 7 } },
        { "name": "each", "kind": "test.echo", "input": "${item}", "map": { "over": [1, 2, 3] }, "after": ["first"] }
    ]);
    let run = lot.submit("echoes", steps).await;
    let streamed = lot.get(&format!("{RUNS}/{run}/stream")).await.text();
    assert!(streamed.contains("event: run") && streamed.ends_with("event: end\ndata: \n\n"), "{streamed}");
    let states: Vec<String> = streamed
        .lines()
        .filter_map(|line| line.strip_prefix("data: {").map(|rest| format!("{{{rest}")))
        .map(|data| serde_json::from_str::<Value>(&data).unwrap()["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states.last().map(String::as_str), Some("succeeded"));

    let shown = lot.get(&format!("{RUNS}/{run}")).await.json();
    assert_eq!(
        (shown["tasks"]["succeeded"].as_i64(), shown["submitted_by"].as_str()),
        (Some(4), Some("admin"))
    );
    // An unambiguous start of the id is enough.
    assert_eq!(lot.get(&format!("{RUNS}/{}", &run[..10])).await.json()["id"], run.as_str());
    let steps = lot.get(&format!("{RUNS}/{run}/steps")).await.json();
    assert_eq!(steps["steps"][1]["needs"], json!(["first"]));
    assert_eq!(
        lot.get(&format!("{RUNS}/{run}/steps/first/outputs")).await.json(),
        json!({ "echo": { "n": 7 } })
    );
    let spec = lot.get(&format!("{RUNS}/{run}/spec")).await.json();
    assert_eq!(spec["step"][0]["kind"], "test.echo");

    let page = lot.get(&format!("{RUNS}/{run}/tasks?step=each&limit=2")).await.json();
    let tasks = page["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 2);
    let rest = lot.get(&format!("{RUNS}/{run}/tasks?step=each&after={}", tasks[1]["task"])).await.json();
    assert_eq!(rest["tasks"][0]["outputs"], json!({ "echo": 3 }));
    assert_eq!(
        lot.get(&format!("{RUNS}?state=succeeded&name=echoes")).await.json()["runs"][0]["id"],
        run.as_str()
    );
    assert_eq!(lot.get(&format!("{RUNS}?state=failed,cancelled")).await.json()["runs"], json!([]));
}

#[tokio::test]
async fn mistakes_are_told_with_their_mend() {
    let lot = Lot::open().await;
    let run = lot.submit("one", json!([{ "name": "a", "kind": "test.echo" }])).await;
    lot.ended(&run).await;
    for (path, status, code) in [
        (format!("{RUNS}/nosuchrun0000"), 404, "not_found"),
        (format!("{RUNS}/{run}/steps/b/outputs"), 404, "not_found"),
        (format!("{RUNS}/{run}/steps/a/tasks/9"), 404, "not_found"),
        (format!("{RUNS}/{run}/steps/a/tasks/x"), 400, "bad_request"),
        (format!("{RUNS}/{run}/steps/a/tasks/0/artifacts/none"), 404, "not_found"),
        (format!("{RUNS}?state=odd"), 400, "bad_request"),
        (format!("{RUNS}?stat=odd"), 400, "bad_request"),
    ] {
        let answer = lot.get(&path).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}: {}", answer.text());
        assert!(!answer.json()["error"]["mend"].as_str().unwrap().is_empty());
    }
    let spec = |steps: Value| json!({ "spec": { "name": "x", "steps": steps } });
    for body in [
        spec(json!([])),
        spec(json!([{ "name": "a", "kind": "no.such.kind" }])),
        spec(json!([{ "name": "a", "kind": "test.echo", "after": ["a"] }])),
        spec(json!([{ "name": "a", "kind": "test.echo", "input": "${params.missing}" }])),
        json!({ "spec": { "name": "x", "steps": [{ "name": "a", "kind": "test.echo" }] }, "param": {} }),
    ] {
        let answer = lot.post(RUNS, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid"), "{body}: {}", answer.text());
    }
    let ended = lot.post(&format!("{RUNS}/{run}/pause"), &Value::Null).await;
    assert_eq!((ended.status, ended.code().as_str()), (409, "conflict"), "{}", ended.text());
}

#[tokio::test]
async fn a_run_is_paused_resumed_cancelled_and_retried() {
    let lot = Lot::open().await;
    let steps = json!([
        { "name": "wait", "kind": "test.wait" },
        { "name": "then", "kind": "test.echo", "after": ["wait"] }
    ]);
    let run = lot.submit("slow", steps).await;
    lot.until(&format!("{RUNS}/{run}"), "\"running\"").await;
    let order = |word: &str| format!("{RUNS}/{run}/{word}");
    assert_eq!(lot.post(&order("pause"), &Value::Null).await.json()["state"], "paused");
    assert_eq!(lot.post(&order("resume"), &Value::Null).await.json()["state"], "running");
    let cancelled = lot.post(&order("cancel"), &json!({ "reason": "changed my mind" })).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    assert_eq!(lot.ended(&run).await.state, RunState::Cancelled);
    lot.levers.open.send_replace(true);
    assert_eq!(lot.post(&order("retry"), &json!({})).await.status, 200);
    assert_eq!(lot.ended(&run).await.state, RunState::Succeeded);
    assert_eq!(lot.post(&order("retry"), &json!({ "from": "no-such-step" })).await.status, 404);
    assert_eq!(lot.post(&order("cancel"), &json!({ "raeson": "x" })).await.status, 422);
}

#[tokio::test]
async fn a_log_is_streamed_as_it_is_written_and_resumed_where_it_was_left() {
    let lot = Lot::open().await;
    let run = lot.submit("slow", json!([{ "name": "wait", "kind": "test.wait" }])).await;
    let task = format!("{RUNS}/{run}/steps/wait/tasks/0");
    lot.until(&format!("{RUNS}/{run}/tasks"), "\"running\"").await;
    let bearer = lot.bearer();
    let mut stream = lot.server.open(&format!("{task}/log/stream"), &[("authorization", &bearer)]).await;
    let before = read_until(&mut stream, "data: waiting").await;
    assert!(!before.contains("went on"));
    let id = before.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    lot.levers.open.send_replace(true);
    read_until(&mut stream, "event: end").await;
    let resumed = lot
        .server
        .get(&format!("{task}/log/stream"), &[("authorization", &bearer), ("last-event-id", &id)])
        .await;
    assert!(!resumed.text().contains("waiting") && resumed.text().contains("went on"), "{}", resumed.text());
    let read = lot.get(&format!("{task}/log")).await.json();
    let text: String =
        read["pieces"].as_array().unwrap().iter().map(|piece| piece["text"].as_str().unwrap()).collect();
    assert_eq!(text, "waiting\nwent on <b>boldly</b>\n");
    let after = lot.get(&format!("{task}/log?after={}", read["next"])).await.json();
    assert_eq!((&after["pieces"], &after["next"]), (&json!([]), &read["next"]));
}

#[tokio::test]
async fn artifacts_are_handed_out_safely_whole_and_in_ranges() {
    let lot = Lot::open().await;
    let run = lot.submit("blobs", json!([{ "name": "make", "kind": "test.blobs" }])).await;
    assert_eq!(lot.ended(&run).await.state, RunState::Succeeded);
    let base = format!("{RUNS}/{run}/steps/make/tasks/0/artifacts");
    let whole = lot.get(&format!("{base}/text")).await;
    assert_eq!((whole.status, whole.text()), (200, "0123456789".repeat(10)));
    assert_eq!(whole.header("content-disposition"), "attachment; filename=\"text\"");
    let shown = lot.get(&format!("{base}/text?show=1")).await;
    assert_eq!((shown.header("content-disposition"), shown.header("content-type")), ("", "text/plain"));
    // A page that a task wrote is never shown, and could not run if it were.
    let page = lot.get(&format!("{base}/list/0/page?show=1")).await;
    assert!(page.header("content-disposition").starts_with("attachment"), "{page:?}");
    assert!(page.header("content-security-policy").contains("sandbox"));

    let bearer = lot.bearer();
    let range = async |range: &'static str| {
        lot.server.get(&format!("{base}/text"), &[("authorization", &bearer), ("range", range)]).await
    };
    let middle = range("bytes=5-14").await;
    assert_eq!((middle.status, middle.text().as_str()), (206, "5678901234"));
    assert_eq!((middle.header("content-range"), middle.header("content-length")), ("bytes 5-14/100", "10"));
    assert_eq!(range("bytes=-3").await.text(), "789");
    let beyond = range("bytes=100-").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */100"));
    assert_eq!(range("bytes=9-1").await.status, 200);
    let etag = whole.header("etag").to_owned();
    let again = lot
        .server
        .get(&format!("{base}/text"), &[("authorization", &bearer), ("if-none-match", &etag)])
        .await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    // Not by digest, and nothing but what the outputs name.
    for path in ["plain", "list", "..", "text/..", "%2e%2e", "blake3"] {
        assert_eq!(lot.get(&format!("{base}/{path}")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn scopes_are_kept() {
    let lot = Lot::open().await;
    let reader = format!("Bearer {}", lot.token(&["runs:read"]));
    let fields = [("authorization", reader.as_str()), ("content-type", "application/json")];
    assert_eq!(lot.server.get(RUNS, &fields).await.status, 200);
    assert_eq!(lot.server.send(&format!("POST {RUNS}"), &fields, "{}").await.code(), "scope_missing");
    assert_eq!(lot.server.get("/events/api/v1/events", &fields).await.code(), "scope_missing");
    assert_eq!(lot.server.get(RUNS, &[]).await.status, 401);
}

#[tokio::test]
async fn workers_and_limits_are_told_and_set() {
    let lot = Lot::open().await;
    let workers = lot.get("/runs/api/v1/workers").await.json();
    assert_eq!(workers["workers"][0]["state"], "alive");
    let bearer = lot.bearer();
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let set = lot.server.send("PUT /runs/api/v1/limits/licence", &fields, "{\"capacity\": 2}").await;
    assert_eq!(set.json()["limits"], json!([{ "key": "licence", "capacity": 2, "held": 0, "parked": 0 }]));
    assert_eq!(
        lot.server.send("PUT /runs/api/v1/limits/licence", &fields, "{\"capacity\": -1}").await.status,
        422
    );
    assert_eq!(lot.get("/readyz").await.json()["departments"]["runs"], "ready");
    let idle = Lot::open_with(false).await;
    assert_eq!(idle.get("/readyz").await.json()["departments"]["runs"], "degraded");
}

#[tokio::test]
async fn the_same_key_is_the_same_run() {
    let lot = Lot::open().await;
    let body =
        json!({ "spec": { "name": "x", "steps": [{ "name": "a", "kind": "test.echo" }] }, "key": "k1" });
    let first = lot.post(RUNS, &body).await.json();
    let second = lot.post(RUNS, &body).await.json();
    assert_eq!(first["id"], second["id"]);
}

#[tokio::test]
async fn a_follower_that_leaves_frees_its_connection() {
    let lot = Lot::open().await;
    let run = lot.submit("slow", json!([{ "name": "wait", "kind": "test.wait" }])).await;
    let bearer = lot.bearer();
    let mut stream = lot.server.open(&format!("{RUNS}/{run}/stream"), &[("authorization", &bearer)]).await;
    read_until(&mut stream, "event: run").await;
    drop(stream);
    // The shutdown waits for open connections, and this one is gone or ends with the stream.
    let mut server = lot.server;
    let mut left = server.connect().await;
    server.stop();
    server.ended().await.unwrap();
    let mut rest = Vec::new();
    let _ = left.read_to_end(&mut rest).await;
}
