//! `backlot doctor`: looks at everything the house needs from outside, and gets it when told to.

mod house;
mod install;

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use backlot_department::{Check, CommandError, Finding, Install, Need, OutputFormat};
use clap::{Arg, ArgAction, ArgMatches, Command};
use futures::StreamExt;
use serde::Serialize;

use crate::exit;
use crate::session::Session;
use crate::table::{Cell, Table};

/// Checks that run at once: they mostly wait for programs and servers.
const AT_ONCE: usize = 8;

pub(super) fn command() -> Command {
    Command::new("doctor")
        .about("Checks every part that the house needs from outside")
        .long_about(
            "Checks every part that the house needs from outside, and says how to get what is missing.\n\nWith --install it \
             gets it: Debian packages with apt-get (as root, or through sudo where that asks no password), Python packages into \
             HOME/tools. The exit code is 0 when every required part is fine, 4 otherwise.",
        )
        .arg(Arg::new("install").long("install").action(ArgAction::SetTrue).help("Install what is missing"))
}

/// Whose check it is, and what it found.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// The department, or `house`.
    department: &'static str,
    name: String,
    purpose: String,
    need: Need,
    /// `ok`, `missing` or `unusable`.
    state: &'static str,
    /// The version of what is there, or why it is of no use.
    detail: Option<String>,
    /// Ways to get it, best first.
    install: Vec<Install>,
}

impl Outcome {
    fn is_fine(&self) -> bool {
        self.state == "ok"
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    /// Whether every required part is fine.
    ok: bool,
    checks: Vec<Outcome>,
}

pub(super) async fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let mut checks: Vec<(&'static str, Check)> =
        house::checks(session).into_iter().map(|check| ("house", check)).collect();
    for department in session.departments.iter() {
        checks.extend(department.checks().into_iter().map(|check| (department.name(), check)));
    }
    let mut outcomes = look(&checks, session).await;
    if matches.get_flag("install") {
        if install::install(&outcomes, session).await? {
            // What was installed is within reach of a new image of this program, and maybe not of this one.
            install::look_again();
        }
        outcomes = look(&checks, session).await;
    }
    let ok = outcomes.iter().all(|outcome| outcome.is_fine() || outcome.need == Need::Optional);
    let answer = Answer { ok, checks: outcomes };
    let context = session.context()?;
    context.print(&answer, |answer| table(&answer.checks))?;
    if context.format == OutputFormat::Text {
        advise(&answer, session);
    }
    Ok(ExitCode::from(if ok { 0 } else { exit::MISSING }))
}

async fn look(checks: &[(&'static str, Check)], session: &Session) -> Vec<Outcome> {
    let bar = session.progress(Some(checks.len() as u64), "{spinner} {pos}/{len} checks {elapsed}");
    let looking = checks.iter().map(async |(department, check)| {
        let finding = check.run().await;
        bar.inc(1);
        let (state, detail) = match finding {
            Finding::Found(version) => ("ok", (!version.is_empty()).then_some(version)),
            Finding::Missing => ("missing", None),
            Finding::Unusable(why) => ("unusable", Some(why)),
            other => ("unusable", Some(format!("{other:?}"))),
        };
        Outcome {
            department,
            name: check.name.clone(),
            purpose: check.purpose.clone(),
            need: check.need,
            state,
            detail,
            install: check.install.clone(),
        }
    });
    let outcomes = futures::stream::iter(looking).buffered(AT_ONCE).collect().await;
    bar.finish_and_clear();
    outcomes
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new(["STATE", "PART", "FOR", "WHAT IT DOES", "FOUND, OR HOW TO GET IT"]);
    for outcome in outcomes {
        let (word, color) = match (outcome.is_fine(), outcome.need) {
            (true, _) => ("ok", AnsiColor::Green),
            (false, Need::Required) => (outcome.state, AnsiColor::Red),
            (false, Need::Optional) => (outcome.state, AnsiColor::Yellow),
        };
        let hints: Vec<String> = outcome.install.iter().map(hint).collect();
        let mut last: Vec<String> = outcome.detail.clone().into_iter().collect();
        if !outcome.is_fine() && !hints.is_empty() {
            last.push(hints.join(", or "));
        }
        table.row([
            Cell::styled(word, color.on_default()),
            outcome.name.as_str().into(),
            outcome.department.into(),
            Cell::styled(outcome.purpose.as_str(), Style::new().dimmed()),
            last.join("; ").into(),
        ]);
    }
    table.render()
}

/// How a person would get the part.
fn hint(install: &Install) -> String {
    match install {
        Install::Apt(packages) => format!("apt-get install {}", packages.join(" ")),
        Install::Pip(packages) => format!("pip install {}", packages.join(" ")),
        Install::Manual(line) => line.clone(),
        other => format!("{other:?}"),
    }
}

fn advise(answer: &Answer, session: &Session) {
    let is_gettable =
        |outcome: &&Outcome| !outcome.is_fine() && outcome.install.iter().any(install::is_automatic);
    let gettable: Vec<&str> =
        answer.checks.iter().filter(is_gettable).map(|outcome| outcome.name.as_str()).collect();
    if !gettable.is_empty() {
        session.say(format_args!("`backlot doctor --install` gets {}", gettable.join(", ")));
    }
}
