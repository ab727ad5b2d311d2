//! Alerts through the house's own shell: Alertmanager's interface, rules, events, restarts.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use backlot_events::Query;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::doors::Serving;

/// Waits for something that comes soon.
async fn soon<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A server that keeps what it is sent.
async fn hook() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let got = Arc::<Mutex<Vec<Value>>>::default();
    let kept = got.clone();
    let keep =
        move |body: String| async move { kept.lock().unwrap().push(serde_json::from_str(&body).unwrap()) };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(keep))).await });
    (url, got)
}

fn with_hook(url: &str, wait: &str) -> String {
    format!(
        "route: {{receiver: hook, group_by: [alertname], group_wait: {wait}, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: '{url}'}}]}}]\n"
    )
}

async fn serving(config: &str, settings: Value) -> Serving {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("alertmanager.yml");
    std::fs::write(&file, config).unwrap();
    let mut settings = settings;
    settings["alerts"] =
        json!({ "config": file, "grace": "0s", "external_url": "http://here/alertmanager/" });
    Serving::at(home, settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn posted_alerts_are_shown_silenced_and_told() {
    let (url, got) = hook().await;
    let serving = serving(&with_hook(&url, "1s"), json!({})).await;
    let posted = serving
        .post(
            "/alertmanager/api/v2/alerts",
            r#"[{"labels":{"alertname":"Disk","host":"a"}},{"labels":{"alertname":"Disk","host":"b"}}]"#,
        )
        .await;
    assert_eq!((posted.status, posted.text().as_str()), (200, ""));
    let all = serving.json("/alertmanager/api/v2/alerts?filter=host%3D%22a%22").await;
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!(all[0]["status"]["state"], "active");
    let until = "2099-01-01T00:00:00Z";
    let silence = format!(
        r#"{{"matchers":[{{"name":"host","value":"b","isRegex":false}}],"startsAt":"2020-01-01T00:00:00Z","endsAt":"{until}","createdBy":"me","comment":"x"}}"#
    );
    let answer = serving.post("/alertmanager/api/v2/silences", &silence).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let id = answer.json()["silenceID"].as_str().unwrap().to_owned();
    soon("the webhook", || async { (!got.lock().unwrap().is_empty()).then_some(()) }).await;
    let body = got.lock().unwrap()[0].clone();
    assert_eq!(body["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(body["externalURL"], "http://here/alertmanager");
    let groups = serving.json("/alertmanager/api/v2/alerts/groups").await;
    assert_eq!(groups[0]["alerts"][1]["status"]["silencedBy"], json!([id]));
    assert_eq!(groups[0]["alerts"][1]["status"]["state"], "suppressed");
    // Why.
    let fingerprint = all[0]["fingerprint"].as_str().unwrap();
    let why = soon("the decision", || async {
        let why = serving.json(&format!("/telemetry/api/v1/alerts/{fingerprint}")).await;
        let verdicts: Vec<String> =
            why["decisions"].as_array()?.iter().map(|one| one["verdict"]["verdict"].to_string()).collect();
        verdicts.contains(&"\"sent\"".to_owned()).then_some(why)
    })
    .await;
    assert_eq!(why["routes"][0]["integrations"][0]["knows"], true);
    // The events of both beginnings.
    let events = serving
        .house
        .events
        .read(Query { kind_prefix: Some("backlot.telemetry.alert.".into()), ..Query::default() })
        .await
        .unwrap();
    assert_eq!(events.len(), 2);
    let data = events[0].json().unwrap();
    assert_eq!(
        (data["name"].as_str(), data["value"].is_null(), data["ends_at"].is_null()),
        (Some("Disk"), true, true)
    );
    assert_eq!(events[0].subject.as_deref(), data["fingerprint"].as_str());
    // The pages show it.
    for path in [
        "/alerts",
        "/alerts?view=suppressed",
        "/alerts/silences",
        "/alerts/rules",
        &format!("/alerts/alert/{fingerprint}"),
    ] {
        let page = serving.page(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
    }
    let gone = serving.server.send(&format!("DELETE /alertmanager/api/v2/silence/{id}"), &[], "").await;
    assert_eq!(gone.status, 200);
    assert_eq!(
        serving.json(&format!("/alertmanager/api/v2/silence/{id}")).await["status"]["state"],
        "expired"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_survives_and_is_told_once() {
    let (url, got) = hook().await;
    let before = serving(&with_hook(&url, "2s"), json!({})).await;
    before
        .post(
            "/alertmanager/api/v2/alerts",
            r#"[{"labels":{"alertname":"Disk"},"endsAt":"2099-01-01T00:00:00Z"}]"#,
        )
        .await;
    let config = before.home.path().join("alertmanager.yml");
    // In the middle of the group's wait.
    let after = before.again(json!({ "alerts": { "config": config, "grace": "0s" } })).await;
    assert_eq!(after.json("/alertmanager/api/v2/alerts").await[0]["labels"]["alertname"], "Disk");
    soon("the webhook", || async { (!got.lock().unwrap().is_empty()).then_some(()) }).await;
    let again = after.again(json!({ "alerts": { "config": config, "grace": "0s" } })).await;
    // A reload with a slip changes nothing; one without tells nothing again.
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, "route: {}").unwrap();
    assert_eq!(again.post("/alertmanager/-/reload", "").await.status, 500);
    std::fs::write(&config, text).unwrap();
    assert_eq!(again.post("/alertmanager/-/reload", "").await.status, 200);
    // When a later group has been told, two intervals have passed for the first one.
    again
        .post(
            "/alertmanager/api/v2/alerts",
            r#"[{"labels":{"alertname":"Later"},"endsAt":"2099-01-01T00:00:00Z"}]"#,
        )
        .await;
    let told = |name: &str| {
        got.lock().unwrap().iter().filter(|body| body["groupLabels"]["alertname"] == name).count()
    };
    soon("the later one", || async { (told("Later") > 0).then_some(()) }).await;
    assert_eq!(told("Disk"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_evaluated_as_data_arrives() {
    let (url, got) = hook().await;
    let serving = serving(&with_hook(&url, "0s"), json!({ "step": "1s" })).await;
    let rule = json!({
        "name": "Busy", "expression": "name,rps,:eq,(,nf.node,),:by,80,:gt",
        "labels": { "severity": "page" }, "annotations": { "summary": "$(nf.node) has $value" }
    });
    let made = serving.post("/telemetry/api/v1/rules", &rule.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let publish = async |value: f64| {
        let now = serving.now();
        let body = json!({ "metrics": [
            { "tags": { "name": "rps", "nf.node": "i-1", "atlas.dstype": "gauge" }, "timestamp": now, "value": value },
            { "tags": { "name": "rps", "nf.node": "i-2", "atlas.dstype": "gauge" }, "timestamp": now, "value": 1.0 },
        ] });
        assert_eq!(serving.post("/atlas/api/v1/publish", &body.to_string()).await.status, 200);
    };
    let told = |status: &'static str| {
        let got = got.clone();
        move || {
            let found = got.lock().unwrap().iter().find(|body| body["status"] == status).cloned();
            async { found }
        }
    };
    let firing = soon("the alert", || async {
        publish(100.0).await;
        told("firing")().await
    })
    .await;
    let alert = &firing["alerts"][0];
    assert_eq!(
        alert["labels"],
        json!({ "alertname": "Busy", "name": "rps", "nf_node": "i-1", "severity": "page" })
    );
    assert_eq!(alert["annotations"]["summary"], "i-1 has 1.0");
    assert!(alert["generatorURL"].as_str().unwrap().starts_with("http://here/metrics?q=name"));
    assert_eq!(firing["alerts"].as_array().unwrap().len(), 1);
    soon("the end", || async {
        publish(10.0).await;
        told("resolved")().await
    })
    .await;
    let kinds = || async {
        let events = serving
            .house
            .events
            .read(Query { kind_prefix: Some("backlot.telemetry.alert.".into()), ..Query::default() })
            .await
            .unwrap();
        events.iter().map(|event| (event.kind.clone(), event.json().cloned().unwrap())).collect::<Vec<_>>()
    };
    let events = kinds().await;
    assert_eq!(events[0].0, "backlot.telemetry.alert.firing");
    assert_eq!((events[0].1["step_ms"].as_i64(), events[0].1["value"].as_f64()), (Some(1000), Some(1.0)));
    assert_eq!(events[0].1["expression"], "name,rps,:eq,(,nf.node,),:by,80,:gt");
    assert_eq!(events[1].0, "backlot.telemetry.alert.resolved");
    assert!(events[1].1["ends_at"].is_string());
    // A rule that goes takes its alerts along.
    soon("the alert again", || async {
        publish(100.0).await;
        (kinds().await.len() == 3).then_some(())
    })
    .await;
    assert_eq!(
        serving.server.send(&format!("DELETE /telemetry/api/v1/rules/{id}"), &[], "").await.status,
        204
    );
    soon("its end", || async { (kinds().await.len() == 4).then_some(()) }).await;
    let list = serving.json("/telemetry/api/v1/rules").await;
    assert_eq!(
        (list["rules"].as_array().map(Vec::len), list["evaluation"]["dropped"].as_u64()),
        (Some(0), Some(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slips_are_told_as_alertmanager_tells_them() {
    let serving = serving("route: {receiver: a}\nreceivers: [{name: a}]", json!({})).await;
    let alerts = "/alertmanager/api/v2/alerts";
    for (body, status, part) in [
        ("", 422, r#"{"code":602,"message":"alerts in body is required"}"#),
        ("{", 400, "parsing alerts body from"),
        ("{}", 400, "parsing alerts body from"),
        ("[{}]", 422, r#"{"code":602,"message":"0.labels in body is required"}"#),
        (r#"[{"labels":{}}]"#, 400, r#""at least one label pair required""#),
        (r#"[{"labels":{"a":""}}]"#, 400, "at least one label pair"),
        (r#"[{"labels":{"a.b":"c"}}]"#, 400, r#"invalid name \"a.b\""#),
        (r#"[{"labels":{"a":1}}]"#, 400, "parsing alerts body"),
        (r#"[{"labels":{"a":"b"},"startsAt":"x"}]"#, 400, "parsing alerts body"),
        (r#"[{"labels":{"a":"b"},"endsAt":"999999999-01-01T00:00:00Z"}]"#, 400, "parsing alerts body"),
        (
            r#"[{"labels":{"a":"b"},"startsAt":"2026-01-02T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"}]"#,
            400,
            "start time must be before end time",
        ),
        (r#"[{"labels":{"a":"\u0000"}}]"#, 200, ""),
        ("[]", 200, ""),
    ] {
        let answer = serving.post(alerts, body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.text().contains(part), "{body}: {}", answer.text());
    }
    let deep = format!("[{}", "[".repeat(100_000));
    assert_eq!(serving.post(alerts, &deep).await.status, 400);
    let large = format!(r#"[{{"labels":{{"a":"{}"}}}}]"#, "x".repeat(100_000));
    assert!(serving.post(alerts, &large).await.text().contains("at most"));
    let times =
        r#""startsAt":"2026-01-01T00:00:00Z","endsAt":"2099-01-01T00:00:00Z","createdBy":"a","comment":"b""#;
    for (body, status, part) in [
        ("{}".to_owned(), 422, "comment in body is required"),
        (format!(r#"{{"matchers":[],{times}}}"#), 422, "at least 1 items"),
        (
            format!(r#"{{"matchers":[{{"name":"a","value":"(","isRegex":true}}],{times}}}"#),
            400,
            "regular expression",
        ),
        (
            format!(r#"{{"matchers":[{{"name":"a","value":"(a+)+$","isRegex":true}}],{times}}}"#),
            200,
            "silenceID",
        ),
        (
            format!(
                r#"{{"matchers":[{{"name":"a","value":"((x{{1000}}){{1000}}){{1000}}","isRegex":true}}],{times}}}"#
            ),
            400,
            "regular expression",
        ),
        (
            format!(r#"{{"matchers":[{{"name":"a","value":"","isRegex":false}}],{times}}}"#),
            400,
            "must not match the empty string",
        ),
        (
            format!(
                r#"{{"matchers":[{{"name":"a","value":"b","isRegex":false}}],{}}}"#,
                times.replace("2099", "2025")
            ),
            400,
            "before end time",
        ),
        (
            format!(
                r#"{{"id":"4b5a2f2e-6a4e-4c6d-9d3b-111111111111","matchers":[{{"name":"a","value":"b","isRegex":false}}],{times}}}"#
            ),
            404,
            "silence not found",
        ),
        (
            format!(
                r#"{{"matchers":[{{"name":"a","value":"b","isRegex":false}}],"timeIntervals":[{{"weekdays":["someday"]}}],{times}}}"#
            ),
            400,
            "someday",
        ),
    ] {
        let answer = serving.post("/alertmanager/api/v2/silences", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.text().contains(part), "{body}: {}", answer.text());
    }
    for (path, status) in [
        ("alerts?filter=foo", 400),
        ("alerts?receiver=(", 400),
        ("alerts?active=maybe", 200),
        ("silence/xyz", 422),
        ("silence/4b5a2f2e-6a4e-4c6d-9d3b-111111111111", 404),
        ("receivers", 200),
        ("status", 200),
        ("nothing", 404),
    ] {
        assert_eq!(
            serving.server.get(&format!("/alertmanager/api/v2/{path}"), &[]).await.status,
            status,
            "{path}"
        );
    }
    for (body, part) in [
        (r#"{"name":"a","expression":"name,a,:eq,:foo"}"#, "unknown word"),
        (r#"{"name":"","expression":"1"}"#, "`name`"),
        (r#"{"name":"a","expression":"1,2"}"#, "leave one"),
        (r#"{"name":"a","expression":"1","for":"soon"}"#, "`for`"),
        (r#"{"name":"a","expression":"1","lables":{}}"#, "unknown field"),
        (r#"[{"name":"a","expression":"1"},{"name":"b"}]"#, "rule 1:"),
    ] {
        let answer = serving.post("/telemetry/api/v1/rules", body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert!(answer.text().contains(part), "{body}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_alerts_did_is_metered() {
    let (url, got) = hook().await;
    // Nothing listens at the second address any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = format!(
        "route: {{receiver: both, group_wait: 0s, group_interval: 1s}}\n\
         receivers: [{{name: both, webhook_configs: [{{url: '{url}'}}, {{url: 'http://{gone}/'}}]}}]\n"
    );
    let serving = serving(&config, json!({ "step": "1s" })).await;
    let rule = json!({ "name": "Always", "expression": "1" });
    assert_eq!(serving.post("/telemetry/api/v1/rules", &rule.to_string()).await.status, 201);
    serving.post("/alertmanager/api/v2/alerts", r#"[{"labels":{"alertname":"Disk"}}]"#).await;
    soon("the webhook", || async { (!got.lock().unwrap().is_empty()).then_some(()) }).await;
    let count = |text: &str, sample: &str| {
        let line = text.lines().find(|line| line.starts_with(sample))?;
        line.rsplit(' ').next()?.parse::<f64>().ok().filter(|count| *count > 0.0)
    };
    for sample in [
        "telemetry_alerts_evaluations_seconds_count ",
        "telemetry_alerts_evaluations_seconds_sum ",
        "telemetry_alerts_rules_total{id=\"evaluated\"} ",
        "telemetry_alerts_notifications_seconds_count{id=\"sent\",receiver=\"both\"} ",
        "telemetry_alerts_notifications_seconds_sum{id=\"sent\",receiver=\"both\"} ",
        "telemetry_alerts_notifications_seconds_count{id=\"failed\",receiver=\"both\"} ",
    ] {
        soon(sample, || async {
            count(&serving.server.get("/prometheus/metrics", &[]).await.text(), sample)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn amtool_lists_silences_and_expires() {
    let Some(amtool) = crate::neighbours::program("amtool", "prometheus-alertmanager") else { return };
    let serving = serving("route: {receiver: a}\nreceivers: [{name: a}]", json!({})).await;
    let url = format!("--alertmanager.url=http://{}/alertmanager", serving.server.address());
    let run = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(&amtool);
        let output = command.arg(&url).args(arguments).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["alert", "add", "Disk", "host=a", "--annotation=summary=full"]).await;
    run(&["alert", "add", "Disk", "host=b"]).await;
    let alerts = run(&["alert", "query", "-o", "extended"]).await;
    assert!(alerts.contains(r#"host="a""#) && alerts.contains(r#"summary="full""#), "{alerts}");
    let id = run(&["silence", "add", "host=a", "--comment=mending", "--author=me", "--duration=1h"]).await;
    let id = id.trim();
    let left = run(&["alert", "query", "-o", "extended"]).await;
    assert!(!left.contains(r#"host="a""#) && left.contains(r#"host="b""#), "{left}");
    assert!(run(&["silence", "query"]).await.contains("mending"));
    run(&["silence", "expire", id]).await;
    assert!(run(&["alert", "query", "-o", "extended"]).await.contains(r#"host="a""#));
    assert!(run(&["config", "show"]).await.contains("receiver: a"));
    assert_eq!(run(&["config", "routes", "test", "host=a"]).await.trim(), "a");
}
