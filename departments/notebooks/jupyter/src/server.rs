//! The server: what it is set to, what it holds, and its routes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use backlot_notebooks_kernels::{KernelSearch, data_folders};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::capture::Capture;
use crate::contents::place::{Hidden, Root};
use crate::contents::{AfterSave, Contents, routes};
use crate::deploy::Deployments;
use crate::events::Events;
use crate::kernel::Kernels;
use crate::kernel::culling::Culling;
use crate::sessions::Sessions;
use crate::terminals::Terminals;
use crate::{api, channels, events, guard, kernel, lab, nbconvert, sessions, specs, terminals, web};

/// The largest body that is taken, as in jupyter_server: a notebook with its outputs in one request.
const MAX_BODY: usize = 512 << 20;

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder whose files are served.
    pub root: PathBuf,
    /// The folder for what the server keeps: trust, settings, workspaces.
    pub state: PathBuf,
    /// The URL path under which clients see the routes, with a slash at both ends.
    pub base_url: String,
    /// What clients must show; none lets in whoever reaches the port, so only behind another guard.
    pub token: Option<String>,
    /// The name that clients see as theirs.
    pub user: String,
    /// Another origin whose pages may use us, or `*`.
    pub allow_origin: Option<String>,
    /// What becomes of hidden files.
    pub hidden: Hidden,
    /// Where kernels are looked for.
    pub kernels: KernelSearch,
    /// When kernels that do nothing are ended.
    pub culling: Culling,
    /// What kernels may take.
    pub limits: KernelLimits,
    /// Jupyter's data folders, where JupyterLab and its extensions are looked for.
    pub data: Vec<PathBuf>,
    /// Whether clients may start terminals.
    pub terminals: bool,
    /// The shell of terminals: a program and its arguments.
    pub shell: Vec<String>,
    /// Terminals in which nothing happens for this long are ended.
    pub cull_terminals_after: Option<Duration>,
    /// The kernelspecs that are deployed to this server, beside those that are installed.
    pub deployments: Option<Deployments>,
    /// Who is told of notebooks that clients save.
    pub after_save: AfterSave,
    /// How clients that are gone without a word are found.
    pub pings: Pings,
    /// Whether a client may end the server.
    pub may_shut_down: bool,
}

/// When a websocket's client is asked whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pings {
    /// How often.
    pub every: Duration,
    /// How long its answer may take; then it is gone.
    pub patience: Duration,
}

impl Default for Pings {
    /// As jupyter_server's.
    fn default() -> Pings {
        Pings { every: Duration::from_secs(30), patience: Duration::from_secs(90) }
    }
}

/// What kernels may take of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelLimits {
    /// The most kernels that run at once.
    pub count: usize,
    /// The most bytes of address space of each (`RLIMIT_AS`); as the machine allows if it is not given.
    pub memory: Option<u64>,
    /// The most open files of each.
    pub open_files: Option<u64>,
}

impl Default for KernelLimits {
    /// 200 kernels, as each is a process of a hundred megabytes; otherwise no limits beyond the machine's.
    fn default() -> KernelLimits {
        KernelLimits { count: 200, memory: None, open_files: None }
    }
}

impl Config {
    /// A server of this root and state, without a token, at `/`.
    pub fn new(root: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Config {
        Config {
            root: root.into(),
            state: state.into(),
            base_url: "/".to_owned(),
            token: None,
            user: std::env::var("USER").unwrap_or_else(|_| "backlot".to_owned()),
            allow_origin: None,
            hidden: Hidden::default(),
            kernels: KernelSearch::from_env(),
            culling: Culling::default(),
            limits: KernelLimits::default(),
            data: data_folders(&|name| std::env::var_os(name)),
            terminals: true,
            shell: terminals::default_shell(),
            cull_terminals_after: None,
            deployments: None,
            after_save: AfterSave::default(),
            pings: Pings::default(),
            may_shut_down: false,
        }
    }

    /// The same under another URL path; the slashes at its ends are added.
    #[must_use]
    pub fn base_url(mut self, path: &str) -> Config {
        let path = path.trim_matches('/');
        self.base_url = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
        self
    }

    /// The same, but clients must show this token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Config {
        self.token = Some(token.into());
        self
    }
}

/// Why a server does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The root cannot be served.
    #[error("the folder {root} cannot be served: {why}; name one that is there", root = .root.display())]
    Root {
        /// The folder.
        root: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// The state cannot be kept.
    #[error("nothing can be kept in {folder}: {why}; name a folder that can be written", folder = .folder.display())]
    State {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
}

/// A Jupyter server. It listens nowhere by itself: [`Server::router`] is mounted where it is wanted.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) contents: Arc<Contents>,
    pub(crate) capture: Arc<Capture>,
    pub(crate) kernels: Arc<Kernels>,
    pub(crate) sessions: Sessions,
    pub(crate) events: Events,
    pub(crate) terminals: Arc<Terminals>,
    pub(crate) shutdown: Notify,
    started: String,
}

impl Server {
    /// Opens a server.
    ///
    /// # Errors
    /// A root or state that cannot be used.
    pub fn open(config: Config) -> Result<Arc<Server>, OpenError> {
        let at_root = |why| OpenError::Root { root: config.root.clone(), why };
        let root = Root::new(&config.root, config.hidden).map_err(at_root)?;
        let at_state = |why| OpenError::State { folder: config.state.clone(), why };
        let contents = Contents::open(root, &config.state, config.after_save.clone()).map_err(at_state)?;
        let events = Events::open(&config.state).map_err(at_state)?;
        let contents = Arc::new(contents);
        let capture = Arc::new(Capture::new(contents.clone()));
        let kernels = Arc::new(Kernels::new(
            config.kernels.clone(),
            capture.clone(),
            config.culling,
            config.limits,
            config.deployments.clone(),
        ));
        Ok(Arc::new(Server {
            contents,
            capture,
            kernels,
            sessions: Sessions::default(),
            events,
            terminals: Arc::default(),
            shutdown: Notify::new(),
            started: web::now(),
            config,
        }))
    }

    /// Waits until a client has asked the server to end (`/api/shutdown`), where it may.
    pub async fn asked_to_end(&self) {
        self.shutdown.notified().await;
    }

    /// Ends all kernels and terminals; what they have put out is saved.
    pub async fn end_all(&self) {
        let kernels = self.kernels.all();
        let ends = kernels.iter().map(|kernel| self.kernels.shut_down(&kernel.id));
        for ended in futures::future::join_all(ends).await {
            if let Err(error) = ended {
                tracing::debug!(%error, "a kernel had ended");
            }
        }
        self.terminals.end_all().await;
    }

    /// Where JupyterLab's settings and workspaces are kept.
    pub(crate) fn lab_folder(&self) -> PathBuf {
        self.config.state.join("lab")
    }

    /// The folder that is served.
    pub fn root(&self) -> &Path {
        self.contents.root.folder()
    }

    /// The routes, without the base URL: to be nested under it.
    pub fn router(self: &Arc<Server>) -> Router {
        Router::new()
            .route("/api", get(api::version))
            .route("/api/", get(api::version))
            .route("/api/spec.yaml", get(api::spec))
            .route("/api/status", get(api::status))
            .route("/api/me", get(api::me).patch(api::me))
            .route("/api/resolvePath", get(api::resolve_path))
            .route("/api/config/{section}", get(api::config).put(api::config).patch(api::config))
            .route("/api/security/csp-report", post(api::csp_report))
            .route("/api/contents", any(routes::contents))
            .route("/api/contents/", any(routes::contents))
            .route("/api/contents/{*path}", any(routes::contents))
            .route("/api/notebooks", any(routes::notebooks))
            .route("/api/notebooks/{*path}", any(routes::notebooks))
            .route("/api/kernelspecs", get(specs::list))
            .route("/api/kernelspecs/{name}", get(specs::one))
            .route("/kernelspecs/{name}/{*file}", get(specs::resource))
            .route("/api/kernels", get(kernel::routes::list).post(kernel::routes::start))
            .route("/api/kernels/{id}", get(kernel::routes::one).delete(kernel::routes::end))
            .route("/api/kernels/{id}/interrupt", post(kernel::routes::interrupt))
            .route("/api/kernels/{id}/restart", post(kernel::routes::restart))
            .route("/api/kernels/{id}/channels", get(channels::channels))
            .route("/api/kernels/{id}/runs", post(kernel::runs::adopt))
            .route("/api/kernels/{id}/runs/{request}", get(kernel::runs::one))
            .route("/api/sessions", get(sessions::list).post(sessions::begin))
            .route("/api/sessions/{id}", get(sessions::one).patch(sessions::change).delete(sessions::end))
            .route("/api/terminals", get(terminals::list).post(terminals::start))
            .route("/api/terminals/{name}", get(terminals::one).delete(terminals::end))
            .route("/terminals/websocket/{name}", get(terminals::connect))
            .route("/api/events", post(events::post))
            .route("/api/events/subscribe", get(events::subscribe))
            .route("/api/nbconvert", get(nbconvert::formats))
            .route("/nbconvert/{format}", post(nbconvert::from_post))
            .route("/nbconvert/{format}/{*path}", get(nbconvert::from_file))
            .route("/api/shutdown", post(api::shutdown))
            .route("/files/{*path}", get(api::file))
            .route("/view/{*path}", get(api::view))
            .merge(lab::routes::routes())
            .route("/login", get(api::login).post(api::login))
            .route("/logout", get(api::logout))
            .fallback(api::nothing)
            .layer(from_fn_with_state(self.clone(), guard::guard))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self.clone())
    }

    /// The routes under the base URL.
    pub fn router_at_base(self: &Arc<Server>) -> Router {
        match self.config.base_url.trim_end_matches('/') {
            "" => self.router(),
            base => {
                // A nested router does not see its prefix with a slash, as people type it.
                let home = get(lab::routes::home).with_state(self.clone());
                Router::new().nest(base, self.router()).route(&self.config.base_url, home)
            }
        }
    }

    /// What `/api/status` answers.
    pub(crate) fn status(&self) -> Value {
        let models: Vec<Value> = self.kernels.all().iter().map(|kernel| kernel.model()).collect();
        let connections: u64 = models.iter().filter_map(|model| model["connections"].as_u64()).sum();
        let terminals = self.terminals.last_activity();
        let activity = models.iter().filter_map(|model| model["last_activity"].as_str());
        let activity = activity.chain(terminals.as_deref()).max().unwrap_or(&self.started);
        json!({
            "connections": connections, "kernels": models.len(), "last_activity": activity, "started": self.started,
        })
    }

    /// Where a kernel of a client's path works: that folder, or the nearest one above it that is there.
    pub(crate) fn kernel_directory(&self, path: &str) -> PathBuf {
        let place = self.contents.root.resolve(path).unwrap_or_else(|_| self.root().to_owned());
        let there = place.ancestors().find(|folder| folder.is_dir()).unwrap_or(self.root());
        if there.starts_with(self.root()) { there.to_owned() } else { self.root().to_owned() }
    }
}
