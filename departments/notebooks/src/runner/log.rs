//! What a run tells while it goes: papermill's lines, the cells' outputs, a progress bar; and whether it is to stop.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use backlot_notebooks_model::json::Value;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

/// How important a line is; the words are Python's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    NotSet,
    /// What developers ask for.
    Debug,
    /// What happens.
    Info,
    /// What may be wrong.
    Warning,
    /// What went wrong.
    Error,
    /// What ended everything.
    Critical,
}

impl Level {
    /// The level of a word.
    pub fn named(word: &str) -> Option<Level> {
        Some(match word {
            "NOTSET" => Level::NotSet,
            "DEBUG" => Level::Debug,
            "INFO" => Level::Info,
            "WARNING" => Level::Warning,
            "ERROR" => Level::Error,
            "CRITICAL" => Level::Critical,
            _ => return None,
        })
    }
}

type Lines = Arc<dyn Fn(&str) + Send + Sync>;
type Steps = Arc<dyn Fn(usize, usize) + Send + Sync>;
type Writer = Arc<Mutex<dyn Write + Send>>;

/// Where a run tells what it does.
#[derive(Clone)]
pub struct Log {
    level: Level,
    lines: Option<Lines>,
    outputs: bool,
    stdout: Option<Writer>,
    stderr: Option<Writer>,
    bar: Option<ProgressBar>,
    steps: Option<Steps>,
    progress: Arc<Mutex<(usize, usize)>>,
    stop: watch::Receiver<bool>,
    /// Kept so that a run that nobody stops is not taken for stopped.
    _never: Arc<watch::Sender<bool>>,
}

impl Log {
    /// A log that tells nothing.
    pub fn silent() -> Log {
        let (never, stop) = watch::channel(false);
        Log {
            level: Level::Critical,
            lines: None,
            outputs: false,
            stdout: None,
            stderr: None,
            bar: None,
            steps: None,
            progress: Arc::default(),
            stop,
            _never: Arc::new(never),
        }
    }

    /// Gives lines from this level on to a function.
    pub fn lines(mut self, level: Level, tell: impl Fn(&str) + Send + Sync + 'static) -> Log {
        self.level = level;
        self.lines = Some(Arc::new(tell));
        self
    }

    /// Tells the cells' outputs as lines.
    pub fn with_outputs(mut self) -> Log {
        self.outputs = true;
        self
    }

    /// Copies what cells print to standard output, and to standard error.
    pub fn copies(mut self, stdout: Option<Writer>, stderr: Option<Writer>) -> Log {
        (self.stdout, self.stderr) = (stdout, stderr);
        self
    }

    /// Shows a progress bar on standard error.
    pub fn with_bar(mut self) -> Log {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} cells [{elapsed_precise}]");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        self.bar = Some(bar);
        self
    }

    /// Calls a function with the number of done and of all cells.
    pub fn steps(mut self, tell: impl Fn(usize, usize) + Send + Sync + 'static) -> Log {
        self.steps = Some(Arc::new(tell));
        self
    }

    /// Stops the run when this becomes true.
    pub fn stop_with(mut self, stop: watch::Receiver<bool>) -> Log {
        self.stop = stop;
        self
    }

    /// Completes when the run is to stop.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Tells a line.
    pub fn line(&self, level: Level, line: &str) {
        if level >= self.level
            && let Some(tell) = &self.lines
        {
            match &self.bar {
                Some(bar) => bar.suspend(|| tell(line)),
                None => tell(line),
            }
        }
    }

    pub(crate) fn begin(&self, cells: usize) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = (0, cells);
        if let Some(bar) = &self.bar {
            bar.set_length(cells as u64);
            bar.set_message("Executing");
        }
    }

    pub(crate) fn cell_begins(&self, index: usize, source: &str) {
        if self.outputs {
            self.line(Level::Info, &format!("Executing Cell {:-<40}", index + 1));
        }
        let described =
            source.split_once("papermill_description=").and_then(|(_, tail)| tail.split_whitespace().next());
        if let (Some(bar), Some(words)) = (&self.bar, described) {
            bar.set_message(format!("Executing {words}"));
        }
    }

    pub(crate) fn cell_ends(&self, index: usize) {
        if self.outputs {
            self.line(Level::Info, &format!("Ending Cell {:-<43}", index + 1));
        }
    }

    pub(crate) fn cell_done(&self) {
        let (done, all) = {
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.0 += 1;
            *progress
        };
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        }
        if let Some(tell) = &self.steps {
            tell(done, all);
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }

    pub(crate) fn output(&self, output: Option<&Value>) {
        let Some(output) = output else { return };
        let text = |key: &str| output.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("output_type") == "stream" {
            let (level, copy) = match text("name") {
                "stderr" => (Level::Warning, &self.stderr),
                _ => (Level::Info, &self.stdout),
            };
            if self.outputs {
                self.line(level, text("text"));
            }
            if let Some(copy) = copy {
                let mut copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
                // A copy that cannot be written must not end the run that it only copies.
                let _ = copy.write_all(text("text").as_bytes()).and_then(|()| copy.flush());
            }
        } else if self.outputs
            && let Some(plain) =
                output.get("data").and_then(|data| data.get("text/plain")).and_then(Value::as_str)
        {
            self.line(Level::Info, plain);
        }
    }
}
