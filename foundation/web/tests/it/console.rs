//! The console's own pages, and what departments add to them.

use axum::Router;
use axum::routing::get;
use backlot_web::console::{self, Frame, Icon};
use backlot_web::{
    Access, Department, Door, Error, Health, HealthCheck, OverviewCard, Page, Scopes, Shell, ShellBuilder,
    Tokens, WebConfig,
};
use maud::html;

use crate::support::House;

fn clips() -> Department {
    let mut clips = Department::new("clips", "Keeps clips");
    clips.health = HealthCheck::new(async || Health::Degraded("no <ffmpeg>; install it".to_owned()));
    clips.doors = vec![
        Door::http("clips", "/clips/api", Router::new().route("/list", get(async || "[]")))
            .access(Access::Scope("clips:read"))
            .client("curl", "CLIPS_URL"),
        Door::socket("clips-udp", "udp://127.0.0.1:1234").client("statsd clients", "--udp"),
    ];
    let page =
        async |frame: Frame| console::page(&frame.crumb("Clips", "/clips"), "All", html! { p { "none" } });
    let routes = Router::new().route("/", get(page)).route("/old", get(page));
    clips.pages = vec![Page::new("Clips", "/clips", Icon::Film, routes).access(Access::Scope("clips:read"))];
    clips.cards = vec![
        OverviewCard::new("Newest clips", Some("clips:read"), async || html! { p { "card body" } }),
        OverviewCard::new("Broken card", None, async || panic!("on purpose")),
    ];
    clips
}

async fn house() -> House {
    House::open_with(|config| config, |builder| builder.department(clips())).await
}

#[tokio::test]
async fn the_overview_shows_departments_health_and_cards() {
    let house = house().await;
    let page = house.get_as(&house.admin, "/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let text = page.text();
    for part in
        ["Keeps clips", "degraded", "no &lt;ffmpeg&gt;; install it", "card body", "href=\"/clips\"", "0 of 1"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("Broken card"));
    let guest = house.tokens.create("guest", &Scopes::new(["other:read"]).unwrap(), None).unwrap();
    let text = house.get_as(&guest, "/").await.text();
    assert!(!text.contains("card body") && !text.contains(">Clips<"), "{text}");
    assert_eq!(house.get_as(&guest, "/clips").await.status, 403);
}

#[tokio::test]
async fn pages_and_the_interface_of_a_department_share_a_prefix() {
    let house = house().await;
    let page = house.get_as(&house.admin, "/clips/old").await.text();
    assert!(page.contains("<a href=\"/clips\" aria-current=\"page\">"), "{page}");
    assert!(page.contains("aria-label=\"Breadcrumb\"") && page.contains("href=\"#content\""), "{page}");
    assert_eq!(house.get_as(&house.admin, "/clips/api/list").await.text(), "[]");
    assert_eq!(house.get_as(&house.admin, "/clips/").await.header("location"), "/clips");
}

#[tokio::test]
async fn the_doors_page_lists_every_door() {
    let house = house().await;
    let page = house.get_as(&house.admin, "/doors").await.text();
    for part in [
        "/clips/api",
        "CLIPS_URL",
        "udp://127.0.0.1:1234",
        "statsd clients",
        "clips:read",
        "open on loopback",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[tokio::test]
async fn pages_ask_nobody_else_for_anything_and_assets_last() {
    let house = house().await;
    let mut assets = 0;
    for path in ["/", "/doors", "/api", "/clips", "/login", "/nowhere"] {
        let bearer = format!("Bearer {}", house.admin);
        let page = house.get(path, &[("authorization", &bearer), ("accept", "text/html")]).await.text();
        assert!(
            !page.contains("http://") && !page.contains("https://") && !page.contains("style=\""),
            "{path}: {page}"
        );
        assert!(!page.contains("<script>") && !page.contains(" onclick="), "{path}");
        for link in page.split('"').filter(|part| part.starts_with("/-/")) {
            let asset = house.get(link, &[]).await;
            assert_eq!(asset.status, 200, "{link}");
            assert!(asset.header("cache-control").contains("immutable"), "{link}");
            let text = asset.text();
            assert!(!text.contains("url(http") && !text.contains("@import"), "{link}");
            assets += 1;
        }
    }
    assert_eq!(assets, 6 * 3);
}

#[tokio::test]
async fn readiness_follows_the_departments() {
    let ready = house().await.get("/readyz", &[]).await;
    assert_eq!((ready.status, ready.json()["departments"]["clips"].as_str()), (200, Some("degraded")));
    let mut down = clips();
    down.health = HealthCheck::new(async || Health::Down("the disk at /secret/path is full".to_owned()));
    let house = House::open_with(|config| config, |builder| builder.department(down)).await;
    let answer = house.get("/readyz", &[]).await;
    assert_eq!((answer.status, answer.json()["departments"]["clips"].as_str()), (503, Some("down")));
    assert!(!answer.text().contains("secret"));
    assert_eq!(house.get("/healthz", &[]).await.status, 200);
    assert!(house.get_as(&house.admin, "/").await.text().contains("/secret/path"));
}

#[test]
fn prefixes_are_checked_at_the_start() {
    let build = |extend: &dyn Fn(ShellBuilder) -> ShellBuilder| {
        extend(Shell::builder(WebConfig::new(Tokens::off()))).build().unwrap_err()
    };
    for bad in ["", "/", "clips", "/clips/", "/a//b", "/{x}", "/a b", "/login", "/doors/x", "/-"] {
        let error = build(&|builder| builder.mount(bad, Router::new(), Access::Open));
        assert!(matches!(error, Error::Prefix { .. }), "{bad:?}: {error}");
    }
    let twice = build(&|builder| {
        builder.mount("/clips", Router::new(), Access::Open).mount("/clips", Router::new(), Access::Open)
    });
    assert!(twice.to_string().contains("mounted already"), "{twice}");
}
