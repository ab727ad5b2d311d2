//! PSNR and SSIM against ffmpeg's filters of those names, per frame, per plane and pooled.

use std::path::Path;

use backlot_frames::{ClipScores, FrameMetric, Psnr, Ssim};

use crate::outside;

/// Layouts that differ in size parity, subsampling and depth.
const CASES: &[(&str, &str)] = &[
    ("320x180", "yuv420p"),
    ("161x93", "yuv420p"),
    ("130x66", "yuv422p"),
    ("97x51", "yuv444p"),
    ("128x72", "gray"),
    ("176x98", "yuv420p10le"),
    ("99x77", "yuv422p12le"),
    ("64x48", "yuv444p16le"),
    ("64x50", "gray10le"),
];

#[test]
fn psnr_and_ssim_equal_ffmpegs_filters() {
    let Some(ffmpeg) = outside::ffmpeg() else {
        return outside::skipped(
            "ffmpeg",
            "install it with `apt-get install ffmpeg` or `pip install imageio-ffmpeg`",
        );
    };
    let dir = outside::scratch("metrics");
    for (size, pixels) in CASES {
        let (reference, distorted) = (dir.join("reference.nut"), dir.join("distorted.nut"));
        let source = format!("testsrc2=size={size}:rate=25:duration=0.28,format={pixels}");
        let keep = ["-c:v", "rawvideo", "-pix_fmt", pixels];
        let make = |graph: &str, out: &Path| {
            let input = ["-f", "lavfi", "-i", graph];
            outside::run_ffmpeg(&ffmpeg, &[&input[..], &keep, &[out.to_str().unwrap()]].concat());
        };
        make(&source, &reference);
        // Noise in all planes, and a fourth frame without any so that equal frames are covered.
        make(&format!("{source},noise=alls=24:allf=t:all_seed=7:enable='not(eq(n,3))'"), &distorted);
        compare(&ffmpeg, &reference, &distorted, &format!("{size} {pixels}"));
    }
}

fn compare(ffmpeg: &Path, reference: &Path, distorted: &Path, case: &str) {
    let mut a = outside::decode(ffmpeg, reference);
    let mut b = outside::decode(ffmpeg, distorted);
    let format = a.header().format;
    let (mut psnr, mut ssim) = (Psnr::new(format), Ssim::new(format).unwrap());
    while let Some(reference) = a.read_frame().unwrap() {
        let distorted = b.read_frame().unwrap().unwrap();
        psnr.push(&reference, &distorted).unwrap();
        ssim.push(&reference, &distorted).unwrap();
    }
    let scores = [("psnr", psnr.finish().unwrap()), ("ssim", ssim.finish().unwrap())];
    for (filter, ours) in scores {
        let frames = distorted.with_extension("txt");
        let graph = format!("[1:v][0:v]{filter},metadata=print:file={}", frames.display());
        let inputs = ["-i", reference.to_str().unwrap(), "-i", distorted.to_str().unwrap()];
        let log =
            outside::run_ffmpeg(ffmpeg, &[&inputs[..], &["-lavfi", &graph, "-f", "null", "-"]].concat());
        compare_frames(&ours, filter, &std::fs::read_to_string(&frames).unwrap(), case);
        compare_clip(&ours, filter, &log, case);
    }
}

/// The filters' names of our columns, in their frame metadata and in their last log line.
fn theirs(column: &str) -> (String, String) {
    let (filter, part) = column.split_once('_').unwrap();
    let metadata = match (filter, part) {
        ("psnr", "avg") => "lavfi.psnr.psnr_avg".to_owned(),
        ("psnr", plane) => format!("lavfi.psnr.psnr.{plane}"),
        (_, "all") => "lavfi.ssim.All".to_owned(),
        (_, plane) => format!("lavfi.ssim.{}", plane.to_uppercase()),
    };
    let summary = match part {
        "avg" => "average".to_owned(),
        "all" => "All".to_owned(),
        plane if filter == "ssim" => plane.to_uppercase(),
        plane => plane.to_owned(),
    };
    (metadata, summary)
}

fn compare_frames(ours: &ClipScores, filter: &str, metadata: &str, case: &str) {
    for column in &ours.columns {
        let key = format!("{}=", theirs(&column.name).0);
        let values: Vec<f64> = metadata
            .lines()
            .filter_map(|line| line.strip_prefix(&key))
            .map(|value| value.parse().unwrap())
            .collect();
        assert_eq!(values.len(), 7, "{case} {filter} {key}");
        assert_eq!(column.frames.len(), 7, "{case}");
        for (frame, (&own, &value)) in column.frames.iter().zip(&values).enumerate() {
            assert_close(own, value, &format!("{case} frame {frame} {}", column.name));
        }
    }
}

fn compare_clip(ours: &ClipScores, filter: &str, log: &str, case: &str) {
    let line =
        log.lines().rev().find(|line| line.contains(&format!("Parsed_{filter}"))).expect("a summary line");
    for column in &ours.columns {
        let key = format!("{}:", theirs(&column.name).1);
        let value = line
            .split(' ')
            .find_map(|token| token.strip_prefix(&key))
            .unwrap_or_else(|| panic!("{key} in {line}"));
        assert_close(column.clip, value.parse().unwrap(), &format!("{case} clip {}", column.name));
    }
}

/// Equal to four decimals.
fn assert_close(own: f64, value: f64, what: &str) {
    assert!(own == value || (own - value).abs() <= 5e-5, "{what}: ours {own}, ffmpeg's {value}");
}
