//! Reading the sample tables of a plain (not fragmented) MP4 file with one track.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use crate::Error;

/// Tables are 20 bytes or so per frame; a shot of hours at 120 frames per second stays below this.
const MAX_MOOV: u64 = 64 << 20;
/// More samples than `MAX_MOOV` could describe one by one are only in a damaged table of equal sizes.
const MAX_SAMPLES: u32 = 10_000_000;

/// One coded picture or audio packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Where its bytes begin in the file.
    pub(crate) offset: u64,
    /// How many they are.
    pub(crate) size: u32,
    /// In ticks of the track.
    pub(crate) duration: u32,
    /// From decoding to showing, in ticks.
    pub(crate) composition: i32,
    /// Whether decoding can begin here.
    pub(crate) is_sync: bool,
}

/// The one track of a file.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    /// Ticks per second.
    pub(crate) timescale: u32,
    /// The sample description (`avc1`, `hvc1`, `av01`, `mp4a` box, whole).
    pub(crate) entry: Vec<u8>,
    /// Ticks of the media that the edit list skips: an encoder's delay.
    pub(crate) skipped: i64,
    /// In decoding order.
    pub(crate) samples: Vec<Sample>,
}

impl Track {
    /// The place of each sample, in decoding order, in the order of showing. `None` when the times are not those of
    /// frames one after another.
    pub(crate) fn showing_order(&self) -> Option<Vec<u64>> {
        let tick = i64::from(self.samples.first()?.duration).max(1);
        let mut decoded = 0;
        let mut seen = vec![false; self.samples.len()];
        let mut order = Vec::with_capacity(seen.len());
        for sample in &self.samples {
            let shown = decoded + i64::from(sample.composition) - self.skipped;
            decoded += tick;
            let place = usize::try_from(shown / tick).ok().filter(|_| shown % tick == 0)?;
            if std::mem::replace(seen.get_mut(place)?, true) {
                return None;
            }
            order.push(place as u64);
        }
        Some(order)
    }
}

/// Reads the tables of the only track in `path`.
pub(crate) fn read_track(path: &Path) -> Result<Track, Error> {
    let mut file = File::open(path).map_err(|error| Error::io(path, error))?;
    let moov = read_moov(&mut file, path)?;
    parse_moov(&moov)
        .ok_or_else(|| Error::Mp4 { path: path.to_owned(), detail: "its index is malformed".to_owned() })
}

/// Reads the bytes of `samples` of a file, one after another, onto the end of `into`.
pub(crate) fn read_samples(file: &mut File, samples: &[Sample], into: &mut Vec<u8>) -> std::io::Result<()> {
    for sample in samples {
        file.seek(SeekFrom::Start(sample.offset))?;
        let start = into.len();
        into.resize(start + sample.size as usize, 0);
        file.read_exact(&mut into[start..])?;
    }
    Ok(())
}

fn read_moov(file: &mut File, path: &Path) -> Result<Vec<u8>, Error> {
    let io = |error| Error::io(path, error);
    let bad = |detail: &str| Error::Mp4 { path: path.to_owned(), detail: detail.to_owned() };
    let length = file.metadata().map_err(io)?.len();
    let mut position = 0;
    while position + 8 <= length {
        let mut header = [0; 16];
        file.seek(SeekFrom::Start(position)).map_err(io)?;
        let available = (length - position).min(16) as usize;
        file.read_exact(&mut header[..available]).map_err(io)?;
        let (size, header_size) = match number::<4>(&header, 0).unwrap_or(0) {
            0 => (length - position, 8),
            1 => (number::<8>(&header, 8).unwrap_or(0), 16),
            size => (size, 8),
        };
        if size < header_size || size > length - position {
            return Err(bad("a box runs over its end"));
        }
        if header[4..8] == *b"moov" {
            if size > MAX_MOOV {
                return Err(bad("its index is too large"));
            }
            let mut moov = vec![0; (size - header_size) as usize];
            file.seek(SeekFrom::Start(position + header_size)).map_err(io)?;
            file.read_exact(&mut moov).map_err(io)?;
            return Ok(moov);
        }
        position += size;
    }
    Err(bad("it has no index (moov)"))
}

/// The number of `N` bytes at `at`.
fn number<const N: usize>(data: &[u8], at: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(N)?)?;
    Some(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn number32(data: &[u8], at: usize) -> Option<u32> {
    number::<4>(data, at).map(|number| number as u32)
}

/// The contents of the first box called `kind` among the boxes in `data`.
pub(super) fn find(data: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    boxes(data).into_iter().find(|(found, _)| *found == kind).map(|(_, range)| &data[range][8..])
}

/// The boxes in `data`: kind, and the range of the whole box. Ends at the first that is malformed.
pub(super) fn boxes(data: &[u8]) -> Vec<([u8; 4], Range<usize>)> {
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(size) = number::<4>(data, position) {
        let size = if size == 0 { data.len() - position } else { size as usize };
        let Some(kind) = data.get(position + 4..position + 8).filter(|_| size >= 8) else { break };
        if size > data.len() - position {
            break;
        }
        found.push(([kind[0], kind[1], kind[2], kind[3]], position..position + size));
        position += size;
    }
    found
}

fn parse_moov(moov: &[u8]) -> Option<Track> {
    let movie_timescale = header_timescale(find(moov, *b"mvhd")?)?;
    let track = find(moov, *b"trak")?;
    let media = find(track, *b"mdia")?;
    let timescale = header_timescale(find(media, *b"mdhd")?)?;
    let tables = find(find(media, *b"minf")?, *b"stbl")?;
    let skipped = match find(track, *b"edts").and_then(|edits| find(edits, *b"elst")) {
        Some(edits) => skipped(edits, movie_timescale, timescale)?,
        None => 0,
    };
    let entries = find(tables, *b"stsd")?.get(8..)?;
    let (_, range) = boxes(entries).into_iter().next()?;
    let entry = entries[range].to_vec();

    let sizes = sizes(find(tables, *b"stsz")?)?;
    let count = sizes.len();
    let durations = runs(find(tables, *b"stts")?, count)?;
    let compositions = match find(tables, *b"ctts") {
        Some(table) => runs(table, count)?,
        None => vec![0; count],
    };
    let offsets = offsets(tables, &sizes)?;
    let mut is_sync = vec![true; count];
    if let Some(table) = find(tables, *b"stss") {
        is_sync.fill(false);
        for entry in 0..number32(table, 4)? as usize {
            let sample = number32(table, 8 + entry * 4)? as usize;
            *is_sync.get_mut(sample.checked_sub(1)?)? = true;
        }
    }
    let samples = (0..count).map(|index| Sample {
        offset: offsets[index],
        size: sizes[index],
        duration: durations[index],
        composition: compositions[index].cast_signed(),
        is_sync: is_sync[index],
    });
    Some(Track { timescale, entry, skipped, samples: samples.collect() })
}

/// The timescale in `mvhd` or `mdhd`, which begin alike.
fn header_timescale(header: &[u8]) -> Option<u32> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    number32(header, at).filter(|&timescale| timescale > 0)
}

/// The media time of the first edit that shows media, less the time of empty edits before it.
fn skipped(elst: &[u8], movie_timescale: u32, timescale: u32) -> Option<i64> {
    let wide = *elst.first()? == 1;
    let entry_size = if wide { 20 } else { 12 };
    let mut empty = 0;
    for entry in 0..number32(elst, 4)? as usize {
        let at = 8 + entry * entry_size;
        let (duration, media_time) = if wide {
            (number::<8>(elst, at)?, number::<8>(elst, at + 8)?.cast_signed())
        } else {
            (number::<4>(elst, at)?, i64::from(number32(elst, at + 4)?.cast_signed()))
        };
        if media_time >= 0 {
            return Some(media_time - empty);
        }
        empty += (u128::from(duration) * u128::from(timescale) / u128::from(movie_timescale)) as i64;
    }
    Some(-empty)
}

fn sizes(stsz: &[u8]) -> Option<Vec<u32>> {
    let (uniform, count) = (number32(stsz, 4)?, number32(stsz, 8)?);
    if count > MAX_SAMPLES {
        return None;
    }
    if uniform != 0 {
        return Some(vec![uniform; count as usize]);
    }
    (0..count as usize).map(|index| number32(stsz, 12 + index * 4)).collect()
}

/// A table of (count, value) runs, laid out for `count` samples; exactly that many must be there.
fn runs(table: &[u8], count: usize) -> Option<Vec<u32>> {
    let mut values = Vec::with_capacity(count);
    for entry in 0..number32(table, 4)? as usize {
        let (run, value) = (number32(table, 8 + entry * 8)? as usize, number32(table, 12 + entry * 8)?);
        if run > count - values.len() {
            return None;
        }
        values.resize(values.len() + run, value);
    }
    (values.len() == count).then_some(values)
}

/// Where each sample begins: chunks have places, and hold a number of samples that changes at some chunks.
fn offsets(tables: &[u8], sizes: &[u32]) -> Option<Vec<u64>> {
    let chunks: Vec<u64> = if let Some(stco) = find(tables, *b"stco") {
        (0..number32(stco, 4)? as usize)
            .map(|index| number::<4>(stco, 8 + index * 4))
            .collect::<Option<_>>()?
    } else {
        let co64 = find(tables, *b"co64")?;
        (0..number32(co64, 4)? as usize)
            .map(|index| number::<8>(co64, 8 + index * 8))
            .collect::<Option<_>>()?
    };
    let stsc = find(tables, *b"stsc")?;
    let changes = number32(stsc, 4)? as usize;
    let mut next_change = 0;
    let mut per_chunk = 0;
    let mut offsets = Vec::with_capacity(sizes.len());
    for (index, &chunk) in chunks.iter().enumerate() {
        if next_change < changes && number32(stsc, 8 + next_change * 12)? as usize == index + 1 {
            per_chunk = number32(stsc, 12 + next_change * 12)? as usize;
            next_change += 1;
        }
        let mut position = chunk;
        let held = per_chunk.min(sizes.len() - offsets.len());
        for &size in &sizes[offsets.len()..][..held] {
            offsets.push(position);
            position = position.checked_add(size.into())?;
        }
    }
    (offsets.len() == sizes.len()).then_some(offsets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn track(compositions: &[i32], skipped: i64) -> Track {
        let sample =
            |&composition| Sample { offset: 0, size: 1, duration: 1001, composition, is_sync: false };
        Track {
            timescale: 30_000,
            entry: Vec::new(),
            skipped,
            samples: compositions.iter().map(sample).collect(),
        }
    }

    #[test]
    fn frames_are_shown_one_after_another() {
        // I P b b: decoded 0 1 2 3, shown 0 3 1 2, all delayed by one frame so that no offset is negative.
        let reordered = track(&[1001, 3003, 0, 0], 1001);
        assert_eq!(reordered.showing_order().unwrap(), [0, 3, 1, 2]);
        assert_eq!(track(&[0, 0, 0], 0).showing_order().unwrap(), [0, 1, 2]);
        for irregular in [track(&[0, 1001, 0], 0), track(&[0, 500, 0], 0), track(&[0, 0], 1001)] {
            assert_eq!(irregular.showing_order(), None);
        }
    }

    proptest! {
        #[test]
        fn no_index_panics(moov in proptest::collection::vec(any::<u8>(), 0..400), kinds in proptest::collection::vec(0_usize..13, 0..20)) {
            // Random bytes, with box names sprinkled in so that the parser gets past the door.
            let names = [b"mvhd", b"trak", b"mdia", b"mdhd", b"minf", b"stbl", b"stsd", b"stsz", b"stts", b"stsc", b"stco", b"elst", b"ctts"];
            let mut moov = moov;
            for (index, &kind) in kinds.iter().enumerate() {
                if let Some(place) = moov.get_mut(index * 8 + 4..index * 8 + 8) {
                    place.copy_from_slice(names[kind]);
                }
            }
            let _ = parse_moov(&moov);
        }
    }
}
