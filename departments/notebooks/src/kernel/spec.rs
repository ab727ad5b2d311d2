//! Kernelspecs: which kernels are installed, found where Jupyter finds them.
//!
//! The folders are jupyter_core's: `JUPYTER_PATH`, the user's data folder, the Python environments in reach, the system's. We are
//! no Python ourselves, so the environment whose kernels count is the one that the user is in: `VIRTUAL_ENV`, `CONDA_PREFIX`, and
//! that of the first `python3` on the `PATH`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::KernelError;

/// What a kernel's folder says about it: `kernel.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSpec {
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
}

/// How a kernel is told to stop what it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterruptMode {
    /// SIGINT to its process group.
    #[default]
    Signal,
    /// `interrupt_request` on its control channel.
    Message,
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
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let home = given("HOME").map(PathBuf::from);
        let path: Vec<PathBuf> =
            given("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        let mut data: Vec<PathBuf> = Vec::new();
        data.extend(given("JUPYTER_PATH").iter().flat_map(std::env::split_paths));
        let user = given("JUPYTER_DATA_DIR").map(PathBuf::from);
        let user = user.or_else(|| Some(given("XDG_DATA_HOME").map(PathBuf::from)?.join("jupyter")));
        let user = user.or_else(|| Some(home?.join(".local/share/jupyter")));
        let mut prefixes: Vec<PathBuf> = ["BACKLOT_VENV", "VIRTUAL_ENV", "CONDA_PREFIX"]
            .iter()
            .filter_map(|name| given(name).map(PathBuf::from))
            .collect();
        let python = path.iter().find(|folder| folder.join("python3").exists());
        prefixes.extend(python.and_then(|folder| folder.parent()).map(Path::to_owned));
        // An environment that was entered counts over the user's own kernels, as in jupyter_core.
        data.extend(prefixes.iter().map(|prefix| prefix.join("share/jupyter")));
        data.extend(user);
        data.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));
        let mut folders: Vec<PathBuf> = Vec::new();
        for folder in data.into_iter().map(|folder| folder.join("kernels")) {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        KernelSearch { folders, path }
    }

    /// The kernel of a name. Names do not depend on case, as Jupyter's.
    ///
    /// # Errors
    /// No such kernel; a `kernel.json` that cannot be read.
    pub fn find(&self, name: &str) -> Result<KernelSpec, KernelError> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let wanted = name.to_ascii_lowercase();
        if is_name(name) {
            for folder in &self.folders {
                for (found, path) in kernels_in(folder) {
                    if found == wanted {
                        return self.read(&path);
                    }
                }
            }
            // Notebooks from before kernelspecs had names say `python`, and mean whichever Python there is.
            if wanted == "python" {
                return self.find("python3");
            }
        }
        let known: Vec<String> = self.names().into_iter().collect();
        Err(KernelError::NoSuchKernel {
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

    fn read(&self, folder: &Path) -> Result<KernelSpec, KernelError> {
        let file = folder.join("kernel.json");
        let unusable = |why: String| KernelError::BadSpec { file: file.clone(), why };
        let text = std::fs::read(&file).map_err(|error| unusable(error.to_string()))?;
        let mut spec: KernelSpec =
            serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        folder.clone_into(&mut spec.folder);
        match spec.argv.first().map(String::as_str) {
            None => return Err(unusable("its `argv` is empty".to_owned())),
            Some("python" | "python3") => spec.argv[0] = self.python_for(folder),
            Some(_) => {}
        }
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

fn kernels_in(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("kernel.json").is_file())
        .map(|entry| (entry.file_name().to_string_lossy().to_ascii_lowercase(), entry.path()))
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
