//! The command line, on files of a temporary folder. Scores need no model here; the conformance suite has those.

use std::path::{Path, PathBuf};

use backlot_frames::{BitDepth, Format, Header, Rate, Subsampling, Writer};
use backlot_vmaf::tool::run;

use crate::isa::clip;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// A clip as `ref.y4m` and `dis.y4m`, the second with `missing` frames fewer.
    fn new(format: Format, frames: usize, missing: usize) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        let pairs = clip(format, frames, 99);
        let write = |name: &str,
                     take: usize,
                     pick: fn(
            &(std::sync::Arc<backlot_frames::Frame>, std::sync::Arc<backlot_frames::Frame>),
        ) -> &backlot_frames::Frame| {
            let header = Header::new(format, Rate::new(25, 1).unwrap());
            let mut writer = Writer::new(Vec::new(), header).unwrap();
            for pair in pairs.iter().take(take) {
                writer.write_frame(pick(pair)).unwrap();
            }
            std::fs::write(files.path(name), writer.into_inner().unwrap()).unwrap();
        };
        write("ref.y4m", frames, |pair| &pair.0);
        write("dis.y4m", frames - missing, |pair| &pair.1);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exit code, messages and the report.
    fn run(&self, more: &str) -> (u8, String, String) {
        let out = self.path("out");
        let _ = std::fs::remove_file(&out);
        let shown = |path: &Path| path.display().to_string();
        let mut arguments = vec![
            "-r".to_owned(),
            shown(&self.path("ref.y4m")),
            "-d".to_owned(),
            shown(&self.path("dis.y4m")),
        ];
        arguments.extend(["-o".to_owned(), shown(&out), "-n".to_owned()]);
        arguments.extend(more.split_whitespace().map(str::to_owned));
        let mut messages = Vec::new();
        let code = run(&arguments, &mut messages);
        (code, String::from_utf8(messages).unwrap(), std::fs::read_to_string(&out).unwrap_or_default())
    }
}

fn format() -> Format {
    Format::new(64, 48, Subsampling::C420, BitDepth::EIGHT).unwrap()
}

#[test]
fn a_report_has_every_frame_and_pools() {
    let files = Files::new(format(), 4, 0);
    let (code, messages, report) = files.run("--feature psnr=enable_apsnr=true --feature motion --json");
    assert_eq!((code, messages.as_str()), (0, ""));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["frames"].as_array().unwrap().len(), 4);
    assert!(report["pooled_metrics"]["integer_motion2"]["mean"].as_f64().unwrap() > 0.0);
    assert!(report["aggregate_metrics"]["apsnr_y"].as_f64().unwrap() > 0.0);
    let (_, _, sampled) = files.run("--feature psnr --feature vif --subsample 3 --csv");
    let numbers: Vec<&str> = sampled.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(numbers, ["Frame", "0", "3"]);
    assert!(!sampled.contains(",,"));
}

#[test]
fn frames_are_skipped_and_counted() {
    let files = Files::new(format(), 5, 0);
    let frames = |report: &str| report.matches("<frame ").count();
    assert_eq!(frames(&files.run("--feature psnr --frame_cnt 2").2), 2);
    assert_eq!(frames(&files.run("--feature psnr --frame_skip_ref 1 --frame_skip_dist 2").2), 3);
    let (code, messages, report) = files.run("--feature psnr --frame_skip_ref 9");
    assert_eq!((code, report.as_str()), (1, ""));
    assert!(messages.contains("no frame was scored"), "{messages}");
}

#[test]
fn the_shorter_stream_ends_the_scoring() {
    let files = Files::new(format(), 4, 1);
    let (code, messages, report) = files.run("--feature psnr");
    assert_eq!(code, 0);
    assert!(messages.contains("dis.y4m\" ended before") && messages.contains("ref.y4m"), "{messages}");
    assert_eq!(report.matches("<frame ").count(), 3);
}

#[test]
fn bad_input_ends_in_one_line() {
    let files = Files::new(format(), 2, 0);
    let whole = std::fs::read(files.path("dis.y4m")).unwrap();
    let long = [b"YUV4MPEG2 W64 H48 F25:1 X".as_slice(), &[b'x'; 5000], b"\n"].concat();
    let cases: [(&[u8], &str); 13] = [
        (b"", "not a YUV4MPEG2 stream"),
        (b"RIFF", "not a YUV4MPEG2 stream"),
        (b"YUV4MPEG2 W64 H48 F25:1", "header"),
        (&long, "header"),
        (b"YUV4MPEG2 W0 H48 F25:1 C420\n", "size"),
        (b"YUV4MPEG2 W-64 H48 F25:1 C420\n", "header"),
        (b"YUV4MPEG2 W99999999 H99999999 F25:1 C420\n", "size"),
        (b"YUV4MPEG2 H48 F25:1 C420\n", "header"),
        (b"YUV4MPEG2 W64 H48 F25:1 C411\n", "colour tag"),
        (b"YUV4MPEG2 W64 H48 F25:1 C420p99\n", "colour tag"),
        (b"YUV4MPEG2 W66 H48 F25:1 C420\n", "differ in layout"),
        (b"YUV4MPEG2 W64 H48 F25:1 It C420\n", "interlac"),
        (&whole[..whole.len() - 5], "inside frame 1"),
    ];
    for (bytes, message) in cases {
        std::fs::write(files.path("dis.y4m"), bytes).unwrap();
        let (code, messages, report) = files.run("--feature psnr");
        assert_eq!((code, report.as_str()), (1, ""), "{message}");
        assert!(messages.contains(message) && messages.lines().count() == 1, "{messages}");
    }
}

#[test]
fn several_renditions_are_scored_in_one_pass() {
    let files = Files::new(format(), 3, 0);
    let (_, _, alone) = files.run("--feature psnr --feature vif");
    let (_, _, same) = files.run("--feature psnr --feature vif --csv");
    let shown = |name: &str| files.path(name).display().to_string();
    let mut line: Vec<String> = ["-r", &shown("ref.y4m"), "-d", &shown("ref.y4m"), "-d", &shown("dis.y4m")]
        .map(str::to_owned)
        .to_vec();
    line.extend(["-o", &shown("first"), "-o", &shown("second"), "-n", "--csv"].map(str::to_owned));
    line.extend(["--feature", "psnr", "--feature", "vif"].map(str::to_owned));
    let mut messages = Vec::new();
    assert_eq!(run(&line, &mut messages), 0, "{}", String::from_utf8_lossy(&messages));
    assert_eq!(std::fs::read_to_string(files.path("second")).unwrap(), same);
    assert!(std::fs::read_to_string(files.path("first")).unwrap().contains("60.000000"));
    assert!(alone.contains("psnr_y"));
}

#[test]
fn streams_of_different_depths_meet_where_the_preset_allows() {
    let deep = Format::new(64, 48, Subsampling::C420, BitDepth::TEN).unwrap();
    let files = Files::new(format(), 2, 0);
    let other = Files::new(deep, 2, 0);
    std::fs::copy(other.path("dis.y4m"), files.path("dis.y4m")).unwrap();
    let (code, messages, _) = files.run("--feature psnr");
    assert_eq!(code, 1);
    assert!(messages.contains("differ in layout"), "{messages}");
}
