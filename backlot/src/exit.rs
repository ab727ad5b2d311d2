//! Exit codes: the part of an answer that scripts read.

use backlot_department::CommandError;

/// Something that is needed is missing: a required part, a home, a ledger.
pub(crate) const MISSING: u8 = 4;
/// The home or the address is in use by another program.
pub(crate) const IN_USE: u8 = 5;

/// Every code this program ends with, and its meaning; printed by `--help`.
pub(crate) const TABLE: [(u8, &str); 8] = [
    (0, "done"),
    (CommandError::FAILED, "the work itself failed"),
    (CommandError::USAGE, "the command or the configuration is not right"),
    (CommandError::UNREACHABLE, "no server runs, or a server, ledger or store does not answer"),
    (MISSING, "something that is needed is missing (see `backlot doctor`)"),
    (IN_USE, "the home or the address is in use by another program"),
    (130, "interrupted (SIGINT); a second SIGINT ends a server so"),
    (143, "ended by a second SIGTERM"),
];

/// The table as `--help` shows it.
pub(crate) fn help() -> String {
    let lines: Vec<String> = TABLE.iter().map(|(code, meaning)| format!("  {code:<4} {meaning}")).collect();
    format!("Exit codes:\n{}", lines.join("\n"))
}

/// An error whose text is `what happened; the mend`, as all of the foundation's are.
pub(crate) fn failure(code: u8, error: &dyn std::fmt::Display) -> CommandError {
    let text = error.to_string().lines().collect::<Vec<_>>().join(" ");
    let (message, mend) = text.split_once("; ").unwrap_or((&text, "see `backlot doctor`"));
    CommandError::new(code, message, mend)
}

/// A ledger's error; one that cannot be reached has the code of a server that does not answer.
pub(crate) fn ledger(error: &backlot_ledger::Error) -> CommandError {
    use backlot_ledger::Error;
    let is_away = matches!(error, Error::Unavailable { .. } | Error::ConnectionLost { .. });
    let is_usage = matches!(error, Error::Url { .. });
    failure(code(is_usage, is_away), error)
}

/// A store's error, likewise.
pub(crate) fn store(error: &backlot_store::Error) -> CommandError {
    use backlot_store::Error;
    let is_away = matches!(error, Error::Endpoint { .. });
    let is_usage =
        matches!(error, Error::NotAStore { .. } | Error::NotADigest { .. } | Error::NotAName { .. });
    failure(code(is_usage, is_away), error)
}

fn code(is_usage: bool, is_away: bool) -> u8 {
    match (is_usage, is_away) {
        (true, _) => CommandError::USAGE,
        (false, true) => CommandError::UNREACHABLE,
        (false, false) => CommandError::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_differ() {
        let mut codes = TABLE.map(|(code, _)| code);
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
    }

    #[test]
    fn the_mend_is_what_follows_the_first_semicolon() {
        let error = failure(1, &"cannot read\nthe file; check it; or another");
        assert_eq!(error.message, "cannot read the file");
        assert_eq!(error.mend, "check it; or another");
        assert!(!failure(1, &"odd").mend.is_empty());
    }
}
