//! `backlot vmaf`: libvmaf's command line.
//!
//! Its flags are libvmaf's, also where the house has others of the same letter (`-h` is a height), so everything after the
//! command's name goes to the tool as it is.

use std::process::ExitCode;

use backlot_department::CommandError;
use clap::{Arg, ArgAction, ArgMatches, Command};

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
}

pub(super) async fn run(matches: &ArgMatches) -> Result<ExitCode, CommandError> {
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
