//! What the house gives its departments.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use backlot_events::Events;
use backlot_ledger::Ledger;
use backlot_meters::Registry;
use backlot_store::{Digest, Store};
use backlot_work::{Kinds, Work};

use crate::{Config, Department, Error, Services};

/// The house, as a department sees it. A cheap handle but for its configuration, which is small.
#[derive(Clone)]
#[non_exhaustive]
pub struct House {
    /// The directory of everything that this house keeps on this machine.
    pub home: PathBuf,
    /// The configuration.
    pub config: Config,
    /// Blobs.
    pub store: Store,
    /// SQL state.
    pub ledger: Ledger,
    /// What happened.
    pub events: Events,
    /// Durable work.
    pub work: Work,
    /// What this process counts and times; the department that keeps metrics publishes it.
    pub meters: Registry,
    /// The task kinds of all departments.
    pub kinds: Kinds,
    services: Services,
}

impl House {
    /// Opens a house on this store and ledger for these departments: opens events and work, registers every task kind, and
    /// lets the departments offer their services. Nothing runs yet; see [`House::start`].
    ///
    /// # Errors
    /// State that cannot be opened or migrated; a kind or service that two departments claim.
    pub fn open(
        home: impl Into<PathBuf>,
        config: Config,
        store: Store,
        ledger: Ledger,
        departments: &[Box<dyn Department>],
    ) -> Result<Self, Error> {
        let events = Events::open(&ledger)?;
        let work = Work::open(&ledger, &store, &events)?;
        let mut kinds = Kinds::new();
        let mut services = Services::default();
        for department in departments {
            department.offer(&mut services)?;
            for kind in department.kinds() {
                if kinds.get(kind.name()).is_some() {
                    return Err(Error::KindTwice {
                        kind: kind.name().to_owned(),
                        department: department.name(),
                    });
                }
                kinds = kinds.with(kind);
            }
        }
        let home = home.into();
        let meters = Registry::default();
        Ok(Self { home, config, store, ledger, events, work, meters, kinds, services })
    }

    /// Starts the departments, in order.
    ///
    /// # Errors
    /// The first that cannot start.
    pub async fn start(&self, departments: &[Box<dyn Department>]) -> Result<(), Error> {
        for department in departments {
            department.start(self).await?;
        }
        Ok(())
    }

    /// How long a department may take to stop.
    ///
    /// Long enough for a final flush over a slow network, short enough for an init system, which kills after 90 s.
    pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);

    /// Lets the departments serve, in order.
    ///
    /// # Errors
    /// The first that cannot; those before it have been stopped again.
    pub async fn serve(&self, departments: &[Box<dyn Department>]) -> Result<(), Error> {
        for (count, department) in departments.iter().enumerate() {
            if let Err(error) = department.serve(self).await {
                self.stop(&departments[..count]).await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stops the departments that serve, all at once; one that takes longer than [`House::STOP_TIMEOUT`] is left behind.
    pub async fn stop(&self, departments: &[Box<dyn Department>]) {
        let stops = departments.iter().map(|department| async {
            if tokio::time::timeout(Self::STOP_TIMEOUT, department.stop(self)).await.is_err() {
                tracing::error!(
                    department = department.name(),
                    "it did not stop in time, and was left behind"
                );
            }
        });
        futures::future::join_all(stops).await;
    }

    /// Every blob that is in use: by runs, by remembered results, and by the departments' own tables.
    ///
    /// # Errors
    /// State that cannot be read.
    pub async fn referenced_blobs(
        &self,
        departments: &[Box<dyn Department>],
    ) -> Result<BTreeSet<String>, Error> {
        let mut referenced = self.work.referenced_blobs().await?;
        for department in departments {
            let own = department.referenced_blobs(self).await?;
            referenced.extend(own.iter().map(Digest::to_string));
        }
        Ok(referenced)
    }

    /// What departments offer one another.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Where a department keeps files of its own; the department makes the directory when it first needs it.
    pub fn directory(&self, department: &str) -> PathBuf {
        self.home.join(department)
    }
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House")
            .field("home", &self.home)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}
