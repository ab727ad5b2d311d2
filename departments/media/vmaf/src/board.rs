//! Who measures what next.
//!
//! Frames wait on a board, in order, and threads take them: each a whole frame, *part* by part ([`Part`]), since what a frame
//! needs lies in that thread's caches then. A thread that finds no frame waiting takes parts of frames that others have begun.
//! So the last frames of a clip, or the only one, are shared out, and no thread stands idle for longer than a part takes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::Error;
use crate::feature::{Job, Part, Raw};

/// The raw numbers of a frame, by rendition.
pub(crate) type Measured = Result<(usize, Vec<Raw>), Error>;

/// A part of a frame that a thread is to measure.
pub(crate) struct Task {
    pub(crate) job: Arc<Job>,
    pub(crate) part: Part,
}

/// A frame whose parts are being measured.
struct Begun {
    job: Arc<Job>,
    /// How many of its parts were taken, and how many of those are still to come back.
    taken: usize,
    open: usize,
    raws: Result<Vec<Raw>, Error>,
}

struct State {
    waiting: VecDeque<Job>,
    begun: Vec<Begun>,
    measured: Vec<Measured>,
    is_closed: bool,
}

/// The frames of a clip that are not measured yet.
pub(crate) struct Board {
    parts: Vec<Part>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Board {
    /// A board for frames of these parts.
    pub(crate) fn new(parts: Vec<Part>) -> Self {
        let state =
            State { waiting: VecDeque::new(), begun: Vec::new(), measured: Vec::new(), is_closed: false };
        Self { parts, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame up. How many wait now.
    pub(crate) fn put(&self, job: Job) -> usize {
        let mut state = self.state();
        if self.parts.is_empty() {
            let raws = vec![Raw::new(); job.distorted.len()];
            state.measured.push(Ok((job.index, raws)));
            return state.waiting.len();
        }
        state.waiting.push_back(job);
        let waiting = state.waiting.len();
        drop(state);
        self.changed.notify_one();
        waiting
    }

    /// No frame will follow.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    /// Drops what waits, for nobody wants it any more.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.waiting.clear();
        for begun in &mut state.begun {
            begun.taken = self.parts.len();
        }
    }

    /// The next part for a thread that measured one of frame `own` before; waits for one. `None` when there will be none.
    pub(crate) fn take(&self, own: Option<usize>) -> Option<Task> {
        let mut state = self.state();
        loop {
            if let Some(task) = own.and_then(|index| self.part_of(&mut state, index)) {
                return Some(task);
            }
            if let Some(task) = self.begin(&mut state) {
                return Some(task);
            }
            let open = state.begun.iter().find(|begun| begun.taken < self.parts.len());
            if let Some(index) = open.map(|begun| begun.job.index) {
                return self.part_of(&mut state, index);
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The first part of the frame that waits longest.
    pub(crate) fn take_first(&self) -> Option<Task> {
        self.begin(&mut self.state())
    }

    /// A further part of a frame that was begun.
    pub(crate) fn take_of(&self, index: usize) -> Option<Task> {
        self.part_of(&mut self.state(), index)
    }

    fn begin(&self, state: &mut State) -> Option<Task> {
        let job = Arc::new(state.waiting.pop_front()?);
        let index = job.index;
        state.begun.push(Begun { job, taken: 0, open: 0, raws: Ok(Vec::new()) });
        self.part_of(state, index)
    }

    fn part_of(&self, state: &mut State, index: usize) -> Option<Task> {
        let begun = state.begun.iter_mut().find(|begun| begun.job.index == index)?;
        let &part = self.parts.get(begun.taken)?;
        begun.taken += 1;
        begun.open += 1;
        Some(Task { job: Arc::clone(&begun.job), part })
    }

    /// A part was measured: its numbers by rendition and feature, with nothing at all features of other parts.
    pub(crate) fn done(&self, task: Task, numbers: Result<Vec<Raw>, Error>) {
        let index = task.job.index;
        drop(task);
        let mut state = self.state();
        let Some(place) = state.begun.iter().position(|begun| begun.job.index == index) else { return };
        let begun = &mut state.begun[place];
        begun.open -= 1;
        match (&mut begun.raws, numbers) {
            (Ok(raws), Ok(numbers)) if raws.is_empty() => *raws = numbers,
            (Ok(raws), Ok(numbers)) => {
                for (raw, more) in raws.iter_mut().zip(numbers) {
                    for (scores, more) in raw.iter_mut().zip(more) {
                        if !more.is_empty() {
                            *scores = more;
                        }
                    }
                }
            }
            (raws, Err(error)) => *raws = Err(error),
            (Err(_), Ok(_)) => {}
        }
        if begun.open == 0 && begun.taken == self.parts.len() {
            let begun = state.begun.swap_remove(place);
            state.measured.push(begun.raws.map(|raws| (index, raws)));
        }
    }

    /// What was measured since it was asked last.
    pub(crate) fn measured(&self) -> Vec<Measured> {
        std::mem::take(&mut self.state().measured)
    }
}

#[cfg(test)]
mod tests {
    use backlot_frames::{BitDepth, Format, Frame, Subsampling};

    use super::*;

    fn job(index: usize) -> Job {
        let format = Format::new(16, 16, Subsampling::C420, BitDepth::EIGHT).unwrap();
        let frame = Arc::new(Frame::black(format));
        Job { index, reference: Arc::clone(&frame), distorted: vec![frame], before: [None, None] }
    }

    fn taken(task: Option<Task>) -> Option<(usize, Part)> {
        task.map(|task| (task.job.index, task.part))
    }

    #[test]
    fn a_thread_keeps_to_its_frame_and_shares_those_of_others_when_none_waits() {
        let board = Board::new(vec![Part::Adm, Part::Motion]);
        assert_eq!((board.put(job(0)), board.put(job(1))), (1, 2));
        assert_eq!(taken(board.take(None)), Some((0, Part::Adm)));
        assert_eq!(taken(board.take(Some(0))), Some((0, Part::Motion)));
        assert_eq!(taken(board.take(Some(0))), Some((1, Part::Adm)));
        assert_eq!(taken(board.take(None)), Some((1, Part::Motion)));
        board.close();
        assert_eq!(taken(board.take(Some(1))), None);
    }

    #[test]
    fn a_frame_is_measured_when_its_last_part_is_back() {
        let board = Board::new(vec![Part::Adm, Part::Motion]);
        board.put(job(7));
        let (first, second) = (board.take_first().unwrap(), board.take_of(7).unwrap());
        assert!(board.take_of(7).is_none() && board.take_first().is_none());
        board.done(second, Ok(vec![vec![vec![], vec![2.0]]]));
        assert!(board.measured().is_empty());
        board.done(first, Ok(vec![vec![vec![1.0], vec![]]]));
        let measured: Vec<_> = board.measured().into_iter().map(Result::unwrap).collect();
        assert_eq!(measured, [(7, vec![vec![vec![1.0], vec![2.0]]])]);
    }

    #[test]
    fn what_is_wrong_with_a_part_is_wrong_with_the_frame() {
        let board = Board::new(vec![Part::Adm, Part::Motion]);
        board.put(job(0));
        let (first, second) = (board.take_first().unwrap(), board.take_of(0).unwrap());
        board.done(first, Err(Error::NoFrames));
        board.done(second, Ok(vec![vec![vec![], vec![2.0]]]));
        assert!(matches!(board.measured()[..], [Err(Error::NoFrames)]));
    }
}
