//! Deployed kernelspecs: versions, a canary, and the way back.
//!
//! Observe, plan, apply: kernels that start with a canary report whether they came up (observe), [`Deployment`] decides (plan), and one
//! transaction of the ledger writes what follows, with an entry in the audit journal (apply). All servers of a house read the ledger when a
//! kernel starts, so a deployment is there at once and everywhere, and a version's files are put where they are needed.

mod bundle;
pub(crate) mod cli;
mod plan;

use std::path::PathBuf;

use backlot_ledger::{JournalEntry, Ledger, Migration, Row, Tx, params};
use backlot_notebooks_kernels::{KernelSearch, KernelSpec};

use bundle::Bundle;
pub use plan::{Canary, Change, Deployment, Refusal, Verdict};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "kernelspecs",
    sql: "
CREATE TABLE jupyter_kernelspecs (name TEXT PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE jupyter_kernelspec_versions (version TEXT PRIMARY KEY, files TEXT NOT NULL);
",
}];

/// What goes wrong with deployments.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A folder that is no kernelspec.
    #[error("{folder} holds no kernel.json with an argv; name the folder of a kernelspec", folder = .0.display())]
    NoSpec(PathBuf),
    /// A folder that holds more than a kernelspec.
    #[error("{folder} holds more than a kernelspec does (4 MiB, 200 files); leave out what the kernel does not need", folder = .0.display())]
    TooLarge(PathBuf),
    /// A folder that cannot be read.
    #[error("{folder} cannot be read: {why}; name another", folder = .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// A name that is none.
    #[error("`{0}` is no name of a kernel; use letters, digits and . _ -")]
    Name(String),
    /// A kernelspec that was never deployed.
    #[error("no kernelspec `{0}` is deployed; `kernelspec list` shows those that are")]
    Unknown(String),
    /// A canary of what is not there.
    #[error("there is no kernel `{0}` for the others to start with; deploy without --canary first")]
    NoStable(String),
    /// What the planner refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger's fault.
    #[error("the deployment cannot be kept: {0}; see `backlot doctor`")]
    Ledger(#[from] backlot_ledger::Error),
}

/// With what a kernel starts.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) spec: KernelSpec,
    /// If it is a canary: its version, and what the kernel starts with when it does not come up.
    pub(crate) trial: Option<Trial>,
}

/// A kernel's part in trying a canary.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) instead: KernelSpec,
}

/// The deployed kernelspecs of a house.
#[derive(Clone)]
pub struct Deployments {
    ledger: Ledger,
    /// Where versions are put on this machine.
    folder: PathBuf,
}

impl std::fmt::Debug for Deployments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployments").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A number from 0 to 1 that is a kernel's own.
pub(crate) fn chance_of(kernel: &str) -> f64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, kernel.as_bytes());
    let mut eight = [0; 8];
    eight.copy_from_slice(&digest.as_ref()[..8]);
    // The 53 highest bits: what a double holds exactly.
    (u64::from_be_bytes(eight) >> 11) as f64 / (1_u64 << 53) as f64
}

impl Deployments {
    /// The deployments that a ledger holds.
    ///
    /// # Errors
    /// A ledger that cannot be migrated.
    pub fn open(ledger: &Ledger, folder: impl Into<PathBuf>) -> Result<Deployments, backlot_ledger::Error> {
        ledger.migrate("jupyter", MIGRATIONS)?;
        Ok(Deployments { ledger: ledger.clone(), folder: folder.into() })
    }

    /// All deployed kernelspecs.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn all(&self) -> Result<Vec<(String, Deployment)>, DeployError> {
        self.ledger
            .read(|tx| {
                let rows =
                    tx.query("SELECT name, state FROM jupyter_kernelspecs ORDER BY name", params![])?;
                rows.iter().map(|row| Ok((row.get::<String>(0)?, state(row, 1)?))).collect()
            })
            .await
    }

    /// Deploys the kernelspec of a folder, to a fraction of new kernels or (1) to all; its version.
    ///
    /// # Errors
    /// A folder that holds none; a canary where there is nothing for the others.
    pub async fn deploy(
        &self,
        search: &KernelSearch,
        folder: PathBuf,
        name: &str,
        fraction: f64,
        actor: &str,
    ) -> Result<Deployment, DeployError> {
        let name = name.to_ascii_lowercase();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(DeployError::Name(name));
        }
        let read = tokio::task::spawn_blocking(move || Bundle::read(&folder)).await;
        let bundle = read.map_err(|error| DeployError::Folder {
            folder: self.folder.clone(),
            why: std::io::Error::other(error),
        })??;
        let is_installed = search.find(&name).is_ok();
        let change = Change::Deploy { version: bundle.version(), fraction };
        let (actor, files) = (actor.to_owned(), bundle.to_json());
        self.ledger
            .write(move |tx| {
                let known = load(tx, &name)?;
                if fraction < 1.0 && !is_installed && known.as_ref().is_none_or(|known| known.stable.is_none()) {
                    return Err(DeployError::NoStable(name));
                }
                let Change::Deploy { version, .. } = &change else { return Err(DeployError::Unknown(name)) };
                tx.execute(
                    "INSERT INTO jupyter_kernelspec_versions (version, files) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    params![version.as_str(), files],
                )?;
                apply(tx, &name, known.unwrap_or_default(), &change, &actor)
            })
            .await
    }

    /// Makes the canary stable.
    ///
    /// # Errors
    /// No such kernelspec, or no canary.
    pub async fn promote(&self, name: &str, actor: &str) -> Result<Deployment, DeployError> {
        self.change(name, Change::Promote, actor).await
    }

    /// Gives the canary up, or goes back to the version before.
    ///
    /// # Errors
    /// No such kernelspec, or nothing to go back to.
    pub async fn roll_back(&self, name: &str, actor: &str) -> Result<Deployment, DeployError> {
        self.change(name, Change::RollBack, actor).await
    }

    /// A kernel that was started with a canary came up, or did not.
    pub(crate) async fn started(&self, trial: &Trial, is_up: bool) {
        let change = Change::Started { version: trial.version.clone(), is_up };
        match self.change(&trial.name, change, "jupyter").await {
            Ok(after) if !is_up && after.canary.is_none() => {
                tracing::warn!(
                    kernelspec = trial.name,
                    version = trial.version,
                    "the canary was rolled back"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, kernelspec = trial.name, "a start could not be counted"),
        }
    }

    async fn change(&self, name: &str, change: Change, actor: &str) -> Result<Deployment, DeployError> {
        let (name, actor) = (name.to_ascii_lowercase(), actor.to_owned());
        self.ledger
            .write(move |tx| {
                let known = load(tx, &name)?.ok_or_else(|| DeployError::Unknown(name.clone()))?;
                apply(tx, &name, known, &change, &actor)
            })
            .await
    }

    /// With what a kernel of this name starts; `None` for a name that is not deployed.
    ///
    /// # Errors
    /// The ledger's; files that cannot be put.
    pub(crate) async fn choose(
        &self,
        search: &KernelSearch,
        name: &str,
        kernel: &str,
    ) -> Result<Option<Choice>, DeployError> {
        let name = name.to_ascii_lowercase();
        let wanted = name.clone();
        let known = self.ledger.read(move |tx| load(tx, &wanted)).await?;
        let Some(known) = known else { return Ok(None) };
        let stable = match &known.stable {
            Some(version) => self.spec(&name, version).await?,
            None => search.find(&name).ok(),
        };
        let chosen = known.choose(chance_of(kernel));
        let canary = known.canary.as_ref().filter(|canary| chosen == Some(canary.version.as_str()));
        if let (Some(canary), Some(instead)) = (canary, &stable)
            && let Some(spec) = self.spec(&name, &canary.version).await?
        {
            let trial = Trial { name, version: canary.version.clone(), instead: instead.clone() };
            return Ok(Some(Choice { spec, trial: Some(trial) }));
        }
        Ok(stable.map(|spec| Choice { spec, trial: None }))
    }

    /// The stable versions, for listings.
    pub(crate) async fn stable(&self) -> Result<Vec<KernelSpec>, DeployError> {
        let mut specs = Vec::new();
        for (name, known) in self.all().await? {
            if let Some(version) = known.stable
                && let Some(spec) = self.spec(&name, &version).await?
            {
                specs.push(spec);
            }
        }
        Ok(specs)
    }

    /// A version's kernelspec, its files put on this machine.
    async fn spec(&self, name: &str, version: &str) -> Result<Option<KernelSpec>, DeployError> {
        let parent = self.folder.join(version);
        let place = parent.join(name);
        if !place.join("kernel.json").is_file() {
            let wanted = version.to_owned();
            let files: Option<String> = self
                .ledger
                .read(move |tx| {
                    let sql = "SELECT files FROM jupyter_kernelspec_versions WHERE version = $1";
                    let rows = tx.query(sql, params![wanted])?;
                    rows.first().map(|row| row.get::<String>(0)).transpose()
                })
                .await
                .map_err(|error: backlot_ledger::Error| DeployError::Ledger(error))?;
            let Some(bundle) = files.as_deref().and_then(Bundle::from_json) else { return Ok(None) };
            let target = place.clone();
            let placed = tokio::task::spawn_blocking(move || bundle.place(&target)).await;
            let placed = placed.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            placed.map_err(|why| DeployError::Folder { folder: place, why })?;
        }
        Ok(KernelSearch::new(vec![parent]).find(name).ok())
    }
}

fn state(row: &Row, column: usize) -> Result<Deployment, DeployError> {
    // What this version cannot read was written by a later one.
    serde_json::from_str(&row.get::<String>(column)?).map_err(|error| DeployError::Unknown(error.to_string()))
}

fn load(tx: &mut Tx<'_>, name: &str) -> Result<Option<Deployment>, DeployError> {
    let rows = tx.query("SELECT state FROM jupyter_kernelspecs WHERE name = $1", params![name])?;
    rows.first().map(|row| state(row, 0)).transpose()
}

/// Writes what a change makes of a deployment, and journals it.
fn apply(
    tx: &mut Tx<'_>,
    name: &str,
    before: Deployment,
    change: &Change,
    actor: &str,
) -> Result<Deployment, DeployError> {
    let after = before.after(change)?;
    let json = |deployment: &Deployment| serde_json::to_value(deployment).unwrap_or_default();
    tx.execute(
        "INSERT INTO jupyter_kernelspecs (name, state) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET state = excluded.state",
        params![name, json(&after).to_string()],
    )?;
    let is_over = before.canary.is_some() && after.canary.is_none();
    let action = match change {
        Change::Deploy { .. } => "kernelspec.deploy",
        Change::Promote => "kernelspec.promote",
        Change::RollBack => "kernelspec.rollback",
        Change::Started { .. } if is_over => "kernelspec.rollback",
        Change::Started { is_up: false, .. } => "kernelspec.failure",
        Change::Started { is_up: true, .. } => return Ok(after), // counted, and nothing that anyone decides
    };
    tx.journal(&JournalEntry {
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: format!("kernelspec/{name}"),
        before: Some(json(&before)),
        after: Some(json(&after)),
    })?;
    Ok(after)
}
