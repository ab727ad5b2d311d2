//! What every full-reference metric looks like from outside.
//!
//! A metric is fed pairs of frames in display order and answers once, at the end. It does not answer per pair because
//! some metrics (VMAF's motion, for one) know a frame's score only after its successor; a metric that needs no
//! successor just collects. Scores are columns: one name, one value per frame, one value for the clip, pooled in the
//! way that the metric's definition asks for, which is not always the mean.

use serde::{Deserialize, Serialize};

use crate::{Error, Frame};

/// A full-reference metric, as a state machine over one clip.
pub trait FrameMetric: Send {
    /// The metric's name, such as `psnr`.
    fn name(&self) -> &'static str;

    /// Takes the next pair. Both must have the layout the metric was made for ([`Error::FormatMismatch`]).
    fn push(&mut self, reference: &Frame, distorted: &Frame) -> Result<(), Error>;

    /// All scores of the frames pushed since the metric was made or last finished, and starts afresh.
    /// [`Error::NoFrames`] when there were none.
    fn finish(&mut self) -> Result<ClipScores, Error>;
}

/// How a column's clip value comes from its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pooling {
    /// The mean of the frames' scores.
    Mean,
    /// The score of the mean error: PSNR of the clip's mean squared error, not the mean of PSNRs.
    MeanError,
}

/// One named score over a clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Such as `psnr_y` or `ssim_all`.
    pub name: String,
    /// The clip's score. Infinite where two clips are equal and the scale has no end (PSNR).
    pub clip: f64,
    /// How [`Column::clip`] was pooled.
    pub pooling: Pooling,
    /// The score of each frame, in display order.
    pub frames: Vec<f64>,
}

/// The scores of one clip, one column per name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClipScores {
    /// In the metric's own order.
    pub columns: Vec<Column>,
}

impl ClipScores {
    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The pooled score called `name`.
    pub fn clip(&self, name: &str) -> Option<f64> {
        self.column(name).map(|column| column.clip)
    }

    /// Appends the columns of another metric over the same clip.
    pub fn extend(&mut self, other: Self) {
        self.columns.extend(other.columns);
    }
}
