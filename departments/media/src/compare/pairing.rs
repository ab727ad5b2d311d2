//! Which frames of a rendition meet which of the reference: rates, sizes and formats brought together, prints laid beside
//! each other, and what was done told.

use std::path::{Path, PathBuf};

use backlot_frames::{Alignment, Frame, Print, Rate, Shot};

use super::Clip;
use crate::{
    Error,
    ffmpeg::Ffmpeg,
    plan::Size,
    probe::{Probe, ProbeOptions, Scan, probe},
    source::{Decoder, Layout, Source, frame_reader, on_a_thread},
};

/// Prints are made of pictures of this size: four samples across and down for each cell of the grid.
const PRINT_SIZE: Size = Size { width: 160, height: 96 };
/// Frames at the start of each clip that are laid beside each other. A minute is enough to tell; more costs time.
const PRINTED_FRAMES: u64 = 1500;
/// Above this mean difference of the prints, in eight-bit levels, the pictures have little to do with each other.
const ANOTHER_PICTURE: f64 = 12.0;
/// Rates that differ by less than this share are one rate: containers round, and 24 frames told as 23.976 are the same frames.
const SAME_RATE: f64 = 2e-3;

/// A clip and its probe at the rate that is compared at.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) path: PathBuf,
    own_rate: Rate,
    pub(super) probe: Probe,
}

impl Prepared {
    pub(crate) fn source(&self) -> Source<'_> {
        Source { path: &self.path, probe: &self.probe }
    }

    /// What its probe said.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    pub(super) fn clip(&self) -> Clip {
        Clip {
            path: self.path.clone(),
            size: self.probe.size,
            rate: self.own_rate,
            frames: self.probe.frames,
            pixel_format: self.probe.pixel_format.clone(),
        }
    }
}

/// Probes a reference. Where its frames are not evenly spaced they are made so.
pub async fn prepare_reference(ffmpeg: &Ffmpeg, path: &Path, fps: Option<Rate>) -> Result<Prepared, Error> {
    let own = probe(ffmpeg, path, ProbeOptions::default()).await?;
    let fps = fps.or(own.variable_rate.then_some(own.rate));
    prepare(ffmpeg, path, own, fps).await
}

/// Probes a rendition and brings it to the reference's rate.
pub async fn prepare_rendition(
    ffmpeg: &Ffmpeg,
    path: &Path,
    reference: &Prepared,
) -> Result<Prepared, Error> {
    let own = probe(ffmpeg, path, ProbeOptions::default()).await?;
    let wanted = reference.probe.rate;
    let is_other = own.variable_rate || (own.rate.per_second() / wanted.per_second() - 1.0).abs() > SAME_RATE;
    prepare(ffmpeg, path, own, is_other.then_some(wanted)).await
}

async fn prepare(ffmpeg: &Ffmpeg, path: &Path, own: Probe, fps: Option<Rate>) -> Result<Prepared, Error> {
    let own_rate = own.rate;
    let probe = match fps {
        Some(fps) => probe(ffmpeg, path, ProbeOptions { fps: Some(fps) }).await?,
        None => own,
    };
    Ok(Prepared { path: path.to_owned(), own_rate, probe })
}

/// Which frames of a rendition meet which of the reference.
pub(super) struct Pairing {
    pub(super) offset: i64,
    pub(super) first_frame: u64,
    /// The frames of the rendition that are compared, from the first on.
    pub(super) shown: Shot,
    pub(super) notes: Vec<String>,
}

impl Pairing {
    pub(super) fn new(
        reference: &Prepared,
        rendition: &Prepared,
        found: Option<Alignment>,
        max_offset: usize,
    ) -> Result<Self, Error> {
        let offset = found.map_or(0, |found| found.offset);
        let (late, early) = (offset.max(0).unsigned_abs(), offset.min(0).unsigned_abs());
        let (own, other) = (reference.probe.frames, rendition.probe.frames);
        let common = own.saturating_sub(early).min(other.saturating_sub(late));
        if common == 0 {
            return Err(Error::NothingInCommon { path: rendition.path.clone() });
        }
        let mut notes = Vec::new();
        if let Some(found) = found {
            let frames = offset.unsigned_abs();
            let (word, plural) =
                (if offset > 0 { "later" } else { "earlier" }, if frames == 1 { "" } else { "s" });
            if offset != 0 {
                notes.push(format!(
                    "begins {frames} frame{plural} {word} than the reference; scored aligned (mean difference of the luma \
                     {:.2} levels, {:.2} without)",
                    found.difference, found.unshifted
                ));
            }
            if frames == max_offset as u64 && max_offset > 0 {
                notes.push("may lie farther off than was looked for; raise --max-offset".to_owned());
            }
            if found.difference > ANOTHER_PICTURE {
                notes.push(format!(
                    "looks little like the reference (mean difference of the luma {:.1} levels); is it the same title, uncropped?",
                    found.difference
                ));
            }
        }
        notes.extend(converted(reference, rendition));
        if own - early != other - late {
            notes.push(format!(
                "has {other} frames, the reference {own}; the {common} that both show are compared"
            ));
        }
        Ok(Self { offset, first_frame: early, shown: Shot { start: late, end: late + common }, notes })
    }
}

/// What was done to a rendition, and to the reference for all of them.
fn converted(reference: &Prepared, rendition: &Prepared) -> Vec<String> {
    let mut notes = Vec::new();
    let (own, other) = (&reference.probe, &rendition.probe);
    if own.size != other.size {
        notes.push(format!("scaled from {} to {}, bicubic", other.size, own.size));
    }
    if let Some(fps) = other.converted_to {
        notes.push(format!(
            "converted from {:.3} to {:.3} frames per second",
            rendition.own_rate.per_second(),
            fps.per_second()
        ));
    }
    if other.scan == Scan::Interlaced {
        notes.push("deinterlaced".to_owned());
    }
    if own.pixel_format != other.pixel_format {
        notes.push(format!(
            "compared as {}: its own pixel format is {}, the reference's {}",
            reference.source().pixel_format(Layout::Reference),
            other.pixel_format,
            own.pixel_format
        ));
    }
    notes
}

/// The prints of a clip's first frames.
pub(super) async fn prints(ffmpeg: &Ffmpeg, source: Source<'_>) -> Result<Vec<Print>, Error> {
    let shot = Shot { start: 0, end: source.probe.frames.min(PRINTED_FRAMES) };
    let decoder = Decoder::start(source.job("aligning", shot, PRINT_SIZE, Layout::Eight), ffmpeg)?;
    let pipe = decoder.pipe;
    let read = on_a_thread(move || -> Result<Vec<Print>, Error> {
        let mut reader = frame_reader(pipe)?;
        let mut frame = Frame::black(reader.header().format);
        let mut prints = Vec::new();
        while reader.read_frame_into(&mut frame)? {
            prints.push(Print::of(&frame));
        }
        Ok(prints)
    });
    let prints = read.await;
    decoder.running.finish().await?;
    prints
}
