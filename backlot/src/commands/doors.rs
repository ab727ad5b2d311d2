//! `backlot doors`: every way into the house, and what points a client there.
//!
//! Doors are data that departments give for a house. So that looking at them makes no files and needs no database, the house
//! here is a throw-away one with the real configuration.

use std::process::ExitCode;

use backlot_department::{CommandError, Department, Endpoint, House, OutputFormat};
use backlot_ledger::Ledger;
use backlot_store::{Store, StoreUrl};
use backlot_web::{Door, DoorAddress};
use clap::{ArgMatches, Command};
use serde::Serialize;

use crate::exit;
use crate::session::{Session, blocking, house_failure};
use crate::table::Table;

pub(super) fn command() -> Command {
    Command::new("doors").about("Lists every door, the client it serves, and what points the client there")
}

/// A door, as it is listed.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    department: String,
    name: String,
    url: String,
    access: String,
    client: String,
    /// The variable or flag, and the value that it takes.
    set: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    /// Whether a server answers at these addresses now, as far as is known.
    running: bool,
    base: String,
    doors: Vec<Listed>,
}

pub(super) async fn run(_matches: &ArgMatches, session: &Session) -> Result<ExitCode, CommandError> {
    let context = session.context()?;
    let server = context.server().cloned();
    let base = base_url(session, server.as_ref());
    let scratch = tempfile::tempdir().map_err(|error| {
        CommandError::failed(
            format!("cannot make a temporary directory: {error}"),
            "check TMPDIR and its space",
        )
    })?;
    let house = {
        let (session, place) = (session.clone(), scratch.path().to_owned());
        blocking(move || -> Result<House, CommandError> {
            let ledger = Ledger::open("sqlite::memory:").map_err(|error| exit::ledger(&error))?;
            let url = StoreUrl::folder(&place.join("store")).map_err(|error| exit::store(&error))?;
            let store = Store::open(&url.to_string()).map_err(|error| exit::store(&error))?;
            let config = session.settings.config();
            House::open(session.home(), config, store, ledger, &session.departments).map_err(house_failure)
        })
        .await?
    };
    let mut doors = vec![Listed {
        department: "the house".into(),
        name: "console".into(),
        url: format!("{base}/"),
        access: "any token".into(),
        client: "a browser".into(),
        set: Some("`backlot console` prints the link".into()),
    }];
    for department in session.departments.iter() {
        doors.extend(department.doors(&house).iter().map(|door| listed(&**department, door, &base)));
    }
    if server.is_none() && context.format == OutputFormat::Text {
        session.say("no server runs; these doors open with `backlot up`");
    }
    context.print(&Answer { running: server.is_some(), base, doors }, |answer| {
        let mut table = Table::new(["DEPARTMENT", "DOOR", "ADDRESS", "ACCESS", "CLIENT", "SET"]);
        for door in &answer.doors {
            table.row([
                door.department.as_str().into(),
                door.name.as_str().into(),
                door.url.as_str().into(),
                door.access.as_str().into(),
                door.client.as_str().into(),
                door.set.as_deref().unwrap_or_default().into(),
            ]);
        }
        table.render()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Where the doors are, or would be.
fn base_url(session: &Session, server: Option<&Endpoint>) -> String {
    match server {
        Some(endpoint) => endpoint.url.clone(),
        None => super::up::url(session.settings.bind.value),
    }
}

fn listed(department: &dyn Department, door: &Door, base: &str) -> Listed {
    let (url, target) = match &door.address {
        // A client of an HTTP door takes the house's address and knows the path, or takes the whole.
        DoorAddress::Http { prefix, .. } => {
            let url = format!("{base}{prefix}");
            let target = if door.env == "BACKLOT_URL" { base.to_owned() } else { url.clone() };
            (url, target)
        }
        DoorAddress::Socket { url } => (url.to_string(), url.to_string()),
        other => (format!("{other:?}"), String::new()),
    };
    let set = match door.env.as_ref() {
        "" => None,
        flag if flag.starts_with('-') => Some(format!("{flag} {target}")),
        variable => Some(format!("{variable}={target}")),
    };
    Listed {
        department: department.name().to_owned(),
        name: door.name.to_string(),
        url,
        access: door.access.to_string(),
        client: door.client.to_string(),
        set,
    }
}
