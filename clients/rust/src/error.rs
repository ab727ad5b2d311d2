//! What can go wrong: a code for programs, a message and a mend for people.

use std::path::PathBuf;
use std::time::Duration;

/// Why a call failed. [`Error::code`] is for programs, [`Error::message`] and [`Error::mend`] are for people; the text of the
/// error is both in one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused.
    #[error("{message}; {mend}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's word for the case: `not_found`, `conflict`, `invalid`, `unauthorized`, …
        code: String,
        /// What it refused.
        message: String,
        /// What to do about it.
        mend: String,
        /// The name of the request in the server's log.
        request_id: Option<String>,
    },
    /// The server cannot be reached, or the connection to it was lost.
    #[error("no server answers at {url} ({reason}); start one with `backlot up`, or name another address")]
    Unreachable {
        /// The server's address.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// Something answers, but not as Backlot does.
    #[error(
        "the answer of {url} is not understood ({reason}); check that a server of this version runs there"
    )]
    Answer {
        /// The address that was asked.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A wait has taken as long as it may.
    #[error("{what} has not happened within {} s; wait longer, or look at what it waits for", limit.as_secs_f64())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// No server is noted in a home.
    #[error("no server runs for {}; start one with `backlot up`, or name one by its URL", home.display())]
    NoServer {
        /// The home directory.
        home: PathBuf,
    },
    /// The environment names no home.
    #[error("there is neither a server's URL nor a home directory; set BACKLOT_URL or BACKLOT_HOME")]
    NoHome,
    /// A file of a home cannot be used.
    #[error("cannot read {}: {reason}; check the home directory, or name the server by its URL", path.display())]
    HomeFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The admin token lies open.
    #[error("{} can be read by other users (mode {mode:o}); replace the token, then `chmod 600` the file", path.display())]
    Exposed {
        /// The token's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// An argument that cannot be right.
    #[error("{what}; {mend}")]
    Argument {
        /// Which argument, and what is wrong with it.
        what: String,
        /// What to give instead.
        mend: &'static str,
    },
    /// A spec's file that cannot be read.
    #[error("the spec {} cannot be read: {reason}; name a TOML or JSON file", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        reason: String,
    },
    /// A file that cannot be written.
    #[error("cannot {action} {}: {source}; check the place and its free space", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An artifact whose bytes are not those that its digest names.
    #[error(
        "the artifact arrived as {found} instead of {expected}; fetch it again, then run `backlot store verify` on the server"
    )]
    Corrupt {
        /// The digest by which it was asked for.
        expected: String,
        /// The digest of what arrived.
        found: String,
    },
    /// The caller told a transfer to stop.
    #[error("stopped before the end; call it again for the whole")]
    Stopped,
}

impl Error {
    /// One word for programs: the server's own code where it refused, else one of `unreachable`, `bad_answer`, `timed_out`,
    /// `no_server`, `bad_home`, `bad_argument`, `bad_spec`, `file`, `corrupt`, `stopped`.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Unreachable { .. } => "unreachable",
            Self::Answer { .. } => "bad_answer",
            Self::TimedOut { .. } => "timed_out",
            Self::NoServer { .. } | Self::NoHome => "no_server",
            Self::HomeFile { .. } | Self::Exposed { .. } => "bad_home",
            Self::Argument { .. } => "bad_argument",
            Self::Spec { .. } => "bad_spec",
            Self::File { .. } => "file",
            Self::Corrupt { .. } => "corrupt",
            Self::Stopped => "stopped",
        }
    }

    /// What happened.
    pub fn message(&self) -> String {
        self.parts().0
    }

    /// What to do about it.
    pub fn mend(&self) -> String {
        self.parts().1
    }

    /// Whether the same call may well succeed a little later: the server was away, or too busy.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoServer { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// The server does not know the thing that was asked for.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    fn parts(&self) -> (String, String) {
        if let Self::Refused { message, mend, .. } = self {
            return (message.clone(), mend.clone());
        }
        let text = self.to_string();
        // Every other text is ours, and has its mend after the last semicolon.
        let (message, mend) = text.rsplit_once("; ").unwrap_or((&text, ""));
        (message.to_owned(), mend.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_parts() {
        let refused = Error::Refused {
            status: 404,
            code: "not_found".to_owned(),
            message: "there is no run; really".to_owned(),
            mend: "look; then ask".to_owned(),
            request_id: None,
        };
        assert_eq!(
            (refused.message(), refused.mend()),
            ("there is no run; really".into(), "look; then ask".into())
        );
        let away = Error::Unreachable { url: "http://x".to_owned(), reason: "refused".to_owned() };
        assert_eq!(away.message(), "no server answers at http://x (refused)");
        assert!(away.mend().starts_with("start one") && away.is_passing());
        assert_eq!(Error::NoHome.mend(), "set BACKLOT_URL or BACKLOT_HOME");
    }
}
