//! Reading exact frames of a probed clip.
//!
//! A frame is named by its index and found by its time. The decoder seeks to a key frame well before, decodes from
//! there with the container's own timestamps, and a filter keeps what lies between half a frame before the first and
//! half a frame before the end. What comes out is re-timed by counting, so nothing after it can double or drop a frame. Whoever
//! reads counts the frames, so a container that seeks wrongly is an error and not a shifted shot.

use std::{fs::File, io::BufReader, path::Path};

use backlot_frames::{Reader, Shot};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    ffmpeg::{Ffmpeg, Job, Running},
    plan::Size,
    probe::{Probe, Scan},
};

/// How far before the first frame to seek: beyond what reordering of frames can hide behind a key frame.
const SEEK_MARGIN_SECONDS: f64 = 1.5;
/// Bytes buffered between a decoder and the code here: a row at a time would be a system call each.
const PIPE_BUFFER: usize = 1 << 20;
/// Bicubic, and the same bits on every machine.
pub(crate) const SCALE_FLAGS: &str = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact";

/// A clip and what its probe said.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its probe, made with the options that all steps are to share.
    pub probe: &'a Probe,
}

/// Sample layout that pictures are converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Layout {
    /// 4:2:0 at eight bits, what is encoded.
    Eight,
    /// 4:2:0 at eight bits, or ten where the source has more: what is measured.
    Reference,
}

impl Source<'_> {
    /// The whole clip as a range.
    pub fn all(&self) -> Shot {
        Shot { start: 0, end: self.probe.frames }
    }

    /// [`Error::Range`] unless `shot` has a frame and lies in the clip.
    pub(crate) fn check_range(&self, shot: Shot) -> Result<(), Error> {
        let Shot { start, end } = shot;
        if start < end && end <= self.probe.frames {
            return Ok(());
        }
        Err(Error::Range { start, end, frames: self.probe.frames })
    }

    /// ffmpeg's name of the pixel format for `layout`.
    pub(crate) fn pixel_format(&self, layout: Layout) -> &'static str {
        if layout == Layout::Reference && self.probe.bit_depth > 8 { "yuv420p10le" } else { "yuv420p" }
    }

    /// A job that reads frames `shot`: the input is set and the filters end in pictures of `size` and `layout`.
    pub(crate) fn job(&self, what: impl Into<String>, shot: Shot, size: Size, layout: Layout) -> Job {
        self.job_ending_in(what, shot, &scale(size, self.pixel_format(layout)))
    }

    /// A job that reads frames `shot`, numbered from 0 at its first, through filters that end in `tail`.
    pub(crate) fn job_ending_in(&self, what: impl Into<String>, shot: Shot, tail: &str) -> Job {
        let mut job = Job::new(what, self.path, "warning").args(["-xerror", "-threads", "1", "-copyts"]);
        let from = self.time_of(shot.start) - SEEK_MARGIN_SECONDS;
        if from > self.probe.start && self.probe.has_index() {
            // Plain seeking on the container's clock, to a key frame at or before the time.
            job = job.args(["-noaccurate_seek", "-seek_timestamp", "1", "-ss", &format!("{from:.6}")]);
        }
        job.input(self.path)
            .args(["-map", "0:V:0", "-filter_threads", "1", "-fps_mode", "passthrough", "-vf"])
            .arg(self.filters(shot, tail))
    }

    fn filters(&self, shot: Shot, tail: &str) -> String {
        let rate = self.probe.rate;
        let mut filters = Vec::new();
        if let Some(fps) = self.probe.converted_to {
            filters.push(format!("fps={fps}"));
        }
        if self.probe.scan == Scan::Interlaced {
            filters.push("bwdif=mode=send_frame:deint=all".to_owned());
        }
        // Without a bound at an end of the clip, a first or last frame somewhat off its place is still read.
        let half_frame = 0.5 / rate.per_second();
        let mut trim = Vec::new();
        if shot.start > 0 {
            trim.push(format!("start={:.6}", self.time_of(shot.start) - half_frame));
        }
        if shot.end < self.probe.frames {
            trim.push(format!("end={:.6}", self.time_of(shot.end) - half_frame));
        }
        if !trim.is_empty() {
            // The bounds are rounded to the link's ticks, which may be whole frames: make them microseconds first.
            filters.push(format!("settb=AVTB,trim={}", trim.join(":")));
        }
        filters.push(format!("settb={}/{},setpts=N", rate.den(), rate.num()));
        filters.push(tail.to_owned());
        filters.join(",")
    }

    /// When frame `index` is shown, in seconds on the container's clock.
    fn time_of(&self, index: u64) -> f64 {
        self.probe.start + self.probe.rate.seconds(index)
    }
}

/// The filters that scale to `size` in limited range and convert to `pixel_format`.
pub(crate) fn scale(size: Size, pixel_format: &str) -> String {
    format!("scale={}:{}:flags={SCALE_FLAGS}:out_range=tv,format={pixel_format}", size.width, size.height)
}

/// A decoder at work, whose pictures are read from a pipe on another thread.
pub(crate) struct Decoder {
    pub(crate) running: Running<()>,
    pub(crate) pipe: File,
}

impl Decoder {
    /// Starts a job that writes YUV4MPEG2 to its standard output.
    pub(crate) fn start(job: Job, ffmpeg: &Ffmpeg) -> Result<Self, Error> {
        let job = job.args(["-an", "-sn", "-dn", "-strict", "-1", "-f", "yuv4mpegpipe", "pipe:1"]);
        let mut running = job.spawn(ffmpeg, ())?;
        let pipe = running.take_stdout()?.expect("invariant: the standard output is taken once, here");
        Ok(Self { running, pipe })
    }
}

/// Has `work` read what decoders put out, on a thread of its own, and sees them end. A decoder's own word comes before that of `work`;
/// one that only met a closed pipe has nothing to say.
pub(crate) async fn read_all<T: Send + 'static>(
    decoders: Vec<Decoder>,
    work: impl FnOnce(Vec<File>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (running, pipes): (Vec<_>, Vec<_>) =
        decoders.into_iter().map(|decoder| (decoder.running, decoder.pipe)).unzip();
    let read = on_a_thread(move || work(pipes)).await;
    for running in running {
        match running.finish().await {
            Err(Error::Child { .. }) if read.is_err() => {}
            ended => ended?,
        }
    }
    read
}

/// The frames that come through a decoder's pipe.
pub(crate) type FrameReader = Reader<BufReader<File>>;

/// Reads the stream's header. Blocks until the decoder has its first frame.
pub(crate) fn frame_reader(pipe: File) -> Result<FrameReader, Error> {
    Ok(Reader::new(BufReader::with_capacity(PIPE_BUFFER, pipe))?)
}

/// Runs `work` on a thread of its own. A panic there is a panic here.
pub(crate) async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
