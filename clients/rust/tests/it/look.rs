//! Submitting, looking and steering.

use std::ops::ControlFlow;
use std::time::Duration;

use backlot_client::{
    BlobRef, Client, Error, EventFilter, RunFilter, RunState, StepState, SubmitOptions, TaskFilter,
    TaskPlace, TaskState,
};
use serde_json::{Map, json};

use crate::support::{DEADLINE, Lot, in_time, submit};

const LIMIT: Option<Duration> = Some(DEADLINE);

#[test]
fn a_run_is_submitted_and_read() {
    let lot = Lot::open();
    let client = lot.client();
    let spec = json!({
        "name": "echoes",
        "params": { "n": { "type": "integer" } },
        "step": [
            { "name": "first", "kind": "test.echo", "input": { "n": "${params.n}" } },
            { "name": "each", "kind": "test.echo", "input": "${item}", "map": { "over": [1, 2, 3] }, "after": ["first"] }
        ]
    });
    let params = json!({ "n": 7 }).as_object().unwrap().clone();
    let options = SubmitOptions { priority: 3, no_cache: true, key: Some("k".to_owned()) };
    let run = client.submit(&spec, &params, &options).unwrap();
    assert_eq!((run.name.as_str(), run.priority, run.params["n"].as_i64()), ("echoes", 3, Some(7)));
    assert_eq!(client.submit(&spec, &params, &options).unwrap().id, run.id, "the same key is the same run");

    let mut states = Vec::new();
    let ended = client.wait(&run.id, LIMIT, |run| states.push(run.state)).unwrap();
    assert_eq!((ended.state, ended.tasks.succeeded, ended.steps_ended), (RunState::Succeeded, 4, 2));
    assert!(ended.finished.unwrap() >= ended.created && states.last() == Some(&RunState::Succeeded));

    assert_eq!(client.run(&run.id[..10]).unwrap(), ended, "an unambiguous start of the id is enough");
    let steps = client.steps(&run.id).unwrap();
    assert_eq!((steps[1].map, steps[1].needs.as_slice()), (true, &["first".to_owned()][..]));
    assert_eq!(client.outputs(&run.id, "first").unwrap(), json!({ "echo": { "n": 7 } }));
    assert_eq!(
        client.outputs(&run.id, "each").unwrap(),
        json!([{ "echo": 1 }, { "echo": 2 }, { "echo": 3 }])
    );
    assert_eq!(client.spec(&run.id).unwrap()["step"][0]["kind"], "test.echo");

    let mut filter = TaskFilter { step: Some("each".to_owned()), limit: 2, ..TaskFilter::default() };
    let page = client.tasks(&run.id, &filter).unwrap();
    assert_eq!(page.iter().map(|task| task.index).collect::<Vec<_>>(), [0, 1]);
    filter.after = Some(page[1].task);
    filter.states = vec![TaskState::Succeeded, TaskState::Failed];
    assert_eq!(client.tasks(&run.id, &filter).unwrap()[0].outputs, Some(json!({ "echo": 3 })));
    let task = client.task(&TaskPlace::new(&run.id, "each", 2)).unwrap();
    assert_eq!((task.state, task.item), (TaskState::Succeeded, Some(json!(3))));

    let second = submit(&client, "other", &json!([{ "name": "a", "kind": "test.echo" }]));
    let list = |filter: RunFilter| -> Vec<String> {
        client.runs(&filter).unwrap().into_iter().map(|run| run.id).collect()
    };
    assert_eq!(list(RunFilter::default()), [second.clone(), run.id.clone()]);
    assert_eq!(
        list(RunFilter { before: Some(second), ..RunFilter::default() }),
        std::slice::from_ref(&run.id)
    );
    let named = RunFilter {
        name: Some("echoes".to_owned()),
        states: vec![RunState::Succeeded],
        ..RunFilter::default()
    };
    assert_eq!(list(named), [run.id]);
    assert_eq!(list(RunFilter { states: vec![RunState::Cancelled], ..RunFilter::default() }), [""; 0]);
}

#[test]
fn refusals_carry_code_message_and_mend() {
    let lot = Lot::open();
    let client = lot.client();
    let run = submit(&client, "one", &json!([{ "name": "a", "kind": "test.echo" }]));
    client.wait(&run, LIMIT, |_| {}).unwrap();
    let code = |error: Error| {
        assert!(!error.message().is_empty() && !error.mend().is_empty(), "{error:?}");
        error.code().to_owned()
    };
    assert_eq!(code(client.run("nosuchrun0000").unwrap_err()), "not_found");
    assert_eq!(code(client.outputs(&run, "b").unwrap_err()), "not_found");
    assert_eq!(code(client.task(&TaskPlace::new(&run, "a", 9)).unwrap_err()), "not_found");
    assert_eq!(code(client.pause(&run).unwrap_err()), "conflict");
    assert_eq!(code(client.run("..").unwrap_err()), "bad_argument");
    assert_eq!(code(client.run("a/../b").unwrap_err()), "not_found");
    let spec = json!({ "name": "x", "step": [{ "name": "a", "kind": "no.such.kind" }] });
    let error = client.submit(&spec, &Map::new(), &SubmitOptions::default()).unwrap_err();
    assert!(error.to_string().contains("no.such.kind"), "{error}");
    assert_eq!(code(error), "invalid");

    let url = client.url();
    for token in [None, Some("backlot_wrong")] {
        let error = Client::new(&url, token).unwrap().run(&run).unwrap_err();
        assert!(matches!(error, Error::Refused { status: 401, .. }), "{error:?}");
        assert!(!error.to_string().contains("backlot_wrong") && !error.is_passing(), "{error}");
    }
    let reader = Client::new(&url, Some(&lot.token("runs:read"))).unwrap();
    assert_eq!(reader.run(&run).unwrap().id, run);
    assert_eq!(code(reader.cancel(&run, None).unwrap_err()), "scope_missing");
    // An address of the same server where no door is.
    let elsewhere = Client::new(&format!("{url}/elsewhere"), None).unwrap().run(&run).unwrap_err();
    assert_eq!(code(elsewhere), "not_found");
}

#[test]
fn a_run_is_steered() {
    let lot = Lot::open();
    let client = lot.client();
    let steps = json!([
        { "name": "wait", "kind": "test.wait" },
        { "name": "fail", "kind": "test.fail", "after": ["wait"] }
    ]);
    let run = submit(&client, "slow", &steps);
    in_time(client.follow(&run).unwrap())
        .find(|run| run.as_ref().unwrap().state == RunState::Running)
        .unwrap()
        .unwrap();
    assert_eq!(client.pause(&run).unwrap().state, RunState::Paused);
    assert_eq!(client.resume(&run).unwrap().state, RunState::Running);
    client.cancel(&run, Some("changed my mind")).unwrap();
    let cancelled = client.wait(&run, LIMIT, |_| {}).unwrap();
    assert_eq!(cancelled.state, RunState::Cancelled);
    assert!(cancelled.error.unwrap().contains("changed my mind"));

    lot.open.send_replace(true);
    client.retry(&run, None).unwrap();
    assert_eq!(client.wait(&run, LIMIT, |_| {}).unwrap().state, RunState::Failed);
    let task = client.task(&TaskPlace::new(&run, "fail", 0)).unwrap();
    assert_eq!((task.state, task.error.as_deref()), (TaskState::Failed, Some("the lever is down; lift it")));
    assert_eq!(client.steps(&run).unwrap()[1].state, StepState::Failed);

    lot.broken.send_replace(false);
    assert_eq!(client.retry(&run, Some("nosuch")).unwrap_err().code(), "not_found");
    client.retry(&run, Some("fail")).unwrap();
    assert_eq!(client.wait(&run, LIMIT, |_| {}).unwrap().state, RunState::Succeeded);
}

#[test]
fn artifacts_arrive_whole_or_not_at_all() {
    let lot = Lot::open();
    let client = lot.client();
    let run = submit(&client, "blobs", &json!([{ "name": "make", "kind": "test.blobs" }]));
    client.wait(&run, LIMIT, |_| {}).unwrap();
    let place = TaskPlace::new(&run, "make", 0);
    let outputs = client.outputs(&run, "make").unwrap();
    let blob = BlobRef::from_value(&outputs["text"]).unwrap();
    let on = |_| ControlFlow::Continue(());

    let artifact = client.artifact(&place, "text", Some(&blob.digest)).unwrap();
    assert_eq!((artifact.size(), artifact.media_type()), (Some(1_000_000), "text/plain"));
    assert_eq!(artifact.read_all(on).unwrap(), "0123456789".repeat(100_000).into_bytes());
    assert_eq!(client.artifact(&place, "list/0/page", None).unwrap().read_all(on).unwrap(), b"a page");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.txt");
    let named = client.artifact(&place, "text", None).unwrap();
    assert_eq!(named.digest(), Some(blob.digest.as_str()), "the server names the digest");
    let mut heard = 0;
    let length = named.save(&path, |count| {
        heard = count;
        ControlFlow::Continue(())
    });
    assert_eq!(
        (length.unwrap(), heard, std::fs::metadata(&path).unwrap().len()),
        (1_000_000, 1_000_000, 1_000_000)
    );

    // Another digest, a stop, and a place that cannot be written leave the file that was there, and nothing beside it.
    std::fs::write(&path, "before").unwrap();
    let wrong = format!("blake3:{}", "0".repeat(64));
    let error = client.artifact(&place, "text", Some(&wrong)).unwrap().save(&path, on).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { found, .. } if *found == blob.digest), "{error:?}");
    let stopped = client.artifact(&place, "text", None).unwrap().save(&path, |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Stopped)));
    let nowhere = client.artifact(&place, "text", None).unwrap().save(&folder.path().join("no/such"), on);
    assert!(matches!(nowhere, Err(Error::File { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(client.artifact(&place, "text", Some("md5:0")).unwrap_err().code(), "bad_argument");
    assert_eq!(client.artifact(&place, "plain", None).unwrap_err().code(), "not_found");
}

#[test]
fn logs_and_events_are_paged() {
    let lot = Lot::open();
    lot.open.send_replace(true);
    let client = lot.client();
    let run = submit(&client, "slow", &json!([{ "name": "wait", "kind": "test.wait" }]));
    client.wait(&run, LIMIT, |_| {}).unwrap();
    let place = TaskPlace::new(&run, "wait", 0);
    let page = client.log(&place, None).unwrap();
    let text: String = page.pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(text, "waiting\nwent on\n");
    let rest = client.log(&place, page.next).unwrap();
    assert_eq!((rest.pieces.len(), rest.next), (0, page.next));

    let all = client.events(&EventFilter::default()).unwrap();
    assert!(all.events.len() >= 3 && all.events.last().unwrap().seq() == Some(all.next));
    let first = client.events(&EventFilter { limit: 1, ..EventFilter::default() }).unwrap();
    let rest = client.events(&EventFilter { after: first.next, ..EventFilter::default() }).unwrap();
    assert_eq!([first.events, rest.events].concat(), all.events);
    let of_run = EventFilter {
        kind: Some("backlot.work.run".to_owned()),
        subject: Some(run.clone()),
        source: Some(all.events[0].source.clone()),
        since: all.events[0].time,
        ..EventFilter::default()
    };
    let found = client.events(&of_run).unwrap().events;
    assert!(
        found.len() >= 2 && found.iter().all(|event| event.subject.as_deref() == Some(&run)),
        "{found:?}"
    );
}
