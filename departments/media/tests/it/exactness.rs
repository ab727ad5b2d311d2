//! Frames are exactly the ones asked for, bytes are the same every time, and cancelling leaves nothing.

use std::{path::Path, time::Duration};

use backlot_frames::Shot;
use backlot_media::{
    encode::{Codec, Effort, EncodeRequest, encode},
    ffmpeg::Ffmpeg,
    measure::measure,
    package::{PackageRequest, Rung, package},
    plan::Size,
    probe::{ProbeOptions, probe},
    source::Source,
};

use crate::outside;

const SIZE: Size = Size { width: 192, height: 108 };

fn request(start: u64, end: u64, codec: Codec) -> EncodeRequest {
    EncodeRequest {
        shot: Shot { start, end },
        size: SIZE,
        codec,
        crf: 1,
        key_interval: 20,
        effort: Effort::Fast,
    }
}

/// A clip whose every frame says which one it is, in a container and codec that make seeking hard.
fn numbered_clip(ffmpeg: &Ffmpeg, out: &Path, rate: &str, codec: &[&str]) {
    let source = format!("testsrc2=size=192x108:rate={rate}:duration=8");
    outside::run(
        ffmpeg,
        &[&["-f", "lavfi", "-i", source.as_str()], codec, &[out.to_str().unwrap()]].concat(),
    );
}

#[tokio::test]
async fn every_range_is_exactly_those_frames() {
    let Some(ffmpeg) = outside::ffmpeg().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let open_gop = [
        "-c:v",
        "libx264",
        "-preset",
        "fast",
        "-x264-params",
        "keyint=60:open-gop=1:bframes=3",
        "-crf",
        "10",
    ];
    let intra = ["-c:v", "mpeg4", "-q:v", "2", "-g", "250"];
    let shifted = [&open_gop[..], &["-output_ts_offset", "7.3"]].concat();
    let cases: [(&str, &str, &[&str]); 4] = [
        ("open.mp4", "25", &open_gop),
        ("film.mkv", "24000/1001", &open_gop),
        ("long.avi", "30", &intra),
        ("stream.ts", "30000/1001", &shifted),
    ];
    for (name, rate, codec) in cases {
        let path = dir.path().join(name);
        numbered_clip(&ffmpeg, &path, rate, codec);
        let probed = probe(&ffmpeg, &path, ProbeOptions::default()).await.unwrap();
        assert!(!probed.variable_rate, "{name}: {probed:?}");
        assert_eq!(probed.rate, rate.parse().unwrap(), "{name}");
        let source = Source { path: &path, probe: &probed };
        for (start, end) in [(0, 5), (59, 62), (100, 131), (probed.frames - 3, probed.frames)] {
            let out = dir.path().join("shot.mp4");
            let encoded = encode(&ffmpeg, source, request(start, end, Codec::X264), &out, |_| ()).await;
            let encoded = encoded.unwrap_or_else(|error| panic!("{name} {start}..{end}: {error} {probed:?}"));
            assert_eq!(encoded.frames, end - start);
            // The reference is read from the very start, without a seek, and cut by counting.
            let reference = dir.path().join("reference.y4m");
            let select = format!("select=between(n\\,{start}\\,{}),format=yuv420p", end - 1);
            outside::run(
                &ffmpeg,
                &[
                    "-i",
                    path.to_str().unwrap(),
                    "-vf",
                    &select,
                    "-fps_mode",
                    "passthrough",
                    reference.to_str().unwrap(),
                ],
            );
            let whole = probe(&ffmpeg, &reference, ProbeOptions { fps: None }).await.unwrap();
            let counted = Source { path: &reference, probe: &whole };
            let scores = measure(&ffmpeg, counted, counted.all(), &[out], &[]).await.unwrap();
            let worst = scores[0]
                .scores
                .column("psnr_y")
                .unwrap()
                .frames
                .iter()
                .copied()
                .fold(f64::INFINITY, f64::min);
            // A neighbouring frame of the pattern is below 30 dB.
            assert!(worst > 45.0, "{name} {start}..{end}: a frame is only {worst} dB from its source");
        }
    }
}

#[tokio::test]
async fn the_same_request_makes_the_same_bytes() {
    let Some(ffmpeg) = outside::ffmpeg().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    numbered_clip(&ffmpeg, &path, "25", &["-c:v", "libx264", "-preset", "veryfast"]);
    let probed = probe(&ffmpeg, &path, ProbeOptions::default()).await.unwrap();
    let source = Source { path: &path, probe: &probed };
    for codec in [Codec::X264, Codec::SvtAv1] {
        if !ffmpeg.has_encoder(codec.encoder()) {
            outside::skipped(codec.encoder(), "install a full ffmpeg with `pip install imageio-ffmpeg`");
            continue;
        }
        let (first, second) = (dir.path().join("first.mp4"), dir.path().join("second.mp4"));
        // Side by side, so that they get in each other's way.
        let (one, other) = tokio::join!(
            encode(&ffmpeg, source, request(60, 110, codec), &first, |_| ()),
            encode(&ffmpeg, source, request(60, 110, codec), &second, |_| ()),
        );
        assert_eq!(one.unwrap().bytes, other.unwrap().bytes);
        assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap(), "{codec:?} differs");
    }
}

#[tokio::test]
async fn a_dropped_encode_leaves_neither_process_nor_file() {
    let Some(ffmpeg) = outside::ffmpeg().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    numbered_clip(&ffmpeg, &path, "25", &["-c:v", "libx264", "-preset", "veryfast"]);
    let probed = probe(&ffmpeg, &path, ProbeOptions::default()).await.unwrap();
    let out = dir.path().join("out/shot.mp4");
    std::fs::create_dir(dir.path().join("out")).unwrap();
    let (started, mut progressed) = tokio::sync::mpsc::unbounded_channel();
    let size = Size { width: 1920, height: 1080 };
    let slow = EncodeRequest { size, effort: Effort::Slow, ..request(0, 200, Codec::X264) };
    let source = Source { path: &path, probe: &probed };
    tokio::select! {
        result = encode(&ffmpeg, source, slow, &out, move |_| { let _ = started.send(()); }) => panic!("it ended: {result:?}"),
        _ = progressed.recv() => {}
    }
    assert_eq!(std::fs::read_dir(dir.path().join("out")).unwrap().count(), 0);
    // The killed child is gone as soon as the kernel has torn it down.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while process_mentions(dir.path()) {
        assert!(tokio::time::Instant::now() < deadline, "the encoder still runs");
        tokio::task::yield_now().await;
    }
}

/// Whether a live process has `dir` on its command line.
fn process_mentions(dir: &Path) -> bool {
    let needle = dir.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(needle)
        })
}

#[tokio::test]
async fn a_variable_rate_becomes_constant_on_request() {
    let Some(ffmpeg) = outside::ffmpeg().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("variable.mp4");
    let drop = "select='not(mod(n,7))+not(mod(n,5))'";
    numbered_clip(
        &ffmpeg,
        &path,
        "30",
        &["-vf", drop, "-fps_mode", "vfr", "-c:v", "libx264", "-preset", "veryfast"],
    );
    let probed = probe(&ffmpeg, &path, ProbeOptions::default()).await.unwrap();
    assert!(probed.variable_rate);
    let message = probed.require_encodable(&path).unwrap_err().to_string();
    assert!(message.contains("variable frame rate") && message.contains("--fps 30/1"), "{message}");

    let fps = Some("30/1".parse().unwrap());
    let probed = probe(&ffmpeg, &path, ProbeOptions { fps }).await.unwrap();
    probed.require_encodable(&path).unwrap();
    assert!((238..=241).contains(&probed.frames), "{}", probed.frames);
    // The same frames come whether read from the start or after a seek.
    let source = Source { path: &path, probe: &probed };
    let out = dir.path().join("shot.mp4");
    encode(&ffmpeg, source, request(150, 200, Codec::X264), &out, |_| ()).await.unwrap();
    let whole = dir.path().join("whole.mp4");
    encode(&ffmpeg, source, request(0, probed.frames, Codec::X264), &whole, |_| ()).await.unwrap();
    let whole_probe = probe(&ffmpeg, &whole, ProbeOptions::default()).await.unwrap();
    let reference = Source { path: &whole, probe: &whole_probe };
    let scores = measure(&ffmpeg, reference, Shot { start: 150, end: 200 }, &[out], &[]).await.unwrap();
    let worst =
        scores[0].scores.column("psnr_y").unwrap().frames.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(worst > 40.0, "{worst}");
}

#[tokio::test]
async fn x265_shots_of_any_quality_are_one_track() {
    let Some(ffmpeg) = outside::ffmpeg().await else { return };
    if !ffmpeg.has_encoder("libx265") {
        return outside::skipped("libx265", "install a full ffmpeg with `pip install imageio-ffmpeg`");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    numbered_clip(&ffmpeg, &path, "25", &["-c:v", "libx264", "-preset", "veryfast", "-crf", "10"]);
    let probed = probe(&ffmpeg, &path, ProbeOptions::default()).await.unwrap();
    let source = Source { path: &path, probe: &probed };
    let (mut shots, mut files) = (Vec::new(), Vec::new());
    for (start, end, crf) in [(0, 40, 18), (40, 75, 30)] {
        let request = EncodeRequest { crf, ..request(start, end, Codec::X265) };
        let (one, other) = (dir.path().join(format!("{start}.mp4")), dir.path().join("again.mp4"));
        encode(&ffmpeg, source, request, &one, |_| ()).await.unwrap();
        encode(&ffmpeg, source, request, &other, |_| ()).await.unwrap();
        assert!(
            std::fs::read(&one).unwrap() == std::fs::read(&other).unwrap(),
            "other bytes the second time"
        );
        shots.push(request.shot);
        files.push(one);
    }
    let request = PackageRequest {
        rate: probed.rate,
        shots,
        key_interval: 20,
        segment_seconds: 1.0,
        rungs: vec![Rung { name: "h265".to_owned(), size: SIZE, files }],
        audio: None,
    };
    let title = dir.path().join("title");
    let made = package(&request, &title).unwrap();
    assert!(made.rungs[0].codec.starts_with("hvc1.1.6.L"), "{}", made.rungs[0].codec);
    let whole = title.join(&made.rungs[0].file);
    let scores = measure(&ffmpeg, source, Shot { start: 0, end: 75 }, &[whole], &[]).await.unwrap();
    let frames = &scores[0].scores.column("psnr_y").unwrap().frames;
    let worst = frames.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(frames.len() == 75 && worst > 25.0, "{worst}");
}
