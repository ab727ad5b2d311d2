//! Model files: which features with which options, how they are scaled, the regression, and what becomes of its result.
//!
//! A file is one model, or a collection of a main model and its bootstrap replicas, which give a confidence interval.
//! Steps of a prediction, in order: scale each feature linearly, correct chroma from luma (v1), support vector regression,
//! scale back, transform (polynomial, piecewise linear, rectified) where enabled, clip.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::Error;
use crate::feature::spec::Feature;
use crate::svm::{MAX_FEATURES, Svm};

/// The largest model file. The largest published one has 0.5 MB.
pub const MAX_MODEL_BYTES: usize = 64 << 20;
/// The most replicas of a collection. Published ones have 20.
const MAX_REPLICAS: usize = 1000;
/// The most knots of a piecewise linear transform, as in libvmaf.
const MAX_KNOTS: usize = 10;

/// Whether a model's score is clipped to its range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clip {
    /// As the model says.
    #[default]
    Model,
    /// Not at all: `disable_clip`.
    Off,
}

/// Whether a model's score is transformed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transform {
    /// As the model says.
    #[default]
    Model,
    /// Where the model has a transform, it is used: `enable_transform`, the phone model.
    On,
}

/// How a model is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelOptions {
    /// Its name in reports; `vmaf` unless given.
    pub name: Option<String>,
    /// Clipping.
    pub clip: Clip,
    /// Transform.
    pub transform: Transform,
    /// Options of feature extractors that replace the model's: extractor, option, value.
    pub overloads: Vec<(String, String, String)>,
}

/// A model, or a main model with its bootstrap replicas, ready to be used.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) name: String,
    pub(crate) main: Regression,
    pub(crate) replicas: Vec<Regression>,
}

/// One regression with everything around it.
#[derive(Clone, Debug)]
pub(crate) struct Regression {
    pub(crate) inputs: Vec<Input>,
    rescale: bool,
    slope: f64,
    intercept: f64,
    svm: Svm,
    transform: Option<ScoreTransform>,
    clip: Option<(f64, f64)>,
    chroma_correction: Option<f64>,
}

/// One feature as a model uses it.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) feature: Feature,
    pub(crate) score: String,
    slope: f64,
    intercept: f64,
}

#[derive(Clone, Debug, Default)]
struct ScoreTransform {
    polynomial: Option<[f64; 3]>,
    knots: Vec<(f64, f64)>,
    not_below_input: bool,
    not_above_input: bool,
}

#[derive(Deserialize)]
struct File {
    model_dict: Dict,
}

#[derive(Deserialize)]
struct Dict {
    model_type: String,
    norm_type: String,
    feature_names: Vec<String>,
    #[serde(default)]
    slopes: Vec<f64>,
    #[serde(default)]
    intercepts: Vec<f64>,
    #[serde(default)]
    feature_opts_dicts: Option<Vec<BTreeMap<String, Value>>>,
    #[serde(default)]
    score_clip: Option<[f64; 2]>,
    #[serde(default)]
    score_transform: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    chroma_correction_parameter: Option<f64>,
    model: String,
}

impl Model {
    /// Reads a model file: JSON of one model or of a collection.
    ///
    /// # Errors
    /// [`Error::Model`] where the text is not a model; those of [`Feature::giving`] where it asks for what there is not.
    pub fn parse(text: &str, options: &ModelOptions) -> Result<Self, Error> {
        if text.len() > MAX_MODEL_BYTES {
            return Err(Error::Model(format!("it has more than {MAX_MODEL_BYTES} bytes")));
        }
        let name = options.name.clone().unwrap_or_else(|| "vmaf".to_owned());
        if text.starts_with("svm_type") {
            return Err(Error::Model(
                "this is the support vector half of a legacy .pkl model, which names no features; use the JSON file".to_owned(),
            ));
        }
        let bad = |error: serde_json::Error| Error::Model(error.to_string());
        let value: Value = serde_json::from_str(text).map_err(bad)?;
        if value.get("model_dict").is_some() {
            let file: File = serde_json::from_value(value).map_err(bad)?;
            return Ok(Self { name, main: Regression::new(file.model_dict, options)?, replicas: Vec::new() });
        }
        let Value::Object(members) = value else {
            return Err(Error::Model("it is not a JSON object".to_owned()));
        };
        if members.len() > MAX_REPLICAS {
            return Err(Error::Model(format!("it has more than {MAX_REPLICAS} members")));
        }
        let mut numbered = BTreeMap::new();
        for (key, member) in members {
            let number: usize = key.parse().map_err(|_| {
                Error::Model(format!("{key:?} is neither a model's part nor a member's number"))
            })?;
            let file: File = serde_json::from_value(member).map_err(bad)?;
            if !file.model_dict.model_type.contains("BOOTSTRAP") {
                return Err(Error::Model(format!(
                    "member {number} is a {}, not a bootstrap",
                    file.model_dict.model_type
                )));
            }
            numbered.insert(number, Regression::new(file.model_dict, options)?);
        }
        let mut members = numbered.into_values();
        let main = members.next().ok_or_else(|| Error::Model("the collection is empty".to_owned()))?;
        Ok(Self { name, main, replicas: members.collect() })
    }

    /// Its name in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Feature extractors that it needs, in its own order.
    pub fn features(&self) -> impl Iterator<Item = &Feature> {
        let all = std::iter::once(&self.main).chain(&self.replicas);
        all.flat_map(|one| one.inputs.iter().map(|input| &input.feature))
    }
}

impl Regression {
    fn new(dict: Dict, options: &ModelOptions) -> Result<Self, Error> {
        let bad = |detail: &str| Error::Model(detail.to_owned());
        match dict.model_type.as_str() {
            "LIBSVMNUSVR" | "BOOTSTRAP_LIBSVMNUSVR" | "RESIDUEBOOTSTRAP_LIBSVMNUSVR" => {}
            other => return Err(Error::Model(format!("model_type {other:?} is not known"))),
        }
        let count = dict.feature_names.len();
        if count == 0 || count > MAX_FEATURES {
            return Err(Error::Model(format!("it has {count} features; it must have 1 to {MAX_FEATURES}")));
        }
        let rescale = match dict.norm_type.as_str() {
            "linear_rescale" => true,
            "none" => false,
            other => return Err(Error::Model(format!("norm_type {other:?} is not known"))),
        };
        if rescale && (dict.slopes.len() != count + 1 || dict.intercepts.len() != count + 1) {
            return Err(bad(
                "slopes and intercepts must have one entry for the score and one for each feature",
            ));
        }
        let own_options = dict.feature_opts_dicts.unwrap_or_default();
        if !own_options.is_empty() && own_options.len() != count {
            return Err(bad("feature_opts_dicts must have one entry for each feature"));
        }
        let term = |terms: &[f64], index: usize, absent: f64| if rescale { terms[index] } else { absent };
        let mut inputs = Vec::with_capacity(count);
        for (index, score) in dict.feature_names.into_iter().enumerate() {
            let mut feature = Feature::giving(&score, [])?;
            for (option, value) in own_options.get(index).into_iter().flatten() {
                let text = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                feature.set(option, &text)?;
            }
            for (extractor, option, value) in &options.overloads {
                if extractor == feature.spec.name {
                    feature.set(option, value)?;
                }
            }
            let (slope, intercept) =
                (term(&dict.slopes, index + 1, 1.0), term(&dict.intercepts, index + 1, 0.0));
            inputs.push(Input { feature, score, slope, intercept });
        }
        let (slope, intercept) = (term(&dict.slopes, 0, 1.0), term(&dict.intercepts, 0, 0.0));
        if slope == 0.0 {
            return Err(bad("the score's slope is zero"));
        }
        let svm = Svm::parse(&dict.model)?;
        if svm.features() > count {
            return Err(bad("the support vectors have more features than the model names"));
        }
        let transform = dict
            .score_transform
            .map(|dict| ScoreTransform::new(&dict, options.transform))
            .transpose()?
            .flatten();
        let clip = dict.score_clip.filter(|_| options.clip == Clip::Model).map(|[low, high]| (low, high));
        let chroma_correction = dict.chroma_correction_parameter.filter(|&parameter| parameter != 0.0);
        Ok(Self { inputs, rescale, slope, intercept, svm, transform, clip, chroma_correction })
    }

    /// The regression's result for the features' scores, before transform and clip.
    pub(crate) fn raw(&self, scores: &[f64]) -> f64 {
        let mut scaled: Vec<f64> =
            self.inputs.iter().zip(scores).map(|(input, &score)| self.scale(input, score)).collect();
        if let Some(parameter) = self.chroma_correction {
            self.correct_chroma(&mut scaled, parameter);
        }
        let prediction = self.svm.predict(&scaled);
        if self.rescale { (prediction - self.intercept) / self.slope } else { prediction }
    }

    /// The score for the features' scores.
    pub(crate) fn score(&self, scores: &[f64]) -> f64 {
        self.finish(self.raw(scores))
    }

    /// Transforms and clips.
    pub(crate) fn finish(&self, raw: f64) -> f64 {
        let transformed = self.transform.as_ref().map_or(raw, |transform| transform.apply(raw));
        let Some((low, high)) = self.clip else { return transformed };
        let raised = if transformed < low { low } else { transformed };
        if raised > high { high } else { raised }
    }

    fn scale(&self, input: &Input, score: f64) -> f64 {
        if self.rescale { input.slope * score + input.intercept } else { score }
    }

    /// Chroma that could not be measured, exactly zero, is taken from luma instead: `parameter * (1 - adm3)`.
    fn correct_chroma(&self, scaled: &mut [f64], parameter: f64) {
        let find = |part: &str| self.inputs.iter().position(|input| input.score.contains(part));
        let (Some(luma), Some(chroma)) = (find("adm3"), find("speed_chroma")) else { return };
        let unscale = |place: usize, value: f64| {
            let input = &self.inputs[place];
            if self.rescale { (value - input.intercept) / input.slope } else { value }
        };
        if unscale(chroma, scaled[chroma]) == 0.0 {
            let corrected = -parameter * unscale(luma, scaled[luma]) + parameter;
            scaled[chroma] = self.scale(&self.inputs[chroma], corrected);
        }
    }
}

impl ScoreTransform {
    /// The transform that `dict` describes, or none where it is not enabled.
    fn new(dict: &BTreeMap<String, Value>, wanted: Transform) -> Result<Option<Self>, Error> {
        let truth = |key: &str| match dict.get(key) {
            Some(Value::Bool(truth)) => *truth,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        if !truth("enabled") && wanted == Transform::Model {
            return Ok(None);
        }
        let coefficient = |key: &str| dict.get(key).and_then(Value::as_f64);
        let terms = ["p0", "p1", "p2"].map(coefficient);
        let polynomial = terms.iter().any(Option::is_some).then(|| terms.map(Option::unwrap_or_default));
        let knots: Vec<(f64, f64)> = match dict.get("knots") {
            None | Some(Value::Null) => Vec::new(),
            Some(knots) => serde_json::from_value(knots.clone())
                .map_err(|error| Error::Model(format!("knots: {error}")))?,
        };
        let rising = knots.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        if knots.len() == 1 || knots.len() > MAX_KNOTS || !rising {
            return Err(Error::Model(format!("knots must be 2 to {MAX_KNOTS} points that rise")));
        }
        Ok(Some(Self {
            polynomial,
            knots,
            not_below_input: truth("out_gte_in"),
            not_above_input: truth("out_lte_in"),
        }))
    }

    fn apply(&self, input: f64) -> f64 {
        let mut output = self.polynomial.map_or(input, |[p0, p1, p2]| p0 + p1 * input + p2 * input * input);
        if !self.knots.is_empty() {
            output = piecewise(&self.knots, output);
        }
        if self.not_above_input && output > input {
            output = input;
        }
        if self.not_below_input && output < input {
            output = input;
        }
        output
    }
}

/// The piecewise linear function through `knots`, its ends continued.
fn piecewise(knots: &[(f64, f64)], x: f64) -> f64 {
    let last = knots.len() - 2;
    let segment = (0..last).find(|&segment| x <= knots[segment + 1].0).unwrap_or(last);
    let ((x0, y0), (x1, y1)) = (knots[segment], knots[segment + 1]);
    if y0 == y1 {
        return y0;
    }
    let (slope, offset) = if x0 == 0.0 {
        ((y1 - y0) / x1, y0)
    } else {
        let slope = (y1 - y0) / (x1 - x0);
        (slope, y0 - x0 * slope)
    };
    slope * x + offset
}

/// What a collection of replicas says of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bootstrap {
    pub(crate) bagging: f64,
    pub(crate) deviation: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Mean, standard deviation and 95 % interval of the replicas' results `raw` (before transform and clip), which then pass
/// through the transform of the first of them; the deviation through its slope at the mean.
pub(crate) fn bootstrap(first: &Regression, raw: &[f64]) -> Bootstrap {
    const DELTA: f64 = 0.01;
    let count = raw.len() as f64;
    let mean = raw.iter().sum::<f64>() / count;
    let squares: f64 = raw.iter().map(|score| (score - mean) * (score - mean)).sum();
    let deviation = (squares / count).sqrt();
    let mut sorted = raw.to_vec();
    sorted.sort_by(f64::total_cmp);
    let slope = (first.finish(mean + DELTA) - first.finish(mean - DELTA)) / (2.0 * DELTA);
    Bootstrap {
        bagging: first.finish(mean),
        deviation: deviation * slope,
        low: first.finish(percentile(&sorted, 2.5)),
        high: first.finish(percentile(&sorted, 97.5)),
    }
}

fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let place = percent * (sorted.len() - 1) as f64 / 100.0;
    let (left, right) = (place.floor() as usize, place.ceil() as usize);
    if left == right {
        sorted[left]
    } else {
        sorted[left] * (right as f64 - place) + sorted[right] * (place - left as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A model of one feature, whose prediction is `1 - exp(-(feature - 1)²)`, transformed when asked to.
    pub(crate) fn small() -> String {
        serde_json::json!({ "model_dict": {
            "model_type": "LIBSVMNUSVR", "norm_type": "linear_rescale",
            "feature_names": ["VMAF_integer_feature_adm2_score"],
            "slopes": [0.01, 1.0], "intercepts": [0.0, 0.0],
            "score_clip": [0.0, 100.0],
            "score_transform": { "p0": 1.0, "p1": 1.5, "out_gte_in": "true" },
            "model": "svm_type nu_svr\nkernel_type rbf\ngamma 1\nnr_class 2\ntotal_sv 1\nrho -1\nSV\n-1 1:1\n"
        }})
        .to_string()
    }

    #[test]
    fn a_model_predicts_transforms_and_clips() {
        let options = ModelOptions::default();
        let model = Model::parse(&small(), &options).unwrap();
        assert_eq!(model.main.score(&[1.0]), 0.0);
        let far = model.main.score(&[1.5]);
        assert!((far - 100.0 * (1.0 - (-0.25_f64).exp())).abs() < 1e-12);
        let phone =
            Model::parse(&small(), &ModelOptions { transform: Transform::On, ..options.clone() }).unwrap();
        assert_eq!(phone.main.score(&[1.0]), 1.0);
        assert_eq!(phone.main.score(&[9.0]), 100.0);
        let open = ModelOptions { transform: Transform::On, clip: Clip::Off, ..options };
        assert_eq!(Model::parse(&small(), &open).unwrap().main.score(&[9.0]), 151.0);
    }

    #[test]
    fn knots_are_continued_at_the_ends() {
        let knots = [(0.0, 10.0), (10.0, 20.0), (20.0, 20.0), (30.0, 50.0)];
        for (x, y) in [(-5.0, 5.0), (0.0, 10.0), (5.0, 15.0), (15.0, 20.0), (25.0, 35.0), (40.0, 80.0)] {
            assert_eq!(piecewise(&knots, x), y);
        }
    }

    #[test]
    fn bad_models_are_refused_with_a_reason() {
        let text = small();
        for (from, to, message) in [
            ("LIBSVMNUSVR", "RANDOMFOREST", "model_type"),
            ("linear_rescale", "clip", "norm_type"),
            ("[0.01,1.0]", "[0.01]", "slopes"),
            ("[0.01,1.0]", "[0.0,1.0]", "slope is zero"),
            ("adm2_score", "adm9_score", "no feature extractor gives"),
            ("rbf", "poly", "kernel_type"),
            ("model_dict", "model", "neither a model's part"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            let error = Model::parse(&changed, &ModelOptions::default()).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(cut in 0_usize..600, bytes in proptest::collection::vec(32_u8..127, 0..8)) {
            let text = small();
            let cut = cut.min(text.len());
            let noise = String::from_utf8_lossy(&bytes).into_owned();
            let changed = [&text[..cut], &noise, &text[(cut + noise.len()).min(text.len())..]].concat();
            if let Ok(model) = Model::parse(&changed, &ModelOptions::default()) {
                model.main.score(&[0.5]);
            }
        }
    }
}
