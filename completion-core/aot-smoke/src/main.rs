//! completion-core where there is nothing else: no std, no libc, no allocator, no unwinding.
//!
//! Two instantiations of the source, a `bool` and a response that must be dropped, are each completed
//! before and after the first poll, and once by token. Prints a line per check, and exits with the
//! number of those that failed. `docs/aot-smoke.md` says what this proves.

#![no_std]
#![no_main]

mod linux;

use core::cell::Cell;
use core::future::Future;
use core::panic::PanicInfo;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use completion_core::{CompletionError, CompletionSource, Rejection, Status, Token};

/// Without unwinding there is one thing left to do. A second handler, which std would bring, would
/// be an error of the compiler.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    linux::print("FAIL panicked\n");
    linux::exit(101)
}

static WAKES: AtomicUsize = AtomicUsize::new(0);
static WAKERS: AtomicUsize = AtomicUsize::new(1);
static RESPONSES: AtomicUsize = AtomicUsize::new(0);

/// A waker that counts, and that nothing owns.
static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        WAKERS.fetch_add(1, Ordering::Relaxed);
        RawWaker::new(data, &TABLE)
    },
    |_| {
        WAKES.fetch_add(1, Ordering::Relaxed);
        WAKERS.fetch_sub(1, Ordering::Relaxed);
    },
    |_| {
        WAKES.fetch_add(1, Ordering::Relaxed);
    },
    |_| {
        WAKERS.fetch_sub(1, Ordering::Relaxed);
    },
);

/// Shaped like the response of a client: a status, some headers, a body of its own.
struct Response {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: [u8; 8],
}

impl Response {
    fn new(status: u16) -> Self {
        RESPONSES.fetch_add(1, Ordering::Relaxed);
        Self {
            status,
            headers: &[("content-type", "text/plain")],
            body: u64::from(status).to_ne_bytes(),
        }
    }

    fn is(&self, status: u16) -> bool {
        self.status == status
            && self.headers.len() == 1
            && self.body == u64::from(status).to_ne_bytes()
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        RESPONSES.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Refused(u8);

static FLAG: CompletionSource<bool, Refused> = CompletionSource::new();
static RESPONSE: CompletionSource<Response, Refused> = CompletionSource::new();

/// Prints the result of each check, and counts the failed ones.
#[derive(Default)]
struct Report {
    failed: Cell<usize>,
}

impl Report {
    fn check(&self, name: &str, holds: bool) {
        linux::print(if holds { "PASS " } else { "FAIL " });
        linux::print(name);
        linux::print("\n");
        self.failed.set(self.failed.get() + usize::from(!holds));
    }
}

fn poll<F: Future + Unpin>(future: &mut F, context: &mut Context<'_>) -> Option<F::Output> {
    match Pin::new(future).poll(context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn wakes() -> usize {
    WAKES.swap(0, Ordering::Relaxed)
}

/// The checks of the `bool`; none if the source could not even begin.
fn flag(report: &Report, context: &mut Context<'_>) -> Option<()> {
    let (completer, mut completion) = FLAG.begin().ok()?;
    let accepted = completer.complete(true).is_ok();
    let outcome = poll(&mut completion, context);
    let right = accepted && outcome == Some(Ok(true)) && wakes() == 0;
    report.check("bool, completed before the first poll", right);

    let (completer, mut completion) = FLAG.begin().ok()?;
    let pending = poll(&mut completion, context).is_none();
    let accepted = completer.complete(false).is_ok() && wakes() == 1;
    let outcome = poll(&mut completion, context);
    let right = pending && accepted && outcome == Some(Ok(false));
    report.check("bool, completed after the first poll", right);

    let (completer, mut completion) = FLAG.begin().ok()?;
    let token = Token::from_bits(completer.into_token().ok()?.to_bits());
    let pending = poll(&mut completion, context).is_none();
    let won = FLAG.fail(token, Refused(7)).is_ok() && wakes() == 1;
    let lost = FLAG.complete(token, true).err();
    let lost = lost.is_some_and(|lost| lost.reason() == Rejection::Lost && lost.into_payload());
    let outcome = poll(&mut completion, context);
    let right = pending && won && lost && outcome == Some(Err(CompletionError::Failed(Refused(7))));
    report.check("bool, a round by token, one winner", right);

    let stale = FLAG.status(token) == Status::Stale && FLAG.cancel(token).is_err();
    report.check("bool, the token is stale afterwards", stale);
    Some(())
}

/// The checks of the response; none if the source could not even begin.
fn response(report: &Report, context: &mut Context<'_>) -> Option<()> {
    let all_dropped = || RESPONSES.load(Ordering::Relaxed) == 0;

    let (completer, mut completion) = RESPONSE.begin().ok()?;
    let accepted = completer.complete(Response::new(200)).is_ok();
    let outcome = poll(&mut completion, context);
    let right = matches!(&outcome, Some(Ok(response)) if response.is(200));
    drop(outcome);
    let right = accepted && right && wakes() == 0 && all_dropped();
    report.check("response, completed before the first poll", right);

    let (completer, mut completion) = RESPONSE.begin().ok()?;
    let pending = poll(&mut completion, context).is_none();
    let accepted = completer.complete(Response::new(404)).is_ok() && wakes() == 1;
    let outcome = poll(&mut completion, context);
    let right = matches!(&outcome, Some(Ok(response)) if response.is(404));
    drop(outcome);
    let right = pending && accepted && right && all_dropped();
    report.check("response, completed after the first poll", right);

    let (completer, mut completion) = RESPONSE.begin().ok()?;
    let token = Token::from_bits(completer.into_token().ok()?.to_bits());
    let pending = poll(&mut completion, context).is_none();
    let won = RESPONSE.complete(token, Response::new(204)).is_ok() && wakes() == 1;
    let lost = RESPONSE.complete(token, Response::new(500)).err();
    let lost = lost.is_some_and(|lost| lost.into_payload().is(500));
    let outcome = poll(&mut completion, context);
    let right = matches!(&outcome, Some(Ok(response)) if response.is(204));
    drop(outcome);
    let right = pending && won && lost && right && all_dropped();
    report.check("response, a round by token, one winner", right);

    let (completer, completion) = RESPONSE.begin().ok()?;
    let accepted = completer.complete(Response::new(200)).is_ok();
    drop(completion);
    report.check("response, dropped untaken", accepted && all_dropped());

    let (completer, mut completion) = RESPONSE.begin().ok()?;
    let pending = poll(&mut completion, context).is_none();
    drop(completion);
    let closed = completer.is_closed();
    let back = completer.complete(Response::new(200)).err();
    let back = back.is_some_and(|rejected| rejected.into_payload().is(200));
    let right = pending && closed && back && wakes() == 0 && all_dropped();
    report.check("response, given back when nobody waits", right);

    let (completer, mut completion) = RESPONSE.begin().ok()?;
    let pending = poll(&mut completion, context).is_none();
    drop(completer);
    let abandoned = matches!(
        poll(&mut completion, context),
        Some(Err(CompletionError::Abandoned))
    );
    let right = pending && abandoned && wakes() == 1;
    report.check("response, abandoned by a dropped completer", right);
    Some(())
}

/// What `_start` calls.
extern "C" fn main() -> ! {
    let report = Report::default();
    // SAFETY: the table's functions count and touch no data, so they are sound for any.
    let waker = unsafe { Waker::new(core::ptr::null(), &TABLE) };
    let mut context = Context::from_waker(&waker);

    let begun = flag(&report, &mut context).is_some();
    report.check("bool, every round begun", begun);
    let begun = response(&report, &mut context).is_some();
    report.check("response, every round begun", begun);

    let wakers = WAKERS.load(Ordering::Relaxed);
    report.check("one waker is left, this program's own", wakers == 1);
    linux::exit(report.failed.get())
}
