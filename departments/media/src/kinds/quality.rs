//! What a title's quality is measured with: VMAF v1 where its model is at hand and takes the picture, else VMAF v0.6.1, else
//! PSNR.
//!
//! v1 has a model for each way of looking: for pictures of up to 1440 lines at three times their height, for larger ones at
//! one and a half, and for high frame rates one each. The model goes along as a blob, so that all workers measure with the same.

use backlot_frames::{BitDepth, Format, Subsampling};
use backlot_vmaf::tool::find_model_beside;
use backlot_vmaf::{Model, ModelOptions, Scorer, Settings};
use backlot_work::{Kind, Outputs, TaskContext, TaskError};
use serde::Deserialize;
use serde_json::Value;

use super::{Tools, failed};
use crate::plan::Metric;
use crate::probe::Probe;

/// The model of VMAF v0.
pub(crate) const V0: &str = "vmaf_v0.6.1";
/// Pictures with more lines are looked at from nearer, in heights of the picture.
const LARGE_LINES: u32 = 1440;
/// From here on a frame rate is high: between 30 and 48 frames per second nothing is made.
const HIGH_RATE: f64 = 40.0;

/// Chooses the metric; never reused, because the answer changes with the machine.
pub(super) struct QualityKind(pub(super) Tools);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QualityInput {
    probe: Probe,
    #[serde(default)]
    quality: Quality,
}

/// What the caller wants quality to be measured with.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Quality {
    /// VMAF, the newest whose model is at hand, else PSNR.
    #[default]
    Auto,
    /// VMAF v1; without its model nothing begins.
    Vmaf,
    /// VMAF v0.6.1; without its model nothing begins.
    VmafV0,
    /// PSNR.
    Psnr,
}

impl Quality {
    /// The models to look for, the best first, and whether there must be one.
    fn models(self, probe: &Probe) -> (Vec<&'static str>, bool) {
        let v1 = v1_for(probe);
        match self {
            Self::Auto => (vec![v1, V0], false),
            Self::Vmaf => (vec![v1], true),
            Self::VmafV0 => (vec![V0], true),
            Self::Psnr => (Vec::new(), false),
        }
    }
}

/// The model of VMAF v1 for such pictures.
pub(crate) fn v1_for(probe: &Probe) -> &'static str {
    match (probe.size.height > LARGE_LINES, probe.rate.per_second() > HIGH_RATE) {
        (false, false) => "vmaf_v1.0.16_3d0h",
        (false, true) => "vmaf_v1.0.16_hfr_3d0h",
        (true, false) => "vmaf_v1.0.16_1d5h_2160",
        (true, true) => "vmaf_v1.0.16_hfr_1d5h_2160",
    }
}

#[async_trait::async_trait]
impl Kind for QualityKind {
    fn name(&self) -> &'static str {
        "media.quality"
    }

    fn reusable(&self) -> bool {
        false
    }

    async fn run(&self, task: TaskContext) -> Result<Outputs, TaskError> {
        let input: QualityInput = task.parse()?;
        let own = vec![self.0.ffmpeg().await.map_err(failed)?.path().to_owned()];
        let (versions, required) = input.quality.models(&input.probe);
        for version in versions {
            let (own, probe) = (own.clone(), input.probe.clone());
            let found = task.compute(move || Ok(model(version, &own, &probe))).await?;
            match found {
                Ok(text) => {
                    let model = task.put(text, "application/json").await?;
                    let outputs = Outputs::new().value("metric", Metric::Vmaf)?.blob("model", &model);
                    return outputs.value("model_name", version);
                }
                Err(error) if required => return Err(TaskError::Permanent(error.to_string())),
                Err(error) => task.log(format!("quality is not measured with {version}, because {error}")),
            }
        }
        let outputs = Outputs::new().value("metric", Metric::Psnr)?;
        outputs.value("model", Value::Null)?.value("model_name", Value::Null)
    }
}

/// The text of a model, when it takes pictures of this size. It is looked for in the ffmpeg programs `own` too.
pub(crate) fn model(
    version: &str,
    own: &[std::path::PathBuf],
    probe: &Probe,
) -> Result<String, backlot_vmaf::Error> {
    let text = find_model_beside(version, own)?;
    let model = Model::parse(&text, &ModelOptions::default())?;
    let (width, height) = (probe.size.width as usize, probe.size.height as usize);
    let format = Format::new(width, height, Subsampling::C420, BitDepth::EIGHT)?;
    let settings = Settings { threads: std::num::NonZeroUsize::MIN, ..Settings::default() };
    Scorer::new(&[model], &[], format, settings)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_model_suits_the_picture() {
        let probe = |height: u32, rate: &str| {
            let probe = json!({
                "container": "mov", "size": {"width": 640, "height": height}, "pixel_aspect": [1, 1],
                "pixel_format": "yuv420p", "bit_depth": 8, "colour": {}, "rotation": 0, "scan": "progressive",
                "frames": 48, "rate": rate, "variable_rate": false, "start": 0.0, "duration": 2.0, "audio": [],
            });
            serde_json::from_value::<Probe>(probe).unwrap()
        };
        let first = |height, rate| Quality::Auto.models(&probe(height, rate)).0[0];
        assert_eq!(first(1080, "30000/1001"), "vmaf_v1.0.16_3d0h");
        assert_eq!(first(720, "60/1"), "vmaf_v1.0.16_hfr_3d0h");
        assert_eq!(first(2160, "24/1"), "vmaf_v1.0.16_1d5h_2160");
        assert_eq!(first(2160, "50/1"), "vmaf_v1.0.16_hfr_1d5h_2160");
        assert_eq!(Quality::VmafV0.models(&probe(360, "25/1")), (vec![V0], true));
        assert_eq!(Quality::Psnr.models(&probe(360, "25/1")), (Vec::new(), false));
    }
}
