//! What a comparison measures with.

use std::path::Path;

use backlot_vmaf::{Model, ModelOptions, tool::read_model};

use super::Prepared;
use crate::Error;
use crate::ffmpeg::Ffmpeg;
use crate::kinds::quality::{V0, model, v1_for};

/// The name and the models that `wanted` asks for: `auto`, `none`, a version, or `path=FILE`; without a name PSNR and SSIM
/// are all there is.
pub(crate) fn chosen_models(
    wanted: &str,
    ffmpeg: &Ffmpeg,
    reference: &Prepared,
) -> Result<(Option<String>, Vec<Model>), Error> {
    let own = [ffmpeg.path().to_owned()];
    let of_version = |version: &str| model(version, &own, reference.probe());
    let (name, text) = match wanted {
        "none" => return Ok((None, Vec::new())),
        "auto" => {
            match [v1_for(reference.probe()), V0].into_iter().find_map(|v| Some((v, of_version(v).ok()?))) {
                Some((version, text)) => (version.to_owned(), text),
                None => return Ok((None, Vec::new())),
            }
        }
        other => match other.strip_prefix("path=") {
            Some(path) => (path.to_owned(), read_model(Path::new(path))?),
            None => (other.to_owned(), of_version(other)?),
        },
    };
    let options = ModelOptions { name: Some("vmaf".to_owned()), ..ModelOptions::default() };
    Ok((Some(name), vec![Model::parse(&text, &options)?]))
}
