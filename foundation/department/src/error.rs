//! Errors of putting the house together.

use std::path::PathBuf;

/// Why a department cannot take its place in the house. Each message is one line and names the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A section of the configuration does not fit the department.
    #[error("the section [{section}] of the configuration is not acceptable: {reason}; correct or remove it")]
    Config {
        /// The section's name.
        section: String,
        /// What is wrong, naming the key.
        reason: String,
    },
    /// A service that nobody offers.
    #[error("no department offers {service}; build the binary with the department that does")]
    NotOffered {
        /// The trait's name.
        service: &'static str,
    },
    /// Two departments offer the same service.
    #[error("two departments offer {service}; leave one of them out of the binary")]
    OfferedTwice {
        /// The trait's name.
        service: &'static str,
    },
    /// Two departments register the same task kind.
    #[error(
        "the task kind `{kind}` is registered twice, the second time by the department {department}; rename one of them"
    )]
    KindTwice {
        /// The kind's name.
        kind: String,
        /// The later department.
        department: &'static str,
    },
    /// The file that says where the server listens cannot be read or written.
    #[error("cannot {action} {}: {reason}; check the home directory, or name the server with --url", path.display())]
    EndpointFile {
        /// What was tried ("read", "write").
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// A department cannot start.
    #[error("the department {department} cannot start: {reason}")]
    Start {
        /// The department's name.
        department: &'static str,
        /// What went wrong, and the mend.
        reason: String,
    },
    /// The event log cannot be opened.
    #[error(transparent)]
    Events(#[from] backlot_events::Error),
    /// Durable work cannot be opened.
    #[error(transparent)]
    Work(#[from] backlot_work::Error),
    /// Something of the shell or its tokens.
    #[error(transparent)]
    Web(#[from] backlot_web::Error),
}

impl Error {
    /// A department cannot start, for this reason (one line that names the mend).
    pub fn start(department: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Start { department, reason: reason.to_string() }
    }
}
