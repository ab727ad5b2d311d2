//! Receivers: where notifications go.
//!
//! Webhook and email are Alertmanager's; `command_configs` is ours: a program with arguments (no shell), the webhook's body on
//! its standard input. Receivers of other kinds are refused by name: an alert that nobody gets is worse than a file that is
//! not taken.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::raw::{self, Global, flag, null_is_default};
use crate::config::{ConfigError, as_object, field};
use crate::template::Template;

/// How long a command may run.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// A receiver and its ways.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// Its ways; none for a receiver that only keeps.
    pub integrations: Vec<Integration>,
}

/// One way to a receiver.
#[derive(Clone, Debug)]
pub struct Integration {
    /// `webhook`, `email` or `command`.
    pub kind: &'static str,
    /// Which of its kind.
    pub index: u32,
    /// Whether the end of an alert is told.
    pub send_resolved: bool,
    /// Where it leads.
    pub target: Target,
}

/// Where a notification goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// An HTTP server.
    Webhook(Webhook),
    /// A mailbox.
    Email(Box<Email>),
    /// A program.
    Command(Command),
}

/// An HTTP server that takes Alertmanager's webhook body.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where it is posted to.
    pub url: String,
    /// Most alerts in one body; 0 for all.
    pub max_alerts: usize,
    /// User and password, or `Bearer` and a token.
    pub authorization: Option<Secret>,
    /// How long one try may take.
    pub timeout: Option<Duration>,
}

/// What no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// A mailbox, and the server that brings mail there.
#[derive(Clone, Debug)]
pub struct Email {
    /// To whom; several with commas.
    pub to: String,
    /// From whom.
    pub from: String,
    /// The server, `HOST:PORT`.
    pub smarthost: String,
    /// How we greet.
    pub hello: String,
    /// User and password.
    pub auth: Option<(String, Secret)>,
    /// Whether the session must be encrypted (STARTTLS).
    pub require_tls: bool,
    /// The subject.
    pub subject: Template,
    /// Further headers.
    pub headers: BTreeMap<String, Template>,
    /// The text; ours lists the alerts.
    pub text: Option<Template>,
}

/// A program that takes the webhook's body on its standard input.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookText {
    url: Option<String>,
    url_file: Option<String>,
    send_resolved: Option<String>,
    max_alerts: Option<String>,
    timeout: Option<String>,
    http_config: Option<HttpText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpText {
    basic_auth: Option<BasicText>,
    authorization: Option<AuthorizationText>,
    bearer_token: Option<String>,
    bearer_token_file: Option<String>,
    #[serde(rename = "follow_redirects")]
    _follow_redirects: Option<String>,
    #[serde(rename = "enable_http2")]
    _enable_http2: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BasicText {
    username: String,
    password: Option<String>,
    password_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorizationText {
    #[serde(rename = "type")]
    kind: Option<String>,
    credentials: Option<String>,
    credentials_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmailText {
    to: String,
    from: Option<String>,
    smarthost: Option<String>,
    hello: Option<String>,
    auth_username: Option<String>,
    auth_password: Option<String>,
    auth_password_file: Option<String>,
    require_tls: Option<String>,
    send_resolved: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    headers: BTreeMap<String, String>,
    text: Option<String>,
    #[serde(rename = "html")]
    _html: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandText {
    command: Vec<String>,
    timeout: Option<String>,
    send_resolved: Option<String>,
}

impl Receiver {
    pub(super) fn read(value: Value, global: &Global) -> Result<Self, ConfigError> {
        let mut members = as_object("receivers", value)?;
        let name = match members.remove("name") {
            Some(Value::String(name)) if !name.is_empty() => name,
            _ => return Err(field("receivers", "a receiver has no name")),
        };
        let place = format!("receivers: {name}");
        let mut integrations = Vec::new();
        for (kind, entries) in members {
            let entries = match entries {
                Value::Array(entries) => entries,
                Value::Null => continue,
                _ => return Err(field(&place, format!("`{kind}` is no list"))),
            };
            for (index, entry) in entries.into_iter().enumerate() {
                let place = format!("{place}: {kind}[{index}]");
                let (kind, send_resolved, target) = match kind.as_str() {
                    "webhook_configs" => webhook(&place, entry)?,
                    "email_configs" => email(&place, entry, global)?,
                    "command_configs" => command(&place, entry)?,
                    other => {
                        let reason = format!(
                            "`{other}` is not one of webhook_configs, email_configs and command_configs; send to a webhook that knows it"
                        );
                        return Err(field(&place, reason));
                    }
                };
                integrations.push(Integration { kind, index: index as u32, send_resolved, target });
            }
        }
        Ok(Self { name, integrations })
    }
}

fn secret(place: &str, text: Option<String>, file: Option<String>) -> Result<Option<Secret>, ConfigError> {
    match (text, file) {
        (Some(_), Some(_)) => Err(field(place, "a secret is given twice, as text and as file; keep one")),
        (Some(text), None) => Ok(Some(Secret(text))),
        (None, Some(file)) => {
            let read = std::fs::read_to_string(PathBuf::from(&file))
                .map_err(|error| field(place, format!("the secret's file {file} cannot be read: {error}")))?;
            Ok(Some(Secret(read.trim().to_owned())))
        }
        (None, None) => Ok(None),
    }
}

fn webhook(place: &str, value: Value) -> Result<(&'static str, bool, Target), ConfigError> {
    let text: WebhookText = raw::read(place, value)?;
    let url = secret(place, text.url, text.url_file)?.ok_or_else(|| field(place, "there is no `url`"))?.0;
    let parsed =
        url::Url::parse(&url).map_err(|error| field(place, format!("`{url}` is no URL: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none_or(str::is_empty) {
        return Err(field(place, format!("`{url}` is no URL of an HTTP server")));
    }
    let authorization = match text.http_config {
        None => None,
        Some(http) => {
            let basic = match http.basic_auth {
                None => None,
                Some(basic) => {
                    let password = secret(place, basic.password, basic.password_file)?;
                    let pair =
                        format!("{}:{}", basic.username, password.map(|secret| secret.0).unwrap_or_default());
                    use base64::Engine as _;
                    Some(Secret(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))))
                }
            };
            let bearer = match http.authorization {
                None => secret(place, http.bearer_token, http.bearer_token_file)?
                    .map(|secret| Secret(format!("Bearer {}", secret.0))),
                Some(given) => {
                    let kind = given.kind.unwrap_or_else(|| "Bearer".to_owned());
                    secret(place, given.credentials, given.credentials_file)?
                        .map(|secret| Secret(format!("{kind} {}", secret.0)))
                }
            };
            basic.or(bearer)
        }
    };
    let max_alerts = text.max_alerts.as_deref().unwrap_or("0");
    let max_alerts =
        max_alerts.parse().map_err(|_| field(place, format!("max_alerts: `{max_alerts}` is no number")))?;
    let timeout = text
        .timeout
        .as_deref()
        .map(|text| raw::duration(place, text))
        .transpose()?
        .filter(|limit| !limit.is_zero());
    let send_resolved = flag(place, text.send_resolved.as_deref(), true)?;
    Ok(("webhook", send_resolved, Target::Webhook(Webhook { url, max_alerts, authorization, timeout })))
}

fn email(place: &str, value: Value, global: &Global) -> Result<(&'static str, bool, Target), ConfigError> {
    let text: EmailText = raw::read(place, value)?;
    let template = |text: &str| {
        Template::new(text).map_err(|source| super::ConfigError::Template { place: place.to_owned(), source })
    };
    let needed = |own: Option<String>, global: &Option<String>, what: &str| {
        own.or_else(|| global.clone()).filter(|text| !text.is_empty()).ok_or_else(|| {
            field(place, format!("there is no `{what}`, here or in `global` as `smtp_{what}`"))
        })
    };
    let smarthost = needed(text.smarthost, &global.smtp_smarthost, "smarthost")?;
    if !smarthost.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    {
        return Err(field(place, format!("smarthost: `{smarthost}` is not HOST:PORT")));
    }
    let user = text.auth_username.or_else(|| global.smtp_auth_username.clone());
    let password = if text.auth_password.is_some() || text.auth_password_file.is_some() {
        secret(place, text.auth_password, text.auth_password_file)?
    } else {
        secret(place, global.smtp_auth_password.clone(), global.smtp_auth_password_file.clone())?
    };
    let auth = user.map(|user| (user, password.unwrap_or(Secret(String::new()))));
    let tls = text.require_tls.as_deref().or(global.smtp_require_tls.as_deref());
    let require_tls = flag(place, tls, true)?;
    let from = needed(text.from, &global.smtp_from, "from")?;
    for address in text.to.split(',').chain([from.as_str()]) {
        if !address.contains('@') || address.contains(['\r', '\n']) {
            return Err(field(place, format!("`{}` is no mail address", address.trim())));
        }
    }
    let mut headers = BTreeMap::new();
    let mut subject = template("[{{ .Status | toUpper }}] {{ .GroupLabels }} ({{ .CommonLabels }})")?;
    for (name, value) in text.headers {
        let written = template(&value)?;
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') || name.is_empty() {
            return Err(field(place, format!("headers: `{name}` is no header")));
        }
        if name.eq_ignore_ascii_case("subject") {
            subject = written;
        } else {
            headers.insert(name, written);
        }
    }
    let email = Email {
        to: text.to,
        from,
        smarthost,
        hello: text.hello.or_else(|| global.smtp_hello.clone()).unwrap_or_else(|| "localhost".to_owned()),
        auth,
        require_tls,
        subject,
        headers,
        text: text.text.as_deref().map(template).transpose()?,
    };
    let send_resolved = flag(place, text.send_resolved.as_deref(), false)?;
    Ok(("email", send_resolved, Target::Email(Box::new(email))))
}

fn command(place: &str, value: Value) -> Result<(&'static str, bool, Target), ConfigError> {
    let text: CommandText = raw::read(place, value)?;
    if text.command.first().is_none_or(String::is_empty) {
        return Err(field(place, "`command` is a list of the program and its arguments, and has no program"));
    }
    let timeout = raw::duration_or(place, text.timeout.as_deref(), COMMAND_TIMEOUT)?;
    let send_resolved = flag(place, text.send_resolved.as_deref(), true)?;
    Ok(("command", send_resolved, Target::Command(Command { argv: text.command, timeout })))
}
