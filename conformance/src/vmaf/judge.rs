//! Makes clips, has both programs score them, and compares their reports number by number.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::clips::{Clip, Source};
use crate::Environment;

/// What is asked of both programs.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its column in the table.
    pub name: &'static str,
    /// Models, as `version:name=…`.
    models: &'static [&'static str],
    /// Further features, in libvmaf's notation.
    features: &'static [&'static str],
    /// How near a number must be.
    tolerance: Tolerance,
    /// The deepest samples that libvmaf takes for it.
    max_depth: u32,
    /// Whether it needs chroma.
    chroma: bool,
    /// The least side that libvmaf takes for it.
    min_side: usize,
    /// The forms of the report; XML is compared number by number, others line by line.
    forms: &'static [&'static str],
}

/// Features that are left out for a clip, with the reason.
fn left_out(feature: &str, clip: &Clip) -> Option<&'static str> {
    let is_odd = clip.size.1 % 2 == 1 && clip.layout.name.starts_with("yuv420");
    (feature == "ciede" && is_odd).then_some(
        "ciede of 4:2:0 with an odd number of rows is left out: libvmaf reads a row behind its picture, whatever lies there",
    )
}

/// How near a number must be to the judge's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// The same digits.
    Exact,
    /// The same digits for names that begin so; others as near as given, as a share of numbers beyond one.
    Near(f64, &'static [&'static str]),
}

/// The checks, in the table's order.
pub fn checks() -> Vec<Check> {
    let check = |name, models, features, tolerance| Check {
        name,
        models,
        features,
        tolerance,
        max_depth: 16,
        chroma: false,
        min_side: 17,
        forms: &["xml"],
    };
    vec![
        check(
            "v0 models",
            &[
                "vmaf_v0.6.1",
                "vmaf_v0.6.1neg:name=neg",
                "vmaf_4k_v0.6.1:name=uhd",
                "vmaf_4k_v0.6.1neg:name=uhd_neg",
                "vmaf_v0.6.1:name=phone:enable_transform=true",
            ],
            &[],
            Tolerance::Exact,
        ),
        check(
            "motion3, adm3",
            &["vmaf_v0.6.1"],
            &[
                "motion=motion_five_frame_window=true:motion_moving_average=true:motion_max_val=18",
                "motion=motion_blend_factor=0.5:motion_blend_offset=2:motion_fps_weight=1.5",
                "adm=adm_csf_mode=2:adm_dlm_weight=0.7:adm_enhn_gain_limit=1.0:adm_noise_weight=0.02:adm_min_val=0.5",
                "adm=adm_norm_view_dist=5.0",
                "adm=adm_skip_scale0=true",
                "vif=vif_skip_scale0=true",
            ],
            Tolerance::Exact,
        ),
        Check {
            min_side: 216,
            ..check(
                "cambi",
                &["vmaf_v0.6.1"],
                &[
                    "cambi",
                    "cambi=cambi_max_val=17:cambi_vis_lum_threshold=0.06:cambi_high_res_speedup=1080",
                    "cambi=full_ref=true:window_size=31:max_log_contrast=3",
                    "cambi=cambi_eotf=pq:cambi_topk=0.3",
                ],
                Tolerance::Exact,
            )
        },
        Check {
            chroma: true,
            min_side: 320,
            ..check(
                "v1 models",
                &[
                    "vmaf_v1.0.16_3d0h",
                    "vmaf_v1.0.16_1d5h_2160:name=near_uhd",
                    "vmaf_v1.0.16_hfr_3d0h:name=hfr",
                    "vmaf_v1.0.16_hfr_1d5h_2160:name=near_uhd_hfr",
                ],
                &[],
                Tolerance::Exact,
            )
        },
        Check {
            chroma: true,
            min_side: 640,
            ..check(
                "v1 prescaled",
                &[
                    "vmaf_v1.0.16_5d0h",
                    "vmaf_v1.0.16_3d0h_2160:name=uhd",
                    "vmaf_v1.0.16_hfr_5d0h:name=far_hfr",
                    "vmaf_v1.0.16_hfr_3d0h_2160:name=uhd_hfr",
                ],
                &[],
                Tolerance::Exact,
            )
        },
        Check {
            chroma: true,
            max_depth: 12,
            min_side: 176,
            ..check(
                "other metrics",
                &["vmaf_v0.6.1"],
                &["float_ssim=enable_lcs=true", "float_ms_ssim=enable_lcs=true", "ciede", "psnr_hvs"],
                Tolerance::Near(1e-4, &["integer_", "VMAF_integer", "float_", "psnr_hvs"]),
            )
        },
        Check {
            chroma: true,
            ..check("psnr", &["vmaf_v0.6.1"], &["psnr=enable_apsnr=true:enable_mse=true"], Tolerance::Exact)
        },
        check(
            "float models",
            &["vmaf_float_v0.6.1", "vmaf_float_v0.6.1neg:name=neg", "vmaf_float_4k_v0.6.1:name=uhd"],
            &[
                "float_vif=vif_kernelscale=0.5",
                "float_motion=motion_fps_weight=1.5",
                "float_psnr",
                "float_ansnr",
                "float_moment",
            ],
            Tolerance::Exact,
        ),
        Check {
            chroma: true,
            forms: &["json", "csv", "sub"],
            ..check("JSON, CSV, SUB", &["vmaf_v0.6.1"], &["psnr=enable_apsnr=true"], Tolerance::Exact)
        },
    ]
}

/// A clip's files.
pub struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What came of a check.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Numbers that are the same text.
    pub equal: usize,
    /// Numbers of the judge.
    pub total: usize,
    /// Whether the reports have the same columns in the same order.
    pub same_order: bool,
    /// Numbers that are too far off, told.
    pub wrong: Vec<String>,
    /// The farthest that a number within tolerance is from the judge's.
    pub farthest: f64,
    /// What was left out, and why.
    pub left_out: Vec<&'static str>,
}

/// libvmaf inside ffmpeg.
pub struct Judge {
    ffmpeg: PathBuf,
    name: String,
}

impl Judge {
    /// The ffmpeg that the package imageio-ffmpeg carries in the pinned environment.
    ///
    /// # Errors
    /// What is missing, with the mend.
    pub fn find() -> Result<Self, String> {
        let environment = Environment::find().map_err(|error| error.to_string())?;
        let asked = Command::new(environment.python())
            .args([
                "-c",
                "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe(), imageio_ffmpeg.__version__)",
            ])
            .env_remove("IMAGEIO_FFMPEG_EXE")
            .output()
            .map_err(|error| {
                format!("{}: {error}; run `cargo xtask setup`", environment.python().display())
            })?;
        let answer = String::from_utf8_lossy(&asked.stdout);
        let mut words = answer.split_whitespace();
        let (Some(ffmpeg), Some(version)) = (words.next(), words.next()) else {
            return Err("the package imageio-ffmpeg is missing; run `cargo xtask setup`".to_owned());
        };
        Ok(Self { ffmpeg: ffmpeg.into(), name: format!("libvmaf in ffmpeg of imageio-ffmpeg {version}") })
    }

    /// What it is, for the table's head.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program, to be run by others.
    pub fn ffmpeg(&self) -> &Path {
        &self.ffmpeg
    }

    fn run(&self, arguments: &[String]) -> Result<(), String> {
        let output = Command::new(&self.ffmpeg)
            .args(["-v", "error", "-y"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", self.ffmpeg.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("ffmpeg: {}", said.lines().last().unwrap_or("it failed")))
    }

    /// Writes `ref.y4m` and `dis.y4m` of a clip; of a mono clip also `mono-ref.y4m` and `mono-dis.y4m`.
    ///
    /// # Errors
    /// What ffmpeg said.
    pub fn make(&self, clip: &Clip) -> Result<Files, String> {
        let files = Files { folder: tempfile::tempdir().map_err(|error| error.to_string())? };
        let (width, height) = clip.size;
        let scale =
            format!("scale={width}:{height}:flags=bicubic+accurate_rnd+bitexact,format={}", clip.layout.name);
        let words = |line: String| line.split(' ').map(str::to_owned).collect::<Vec<String>>();
        for (name, is_distorted) in [("ref.y4m", false), ("dis.y4m", true)] {
            let mut arguments = match &clip.source {
                Source::Made(generator, _) => {
                    let mut input = words("-f lavfi -i".to_owned());
                    input.push((*generator).to_owned());
                    input
                }
                Source::Raw(reference, distorted) => {
                    let mut input =
                        words(format!("-f rawvideo -pix_fmt {} -s {width}x{height} -i", clip.layout.name));
                    let file = if is_distorted { distorted } else { reference };
                    input.push(file.display().to_string());
                    input
                }
                Source::File(path, _) => vec!["-i".to_owned(), path.display().to_string()],
            };
            let distortion = match &clip.source {
                Source::Made(_, distortion) | Source::File(_, distortion) if is_distorted => {
                    format!("{distortion},")
                }
                _ => String::new(),
            };
            let filter = match &clip.source {
                Source::Raw(..) => "null".to_owned(),
                _ => {
                    format!("scale={width}:{height}:flags=bicubic+accurate_rnd+bitexact,{distortion}{scale}")
                }
            };
            arguments.extend(["-vf".to_owned(), filter]);
            arguments
                .extend(words(format!("-frames:v {} -pix_fmt {} -strict -1", clip.frames, clip.layout.name)));
            arguments.push(files.path(name).display().to_string());
            self.run(&arguments)?;
            if clip.layout.mono {
                let whole = fs::read(files.path(name)).map_err(|error| error.to_string())?;
                let mono = without_chroma(&whole, clip).ok_or("the clip is not as it was asked for")?;
                fs::write(files.path(&format!("mono-{name}")), mono).map_err(|error| error.to_string())?;
            }
        }
        Ok(files)
    }

    /// Scores a clip with both programs and compares; nothing where libvmaf does not take the clip.
    ///
    /// # Errors
    /// A program that fails.
    pub fn compare(&self, files: &Files, clip: &Clip, check: &Check) -> Result<Option<Outcome>, String> {
        let (width, height) = clip.size;
        let is_too_deep = depth(clip.layout.name) > check.max_depth;
        if is_too_deep || (check.chroma && clip.layout.mono) || width.min(height) < check.min_side {
            return Ok(None);
        }
        let mut outcome = Outcome { same_order: true, ..Outcome::default() };
        outcome.left_out = check.features.iter().filter_map(|feature| left_out(feature, clip)).collect();
        let features: Vec<&str> =
            check.features.iter().copied().filter(|feature| left_out(feature, clip).is_none()).collect();
        for form in check.forms {
            let judged = self.judged(files, check, &features, form)?;
            let ours = ours(files, clip, check, &features, form)?;
            let read = if *form == "xml" { numbers } else { lines };
            let (judged, ours) = (read(&judged), read(&ours));
            let by_place: HashMap<&Place, &String> = ours.iter().map(|(place, text)| (place, text)).collect();
            outcome.total += judged.len();
            outcome.same_order &=
                judged.iter().map(|(place, _)| place).eq(ours.iter().map(|(place, _)| place));
            for (place, text) in &judged {
                let got = by_place.get(place).copied();
                if got == Some(text) {
                    outcome.equal += 1;
                } else if let Some(distance) = near(check.tolerance, place, text, got) {
                    outcome.farthest = outcome.farthest.max(distance);
                } else {
                    let got = got.map_or("nothing", String::as_str);
                    outcome.wrong.push(format!("{} {} is {got}, libvmaf has {text}", place.0, place.1));
                }
            }
        }
        Ok(Some(outcome))
    }

    fn judged(&self, files: &Files, check: &Check, features: &[&str], form: &str) -> Result<String, String> {
        let list = |items: &[&str], key: &str| -> String {
            let items: Vec<String> = items
                .iter()
                .map(|item| format!("{key}={}", item.replacen('=', ":", 1).replace(':', "\\:")))
                .collect();
            items.join("|")
        };
        let models: Vec<String> =
            check.models.iter().map(|model| format!("version={}", model.replace(':', "\\:"))).collect();
        let report = files.path("judged");
        let mut filter =
            format!("libvmaf=log_fmt={form}:log_path={}:model='{}'", report.display(), models.join("|"));
        if !features.is_empty() {
            filter.push_str(&format!(":feature='{}'", list(features, "name")));
        }
        let path = |name: &str| files.path(name).display().to_string();
        let arguments =
            ["-i", &path("dis.y4m"), "-i", &path("ref.y4m"), "-lavfi", &filter, "-f", "null", "-"];
        self.run(&arguments.map(str::to_owned))?;
        fs::read_to_string(&report).map_err(|error| format!("libvmaf wrote no report: {error}"))
    }
}

fn ours(files: &Files, clip: &Clip, check: &Check, features: &[&str], form: &str) -> Result<String, String> {
    let path = |name: &str| {
        let name = if clip.layout.mono { format!("mono-{name}") } else { name.to_owned() };
        files.path(&name).display().to_string()
    };
    let report = files.path("ours").display().to_string();
    let mut arguments = vec![
        "-r".to_owned(),
        path("ref.y4m"),
        "-d".to_owned(),
        path("dis.y4m"),
        "-q".to_owned(),
        "-o".to_owned(),
        report.clone(),
        format!("--{form}"),
    ];
    for model in check.models {
        arguments.extend(["-m".to_owned(), format!("version={model}")]);
    }
    for feature in features {
        arguments.extend(["--feature".to_owned(), (*feature).to_owned()]);
    }
    let mut said = Vec::new();
    if backlot_vmaf::tool::run(&arguments, &mut said) != 0 {
        return Err(String::from_utf8_lossy(&said).trim().to_owned());
    }
    fs::read_to_string(report).map_err(|error| error.to_string())
}

/// Where a number stands: the frame or pooled score, and its name.
type Place = (String, String);

/// All numbers of a report in libvmaf's XML, in their order.
fn numbers(report: &str) -> Vec<(Place, String)> {
    let mut found = Vec::new();
    for line in report.lines().map(str::trim) {
        let Some((element, rest)) = line.split_once(' ') else { continue };
        if !matches!(element, "<frame" | "<metric" | "<aggregate_metrics") {
            continue;
        }
        let mut attributes = rest.split("\" ").filter_map(|attribute| attribute.split_once("=\""));
        let owner = match element {
            "<frame" => attributes.next().map(|(_, number)| format!("frame {number}")),
            "<metric" => attributes.next().map(|(_, name)| format!("pooled {name}")),
            _ => Some("aggregate".to_owned()),
        };
        let Some(owner) = owner else { continue };
        found.extend(
            attributes.map(|(name, value)| ((owner.clone(), name.trim().to_owned()), value.to_owned())),
        );
    }
    found
}

/// The lines of a report but those that say who wrote it and how fast.
fn lines(report: &str) -> Vec<(Place, String)> {
    let told = |line: &&str| !line.contains("\"version\"") && !line.contains("\"fps\"");
    let place = |index: usize| ("line".to_owned(), (index + 1).to_string());
    report.lines().filter(told).enumerate().map(|(index, line)| (place(index), line.to_owned())).collect()
}

/// How far a number is from the judge's, where that is within tolerance.
fn near(tolerance: Tolerance, place: &Place, text: &str, got: Option<&String>) -> Option<f64> {
    let Tolerance::Near(most, exact) = tolerance else { return None };
    let name = place.0.strip_prefix("pooled ").unwrap_or(&place.1);
    if exact.iter().any(|start| name.starts_with(start)) {
        return None;
    }
    let (theirs, ours): (f64, f64) = (text.parse().ok()?, got?.parse().ok()?);
    let distance = (theirs - ours).abs();
    (distance <= most * theirs.abs().max(1.0)).then_some(distance)
}

fn depth(layout: &str) -> u32 {
    [16, 12, 10].into_iter().find(|bits| layout.ends_with(&format!("p{bits}le"))).unwrap_or(8)
}

/// The 4:2:0 stream without its chroma planes.
fn without_chroma(stream: &[u8], clip: &Clip) -> Option<Vec<u8>> {
    let (width, height) = clip.size;
    let bits = depth(clip.layout.name);
    let bytes = if bits == 8 { 1 } else { 2 };
    let luma = width * height * bytes;
    let chroma = 2 * width.div_ceil(2) * height.div_ceil(2) * bytes;
    let after_line = |text: &[u8]| text.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
    let mut rest = &stream[after_line(stream)?..];
    let tag = if bits == 8 { "mono".to_owned() } else { format!("mono{bits}") };
    let mut mono = format!("YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C{tag}\n").into_bytes();
    while !rest.is_empty() {
        rest = &rest[after_line(rest)?..];
        mono.extend_from_slice(b"FRAME\n");
        mono.extend_from_slice(rest.get(..luma)?);
        rest = rest.get(luma + chroma..)?;
    }
    Some(mono)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_their_order() {
        let report = "<VMAF>\n  <frames>\n    <frame frameNum=\"0\" a=\"1.5\" b=\"2\" />\n  </frames>\n    <metric name=\"a\" min=\"1.5\" max=\"1.5\" />\n  <aggregate_metrics apsnr_y=\"3\" />\n";
        let found = numbers(report);
        let texts: Vec<String> =
            found.iter().map(|((owner, name), value)| format!("{owner} {name} {value}")).collect();
        assert_eq!(
            texts,
            ["frame 0 a 1.5", "frame 0 b 2", "pooled a min 1.5", "pooled a max 1.5", "aggregate apsnr_y 3"]
        );
    }

    #[test]
    fn tolerance_is_for_those_that_have_it() {
        let tolerance = Tolerance::Near(1e-4, &["integer_"]);
        let place = |owner: &str, name: &str| (owner.to_owned(), name.to_owned());
        let got = "1.00005".to_owned();
        assert!(near(tolerance, &place("frame 1", "vmaf"), "1.0", Some(&got)).is_some());
        assert!(near(tolerance, &place("frame 1", "integer_adm2"), "1.0", Some(&got)).is_none());
        assert!(near(tolerance, &place("pooled integer_adm2", "mean"), "1.0", Some(&got)).is_none());
        assert!(near(Tolerance::Exact, &place("frame 1", "vmaf"), "1.0", Some(&got)).is_none());
        assert!(near(tolerance, &place("frame 1", "vmaf"), "1.0", None).is_none());
    }
}
