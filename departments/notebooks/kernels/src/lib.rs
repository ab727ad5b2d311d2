//! Jupyter kernels seen from outside: which are installed, how one is started, where it listens, and the sockets to speak with it.
//!
//! For the runner of notebooks and for the Jupyter server, which differ in what they say to a kernel and not in how they reach it. The
//! one idea: **a kernel's sockets lie in a folder that only its user may enter** wherever the kernel can do that, so that nothing goes
//! over TCP in the clear; others listen on loopback.
//!
//! ```
//! use backlot_notebooks_kernels::KernelSearch;
//!
//! let search = KernelSearch::new(vec!["/usr/share/jupyter/kernels".into()]);
//! match search.find("bash") {
//!     Ok(spec) => println!("{}: {:?}", spec.display_name, spec.argv),
//!     Err(error) => println!("{error}"),
//! }
//! ```

mod address;
pub mod chance;
mod drain;
mod spec;
mod start;
mod zmtp;

pub use address::{Address, Channel};
pub use drain::Drained;
pub use spec::{InterruptMode, KernelSearch, KernelSpec, SpecError, data_folders};
pub use start::{CONNECTION_FILE, LOG_FILE, Use, command, preparation, private_folder, write_private};
pub use zmtp::{Reader, Role, Socket, Writer};
