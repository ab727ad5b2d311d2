//! What goes wrong.

/// An error of the bookstore. Each names the thing and the mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] backlot_ledger::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] backlot_store::Error),
    /// A path that cannot be the path of a notebook.
    #[error("`{path}` is not a path of a notebook: {why}; write it as folder/name.ipynb")]
    NotAPath {
        /// What was given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing was ever kept under this path.
    #[error("no version of `{path}` is kept; see `backlot notebook versions`")]
    NoSuchPath {
        /// The path.
        path: String,
    },
    /// The path has no such version.
    #[error("`{path}` has no version {version}; see `backlot notebook versions {path}`")]
    NoSuchVersion {
        /// The path.
        path: String,
        /// The version.
        version: u64,
    },
    /// The bytes of a version are neither in the store nor in the spool.
    #[error("the bytes of version {version} of `{path}` are lost: {why}; restore the store from a backup")]
    Lost {
        /// The path.
        path: String,
        /// The version.
        version: u64,
        /// What the store said.
        why: String,
    },
    /// A file of the spool or the workspace.
    #[error("{path}: {error}; check the disk")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Neither the store nor the spool takes bytes.
    #[error("the save cannot be kept: {store}, and the spool: {spool}; free the disk or mend the store")]
    NoRoom {
        /// What the store said.
        store: String,
        /// What the spool said.
        spool: String,
    },
    /// Something that is no notebook of nbformat 4.
    #[error("{0}")]
    Notebook(#[from] backlot_notebooks_model::ReadError),
}
