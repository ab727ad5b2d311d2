//! Graphs: order, maps, joins, conditions, triggers, reuse.

use backlot_work::{RunSpec, RunState, StepState, Trigger};
use serde_json::{Value, json};

use crate::house::House;

fn toml(text: &str) -> RunSpec {
    RunSpec::from_toml(text).unwrap()
}

async fn step_state(house: &House, run: &str, step: &str) -> StepState {
    house.work.steps(run).await.unwrap().into_iter().find(|status| status.name == step).unwrap().state
}

async fn maps_and_joins(house: House) {
    let spec = toml(
        r#"
        name = "fan"
        [params.n]
        type = "integer"
        [[step]]
        name = "list"
        kind = "echo"
        input = { items = [3, 1, 2], n = "${params.n}" }
        [[step]]
        name = "each"
        kind = "echo"
        map = { over = "${steps.list.out.items}", concurrency = 2 }
        input = { value = "${item}", at = "${index}", n = "${steps.list.out.n}" }
        [[step]]
        name = "join"
        kind = "echo"
        input = { all = "${steps.each.out}", second = "${steps.each.out.1.value}" }
        "#,
    );
    let worker = house.worker().await;
    let run = house.submit_with(spec, json!({"n": 7})).await;
    let status = house.end(&run).await;
    assert_eq!(status.state, RunState::Succeeded, "{status:?}");
    assert_eq!((status.steps, status.steps_ended, status.tasks.total), (3, 3, 5));
    let joined = house.work.outputs(&run, "join").await.unwrap();
    let expected: Vec<Value> =
        [3, 1, 2].iter().enumerate().map(|(at, value)| json!({"value": value, "at": at, "n": 7})).collect();
    assert_eq!(joined, json!({"out": {"all": expected, "second": 1}}));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maps_and_joins_on_sqlite() {
    maps_and_joins(House::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maps_and_joins_on_postgres() {
    let Some((house, _server)) = House::on_postgres("maps") else { return };
    maps_and_joins(house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_maps_large_lists_and_things_that_are_no_lists() {
    let house = House::new();
    let (_, status) = house.play(toml("name='x'\n[[step]]\nname='a'\nkind='echo'\nmap={over=[]}\ninput='${item}'\n[[step]]\nname='b'\nkind='echo'\nafter=['a']")).await;
    assert_eq!((status.state, status.tasks.total), (RunState::Succeeded, 1));

    // A list far beyond what a row holds goes through the store.
    let spec = RunSpec::new("large")
        .step(backlot_work::StepSpec::new(
            "list",
            "echo",
            json!((0..5000).map(|n| json!({"n": n, "pad": "x".repeat(80)})).collect::<Vec<_>>()),
        ))
        .step(
            backlot_work::StepSpec::new("each", "echo", json!("${item.n}"))
                .map_over(json!("${steps.list.out}"), Some(64)),
        );
    let (run, status) = house.play(spec).await;
    assert_eq!(status.state, RunState::Succeeded, "{status:?}");
    let outputs = house.work.outputs(&run, "each").await.unwrap();
    let numbers: Vec<i64> = outputs.as_array().unwrap().iter().map(|o| o["out"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (0..5000).collect::<Vec<_>>());

    let (_, status) = house.play(toml("name='x'\n[[step]]\nname='a'\nkind='echo'\ninput={n=3}\n[[step]]\nname='b'\nkind='echo'\nmap={over='${steps.a.out.n}'}\ninput=1")).await;
    assert_eq!(status.state, RunState::Failed);
    assert_eq!(status.error.as_deref(), Some("step `b`: `map.over` is `3`, not a list"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_and_triggers_choose_what_runs() {
    let house = House::new();
    let spec = toml(
        r#"
        name = "choose"
        [[step]]
        name = "start"
        kind = "echo"
        input = { n = 3 }
        [[step]]
        name = "small"
        kind = "echo"
        when = "${steps.start.out.n} < 3"
        [[step]]
        name = "large"
        kind = "echo"
        when = "${steps.start.out.n} >= 3"
        input = "big"
        [[step]]
        name = "after_small"
        kind = "echo"
        after = ["small"]
        [[step]]
        name = "join"
        kind = "echo"
        on = "done"
        input = { small = "${steps.small.out}", large = "${steps.large.out}" }
        "#,
    );
    let (run, status) = house.play(spec).await;
    assert_eq!(status.state, RunState::Succeeded);
    assert_eq!(step_state(&house, &run, "small").await, StepState::Skipped);
    assert_eq!(step_state(&house, &run, "after_small").await, StepState::Skipped);
    assert_eq!(
        house.work.outputs(&run, "join").await.unwrap(),
        json!({"out": {"small": null, "large": "big"}})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_skips_what_follows_and_lets_the_rest_go_on() {
    let house = House::new();
    let mut spec = toml(
        r#"
        name = "fails"
        [[step]]
        name = "bad"
        kind = "fail"
        input = { how = "permanent" }
        [[step]]
        name = "after"
        kind = "echo"
        after = ["bad"]
        [[step]]
        name = "apart"
        kind = "echo"
        [[step]]
        name = "mourn"
        kind = "echo"
        after = ["after"]
        on = "failure"
        [[step]]
        name = "tidy"
        kind = "echo"
        after = ["after", "apart"]
        on = "always"
        "#,
    );
    let (run, status) = house.play(spec.clone()).await;
    assert_eq!(status.state, RunState::Failed);
    assert_eq!(status.error.as_deref(), Some("step `bad`: it cannot work"));
    for (step, state) in [
        ("bad", StepState::Failed),
        ("after", StepState::Skipped),
        ("apart", StepState::Succeeded),
        ("mourn", StepState::Succeeded),
        ("tidy", StepState::Succeeded),
    ] {
        assert_eq!(step_state(&house, &run, step).await, state, "{step}");
    }
    spec.steps[0] = backlot_work::StepSpec::new("bad", "echo", json!(1));
    assert_eq!(spec.steps[3].on, Trigger::Failure);
    let (run, status) = house.play(spec).await;
    assert_eq!(status.state, RunState::Succeeded);
    assert_eq!(step_state(&house, &run, "mourn").await, StepState::Skipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_item_stops_its_map_unless_told_to_keep_going() {
    let house = House::new();
    let text = "name='x'\n[[step]]\nname='m'\nkind='fail'\nmap={over=[{how='permanent'},{until=1},{until=1},{until=1}],concurrency=1}\ninput='${item}'\n";
    let (_, status) = house.play(toml(text)).await;
    assert_eq!((status.state, status.tasks.failed, status.tasks.cancelled), (RunState::Failed, 1, 3));
    let (_, status) = house.play(toml(&format!("{text}keep_going=true"))).await;
    assert_eq!((status.state, status.tasks.failed, status.tasks.succeeded), (RunState::Failed, 1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_work_is_done_once_and_shown_as_cached() {
    let house = House::new();
    let text = "name='x'\n[[step]]\nname='m'\nkind='echo'\nmap={over=[1,2,3]}\ninput={v='${item}'}\n";
    let (run, _) = house.play(toml(text)).await;
    assert_eq!(house.ran(), 3);
    let (again, status) = house.play(toml(text)).await;
    assert_eq!((house.ran(), status.tasks.cached), (3, 3));
    assert!(house.tasks(&again).await.iter().all(|task| task.cached));
    assert_eq!(house.work.outputs(&run, "m").await.unwrap(), house.work.outputs(&again, "m").await.unwrap());
    let (_, status) = house.play(toml(&format!("{text}cache=false"))).await;
    assert_eq!((house.ran(), status.tasks.cached), (6, 0));
    let (_, status) = house.play(toml(&text.replace("[1,2,3]", "[3,4]"))).await;
    assert_eq!((house.ran(), status.tasks.cached), (7, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_and_deep_graph_ends_in_order() {
    let house = House::new();
    let mut spec = RunSpec::new("layers");
    for layer in 0..20 {
        for lane in 0..20 {
            let mut step =
                backlot_work::StepSpec::new(format!("s{layer}-{lane}"), "echo", json!(layer * 100 + lane));
            if layer > 0 {
                for before in 0..20 {
                    step = step.after(format!("s{}-{before}", layer - 1));
                }
            }
            spec = spec.step(step);
        }
    }
    let (run, status) = house.play(spec).await;
    assert_eq!((status.state, status.tasks.succeeded), (RunState::Succeeded, 400));
    let steps = house.work.steps(&run).await.unwrap();
    for layer in 1..20 {
        let started =
            steps[layer * 20..(layer + 1) * 20].iter().map(|step| step.started.unwrap()).min().unwrap();
        let finished =
            steps[(layer - 1) * 20..layer * 20].iter().map(|step| step.finished.unwrap()).max().unwrap();
        assert!(started >= finished, "layer {layer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_is_checked_and_may_be_repeated() {
    let house = House::new();
    let spec = toml("name='x'\n[[step]]\nname='a'\nkind='ecko'");
    let error = house
        .work
        .submit(spec, Default::default(), Default::default(), Some(&house.kinds))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("wants the task kind `ecko`"), "{error}");
    let spec = toml("name='x'\n[[step]]\nname='a'\nkind='echo'");
    let options = backlot_work::SubmitOptions { key: Some("k1".into()), ..Default::default() };
    let first = house.work.submit(spec.clone(), Default::default(), options.clone(), None).await.unwrap();
    let second = house.work.submit(spec, Default::default(), options, None).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(house.work.runs(Default::default()).await.unwrap().len(), 1);
    assert!(house.work.run("zzzzzzzz").await.unwrap_err().to_string().contains("there is no run"));
    assert_eq!(house.work.run(&first[..8]).await.unwrap().id, first);
}
