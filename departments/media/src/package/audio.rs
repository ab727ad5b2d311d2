//! The audio track, cut where the video is cut.

use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
};

use backlot_frames::Rate;

use crate::{
    Error,
    mp4::{
        FragmentSample, InitTrack, Media, Sample, codec_string, fragment, read_samples, read_track,
        without_bit_rate,
    },
    package::AUDIO_TRACK,
};

/// The audio of a title.
pub(super) struct AudioTrack {
    path: PathBuf,
    timescale: u32,
    entry: Vec<u8>,
    skipped: u32,
    duration: u64,
    /// RFC 6381 codec string.
    pub(super) codec: String,
    /// Channels, for the playlist.
    pub(super) channels: u32,
    samples: Vec<Sample>,
    /// The packets of each segment.
    pub(super) pieces: Vec<Piece>,
}

/// The packets of one segment.
pub(super) struct Piece {
    packets: Range<usize>,
    decode_time: u64,
    /// How long the packets last.
    pub(super) seconds: f64,
}

impl AudioTrack {
    /// Reads the tables, cuts what is heard to the length of the video, and sorts packets into `segments` by where they
    /// begin.
    pub(super) fn open(path: &Path, rate: Rate, frames: u64, segments: &[Range<u64>]) -> Result<Self, Error> {
        let bad = |detail: &str| Error::Mp4 { path: path.to_owned(), detail: detail.to_owned() };
        let track = read_track(path)?;
        let entry = without_bit_rate(&track.entry);
        let codec = codec_string(&entry).ok_or_else(|| bad("its audio is not AAC"))?;
        let channels = entry.get(24..26).map_or(0, |count| u32::from(count[0]) << 8 | u32::from(count[1]));
        let skipped =
            u32::try_from(track.skipped).map_err(|_| bad("its sound does not begin at its start"))?;
        let ticks = |frame: u64| {
            let exact = u128::from(frame) * u128::from(rate.den()) * u128::from(track.timescale);
            ((exact + u128::from(rate.num()) / 2) / u128::from(rate.num())) as u64
        };
        let duration = ticks(frames);
        let samples = cut_to(track.samples, u64::from(skipped) + duration)
            .ok_or_else(|| bad("its sound ends early"))?;

        let mut pieces = Vec::with_capacity(segments.len());
        let (mut next, mut time) = (0, 0);
        for segment in segments {
            let (first, decode_time) = (next, time);
            let end = u64::from(skipped) + ticks(segment.end);
            while samples.get(next).is_some_and(|_| time < end) {
                time += u64::from(samples[next].duration);
                next += 1;
            }
            let seconds = (time - decode_time) as f64 / f64::from(track.timescale);
            pieces.push(Piece { packets: first..next, decode_time, seconds });
        }
        // A segment shorter than a packet may have none; players want no empty segment.
        pieces.retain(|piece| !piece.packets.is_empty());
        let path = path.to_owned();
        Ok(Self {
            path,
            timescale: track.timescale,
            entry,
            skipped,
            duration,
            codec,
            channels,
            samples,
            pieces,
        })
    }

    pub(super) fn init(&self) -> InitTrack<'_> {
        InitTrack {
            id: AUDIO_TRACK,
            media: Media::Audio,
            timescale: self.timescale,
            skipped: self.skipped.into(),
            duration: self.duration,
            entry: &self.entry,
        }
    }

    /// The longest segment in seconds.
    pub(super) fn longest(&self) -> f64 {
        self.pieces.iter().map(|piece| piece.seconds).fold(0.0, f64::max)
    }

    /// The segment's bytes.
    pub(super) fn fragment(&self, piece: &Piece, sequence: u32) -> Result<Vec<u8>, Error> {
        let packets = &self.samples[piece.packets.clone()];
        let mut payload = Vec::new();
        File::open(&self.path)
            .and_then(|mut file| read_samples(&mut file, packets, &mut payload))
            .map_err(|error| Error::io(&self.path, error))?;
        let sample = |packet: &Sample| FragmentSample {
            size: packet.size,
            duration: packet.duration,
            composition: 0,
            is_sync: true,
        };
        let samples: Vec<FragmentSample> = packets.iter().map(sample).collect();
        Ok(fragment(AUDIO_TRACK, sequence, piece.decode_time, &samples, &payload))
    }
}

/// The packets up to `ticks`, the last one shortened; `None` when there are not enough.
fn cut_to(mut samples: Vec<Sample>, ticks: u64) -> Option<Vec<Sample>> {
    let mut time = 0;
    for index in 0..samples.len() {
        let end = time + u64::from(samples[index].duration);
        if end >= ticks {
            samples[index].duration = (ticks - time) as u32;
            samples.truncate(index + 1);
            return Some(samples);
        }
        time = end;
    }
    None
}
