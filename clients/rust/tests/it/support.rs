//! A house with department runs, a department of test kinds, a worker, and a server that can go away and come back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backlot_client::{Client, Error, Follow, Next, SubmitOptions};
use backlot_department::{Config, Department, Endpoint, House, Kind, shell_part};
use backlot_ledger::Ledger;
use backlot_runs::Runs;
use backlot_store::Store;
use backlot_web::testing::Server;
use backlot_web::{Scopes, Shell, Tokens, WebConfig};
use backlot_work::{Kinds, Outputs, TaskError, Worker, WorkerOptions};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A house whose server the blocking client talks to from the test's own thread.
pub(crate) struct Lot {
    pub(crate) home: tempfile::TempDir,
    /// `test.wait` ends when this is true.
    pub(crate) open: watch::Sender<bool>,
    /// `test.fail` fails while this is true.
    pub(crate) broken: watch::Sender<bool>,
    pub(crate) tokens: Tokens,
    house: House,
    server: Option<Server>,
    worker: Option<Worker>,
    runtime: Runtime,
}

struct Testing {
    open: watch::Sender<bool>,
    broken: watch::Sender<bool>,
}

#[async_trait]
impl Department for Testing {
    fn name(&self) -> &'static str {
        "testing"
    }

    fn summary(&self) -> &'static str {
        "Kinds for tests"
    }

    fn kinds(&self) -> Vec<Arc<dyn Kind>> {
        let (open, broken) = (self.open.clone(), self.broken.clone());
        let kinds = Kinds::new()
            .with_fn("test.echo", 1, async |task| Outputs::new().value("echo", task.input().clone()))
            .with_fn("test.wait", 1, move |task| {
                let mut open = open.subscribe();
                async move {
                    task.log("waiting");
                    tokio::select! {
                        _ = open.wait_for(|open| *open) => {}
                        () = task.cancelled() => return Err(TaskError::Stopped),
                    }
                    task.log("went on");
                    Outputs::new().value("waited", true)
                }
            })
            .with_fn("test.fail", 1, move |_task| {
                let is_broken = *broken.borrow();
                async move {
                    if is_broken {
                        return Err(TaskError::Permanent("the lever is down; lift it".into()));
                    }
                    Outputs::new().value("fixed", true)
                }
            })
            .with_fn("test.blobs", 1, async |task| {
                let text = task.put("0123456789".repeat(100_000), "text/plain").await?;
                let list = json!([{ "page": task.put("a page", "text/html").await? }]);
                Outputs::new().blob("text", &text).value("list", list)?.value("plain", 7)
            });
        kinds
            .names()
            .filter(|name| name.starts_with("test."))
            .filter_map(|name| kinds.get(name).cloned())
            .collect()
    }
}

impl Lot {
    pub(crate) fn open() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let home = tempfile::tempdir().unwrap();
        let (open, broken) = (watch::Sender::new(false), watch::Sender::new(true));
        let house = open_house(home.path(), Testing { open: open.clone(), broken: broken.clone() });
        let options = WorkerOptions { cpus: 8.0, ..WorkerOptions::new(home.path().join("scratch")) };
        let worker = runtime.block_on(Worker::start(&house.work, house.kinds.clone(), options)).unwrap();
        let tokens = Tokens::open(home.path()).unwrap();
        let mut lot = Self { home, open, broken, tokens, house, server: None, worker: Some(worker), runtime };
        lot.start_server();
        lot
    }

    /// Opens the doors on a free port and notes it in the home.
    pub(crate) fn start_server(&mut self) {
        let mut config = WebConfig::new(self.tokens.clone());
        config.bind.set_port(0);
        let shell = Shell::builder(config).department(shell_part(&Runs, &self.house)).build().unwrap();
        let server = self.runtime.block_on(Server::start(shell)).unwrap();
        Endpoint::announce(self.home.path(), &server.origin()).unwrap();
        self.server = Some(server);
    }

    /// Closes the doors; the work goes on, and the note stays, as after a kill.
    pub(crate) fn stop_server(&mut self) {
        let mut server = self.server.take().expect("a server runs");
        server.stop();
        self.runtime.block_on(server.ended()).unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        Client::discover(self.home.path(), None).unwrap()
    }

    pub(crate) fn token(&self, scope: &str) -> String {
        self.tokens.create("limited", &Scopes::new([scope]).unwrap(), None).unwrap()
    }
}

impl Drop for Lot {
    fn drop(&mut self) {
        self.open.send_replace(true);
        if let Some(worker) = self.worker.take() {
            self.runtime.block_on(worker.stop());
        }
    }
}

fn open_house(home: &Path, testing: Testing) -> House {
    let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", home.display())).unwrap();
    let store = Store::open(&format!("file://{}/blobs", home.display())).unwrap();
    let departments: [Box<dyn Department>; 2] = [Box::new(Runs), Box::new(testing)];
    House::open(home, Config::default(), store, ledger, &departments).unwrap()
}

/// Submits these steps and returns the run's id.
pub(crate) fn submit(client: &Client, name: &str, steps: &Value) -> String {
    let spec = json!({ "name": name, "step": steps });
    client.submit(&spec, &Map::new(), &SubmitOptions::default()).unwrap().id
}

/// No step of a test takes this long unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What follows, each item within the deadline.
pub(crate) fn in_time<T>(mut following: Follow<T>) -> impl Iterator<Item = Result<T, Error>> {
    std::iter::from_fn(move || match following.next_within(Some(DEADLINE)) {
        Ok(Next::Item(item)) => Some(Ok(item)),
        Ok(Next::End) => None,
        Ok(Next::Nothing) => panic!("nothing followed within {DEADLINE:?}"),
        Err(error) => Some(Err(error)),
    })
}
