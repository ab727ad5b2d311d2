//! Files of the wheel and of extensions, as a browser loads them.
//!
//! Most of JupyterLab's files have a hash of their content in their name, so a browser may keep them; what has none is asked for anew, with
//! the file's time as its tag.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::Error;

/// A name that holds this many hexadecimal digits in a row is a name for one content only.
const HASH_DIGITS: usize = 16;

/// A file below one of these folders; the first that has it.
pub(super) async fn serve(
    folders: &[PathBuf],
    file: &str,
    headers: &HeaderMap,
    rewrite: Option<&(dyn Fn(String) -> String + Sync)>,
) -> Result<Response, Error> {
    let absent = || Error::not_found(format!("there is no file {file}"));
    let is_plain = |part: &str| !part.is_empty() && part != ".." && part != "." && !part.contains('\0');
    if !file.split('/').all(is_plain) {
        return Err(absent());
    }
    let place = folders.iter().map(|folder| folder.join(file)).find(|place| place.is_file());
    let place = place.ok_or_else(absent)?;
    let modified = std::fs::metadata(&place).and_then(|metadata| metadata.modified()).ok();
    let tag = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let tag = tag.map_or_else(String::new, |since| format!("\"{:x}\"", since.as_nanos()));
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let cache = if has_hash(&place) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kept = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, cache.to_owned())];
    if is_known && !tag.is_empty() {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let bytes = tokio::fs::read(&place).await.map_err(|_| absent())?;
    let bytes = match rewrite {
        Some(rewrite) => rewrite(String::from_utf8_lossy(&bytes).into_owned()).into_bytes(),
        None => bytes,
    };
    Ok((kept, [(header::CONTENT_TYPE, mime(file))], bytes).into_response())
}

fn has_hash(place: &Path) -> bool {
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.split(|c: char| !c.is_ascii_hexdigit()).any(|run| run.len() >= HASH_DIGITS)
}

/// The type of a file. Scripts must have one that runs, also with `nosniff`.
fn mime(file: &str) -> &'static str {
    match file.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "js" | "mjs" => "text/javascript",
        "css" => "text/css",
        "wasm" => "application/wasm",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "map" => "application/json",
        _ => crate::contents::mime_of(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_one_content_are_kept() {
        assert!(has_hash(Path::new("static/main.efd36b46f3b45eb8.js")));
        assert!(has_hash(Path::new("0031b1860ea4ad75.woff")));
        assert!(!has_hash(Path::new("index.html")));
        assert!(!has_hash(Path::new("@jupyterlab/theme-dark-extension/index.css")));
    }
}
