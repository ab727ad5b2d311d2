//! Saving while a notebook runs: only changed cells are written anew, many changes are one save.
//!
//! Each cell's part of the file is kept as text; a change makes one part stale, so the work for a change does not grow with the
//! notebook. The file is replaced at most every [`PAUSE`], and never so often that more than a tenth of the time goes into saving;
//! a failure and the end are saved at once.

use std::time::Duration;

use backlot_notebooks_model::Notebook;
use tokio::time::Instant;

use super::RunError;
use super::log::{Level, Log};
use super::place::{Durability, Place};

/// The least time between two saves while cells come and go.
const PAUSE: Duration = Duration::from_millis(250);

/// A save may cost at most one part in this many of the time.
const SHARE: u32 = 10;

/// How long after a save in passing that failed the next is tried: a full disk is not mended in less.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// When a notebook is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saving {
    /// As cells begin and end, and during long cells after this time; never during a cell if it is zero.
    AsCellsRun(Duration),
    /// Once, at the end.
    AtEnd,
}

/// Saves a notebook to its place.
pub(crate) struct Saver {
    place: Place,
    saving: Saving,
    parts: Vec<Option<String>>,
    last: Option<Instant>,
    cost: Duration,
    /// When what has changed must be saved.
    due: Option<Instant>,
    saves: u64,
}

impl Saver {
    pub(crate) fn new(place: Place, saving: Saving) -> Saver {
        let saving = if place.takes_many_saves() { saving } else { Saving::AtEnd };
        Saver { place, saving, parts: Vec::new(), last: None, cost: Duration::ZERO, due: None, saves: 0 }
    }

    /// A cell changed.
    pub(crate) fn touch(&mut self, cell: usize) {
        if let Some(part) = self.parts.get_mut(cell) {
            *part = None;
        }
    }

    /// Cells came or went.
    pub(crate) fn touch_all(&mut self) {
        self.parts.clear();
    }

    /// A cell began or ended: it shows in the file soon.
    pub(crate) fn step(&mut self, now: Instant) {
        if self.saving != Saving::AtEnd {
            let due = self.last.map_or(now, |last| last + PAUSE.max(self.cost * SHARE));
            self.due = Some(self.due.map_or(due, |before| before.min(due)));
        }
    }

    /// A cell that still runs has new outputs: they show in the file when the time for that has come.
    pub(crate) fn output(&mut self) {
        if let Saving::AsCellsRun(every) = self.saving
            && every > Duration::ZERO
            && self.due.is_none()
        {
            self.due = self.last.map(|last| last + every.max(self.cost * SHARE));
        }
    }

    /// When [`Saver::save_if_due`] next does something.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Saves if it is time to. A save in passing that fails is told and not the end of the run: the file is as it was after
    /// the last one, and hours of work are not lost for a disk that may have room again by the end.
    pub(crate) async fn save_if_due(&mut self, notebook: &Notebook, log: &Log) {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        if let Err(error) = self.save(notebook, Durability::Process).await {
            let told = format!("The notebook was not saved and goes on: {error}; make room before it ends");
            log.line(Level::Warning, &told);
            self.due = Some(Instant::now() + AFTER_FAILURE);
        }
    }

    /// Saves now.
    pub(crate) async fn save(&mut self, notebook: &Notebook, durability: Durability) -> Result<(), RunError> {
        let began = Instant::now();
        self.parts.resize(notebook.cells.len(), None);
        for (part, cell) in self.parts.iter_mut().zip(&notebook.cells) {
            part.get_or_insert_with(|| cell.fragment());
        }
        let text = notebook.frame().join(self.parts.iter().flatten().map(String::as_str));
        let saved = self.place.write(&text, durability).await;
        self.last = Some(Instant::now());
        self.cost = began.elapsed();
        self.due = None;
        self.saves += 1;
        saved
    }

    /// How often it has saved.
    pub(crate) fn saves(&self) -> u64 {
        self.saves
    }

    /// Whether anything is saved before the end.
    pub(crate) fn saves_in_passing(&self) -> bool {
        self.saving != Saving::AtEnd
    }
}
