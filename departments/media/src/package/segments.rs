//! Where a title is cut into segments.

use std::ops::Range;

use backlot_frames::Shot;

/// Frames of each segment. A segment begins at a key frame (the start of a shot, or a multiple of `key_interval` from
/// it) and ends at the first one that leaves it at least `shortest` frames long; the last may be shorter.
///
/// Key frames stand at the same frames in every rung, so the segments of all rungs are aligned.
pub(super) fn segments(shots: &[Shot], key_interval: u32, shortest: u64) -> Vec<Range<u64>> {
    let key_frames =
        shots.iter().flat_map(|shot| (shot.start..shot.end).step_by(key_interval.max(1) as usize));
    let mut segments: Vec<Range<u64>> = Vec::new();
    for key_frame in key_frames {
        match segments.last_mut() {
            Some(last) if key_frame - last.start < shortest => {}
            Some(last) => {
                last.end = key_frame;
                segments.push(key_frame..key_frame);
            }
            None => segments.push(key_frame..key_frame),
        }
    }
    if let (Some(last), Some(shot)) = (segments.last_mut(), shots.last()) {
        last.end = shot.end;
    }
    segments
}

/// The highest bit rate over any run of segments that lasts 0.5 to 1.5 target durations, as HLS defines peak bit rate
/// (RFC 8216, section 4.3.4.2); over the whole when no run does. `segments` are (bytes, seconds).
pub(super) fn peak_rate(segments: &[(u64, f64)], target: f64) -> f64 {
    let mut peak: Option<f64> = None;
    for start in 0..segments.len() {
        let (mut bytes, mut seconds) = (0, 0.0);
        for (segment_bytes, segment_seconds) in &segments[start..] {
            bytes += segment_bytes;
            seconds += segment_seconds;
            if seconds > 1.5 * target {
                break;
            }
            if seconds >= 0.5 * target {
                peak = Some(peak.unwrap_or(0.0).max(8.0 * bytes as f64 / seconds));
            }
        }
    }
    peak.unwrap_or_else(|| mean_rate(segments))
}

/// Bits per second over all segments.
pub(super) fn mean_rate(segments: &[(u64, f64)]) -> f64 {
    let bytes: u64 = segments.iter().map(|segment| segment.0).sum();
    let seconds: f64 = segments.iter().map(|segment| segment.1).sum();
    8.0 * bytes as f64 / seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_begin_at_key_frames() {
        let shots = [Shot { start: 0, end: 30 }, Shot { start: 30, end: 76 }, Shot { start: 76, end: 250 }];
        assert_eq!(segments(&shots, 50, 50), [0..76, 76..126, 126..176, 176..226, 226..250]);
        assert_eq!(segments(&shots, 50, 1), [0..30, 30..76, 76..126, 126..176, 176..226, 226..250]);
        assert_eq!(segments(&shots, 1000, 1000).as_slice(), std::slice::from_ref(&(0..250)));
        assert!(segments(&[], 50, 50).is_empty());
    }

    #[test]
    fn the_peak_is_over_runs_near_the_target() {
        let calm = (1000, 1.0);
        assert_eq!(peak_rate(&[calm, (4000, 1.0), calm], 1.0), 32_000.0);
        // A burst far shorter than the target counts only together with its neighbours.
        assert_eq!(peak_rate(&[calm, (1000, 0.1), calm], 1.0), 8.0 * 2000.0 / 1.1);
        assert_eq!(peak_rate(&[(1000, 0.1)], 1.0), 80_000.0);
    }
}
