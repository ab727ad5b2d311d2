//! The scores of a comparison by frame, as a chart.

use backlot_figures::{Axis, Figure, Layout, Line, Mode, Scatter, Title};

use super::Comparison;

/// The first score of every rendition by frame of the reference.
pub(crate) fn figure(comparison: &Comparison, model: Option<&str>) -> Figure {
    let mut figure = Figure::new();
    let mut metric = "PSNR of luma (dB)";
    for rendition in &comparison.renditions {
        let Some(score) = rendition.scores.first() else { continue };
        if score.name == "vmaf" {
            metric = "VMAF";
        }
        let name = rendition
            .clip
            .path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let x: Vec<f64> =
            (rendition.first_frame..).take(score.frames.len()).map(|frame| frame as f64).collect();
        figure = figure.trace(
            Scatter::new(x, score.frames.clone())
                .name(format!("{name} ({:.2})", score.mean))
                .mode(Mode::LINES)
                .line(Line::default().width(1.5)),
        );
    }
    let reference = comparison.reference.path.file_name().unwrap_or_default().to_string_lossy();
    let title = match model {
        Some(model) => format!("{reference}: {model} by frame"),
        None => format!("{reference}: quality by frame"),
    };
    figure.layout(
        Layout::default().title(Title::from(title)).xaxis(Axis::titled("frame")).yaxis(Axis::titled(metric)),
    )
}
