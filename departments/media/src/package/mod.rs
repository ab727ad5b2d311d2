//! Stitching shots to rungs, and packaging rungs for players.
//!
//! A shot is a run of coded pictures whose first is a key frame, so a rung is the runs of its shots one after another:
//! nothing is decoded or encoded again. The pictures are re-timed by counting, which is why the frame count and the
//! duration of every rung are exactly those of the clip. The result is CMAF (fragmented MP4) under HLS playlists, and
//! beside it each rung as one self-contained fragmented MP4 with its sound.
//!
//! ```text
//! master.m3u8
//! audio/{init.mp4, media.m3u8, 00000.m4s, ...}
//! RUNG/{init.mp4, media.m3u8, 00000.m4s, ...}
//! RUNG.mp4
//! ```

mod audio;
mod playlist;
mod segments;
mod stitch;

use std::{
    fs,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
};

use backlot_frames::{Rate, Shot};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    mp4::{fragment, init_segment},
    partial::Partial,
    plan::Size,
};
use audio::AudioTrack;
use playlist::{AudioGroup, Variant};
use stitch::VideoTrack;

/// The track numbers of every file.
const VIDEO_TRACK: u32 = 1;
const AUDIO_TRACK: u32 = 2;

/// What to package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageRequest {
    /// Frames per second of the clip.
    pub rate: Rate,
    /// The shots, in order, without gap or overlap.
    pub shots: Vec<Shot>,
    /// Frames between key frames that the shots were encoded with.
    pub key_interval: u32,
    /// The shortest segment in seconds, except the last one.
    pub segment_seconds: f64,
    /// The rungs, in the order of the master playlist; players start with the first.
    pub rungs: Vec<Rung>,
    /// The audio track, from [`crate::audio::encode_audio`].
    pub audio: Option<PathBuf>,
}

/// A rung: one file per shot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// Its name and directory: letters, digits, `-` and `_`.
    pub name: String,
    /// Encoded size.
    pub size: Size,
    /// The encoded shots, from [`crate::encode::encode`].
    pub files: Vec<PathBuf>,
}

/// What was packaged. Paths are relative to the package's directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// The master playlist.
    pub master: PathBuf,
    /// Frames in every rung.
    pub frames: u64,
    /// Segments in every rung.
    pub segments: usize,
    /// In the order of the request.
    pub rungs: Vec<PackagedRung>,
}

/// A packaged rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackagedRung {
    /// Its name.
    pub name: String,
    /// Its media playlist.
    pub playlist: PathBuf,
    /// The whole rung with its sound in one file.
    pub file: PathBuf,
    /// RFC 6381 codec string of the video.
    pub codec: String,
    /// Peak bits per second with sound, as HLS defines it.
    pub peak_rate: f64,
    /// Mean bits per second with sound.
    pub mean_rate: f64,
}

/// Packages a title in the directory `output`, which is replaced when, and only when, the new one is complete. Reads and
/// writes files, so call it from a thread that may block.
pub fn package(request: &PackageRequest, output: &Path) -> Result<Package, Error> {
    check(request)?;
    let shortest = (request.segment_seconds * request.rate.per_second()).ceil().max(1.0) as u64;
    let segments = segments::segments(&request.shots, request.key_interval, shortest);
    let directory = Partial::directory(output)?;
    let root = directory.path();
    let frames = request.shots.last().map_or(0, |shot| shot.end);

    let audio = match &request.audio {
        Some(path) => Some(AudioTrack::open(path, request.rate, frames, &segments)?),
        None => None,
    };
    let seconds = |range: &Range<u64>| request.rate.seconds(range.end - range.start);
    let longest =
        segments.iter().map(seconds).fold(0.0, f64::max).max(audio.as_ref().map_or(0.0, AudioTrack::longest));
    let target = longest.round().max(1.0);

    let mut group = None;
    let mut audio_rates = (0.0, 0.0);
    if let Some(audio) = &audio {
        let mut stream = Stream::create(root, "audio", &init_segment(&[audio.init()]))?;
        let mut sizes = Vec::new();
        for (index, piece) in audio.pieces.iter().enumerate() {
            let data = audio.fragment(piece, index as u32 + 1)?;
            sizes.push((data.len() as u64, piece.seconds));
            stream.segment(&data, piece.seconds)?;
        }
        audio_rates = (segments::peak_rate(&sizes, target), segments::mean_rate(&sizes));
        group = Some(AudioGroup { uri: stream.finish(target)?, channels: audio.channels });
    }

    let mut rungs = Vec::new();
    let mut variants = Vec::new();
    for rung in &request.rungs {
        let video = VideoTrack::open(rung, request.rate, &request.shots)?;
        let mut stream = Stream::create(root, &rung.name, &init_segment(&[video.init()]))?;
        let file_name = format!("{}.mp4", rung.name);
        let tracks: Vec<_> =
            std::iter::once(video.init()).chain(audio.as_ref().map(AudioTrack::init)).collect();
        let mut whole = Whole::create(&root.join(&file_name), &init_segment(&tracks))?;
        let mut sizes = Vec::new();
        for (index, range) in segments.iter().enumerate() {
            let (samples, payload) = video.read(range)?;
            let time = video.ticks(range.start);
            let fragment_of = |sequence: u32| fragment(VIDEO_TRACK, sequence, time, &samples, &payload);
            let data = fragment_of(index as u32 + 1);
            sizes.push((data.len() as u64, seconds(range)));
            stream.segment(&data, seconds(range))?;
            let sequence = whole.next_sequence();
            whole.write(&fragment_of(sequence))?;
            if let Some((audio, piece)) =
                audio.as_ref().and_then(|audio| Some((audio, audio.pieces.get(index)?)))
            {
                let sequence = whole.next_sequence();
                whole.write(&audio.fragment(piece, sequence)?)?;
            }
        }
        whole.finish()?;
        let variant = Variant {
            uri: stream.finish(target)?,
            peak_rate: segments::peak_rate(&sizes, target) + audio_rates.0,
            mean_rate: segments::mean_rate(&sizes) + audio_rates.1,
            codecs: std::iter::once(video.codec.clone())
                .chain(audio.as_ref().map(|audio| audio.codec.clone()))
                .collect(),
            size: rung.size,
            frames_per_second: request.rate.per_second(),
        };
        rungs.push(PackagedRung {
            name: rung.name.clone(),
            playlist: PathBuf::from(&variant.uri),
            file: PathBuf::from(file_name),
            codec: video.codec,
            peak_rate: variant.peak_rate,
            mean_rate: variant.mean_rate,
        });
        variants.push(variant);
    }
    let master = "master.m3u8";
    write_file(&root.join(master), playlist::master(&variants, group.as_ref()).as_bytes())?;
    directory.complete()?;
    Ok(Package { master: PathBuf::from(master), frames, segments: segments.len(), rungs })
}

fn check(request: &PackageRequest) -> Result<(), Error> {
    let bad = |what: String| Err(Error::Package(what));
    let mut next = 0;
    for shot in &request.shots {
        if shot.start != next || shot.end <= shot.start {
            return bad(format!(
                "shot {} to {} does not follow frame {next}; give all shots in order",
                shot.start, shot.end
            ));
        }
        next = shot.end;
    }
    if request.shots.is_empty() || request.rungs.is_empty() {
        return bad("there is no shot or no rung; encode at least one of each".to_owned());
    }
    if !(request.segment_seconds > 0.0 && request.segment_seconds <= 3600.0) || request.key_interval == 0 {
        return bad("segments must last up to an hour, and the key interval be at least one frame".to_owned());
    }
    for (index, rung) in request.rungs.iter().enumerate() {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if rung.name.is_empty()
            || rung.name.len() > 64
            || !rung.name.chars().all(plain)
            || rung.name == "audio"
        {
            return bad(format!(
                "the rung name {:?} must be 1 to 64 letters, digits, `-` or `_`, and not `audio`",
                rung.name
            ));
        }
        if request.rungs[..index].iter().any(|other| other.name == rung.name) {
            return bad(format!("two rungs are named {:?}; name them apart", rung.name));
        }
        if rung.files.len() != request.shots.len() {
            let (files, shots) = (rung.files.len(), request.shots.len());
            return bad(format!(
                "rung {} has {files} encoded shots instead of {shots}; encode the missing ones",
                rung.name
            ));
        }
    }
    Ok(())
}

/// The files of one media playlist, being written.
struct Stream {
    directory: PathBuf,
    name: String,
    segments: Vec<(String, f64)>,
}

const INIT: &str = "init.mp4";

impl Stream {
    fn create(root: &Path, name: &str, init: &[u8]) -> Result<Self, Error> {
        let directory = root.join(name);
        fs::create_dir(&directory).map_err(|error| Error::io(&directory, error))?;
        write_file(&directory.join(INIT), init)?;
        Ok(Self { directory, name: name.to_owned(), segments: Vec::new() })
    }

    fn segment(&mut self, data: &[u8], seconds: f64) -> Result<(), Error> {
        let name = format!("{:05}.m4s", self.segments.len());
        write_file(&self.directory.join(&name), data)?;
        self.segments.push((name, seconds));
        Ok(())
    }

    /// Writes the playlist; its path from the root.
    fn finish(self, target: f64) -> Result<String, Error> {
        let text = playlist::media(INIT, &self.segments, target as u64);
        write_file(&self.directory.join("media.m3u8"), text.as_bytes())?;
        Ok(format!("{}/media.m3u8", self.name))
    }
}

/// A rung in one file, being written.
struct Whole {
    path: PathBuf,
    file: fs::File,
    sequence: u32,
}

impl Whole {
    fn create(path: &Path, init: &[u8]) -> Result<Self, Error> {
        let file = fs::File::create(path).map_err(|error| Error::io(path, error))?;
        let mut whole = Self { path: path.to_owned(), file, sequence: 0 };
        whole.write(init)?;
        Ok(whole)
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }

    fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        self.file.write_all(data).map_err(|error| Error::io(&self.path, error))
    }

    fn finish(self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| Error::io(&self.path, error))
    }
}

fn write_file(path: &Path, data: &[u8]) -> Result<(), Error> {
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(path)?;
        file.write_all(data)?;
        file.sync_all()
    };
    write().map_err(|error| Error::io(path, error))
}

/// The ticks that frame durations are told in: a multiple of the rate's numerator, fine enough for players that
/// assume at least milliseconds. (ticks per second, ticks per frame)
fn timescale(rate: Rate) -> (u32, u32) {
    let mut scale = 1;
    while rate.num().saturating_mul(scale) < 10_000 {
        scale *= 2;
    }
    (rate.num() * scale, rate.den() * scale)
}
