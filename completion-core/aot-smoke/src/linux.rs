//! The two system calls that the program needs, and the way in.

use core::arch::{asm, global_asm};

// Where the kernel starts the program: no frame above, and a stack aligned as a call expects it.
#[cfg(target_arch = "x86_64")]
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

// Where the kernel starts the program: no frame above; the stack is aligned already.
#[cfg(target_arch = "aarch64")]
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

#[cfg(target_arch = "x86_64")]
const WRITE: usize = 1;
#[cfg(target_arch = "x86_64")]
const EXIT_GROUP: usize = 231;
#[cfg(target_arch = "aarch64")]
const WRITE: usize = 64;
#[cfg(target_arch = "aarch64")]
const EXIT_GROUP: usize = 94;

/// Makes a system call.
///
/// # Safety
/// The arguments are what the kernel asks for in call `number`.
unsafe fn call(number: usize, arguments: [usize; 3]) -> isize {
    let result: isize;
    #[cfg(target_arch = "x86_64")]
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
    #[cfg(target_arch = "aarch64")]
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
