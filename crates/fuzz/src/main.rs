//! Runs one target under libFuzzer: `script/fuzz TARGET`.
#![forbid(unsafe_code)]
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tallylight_fuzz::Target;

/// The target that the environment names.
static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    tallylight_fuzz::target(&name).unwrap_or_else(|| {
        eprintln!("FUZZ_TARGET is \"{name}\"; allowed: {}", tallylight_fuzz::names());
        std::process::exit(2);
    })
});

fuzz_target!(|data: &[u8]| TARGET(data));
