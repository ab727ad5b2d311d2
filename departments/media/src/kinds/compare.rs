//! A comparison as a step of a run, so that its chart and its worst frames are kept.

use backlot_figures::{
    Theme,
    render::{self, Size as Pixels},
};
use backlot_frames::Rate;
use backlot_work::{BlobRef, Outputs, RunSpec, TaskContext, TaskError};
use serde::{Deserialize, Serialize};

use super::{Tools, failed};
use crate::Error;
use crate::compare::{
    CompareOptions, MAX_RENDITIONS, chosen_models, compare, figure, prepare_reference, prepare_rendition,
    worst_frames,
};

/// The name of the runs that compare.
pub(crate) const RUN_NAME: &str = "compare";
/// Drawings of the chart, as of a title's: for a desk and for a telephone.
const DRAWINGS: [(&str, Pixels); 2] =
    [("", Pixels { width: 900, height: 460 }), ("_narrow", Pixels { width: 440, height: 440 })];

/// The run.
pub(crate) fn spec() -> RunSpec {
    RunSpec::from_toml(include_str!("compare.toml")).expect("invariant: the built-in spec is well-formed")
}

/// A clip by its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedClip {
    pub(crate) file: BlobRef,
    pub(crate) name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompareInput {
    reference: NamedClip,
    renditions: Vec<NamedClip>,
    model: String,
    max_offset: usize,
    #[serde(default)]
    fps: Option<Rate>,
}

pub(super) async fn compare_kind(task: &TaskContext, tools: &Tools) -> Result<Outputs, TaskError> {
    let input: CompareInput = task.parse()?;
    if input.renditions.len() > MAX_RENDITIONS {
        let told = format!("{} renditions are more than {MAX_RENDITIONS} at a time", input.renditions.len());
        return Err(TaskError::Permanent(format!("{told}; compare them in several runs")));
    }
    // A run may come from anywhere: it names no file of this machine.
    if input.model.starts_with("path=") {
        return Err(TaskError::Permanent("a run takes a model by its version, not by its path".to_owned()));
    }
    let ffmpeg = tools.ffmpeg().await.map_err(failed)?;
    let reference = task.file(&input.reference.file).await?;
    let mut files = Vec::with_capacity(input.renditions.len());
    for rendition in &input.renditions {
        files.push(task.file(&rendition.file).await?);
    }
    let mut names = vec![(reference.path().display().to_string(), input.reference.name.clone())];
    for (file, rendition) in files.iter().zip(&input.renditions) {
        names.push((file.path().display().to_string(), rendition.name.clone()));
    }
    let named = |text: String| names.iter().fold(text, |text, (path, name)| text.replace(path, name));
    let failed = |error: Error| match failed(error) {
        TaskError::Retryable(text) => TaskError::Retryable(named(text)),
        TaskError::Permanent(text) => TaskError::Permanent(named(text)),
        TaskError::Stopped => TaskError::Stopped,
    };
    let prepared_reference = prepare_reference(ffmpeg, reference.path(), input.fps).await.map_err(failed)?;
    let mut prepared = Vec::with_capacity(files.len());
    for file in &files {
        prepared.push(prepare_rendition(ffmpeg, file.path(), &prepared_reference).await.map_err(failed)?);
    }
    let (model, models) = chosen_models(&input.model, ffmpeg, &prepared_reference).map_err(failed)?;
    let options = CompareOptions { max_offset: input.max_offset, models };
    let (reporter, frames) = (task.clone(), prepared_reference.probe().frames.max(1));
    let progress = move |seen: u64| {
        if seen.is_multiple_of(32) {
            reporter.progress(seen as f64 / frames as f64, format!("{seen} of {frames} frames"));
        }
    };
    let mut comparison =
        compare(ffmpeg, &prepared_reference, &prepared, &options, progress).await.map_err(failed)?;
    let scratch = task.scratch()?;
    let mut outputs = Outputs::new();
    for (place, (prepared, rendition)) in prepared.iter().zip(&comparison.renditions).enumerate() {
        let output = scratch.join(format!("worst-{place}.png"));
        let frames = worst_frames(ffmpeg, &prepared_reference, prepared, rendition, scratch, &output);
        frames.await.map_err(failed)?;
        outputs = outputs.blob(&format!("worst_{place}"), &task.put_file(&output, "image/png").await?);
    }
    comparison.reference.path = input.reference.name.clone().into();
    for (rendition, given) in comparison.renditions.iter_mut().zip(&input.renditions) {
        rendition.clip.path = given.name.clone().into();
        for note in &rendition.notes {
            task.log(format!("{}: {note}", given.name));
        }
    }
    let figure = figure(&comparison, model.as_deref());
    for (theme, word) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
        for (suffix, pixels) in DRAWINGS {
            let svg = render::svg(&figure, pixels, theme);
            outputs = outputs.blob(&format!("chart_{word}{suffix}"), &task.put(svg, "image/svg+xml").await?);
        }
    }
    outputs.value("comparison", &comparison)?.value("model", &model)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_spec_is_well_formed() {
        let spec = super::spec();
        assert_eq!(spec.name, super::RUN_NAME);
    }
}
