//! The command `vmaf`, as libvmaf's own: two files in, a report out.
//!
//! It takes libvmaf's flags and writes its XML, JSON, CSV and SUB, so whatever calls `vmaf` may call this instead. What
//! differs: all cores are used unless `--threads` says otherwise, `--precision` sets decimals, 4:0:0 is read, and bad
//! input ends in one line that says what to do.

mod args;
mod input;
mod known;
mod models;

use std::io::{IsTerminal, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use backlot_frames::{Format, Frame};

use self::args::{ModelSource, Settings, Wanted};
use self::input::{Input, Pool, deepened};
pub use self::models::{FOLDERS_VARIABLE, find_model, find_model_beside, read_model};
use crate::scorer;
use crate::{Error, Isa, Ladder, Model, Report, Style};

/// The version in reports: the libvmaf whose numbers these are, and who computed them.
pub const VERSION: &str = concat!("3.2.0-backlot-", env!("CARGO_PKG_VERSION"));

/// Frames between two lines of progress.
const PROGRESS_EVERY: usize = 10;

const HELP: &str = "\
Usage: vmaf -r REFERENCE -d DISTORTED [options]

Input (YUV4MPEG2, or raw planes with the four options of a layout; files or FIFOs)
  -r, --reference FILE      the reference
  -d, --distorted FILE      what is to be scored; several renditions are scored in one pass, each with its --output
  -w, --width N             width of raw planes
  -h, --height N            height of raw planes
  -p, --pixel_format 420    400, 420, 422 or 444
  -b, --bitdepth N          8, 10, 12 or 16
      --frame_cnt N         stop after N frames
      --frame_skip_ref N    skip the first N frames of the reference
      --frame_skip_dist N   skip the first N frames of the distorted clip
Scores
  -m, --model KEY=VALUE:... path= or version= (default version=vmaf_v0.6.1), name=, disable_clip,
                            enable_transform, EXTRACTOR.OPTION=VALUE
      --feature NAME=OPTION=VALUE:...
                            a further feature extractor
  -n, --no_prediction       features only
      --subsample N         score every Nth frame
      --aom_ctc v1.0..v7.0  models and features of the AOM common test conditions
      --nflx_ctc v1.0       those of Netflix
Output
  -o, --output FILE         the report
      --xml --json --csv --sub
                            its form (XML unless given)
      --precision N         decimals of every number
  -q, --quiet               no progress
Work
      --threads N           threads in all, which read and measure (all cores unless given)
      --cpumask MASK        instruction sets not to use: 8 AVX2, 16 AVX-512, -1 all
      --gpumask MASK        taken and ignored
  -v, --version             print the version
";

/// Runs the command with `arguments` (without the program's name); messages go to `messages`. Gives the exit code: 0, or
/// 1 after one line that says what is wrong.
pub fn run(arguments: &[String], messages: &mut dyn Write) -> u8 {
    let outcome = args::parse(arguments).and_then(|wanted| match wanted {
        Wanted::Help => {
            tell(messages, HELP);
            Ok(())
        }
        Wanted::Version => {
            tell(messages, &format!("{VERSION}\n"));
            Ok(())
        }
        Wanted::Score(settings) => score(&settings, messages),
    });
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            tell(messages, &format!("vmaf: {error}\n"));
            1
        }
    }
}

/// Messages that cannot be written are nobody's to hear.
fn tell(messages: &mut dyn Write, text: &str) {
    let _ = messages.write_all(text.as_bytes()).and_then(|()| messages.flush());
}

fn score(settings: &Settings, messages: &mut dyn Write) -> Result<(), Error> {
    let mut reference = Input::open(&settings.reference, settings.raw)?;
    let mut renditions = Vec::new();
    for path in &settings.distorted {
        renditions.push(Input::open(path, settings.raw)?);
    }
    let format = common_format(reference.format(), &renditions, settings)?;
    let mut models = Vec::new();
    for choice in &settings.models {
        let text = match &choice.source {
            ModelSource::Path(path) => read_model(path)?,
            ModelSource::Version(version) => find_model(version)?,
        };
        models.push(Model::parse(&text, &choice.options)?);
    }
    let defaults = scorer::Settings::default();
    let working = scorer::Settings {
        threads: settings.threads.unwrap_or(defaults.threads),
        subsample: settings.subsample,
        isa: Isa::detect_without(settings.cpumask),
    };
    let count = NonZeroUsize::new(renditions.len()).unwrap_or(NonZeroUsize::MIN);
    let ladder = Ladder::new(&models, &settings.features, format, working, count)?;
    let begin = Instant::now();
    let reports = push_all(settings, &mut reference, &mut renditions, format, ladder, messages)?;
    let seconds = begin.elapsed().as_secs_f64().max(1e-9);
    if settings.outputs.is_empty() || (std::io::stderr().is_terminal() && !settings.quiet) {
        for (report, input) in reports.iter().zip(&renditions) {
            for (model, choice) in models.iter().zip(&settings.models) {
                if renditions.len() > 1 {
                    tell(messages, &format!("{}: ", input.path()));
                }
                tell(messages, &summary(report, model, &choice.source));
            }
        }
    }
    for (path, report) in settings.outputs.iter().zip(&reports) {
        let fps = report.frames as f64 / seconds;
        let style = Style { version: VERSION.to_owned(), fps, precision: settings.precision };
        let text = report.write(settings.format, &style);
        std::fs::write(path, text).map_err(|source| Error::File {
            what: "could not write",
            path: path.display().to_string(),
            source,
        })?;
    }
    Ok(())
}

fn summary(report: &Report, model: &Model, source: &ModelSource) -> String {
    let label = match source {
        ModelSource::Path(path) => path.display().to_string(),
        ModelSource::Version(version) => version.clone(),
    };
    let mean = |suffix: &str| {
        report.pooled(&format!("{}{suffix}", model.name())).map_or(f64::NAN, |pooled| pooled.mean)
    };
    let mut line = format!("{label}: {:.6}\n", mean(""));
    if report.column(&format!("{}_bagging", model.name())).is_some() {
        let (bagging, low, high, deviation) =
            (mean("_bagging"), mean("_ci_p95_lo"), mean("_ci_p95_hi"), mean("_stddev"));
        line.push_str(&format!(
            "{label}: {bagging:.6}, ci.p95: [{low:.6}, {high:.6}], stddev: {deviation:.6}\n"
        ));
    }
    line
}

/// The layout that all streams are measured in.
fn common_format(reference: Format, renditions: &[Input], settings: &Settings) -> Result<Format, Error> {
    let formats = renditions.iter().map(Input::format);
    let deepest = formats.clone().map(Format::depth).fold(reference.depth(), Ord::max);
    let at = |format: Format| Format::new(format.width(), format.height(), format.subsampling(), deepest);
    for format in formats {
        let is_same = if settings.common_depth { at(reference)? == at(format)? } else { reference == format };
        if !is_same {
            return Err(backlot_frames::Error::FormatMismatch { expected: reference, got: format }.into());
        }
    }
    Ok(at(reference)?)
}

fn push_all(
    settings: &Settings,
    reference: &mut Input,
    renditions: &mut [Input],
    format: Format,
    mut ladder: Ladder,
    messages: &mut dyn Write,
) -> Result<Vec<Report>, Error> {
    let shows_progress = std::io::stderr().is_terminal() && !settings.quiet;
    let mut ref_pool = Pool::new(reference.format());
    let mut pools: Vec<Pool> = renditions.iter().map(|input| Pool::new(input.format())).collect();
    skip(reference, &mut ref_pool, settings.skip_reference)?;
    for (input, pool) in renditions.iter_mut().zip(&mut pools) {
        skip(input, pool, settings.skip_distorted)?;
    }
    let begin = Instant::now();
    while settings.frame_count.is_none_or(|count| (ladder.pushed() as u64) < count) {
        let first = next(reference, &mut ref_pool, format)?;
        let mut frames = Vec::with_capacity(renditions.len());
        for (input, pool) in renditions.iter_mut().zip(&mut pools) {
            frames.push(next(input, pool, format)?);
        }
        let ended = frames.iter().position(Option::is_none);
        let going = frames.iter().position(Option::is_some);
        let (reference_frame, distorted) = match (first, ended, going) {
            (Some(first), None, _) => (first, frames.into_iter().flatten().collect()),
            (None, _, None) => break,
            (None, _, Some(going)) => {
                tell_ended(messages, reference, &renditions[going]);
                break;
            }
            (Some(_), Some(ended), _) => {
                tell_ended(messages, &renditions[ended], reference);
                break;
            }
        };
        ladder.push(reference_frame, distorted)?;
        if shows_progress && ladder.pushed().is_multiple_of(PROGRESS_EVERY) {
            let rate = ladder.pushed() as f64 / begin.elapsed().as_secs_f64().max(1e-9);
            tell(messages, &format!("\r{} frames, {rate:.2} FPS\u{1b}[K", ladder.pushed()));
        }
    }
    if shows_progress {
        tell(messages, &format!("\r{} frames\u{1b}[K\n", ladder.pushed()));
    }
    ladder.finish()
}

fn tell_ended(messages: &mut dyn Write, short: &Input, long: &Input) {
    tell(messages, &format!("\"{}\" ended before \"{}\".\n", short.path(), long.path()));
}

/// Reads over `count` frames, or to the end.
fn skip(input: &mut Input, pool: &mut Pool, count: u64) -> Result<(), Error> {
    for _ in 0..count {
        let mut frame = pool.take();
        let is_read = Arc::get_mut(&mut frame).map(|frame| input.read(frame)).transpose()?;
        pool.remember(&frame);
        if is_read != Some(true) {
            break;
        }
    }
    Ok(())
}

/// The next frame at the common depth; none at the end.
fn next(input: &mut Input, pool: &mut Pool, format: Format) -> Result<Option<Arc<Frame>>, Error> {
    let mut frame = pool.take();
    let is_read = match Arc::get_mut(&mut frame) {
        Some(frame) => input.read(frame)?,
        None => false,
    };
    if !is_read {
        return Ok(None);
    }
    pool.remember(&frame);
    if frame.format() == format {
        Ok(Some(frame))
    } else {
        Ok(Some(Arc::new(deepened(&frame, format.depth())?)))
    }
}
