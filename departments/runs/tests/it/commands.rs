//! The commands, with no server in sight.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use backlot_department::{CommandContext, CommandError, Department, OutputFormat};
use backlot_runs::Runs;
use serde_json::Value;

use crate::support::{Levers, levers, open_house};

struct Shell {
    home: tempfile::TempDir,
    levers: Levers,
}

impl Shell {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), levers: levers() }
    }

    async fn call(&self, format: OutputFormat, line: &[&str]) -> Result<(ExitCode, String), CommandError> {
        let output = Arc::new(Mutex::new(Vec::new()));
        let (home, levers) = (self.home.path().to_owned(), self.levers.clone());
        let context = CommandContext::new(self.home.path(), format, None, move || {
            let (home, levers) = (home.clone(), levers.clone());
            async move { Ok(open_house(&home, &levers)) }
        })
        .with_output(output.clone());
        let command = Runs.commands().into_iter().find(|command| command.get_name() == line[0]).unwrap();
        let matches = command.try_get_matches_from(line).unwrap();
        let code = Runs.run_command(line[0], &matches, &context).await?;
        let text = String::from_utf8(output.lock().unwrap().clone()).unwrap();
        Ok((code, text))
    }

    async fn text(&self, line: &[&str]) -> String {
        self.call(OutputFormat::Text, line).await.unwrap().1
    }

    async fn json(&self, line: &[&str]) -> Value {
        serde_json::from_str(&self.call(OutputFormat::Json, line).await.unwrap().1).unwrap()
    }

    fn spec(&self, text: &str) -> String {
        let path = self.home.path().join("spec.toml");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

const SPEC: &str = r#"
name = "greetings"
[params.whom]
type = "string"
[[step]]
name = "say"
kind = "test.echo"
input = { hello = "${params.whom}" }
[[step]]
name = "check"
kind = "test.fail"
after = ["say"]
"#;

#[tokio::test]
async fn a_run_is_worked_on_looked_at_mended_and_retried() {
    let shell = Shell::new();
    let spec = shell.spec(SPEC);
    let (code, text) = shell.call(OutputFormat::Json, &["run", &spec, "-p", "whom=Ada"]).await.unwrap();
    assert_eq!(code, ExitCode::FAILURE);
    let run: Value = serde_json::from_str(&text).unwrap();
    let id = run["id"].as_str().unwrap();
    assert_eq!(run["state"], "failed");
    assert!(run["submitted_by"].as_str().unwrap().starts_with("cli:"));

    let list = shell.text(&["runs", "--state", "failed"]).await;
    assert!(list.contains(id) && list.contains("1/2"), "{list}");
    let shown = shell.text(&["runs", "show", id]).await;
    assert!(shown.contains("the lever is <down>; lift it"), "{shown}");
    let tasks = shell.text(&["tasks", id, "--step", "say"]).await;
    assert!(tasks.contains("say/0") && !tasks.contains("check/0"), "{tasks}");
    assert_eq!(shell.json(&["runs", "outputs", id, "say"]).await["echo"]["hello"], "Ada");
    assert_eq!(shell.json(&["runs", "spec", id]).await["name"], "greetings");

    shell.levers.broken.send_replace(false);
    let retried = shell.text(&["runs", "retry", id]).await;
    assert!(retried.contains(id), "{retried}");
    let (code, text) = shell.call(OutputFormat::Text, &["runs", "follow", id]).await.unwrap();
    assert_eq!(code, ExitCode::SUCCESS, "{text}");
    assert!(text.contains("2 of 2 tasks succeeded"), "{text}");
    let events = shell.text(&["events", "--kind", "backlot.work.run", "--subject", id]).await;
    assert!(events.lines().count() >= 3, "{events}");
    let replay = shell.text(&["events", "--after", "1", "--limit", "1"]).await;
    assert!(replay.starts_with("2 ") && replay.lines().count() == 1, "{replay}");
}

#[tokio::test]
async fn logs_are_printed_by_task_and_all_together() {
    let shell = Shell::new();
    shell.levers.open.send_replace(true);
    let spec = shell.spec("name = \"x\"\n[[step]]\nname = \"wait\"\nkind = \"test.wait\"\ninput = \"${item}\"\nmap = { over = [1, 2] }\n");
    let id = shell.json(&["run", &spec]).await["id"].as_str().unwrap().to_owned();
    assert_eq!(shell.text(&["logs", &id, "wait/1"]).await, "waiting\nwent on <b>boldly</b>\n");
    assert_eq!(shell.text(&["logs", &id, "wait/1", "-f"]).await, "waiting\nwent on <b>boldly</b>\n");
    for line in [&["logs", &id][..], &["logs", &id, "wait", "--follow"]] {
        let all = shell.text(line).await;
        assert_eq!(all.lines().filter(|line| *line == "wait/0: waiting").count(), 1, "{all}");
        assert_eq!(all.lines().count(), 4, "{all}");
    }
}

#[tokio::test]
async fn a_detached_run_waits_for_a_worker_and_is_steered() {
    let shell = Shell::new();
    let spec = shell.spec(SPEC);
    let id = shell.text(&["run", &spec, "-p", "whom=Ada", "--detach"]).await.trim().to_owned();
    assert_eq!(shell.json(&["runs", "show", &id]).await["run"]["state"], "queued");
    assert!(shell.text(&["runs", "pause", &id]).await.contains("paused"));
    assert!(shell.text(&["runs", "resume", &id]).await.contains(&id));
    assert!(shell.text(&["runs", "cancel", &id, "--reason", "done"]).await.contains("cancelled"));
}

#[tokio::test]
async fn mistakes_are_one_line_with_a_code() {
    let shell = Shell::new();
    let spec = shell.spec(SPEC);
    let cases: [(&[&str], u8, &str); 7] = [
        (&["run", "/no/such/spec.toml"], CommandError::USAGE, "/no/such/spec.toml"),
        (&["run", &spec], CommandError::FAILED, "whom"),
        (&["run", &spec, "-p", "whom"], CommandError::USAGE, "NAME=VALUE"),
        (&["run", &spec, "-p", "other=1"], CommandError::USAGE, "other"),
        (&["runs", "show", "nosuchrun0000"], CommandError::FAILED, "nosuchrun0000"),
        (&["runs", "--state", "odd"], CommandError::USAGE, "odd"),
        (&["events", "--since", "yesterday"], CommandError::USAGE, "yesterday"),
    ];
    for (line, code, word) in cases {
        let error = shell.call(OutputFormat::Text, line).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.code, code, "{line:?}: {text}");
        assert!(text.contains(word) && !text.contains('\n'), "{line:?}: {text}");
    }
}
