//! Commands: what they get, what they give, and how they end.

use backlot_work::{BlobRef, RunSpec, RunState};

use crate::house::{House, until};

fn toml(text: &str) -> RunSpec {
    RunSpec::from_toml(text).unwrap()
}

async fn text(house: &House, run: &str, step: &str, output: &str) -> String {
    let outputs = house.work.outputs(run, step).await.unwrap();
    let blob = BlobRef::from_value(&outputs[output]).unwrap();
    String::from_utf8(house.work.store().get(&blob.digest, 1 << 20).await.unwrap().to_vec()).unwrap()
}

async fn log(house: &House, run: &str) -> String {
    let task = house.tasks(run).await[0].task;
    house.work.logs(task, None, 0).await.unwrap().into_iter().map(|piece| piece.text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_streams_go_in_and_come_out() {
    let house = House::new();
    let (run, status) = house
        .play(toml(
            r#"
            name = "pipes"
            [[step]]
            name = "make"
            command = { argv = ["sh", "-c", "echo hello; echo warn >&2; printf 42 > answer.txt"], outputs = { answer = "answer.txt" } }
            [[step]]
            name = "use"
            command = { argv = ["sh", "-c", "cat; cat d/in.txt \"$0\"; echo $WHO $BACKLOT_STEP", "${steps.make.answer}"], stdin = "${steps.make.stdout}", files = { "d/in.txt" = "file " }, env = { WHO = "me" } }
            "#,
        ))
        .await;
    assert_eq!(status.state, RunState::Succeeded, "{status:?}");
    assert_eq!(text(&house, &run, "make", "answer").await, "42");
    assert_eq!(text(&house, &run, "use", "stdout").await, "hello\nfile 42me use\n");
    assert_eq!(log(&house, &run).await, "warn\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_commands_are_one_clear_line() {
    let house = House::new();
    let cases = [
        ("argv=['no-such-program-here']", "there is no program `no-such-program-here`"),
        ("argv=['sh','-c','echo why >&2; exit 3']", "`sh`: exit status 3: why"),
        ("argv=['sh','-c','kill -9 $$']", "`sh`: killed by signal 9"),
        ("argv=['true'],outputs={o='missing.txt'}", "did not write `missing.txt`, its output `o`"),
        ("argv=['true'],cwd='/no/such/place'", "the directory `/no/such/place` does not exist"),
        ("argv=['true'],env_pass=['NO_SUCH_VARIABLE_HERE']", "`env_pass` names `NO_SUCH_VARIABLE_HERE`"),
    ];
    for (command, wanted) in cases {
        let (_, status) =
            house.play(toml(&format!("name='x'\n[[step]]\nname='a'\ncommand={{{command}}}"))).await;
        let error = status.error.unwrap();
        assert!(error.contains(wanted) && !error.contains('\n'), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_is_only_what_was_stated() {
    let house = House::new();
    let (run, _) = house.play(toml("name='x'\n[[step]]\nname='a'\ncommand={argv=['env'],env={A='1'}}")).await;
    let names: Vec<String> = text(&house, &run, "a", "stdout")
        .await
        .lines()
        .map(|line| line.split('=').next().unwrap().to_owned())
        .filter(|name| !["PATH", "HOME", "LANG", "TZ", "TMPDIR", "A"].contains(&name.as_str()))
        .collect();
    assert!(names.iter().all(|name| name.starts_with("BACKLOT_")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_ends_the_whole_process_group() {
    let house = House::new();
    let worker = house.worker().await;
    let marker = house.home.path().join("pids");
    // The program ignores SIGTERM's usual effect by leaving a grandchild behind that would live on.
    let script = format!("sleep 300 & echo $! > {0}; sleep 300 & echo $! >> {0}; wait", marker.display());
    let run = house
        .submit(toml(&format!("name='x'\n[[step]]\nname='a'\ncommand={{argv=['sh','-c','{script}']}}")))
        .await;
    let pids: Vec<i64> = until("two pids", || async {
        let text = std::fs::read_to_string(&marker).unwrap_or_default();
        let pids: Vec<i64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (pids.len() == 2).then_some(pids)
    })
    .await;
    house.work.cancel(&run, "test", None).await.unwrap();
    assert_eq!(house.end(&run).await.state, RunState::Cancelled);
    until("the grandchildren to end", || async { pids.iter().all(|pid| !is_running(*pid)).then_some(()) })
        .await;
    worker.stop().await;
}

fn is_running(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_output_is_bounded() {
    let house = House::new();
    let (run, status) = house
        .play(toml(
            "name='x'\n[[step]]\nname='a'\ncommand={argv=['sh','-c','seq 1 1000000 >&2; echo the end >&2']}",
        ))
        .await;
    assert_eq!(status.state, RunState::Succeeded);
    let log = log(&house, &run).await;
    assert!(log.starts_with("1\n2\n") && log.len() <= backlot_work::MAX_LOG + (64 << 10), "{}", log.len());
}
