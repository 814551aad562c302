//! Linux: two system calls, and a way in, per kind of processor.

#[cfg_attr(target_arch = "aarch64", path = "linux/aarch64.rs")]
#[cfg_attr(target_arch = "arm", path = "linux/arm.rs")]
#[cfg_attr(target_arch = "riscv32", path = "linux/riscv32.rs")]
#[cfg_attr(target_arch = "x86", path = "linux/x86.rs")]
#[cfg_attr(target_arch = "x86_64", path = "linux/x86_64.rs")]
mod kernel;

use kernel::{EXIT_GROUP, WRITE, call};

/// Writes to standard output, as far as it goes.
pub(crate) fn print(mut text: &str) {
    while !text.is_empty() {
        // SAFETY: `write` reads so many bytes from this address; the borrow keeps them alive.
        let written = unsafe { call(WRITE, [1, text.as_ptr().addr(), text.len()]) };
        match usize::try_from(written) {
            Ok(written) if written > 0 => text = text.get(written..).unwrap_or_default(),
            _ => return,
        }
    }
}

/// Ends the program.
pub(crate) fn exit(code: usize) -> ! {
    loop {
        // SAFETY: `exit_group` takes a number, and does not return.
        unsafe { call(EXIT_GROUP, [code, 0, 0]) };
    }
}
