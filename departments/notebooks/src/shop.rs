//! The bookstore of this house: opened at the department's start, handed to its door, its pages and its commands.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;
use backlot_bookstore::{Base, Bookstore, Hook, Problem, Settings};
use backlot_department::{CommandError, Door, Error, House};
use backlot_jupyter::AfterSave;
use backlot_web::ApiError;
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::department::{ACCESS, NAME};

/// The section of the configuration.
const SECTION: &str = "bookstore";

/// Where the door is, for clients that take a base URL.
pub(crate) const DOOR: &str = "/bookstore";

/// A body may be a whole notebook with its outputs, as Jupyter's.
const BODY: u64 = 512 << 20;

/// The bookstore of a department that may not have started, and what it does in the background.
#[derive(Clone, Default)]
pub(crate) struct Shop {
    opened: Arc<OnceLock<Bookstore>>,
    keeps_up: Arc<OnceLock<AbortHandle>>,
}

impl Shop {
    /// Opens the bookstore with the settings of the house and of the environment.
    pub(crate) fn open(&self, house: &House) -> Result<(), Error> {
        let mut settings: Settings = house.config.section(SECTION)?;
        settings.root = Some(match settings.root {
            Some(root) => root,
            None => files(house)?,
        });
        let settings = settings.with_env(&|name| std::env::var(name).ok());
        let folder = house.directory(SECTION);
        let opened = Bookstore::open(&house.ledger, &house.store, &folder, settings);
        // A department starts once; a second bookstore would never be seen.
        drop(self.opened.set(opened.map_err(|error| Error::start(NAME, error))?));
        Ok(())
    }

    /// The bookstore, once the department has started.
    pub(crate) fn get(&self) -> Option<&Bookstore> {
        self.opened.get()
    }

    /// The bookstore, for a page.
    pub(crate) fn open_for_page(&self) -> Result<&Bookstore, ApiError> {
        self.get().ok_or_else(|| {
            ApiError::unavailable("the versions of notebooks are not open yet", "try again in a moment")
        })
    }

    /// What a Jupyter server tells of its saves.
    pub(crate) fn after_save(&self) -> AfterSave {
        let hook = |bookstore| AfterSave::tell(Arc::new(Hook::new(bookstore, Handle::current())));
        self.get().map(hook).unwrap_or_default()
    }

    /// Begins to move what waits into the store and the bucket.
    pub(crate) fn serve(&self) {
        if let Some(bookstore) = self.get() {
            drop(self.keeps_up.set(tokio::spawn(bookstore.keep_up()).abort_handle()));
        }
    }

    /// Ends it. What still waits is in the ledger, and goes on with the next server.
    pub(crate) fn stop(&self) {
        if let Some(keeps_up) = self.keeps_up.get() {
            keeps_up.abort();
        }
    }

    /// The routes of bookstore's API below a path; none where nothing has started.
    pub(crate) fn routes(&self, prefix: &str) -> Router {
        let open = format!("{}/lab/tree", backlot_jupyter::PREFIX);
        let base = Base { prefix: prefix.to_owned(), open: Some(open) };
        self.get().map_or_else(Router::new, |shop| backlot_bookstore::routes(shop, base))
    }

    /// The door of clients of bookstore's API. The Jupyter server has the same routes, where a stock one has them.
    pub(crate) fn doors(&self) -> Vec<Door> {
        let door = Door::http(SECTION, DOOR, self.routes(DOOR)).access(ACCESS).body_limit(BODY);
        vec![door.client("nteract bookstore's clients", "the base URL of the notebook server")]
    }
}

/// The folder of people's notebooks where `[bookstore]` names none: the one that the Jupyter server serves.
fn files(house: &House) -> Result<PathBuf, Error> {
    let own: Map<String, Value> = house.config.section(NAME)?;
    let given = own.get("jupyter").and_then(|jupyter| jupyter.get("root")).and_then(Value::as_str);
    Ok(given.map_or_else(|| house.directory(NAME), PathBuf::from))
}

/// A problem of the bookstore as a page tells it.
pub(crate) fn refuse(problem: impl Into<Problem>) -> ApiError {
    let problem = problem.into();
    let (message, mend) = parts(&problem.message);
    match problem.status {
        404 => ApiError::not_found(message, mend),
        500.. => ApiError::internal(&problem),
        _ => ApiError::bad_request(message, mend),
    }
}

/// A problem of the bookstore as a command tells it.
pub(crate) fn failed(problem: impl Into<Problem>) -> CommandError {
    let problem = problem.into();
    let (message, mend) = parts(&problem.message);
    CommandError::failed(message, mend)
}

fn parts(text: &str) -> (String, String) {
    let (message, mend) = text.rsplit_once("; ").unwrap_or((text, "see `backlot notebook versions`"));
    (message.to_owned(), mend.to_owned())
}
