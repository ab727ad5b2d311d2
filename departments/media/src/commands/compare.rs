//! `backlot vmaf compare REF A B …`: renditions beside their reference, whatever they come in.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backlot_department::{CommandContext, CommandError};
use backlot_figures::{
    Figure, Theme,
    render::{self, Size as Pixels},
};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde::Serialize;

use crate::Error;
use crate::compare::{
    CompareOptions, Comparison, MAX_RENDITIONS, Prepared, chosen_models, compare, figure, prepare_reference,
    prepare_rendition, worst_frames,
};
use crate::comparisons;
use crate::ffmpeg::Ffmpeg;
use crate::kinds::Tools;

/// A chart in a file.
const CHART: Pixels = Pixels { width: 1200, height: 560 };
/// Pixels of a PNG for each of the drawing.
const PNG_SCALE: f32 = 1.5;
/// How far renditions are looked for unless said otherwise: two seconds of film and more.
const MAX_OFFSET: &str = "60";

pub(super) fn command() -> Command {
    let path = |name: &'static str| Arg::new(name).value_parser(value_parser!(PathBuf));
    Command::new("compare")
        .about("Score renditions of any container, size and rate beside their reference, aligned to the frame")
        .arg(path("reference").value_name("REFERENCE").required(true).help("What the renditions are compared with"))
        .arg(path("renditions").value_name("RENDITION").required(true).num_args(1..).help("One or more files"))
        .arg(Arg::new("model").long("model").value_name("MODEL").help("auto, none, a version such as vmaf_v0.6.1, or path=FILE; auto is the VMAF v1 that suits the picture, else v0.6.1, else PSNR and SSIM alone").default_value("auto"))
        .arg(Arg::new("fps").long("fps").value_name("RATE").value_parser(value_parser!(crate::Rate)).help("Compare at this rate: 25, 30000/1001 [default: the reference's]"))
        .arg(Arg::new("max-offset").long("max-offset").value_name("FRAMES").value_parser(value_parser!(u32).range(0..=1500)).default_value(MAX_OFFSET).help("How far a rendition is looked for before and after its place; 0 takes frames as they come"))
        .arg(path("chart").long("chart").value_name("FILE").help("Draw the scores by frame: .svg, .png, or .json for Plotly"))
        .arg(path("worst").long("worst").value_name("DIR").help("Write the worst frames of each rendition beside the reference's there, as PNG"))
        .arg(Arg::new("keep").long("keep").action(ArgAction::SetTrue).conflicts_with_all(["chart", "worst", "frames"]).help("Have the server compare, and keep the result: its page in the console has the chart and the worst frames"))
        .arg(Arg::new("frames").long("frames").action(ArgAction::SetTrue).help("Print the scores of every frame; JSON always has them"))
}

/// What is printed.
#[derive(Serialize)]
struct Printed<'a> {
    /// The version of the model, or its file.
    model: Option<&'a str>,
    #[serde(flatten)]
    comparison: &'a Comparison,
    chart: Option<&'a Path>,
    /// For each rendition the picture of its worst frames.
    worst_frames: Vec<PathBuf>,
}

pub(super) async fn run(
    matches: &ArgMatches,
    context: &CommandContext,
    tools: &Tools,
) -> Result<ExitCode, CommandError> {
    let reference: &PathBuf = matches.get_one("reference").expect("invariant: it is required");
    let renditions: Vec<&PathBuf> = matches.get_many("renditions").into_iter().flatten().collect();
    if renditions.len() > MAX_RENDITIONS {
        return Err(CommandError::usage(
            format!("{} renditions are more than {MAX_RENDITIONS} at a time", renditions.len()),
            "compare them in several runs",
        ));
    }
    for path in std::iter::once(reference).chain(renditions.iter().copied()) {
        if !path.is_file() {
            let what = if path.exists() { "is not a file" } else { "does not exist" };
            return Err(CommandError::usage(
                format!("{} {what}", path.display()),
                "give the path of a video file",
            ));
        }
    }
    let wanted = matches.get_one::<String>("model").expect("invariant: it has a default");
    let max_offset = *matches.get_one::<u32>("max-offset").expect("invariant: it has a default") as usize;
    let fps = matches.get_one::<crate::Rate>("fps").copied();
    if matches.get_flag("keep") {
        let asked = comparisons::Asked { reference, renditions: &renditions, model: wanted, max_offset, fps };
        return comparisons::keep(context, &asked).await;
    }
    let chart = matches.get_one::<PathBuf>("chart").map(|path| Chart::new(path)).transpose()?;
    let ffmpeg = tools.ffmpeg().await.map_err(failed)?;
    let prepared_reference = prepare_reference(ffmpeg, reference, fps).await.map_err(failed)?;
    let mut prepared = Vec::with_capacity(renditions.len());
    for path in renditions {
        prepared.push(prepare_rendition(ffmpeg, path, &prepared_reference).await.map_err(failed)?);
    }
    let (name, models) = chosen_models(wanted, ffmpeg, &prepared_reference).map_err(failed)?;
    let options = CompareOptions { max_offset, models };
    let comparison =
        compare(ffmpeg, &prepared_reference, &prepared, &options, |_| ()).await.map_err(failed)?;

    if let Some(chart) = &chart {
        chart.write(&figure(&comparison, name.as_deref()))?;
    }
    let pictures = match matches.get_one::<PathBuf>("worst") {
        Some(folder) => draw_worst(ffmpeg, &prepared_reference, &prepared, &comparison, folder).await?,
        None => Vec::new(),
    };
    let printed = Printed {
        model: name.as_deref(),
        comparison: &comparison,
        chart: chart.as_ref().map(|chart| chart.path.as_path()),
        worst_frames: pictures,
    };
    let by_frame = matches.get_flag("frames");
    context.print(&printed, |printed| text(printed, by_frame))?;
    Ok(ExitCode::SUCCESS)
}

fn text(printed: &Printed<'_>, by_frame: bool) -> String {
    let Comparison { reference, renditions } = printed.comparison;
    let measured_with = printed.model.map_or_else(
        || "PSNR and SSIM (no model of VMAF is asked for or found)".to_owned(),
        |model| format!("{model}, PSNR and SSIM"),
    );
    let mut text = format!(
        "{}: {}, {} frames at {:.3} per second; {measured_with}\n",
        reference.path.display(),
        reference.size,
        reference.frames,
        reference.rate.per_second()
    );
    text += &format!(
        "\n{:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  {:>6}  rendition\n",
        "VMAF", "5 %", "least", "PSNR-Y", "SSIM", "frames", "offset"
    );
    for rendition in renditions {
        let number = |name: &str, of: fn(&crate::compare::Score) -> f64, decimals: usize| {
            rendition.score(name).map_or_else(|| "–".to_owned(), |score| format!("{:.decimals$}", of(score)))
        };
        text += &format!(
            "{:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  {:>+6}  {}\n",
            number("vmaf", |score| score.mean, 3),
            number("vmaf", |score| score.percentile_5, 3),
            number("vmaf", |score| score.min, 3),
            number("psnr_y", |score| score.mean, 3),
            number("ssim_all", |score| score.mean, 5),
            rendition.compared,
            rendition.offset,
            rendition.clip.path.display()
        );
    }
    for rendition in renditions {
        for note in &rendition.notes {
            text += &format!("{}: {note}\n", rendition.clip.path.display());
        }
        let worst: Vec<String> = rendition.worst.iter().map(u64::to_string).collect();
        text += &format!("{}: worst at frame {}\n", rendition.clip.path.display(), worst.join(", "));
    }
    if by_frame {
        text += &frames(printed.comparison);
    }
    for path in printed.chart.into_iter().chain(printed.worst_frames.iter().map(PathBuf::as_path)) {
        text += &format!("drawn: {}\n", path.display());
    }
    text
}

/// A line for each frame and rendition.
fn frames(comparison: &Comparison) -> String {
    let mut text = String::new();
    for rendition in &comparison.renditions {
        let names: Vec<&str> = rendition.scores.iter().map(|score| score.name.as_str()).collect();
        text += &format!("\n{}\nframe {}\n", rendition.clip.path.display(), names.join(" "));
        for index in 0..rendition.compared as usize {
            let scores: Vec<String> = rendition
                .scores
                .iter()
                .filter_map(|score| Some(format!("{:.6}", score.frames.get(index)?)))
                .collect();
            text += &format!("{} {}\n", rendition.first_frame + index as u64, scores.join(" "));
        }
    }
    text
}

/// A file that a chart goes to.
struct Chart {
    path: PathBuf,
    kind: ChartKind,
}

enum ChartKind {
    Svg,
    Png,
    Json,
}

impl Chart {
    fn new(path: &Path) -> Result<Self, CommandError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
        let kind = match extension.as_deref() {
            Some("svg") => ChartKind::Svg,
            Some("png") => ChartKind::Png,
            Some("json") => ChartKind::Json,
            _ => {
                return Err(CommandError::usage(
                    format!("{} is no chart's name", path.display()),
                    "end it in .svg, .png or .json",
                ));
            }
        };
        Ok(Self { path: path.to_owned(), kind })
    }

    fn write(&self, figure: &Figure) -> Result<(), CommandError> {
        let bytes = match self.kind {
            ChartKind::Svg => render::svg(figure, CHART, Theme::Light).into_bytes(),
            ChartKind::Png => render::png(figure, CHART, Theme::Light, PNG_SCALE),
            ChartKind::Json => serde_json::to_vec(figure)
                .map_err(|error| CommandError::failed(error.to_string(), "choose .svg or .png"))?,
        };
        std::fs::write(&self.path, bytes).map_err(|error| failed(Error::io(&self.path, error)))
    }
}

async fn draw_worst(
    ffmpeg: &Ffmpeg,
    reference: &Prepared,
    prepared: &[Prepared],
    comparison: &Comparison,
    folder: &Path,
) -> Result<Vec<PathBuf>, CommandError> {
    std::fs::create_dir_all(folder).map_err(|error| failed(Error::io(folder, error)))?;
    let scratch = folder.join(format!(".frames-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(|error| failed(Error::io(&scratch, error)))?;
    let mut pictures = Vec::new();
    let mut result = Ok(());
    for (number, (prepared, rendition)) in prepared.iter().zip(&comparison.renditions).enumerate() {
        let stem = rendition.clip.path.file_stem().unwrap_or_default().to_string_lossy();
        let output = folder.join(format!("{:02}-{stem}.png", number + 1));
        result = worst_frames(ffmpeg, reference, prepared, rendition, &scratch, &output).await;
        if result.is_err() {
            break;
        }
        pictures.push(output);
    }
    let _ = std::fs::remove_dir_all(&scratch); // single frames, no longer needed
    result.map_err(failed)?;
    Ok(pictures)
}

fn failed(error: Error) -> CommandError {
    let error = error.to_string();
    match error.split_once("; ") {
        Some((message, mend)) => CommandError::failed(message, mend),
        None => CommandError::failed(error, "see `backlot vmaf compare --help`"),
    }
}
