//! `doctor --install`: apt-get for Debian packages, pip into the house's own virtual environment.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use backlot_department::{CommandError, Install, Need};
use tokio::process::Command;

use super::Outcome;
use crate::home;
use crate::session::Session;

/// Whether this way needs nobody's hands.
pub(super) fn is_automatic(install: &Install) -> bool {
    matches!(install, Install::Apt(_) | Install::Pip(_))
}

/// Installs what is missing, each by its first way that works on this machine. Says whether anything was installed.
///
/// What is required is installed together. What is optional is installed part by part: one that cannot be had keeps nobody from
/// the others.
///
/// # Errors
/// An installer of something required that failed, or that may not be run.
pub(super) async fn install(outcomes: &[Outcome], session: &Session) -> Result<bool, CommandError> {
    let root = rights().await;
    let has_apt = succeeds("apt-get", &["--version"]).await;
    let mut debian = BTreeSet::new();
    let mut python = BTreeSet::new();
    let mut optional = Vec::new();
    let mut out_of_reach = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_fine()) {
        let way = outcome.install.iter().find(|way| match way {
            Install::Apt(_) => has_apt && root.is_some(),
            Install::Pip(_) => true,
            _ => false,
        });
        match way {
            Some(Install::Pip(packages)) if outcome.need == Need::Optional => {
                optional.push((outcome.name.as_str(), packages));
            }
            Some(Install::Apt(packages)) => debian.extend(packages.iter().cloned()),
            Some(Install::Pip(packages)) => python.extend(packages.iter().cloned()),
            _ if outcome.install.iter().any(is_automatic) => out_of_reach.push(outcome.name.as_str()),
            _ => {}
        }
    }
    if !out_of_reach.is_empty() {
        let reason =
            if has_apt { "this user is not root and sudo asks a password" } else { "there is no apt-get" };
        session.say(format_args!("cannot install {}: {reason}", out_of_reach.join(", ")));
    }
    if let (false, Some(sudo)) = (debian.is_empty(), root) {
        let packages: Vec<&str> = debian.iter().map(String::as_str).collect();
        session.say(format_args!("installing with apt-get: {}", packages.join(" ")));
        let apt = |arguments: &[&str]| {
            let mut line = sudo.to_vec();
            // Through env, since sudo does not pass variables on.
            line.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
            line.extend(arguments);
            line.into_iter().map(str::to_owned).collect::<Vec<String>>()
        };
        execute(&apt(&["update"])).await?;
        let mut arguments = vec!["install", "-y", "--no-install-recommends"];
        arguments.extend(&packages);
        execute(&apt(&arguments)).await?;
    }
    if !python.is_empty() {
        let packages: Vec<&str> = python.iter().map(String::as_str).collect();
        session.say(format_args!("installing with pip: {}", packages.join(" ")));
        install_python(session.home(), &packages).await?;
    }
    let mut is_changed = !debian.is_empty() || !python.is_empty();
    for (name, packages) in optional {
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        session.say(format_args!("installing with pip: {}", packages.join(" ")));
        match install_python(session.home(), &packages).await {
            Ok(()) => is_changed = true,
            Err(error) => session.say(format_args!("cannot install {name}: {error}")),
        }
    }
    Ok(is_changed)
}

/// What must stand before a command so that it runs as root; `None` where nothing does it without a password.
async fn rights() -> Option<&'static [&'static str]> {
    if rustix::process::geteuid().is_root() {
        return Some(&[]);
    }
    succeeds("sudo", &["-n", "true"]).await.then_some(&["sudo", "-n"])
}

async fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

async fn install_python(home: &Path, packages: &[&str]) -> Result<(), CommandError> {
    home::open(home)?;
    let tools = home::tools(home);
    let python = tools.join("bin/python");
    let (tools, python) = (tools.display().to_string(), python.display().to_string());
    if !succeeds(&python, &["-m", "pip", "--version"]).await {
        let line = ["python3", "-m", "venv", "--clear", &tools].map(str::to_owned);
        execute(&line).await.map_err(|error| CommandError {
            mend: "install Python's venv module (apt-get install python3-venv), then try again".to_owned(),
            ..error
        })?;
    }
    let mut line: Vec<String> =
        [python.as_str(), "-m", "pip", "install", "--disable-pip-version-check", "--upgrade"]
            .map(str::to_owned)
            .into();
    line.extend(packages.iter().map(|&package| package.to_owned()));
    execute(&line).await
}

/// Runs an installer; what it says goes to standard error.
async fn execute(line: &[String]) -> Result<(), CommandError> {
    let (program, arguments) = line.split_first().expect("invariant: a command line names its program");
    let failed = |why: String| {
        CommandError::failed(
            format!("`{}` {why}", line.join(" ")),
            "see what it said above, and run it by hand",
        )
    };
    let mut command = Command::new(program);
    // Standard output is for this program's own answer.
    command.args(arguments).stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command.status().await.map_err(|error| failed(format!("cannot be started: {error}")))?;
    if status.success() { Ok(()) } else { Err(failed(format!("ended with {status}"))) }
}

/// Becomes a new image of this program that looks without installing. Returns only where that is impossible.
pub(super) fn look_again() {
    use std::os::unix::process::CommandExt;
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--install");
    if let Ok(program) = std::env::current_exe() {
        let error = std::process::Command::new(program).args(arguments).exec();
        tracing::warn!(%error, "cannot start anew; the checks may not see what was installed");
    }
}
