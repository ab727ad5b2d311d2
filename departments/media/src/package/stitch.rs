//! One rung's shots as one video track.

use std::{fs::File, ops::Range};

use backlot_frames::{Rate, Shot};

use crate::{
    Error,
    mp4::{
        FragmentSample, InitTrack, Media, Sample, codec_string, read_samples, read_track, without_bit_rate,
    },
    package::{Rung, VIDEO_TRACK, timescale},
};

/// A coded picture of the title.
struct Picture {
    /// Which shot's file it is in.
    shot: usize,
    sample: Sample,
    /// The frame of the title that it shows.
    shows: u64,
}

/// The video of a rung.
pub(super) struct VideoTrack<'a> {
    rung: &'a Rung,
    rate: Rate,
    entry: Vec<u8>,
    /// RFC 6381 codec string.
    pub(super) codec: String,
    /// In decoding order; as many as frames.
    pictures: Vec<Picture>,
    /// Frames by which showing lags behind decoding, so that no picture is shown before it is decoded.
    delay: u64,
}

impl<'a> VideoTrack<'a> {
    /// Reads the tables of all shots, and makes sure that they continue each other: the same parameter sets, the right
    /// number of frames, each shown once, in its own shot.
    pub(super) fn open(rung: &'a Rung, rate: Rate, shots: &[Shot]) -> Result<Self, Error> {
        let mut entry: Option<Vec<u8>> = None;
        let mut pictures = Vec::new();
        for (shot, (file, range)) in rung.files.iter().zip(shots).enumerate() {
            let bad = |detail: String| Error::Mp4 { path: file.clone(), detail };
            let track = read_track(file)?;
            let got = track.samples.len() as u64;
            if got != range.frames() {
                return Err(Error::FrameCount {
                    what: file.display().to_string(),
                    expected: range.frames(),
                    got,
                });
            }
            let order =
                track.showing_order().ok_or_else(|| bad("its frames are not evenly timed".to_owned()))?;
            let own = without_bit_rate(&track.entry);
            match &entry {
                None => entry = Some(own),
                Some(first) if *first != own => {
                    return Err(bad(format!(
                        "its parameter sets differ from those of rung {}'s first shot",
                        rung.name
                    )));
                }
                Some(_) => {}
            }
            let numbered = track.samples.into_iter().zip(order);
            pictures.extend(numbered.map(|(sample, place)| Picture {
                shot,
                sample,
                shows: range.start + place,
            }));
        }
        let entry = entry.ok_or_else(|| Error::Package(format!("rung {} has no shot", rung.name)))?;
        let codec = codec_string(&entry)
            .ok_or_else(|| Error::Package(format!("rung {} is none of H.264, H.265 and AV1", rung.name)))?;
        let late = |(decoded, picture): (u64, &Picture)| decoded.saturating_sub(picture.shows);
        let delay = (0..).zip(&pictures).map(late).max().unwrap_or(0);
        Ok(Self { rung, rate, entry, codec, pictures, delay })
    }

    pub(super) fn init(&self) -> InitTrack<'_> {
        let size = self.rung.size;
        InitTrack {
            id: VIDEO_TRACK,
            media: Media::Video { width: size.width, height: size.height },
            timescale: timescale(self.rate).0,
            skipped: self.ticks(self.delay),
            duration: self.ticks(self.pictures.len() as u64),
            entry: &self.entry,
        }
    }

    /// When frame `index` is decoded, in ticks.
    pub(super) fn ticks(&self, index: u64) -> u64 {
        index * u64::from(timescale(self.rate).1)
    }

    /// The pictures of a segment, which begins at a key frame and shows nothing outside itself, and their bytes.
    pub(super) fn read(&self, range: &Range<u64>) -> Result<(Vec<FragmentSample>, Vec<u8>), Error> {
        let pictures = &self.pictures[range.start as usize..range.end as usize];
        if !pictures[0].sample.is_sync || pictures.iter().any(|picture| !range.contains(&picture.shows)) {
            let path = self.rung.files[pictures[0].shot].clone();
            let detail = format!("frame {} does not begin a closed group of pictures", range.start);
            return Err(Error::Mp4 { path, detail });
        }
        let duration = timescale(self.rate).1;
        let samples = pictures.iter().zip(range.clone()).map(|(picture, decoded)| FragmentSample {
            size: picture.sample.size,
            duration,
            composition: (picture.shows + self.delay - decoded) as u32 * duration,
            is_sync: picture.sample.is_sync,
        });
        let mut payload = Vec::new();
        for run in pictures.chunk_by(|a, b| a.shot == b.shot) {
            let path = &self.rung.files[run[0].shot];
            let samples: Vec<Sample> = run.iter().map(|picture| picture.sample).collect();
            File::open(path)
                .and_then(|mut file| read_samples(&mut file, &samples, &mut payload))
                .map_err(|error| Error::io(path, error))?;
        }
        Ok((samples.collect(), payload))
    }
}
