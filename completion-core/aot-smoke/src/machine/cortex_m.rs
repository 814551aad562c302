//! A Cortex-M and nothing else: vectors, a start, an interrupt, and a debugger's ear.

use core::arch::{asm, global_asm};

// The stack and the handlers, as the processor reads them at 0; then what it starts. A fault, or an
// exception that nobody expects, ends the program.
global_asm!(
    ".section .vectors, \"a\"",
    ".word stack_top",
    ".word reset",
    ".rept 13",
    ".word {fault}",
    ".endr",
    ".word {interrupt}",
    ".section .text.reset, \"ax\"",
    ".globl reset",
    ".type reset, %function",
    ".thumb_func",
    "reset:",
    "ldr r0, =data_start",
    "ldr r1, =data_end",
    "ldr r2, =data_load",
    "0: cmp r0, r1",
    "bhs 1f",
    "ldm r2!, {{r3}}",
    "stm r0!, {{r3}}",
    "b 0b",
    "1: ldr r0, =bss_start",
    "ldr r1, =bss_end",
    "movs r3, #0",
    "2: cmp r0, r1",
    "bhs 3f",
    "stm r0!, {{r3}}",
    "b 2b",
    "3: bl {main}",
    "udf #0",
    ".size reset, . - reset",
    fault = sym fault,
    interrupt = sym interrupt,
    main = sym crate::main,
);

/// The timer that every Cortex-M has.
mod sys_tick {
    const CONTROL: *mut u32 = core::ptr::without_provenance_mut(0xE000_E010);
    const RELOAD: *mut u32 = core::ptr::without_provenance_mut(0xE000_E014);
    const CURRENT: *mut u32 = core::ptr::without_provenance_mut(0xE000_E018);
    /// The processor's clock, an exception at zero, enabled.
    const RUN: u32 = 0b111;

    fn write(register: *mut u32, value: u32) {
        // SAFETY: one of the three registers above, which no memory of the program overlaps.
        unsafe { register.write_volatile(value) };
    }

    pub(super) fn start(ticks: u32) {
        write(RELOAD, ticks);
        write(CURRENT, 0);
        write(CONTROL, RUN);
    }

    pub(super) fn stop() {
        write(CONTROL, 0);
    }
}

extern "C" fn fault() -> ! {
    print("FAIL faulted\n");
    exit(102)
}

extern "C" fn interrupt() {
    sys_tick::stop();
    crate::interrupt::run();
}

/// Has [`crate::interrupt::run`] called once, soon, by an interrupt.
pub(crate) fn arm_interrupt() {
    sys_tick::start(10_000);
}

/// Sleeps until an interrupt has run, unless `awake` says that there is no need.
///
/// Asked and gone to sleep with interrupts masked: one that comes between still ends the sleep.
pub(crate) fn sleep_unless(awake: impl FnOnce() -> bool) {
    // SAFETY: masks interrupts; nothing else depends on the mask.
    unsafe { asm!("cpsid i", options(nostack, preserves_flags)) };
    if !awake() {
        // SAFETY: waits for an interrupt to be pending, masked or not.
        unsafe { asm!("wfi", options(nostack, preserves_flags)) };
    }
    // SAFETY: unmasks interrupts, as they were before; a pending one runs here.
    unsafe { asm!("cpsie i", "isb", options(nostack, preserves_flags)) };
}

/// Asks the debugger, which is QEMU, for a service.
///
/// # Safety
/// `argument` is what the service `number` asks for.
unsafe fn semihost(number: usize, argument: *const usize) {
    // SAFETY: the debugger's convention: number in r0, which is lost, argument in r1. What the service
    // does is the caller's to justify.
    unsafe {
        asm!(
            "bkpt #0xAB",
            inlateout("r0") number => _,
            in("r1") argument,
            options(nostack, preserves_flags),
        );
    }
}

/// Writes to the debugger's console.
pub(crate) fn print(text: &str) {
    const WRITE_BYTE: usize = 0x03;
    for byte in text.bytes() {
        // SAFETY: reads one byte from the address.
        unsafe { semihost(WRITE_BYTE, (&raw const byte).cast()) };
    }
}

/// Ends the program, and QEMU with it.
pub(crate) fn exit(code: usize) -> ! {
    const EXIT_EXTENDED: usize = 0x20;
    const APPLICATION_EXIT: usize = 0x2_0026;
    let reason = [APPLICATION_EXIT, code];
    loop {
        // SAFETY: reads two words from the address, and does not return.
        unsafe { semihost(EXIT_EXTENDED, reason.as_ptr()) };
    }
}
