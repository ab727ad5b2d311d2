//! What a program finds and leaves.

use backlot_archer::Failure;
use serde_json::{Value, json};

use crate::support::{job, run};

#[tokio::test]
async fn a_job_of_shell_functions_runs_whole() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("sum.sh"), "wc -c <$1 | tr -d ' '").unwrap();
    let job = job(r#"
        name = "sizes"
        split = { frames = 8 }
        map = { argv = ["sh", "-c", "t=0; for f in frames/*; do t=$((t + $(sh tools/sum.sh $f))); done; echo $t >result.json; echo $ARCHER_FUNCTION >out/$(ls frames | head -1)"] }
        collect = { argv = ["sh", "-c", "cat parts/000001/*; grep -o '\"result\":[0-9]*' task.json | cut -d: -f2 | paste -sd, | sed 's/.*/[&]/' >result.json; cp parts/000002/* out/last"] }
        [files]
        "tools/sum.sh" = "sum.sh"
        [frames]
        encoding = "raw"
        lead = 1
    "#);
    let (made, _scratch) = run(home.path(), &job).await.unwrap();
    // Parts of 8, 8 and 4 frames of eight bytes; the second and third have one frame more before them.
    assert_eq!(made.result, json!([64, 72, 40]));
    assert_eq!(std::fs::read_to_string(&made.files["last"]).unwrap(), "map\n");
}

#[tokio::test]
async fn the_task_tells_everything() {
    let home = tempfile::tempdir().unwrap();
    let job = job(r#"
        name = "told"
        split = { argv = ["sh", "-c", "echo '[[2, 5], {\"start\": 4, \"end\": 9, \"data\": {\"x\": 0.1}}]' >result.json"] }
        map = { argv = ["cp", "task.json", "result.json"] }
        [params.limit]
        type = "number"
        default = 0.30000000000000004
        [frames]
        every = 2
    "#);
    let (made, _scratch) = run(home.path(), &job).await.unwrap();
    let told = &made.result[1];
    assert_eq!(told["part"], json!({ "index": 1, "start": 4, "end": 9, "data": { "x": 0.1 } }));
    assert_eq!(told["params"], json!({ "limit": 0.300_000_000_000_000_04 }));
    assert_eq!(
        (&told["function"], &told["archer"], &told["job"]),
        (&json!("map"), &json!(1), &json!("told"))
    );
    assert_eq!(told["source"]["path"], "source.mp4");
    assert_eq!((&told["source"]["rate"], &told["source"]["frames"]), (&json!([10, 1]), &json!(20)));
    let frames: Vec<&Value> = told["frames"]["files"].as_array().unwrap().iter().collect();
    let first = json!({ "frame": 4, "time": 0.4, "path": "frames/000000004.png" });
    assert_eq!((frames.len(), frames[0]), (3, &first));
}

#[tokio::test]
async fn built_in_splits_and_no_collect() {
    let home = tempfile::tempdir().unwrap();
    let ranges = "sed 's/.*\"start\":\\([0-9]*\\),\"end\":\\([0-9]*\\).*/[\\1,\\2]/' task.json >result.json";
    for (split, wanted) in [
        ("'shots'", json!([[0, 7], [7, 20]])),
        ("'whole'", json!([[0, 20]])),
        ("{ seconds = 1.5 }", json!([[0, 15], [15, 20]])),
    ] {
        let job =
            job(&format!("name = 'x'\nsplit = {split}\nmap = {{ argv = ['sh', '-c', '''{ranges}'''] }}"));
        assert_eq!(run(home.path(), &job).await.unwrap().0.result, wanted, "{split}");
    }
}

#[tokio::test]
async fn mistakes_of_functions_are_named() {
    let home = tempfile::tempdir().unwrap();
    for (map, wanted) in [
        ("['sh', '-c', 'echo oh dear >&2; exit 3']", "exit status 3: oh dear"),
        ("['no-such-program']", "no-such-program"),
        ("['sh', '-c', 'echo nonsense >result.json']", "is no JSON"),
        ("['sh', '-c', 'ln -s /etc/passwd out/x']", "not a plain file"),
    ] {
        let text = format!("name = 'x'\nsplit = 'whole'\nmap = {{ argv = {map} }}\n[limits]\nretries = 0");
        let error = run(home.path(), &job(&text)).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Failure::Function(_)) && text.contains(wanted), "{map} -> {text}");
        assert!(text.contains("map of part 0"), "{text}");
    }
}

#[tokio::test]
async fn a_flaky_function_is_tried_again_in_a_fresh_directory() {
    let home = tempfile::tempdir().unwrap();
    let tries = home.path().join("tries");
    let text = format!(
        "name = 'x'\nsplit = 'whole'\nmap = {{ argv = ['sh', '-c', 'test -e mark && exit 9; touch mark; echo try >>{0}; test $(wc -l <{0}) -ge 3 && echo 7 >result.json'] }}",
        tries.display()
    );
    assert_eq!(run(home.path(), &job(&text)).await.unwrap().0.result, json!([7]));
    assert_eq!(std::fs::read_to_string(tries).unwrap().lines().count(), 3);
}

#[tokio::test]
async fn a_clip_that_changes_under_a_local_run_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let clip = home.path().join("clip.mp4");
    let text = format!(
        "name = 'x'\nsplit = 'whole'\nmap = {{ argv = ['sh', '-c', 'echo delivered anew >{}'] }}",
        clip.display()
    );
    let error = run(home.path(), &job(&text)).await.unwrap_err().to_string();
    assert!(error.contains("changed while"), "{error}");
}
