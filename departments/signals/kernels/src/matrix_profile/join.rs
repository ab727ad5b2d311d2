//! Every window with every other: the diagonals, side by side and on threads.

use std::num::NonZeroUsize;

use super::prepared::{Kind, Prepared, WIDTH};
use super::{Profile, check, usual_exclusion};
use crate::Error;
use crate::isa::{Isa, kernel};

/// Rows after which covariances are computed anew from the points, so that rounding adds up over no more.
const RENEWED: usize = 4096;

/// Below every correlation: nothing was found yet.
const UNKNOWN: f64 = -2.0;

/// The greatest correlation of each window so far, and with which. Only a greater one, or an equal one with a smaller place, replaces it.
#[derive(Clone, Debug)]
pub(super) struct Best {
    r: Vec<f64>,
    at: Vec<u32>,
}

impl Best {
    pub(super) fn new(windows: usize) -> Self {
        Self { r: vec![UNKNOWN; windows], at: vec![u32::MAX; windows] }
    }

    pub(super) fn push(&mut self) {
        self.r.push(UNKNOWN);
        self.at.push(u32::MAX);
    }

    pub(super) fn get(&self, window: usize) -> Option<(f64, usize)> {
        (self.at[window] != u32::MAX).then(|| (self.r[window], self.at[window] as usize))
    }

    pub(super) fn offer(&mut self, window: usize, r: f64, at: usize) {
        offer(&mut self.r[window], &mut self.at[window], r, at as u32);
    }

    fn merge(&mut self, other: &Self) {
        for (window, (&r, &at)) in other.r.iter().zip(&other.at).enumerate() {
            offer(&mut self.r[window], &mut self.at[window], r, at);
        }
    }
}

fn offer(best_r: &mut f64, best_at: &mut u32, r: f64, at: u32) {
    if r > *best_r || (r == *best_r && at < *best_at) {
        (*best_r, *best_at) = (r, at);
    }
}

/// One side of a stretch of [`WIDTH`] diagonals: the rows, or the columns, of which there are [`WIDTH`] − 1 more.
struct Side<'a> {
    /// Where the first window begins.
    at: usize,
    f: &'a [f64],
    g: &'a [f64],
    v: &'a [f64],
    best_r: &'a mut [f64],
    best_at: &'a mut [u32],
}

impl<'a> Side<'a> {
    fn new(prepared: &'a Prepared, best: &'a mut Best, at: usize, count: usize) -> Self {
        let all = at..at + count;
        Self {
            at,
            f: &prepared.f[all.clone()],
            g: &prepared.g[all.clone()],
            v: &prepared.v[all.clone()],
            best_r: &mut best.r[all.clone()],
            best_at: &mut best.at[all],
        }
    }
}

kernel! {
    /// Follows [`WIDTH`] diagonals. `covariances` are those of the first row; comparisons with NaN fail, so windows without a `v` find nothing.
    fn follow[][](rows: Side<'_>, columns: Side<'_>, covariances: [f64; WIDTH]) {
        /// Partial results, so that no comparison waits for the one before.
        const LANES: usize = 8;
        let mut cov = covariances;
        let mut r = [0.0; WIDTH];
        for (row, ((&f, &g), &v)) in rows.f.iter().zip(rows.g).zip(rows.v).enumerate() {
            let ahead = row..row + WIDTH;
            let (column_f, column_g) = (&columns.f[ahead.clone()], &columns.g[ahead.clone()]);
            let column_v = &columns.v[ahead.clone()];
            let best = &columns.best_r[ahead];
            if row > 0 {
                for ((cov, &column_f), &column_g) in cov.iter_mut().zip(column_f).zip(column_g) {
                    *cov += f * column_g + g * column_f;
                }
            }
            for ((r, &cov), &column_v) in r.iter_mut().zip(&cov).zip(column_v) {
                *r = cov * column_v * v;
            }
            // Both bests are rarely reached, so one comparison with the lower of them serves both.
            let row_best = rows.best_r[row];
            let mut is_reached = [0_u64; LANES];
            for (part, best) in r.as_chunks::<LANES>().0.iter().zip(best.as_chunks::<LANES>().0) {
                for lane in 0..LANES {
                    let least = if row_best < best[lane] { row_best } else { best[lane] };
                    is_reached[lane] |= u64::from(part[lane] >= least);
                }
            }
            if is_reached.iter().fold(0, |any, lane| any | lane) == 0 {
                continue;
            }
            for (lane, &r) in r.iter().enumerate() {
                let column = row + lane;
                offer(&mut rows.best_r[row], &mut rows.best_at[row], r, (columns.at + column) as u32);
                offer(&mut columns.best_r[column], &mut columns.best_at[column], r, (rows.at + row) as u32);
            }
        }
    }
}

/// The diagonals `first..first + WIDTH`, on which column − row is the diagonal's number. Columns beyond the last are padding.
fn block(isa: Isa, rows: (&Prepared, &mut Best), columns: (&Prepared, &mut Best), first: usize) {
    let (row_windows, column_windows) = (rows.0.windows(), columns.0.windows());
    let count = row_windows.min(column_windows - first);
    for start in (0..count).step_by(RENEWED) {
        let count = RENEWED.min(count - start);
        let mut covariances = [0.0; WIDTH];
        for (lane, covariance) in covariances.iter_mut().enumerate() {
            let column = first + start + lane;
            // A lane whose diagonal begins beyond the columns meets nothing but padding.
            if column < column_windows {
                *covariance = rows.0.covariance(start, columns.0, column);
            }
        }
        let row_side = Side::new(rows.0, rows.1, start, count);
        let column_side = Side::new(columns.0, columns.1, first + start, count + WIDTH - 1);
        follow(isa, row_side, column_side, covariances);
    }
}

/// Runs `work` for the numbers below `count`, dealt to the threads by turns, each with a state of its own.
fn deal<S: Send>(
    count: usize,
    threads: NonZeroUsize,
    state: impl Fn() -> S,
    work: impl Fn(&mut S, usize) + Sync,
) -> Vec<S> {
    let threads = threads.get().min(count.max(1));
    let mut states: Vec<S> = (0..threads).map(|_| state()).collect();
    let run = |state: &mut S, thread: usize| {
        for number in (thread..count).step_by(threads) {
            work(state, number);
        }
    };
    std::thread::scope(|scope| {
        let (first, others) = states.split_at_mut(1);
        for (thread, state) in others.iter_mut().enumerate() {
            scope.spawn(move || run(state, thread + 1));
        }
        run(&mut first[0], 0);
    });
    states
}

/// The profile of a signal: for each window its nearest other, on so many threads. The answer does not depend on their number.
///
/// # Errors
/// [`Error::Parameter`] for a window below [`super::LEAST_WINDOW`]; [`Error::TooShort`] when no two windows lie outside the exclusion zone; [`Error::Infinite`].
///
/// ```
/// use std::num::NonZeroUsize;
/// use backlot_signals_kernels::matrix_profile::self_join;
///
/// let mut signal: Vec<f64> = (0..400).map(|t| f64::from(t % 20)).collect();
/// signal[207] = 40.0;
/// let profile = self_join(&signal, 20, NonZeroUsize::MIN)?;
/// assert!((188..=207).contains(&profile.discords(1)[0].at));
/// # Ok::<(), backlot_signals_kernels::Error>(())
/// ```
pub fn self_join(values: &[f64], window: usize, threads: NonZeroUsize) -> Result<Profile, Error> {
    self_join_on(Isa::detect(), values, window, usual_exclusion(window), threads)
}

/// As [`self_join`], with the exclusion zone and the instruction set given. The answer does not depend on the latter.
///
/// # Errors
/// As [`self_join`].
pub fn self_join_on(
    isa: Isa,
    values: &[f64],
    window: usize,
    exclusion: usize,
    threads: NonZeroUsize,
) -> Result<Profile, Error> {
    check(values, window)?;
    let needed = window + exclusion + 1;
    if values.len() < needed {
        return Err(Error::TooShort { points: values.len(), needed });
    }
    let prepared = Prepared::new(values, window);
    let windows = prepared.windows();
    let first = exclusion + 1;
    let blocks = (windows - first).div_ceil(WIDTH);
    // Rows find later windows, columns earlier ones.
    let state = || (Best::new(windows), Best::new(windows + WIDTH));
    let states = deal(blocks, threads, state, |(right, left), number| {
        block(isa, (&prepared, right), (&prepared, left), first + number * WIDTH);
    });
    let (mut right, mut left) = state();
    for (found_right, found_left) in &states {
        right.merge(found_right);
        left.merge(found_left);
    }
    offer_constants(&prepared, exclusion, &mut left, &mut right);
    Ok(conclude(&prepared, exclusion, &left, &right))
}

/// Constant windows are apart from the recurrence: r is 1 between two of them and counts as ½ with others, which makes the distance √m.
fn offer_constants(prepared: &Prepared, exclusion: usize, left: &mut Best, right: &mut Best) {
    let pass = |order: &mut dyn Iterator<Item = usize>, best: &mut Best, is_left: bool| {
        // Of each kind: what lies outside the zone. To the left the smallest place is the first met; to the right it is the last.
        let (mut constant, mut shaped) = (None, None);
        for window in order {
            let entering =
                if is_left { window.checked_sub(exclusion + 1) } else { Some(window + exclusion + 1) };
            let keep = |old: Option<usize>, new: usize| if is_left { old.or(Some(new)) } else { Some(new) };
            match entering.and_then(|at| Some((at, *prepared.kind.get(at)?))) {
                Some((at, Kind::Constant)) => constant = keep(constant, at),
                Some((at, Kind::Shaped)) => shaped = keep(shaped, at),
                Some((_, Kind::Missing)) | None => {}
            }
            let offers = match prepared.kind[window] {
                Kind::Missing => [None, None],
                Kind::Constant => [constant.map(|at| (1.0, at)), shaped.map(|at| (0.5, at))],
                Kind::Shaped => [constant.map(|at| (0.5, at)), None],
            };
            for (r, at) in offers.into_iter().flatten() {
                best.offer(window, r, at);
            }
        }
    };
    let windows = prepared.windows();
    pass(&mut (0..windows), left, true);
    pass(&mut (0..windows).rev(), right, false);
}

pub(super) fn conclude(prepared: &Prepared, exclusion: usize, left: &Best, right: &Best) -> Profile {
    let windows = prepared.windows();
    let mut profile = Profile {
        window: prepared.window,
        exclusion,
        distances: vec![f64::INFINITY; windows],
        nearest: vec![None; windows],
        left: vec![None; windows],
        right: vec![None; windows],
    };
    for window in 0..windows {
        let (before, after) = (left.get(window), right.get(window));
        profile.left[window] = before.map(|(_, at)| at);
        profile.right[window] = after.map(|(_, at)| at);
        let best = match (before, after) {
            (Some(before), Some(after)) => Some(if after.0 > before.0 { after } else { before }),
            (before, after) => before.or(after),
        };
        if let Some((_, at)) = best {
            profile.nearest[window] = Some(at);
            profile.distances[window] = prepared.distance(window, prepared, at);
        }
    }
    profile
}

/// For each window of `values` the nearest window of `others`.
///
/// # Errors
/// As [`self_join`], for either signal.
pub fn ab_join(
    values: &[f64],
    others: &[f64],
    window: usize,
    threads: NonZeroUsize,
) -> Result<Profile, Error> {
    check(values, window)?;
    check(others, window)?;
    let isa = Isa::detect();
    let (own, other) = (Prepared::new(values, window), Prepared::new(others, window));
    let (windows, other_windows) = (own.windows(), other.windows());
    let above = other_windows.div_ceil(WIDTH);
    let below = (windows - 1).div_ceil(WIDTH);
    // Above the main diagonal our windows are the rows, below it the columns; what the others find is not kept.
    let state = || (Best::new(windows + WIDTH), Best::new(other_windows + WIDTH));
    let states = deal(above + below, threads, state, |(best, unused), number| {
        if number < above {
            block(isa, (&own, best), (&other, unused), number * WIDTH);
        } else {
            block(isa, (&other, unused), (&own, best), 1 + (number - above) * WIDTH);
        }
    });
    let (mut best, _) = state();
    for (found, _) in &states {
        best.merge(found);
    }
    let first = |kind| other.kind.iter().position(|&other| other == kind);
    let (constant, shaped) = (first(Kind::Constant), first(Kind::Shaped));
    let mut profile = Profile {
        window,
        exclusion: 0,
        distances: vec![f64::INFINITY; windows],
        nearest: vec![None; windows],
        left: Vec::new(),
        right: Vec::new(),
    };
    for at in 0..windows {
        let offers = match own.kind[at] {
            Kind::Missing => [None, None],
            Kind::Constant => [constant.map(|at| (1.0, at)), shaped.map(|at| (0.5, at))],
            Kind::Shaped => [constant.map(|at| (0.5, at)), None],
        };
        for (r, place) in offers.into_iter().flatten() {
            best.offer(at, r, place);
        }
        if let Some((_, place)) = best.get(at) {
            profile.nearest[at] = Some(place);
            profile.distances[at] = own.distance(at, &other, place);
        }
    }
    Ok(profile)
}
