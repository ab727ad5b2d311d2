//! What a department gives the house.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use backlot_store::Digest;
use backlot_web::{Door, HealthCheck, OverviewCard, Page};
use backlot_work::Kind;
use serde_json::Value;

use crate::{Check, CommandContext, CommandError, Error, House, Services};

/// One part of the back office. Everything but its name and summary has a default of "none".
///
/// The binary calls, in this order: [`offer`](Self::offer) and [`kinds`](Self::kinds) on all departments, as it opens the
/// [`House`]; then [`start`](Self::start) on all. A server goes on: it calls [`serve`](Self::serve) on all, collects doors,
/// pages and the rest, serves, and calls [`stop`](Self::stop) when it ends. For a command the binary calls
/// [`run_command`](Self::run_command) and none of the others, unless the command asks its context for a house.
#[async_trait]
pub trait Department: Send + Sync {
    /// Its name: one lower-case word, also the section of the configuration and the folder under the home.
    fn name(&self) -> &'static str;

    /// What it is for, in one line.
    fn summary(&self) -> &'static str;

    /// Offers the traits by which it serves other departments.
    ///
    /// # Errors
    /// [`Error::OfferedTwice`] from the registry.
    fn offer(&self, _services: &mut Services) -> Result<(), Error> {
        Ok(())
    }

    /// Makes its state ready, above all by migrations. Called once in every process that opens the house, short-lived
    /// commands and workers among them: nothing here listens, and nothing goes on in the background.
    ///
    /// # Errors
    /// Whatever keeps it from working, as [`Error::start`]; the house then does not open.
    async fn start(&self, _house: &House) -> Result<(), Error> {
        Ok(())
    }

    /// Opens sockets of its own and begins what goes on in the background. Called once, only by a server, after every
    /// department has started and before any door opens.
    ///
    /// # Errors
    /// Whatever keeps it from serving, as [`Error::start`]; the server then stops what served already, and ends.
    async fn serve(&self, _house: &House) -> Result<(), Error> {
        Ok(())
    }

    /// Ends what [`serve`](Self::serve) began and writes out what it still holds. Called once, after the last request was
    /// answered; the server waits [`House::STOP_TIMEOUT`] at most.
    async fn stop(&self, _house: &House) {}

    /// The digests of the blobs that its own tables refer to, beside those of its runs: `backlot store gc` spares them.
    ///
    /// # Errors
    /// State that cannot be read; nothing is collected then.
    async fn referenced_blobs(&self, _house: &House) -> Result<Vec<Digest>, Error> {
        Ok(Vec::new())
    }

    /// The kinds of task that it can do, with names under its own: `media.encode`.
    fn kinds(&self) -> Vec<Arc<dyn Kind>> {
        Vec::new()
    }

    /// Its ways in.
    fn doors(&self, _house: &House) -> Vec<Door> {
        Vec::new()
    }

    /// Its console pages; the first is its home.
    fn pages(&self, _house: &House) -> Vec<Page> {
        Vec::new()
    }

    /// Its cards on the console's overview.
    fn cards(&self, _house: &House) -> Vec<OverviewCard> {
        Vec::new()
    }

    /// Its part of the OpenAPI document: an object with `paths` (full paths, prefix included) and optionally `components` and
    /// `tags`; `null` for none.
    fn openapi(&self) -> Value {
        Value::Null
    }

    /// How it is, asked by `/readyz` and the overview.
    fn health(&self, _house: &House) -> HealthCheck {
        HealthCheck::always_ready()
    }

    /// Its top-level commands: `backlot run`, `backlot logs`.
    fn commands(&self) -> Vec<clap::Command> {
        Vec::new()
    }

    /// Runs one of its commands.
    ///
    /// # Errors
    /// A [`CommandError`]: one line with the mend, and the exit code.
    async fn run_command(
        &self,
        name: &str,
        _matches: &clap::ArgMatches,
        _context: &CommandContext,
    ) -> Result<ExitCode, CommandError> {
        Err(CommandError::usage(
            format!("the department {} has no command `{name}`", self.name()),
            "see `backlot help`",
        ))
    }

    /// What it needs from outside: `backlot doctor` checks it, and installs it when asked to.
    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}

/// A department as the web shell takes it.
///
/// ```no_run
/// # use backlot_department::{Department, House, shell_part};
/// # fn serve(departments: &[Box<dyn Department>], house: &House, config: backlot_web::WebConfig) -> Result<(), backlot_web::Error> {
/// let builder = backlot_web::Shell::builder(config);
/// let shell = departments.iter().fold(builder, |builder, one| builder.department(shell_part(&**one, house))).build()?;
/// # Ok(()) }
/// ```
pub fn shell_part(department: &dyn Department, house: &House) -> backlot_web::Department {
    let mut part = backlot_web::Department::new(department.name(), department.summary());
    part.health = department.health(house);
    part.doors = department.doors(house);
    part.pages = department.pages(house);
    part.cards = department.cards(house);
    part.openapi = department.openapi();
    part
}
