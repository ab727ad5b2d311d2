//! Prints what each kernel costs per frame on this machine: `cargo run --release --example speed`.

use std::time::{Duration, Instant};

use backlot_frames::{
    BitDepth, Error, Format, Frame, FrameMetric, Psnr, ShotDetector, ShotOptions, Ssim, Subsampling,
};

const RUNS: u32 = 30;

fn main() -> Result<(), Error> {
    println!("{:<28} {:>10} {:>10} {:>10}", "layout (ms per frame)", "psnr", "ssim", "shots");
    for (width, height, depth) in
        [(1280, 720, BitDepth::EIGHT), (1920, 1080, BitDepth::EIGHT), (1920, 1080, BitDepth::TEN)]
    {
        let format = Format::new(width, height, Subsampling::C420, depth)?;
        let (mut a, mut b) = (Frame::black(format), Frame::black(format));
        a.fill(|plane, x, y| ((x * 7 + y * 13 + plane * 50 + x * y % 31) % 256) as u16);
        b.fill(|plane, x, y| ((x * 7 + y * 13 + plane * 50 + x * y % 29) % 256) as u16);
        let (mut psnr, mut ssim) = (Psnr::new(format), Ssim::new(format)?);
        let mut shots = ShotDetector::new(ShotOptions::default());
        let psnr_time = fastest(|| psnr.push(&a, &b))?;
        let ssim_time = fastest(|| ssim.push(&a, &b))?;
        let shots_time = fastest(|| shots.push(&a).map(drop))?;
        println!(
            "{:<28} {:>10} {:>10} {:>10}",
            format.to_string(),
            ms(psnr_time),
            ms(ssim_time),
            ms(shots_time)
        );
    }
    Ok(())
}

fn fastest(mut work: impl FnMut() -> Result<(), Error>) -> Result<Duration, Error> {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}
