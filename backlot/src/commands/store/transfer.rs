//! Into the store and out of it.

use std::path::Path;
use std::process::ExitCode;

use backlot_department::{CommandError, OutputFormat};
use backlot_store::{Digest, Error, Reader, Store};
use clap::ArgMatches;
use serde_json::json;
use tokio::io::{AsyncWriteExt, copy_buf};

use super::super::text;
use crate::exit;
use crate::session::Session;

/// What is read from the store at a time.
const PIECE: usize = 256 << 10;

pub(super) async fn get(
    store: &Store,
    matches: &ArgMatches,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let (what, file) = (text(matches, "what"), text(matches, "file"));
    // No name may look like a digest's text, so a mistyped digest is not looked for among the names.
    let digest = what.starts_with("blake3:").then(|| what.parse::<Digest>()).transpose();
    let digest = digest.map_err(|error| exit::store(&error))?;
    if file == "-" {
        let reader = open(store, what, digest.as_ref()).await?;
        return to_standard_output(reader).await;
    }
    let size = match &digest {
        Some(digest) => store.fetch_to(digest, file).await.map_err(|error| exit::store(&error))?.size,
        None => to_file(open(store, what, None).await?, Path::new(file)).await?,
    };
    let answer = json!({ "file": file, "bytes": size });
    session.context()?.print(&answer, |_| format!("{file} {}", backlot_web::console::format::bytes(size)))?;
    Ok(ExitCode::SUCCESS)
}

async fn open(store: &Store, what: &str, digest: Option<&Digest>) -> Result<Reader, CommandError> {
    let opened = match digest {
        Some(digest) => store.open_blob(digest).await,
        None => store.open_named(what).await,
    };
    opened.map_err(|error| exit::store(&error))
}

async fn to_standard_output(reader: Reader) -> Result<ExitCode, CommandError> {
    let mut reader = tokio::io::BufReader::with_capacity(PIECE, reader);
    let mut output = tokio::io::stdout();
    let copied = async {
        copy_buf(&mut reader, &mut output).await?;
        output.flush().await
    };
    match copied.await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // A reader that has closed the pipe has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(exit::store(&Error::from_read(error))),
    }
}

/// Writes beside the file and renames, so that what is there is never half of it.
async fn to_file(reader: Reader, path: &Path) -> Result<u64, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::failed(
            format!("cannot write {}: {error}", path.display()),
            "check its directory and the space there",
        )
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let partial = tempfile::Builder::new().prefix(".get-").tempfile_in(folder).map_err(failed)?;
    let mut output = tokio::fs::File::from_std(partial.reopen().map_err(failed)?);
    let mut reader = tokio::io::BufReader::with_capacity(PIECE, reader);
    let size =
        copy_buf(&mut reader, &mut output).await.map_err(|error| exit::store(&Error::from_read(error)))?;
    output.flush().await.map_err(failed)?;
    output.sync_data().await.map_err(failed)?;
    partial.persist(path).map_err(|error| failed(error.error))?;
    Ok(size)
}

pub(super) async fn put(
    store: &Store,
    matches: &ArgMatches,
    session: &Session,
) -> Result<ExitCode, CommandError> {
    let file = text(matches, "file");
    let context = session.context()?;
    let stored = match (file, matches.get_one::<String>("name")) {
        ("-", None) => Some(store.put_reader(tokio::io::stdin()).await),
        (path, None) => Some(store.put_file(path).await),
        (_, Some(_)) => None,
    };
    if let Some(stored) = stored {
        let blob = stored.map_err(|error| exit::store(&error))?;
        context.print(&blob, |blob| blob.digest.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = text(matches, "name");
    let media_type = matches.get_one::<String>("type").map_or(backlot_store::OCTET_STREAM, String::as_str);
    let put = if file == "-" {
        let spool = spool_standard_input().await?;
        store.put_named_file(name, spool.path(), media_type).await
    } else {
        store.put_named_file(name, file, media_type).await
    };
    put.map_err(|error| exit::store(&error))?;
    if context.format == OutputFormat::Json {
        context.print(&json!({ "name": name, "media_type": media_type }), |_| String::new())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A named object is put from a file, so that it can be sent again; standard input becomes one first.
async fn spool_standard_input() -> Result<tempfile::NamedTempFile, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::failed(
            format!("cannot keep standard input in a file: {error}"),
            "check TMPDIR and its space",
        )
    };
    let spool = tempfile::NamedTempFile::new().map_err(failed)?;
    let mut output = tokio::fs::File::from_std(spool.reopen().map_err(failed)?);
    tokio::io::copy(&mut tokio::io::stdin(), &mut output).await.map_err(failed)?;
    output.flush().await.map_err(failed)?;
    Ok(spool)
}
