//! Rounds that an interrupt completes while `main` sleeps.

use core::cell::UnsafeCell;
use core::mem;

use completion_core::Completer;

use crate::payloads::{Refused, Response};
use crate::report::Report;
use crate::rounds::Begun;
use crate::waker::{is_woken, poll, wakes};
use crate::{FLAG, RESPONSE, machine};

/// What the next interrupt is to complete.
enum Work {
    Nothing,
    Flag(Completer<'static, bool, Refused>),
    Response(Completer<'static, Response, Refused>),
}

struct Desk(UnsafeCell<Work>);

// SAFETY: `main` writes before it arms the interrupt, and the interrupt alone reads after that.
unsafe impl Sync for Desk {}

static DESK: Desk = Desk(UnsafeCell::new(Work::Nothing));

/// What the interrupt does.
pub(crate) fn run() {
    // SAFETY: the interrupt is running, so `main`, which put the work here before, is not.
    let work = mem::replace(unsafe { &mut *DESK.0.get() }, Work::Nothing);
    match work {
        Work::Nothing => {}
        Work::Flag(completer) => drop(completer.complete(true)),
        Work::Response(completer) => drop(completer.complete(Response::new(200))),
    }
}

/// Waits for the outcome of a round that the next interrupt completes; none if it could not begin, or
/// if it was not one poll, one wake and another poll.
fn wait<T>(
    round: Begun<T>,
    work: impl FnOnce(Completer<'static, T, Refused>) -> Work,
) -> Option<T> {
    let (completer, mut completion) = round?;
    let pending = poll(&mut completion).is_none();
    // SAFETY: the interrupt is not armed, so nobody else uses the desk.
    drop(mem::replace(unsafe { &mut *DESK.0.get() }, work(completer)));
    machine::arm_interrupt();
    while !is_woken() {
        machine::sleep_unless(is_woken);
    }
    let value = poll(&mut completion)?.ok()?;
    (pending && wakes() == 1).then_some(value)
}

/// The checks of both instantiations.
pub(crate) fn check(report: &Report) {
    let flag = wait(FLAG.begin().ok(), Work::Flag);
    report.check("bool", "completed by an interrupt", flag == Some(true));
    let response = wait(RESPONSE.begin().ok(), Work::Response);
    let right = response.is_some_and(|response| response.is(200)) && Response::all_dropped();
    report.check("response", "completed by an interrupt", right);
}
