//! The API of bookstore 2.5.1, on the house's own store.

use serde_json::{Value, json};

use crate::{Shop, notebook};

fn message(text: &str) -> Value {
    json!({ "message": text, "reason": null })
}

#[tokio::test]
async fn it_says_what_works() {
    let shop = Shop::new(|_, _| {});
    let features = json!({
        "bookstore_valid": true, "archive_valid": true, "publish_valid": true,
        "s3_clone_valid": true, "fs_clone_valid": false,
    });
    let about = json!({ "release": "2.5.1", "features": features });
    assert_eq!(shop.send("GET", "/api/bookstore", "").await, (200, about));
    assert_eq!(
        shop.send("POST", "/api/bookstore/fs-clone", "{}").await.0,
        404,
        "what is not set up is not there"
    );
    let closed = Shop::new(|settings, _| {
        settings.published_prefix.clear();
        settings.enable_s3_cloning = false;
    });
    assert_eq!(closed.send("PUT", "/api/bookstore/publish/a.ipynb", "{}").await.0, 404);
    assert_eq!(closed.send("POST", "/api/bookstore/clone", "{}").await.0, 404);
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_in_bookstores_words() {
    let shop = Shop::new(|_, _| {});
    let publish = "/api/bookstore/publish/a.ipynb";
    let missing =
        json!({ "type": "notebook", "content": { "cells": [], "nbformat": 4, "nbformat_minor": 4 } });
    let told = "Bookstore cannot publish invalid notebook. Validation errors are as follows: 'metadata' is a required property {\n \"cells\": [],\n \"nbformat\": 4,\n \"nbformat_minor\": 4\n}";
    for (path, body, status, text) in [
        ("/api/bookstore/publish", "{}", 400, "Must provide a path for publishing"),
        ("/api/bookstore/publish/", "{}", 400, "Must provide a path for publishing"),
        (publish, "", 400, "Bookstore cannot publish an empty model"),
        (publish, "{}", 400, "Bookstore cannot publish an empty model"),
        (publish, "{", 400, "Invalid JSON in body of request"),
        (publish, r#"{"type": "file"}"#, 415, "Bookstore only publishes notebooks"),
        (publish, r#"{"type": "notebook"}"#, 422, "Bookstore cannot publish empty contents"),
        (publish, &missing.to_string(), 422, told),
    ] {
        assert_eq!(shop.send("PUT", path, body.to_owned()).await, (status, message(text)), "{path} {body}");
    }
    let climbing = shop
        .send(
            "PUT",
            "/api/bookstore/publish/%2e%2e/x.ipynb",
            json!({ "type": "notebook", "content": serde_json::from_str::<Value>(&notebook("")).unwrap() })
                .to_string(),
        )
        .await;
    assert_eq!(climbing.0, 400, "{}", climbing.1);
}

#[tokio::test]
async fn what_is_published_is_cloned_at_its_version() {
    let shop = Shop::new(|_, _| {});
    let publish = |text: &str| {
        let content: Value = serde_json::from_str(&notebook(text)).unwrap();
        json!({ "type": "notebook", "content": content }).to_string()
    };
    for (number, text) in [(1, "one"), (2, "two")] {
        let answer = shop.send("PUT", "/api/bookstore/publish/team/a%20b.ipynb", publish(text)).await;
        let expected =
            json!({ "s3_path": "s3://backlot/published/team/a b.ipynb", "versionID": number.to_string() });
        assert_eq!(answer, (200, expected));
    }
    let clone = |version: Option<&str>| {
        json!({ "s3_bucket": "backlot", "s3_key": "published/team/a b.ipynb", "s3_version_id": version })
            .to_string()
    };
    let (status, model) = shop.send("POST", "/api/bookstore/clone", clone(None)).await;
    assert_eq!(status, 200, "{model}");
    assert_eq!(model["content"]["cells"][0]["source"], "two");
    for (name, expected) in [
        ("type", "notebook"),
        ("format", "json"),
        ("name", "a b.ipynb"),
        ("path", "a b.ipynb"),
        ("s3_path", "s3://backlot/published/team/a b.ipynb"),
        ("versionID", "2"),
    ] {
        assert_eq!(model[name], expected, "{name}");
    }
    let (_, model) = shop.send("POST", "/api/bookstore/clone/", clone(Some("1"))).await;
    assert_eq!(
        (&model["path"], &model["content"]["cells"][0]["source"]),
        (&json!("a b-1.ipynb"), &json!("one"))
    );
    // A clone is a save like others.
    let (version, bytes) = shop.bookstore.read("a b-1.ipynb", None).await.unwrap();
    assert_eq!(version.note, "cloned from s3://backlot/published/team/a b.ipynb");
    assert_eq!(bytes, std::fs::read(shop.file("a b-1.ipynb")).unwrap());
}

#[tokio::test]
async fn what_cannot_be_cloned_is_refused() {
    let shop = Shop::new(|settings, _| settings.s3_endpoint_url.clear());
    shop.send(
        "PUT",
        "/api/bookstore/publish/a.ipynb",
        format!(r#"{{"type": "notebook", "content": {}}}"#, notebook("x")),
    )
    .await;
    let gone = "An error occurred (NoSuchKey) when calling the GetObject operation: The specified key does not exist.";
    for (body, status, text) in [
        ("", 400, "Must have a bucket to clone from"),
        (r#"{"s3_bucket": "/", "s3_key": "k"}"#, 400, "Must have a bucket to clone from"),
        (r#"{"s3_bucket": "b"}"#, 400, "Must have a key to clone from"),
        (r#"{"s3_bucket": "backlot", "s3_key": "published/no.ipynb"}"#, 404, gone),
        (
            r#"{"s3_bucket": "backlot", "s3_key": "published/a.ipynb", "s3_version_id": "7"}"#,
            404,
            "An error occurred (NoSuchVersion) when calling the GetObject operation: The specified version does not exist.",
        ),
        (
            r#"{"s3_bucket": "backlot", "s3_key": "published/a.ipynb", "s3_version_id": "x"}"#,
            400,
            "An error occurred (InvalidArgument) when calling the GetObject operation: Invalid version id specified",
        ),
        (
            r#"{"s3_bucket": "backlot", "s3_key": "published/a.ipynb", "target_path": "../a.ipynb"}"#,
            404,
            "../a.ipynb is outside root contents directory",
        ),
    ] {
        assert_eq!(shop.send("POST", "/api/bookstore/clone", body).await, (status, message(text)), "{body}");
    }
}

#[tokio::test]
async fn files_are_cloned_from_below_their_folder_only() {
    let shop = Shop::new(|settings, folder| {
        let base = folder.join("base");
        std::fs::create_dir(&base).unwrap();
        std::fs::write(base.join("a.ipynb"), notebook("from a file")).unwrap();
        std::fs::write(base.join("v3.ipynb"), r#"{"nbformat": 3, "worksheets": []}"#).unwrap();
        std::fs::write(base.join("t.txt"), "text").unwrap();
        std::fs::write(folder.join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(folder.join("secret"), base.join("out")).unwrap();
        settings.fs_cloning_basedir = Some(base);
    });
    let clone = |path: &str| json!({ "relpath": path }).to_string();
    let (status, model) = shop.send("POST", "/api/bookstore/fs-clone", clone("a.ipynb")).await;
    assert_eq!((status, &model["path"], &model["type"]), (200, &json!("a.ipynb"), &json!("notebook")));
    assert!(model.get("s3_path").is_none());
    let (_, model) =
        shop.send("POST", "/api/bookstore/fs-clone", r#"{"relpath": "t.txt", "target_path": "u.txt"}"#).await;
    assert_eq!(
        model,
        json!({ "type": "file", "format": "text", "content": "text", "name": "u.txt", "path": "u.txt" })
    );
    let empty = "Request malformed, must provide a non-empty relative path.";
    assert_eq!(shop.send("POST", "/api/bookstore/fs-clone", clone("")).await, (400, message(empty)));
    for path in ["../../../../../../../../etc/passwd", "/etc/passwd"] {
        let told = message("/etc/passwd is outside root cloning directory.");
        assert_eq!(shop.send("POST", "/api/bookstore/fs-clone", clone(path)).await, (404, told), "{path}");
    }
    for (path, status) in [("out", 404), ("../secret", 404), ("v3.ipynb", 400), ("no.ipynb", 400), (".", 404)]
    {
        let (got, told) = shop.send("POST", "/api/bookstore/fs-clone", clone(path)).await;
        assert_eq!(got, status, "{path}: {told}");
        assert!(!told.to_string().contains("\"s\""), "{told}");
    }
}

#[tokio::test]
async fn the_page_asks_before_it_clones() {
    let shop = Shop::new(|_, _| {});
    shop.send(
        "PUT",
        "/api/bookstore/publish/a.ipynb",
        format!(r#"{{"type": "notebook", "content": {}}}"#, notebook("x")),
    )
    .await;
    let missing = shop.send("GET", "/bookstore/clone", "").await;
    assert_eq!(missing, (400, message("Missing argument s3_bucket")));
    let empty = shop.send("GET", "/bookstore/clone?s3_bucket=b&s3_key=", "").await;
    assert_eq!(empty, (400, message("Requires an S3 object key in order to clone")));
    let path = "/bookstore/clone?s3_bucket=backlot&s3_key=published/a.ipynb&s3_version_id=1";
    let (status, page) = shop.send_form("GET", path, "", "text/html").await;
    assert_eq!(status, 200);
    assert!(page.contains("'published/a.ipynb' version: 1 from the s3 bucket 'backlot'"), "{page}");
    let hostile = "/bookstore/clone?s3_bucket=b&s3_key=%3Cscript%3Ealert(1)%3C/script%3E";
    let (_, page) = shop.send_form("GET", hostile, "", "text/html").await;
    assert!(!page.contains("<script>alert"), "{page}");
    let form = "s3_bucket=backlot&s3_key=published%2Fa.ipynb&s3_version_id=1";
    let (status, page) =
        shop.send_form("POST", "/bookstore/clone", form, "application/x-www-form-urlencoded").await;
    assert!(status == 200 && page.contains("Cloned as") && shop.file("a.ipynb").exists(), "{status} {page}");
}
