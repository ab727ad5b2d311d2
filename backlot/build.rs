//! Notes what this build is, for `backlot version`.

use std::process::Command;

fn main() {
    let asked = |variable: &str| std::env::var(variable).unwrap_or_default();
    // A source tree without git, such as a package's, can name its commit itself.
    println!("cargo::rerun-if-env-changed=BACKLOT_COMMIT");
    let commit = match asked("BACKLOT_COMMIT") {
        named if !named.is_empty() => named,
        _ => output("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned()),
    };
    // The log of HEAD grows with every commit and checkout.
    if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let compiler = output(&asked("RUSTC"), &["--version"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=BACKLOT_BUILD_COMMIT={commit}");
    println!("cargo::rustc-env=BACKLOT_BUILD_PROFILE={}", asked("PROFILE"));
    println!("cargo::rustc-env=BACKLOT_BUILD_TARGET={}", asked("TARGET"));
    println!("cargo::rustc-env=BACKLOT_BUILD_COMPILER={compiler}");
}

/// What a program prints, if it can be run and succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
