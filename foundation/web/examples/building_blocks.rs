//! Every building block of the console on one page, to look at: `cargo run -p backlot-web --example building_blocks`.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use backlot_web::console::widgets::{self, Action, FilterLink, LogView, Table, Weight};
use backlot_web::console::{self, Frame, Icon, Status, format, graph};
use backlot_web::{
    Access, Closing, Department, Door, Health, HealthCheck, OverviewCard, Page, Shell, Tokens, WebConfig, sse,
};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

const STATES: [Status; 12] = [
    Status::Pending,
    Status::Queued,
    Status::Running,
    Status::Retrying,
    Status::Paused,
    Status::Succeeded,
    Status::Cached,
    Status::Skipped,
    Status::Failed,
    Status::Cancelled,
    Status::Ready,
    Status::Degraded,
];

const DRAWING: &str = r#"<svg viewBox="0 0 560 180" width="560" height="180" role="img"><path d="M40 150H540M40 150V20" fill="none" stroke="currentColor" stroke-opacity=".4"/><polyline points="40,140 120,96 200,70 300,52 420,40 540,34" fill="none" stroke="royalblue" stroke-width="2"/></svg>"#;

fn table() -> Table {
    let now = Timestamp::now();
    let mut table = Table::new(["Run", "State", "Progress", "Tasks", "Started", "Took"]).numeric(&[3, 5]);
    for (index, status) in STATES.iter().take(7).enumerate() {
        let ago = SignedDuration::from_secs(7_i64.pow(index as u32));
        table.push([
            html! { a href="/gallery" { "premiere-big-buck-bunny-" (index) } },
            widgets::chip(status),
            widgets::progress(Some(index as f64 / 6.0), &format!("{} of 42 shots", index * 7)),
            html! { (format::number(12_345 * (index as u64 + 1))) },
            format::time(now - ago, now),
            html! { (format::duration(Duration::from_millis(37_u64.pow(index as u32)))) },
        ]);
    }
    table
}

fn plan() -> Vec<graph::Node> {
    let node = |title: &str, note: &str, status, progress, needs: &[usize]| graph::Node {
        title: title.to_owned(),
        note: note.to_owned(),
        status,
        link: "/gallery".to_owned(),
        progress,
        needs: needs.to_vec(),
    };
    vec![
        node("probe", "media.probe", Status::Cached, None, &[]),
        node("shots", "media.shots", Status::Succeeded, Some(1.0), &[0]),
        node("encode", "media.encode · 37 of 84", Status::Running, Some(0.44), &[0, 1]),
        node("audio", "media.audio", Status::Failed, None, &[0]),
        node("measure", "media.measure · 12 of 84", Status::Running, Some(0.14), &[1, 2]),
        node("ladder", "media.ladder", Status::Pending, None, &[4]),
        node("thumbnails-of-every-single-shot", "command", Status::Paused, None, &[1]),
        node("package", "media.package", Status::Pending, None, &[2, 3, 5]),
        node("report", "media.report", Status::Pending, None, &[5, 6, 7]),
    ]
}

async fn gallery(frame: Frame) -> Markup {
    let now = Timestamp::now();
    let digest = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    let lines: Vec<String> =
        (0..8).map(|index| format!("frame={index:4} fps=23.9 q=28.0 size={index:6}KiB")).collect();
    let cancel = Action {
        label: "Cancel",
        path: "/gallery",
        confirm: Some("Running tasks are ended and their work is lost."),
        weight: Weight::Danger,
        ..Action::default()
    };
    let again = Action { label: "Retry", path: "/gallery", weight: Weight::Primary, ..Action::default() };
    let pause = Action { label: "Pause", path: "/gallery", ..Action::default() };
    let body = html! {
        (widgets::stats([
            widgets::stat("State", "running", "since 3 min"),
            widgets::stat("Tasks", &format::number(12_345), "37 running"),
            widgets::stat("Output", &format::bytes(7_340_032_000), "in 128 blobs"),
            widgets::stat("Took", &format::duration(Duration::from_secs(200)), ""),
        ]))
        (widgets::section("Status", html! { p { @for status in &STATES { (widgets::chip(status)) " " } } }))
        (widgets::filter("State", &[
            FilterLink { label: "All", path: "/gallery".to_owned(), current: true, count: Some(1234) },
            FilterLink { label: "Running", path: "/gallery".to_owned(), current: false, count: Some(3) },
            FilterLink { label: "Failed", path: "/gallery".to_owned(), current: false, count: None },
        ]))
        (table().render())
        (widgets::pager(None, Some("/gallery"), "1 to 7"))
        (widgets::section("Details", widgets::key_values([
            ("Digest", html! { code { (digest) } }),
            ("Created", format::time(now - SignedDuration::from_hours(5), now)),
            ("Progress", widgets::progress(None, "probing")),
        ])))
        (widgets::section("Log", LogView { id: "log", label: "Log of the task", lines: &lines, stream: Some("/gallery/log") }.render()))
        (widgets::section("Plan", graph::graph(&plan(), "Plan of the run").unwrap_or_default()))
        (widgets::section("Figure", widgets::figure(DRAWING.to_owned(), "Rate against quality")))
        (widgets::section("Empty", widgets::empty("No events yet", html! { "Submit a run, and its events appear here." })))
        (widgets::section("Code", widgets::code_block("backlot premiere clip.mp4\n")))
    };
    let actions = html! { (pause.render()) (cancel.render()) (again.render()) };
    console::page(&frame.crumb("Examples", "/").actions(actions), "premiere-big-buck-bunny", body)
}

async fn log(closing: Closing) -> axum::response::Response {
    let ticks = futures::stream::unfold(8_u64, |index| async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        Some((sse::Message::new(format!("frame={index:4} fps=24.0")).event("line").id(index), index + 1))
    });
    sse::respond(closing, ticks.take(1000))
}

fn departments() -> Vec<Department> {
    let mut runs = Department::new("runs", "Durable work: submit, follow, retry and cancel runs of tasks");
    runs.pages = vec![Page::new(
        "Gallery",
        "/gallery",
        Icon::Runs,
        Router::new().route("/", get(gallery)).route("/log", get(log)),
    )];
    runs.doors = vec![
        Door::http("runs", "/runs/api", Router::new())
            .access(Access::ReadWrite { read: "runs:read", write: "runs:write" })
            .client("backlot, curl, the Python package", "BACKLOT_URL"),
        Door::http("events", "/events/api", Router::new())
            .access(Access::Scope("events:read"))
            .client("curl, any CloudEvents consumer", "BACKLOT_URL"),
    ];
    runs.cards = vec![
        OverviewCard::new("Recent runs", None, async || {
            widgets::key_values([
                ("premiere-1", widgets::chip(&Status::Running)),
                ("premiere-0", widgets::chip(&Status::Succeeded)),
                ("nightly", widgets::chip(&Status::Failed)),
            ])
        }),
        OverviewCard::new("Workers", None, async || {
            widgets::key_values([
                ("alive", html! { "2" }),
                ("running tasks", html! { "37" }),
                ("queued tasks", html! { "1 208" }),
            ])
        }),
    ];
    let mut media = Department::new("media", "Probe, shots, encoding, measuring, ladders and packaging");
    media.health = HealthCheck::new(async || {
        Health::Degraded("ffmpeg is missing; run `backlot doctor --install`".to_owned())
    });
    vec![runs, media]
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = std::env::temp_dir().join("backlot-gallery");
    let tokens = Tokens::open(&home)?;
    let mut config = WebConfig::new(tokens);
    if let Some(port) = std::env::args().nth(1) {
        config.bind.set_port(port.parse()?);
    }
    let shell = departments()
        .into_iter()
        .fold(Shell::builder(config), backlot_web::ShellBuilder::department)
        .build()?;
    let listener = shell.bind().await?;
    println!(
        "http://{}/login?token={}",
        listener.local_addr()?,
        Tokens::admin_token(&home)?.unwrap_or_default()
    );
    shell.serve(listener, async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}
