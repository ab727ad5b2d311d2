//! Versions on the command line: what is kept, back to an old one, publishing and cloning.

use std::process::ExitCode;

use backlot_bookstore::{Bookstore, Version, key};
use backlot_department::{CommandContext, CommandError};
use backlot_notebooks_model::Notebook;
use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::tools::word;
use crate::chance;
use crate::shop::{Shop, failed};

/// Who does it: the user, as the journal of versions names them.
fn me() -> String {
    std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "command line".to_owned())
}

/// The bookstore of the home.
pub(super) async fn open(context: &CommandContext) -> Result<Bookstore, CommandError> {
    let house = context.open_house().await?;
    let shop = Shop::default();
    shop.open(&house)?;
    let opened = shop.get().cloned();
    opened.ok_or_else(|| CommandError::failed("the versions cannot be opened", "see `backlot doctor`"))
}

fn notebook_arg(help: &'static str) -> Arg {
    Arg::new("notebook").required(true).value_name("NOTEBOOK").help(help)
}

pub(super) fn commands() -> [Command; 5] {
    [
        Command::new("versions")
            .about("List the kept versions of a notebook, or the notebooks that have some")
            .arg(
                Arg::new("notebook")
                    .value_name("NOTEBOOK")
                    .help("Its path in the workspace; leave it out for all notebooks"),
            ),
        Command::new("keep")
            .about("Keep a file as a version, as a save in Jupyter does")
            .arg(Arg::new("file").required(true).value_name("FILE").help("A notebook on this machine"))
            .arg(
                Arg::new("as")
                    .long("as")
                    .value_name("PATH")
                    .help("Its path in the workspace; the file's name unless given"),
            ),
        Command::new("restore")
            .about("Write an old version into its file again; what the file holds is kept before")
            .arg(notebook_arg("The path and the version: report.ipynb@3")),
        Command::new("publish")
            .about("Publish a notebook, or a version of it, for others to clone")
            .arg(notebook_arg("The path, with a version or without: report.ipynb@3")),
        Command::new("clone")
            .about("Copy a notebook into the workspace, under a name that is free")
            .arg(Arg::new("source").required(true).value_name("SOURCE").help(
                "s3://BUCKET/KEY, a path with a version (report.ipynb@3), or a file below fs_cloning_basedir",
            ))
            .arg(Arg::new("target").value_name("PATH").help("Where to; the source's name unless given")),
    ]
}

pub(super) async fn versions(
    matches: &ArgMatches,
    context: &CommandContext,
) -> Result<ExitCode, CommandError> {
    let bookstore = open(context).await?;
    let Some(path) = matches.get_one::<String>("notebook") else {
        for kept in bookstore.paths(None).await.map_err(failed)? {
            let newest = &kept.newest;
            let value = json!({
                "path": kept.path, "versions": kept.versions, "saved": newest.saved.to_string(),
                "author": newest.author, "size": newest.size,
            });
            context.print_line(&value, |_| {
                format!("{}\t{} versions\t{}\t{}", kept.path, kept.versions, newest.saved, newest.author)
            })?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    for version in bookstore.versions(path, None).await.map_err(failed)? {
        context.print_line(&as_json(&version), |_| line(&version))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(version: &Version) -> serde_json::Value {
    json!({
        "path": version.path, "version": version.number, "digest": version.digest.to_string(),
        "saved": version.saved.to_string(), "author": version.author, "size": version.size, "note": version.note,
    })
}

fn line(version: &Version) -> String {
    let note = if version.note.is_empty() { String::new() } else { format!("\t{}", version.note) };
    let digest = &version.digest.to_hex()[..12];
    format!("{}\t{}\t{}\t{}\t{digest}{note}", version.number, version.saved, version.author, version.size)
}

fn told(version: &Version) -> String {
    format!("{} version {}", version.path, version.number)
}

pub(super) async fn keep(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let file = word(matches, "file");
    let bytes = std::fs::read(&file)
        .map_err(|error| CommandError::failed(format!("{file}: {error}"), "give the path of a notebook"))?;
    Notebook::read_as_is(&bytes).map_err(super::failed)?;
    let name = std::path::Path::new(&file).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = matches.get_one::<String>("as").cloned().unwrap_or(name);
    let kept = open(context).await?.saved(&path, bytes.into(), &me()).await.map_err(failed)?;
    context.print(&as_json(&kept), |_| told(&Version { path, ..kept.clone() }))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn restore(
    matches: &ArgMatches,
    context: &CommandContext,
) -> Result<ExitCode, CommandError> {
    let given = word(matches, "notebook");
    let (path, Some(version)) = key::with_version(&given) else {
        return Err(CommandError::usage(
            format!("`{given}` names no version"),
            "write it behind the path: report.ipynb@3",
        ));
    };
    let restored = open(context).await?.restore(path, version, &me()).await.map_err(failed)?;
    context.print(&as_json(&restored), |_| {
        format!("{path} is as in version {version} again, which is version {}", restored.number)
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn publish(
    matches: &ArgMatches,
    context: &CommandContext,
) -> Result<ExitCode, CommandError> {
    let given = word(matches, "notebook");
    let (path, version) = key::with_version(&given);
    let place = open(context).await?.publish_path(path, version, &me()).await.map_err(failed)?;
    context.print(&json!({ "published": place }), |_| place.clone())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn clone(matches: &ArgMatches, context: &CommandContext) -> Result<ExitCode, CommandError> {
    let (source, target) = (word(matches, "source"), matches.get_one::<String>("target"));
    let cloned = open(context).await?.clone_from(&source, target.map(String::as_str), &me()).await;
    let path = cloned.map_err(failed)?;
    context.print(&json!({ "path": path }), |_| path.clone())?;
    Ok(ExitCode::SUCCESS)
}

/// A notebook by a word: a file, or a path of the workspace with its version behind it.
pub(super) async fn read(place: &str, context: &CommandContext) -> Result<Notebook, CommandError> {
    let (path, version) = key::with_version(place);
    if version.is_none() || std::path::Path::new(place).exists() {
        return super::tools::read(place).await;
    }
    let (_, bytes) = open(context).await?.read(path, version).await.map_err(failed)?;
    Notebook::read(&bytes, &mut chance::new_cell_id).map_err(super::failed)
}

/// The newest version of the path of a word that names a version.
pub(super) async fn newest(place: &str, context: &CommandContext) -> Result<Notebook, CommandError> {
    let (path, Some(_)) = key::with_version(place) else {
        return Err(CommandError::usage(
            format!("`{place}` is compared with nothing"),
            "name a second notebook, or a version (report.ipynb@3) to compare with the newest",
        ));
    };
    let (_, bytes) = open(context).await?.read(path, None).await.map_err(failed)?;
    Notebook::read(&bytes, &mut chance::new_cell_id).map_err(super::failed)
}
