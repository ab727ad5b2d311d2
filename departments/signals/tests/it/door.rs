//! The door, the page and the command.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use backlot_department::{CommandContext, CommandError, Department, OutputFormat, shell_part};
use backlot_signals::Signals;
use backlot_web::testing::{Server, in_time};
use backlot_web::{Shell, Tokens, WebConfig};
use backlot_work::RunState;

use crate::house::{Lot, open, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_posted_table_is_explained_and_shown() {
    let lot = Lot::new();
    let (incident, csv, asked) = table();
    let root = &incident.names[incident.root];
    let mut config = WebConfig::new(Tokens::open(lot.home.path()).unwrap());
    config.bind.set_port(0);
    let part = shell_part(&Signals::default(), &lot.house);
    let server = Server::start(Shell::builder(config).department(part).build().unwrap()).await.unwrap();
    let bearer = format!("Bearer {}", Tokens::admin_token(lot.home.path()).unwrap().unwrap());
    let fields = [("authorization", bearer.as_str()), ("content-type", "text/csv")];

    let step = step_rows();
    let step = format!("time,step\n{step}");
    let found = server.send("POST /signals/api/v1/changes", &fields, &step).await.json();
    assert_eq!(
        (&found[0]["changes"][0]["point"], found[0]["changes"].as_array().unwrap().len()),
        (&33.into(), 1),
        "{found}"
    );
    let refused = server.send("POST /signals/api/v1/changes?model=l3", &fields, &step).await;
    assert!(refused.status == 422 && refused.text().contains("there is no cost `l3`"), "{}", refused.text());
    let broken = server.send("POST /signals/api/v1/changes", &fields, "PAR1 and no more").await;
    assert!(broken.status == 422 && broken.text().contains("no whole Parquet file"), "{}", broken.text());
    let own = server.send("POST /signals/api/v1/explanations?alert=a", &fields, "BLSIG001").await;
    assert_eq!(own.status, 400, "{}", own.text());

    let unnamed = server.send("POST /signals/api/v1/explanations", &fields, &csv).await;
    assert_eq!(unnamed.status, 400, "{}", unnamed.text());
    let at = asked.at.as_deref().unwrap();
    let line = format!("POST /signals/api/v1/explanations?alert=starts&at={at}");
    let answer = server.send(&line, &fields, &csv).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = answer.json()["run"].as_str().unwrap().to_owned();
    let explanation = format!("/signals/api/v1/explanations/{run}");
    assert_eq!(server.get(&explanation, &fields).await.status, 409);

    let worker = lot.worker(0).await;
    let ended = in_time("the run's end", lot.house.work.wait(&run)).await.unwrap();
    worker.stop().await;
    assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.error);
    let timeline = server.get(&explanation, &fields).await.json();
    let first: Vec<&str> = timeline["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .take(3)
        .map(|entry| entry["signal"].as_str().unwrap())
        .collect();
    assert!(first.contains(&root.as_str()), "{first:?}");
    let page = server.get(&format!("/signals/{run}"), &fields).await.text();
    assert!(
        page.contains(root.as_str()) && page.contains("first mover") && page.contains("figure_light"),
        "{page}"
    );
    assert!(
        server.get(&format!("{explanation}/files/figure_dark"), &fields).await.text().starts_with("<svg")
    );
    assert!(server.get("/signals", &fields).await.text().contains("starts"));
    assert_eq!(server.get(&format!("{explanation}/files/nothing"), &fields).await.status, 404);
    assert_eq!(server.get("/signals/api/v1/explanations/nobody", &fields).await.status, 404);
}

/// The step of 33 zeros and 30 fives.
fn step_rows() -> String {
    let row = |point: usize| format!("{},{}\n", point * 60, if point < 33 { 0 } else { 5 });
    (0..63).map(row).collect::<Vec<_>>().concat()
}

async fn call(format: OutputFormat, line: &[&str]) -> Result<(ExitCode, String), CommandError> {
    let home = tempfile::tempdir().unwrap();
    let output = Arc::new(Mutex::new(Vec::new()));
    let path = home.path().to_owned();
    let context = CommandContext::new(home.path(), format, None, move || {
        let path = path.clone();
        async move { Ok(open(&path)) }
    })
    .with_output(output.clone());
    let signals = Signals::default();
    let command = signals.commands().remove(0);
    let matches = command.try_get_matches_from(line).unwrap();
    let code = signals.run_command(line[0], &matches, &context).await?;
    let text = String::from_utf8(output.lock().unwrap().clone()).unwrap();
    Ok((code, text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_answers_here_and_through_workers_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (incident, csv, asked) = table();
    let path = folder.path().join("signals.csv");
    std::fs::write(&path, csv).unwrap();
    let path = path.to_str().unwrap();
    let out = folder.path().join("out");
    let at = asked.at.unwrap();
    let line = ["signals", "explain", path, "--alert", "starts", "--at", &at];
    let here = call(OutputFormat::Json, &line).await.unwrap().1;
    let through = call(OutputFormat::Json, &[&line[..], &["--submit"]].concat()).await.unwrap().1;
    assert_eq!(here, through);
    let with_files = [&line[..], &["--out", out.to_str().unwrap(), "--before", "5h"]].concat();
    let text = call(OutputFormat::Text, &with_files).await.unwrap().1;
    assert!(text.contains("most likely causes") && text.contains(&incident.names[incident.root]), "{text}");
    for file in ["explanation.json", "timeline.txt", "figure.json", "figure.svg"] {
        assert!(out.join(file).metadata().unwrap().len() > 100, "{file}");
    }
    let step = folder.path().join("step.csv");
    let rows = step_rows();
    std::fs::write(&step, format!("time,step\n{rows}")).unwrap();
    let found = call(OutputFormat::Text, &["signals", "changes", step.to_str().unwrap()]).await.unwrap().1;
    assert_eq!(found, "step  1970-01-01T00:33:00Z (point 33)\n");
    let missing =
        call(OutputFormat::Text, &["signals", "explain", path, "--alert", "start"]).await.unwrap_err();
    assert!(missing.to_string().contains("no signal `start`; it has starts"), "{missing}");
    let nowhere =
        call(OutputFormat::Text, &["signals", "explain", "/no/such", "--alert", "a"]).await.unwrap_err();
    assert!(nowhere.code == CommandError::USAGE && nowhere.message.contains("/no/such"), "{nowhere}");
}
