//! A clip to a packaged ladder, one step after another: `cargo run --release --example ladder -- CLIP OUTPUT_DIR [FPS]`.
//!
//! Prints the trials, the chosen rungs and what they save against the fixed ladder.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Instant,
};

use backlot_frames::ShotOptions;
use backlot_media::{
    audio::encode_audio,
    encode::{Codec, Effort, EncodeRequest, encode},
    ffmpeg::Ffmpeg,
    measure::measure,
    package::{PackageRequest, Rung, package},
    plan::{self, Candidate, LadderOptions, RateQuality, ShotScore, Size, Trial},
    probe::{ProbeOptions, probe},
    shots::detect_shots,
    source::Source,
};

/// Seconds between key frames, and of the shortest segment.
const KEY_SECONDS: f64 = 2.0;
const SETTINGS: [(Codec, &[u32]); 2] =
    [(Codec::X264, &[18, 23, 28, 33, 38, 43]), (Codec::SvtAv1, &[30, 45, 60])];

/// The trials of one codec, with the files of each.
struct Trials {
    trials: Vec<Trial>,
    files: Vec<Vec<PathBuf>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(clip), Some(output)) = (args.next().map(PathBuf::from), args.next().map(PathBuf::from)) else {
        return Err("usage: ladder CLIP OUTPUT_DIR [FPS]".into());
    };
    let fps = args.next().map(|fps| fps.parse()).transpose()?;
    std::fs::create_dir_all(&output)?;
    let ffmpeg = Ffmpeg::find().await?;
    let started = Instant::now();
    let probed = probe(&ffmpeg, &clip, ProbeOptions { fps }).await?;
    probed.require_encodable(&clip)?;
    let source = Source { path: &clip, probe: &probed };
    println!(
        "ffmpeg {}; {} {} frames at {} per second",
        ffmpeg.version(),
        probed.size,
        probed.frames,
        probed.rate
    );
    let shots = detect_shots(&ffmpeg, source, ShotOptions::default(), |_| ()).await?;
    println!(
        "{} shots: {:?}",
        shots.shots.len(),
        shots.shots.iter().map(|shot| shot.start).collect::<Vec<_>>()
    );
    let audio = encode_audio(&ffmpeg, source, &output.join("audio.mp4")).await?;
    let key_interval = (probed.rate.per_second() * KEY_SECONDS).round() as u32;

    for (codec, crfs) in SETTINGS {
        if !ffmpeg.has_encoder(codec.encoder()) {
            println!("{}: this ffmpeg does not have it", codec.encoder());
            continue;
        }
        let Trials { trials, files } =
            try_all(&ffmpeg, source, &shots.shots, codec, crfs, key_interval, &output).await?;
        let candidates: Vec<Candidate> = trials.iter().map(|&trial| trial.into()).collect();
        let ladder = plan::select_ladder(&candidates, &LadderOptions::default())?;
        println!("{}: {} trials, rungs chosen (*):", codec.encoder(), trials.len());
        for (index, Trial { size, crf, point }) in trials.iter().enumerate() {
            let mark = if ladder.contains(&index) { '*' } else { ' ' };
            println!(
                "  {mark} {:>9} crf {crf:>2} {:>9.0} bit/s {:>6.2} dB",
                size.to_string(),
                point.rate,
                point.quality
            );
        }
        let points: Vec<RateQuality> = trials.iter().map(|trial| trial.point).collect();
        let hull: Vec<RateQuality> =
            plan::upper_hull(&points)?.into_iter().map(|index| points[index]).collect();
        let fixed: Vec<RateQuality> = plan::measured_on_fixed_ladder(probed.size, &trials)
            .into_iter()
            .map(|(_, point)| point)
            .collect();
        for rung in plan::saving(&fixed, &hull)?.rungs {
            let (rate, quality) = (rung.fixed.rate, rung.fixed.quality);
            println!(
                "  fixed rung {rate:>9.0} bit/s {quality:.2} dB: {:+.1} % bits",
                rung.difference * 100.0
            );
        }
        let rungs = ladder.iter().map(|&index| Rung {
            name: format!("{}p-{}", trials[index].size.height, trials[index].crf),
            size: trials[index].size,
            files: files[index].clone(),
        });
        let request = PackageRequest {
            rate: probed.rate,
            shots: shots.shots.clone(),
            key_interval,
            segment_seconds: KEY_SECONDS,
            rungs: rungs.collect(),
            audio: audio.as_ref().map(|audio| audio.path.clone()),
        };
        let directory = output.join(codec.encoder());
        let packaged = package(&request, &directory)?;
        println!("  {} ({} segments)", directory.join(packaged.master).display(), packaged.segments);
    }
    println!("{:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

async fn try_all(
    ffmpeg: &Ffmpeg,
    source: Source<'_>,
    shots: &[backlot_frames::Shot],
    codec: Codec,
    crfs: &[u32],
    key_interval: u32,
    output: &Path,
) -> Result<Trials, Box<dyn Error>> {
    let mut sizes = plan::trial_sizes(source.probe.size);
    sizes.drain(..sizes.len().saturating_sub(3));
    let settings: Vec<(Size, u32)> =
        sizes.iter().flat_map(|&size| crfs.iter().map(move |&crf| (size, crf))).collect();
    let mut scores = vec![Vec::new(); settings.len()];
    let mut files = vec![Vec::new(); settings.len()];
    for (number, &shot) in shots.iter().enumerate() {
        for (index, &(size, crf)) in settings.iter().enumerate() {
            let request = EncodeRequest { shot, size, codec, crf, key_interval, effort: Effort::Fast };
            let file = output.join(format!("{}-{number}-{size}-{crf}.mp4", codec.encoder()));
            let encoded = encode(ffmpeg, source, request, &file, |_| ()).await?;
            scores[index].push(ShotScore { frames: encoded.frames, bytes: encoded.bytes, psnr: 0.0 });
            files[index].push(encoded.path);
        }
        let of_shot: Vec<PathBuf> = files.iter().map(|files| files[number].clone()).collect();
        for (index, measured) in measure(ffmpeg, source, shot, &of_shot, &[]).await?.into_iter().enumerate() {
            scores[index][number].psnr = measured.scores.clip("psnr_avg").unwrap_or(0.0);
        }
    }
    let per_second = source.probe.rate.per_second();
    let trials = settings.iter().zip(&scores).filter_map(|(&(size, crf), scores)| {
        Some(Trial { size, crf, point: plan::title_point(scores, per_second)? })
    });
    Ok(Trials { trials: trials.collect(), files })
}
