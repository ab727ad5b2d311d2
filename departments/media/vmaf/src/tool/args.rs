//! libvmaf's command line, read as its `getopt_long` reads it: long options may be shortened and take their value after
//! `=` or as the next word, short ones take theirs attached or as the next word.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use backlot_frames::{BitDepth, Format, Subsampling};

use crate::{Clip, Error, Feature, ModelOptions, OutputFormat, Transform};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) reference: PathBuf,
    /// What is compared with the reference: one clip, or several renditions.
    pub(super) distorted: Vec<PathBuf>,
    /// Layout of raw input.
    pub(super) raw: Option<Format>,
    pub(super) models: Vec<ModelChoice>,
    pub(super) features: Vec<Feature>,
    /// A report of each; none where there are no files.
    pub(super) outputs: Vec<PathBuf>,
    pub(super) format: OutputFormat,
    pub(super) precision: Option<usize>,
    /// All cores unless given.
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) subsample: NonZeroUsize,
    pub(super) cpumask: u64,
    pub(super) frame_count: Option<u64>,
    pub(super) skip_reference: u64,
    pub(super) skip_distorted: u64,
    pub(super) quiet: bool,
    /// Whether streams of different depths are brought to the greater one.
    pub(super) common_depth: bool,
}

/// A model, before its file is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelChoice {
    pub(super) source: ModelSource,
    pub(super) options: ModelOptions,
}

/// Where a model's text is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ModelSource {
    Path(PathBuf),
    Version(String),
}

/// What to do.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Score(Box<Settings>),
    Version,
    Help,
}

/// Long name, short name, and whether a value follows.
const OPTIONS: &[(&str, char, bool)] = &[
    ("reference", 'r', true),
    ("distorted", 'd', true),
    ("width", 'w', true),
    ("height", 'h', true),
    ("pixel_format", 'p', true),
    ("bitdepth", 'b', true),
    ("model", 'm', true),
    ("output", 'o', true),
    ("xml", '\0', false),
    ("json", '\0', false),
    ("csv", '\0', false),
    ("sub", '\0', false),
    ("threads", '\0', true),
    ("feature", '\0', true),
    ("subsample", '\0', true),
    ("cpumask", '\0', true),
    ("gpumask", '\0', true),
    ("aom_ctc", '\0', true),
    ("nflx_ctc", '\0', true),
    ("frame_cnt", '\0', true),
    ("frame_skip_ref", '\0', true),
    ("frame_skip_dist", '\0', true),
    ("precision", '\0', true),
    ("no_prediction", 'n', false),
    ("version", 'v', false),
    ("quiet", 'q', false),
    ("help", '\0', false),
];

/// The most decimals of `--precision`: an `f64` has 17 significant digits.
const MAX_PRECISION: u64 = 17;

/// Splits arguments into option and value.
fn options(arguments: &[String]) -> Result<Vec<(&'static str, String)>, Error> {
    let mut found = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value_of = |name: &str, attached: Option<&str>| match attached {
            Some(value) => Ok(value.to_owned()),
            None => words
                .next()
                .cloned()
                .ok_or_else(|| Error::Usage(format!("option --{name} needs a value; see --help"))),
        };
        if let Some(long) = word.strip_prefix("--") {
            let (given, attached) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let (name, takes_value) = long_option(given)?;
            if attached.is_some() && !takes_value {
                return Err(Error::Usage(format!("option --{name} takes no value")));
            }
            let value = if takes_value { value_of(name, attached)? } else { String::new() };
            found.push((name, value));
        } else if let Some(cluster) = word.strip_prefix('-').filter(|cluster| !cluster.is_empty()) {
            let mut letters = cluster.chars();
            while let Some(letter) = letters.next() {
                let (name, _, takes_value) = OPTIONS
                    .iter()
                    .find(|(_, short, _)| *short == letter)
                    .ok_or_else(|| Error::Usage(format!("there is no option -{letter}; see --help")))?;
                if *takes_value {
                    let attached = letters.as_str();
                    found.push((*name, value_of(name, Some(attached).filter(|text| !text.is_empty()))?));
                    break;
                }
                found.push((*name, String::new()));
            }
        } else {
            return Err(Error::Usage(format!("{word:?} belongs to no option; write -r {word} or -d {word}")));
        }
    }
    Ok(found)
}

fn long_option(given: &str) -> Result<(&'static str, bool), Error> {
    if let Some((name, _, takes_value)) = OPTIONS.iter().find(|(name, ..)| *name == given) {
        return Ok((name, *takes_value));
    }
    let matching: Vec<_> =
        OPTIONS.iter().filter(|(name, ..)| !given.is_empty() && name.starts_with(given)).collect();
    match matching.as_slice() {
        [(name, _, takes_value)] => Ok((name, *takes_value)),
        [] => Err(Error::Usage(format!("there is no option --{given}; see --help"))),
        several => {
            let names: Vec<String> = several.iter().map(|(name, ..)| format!("--{name}")).collect();
            Err(Error::Usage(format!("option --{given} may be {}", names.join(" or "))))
        }
    }
}

/// `strtoul` with base 0: decimal, hexadecimal after `0x`, octal after `0`; a minus wraps.
fn unsigned(name: &str, text: &str) -> Result<u64, Error> {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let parsed = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    let value =
        parsed.map_err(|_| Error::Usage(format!("--{name} cannot be {text:?}; it is a whole number")))?;
    Ok(if is_negative { value.wrapping_neg() } else { value })
}

fn at_least_one(name: &str, text: &str) -> Result<NonZeroUsize, Error> {
    let value = unsigned(name, text)?;
    Ok(usize::try_from(value).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN))
}

/// Reads the command line.
pub(super) fn parse(arguments: &[String]) -> Result<Wanted, Error> {
    let mut reference = None;
    let (mut width, mut height, mut layout, mut depth) = (None, None, None, None);
    let (mut models, mut features): (Vec<ModelChoice>, Vec<Feature>) = (Vec::new(), Vec::new());
    let (mut is_raw, mut predicts) = (false, true);
    let mut settings = Settings {
        reference: PathBuf::new(),
        distorted: Vec::new(),
        raw: None,
        models: Vec::new(),
        features: Vec::new(),
        outputs: Vec::new(),
        format: OutputFormat::Xml,
        precision: None,
        threads: None,
        subsample: NonZeroUsize::MIN,
        cpumask: 0,
        frame_count: None,
        skip_reference: 0,
        skip_distorted: 0,
        quiet: false,
        common_depth: false,
    };
    for (name, value) in options(arguments)? {
        let number = || unsigned(name, &value);
        is_raw |= matches!(name, "width" | "height" | "pixel_format" | "bitdepth");
        match name {
            "reference" => reference = Some(PathBuf::from(value)),
            "distorted" => settings.distorted.push(PathBuf::from(value)),
            "width" => width = Some(number()?),
            "height" => height = Some(number()?),
            "pixel_format" => layout = Some(subsampling(&value)?),
            "bitdepth" => depth = Some(bit_depth(number()?)?),
            "model" => models.push(model(&value)?),
            "output" => settings.outputs.push(PathBuf::from(value)),
            "xml" => settings.format = OutputFormat::Xml,
            "json" => settings.format = OutputFormat::Json,
            "csv" => settings.format = OutputFormat::Csv,
            "sub" => settings.format = OutputFormat::Sub,
            "threads" => settings.threads = Some(at_least_one(name, &value)?),
            "feature" => features.push(Feature::parse(&value)?),
            "subsample" => settings.subsample = at_least_one(name, &value)?,
            "cpumask" => settings.cpumask = number()?,
            "gpumask" => drop(number()?),
            "aom_ctc" => settings.common_depth |= aom_ctc(&value, &mut models, &mut features)?,
            "nflx_ctc" => nflx_ctc(&value, &mut models, &mut features)?,
            "frame_cnt" => settings.frame_count = Some(number()?).filter(|&count| count > 0),
            "frame_skip_ref" => settings.skip_reference = number()?,
            "frame_skip_dist" => settings.skip_distorted = number()?,
            "precision" => {
                let decimals = number()?;
                if decimals > MAX_PRECISION {
                    return Err(Error::Usage(format!("--precision is at most {MAX_PRECISION} decimals")));
                }
                settings.precision = Some(decimals as usize);
            }
            "no_prediction" => predicts = false,
            "version" => return Ok(Wanted::Version),
            "quiet" => settings.quiet = true,
            _ => return Ok(Wanted::Help),
        }
    }
    let missing = |what: &str| Error::Usage(format!("{what} is required; see --help"));
    settings.reference = reference.ok_or_else(|| missing("the reference (-r FILE)"))?;
    if settings.distorted.is_empty() {
        return Err(missing("the distorted clip (-d FILE)"));
    }
    if !settings.outputs.is_empty() && settings.outputs.len() != settings.distorted.len() {
        return Err(Error::Usage(format!(
            "there are {} distorted clips and {} reports; give one --output for each --distorted, in their order",
            settings.distorted.len(),
            settings.outputs.len()
        )));
    }
    if is_raw {
        let (Some(width), Some(height), Some(layout), Some(depth)) = (width, height, layout, depth) else {
            return Err(Error::Usage(
                "raw input needs all of --width, --height, --pixel_format and --bitdepth; YUV4MPEG2 input none".to_owned(),
            ));
        };
        let side = |side: u64| usize::try_from(side).unwrap_or(usize::MAX);
        settings.raw = Some(Format::new(side(width), side(height), layout, depth)?);
    }
    if models.is_empty() && predicts {
        let source = ModelSource::Version("vmaf_v0.6.1".to_owned());
        models.push(ModelChoice { source, options: ModelOptions::default() });
    }
    settings.models = models;
    settings.features = features;
    Ok(Wanted::Score(Box::new(settings)))
}

fn subsampling(text: &str) -> Result<Subsampling, Error> {
    match text {
        "400" => Ok(Subsampling::Mono),
        "420" => Ok(Subsampling::C420),
        "422" => Ok(Subsampling::C422),
        "444" => Ok(Subsampling::C444),
        _ => Err(Error::Usage(format!("--pixel_format cannot be {text:?}; it is 400, 420, 422 or 444"))),
    }
}

fn bit_depth(bits: u64) -> Result<BitDepth, Error> {
    match bits {
        8 | 10 | 12 | 16 => Ok(BitDepth::new(bits as u32)?),
        _ => Err(Error::Usage(format!("--bitdepth cannot be {bits}; it is 8, 10, 12 or 16"))),
    }
}

/// Reads `path=FILE:name=NAME:enable_transform:adm.adm_enhn_gain_limit=1.0`.
fn model(text: &str) -> Result<ModelChoice, Error> {
    let mut source = None;
    let mut options = ModelOptions::default();
    for part in text.split(':').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').map_or((part, None), |(key, value)| (key, Some(value)));
        match (key, value) {
            ("path", Some(path)) => source = Some(ModelSource::Path(path.into())),
            ("version", Some(version)) => source = Some(ModelSource::Version(version.to_owned())),
            ("name", Some(name)) => options.name = Some(name.to_owned()),
            ("disable_clip", None | Some("true")) => options.clip = Clip::Off,
            ("enable_transform", None | Some("true")) => options.transform = Transform::On,
            ("disable_clip" | "enable_transform", Some(_)) => {}
            (_, Some(value)) if key.contains('.') => {
                let (extractor, option) = key.split_once('.').unwrap_or((key, ""));
                options.overloads.push((extractor.to_owned(), option.to_owned(), value.to_owned()));
            }
            _ => {
                return Err(Error::Usage(format!(
                    "--model {text}: {part:?} is not path=, version=, name=, disable_clip, enable_transform or EXTRACTOR.OPTION=VALUE"
                )));
            }
        }
    }
    let source =
        source.ok_or_else(|| Error::Usage(format!("--model {text}: give path=FILE or version=VERSION")))?;
    Ok(ModelChoice { source, options })
}

fn preset(
    models: &mut Vec<ModelChoice>,
    features: &mut Vec<Feature>,
    versions: [&str; 2],
    wanted: &[&str],
) -> Result<(), Error> {
    for (version, name) in versions.into_iter().zip(["vmaf", "vmaf_neg"]) {
        let options = ModelOptions { name: Some(name.to_owned()), ..ModelOptions::default() };
        models.push(ModelChoice { source: ModelSource::Version(version.to_owned()), options });
    }
    for feature in wanted {
        features.push(Feature::parse(feature)?);
    }
    Ok(())
}

/// The common test conditions of the Alliance for Open Media; whether they allow different bit depths.
fn aom_ctc(version: &str, models: &mut Vec<ModelChoice>, features: &mut Vec<Feature>) -> Result<bool, Error> {
    let number = match version {
        "v1.0" | "v2.0" => 1,
        "v3.0" | "v4.0" | "v5.0" => 3,
        "v6.0" => 6,
        "v7.0" => 7,
        _ => return Err(Error::Usage(format!("--aom_ctc cannot be {version:?}; it is v1.0 to v7.0"))),
    };
    let ssim = if number == 7 {
        "float_ssim=scale=1:enable_db=true:clip_db=true"
    } else {
        "float_ssim=enable_db=true:clip_db=true"
    };
    let mut wanted = vec![
        "psnr=reduced_hbd_peak=true:enable_apsnr=true:min_sse=0.5",
        "ciede",
        ssim,
        "float_ms_ssim=enable_db=true:clip_db=true",
        "psnr_hvs",
    ];
    if number >= 3 {
        wanted.push("cambi");
    }
    preset(models, features, ["vmaf_v0.6.1", "vmaf_v0.6.1neg"], &wanted)?;
    Ok(number >= 6)
}

/// Netflix's common test conditions.
fn nflx_ctc(version: &str, models: &mut Vec<ModelChoice>, features: &mut Vec<Feature>) -> Result<(), Error> {
    if version != "v1.0" {
        return Err(Error::Usage(format!("--nflx_ctc cannot be {version:?}; it is v1.0")));
    }
    let wanted =
        ["psnr=enable_chroma=true:enable_apsnr=true", "float_ssim=enable_db=true:clip_db=true", "cambi"];
    preset(models, features, ["vmaf_4k_v0.6.1", "vmaf_4k_v0.6.1neg"], &wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Settings, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&arguments) {
            Ok(Wanted::Score(settings)) => Ok(*settings),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn long_short_attached_and_shortened() {
        let settings = read("-ra.y4m --dist=b.y4m --thr 3 -q --json -o out.json --subsample 0x2 --frame_skip_r 4 -n --feature psnr").unwrap();
        assert_eq!(settings.reference, PathBuf::from("a.y4m"));
        assert_eq!(settings.distorted, [PathBuf::from("b.y4m")]);
        assert_eq!(settings.threads.unwrap().get(), 3);
        assert_eq!((settings.subsample.get(), settings.skip_reference, settings.quiet), (2, 4, true));
        assert_eq!((settings.models.len(), settings.features.len()), (0, 1));
        assert_eq!(settings.format, OutputFormat::Json);
    }

    #[test]
    fn models_carry_their_options() {
        let settings = read("-r a -d b -m path=/m/x.json:name=n:vif.vif_enhn_gain_limit=1.0:disable_clip -m version=vmaf_v0.6.1:enable_transform=true").unwrap();
        let [first, second] = settings.models.as_slice() else { panic!("two models") };
        assert_eq!(first.source, ModelSource::Path("/m/x.json".into()));
        assert_eq!(
            first.options.overloads,
            [("vif".to_owned(), "vif_enhn_gain_limit".to_owned(), "1.0".to_owned())]
        );
        assert_eq!((first.options.clip, second.options.transform), (Clip::Off, Transform::On));
        assert_eq!(first.options.name.as_deref(), Some("n"));
    }

    #[test]
    fn raw_input_has_a_layout() {
        let settings = read("-r a -d b -w 576 -h 324 -p 422 -b 10 --cpumask -1").unwrap();
        assert_eq!(settings.raw.unwrap().to_string(), "576x324 4:2:2 10-bit");
        assert_eq!(settings.cpumask, u64::MAX);
        assert!(read("-r a -d b -w 576").unwrap_err().contains("--bitdepth"));
        assert!(read("-r a -d b -w 0 -h 2 -p 420 -b 8").unwrap_err().contains("out of range"));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, message) in [
            ("-d b", "the reference"),
            ("-r a", "the distorted clip"),
            ("-r a -d b --frame 3", "--frame_cnt or --frame_skip_ref"),
            ("-r a -d b --nothing", "no option --nothing"),
            ("-r a -d b -z", "no option -z"),
            ("-r a -d b -b 9", "8, 10, 12 or 16"),
            ("-r a -d b -p 411", "400, 420, 422 or 444"),
            ("-r a -d b -m name=x", "path=FILE or version=VERSION"),
            ("-r a -d b -m version=x:what", "\"what\" is not"),
            ("-r a -d b --json=1", "takes no value"),
            ("-r a -d b --threads x", "whole number"),
            ("-r a -d", "needs a value"),
            ("-r a b", "belongs to no option"),
            ("-r a -d b --aom_ctc v8.0", "v1.0 to v7.0"),
            ("-r a -d b --precision 99", "at most 17"),
            ("-r a -d b -d c -o x", "one --output for each --distorted"),
            ("-r a -d b -o x -o y", "one --output for each --distorted"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(message), "{line}: {error}");
        }
    }
}
