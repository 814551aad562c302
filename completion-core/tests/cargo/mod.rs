//! The cargo of this build, for a package that a test builds.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// Runs in this directory, without the flags for the tests, such as a sanitizer's: they are not meant for that package.
pub(crate) fn cargo(directory: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(directory);
    for variable in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        command.env_remove(variable);
    }
    if cfg!(completion_narrow) {
        command.env("RUSTFLAGS", "--cfg completion_narrow");
    }
    command
}
