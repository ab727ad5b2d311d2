//! The shell: departments are added to a builder, checked once, and served.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use futures::FutureExt;
use futures::future::BoxFuture;
use maud::Markup;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};

use crate::console::{self, Assets};
use crate::door::DoorAddress;
use crate::envelope::{RequestIds, envelope};
use crate::gate::{Gate, gate};
use crate::requests::DoorMeters;
use crate::{
    Access, ApiError, Caller, Closing, Door, Error, Health, HealthCheck, Page, WebConfig, extract, openapi,
    random, serve,
};

/// Responses smaller than this are sent as they are: gzip's own overhead and the CPU outweigh the bytes saved.
const COMPRESS_ABOVE: u64 = 512;

/// Paths that the shell answers itself.
const RESERVED: [&str; 9] =
    ["/-", "/api", "/doors", "/favicon.ico", "/healthz", "/login", "/logout", "/openapi.json", "/readyz"];

/// A department, as the shell sees it.
#[derive(Clone, Debug)]
pub struct Department {
    /// Its name: `runs`.
    pub name: String,
    /// What it is for, in one line.
    pub summary: String,
    /// How it is.
    pub health: HealthCheck,
    /// Its ways in.
    pub doors: Vec<Door>,
    /// Its console pages; the first is where the overview leads.
    pub pages: Vec<Page>,
    /// Its cards on the overview.
    pub cards: Vec<OverviewCard>,
    /// Its part of the OpenAPI document, or `null`.
    pub openapi: Value,
}

impl Department {
    /// A department that has nothing yet.
    pub fn new(name: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            summary: summary.into(),
            health: HealthCheck::always_ready(),
            doors: Vec::new(),
            pages: Vec::new(),
            cards: Vec::new(),
            openapi: Value::Null,
        }
    }
}

/// A card that a department puts on the overview page.
#[derive(Clone)]
pub struct OverviewCard {
    pub(crate) title: String,
    pub(crate) scope: Option<&'static str>,
    pub(crate) render: Arc<dyn Fn() -> BoxFuture<'static, Markup> + Send + Sync>,
}

impl OverviewCard {
    /// A card whose body is rendered anew for each view; shown to callers with `scope`, where one is given. A body that takes
    /// longer than two seconds is left out.
    pub fn new<F, R>(title: impl Into<String>, scope: Option<&'static str>, render: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Markup> + Send + 'static,
    {
        Self { title: title.into(), scope, render: Arc::new(move || render().boxed()) }
    }
}

impl fmt::Debug for OverviewCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverviewCard").field("title", &self.title).finish_non_exhaustive()
    }
}

/// What every request may need to know about the house.
pub(crate) struct Shared {
    pub(crate) config: WebConfig,
    pub(crate) departments: Vec<Department>,
    pub(crate) openapi: Value,
    pub(crate) assets: Assets,
    pub(crate) request_ids: RequestIds,
    closing: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn closing(&self) -> Closing {
        Closing::new(self.closing.subscribe())
    }

    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// The health of each department that has a name.
    pub(crate) async fn health(&self) -> Vec<(&str, Health)> {
        let named = self.departments.iter().filter(|department| !department.name.is_empty());
        let asked =
            named.map(|department| async { (department.name.as_str(), department.health.ask().await) });
        futures::future::join_all(asked).await
    }
}

/// Collects what the shell will serve. See [`Shell::builder`].
#[derive(Debug)]
pub struct ShellBuilder {
    config: WebConfig,
    departments: Vec<Department>,
    /// What was added outside any department; shown without a name.
    loose: Department,
}

impl ShellBuilder {
    /// Adds a department with all it has.
    pub fn department(mut self, department: Department) -> Self {
        self.departments.push(department);
        self
    }

    /// Mounts routes under a prefix.
    pub fn mount(self, prefix: &str, router: Router, access: Access) -> Self {
        let name = prefix.trim_start_matches('/').to_owned();
        self.door(Door::http(name, prefix.to_owned(), router).access(access))
    }

    /// Adds a door.
    pub fn door(mut self, door: Door) -> Self {
        self.loose.doors.push(door);
        self
    }

    /// Adds a console page.
    pub fn page(mut self, page: Page) -> Self {
        self.loose.pages.push(page);
        self
    }

    /// Adds a card to the overview.
    pub fn card(mut self, card: OverviewCard) -> Self {
        self.loose.cards.push(card);
        self
    }

    /// Adds a department of nothing but an OpenAPI fragment.
    pub fn openapi_fragment(mut self, fragment: Value) -> Self {
        let mut department = Department::new("", "");
        department.openapi = fragment;
        self.departments.push(department);
        self
    }

    /// Checks everything and builds the shell.
    ///
    /// # Errors
    /// [`Error::OpenBind`] for a listener beyond loopback without authentication; a prefix that is malformed, reserved or
    /// taken; OpenAPI fragments that are malformed or contradict each other.
    pub fn build(mut self) -> Result<Shell, Error> {
        refuse_open_bind(&self.config, self.config.bind)?;
        self.departments.push(self.loose);
        let fragments: Vec<Value> = self
            .departments
            .iter()
            .map(|department| department.openapi.clone())
            .filter(|fragment| !fragment.is_null())
            .collect();
        let process = random::secret()?;
        let shared = Arc::new(Shared {
            openapi: openapi::document(&fragments)?,
            assets: Assets::new(),
            request_ids: RequestIds::new(&process[..8]),
            closing: watch::Sender::new(false),
            config: self.config,
            departments: self.departments,
        });
        let router = router(&shared)?;
        Ok(Shell { shared, router })
    }
}

/// The whole HTTP side of the house, ready to serve.
pub struct Shell {
    shared: Arc<Shared>,
    router: Router,
}

impl fmt::Debug for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Shell {
    /// Starts to collect what will be served.
    pub fn builder(config: WebConfig) -> ShellBuilder {
        ShellBuilder { config, departments: Vec::new(), loose: Department::new("", "") }
    }

    /// The merged OpenAPI document.
    pub fn openapi(&self) -> &Value {
        &self.shared.openapi
    }

    /// Every door of the house, for `backlot doors`.
    pub fn doors(&self) -> impl Iterator<Item = &Door> {
        self.shared.departments.iter().flat_map(|department| &department.doors)
    }

    /// Opens the configured address.
    ///
    /// # Errors
    /// [`Error::Bind`] when the address is taken, not ours or not allowed.
    pub async fn bind(&self) -> Result<TcpListener, Error> {
        let bind = self.shared.config.bind;
        TcpListener::bind(bind).await.map_err(|source| Error::Bind { bind, source })
    }

    /// Serves on `listener` until `shutdown` completes; then stops accepting, ends event streams, and gives the requests
    /// under way the configured time before it cuts them off.
    ///
    /// # Errors
    /// [`Error::OpenBind`] when the listener is reachable from beyond loopback and authentication is off;
    /// [`Error::Listener`] when it is broken.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let bound = listener.local_addr().map_err(|source| Error::Listener { source })?;
        refuse_open_bind(&self.shared.config, bound)?;
        serve::serve(Arc::clone(&self.shared), self.router.clone(), listener, shutdown).await
    }
}

fn refuse_open_bind(config: &WebConfig, bind: std::net::SocketAddr) -> Result<(), Error> {
    if bind.ip().is_loopback() || config.tokens.are_on() { Ok(()) } else { Err(Error::OpenBind { bind }) }
}

/// Everything under one router: the shell's own paths, each department's behind its gate, the envelope around all.
fn router(shared: &Arc<Shared>) -> Result<Router, Error> {
    let mut taken = BTreeSet::new();
    let gated =
        |name: &str, router: Router, access, token_in_query, body: Option<u64>, time: Option<Duration>| {
            let limits = shared.config.limits;
            let gate_state = Arc::new(Gate {
                shared: Arc::clone(shared),
                access,
                token_in_query,
                body_limit: body.unwrap_or(limits.body_bytes),
                time_limit: time.unwrap_or(limits.request),
                meters: shared.config.meters.as_ref().map(|meters| Arc::new(DoorMeters::new(meters, name))),
            });
            // The gate limits bodies; axum's own, lower limit would stand in the way of doors that allow more.
            router
                .method_not_allowed_fallback(method_not_allowed)
                .layer(axum::extract::DefaultBodyLimit::disable())
                .layer(axum::middleware::from_fn_with_state(gate_state, gate))
        };
    let pages = Router::new()
        .route("/", get(console::overview))
        .route("/doors", get(console::doors))
        .route("/api", get(console::api))
        .with_state(Arc::clone(shared));
    let document = Router::new().route("/openapi.json", get(openapi_document)).with_state(Arc::clone(shared));
    let mut house = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(console::login_routes())
        .merge(shared.assets.routes())
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(shared))
        .merge(gated("console", pages, Access::Authenticated, false, None, None))
        .merge(gated("openapi", document, Access::Open, false, None, None));
    for department in &shared.departments {
        for door in &department.doors {
            if let DoorAddress::Http { prefix, router: routes } = &door.address {
                claim(&mut taken, prefix)?;
                let guarded = gated(
                    &door.name,
                    routes.clone(),
                    door.access,
                    door.token_in_query,
                    door.body_limit,
                    door.time_limit,
                );
                house = house.nest(prefix, guarded);
            }
        }
        for page in &department.pages {
            claim(&mut taken, &page.path)?;
            let guarded = gated("console", page.router.clone(), page.access, false, None, None);
            house = house.nest(&page.path, guarded);
        }
    }
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESS_ABOVE).and(is_text));
    Ok(house
        .fallback(no_such_path)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(shared), envelope))
        .layer(compression))
}

/// Pages, JSON and drawings shrink to a fraction; event streams must not be held back, and media is packed already.
fn is_text(
    _status: StatusCode,
    _version: axum::http::Version,
    headers: &HeaderMap,
    _extensions: &axum::http::Extensions,
) -> bool {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let is_structured = essence.ends_with("+json") || essence.ends_with("+xml");
    is_structured
        || matches!(
            essence,
            "application/json" | "text/html" | "text/css" | "text/javascript" | "text/plain" | "text/csv"
        )
}

fn claim(taken: &mut BTreeSet<String>, prefix: &str) -> Result<(), Error> {
    let refuse = |reason| Err(Error::Prefix { prefix: prefix.to_owned(), reason });
    let plain = |segment: &str| {
        !segment.is_empty()
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    if !prefix.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain)) {
        return refuse(
            "write it as `/name` or `/name/more`: letters, digits, . _ -, and no slash at the end",
        );
    }
    let first_segment = prefix.split('/').nth(1).unwrap_or_default();
    if RESERVED.iter().any(|reserved| reserved[1..] == *first_segment) {
        return refuse("the shell answers there itself; choose another name");
    }
    if !taken.insert(prefix.to_owned()) {
        return refuse("it is mounted already; choose another name");
    }
    Ok(())
}

async fn healthz() -> Response {
    extract::Json(json!({ "status": "ok" })).into_response()
}

/// Ready while every department can work. Says which cannot, not why: anyone may ask, and reasons are for the console.
async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let word = |health: Health| match health {
        Health::Ready => "ready",
        Health::Degraded(_) => "degraded",
        Health::Down(_) => "down",
    };
    let departments: BTreeMap<&str, &str> =
        shared.health().await.into_iter().map(|(name, health)| (name, word(health))).collect();
    let is_closing = shared.closing().is_closing();
    let is_down = departments.values().any(|word| *word == "down");
    let (status, text) = match (is_closing, is_down) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "closing"),
        (false, true) => (StatusCode::SERVICE_UNAVAILABLE, "down"),
        (false, false) => (StatusCode::OK, "ready"),
    };
    (status, extract::Json(json!({ "status": text, "departments": departments }))).into_response()
}

async fn openapi_document(State(shared): State<Arc<Shared>>) -> Response {
    axum::Json(&shared.openapi).into_response()
}

async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("this path does not take {method}"),
        "use one of the methods in the Allow header",
    )
}

async fn no_such_path(request: Request) -> Response {
    let path = request.uri().path();
    // `/runs/` for `/runs`, as people type it. A second slash in front would make the location another host's.
    let trimmed = path.trim_end_matches('/');
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads && trimmed.len() < path.len() && trimmed.starts_with('/') && !trimmed.starts_with("//") {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        return Redirect::permanent(&format!("{trimmed}{query}")).into_response();
    }
    ApiError::not_found("nothing is served at this path", "see /api for the paths that are").into_response()
}

/// The caller of a page, if the gate has let one in.
pub(crate) fn caller_of(request: &axum::http::request::Parts) -> Option<&Caller> {
    request.extensions.get()
}
