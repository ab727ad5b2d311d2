//! Explanations of live metrics: by the door, the form, the command with a server and without.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use backlot_department::{CommandContext, CommandError, Department, Endpoint, OutputFormat, shell_part};
use backlot_signals::Signals;
use backlot_web::testing::Server;
use backlot_web::{Shell, Tokens, WebConfig};

use serde_json::json;

use crate::house::{Lot, fired_ms, live_incident, open};

/// When the incident's alert fired, in seconds since 1970.
fn fired(lot: &Lot) -> String {
    (fired_ms(lot.house.ledger.now().micros()) / 1000).to_string()
}

async fn serve(lot: &Lot) -> (Server, String) {
    let mut config = WebConfig::new(Tokens::open(lot.home.path()).unwrap());
    config.bind.set_port(0);
    let part = shell_part(&Signals::default(), &lot.house);
    let server = Server::start(Shell::builder(config).department(part).build().unwrap()).await.unwrap();
    (server, Tokens::admin_token(lot.home.path()).unwrap().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_about_live_metrics_is_answered() {
    let lot = Lot::new();
    let (server, token) = serve(&lot).await;
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let worker = lot.worker(0).await;
    let question =
        json!({ "alert": "alert", "candidates": "all", "at": fired(&lot), "before": "1h", "history": "10h" });
    let asked = server.send("POST /signals/api/v1/explanations", &fields, &question.to_string()).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let address = asked.json()["explanation"].as_str().unwrap().to_owned();
    let answer = server.get(&format!("{address}?wait=30"), &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let explanation = answer.json();
    let incident = live_incident();
    let moved: Vec<&str> = incident.moved.iter().map(|place| incident.names[*place].as_str()).collect();
    let found = explanation["timeline"].as_array().unwrap();
    let found: Vec<&str> = found.iter().map(|entry| entry["signal"].as_str().unwrap()).collect();
    assert!(found[..3].iter().all(|signal| moved.contains(signal)), "{found:?}: not all of {moved:?}");
    assert_eq!(explanation["alert"]["signal"], "starts{app=www}");
    assert!(
        explanation["notes"].as_array().unwrap().iter().any(|note| note == "all candidates have app=www")
    );

    let refused = async |body: &str| {
        let answer = server.send("POST /signals/api/v1/explanations", &fields, body).await;
        (answer.status, answer.json()["error"]["message"].as_str().unwrap().to_owned())
    };
    let odd = [
        (r#"{"alert": "alert"}"#, 422, "no candidates are asked for"),
        (r#"{"alert": "x", "candidates": "all"}"#, 422, "there is no such query"),
        (r#"{"alert": "none", "candidates": "all"}"#, 422, "gives no series"),
        (r#"{"alert": "all", "candidates": "all"}"#, 422, "gives 60 series"),
        (r#"{"alert": "alert", "candidates": "none"}"#, 422, "no series but the alert's own"),
        (r#"{"alert": "alert", "candidates": "down"}"#, 503, "not open yet"),
        (r#"{"alert": "alert", "candidates": "all", "step": "5m"}"#, 422, "must be 60000 ms"),
        (
            r#"{"alert": "alert", "candidates": "all", "at": "1971-01-01T00:00:00Z"}"#,
            422,
            "no value in this time",
        ),
        (r#"{"alert": "alert", "candidates": "all", "history": "20m"}"#, 422, "too few"),
        (r#"{"alert": "alert", "candidates": "all", "until": 5}"#, 422, "unknown field `until`"),
        ("{", 422, "not understood"),
    ];
    for (body, status, message) in odd {
        let (found, told) = refused(body).await;
        assert!(found == status && told.contains(message), "{body}: {found} {told}");
    }

    let form = [("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let page = server.get("/signals/new", &fields).await.text();
    assert!(page.contains("Explain an alert") && page.contains("incident"), "{page}");
    let sent = server.send("POST /signals/new", &form, "alert=alert&candidates=all&history=10h").await;
    assert_eq!(sent.status, 303, "{}", sent.text());
    let wrong = server.send("POST /signals/new", &form, "alert=alert&candidates=al%22l&before=soon").await;
    assert!(
        wrong.status == 422 && wrong.text().contains("al&quot;l") && wrong.text().contains("90m"),
        "{}",
        wrong.text()
    );
    worker.stop().await;
}

async fn command(
    lot: &Lot,
    server: Option<Endpoint>,
    line: &[&str],
) -> Result<(ExitCode, String), CommandError> {
    let output = Arc::new(Mutex::new(Vec::new()));
    let path = lot.home.path().to_owned();
    let context = CommandContext::new(lot.home.path(), OutputFormat::Json, server, move || {
        let path = path.clone();
        async move { Ok(open(&path)) }
    })
    .with_output(output.clone());
    let signals = Signals::default();
    let matches = signals.commands().remove(0).try_get_matches_from(line).unwrap();
    let code = signals.run_command(line[0], &matches, &context).await?;
    let text = String::from_utf8(output.lock().unwrap().clone()).unwrap();
    Ok((code, text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_asks_the_server_or_computes_by_itself() {
    let lot = Lot::new();
    let (server, token) = serve(&lot).await;
    let endpoint = Endpoint { url: server.origin(), token: Some(token) };
    let out = lot.home.path().join("out");
    let at = fired(&lot);
    let line =
        ["signals", "explain", "--alert-query", "alert", "--query", "all", "--history", "10h", "--at", &at];
    let worker = lot.worker(0).await;
    let with_out = [&line[..], &["--out", out.to_str().unwrap()]].concat();
    let through = command(&lot, Some(endpoint.clone()), &with_out).await.unwrap().1;
    let here = command(&lot, None, &line).await.unwrap().1;
    let submitted = command(&lot, None, &[&line[..], &["--submit"]].concat()).await.unwrap().1;
    // The minute may turn between them; the answers then differ in their notes at most.
    let first = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text).unwrap()["timeline"][0]["signal"].clone()
    };
    assert_eq!((first(&through), first(&here)), (first(&here), first(&submitted)));
    for file in ["explanation.json", "timeline.txt", "figure.json", "figure.svg"] {
        assert!(out.join(file).metadata().unwrap().len() > 100, "{file}");
    }
    let wrong = ["signals", "explain", "--alert-query", "none", "--query", "all"];
    let refused = command(&lot, Some(endpoint), &wrong).await.unwrap_err();
    assert!(refused.code == CommandError::USAGE && refused.message.contains("gives no series"), "{refused}");
    let down = ["signals", "explain", "--alert-query", "down", "--query", "all"];
    let refused = command(&lot, None, &down).await.unwrap_err();
    assert!(refused.code == CommandError::UNREACHABLE && refused.mend.contains("backlot up"), "{refused}");
    let gone = Endpoint { url: "http://127.0.0.1:1".to_owned(), token: None };
    let refused = command(&lot, Some(gone), &line).await.unwrap_err();
    assert!(
        refused.code == CommandError::UNREACHABLE && refused.message.contains("127.0.0.1:1"),
        "{refused}"
    );
    worker.stop().await;
}
