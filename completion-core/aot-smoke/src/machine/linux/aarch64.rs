//! Linux on aarch64.

use core::arch::{asm, global_asm};

// Where the kernel starts the program: no frame above; the stack is aligned already.
global_asm!(
    ".globl _start",
    ".type _start, %function",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "bl {main}",
    "brk #1",
    ".size _start, . - _start",
    main = sym crate::main,
);

pub(super) const WRITE: usize = 64;
pub(super) const EXIT_GROUP: usize = 94;

/// Makes a system call.
///
/// # Safety
/// The arguments are what the kernel asks for in call `number`.
pub(super) unsafe fn call(number: usize, arguments: [usize; 3]) -> isize {
    let result: isize;
    // SAFETY: the kernel's convention: number in x8, arguments from x0 on, the result in x0. What the
    // call itself does is the caller's to justify.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            options(nostack),
        );
    }
    result
}
