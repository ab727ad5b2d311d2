//! Who may pass which door, and which requests are not meant for us at all.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::routing::get;
use backlot_web::{Access, Caller, Door, Error, Scopes, Shell, Tokens, WebConfig};
use jiff::Timestamp;

use crate::support::House;

#[tokio::test]
async fn the_matrix_of_callers_and_doors() {
    let house = House::open().await;
    let reader = house.tokens.create("reader", &Scopes::new(["clips:read"]).unwrap(), None).unwrap();
    let writer = house.tokens.create("writer", &Scopes::new(["clips:write"]).unwrap(), None).unwrap();
    let admin = house.admin.clone();
    let wrong = format!("{}0", &admin[..admin.len() - 1]);
    let wrong = if wrong == admin { format!("{}1", &admin[..admin.len() - 1]) } else { wrong };
    let cases: &[(&str, &str, &str, u16, &str)] = &[
        // caller, method, path, status, body or error code
        ("", "GET", "/open/whoami", 200, "loopback"),
        ("", "GET", "/any/whoami", 401, "unauthenticated"),
        ("", "GET", "/read/whoami", 401, "unauthenticated"),
        (&wrong, "GET", "/open/whoami", 200, "loopback"),
        (&wrong, "GET", "/any/whoami", 401, "token_unknown"),
        (&reader, "GET", "/open/whoami", 200, "reader"),
        (&reader, "GET", "/any/whoami", 200, "reader"),
        (&reader, "GET", "/read/whoami", 200, "reader"),
        (&reader, "GET", "/both", 200, "read"),
        (&reader, "POST", "/both", 403, "scope_missing"),
        (&writer, "GET", "/both", 403, "scope_missing"),
        (&writer, "POST", "/both", 200, "changed"),
        (&writer, "GET", "/read/whoami", 403, "scope_missing"),
        (&admin, "GET", "/read/whoami", 200, "admin"),
        (&admin, "POST", "/both", 200, "changed"),
        (&admin, "POST", "/any", 200, "changed"),
    ];
    for (caller, method, path, status, expected) in cases {
        let bearer = format!("Bearer {caller}");
        let fields: &[(&str, &str)] = if caller.is_empty() { &[] } else { &[("authorization", &bearer)] };
        let answer = house.send(&format!("{method} {path}"), fields, "").await;
        assert_eq!(answer.status, *status, "{method} {path} as {caller:?}: {}", answer.text());
        let found = if answer.status == 200 { answer.text() } else { answer.code() };
        assert_eq!(&found, expected, "{method} {path} as {caller:?}");
        if answer.status == 401 {
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
    }
}

#[tokio::test]
async fn an_expired_token_says_so_and_a_revoked_one_is_unknown() {
    let home = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(1_000_000));
    let clock = Arc::clone(&now);
    let clock = Arc::new(move || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap());
    let tokens = Tokens::open_with(home.path(), clock).unwrap();
    let house = House::open_with(|config| WebConfig { tokens, ..config }, |builder| builder).await;
    let scopes = Scopes::new(["clips:read"]).unwrap();
    let end = Timestamp::from_second(1_000_060).unwrap();
    let token = house.tokens.create("guest", &scopes, Some(end)).unwrap();
    assert_eq!(house.get_as(&token, "/read/whoami").await.status, 200);
    now.store(1_000_060, Ordering::SeqCst);
    assert_eq!(house.get_as(&token, "/read/whoami").await.code(), "token_expired");
    let past = house.tokens.create("late", &scopes, Some(end)).unwrap_err();
    assert!(past.to_string().contains("future"), "{past}");

    let token = house.tokens.create("other", &scopes, None).unwrap();
    let names: Vec<String> = house.tokens.list().unwrap().into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["guest", "other"]);
    assert!(house.tokens.revoke("other").unwrap());
    assert!(!house.tokens.revoke("other").unwrap());
    assert_eq!(house.get_as(&token, "/read/whoami").await.code(), "token_unknown");
}

#[tokio::test]
async fn tokens_that_another_process_makes_take_effect_at_once() {
    let house = House::open().await;
    let elsewhere = Tokens::open(house.home.path()).unwrap();
    let token = elsewhere.create("late", &Scopes::new(["clips:read"]).unwrap(), None).unwrap();
    assert_eq!(house.get_as(&token, "/read/whoami").await.status, 200);
    elsewhere.revoke("late").unwrap();
    assert_eq!(house.get_as(&token, "/read/whoami").await.status, 401);

    let replaced = "backlot_0123456789abcdef0123456789abcdef";
    std::fs::write(house.home.path().join("admin.token"), replaced).unwrap();
    assert_eq!(house.get_as(&house.admin, "/any").await.code(), "token_unknown");
    assert_eq!(house.get_as(replaced, "/any").await.status, 200);
}

#[tokio::test]
async fn only_hashes_are_kept_and_all_files_are_private() {
    let house = House::open().await;
    let token = house.tokens.create("reader", &Scopes::new(["clips:read"]).unwrap(), None).unwrap();
    let cookie = house.cookie().await;
    let session = cookie.split_once('=').unwrap().1;
    for file in ["admin.token", "tokens.json", "sessions.json"] {
        let path = house.home.path().join(file);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&token) && !text.contains(session), "{file}");
        assert_eq!(text.contains(&house.admin), file == "admin.token");
    }
    // The next start keeps the admin token.
    Tokens::open(house.home.path()).unwrap();
    assert_eq!(Tokens::admin_token(house.home.path()).unwrap().unwrap(), house.admin);
}

#[test]
fn damaged_or_exposed_files_stop_the_start_and_name_the_mend() {
    for (file, content, mode, word) in [
        ("admin.token", "short", 0o600, "damaged"),
        ("admin.token", "backlot_0123456789abcdef0123456789abcdef", 0o644, "chmod 600"),
        ("tokens.json", "{", 0o600, "damaged"),
        ("tokens.json", "[{\"name\": \"x\", \"hash\": \"zz\"}]", 0o600, "damaged"),
        ("sessions.json", "nonsense", 0o600, "damaged"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(file);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let message = Tokens::open(home.path()).unwrap_err().to_string();
        assert!(message.contains(word) && message.contains(file) && !message.contains('\n'), "{message}");
    }
}

#[tokio::test]
async fn the_console_signs_in_by_link_and_out_by_form() {
    let house = House::open().await;
    let page = [("accept", "text/html")];
    let asked = house.get("/doors?x=1", &page).await;
    assert_eq!((asked.status, asked.header("location")), (303, "/login?next=%2Fdoors%3Fx%3D1"));

    let answer = house.get(&format!("/login?token={}&next=/doors", house.admin), &page).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/doors"));
    let set = answer.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = set.split(';').next().unwrap().to_owned();
    assert_eq!(house.get("/doors", &[("cookie", &cookie)]).await.status, 200);
    assert_eq!(house.get("/any/whoami", &[("cookie", &cookie)]).await.text(), "admin");
    let tampered = format!("{}x", &cookie[..cookie.len() - 1]);
    assert_eq!(house.get("/any/whoami", &[("cookie", &tampered)]).await.status, 401);

    // A restart keeps the session.
    let again = Tokens::open(house.home.path()).unwrap();
    let port = house.address().port();
    let before = house;
    let house = House::open_with(
        |config| WebConfig { tokens: again, bind: ([127, 0, 0, 1], 0).into(), ..config },
        |builder| builder,
    )
    .await;
    let cookie = cookie.replace(&port.to_string(), &house.address().port().to_string());
    assert_ne!(before.address(), house.address());
    assert_eq!(house.get("/any/whoami", &[("cookie", &cookie)]).await.text(), "admin");

    let own = format!("http://127.0.0.1:{}", house.address().port());
    let out = house.send("POST /logout", &[("cookie", &cookie), ("origin", &own)], "").await;
    assert_eq!(out.status, 303);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(house.get("/any/whoami", &[("cookie", &cookie)]).await.status, 401);
}

#[tokio::test]
async fn signing_in_by_form_needs_our_own_page_and_goes_nowhere_else() {
    let house = House::open().await;
    let own = format!("http://127.0.0.1:{}", house.address().port());
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = format!("token={}&next=//evil.example/", house.admin);
    let answer = house.send("POST /login", &[form, ("origin", &own)], &body).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/"));
    let foreign = house.send("POST /login", &[form, ("origin", "http://evil.example")], &body).await;
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "cross_origin"));
    let wrong = house.send("POST /login", &[form, ("origin", &own)], "token=nonsense").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text().contains("not known"), "{}", wrong.text());
    assert_eq!(wrong.header("set-cookie"), "");
}

#[tokio::test]
async fn other_origins_change_nothing() {
    let house = House::open().await;
    let cookie = house.cookie().await;
    let port = house.address().port();
    let own = format!("http://127.0.0.1:{port}");
    let neighbour = format!("http://127.0.0.1:{}", port ^ 1);
    let with_cookie = |fields: &[(&'static str, &str)]| {
        let mut all: Vec<(&str, String)> = vec![("cookie", cookie.clone())];
        all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        all
    };
    let cases = [
        (with_cookie(&[("origin", &own)]), 200),
        (with_cookie(&[("sec-fetch-site", "same-origin")]), 200),
        (with_cookie(&[]), 403),
        (with_cookie(&[("origin", "null")]), 403),
        (with_cookie(&[("origin", &neighbour), ("sec-fetch-site", "same-site")]), 403),
        (with_cookie(&[("sec-fetch-site", "same-site")]), 403),
        (with_cookie(&[("sec-fetch-site", "cross-site")]), 403),
        (with_cookie(&[("origin", "http://evil.example")]), 403),
    ];
    for (fields, status) in cases {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = house.send("POST /any", &fields, "").await;
        assert_eq!(answer.status, status, "{fields:?}: {}", answer.text());
        // Reading is not changing.
        assert_eq!(house.get("/any", &fields).await.status, 200);
    }
    // An open door needs no cookie, so the browser's word is all there is.
    assert_eq!(house.send("POST /open", &[], "").await.status, 200);
    assert_eq!(house.send("POST /open", &[("origin", "http://evil.example")], "").await.status, 403);
    assert_eq!(house.send("POST /open", &[("sec-fetch-site", "cross-site")], "").await.status, 403);
    let handshake = [("upgrade", "websocket"), ("connection", "upgrade"), ("origin", "http://evil.example")];
    assert_eq!(house.get("/open", &handshake).await.status, 403);
    // No browser adds a bearer token by itself.
    let bearer = format!("Bearer {}", house.admin);
    let fields = [("authorization", bearer.as_str()), ("origin", "http://evil.example")];
    assert_eq!(house.send("POST /any", &fields, "").await.status, 200);
}

#[tokio::test]
async fn a_loopback_listener_answers_to_loopback_names_only() {
    let house = House::open_with(
        |config| WebConfig { hosts: vec!["lot.example".to_owned()], ..config },
        |builder| builder,
    )
    .await;
    for (host, status) in [
        ("127.0.0.1", 200),
        ("localhost:7700", 200),
        ("LOCALHOST", 200),
        ("[::1]:7700", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:7700", 421),
        ("10.0.0.1", 421),
        ("", 400),
        ("user@localhost", 400),
        ("local host", 400),
    ] {
        assert_eq!(house.get("/healthz", &[("host", host)]).await.status, status, "{host:?}");
    }
    assert_eq!(house.get("/healthz", &[("host", "localhost"), ("host", "evil.example")]).await.status, 400);
    assert_eq!(house.raw(b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n").await.status, 400);
    assert_eq!(house.raw(b"GET /healthz HTTP/1.0\r\n\r\n").await.status, 200);
    let absolute =
        b"GET http://evil.example/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(house.raw(absolute).await.status, 421);

    // A public name, or a proxy in between, means that the caller may be anywhere.
    assert_eq!(house.get("/open", &[("host", "lot.example")]).await.status, 401);
    assert_eq!(house.get("/open", &[("x-forwarded-for", "10.0.0.1")]).await.status, 401);
    assert_eq!(house.get("/open", &[("forwarded", "for=10.0.0.1")]).await.status, 401);
    assert_eq!(house.get("/open", &[("host", "localhost")]).await.status, 200);
}

#[tokio::test]
async fn beyond_loopback_nothing_is_open() {
    let everywhere = |config| WebConfig { bind: ([0, 0, 0, 0], 0).into(), ..config };
    let house = House::open_with(everywhere, |builder| builder).await;
    assert_eq!(house.get("/open/whoami", &[]).await.status, 401);
    assert_eq!(house.get_as(&house.admin, "/open/whoami").await.text(), "admin");
    assert_eq!(house.get("/openapi.json", &[]).await.status, 401);
    assert_eq!(house.get("/healthz", &[("host", "any.example")]).await.status, 200);
}

#[tokio::test]
async fn without_authentication_only_loopback_is_served() {
    let mut config = WebConfig::new(Tokens::off());
    config.bind = ([0, 0, 0, 0], 0).into();
    let refused = Shell::builder(config.clone()).build().unwrap_err();
    assert!(matches!(refused, Error::OpenBind { .. }));
    assert!(refused.to_string().contains("turn tokens on"), "{refused}");

    // A listener that was made elsewhere is looked at too.
    config.bind = ([127, 0, 0, 1], 0).into();
    let shell = Shell::builder(config).build().unwrap();
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = shell.serve(listener, std::future::pending()).await.unwrap_err();
    assert!(matches!(refused, Error::OpenBind { .. }));

    let house =
        House::open_with(|config| WebConfig { tokens: Tokens::off(), ..config }, |builder| builder).await;
    assert_eq!(house.get("/read/whoami", &[]).await.text(), "loopback");
    assert_eq!(house.get("/doors", &[]).await.status, 200);
    assert_eq!(house.send("POST /any", &[("origin", "http://evil.example")], "").await.status, 403);
}

#[tokio::test]
async fn names_and_counts_of_tokens_are_bounded() {
    let house = House::open().await;
    let scopes = Scopes::new(["clips:read"]).unwrap();
    house.tokens.create("a", &scopes, None).unwrap();
    for bad in ["a", "", "admin", "loopback", "a b", "é", &"x".repeat(65)] {
        let message = house.tokens.create(bad, &scopes, None).unwrap_err().to_string();
        assert!(message.contains(&format!("{bad:?}")), "{message}");
    }
    // Far more logins than sessions are kept; the newest still holds.
    for _ in 0..260 {
        house.cookie().await;
    }
    let newest = house.cookie().await;
    assert_eq!(house.get("/any", &[("cookie", &newest)]).await.status, 200);
    let kept = std::fs::read_to_string(house.home.path().join("sessions.json")).unwrap();
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&kept).unwrap().len(), 256);
}

#[tokio::test]
async fn a_token_in_the_query_opens_only_doors_that_take_it() {
    let house = House::open_with(
        |config| config,
        |builder| {
            let whoami = get(async |caller: Caller| caller.name().to_owned());
            let door = Door::http("queried", "/queried", Router::new().route("/whoami", whoami));
            builder.door(door.access(Access::Authenticated).token_in_query())
        },
    )
    .await;
    let admin = house.admin.clone();
    assert_eq!(house.get(&format!("/queried/whoami?token={admin}"), &[]).await.text(), "admin");
    assert_eq!(house.get("/queried/whoami?token=wrong", &[]).await.code(), "token_unknown");
    assert_eq!(house.get("/queried/whoami?token=", &[]).await.code(), "unauthenticated");
    assert_eq!(house.get(&format!("/any/whoami?token={admin}"), &[]).await.code(), "unauthenticated");
    // A browser's page is sent on without the token, which its history would keep.
    let page = house.get(&format!("/queried/whoami?a=1&token={admin}&b=2"), &[("accept", "text/html")]).await;
    assert_eq!(page.status, 303);
    let login = page.header("location").to_owned();
    let signed_in = house.get(&login, &[]).await;
    assert_eq!(signed_in.header("location"), "/queried/whoami?a=1&b=2");
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!(house.get("/queried/whoami", &[("cookie", &cookie)]).await.text(), "admin");
}
