//! `backlot token`: the tokens that open the doors.
//!
//! They are kept in the home, so these commands work whether or not a server runs; a running one heeds them at once.

use std::process::ExitCode;

use anstyle::Style;
use backlot_department::CommandError;
use backlot_web::{Scopes, TokenInfo, Tokens};
use backlot_work::Span;
use clap::{Arg, ArgAction, ArgMatches, Command};
use jiff::Timestamp;
use serde_json::json;

use super::{positional, subcommand, text};
use crate::session::Session;
use crate::table::{Cell, Table};
use crate::{exit, home};

pub(super) fn command() -> Command {
    Command::new("token")
        .about("Makes, lists and revokes tokens")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list")
                .about("Lists the tokens besides the admin token; never the tokens themselves"),
        )
        .subcommand(
            Command::new("create")
                .about("Makes a token and prints it, this once")
                .arg(positional("name", "NAME", "What it is called in lists and journals"))
                .arg(
                    Arg::new("scope")
                        .long("scope")
                        .value_name("SCOPE")
                        .required(true)
                        .value_delimiter(',')
                        .action(ArgAction::Append)
                        .help("What it may do: `runs:read`, `events:write`, or `admin` for all"),
                )
                .arg(
                    Arg::new("expires").long("expires").value_name("SPAN|TIME").help(
                        "When it ends: 12h, 30d, or a moment like 2027-01-31T12:00:00Z [default: never]",
                    ),
                ),
        )
        .subcommand(Command::new("revoke").about("Ends a token and the sessions it began").arg(positional(
            "name",
            "NAME",
            "The token's name",
        )))
}

pub(super) fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    session.require_local()?;
    home::open(session.home())?;
    let tokens = Tokens::open(session.home()).map_err(fail)?;
    let context = session.context()?;
    match subcommand(matches) {
        ("list", _) => {
            let list = tokens.list().map_err(fail)?;
            if list.is_empty() {
                session.say("no tokens but the admin's; make one with `backlot token create`");
            }
            context.print(&list, table)?;
        }
        ("create", matches) => {
            let name = text(matches, "name");
            let scopes =
                Scopes::new(matches.get_many::<String>("scope").into_iter().flatten()).map_err(fail)?;
            let expires = matches.get_one::<String>("expires").map(|text| moment(text)).transpose()?;
            let token = tokens.create(name, &scopes, expires).map_err(fail)?;
            let answer = json!({
                "name": name, "token": token, "scopes": scopes.iter().collect::<Vec<_>>(), "expires": expires,
            });
            context.print(&answer, |_| token.clone())?;
        }
        (_, matches) => {
            let name = text(matches, "name");
            if !tokens.revoke(name).map_err(fail)? {
                return Err(CommandError::failed(
                    format!("there is no token {name:?}"),
                    "`backlot token list` shows the names",
                ));
            }
            context.print(&json!({ "revoked": name }), |_| format!("revoked {name}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn fail(error: backlot_web::Error) -> CommandError {
    let code = if matches!(error, backlot_web::Error::Token { .. }) {
        CommandError::USAGE
    } else {
        CommandError::FAILED
    };
    match error {
        // This one's mend stands behind a colon.
        backlot_web::Error::Token { what, mend } => {
            CommandError::new(code, format!("{what} is not acceptable"), mend)
        }
        other => exit::failure(code, &other),
    }
}

/// A moment, given as such or as a span from now.
fn moment(text: &str) -> Result<Timestamp, CommandError> {
    let refuse =
        || CommandError::usage(format!("{text:?} is no moment"), "write 30d, 12h or 2027-01-31T12:00:00Z");
    match text.parse::<Span>() {
        Ok(span) => Timestamp::now().checked_add(span.duration()).map_err(|_| refuse()),
        Err(_) => text.parse::<Timestamp>().map_err(|_| refuse()),
    }
}

fn table(list: &Vec<TokenInfo>) -> String {
    if list.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["NAME", "SCOPES", "CREATED", "EXPIRES"]);
    for token in list {
        let expires = match token.expires {
            None => "never".into(),
            Some(end) if end <= Timestamp::now() => {
                Cell::styled(format!("{end} (over)"), Style::new().dimmed())
            }
            Some(end) => end.to_string().into(),
        };
        table.row([
            token.name.as_str().into(),
            token.scopes.join(" ").into(),
            token.created.round(jiff::Unit::Second).unwrap_or(token.created).to_string().into(),
            expires,
        ]);
    }
    table.render()
}
