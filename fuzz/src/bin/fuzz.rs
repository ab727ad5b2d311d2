//! The program that `cargo xtask fuzz` builds: libFuzzer's `main`, around the target that `BACKLOT_FUZZ_TARGET` names.
#![no_main]

use std::sync::OnceLock;

use backlot_fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("BACKLOT_FUZZ_TARGET").unwrap_or_default();
        backlot_fuzz::target(&name).unwrap_or_else(|error| panic!("{error}"))
    });
    target.run(bytes);
});
