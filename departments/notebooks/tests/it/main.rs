//! Notebooks through a real kernel: ipykernel, when the environment of the tests has it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod faults;
mod hostile;
mod kind;
mod pool;
mod run;
mod versions;

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_notebooks::{Failure, Finished, KernelSearch, Kernels, Log, Request, run};
use backlot_notebooks_model::{Cell, Notebook};

/// The kernels of the tests' Python environment; a loud skip if there is no Python kernel.
fn kernels() -> Option<KernelSearch> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv");
    let venv = std::env::var_os("BACKLOT_VENV").filter(|venv| !venv.is_empty()).map_or(own, PathBuf::from);
    let search = KernelSearch::with(&|name| match name {
        "VIRTUAL_ENV" => Some(venv.clone().into_os_string()),
        "PATH" => std::env::var_os("PATH"),
        _ => None,
    });
    if search.find("python3").is_ok() {
        return Some(search);
    }
    let message = "skipped: the Jupyter kernel python3 (ipykernel) is missing; run `cargo xtask setup`";
    assert!(std::env::var_os("BACKLOT_REQUIRE_ALL").is_none_or(|all| all != "1"), "{message}");
    eprintln!("{message}");
    None
}

/// A notebook of code cells for Python, with tags after `|`.
fn notebook(sources: &[&str]) -> Notebook {
    let mut notebook = Notebook::new();
    for (key, value) in [("name", "python3"), ("language", "python")] {
        notebook.metadata_object("kernelspec").insert(key.to_owned(), value.into());
    }
    for (index, source) in sources.iter().enumerate() {
        let (source, tag) = source.split_once(" |").unwrap_or((source, ""));
        let mut cell = Cell::code(format!("c{index}"), source);
        if !tag.is_empty() {
            cell.set_tags(&[tag]);
        }
        notebook.cells.push(cell);
    }
    notebook
}

struct Bench {
    folder: tempfile::TempDir,
    search: KernelSearch,
}

impl Bench {
    fn new() -> Option<Bench> {
        Some(Bench { search: kernels()?, folder: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// A request to run this, to `out.ipynb`.
    fn request(&self, notebook: &Notebook) -> Request {
        std::fs::write(self.path("in.ipynb"), notebook.to_text()).unwrap();
        let mut request = Request::new(self.path("in.ipynb"), Some(self.path("out.ipynb")));
        request.directory = Some(self.folder.path().to_owned());
        request.start_timeout = Duration::from_secs(60);
        request
    }

    async fn run(&self, request: &Request) -> Result<Finished, Failure> {
        run(request, &Kernels { search: &self.search, pool: None }, &Log::silent()).await
    }

    fn written(&self) -> Notebook {
        Notebook::read_as_is(&std::fs::read(self.path("out.ipynb")).unwrap()).unwrap()
    }
}

/// The states of all cells in their records.
fn states(notebook: &Notebook) -> Vec<&'static str> {
    let status = backlot_notebooks_model::record::status;
    notebook.cells.iter().map(|cell| status(cell).map_or("none", |status| status.word())).collect()
}
