//! Files through the contents API, and who may ask for them.

use serde_json::{Value, json};

use crate::web::Site;

#[tokio::test]
async fn a_notebook_is_made_saved_kept_and_brought_back() {
    let site = Site::new();
    let made = site.ask("POST", "/api/contents", json!({"type": "notebook"})).await;
    assert_eq!((made.status.as_u16(), made.json["path"].as_str()), (201, Some("Untitled.ipynb")));
    assert_eq!(made.headers["location"], "/jupyter/api/contents/Untitled.ipynb");
    let cell = json!({"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# å\nb"});
    let notebook = json!({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
    let body = json!({"type": "notebook", "content": notebook});
    assert_eq!(site.ask("PUT", "/api/contents/Untitled.ipynb", body).await.status, 200);
    let got = site.ask("GET", "/api/contents/Untitled.ipynb?hash=1", Value::Null).await.json;
    assert_eq!(got["content"]["cells"][0]["source"], "# å\nb");
    assert_eq!((got["hash_algorithm"].as_str(), got["format"].as_str()), (Some("sha256"), Some("json")));
    let text = std::fs::read_to_string(site.server.root().join("Untitled.ipynb")).unwrap();
    assert!(text.ends_with("}\n") && text.contains("    \"# å\\n\",\n"), "{text}");
    // The checkpoint is from the first save.
    let back = site.ask("POST", "/api/contents/Untitled.ipynb/checkpoints/checkpoint", Value::Null).await;
    assert_eq!(back.status, 204);
    let got = site.ask("GET", "/api/contents/Untitled.ipynb", Value::Null).await.json;
    assert_eq!(got["content"]["cells"], json!([]));
}

#[tokio::test]
async fn a_file_comes_in_chunks() {
    let site = Site::new();
    for (chunk, text) in [(1, "ab"), (2, "cd"), (-1, "e")] {
        let body = json!({"type": "file", "format": "text", "content": text, "chunk": chunk});
        assert!(site.ask("PUT", "/api/contents/big.txt", body).await.status.is_success());
    }
    assert_eq!(std::fs::read_to_string(site.server.root().join("big.txt")).unwrap(), "abcde");
}

#[tokio::test]
async fn nothing_outside_the_root_is_read_or_written() {
    let site = Site::new();
    std::fs::write(site.folder.path().join("secret.txt"), "x").unwrap();
    std::os::unix::fs::symlink(site.folder.path(), site.server.root().join("up")).unwrap();
    let file = json!({"type": "file", "format": "text", "content": "y"});
    for path in [
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "a/%2e%2e/%2e%2e/secret.txt",
        "up/secret.txt",
        "secret.txt%00",
    ] {
        let read = site.ask("GET", &format!("/api/contents/{path}"), Value::Null).await;
        assert_eq!(read.status, 404, "{path}");
        let written = site.ask("PUT", &format!("/api/contents/{path}"), file.clone()).await;
        assert!(written.status.is_client_error(), "{path} {}", written.status);
        let sent = site.ask("GET", &format!("/files/{path}"), Value::Null).await;
        assert!(sent.status.is_client_error(), "{path} {}", sent.status);
    }
    assert_eq!(std::fs::read_to_string(site.folder.path().join("secret.txt")).unwrap(), "x");
    let listed = site.ask("GET", "/api/contents", Value::Null).await.json;
    assert_eq!(listed["content"], json!([]));
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing() {
    let site = Site::new();
    assert_eq!(site.send("GET", "/api/contents", Value::Null, &[]).await.status, 403);
    assert_eq!(
        site.send("GET", "/api/contents", Value::Null, &[("authorization", "token wrong")]).await.status,
        403
    );
    let let_in = site.send("GET", "/files/x?token=secret", Value::Null, &[]).await;
    let cookies: Vec<String> = let_in
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap().to_owned())
        .collect();
    let pairs: Vec<&str> = cookies.iter().map(|cookie| cookie.split(';').next().unwrap()).collect();
    let cookie = pairs.join("; ");
    let xsrf = pairs.iter().find_map(|pair| pair.strip_prefix("_xsrf=")).unwrap();
    let with_cookie = [("cookie", cookie.as_str())];
    assert_eq!(site.send("GET", "/api/contents", Value::Null, &with_cookie).await.status, 200);
    assert_eq!(site.send("POST", "/api/contents", json!({}), &with_cookie).await.status, 403);
    let with_both = [("cookie", cookie.as_str()), ("x-xsrftoken", xsrf)];
    assert_eq!(site.send("POST", "/api/contents", json!({}), &with_both).await.status, 201);
    let from_elsewhere = [
        ("cookie", cookie.as_str()),
        ("x-xsrftoken", xsrf),
        ("origin", "http://evil.example"),
        ("host", "h"),
    ];
    assert_eq!(site.send("POST", "/api/contents", json!({}), &from_elsewhere).await.status, 403);
}

#[tokio::test]
async fn a_hostile_notebook_is_named_and_saved() {
    let site = Site::new();
    let root = site.server.root();
    std::fs::write(root.join("nan.ipynb"), r#"{"cells": [], "metadata": {"x": NaN, "y": 1000000000000000000000}, "nbformat": 4, "nbformat_minor": 4}"#).unwrap();
    std::fs::write(root.join("bad.ipynb"), "garbage").unwrap();
    std::fs::write(root.join("deep.ipynb"), "[".repeat(100_000)).unwrap();
    assert_eq!(site.ask("GET", "/api/contents/nan.ipynb", Value::Null).await.status, 200);
    assert_eq!(site.ask("GET", "/api/contents/bad.ipynb", Value::Null).await.status, 400);
    assert_eq!(site.ask("GET", "/api/contents/deep.ipynb", Value::Null).await.status, 400);
    let cells = json!({"cells": [{"cell_type": "wrong", "metadata": {}}], "metadata": {}, "nbformat": 4, "nbformat_minor": 4});
    let saved =
        site.ask("PUT", "/api/contents/wrong.ipynb", json!({"type": "notebook", "content": cells})).await;
    assert_eq!(saved.status, 201);
    assert!(saved.json["message"].as_str().unwrap().contains("validation failed"));
}
