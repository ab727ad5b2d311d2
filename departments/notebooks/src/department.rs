//! The department notebooks, as the house sees it.

use std::process::ExitCode;

use async_trait::async_trait;
use backlot_department::{Check, CommandContext, CommandError, Department, Finding, Install, Need};

use crate::cli;
use crate::kernel::KernelSearch;

/// The department.
#[derive(Clone, Debug, Default)]
pub struct Notebooks;

#[async_trait]
impl Department for Notebooks {
    fn name(&self) -> &'static str {
        "notebooks"
    }

    fn summary(&self) -> &'static str {
        "Parameterised notebooks as tasks: run, record, read their values, keep their versions"
    }

    fn commands(&self) -> Vec<clap::Command> {
        cli::all()
    }

    async fn run_command(
        &self,
        _name: &str,
        matches: &clap::ArgMatches,
        context: &CommandContext,
    ) -> Result<ExitCode, CommandError> {
        cli::run(matches, context).await
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
