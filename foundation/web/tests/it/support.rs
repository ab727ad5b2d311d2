//! A shell with every kind of door on a port of its own.

use std::collections::BTreeMap;

use axum::Router;
use axum::routing::{get, post};
use backlot_web::testing::{Answer, DEADLINE, Server, in_time};
use backlot_web::{
    Access, Caller, Closing, Door, Limits, RequestId, Shell, ShellBuilder, Tokens, WebConfig, extract, sse,
};
use futures::StreamExt;
use tokio::sync::watch;

/// A running shell with doors of every kind. Its server's methods are its own.
pub(crate) struct House {
    pub(crate) tokens: Tokens,
    pub(crate) admin: String,
    pub(crate) streams: watch::Receiver<usize>,
    pub(crate) home: tempfile::TempDir,
    pub(crate) server: Server,
}

impl std::ops::Deref for House {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with(|config| config, |builder| builder).await
    }

    pub(crate) async fn open_limited(limits: Limits) -> Self {
        Self::open_with(|config| WebConfig { limits, ..config }, |builder| builder).await
    }

    pub(crate) async fn open_with(
        configure: impl FnOnce(WebConfig) -> WebConfig,
        extend: impl FnOnce(ShellBuilder) -> ShellBuilder,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(home.path()).unwrap();
        let admin = Tokens::admin_token(home.path()).unwrap().unwrap();
        let mut config = WebConfig::new(tokens);
        config.bind.set_port(0);
        let config = configure(config);
        let tokens = config.tokens.clone();
        let (count, streams) = watch::channel(0);
        let shell = extend(doors(Shell::builder(config), count)).build().unwrap();
        let server = Server::start(shell).await.unwrap();
        Self { tokens, admin, streams, home, server }
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.get(path, &[("authorization", &format!("Bearer {token}"))]).await
    }

    pub(crate) async fn wait_for_streams(&self, count: usize) {
        let mut streams = self.streams.clone();
        in_time("streams", streams.wait_for(|open| *open == count)).await.unwrap();
    }

    /// Signs in by link and returns the cookie as a browser would send it.
    pub(crate) async fn cookie(&self) -> String {
        let answer = self.get(&format!("/login?token={}", self.admin), &[]).await;
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

/// Counts itself while it lives.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|open| *open += 1);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

fn doors(builder: ShellBuilder, count: watch::Sender<usize>) -> ShellBuilder {
    let whoami = || get(|caller: Caller| async move { caller.name().to_owned() });
    let quiet_count = count.clone();
    let odd = Router::new()
        .route("/panic", get(async || -> String { panic!("the odd door's secret") }))
        .route("/id", get(|id: RequestId| async move { id.to_string() }))
        .route("/never", get(async || std::future::pending::<String>().await))
        .route("/echo", post(|body: extract::Bytes| async move { body.0 }))
        .route("/count", post(|body: extract::Bytes| async move { body.0.len().to_string() }))
        .route(
            "/json",
            post(|body: extract::Json<BTreeMap<String, u32>>| async move { body.0.len().to_string() }),
        )
        .route("/number/{number}", get(|number: extract::Path<u32>| async move { number.0.to_string() }))
        .route("/big", get(async || "0123456789abcdef".repeat(4096)))
        .route(
            "/quiet",
            get(async move |closing: Closing| stream_of_nothing(closing, Counted::new(&quiet_count))),
        )
        .route("/flood", get(async move |closing: Closing| stream_of_much(closing, Counted::new(&count))));
    let changing = || get(async || "read").post(async || "changed");
    builder
        .mount("/open", Router::new().route("/", changing()).route("/whoami", whoami()), Access::Open)
        .mount("/any", Router::new().route("/", changing()).route("/whoami", whoami()), Access::Authenticated)
        .mount("/read", Router::new().route("/whoami", whoami()), Access::Scope("clips:read"))
        .mount(
            "/both",
            Router::new().route("/", changing()),
            Access::ReadWrite { read: "clips:read", write: "clips:write" },
        )
        .mount("/odd", odd.clone(), Access::Open)
        .door(Door::http("large", "/large", odd).body_limit(64 * 1024 * 1024).time_limit(DEADLINE))
}

fn stream_of_nothing(closing: Closing, counted: Counted) -> axum::response::Response {
    let first = futures::stream::once(async { sse::Message::new("hello").event("line").id(1) });
    sse::respond(
        closing,
        first.chain(futures::stream::pending()).map(move |message| {
            let _alive = &counted;
            message
        }),
    )
}

fn stream_of_much(closing: Closing, counted: Counted) -> axum::response::Response {
    let line = "x".repeat(64 * 1024);
    sse::respond(
        closing,
        futures::stream::repeat_with(move || {
            let _alive = &counted;
            sse::Message::new(line.clone())
        }),
    )
}
