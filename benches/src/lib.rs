//! Side-by-side benchmarks against the peers, and the crash harness.
//!
//! For whoever asks whether a figure in the documents is true: every one of them is printed by a command here, on
//! the machine where it is run. The one idea: the same work, the answers compared first, then the time; a peer that
//! is not there is said to be missing, never guessed.
//!
//! | command | what it prints |
//! |---|---|
//! | `cargo run --release -p backlot-benches --bin work` | speed of durable work beside Prefect, Luigi and Dask |
//! | `cargo run --release -p backlot-benches --bin mezzfs` | mounts of an S3 object: ours, s3fs, rclone |
//! | `cargo run --release -p backlot-benches --bin telemetry` | the metrics store beside VictoriaMetrics |
//! | `cargo run --release -p backlot-benches --bin crash` | a hundred `kill -9`, and what came of every task |
//!
//! ```
//! use backlot_benches::speed::shapes::Shape;
//! let shape = Shape::Dag { layers: 2, width: 3 };
//! assert_eq!(shape.expected(), vec![0, 1, 2, 2, 4, 3]);
//! ```

pub mod clips;
pub mod crash;
pub mod house;
pub mod mezz;
pub mod speed;
pub mod statistics;
pub mod telemetry;
