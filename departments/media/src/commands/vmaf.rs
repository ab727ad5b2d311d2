//! `backlot vmaf`: libvmaf's command line.
//!
//! Its flags are libvmaf's, also where the house has others of the same letter (`-h` is a height), so everything after the
//! command's name goes to the tool as it is. Only `backlot vmaf compare` is the house's own.

use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::compare;
use crate::kinds::Tools;

pub(super) fn command() -> Command {
    Command::new("vmaf")
        .about(
            "Score a clip against its reference: VMAF and the metrics beside it, with libvmaf's command line",
        )
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(
            Arg::new("arguments")
                .value_name("ARGUMENTS")
                .help("libvmaf's: -r REFERENCE -d DISTORTED …; `backlot vmaf -- --help` lists them")
                .num_args(0..)
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .trailing_var_arg(true),
        )
        .args_conflicts_with_subcommands(true)
        // libvmaf's `--help` goes to the tool; clap takes the flag from all below as well.
        .subcommand(
            compare::command()
                .arg(Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Print help")),
        )
}

pub(super) async fn run(
    matches: &ArgMatches,
    context: &CommandContext,
    tools: &Tools,
) -> Result<ExitCode, CommandError> {
    if let Some(("compare", matches)) = matches.subcommand() {
        return compare::run(matches, context, tools).await;
    }
    let arguments: Vec<String> = matches.get_many("arguments").into_iter().flatten().cloned().collect();
    let scored =
        tokio::task::spawn_blocking(move || backlot_vmaf::tool::run(&arguments, &mut std::io::stderr()));
    let code = scored.await.map_err(|error| {
        CommandError::failed(
            format!("scoring ended early: {error}"),
            "this is a defect; please report the command",
        )
    })?;
    Ok(ExitCode::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_has_help_of_its_own() {
        for flag in ["-h", "--help"] {
            let refused = command().try_get_matches_from(["vmaf", "compare", flag]).unwrap_err();
            assert_eq!(refused.kind(), clap::error::ErrorKind::DisplayHelp);
            // What is libvmaf's goes to the tool as it is.
            let matches = command().try_get_matches_from(["vmaf", flag]).unwrap();
            assert_eq!(matches.get_many::<String>("arguments").unwrap().collect::<Vec<_>>(), [flag]);
        }
    }
}
