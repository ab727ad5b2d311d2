//! Workers in processes of their own.

use rustix::process::Signal;

use backlot_ledger::testing::Postgres;
use backlot_store::testing::Moto;

use crate::support::{Lot, Service, Stage, finish};

#[test]
fn a_worker_that_is_told_to_stop_gives_its_tasks_back() {
    let lot = Lot::new();
    let server = lot.up(&["--no-worker"]);
    let stage = Stage::new();
    let run = lot.submit_for(&stage);
    let first = lot.worker(&["--name", "first"]);
    let actor = stage.next();
    first.send(Signal::TERM);
    actor.gone();
    assert_eq!(first.ended(), 0);
    let shown = lot.run(&["runs", "show", &run, "--output", "json"]).ends(0).json();
    assert_eq!(shown["run"]["state"], "running", "the run does not fail for it");

    let second = lot.worker(&["--name", "second", "--cpus", "1", "--memory", "1GiB"]);
    stage.next().cue("done");
    let ended = lot.run(&["runs", "follow", &run, "--output", "json"]).ends(0).json();
    assert_eq!(ended["state"], "succeeded");
    assert_eq!(second.stop(), 0);
    assert_eq!(server.stop(), 0);
}

#[test]
fn two_workers_and_a_crash_between_them() {
    let lot = Lot::new();
    let server = lot.up(&["--no-worker"]);
    let stage = Stage::new();
    let run = lot.submit_for(&stage);
    let first = lot.worker(&[]);
    let actor = stage.next();
    first.kill();
    // A worker of the same machine sees at its start that the process is gone, and ends the task's own process.
    let second = lot.worker(&[]);
    actor.gone();
    let again = stage.next();
    assert_ne!(again.attempt, "1");
    again.cue("done");
    lot.run(&["runs", "follow", &run]).ends(0);
    drop((second, server));
}

#[test]
fn a_worker_does_not_make_the_ledger_it_is_to_work_on() {
    let lot = Lot::new();
    lot.run(&["worker", "--home", "mispelt"]).ends(4).complains_of(&["mispelt", "backlot up", "--home"]);
    assert!(!lot.path().join("mispelt").exists());
}

#[test]
fn the_homes_tools_are_within_reach_of_tasks() {
    let lot = Lot::new();
    let programs = lot.home().join("tools/bin");
    std::fs::create_dir_all(&programs).unwrap();
    std::fs::set_permissions(lot.home(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let program = programs.join("backlot-test-tool");
    std::fs::write(&program, "#!/bin/sh\necho reached\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let spec = "name = 't'\n[[step]]\nname = 'a'\n[step.command]\nargv = ['backlot-test-tool']\n";
    let spec = lot.file("t.toml", spec);
    finish(lot.command(&["run", &spec])).ends(0);
}

#[test]
fn workers_with_homes_of_their_own_share_a_database_and_a_bucket() {
    let (Some(postgres), Some(moto)) = (Postgres::shared(), Moto::start()) else { return };
    let (ledger, store) = (postgres.url("house"), moto.url("lot", "house"));
    let office = Lot::new();
    let elsewhere = Lot::new();
    let state = ["--ledger", &ledger, "--store", &store, "--output", "json"];
    let command = |lot: &Lot, line: &[&str]| {
        let mut command = lot.command(&[line, &state].concat());
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command
    };
    let server = Service::start(command(&office, &["up", "--bind", "127.0.0.1:0", "--no-worker"]));
    let stage = Stage::new();
    let spec = office.staged(&stage);
    let run = finish(command(&office, &["run", &spec, "--detach"])).ends(0).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();

    let first = Service::start(command(&elsewhere, &["worker"]));
    assert!(!first.ready.to_string().contains("password"), "{}", first.ready);
    let actor = stage.next();
    first.send(Signal::TERM);
    actor.gone();
    assert_eq!(first.ended(), 0);
    let second = Service::start(command(&office, &["worker"]));
    stage.next().cue("done");
    let ended = finish(command(&office, &["runs", "follow", &run])).ends(0).json();
    assert_eq!(ended["state"], "succeeded");
    assert!(!office.home().join("ledger.db").exists() && !office.home().join("store").exists());

    let doctor = finish(command(&elsewhere, &["doctor"])).json();
    let find = |name: &str| {
        doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap().clone()
    };
    assert!(find("ledger")["detail"].as_str().unwrap().starts_with("PostgreSQL "), "{doctor}");
    assert_eq!((&find("store")["state"], &find("clock")["state"]), (&"ok".into(), &"ok".into()), "{doctor}");
    let refused = finish(command(&office, &["ledger", "backup", "x.db"])).ends(1);
    assert!(refused.err.contains("pg_dump"), "{refused:?}");
    assert_eq!(second.stop(), 0);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_database_that_does_not_answer_is_told_from_one_that_refuses() {
    let lot = Lot::new();
    // A port that was free a moment ago: nobody answers there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ledger = format!("postgres://ada:hunter2@127.0.0.1:{port}/house");
    let refused = lot.run(&["up", "--bind", "127.0.0.1:0", "--ledger", &ledger]).ends(3);
    refused.complains_of(&["127.0.0.1", "house"]);
    assert!(!refused.err.contains("hunter2"));
    lot.run(&["up", "--bind", "127.0.0.1:0", "--ledger", "mysql://x"])
        .ends(2)
        .complains_of(&["mysql", "postgres://"]);
    lot.run(&["up", "--bind", "127.0.0.1:0", "--store", "/tmp"]).ends(2).complains_of(&["file:///tmp"]);
}
