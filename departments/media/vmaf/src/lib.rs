//! VMAF and the metrics beside it, in Rust: feature extractors, models, and libvmaf's command line and reports.
//!
//! The crate serves whoever compares encodes: the media department, and everyone who calls the `vmaf` program today. Its
//! numbers are libvmaf's, digit for digit, where libvmaf computes with integers; `cargo xtask conformance vmaf` shows it.
//!
//! The one idea: **a frame's measurement is a pure function** of the pair and of the two reference frames before it. So
//! frames are measured on all cores in any order, models and variants share what they have in common, and whatever needs
//! a neighbour or the whole clip is done once at the end, from a few numbers per frame.
//!
//! ```
//! use std::sync::Arc;
//! use backlot_frames::{BitDepth, Format, Frame, Subsampling};
//! use backlot_vmaf::{Feature, Scorer, Settings};
//!
//! let format = Format::new(64, 64, Subsampling::C420, BitDepth::EIGHT)?;
//! let mut scorer = Scorer::new(&[], &[Feature::parse("vif")?, Feature::parse("adm")?], format, Settings::default())?;
//! for shade in [16, 32] {
//!     let mut frame = Frame::black(format);
//!     frame.fill(|_, x, y| shade + (x * y % 64) as u16);
//!     let frame = Arc::new(frame);
//!     scorer.push(frame.clone(), frame)?;
//! }
//! let report = scorer.finish()?;
//! assert_eq!(report.pooled("integer_vif_scale0").map(|vif| vif.mean), Some(1.0));
//! # Ok::<(), backlot_vmaf::Error>(())
//! ```
//!
//! Modules: `feature/` holds the extractors, one file each, and `feature/spec.rs` their options and names; `model.rs` and
//! `svm.rs` the models; `scorer.rs` the threads; `report.rs` the output; `tool/` the command line, which is the only part
//! that opens files.

#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(
        dead_code,
        unused_variables,
        unused_imports,
        unused_macros,
        reason = "what is written with `simd` runs as plain loops there"
    )
)]

mod board;
mod error;
mod feature;
mod isa;
mod kernel;
mod model;
mod report;
mod scorer;
mod simd;
mod svm;
pub mod tool;

pub use error::Error;
pub use feature::spec::Feature;
pub use isa::Isa;
pub use model::{Clip, MAX_MODEL_BYTES, Model, ModelOptions, Transform};
pub use report::{OutputFormat, Pooled, Report, ReportColumn, Style};
pub use scorer::{Ladder, Scorer, Settings};
