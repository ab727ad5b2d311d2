//! Versions through the commands, the console and the door, as the house puts them together.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use backlot_department::{CommandContext, CommandError, Config, Department, House, OutputFormat, shell_part};
use backlot_ledger::Ledger;
use backlot_notebooks::{KernelSearch, Notebooks};
use backlot_store::Store;
use backlot_web::testing::Server;
use backlot_web::{Shell, Tokens, WebConfig};

use crate::notebook;

fn department() -> [Box<dyn Department>; 1] {
    [Box::new(Notebooks::new(KernelSearch::with(&|_| None)))]
}

async fn open(home: &Path, departments: &[Box<dyn Department>]) -> House {
    let ledger = Ledger::open(&format!("sqlite://{}/ledger.db", home.display())).unwrap();
    let store = Store::open(&format!("file://{}/blobs", home.display())).unwrap();
    let house = House::open(home, Config::default(), store, ledger, departments).unwrap();
    house.start(departments).await.unwrap();
    house
}

/// Runs `backlot notebook WORDS` in a home; what it printed.
async fn command(home: &Path, words: &[&str]) -> Result<String, CommandError> {
    let place = home.to_owned();
    let output = Arc::new(Mutex::new(Vec::new()));
    let context = CommandContext::new(home, OutputFormat::Text, None, move || {
        let place = place.clone();
        async move { Ok(open(&place, &department()).await) }
    })
    .with_output(output.clone());
    let [department] = department();
    let parser = department.commands().remove(0);
    let matches = parser.try_get_matches_from(["notebook"].iter().chain(words)).unwrap();
    let code = department.run_command("notebook", &matches, &context).await?;
    let text = String::from_utf8(output.lock().unwrap().clone()).unwrap();
    // `diff` ends with 1 where there is a difference.
    assert!(code == ExitCode::SUCCESS || words[0] == "diff", "{words:?}: {text}");
    Ok(text)
}

#[tokio::test]
async fn versions_are_kept_compared_restored_published_and_cloned() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mine.ipynb").to_string_lossy().into_owned();
    for source in ["x = 1\nkept = 0", "x = 2\nkept = 0"] {
        std::fs::write(&file, notebook(&[source]).to_text()).unwrap();
        command(home.path(), &["keep", &file, "--as", "t/a b.ipynb"]).await.unwrap();
    }
    assert!(command(home.path(), &["versions"]).await.unwrap().starts_with("t/a b.ipynb\t2 versions\t"));
    let lines = command(home.path(), &["versions", "t/a b.ipynb"]).await.unwrap();
    assert_eq!(lines.lines().map(|line| line.split('\t').next().unwrap()).collect::<Vec<_>>(), ["2", "1"]);
    let changed = "cell 1 → 1 changed: source\n  - x = 1\n  + x = 2\n    kept = 0\n";
    assert_eq!(command(home.path(), &["diff", "t/a b.ipynb@1"]).await.unwrap(), changed);
    assert_eq!(command(home.path(), &["diff", "t/a b.ipynb@1", &file]).await.unwrap(), changed);
    command(home.path(), &["restore", "t/a b.ipynb@1"]).await.unwrap();
    let restored = std::fs::read_to_string(home.path().join("notebooks/t/a b.ipynb")).unwrap();
    assert_eq!(restored, notebook(&["x = 1\nkept = 0"]).to_text());
    let published = command(home.path(), &["publish", "t/a b.ipynb"]).await.unwrap();
    assert_eq!(published, "s3://backlot/published/t/a b.ipynb version 1\n");
    let cloned = command(home.path(), &["clone", "s3://backlot/published/t/a b.ipynb"]).await.unwrap();
    assert_eq!(cloned, "a b.ipynb\n");
    for (words, told) in [
        (&["restore", "t/a b.ipynb"][..], "names no version"),
        (&["restore", "t/a b.ipynb@9"][..], "has no version 9"),
        (&["versions", "no.ipynb"][..], "no version of `no.ipynb` is kept"),
        (&["clone", "s3://backlot/published/no.ipynb"][..], "NoSuchKey"),
        (&["diff", &file][..], "is compared with nothing"),
    ] {
        let error = command(home.path(), words).await.unwrap_err();
        assert!(error.message.contains(told) && !error.mend.is_empty(), "{words:?}: {error}");
    }
}

#[tokio::test]
async fn the_console_shows_versions_and_the_door_is_bookstores() {
    let home = tempfile::tempdir().unwrap();
    let departments = department();
    let house = open(home.path(), &departments).await;
    let tokens = Tokens::open(home.path()).unwrap();
    let admin = Tokens::admin_token(home.path()).unwrap().unwrap();
    let mut config = WebConfig::new(tokens);
    config.bind.set_port(0);
    let shell = Shell::builder(config).department(shell_part(&*departments[0], &house)).build().unwrap();
    let server = Server::start(shell).await.unwrap();
    let bearer = format!("Bearer {admin}");
    let admin = [("authorization", bearer.as_str())];
    let empty = server.get("/notebooks/versions", &admin).await;
    assert!(empty.status == 200 && empty.text().contains("No notebook was saved yet"), "{}", empty.text());
    let file = home.path().join("a.ipynb").to_string_lossy().into_owned();
    for source in ["<b>one</b>", "<b>two</b>"] {
        std::fs::write(&file, notebook(&[source]).to_text()).unwrap();
        command(home.path(), &["keep", &file]).await.unwrap();
    }
    for (path, part) in [
        ("/notebooks/versions", "path=a.ipynb"),
        ("/notebooks/versions/of?path=a.ipynb", "Version 2"),
        ("/notebooks/versions/at?path=a.ipynb&version=1", "&lt;b&gt;one&lt;/b&gt;"),
        ("/notebooks/versions/diff?path=a.ipynb&from=1&to=2", "<del>- &lt;b&gt;one&lt;/b&gt;\n</del>"),
        ("/notebooks/versions/file?path=a.ipynb&version=2", "<b>two</b>"),
        ("/notebooks/versions/versions.css", ".diff"),
        ("/bookstore/api/bookstore", "\"release\":\"2.5.1\""),
    ] {
        let answer = server.get(path, &admin).await;
        assert!(answer.status == 200 && answer.text().contains(part), "{path}: {}", answer.text());
    }
    for path in ["/notebooks/versions/of?path=no.ipynb", "/notebooks/versions/at?path=a.ipynb&version=7"] {
        assert_eq!(server.get(path, &admin).await.status, 404, "{path}");
    }
    assert_eq!(server.get("/notebooks/versions", &[]).await.status, 401);
    assert_eq!(server.get("/bookstore/api/bookstore", &[]).await.status, 401);
    assert_eq!(house.referenced_blobs(&departments).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_jupyter_client_saves_is_a_version_before_it_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    let departments = department();
    let house = open(home.path(), &departments).await;
    house.serve(&departments).await.unwrap();
    let tokens = Tokens::open(home.path()).unwrap();
    let admin = Tokens::admin_token(home.path()).unwrap().unwrap();
    let mut config = WebConfig::new(tokens);
    config.bind.set_port(0);
    let shell = Shell::builder(config).department(shell_part(&*departments[0], &house)).build().unwrap();
    let server = Server::start(shell).await.unwrap();
    let bearer = format!("Bearer {admin}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    for source in ["one", "two"] {
        let model = format!("{{\"type\": \"notebook\", \"content\": {}}}", notebook(&[source]).to_text());
        let saved = server.send("PUT /jupyter/api/contents/mine.ipynb", &headers, &model).await;
        assert!(saved.status == 201 || saved.status == 200, "{}", saved.text());
    }
    let shown = server.get("/notebooks/versions/of?path=mine.ipynb", &headers[..1]).await.text();
    assert!(shown.contains("Version 2") && shown.contains("admin"), "{shown}");
    // A stock server with the extension has bookstore's routes below its own base URL, and so its clients ask there.
    let about = server.get("/jupyter/api/bookstore", &headers[..1]).await;
    assert!(about.status == 200 && about.text().contains("\"publish_valid\":true"), "{}", about.text());
    let model = r#"{"type": "notebook", "content": {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}}"#;
    let published = server.send("PUT /jupyter/api/bookstore/publish/mine.ipynb", &headers, model).await;
    assert!(published.text().contains("s3://backlot/published/mine.ipynb"), "{}", published.text());
    let wish = "{\"s3_bucket\": \"backlot\", \"s3_key\": \"published/mine.ipynb\"}";
    let cloned = server.send("POST /jupyter/api/bookstore/clone", &headers, wish).await;
    assert!(cloned.text().contains("\"path\":\"mine-1.ipynb\""), "{}", cloned.text());
    assert_eq!(server.get("/jupyter/api/contents/mine-1.ipynb", &headers[..1]).await.status, 200);
    assert_eq!(server.get("/jupyter/api/bookstore", &[]).await.status, 401);
    house.stop(&departments).await;
}
