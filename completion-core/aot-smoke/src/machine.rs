//! What the program needs of the machine below it: a way in, a line of output, a way out.

#[cfg_attr(target_family = "wasm", path = "machine/wasm.rs")]
#[cfg_attr(
    all(target_arch = "arm", target_os = "none"),
    path = "machine/cortex_m.rs"
)]
#[cfg_attr(
    not(any(target_family = "wasm", all(target_arch = "arm", target_os = "none"))),
    path = "machine/linux.rs"
)]
mod this;

#[cfg(all(target_arch = "arm", target_os = "none"))]
pub(crate) use this::{arm_interrupt, sleep_unless};
pub(crate) use this::{exit, print};
