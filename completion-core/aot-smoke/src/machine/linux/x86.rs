//! Linux on i686.

use core::arch::{asm, global_asm};

// Where the kernel starts the program: no frame above, and a stack aligned as a call expects it.
global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "xor ebp, ebp",
    "and esp, -16",
    "call {main}",
    "ud2",
    ".size _start, . - _start",
    main = sym crate::main,
);

pub(super) const WRITE: usize = 4;
pub(super) const EXIT_GROUP: usize = 252;

/// Makes a system call.
///
/// # Safety
/// The arguments are what the kernel asks for in call `number`.
pub(super) unsafe fn call(number: usize, arguments: [usize; 3]) -> isize {
    let result: isize;
    // SAFETY: the kernel's convention: number in eax, arguments in ebx, ecx, edx. What the call itself
    // does is the caller's to justify.
    unsafe {
        asm!(
            "int 0x80",
            inlateout("eax") number => result,
            in("ebx") arguments[0],
            in("ecx") arguments[1],
            in("edx") arguments[2],
            options(nostack),
        );
    }
    result
}
