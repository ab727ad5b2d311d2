//! The server as a door of the house: `/jupyter` of `backlot up`, behind the house's own gate.
//!
//! The gate knows who comes (a token in the header or in `?token=`, as Jupyter's clients send it, or the console's session) and looks at
//! where a browser's request comes from; what it has let in is given on with the caller's name, which the activity log keeps. Whoever may
//! enter may run code as the server's user, so one scope opens everything.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use backlot_department::{Access, Door, Error, House};
use backlot_web::Caller;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::contents::AfterSave;
use crate::deploy::Deployments;
use crate::guard::User;
use crate::kernel::culling::Culling;
use crate::server::{Config, KernelLimits, Server};

/// Where the door is.
pub const PREFIX: &str = "/jupyter";

/// What a caller's token must allow.
pub(crate) const SCOPE: &str = "notebooks:write";

/// The largest body that is taken, as in jupyter_server: a notebook with its outputs in one request.
const LARGEST_BODY: u64 = 512 << 20;

/// How long an answer may take: the start of a kernel, a conversion.
const PATIENCE: Duration = Duration::from_secs(90);

/// The settings of the table `[notebooks.jupyter]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder that is served; `notebooks` in the home by default.
    pub root: Option<PathBuf>,
    /// Kernels that do nothing for longer than this many seconds are ended; 0 ends none.
    #[serde(alias = "cull_kernels_after_seconds")]
    pub cull_idle_timeout: u64,
    /// How often kernels are looked at, in seconds.
    pub cull_interval: u64,
    /// Whether kernels that clients are connected to are ended as well.
    pub cull_connected: bool,
    /// Whether kernels that run something are ended as well.
    pub cull_busy: bool,
    /// Terminals in which nothing happens for this long are ended; 0 ends none.
    pub cull_terminals_after_seconds: u64,
    /// The most kernels at once.
    pub max_kernels: usize,
    /// The most address space of a kernel, in MiB; 0 for no limit.
    pub kernel_memory_mib: u64,
    /// Whether there are terminals.
    pub terminals: bool,
}

impl Default for Settings {
    /// Kernels end after a day without a client: long enough for a night's work, short enough that forgotten ones do not add up.
    fn default() -> Settings {
        Settings {
            root: None,
            cull_idle_timeout: 24 * 3600,
            cull_interval: Culling::INTERVAL.as_secs(),
            cull_connected: false,
            cull_busy: false,
            cull_terminals_after_seconds: 0,
            max_kernels: KernelLimits::default().count,
            kernel_memory_mib: 0,
            terminals: true,
        }
    }
}

impl Settings {
    /// What the house's configuration says.
    ///
    /// # Errors
    /// The setting that does not fit.
    pub fn of(house: &House) -> Result<Settings, Error> {
        let section: Map<String, Value> = house.config.section("notebooks")?;
        let table = section.get("jupyter").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        let wrong = |error: serde_json::Error| Error::Config {
            section: "notebooks.jupyter".to_owned(),
            reason: error.to_string(),
        };
        serde_json::from_value(table).map_err(wrong)
    }

    fn config(self, house: &House) -> Config {
        let given = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        let root = self.root.unwrap_or_else(|| house.home.join("notebooks"));
        let mut config = Config::new(root, house.directory("jupyter")).base_url(PREFIX);
        config.culling = Culling {
            idle_timeout: given(self.cull_idle_timeout),
            // Stock takes its own interval for one that makes no sense.
            interval: given(self.cull_interval).unwrap_or(Culling::INTERVAL),
            connected: self.cull_connected,
            busy: self.cull_busy,
        };
        config.cull_terminals_after = given(self.cull_terminals_after_seconds);
        config.limits.count = self.max_kernels;
        config.limits.memory = (self.kernel_memory_mib > 0).then_some(self.kernel_memory_mib << 20);
        config.terminals = self.terminals;
        config
    }
}

/// The door, which has a server behind it while the house serves.
#[derive(Debug, Default)]
pub struct JupyterDoor(OnceLock<Arc<Server>>);

impl JupyterDoor {
    /// Opens the server, which tells `after_save` of notebooks that clients save.
    ///
    /// # Errors
    /// Settings that do not fit; folders that cannot be used.
    pub async fn serve(&self, house: &House, after_save: AfterSave) -> Result<(), Error> {
        let mut config = Settings::of(house)?.config(house);
        config.after_save = after_save;
        let deployments = Deployments::open(&house.ledger, versions_folder(house));
        config.deployments = Some(deployments.map_err(|error| Error::start("notebooks", error))?);
        let opened = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&config.root).map_err(|why| why.to_string())?;
            Server::open(config).map_err(|why| why.to_string())
        });
        let opened = opened.await.map_err(|error| Error::start("notebooks", error))?;
        let server = opened.map_err(|why| Error::start("notebooks", std::io::Error::other(why)))?;
        drop(self.0.set(server)); // a house serves once
        Ok(())
    }

    /// The door itself; without routes where nothing is served. `extensions` are routes beside the server's own, as a stock server has
    /// those of its extensions.
    pub fn doors(&self, extensions: Router) -> Vec<Door> {
        let own = |server: &Arc<Server>| server.router().layer(from_fn(pass_on)).merge(extensions);
        let routes = self.0.get().map_or_else(Router::new, own);
        vec![
            Door::http("jupyter", PREFIX, routes)
                .access(Access::Scope(SCOPE))
                .token_in_query()
                .body_limit(LARGEST_BODY)
                .time_limit(PATIENCE)
                .client(
                    "JupyterLab in a browser, jupyter server --gateway-url, @jupyterlab/services, VS Code",
                    "http://HOST:PORT/jupyter?token=TOKEN",
                ),
        ]
    }

    /// Saves what kernels have put out, and ends them.
    pub async fn stop(&self) {
        if let Some(server) = self.0.get() {
            server.end_all().await;
        }
    }
}

/// Where the versions of deployed kernelspecs are put.
pub(crate) fn versions_folder(house: &House) -> PathBuf {
    house.directory("jupyter").join("kernelspecs")
}

/// Tells the server whom the gate has let in.
async fn pass_on(mut request: Request, next: Next) -> Response {
    if let Some(caller) = request.extensions().get::<Caller>() {
        let user = User(caller.name().to_owned());
        request.extensions_mut().insert(user);
    }
    next.run(request).await
}
