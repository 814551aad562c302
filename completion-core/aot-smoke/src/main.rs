//! completion-core where there is nothing else: no std, no libc, no allocator, no unwinding.
//!
//! Two instantiations of the source, a `bool` and a response that must be dropped, are each completed
//! before and after the first poll, by token, and, where the machine has one to spare, by an
//! interrupt. With the feature `fallback` there is an allocator, and each runs in a pool of capacity 0
//! as well. Prints a line per check, and exits with the number of those that failed.
//! `docs/aot-smoke.md` says what this proves.

#![no_std]
#![no_main]

#[cfg(feature = "fallback")]
mod fallback;
#[cfg(all(target_arch = "arm", target_os = "none"))]
mod interrupt;
mod machine;
mod payloads;
mod report;
mod rounds;
mod tokens;
mod waker;

#[cfg(target_has_atomic = "ptr")]
use core::sync::atomic;
#[cfg(not(target_has_atomic = "ptr"))]
use portable_atomic as atomic;

use core::panic::PanicInfo;

use completion_core::CompletionSource;

use payloads::{Refused, Response};
use report::Report;

/// Without unwinding there is one thing left to do. A second handler, which std would bring, would
/// be an error of the compiler.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    machine::print("FAIL panicked\n");
    machine::exit(101)
}

static FLAG: CompletionSource<bool, Refused> = CompletionSource::new();
static RESPONSE: CompletionSource<Response, Refused> = CompletionSource::new();

/// What the machine's way in calls.
extern "C" fn main() -> ! {
    let report = Report::default();
    let begun = rounds::flag(&report, "bool", || FLAG.begin().ok()).is_some()
        && tokens::flag(&report, "bool", &FLAG).is_some();
    report.check("bool", "every round begun", begun);
    let begun = rounds::response(&report, "response", || RESPONSE.begin().ok()).is_some()
        && tokens::response(&report, "response", &RESPONSE).is_some();
    report.check("response", "every round begun", begun);
    #[cfg(all(target_arch = "arm", target_os = "none"))]
    interrupt::check(&report);
    #[cfg(feature = "fallback")]
    fallback::run(&report);
    report.check("wakers", "all are gone", waker::wakers() == 0);
    machine::exit(report.failed())
}
