//! Every setting: its key in the file, its variable, its flag.

use clap::{Arg, ArgAction};

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// In the configuration file, with its table before a dot: `workers.cpus`. Also the flag's id.
    pub(crate) name: &'static str,
    /// The environment variable.
    pub(crate) variable: &'static str,
    /// The flag, without its dashes.
    pub(crate) flag: &'static str,
    /// What stands for the value in help.
    pub(crate) value_name: &'static str,
    /// What it decides.
    pub(crate) help: &'static str,
}

macro_rules! keys {
    ($($constant:ident = $name:literal, $variable:literal, $flag:literal, $value:literal, $help:literal;)*) => {
        $(pub(crate) const $constant: Key =
            Key { name: $name, variable: $variable, flag: $flag, value_name: $value, help: $help };)*
        /// All settings, in the order in which they are shown.
        pub(crate) const ALL: &[Key] = &[$($constant),*];
    };
}

keys! {
    HOME = "home", "BACKLOT_HOME", "home", "DIR",
        "Where everything of this house is kept [default: $XDG_DATA_HOME/backlot]";
    LEDGER = "ledger", "BACKLOT_LEDGER", "ledger", "URL",
        "The SQL state: sqlite:///FILE or postgres://… [default: HOME/ledger.db]";
    STORE = "store", "BACKLOT_STORE", "store", "URL",
        "The blobs: file:///DIR or s3://BUCKET/PREFIX [default: HOME/store]";
    URL = "url", "BACKLOT_URL", "url", "URL",
        "A server to talk to instead of the home's own; its token comes from BACKLOT_TOKEN";
    OUTPUT = "output", "BACKLOT_OUTPUT", "output", "FORMAT",
        "How results are written: text or json";
    COLOR = "color", "BACKLOT_COLOR", "color", "WHEN",
        "Colours: auto, always or never; auto heeds NO_COLOR";
    BIND = "bind", "BACKLOT_BIND", "bind", "ADDRESS",
        "Where to listen, an address and a port; port 0 takes a free one [default: 127.0.0.1:7700]";
    HOSTS = "hosts", "BACKLOT_HOSTS", "hosts", "NAME,…",
        "Further host names under which clients address the server";
    CPUS = "workers.cpus", "BACKLOT_WORKERS_CPUS", "cpus", "NUMBER",
        "Processors that tasks may use together [default: all]";
    MEMORY = "workers.memory", "BACKLOT_WORKERS_MEMORY", "memory", "SIZE",
        "Memory that tasks may use together, like 4GiB [default: nine tenths]";
}

/// Settings that every command takes as flags.
pub(crate) const GLOBAL: &[Key] = &[HOME, LEDGER, STORE, URL, OUTPUT, COLOR];

/// The variable of the configuration file's own place, which no file can hold.
pub(crate) const CONFIG_VARIABLE: &str = "BACKLOT_CONFIG";
/// The variable of the token for `--url`. A secret has no flag, which other users could read, and no place in a file.
pub(crate) const TOKEN_VARIABLE: &str = "BACKLOT_TOKEN";

impl Key {
    /// The setting as a flag.
    pub(crate) fn arg(self) -> Arg {
        let help = format!("{} [env: {}]", self.help, self.variable);
        Arg::new(self.name).long(self.flag).value_name(self.value_name).action(ArgAction::Set).help(help)
    }
}

/// The candidate that `word` is probably a misspelling of.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // One slip per three letters; a transposition is one slip.
    let most = (word.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_another_word_does_not() {
        let words = || ALL.iter().map(|key| key.name);
        assert_eq!(nearest("ledgre", words()), Some("ledger"));
        assert_eq!(nearest("workers.cpu", words()), Some("workers.cpus"));
        assert_eq!(nearest("bindd", words()), Some("bind"));
        assert_eq!(nearest("catering", words()), None);
    }
}
