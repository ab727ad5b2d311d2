//! The departments of this binary. Adding one is its crate in `Cargo.toml` and one line here.

use backlot_department::Department;

/// Every department, in the order in which they start and appear.
pub(crate) fn all() -> Vec<Box<dyn Department>> {
    vec![
        Box::new(backlot_runs::Runs),
        Box::<backlot_media::Media>::default(),
        Box::<backlot_telemetry::Telemetry>::default(),
        Box::<backlot_signals::Signals>::default(),
        Box::<backlot_notebooks::Notebooks>::default(),
    ]
}
