//! Durations and sizes as people write them in a spec: `"1.5s"`, `"10m"`, `"512MiB"`; a bare number is seconds or bytes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest duration a spec may ask for: ten years. Beyond it arithmetic on timestamps could overflow.
const MAX_SECONDS: f64 = 10.0 * 365.25 * 86_400.0;

/// A length of time in a spec. Written `250ms`, `1.5s`, `10m`, `2h`, `1d`, or a number of seconds.
///
/// ```
/// use backlot_work::Span;
/// assert_eq!("1.5s".parse::<Span>().unwrap().duration().as_millis(), 1500);
/// assert!("soon".parse::<Span>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Span {
        Span(Duration::from_secs(seconds))
    }

    /// A span of milliseconds.
    pub const fn millis(millis: u64) -> Span {
        Span(Duration::from_millis(millis))
    }

    /// The span as a [`Duration`].
    pub const fn duration(self) -> Duration {
        self.0
    }

    fn from_seconds(seconds: f64) -> Result<Span, String> {
        if seconds.is_finite() && (0.0..=MAX_SECONDS).contains(&seconds) {
            Ok(Span(Duration::from_secs_f64(seconds)))
        } else {
            Err(format!("a duration must lie between 0 and ten years, not {seconds} s"))
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let text = text.trim();
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: f64 = number.trim().parse().map_err(|_| {
            format!("`{text}` is not a duration; write for example 250ms, 1.5s, 10m, 2h or 1d")
        })?;
        let scale = match unit.trim() {
            "ms" => 1e-3,
            "" | "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            other => return Err(format!("`{other}` is not a unit of time; use ms, s, m, h or d")),
        };
        Span::from_seconds(number * scale)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1000) { write!(f, "{}s", millis / 1000) } else { write!(f, "{millis}ms") }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(seconds) => Span::from_seconds(seconds).map_err(de::Error::custom),
            NumberOrText::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

/// A size in bytes in a spec. Written `512MiB`, `2GB`, or a number of bytes.
///
/// ```
/// use backlot_work::ByteSize;
/// assert_eq!("1.5KiB".parse::<ByteSize>().unwrap().bytes(), 1536);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of so many bytes.
    pub const fn new(bytes: u64) -> ByteSize {
        ByteSize(bytes)
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    fn from_number(bytes: f64) -> Result<ByteSize, String> {
        // 2^53: above it a float no longer names every byte, and no machine has that much memory.
        if bytes.is_finite() && (0.0..=9_007_199_254_740_992.0).contains(&bytes) {
            Ok(ByteSize(bytes as u64))
        } else {
            Err(format!("a size must lie between 0 and 2^53 bytes, not {bytes}"))
        }
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        let text = text.trim();
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: f64 = number.trim().parse().map_err(|_| {
            format!("`{text}` is not a size; write for example 512MiB, 2GB or a number of bytes")
        })?;
        let scale = match unit.trim() {
            "" | "B" => 1.0,
            "kB" | "KB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            "KiB" => 1024.0,
            "MiB" => 1_048_576.0,
            "GiB" => 1_073_741_824.0,
            "TiB" => 1_099_511_627_776.0,
            other => {
                return Err(format!("`{other}` is not a unit of size; use B, KB, MB, GB, KiB, MiB or GiB"));
            }
        };
        ByteSize::from_number(number * scale)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] =
            [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (scale, unit) in UNITS {
            if self.0 >= scale && self.0.is_multiple_of(scale) {
                return write!(f, "{}{unit}", self.0 / scale);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(bytes) => ByteSize::from_number(bytes).map_err(de::Error::custom),
            NumberOrText::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(f64),
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_round_trip_through_text() {
        for text in ["250ms", "90s", "0s", "1500ms"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
        assert_eq!("2h".parse::<Span>().unwrap(), Span::seconds(7200));
        assert_eq!("3".parse::<Span>().unwrap(), Span::seconds(3));
    }

    #[test]
    fn nonsense_is_refused_with_the_mend() {
        for text in ["", "fast", "-1s", "1e300s", "nan", "5 fortnights"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["", "big", "-1MiB", "infGB", "1 stone"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_keep_their_bytes() {
        for bytes in [0, 1, 1023, 1024, 1 << 20, (1 << 30) + 1] {
            let size = ByteSize::new(bytes);
            assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }
    }
}
