//! What every command gets: the settings, the departments, and ways to open the house.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use backlot_department::{CommandContext, CommandError, Department, Endpoint, Error, House, OutputFormat};
use backlot_ledger::Ledger;
use backlot_store::Store;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::settings::{Origin, Settings};
use crate::{exit, home};

/// The departments of this process.
pub(crate) type Departments = Arc<Vec<Box<dyn Department>>>;

/// One call of the program.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) settings: Arc<Settings>,
    pub(crate) departments: Departments,
    /// Whether to say only what failed.
    pub(crate) is_quiet: bool,
    /// When this process began.
    pub(crate) started: Instant,
}

impl Session {
    /// The home directory.
    pub(crate) fn home(&self) -> &Path {
        &self.settings.home.value
    }

    /// What commands of departments get, and the way in which all commands write.
    pub(crate) fn context(&self) -> Result<CommandContext, CommandError> {
        let session = self.clone();
        let open = move || {
            let session = session.clone();
            async move {
                session.require_local().map_err(in_words)?;
                session.open_house().await
            }
        };
        let settings = &self.settings;
        let context = CommandContext::new(self.home(), settings.output.value, self.server()?, open);
        Ok(match settings.output.value {
            // Goes through the stream that keeps colours or strips them.
            OutputFormat::Text => context
                .with_output(Arc::new(std::sync::Mutex::new(anstream::AutoStream::auto(std::io::stdout())))),
            OutputFormat::Json => context,
        })
    }

    /// The server that was named, or else the home's own if it lives.
    pub(crate) fn server(&self) -> Result<Option<Endpoint>, CommandError> {
        let own = || {
            if home::is_served(self.home()) {
                Endpoint::discover(self.home()).map_err(CommandError::from)
            } else {
                Ok(None)
            }
        };
        let Some(named) = &self.settings.url else { return own() };
        let token = match &self.settings.token {
            Some(token) => Some(token.clone()),
            // The home's own server by its address needs no other token than it has.
            None => own()?.filter(|endpoint| endpoint.url == named.value).and_then(|endpoint| endpoint.token),
        };
        Ok(Some(Endpoint { url: named.value.clone(), token }))
    }

    /// Refuses a command that works on the ledger and store themselves while the caller means a server elsewhere.
    pub(crate) fn require_local(&self) -> Result<(), CommandError> {
        let settings = &self.settings;
        let Some(named) = &settings.url else { return Ok(()) };
        let names_state =
            settings.ledger.origin != Origin::Default || settings.store.origin != Origin::Default;
        let is_own = Endpoint::discover(self.home())?.is_some_and(|own| own.url == named.value);
        if names_state || is_own {
            return Ok(());
        }
        Err(CommandError::usage(
            format!(
                "this command reads the ledger and store themselves, not the server {} from {}",
                named.value, named.origin
            ),
            "name them with --ledger and --store, or leave the server out",
        ))
    }

    /// Opens the ledger.
    ///
    /// # Errors
    /// Whatever keeps it shut, with the exit code.
    pub(crate) async fn open_ledger(&self) -> Result<Ledger, CommandError> {
        home::open(self.home())?;
        let url = self.settings.ledger.value.clone();
        blocking(move || Ledger::open(&url)).await.map_err(|error| exit::ledger(&error))
    }

    /// Opens the store.
    ///
    /// # Errors
    /// Whatever keeps it shut, with the exit code.
    pub(crate) async fn open_store(&self) -> Result<Store, CommandError> {
        home::open(self.home())?;
        let url = self.settings.store.value.clone();
        blocking(move || Store::open(&url)).await.map_err(|error| exit::store(&error))
    }

    /// Opens the house with its departments started: ready for tasks and doors.
    ///
    /// # Errors
    /// Whatever keeps it shut.
    pub(crate) async fn open_house(&self) -> Result<House, Error> {
        home::open(self.home()).map_err(in_words)?;
        let session = self.clone();
        // Opening waits for disks and servers, and runs migrations.
        let house = blocking(move || {
            let settings = &session.settings;
            let ledger = Ledger::open(&settings.ledger.value).map_err(backlot_work::Error::from)?;
            let store = Store::open(&settings.store.value).map_err(backlot_work::Error::from)?;
            House::open(session.home(), settings.config(), store, ledger, &session.departments)
        })
        .await?;
        house.start(&self.departments).await?;
        Ok(house)
    }

    /// As [`Session::open_house`], with the exit code of what failed.
    ///
    /// # Errors
    /// Whatever keeps it shut.
    pub(crate) async fn require_house(&self) -> Result<House, CommandError> {
        home::open(self.home())?;
        self.open_house().await.map_err(house_failure)
    }

    /// A progress bar on standard error, which shows only on a terminal and not with `--quiet`.
    pub(crate) fn progress(&self, length: Option<u64>, template: &str) -> ProgressBar {
        let bar = match length {
            Some(length) => ProgressBar::new(length),
            None => ProgressBar::new_spinner(),
        };
        bar.set_draw_target(if self.is_quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        });
        bar.set_style(
            ProgressStyle::with_template(template).expect("invariant: the template is well-formed"),
        );
        bar
    }

    /// Says something to a person on standard error.
    pub(crate) fn say(&self, text: impl std::fmt::Display) {
        if !self.is_quiet {
            anstream::eprintln!("{text}");
        }
    }
}

/// The exit code of an error of opening the house.
pub(crate) fn house_failure(error: Error) -> CommandError {
    match &error {
        Error::Work(backlot_work::Error::Ledger(error)) => exit::ledger(error),
        Error::Work(backlot_work::Error::Store(error)) => exit::store(error),
        Error::Config { .. } => exit::failure(CommandError::USAGE, &error),
        other => exit::failure(CommandError::FAILED, other),
    }
}

/// A command's error through a function that can only return the house's.
fn in_words(error: CommandError) -> Error {
    Error::Work(backlot_work::Error::Io {
        what: "cannot open the house".to_owned(),
        error: std::io::Error::other(error.to_string()),
    })
}

/// Runs a function that waits on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// Success or failure as exit codes have it.
pub(crate) fn verdict(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
