//! Notebooks as values: the lossless model of nbformat 4, parameters and their twelve languages, outputs, scraps. No I/O.
//!
//! For whoever reads, fills in or runs a Jupyter notebook and must not change a byte that was not meant to change. The one idea:
//! **what Python's tools would write is what is written** — number texts, key order in the file, split lines, escapes — so a
//! notebook that went through here cannot be told from one that went through `nbformat` and papermill. Time and chance (run
//! times, cell ids) are arguments.
//!
//! ```
//! use backlot_notebooks_model::{Notebook, Parameters, Param, parameters};
//!
//! let text = br##"{"cells": [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "n = 1", "outputs": [],
//!     "execution_count": null}], "metadata": {"kernelspec": {"name": "python3", "language": "python"}},
//!     "nbformat": 4, "nbformat_minor": 5}"##;
//! let mut notebook = Notebook::read(text, &mut || "00000001".into())?;
//! let given: Parameters = [("n".to_owned(), Param::from_word("2"))].into_iter().collect();
//! parameters::inject(&mut notebook, &given, &parameters::Injection::default(), "00000002".into())?;
//! assert_eq!(notebook.cells[1].source(), "# Parameters\nn = 2\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod check;
pub mod diff;
pub mod json;
pub mod markers;
mod notebook;
pub mod outputs;
mod param;
pub mod parameters;
pub mod python;
pub mod record;
mod save;
pub mod scraps;
pub mod template;
mod translate;
pub mod yaml;

pub use notebook::{Cell, CellKind, Frame, MAX_BYTES, MINOR, NewId, Notebook, ReadError, cell_id};
pub use param::{Key, Param, Parameters};
pub use save::{SaveError, SaveHook};
pub use translate::{Language, REGISTERED, TranslateError};
