//! Loudness of every audio track by EBU R 128.
//!
//! One part for each track: gating looks at a whole programme, so a track is not cut. The measuring is ffmpeg's `ebur128`.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{NativeJob, parse_params, parse_result};
use crate::host::Failure;
use crate::media::{Delivered, Loudness as Measured};
use crate::steps::{Made, PartResult, Step};
use crate::{Job, Part};

/// The definition. The target and its tolerance are those of EBU R 128, for programmes that are not live; its maximum true peak
/// is -1 dBTP.
const JOB: &str = r#"
name = "loudness"
description = "Loudness of each audio track by EBU R 128: integrated, range, true peak"
split = { native = "loudness" }
map = { native = "loudness" }
collect = { native = "loudness" }
[params.target]
type = "number"
default = -23.0
description = "LUFS that a programme should have"
[params.tolerance]
type = "number"
default = 0.5
description = "LU that it may be off"
[params.true_peak]
type = "number"
default = -1.0
description = "The highest true peak in dBTP"
"#;

#[derive(Clone, Copy, Debug, Deserialize)]
struct Params {
    target: f64,
    tolerance: f64,
    true_peak: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Track {
    track: u32,
    #[serde(flatten)]
    measured: Measured,
}

/// The job `loudness`.
pub(super) struct Loudness;

#[async_trait]
impl NativeJob for Loudness {
    fn job(&self) -> Job {
        Job::from_toml(JOB).expect("invariant: the definition is checked by a test")
    }

    async fn split(&self, step: &Step<'_>) -> Result<Value, Failure> {
        let (frames, tracks) = (step.source.frames, step.source.audio.len());
        if tracks == 0 {
            return Err(Failure::Refused(format!(
                "{} has no audio track; give a clip with sound",
                step.source.name
            )));
        }
        Ok((0..tracks)
            .map(|track| json!({ "start": 0, "end": frames, "data": { "track": track } }))
            .collect())
    }

    async fn map(&self, step: &Step<'_>, part: &Part, _frames: Option<&Delivered>) -> Result<Made, Failure> {
        let track = part.data.get("track").and_then(Value::as_u64).unwrap_or(part.index) as u32;
        let measured = step.media.loudness(step.clip, step.source, track).await?;
        Made::new(Track { track, measured })
    }

    async fn collect(&self, step: &Step<'_>, results: &[PartResult]) -> Result<Made, Failure> {
        let params: Params = parse_params(step)?;
        let mut tracks = Vec::with_capacity(results.len());
        for one in results {
            let track: Track = parse_result(one)?;
            let Measured { integrated, true_peak, .. } = track.measured;
            let conforms =
                (integrated - params.target).abs() <= params.tolerance && true_peak <= params.true_peak;
            let mut told =
                serde_json::to_value(&track).map_err(|error| Failure::Refused(error.to_string()))?;
            told["conforms"] = conforms.into();
            told["gain"] = (((params.target - integrated) * 10.0).round() / 10.0).into();
            tracks.push(told);
        }
        Made::new(json!({ "target": params.target, "tracks": tracks }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        assert_eq!(Loudness.job().name, "loudness");
    }
}
