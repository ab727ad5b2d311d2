//! The whole chain on a real clip: probe, shots, trials, measuring, hull, ladder, stitching, packaging; and ffprobe's
//! word on the result.

use std::{path::Path, process::Command};

use backlot_frames::ShotOptions;
use backlot_media::{
    audio::encode_audio,
    encode::{Codec, Effort, EncodeRequest, encode},
    ffmpeg::Ffmpeg,
    measure::measure,
    package::{Package, PackageRequest, Rung, package},
    plan::{self, Candidate, LadderOptions, ShotScore, Size, Trial},
    probe::{Probe, ProbeOptions, probe},
    shots::{Shots, detect_shots},
    source::Source,
    thumbnail::thumbnail,
};

use crate::outside;

/// Frames between key frames in these tests: two seconds of the clips.
pub(crate) const KEY_INTERVAL: u32 = 50;

/// What a run of the chain made.
pub(crate) struct Made {
    pub(crate) probe: Probe,
    pub(crate) package: Package,
    pub(crate) sizes: Vec<Size>,
}

/// A clip with cuts, camera motion and sound: film without sound joined with an animation that has some.
pub(crate) fn short_title(ffmpeg: &Ffmpeg, out: &Path) -> Option<()> {
    let (film, animation) = (outside::clip("bikes.mp4")?, outside::clip("bigbuckbunny.mp4")?);
    let graph = "[0:v]trim=end_frame=76,scale=480:270,setsar=1,settb=1/25,setpts=N[a];\
                 [1:v]trim=end_frame=34,scale=480:270,setsar=1,settb=1/25,setpts=N[b];\
                 [a][b]concat=n=2,settb=1/25,setpts=N[v]";
    let (film, animation) = (film.display().to_string(), animation.display().to_string());
    let inputs = [
        "-i",
        &film,
        "-i",
        &animation,
        "-f",
        "lavfi",
        "-i",
        "aevalsrc=gt(t\\,2)*0.5*sin(2*PI*440*t):s=44100:d=4.4",
    ];
    let coding =
        ["-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-c:a", "aac", "-ac", "2", "-shortest"];
    let outputs = ["-lavfi", graph, "-map", "[v]", "-map", "2:a"];
    outside::run(ffmpeg, &[&inputs[..], &outputs, &coding, &[out.to_str()?]].concat());
    Some(())
}

/// Runs the chain on `clip` with two sizes and three quality settings per codec, all in `work`.
pub(crate) async fn run_chain(ffmpeg: &Ffmpeg, clip: &Path, work: &Path, codec: Codec) -> Made {
    let probed = probe(ffmpeg, clip, ProbeOptions::default()).await.unwrap();
    probed.require_encodable(clip).unwrap();
    let source = Source { path: clip, probe: &probed };
    let Shots { shots, .. } = detect_shots(ffmpeg, source, ShotOptions::default(), |_| ()).await.unwrap();

    let crfs: [u32; 3] = if codec == Codec::X264 { [20, 28, 36] } else { [30, 44, 58] };
    let mut sizes = plan::trial_sizes(probed.size);
    sizes.drain(..sizes.len().saturating_sub(2));
    let settings: Vec<(Size, u32)> = sizes.iter().flat_map(|&size| crfs.map(|crf| (size, crf))).collect();
    let mut scores = vec![Vec::new(); settings.len()];
    let mut files = vec![Vec::new(); settings.len()];
    for (number, &shot) in shots.iter().enumerate() {
        let mut encoded = Vec::new();
        for &(size, crf) in &settings {
            let request =
                EncodeRequest { shot, size, codec, crf, key_interval: KEY_INTERVAL, effort: Effort::Fast };
            let out = work.join(format!("{number}-{size}-{crf}.mp4"));
            encoded.push(encode(ffmpeg, source, request, &out, |_| ()).await.unwrap());
        }
        let paths: Vec<_> = encoded.iter().map(|encoded| encoded.path.clone()).collect();
        let measured = measure(ffmpeg, source, shot, &paths, &[]).await.unwrap();
        for (index, (encoded, measured)) in encoded.iter().zip(&measured).enumerate() {
            let psnr = measured.scores.clip("psnr_avg").unwrap();
            scores[index].push(ShotScore { frames: encoded.frames, bytes: encoded.bytes, psnr });
            files[index].push(encoded.path.clone());
        }
        let picture = work.join(format!("{number}.jpg"));
        thumbnail(ffmpeg, source, shot, Size { width: 160, height: 160 }, &picture).await.unwrap();
        assert_eq!(std::fs::read(&picture).unwrap()[..2], [0xff, 0xd8]);
    }
    let trials: Vec<Trial> = settings
        .iter()
        .zip(&scores)
        .map(|(&(size, crf), scores)| {
            let point = plan::title_point(scores, probed.rate.per_second()).unwrap();
            println!("{codec:?} {size:>9} crf {crf}: {:>8.0} bit/s {:.2} dB", point.rate, point.quality);
            Trial { size, crf, point }
        })
        .collect();
    let candidates: Vec<Candidate> = trials.iter().map(|&trial| trial.into()).collect();
    let ladder = plan::select_ladder(&candidates, &LadderOptions::default()).unwrap();
    assert!(!ladder.is_empty());
    let rungs: Vec<Rung> = ladder
        .iter()
        .map(|&index| Rung {
            name: format!("{}p-{}", trials[index].size.height, trials[index].crf),
            size: trials[index].size,
            files: files[index].clone(),
        })
        .collect();
    let audio = encode_audio(ffmpeg, source, &work.join("audio.mp4")).await.unwrap();
    let sizes = rungs.iter().map(|rung| rung.size).collect();
    let request = PackageRequest {
        rate: probed.rate,
        shots,
        key_interval: KEY_INTERVAL,
        segment_seconds: 1.0,
        rungs,
        audio: audio.map(|audio| audio.path),
    };
    let package = package(&request, &work.join("title")).unwrap();
    Made { probe: probed, package, sizes }
}

fn ffprobe(file: &Path, stream: &str, entries: &str) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-select_streams",
            stream,
            "-show_entries",
            entries,
            "-of",
            "csv=p=0",
        ])
        .arg(file)
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .lines()
        .next()
        .unwrap_or("")
        .split(',')
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn ffprobe_agrees_on_every_rung() {
    let Some(ffmpeg) = outside::ffmpeg().await else { return };
    let mend = "install it with `apt-get install ffmpeg`";
    if outside::program(&["ffprobe"], mend).is_none() {
        return;
    }
    for codec in [Codec::X264, Codec::SvtAv1] {
        if !ffmpeg.has_encoder(codec.encoder()) {
            outside::skipped(codec.encoder(), "install a full ffmpeg with `pip install imageio-ffmpeg`");
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let clip = dir.path().join("clip.mp4");
        if short_title(&ffmpeg, &clip).is_none() {
            return;
        }
        let made = run_chain(&ffmpeg, &clip, dir.path(), codec).await;
        assert_eq!((made.probe.frames, made.package.frames), (110, 110));
        let title = dir.path().join("title");
        for (rung, size) in made.package.rungs.iter().zip(&made.sizes) {
            for file in [title.join(&rung.file), title.join(&rung.playlist)] {
                let stream = ffprobe(&file, "v:0", "stream=width,height,nb_read_frames");
                let name = file.display();
                assert_eq!(stream[..2], [size.width.to_string(), size.height.to_string()], "{name}");
                assert_eq!(stream[2], "110", "{name}");
                // A file's own duration counts the audio encoder's delay; a playlist has no stream durations.
                let whose = if file.ends_with("media.m3u8") { "format=duration" } else { "stream=duration" };
                let duration: f64 = ffprobe(&file, "v:0", whose)[0].parse().unwrap();
                assert!((duration - 4.4).abs() < 1e-6, "{name}: {duration}");
            }
            let times = ffprobe_times(&title.join(&rung.file));
            let expected: Vec<String> =
                (0..110).map(|frame| format!("{:.3}", f64::from(frame) / 25.0)).collect();
            assert_eq!(times, expected);
            let file = title.join(&rung.file);
            // The declared length counts the encoder's delay of 1024 samples.
            let declared: f64 = ffprobe(&file, "a:0", "stream=duration")[0].parse().unwrap();
            assert!((declared - 1024.0 / 48_000.0 - 4.4).abs() < 1e-6, "{declared}");
            let samples = decoded_samples(&ffmpeg, &file);
            assert_eq!(samples.len(), 48_000 * 44 / 10);
            // The tone that begins at two seconds does so to within five milliseconds.
            let begins = samples.iter().position(|sample| sample.abs() > 2000).unwrap();
            assert!(begins.abs_diff(96_000) < 240, "{begins}");
        }
        let master = std::fs::read_to_string(title.join("master.m3u8")).unwrap();
        let codec_name = if codec == Codec::X264 { "avc1.64" } else { "av01.0." };
        assert!(
            master.contains(codec_name)
                && master.contains("mp4a.40.2")
                && master.contains("FRAME-RATE=25.000"),
            "{master}"
        );
    }
}

/// When each frame is shown, in seconds, in order of showing.
fn ffprobe_times(file: &Path) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| format!("{:.3}", line.trim_end_matches(',').parse::<f64>().unwrap())).collect()
}

/// The left channel of a file's sound, by its timestamps: FFmpeg 5 leaves cutting the encoder's delay to its caller.
fn decoded_samples(ffmpeg: &Ffmpeg, file: &Path) -> Vec<i16> {
    let output = outside::run(
        ffmpeg,
        &[
            "-copyts",
            "-i",
            file.to_str().unwrap(),
            "-map",
            "0:a",
            "-af",
            "atrim=start=0:end=4.4",
            "-f",
            "s16le",
            "-",
        ],
    );
    output.stdout.chunks_exact(4).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}
