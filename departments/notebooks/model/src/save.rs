//! What happens after a save: the seam between whoever writes notebooks (a Jupyter server) and whoever keeps their versions.

/// Told of every file that was saved, by the one who saved it. It has no opinion on how versions are kept, so that a server of
/// notebooks and an archive of them need not know each other.
///
/// The contract of the caller:
/// - Call it after the file has been replaced and before the client is told that its save succeeded.
/// - Call it on a thread that may block (a thread of its own or of `spawn_blocking`): it returns when the version is durable.
/// - Calls for one path may overlap and come in any order; the implementation sees to it that the newest version is the file's.
/// - An error is for the log: the file itself was saved, and the client is told so.
pub trait SaveHook: Send + Sync {
    /// `path` is the client's: relative, with `/`, without a slash at its begin. `content` are the bytes that were written,
    /// `who` is the caller's name.
    ///
    /// # Errors
    /// Why no version was kept, with the mend.
    fn saved(&self, path: &str, content: &[u8], who: &str) -> Result<(), SaveError>;
}

/// Why a save was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: its save is not kept as a version: {why}")]
pub struct SaveError {
    /// The file.
    pub path: String,
    /// Why not, with the mend.
    pub why: String,
}
