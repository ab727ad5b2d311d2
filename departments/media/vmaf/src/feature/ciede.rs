//! CIEDE2000: the mean colour difference, as `45 - 20 log10(mean ΔE00)` (Sharma, Wu and Dalal 2005; weights 0.65, 1 and 4
//! of lightness, chroma and hue).
//!
//! Samples are BT.709 of limited range; chroma is repeated to the size of luma. Colours of a row are converted to CIELAB
//! first, reference and distorted; where they are the same sample for sample there is no difference to compute.

use backlot_frames::{Frame, Pixels, Subsampling};

use super::psnr::plane_size;

const KAPPA: f64 = 24_389.0 / 27.0;
const EPSILON: f64 = 216.0 / 24_389.0;
const LIGHTNESS_WEIGHT: f64 = 0.65;
const HUE_WEIGHT: f64 = 4.0;

type Lab = [f32; 3];

/// The score of a frame.
pub(crate) fn score(reference: &Frame, distorted: &Frame) -> f64 {
    let format = reference.format();
    let (width, height) = (format.width(), format.height());
    let mut rows = [vec![[0_u16; 3]; width], vec![[0_u16; 3]; width]];
    let scale = f64::from(1_u32 << (format.depth().bits() - 8));
    let mut sum = 0.0;
    let mut last: Option<([[u16; 3]; 2], f64)> = None;
    for y in 0..height {
        take_row(&mut rows[0], reference, y);
        take_row(&mut rows[1], distorted, y);
        let [first, second] = &rows;
        for (&a, &b) in first.iter().zip(second) {
            if a == b {
                continue;
            }
            // Flat areas repeat their colours.
            let difference = match last {
                Some((pair, difference)) if pair == [a, b] => difference,
                _ => difference(lab(a, scale), lab(b, scale)),
            };
            last = Some(([a, b], difference));
            sum += difference;
        }
    }
    45.0 - 20.0 * (sum / (width * height) as f64).log10()
}

/// Samples of row `y`, with the chroma that libvmaf gives it: of 4:2:2, every other column is halved along with rows of
/// 4:2:0, because it takes one direction's subsampling for the other's.
fn take_row(row: &mut [[u16; 3]], frame: &Frame, y: usize) {
    let format = frame.format();
    let (across, down) = match format.subsampling() {
        Subsampling::C420 => (2, 2),
        Subsampling::C422 => (1, 2),
        Subsampling::C444 | Subsampling::Mono => (1, 1),
    };
    for plane in 0..3 {
        let (across, down) = if plane == 0 { (1, 1) } else { (across, down) };
        let from = (y / down).min(plane_size(format, plane).1.max(1) - 1 + usize::from(plane > 0));
        match frame.pixels() {
            Pixels::Eight(planes) => {
                copy(row, plane, planes[plane].row(from.min(planes[plane].height() - 1)), across);
            }
            Pixels::Deep(planes) => {
                copy(row, plane, planes[plane].row(from.min(planes[plane].height() - 1)), across);
            }
        }
    }
}

fn copy<S: Copy + Into<u32>>(row: &mut [[u16; 3]], plane: usize, samples: &[S], across: usize) {
    let last = samples.len() - 1;
    for (x, pixel) in row.iter_mut().enumerate() {
        pixel[plane] = samples[(x / across).min(last)].into() as u16;
    }
}

/// CIELAB of a sample.
fn lab([y, u, v]: [u16; 3], scale: f64) -> Lab {
    let y = (f64::from(y) - 16.0 * scale) * (1.0 / (219.0 * scale));
    let u = (f64::from(u) - 128.0 * scale) * (1.0 / (224.0 * scale));
    let v = (f64::from(v) - 128.0 * scale) * (1.0 / (224.0 * scale));
    let [r, g, b] = [y + 1.28033 * v, y - 0.21482 * u - 0.38059 * v, y + 2.12798 * u].map(linear);
    let x = r * 0.412_456_439_089_692_1 + g * 0.357_576_077_643_909 + b * 0.180_437_483_266_398_94;
    let y = r * 0.212_672_851_405_622_48 + g * 0.715_152_155_287_818 + b * 0.072_174_993_306_559_58;
    let z = r * 0.019_333_895_582_329_317 + g * 0.119_192_025_881_303 + b * 0.950_304_078_536_367_7;
    let [x, y, z] = [x * (1.0 / 0.95047), y, z * (1.0 / 1.08883)].map(|value| f64::from(root(value) as f32));
    [(116.0 * y - 16.0) as f32, (500.0 * (x - y)) as f32, (200.0 * (y - z)) as f32]
}

fn linear(value: f64) -> f64 {
    if value > 10.0 / 255.0 { ((value + 0.055) * (1.0 / 1.055)).powf(2.4) } else { value * (1.0 / 12.92) }
}

fn root(value: f64) -> f64 {
    if value > EPSILON { value.cbrt() } else { (KAPPA * value + 16.0) * (1.0 / 116.0) }
}

/// ΔE00 of two colours.
fn difference(first: Lab, second: Lab) -> f64 {
    use std::f64::consts::{PI, TAU};
    let [l1, a1, b1] = first.map(f64::from);
    let [l2, a2, b2] = second.map(f64::from);
    let mean_chroma = f64::midpoint(a1.hypot(b1), a2.hypot(b2));
    let seventh = |chroma: f64| {
        let power = chroma.powi(7);
        (power / (power + 25.0_f64.powi(7))).sqrt()
    };
    let stretch = 1.0 + 0.5 * (1.0 - seventh(mean_chroma));
    let (a1, a2) = (a1 * stretch, a2 * stretch);
    let (chroma1, chroma2) = (a1.hypot(b1), a2.hypot(b2));
    let chroma = f64::midpoint(chroma1, chroma2);
    let hue = |b: f64, a: f64| {
        let angle = if a == 0.0 && b == 0.0 { 0.0 } else { b.atan2(a) };
        if angle < 0.0 { angle + TAU } else { angle }
    };
    let (hue1, hue2) = (hue(b1, a1), hue(b2, a2));
    let turn = if chroma1 == 0.0 || chroma2 == 0.0 {
        0.0
    } else if (hue1 - hue2).abs() <= PI {
        hue2 - hue1
    } else if hue2 <= hue1 {
        hue2 - hue1 + TAU
    } else {
        hue2 - hue1 - TAU
    };
    let hue = if (hue1 - hue2).abs() > PI { (hue1 + hue2 + TAU) / 2.0 } else { f64::midpoint(hue1, hue2) };
    let away = (f64::midpoint(l1, l2) - 50.0).powi(2);
    let lightness_scale = 1.0 + 0.015 * away / (20.0 + away).sqrt();
    let chroma_scale = 1.0 + 0.045 * chroma;
    let waves =
        1.0 - 0.17 * (hue - PI / 6.0).cos() + 0.24 * (2.0 * hue).cos() + 0.32 * (3.0 * hue + PI / 30.0).cos()
            - 0.20 * (4.0 * hue - 7.0 * PI / 20.0).cos();
    let hue_scale = 1.0 + 0.015 * chroma * waves;
    let degrees = (hue.to_degrees() - 275.0) / 25.0;
    let rotation = -2.0 * seventh(chroma) * (60.0 * (-degrees * degrees).exp()).to_radians().sin();
    let lightness = (l2 - l1) / (LIGHTNESS_WEIGHT * lightness_scale);
    let colour = (chroma2 - chroma1) / chroma_scale;
    let tint = 2.0 * (chroma1 * chroma2).sqrt() * (turn / 2.0).sin() / (HUE_WEIGHT * hue_scale);
    (lightness * lightness + colour * colour + tint * tint + rotation * colour * tint).max(0.0).sqrt()
}
