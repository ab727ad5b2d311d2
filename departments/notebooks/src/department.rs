//! The department notebooks, as the house sees it.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use backlot_department::{
    Access, Check, CommandContext, CommandError, Department, Door, Error, Finding, House, Install, Kind,
    Need, Page,
};
use backlot_jupyter::{JupyterDoor, Settings};
use backlot_store::Digest;
use backlot_web::console::Icon;

use crate::kernel::{KernelPool, KernelSearch};
use crate::shop::Shop;
use crate::{cli, kind, pages, versions};

/// The department's name, and that of its folder in the home.
pub(crate) const NAME: &str = "notebooks";

pub(crate) const ACCESS: Access = Access::ReadWrite { read: "runs:read", write: "runs:write" };

/// The department.
pub struct Notebooks {
    search: KernelSearch,
    pool: KernelPool,
    shop: Shop,
    work: kind::Runs,
    jupyter: JupyterDoor,
}

impl Notebooks {
    /// The department with these kernels.
    pub fn new(search: KernelSearch) -> Notebooks {
        Notebooks {
            search,
            pool: KernelPool::new(),
            shop: Shop::default(),
            work: kind::Runs::default(),
            jupyter: JupyterDoor::default(),
        }
    }
}

impl Default for Notebooks {
    /// The department with the kernels that this process's environment leads to.
    fn default() -> Notebooks {
        Notebooks::new(KernelSearch::from_env())
    }
}

#[async_trait]
impl Department for Notebooks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Parameterised notebooks as papermill runs them: on the command line and as tasks; their values, their differences, their versions"
    }

    async fn start(&self, house: &House) -> Result<(), Error> {
        // A misspelt setting stops every command, not only the server.
        Settings::of(house)?;
        // A department starts once; a second handle would be of the same house.
        drop(self.work.set(house.work.clone()));
        self.shop.open(house)
    }

    async fn serve(&self, house: &House) -> Result<(), Error> {
        self.shop.serve();
        self.jupyter.serve(house, self.shop.after_save()).await
    }

    async fn stop(&self, _house: &House) {
        // Its last saves are versions, too.
        self.jupyter.stop().await;
        self.shop.stop();
    }

    async fn referenced_blobs(&self, _house: &House) -> Result<Vec<Digest>, Error> {
        let Some(bookstore) = self.shop.get() else { return Ok(Vec::new()) };
        bookstore.archive().referenced().await.map_err(|error| Error::start(NAME, error))
    }

    fn doors(&self, _house: &House) -> Vec<Door> {
        let mut doors = self.jupyter.doors(self.shop.routes(backlot_jupyter::PREFIX));
        doors.extend(self.shop.doors());
        doors
    }

    fn kinds(&self) -> Vec<Arc<dyn Kind>> {
        kind::all(&self.search, &self.pool, &self.work)
    }

    fn pages(&self, house: &House) -> Vec<Page> {
        let routes = pages::routes(house.clone()).merge(versions::routes(self.shop.clone()));
        vec![Page::new("Notebooks", "/notebooks", Icon::Page, routes).access(ACCESS)]
    }

    fn commands(&self) -> Vec<clap::Command> {
        let own = cli::all().into_iter().map(|command| match command.get_name() {
            "notebook" => command.subcommand(backlot_jupyter::kernelspec_command()),
            _ => command,
        });
        own.chain([backlot_jupyter::command()]).collect()
    }

    async fn run_command(
        &self,
        name: &str,
        matches: &clap::ArgMatches,
        context: &CommandContext,
    ) -> Result<ExitCode, CommandError> {
        match (name, matches.subcommand()) {
            ("jupyter", _) => backlot_jupyter::run(matches, context).await,
            (_, Some(("kernelspec", matches))) => backlot_jupyter::run_kernelspec(matches, context).await,
            _ => cli::run(matches, context).await,
        }
    }

    fn checks(&self) -> Vec<Check> {
        vec![
            Check::new("a Jupyter kernel", "runs notebooks", Need::Optional, || async {
                let names = KernelSearch::from_env().names();
                if names.is_empty() {
                    Finding::Missing
                } else {
                    Finding::Found(names.into_iter().collect::<Vec<_>>().join(", "))
                }
            })
            .install(Install::Pip(vec!["ipykernel==7.4.0".to_owned()])),
        ]
    }
}
