//! A house with the department, a department of test kinds, a worker and a server.

use std::sync::Arc;

use async_trait::async_trait;
use backlot_department::{Config, Department, House, Kind, shell_part};
use backlot_ledger::Ledger;
use backlot_runs::Runs;
use backlot_store::Store;
use backlot_web::testing::{Answer, Server, in_time};
use backlot_web::{Scopes, Shell, Tokens, WebConfig};
use backlot_work::{Kinds, Outputs, RunStatus, TaskError, Worker, WorkerOptions};
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) const RUNS: &str = "/runs/api/v1/runs";

/// What the test kinds wait for and heed.
#[derive(Clone)]
pub(crate) struct Levers {
    /// `test.wait` ends when this is true.
    pub(crate) open: watch::Sender<bool>,
    /// `test.fail` fails while this is true.
    pub(crate) broken: watch::Sender<bool>,
}

pub(crate) struct Lot {
    pub(crate) house: House,
    pub(crate) server: Server,
    pub(crate) tokens: Tokens,
    pub(crate) admin: String,
    pub(crate) levers: Levers,
    _home: tempfile::TempDir,
    _worker: Option<Worker>,
}

/// The kinds of the tests, as a department has them.
struct Testing(Levers);

#[async_trait]
impl Department for Testing {
    fn name(&self) -> &'static str {
        "testing"
    }

    fn summary(&self) -> &'static str {
        "Kinds for tests"
    }

    fn kinds(&self) -> Vec<Arc<dyn Kind>> {
        let Levers { open, broken } = self.0.clone();
        let kinds = Kinds::new()
            .with_fn("test.echo", 1, async |task| Outputs::new().value("echo", task.input().clone()))
            .with_fn("test.wait", 1, move |task| {
                let mut open = open.subscribe();
                async move {
                    task.log("waiting");
                    task.progress(0.25, "a quarter");
                    tokio::select! {
                        _ = open.wait_for(|open| *open) => {}
                        () = task.cancelled() => return Err(TaskError::Permanent("cancelled".into())),
                    }
                    task.log("went on <b>boldly</b>");
                    Outputs::new().value("waited", true)
                }
            })
            .with_fn("test.fail", 1, move |_task| {
                let is_broken = *broken.borrow();
                async move {
                    if is_broken {
                        return Err(TaskError::Permanent("the lever is <down>; lift it".into()));
                    }
                    Outputs::new().value("fixed", true)
                }
            })
            .with_fn("test.blobs", 1, async |task| {
                let text = task.put("0123456789".repeat(10), "text/plain").await?;
                let page = task.put("<script>alert(1)</script>", "text/html").await?;
                let list = json!([{ "page": page }]);
                Outputs::new().blob("text", &text).value("list", list)?.value("plain", 7)
            });
        // Every set of kinds has the command kind.
        kinds
            .names()
            .filter(|name| name.starts_with("test."))
            .filter_map(|name| kinds.get(name).cloned())
            .collect()
    }
}

pub(crate) fn open_house(home: &std::path::Path, levers: &Levers) -> House {
    let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", home.display())).unwrap();
    let store = Store::open(&format!("file://{}/blobs", home.display())).unwrap();
    let departments: [Box<dyn Department>; 2] = [Box::new(Runs), Box::new(Testing(levers.clone()))];
    House::open(home, Config::default(), store, ledger, &departments).unwrap()
}

pub(crate) fn levers() -> Levers {
    Levers { open: watch::Sender::new(false), broken: watch::Sender::new(true) }
}

impl Lot {
    pub(crate) async fn open() -> Self {
        Self::open_with(true).await
    }

    pub(crate) async fn open_with(has_worker: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let levers = levers();
        let house = open_house(home.path(), &levers);
        let worker = if has_worker {
            let options = WorkerOptions { cpus: 8.0, ..WorkerOptions::new(home.path().join("scratch")) };
            Some(Worker::start(&house.work, house.kinds.clone(), options).await.unwrap())
        } else {
            None
        };
        let tokens = Tokens::open(home.path()).unwrap();
        let admin = Tokens::admin_token(home.path()).unwrap().unwrap();
        let mut config = WebConfig::new(tokens.clone());
        config.bind.set_port(0);
        let shell = Shell::builder(config).department(shell_part(&Runs, &house)).build().unwrap();
        let server = Server::start(shell).await.unwrap();
        Self { house, server, tokens, admin, levers, _home: home, _worker: worker }
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.admin)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.server.get(path, &[("authorization", &self.bearer())]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let fields = [("authorization", self.bearer()), ("content-type", "application/json".to_owned())];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.server.send(&format!("POST {path}"), &fields, &text).await
    }

    /// Submits these steps over the door and returns the run's id.
    pub(crate) async fn submit(&self, name: &str, steps: Value) -> String {
        let answer = self.post(RUNS, &json!({ "spec": { "name": name, "steps": steps } })).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("{RUNS}/{id}"));
        id
    }

    pub(crate) async fn ended(&self, run: &str) -> RunStatus {
        in_time("the run's end", self.house.work.wait(run)).await.unwrap()
    }

    /// Waits until the text is on the page.
    pub(crate) async fn until(&self, path: &str, text: &str) -> String {
        let mut changes = self.house.ledger.changes();
        in_time(text, async {
            loop {
                changes.borrow_and_update();
                let page = self.get(path).await.text();
                if page.contains(text) {
                    return page;
                }
                changes.changed().await.unwrap();
            }
        })
        .await
    }

    pub(crate) fn token(&self, scopes: &[&str]) -> String {
        self.tokens.create(&format!("t{}", scopes.len()), &Scopes::new(scopes).unwrap(), None).unwrap()
    }
}
