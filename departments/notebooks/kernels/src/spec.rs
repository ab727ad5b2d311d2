//! Kernelspecs: which kernels are installed, found where Jupyter finds them.
//!
//! The folders are jupyter_core's: `JUPYTER_PATH`, the user's data folder, the Python environments in reach, the system's. We are
//! no Python ourselves, so the environment whose kernels count is the one that the user is in: `VIRTUAL_ENV`, `CONDA_PREFIX`, and
//! that of the first `python3` on the `PATH`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

/// The kernel that is started when none is named, if it is installed.
const DEFAULT: &str = "python3";

/// What is wrong with the name of a kernel, or with its folder.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// No kernel of this name.
    #[error("there is no kernel `{name}`; {known} (`jupyter kernelspec list` shows where)")]
    NoSuchKernel {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A `kernel.json` that cannot be used.
    #[error("{file} is no kernelspec: {why}; install the kernel again", file = .file.display())]
    BadSpec {
        /// The file.
        file: PathBuf,
        /// Why not.
        why: String,
    },
}

/// What a kernel's folder says about it: `kernel.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KernelSpec {
    /// The name by which it is asked for: that of its folder, in small letters.
    #[serde(skip)]
    pub name: String,
    /// Its command; `{connection_file}` stands for the file that tells it where to listen.
    pub argv: Vec<String>,
    /// Its name for people.
    #[serde(default)]
    pub display_name: String,
    /// Its language.
    #[serde(default)]
    pub language: String,
    /// Variables that it gets.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How it is interrupted: by signal or message.
    #[serde(default)]
    pub interrupt_mode: InterruptMode,
    /// Its folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The whole of its `kernel.json` as it is written, with what is left out filled in: what clients are shown.
    #[serde(skip)]
    pub json: Value,
}

/// How a kernel is told to stop what it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterruptMode {
    /// SIGINT to its process group.
    #[default]
    Signal,
    /// `interrupt_request` on its control channel.
    Message,
}

/// Where Jupyter's parts look for what is installed, first match first: each folder holds `kernels`, `lab`, `labextensions`.
pub fn data_folders(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let mut data: Vec<PathBuf> = Vec::new();
    data.extend(given("JUPYTER_PATH").iter().flat_map(std::env::split_paths));
    let user = given("JUPYTER_DATA_DIR").map(PathBuf::from);
    let user = user.or_else(|| Some(given("XDG_DATA_HOME").map(PathBuf::from)?.join("jupyter")));
    let user = user.or_else(|| Some(given("HOME").map(PathBuf::from)?.join(".local/share/jupyter")));
    let mut prefixes: Vec<PathBuf> = ["BACKLOT_VENV", "VIRTUAL_ENV", "CONDA_PREFIX"]
        .iter()
        .filter_map(|name| given(name).map(PathBuf::from))
        .collect();
    let python = programs(variable).into_iter().find(|folder| folder.join("python3").exists());
    prefixes.extend(python.as_deref().and_then(Path::parent).map(Path::to_owned));
    // An environment that was entered counts over the user's own folder, as in jupyter_core.
    data.extend(prefixes.iter().map(|prefix| prefix.join("share/jupyter")));
    data.extend(user);
    data.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));
    let mut once: Vec<PathBuf> = Vec::new();
    for folder in data {
        if !once.contains(&folder) {
            once.push(folder);
        }
    }
    once
}

fn programs(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty()).collect()
}

/// Where kernels are looked for; built from the environment once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSearch {
    folders: Vec<PathBuf>,
    /// Folders of programs, for the interpreter that `python` stands for.
    path: Vec<PathBuf>,
}

impl KernelSearch {
    /// As this process's environment says.
    pub fn from_env() -> KernelSearch {
        KernelSearch::with(&|name| std::env::var_os(name))
    }

    /// As these variables say.
    pub fn with(variable: &dyn Fn(&str) -> Option<OsString>) -> KernelSearch {
        let folders = data_folders(variable).into_iter().map(|folder| folder.join("kernels")).collect();
        KernelSearch { folders, path: programs(variable) }
    }

    /// Folders that hold a folder for each kernel; the first match counts.
    pub fn new(folders: Vec<PathBuf>) -> KernelSearch {
        let path = std::env::var_os("PATH").unwrap_or_default();
        KernelSearch { folders, path: std::env::split_paths(&path).collect() }
    }

    /// The same, but kernels in this folder count over all others.
    #[must_use]
    pub fn before(mut self, folder: PathBuf) -> KernelSearch {
        self.folders.insert(0, folder);
        self
    }

    /// The kernel of a name. Names do not depend on case, as Jupyter's.
    ///
    /// # Errors
    /// No such kernel; a `kernel.json` that cannot be read.
    pub fn find(&self, name: &str) -> Result<KernelSpec, SpecError> {
        let wanted = name.to_ascii_lowercase();
        if is_name(name) {
            for folder in &self.folders {
                for (found, path) in kernels_in(folder) {
                    if found == wanted {
                        return self.read(&wanted, &path);
                    }
                }
            }
            // Notebooks from before kernelspecs had names say `python`, and mean whichever Python there is.
            if wanted == "python" {
                return self.find("python3");
            }
        }
        let known: Vec<String> = self.names().into_iter().collect();
        Err(SpecError::NoSuchKernel {
            name: name.to_owned(),
            known: if known.is_empty() {
                "none is installed".to_owned()
            } else {
                format!("there are {}", known.join(", "))
            },
        })
    }

    /// The names of all kernels.
    pub fn names(&self) -> std::collections::BTreeSet<String> {
        self.folders.iter().flat_map(|folder| kernels_in(folder)).map(|(name, _)| name).collect()
    }

    /// All kernels by name, and what is wrong with those that cannot be used.
    pub fn all(&self) -> (BTreeMap<String, KernelSpec>, Vec<SpecError>) {
        let mut specs = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, path) in self.folders.iter().flat_map(|folder| kernels_in(folder)) {
            if !specs.contains_key(&name) {
                match self.read(&name, &path) {
                    Ok(spec) => drop(specs.insert(name, spec)),
                    Err(error) => errors.push(error),
                }
            }
        }
        (specs, errors)
    }

    /// The kernel that is started when none is named: `python3`, or the first there is.
    pub fn default_name(&self) -> String {
        let names = self.names();
        if names.contains(DEFAULT) {
            return DEFAULT.to_owned();
        }
        names.into_iter().next().unwrap_or_else(|| DEFAULT.to_owned())
    }

    fn read(&self, name: &str, folder: &Path) -> Result<KernelSpec, SpecError> {
        let file = folder.join("kernel.json");
        let unusable = |why: String| SpecError::BadSpec { file: file.clone(), why };
        let text = std::fs::read(&file).map_err(|error| unusable(error.to_string()))?;
        let mut json: Value = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        let object = json.as_object_mut().ok_or_else(|| unusable("it is no JSON object".to_owned()))?;
        let defaults = [
            ("argv", json!([])),
            ("env", json!({})),
            ("display_name", json!("")),
            ("language", json!("")),
            ("interrupt_mode", json!("signal")),
            ("metadata", json!({})),
        ];
        for (key, default) in defaults {
            object.entry(key).or_insert(default);
        }
        let mut spec = KernelSpec::deserialize(&json).map_err(|error| unusable(error.to_string()))?;
        name.clone_into(&mut spec.name);
        folder.clone_into(&mut spec.folder);
        match spec.argv.first().map(String::as_str) {
            None => return Err(unusable("its `argv` is empty".to_owned())),
            Some("python" | "python3") => spec.argv[0] = self.python_for(folder),
            Some(_) => {}
        }
        spec.json = json;
        Ok(spec)
    }

    /// The interpreter for a kernel that only says `python`: that of the environment the kernel lies in.
    fn python_for(&self, folder: &Path) -> String {
        let prefix = folder.ancestors().nth(4);
        let own = prefix.into_iter().map(|prefix| prefix.join("bin"));
        let candidates = own.chain(self.path.iter().cloned());
        let found = candidates
            .flat_map(|folder| ["python3", "python"].map(|name| folder.join(name)))
            .find(|path| path.exists());
        found.map_or_else(|| "python3".to_owned(), |path| path.to_string_lossy().into_owned())
    }
}

/// Whether a kernel may be called this, as Jupyter's rules are.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn kernels_in(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("kernel.json").is_file())
        .map(|entry| (entry.file_name().to_string_lossy().to_ascii_lowercase(), entry.path()))
        .filter(|(name, _)| is_name(name))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_where_jupyter_finds_them() {
        let home = tempfile::tempdir().unwrap();
        let venv = home.path().join("venv");
        for (prefix, name) in
            [(venv.join("share/jupyter"), "python3"), (home.path().join(".local/share/jupyter"), "IR")]
        {
            let folder = prefix.join("kernels").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(
                folder.join("kernel.json"),
                r#"{"argv": ["python", "-f", "{connection_file}"], "language": "x"}"#,
            )
            .unwrap();
        }
        std::fs::create_dir_all(venv.join("bin")).unwrap();
        std::fs::write(venv.join("bin/python3"), "").unwrap();
        let root = home.path().as_os_str().to_owned();
        let search = KernelSearch::with(&|name| match name {
            "HOME" => Some(root.clone()),
            "PATH" => Some(venv.join("bin").into_os_string()),
            _ => None,
        });
        assert_eq!(search.find("ir").unwrap().language, "x");
        assert_eq!(search.find("python3").unwrap().argv[0], venv.join("bin/python3").to_string_lossy());
        let error = search.find("../x").unwrap_err().to_string();
        assert!(error.starts_with("there is no kernel `../x`; there are "), "{error}");
    }
}
