//! `vmaf`: libvmaf's command line over this crate, for programs that call it by path.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(backlot_vmaf::tool::run(&arguments, &mut std::io::stderr()))
}
