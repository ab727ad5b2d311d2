//! Every bad input ends in one line that names the mend, and nothing is left that looks like a result.

use std::{fs, path::Path, process::Command};

use backlot_frames::Shot;
use backlot_media::{
    Error,
    encode::{Codec, Effort, EncodeRequest, encode},
    ffmpeg::{Ffmpeg, FfmpegSearch},
    plan::Size,
    probe::{ProbeOptions, probe},
    source::Source,
};

use crate::outside;

async fn refusal(ffmpeg: &Ffmpeg, path: &Path) -> String {
    let result = probe(ffmpeg, path, ProbeOptions::default()).await;
    let error = match result {
        Err(error) => error,
        Ok(probed) => probed.require_encodable(path).expect_err("the clip must be refused"),
    };
    let message = error.to_string();
    assert!(!message.contains('\n') && message.len() < 700, "{message:?}");
    message
}

#[tokio::test]
async fn each_bad_input_has_its_own_line() {
    let Some(ffmpeg) = outside::ffmpeg().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let make =
        |args: &[&str], name: &str| outside::run(&ffmpeg, &[args, &[at(name).to_str().unwrap()]].concat());
    let pattern =
        ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=4", "-c:v", "libx264", "-crf", "10"];

    make(&pattern, "index-last.mp4");
    make(&[&pattern[..], &["-movflags", "+faststart"]].concat(), "index-first.mp4");
    make(&pattern, "whole.mkv");
    for name in ["index-last.mp4", "index-first.mp4", "whole.mkv"] {
        let whole = fs::read(at(name)).unwrap();
        fs::write(at(&format!("cut-{name}")), &whole[..whole.len() * 2 / 3]).unwrap();
        let mut damaged = whole.clone();
        let middle = whole.len() / 2;
        damaged[middle..middle + 600].fill(0xa5);
        fs::write(at(&format!("damaged-{name}")), damaged).unwrap();
    }
    fs::write(at("text.mp4"), "It was a dark and stormy night; the rain fell in torrents.\n").unwrap();
    fs::write(at("empty.mp4"), "").unwrap();
    make(
        &[
            "-f",
            "lavfi",
            "-i",
            "color=red:size=16x16:rate=5:duration=1",
            "-vf",
            "crop=1:1:0:0:exact=1,format=yuv444p",
            "-c:v",
            "ffv1",
        ],
        "one.mkv",
    );
    make(&["-f", "lavfi", "-i", "sine=duration=2", "-c:a", "aac"], "audio.mp4");
    make(
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=128x96:rate=30:duration=4",
            "-vf",
            "select='not(mod(n,7))+not(mod(n,5))'",
            "-fps_mode",
            "vfr",
        ],
        "variable.mp4",
    );

    for (name, expected) in [
        ("cut-index-last.mp4", "is cut short"),
        ("cut-index-first.mp4", "is cut short (its mdat box wants"),
        ("text.mp4", "is not a video file"),
        ("empty.mp4", "is cut short (it is empty)"),
        ("one.mkv", "is 1x1; both sides must be at least 64"),
        ("audio.mp4", "has no video stream"),
        ("variable.mp4", "`--fps 30/1` makes it constant"),
        ("damaged-index-first.mp4", "is damaged"),
        ("absent.mp4", "No such file"),
    ] {
        let message = refusal(&ffmpeg, &at(name)).await;
        assert!(message.contains(expected), "{name}: {message:?} lacks {expected:?}");
        assert!(message.contains(name), "{message:?} does not name {name}");
    }
    let message = refusal(&ffmpeg, dir.path()).await;
    assert!(message.contains("not a regular file"), "{message}");
}

#[tokio::test]
async fn a_missing_or_false_ffmpeg_says_how_to_get_one() {
    let absent = FfmpegSearch { configured: Some("/nowhere/ffmpeg".into()), roots: Vec::new() };
    let message = absent.locate().unwrap_err().to_string();
    assert!(message.contains("apt-get install ffmpeg") && message.contains("/nowhere/ffmpeg"), "{message}");
    for impostor in ["/bin/false", "/bin/echo"] {
        let error = Ffmpeg::open(impostor).await.unwrap_err();
        assert!(matches!(error, Error::FfmpegBroken { .. }), "{error}");
    }
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let Some(ffmpeg) = outside::ffmpeg().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    outside::run(
        &ffmpeg,
        &["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=1", path.to_str().unwrap()],
    );
    let probed = probe(&ffmpeg, &path, ProbeOptions::default()).await.unwrap();
    let source = Source { path: &path, probe: &probed };
    let good = EncodeRequest {
        shot: Shot { start: 0, end: 25 },
        size: Size { width: 128, height: 96 },
        codec: Codec::X264,
        crf: 30,
        key_interval: 25,
        effort: Effort::Fast,
    };
    for (request, expected) in [
        (EncodeRequest { shot: Shot { start: 0, end: 26 }, ..good }, "not inside a clip of 25 frames"),
        (EncodeRequest { shot: Shot { start: 5, end: 5 }, ..good }, "not inside"),
        (EncodeRequest { size: Size { width: 127, height: 96 }, ..good }, "encoded side 127"),
        (EncodeRequest { size: Size { width: 32, height: 32 }, ..good }, "at least 64"),
        (EncodeRequest { crf: 52, ..good }, "crf 52"),
        (EncodeRequest { key_interval: 0, ..good }, "key interval 0"),
    ] {
        let message = encode(&ffmpeg, source, request, &dir.path().join("out.mp4"), |_| ())
            .await
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing() {
    let Some(ffmpeg) = outside::ffmpeg().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&full).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return outside::skipped(
            "the right to mount a small tmpfs",
            "run the tests as root or in `unshare -rm`",
        );
    }
    let mounted = Mounted(&full);
    let path = dir.path().join("clip.mp4");
    outside::run(
        &ffmpeg,
        &["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=4", path.to_str().unwrap()],
    );
    let probed = probe(&ffmpeg, &path, ProbeOptions::default()).await.unwrap();
    let source = Source { path: &path, probe: &probed };
    let request = EncodeRequest {
        shot: source.all(),
        size: probed.size,
        codec: Codec::X264,
        crf: 5,
        key_interval: 50,
        effort: Effort::Fast,
    };
    let message =
        encode(&ffmpeg, source, request, &full.join("out.mp4"), |_| ()).await.unwrap_err().to_string();
    assert!(message.contains("no space left on the device"), "{message}");
    assert_eq!(fs::read_dir(&full).unwrap().count(), 0);
    drop(mounted);
}

/// Unmounts on drop, also when the test fails.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}
