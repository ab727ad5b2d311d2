//! `backlot notebook kernelspec …`: deploy, promote, roll back, list.

use std::path::PathBuf;
use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError};
use backlot_notebooks_kernels::KernelSearch;
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;

use super::{DeployError, Deployment, Deployments};

/// The command.
pub fn command() -> Command {
    let name = || Arg::new("name").value_name("NAME").help("The kernel's name");
    Command::new("kernelspec")
        .about("Deploy kernelspecs to the Jupyter servers of this house, a fraction of new kernels first")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("deploy")
                .about("Deploy the kernelspec of a folder")
                .arg(
                    Arg::new("folder")
                        .value_name("DIR")
                        .required(true)
                        .value_parser(value_parser!(PathBuf))
                        .help("The folder that holds its kernel.json"),
                )
                .arg(name().long("name").help("The kernel's name [default: the folder's]"))
                .arg(
                    Arg::new("canary")
                        .long("canary")
                        .value_name("PERCENT")
                        .value_parser(percent)
                        .help("Start only this share of new kernels with it, like 10%; it is rolled back after three failed starts"),
                ),
        )
        .subcommand(Command::new("promote").about("Start all new kernels with the canary").arg(name().required(true)))
        .subcommand(
            Command::new("rollback")
                .about("Give the canary up; without one, go back to the version before")
                .arg(name().required(true)),
        )
        .subcommand(Command::new("list").about("List what is deployed"))
}

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 =
        text.trim_end_matches('%').parse().map_err(|_| "write a percentage, like 10%".to_owned())?;
    if number > 0.0 && number <= 100.0 {
        Ok(number / 100.0)
    } else {
        Err("it is more than 0 % and at most 100 %".to_owned())
    }
}

/// Runs it.
///
/// # Errors
/// What is refused, with the mend.
pub async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let house = context.open_house().await?;
    let folder = crate::door::versions_folder(&house);
    let deployments = Deployments::open(&house.ledger, folder).map_err(|error| failed(&error.into()))?;
    let actor = std::env::var("USER").unwrap_or_else(|_| "command line".to_owned());
    let named = |matches: &ArgMatches| matches.get_one::<String>("name").cloned().unwrap_or_default();
    let done = match matches.subcommand() {
        Some(("deploy", matches)) => {
            let folder = matches.get_one::<PathBuf>("folder").cloned().unwrap_or_default();
            let own = || Some(folder.canonicalize().ok()?.file_name()?.to_string_lossy().into_owned());
            let name = matches.get_one::<String>("name").cloned().or_else(own).unwrap_or_default();
            let fraction = matches.get_one::<f64>("canary").copied().unwrap_or(1.0);
            let search = KernelSearch::from_env();
            let after = deployments.deploy(&search, folder, &name, fraction, &actor).await;
            vec![(name, after.map_err(|error| failed(&error))?)]
        }
        Some(("promote", matches)) => {
            let name = named(matches);
            let after = deployments.promote(&name, &actor).await;
            vec![(name, after.map_err(|error| failed(&error))?)]
        }
        Some(("rollback", matches)) => {
            let name = named(matches);
            let after = deployments.roll_back(&name, &actor).await;
            vec![(name, after.map_err(|error| failed(&error))?)]
        }
        _ => deployments.all().await.map_err(|error| failed(&error))?,
    };
    let json: Vec<_> =
        done.iter().map(|(name, state)| json!({ "name": name, "deployment": state })).collect();
    let line = |(name, state): &(String, Deployment)| format!("{name}: {state}\n");
    context.print(&json, |_| done.iter().map(line).collect())?;
    Ok(ExitCode::SUCCESS)
}

fn failed(error: &DeployError) -> CommandError {
    let text = error.to_string();
    let (message, mend) =
        text.rsplit_once("; ").unwrap_or((&text, "see `backlot notebook kernelspec --help`"));
    CommandError::failed(message, mend)
}
