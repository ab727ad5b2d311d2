//! How wide a graph's steps are.

use backlot_series::Grid;

/// Most points of a line.
pub const MOST_POINTS: i64 = 1440;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Steps that divide a minute, an hour or a day without rest, so that wider steps contain whole narrower ones.
const ROUND: [i64; 38] = [
    1,
    5,
    10,
    50,
    100,
    500,
    SECOND,
    2 * SECOND,
    3 * SECOND,
    4 * SECOND,
    5 * SECOND,
    6 * SECOND,
    10 * SECOND,
    12 * SECOND,
    15 * SECOND,
    20 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    3 * MINUTE,
    4 * MINUTE,
    5 * MINUTE,
    6 * MINUTE,
    10 * MINUTE,
    12 * MINUTE,
    15 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    4 * HOUR,
    6 * HOUR,
    8 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    3 * DAY,
];

/// The next round step that is a multiple of the store's.
pub fn round_up(primary: i64, step: i64) -> i64 {
    let step = step.max(primary);
    let found = ROUND.iter().copied().find(|&round| round >= step && round % primary == 0);
    found.unwrap_or_else(|| step.saturating_add(DAY - 1) / DAY * DAY)
}

/// The points of a window from `start` to `end`, of at most `width` steps, each a multiple of the store's.
pub fn window(primary: i64, step: Option<i64>, width: i64, start: i64, end: i64) -> Grid {
    let width = width.clamp(1, MOST_POINTS);
    let least = step.map_or(primary, |step| round_up(primary, step));
    let points = end.saturating_sub(start) / least;
    let per_pixel = (points + width - 1) / width;
    // A step that was asked for is widened only where there would be too many points.
    let step = match step {
        Some(_) if points <= MOST_POINTS => least,
        _ => round_up(primary, least.saturating_mul(per_pixel.max(1))),
    };
    let floor = |time: i64| time.div_euclid(step) * step;
    let (first, last) = (floor(start), floor(end));
    Grid::new(first + step, step, usize::try_from((last - first) / step).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_contain_the_stores() {
        let rounded = [
            (MINUTE, 1),
            (MINUTE, 61_000),
            (MINUTE, 7 * MINUTE),
            (5000, 1000),
            (5000, 11_000),
            (MINUTE, 25 * HOUR),
            (MINUTE, 100 * HOUR),
        ]
        .map(|(primary, step)| round_up(primary, step));
        assert_eq!(rounded, [MINUTE, 2 * MINUTE, 10 * MINUTE, 5000, 15_000, 2 * DAY, 5 * DAY]);
    }

    #[test]
    fn a_window_ends_at_the_floor_of_its_end() {
        let grid = window(MINUTE, None, 700, 10_000, 5 * MINUTE + 10_000);
        assert_eq!(grid, Grid::new(MINUTE, MINUTE, 5));
        assert_eq!(window(MINUTE, None, 700, 0, DAY).step, 3 * MINUTE);
        assert_eq!(window(MINUTE, Some(5 * MINUTE), 10, 0, DAY).step, 5 * MINUTE);
        assert_eq!(window(MINUTE, Some(MINUTE), 700, 0, 7 * DAY).step, 15 * MINUTE);
        assert_eq!(window(MINUTE, None, 700, 5, 5).len, 0);
    }
}
