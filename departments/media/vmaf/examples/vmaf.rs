//! `vmaf` as a program of its own: libvmaf's command line over this crate, for whatever calls it by path.
//!
//! ```console
//! $ cargo build --release -p backlot-vmaf --example vmaf && target/release/examples/vmaf --help
//! ```

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(backlot_vmaf::tool::run(&arguments, &mut std::io::stderr()))
}
