//! Feature extractors: from pairs of frames to scores by frame.
//!
//! An extractor works in two steps. [`Extractors::extract`] makes a few *raw* numbers of one pair of frames (and of the
//! reference frames before it); it keeps nothing from frame to frame, so frames may be taken in any order on any thread.
//! [`finish`] turns the raw numbers of all frames into named columns; what needs neighbouring frames or the whole clip
//! happens there. Extractors of the same kind that differ in options share their filtering.

pub(crate) mod adm;
pub(crate) mod ansnr;
pub(crate) mod cambi;
pub(crate) mod ciede;
pub(crate) mod float;
pub(crate) mod hvs;
pub(crate) mod motion;
pub(crate) mod psnr;
pub(crate) mod spec;
pub(crate) mod speed;
pub(crate) mod ssim;
pub(crate) mod vif;

use std::sync::Arc;

use backlot_frames::{Format, Frame};

use self::adm::{Adm, AdmOptions};
use self::cambi::{Cambi, CambiOptions};
use self::ciede::Ciede;
use self::float::{FloatAdmOptions, FloatVifOptions};
use self::motion::{Motion, MotionOptions};
use self::psnr::PsnrOptions;
use self::spec::{ExtractorKind, Feature};
use self::speed::SpeedOptions;
use self::ssim::{Ssim, SsimOptions};
use self::vif::Vif;
use crate::{Error, Isa};

/// One reference frame, what is compared with it, and the reference frames before it.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) index: usize,
    pub(crate) reference: Arc<Frame>,
    /// A frame of each rendition.
    pub(crate) distorted: Vec<Arc<Frame>>,
    /// One and two frames before.
    pub(crate) before: [Option<Arc<Frame>>; 2],
}

/// Options of a feature, checked once.
#[derive(Clone, Debug)]
pub(crate) enum Checked {
    Motion(MotionOptions),
    Adm(AdmOptions),
    Vif { gain_limit: f64, skip_scale0: bool },
    Psnr(PsnrOptions),
    Cambi(CambiOptions),
    SpeedChroma(SpeedOptions),
    Ssim(SsimOptions),
    MsSsim(SsimOptions),
    Ciede,
    PsnrHvs,
    FloatMotion(MotionOptions),
    FloatAdm(FloatAdmOptions),
    FloatVif(FloatVifOptions),
    FloatPsnr,
    FloatAnsnr,
    FloatMoment,
}

impl Checked {
    pub(crate) fn new(feature: &Feature, format: Format) -> Result<Self, Error> {
        let values = &feature.values;
        let least = |min: usize| {
            if format.width() < min || format.height() < min {
                return Err(Error::TooSmall { feature: feature.spec.name, min, format });
            }
            Ok(())
        };
        Ok(match feature.spec.extractor {
            ExtractorKind::Motion => {
                least(3)?;
                Self::Motion(MotionOptions::new(values))
            }
            ExtractorKind::Adm => {
                least(Adm::MIN_SIDE)?;
                Self::Adm(AdmOptions::new(values)?)
            }
            ExtractorKind::Vif => {
                least(Vif::MIN_SIDE)?;
                Self::Vif {
                    gain_limit: values.number("vif_enhn_gain_limit"),
                    skip_scale0: values.flag("vif_skip_scale0"),
                }
            }
            ExtractorKind::Psnr => Self::Psnr(PsnrOptions::new(values)),
            ExtractorKind::SpeedChroma => Self::SpeedChroma(SpeedOptions::new(values, format)?),
            ExtractorKind::Ssim => {
                let options = SsimOptions::new(values, format, true);
                options.check(format)?;
                Self::Ssim(options)
            }
            ExtractorKind::MsSsim => {
                least(ssim::MS_MIN_SIDE)?;
                Self::MsSsim(SsimOptions::new(values, format, false))
            }
            ExtractorKind::Ciede => {
                needs_chroma(feature, format)?;
                Self::Ciede
            }
            ExtractorKind::PsnrHvs => {
                needs_chroma(feature, format)?;
                least(hvs::min_side(format))?;
                if format.depth().bits() > 12 {
                    let reason = "it takes 8 to 12 bits; convert the clips to 12 bits";
                    return Err(Error::Unsupported { feature: "psnr_hvs", format, reason });
                }
                Self::PsnrHvs
            }
            ExtractorKind::FloatPsnr => Self::FloatPsnr,
            ExtractorKind::FloatAnsnr => {
                least(ansnr::MIN_SIDE)?;
                Self::FloatAnsnr
            }
            ExtractorKind::FloatMoment => Self::FloatMoment,
            ExtractorKind::FloatMotion => {
                least(3)?;
                Self::FloatMotion(MotionOptions::of_float(values))
            }
            ExtractorKind::FloatAdm => {
                least(Adm::MIN_SIDE)?;
                Self::FloatAdm(FloatAdmOptions::new(values)?)
            }
            ExtractorKind::FloatVif => {
                least(Vif::MIN_SIDE)?;
                Self::FloatVif(FloatVifOptions::new(values))
            }
            ExtractorKind::Cambi => Self::Cambi(CambiOptions::new(values, format)?),
        })
    }

    /// Whether frames that subsampling leaves out are still measured.
    fn needs_every_frame(&self) -> bool {
        matches!(self, Self::Motion(_) | Self::FloatMotion(_) | Self::Psnr(_))
    }
}

fn needs_chroma(feature: &Feature, format: Format) -> Result<(), Error> {
    if format.subsampling().planes() == 1 {
        let reason = "it measures chroma, and there is none";
        return Err(Error::Unsupported { feature: feature.spec.name, format, reason });
    }
    Ok(())
}

/// What is measured of a frame in one piece: features of one kind, which share their filtering, or one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Adm,
    /// Of the features that begin at this scale.
    Vif {
        first_scale: usize,
    },
    Motion,
    /// MS-SSIM, and SSIM of the picture as it is, which is its first scale.
    Ssim,
    /// The feature at this place.
    One(usize),
}

impl Part {
    /// The parts of a frame, those that take longest first, so that threads which share the last frame end together.
    pub(crate) fn of(features: &[Checked]) -> Vec<Self> {
        let mut parts: Vec<(usize, Self)> = Vec::new();
        for (place, feature) in features.iter().enumerate() {
            // Milliseconds of a frame of 1080 lines on one core, roughly.
            let (cost, part) = match feature {
                Checked::Vif { skip_scale0, .. } => {
                    let first_scale = usize::from(*skip_scale0);
                    ([14, 4][first_scale], Self::Vif { first_scale })
                }
                Checked::Adm(_) => (6, Self::Adm),
                Checked::Motion(_) | Checked::FloatMotion(_) => (1, Self::Motion),
                Checked::FloatVif(_) | Checked::FloatAdm(_) => (100, Self::One(place)),
                Checked::MsSsim(_) => (50, Self::Ssim),
                Checked::Ssim(options) if options.is_unscaled() => (30, Self::Ssim),
                Checked::Ciede => (30, Self::One(place)),
                Checked::Cambi(_) | Checked::PsnrHvs => (10, Self::One(place)),
                Checked::Ssim(_) | Checked::SpeedChroma(_) => (3, Self::One(place)),
                Checked::FloatAnsnr => (20, Self::One(place)),
                Checked::Psnr(_) | Checked::FloatPsnr | Checked::FloatMoment => (1, Self::One(place)),
            };
            if parts.iter().all(|(_, known)| *known != part) {
                parts.push((cost, part));
            }
        }
        parts.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        parts.into_iter().map(|(_, part)| part).collect()
    }
}

/// The raw numbers of one frame, by feature; none where the feature skipped the frame.
pub(crate) type Raw = Vec<Vec<f64>>;

/// All extractors of one thread, with their scratch.
pub(crate) struct Extractors {
    isa: Isa,
    features: Arc<[Checked]>,
    motion: Motion,
    adm: Adm,
    vif: Vif,
    cambi: Cambi,
    ssim: Ssim,
    ciede: Ciede,
}

impl Extractors {
    pub(crate) fn new(isa: Isa, features: Arc<[Checked]>) -> Self {
        Self {
            isa,
            features,
            motion: Motion::default(),
            adm: Adm::default(),
            vif: Vif::default(),
            cambi: Cambi::default(),
            ssim: Ssim::default(),
            ciede: Ciede::default(),
        }
    }

    /// Raw numbers of one part, of each rendition; `is_sampled` says whether subsampling keeps the frame.
    pub(crate) fn extract(&mut self, part: Part, job: &Job, is_sampled: bool) -> Result<Vec<Raw>, Error> {
        let mut raws: Vec<Raw> = vec![vec![Vec::new(); self.features.len()]; job.distorted.len()];
        let features = Arc::clone(&self.features);
        match part {
            Part::Adm if is_sampled => self.extract_adm(&features, job, &mut raws)?,
            Part::Vif { first_scale } if is_sampled => {
                self.extract_vif(&features, job, first_scale, &mut raws)?;
            }
            Part::Ssim if is_sampled => self.extract_ssim(&features, job, &mut raws),
            Part::Adm | Part::Vif { .. } | Part::Ssim => {}
            Part::Motion => self.extract_motion(&features, job, is_sampled, &mut raws)?,
            Part::One(place) => {
                let feature = &features[place];
                if is_sampled || feature.needs_every_frame() {
                    for (distorted, raw) in job.distorted.iter().zip(&mut raws) {
                        self.extract_one(feature, &job.reference, distorted, &mut raw[place])?;
                    }
                }
            }
        }
        Ok(raws)
    }

    fn extract_motion(
        &mut self,
        features: &[Checked],
        job: &Job,
        is_sampled: bool,
        raws: &mut [Raw],
    ) -> Result<(), Error> {
        let mut differences = [None; 2];
        for (place, feature) in features.iter().enumerate() {
            if !is_sampled && !feature.needs_every_frame() {
                continue;
            }
            let motion = match feature {
                Checked::Motion(options) => self.motion_of(options, job, &mut differences)?,
                Checked::FloatMotion(options) => match &job.before[0] {
                    Some(before) if !options.force_zero => float::motion(self.isa, before, &job.reference),
                    _ => 0.0,
                },
                _ => continue,
            };
            for raw in &mut *raws {
                raw[place].push(motion);
            }
        }
        Ok(())
    }

    /// Motion of the reference; `differences` remembers filtered differences with the frames before.
    fn motion_of(
        &mut self,
        options: &MotionOptions,
        job: &Job,
        differences: &mut [Option<f64>; 2],
    ) -> Result<f64, Error> {
        let back = options.stride();
        let Some(before) = job.before[back - 1].as_ref().filter(|_| job.index >= back && !options.force_zero)
        else {
            return Ok(0.0);
        };
        let difference = match differences[back - 1] {
            Some(difference) => difference,
            None => self.motion.difference(self.isa, before, &job.reference)?,
        };
        differences[back - 1] = Some(difference);
        Ok((difference * options.fps_weight).min(options.max))
    }

    /// Numbers of a feature that looks at one pair of frames.
    fn extract_one(
        &mut self,
        feature: &Checked,
        reference: &Frame,
        distorted: &Frame,
        raw: &mut Vec<f64>,
    ) -> Result<(), Error> {
        match feature {
            Checked::Psnr(options) => {
                let planes = 0..options.planes(reference.format());
                raw.extend(planes.map(|plane| psnr::squared_error(self.isa, reference, distorted, plane)));
            }
            Checked::Cambi(options) => {
                let (banding, source) = self.cambi.scores(self.isa, options, reference, distorted);
                raw.push(banding.min(options.max));
                if let Some(source) = source {
                    raw.extend([source.min(options.max), (banding - source).max(0.0).min(options.max)]);
                }
            }
            Checked::SpeedChroma(options) => {
                let scores = speed::scores(options, reference, distorted);
                raw.extend(scores.map(|score| score.min(options.max)));
            }
            Checked::Ssim(options) => {
                let parts = self.ssim.single(self.isa, options, reference, distorted);
                raw.extend(options.shown_parts(parts));
            }
            Checked::Ciede => raw.push(self.ciede.score(self.isa, reference, distorted)),
            Checked::PsnrHvs => raw.extend(hvs::scores(self.isa, reference, distorted)),
            Checked::FloatPsnr => raw.push(psnr::float_score(self.isa, reference, distorted)),
            Checked::FloatAnsnr => raw.extend(ansnr::scores(reference, distorted)),
            Checked::FloatMoment => raw.extend(ansnr::moments(reference, distorted)),
            Checked::FloatAdm(options) => raw.extend(float::adm(options, reference, distorted)?),
            Checked::FloatVif(options) => raw.extend(float::vif(self.isa, options, reference, distorted)),
            // Measured with others of their kind.
            Checked::Adm(_)
            | Checked::Vif { .. }
            | Checked::Motion(_)
            | Checked::FloatMotion(_)
            | Checked::MsSsim(_) => {}
        }
        Ok(())
    }

    fn extract_ssim(&mut self, features: &[Checked], job: &Job, raws: &mut [Raw]) {
        let reference = &job.reference;
        for (distorted, raw) in job.distorted.iter().zip(raws) {
            let mut whole = None;
            for (feature, raw) in features.iter().zip(raw) {
                match feature {
                    Checked::Ssim(options) if options.is_unscaled() => {
                        let parts = whole
                            .unwrap_or_else(|| self.ssim.single(self.isa, options, reference, distorted));
                        whole = Some(parts);
                        raw.extend(options.shown_parts(parts));
                    }
                    Checked::MsSsim(options) => {
                        let (score, scales) = self.ssim.multiple(self.isa, whole, reference, distorted);
                        whole = Some(scales[0]);
                        raw.push(options.shown(score));
                        raw.extend(scales.map(|parts| parts.luminance));
                        raw.extend(scales.map(|parts| parts.contrast));
                        raw.extend(scales.map(|parts| parts.structure));
                    }
                    _ => {}
                }
            }
        }
    }

    fn extract_adm(&mut self, features: &[Checked], job: &Job, raws: &mut [Raw]) -> Result<(), Error> {
        let (places, variants): (Vec<usize>, Vec<AdmOptions>) = features
            .iter()
            .enumerate()
            .filter_map(|(place, feature)| match feature {
                Checked::Adm(options) => Some((place, *options)),
                _ => None,
            })
            .unzip();
        if variants.is_empty() {
            return Ok(());
        }
        let distorted: Vec<&Frame> = job.distorted.iter().map(|frame| &**frame).collect();
        let renditions = self.adm.scores(self.isa, &job.reference, &distorted, &variants)?;
        for (raw, scores) in raws.iter_mut().zip(renditions) {
            for ((&place, options), score) in places.iter().zip(&variants).zip(scores) {
                let joined =
                    score.kept * options.dlm_weight + (1.0 - score.added) * (1.0 - options.dlm_weight);
                let scales = score.scales.map(|(num, den)| (f64::from(num), f64::from(den)));
                raw[place].extend([score.kept, score.added, joined.max(options.min)]);
                raw[place].extend(scales.map(|(num, den)| num / den));
                raw[place].extend(scales.iter().flat_map(|&(num, den)| [num, den]));
            }
        }
        Ok(())
    }

    fn extract_vif(
        &mut self,
        features: &[Checked],
        job: &Job,
        first_scale: usize,
        raws: &mut [Raw],
    ) -> Result<(), Error> {
        let (places, limits): (Vec<usize>, Vec<f64>) = features
            .iter()
            .enumerate()
            .filter_map(|(place, feature)| match feature {
                Checked::Vif { gain_limit, skip_scale0 } if usize::from(*skip_scale0) == first_scale => {
                    Some((place, *gain_limit))
                }
                _ => None,
            })
            .unzip();
        if limits.is_empty() {
            return Ok(());
        }
        let distorted: Vec<&Frame> = job.distorted.iter().map(|frame| &**frame).collect();
        let renditions = self.vif.scores(self.isa, &job.reference, &distorted, &limits, first_scale)?;
        for (raw, variants) in raws.iter_mut().zip(renditions) {
            for (&place, scales) in places.iter().zip(variants) {
                raw[place].extend(scales.iter().enumerate().map(|(scale, score)| {
                    if scale < first_scale { 0.0 } else { f64::from(score.num / score.den) }
                }));
                let parts = scales.iter().flat_map(|score| [f64::from(score.num), f64::from(score.den)]);
                raw[place].extend(parts);
            }
        }
        Ok(())
    }
}

/// One named score by frame; `None` where a frame was not measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scores {
    pub(crate) name: String,
    pub(crate) frames: Vec<Option<f64>>,
}

/// The columns of one feature.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// Those known as each frame was measured; reports list them first.
    pub(crate) during: Vec<Scores>,
    /// Those that had to wait for the end.
    pub(crate) after: Vec<Scores>,
    /// Numbers of the whole clip.
    pub(crate) aggregates: Vec<(String, f64)>,
}

/// Turns the raw numbers of all frames into columns.
pub(crate) fn finish(feature: &Feature, checked: &Checked, format: Format, raw: &[&[f64]]) -> Finished {
    let column = |base: &str, index: usize| Scores {
        name: feature.score_name(base),
        frames: raw.iter().map(|frame| frame.get(index).copied()).collect(),
    };
    let mut finished = Finished::default();
    match checked {
        Checked::Motion(options) => {
            let sad: Vec<f64> = raw.iter().map_while(|frame| frame.first().copied()).collect();
            let (motion2, motion3) = motion::finish(options, &sad);
            finished.during.push(column("VMAF_integer_feature_motion_sad_score", 0));
            if feature.values.flag("debug") {
                finished.during.push(column("VMAF_integer_feature_motion_score", 0));
            }
            for (base, values) in [
                ("VMAF_integer_feature_motion2_score", motion2),
                ("VMAF_integer_feature_motion3_score", motion3),
            ] {
                let frames = values.into_iter().map(Some).collect();
                finished.after.push(Scores { name: feature.score_name(base), frames });
            }
        }
        Checked::Adm(_) => {
            for (index, base) in [
                "VMAF_integer_feature_adm2_score",
                "VMAF_integer_feature_aim_score",
                "VMAF_integer_feature_adm3_score",
                "integer_adm_scale0",
                "integer_adm_scale1",
                "integer_adm_scale2",
                "integer_adm_scale3",
            ]
            .into_iter()
            .enumerate()
            {
                finished.during.push(column(base, index));
            }
        }
        Checked::Vif { .. }
        | Checked::SpeedChroma(_)
        | Checked::Ciede
        | Checked::PsnrHvs
        | Checked::FloatPsnr
        | Checked::FloatAnsnr
        | Checked::FloatMoment
        | Checked::FloatAdm(_)
        | Checked::FloatVif(_) => {
            let scores = feature.spec.scores.iter().enumerate();
            finished.during.extend(scores.map(|(index, name)| column(name, index)));
        }
        Checked::FloatMotion(options) => {
            let sad: Vec<f64> = raw.iter().map_while(|frame| frame.first().copied()).collect();
            let [motion2, motion, motion3] = float::finish_motion(options, &sad);
            let has_motion = feature.values.flag("debug");
            for (base, values) in [
                ("VMAF_feature_motion2_score", motion2),
                ("VMAF_feature_motion_score", motion),
                ("VMAF_feature_motion3_score", motion3),
            ] {
                let column =
                    Scores { name: feature.score_name(base), frames: values.into_iter().map(Some).collect() };
                match base {
                    "VMAF_feature_motion3_score" => finished.after.push(column),
                    "VMAF_feature_motion_score" if !has_motion => {}
                    _ => finished.during.push(column),
                }
            }
        }
        Checked::Cambi(options) => {
            finished.during.push(column("Cambi_feature_cambi_score", 0));
            if options.full_reference {
                for (index, name) in [(1, "cambi_source"), (2, "cambi_full_reference")] {
                    finished.during.push(Scores { name: name.to_owned(), ..column(name, index) });
                }
            }
        }
        Checked::Ssim(options) => {
            let names = ["float_ssim", "float_ssim_l", "float_ssim_c", "float_ssim_s"];
            let shown = if options.parts { names.len() } else { 1 };
            finished
                .during
                .extend(names.into_iter().take(shown).enumerate().map(|(index, name)| column(name, index)));
        }
        Checked::MsSsim(options) => {
            finished.during.push(column("float_ms_ssim", 0));
            let parts = ["l", "c", "s"].into_iter().flat_map(|part| (0..5).map(move |scale| (part, scale)));
            for (index, (part, scale)) in parts.enumerate().filter(|_| options.parts) {
                finished.during.push(column(&format!("float_ms_ssim_{part}_scale{scale}"), index + 1));
            }
        }
        Checked::Psnr(options) => {
            let names = ["y", "cb", "cr"];
            for (plane, name) in names.iter().enumerate().take(options.planes(format)) {
                let score = |errors: f64| options.score(format, plane, errors);
                let values = |pick: fn((f64, f64)) -> f64| {
                    raw.iter().map(|frame| frame.get(plane).map(|&errors| pick(score(errors)))).collect()
                };
                finished
                    .during
                    .push(Scores { name: format!("psnr_{name}"), frames: values(|(_, psnr)| psnr) });
                if options.enable_mse {
                    finished
                        .during
                        .push(Scores { name: format!("mse_{name}"), frames: values(|(mse, _)| mse) });
                }
                if options.enable_apsnr {
                    let errors: Vec<f64> = raw.iter().filter_map(|frame| frame.get(plane).copied()).collect();
                    finished
                        .aggregates
                        .push((format!("apsnr_{name}"), options.aggregate(format, plane, &errors)));
                }
            }
        }
    }
    finished
}
