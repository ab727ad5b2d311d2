//! The agent's command line: the flags of spectatord, written with hyphens or with its underscores.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::agent::{AgentConfig, PORT, Reach, SOCKET_PATH, STATSD_PORT, Status};
use crate::common_tags::{self, CommonTags, CommonTagsError};
use crate::payload::Format;
use crate::publish::{Compression, HttpTarget};
use crate::registry::Limits;

/// The arguments of a command that runs an agent.
///
/// ```
/// use backlot_spectator::AgentArgs;
/// use clap::Parser;
///
/// #[derive(Parser)]
/// struct Command {
///     #[command(flatten)]
///     agent: AgentArgs,
/// }
///
/// let command = Command::try_parse_from(["agent", "--uri", "http://localhost:7700/atlas/api/v4/update", "--frequency=1m30s"])?;
/// let config = command.agent.config();
/// assert_eq!(config.frequency.as_secs(), 90);
/// assert_eq!(command.agent.target().unwrap().uri, "http://localhost:7700/atlas/api/v4/update");
/// # Ok::<(), clap::Error>(())
/// ```
#[derive(Args, Clone, Debug)]
pub struct AgentArgs {
    /// The aggregator: the whole address of its /api/v4/update
    #[arg(long, value_name = "URL")]
    pub uri: Option<String>,
    /// The address to listen on for lines by UDP
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Let programs of other hosts send lines, which UDP lets anyone do unseen
    #[arg(long)]
    pub accept_from_anyone: bool,
    /// UDP port for lines of the Spectator protocol
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    pub port: u16,
    /// TCP port of the admin, on loopback
    #[arg(long, alias = "admin_port", value_name = "PORT", default_value_t = PORT)]
    pub admin_port: u16,
    /// Listen for DogStatsD
    #[arg(long, alias = "enable_statsd")]
    pub enable_statsd: bool,
    /// UDP port for lines of DogStatsD
    #[arg(long, alias = "statsd_port", value_name = "PORT", default_value_t = STATSD_PORT)]
    pub statsd_port: u16,
    /// Listen on a unix datagram socket too
    #[arg(long, alias = "enable_socket")]
    pub enable_socket: bool,
    /// The unix socket
    #[arg(long, alias = "socket_path", value_name = "PATH", default_value = SOCKET_PATH)]
    pub socket_path: PathBuf,
    /// Tags of all measurements: nf.app=api,nf.node=i-1; those of the environment unless given
    #[arg(long, alias = "common_tags", value_name = "TAGS", value_parser = tags)]
    pub common_tags: Option<Tags>,
    /// No common tags, and no metrics of the agent itself
    #[arg(long, alias = "no_common_tags", conflicts_with = "common_tags")]
    pub no_common_tags: bool,
    /// How often to publish
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub frequency: Duration,
    /// How long a meter is kept that is not updated
    #[arg(long, alias = "meter_ttl", value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub meter_ttl: Duration,
    /// How many age gauges there may be
    #[arg(long, alias = "age_gauge_limit", value_name = "COUNT", default_value_t = Limits::default().age_gauges)]
    pub age_gauge_limit: usize,
    /// How many meters there may be; more are folded into their names
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().meters)]
    pub meter_limit: usize,
    /// How many meters of one name there may be
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().meters_of_a_name)]
    pub meter_limit_per_name: usize,
    /// The tag nf.process of the agent's own metrics
    #[arg(long, alias = "process_name", value_name = "NAME", default_value = "spectatord")]
    pub process_name: String,
    /// How requests to the aggregator are written
    #[arg(long, value_enum, default_value_t = WireFormat::Smile)]
    pub format: WireFormat,
    /// Do not compress requests to the aggregator
    #[arg(long)]
    pub no_gzip: bool,
}

/// How requests to the aggregator are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WireFormat {
    /// Binary, as from spectatord.
    Smile,
    /// To be read by people.
    Json,
}

/// Common tags as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags(CommonTags);

impl AgentArgs {
    /// What the agent is to do.
    pub fn config(&self) -> AgentConfig {
        let common_tags = match &self.common_tags {
            _ if self.no_common_tags => CommonTags::new(),
            Some(Tags(tags)) => tags.clone(),
            None => common_tags::from_environment(),
        };
        let limits = Limits {
            meters: self.meter_limit,
            meters_of_a_name: self.meter_limit_per_name,
            age_gauges: self.age_gauge_limit,
            time_to_live: self.meter_ttl,
            ..Limits::default()
        };
        let loopback = match self.host {
            host if host.is_loopback() => host,
            _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        AgentConfig {
            lines: Some(SocketAddr::new(self.host, self.port)),
            statsd: self.enable_statsd.then(|| SocketAddr::new(self.host, self.statsd_port)),
            unix: self.enable_socket.then(|| self.socket_path.clone()),
            admin: Some(SocketAddr::new(loopback, self.admin_port)),
            reach: if self.accept_from_anyone { Reach::Anyone } else { Reach::ThisHost },
            frequency: self.frequency,
            common_tags,
            status: if self.no_common_tags { Status::Silent } else { Status::Published },
            process: self.process_name.clone(),
            limits,
            ..AgentConfig::default()
        }
    }

    /// The aggregator, if one is given.
    pub fn target(&self) -> Option<HttpTarget> {
        let format = match self.format {
            WireFormat::Smile => Format::Smile,
            WireFormat::Json => Format::Json,
        };
        let compression = if self.no_gzip { Compression::None } else { Compression::Gzip };
        self.uri.as_ref().map(|uri| HttpTarget::new(uri).format(format).compression(compression))
    }
}

fn tags(text: &str) -> Result<Tags, CommonTagsError> {
    common_tags::parse(text).map(Tags)
}

/// Reads `5s`, `1m30s`, `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write 5s, 1m30s or 500ms");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits =
            rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let length = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(length);
        let one = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(wrong()),
        };
        let number: u32 = number.parse().map_err(|_| wrong())?;
        total = one.checked_mul(number).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = next;
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        agent: AgentArgs,
    }

    fn read(args: &str) -> Result<AgentArgs, clap::Error> {
        let args = std::iter::once("agent").chain(args.split_whitespace());
        Command::try_parse_from(args).map(|command| command.agent)
    }

    #[test]
    fn the_flags_of_spectatord_are_taken() {
        let args = read(
            "--uri http://a/api/v4/update --port 1 --admin_port 2 --enable_statsd --statsd_port 3 --enable_socket \
             --socket_path s --common_tags nf.app=a,nf.node=b --frequency=10s --meter_ttl=1h --age_gauge_limit 4 \
             --process_name p",
        )
        .unwrap();
        let config = args.config();
        assert_eq!(config.lines.unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(config.admin.unwrap().port(), 2);
        assert_eq!(config.statsd.unwrap().port(), 3);
        assert_eq!(config.unix.unwrap(), PathBuf::from("s"));
        assert_eq!(config.common_tags.len(), 2);
        assert_eq!((config.frequency.as_secs(), config.limits.time_to_live.as_secs()), (10, 3600));
        assert_eq!((config.limits.age_gauges, config.process.as_str()), (4, "p"));
        assert_eq!(args.target().unwrap(), HttpTarget::new("http://a/api/v4/update"));
    }

    #[test]
    fn the_rest_is_as_in_spectatord() {
        let config = read("--no-common-tags --format json --no-gzip").unwrap().config();
        assert_eq!(config.lines.unwrap().to_string(), "127.0.0.1:1234");
        assert_eq!((config.statsd, config.unix, config.status), (None, None, Status::Silent));
        assert_eq!(read("").unwrap().target(), None);
        assert!(
            read("--common-tags a").is_err_and(|error| error.to_string().contains("is not a common tag"))
        );
    }

    #[test]
    fn durations_are_read() {
        for (text, millis) in [("5s", 5000), ("1m30s", 90_000), ("500ms", 500), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in ["", "5", "s", "0s", "5x", "-5s", "99999999999s", "5s "] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
