//! What can be wrong with pictures, models, options and command lines.

use backlot_frames::Format;

/// Everything that this crate refuses. Each message is one line and says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A picture or a stream of pictures is bad.
    #[error(transparent)]
    Frames(#[from] backlot_frames::Error),
    /// The picture is too small for a feature.
    #[error(
        "{feature} needs pictures of at least {min}x{min}, but this one is {format}; use a larger picture"
    )]
    TooSmall {
        /// The feature extractor.
        feature: &'static str,
        /// Least width and height.
        min: usize,
        /// The picture's layout.
        format: Format,
    },
    /// The feature does not take the picture's layout.
    #[error("{feature} does not take {format} pictures: {reason}")]
    Unsupported {
        /// The feature extractor.
        feature: &'static str,
        /// The picture's layout.
        format: Format,
        /// Why, and what it takes.
        reason: &'static str,
    },
    /// There is no feature extractor of that name.
    #[error("there is no feature extractor {name:?}; there are {known}")]
    UnknownFeature {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No feature extractor gives the score that a model asks for.
    #[error("no feature extractor gives {name:?}, which the model asks for; use another model")]
    UnknownScore {
        /// The score's full name.
        name: String,
    },
    /// A feature extractor has no such option.
    #[error("feature {feature} has no option {option:?}; it has {known}")]
    UnknownOption {
        /// The feature extractor.
        feature: &'static str,
        /// What was given.
        option: String,
        /// What there is.
        known: String,
    },
    /// An option's value is outside its range or not of its type.
    #[error("option {option} of feature {feature} cannot be {value:?}; it is {wanted}")]
    OptionValue {
        /// The feature extractor.
        feature: &'static str,
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        wanted: String,
    },
    /// A combination of options that the feature does not offer.
    #[error("feature {feature}: {reason}")]
    Options {
        /// The feature extractor.
        feature: &'static str,
        /// What does not go together.
        reason: String,
    },
    /// A model file is damaged or of a kind that is not known.
    #[error("bad model: {0}; take one of libvmaf's model files")]
    Model(String),
    /// A model was asked for by a version that was not found.
    #[error(
        "model {version:?} was not found ({looked}); give a file with --model path=FILE, or install its home with `pip install imageio-ffmpeg==0.8.1`"
    )]
    NoModel {
        /// The version asked for.
        version: String,
        /// Where it was looked for.
        looked: String,
    },
    /// Two models of one scorer have the same name.
    #[error("two models are called {0:?}; give each its own name with `name=`")]
    SameName(String),
    /// A frame was pushed with more or fewer renditions than the scorer was made for.
    #[error("a frame came with {got} renditions where {expected} are scored; push one frame of each")]
    Renditions {
        /// How many the scorer was made for.
        expected: usize,
        /// How many there were.
        got: usize,
    },
    /// There was no frame to score.
    #[error("no frame was scored; the streams are empty or everything was skipped")]
    NoFrames,
    /// A worker thread of the scorer ended early.
    #[error("a scoring thread ended early; this is a defect, please report the command")]
    WorkerLost,
    /// A file could not be opened, read or written.
    #[error("{what} {path}: {source}")]
    File {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A stream is interlaced; its fields are pictures of different times.
    #[error("{path} is interlaced; deinterlace it first, for example with ffmpeg's filter bwdif")]
    Interlaced {
        /// The file.
        path: String,
    },
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
}
