//! Everything in the house that reads bytes of strangers without a socket or a file around it, as functions from bytes to
//! nothing. A [`Target`] must return: never panic, hang or take memory without bound, whatever the bytes.
//!
//! `cargo xtask fuzz TARGET` lets libFuzzer look for bytes that break this, guided by which code they reach. What it keeps is
//! a [`corpus`]: one line of base64 for each input, in `corpus/TARGET.txt`. The tests of this crate run every line, so what
//! fuzzing once reached or broke is tried again on every run.
//!
//! ```
//! let lines = backlot_fuzz::target("spectator_lines")?;
//! lines.run(b"c:server.requests,status=200:1\nc::1\n");
//! # Ok::<(), backlot_fuzz::UnknownTarget>(())
//! ```

pub mod corpus;
mod media;
mod notebooks;
mod telemetry;

/// A parser under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// What its bytes are.
    pub summary: &'static str,
    function: fn(&[u8]),
}

impl Target {
    /// Feeds it bytes.
    ///
    /// # Panics
    /// When the bytes break a parser: that is what is looked for.
    pub fn run(&self, bytes: &[u8]) {
        (self.function)(bytes);
    }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "atlas_expressions",
        summary: "a graph's query, evaluated",
        function: telemetry::expressions,
    },
    Target { name: "atlas_publish", summary: "a body of /api/v1/publish", function: telemetry::publish },
    Target { name: "atlas_smile", summary: "a Smile body of /api/v4/update", function: telemetry::smile },
    Target { name: "mezz_manifests", summary: "manifests of objects and mounts", function: media::manifests },
    Target { name: "mezz_replays", summary: "a replay file", function: media::replays },
    Target {
        name: "notebooks",
        summary: "a notebook, its differences and its text",
        function: notebooks::notebooks,
    },
    Target { name: "notebook_yaml", summary: "parameters in YAML 1.1", function: notebooks::yaml },
    Target { name: "spectator_lines", summary: "a datagram of the agent", function: telemetry::lines },
    Target { name: "statsd_lines", summary: "a datagram of DogStatsD", function: telemetry::statsd },
    Target { name: "vmaf_models", summary: "a model file", function: media::models },
    Target {
        name: "vmaf_svm",
        summary: "the support vectors in a model file",
        function: media::support_vectors,
    },
    Target { name: "y4m", summary: "a YUV4MPEG2 stream", function: media::y4m },
];

/// There is no such target.
#[derive(Debug, thiserror::Error)]
#[error("no fuzz target `{0}`; `cargo xtask fuzz` lists them")]
pub struct UnknownTarget(String);

/// The target of a name.
///
/// # Errors
/// [`UnknownTarget`].
pub fn target(name: &str) -> Result<Target, UnknownTarget> {
    TARGETS.iter().find(|target| target.name == name).copied().ok_or_else(|| UnknownTarget(name.to_owned()))
}
