//! Where a PostgreSQL ledger lives: the URL, without the parts that only this crate understands.

use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, Connection, Socket};

use super::{describe, tls};
use crate::Error;

/// How the server's certificate is treated, with libpq's meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS when the server offers it, its certificate unchecked.
    Prefer,
    /// TLS or nothing, its certificate unchecked.
    Require,
    /// TLS or nothing, certificate chain and host name checked.
    VerifyFull,
}

#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    place: String,
    mode: SslMode,
    root_certificates: Option<String>,
}

impl Target {
    /// `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…` and libpq's other parameters.
    pub(crate) fn parse(text: &str) -> Result<Target, Error> {
        let place = redact(text);
        let bad = |problem: String| Error::Url { url: place.clone(), problem };
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut mode = None;
        let mut root_certificates = None;
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", "disable")) => mode = Some(SslMode::Disable),
                Some(("sslmode", "prefer" | "allow")) => mode = Some(SslMode::Prefer),
                Some(("sslmode", "require")) => mode = Some(SslMode::Require),
                Some(("sslmode", "verify-full")) => mode = Some(SslMode::VerifyFull),
                Some(("sslmode", other)) => {
                    return Err(bad(format!(
                        "sslmode={other} is unknown; use disable, prefer, require or verify-full"
                    )));
                }
                Some(("sslrootcert", path)) => root_certificates = Some(decode(path)),
                _ => kept.push(pair),
            }
        }
        let rest = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
        let mut config = Config::from_str(&rest).map_err(|e| bad(describe(&e)))?;
        if config.get_dbname().is_none() {
            return Err(bad("it names no database".to_owned()));
        }
        // A Unix socket speaks no TLS, whatever sslmode says; libpq ignores it there too.
        let local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let mode = if local { SslMode::Disable } else { mode.unwrap_or(SslMode::Prefer) };
        config.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        });
        if config.get_application_name().is_none() {
            config.application_name("backlot");
        }
        // A network that swallows packets must not hold a writer for ever.
        config.keepalives_idle(Duration::from_secs(30)).tcp_user_timeout(Duration::from_secs(30));
        Ok(Target { config, place, mode, root_certificates })
    }

    /// The URL without password and parameters, for messages.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, tls::TlsStream>), Error> {
        let connector = tls::Connector::new(self.mode, self.root_certificates.as_deref())
            .map_err(|problem| Error::Open { place: self.place.clone(), problem })?;
        self.config.connect(connector).await.map_err(|cause| {
            let place = self.place.clone();
            let problem = describe(&cause);
            // A server that answers "no" will say so again; one that is absent or starting may come.
            match cause.as_db_error() {
                Some(refusal) if !refusal.code().code().starts_with("57") => {
                    Error::Open { place, problem: format!("{problem}; check user, password and database") }
                }
                _ => Error::Unavailable { place, problem },
            }
        })
    }
}

/// `text` without user's password, query and fragment.
pub(crate) fn redact(text: &str) -> String {
    let base = text.split(['?', '#']).next().unwrap_or(text);
    let Some((scheme, rest)) = base.split_once("://") else {
        // Not a URL at all; it may still hold a secret.
        return base.split(':').next().unwrap_or(base).to_owned();
    };
    match rest.rsplit_once('@') {
        None => base.to_owned(),
        Some((credentials, host)) => {
            let user = credentials.split(':').next().unwrap_or("");
            format!("{scheme}://{user}@{host}")
        }
    }
}

/// Percent-decoding, for the one parameter that libpq's parser does not see.
fn decode(text: &str) -> String {
    let form = format!("v={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(form.as_bytes()).next().map_or_else(String::new, |(_, v)| v.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden() {
        assert_eq!(
            redact("postgres://ada:s3cret@db:5432/house?sslmode=require"),
            "postgres://ada@db:5432/house"
        );
        assert_eq!(redact("postgres://ada:p@ss@db/house"), "postgres://ada@db/house");
        assert_eq!(redact("postgres://db/house?password=x"), "postgres://db/house");
        assert_eq!(redact("ada:s3cret"), "ada");
    }

    #[test]
    fn ssl_modes_are_read() {
        let target =
            Target::parse("postgres://a@h/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fca+1.pem").unwrap();
        assert_eq!(target.mode, SslMode::VerifyFull);
        assert_eq!(target.root_certificates.as_deref(), Some("/etc/ca+1.pem"));
        assert_eq!(Target::parse("postgres://a@h/d").unwrap().mode, SslMode::Prefer);
        let error = Target::parse("postgres://a:b@h/d?sslmode=maybe").err().unwrap().to_string();
        assert!(error.contains("sslmode=maybe is unknown"), "{error}");
        assert!(Target::parse("postgres://a@h").err().unwrap().to_string().contains("names no database"));
    }
}
