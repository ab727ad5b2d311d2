//! Department notebooks: parameterised notebooks as tasks, run as papermill runs them, and everything kept of them.
//!
//! For people who report and compute in Jupyter notebooks and want them to run by the thousand: the command `backlot notebook run`
//! takes papermill's command line and writes papermill's bytes; the task kind `notebook.run` makes a notebook a step of any run.
//! The central idea: **a notebook's run is a record**. Which cell ran, when, with what result, is true at every moment in the file,
//! also when the kernel is killed, the disk is full or the power fails; so a run can be resumed, and a failure read.
//!
//! ```no_run
//! # async fn example() -> Result<(), backlot_notebooks::Failure> {
//! use backlot_notebooks::{Kernels, KernelSearch, Log, Request, run};
//!
//! let request = Request::new("report.ipynb", Some("out/report.ipynb".to_owned()));
//! let kernels = Kernels { search: &KernelSearch::from_env(), pool: None };
//! let finished = run(&request, &kernels, &Log::silent()).await?;
//! println!("{} cells", finished.notebook.cells.len());
//! # Ok(()) }
//! ```

mod chance;
mod cli;
mod clock;
mod department;
mod kernel;
mod kind;
mod pages;
mod render;
mod runner;
mod shop;
mod versions;

pub use department::Notebooks;
pub use kernel::{InterruptMode, Kernel, KernelError, KernelPool, KernelSearch, KernelSpec, Launch};
pub use kind::KIND;
pub use runner::log::{Level, Log};
pub use runner::{
    Failure, Finished, Kernels, Place, RUN_AGAIN_TAGS, Request, RunError, Saving, Source, Start, Work, run,
};
