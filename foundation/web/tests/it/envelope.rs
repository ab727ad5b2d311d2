//! What surrounds every answer: ids, errors, headers, methods, paths.

use crate::support::House;

#[tokio::test]
async fn a_request_id_is_kept_made_and_echoed() {
    let house = House::open().await;
    let answer = house.get("/odd/id", &[("x-request-id", "my-id.1_2")]).await;
    assert_eq!((answer.text().as_str(), answer.header("x-request-id")), ("my-id.1_2", "my-id.1_2"));
    let first = house.get("/odd/id", &[]).await;
    let second = house.get("/odd/id", &[("x-request-id", "a b")]).await;
    assert_eq!(first.text(), first.header("x-request-id"));
    assert_ne!(first.text(), second.text());
    let lost = house.get("/nowhere", &[("x-request-id", "lost")]).await;
    assert_eq!(lost.json()["error"]["request_id"], "lost");
}

#[tokio::test]
async fn a_panic_is_a_500_with_its_id_and_nothing_of_its_text() {
    let house = House::open().await;
    for _ in 0..3 {
        let answer = house.get("/odd/panic", &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "internal"));
        assert_eq!(answer.json()["error"]["request_id"], answer.header("x-request-id"));
        assert!(!answer.text().contains("secret"));
    }
    assert_eq!(house.get("/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn errors_are_json_for_programs_and_pages_for_people() {
    let house = House::open().await;
    let program = house.get("/nowhere", &[("accept", "*/*")]).await;
    assert_eq!((program.status, program.header("content-type")), (404, "application/json"));
    for key in ["code", "message", "mend", "request_id"] {
        assert!(program.json()["error"][key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    let person = house.get("/nowhere", &[("accept", "text/html,*/*;q=0.8"), ("x-request-id", "q7")]).await;
    assert_eq!((person.status, person.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(person.text().contains("q7") && person.text().contains("Not Found"), "{}", person.text());
}

#[tokio::test]
async fn malformed_input_has_the_houses_form_too() {
    let house = House::open().await;
    let json = ("content-type", "application/json");
    for (line, fields, body, status, code) in [
        ("POST /odd/json", vec![json], "{", 400, "bad_request"),
        ("POST /odd/json", vec![json], "[1]", 422, "invalid"),
        ("POST /odd/json", vec![], "{}", 415, "unsupported_media_type"),
        ("GET /odd/number/x", vec![], "", 400, "bad_request"),
        ("GET /odd/number/%FF", vec![], "", 400, "bad_request"),
        ("PUT /odd/json", vec![json], "{}", 405, "method_not_allowed"),
        ("GET /odd/nowhere", vec![], "", 404, "not_found"),
        ("POST /healthz", vec![], "", 405, "method_not_allowed"),
    ] {
        let answer = house.send(line, &fields, body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{line} {body}: {}",
            answer.text()
        );
        assert!(!answer.json()["error"]["message"].as_str().unwrap().contains('\n'));
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{line}");
        }
    }
    assert_eq!(house.send("POST /odd/json", &[json], "{\"a\": 1}").await.text(), "1");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let house = House::open().await;
    for path in ["/open", "/healthz", "/nowhere", "/odd/panic", "/login"] {
        let answer = house.get(path, &[]).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
    let refused = house.get("/open", &[("host", "evil.example")]).await;
    assert!(refused.header("content-security-policy").contains("default-src 'self'"));
}

#[tokio::test]
async fn head_and_options_behave() {
    let house = House::open().await;
    let head = house.send("HEAD /odd/big", &[], "").await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, "65536"));
    let lost = house.send("HEAD /nowhere", &[], "").await;
    assert_eq!((lost.status, lost.body.len()), (404, 0));
    let options = house.send("OPTIONS /odd/echo", &[("origin", "http://evil.example")], "").await;
    assert_eq!((options.status, options.header("access-control-allow-origin")), (405, ""));
    assert!(options.header("allow").contains("POST"));
    assert_eq!(house.send("TRACE /odd/big", &[], "").await.status, 405);
    assert_eq!(house.send("BREW /odd/big", &[], "").await.status, 405);
}

#[tokio::test]
async fn text_is_compressed_for_those_who_ask_and_streams_are_not() {
    let house = House::open().await;
    let packed = house.get("/odd/big", &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() < 4096, "{}", packed.body.len());
    assert!(packed.body.windows(2).any(|pair| pair == [0x1f, 0x8b]), "the gzip mark");
    assert_eq!(house.get("/odd/big", &[]).await.header("content-encoding"), "");
    assert_eq!(house.get("/healthz", &[("accept-encoding", "gzip")]).await.header("content-encoding"), "");
    // An error that a compressed answer turned into must be readable.
    let fields = [("accept-encoding", "gzip"), ("accept", "application/json")];
    assert_eq!(house.get("/odd/panic", &fields).await.code(), "internal");
}

#[tokio::test]
async fn hostile_paths_and_fields_do_no_harm() {
    let house = House::open().await;
    for path in [
        "/../../etc/passwd",
        "/open/../any",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/open/%00",
        "/%FF%FE",
        "//evil.example/",
        "/\\evil.example",
        "/open/;x=1",
        "/<script>alert(1)</script>",
    ] {
        let answer = house.get(path, &[("accept", "text/html")]).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        assert_eq!(answer.header("location"), "", "{path}");
        assert!(!answer.text().contains("<script>alert"), "{path}");
    }
    assert_eq!(house.get("/odd/id/?a=b", &[]).await.header("location"), "/odd/id?a=b");
    let long = "a".repeat(200_000);
    let status = house.get(&format!("/{long}"), &[]).await.status;
    assert!((400..500).contains(&status), "{status}");
    for bytes in [
        &b"nonsense\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nbad\x00name: x\r\n\r\n",
        b"POST /odd/echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /odd/echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /odd/echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n",
    ] {
        assert_eq!(house.raw(bytes).await.status, 400, "{:?}", String::from_utf8_lossy(bytes));
    }
    for authorization in ["Bearer", "Bearer ", "Basic eA==", "Bearer \u{e9}", "Bearer a b c"] {
        let answer = house.get("/any", &[("authorization", authorization)]).await;
        assert_eq!(answer.status, 401, "{authorization:?}");
    }
    let big = "x".repeat(8000);
    let many: Vec<(String, String)> = (0..200).map(|index| (format!("x-{index}"), big.clone())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(house.get("/healthz", &many).await.status, 431);
    assert_eq!(house.get("/healthz", &[]).await.status, 200);
}
