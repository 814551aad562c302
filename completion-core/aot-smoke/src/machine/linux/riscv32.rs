//! Linux on 32-bit RISC-V.

use core::arch::{asm, global_asm};

// Where the kernel starts the program: no frame above; the stack is aligned already.
global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "li fp, 0",
    "li ra, 0",
    "call {main}",
    "unimp",
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
    // SAFETY: the kernel's convention: number in a7, arguments from a0 on, the result in a0. What the
    // call itself does is the caller's to justify.
    unsafe {
        asm!(
            "ecall",
            in("a7") number,
            inlateout("a0") arguments[0] => result,
            in("a1") arguments[1],
            in("a2") arguments[2],
            options(nostack),
        );
    }
    result
}
