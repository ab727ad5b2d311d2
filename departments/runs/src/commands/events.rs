//! `backlot events`: what happened, and what happens.

use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError};
use backlot_events::Event;
use clap::{Arg, ArgAction, ArgMatches, Command};
use futures::StreamExt;

use crate::commands::text;
use crate::feed::{self, Wanted};
use crate::refusal::fail_events;

pub(super) fn command() -> Command {
    Command::new("events")
        .about("Prints events: the newest, or all after a number or moment")
        .arg(
            Arg::new("after")
                .long("after")
                .value_name("NUMBER")
                .value_parser(clap::value_parser!(u64))
                .help("Only after this sequence number"),
        )
        .arg(
            Arg::new("since")
                .long("since")
                .value_name("TIME")
                .help("Only at this moment or later, like 2026-01-31T12:00:00Z"),
        )
        .arg(Arg::new("kind").long("kind").value_name("PREFIX").help("Only kinds that start so"))
        .arg(Arg::new("subject").long("subject").help("Only about this subject"))
        .arg(Arg::new("source").long("source").help("Only from this source"))
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_parser(clap::value_parser!(u32))
                .default_value("100")
                .help("At most so many, 1000 at most"),
        )
        .arg(
            Arg::new("follow")
                .short('f')
                .long("follow")
                .action(ArgAction::SetTrue)
                .help("Go on as events happen"),
        )
}

pub(super) async fn run(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let wanted = Wanted {
        after: matches.get_one::<u64>("after").copied(),
        kind: text(matches, "kind").to_owned(),
        source: text(matches, "source").to_owned(),
        subject: text(matches, "subject").to_owned(),
        since: text(matches, "since").to_owned(),
        limit: matches.get_one::<u32>("limit").copied(),
    };
    let query = wanted.query().map_err(|why| CommandError::usage("--since does not fit", why))?;
    let is_replay = wanted.after.is_some() || !wanted.since.is_empty();
    let house = context.open_house().await?;
    let events = if is_replay {
        feed::page(&house.events, query.clone()).await
    } else {
        feed::newest(&house.events, query.clone()).await
    };
    let events = events.map_err(fail_events)?;
    for event in &events {
        context.print_line(event, line)?;
    }
    if matches.get_flag("follow") {
        let after = match events.last() {
            Some(last) => feed::seq(last),
            None if is_replay => query.after,
            None => house.events.last_seq().await.map_err(fail_events)?,
        };
        let mut following = Box::pin(house.events.subscribe(after, wanted.filter()));
        while let Some(event) = following.next().await {
            context.print_line(&event.map_err(fail_events)?, line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(event: &Event) -> String {
    let subject = event.subject.as_deref().unwrap_or("-");
    let data = event.json().filter(|data| !data.is_null()).map(ToString::to_string).unwrap_or_default();
    format!("{} {} {} {subject} {data}", feed::seq(event), event.time, event.kind)
}
