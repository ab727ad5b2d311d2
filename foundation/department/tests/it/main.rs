//! The example department, run as the binary would run it.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too; the lint sees only the annotated functions.

// Its `main` is for `cargo run --example hello`.
#[allow(dead_code, unreachable_pub)]
#[path = "../../examples/hello.rs"]
mod hello;
mod serving;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backlot_department::{
    CommandContext, CommandError, Config, Department, Endpoint, Error, Finding, House, OutputFormat,
    shell_part,
};
use backlot_web::testing::Server;
use backlot_web::{Shell, Tokens, WebConfig};
use backlot_work::{RunSpec, RunState, StepSpec, SubmitOptions, Worker, WorkerOptions};
use hello::Hello;
use serde_json::{Map, json};

#[tokio::test]
async fn its_door_page_and_listing_answer() {
    let home = tempfile::tempdir().unwrap();
    let house = hello::open(home.path(), Config::default()).await.unwrap();
    let mut config = WebConfig::new(Tokens::open(home.path()).unwrap());
    config.bind.set_port(0);
    let shell = Shell::builder(config).department(shell_part(&Hello, &house)).build().unwrap();
    let server = Server::start(shell).await.unwrap();
    let greeting = server.get("/hello/api/greetings/Ada", &[]).await;
    assert_eq!((greeting.status, greeting.text().as_str()), (200, r#"{"text":"Hello, Ada!"}"#));
    let long = server.get(&format!("/hello/api/greetings/{}", "x".repeat(101)), &[]).await;
    assert_eq!((long.status, long.code().as_str()), (400, "bad_request"));
    assert_eq!(server.get("/hello", &[]).await.status, 401);
    let admin = Tokens::admin_token(home.path()).unwrap().unwrap();
    let admin = [("authorization", format!("Bearer {admin}"))];
    let admin = admin.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert!(server.get("/hello", &admin).await.text().contains("Hello, lot!"));
    assert!(server.get("/", &admin).await.text().contains("Greets those who come by"));
}

fn context(server: Option<Endpoint>) -> CommandContext {
    let home = std::env::temp_dir().join("backlot-department-tests");
    CommandContext::new(home.clone(), OutputFormat::Json, server, move || {
        let home = home.clone();
        async move { hello::open(&home, Config::default()).await.map_err(|error| Error::start("hello", error)) }
    })
}

#[tokio::test]
async fn its_command_runs_and_others_are_refused() {
    let command = Hello.commands().remove(0);
    let matches = command.try_get_matches_from(["greet", "Ada"]).unwrap();
    let output = Arc::new(Mutex::new(Vec::new()));
    let code =
        Hello.run_command("greet", &matches, &context(None).with_output(output.clone())).await.unwrap();
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(String::from_utf8_lossy(&output.lock().unwrap()), "{\n  \"text\": \"Hello, Ada!\"\n}\n");
    let refused = Hello.run_command("sing", &matches, &context(None)).await.unwrap_err();
    assert_eq!(refused.code, CommandError::USAGE);
}

#[tokio::test]
async fn a_misspelt_setting_stops_the_start_and_is_named() {
    let sections = json!({ "hello": { "nmae": "Ada" } }).as_object().unwrap().clone();
    let error = hello::open(&std::env::temp_dir().join("backlot-department-tests"), Config::new(sections))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nmae"), "{error}");
    let error = error.downcast::<Error>().unwrap();
    assert!(CommandError::from(*error).mend.contains("correct"));
}

#[tokio::test]
async fn its_task_kind_does_work() {
    let home = tempfile::tempdir().unwrap();
    let house = hello::open(home.path(), Config::default()).await.unwrap();
    let worker =
        Worker::start(&house.work, house.kinds.clone(), WorkerOptions::new(home.path().join("scratch")))
            .await;
    let spec = RunSpec::new("greeting").step(StepSpec::new("greet", "hello.greet", json!({ "name": "Ada" })));
    let run =
        house.work.submit(spec, Map::default(), SubmitOptions::default(), Some(&house.kinds)).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), house.work.wait(&run)).await.unwrap().unwrap();
    assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.error);
    assert_eq!(house.work.outputs(&run, "greet").await.unwrap(), json!({ "greeting": "Hello, Ada!" }));
    worker.unwrap().stop().await;
}

/// Registers another's kind.
struct Copy;
#[async_trait::async_trait]
impl Department for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }
    fn summary(&self) -> &'static str {
        "Registers another's kind"
    }
    fn kinds(&self) -> Vec<Arc<dyn backlot_department::Kind>> {
        Hello.kinds()
    }
}

#[test]
fn a_kind_that_two_departments_register_stops_the_house() {
    let home = tempfile::tempdir().unwrap();
    let ledger = backlot_ledger::Ledger::open("sqlite::memory:").unwrap();
    let store = backlot_store::Store::open(&format!("file://{}/blobs", home.path().display())).unwrap();
    let departments: [Box<dyn Department>; 2] = [Box::new(Hello), Box::new(Copy)];
    let error =
        House::open(home.path(), Config::default(), store, ledger, &departments).unwrap_err().to_string();
    assert!(error.contains("hello.greet") && error.contains("copy"), "{error}");
}

#[tokio::test]
async fn its_check_runs() {
    assert_eq!(Hello.checks()[0].run().await, Finding::Found("POSIX shell".to_owned()));
}

#[test]
fn a_reader_that_has_gone_ends_a_command_quietly() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = context(None).with_output(Arc::new(Mutex::new(Gone))).write("x").unwrap_err();
    assert!(error.is_silent() && error.code == 0);
}

#[test]
fn a_command_that_needs_a_server_says_how_to_start_one() {
    let message = context(None).require_server().unwrap_err().to_string();
    assert!(message.contains("backlot up") && !message.contains('\n'), "{message}");
    let server = Endpoint { url: "http://127.0.0.1:7700".to_owned(), token: None };
    assert_eq!(context(Some(server.clone())).require_server().unwrap(), &server);
}
