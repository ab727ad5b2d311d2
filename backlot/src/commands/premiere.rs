//! `backlot premiere`: with a server it hands the work over; without one it is the server while it works.

use std::io::IsTerminal;
use std::process::ExitCode;

use backlot_department::{CommandError, House};
use backlot_web::Tokens;
use clap::{ArgMatches, Command};

use super::console::login;
use super::up;
use crate::exit;
use crate::home::{self, HomeLock};
use crate::premiere;
use crate::premiere_report::Scene;
use crate::session::Session;
use crate::settings::keys;
use crate::signals::Stop;

pub(super) fn command() -> Command {
    premiere::command().args([keys::BIND.arg(), keys::HOSTS.arg(), keys::CPUS.arg(), keys::MEMORY.arg()])
}

pub(super) async fn run(matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let context = session.context()?;
    if let Some(server) = session.server()? {
        session.require_local()?;
        let house = session.require_house().await?;
        let run = premiere::begin(matches, &context, &house).await?;
        if matches.get_flag("detach") {
            context.print(&serde_json::json!({"id": run}), |_| run.clone())?;
            return Ok(ExitCode::SUCCESS);
        }
        session.say(format!("premiere {run} on the server at {}", server.url));
        say_what_is_left_out(session);
        let status = premiere::follow(&house, &run, |line| session.say(line)).await?;
        return premiere::conclude(matches, &context, &house, &status, Some(&server.url)).await;
    }
    if matches.get_flag("detach") {
        return Err(CommandError::new(
            CommandError::UNREACHABLE,
            format!("no server runs for {}, so nobody would do the work", session.home().display()),
            "start one with `backlot up`, or leave --detach out",
        ));
    }
    let stop = Stop::on_signals()?;
    home::open(session.home())?;
    let lock = HomeLock::acquire(session.home()).await?;
    // The premiere must not fail because another program has the usual port.
    let listener = up::bind(session).or_else(|_| up::bind_anywhere())?;
    let address = listener.local_addr().map_err(up::broken)?;
    let house = session.require_house().await?;
    let tokens = Tokens::open(session.home()).map_err(|error| exit::failure(CommandError::FAILED, &error))?;
    // As little because of another port: the premiere needs none of the departments' own sockets.
    let serves = house.serve(&session.departments).await;
    if let Err(error) = &serves {
        session.say(format!("some doors stay closed: {error}"));
    }
    let shell = up::shell(session, &house, tokens, address)?;
    let worker = super::worker::start(&house, &session.settings, None).await?;
    let note = up::Note::leave(session.home(), &up::url(address)).await?;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let ended = async {
            let _ = ended.await; // also when this command is gone
        };
        shell.serve(listener, ended).await
    });

    let endpoint = session.server()?;
    let url = up::url(address);
    let result = tokio::select! {
        result = perform(matches, session, &house, &url) => result,
        () = stop.clone().wait() => Err(CommandError::new(
            130,
            "the premiere was interrupted; what is done is kept",
            "run the same command again to go on",
        )),
    };
    let stays = result.is_ok() && std::io::stdout().is_terminal() && !matches.get_flag("exit");
    if stays && let Some(endpoint) = endpoint {
        session.say(format!("the console is open until Ctrl-C:\n\n    {}\n", login(&endpoint)));
        stop.clone().wait().await;
    }
    worker.stop().await;
    let _ = end.send(());
    let _ = serving.await;
    note.withdraw().await;
    if serves.is_ok() {
        house.stop(&session.departments).await;
    }
    drop(lock);
    result
}

async fn perform(
    matches: &ArgMatches,
    session: &Session,
    house: &House,
    url: &str,
) -> Result<ExitCode, CommandError> {
    let context = session.context()?;
    let run = premiere::begin(matches, &context, house).await?;
    session.say(format!("premiere {run}; watch it at {url}/titles/{run}"));
    say_what_is_left_out(session);
    let status = premiere::follow(house, &run, |line| session.say(line)).await?;
    premiere::conclude(matches, &context, house, &status, Some(url)).await
}

fn say_what_is_left_out(session: &Session) {
    if let Some(told) = Scene::here().told() {
        session.say(told);
    }
}
