//! Linux on x86-64.

use core::arch::{asm, global_asm};

// Where the kernel starts the program: no frame above, and a stack aligned as a call expects it.
global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    ".size _start, . - _start",
    main = sym crate::main,
);

pub(super) const WRITE: usize = 1;
pub(super) const EXIT_GROUP: usize = 231;

/// Makes a system call.
///
/// # Safety
/// The arguments are what the kernel asks for in call `number`.
pub(super) unsafe fn call(number: usize, arguments: [usize; 3]) -> isize {
    let result: isize;
    // SAFETY: the kernel's convention: number in rax, arguments in rdi, rsi, rdx; rcx and r11 are
    // lost. What the call itself does is the caller's to justify.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
