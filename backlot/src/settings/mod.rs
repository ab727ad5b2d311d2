//! Settings: one table of keys, four places that may give each, and the memory of which did.
//!
//! A flag goes before a variable, a variable before the file, the file before the default. [`Settings::resolve`] is a pure
//! function of the four, so what wins is tested without touching this process's environment.

pub(crate) mod file;
pub(crate) mod keys;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use backlot_department::{CommandError, Config, OutputFormat};
use backlot_work::{ByteSize, WorkerOptions};
use serde_json::{Map, Value};

use self::file::File;
use self::keys::Key;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// The effective settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The configuration file, whether or not it is there.
    pub(crate) file: Setting<PathBuf>,
    pub(crate) home: Setting<PathBuf>,
    pub(crate) ledger: Setting<String>,
    pub(crate) store: Setting<String>,
    /// A server named explicitly.
    pub(crate) url: Option<Setting<String>>,
    /// The token for it.
    pub(crate) token: Option<String>,
    pub(crate) output: Setting<OutputFormat>,
    pub(crate) color: Setting<Color>,
    pub(crate) bind: Setting<SocketAddr>,
    pub(crate) hosts: Setting<Vec<String>>,
    pub(crate) cpus: Setting<f64>,
    pub(crate) memory: Setting<ByteSize>,
    /// The departments' own sections.
    pub(crate) sections: Map<String, Value>,
}

/// Flags by key.
pub(crate) type Flags = BTreeMap<&'static str, String>;

/// What the process was given, apart from its flags.
pub(crate) struct Surroundings<'a> {
    /// Reads a variable; one that is empty counts as unset.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where relative paths begin.
    pub(crate) directory: &'a Path,
    /// The departments, which have sections of their own.
    pub(crate) departments: &'a [&'a str],
}

impl Settings {
    /// Finds every setting's value and origin, reading the configuration file on the way.
    ///
    /// # Errors
    /// Exit code 2, naming the setting and the place that gave it.
    pub(crate) fn resolve(
        flags: &Flags,
        config_flag: Option<&str>,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, CommandError> {
        let variable = |name: &str| (surroundings.variable)(name).filter(|value| !value.is_empty());
        let absolute = |text: &str| surroundings.directory.join(text);
        let place = match (config_flag, variable(keys::CONFIG_VARIABLE)) {
            (Some(text), _) => Setting { value: absolute(text), origin: Origin::Flag("config") },
            (None, Some(text)) => {
                Setting { value: absolute(&text), origin: Origin::Variable(keys::CONFIG_VARIABLE) }
            }
            (None, None) => Setting {
                value: xdg(&variable, "XDG_CONFIG_HOME", ".config").map_or_else(
                    || PathBuf::from("/etc/backlot/config.toml"),
                    |base| base.join("backlot/config.toml"),
                ),
                origin: Origin::Default,
            },
        };
        let is_asked_for = place.origin != Origin::Default;
        let file = File::read(&place.value, is_asked_for, surroundings.departments)?;
        let given = |key: Key| -> Option<Setting<String>> {
            if let Some(value) = flags.get(key.name) {
                return Some(Setting { value: value.clone(), origin: Origin::Flag(key.flag) });
            }
            if let Some(value) = variable(key.variable) {
                return Some(Setting { value, origin: Origin::Variable(key.variable) });
            }
            let value = file.settings.get(key.name)?.clone();
            Some(Setting { value, origin: Origin::File(place.value.clone()) })
        };

        let home = match given(keys::HOME) {
            Some(Setting { value, origin }) if !value.is_empty() => {
                Setting { value: absolute(&value), origin }
            }
            Some(empty) => return Err(refuse(keys::HOME, &empty, "it is empty", "name a directory")),
            None => {
                let base = xdg(&variable, "XDG_DATA_HOME", ".local/share").ok_or_else(|| {
                    CommandError::usage(
                        "there is no place for a home: HOME is not set",
                        "name one with --home DIR",
                    )
                })?;
                Setting { value: base.join("backlot"), origin: Origin::Default }
            }
        };
        let or_in_home = |key: Key, scheme: &str, name: &str| {
            let default = || format!("{scheme}://{}", home.value.join(name).display());
            given(key).unwrap_or_else(|| Setting { value: default(), origin: Origin::Default })
        };
        let store_default = backlot_store::StoreUrl::folder(&home.value.join("store"));
        let store = match (given(keys::STORE), store_default) {
            (Some(setting), _) => setting,
            (None, Ok(url)) => Setting { value: url.to_string(), origin: Origin::Default },
            (None, Err(error)) => return Err(crate::exit::store(&error)),
        };
        let machine = WorkerOptions::new(PathBuf::new());
        Ok(Self {
            ledger: or_in_home(keys::LEDGER, "sqlite", "ledger.db"),
            store,
            url: given(keys::URL).map(|setting| parse(keys::URL, setting, server_url)).transpose()?,
            token: variable(keys::TOKEN_VARIABLE),
            output: parse_or(keys::OUTPUT, given(keys::OUTPUT), output, || OutputFormat::Text)?,
            color: parse_or(keys::COLOR, given(keys::COLOR), color, || Color::Auto)?,
            bind: parse_or(keys::BIND, given(keys::BIND), address, || {
                SocketAddr::from((Ipv4Addr::LOCALHOST, backlot_web::DEFAULT_PORT))
            })?,
            hosts: parse_or(keys::HOSTS, given(keys::HOSTS), host_names, Vec::new)?,
            cpus: parse_or(keys::CPUS, given(keys::CPUS), cpus, || machine.cpus)?,
            memory: parse_or(keys::MEMORY, given(keys::MEMORY), memory, || machine.memory)?,
            home,
            file: place,
            sections: file.sections,
        })
    }

    /// The departments' part.
    pub(crate) fn config(&self) -> Config {
        Config::new(self.sections.clone())
    }
}

type Parsed<T> = Result<T, (String, &'static str)>;

fn parse<T>(
    key: Key,
    setting: Setting<String>,
    read: fn(&str) -> Parsed<T>,
) -> Result<Setting<T>, CommandError> {
    match read(setting.value.trim()) {
        Ok(value) => Ok(Setting { value, origin: setting.origin }),
        Err((reason, mend)) => Err(refuse(key, &setting, &reason, mend)),
    }
}

fn parse_or<T>(
    key: Key,
    setting: Option<Setting<String>>,
    read: fn(&str) -> Parsed<T>,
    default: impl FnOnce() -> T,
) -> Result<Setting<T>, CommandError> {
    match setting {
        Some(setting) => parse(key, setting, read),
        None => Ok(Setting { value: default(), origin: Origin::Default }),
    }
}

fn refuse(key: Key, setting: &Setting<String>, reason: &str, mend: &str) -> CommandError {
    CommandError::usage(format!("`{}` from {}: {reason}", key.name, setting.origin), mend)
}

fn server_url(text: &str) -> Parsed<String> {
    let mend = "write it like http://127.0.0.1:7700";
    let (scheme, rest) = text.split_once("://").ok_or_else(|| (format!("{text:?} is no URL"), mend))?;
    let authority = rest.split('/').next().unwrap_or_default();
    if !matches!(scheme, "http" | "https") || authority.is_empty() {
        return Err((format!("{text:?} is no http URL"), mend));
    }
    if authority.contains('@') {
        return Err(("credentials do not belong in a URL".to_owned(), "set BACKLOT_TOKEN"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn output(text: &str) -> Parsed<OutputFormat> {
    match text {
        "text" => Ok(OutputFormat::Text),
        "json" => Ok(OutputFormat::Json),
        other => Err((format!("{other:?} is no format"), "write text or json")),
    }
}

fn color(text: &str) -> Parsed<Color> {
    match text {
        "auto" => Ok(Color::Auto),
        "always" => Ok(Color::Always),
        "never" => Ok(Color::Never),
        other => Err((format!("{other:?} is no answer"), "write auto, always or never")),
    }
}

fn address(text: &str) -> Parsed<SocketAddr> {
    let text =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| {
        (format!("{text:?} is no address and port"), "write it like 127.0.0.1:7700 or [::1]:7700")
    })
}

fn host_names(text: &str) -> Parsed<Vec<String>> {
    let names: Vec<String> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let is_name = |name: &String| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    };
    match names.iter().find(|name| !is_name(name)) {
        None => Ok(names),
        Some(odd) => Err((
            format!("{odd:?} is no host name"),
            "write names without scheme and port, like lot.example.org",
        )),
    }
}

fn cpus(text: &str) -> Parsed<f64> {
    // Far beyond any machine; above it the placement's thousandths could overflow.
    const MOST: f64 = 1e6;
    match text.parse::<f64>() {
        Ok(count) if count > 0.0 && count <= MOST => Ok(count),
        _ => Err((format!("{text:?} is no number of processors"), "write a number above 0, like 2 or 0.5")),
    }
}

fn memory(text: &str) -> Parsed<ByteSize> {
    match text.parse::<ByteSize>() {
        Ok(size) if size.bytes() > 0 => Ok(size),
        _ => Err((format!("{text:?} is no size"), "write one like 512MiB or 4GiB")),
    }
}

/// A base directory as the XDG specification has it: a relative value counts as unset.
fn xdg(variable: &dyn Fn(&str) -> Option<String>, name: &str, below_home: &str) -> Option<PathBuf> {
    let named = variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| Some(PathBuf::from(variable("HOME")?).join(below_home)))
}

/// A URL as it may be shown: without a password or options that may hold one.
pub(crate) fn redact(url: &str) -> String {
    let (Some((scheme, rest)), true) = (url.split_once("://"), url.starts_with("postgres")) else {
        return url.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    match rest.rsplit_once('@') {
        None => format!("{scheme}://{rest}"),
        Some((credentials, host)) => {
            format!("{scheme}://{}@{host}", credentials.split(':').next().unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        flags: Flags,
        variables: BTreeMap<&'static str, String>,
        directory: tempfile::TempDir,
    }

    impl Case {
        fn new(file: Option<&str>) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let mut variables = BTreeMap::from([("HOME", "/users/ada".to_owned())]);
            if let Some(text) = file {
                std::fs::write(directory.path().join("c.toml"), text).unwrap();
                variables.insert("BACKLOT_CONFIG", "c.toml".to_owned());
            }
            Self { flags: Flags::new(), variables, directory }
        }

        fn resolve(&self) -> Result<Settings, CommandError> {
            let surroundings = Surroundings {
                variable: &|name| self.variables.get(name).cloned(),
                directory: self.directory.path(),
                departments: &["media"],
            };
            Settings::resolve(&self.flags, None, &surroundings)
        }
    }

    #[test]
    fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
        let mut case = Case::new(Some("bind = '127.0.0.1:1'"));
        assert_eq!(case.resolve().unwrap().bind.value.port(), 1);
        case.variables.insert("BACKLOT_BIND", "127.0.0.1:2".to_owned());
        let bind = case.resolve().unwrap().bind;
        assert_eq!((bind.value.port(), bind.origin), (2, Origin::Variable("BACKLOT_BIND")));
        case.flags.insert("bind", "localhost:3".to_owned());
        let bind = case.resolve().unwrap().bind;
        assert_eq!((bind.value.port(), bind.origin), (3, Origin::Flag("bind")));
        case.flags.clear();
        case.variables.insert("BACKLOT_BIND", String::new());
        let bind = case.resolve().unwrap().bind;
        assert!(
            bind.value.port() == 1 && matches!(bind.origin, Origin::File(_)),
            "an empty variable is unset"
        );
    }

    #[test]
    fn defaults_lie_in_the_home_and_the_home_under_xdg() {
        let mut case = Case::new(None);
        let settings = case.resolve().unwrap();
        assert_eq!(settings.home.value, Path::new("/users/ada/.local/share/backlot"));
        assert_eq!(settings.ledger.value, "sqlite:///users/ada/.local/share/backlot/ledger.db");
        assert_eq!(settings.file.value, Path::new("/users/ada/.config/backlot/config.toml"));
        case.variables.insert("XDG_DATA_HOME", "/data".to_owned());
        assert_eq!(case.resolve().unwrap().store.value, "file:///data/backlot/store");
        case.flags.insert("home", "lot".to_owned());
        assert_eq!(case.resolve().unwrap().home.value, case.directory.path().join("lot"));
        case.flags.clear();
        case.variables.clear();
        assert!(case.resolve().unwrap_err().mend.contains("--home"));
    }

    #[test]
    fn a_bad_value_names_its_key_and_its_place() {
        for (key, value) in [
            ("bind", "7700"),
            ("workers.cpus", "0"),
            ("workers.cpus", "NaN"),
            ("workers.memory", "lots"),
            ("output", "xml"),
            ("color", "blue"),
            ("hosts", "a.example,http://b"),
            ("url", "ftp://x"),
            ("url", "http://a:b@host"),
        ] {
            let mut case = Case::new(None);
            let key = keys::ALL.iter().find(|candidate| candidate.name == key).unwrap();
            case.flags.insert(key.name, value.to_owned());
            let error = case.resolve().unwrap_err();
            assert_eq!(error.code, CommandError::USAGE);
            assert!(error.message.contains(&format!("`{}` from --{}", key.name, key.flag)), "{error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(redact("postgres://ada:s3@cret@db:5432/h?password=x"), "postgres://ada@db:5432/h");
        assert_eq!(redact("s3://bucket/p?region=eu"), "s3://bucket/p?region=eu");
    }
}
