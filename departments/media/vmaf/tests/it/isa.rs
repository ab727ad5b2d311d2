//! Every instruction set gives the bits of the baseline, for all depths, layouts and odd sizes, on any number of threads.

use std::num::NonZeroUsize;
use std::sync::Arc;

use backlot_frames::{BitDepth, Format, Frame, Subsampling};
use backlot_vmaf::{Feature, Isa, Ladder, Report, Scorer, Settings};
use proptest::prelude::*;

/// A small generator, so that a failing case is three numbers.
fn noise(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    }
}

/// Frames with smooth parts, noise and saturated patches.
pub(crate) fn clip(format: Format, frames: usize, seed: u64) -> Vec<(Arc<Frame>, Arc<Frame>)> {
    let mut random = noise(seed);
    let peak = u32::from(format.depth().peak());
    let pair = |shift: usize, random: &mut dyn FnMut() -> u32| {
        let (mut reference, mut distorted) = (Frame::black(format), Frame::black(format));
        let smooth = |x: usize, y: usize| ((x * 3 + y * 2 + shift * 5) as u32 * peak / 255) % (peak + 1);
        reference.fill(|_, x, y| match (x / 16 + y / 16) % 3 {
            0 => smooth(x, y) as u16,
            1 => (random() % (peak + 1)) as u16,
            _ => {
                if (x + y + shift).is_multiple_of(2) {
                    peak as u16
                } else {
                    0
                }
            }
        });
        let coarse = peak / 16 + 1;
        let copy = reference.clone();
        distorted.fill(|plane, x, y| {
            let sample = u32::from(copy.sample(plane, x, y));
            (sample.saturating_add(random() % coarse).saturating_sub(coarse / 2)).min(peak) as u16
        });
        (Arc::new(reference), Arc::new(distorted))
    };
    (0..frames).map(|shift| pair(shift, &mut random)).collect()
}

fn report(clip: &[(Arc<Frame>, Arc<Frame>)], isa: Isa, threads: usize, features: &[&str]) -> Report {
    let features: Vec<Feature> = features.iter().map(|text| Feature::parse(text).unwrap()).collect();
    let settings = Settings { isa, threads: NonZeroUsize::new(threads).unwrap(), ..Settings::default() };
    let mut scorer = Scorer::new(&[], &features, clip[0].0.format(), settings).unwrap();
    for (reference, distorted) in clip {
        scorer.push(Arc::clone(reference), Arc::clone(distorted)).unwrap();
    }
    scorer.finish().unwrap()
}

const ALL: &[&str] = &[
    "motion",
    "motion=motion_five_frame_window=true:motion_moving_average=true",
    "adm",
    "adm=adm_enhn_gain_limit=1.0:adm_csf_mode=2",
    "adm=adm_enhn_gain_limit=1.2:adm_skip_aim=true",
    "vif",
    "vif=vif_enhn_gain_limit=1.0",
    "vif=vif_enhn_gain_limit=1.1",
    "psnr=enable_apsnr=true",
];

/// Features of larger pictures.
const LARGE: &[&str] =
    &["cambi=full_ref=true", "float_ssim=enable_lcs=true", "float_ms_ssim=enable_lcs=true"];
/// Features of floating point.
const FLOAT: &[&str] =
    &["float_vif", "float_adm", "float_motion", "float_psnr", "float_ansnr", "float_moment"];
/// Features of chroma.
const CHROMA: &[&str] = &["ciede", "speed_chroma", "psnr_hvs"];

#[test]
fn every_instruction_set_gives_the_same_bits_in_large_pictures() {
    for (width, height, layout, bits) in [
        (241, 217, Subsampling::C420, 8),
        (220, 218, Subsampling::C422, 10),
        (217, 216, Subsampling::C444, 12),
    ] {
        let format = Format::new(width, height, layout, BitDepth::new(bits).unwrap()).unwrap();
        let clip = clip(format, 2, 11);
        let features = [LARGE, CHROMA].concat();
        let sets = Isa::available();
        let expected = report(&clip, sets[0], 1, &features);
        assert!(
            expected
                .columns
                .iter()
                .all(|column| column.frames.iter().all(|value| value.is_some_and(f64::is_finite)))
        );
        for &isa in &sets[1..] {
            assert_eq!(report(&clip, isa, 2, &features), expected, "{} at {format}", isa.name());
        }
    }
}

/// SSIM of a picture as it is and MS-SSIM's first scale are measured once where both are asked for.
#[test]
fn ssim_beside_ms_ssim_is_what_it_is_alone() {
    let format = Format::new(241, 217, Subsampling::C420, BitDepth::new(8).unwrap()).unwrap();
    let clip = clip(format, 2, 13);
    let (single, multiple) = ("float_ssim=enable_lcs=true", "float_ms_ssim=enable_lcs=true");
    let alone = [single, multiple].map(|feature| report(&clip, Isa::detect(), 1, &[feature]).columns);
    for order in [[single, multiple], [multiple, single]] {
        let both = report(&clip, Isa::detect(), 1, &order).columns;
        for column in alone.iter().flatten() {
            assert!(both.contains(column), "{} of {order:?}", column.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_instruction_set_gives_the_same_bits(
        width in 17_usize..300, height in 17_usize..90, bits in 0_usize..4, layout in 0_usize..4, seed in any::<u64>(),
    ) {
        let layout = [Subsampling::Mono, Subsampling::C420, Subsampling::C422, Subsampling::C444][layout];
        let depth = BitDepth::new([8, 10, 12, 16][bits]).unwrap();
        let format = Format::new(width, height, layout, depth).unwrap();
        let clip = clip(format, 3, seed);
        let sets = Isa::available();
        let expected = report(&clip, sets[0], 1, ALL);
        for &isa in &sets[1..] {
            prop_assert_eq!(&report(&clip, isa, 2, ALL), &expected, "{} at {}", isa.name(), format);
        }
    }
}

#[test]
fn a_ladder_gives_what_its_renditions_give_alone() {
    let format = Format::new(250, 222, Subsampling::C420, BitDepth::EIGHT).unwrap();
    let first = clip(format, 3, 5);
    let others: Vec<_> = [6, 7].map(|seed| clip(format, 3, seed)).into_iter().collect();
    let names = [ALL, LARGE, CHROMA, FLOAT].concat();
    let features: Vec<Feature> = names.iter().map(|text| Feature::parse(text).unwrap()).collect();
    let settings = Settings { threads: NonZeroUsize::new(2).unwrap(), ..Settings::default() };
    let count = NonZeroUsize::new(3).unwrap();
    let mut ladder = Ladder::new(&[], &features, format, settings, count).unwrap();
    for frame in 0..3 {
        let mut distorted = vec![Arc::clone(&first[frame].1)];
        distorted.extend(others.iter().map(|clip| Arc::clone(&clip[frame].1)));
        ladder.push(Arc::clone(&first[frame].0), distorted).unwrap();
    }
    let error = ladder.push(Arc::clone(&first[0].0), Vec::new()).unwrap_err().to_string();
    assert_eq!(error, "a frame came with 0 renditions where 3 are scored; push one frame of each");
    let reports = ladder.finish().unwrap();
    for (rendition, together) in reports.iter().enumerate() {
        let pairs: Vec<_> = (0..3)
            .map(|frame| {
                let distorted =
                    if rendition == 0 { &first[frame].1 } else { &others[rendition - 1][frame].1 };
                (Arc::clone(&first[frame].0), Arc::clone(distorted))
            })
            .collect();
        assert_eq!(&report(&pairs, Isa::detect(), 1, &names), together);
    }
}

/// Every size is scored or refused in a sentence.
#[test]
fn no_size_is_too_small_to_say_so() {
    let names = [ALL, LARGE, CHROMA, FLOAT].concat();
    for side in (1..=24).chain([31, 32, 33, 40, 48]) {
        for (width, height) in [(side, side), (side, 50), (50, side)] {
            let format = Format::new(width, height, Subsampling::C420, BitDepth::EIGHT).unwrap();
            let pairs = clip(format, 2, 3);
            for name in &names {
                let features = [Feature::parse(name).unwrap()];
                match Scorer::new(&[], &features, format, Settings::default()) {
                    Err(error) => assert!(error.to_string().contains("need"), "{name} at {format}: {error}"),
                    Ok(mut scorer) => {
                        for (reference, distorted) in &pairs {
                            scorer.push(Arc::clone(reference), Arc::clone(distorted)).unwrap();
                        }
                        let report = scorer.finish().unwrap();
                        assert_eq!(report.frames, 2, "{name} at {format}");
                    }
                }
            }
        }
    }
}

/// Flat pictures have no detail, no chroma and no banding; nothing divides by it.
#[test]
fn flat_and_saturated_pictures_are_scored() {
    let names = [ALL, LARGE, CHROMA, FLOAT].concat();
    for (bits, shades) in [(8, (0, 255)), (10, (1023, 1023)), (16, (65_535, 0))] {
        let format = Format::new(240, 240, Subsampling::C420, BitDepth::new(bits).unwrap()).unwrap();
        let flat = |shade: u16| {
            let mut frame = Frame::black(format);
            frame.fill(|_, _, _| shade);
            Arc::new(frame)
        };
        let pairs = vec![(flat(shades.0), flat(shades.1)); 2];
        // PSNR-HVS takes at most 12 bits.
        let names: Vec<&str> =
            names.iter().copied().filter(|name| bits <= 12 || *name != "psnr_hvs").collect();
        let report = report(&pairs, Isa::detect(), 1, &names);
        let speed = report.pooled("speed_chroma_uv").unwrap();
        assert_eq!(speed.mean, 0.0, "{bits} bits");
        let vif = report.pooled("integer_vif_scale0").unwrap();
        assert!(vif.mean.is_finite(), "{bits} bits");
    }
}

#[test]
fn equal_pictures_lose_nothing() {
    let format = Format::new(96, 64, Subsampling::C420, BitDepth::EIGHT).unwrap();
    let same: Vec<_> =
        clip(format, 2, 7).into_iter().map(|(reference, _)| (Arc::clone(&reference), reference)).collect();
    let report = report(&same, Isa::detect(), 1, ALL);
    for name in ["integer_vif_scale0", "integer_vif_scale3", "integer_adm2"] {
        assert!((report.pooled(name).unwrap().mean - 1.0).abs() < 1e-2, "{name}");
    }
    assert_eq!(report.pooled("integer_aim").unwrap().max, 0.0);
    assert_eq!(report.pooled("psnr_y").unwrap().mean, 60.0);
}

#[test]
fn small_pictures_are_refused() {
    let format = Format::new(16, 64, Subsampling::C420, BitDepth::EIGHT).unwrap();
    let features = [Feature::parse("vif").unwrap()];
    let error = Scorer::new(&[], &features, format, Settings::default()).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        error,
        "vif needs pictures of at least 17x17, but this one is 16x64 4:2:0 8-bit; use a larger picture"
    );
}
