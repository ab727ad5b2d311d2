//! Publishers and readers, through the house's own shell and over HTTP.

use backlot_department::{Config, Department, House, shell_part};
use backlot_ledger::Ledger;
use backlot_series::{Grid, Source};
use backlot_store::Store;
use backlot_telemetry::Telemetry;
use backlot_web::testing::{Answer, Server};
use backlot_web::{Shell, Tokens, WebConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Serving {
    pub(crate) home: TempDir,
    pub(crate) house: House,
    departments: [Box<dyn Department>; 1],
    pub(crate) server: Server,
    token: String,
}

impl Serving {
    pub(crate) async fn at(home: TempDir, settings: Value) -> Self {
        let departments: [Box<dyn Department>; 1] = [Box::<Telemetry>::default()];
        let ledger =
            Ledger::open(&format!("sqlite://{}/ledger.db", home.path().display())).expect("a ledger");
        let store = Store::open(&format!("file://{}/blobs", home.path().display())).expect("a store");
        // Other tests' servers want the agent's ports too, and only what a test sends is to be found.
        let mut all = json!({ "agent": { "enabled": false }, "self_metrics": false });
        for (key, value) in settings.as_object().expect("settings") {
            all[key] = value.clone();
        }
        let sections = json!({ "telemetry": all }).as_object().cloned().expect("an object");
        let house =
            House::open(home.path(), Config::new(sections), store, ledger, &departments).expect("a house");
        house.start(&departments).await.expect("it starts");
        departments[0].serve(&house).await.expect("it serves");
        let tokens = Tokens::open(home.path()).expect("tokens");
        let mut config = WebConfig::new(tokens);
        config.bind = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let shell =
            Shell::builder(config).department(shell_part(&*departments[0], &house)).build().expect("a shell");
        let server = Server::start(shell).await.expect("a server");
        let token = Tokens::admin_token(home.path()).expect("a token").expect("a token");
        Self { home, house, departments, server, token }
    }

    pub(crate) async fn new(settings: Value) -> Self {
        Self::at(tempfile::tempdir().expect("a directory"), settings).await
    }

    pub(crate) async fn again(self, settings: Value) -> Self {
        self.departments[0].stop(&self.house).await;
        Self::at(self.home, settings).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.server.send(&format!("POST {path}"), &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.server.get(path, &[]).await;
        answer.json()
    }

    pub(crate) async fn page(&self, path: &str) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        self.server.get(path, &[("authorization", &authorization), ("accept", "text/html")]).await
    }

    pub(crate) fn now(&self) -> i64 {
        self.house.ledger.now().micros() / 1000
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_many_senders_become_one_rate() {
    let serving = Serving::new(json!({ "step": "1h" })).await;
    // Two instances count requests in the same step: 3 and 33, so 36 in an hour; their gauges' largest stays.
    for (count, gauge) in [(3, 0.25), (33, 0.125)] {
        let body = format!(
            r#"[8,"count","gauge","name","nf.app","rps","statistic","temp","www", 3,2,4,3,7,5,0,0,{count}, 2,2,6,5,1,10,{gauge}]"#
        );
        let answer = serving.post("/atlas/api/v4/update", &body).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    }
    let graph = serving.json("/atlas/api/v1/graph?q=name,rps,:eq,:sum,name,temp,:eq,:max&s=e-2h&e=now%2B1h&format=std.json&tz=UTC").await;
    let rows = graph["values"].as_array().unwrap();
    let found = rows.iter().find(|row| row[0] != "NaN").unwrap_or_else(|| panic!("{graph}"));
    assert_eq!(found, &json!([36.0 / 3600.0, 0.25]));
    assert_eq!(graph["legend"], json!(["sum(name=rps)", "max(name=temp)"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_failures_are_told() {
    let serving = Serving::new(json!({})).await;
    let half = serving
        .post("/atlas/api/v4/update", r#"[4,"name","ok.name","nf.shoe","x",1,0,1,0,1,2,0,1,2,3,0,1]"#)
        .await;
    assert_eq!(half.status, 202);
    let told: Value = half.json();
    assert_eq!((told["type"].as_str(), told["errorCount"].as_u64()), (Some("partial"), Some(1)));
    assert!(told["message"][0].as_str().unwrap().starts_with("invalid key for reserved prefix"), "{told}");
    assert_eq!(serving.post("/atlas/api/v4/update", r#"[2,"nf.shoe","x",1,0,1,0,1]"#).await.status, 400);
    assert_eq!(serving.post("/atlas/api/v4/update", "[2147483648]").await.status, 400);
    assert_eq!(serving.post("/atlas/api/v1/publish", "").await.status, 400);
    assert_eq!(serving.post("/atlas/api/v1/publish", r#"{"tags":{},"metrics":[]}"#).await.status, 400);
    let old = serving
        .post("/atlas/api/v1/publish", r#"{"metrics":[{"tags":{"name":"sps"},"timestamp":1000,"value":1}]}"#)
        .await;
    assert!(old.status == 400 && old.text().contains("DataTooOld"), "{}", old.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn published_values_survive_a_restart() {
    let serving = Serving::new(json!({})).await;
    let step = 60_000;
    let last = serving.now() / step * step;
    let metrics: Vec<Value> = (0..10)
        .map(|age| json!({ "tags": { "name": "temp", "atlas.dstype": "gauge" }, "timestamp": last - age * step, "value": age }))
        .collect();
    let answer = serving
        .post(
            "/atlas/api/v1/publish",
            &json!({ "tags": { "nf.app": "www" }, "metrics": metrics }).to_string(),
        )
        .await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    let path = format!("/atlas/api/v1/graph?q=name,temp,:eq&s=e-5m&e={last}&tz=UTC&format=json");
    let before = serving.json(&path).await;
    assert_eq!(before["values"], json!([[4.0], [3.0], [2.0], [1.0], [0.0]]));
    let serving = serving.again(json!({})).await;
    assert_eq!(serving.json(&path).await, before);
    let source = serving.house.services().require::<dyn Source>().unwrap();
    let series = source.fetch("name,temp,:eq,(,nf.app,),:by", Grid::new(last - step, step, 2)).await.unwrap();
    assert_eq!((series[0].tags.get("nf.app"), &series[0].values), (Some("www"), &vec![1.0, 0.0]));
    assert!(source.fetch(":nonsense", Grid::new(0, step, 1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_listed_page_by_page() {
    let serving = Serving::new(json!({})).await;
    let now = serving.now();
    let metrics: Vec<Value> =
        (0..5).map(|host| json!({ "tags": { "name": "temp", "host": format!("h{host}") }, "timestamp": now, "value": 1 })).collect();
    serving.post("/atlas/api/v1/publish", &json!({ "metrics": metrics }).to_string()).await;
    assert_eq!(serving.json("/atlas/api/v1/tags").await, json!(["host", "name"]));
    assert_eq!(serving.json("/atlas/api/v1/tags/host?q=host,(,h1,h3,),:in").await, json!(["h1", "h3"]));
    assert_eq!(
        serving.json("/atlas/api/v1/tags/name?verbose=1").await,
        json!([{ "key": "name", "value": "temp", "count": 5 }])
    );
    let page = serving.server.get("/atlas/api/v1/tags/host?limit=2&format=txt", &[]).await;
    assert_eq!(page.text(), "h0\nh1\n");
    assert_eq!(page.header("x-nflx-atlas-next-offset"), "h1");
    assert_eq!(serving.json("/atlas/api/v1/tags/host?limit=2&offset=h1").await, json!(["h2", "h3"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_are_explained() {
    let serving = Serving::new(json!({})).await;
    let steps = serving.json("/atlas/api/v1/expr?q=a,b,:eq,:sum").await;
    assert_eq!(
        steps[2],
        json!({ "program": ":eq,:sum", "context": { "stack": ["b", "a"], "variables": {} } })
    );
    assert_eq!(steps[4]["context"]["stack"], json!(["a,b,:eq,:sum"]));
    assert_eq!(serving.json("/atlas/api/v1/expr/normalize?q=a,b,:eq").await, json!(["a,b,:eq,:sum"]));
    assert_eq!(serving.json("/atlas/api/v1/expr/queries?q=a,b,:eq,:avg").await, json!(["a,b,:eq"]));
    let strip = "/atlas/api/v1/expr/strip?q=a,b,:eq,c,d,:eq,:and,:sum,max,2,:topk,x,:legend&k=c";
    assert_eq!(serving.json(strip).await, json!(["a,b,:eq,:sum,max,2,:topk,x,:legend"]));
    assert_eq!(serving.json(&format!("{strip}&r=filter&r=style")).await, json!(["a,b,:eq,:sum"]));
    assert_eq!(serving.server.get(&format!("{strip}&r=math"), &[]).await.status, 400);
    let words = serving.json("/atlas/api/v1/expr/complete?q=a,b,:eq").await;
    let found = words.as_array().unwrap().iter().find(|word| word["name"] == "dist-avg").unwrap();
    assert_eq!(found["signature"], "Query -- TimeSeriesExpr");
    let wrong = serving.server.get("/atlas/api/v1/graph?q=:foo", &[]).await;
    assert_eq!(
        (wrong.status, wrong.text().as_str()),
        (400, r#"{"message":"IllegalStateException: unknown word ':foo'","type":"error"}"#)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exporters_text_is_taken() {
    let serving = Serving::new(json!({ "step": "1h" })).await;
    let text = "# HELP up x\nup{job=\"node\"} 1\nnode_load1 0.25\n";
    assert_eq!(serving.post("/prometheus/api/v1/import/prometheus", text).await.status, 204);
    assert_eq!(serving.json("/atlas/api/v1/tags/name").await, json!(["node_load1", "up"]));
    assert_eq!(serving.post("/prometheus/api/v1/import/prometheus", "up{ 1\n").await.status, 400);
    assert_eq!(serving.post("/prometheus/api/v1/write", "no snappy").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn compact_bodies_are_taken_and_names_are_known_the_second_time() {
    let serving = Serving::new(json!({})).await;
    let now = serving.now() / 60_000 * 60_000;
    for (round, value) in [(0, 1), (1, 2)] {
        let time = now - 60_000 * (1 - round);
        // The second table is in another order; the series is the same.
        let (table, pairs) = if round == 0 {
            (r#""name","x1","nf.app","www","atlas.dstype","gauge""#, "0,1,2,3,4,5")
        } else {
            (r#""www","gauge","atlas.dstype","nf.app","x1","name""#, "5,4,3,0,2,1")
        };
        let body =
            format!(r#"[6,{table},1,"0123456789012345678901234567890123456789",3,{pairs},{time},{value}]"#);
        assert_eq!(serving.post("/atlas/api/v1/publish", &body).await.status, 200);
        let json = format!(
            r#"{{"tags":{{"nf.app":"www"}},"metrics":[{{"tags":{{"name":"x\u0032","atlas.dstype":"gauge"}},"timestamp":{time},"value":{value}}},{{"tags":{{"name":"x3","odd":"}}{{"}},"timestamp":{time},"value":{value}}}]}}"#
        );
        assert_eq!(serving.post("/atlas/api/v1/publish", &json).await.status, 200);
    }
    for name in ["x1", "x2"] {
        let path = format!("/atlas/api/v1/graph?q=name,{name},:eq,:sum&s=e-2m&e={now}&format=json&tz=UTC");
        assert_eq!(serving.json(&path).await["values"], json!([[1.0], [2.0]]), "{name}");
    }
    assert_eq!(serving.json("/atlas/api/v1/tags/name").await, json!(["x1", "x2", "x3"]));
    assert_eq!(serving.json("/atlas/api/v1/tags/odd").await, json!(["__"]));
    // A body with a fault near its end changes nothing.
    let broken = format!(
        r#"{{"metrics":[{{"tags":{{"name":"yy"}},"timestamp":{now},"value":1}},{{"tags":{{"name" "zz"}},"timestamp":{now},"value":1}}]}}"#
    );
    assert_eq!(serving.post("/atlas/api/v1/publish", &broken).await.status, 400);
    assert_eq!(serving.json("/atlas/api/v1/tags/name?q=name,yy,:eq").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_house_reports_on_itself() {
    let serving = Serving::new(json!({ "step": "1s", "self_metrics": true })).await;
    let counter = serving.house.meters.counter("test.counter");
    counter.add(7);
    let app =
        "/atlas/api/v1/graph?q=name,test.counter,:eq,:sum&s=e-1m&e=now%2B2s&step=1s&format=std.json&tz=UTC";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let graph = serving.json(app).await;
        let sum: f64 = graph["values"].as_array().unwrap().iter().filter_map(|row| row[0].as_f64()).sum();
        if sum == 7.0 {
            break;
        }
        assert!(sum == 0.0 && std::time::Instant::now() < deadline, "{graph}");
        tokio::task::yield_now().await;
    }
    assert_eq!(serving.json("/atlas/api/v1/tags/nf.app?q=name,test.counter,:eq").await, json!(["backlot"]));
    let text = serving.server.get("/prometheus/metrics", &[]).await;
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.text().contains("\ntest_counter_total 7\n"), "{}", text.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_jobs_push_and_exporters_are_asked() {
    let serving = Serving::new(json!({ "step": "1h" })).await;
    let pushed = serving.post("/prometheus/metrics/job/nightly/instance/a", "done{job=\"own\"} 3\n").await;
    assert_eq!(pushed.status, 204);
    let labels = |key: &str| format!("/atlas/api/v1/tags/{key}?q=name,done,:eq");
    assert_eq!(serving.json(&labels("job")).await, json!(["nightly"]));
    assert_eq!(serving.json(&labels("exported_job")).await, json!(["own"]));
    assert_eq!(serving.json(&labels("instance")).await, json!(["a"]));
    assert_eq!(serving.post("/prometheus/metrics/job/nightly/instance", "x 1\n").await.status, 400);
    let labelled = "/prometheus/api/v1/import/prometheus?extra_label=zone=z1";
    assert_eq!(serving.post(labelled, "up 1\n").await.status, 204);
    assert_eq!(serving.json("/atlas/api/v1/tags/zone").await, json!(["z1"]));
    // The exporter is the first server.
    let target = serving.server.address().to_string();
    let asking = Serving::new(json!({
        "step": "1s",
        "scrape": [{ "job": "self", "targets": [target, "127.0.0.1:9"], "path": "/prometheus/metrics" }]
    }))
    .await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let is = |path: &'static str, wanted: Value| {
        let asking = &asking;
        async move {
            loop {
                let found = asking.json(path).await;
                if found == wanted {
                    break;
                }
                assert!(std::time::Instant::now() < deadline, "{path}: {found}");
                tokio::task::yield_now().await;
            }
        }
    };
    is("/atlas/api/v1/tags/job?q=name,telemetry_samples_total,:eq", json!(["self"])).await;
    is("/atlas/api/v1/tags/job?q=name,up,:eq,instance,127.0.0.1:9,:eq,:and", json!(["self"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_in_the_server_takes_lines() {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = udp.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.unix");
    // One port is another program's: the agent goes on without it.
    let agent = json!({ "enabled": true, "lines": taken, "statsd": "127.0.0.1:0", "unix": socket, "admin": "127.0.0.1:0" });
    let serving = Serving::new(json!({ "step": "1h", "agent": agent })).await;
    let client = std::os::unix::net::UnixDatagram::unbound().unwrap();
    for line in ["c:lines,nf.app=www:3600", "c:lines,nf.app=www:3600", "g:level:2.5"] {
        client.send_to(line.as_bytes(), &socket).unwrap();
    }
    let serving = serving.again(json!({ "step": "1h" })).await;
    let graph = "/atlas/api/v1/graph?q=name,lines,:eq,nf.app,www,:eq,:and,:sum,name,level,:eq,:max&s=e-2h&e=now%2B1h&format=std.json&tz=UTC";
    let graph = serving.json(graph).await;
    let rows = graph["values"].as_array().unwrap();
    assert!(rows.contains(&json!([2.0, 2.5])), "{graph}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_shows_graphs_and_tags() {
    let serving = Serving::new(json!({})).await;
    let bearer = format!("Bearer {}", serving.token);
    let fields = [("authorization", bearer.as_str()), ("accept", "text/html")];
    let empty = serving.server.get("/metrics", &fields).await;
    assert!(empty.status == 200 && empty.text().contains("No metrics yet"), "{}", empty.text());
    let body = json!({ "metrics": [{ "tags": { "name": "temp<b>", "host": "a" }, "timestamp": serving.now(), "value": 1 }] });
    serving.post("/atlas/api/v1/publish", &body.to_string()).await;
    let page = serving.server.get("/metrics?q=name,temp_b_,:eq&s=e-1h&e=now", &fields).await;
    assert!(
        page.text().contains("sum(name=temp_b_)")
            && page.text().contains("/atlas/api/v1/graph?q=name%2Ctemp_b_"),
        "{}",
        page.text()
    );
    let wrong = serving.server.get("/metrics?q=:foo", &fields).await;
    assert!(wrong.text().contains("unknown word"), "{}", wrong.text());
    assert!(serving.server.get("/metrics/tags/host", &fields).await.text().contains(">a<"));
    assert_eq!(serving.server.get("/metrics/editor.js", &fields).await.status, 200);
    let own = serving.server.get("/metrics/server", &fields).await.text();
    for graph in own.split("img src=\"").skip(1) {
        let path = graph.split('"').next().unwrap().replace("&amp;", "&");
        let drawn = serving.server.get(&path, &[]).await;
        assert_eq!((drawn.status, drawn.header("content-type")), (200, "image/svg+xml"), "{path}");
    }
}
