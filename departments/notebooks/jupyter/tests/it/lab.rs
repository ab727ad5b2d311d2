//! JupyterLab's pages and settings, from a wheel that is as small as a test needs.

use std::path::Path;

use serde_json::{Value, json};

use crate::web::Site;

fn write(place: &Path, text: &str) {
    std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
    std::fs::write(place, text).expect("a file");
}

/// A site with a made-up JupyterLab.
fn site() -> (Site, tempfile::TempDir) {
    let data = tempfile::tempdir().expect("a folder");
    let at = |path: &str| data.path().join(path);
    write(
        &at("lab/static/index.html"),
        r#"<script defer src="{{page_config.fullStaticUrl}}/main.efd36b46f3b45eb8.js?v=1"></script>"#,
    );
    write(&at("lab/static/main.efd36b46f3b45eb8.js"), "run()");
    write(&at("lab/static/package.json"), r#"{"jupyterlab": {"version": "4.6.6"}}"#);
    write(&at("lab/themes/@jupyterlab/dark/index.css"), "a { b: url('c.svg') }");
    write(&at("lab/schemas/@jupyterlab/x-extension/package.json.orig"), r#"{"version": "4.6.6"}"#);
    write(
        &at("lab/schemas/@jupyterlab/x-extension/themes.json"),
        r#"{"type": "object", "additionalProperties": false, "properties": {"theme": {"type": "string", "default": "light"}}}"#,
    );
    write(
        &at("labextensions/@org/more/package.json"),
        r#"{"name": "@org/more", "version": "1", "jupyterlab": {"_build": {"load": "static/r.js", "extension": "./extension"}, "disabledExtensions": ["old"]}}"#,
    );
    write(&at("labextensions/@org/more/static/r.js"), "more()");
    let folder = data.path().to_owned();
    (Site::configured(|config| config.data = vec![folder]), data)
}

#[tokio::test]
async fn the_page_says_where_everything_is() {
    let (site, _data) = site();
    let page = site.ask("GET", "/lab/workspaces/w/tree/a%20b/%3Cscript%3E.ipynb", Value::Null).await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("frame-ancestors 'self'"));
    assert!(page.text.contains("src=\"/jupyter/static/lab/main.efd36b46f3b45eb8.js?v=1\""), "{}", page.text);
    let config = page.text.split("application/json\">").nth(1).unwrap().split("</script>").next().unwrap();
    let config: Value = serde_json::from_str(config).unwrap();
    let expected = json!({
        "baseUrl": "/jupyter/", "workspace": "w", "treePath": "a b/<script>.ipynb", "mode": "multiple-document",
        "fullSettingsUrl": "/jupyter/lab/api/settings", "appUrl": "/lab", "appVersion": "4.6.6", "disabledExtensions": ["@jupyterlab/apputils-extension:announcements", "old"],
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&config[key], value, "{key}");
    }
    let own = config["federated_extensions"].as_array().unwrap().last().unwrap();
    assert_eq!((&own["name"], &own["extension"]), (&json!("backlot-live"), &json!("./extension")));
    let place = format!("/lab/extensions/backlot-live/{}", own["load"].as_str().unwrap());
    let script = site.ask("GET", &place, Value::Null).await;
    assert_eq!(
        (script.status.as_u16(), &script.headers["content-type"]),
        (200, &"text/javascript".parse().unwrap())
    );
    assert!(script.text.contains("window._JUPYTERLAB['backlot-live']"));
    assert_eq!(config["federated_extensions"][0]["load"], "static/r.js");
    assert!(config.get("token").is_none(), "a token has no place in a page");
    let script = site.ask("GET", "/static/lab/main.efd36b46f3b45eb8.js", Value::Null).await;
    assert_eq!(
        (script.text.as_str(), &script.headers["content-type"]),
        ("run()", &"text/javascript".parse().unwrap())
    );
    assert!(script.headers["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(site.ask("GET", "/lab/extensions/@org/more/static/r.js", Value::Null).await.text, "more()");
    let css = site.ask("GET", "/lab/api/themes/@jupyterlab/dark/index.css", Value::Null).await.text;
    assert_eq!(css, "a { b: url('/jupyter/lab/api/themes/@jupyterlab/dark/c.svg') }");
    for path in ["/static/lab/..%2f..%2fsecret", "/lab/extensions/%2e%2e/x", "/static/lab/nothing.js"] {
        assert_eq!(site.ask("GET", path, Value::Null).await.status, 404, "{path}");
    }
    assert_eq!(site.ask("GET", "/", Value::Null).await.headers["location"], "/jupyter/lab");
}

#[tokio::test]
async fn settings_and_workspaces_are_kept() {
    let (site, _data) = site();
    let id = "/lab/api/settings/@jupyterlab/x-extension:themes";
    let ids = site.ask("GET", "/lab/api/settings?ids_only=true", Value::Null).await.json;
    assert_eq!(ids, json!({"settings": [{"id": "@jupyterlab/x-extension:themes"}]}));
    let raw = "// mine\n{\"theme\": \"dark\",}";
    assert_eq!(site.ask("PUT", id, json!({"raw": raw})).await.status, 204);
    let got = site.ask("GET", id, Value::Null).await.json;
    assert_eq!((got["raw"].as_str(), &got["settings"]), (Some(raw), &json!({"theme": "dark"})));
    assert_eq!(
        (got["version"].as_str(), &got["schema"]["properties"]["theme"]["default"]),
        (Some("4.6.6"), &json!("light"))
    );
    for raw in ["{", "{\"theme\": 1}", "{\"thme\": \"dark\"}"] {
        let refused = site.ask("PUT", id, json!({"raw": raw})).await;
        assert_eq!(refused.status, 400, "{raw}");
    }
    assert_eq!(site.ask("GET", id, Value::Null).await.json["raw"], raw);
    for unknown in ["/lab/api/settings/nope", "/lab/api/settings/@jupyterlab/x-extension:%2e%2e"] {
        assert_eq!(site.ask("GET", unknown, Value::Null).await.status, 404);
    }
    let workspace = json!({"data": {"a": 1}, "metadata": {"id": "auto-Q"}});
    assert_eq!(site.ask("PUT", "/lab/api/workspaces/auto-Q", workspace.clone()).await.status, 204);
    assert_eq!(site.ask("PUT", "/lab/api/workspaces/other", workspace).await.status, 400);
    let all = site.ask("GET", "/lab/api/workspaces", Value::Null).await.json;
    assert_eq!(
        (&all["workspaces"]["ids"], &all["workspaces"]["values"][0]["data"]),
        (&json!(["auto-Q"]), &json!({"a": 1}))
    );
    assert_eq!(site.ask("DELETE", "/lab/api/workspaces/auto-Q", Value::Null).await.status, 204);
    assert_eq!(site.ask("GET", "/lab/api/workspaces/auto-Q", Value::Null).await.json["data"], json!({}));
}

#[tokio::test]
async fn without_jupyterlab_the_page_says_how_to_install_it() {
    let site = Site::new();
    let page = site.ask("GET", "/lab", Value::Null).await;
    assert_eq!(page.status, 404);
    assert!(page.text.contains("pip install jupyterlab"));
}

#[tokio::test]
async fn events_reach_subscribers_and_the_activity_log() {
    let site = Site::new();
    let port = site.listen().await;
    let mut socket = crate::socket::Socket::open(port, "/jupyter/api/events/subscribe").await;
    site.ask("POST", "/api/contents", json!({"type": "file", "ext": ".txt"})).await;
    let event = crate::kernels::within(socket.next()).await;
    assert_eq!((&event["action"], &event["path"]), (&json!("create"), &json!("untitled.txt")));
    let schema = "https://events.jupyter.org/jupyter_server/contents_service/v1";
    let good = json!({"schema_id": schema, "version": "1", "data": {"action": "save", "path": "x"}});
    assert_eq!(site.ask("POST", "/api/events", good).await.status, 204);
    for bad in [
        json!({"schema_id": schema, "version": "1"}),
        json!({"schema_id": schema, "version": "2", "data": {"action": "save", "path": "x"}}),
        json!({"schema_id": schema, "version": "1", "data": {"action": "burn", "path": "x"}}),
        json!({"schema_id": "unknown", "version": "1", "data": {}}),
        json!({"schema_id": schema, "version": "1", "data": {"action": "save", "path": "x"}, "timestamp": "yesterday"}),
    ] {
        assert_eq!(site.ask("POST", "/api/events", bad).await.status, 400);
    }
    let log = std::fs::read_to_string(site.folder.path().join("state/activity.jsonl")).unwrap();
    let actions: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["data"]["action"].clone())
        .collect();
    assert_eq!(actions, [json!("create"), json!("save")]);
}
