//! The document says what the doors do.

use crate::support::Lot;

#[tokio::test]
async fn every_described_path_is_served() {
    let lot = Lot::open().await;
    let document = lot.get("/openapi.json").await.json();
    assert!(backlot_web::testing::openapi_verdict(&document).is_none_or(|verdict| verdict == Ok(())));
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let concrete = path.replace("{index}", "0").replace(['{', '}'], "");
            if path.ends_with("stream") && path.starts_with("/events") {
                continue; // Never ends; events.rs opens it.
            }
            let line = format!("{} {concrete}", method.to_uppercase());
            let answer = lot.server.send(&line, &[("authorization", &lot.bearer())], "").await;
            assert_ne!(answer.status, 405, "{line}");
            let is_served = answer.status != 404 || !answer.text().contains("nothing is served");
            assert!(is_served, "{line}: {}", answer.text());
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen}");
}
