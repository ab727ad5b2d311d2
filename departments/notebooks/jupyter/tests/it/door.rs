//! The server as a door of the house: who comes in, and as whom.

use backlot_department::{Config, Department, Door, House, shell_part};
use backlot_jupyter::{AfterSave, JupyterDoor};
use backlot_ledger::Ledger;
use backlot_store::Store;
use backlot_web::testing::Server;
use backlot_web::{Scopes, Shell, Tokens, WebConfig};
use serde_json::{Map, Value, json};

use crate::socket::Socket;

/// A department that is nothing but the door.
struct OnlyDoor(JupyterDoor);

#[async_trait::async_trait]
impl Department for OnlyDoor {
    fn name(&self) -> &'static str {
        "notebooks"
    }

    fn summary(&self) -> &'static str {
        "The door alone"
    }

    fn doors(&self, _house: &House) -> Vec<Door> {
        self.0.doors(axum::Router::new())
    }
}

struct Serving {
    home: tempfile::TempDir,
    server: Server,
    tokens: Tokens,
    admin: String,
}

async fn serving() -> Serving {
    let home = tempfile::tempdir().unwrap();
    let ledger = Ledger::open("sqlite::memory:").unwrap();
    let store = Store::open(&format!("file://{}/blobs", home.path().display())).unwrap();
    let house = House::open(home.path(), Config::default(), store, ledger, &[]).unwrap();
    let department = OnlyDoor(JupyterDoor::default());
    department.0.serve(&house, AfterSave::default()).await.unwrap();
    let tokens = Tokens::open(home.path()).unwrap();
    let admin = Tokens::admin_token(home.path()).unwrap().unwrap();
    let mut config = WebConfig::new(tokens.clone());
    config.bind.set_port(0);
    let shell = Shell::builder(config).department(shell_part(&department, &house)).build().unwrap();
    assert!(shell.doors().any(|door| door.name == "jupyter" && door.env.contains("/jupyter?token=")));
    let server = Server::start(shell).await.unwrap();
    Serving { home, server, tokens, admin }
}

#[tokio::test]
async fn the_houses_tokens_open_it_as_jupyters_clients_send_them() {
    let serving = serving().await;
    let server = &serving.server;
    let admin = &serving.admin;
    assert_eq!(server.get("/jupyter/api/contents", &[]).await.status, 401);
    let header = format!("token {admin}");
    assert_eq!(server.get("/jupyter/api/contents", &[("authorization", &header)]).await.status, 200);
    assert_eq!(server.get(&format!("/jupyter/api/contents?token={admin}"), &[]).await.status, 200);
    let reader = serving.tokens.create("reader", &Scopes::new(["runs:read"]).unwrap(), None).unwrap();
    let header = format!("token {reader}");
    assert_eq!(
        server.get("/jupyter/api/contents", &[("authorization", &header)]).await.code(),
        "scope_missing"
    );
    // A browser comes by the link, is signed in, and then has the console's session.
    let page = server.get(&format!("/jupyter/lab?token={admin}"), &[("accept", "text/html")]).await;
    let signed_in = server.get(page.header("location"), &[]).await;
    assert_eq!(signed_in.header("location"), "/jupyter/lab");
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    let with_cookie = [("cookie", cookie.as_str())];
    let listed = server.get("/jupyter/api/contents", &with_cookie).await;
    assert_eq!(listed.json()["type"], "directory");
    assert!(listed.header("content-security-policy").contains("report-uri /jupyter/api/security/csp-report"));
    // Another site's page has the cookie too, and may change nothing.
    let foreign = [("cookie", cookie.as_str()), ("origin", "http://evil.example")];
    assert_eq!(server.send("POST /jupyter/api/contents", &foreign, "{}").await.status, 403);
    let own = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(server.send("POST /jupyter/api/contents", &own, "{}").await.status, 201);
}

#[tokio::test]
async fn what_is_done_is_logged_with_the_name_of_the_token() {
    let serving = serving().await;
    let ann = serving.tokens.create("ann", &Scopes::new(["notebooks:write"]).unwrap(), None).unwrap();
    let port = serving.server.address().port();
    // Websockets cannot have headers in a browser: the token is in the address.
    let mut socket = Socket::open_as(port, &format!("/jupyter/api/events/subscribe?token={ann}"), "").await;
    let header = format!("Bearer {ann}");
    let body = json!({"type": "file", "format": "text", "content": "x"}).to_string();
    let fields = [("authorization", header.as_str()), ("content-type", "application/json")];
    assert_eq!(serving.server.send("PUT /jupyter/api/contents/a.txt", &fields, &body).await.status, 201);
    assert_eq!(crate::kernels::within(socket.next()).await["path"], "a.txt");
    assert_eq!(std::fs::read_to_string(serving.home.path().join("notebooks/a.txt")).unwrap(), "x");
    let log = std::fs::read_to_string(serving.home.path().join("jupyter/activity.jsonl")).unwrap();
    let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!((line["user"].as_str(), line["data"]["path"].as_str()), (Some("ann"), Some("a.txt")));
}

#[tokio::test]
async fn a_misspelt_setting_is_named() {
    let home = tempfile::tempdir().unwrap();
    let sections: Map<String, Value> =
        json!({"notebooks": {"jupyter": {"rot": "x"}}}).as_object().cloned().unwrap();
    let ledger = Ledger::open("sqlite::memory:").unwrap();
    let store = Store::open(&format!("file://{}/blobs", home.path().display())).unwrap();
    let house = House::open(home.path(), Config::new(sections), store, ledger, &[]).unwrap();
    let refused = backlot_jupyter::Settings::of(&house).unwrap_err().to_string();
    assert!(refused.contains("notebooks.jupyter") && refused.contains("rot"), "{refused}");
}
