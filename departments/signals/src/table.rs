//! Signals on one regular grid of times, kept as bytes that a worker reads a part of.
//!
//! The bytes: `BLSIG001`, the length of the header (u64), the header (JSON), then each signal's values one after the other (f64). All little-endian.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Error, csv};

/// What the bytes of a table begin with.
pub(crate) const MAGIC: &[u8; 8] = b"BLSIG001";

/// A header is names; more than this is no table of ours.
const MOST_HEADER_BYTES: u64 = 256 << 20;

/// Points of all signals together: 8 GiB of values.
pub(crate) const MOST_VALUES: usize = 1 << 30;

/// Signals on one grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Names, grid and notes.
    pub header: Header,
    /// The values of each signal; NaN where a point is missing.
    pub signals: Vec<Vec<f64>>,
}

/// What is known of a table without its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The first point's time in milliseconds since 1970.
    pub start_ms: i64,
    /// Milliseconds from point to point.
    pub step_ms: i64,
    /// Points of each signal.
    pub points: usize,
    /// The signals' names, all different.
    pub names: Vec<String>,
    /// What was done to make the grid regular.
    pub notes: Vec<String>,
}

impl Header {
    /// The time of a point in milliseconds since 1970.
    pub fn time_ms(&self, point: usize) -> i64 {
        self.start_ms.saturating_add(self.step_ms.saturating_mul(point as i64))
    }

    /// The place of a signal.
    ///
    /// # Errors
    /// [`Error::NoSignal`], with names that resemble it.
    pub fn place(&self, name: &str) -> Result<usize, Error> {
        self.names.iter().position(|known| known == name).ok_or_else(|| {
            let lower = name.to_lowercase();
            let near: Vec<&str> = self
                .names
                .iter()
                .filter(|known| {
                    known.to_lowercase().contains(&lower) || lower.contains(&known.to_lowercase())
                })
                .take(3)
                .map(String::as_str)
                .collect();
            let hint = if near.is_empty() {
                format!(
                    "it begins with {}",
                    self.names.iter().take(3).cloned().collect::<Vec<_>>().join(", ")
                )
            } else {
                format!("it has {}", near.join(", "))
            };
            Error::NoSignal { name: name.to_owned(), hint }
        })
    }
}

impl Table {
    /// A table from its parts.
    ///
    /// # Errors
    /// [`Error::Table`] for no signals, equal names, signals of different lengths, a step that is not positive.
    pub fn new(
        start_ms: i64,
        step_ms: i64,
        names: Vec<String>,
        signals: Vec<Vec<f64>>,
    ) -> Result<Self, Error> {
        let wrong = |reason: String| Err(Error::Table(reason));
        let points = signals.first().map_or(0, Vec::len);
        if names.len() != signals.len() || signals.is_empty() {
            return wrong(format!("has {} names for {} signals; name each one", names.len(), signals.len()));
        }
        if let Some(odd) = signals.iter().position(|signal| signal.len() != points) {
            return wrong(format!(
                "has signals of different lengths ({}); give all the same times",
                names[odd]
            ));
        }
        if step_ms <= 0 {
            return wrong(format!("has a step of {step_ms} ms; times must rise"));
        }
        if points.saturating_mul(signals.len()) > MOST_VALUES {
            return wrong(format!("has more than {MOST_VALUES} values; give fewer signals or wider steps"));
        }
        let mut seen = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            if let Some(first) = seen.insert(name, index) {
                return wrong(format!("names columns {} and {index} both `{name}`; rename one", first + 1));
            }
        }
        Ok(Self { header: Header { start_ms, step_ms, points, names, notes: Vec::new() }, signals })
    }

    /// Reads CSV; see [`crate::csv`].
    ///
    /// # Errors
    /// [`Error::Csv`] with the line, [`Error::Table`].
    pub fn from_csv(text: &str) -> Result<Self, Error> {
        csv::read(text)
    }

    /// Puts columns of points at rising times onto a regular grid: the step is the most frequent distance of times, each point takes the slot that its time
    /// falls into, slots without a point are missing, and both are told in the notes.
    ///
    /// # Errors
    /// [`Error::Table`] for times that do not rise, two points in one slot, a grid far larger than the points.
    pub fn from_columns(times: &[i64], names: Vec<String>, columns: Vec<Vec<f64>>) -> Result<Self, Error> {
        let grid = Placing::of(times, names.len())?;
        let regular = |column: Vec<f64>| {
            if grid.is_regular {
                return column;
            }
            let mut signal = vec![f64::NAN; grid.points];
            for (value, &time) in column.into_iter().zip(times) {
                signal[grid.slot(time)] = value;
            }
            signal
        };
        if let Some(odd) = columns.iter().position(|column| column.len() != times.len()) {
            return Err(Error::Table(format!(
                "has {} times but {} values of column {odd}",
                times.len(),
                columns[odd].len()
            )));
        }
        let mut table = Self::new(grid.start, grid.step, names, columns.into_iter().map(regular).collect())?;
        table.header.notes = grid.notes(times.len());
        Ok(table)
    }

    /// The table as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.header).expect("invariant: a header is plain JSON");
        let mut bytes = Vec::with_capacity(16 + header.len() + 8 * self.signals.len() * self.header.points);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        for signal in &self.signals {
            for value in signal {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        bytes
    }
}

/// A table in a file, of which parts are read.
pub struct TableReader<R> {
    reader: R,
    header: Header,
    values_at: u64,
}

impl<R: Read + Seek> TableReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::Table`] for bytes that are no table.
    pub fn open(mut reader: R) -> Result<Self, Error> {
        let broken = |reason: &str| {
            Error::Table(format!("cannot be read: {reason}; prepare it again from its source"))
        };
        let mut start = [0; 16];
        reader.read_exact(&mut start).map_err(|error| broken(&error.to_string()))?;
        let (magic, length) = start.split_at(8);
        if magic != MAGIC {
            return Err(broken("it does not begin as a table does"));
        }
        let length = length.try_into().map_or(u64::MAX, u64::from_le_bytes);
        if length > MOST_HEADER_BYTES {
            return Err(broken("its header is too long"));
        }
        let mut header = vec![0; length as usize];
        reader.read_exact(&mut header).map_err(|error| broken(&error.to_string()))?;
        let header = serde_json::from_slice(&header).map_err(|error| broken(&error.to_string()))?;
        Ok(Self { reader, header, values_at: 16 + length })
    }

    /// Names, grid and notes.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The values of these signals.
    ///
    /// # Errors
    /// [`Error::Table`] for places beyond the last or a file cut short.
    pub fn signals(&mut self, places: Range<usize>) -> Result<Vec<Vec<f64>>, Error> {
        let broken = |reason: String| {
            Error::Table(format!("cannot be read: {reason}; prepare it again from its source"))
        };
        if places.end > self.header.names.len() {
            return Err(broken(format!("it has no signal {}", places.end)));
        }
        let width = self.header.points * 8;
        let at = self.values_at + (places.start * width) as u64;
        self.reader.seek(SeekFrom::Start(at)).map_err(|error| broken(error.to_string()))?;
        let mut bytes = vec![0; width];
        let mut signals = Vec::with_capacity(places.len());
        for _ in places {
            self.reader.read_exact(&mut bytes).map_err(|error| broken(error.to_string()))?;
            let (values, _) = bytes.as_chunks::<8>();
            signals.push(values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect());
        }
        Ok(signals)
    }
}

/// Milliseconds since 1970 of an RFC 3339 time or a number of seconds or milliseconds.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    /// Seconds reach this in the year 5138, milliseconds did in 1973.
    const MILLISECONDS_FROM: f64 = 1e11;
    if let Ok(number) = text.parse::<f64>() {
        let milliseconds = if number.abs() >= MILLISECONDS_FROM { number } else { number * 1000.0 };
        return (milliseconds.is_finite() && milliseconds.abs() < 9e15).then(|| milliseconds.round() as i64);
    }
    let text = if text.len() > 10 && text.as_bytes()[10] == b' ' {
        text.replacen(' ', "T", 1)
    } else {
        text.to_owned()
    };
    let zoned: Result<jiff::Timestamp, _> = text.parse();
    zoned.or_else(|_| format!("{text}Z").parse()).ok().map(jiff::Timestamp::as_millisecond)
}

/// A regular grid that irregular times are put on.
struct Placing {
    start: i64,
    step: i64,
    points: usize,
    off_grid: usize,
    /// Every slot has its point, in order.
    is_regular: bool,
}

impl Placing {
    fn of(times: &[i64], signals: usize) -> Result<Self, Error> {
        if times.len() < 2 {
            return Err(Error::Table(format!("has {} points; give at least two", times.len())));
        }
        let mut distances = HashMap::new();
        for (row, pair) in times.windows(2).enumerate() {
            if pair[1] <= pair[0] {
                return Err(Error::Table(format!(
                    "has a time in row {} that is not after the one before; sort the rows and leave out doubles",
                    row + 2
                )));
            }
            *distances.entry(pair[1].saturating_sub(pair[0])).or_insert(0_usize) += 1;
        }
        let usual = distances.iter().max_by_key(|(distance, count)| (**count, -**distance));
        let step = usual.map_or(1, |(distance, _)| *distance);
        let start = times[0];
        let placing = Self { start, step, points: 0, off_grid: 0, is_regular: false };
        let points = placing.slot(times[times.len() - 1]).saturating_add(1);
        if points.saturating_mul(signals) > MOST_VALUES {
            return Err(Error::Table(format!(
                "would have {points} points on a grid of {step} ms; leave out lines far from the others"
            )));
        }
        let (mut last, mut off_grid) = (None, 0);
        for (row, &time) in times.iter().enumerate() {
            let at = placing.slot(time);
            if last == Some(at) {
                return Err(Error::Table(format!(
                    "has in row {} a time in the same step of {step} ms as the row before; aggregate to a regular step first",
                    row + 1
                )));
            }
            last = Some(at);
            off_grid += usize::from((time - start) % step != 0);
        }
        Ok(Self { points, off_grid, is_regular: points == times.len(), ..placing })
    }

    fn slot(&self, time: i64) -> usize {
        (time.saturating_sub(self.start) / self.step) as usize
    }

    fn notes(&self, rows: usize) -> Vec<String> {
        let mut notes = Vec::new();
        if self.points > rows {
            notes.push(format!(
                "{} of {} steps have no line; they are missing points",
                self.points - rows,
                self.points
            ));
        }
        if self.off_grid > 0 {
            notes.push(format!(
                "{} lines lie off the grid of {} ms; each was moved back to its step",
                self.off_grid, self.step
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_with_gaps_quotes_and_missing_points() {
        let text = "\u{feff}time,\"a,b\",c\n2026-01-01T00:00:00Z,1,\n2026-01-01 00:01:00,2.5,NaN\n\n1767225780,null,-3e2\n";
        let table = Table::from_csv(text).unwrap();
        assert_eq!(table.header.names, ["a,b", "c"]);
        assert_eq!(
            (table.header.start_ms, table.header.step_ms, table.header.points),
            (1_767_225_600_000, 60_000, 4)
        );
        assert_eq!(table.signals[0][..2], [1.0, 2.5]);
        assert!(
            table.signals[0][2].is_nan() && table.signals[0][3].is_nan() && table.signals[1][3] == -300.0
        );
        assert_eq!(table.header.notes.len(), 1);
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        let refusal = |text: &str| Table::from_csv(text).unwrap_err().to_string();
        assert!(refusal("").contains("empty"));
        assert!(refusal("time\n1\n").contains("line 1"));
        assert!(refusal("t,a\n1,2\n1,3\n").contains("line 3"));
        assert!(refusal("t,a\n1,2\n2,x\n").contains("`x` is no number"));
        assert!(refusal("t,a,b\n1,2\n").contains("1 values for 2"));
        assert!(refusal("t,a\nsoon,2\n").contains("no time"));
        assert!(refusal("t,a,a\n1,2,3\n2,2,3\n").contains("both `a`"));
        assert!(refusal("t,a\n0,1\n60,1\n120,1\n121,1\n").contains("row 4 a time in the same step"));
        assert!(refusal("t,a\n1,1\n").contains("at least two"));
        assert!(refusal("t,a\n0,1\n0.001,1\n90000000000,1\n").contains("far from"));
        let off = Table::from_csv("t,a\n0,1\n60,2\n120,3\n185,4\n").unwrap();
        assert!(off.header.notes[0].contains("1 lines lie off"), "{:?}", off.header.notes);
        assert!(off.header.place("b").unwrap_err().to_string().contains("begins with a"));
    }

    #[test]
    fn bytes_come_back_in_parts() {
        let names = vec!["x".to_owned(), "y".to_owned(), "z".to_owned()];
        let signals = vec![vec![1.0, 2.0], vec![f64::NAN, 4.0], vec![5.0, -0.0]];
        let table = Table::new(5, 7, names, signals).unwrap();
        let bytes = table.to_bytes();
        let mut reader = TableReader::open(std::io::Cursor::new(&bytes)).unwrap();
        assert_eq!(reader.header(), &table.header);
        assert_eq!(reader.signals(2..3).unwrap(), [[5.0, -0.0]]);
        assert!(reader.signals(1..2).unwrap()[0][0].is_nan());
        assert!(reader.signals(3..4).is_err());
        for cut in [0, 10, 40, bytes.len() - 1] {
            let whole = TableReader::open(std::io::Cursor::new(&bytes[..cut]))
                .and_then(|mut reader| reader.signals(0..3));
            assert!(whole.is_err(), "cut at {cut}");
        }
    }
}
