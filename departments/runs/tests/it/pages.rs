//! The console pages.

use backlot_web::testing::read_until;
use backlot_work::RunState;
use serde_json::json;

use crate::support::Lot;

#[tokio::test]
async fn a_run_is_shown_with_its_plan_failures_and_results() {
    let lot = Lot::open().await;
    let empty = lot.get("/runs").await;
    assert!(empty.status == 200 && empty.text().contains("No runs yet"), "{}", empty.text());
    let steps = json!([
        { "name": "make", "kind": "test.blobs" },
        { "name": "fail", "kind": "test.fail", "after": ["make"] },
        { "name": "end", "kind": "test.echo", "input": "<i>ended</i>", "after": ["fail"] }
    ]);
    let run = lot.submit("plan", steps).await;
    assert_eq!(lot.ended(&run).await.state, RunState::Failed);
    let page = lot.get(&format!("/runs/{run}")).await.text();
    for part in [
        "<svg class=\"graph fit\"",
        "the lever is &lt;down&gt;; lift it",
        "Retry",
        "aria-current=\"page\"",
        "Failed tasks",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("data-live"), "an ended run is not fetched again");
    let list = lot.get("/runs?state=failed").await.text();
    assert!(list.contains(&run) && list.contains("chip bad"), "{list}");
    assert!(lot.get("/runs?name=other").await.text().contains("No such runs"));
    assert!(lot.get("/").await.text().contains("Newest runs"));

    lot.levers.broken.send_replace(false);
    let cookie = lot.server.get(&format!("/login?token={}", lot.admin), &[]).await;
    let cookie = cookie.header("set-cookie").split(';').next().unwrap().to_owned();
    let origin = lot.server.origin();
    let form = [
        ("cookie", cookie.as_str()),
        ("origin", origin.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let posted = lot.server.send(&format!("POST /runs/{run}/retry"), &form, "from=fail").await;
    assert_eq!(
        (posted.status, posted.header("location")),
        (303, format!("/runs/{run}").as_str()),
        "{}",
        posted.text()
    );
    assert_eq!(lot.ended(&run).await.state, RunState::Succeeded);
    let page = lot.get(&format!("/runs/{run}")).await.text();
    assert!(page.contains("&lt;i&gt;ended&lt;/i&gt;") && page.contains("Results"), "{page}");
    let task = lot.get(&format!("/runs/{run}/steps/make/tasks/0")).await.text();
    assert!(task.contains("/artifacts/list/0/page") && task.contains("text/html"), "{task}");
    let foreign = [form[0], ("origin", "http://evil.example"), form[2]];
    assert_eq!(lot.server.send(&format!("POST /runs/{run}/retry"), &foreign, "").await.status, 403);
}

#[tokio::test]
async fn a_running_task_is_live_and_its_log_escaped() {
    let lot = Lot::open().await;
    let steps =
        json!([{ "name": "wait", "kind": "test.wait", "input": "${item}", "map": { "over": ["<u>", "b"] } }]);
    let run = lot.submit("slow", steps).await;
    let page = lot.until(&format!("/runs/{run}/steps/wait/tasks/0"), "a quarter").await;
    assert!(
        page.contains("data-live") && page.contains("data-stream") && page.contains("&lt;u&gt;"),
        "{page}"
    );
    assert!(lot.get(&format!("/runs/{run}")).await.text().contains("data-live"));
    let step = lot.get(&format!("/runs/{run}/steps/wait?state=running")).await.text();
    assert!(step.contains("wait/1") && step.contains("25 %"), "{step}");
    lot.levers.open.send_replace(true);
    lot.ended(&run).await;
    let page = lot.get(&format!("/runs/{run}/steps/wait/tasks/0")).await.text();
    assert!(page.contains("went on &lt;b&gt;boldly&lt;/b&gt;") && !page.contains("data-stream"), "{page}");
}

#[tokio::test]
async fn a_reader_sees_no_buttons() {
    let lot = Lot::open().await;
    let run = lot.submit("slow", json!([{ "name": "wait", "kind": "test.wait" }])).await;
    let reader = format!("Bearer {}", lot.token(&["runs:read"]));
    let fields = [("authorization", reader.as_str())];
    let page = lot.server.get(&format!("/runs/{run}"), &fields).await.text();
    assert!(page.contains(&run) && !page.contains("/cancel"), "{page}");
    assert!(!page.contains("href=\"/events\""), "no entry for pages that would be refused");
    assert_eq!(lot.server.send(&format!("POST /runs/{run}/cancel"), &fields, "").await.status, 403);
    assert!(lot.get(&format!("/runs/{run}")).await.text().contains("/cancel"));
}

#[tokio::test]
async fn events_are_shown_live_and_replayed() {
    let idle = Lot::open_with(false).await;
    assert!(idle.get("/events").await.text().contains("Nothing has happened yet"));
    let lot = Lot::open().await;
    let run = lot.submit("one", json!([{ "name": "a", "kind": "test.echo" }])).await;
    lot.ended(&run).await;
    let live = lot.get("/events").await.text();
    assert!(
        live.contains(&format!("href=\"/runs/{run}\"")) && live.contains("data-stream=\"/events/rows?after="),
        "{live}"
    );
    let replay = lot.get("/events?after=1").await.text();
    assert!(
        replay.contains("oldest first") && !replay.contains("data-stream") && !replay.contains(">#1<"),
        "{replay}"
    );
    let bearer = lot.bearer();
    let mut rows = lot.server.open("/events/rows?after=0", &[("authorization", &bearer)]).await;
    let row = read_until(&mut rows, "</tr>").await;
    assert!(row.contains("event: row") && row.contains("data: <tr>"), "{row}");
}

#[tokio::test]
async fn what_is_not_there_is_a_page_that_says_so() {
    let lot = Lot::open().await;
    let bearer = lot.bearer();
    let fields = [("authorization", bearer.as_str()), ("accept", "text/html")];
    for path in [
        "/runs/nosuchrun0000",
        "/runs/%3Cscript%3E",
        "/runs/nosuchrun0000/steps/a",
        "/runs/x/steps/a/tasks/0",
    ] {
        let answer = lot.server.get(path, &fields).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (404, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(
            answer.text().contains("There is no run") && !answer.text().contains("<script>"),
            "{}",
            answer.text()
        );
    }
}
