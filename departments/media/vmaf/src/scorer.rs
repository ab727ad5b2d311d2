//! Scores streams of frames against a reference: push frames, finish, read the reports.
//!
//! Frames are measured on threads, each with its own scratch; a frame goes to whichever is free, because measuring
//! needs nothing but the frame, its reference and the two reference frames before ([`board`](crate::board)). A [`Ladder`]
//! measures all renditions of a frame together, so that what belongs to the reference alone is computed once.
//!
//! The thread that pushes is one of them: when the others are behind, [`Scorer::push`] measures a frame before it comes back,
//! and [`Scorer::finish`] measures what is left. So one thread is one thread, which reads and measures in turn; and a scorer
//! holds at most `4 * threads` frames of each stream. What is known per frame goes into columns in the order of frames, so
//! the report is the same for any number of threads.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;

use backlot_frames::{Format, Frame};

use crate::board::{Board, Measured, Task};
use crate::feature::spec::Feature;
use crate::feature::{self, Checked, Extractors, Job, Part, Raw, Scores};
use crate::model::{Model, Regression, bootstrap};
use crate::report::{Report, ReportColumn};
use crate::{Error, Isa};

/// How a scorer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Threads that measure, among them the one that pushes.
    pub threads: NonZeroUsize,
    /// Every how many frames are scored; 1 for all.
    pub subsample: NonZeroUsize,
    /// The instruction set of the kernels.
    pub isa: Isa,
}

impl Default for Settings {
    /// All cores, every frame, the best instruction set.
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            subsample: NonZeroUsize::MIN,
            isa: Isa::detect(),
        }
    }
}

/// Scores pairs of frames with models and features.
///
/// ```
/// use backlot_frames::{BitDepth, Format, Frame, Subsampling};
/// use backlot_vmaf::{Feature, Scorer, Settings};
///
/// let format = Format::new(64, 64, Subsampling::C420, BitDepth::EIGHT)?;
/// let mut scorer = Scorer::new(&[], &[Feature::parse("psnr")?], format, Settings::default())?;
/// let frame = std::sync::Arc::new(Frame::black(format));
/// scorer.push(frame.clone(), frame)?;
/// let report = scorer.finish()?;
/// assert_eq!(report.pooled("psnr_y").map(|psnr| psnr.mean), Some(60.0));
/// # Ok::<(), backlot_vmaf::Error>(())
/// ```
pub struct Scorer(Ladder);

impl Scorer {
    /// A scorer of frames of layout `format` with `models`, and with `features` besides those that the models need.
    ///
    /// # Errors
    /// Two models of one name; a picture that a feature does not take; options that do not go together.
    pub fn new(
        models: &[Model],
        features: &[Feature],
        format: Format,
        settings: Settings,
    ) -> Result<Self, Error> {
        Ladder::new(models, features, format, settings, NonZeroUsize::MIN).map(Self)
    }

    /// Takes the next pair, in display order; measures one itself while the other threads are busy.
    ///
    /// # Errors
    /// A frame of another layout; whatever went wrong with a pair before.
    pub fn push(&mut self, reference: Arc<Frame>, distorted: Arc<Frame>) -> Result<(), Error> {
        self.0.push(reference, vec![distorted])
    }

    /// Pairs pushed so far.
    pub fn pushed(&self) -> usize {
        self.0.pushed()
    }

    /// The report of all pairs.
    ///
    /// # Errors
    /// [`Error::NoFrames`]; whatever went wrong with a pair.
    pub fn finish(self) -> Result<Report, Error> {
        self.0.finish()?.pop().ok_or(Error::NoFrames)
    }
}

/// Scores several renditions against one reference, in one pass: each report is that of a [`Scorer`] of the reference and
/// that rendition.
///
/// ```
/// use std::num::NonZeroUsize;
/// use backlot_frames::{BitDepth, Format, Frame, Subsampling};
/// use backlot_vmaf::{Feature, Ladder, Settings};
///
/// let format = Format::new(64, 64, Subsampling::C420, BitDepth::EIGHT)?;
/// let renditions = NonZeroUsize::new(2).expect("two is not zero");
/// let mut ladder = Ladder::new(&[], &[Feature::parse("psnr")?], format, Settings::default(), renditions)?;
/// let frame = std::sync::Arc::new(Frame::black(format));
/// let mut other = Frame::black(format);
/// other.fill(|_, _, _| 16);
/// ladder.push(frame.clone(), vec![frame, std::sync::Arc::new(other)])?;
/// let reports = ladder.finish()?;
/// let psnr = |report: &backlot_vmaf::Report| report.pooled("psnr_y").map(|psnr| psnr.mean);
/// assert_eq!(psnr(&reports[0]), Some(60.0));
/// assert!(psnr(&reports[1]) < Some(60.0));
/// # Ok::<(), backlot_vmaf::Error>(())
/// ```
pub struct Ladder {
    models: Vec<Model>,
    features: Vec<Feature>,
    checked: Arc<[Checked]>,
    format: Format,
    settings: Settings,
    renditions: usize,
    board: Arc<Board>,
    /// Those of the thread that pushes; made when it first measures.
    own: Option<Extractors>,
    workers: Vec<JoinHandle<()>>,
    before: [Option<Arc<Frame>>; 2],
    pushed: usize,
    /// By rendition, then by frame.
    raw: Vec<Vec<Raw>>,
}

impl Ladder {
    /// A scorer of `renditions` streams of frames of layout `format`; otherwise as [`Scorer::new`].
    ///
    /// # Errors
    /// As [`Scorer::new`].
    pub fn new(
        models: &[Model],
        features: &[Feature],
        format: Format,
        settings: Settings,
        renditions: NonZeroUsize,
    ) -> Result<Self, Error> {
        let mut all: Vec<Feature> = Vec::new();
        let mut keys = std::collections::HashSet::new();
        for feature in models.iter().flat_map(Model::features).chain(features) {
            if keys.insert(feature.key()) {
                all.push(feature.clone());
            }
        }
        for (index, model) in models.iter().enumerate() {
            if models[..index].iter().any(|other| other.name == model.name) {
                return Err(Error::SameName(model.name.clone()));
            }
        }
        let checked: Arc<[Checked]> =
            all.iter().map(|feature| Checked::new(feature, format)).collect::<Result<_, _>>()?;
        let board = Arc::new(Board::new(Part::of(&checked)));
        let workers = (1..settings.threads.get())
            .map(|_| {
                let (board, checked) = (Arc::clone(&board), Arc::clone(&checked));
                std::thread::spawn(move || {
                    let mut extractors = Extractors::new(settings.isa, checked);
                    let mut own = None;
                    while let Some(task) = board.take(own) {
                        own = Some(task.job.index);
                        measure(&board, &mut extractors, task, settings);
                    }
                })
            })
            .collect();
        Ok(Self {
            models: models.to_vec(),
            features: all,
            checked,
            format,
            settings,
            renditions: renditions.get(),
            board,
            own: None,
            workers,
            before: [None, None],
            pushed: 0,
            raw: vec![Vec::new(); renditions.get()],
        })
    }

    /// Takes the next frame of the reference and of each rendition, in display order; measures one itself while the other
    /// threads are busy.
    ///
    /// # Errors
    /// A frame of another layout, more or fewer renditions; whatever went wrong with a frame before.
    pub fn push(&mut self, reference: Arc<Frame>, distorted: Vec<Arc<Frame>>) -> Result<(), Error> {
        reference.expect_format(self.format)?;
        for frame in &distorted {
            frame.expect_format(self.format)?;
        }
        if distorted.len() != self.renditions {
            return Err(Error::Renditions { expected: self.renditions, got: distorted.len() });
        }
        let job = Job {
            index: self.pushed,
            reference: Arc::clone(&reference),
            distorted,
            before: self.before.clone(),
        };
        self.before = [Some(reference), self.before[0].take()];
        self.pushed += 1;
        // One for each of the others, which they take up while the pusher measures. Where one ends before the pusher has read
        // the next, it shares the pusher's frame.
        if self.board.put(job) > self.workers.len() {
            let mut next = self.board.take_first();
            while let Some(task) = next {
                let index = task.job.index;
                self.measure(task);
                next = self.board.take_of(index);
            }
        }
        self.keep_all()
    }

    /// Frames of the reference pushed so far.
    pub fn pushed(&self) -> usize {
        self.pushed
    }

    /// The report of each rendition.
    ///
    /// # Errors
    /// [`Error::NoFrames`]; whatever went wrong with a frame.
    pub fn finish(mut self) -> Result<Vec<Report>, Error> {
        self.board.close();
        let mut own = None;
        while let Some(task) = self.board.take(own) {
            own = Some(task.job.index);
            self.measure(task);
        }
        for worker in self.workers.drain(..) {
            worker.join().map_err(|_| Error::WorkerLost)?;
        }
        self.keep_all()?;
        if self.pushed == 0 {
            return Err(Error::NoFrames);
        }
        Ok(self.raw.iter().map(|frames| self.report(frames)).collect())
    }

    fn report(&self, frames: &[Raw]) -> Report {
        let (mut columns, mut after, mut aggregates) = (Vec::new(), Vec::new(), Vec::new());
        for (place, (feature, checked)) in self.features.iter().zip(self.checked.iter()).enumerate() {
            let raw: Vec<&[f64]> = frames.iter().map(|frame| frame[place].as_slice()).collect();
            let finished = feature::finish(feature, checked, self.format, &raw);
            columns.extend(finished.during);
            after.extend(finished.after);
            aggregates.extend(finished.aggregates);
        }
        columns.extend(after);
        let mut report = Report {
            width: self.format.width(),
            height: self.format.height(),
            frames: self.pushed,
            subsample: self.settings.subsample.get(),
            columns: columns
                .into_iter()
                .map(|Scores { name, frames }| ReportColumn { name, frames })
                .collect(),
            aggregates,
        };
        let mains = self.models.iter().flat_map(|model| predict_main(model, &report)).collect::<Vec<_>>();
        let replicas =
            self.models.iter().flat_map(|model| predict_replicas(model, &report)).collect::<Vec<_>>();
        report.columns.extend(mains);
        report.columns.extend(replicas);
        report
    }

    /// Measures on the thread that pushes.
    fn measure(&mut self, task: Task) {
        let checked = &self.checked;
        let own = self.own.get_or_insert_with(|| Extractors::new(self.settings.isa, Arc::clone(checked)));
        measure(&self.board, own, task, self.settings);
    }

    fn keep_all(&mut self) -> Result<(), Error> {
        self.board.measured().into_iter().try_for_each(|measured| self.keep(measured))
    }

    fn keep(&mut self, measured: Measured) -> Result<(), Error> {
        let (index, renditions) = measured?;
        let features = self.features.len();
        for (frames, raw) in self.raw.iter_mut().zip(renditions) {
            if frames.len() <= index {
                frames.resize_with(index + 1, || vec![Vec::new(); features]);
            }
            frames[index] = raw;
        }
        Ok(())
    }
}

impl Drop for Ladder {
    fn drop(&mut self) {
        self.board.clear();
        self.board.close();
        for worker in self.workers.drain(..) {
            // A worker that panicked has told so on standard error.
            let _ = worker.join();
        }
    }
}

fn measure(board: &Board, extractors: &mut Extractors, task: Task, settings: Settings) {
    let is_sampled = task.job.index.is_multiple_of(settings.subsample.get());
    let numbers = extractors.extract(task.part, &task.job, is_sampled);
    board.done(task, numbers);
}

/// The features' scores of a regression at each reported frame.
fn inputs(regression: &Regression, report: &Report) -> Vec<Option<Vec<f64>>> {
    let columns: Vec<Option<&ReportColumn>> = regression
        .inputs
        .iter()
        .map(|input| report.column(&input.feature.score_name(&input.score)))
        .collect();
    let at = |frame: usize| {
        let is_reported = frame.is_multiple_of(report.subsample);
        let values = columns.iter().map(|column| column.as_ref()?.frames.get(frame).copied().flatten());
        if is_reported { values.collect() } else { None }
    };
    (0..report.frames).map(at).collect()
}

fn predict_main(model: &Model, report: &Report) -> Vec<ReportColumn> {
    let frames =
        inputs(&model.main, report).into_iter().map(|scores| Some(model.main.score(&scores?))).collect();
    vec![ReportColumn { name: model.name.clone(), frames }]
}

fn predict_replicas(model: &Model, report: &Report) -> Vec<ReportColumn> {
    let Some(first) = model.replicas.first() else { return Vec::new() };
    let frames = inputs(first, report);
    let mut columns: Vec<ReportColumn> = model
        .replicas
        .iter()
        .enumerate()
        .map(|(index, replica)| ReportColumn {
            name: format!("{}_{:04}", model.name, index + 1),
            frames: frames.iter().map(|scores| Some(replica.score(scores.as_ref()?))).collect(),
        })
        .collect();
    let pooled: Vec<_> = frames
        .iter()
        .map(|scores| {
            let scores = scores.as_ref()?;
            let raw: Vec<f64> = model.replicas.iter().map(|replica| replica.raw(scores)).collect();
            Some(bootstrap(first, &raw))
        })
        .collect();
    let mut add = |suffix: &str, pick: fn(&crate::model::Bootstrap) -> f64| {
        let frames = pooled.iter().map(|frame| frame.as_ref().map(pick)).collect();
        columns.push(ReportColumn { name: format!("{}_{suffix}", model.name), frames });
    };
    add("bagging", |one| one.bagging);
    add("stddev", |one| one.deviation);
    add("ci_p95_lo", |one| one.low);
    add("ci_p95_hi", |one| one.high);
    columns
}
