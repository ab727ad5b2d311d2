//! A server in a folder of its own, and requests to it.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use backlot_jupyter::{Config, KernelSearch, Server};
use serde_json::Value;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "secret";

pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Arc<Server>,
    routes: Router,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Site {
    pub(crate) fn new() -> Site {
        Site::with_kernels(Vec::new())
    }

    /// A site that finds its kernels in these folders.
    pub(crate) fn with_kernels(kernels: Vec<PathBuf>) -> Site {
        Site::configured(|config| config.kernels = KernelSearch::new(kernels))
    }

    /// A site with settings of its own.
    pub(crate) fn configured(change: impl FnOnce(&mut Config)) -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("root")).expect("a root");
        let mut config = Config::new(folder.path().join("root"), folder.path().join("state"));
        config.kernels = KernelSearch::new(Vec::new());
        config.data = Vec::new();
        change(&mut config);
        let server = Server::open(config.base_url("jupyter").token(TOKEN)).expect("a server");
        let routes = server.router_at_base();
        Site { folder, server, routes }
    }

    /// Listens on a port of its own.
    pub(crate) async fn listen(&self) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let routes = self.routes.clone();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        port
    }

    /// Asks with the token.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(method, path, body, &[("authorization", "token secret")]).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/jupyter{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer =
            self.routes.clone().oneshot(request.body(body).expect("a request")).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, json, text }
    }
}
