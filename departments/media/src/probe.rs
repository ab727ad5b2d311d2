//! What a clip is, found by decoding it once.
//!
//! Containers lie about frame counts and rates, and ffprobe may not be there. So the clip is decoded from end to end,
//! through the same filters that every later step uses, and the frames themselves are asked: how many, when each is
//! shown, of what layout and colour. Audio packets are counted on the way. The one source of text is ffmpeg's `showinfo` filter
//! (pictures) and its `framecrc` format (audio), whose forms have been stable since before ffmpeg 4.

use std::path::Path;

use backlot_frames::Rate;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    container::check_whole,
    ffmpeg::{Ffmpeg, Job, LineSink},
    plan::{MIN_SIDE, Size},
    timing,
};

/// How to look at a clip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeOptions {
    /// Makes the frame rate constant at this rate, here and in all later steps, by doubling and dropping frames.
    pub fps: Option<Rate>,
}

/// Everything the later steps need to know about a clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// ffmpeg's names of the container format, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Size of the shown picture, after rotation.
    pub size: Size,
    /// Pixel aspect ratio, width to height.
    pub pixel_aspect: (u32, u32),
    /// ffmpeg's name of the pixel format, such as `yuv420p10le`.
    pub pixel_format: String,
    /// Bits per sample of the decoded picture.
    pub bit_depth: u32,
    /// Colour description of the first frame.
    pub colour: Colour,
    /// Clockwise rotation that the container asks for, in degrees. It is already applied to all pictures.
    pub rotation: i32,
    /// How lines were scanned. Interlaced clips are deinterlaced to one frame per frame.
    pub scan: Scan,
    /// Frames in the clip.
    pub frames: u64,
    /// Frames per second.
    pub rate: Rate,
    /// Whether the frames are *not* evenly spaced; then `rate` is one the clip could be converted to.
    pub variable_rate: bool,
    /// The rate asked for with [`ProbeOptions::fps`].
    pub converted_to: Option<Rate>,
    /// When the first frame is shown, in seconds on the container's clock.
    pub start: f64,
    /// `frames / rate`, in seconds.
    pub duration: f64,
    /// The audio streams, in the container's order.
    pub audio: Vec<AudioStream>,
}

/// Colour as ITU-T H.273 has it, in ffmpeg's names; absent where the clip does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colour {
    /// `tv` (limited) or `pc` (full).
    pub range: Option<String>,
    /// Such as `bt709`.
    pub primaries: Option<String>,
    /// Such as `bt709` or `smpte2084`.
    pub transfer: Option<String>,
    /// Such as `bt709`, or `gbr` for RGB.
    pub matrix: Option<String>,
}

/// How the lines of the pictures were scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scan {
    /// All frames progressive.
    Progressive,
    /// Some frame interlaced.
    Interlaced,
}

/// An audio stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioStream {
    /// ffmpeg's name of the codec.
    pub codec: String,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channel layout, such as `stereo` or `5.1`; empty when unknown.
    pub layout: String,
    /// When the first packet begins, in seconds on the container's clock.
    pub start: f64,
    /// How long the packets last together, in seconds.
    pub duration: f64,
}

/// Containers with an index of key frames, which ffmpeg seeks in exactly. In the others (transport and elementary
/// streams) it lands somewhere and decodes from the next key frame on, which may be too late.
const INDEXED_CONTAINERS: &[&str] = &["mov", "mp4", "matroska", "webm", "avi", "mxf", "nut"];

impl Probe {
    /// Whether the container can be sought in; where it cannot, a shot is found by decoding from the start.
    pub fn has_index(&self) -> bool {
        self.container.split(',').any(|name| INDEXED_CONTAINERS.contains(&name))
    }

    /// Fine when the clip can be encoded: large enough, and of constant rate.
    pub fn require_encodable(&self, path: &Path) -> Result<(), Error> {
        let Size { width, height } = self.size;
        if width.min(height) < MIN_SIDE {
            return Err(Error::TooSmall { path: path.to_owned(), width, height, min: MIN_SIDE });
        }
        if self.variable_rate {
            return Err(Error::VariableRate { path: path.to_owned(), suggested: self.rate });
        }
        Ok(())
    }
}

/// Probes a clip: decodes all of it. The error tells what is wrong with it, and the mend.
pub async fn probe(ffmpeg: &Ffmpeg, path: &Path, options: ProbeOptions) -> Result<Probe, Error> {
    check_whole(path)?;
    let convert = options.fps.map(|fps| format!("fps={fps},")).unwrap_or_default();
    let job = Job::new("probing", path, "info")
        .args(["-xerror", "-threads", "1", "-copyts"])
        .input(path)
        .args(["-map", "0:V:0", "-vf", &format!("{convert}showinfo=checksum=0"), "-fps_mode", "passthrough"])
        .args(["-c:v", "rawvideo", "-map", "0:a?", "-c:a", "copy", "-f", "framecrc", "pipe:1"]);
    let (pictures, packets) = job.run(ffmpeg, Pictures::new(path), Packets::default()).await?;
    pictures.into_probe(packets.into_streams(), options)
}

/// Gathers what `showinfo` prints per frame, in constant memory but for one time per frame.
struct Pictures {
    path: std::path::PathBuf,
    container: String,
    time_base: Option<(u64, u64)>,
    nominal_rate: Option<Rate>,
    times: Vec<i64>,
    without_time: bool,
    first: Option<FirstFrame>,
    colour: Option<Colour>,
    rotation: i32,
    interlaced: bool,
    size_change: Option<(String, String)>,
}

struct FirstFrame {
    size: String,
    pixel_format: String,
    pixel_aspect: (u32, u32),
}

impl Pictures {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            container: String::new(),
            time_base: None,
            nominal_rate: None,
            times: Vec::new(),
            without_time: false,
            first: None,
            colour: None,
            rotation: 0,
            interlaced: false,
            size_change: None,
        }
    }

    fn frame(&mut self, line: &str, time: &str) {
        match time.parse() {
            Ok(time) => self.times.push(time),
            Err(_) => self.without_time = true,
        }
        self.interlaced |= matches!(field(line, " i:"), Some("T" | "B"));
        let Some(size) = field(line, " s:") else { return };
        match &self.first {
            None => {
                let aspect = field(line, " sar:").and_then(|aspect| pair(aspect, '/')).unwrap_or((0, 0));
                self.first = Some(FirstFrame {
                    size: size.to_owned(),
                    pixel_format: field(line, " fmt:").unwrap_or_default().to_owned(),
                    pixel_aspect: if aspect.0 == 0 || aspect.1 == 0 { (1, 1) } else { aspect },
                });
            }
            Some(first) if first.size != size && self.size_change.is_none() => {
                self.size_change = Some((first.size.clone(), size.to_owned()));
            }
            Some(_) => {}
        }
    }

    fn into_probe(self, audio: Vec<AudioStream>, options: ProbeOptions) -> Result<Probe, Error> {
        let path = || self.path.clone();
        let (Some(first), Some((tick_num, tick_den))) = (&self.first, self.time_base) else {
            return Err(Error::NoVideo { path: path() });
        };
        if self.without_time {
            return Err(Error::NoTimestamps { path: path() });
        }
        if let Some((from, to)) = &self.size_change {
            return Err(Error::SizeChanges { path: path(), from: from.clone(), to: to.clone() });
        }
        let size = pair(&first.size, 'x').map(|(width, height)| Size { width, height });
        let bit_depth = bit_depth_of(&first.pixel_format);
        let size = size.ok_or_else(|| Error::NoVideo { path: path() })?;
        let tick = tick_num as f64 / tick_den as f64;
        let timing = timing::fit(&self.times, tick, options.fps.or(self.nominal_rate));
        Ok(Probe {
            container: self.container.clone(),
            size,
            pixel_aspect: first.pixel_aspect,
            pixel_format: first.pixel_format.clone(),
            bit_depth,
            colour: self.colour.clone().unwrap_or_default(),
            rotation: self.rotation,
            scan: if self.interlaced { Scan::Interlaced } else { Scan::Progressive },
            frames: self.times.len() as u64,
            rate: timing.rate,
            variable_rate: timing.variable,
            converted_to: options.fps,
            start: timing.start,
            duration: timing.rate.seconds(self.times.len() as u64),
            audio,
        })
    }
}

impl LineSink for Pictures {
    fn line(&mut self, line: &str) {
        if let Some(container) = line.strip_prefix("Input #0, ").and_then(|rest| rest.split(", from").next())
        {
            container.clone_into(&mut self.container);
        } else if let Some(degrees) =
            line.split_once("rotation of ").and_then(|(_, rest)| rest.split(' ').next())
        {
            // The matrix turns counter-clockwise by this much; players turn the picture back, clockwise.
            let degrees: f64 = degrees.parse().unwrap_or(0.0);
            self.rotation = (-degrees.round() as i32).rem_euclid(360);
        } else if !line.contains("Parsed_showinfo") {
        } else if let Some((_, config)) = line.split_once("config in time_base: ") {
            let (time_base, rate) = config.split_once(", frame_rate: ").unwrap_or((config, ""));
            self.time_base = pair(time_base, '/').map(|(num, den): (u64, u64)| (num, den.max(1)));
            self.nominal_rate = rate.trim().parse().ok();
        } else if let Some(time) = field(line, " pts:") {
            self.frame(line, time);
        } else if let (None, Some(range)) = (&self.colour, field(line, " color_range:")) {
            let known = |value: Option<&str>| {
                value
                    .filter(|value| !matches!(*value, "unknown" | "reserved" | "unspecified"))
                    .map(str::to_owned)
            };
            self.colour = Some(Colour {
                range: known(Some(range)),
                primaries: known(field(line, " color_primaries:")),
                transfer: known(field(line, " color_trc:")),
                matrix: known(field(line, " color_space:")),
            });
        }
    }
}

/// The word after `key`, which may be followed by padding.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(key)?;
    rest.split_whitespace().next()
}

fn pair<T: std::str::FromStr>(text: &str, separator: char) -> Option<(T, T)> {
    let (first, second) = text.trim().split_once(separator)?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// Bits per sample by ffmpeg's pixel format name: `yuv420p10le` has 10, `gray16le` 16, `p010le` 10, `yuv420p` 8.
fn bit_depth_of(pixel_format: &str) -> u32 {
    if pixel_format.starts_with("nv") {
        // nv12 and its kin number their layout, not their depth.
        return 8;
    }
    let bare = pixel_format.trim_end_matches("le").trim_end_matches("be");
    let digits = bare.len() - bare.trim_end_matches(|letter: char| letter.is_ascii_digit()).len();
    match &bare[bare.len() - digits..] {
        "48" | "64" | "16" | "016" | "216" | "416" => 16,
        "010" | "210" | "410" => 10,
        "012" | "212" | "412" => 12,
        number => number.parse().ok().filter(|bits| (9..=16).contains(bits)).unwrap_or(8),
    }
}

/// Gathers the audio streams from `framecrc` lines: comments with a stream's facts, then one line per packet.
#[derive(Default)]
struct Packets {
    streams: Vec<PacketStream>,
}

#[derive(Default)]
struct PacketStream {
    is_audio: bool,
    codec: String,
    sample_rate: u32,
    layout: String,
    tick: f64,
    first: Option<i64>,
    ticks: i64,
}

impl Packets {
    fn stream(&mut self, index: usize) -> Option<&mut PacketStream> {
        // A container has tens of streams; a damaged line must not size a vector.
        if index >= 256 {
            return None;
        }
        if self.streams.len() <= index {
            self.streams.resize_with(index + 1, PacketStream::default);
        }
        self.streams.get_mut(index)
    }

    fn into_streams(self) -> Vec<AudioStream> {
        let audio = self.streams.into_iter().filter(|stream| stream.is_audio);
        audio
            .map(|stream| AudioStream {
                start: stream.first.unwrap_or(0) as f64 * stream.tick,
                duration: stream.ticks as f64 * stream.tick,
                codec: stream.codec,
                sample_rate: stream.sample_rate,
                layout: stream.layout,
            })
            .collect()
    }
}

impl LineSink for Packets {
    fn line(&mut self, line: &str) {
        if let Some(comment) = line.strip_prefix('#') {
            let Some((key, value)) = comment.split_once(": ") else { return };
            let Some((key, index)) = key.rsplit_once(' ') else { return };
            let Some(stream) = index.parse().ok().and_then(|index| self.stream(index)) else { return };
            match key {
                "media_type" => stream.is_audio = value == "audio",
                "codec_id" => value.clone_into(&mut stream.codec),
                "sample_rate" => stream.sample_rate = value.parse().unwrap_or(0),
                "channel_layout_name" => value.clone_into(&mut stream.layout),
                "tb" => {
                    stream.tick = pair(value, '/').map_or(0.0, |(num, den): (f64, f64)| num / den.max(1.0));
                }
                _ => {}
            }
            return;
        }
        // stream, dts, pts, duration, size, checksum
        let mut fields = line.split(',').map(str::trim);
        let Some(stream) =
            fields.next().and_then(|index| index.parse().ok()).and_then(|index| self.stream(index))
        else {
            return;
        };
        let mut number = |skip: usize| fields.nth(skip).and_then(|field| field.parse::<i64>().ok());
        if let (Some(time), Some(duration)) = (number(1), number(0)) {
            stream.first.get_or_insert(time);
            stream.ticks += duration;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_known_forms_of_showinfo_are_read() {
        for frame in [
            "[Parsed_showinfo_1 @ 0x7f4] n:   0 pts:      0 pts_time:0       pos:     1015 fmt:yuv420p sar:1/1 s:1280x720 i:P iskey:1 type:I ",
            "[Parsed_showinfo_1 @ 0x7f4] n:   0 pts:      0 pts_time:0       duration:    512 duration_time:0.04    fmt:yuv420p cl:left sar:1/1 s:1280x720 i:P iskey:1 type:I ",
        ] {
            let mut pictures = Pictures::new(Path::new("a.mp4"));
            pictures.line("[Parsed_showinfo_1 @ 0x7f4] config in time_base: 1/12800, frame_rate: 25/1");
            pictures.line("[Parsed_showinfo_1 @ 0x7f4] config out time_base: 0/0, frame_rate: 0/0");
            pictures.line("      displaymatrix: rotation of -90.00 degrees");
            pictures.line(frame);
            pictures.line("[Parsed_showinfo_1 @ 0x7f4] color_range:tv color_space:bt709 color_primaries:unknown color_trc:bt709");
            pictures.line(&frame.replace("pts:      0 ", "pts:    512 "));
            let probe = pictures.into_probe(Vec::new(), ProbeOptions::default()).unwrap();
            assert_eq!(
                (probe.size, probe.frames, probe.rotation),
                (Size { width: 1280, height: 720 }, 2, 90)
            );
            assert_eq!(probe.rate.to_string(), "25/1");
            assert_eq!((probe.colour.matrix.as_deref(), probe.colour.primaries), (Some("bt709"), None));
            assert!(!probe.variable_rate);
        }
    }

    #[test]
    fn depths_are_read_from_names() {
        for (name, bits) in [
            ("yuv420p", 8),
            ("yuv420p10le", 10),
            ("gray12be", 12),
            ("gray16le", 16),
            ("nv12", 8),
            ("rgb24", 8),
            ("p010le", 10),
            ("rgb48le", 16),
            ("gbrp14le", 14),
            ("yuvj420p", 8),
        ] {
            assert_eq!(bit_depth_of(name), bits, "{name}");
        }
    }

    #[test]
    fn audio_packets_are_summed() {
        let mut packets = Packets::default();
        for line in [
            "#tb 1: 1/48000",
            "#media_type 1: audio",
            "#codec_id 1: aac",
            "#sample_rate 1: 48000",
            "#channel_layout_name 1: 5.1",
            "0, 0, 0, 1, 1382400, 0xa422aa37",
            "1,       -1024,       -1024,     1024,      967, 0x2036eea9",
            "1, 0, 0, 1024, 1011, 0x48020ec7",
        ] {
            packets.line(line);
        }
        let streams = packets.into_streams();
        assert_eq!(streams.len(), 1);
        assert_eq!((streams[0].codec.as_str(), streams[0].layout.as_str()), ("aac", "5.1"));
        assert!(
            (streams[0].start + 1024.0 / 48000.0).abs() < 1e-9
                && (streams[0].duration - 2048.0 / 48000.0).abs() < 1e-9
        );
    }
}
