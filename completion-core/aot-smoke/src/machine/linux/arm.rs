//! Linux on 32-bit Arm.

use core::arch::{asm, global_asm};

// Where the kernel starts the program: no frame above; the stack is aligned already.
global_asm!(
    ".globl _start",
    ".type _start, %function",
    "_start:",
    "mov r11, #0",
    "mov lr, #0",
    "bl {main}",
    "udf #0",
    ".size _start, . - _start",
    main = sym crate::main,
);

pub(super) const WRITE: usize = 4;
pub(super) const EXIT_GROUP: usize = 248;

/// Makes a system call.
///
/// # Safety
/// The arguments are what the kernel asks for in call `number`.
pub(super) unsafe fn call(number: usize, arguments: [usize; 3]) -> isize {
    let result: isize;
    // SAFETY: the kernel's convention: number in r7, arguments from r0 on, the result in r0. What the
    // call itself does is the caller's to justify.
    unsafe {
        asm!(
            "svc #0",
            in("r7") number,
            inlateout("r0") arguments[0] => result,
            in("r1") arguments[1],
            in("r2") arguments[2],
            options(nostack),
        );
    }
    result
}
