//! What feature extractors there are, their options, and how scores are named after both.
//!
//! A score's name is its base name; where options that shape the score differ from their defaults, it is the base name's
//! alias followed by `_alias_value` of each, in the order of the options' full names (libvmaf's `feature_name.c`).

use crate::Error;

/// An option's type, default and range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Flag(bool),
    Integer { default: i64, least: i64, most: i64 },
    Number { default: f64, least: f64, most: f64 },
    Text(&'static str),
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OptionSpec {
    pub(crate) name: &'static str,
    /// What stands for it in a score's name; empty where it does not shape the score.
    pub(crate) alias: &'static str,
    pub(crate) kind: Kind,
}

/// One feature extractor.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) extractor: ExtractorKind,
    pub(crate) options: &'static [OptionSpec],
    /// The scores that models may ask for; most extractors make them in this order.
    pub(crate) scores: &'static [&'static str],
}

/// Which code extracts a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtractorKind {
    Motion,
    Adm,
    Vif,
    Psnr,
    Cambi,
    SpeedChroma,
    Ssim,
    MsSsim,
    Ciede,
    PsnrHvs,
    FloatMotion,
    FloatAdm,
    FloatVif,
    FloatPsnr,
    FloatAnsnr,
    FloatMoment,
}

const fn flag(name: &'static str, alias: &'static str, default: bool) -> OptionSpec {
    OptionSpec { name, alias, kind: Kind::Flag(default) }
}

const fn number(name: &'static str, alias: &'static str, default: f64, least: f64, most: f64) -> OptionSpec {
    OptionSpec { name, alias, kind: Kind::Number { default, least, most } }
}

const fn integer(name: &'static str, alias: &'static str, default: i64, least: i64, most: i64) -> OptionSpec {
    OptionSpec { name, alias, kind: Kind::Integer { default, least, most } }
}

const fn text(name: &'static str, alias: &'static str, default: &'static str) -> OptionSpec {
    OptionSpec { name, alias, kind: Kind::Text(default) }
}

/// All feature extractors.
pub(crate) const SPECS: &[Spec] = &[
    Spec {
        name: "motion",
        extractor: ExtractorKind::Motion,
        options: &[
            flag("motion_force_zero", "force_0", false),
            number("motion_blend_factor", "mbf", 1.0, 0.0, 1.0),
            number("motion_blend_offset", "mbo", 40.0, 0.0, 1000.0),
            number("motion_fps_weight", "mfw", 1.0, 0.0, 5.0),
            number("motion_max_val", "mmxv", 10_000.0, 0.0, 10_000.0),
            flag("motion_five_frame_window", "mffw", false),
            flag("motion_moving_average", "mma", false),
            flag("debug", "", false),
        ],
        scores: &[
            "VMAF_integer_feature_motion_sad_score",
            "VMAF_integer_feature_motion_score",
            "VMAF_integer_feature_motion2_score",
            "VMAF_integer_feature_motion3_score",
        ],
    },
    Spec {
        name: "adm",
        extractor: ExtractorKind::Adm,
        options: &[
            flag("debug", "", false),
            number("adm_csf_scale", "scf", 1.0, 0.0, 50.0),
            number("adm_csf_diag_scale", "scfd", 1.0, 0.0, 50.0),
            number("adm_dlm_weight", "dlmw", 0.5, 0.0, 1.0),
            number("adm_enhn_gain_limit", "egl", 100.0, 1.0, 100.0),
            number("adm_norm_view_dist", "nvd", 3.0, 0.75, 24.0),
            integer("adm_ref_display_height", "rdh", 1080, 1, 4320),
            integer("adm_csf_mode", "csf", 0, 0, 3),
            number("adm_noise_weight", "nw", 0.03125, 0.0, 1500.0),
            flag("adm_skip_aim", "", false),
            flag("adm_skip_scale0", "ssz", false),
            number("adm_min_val", "min", 0.0, 0.0, 1.0),
        ],
        scores: &[
            "VMAF_integer_feature_adm2_score",
            "VMAF_integer_feature_aim_score",
            "VMAF_integer_feature_adm3_score",
        ],
    },
    Spec {
        name: "vif",
        extractor: ExtractorKind::Vif,
        options: &[
            flag("debug", "", false),
            number("vif_enhn_gain_limit", "egl", 100.0, 1.0, 100.0),
            flag("vif_skip_scale0", "ssclz", false),
        ],
        scores: &[
            "VMAF_integer_feature_vif_scale0_score",
            "VMAF_integer_feature_vif_scale1_score",
            "VMAF_integer_feature_vif_scale2_score",
            "VMAF_integer_feature_vif_scale3_score",
        ],
    },
    Spec {
        name: "psnr",
        extractor: ExtractorKind::Psnr,
        options: &[
            flag("enable_chroma", "", true),
            flag("enable_mse", "", false),
            flag("enable_apsnr", "", false),
            flag("reduced_hbd_peak", "", false),
            number("min_sse", "", 0.0, 0.0, f64::MAX),
        ],
        scores: &["psnr_y", "psnr_cb", "psnr_cr"],
    },
    Spec {
        name: "cambi",
        extractor: ExtractorKind::Cambi,
        options: &[
            number("cambi_max_val", "cmxv", 1000.0, 0.0, 1000.0),
            integer("enc_width", "encw", 0, 180, 7680),
            integer("enc_height", "ench", 0, 150, 7680),
            integer("enc_bitdepth", "encbd", 0, 6, 16),
            integer("src_width", "srcw", 0, 320, 7680),
            integer("src_height", "srch", 0, 200, 4320),
            integer("window_size", "ws", 65, 15, 127),
            number("topk", "topk", 0.6, 0.0001, 1.0),
            number("cambi_topk", "ctpk", 0.6, 0.0001, 1.0),
            number("tvi_threshold", "tvit", 0.019, 0.0001, 1.0),
            number("cambi_vis_lum_threshold", "vlt", 0.0, 0.0, 300.0),
            integer("max_log_contrast", "mlc", 2, 0, 5),
            flag("full_ref", "", false),
            text("eotf", "eotf", "bt1886"),
            text("cambi_eotf", "ceot", "bt1886"),
            integer("cambi_high_res_speedup", "hrs", 0, 0, 2160),
        ],
        scores: &["Cambi_feature_cambi_score"],
    },
    Spec {
        name: "speed_chroma",
        extractor: ExtractorKind::SpeedChroma,
        options: &[
            number("speed_kernelscale", "ks", 1.0, 0.1, 4.0),
            number("speed_prescale", "ps", 1.0, 0.1, 4.0),
            text("speed_prescale_method", "psm", "nearest"),
            number("speed_sigma_nn", "snn", 0.29, 0.1, 2.0),
            number("speed_nn_floor", "nnf", 0.0, 0.0, 1.0),
            number("speed_max_val", "mxv", 1000.0, 0.0, 1000.0),
            integer("speed_weight_var_mode", "wvm", 0, 0, 6),
        ],
        scores: &[
            "Speed_chroma_feature_speed_chroma_u_score",
            "Speed_chroma_feature_speed_chroma_v_score",
            "Speed_chroma_feature_speed_chroma_uv_score",
        ],
    },
    Spec {
        name: "float_ssim",
        extractor: ExtractorKind::Ssim,
        options: &[
            flag("enable_lcs", "", false),
            flag("enable_db", "", false),
            flag("clip_db", "", false),
            integer("scale", "", 0, 0, 10),
        ],
        scores: &["float_ssim"],
    },
    Spec {
        name: "float_ms_ssim",
        extractor: ExtractorKind::MsSsim,
        options: &[flag("enable_lcs", "", false), flag("enable_db", "", false), flag("clip_db", "", false)],
        scores: &["float_ms_ssim"],
    },
    Spec { name: "ciede", extractor: ExtractorKind::Ciede, options: &[], scores: &["ciede2000"] },
    Spec {
        name: "psnr_hvs",
        extractor: ExtractorKind::PsnrHvs,
        options: &[],
        scores: &["psnr_hvs_y", "psnr_hvs_cb", "psnr_hvs_cr", "psnr_hvs"],
    },
    Spec { name: "float_psnr", extractor: ExtractorKind::FloatPsnr, options: &[], scores: &["float_psnr"] },
    Spec {
        name: "float_ansnr",
        extractor: ExtractorKind::FloatAnsnr,
        options: &[],
        scores: &["float_ansnr", "float_anpsnr"],
    },
    Spec {
        name: "float_moment",
        extractor: ExtractorKind::FloatMoment,
        options: &[],
        scores: &["float_moment_ref1st", "float_moment_dis1st", "float_moment_ref2nd", "float_moment_dis2nd"],
    },
    Spec {
        name: "float_motion",
        extractor: ExtractorKind::FloatMotion,
        options: &[
            flag("motion_force_zero", "force_0", false),
            number("motion_blend_factor", "mbf", 1.0, 0.0, 1.0),
            number("motion_blend_offset", "mbo", 40.0, 0.0, 1000.0),
            number("motion_fps_weight", "mfw", 1.0, 0.0, 5.0),
            number("motion_max_val", "mmxv", 10_000.0, 0.0, 10_000.0),
            flag("debug", "", true),
        ],
        scores: &["VMAF_feature_motion_score", "VMAF_feature_motion2_score", "VMAF_feature_motion3_score"],
    },
    Spec {
        name: "float_adm",
        extractor: ExtractorKind::FloatAdm,
        options: &[
            flag("debug", "", false),
            number("adm_enhn_gain_limit", "egl", 100.0, 1.0, 100.0),
            number("adm_norm_view_dist", "nvd", 3.0, 0.75, 24.0),
            integer("adm_ref_display_height", "rdf", 1080, 1, 4320),
            integer("adm_csf_mode", "csf", 0, 0, 9),
            number("adm_noise_weight", "nw", 0.03125, 0.0, 1500.0),
            number("adm_dlm_weight", "dlmw", 0.5, 0.0, 1.0),
            number("adm_min_val", "min", 0.0, 0.0, 1.0),
            flag("adm_skip_scale0", "ssz", false),
        ],
        scores: &[
            "VMAF_feature_adm2_score",
            "VMAF_feature_aim_score",
            "VMAF_feature_adm3_score",
            "VMAF_feature_adm_scale0_score",
            "VMAF_feature_adm_scale1_score",
            "VMAF_feature_adm_scale2_score",
            "VMAF_feature_adm_scale3_score",
        ],
    },
    Spec {
        name: "float_vif",
        extractor: ExtractorKind::FloatVif,
        options: &[
            flag("debug", "", false),
            number("vif_enhn_gain_limit", "egl", 100.0, 1.0, 100.0),
            number("vif_kernelscale", "ks", 1.0, 0.1, 4.0),
            number("vif_sigma_nsq", "snsq", 2.0, 0.0, 5.0),
            number("vif_scale1_min_val", "s1miv", 0.0, 0.0, 1.0),
            number("vif_scale2_min_val", "s2miv", 0.0, 0.0, 1.0),
            number("vif_scale3_min_val", "s3miv", 0.0, 0.0, 1.0),
            flag("vif_skip_scale0", "ssclz", false),
        ],
        scores: &[
            "VMAF_feature_vif_scale0_score",
            "VMAF_feature_vif_scale1_score",
            "VMAF_feature_vif_scale2_score",
            "VMAF_feature_vif_scale3_score",
        ],
    },
];

/// The values of an extractor's options, in the order of its specification.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Values {
    options: &'static [OptionSpec],
    values: Vec<Value>,
}

/// One value, of its option's type.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Values {
    fn get(&self, name: &str) -> &Value {
        let index = self.options.iter().position(|option| option.name == name);
        &self.values[index.expect("invariant: extractors ask for options of their own specification")]
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Value::Flag(true))
    }

    pub(crate) fn integer(&self, name: &str) -> i64 {
        if let Value::Integer(value) = self.get(name) { *value } else { 0 }
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        if let Value::Number(value) = self.get(name) { *value } else { 0.0 }
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        if let Value::Text(value) = self.get(name) { value } else { "" }
    }
}

/// A feature extractor with its options: what libvmaf's `--feature` names.
#[derive(Clone, Debug)]
pub struct Feature {
    pub(crate) spec: &'static Spec,
    pub(crate) values: Values,
}

impl Feature {
    /// The extractor `name` with `options`; options that are not given have their defaults.
    ///
    /// # Errors
    /// [`Error::UnknownFeature`], [`Error::UnknownOption`], [`Error::OptionValue`].
    pub fn new<'a>(name: &str, options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let spec = SPECS.iter().find(|spec| spec.name == name).ok_or_else(|| Error::UnknownFeature {
            name: name.to_owned(),
            known: SPECS.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", "),
        })?;
        let values = spec.options.iter().map(|option| option.kind.default()).collect();
        let mut feature = Self { spec, values: Values { options: spec.options, values } };
        for (option, value) in options {
            feature.set(option, value)?;
        }
        Ok(feature)
    }

    /// The extractor that gives the score `score` (a full name, as models give it).
    ///
    /// # Errors
    /// [`Error::UnknownScore`]; those of [`Feature::new`].
    pub fn giving<'a>(
        score: &str,
        options: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let spec = SPECS
            .iter()
            .find(|spec| spec.scores.contains(&score))
            .ok_or_else(|| Error::UnknownScore { name: score.to_owned() })?;
        Self::new(spec.name, options)
    }

    /// Reads `name=option=value:option=value`.
    ///
    /// # Errors
    /// [`Error::Usage`] where an option has no value; those of [`Feature::new`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, options) = text.split_once('=').unwrap_or((text, ""));
        let mut pairs = Vec::new();
        for option in options.split(':').filter(|option| !option.is_empty()) {
            let pair = option.split_once('=').ok_or_else(|| {
                Error::Usage(format!("feature {name}: option {option:?} has no value; write {option}=VALUE"))
            })?;
            pairs.push(pair);
        }
        Self::new(name, pairs)
    }

    /// Sets one option.
    ///
    /// # Errors
    /// [`Error::UnknownOption`], [`Error::OptionValue`].
    pub(crate) fn set(&mut self, option: &str, value: &str) -> Result<(), Error> {
        let index = self.spec.options.iter().position(|known| known.name == option).ok_or_else(|| {
            Error::UnknownOption {
                feature: self.spec.name,
                option: option.to_owned(),
                known: self.spec.options.iter().map(|option| option.name).collect::<Vec<_>>().join(", "),
            }
        })?;
        let known = &self.spec.options[index];
        self.values.values[index] = known.kind.parse(value).ok_or_else(|| Error::OptionValue {
            feature: self.spec.name,
            option: known.name,
            value: value.to_owned(),
            wanted: known.kind.wanted(),
        })?;
        Ok(())
    }

    /// The name in reports of the score whose full name is `base`.
    pub fn score_name(&self, base: &str) -> String {
        let mut shaping: Vec<(&OptionSpec, &Value)> = self
            .spec
            .options
            .iter()
            .zip(&self.values.values)
            .filter(|(option, value)| !option.alias.is_empty() && **value != option.kind.default())
            .collect();
        shaping.sort_by_key(|(option, _)| option.name);
        let mut name = alias(base).to_owned();
        for (option, value) in shaping {
            name.push('_');
            name.push_str(option.alias);
            let value = match value {
                Value::Flag(_) => continue,
                Value::Integer(value) => value.to_string(),
                Value::Number(value) => general(*value),
                Value::Text(value) => value.clone(),
            };
            name.push('_');
            name.push_str(&value);
        }
        name
    }

    /// Two features are the same when extractor and shaping options are; the first given wins, as in libvmaf.
    pub(crate) fn key(&self) -> String {
        self.score_name(self.spec.name)
    }
}

impl Kind {
    fn default(self) -> Value {
        match self {
            Self::Flag(default) => Value::Flag(default),
            Self::Integer { default, .. } => Value::Integer(default),
            Self::Number { default, .. } => Value::Number(default),
            Self::Text(default) => Value::Text(default.to_owned()),
        }
    }

    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Flag(_) => match text {
                "true" => Some(Value::Flag(true)),
                "false" => Some(Value::Flag(false)),
                _ => None,
            },
            Self::Integer { default, least, most } => {
                // A model file may write 1080 as 1080.0.
                let value = text.parse().ok().or_else(|| {
                    let number: f64 = text.parse().ok()?;
                    (number.fract() == 0.0 && number.abs() < 1e9).then_some(number as i64)
                })?;
                (value == default || (least..=most).contains(&value)).then_some(Value::Integer(value))
            }
            Self::Number { least, most, .. } => {
                let value: f64 = text.parse().ok()?;
                (value >= least && value <= most).then_some(Value::Number(value))
            }
            Self::Text(_) => Some(Value::Text(text.to_owned())),
        }
    }

    fn wanted(self) -> String {
        match self {
            Self::Flag(_) => "true or false".to_owned(),
            Self::Integer { least, most, .. } => format!("an integer from {least} to {most}"),
            Self::Number { least, most, .. } if most == f64::MAX => format!("a number from {least}"),
            Self::Number { least, most, .. } => format!("a number from {least} to {most}"),
            Self::Text(_) => "text".to_owned(),
        }
    }
}

/// The short name that reports use for the score `name`; itself where there is none.
pub(crate) fn alias(name: &str) -> &str {
    const ALIASES: &[(&str, &str)] = &[
        ("VMAF_feature_adm2_score", "adm2"),
        ("VMAF_feature_aim_score", "aim"),
        ("VMAF_feature_adm3_score", "adm3"),
        ("VMAF_feature_adm_scale0_score", "adm_scale0"),
        ("VMAF_feature_adm_scale1_score", "adm_scale1"),
        ("VMAF_feature_adm_scale2_score", "adm_scale2"),
        ("VMAF_feature_adm_scale3_score", "adm_scale3"),
        ("VMAF_feature_motion_score", "motion"),
        ("VMAF_feature_motion2_score", "motion2"),
        ("VMAF_feature_motion3_score", "motion3"),
        ("VMAF_feature_vif_scale0_score", "vif_scale0"),
        ("VMAF_feature_vif_scale1_score", "vif_scale1"),
        ("VMAF_feature_vif_scale2_score", "vif_scale2"),
        ("VMAF_feature_vif_scale3_score", "vif_scale3"),
        ("VMAF_integer_feature_adm2_score", "integer_adm2"),
        ("VMAF_integer_feature_aim_score", "integer_aim"),
        ("VMAF_integer_feature_adm3_score", "integer_adm3"),
        ("VMAF_integer_feature_motion_score", "integer_motion"),
        ("VMAF_integer_feature_motion2_score", "integer_motion2"),
        ("VMAF_integer_feature_motion3_score", "integer_motion3"),
        ("VMAF_integer_feature_vif_scale0_score", "integer_vif_scale0"),
        ("VMAF_integer_feature_vif_scale1_score", "integer_vif_scale1"),
        ("VMAF_integer_feature_vif_scale2_score", "integer_vif_scale2"),
        ("VMAF_integer_feature_vif_scale3_score", "integer_vif_scale3"),
        ("Cambi_feature_cambi_score", "cambi"),
        ("Speed_chroma_feature_speed_chroma_u_score", "speed_chroma_u"),
        ("Speed_chroma_feature_speed_chroma_v_score", "speed_chroma_v"),
        ("Speed_chroma_feature_speed_chroma_uv_score", "speed_chroma_uv"),
        ("Speed_temporal_feature_speed_temporal_score", "speed_temporal"),
    ];
    ALIASES.iter().find(|(known, _)| *known == name).map_or(name, |(_, alias)| alias)
}

/// `%g` of C: six significant digits, without trailing zeros.
fn general(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        let end = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        end.to_owned()
    };
    if (-4..6).contains(&exponent) {
        trim(&format!("{value:.*}", (5 - exponent) as usize))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_named_as_c_prints_them() {
        for (value, text) in [
            (0.7, "0.7"),
            (100.0, "100"),
            (1.0, "1"),
            (0.02, "0.02"),
            (17.0, "17"),
            (1e6, "1e+06"),
            (123_456.7, "123457"),
            (1.5e-5, "1.5e-05"),
            (0.333_333_333, "0.333333"),
        ] {
            assert_eq!(general(value), text);
        }
    }

    #[test]
    fn scores_are_named_after_their_options() {
        let feature = Feature::parse("adm=adm_dlm_weight=0.7:adm_enhn_gain_limit=1.0:adm_noise_weight=0.02:adm_min_val=0.5:adm_csf_mode=2").unwrap();
        assert_eq!(
            feature.score_name("VMAF_integer_feature_adm3_score"),
            "integer_adm3_csf_2_dlmw_0.7_egl_1_min_0.5_nw_0.02"
        );
        let feature = Feature::parse("motion=motion_force_zero=true").unwrap();
        assert_eq!(feature.score_name("VMAF_integer_feature_motion2_score"), "integer_motion2_force_0");
        assert_eq!(
            Feature::parse("vif").unwrap().score_name("VMAF_integer_feature_motion_sad_score"),
            "VMAF_integer_feature_motion_sad_score"
        );
    }

    #[test]
    fn wrong_features_and_options_are_named() {
        for (text, message) in [
            ("vmaf", "there is no feature extractor \"vmaf\""),
            ("adm=egl=1", "has no option \"egl\""),
            ("adm=adm_csf_mode", "has no value"),
            ("adm=adm_csf_mode=7", "cannot be \"7\"; it is an integer from 0 to 3"),
            ("adm=adm_enhn_gain_limit=NaN", "cannot be \"NaN\""),
            ("motion=debug=1", "it is true or false"),
        ] {
            let error = Feature::parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
