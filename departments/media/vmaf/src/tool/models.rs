//! Where models of a given version are found.
//!
//! Nothing is shipped here: libvmaf's models are files of its own release, and every ffmpeg with libvmaf embeds them as
//! plain text. They are looked for in the folders of `BACKLOT_VMAF_MODELS` and libvmaf's installation, in the cache, and
//! in ffmpeg programs; a text found in a program counts only with the digest of the published file, and is then cached.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::known::{KNOWN, Known};
use crate::{Error, MAX_MODEL_BYTES};

/// The environment variable with folders of model files.
pub const FOLDERS_VARIABLE: &str = "BACKLOT_VMAF_MODELS";
/// Where libvmaf's installations put models.
const INSTALLED: &[&str] =
    &["/usr/local/share/model", "/usr/share/model", "/usr/local/share/vmaf/model", "/usr/share/vmaf/model"];
/// The largest program that is searched. Static builds of ffmpeg have up to 200 MB.
const MAX_PROGRAM_BYTES: u64 = 1 << 30;

/// The text of the model file at `path`.
///
/// # Errors
/// [`Error::File`], [`Error::Model`] where the file is too large.
pub fn read_model(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::File { what: "cannot read model", path: path.display().to_string(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(MAX_MODEL_BYTES as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() > MAX_MODEL_BYTES {
        return Err(Error::Model(format!("{} has more than {MAX_MODEL_BYTES} bytes", path.display())));
    }
    String::from_utf8(text).map_err(|_| Error::Model(format!("{} is not text", path.display())))
}

/// The text of the model `version`, such as `vmaf_v0.6.1`.
///
/// # Errors
/// [`Error::NoModel`] with the places looked at; those of [`read_model`].
pub fn find_model(version: &str) -> Result<String, Error> {
    find_model_beside(version, &[])
}

/// As [`find_model`], in these ffmpeg programs before any other.
///
/// # Errors
/// As [`find_model`].
pub fn find_model_beside(version: &str, own: &[PathBuf]) -> Result<String, Error> {
    let is_name =
        !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let folders = if is_name { folders() } else { Vec::new() };
    for folder in &folders {
        if let Some(path) = in_folder(folder, version) {
            return read_model(&path);
        }
    }
    let mut looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let Some(known) = KNOWN.iter().find(|known| known.version == version) else {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.version).collect();
        looked.push(format!("ffmpeg programs, which embed {}", names.join(", ")));
        return Err(Error::NoModel { version: version.to_owned(), looked: looked.join(", ") });
    };
    let cached = cache_folder().map(|folder| folder.join(format!("{version}.json")));
    if let Some(text) =
        cached.as_deref().and_then(|path| fs::read(path).ok()).filter(|text| is_it(known, text))
    {
        return into_text(text);
    }
    for program in own.iter().cloned().chain(programs()) {
        if let Some(text) = in_program(&program, known) {
            if let Some(path) = &cached {
                // The cache only saves time; the digest is checked when it is read.
                let _ =
                    path.parent().map(fs::create_dir_all).transpose().and_then(|_| write_whole(path, &text));
            }
            return into_text(text);
        }
        looked.push(program.display().to_string());
    }
    Err(Error::NoModel { version: version.to_owned(), looked: looked.join(", ") })
}

fn into_text(text: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(text).map_err(|_| Error::Model("it is not text".to_owned()))
}

fn is_it(known: &Known, text: &[u8]) -> bool {
    text.len() == known.bytes && blake3::hash(text).to_hex().as_str() == known.digest
}

/// Writes a file so that a reader sees all of it or nothing.
fn write_whole(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

fn folders() -> Vec<PathBuf> {
    let given = env::var_os(FOLDERS_VARIABLE).unwrap_or_default();
    let given = env::split_paths(&given).filter(|path| !path.as_os_str().is_empty()).collect::<Vec<_>>();
    given.into_iter().chain(INSTALLED.iter().map(PathBuf::from)).collect()
}

/// `VERSION.json` in `folder` or in a folder within it, as libvmaf's own tree has them.
fn in_folder(folder: &Path, version: &str) -> Option<PathBuf> {
    let name = format!("{version}.json");
    let direct = folder.join(&name);
    if direct.is_file() {
        return Some(direct);
    }
    let inner = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path().join(&name));
    inner.filter(|path| path.is_file()).min()
}

fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(root.join("backlot").join("vmaf"))
}

/// ffmpeg programs that may embed models: the configured one, those that Python packages brought, those on the path.
fn programs() -> Vec<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut programs: Vec<PathBuf> = set("BACKLOT_FFMPEG").into_iter().collect();
    let environments =
        [set("BACKLOT_VENV"), set("VIRTUAL_ENV"), Some(PathBuf::from(".venv")), Some("/usr/local".into())];
    for environment in environments.into_iter().flatten() {
        let libraries = sorted(&environment.join("lib"));
        for python in libraries.iter().filter(|path| starts_with(path, "python")) {
            for packages in ["site-packages", "dist-packages"] {
                let binaries = sorted(&python.join(packages).join("imageio_ffmpeg/binaries"));
                programs.extend(binaries.into_iter().filter(|path| starts_with(path, "ffmpeg")));
            }
        }
    }
    let on_path = env::var_os("PATH").unwrap_or_default();
    programs
        .extend(env::split_paths(&on_path).map(|folder| folder.join("ffmpeg")).filter(|path| path.is_file()));
    programs
}

fn starts_with(path: &Path, start: &str) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(start))
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    paths
}

/// The model's text within a program.
fn in_program(program: &Path, known: &Known) -> Option<Vec<u8>> {
    const START: &[u8] = b"{\n    \"";
    if fs::metadata(program).ok()?.len() > MAX_PROGRAM_BYTES {
        return None;
    }
    let bytes = fs::read(program).ok()?;
    let last = bytes.len().checked_sub(known.bytes)?;
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|&byte| byte == b'{') {
        let start = at + next;
        if start > last {
            return None;
        }
        if bytes[start..].starts_with(START) {
            let text = &bytes[start..start + known.bytes];
            if text.ends_with(b"}") && is_it(known, text) {
                return Some(text.to_vec());
            }
        }
        at = start + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_in_a_program_by_its_digest() {
        let text = b"{\n    \"a\": 1\n}";
        let digest = blake3::hash(text).to_hex().to_string();
        let known = Known { version: "x", bytes: text.len(), digest: Box::leak(digest.into_boxed_str()) };
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ffmpeg");
        fs::write(&program, [b"{\n    \"b\": 1\n} \0{", text.as_slice(), b"\0rest"].concat()).unwrap();
        assert_eq!(in_program(&program, &known).unwrap(), text);
        fs::write(&program, b"{\n    \"a\": 2\n}").unwrap();
        assert_eq!(in_program(&program, &known), None);
    }

    #[test]
    fn an_unknown_version_is_named_with_the_places() {
        let error = find_model("vmaf_v9").unwrap_err().to_string();
        assert!(error.contains("vmaf_v9") && error.contains("vmaf_v0.6.1neg"), "{error}");
        assert!(find_model("../../etc/passwd").is_err());
    }
}
