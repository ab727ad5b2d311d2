//! The rate-quality chart of a title.

use backlot_figures::{
    Axis, Color, Figure, Layout, Line, Marker, Mode, Scatter, Symbol, Theme, Title as FigureTitle,
    render::{self, Size as Pixels},
};
use backlot_work::{Outputs, TaskContext, TaskError};
use serde::Deserialize;

use super::{Title, TitlePoint, Tools};
use crate::encode::Codec;
use crate::plan::Metric;

/// The drawings of a chart: the suffix of the output's name, and the size. A page is read on a desk, where the chart is as
/// wide as the report's column, and on a telephone, where that one would be too small to read.
const DRAWINGS: [(&str, Pixels); 2] =
    [("", Pixels { width: 900, height: 480 }), ("_narrow", Pixels { width: 440, height: 440 })];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FigureInput {
    name: String,
    title: Title,
}

pub(super) async fn figure_kind(task: &TaskContext, _tools: &Tools) -> Result<Outputs, TaskError> {
    let input: FigureInput = task.parse()?;
    let mut outputs = Outputs::new();
    let mut codecs: Vec<Codec> = input.title.points.iter().map(|point| point.codec).collect();
    codecs.sort_unstable();
    codecs.dedup();
    for codec in codecs {
        let figure = rate_quality(&input.name, codec, &input.title);
        let text = serde_json::to_string(&figure).map_err(|error| TaskError::Permanent(error.to_string()))?;
        let slug = codec.name();
        outputs = outputs.blob(slug, &task.put(text, "application/vnd.plotly.v1+json").await?);
        for (theme, word) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
            for (suffix, pixels) in DRAWINGS {
                let svg = render::svg(&figure, pixels, theme);
                let name = format!("{slug}_{word}{suffix}");
                outputs = outputs.blob(&name, &task.put(svg, "image/svg+xml").await?);
            }
        }
    }
    Ok(outputs)
}

/// One line for each size with one rate factor for all shots, the hull over them, and the rungs,
/// whose shots each have their own.
fn rate_quality(name: &str, codec: Codec, title: &Title) -> Figure {
    let own: Vec<&TitlePoint> = title.points.iter().filter(|point| point.codec == codec).collect();
    let mut sizes: Vec<_> = own.iter().map(|point| point.size).collect();
    sizes.sort_by_key(|size| size.area());
    sizes.dedup();
    let mut figure = Figure::new();
    for size in sizes {
        let mut line: Vec<&TitlePoint> = own.iter().copied().filter(|point| point.size == size).collect();
        line.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let hover: Vec<String> = line
            .iter()
            .map(|point| {
                format!(
                    "{size}, crf {}: {:.0} kbit/s, PSNR {:.2} dB, SSIM {:.4}{}",
                    point.crf,
                    point.rate / 1000.0,
                    point.psnr,
                    point.ssim,
                    point.vmaf.map_or_else(String::new, |vmaf| format!(", VMAF {vmaf:.2}"))
                )
            })
            .collect();
        let (rates, scores) = curve(&line, title.metric);
        figure = figure.trace(
            Scatter::new(rates, scores)
                .name(format!("{}p", size.height))
                .mode(Mode::LINES_MARKERS)
                .line(Line::default().width(1.5))
                .marker(Marker::default().size(6.0))
                .hovertext(hover),
        );
    }
    let mut hull: Vec<&TitlePoint> = own.iter().copied().filter(|point| point.on_hull).collect();
    hull.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let (rates, scores) = curve(&hull, title.metric);
    let ink = Color::hex(0x007f_7f7f);
    figure = figure.trace(
        Scatter::new(rates, scores)
            .name("convex hull")
            .mode(Mode::LINES)
            .line(Line::default().color(ink).width(6.0))
            .opacity(0.45),
    );
    let chosen = title.ladder.iter().filter(|rung| rung.codec == codec);
    let (rates, scores): (Vec<f64>, Vec<f64>) =
        chosen.map(|rung| (rung.rate / 1000.0, rung.quality(title.metric))).unzip();
    figure
        .trace(
            Scatter::new(rates, scores).name("rungs, shot by shot").mode(Mode::MARKERS).marker(
                Marker::default()
                    .symbol(Symbol::CircleOpen)
                    .size(15.0)
                    .color(ink)
                    .line(Line::default().width(2.0)),
            ),
        )
        .layout(
            Layout::default()
                .title(FigureTitle::from(format!("{name}: rate and quality, {}", codec.encoder())))
                .xaxis(Axis::log("rate (kbit/s)"))
                .yaxis(Axis::titled(title.metric.title())),
        )
}

fn curve(points: &[&TitlePoint], metric: Metric) -> (Vec<f64>, Vec<f64>) {
    points.iter().map(|point| (point.rate / 1000.0, point.quality(metric))).unzip()
}
