//! Remote write: a protobuf in snappy's block format ("Prometheus Remote-Write 1.0", prometheus.io).

use backlot_atlas::wire::Outcome;

use super::{MOST_LABELS, Refused, label_tag};
use crate::ingest::rows::{self, NoTags, Pairs, Rows};
use crate::ingest::{LARGEST_BODY, form};
use crate::state::State;
use crate::store::{Effect, Sample};

/// Bytes of a series with one sample, as most are.
const USUAL_SAMPLE: usize = 150;

/// Takes the body of a remote write.
pub(crate) fn remote_write(state: &State, body: &[u8]) -> Result<(), Refused> {
    let malformed = || Refused::Malformed("the body is no remote-write request of at most 64 MiB".to_owned());
    snap::raw::decompress_len(body).ok().filter(|length| *length <= LARGEST_BODY).ok_or_else(malformed)?;
    let plain = snap::raw::Decoder::new().decompress_vec(body).map_err(|_| malformed())?;
    let context = state.store.naming().context(form::REMOTE_WRITE, b"");
    let mut request = Message(&plain);
    let mut rows = Rows::new(state, plain.len() / USUAL_SAMPLE);
    let mut labels = Vec::with_capacity(plain.len() / USUAL_SAMPLE);
    while let Some(field) = request.next().ok_or_else(malformed)? {
        // WriteRequest.timeseries = 1
        let Field::Bytes(1, series) = field else { continue };
        let expected = rows.expected(context, series);
        // Where only samples follow, the expected labels are all there are.
        let expected = expected.filter(|(length, _)| has_no_label(&series[*length..]));
        let (name, found) = match expected {
            Some((length, found)) => (&series[..length], Some(found)),
            None => {
                let name = labels_of(series).ok_or_else(malformed)?;
                (name, rows.find(context, name))
            }
        };
        // Samples come after the labels; where they do not, the name is the whole message, and they are found all the same.
        let mut message = Message(if name.len() == series.len() { series } else { &series[name.len()..] });
        while let Some(field) = message.next().ok_or_else(malformed)? {
            // TimeSeries.samples = 2
            if let Field::Bytes(2, sample) = field {
                let (value, time) = read_sample(sample).ok_or_else(malformed)?;
                // A stale marker is a NaN: nothing is known from here on, which is what no value says.
                rows.push_found(found, (context, name), time, Sample::Value(Effect::Set, value));
                labels.push(name);
            }
        }
    }
    let mut outcome = Outcome::default();
    rows::write(state, rows, &mut outcome, |number| {
        read_labels(labels[number]).ok_or_else(|| NoTags::Malformed(malformed()))
    })?;
    state.counters.count(outcome.taken, outcome.refused);
    Ok(())
}

/// Whether a message is whole and none of its fields a label.
fn has_no_label(bytes: &[u8]) -> bool {
    let mut message = Message(bytes);
    loop {
        match message.next() {
            Some(None) => return true,
            None | Some(Some(Field::Bytes(1, _))) => return false,
            Some(Some(_)) => {}
        }
    }
}

/// The bytes of a series' labels: those before its first sample, or all where labels follow samples.
fn labels_of(series: &[u8]) -> Option<&[u8]> {
    let mut message = Message(series);
    let mut end = None;
    loop {
        let start = series.len() - message.0.len();
        match message.next()? {
            None => return Some(&series[..end.unwrap_or(series.len())]),
            Some(Field::Bytes(1, _)) if end.is_some() => return Some(series),
            Some(Field::Bytes(1, _)) => {}
            Some(_) => {
                end.get_or_insert(start);
            }
        }
    }
}

fn read_labels(bytes: &[u8]) -> Option<Pairs<'_>> {
    let mut message = Message(bytes);
    let mut labels = Vec::new();
    while let Some(field) = message.next()? {
        // TimeSeries.labels = 1: Label { name = 1, value = 2 }
        if let Field::Bytes(1, label) = field {
            let mut label = Message(label);
            let (mut name, mut value) = ("", "");
            while let Some(field) = label.next()? {
                match field {
                    Field::Bytes(1, text) => name = std::str::from_utf8(text).ok()?,
                    Field::Bytes(2, text) => value = std::str::from_utf8(text).ok()?,
                    _ => {}
                }
            }
            if labels.len() < MOST_LABELS && !name.is_empty() && !value.is_empty() {
                labels.push(label_tag(name, value));
            }
        }
    }
    rows::sort(&mut labels);
    Some(labels)
}

/// `Sample { value = 1, timestamp = 2 }`
fn read_sample(bytes: &[u8]) -> Option<(f64, i64)> {
    let mut sample = Message(bytes);
    let (mut value, mut time) = (0.0, 0);
    while let Some(field) = sample.next()? {
        match field {
            Field::Fixed(1, bits) => value = f64::from_bits(bits),
            Field::Varint(2, number) => time = number as i64,
            _ => {}
        }
    }
    Some((value, time))
}

/// A protobuf message, field by field ("Encoding", protobuf.dev).
struct Message<'a>(&'a [u8]);

enum Field<'a> {
    Varint(u64, u64),
    Fixed(u64, u64),
    Bytes(u64, &'a [u8]),
    Other,
}

impl<'a> Message<'a> {
    /// The next field, `Some(None)` at the end; `None` if the message is malformed.
    #[expect(clippy::option_option, reason = "an end is no error")]
    fn next(&mut self) -> Option<Option<Field<'a>>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        Some(Some(match tag & 7 {
            0 => Field::Varint(number, self.varint()?),
            1 => {
                let (bytes, rest) = self.0.split_first_chunk::<8>()?;
                self.0 = rest;
                Field::Fixed(number, u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Field::Bytes(number, bytes)
            }
            5 => {
                self.0 = self.0.get(4..)?;
                Field::Other
            }
            _ => return None,
        }))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_series_is_its_labels() {
        let (label, sample) = (b"\x0a\x06\x0a\x01a\x12\x01b".as_slice(), b"\x12\x02\x10\x05".as_slice());
        let usual = [label, sample, sample].concat();
        assert_eq!(labels_of(&usual), Some(label));
        assert_eq!(read_labels(label).unwrap(), [("a".into(), "b".into())]);
        let mixed = [sample, label].concat();
        assert_eq!(labels_of(&mixed), Some(&*mixed));
        assert_eq!(read_labels(&mixed).unwrap().len(), 1);
        assert_eq!(read_sample(&sample[2..]), Some((0.0, 5)));
        assert_eq!(labels_of(b"\x0a\xff"), None);
    }

    #[test]
    fn expected_labels_are_all_labels_where_no_other_follows() {
        let (label, sample) = (b"\x0a\x06\x0a\x01a\x12\x01b".as_slice(), b"\x12\x02\x10\x05".as_slice());
        // Every order of up to six fields, and every name of as many labels as were ever sent.
        for (length, order) in (0..6).flat_map(|length| (0..1u32 << length).map(move |order| (length, order)))
        {
            let fields = (0..length).map(|at| if order >> at & 1 == 0 { label } else { sample });
            let series = fields.collect::<Vec<_>>().concat();
            for labels in 0..6 {
                let expected = label.repeat(labels);
                if series.starts_with(&expected) && has_no_label(&series[expected.len()..]) {
                    assert_eq!(labels_of(&series), Some(&*expected), "{order:b} of {length}");
                }
            }
        }
        assert!(!has_no_label(b"\x0a\xff") && !has_no_label(b"\x12\x05") && has_no_label(b""));
    }
}
