//! The bytes of a replay file.
//!
//! ```text
//! "MZRP"  u16 version  u32 length of the metadata  the metadata, JSON
//! records:  tag  time  [object]  [offset]  [length]  duration
//! tag 0     u32 length of the counters  the counters, JSON  u32 CRC-32 of all before it
//! ```
//!
//! Fixed-size numbers are little-endian, the others LEB128 of 64 bits. A record's time is told as the difference to the record
//! before it, its offset as the (zigzag) difference to where the last record of its kind ended, in microseconds and bytes;
//! what equals the last record of its kind is left out. A sequential read takes 4 to 6 bytes.
//!
//! A file whose writer was killed has no end; it is read as far as it goes, and says so.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::Metadata;
use crate::Error;

const MAGIC: &[u8; 4] = b"MZRP";
/// The version of the format.
pub const VERSION: u16 = 1;
/// The longest metadata: the objects of a mount.
const LONGEST_METADATA: usize = 64 << 20;
/// How much is gathered before it is written.
const BUFFER: usize = 64 << 10;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A program read bytes.
    Read,
    /// Bytes were fetched into a buffer.
    Fetch,
    /// A file was opened: offset and length are its bytes in the object.
    Open,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// What was done.
    pub operation: Operation,
    /// When it ended, in microseconds since the recording began.
    pub at: u64,
    /// How long it took, in microseconds.
    pub took: u64,
    /// Which object, by position.
    pub object: u32,
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// Whether it succeeded.
    pub is_ok: bool,
}

const END: u8 = 0;
const KINDS: [Operation; 3] = [Operation::Read, Operation::Fetch, Operation::Open];
const KIND_MASK: u8 = 0b11;
const SAME_OBJECT: u8 = 1 << 2;
const FOLLOWS: u8 = 1 << 3;
const SAME_LENGTH: u8 = 1 << 4;
const FAILED: u8 = 1 << 5;
const KNOWN: u8 = KIND_MASK | SAME_OBJECT | FOLLOWS | SAME_LENGTH | FAILED;

/// What a record is told as the difference to.
#[derive(Clone, Copy, Default)]
struct Last {
    object: u32,
    end: u64,
    len: u64,
}

#[derive(Clone, Copy, Default)]
struct Context {
    at: u64,
    kinds: [Last; KINDS.len()],
}

/// Writes a replay.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    buffer: Vec<u8>,
    crc: crc32fast::Hasher,
    context: Context,
    is_finished: bool,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({} us)", self.at)
    }
}

impl<W: Write> Writer<W> {
    /// Writes the beginning.
    ///
    /// # Errors
    /// Those of `inner`.
    pub fn begin(inner: W, metadata: &Metadata) -> io::Result<Self> {
        let mut buffer = Vec::with_capacity(BUFFER);
        buffer.extend_from_slice(MAGIC);
        buffer.extend_from_slice(&VERSION.to_le_bytes());
        let json = serde_json::to_vec(metadata)?;
        buffer.extend_from_slice(&(json.len() as u32).to_le_bytes());
        buffer.extend_from_slice(&json);
        let mut writer = Self {
            inner,
            buffer,
            crc: crc32fast::Hasher::new(),
            context: Context::default(),
            is_finished: false,
        };
        writer.flush_out()?;
        Ok(writer)
    }

    /// Adds a record. Records come in the order of their ends; one that is a little late counts as of the one before.
    ///
    /// # Errors
    /// Those of `inner`.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        if self.is_finished {
            return Ok(());
        }
        let kind = KINDS.iter().position(|kind| *kind == record.operation).unwrap_or_default();
        let last = self.context.kinds[kind];
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let tag = (kind as u8 + 1)
            | flag(record.object == last.object, SAME_OBJECT)
            | flag(record.offset == last.end, FOLLOWS)
            | flag(record.len == last.len, SAME_LENGTH)
            | flag(!record.is_ok, FAILED);
        self.buffer.push(tag);
        put(&mut self.buffer, record.at.saturating_sub(self.context.at));
        if tag & SAME_OBJECT == 0 {
            put(&mut self.buffer, u64::from(record.object));
        }
        if tag & FOLLOWS == 0 {
            put(&mut self.buffer, zigzag(record.offset.wrapping_sub(last.end) as i64));
        }
        if tag & SAME_LENGTH == 0 {
            put(&mut self.buffer, record.len);
        }
        put(&mut self.buffer, record.took);
        self.context.at = self.context.at.max(record.at);
        self.context.kinds[kind] =
            Last { object: record.object, end: record.offset.wrapping_add(record.len), len: record.len };
        if self.buffer.len() >= BUFFER { self.flush_out() } else { Ok(()) }
    }

    /// Writes the end.
    ///
    /// # Errors
    /// Those of `inner`.
    pub fn finish(&mut self, counters: &[(&str, u64)]) -> io::Result<()> {
        if self.is_finished {
            return Ok(());
        }
        self.is_finished = true;
        let counters: serde_json::Map<String, serde_json::Value> =
            counters.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let json = serde_json::to_vec(&counters)?;
        self.buffer.push(END);
        self.buffer.extend_from_slice(&(json.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&json);
        self.flush_out()?;
        let crc = self.crc.clone().finalize();
        self.inner.write_all(&crc.to_le_bytes())?;
        self.inner.flush()
    }

    /// Writes what is gathered.
    ///
    /// # Errors
    /// Those of `inner`.
    pub fn flush_out(&mut self) -> io::Result<()> {
        self.crc.update(&self.buffer);
        let written = self.inner.write_all(&self.buffer);
        self.buffer.clear();
        written
    }

    /// What it writes to.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

/// A replay in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// What it is of.
    pub metadata: Metadata,
    /// What happened, in order.
    pub records: Vec<Record>,
    /// The counters at the end; `None` when the writer was killed before it.
    pub counters: Option<serde_json::Value>,
}

impl Replay {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::File`], and as [`Replay::parse`].
    pub fn open(path: &std::path::Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
        Self::parse(&path.display().to_string(), &bytes)
    }

    /// Reads a replay's bytes.
    ///
    /// # Errors
    /// [`Error::Replay`] for what is none, is of another version, or is damaged before its end.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let fail = |fault: &str| Error::Replay { name: crate::error::shorten(name), fault: fault.to_owned() };
        let mut input = Input { bytes, at: 0 };
        if input.take(4) != Some(MAGIC.as_slice()) {
            return Err(fail("it is no replay"));
        }
        let version = input.take(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        if version != Some(VERSION) {
            return Err(fail("it is of another version of the format"));
        }
        let length = input.length().filter(|&length| length <= LONGEST_METADATA);
        let metadata =
            length.and_then(|length| input.take(length)).ok_or_else(|| fail("its beginning is cut short"))?;
        let metadata: Metadata =
            serde_json::from_slice(metadata).map_err(|error| fail(&error.to_string()))?;
        let mut replay = Self { metadata, records: Vec::new(), counters: None };
        let mut context = Context::default();
        loop {
            let Some(tag) = input.take(1).map(|bytes| bytes[0]) else { return Ok(replay) };
            if tag == END {
                replay.counters = input.end().map_err(fail)?;
                return Ok(replay);
            }
            // A record that is cut short was being written when the writer was killed.
            let begin = input.at;
            match input.record(tag, &mut context).map_err(fail)? {
                Some(record) => {
                    if record.object as usize >= replay.metadata.objects.len() {
                        return Err(fail(&format!("byte {begin} is of an object that it does not name")));
                    }
                    replay.records.push(record);
                }
                None => return Ok(replay),
            }
        }
    }

    /// The records of one kind.
    pub fn of(&self, operation: Operation) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.operation == operation)
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn length(&mut self) -> Option<usize> {
        let bytes = self.take(4)?;
        usize::try_from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).ok()
    }

    /// A number; `Ok(None)` when the input ends in it.
    fn number(&mut self) -> Result<Option<u64>, &'static str> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.take(1).map(|bytes| bytes[0]) else { return Ok(None) };
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err("a number has more than 64 bits");
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(Some(value));
            }
        }
        Err("a number has more than 64 bits")
    }

    fn record(&mut self, tag: u8, context: &mut Context) -> Result<Option<Record>, &'static str> {
        let kind = usize::from(tag & KIND_MASK);
        if kind == 0 || tag & !KNOWN != 0 {
            return Err("a record is of a kind that is not known");
        }
        let kind = kind - 1;
        let last = context.kinds[kind];
        macro_rules! number {
            () => {
                match self.number()? {
                    Some(value) => value,
                    None => return Ok(None),
                }
            };
        }
        let at = context.at.checked_add(number!()).ok_or("a time is out of range")?;
        let object = if tag & SAME_OBJECT == 0 { number!() } else { u64::from(last.object) };
        let object = u32::try_from(object).map_err(|_| "an object is out of range")?;
        let offset =
            if tag & FOLLOWS == 0 { last.end.wrapping_add(unzigzag(number!()) as u64) } else { last.end };
        let len = if tag & SAME_LENGTH == 0 { number!() } else { last.len };
        let took = number!();
        if offset.checked_add(len).is_none_or(|end| end > crate::manifest::LARGEST_OBJECT) {
            return Err("an offset is out of range");
        }
        context.at = at;
        context.kinds[kind] = Last { object, end: offset + len, len };
        let operation = KINDS[kind];
        Ok(Some(Record { operation, at, took, object, offset, len, is_ok: tag & FAILED == 0 }))
    }

    /// The counters and the checksum.
    fn end(&mut self) -> Result<Option<serde_json::Value>, &'static str> {
        let Some(json) = self.length().and_then(|length| self.take(length)) else { return Ok(None) };
        let before = &self.bytes[..self.at];
        let Some(crc) = self.take(4) else { return Ok(None) };
        if crc32fast::hash(before).to_le_bytes() != crc || self.at != self.bytes.len() {
            return Err("it is damaged: its checksum is wrong");
        }
        serde_json::from_slice(json).map(Some).map_err(|_| "its counters are no JSON")
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::super::RecordedObject;
    use super::*;
    use proptest::prelude::*;

    fn metadata() -> Metadata {
        let object = RecordedObject {
            name: "film".into(),
            place: "file:///film".into(),
            size: 1 << 40,
            ..Default::default()
        };
        Metadata { objects: vec![object; 4], buffer: "adaptive".into(), ..Metadata::default() }
    }

    fn written(records: &[Record]) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), &metadata()).unwrap();
        for record in records {
            writer.write(record).unwrap();
        }
        writer.finish(&[("mezz.reads", 7)]).unwrap();
        writer.into_inner()
    }

    fn record() -> impl Strategy<Value = Record> {
        (0_usize..3, 0_u64..1 << 40, any::<u32>(), 0_u32..4, 0_u64..1 << 50, 0_u64..1 << 30, any::<bool>())
            .prop_map(|(kind, at, took, object, offset, len, is_ok)| Record {
                operation: KINDS[kind],
                at,
                took: u64::from(took),
                object,
                offset,
                len,
                is_ok,
            })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(mut records in prop::collection::vec(record(), 0..100)) {
            records.sort_by_key(|record| record.at);
            let bytes = written(&records);
            let replay = Replay::parse("x", &bytes).unwrap();
            prop_assert_eq!(&replay.records, &records);
            prop_assert_eq!(&replay.counters.unwrap()["mezz.reads"], 7);
        }

        #[test]
        fn a_file_that_is_cut_short_is_read_as_far_as_it_goes(
            mut records in prop::collection::vec(record(), 1..30),
            cut in any::<prop::sample::Index>(),
        ) {
            records.sort_by_key(|record| record.at);
            let bytes = written(&records);
            let cut = cut.index(bytes.len());
            if let Ok(replay) = Replay::parse("x", &bytes[..cut]) {
                prop_assert!(records.starts_with(&replay.records));
                prop_assert!(replay.counters.is_none());
            }
        }

        #[test]
        fn any_bytes_are_an_error_or_a_replay(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            mut records in prop::collection::vec(record(), 0..10),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let _ = Replay::parse("x", &bytes);
            records.sort_by_key(|record| record.at);
            let mut bytes = written(&records);
            let right = bytes.clone();
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= value;
            }
            if let Ok(replay) = Replay::parse("x", &bytes) && replay.counters.is_some() {
                prop_assert_eq!(bytes, right, "damage was not seen");
            }
        }
    }

    #[test]
    fn a_sequential_read_takes_at_most_six_bytes() {
        let read = |i: u64| Record {
            operation: Operation::Read,
            at: i * 900,
            took: 700,
            object: 0,
            offset: i * 131_072,
            len: 131_072,
            is_ok: true,
        };
        let some = written(&(0..10).map(read).collect::<Vec<_>>()).len();
        let more = written(&(0..1010).map(read).collect::<Vec<_>>()).len();
        assert!(more - some <= 6 * 1000, "{} bytes for 1000 reads", more - some);
    }
}
