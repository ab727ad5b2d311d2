//! Decoding for Archer: its trait over this department's ffmpeg.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use backlot_archer::media::{AudioTrack, Delivered, Loudness, Media, Progress, Source as ArcherSource};
use backlot_archer::{Encoding, Failure, FrameRequest};
use backlot_frames::{Rate, Shot, ShotOptions};
use serde::Deserialize;

use crate::Error;
use crate::ffmpeg::{Job, LineSink};
use crate::kinds::Tools;
use crate::probe::{Probe, ProbeOptions, probe};
use crate::shots::detect_shots;
use crate::source::{SCALE_FLAGS, Source};

/// Who decodes for Archer.
pub(crate) struct Decoder(pub(crate) Tools);

/// What ffmpeg says of silence is minus infinity; JSON has no word for it. The absolute gate of ITU-R BS.1770 lies at -70 LUFS, so
/// nothing measured is lower than this.
const SILENCE: f64 = -120.0;

#[async_trait]
impl Media for Decoder {
    async fn version(&self) -> Result<String, Failure> {
        Ok(self.0.ffmpeg().await.map_err(failure)?.version().to_owned())
    }

    async fn probe(&self, path: &Path, name: &str, fps: Option<Rate>) -> Result<ArcherSource, Failure> {
        let ffmpeg = self.0.ffmpeg().await.map_err(failure)?;
        let found = probe(ffmpeg, path, ProbeOptions { fps }).await;
        let found = found.map_err(|error| renamed(failure(error), path, name))?;
        if found.variable_rate {
            return Err(renamed(
                failure(Error::VariableRate { path: path.to_owned(), suggested: found.rate }),
                path,
                name,
            ));
        }
        let track = |stream: &crate::probe::AudioStream| AudioTrack {
            codec: stream.codec.clone(),
            sample_rate: stream.sample_rate,
            layout: stream.layout.clone(),
            duration: stream.duration,
        };
        Ok(ArcherSource {
            name: name.to_owned(),
            width: found.size.width,
            height: found.size.height,
            frames: found.frames,
            rate: found.rate,
            duration: found.duration,
            pixel_format: found.pixel_format.clone(),
            bit_depth: found.bit_depth,
            audio: found.audio.iter().map(track).collect(),
            decoder: serde_json::to_value(&found).map_err(|error| Failure::Refused(error.to_string()))?,
        })
    }

    async fn shots(
        &self,
        path: &Path,
        source: &ArcherSource,
        progress: Progress,
    ) -> Result<Vec<Shot>, Failure> {
        let ffmpeg = self.0.ffmpeg().await.map_err(failure)?;
        let probe = probe_of(source)?;
        let clip = Source { path, probe: &probe };
        let found = detect_shots(ffmpeg, clip, ShotOptions::default(), progress).await;
        Ok(found.map_err(|error| renamed(failure(error), path, &source.name))?.shots)
    }

    async fn deliver(
        &self,
        path: &Path,
        source: &ArcherSource,
        range: Shot,
        request: &FrameRequest,
        directory: &Path,
    ) -> Result<Delivered, Failure> {
        let ffmpeg = self.0.ffmpeg().await.map_err(failure)?;
        let probe = probe_of(source)?;
        let clip = Source { path, probe: &probe };
        clip.check_range(range).map_err(failure)?;
        let Plan { width, height, format, filters } = plan(&probe, range, request)?;
        let ending = request.encoding.extension();
        let job = clip
            .job_ending_in("delivering frames", range, &filters)
            .args(["-an", "-sn", "-dn", "-threads", "1"]);
        let job = match request.encoding {
            Encoding::Png => job.args(["-c:v", "png", "-compression_level", "1"]),
            Encoding::Jpeg => {
                job.args(["-c:v", "mjpeg", "-strict", "unofficial", "-q:v", &request.quality.to_string()])
            }
            Encoding::Raw => job.args(["-c:v", "rawvideo"]),
        };
        job.args([
            "-map_metadata",
            "-1",
            "-fflags",
            "+bitexact",
            "-flags:v",
            "+bitexact",
            "-f",
            "image2",
            "-start_number",
            "0",
        ])
        .output(&directory.join(format!("%09d.{ending}")))
        .run(ffmpeg, (), ())
        .await
        .map_err(|error| renamed(failure(error), path, &source.name))?;
        let wanted: Vec<u64> =
            (range.start..range.end).filter(|frame| frame.is_multiple_of(request.every)).collect();
        let file = |number: u64| directory.join(format!("{number:09}.{ending}"));
        let got = std::fs::read_dir(directory).map_err(|error| failure(Error::io(directory, error)))?.count()
            as u64;
        if got != wanted.len() as u64 {
            let what = source.name.clone();
            return Err(failure(Error::FrameCount { what, expected: wanted.len() as u64, got }));
        }
        // A frame's number is never below its place, so from the last one on no name is taken.
        for (place, number) in wanted.iter().enumerate().rev() {
            std::fs::rename(file(place as u64), file(*number))
                .map_err(|error| failure(Error::io(directory, error)))?;
        }
        let files: Vec<(u64, PathBuf)> = wanted.into_iter().map(|number| (number, file(number))).collect();
        Ok(Delivered { width, height, format, files })
    }

    async fn loudness(&self, path: &Path, source: &ArcherSource, track: u32) -> Result<Loudness, Failure> {
        let ffmpeg = self.0.ffmpeg().await.map_err(failure)?;
        let job = Job::new("measuring loudness", path, "info")
            .input(path)
            .args(["-map", &format!("0:a:{track}"), "-vn", "-sn", "-dn", "-threads", "1", "-af"])
            .arg("ebur128=peak=true:framelog=verbose:metadata=1,ametadata=mode=print:file=-")
            .args(["-f", "null", "-"]);
        let (summary, series) = job
            .run(ffmpeg, Summary::default(), Series::default())
            .await
            .map_err(|error| renamed(failure(error), path, &source.name))?;
        let (Some(integrated), Some(range), Some(true_peak)) =
            (summary.integrated, summary.range, summary.peak)
        else {
            return Err(Failure::Refused(format!(
                "{}: ffmpeg gave no loudness of audio track {track}; it may be empty",
                source.name
            )));
        };
        Ok(Loudness {
            integrated,
            range,
            true_peak,
            momentary_max: series.momentary.max(SILENCE),
            short_term_max: series.short_term.max(SILENCE),
        })
    }
}

fn probe_of(source: &ArcherSource) -> Result<Probe, Failure> {
    Probe::deserialize(&source.decoder).map_err(|error| {
        Failure::Refused(format!("{}: its probe cannot be read: {error}; probe it again", source.name))
    })
}

/// What frames become on their way to a file.
struct Plan {
    width: u32,
    height: u32,
    format: String,
    filters: String,
}

fn plan(probe: &Probe, range: Shot, request: &FrameRequest) -> Result<Plan, Failure> {
    let mut filters = Vec::new();
    if request.every > 1 {
        let first = range.start % request.every;
        filters.push(format!("select=not(mod(n+{first}\\,{}))", request.every));
    }
    let (mut width, mut height) = (probe.size.width, probe.size.height);
    if let Some(crop) = request.crop {
        let fits =
            |start: u32, length: u32, side: u32| start.checked_add(length).is_some_and(|end| end <= side);
        if !(fits(crop.x, crop.width, width) && fits(crop.y, crop.height, height)) {
            return Err(Failure::Refused(format!(
                "the crop {}x{}+{}+{} is not inside a picture of {width}x{height}; choose a smaller one",
                crop.width, crop.height, crop.x, crop.y
            )));
        }
        filters.push(format!("crop={}:{}:{}:{}:exact=1", crop.width, crop.height, crop.x, crop.y));
        (width, height) = (crop.width, crop.height);
    }
    if let Some(scale) = request.scale {
        let follow = |given: u32, of: u32, other: u32| {
            ((f64::from(given) * f64::from(other) / f64::from(of)).round() as u32).max(1)
        };
        (width, height) = match (scale.width, scale.height) {
            (Some(wide), Some(high)) => (wide, high),
            (Some(wide), None) => (wide, follow(wide, width, height)),
            (None, Some(high)) => (follow(high, height, width), high),
            (None, None) => (width, height),
        };
    }
    let format = request.format.clone().unwrap_or_else(|| {
        match request.encoding {
            Encoding::Png => "rgb24",
            Encoding::Raw if probe.pixel_format.starts_with("gray") => "gray",
            Encoding::Raw if probe.pixel_format.contains("422") => "yuv422p",
            Encoding::Raw if probe.pixel_format.contains("444") => "yuv444p",
            Encoding::Raw if probe.pixel_format.contains("gb") || probe.pixel_format.contains("bg") => {
                "rgb24"
            }
            Encoding::Jpeg | Encoding::Raw => "yuv420p",
        }
        .to_owned()
    });
    // Gray and RGB go from 0 to the largest value, and so does JPEG (ITU-T T.871); raw YUV keeps the range of the clip.
    let is_yuv = format.starts_with("yuv") && request.encoding == Encoding::Raw;
    let range = if is_yuv { "" } else { ":out_range=pc" };
    filters.push(format!("scale={width}:{height}:flags={SCALE_FLAGS}{range},format={format}"));
    Ok(Plan { width, height, format, filters: filters.join(",") })
}

/// The summary that the filter `ebur128` writes to the log when it ends.
#[derive(Default)]
struct Summary {
    integrated: Option<f64>,
    range: Option<f64>,
    peak: Option<f64>,
}

impl LineSink for Summary {
    fn line(&mut self, line: &str) {
        let value = |key: &str| {
            let (_, rest) = line.trim_start().split_once(key)?;
            let number: f64 = rest.split_whitespace().next()?.parse().ok()?;
            Some(if number.is_finite() { number } else { SILENCE })
        };
        // Every line of the summary begins with its key; those of the frames do not.
        let begins = |key: &str| line.trim_start().starts_with(key);
        if begins("I: ") {
            self.integrated = value("I:");
        } else if begins("LRA: ") {
            self.range = value("LRA:");
        } else if begins("Peak: ") {
            self.peak = value("Peak:");
        }
    }
}

/// The momentary and short-term loudness, every tenth of a second.
struct Series {
    momentary: f64,
    short_term: f64,
}

impl Default for Series {
    fn default() -> Self {
        Self { momentary: SILENCE, short_term: SILENCE }
    }
}

impl LineSink for Series {
    fn line(&mut self, line: &str) {
        let value = |key: &str| line.strip_prefix(key)?.parse::<f64>().ok().filter(|value| value.is_finite());
        if let Some(momentary) = value("lavfi.r128.M=") {
            self.momentary = self.momentary.max(momentary);
        } else if let Some(short_term) = value("lavfi.r128.S=") {
            self.short_term = self.short_term.max(short_term);
        }
    }
}

/// Trouble of the machine may pass; trouble of the clip or the request does not.
fn failure(error: Error) -> Failure {
    match error {
        Error::Io { .. } | Error::NoSpace { .. } | Error::Child { .. } => Failure::Machine(error.to_string()),
        other => Failure::Refused(other.to_string()),
    }
}

/// With the clip's own name in place of the path of the blob that it was read from.
fn renamed(failure: Failure, path: &Path, name: &str) -> Failure {
    let path = path.display().to_string();
    match failure {
        Failure::Machine(text) => Failure::Machine(text.replace(&path, name)),
        Failure::Refused(text) => Failure::Refused(text.replace(&path, name)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_told_from_the_frames() {
        let mut summary = Summary::default();
        for line in [
            "[Parsed_ebur128_0 @ 0x5] t: 0.5 TARGET:-23 LUFS M: -20.1 S:-120.7 I: -20.0 LUFS LRA: 0.0 LU",
            "[Parsed_ebur128_0 @ 0x5] Summary:",
            "    I:         -23.0 LUFS",
            "    Threshold: -33.0 LUFS",
            "    LRA:         1.5 LU",
            "    LRA low:   -24.0 LUFS",
            "    Peak:       -inf dBFS",
        ] {
            summary.line(line);
        }
        assert_eq!(
            (summary.integrated, summary.range, summary.peak),
            (Some(-23.0), Some(1.5), Some(SILENCE))
        );
    }
}
