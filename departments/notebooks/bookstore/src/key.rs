//! Keys: where a notebook lies on a shelf, as bookstore has them in its bucket.
//!
//! A shelf is a prefix: what people work on lies on `workspace`, what they gave to others on `published`. A key is the shelf and
//! the path below it. Paths come from clients: what climbs, is absolute, empty or holds control characters is refused here, so
//! a key is safe as an object's name and as a file's.

use crate::error::Error;

/// The longest key: S3's limit.
pub const LONGEST: usize = 1024;

/// Joins the parts of a key with `/`: empty ones are left out, a `/` at a part's begin is dropped.
pub fn join(parts: &[&str]) -> String {
    let parts = parts.iter().map(|part| part.trim_start_matches('/')).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("/")
}

/// A path of a client: `.` and doubled slashes are taken out.
///
/// # Errors
/// [`Error::NotAPath`].
pub fn clean(path: &str) -> Result<String, Error> {
    let refuse = |why| Error::NotAPath { path: path.chars().take(200).collect(), why };
    if path.chars().any(char::is_control) {
        return Err(refuse("it holds a control character"));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() {
        return Err(refuse("it is empty"));
    }
    if parts.contains(&"..") {
        return Err(refuse("it climbs with `..`"));
    }
    if path.len() > LONGEST / 2 || parts.iter().any(|part| part.len() > 255) {
        return Err(refuse("it is too long"));
    }
    Ok(parts.join("/"))
}

/// Whether a file of this name is a notebook, as bookstore sees it.
pub fn is_notebook(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && matches!(end, "ipynb" | "jpynb"))
}

/// A path and the version that may stand behind it: `a/b.ipynb@3`.
pub fn with_version(word: &str) -> (&str, Option<u64>) {
    match word.rsplit_once('@').and_then(|(path, version)| Some((path, version.parse().ok()?))) {
        Some((path, version)) => (path, Some(version)),
        None => (word, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_joined_as_bookstore_joins_them() {
        assert_eq!(join(&["bucket", "workspace", "/a/b.ipynb"]), "bucket/workspace/a/b.ipynb");
        assert_eq!(join(&["", "published", ""]), "published");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        assert_eq!(clean("./a//b.ipynb").unwrap(), "a/b.ipynb");
        assert_eq!(clean("/a.ipynb").unwrap(), "a.ipynb");
        let long = "x/".repeat(600);
        for path in ["", "/", ".", "../a", "a/../b", "a\0b", "a\nb", &long] {
            assert!(clean(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn versions_stand_behind_the_path() {
        assert_eq!(with_version("a/b.ipynb@12"), ("a/b.ipynb", Some(12)));
        assert_eq!(with_version("a@b.ipynb"), ("a@b.ipynb", None));
        assert!(is_notebook("x/a.ipynb") && !is_notebook("x/.ipynb") && !is_notebook("ipynb"));
    }
}
