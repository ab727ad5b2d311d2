//! Instants and clocks. The ledger stores time as microseconds since the Unix epoch in a BIGINT column.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
///
/// Printed, parsed and serialised as RFC 3339 in UTC.
///
/// ```
/// use backlot_ledger::Timestamp;
/// let t: Timestamp = "2026-01-31T12:00:00.25Z".parse()?;
/// assert_eq!(t.micros(), 1_769_860_800_250_000);
/// assert_eq!(t.to_string(), "2026-01-31T12:00:00.25Z");
/// # Ok::<(), backlot_ledger::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `micros` microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The instant of `time`, to the microsecond; instants beyond the range are clamped to it.
    pub fn from_system_time(time: SystemTime) -> Timestamp {
        let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(micros(after)),
            Err(before) => Timestamp(-micros(before.duration())),
        }
    }

    /// Later by `duration`; `None` when that is out of range.
    pub fn checked_add(self, duration: Duration) -> Option<Timestamp> {
        let micros = i64::try_from(duration.as_micros()).ok()?;
        self.0.checked_add(micros).map(Timestamp)
    }

    /// Earlier by `duration`; `None` when that is out of range.
    pub fn checked_sub(self, duration: Duration) -> Option<Timestamp> {
        let micros = i64::try_from(duration.as_micros()).ok()?;
        self.0.checked_sub(micros).map(Timestamp)
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn saturating_since(self, earlier: Timestamp) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            // Beyond the years RFC 3339 can name.
            Err(_) => write!(f, "{}µs", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Timestamp, Error> {
        match text.parse::<jiff::Timestamp>() {
            Ok(instant) => Ok(Timestamp(instant.as_microsecond())),
            Err(error) => Err(Error::Time { text: crate::error::shorten(text), problem: error.to_string() }),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where the ledger takes the time from when it is not the database's own: see [`crate::Options::clock`].
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_system_time(SystemTime::now())
    }
}

/// The clock of one ledger: the program's, or the database server's as last observed.
#[derive(Clone)]
pub(crate) enum LedgerClock {
    Own(Arc<dyn Clock>),
    /// Microseconds that the server is ahead of this machine.
    Server {
        ahead: Arc<AtomicI64>,
    },
}

impl LedgerClock {
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            LedgerClock::Own(clock) => clock.now(),
            LedgerClock::Server { ahead } => {
                Timestamp(SystemClock.now().0.saturating_add(ahead.load(Ordering::Relaxed)))
            }
        }
    }

    /// Takes note that the server's clock reads `server_now`, and returns the time to go by.
    pub(crate) fn observe(&self, server_now: Timestamp) -> Timestamp {
        match self {
            LedgerClock::Own(clock) => clock.now(),
            LedgerClock::Server { ahead } => {
                ahead.store(server_now.0.saturating_sub(SystemClock.now().0), Ordering::Relaxed);
                server_now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_rfc3339() {
        for text in ["1970-01-01T00:00:00Z", "2026-11-23T02:30:00.000001Z", "-000001-01-01T00:00:00Z"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        assert_eq!(
            "2026-01-01T02:00:00+02:00".parse::<Timestamp>().unwrap().to_string(),
            "2026-01-01T00:00:00Z"
        );
        assert!("yesterday".parse::<Timestamp>().unwrap_err().to_string().starts_with("bad time yesterday"));
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), format!("{}µs", i64::MAX));
    }

    #[test]
    fn arithmetic_is_checked() {
        let t = Timestamp::from_micros(5);
        assert_eq!(t.checked_add(Duration::from_micros(3)), Some(Timestamp::from_micros(8)));
        assert_eq!(t.checked_add(Duration::MAX), None);
        assert_eq!(Timestamp::from_micros(i64::MIN).checked_sub(Duration::from_micros(1)), None);
        assert_eq!(t.saturating_since(Timestamp::from_micros(9)), Duration::ZERO);
        assert_eq!(t.saturating_since(Timestamp::from_micros(1)), Duration::from_micros(4));
    }

    #[test]
    fn serde_is_text() {
        let t = Timestamp::from_micros(1_000_000);
        let json = serde_json::to_string(&t).unwrap();
        assert_eq!(json, "\"1970-01-01T00:00:01Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), t);
        assert!(serde_json::from_str::<Timestamp>("\"noon\"").is_err());
    }
}
