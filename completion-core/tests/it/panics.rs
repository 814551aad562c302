//! What panics, that it points at its caller, and what a panic of foreign code leaves behind.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::task::Waker;

use completion_core::CompletionSource;

use crate::support::{Ledger, Payload, Probe, caught, poll, unwind};

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
    static SEEN: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
}

/// The line of the panic of `step`, and whether it is in this file.
fn line_of_panic(step: impl FnOnce()) -> (u32, bool) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if EXPECTED.get() {
                let place = info
                    .location()
                    .expect("always there, says its documentation");
                SEEN.set(Some((place.line(), place.file().ends_with("panics.rs"))));
            } else {
                before(info);
            }
        }));
    });
    EXPECTED.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(step));
    EXPECTED.set(false);
    assert!(outcome.is_err(), "no panic");
    SEEN.take().expect("the hook ran")
}

/// Asserts that this call panics, and says that it is here.
macro_rules! assert_panics_here {
    ($call:expr) => {
        let seen = line_of_panic(|| {
            let _ = $call;
        });
        assert_eq!(seen, (line!(), true), "the line of the call, in this file");
    };
}

#[test]
fn a_poll_after_the_outcome_panics_at_the_caller() {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::Context;

    let source = CompletionSource::<u8, ()>::new();
    let (completer, mut completion) = source.begin().unwrap();
    completer.complete(1).unwrap();
    assert!(poll(&mut completion, Waker::noop()).is_ready());
    let mut context = Context::from_waker(Waker::noop());
    assert_panics_here!(Pin::new(&mut completion).poll(&mut context));
    assert!(completion.is_terminated());
    assert_eq!(completion.try_take(), None);
    drop(completion);
    assert!(source.begin().is_ok());
}

#[cfg(feature = "std")]
#[test]
fn a_receiver_that_is_used_up_panics_at_the_caller() {
    use completion_core::oneshot;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::Context;

    let (tx, mut rx) = oneshot::channel();
    tx.send(1).unwrap();
    assert_eq!(rx.try_recv(), Ok(1));
    let mut context = Context::from_waker(Waker::noop());
    assert_panics_here!(Pin::new(&mut rx).poll(&mut context));
    assert_panics_here!(rx.blocking_recv());
}

#[cfg(feature = "std")]
#[test]
fn a_wait_after_the_outcome_panics_at_the_caller() {
    let source = CompletionSource::<u8, ()>::new();
    let (completer, mut completion) = source.begin().unwrap();
    completer.complete(1).unwrap();
    assert_eq!(completion.try_take(), Some(Ok(1)));
    assert_panics_here!(completion.wait());
    assert!(source.begin().is_ok());
}

#[test]
fn a_deadline_polled_after_it_was_ready_panics_at_the_caller() {
    use std::future::{Future, ready};
    use std::pin::Pin;
    use std::task::Context;

    for completes in [true, false] {
        let source = CompletionSource::<u8, ()>::new();
        let (completer, completion) = source.begin().unwrap();
        match completes {
            true => completer.complete(1).unwrap(),
            false => std::mem::forget(completer),
        }
        let mut waiting = completion.with_deadline(ready(()));
        assert!(poll(&mut waiting, Waker::noop()).is_ready());
        let mut context = Context::from_waker(Waker::noop());
        assert_panics_here!(Pin::new(&mut waiting).poll(&mut context));
    }
}

#[cfg(feature = "std")]
#[test]
fn a_wait_with_a_timeout_after_the_outcome_panics_at_the_caller() {
    let source = CompletionSource::<u8, ()>::new();
    let (completer, mut completion) = source.begin().unwrap();
    completer.complete(1).unwrap();
    assert_eq!(completion.try_take(), Some(Ok(1)));
    assert_panics_here!(completion.wait_timeout(std::time::Duration::ZERO));
}

#[cfg(feature = "alloc")]
#[test]
fn a_pool_that_is_not_quiescent_says_so_at_the_caller() {
    let pool = completion_core::Pool::<u8, ()>::with_capacity(2);
    let (completer, completion) = pool.rent();
    let token = completer.into_held_token().unwrap();
    let mut completion = Some(completion);
    // Lent, and held.
    for _ in 0..2 {
        assert_panics_here!(pool.assert_quiescent());
        completion = None;
    }
    drop(completion);
    pool.cancel(token).unwrap_err();
    pool.assert_quiescent();
}

#[test]
fn a_payload_that_panics_in_a_reset_leaves_the_source_idle() {
    let ledger = Ledger::new();
    let mut source = CompletionSource::<Payload, Payload>::new();
    for begins in [false, true] {
        let (completer, completion) = source.begin().unwrap();
        completer.complete(ledger.payload(1)).unwrap();
        std::mem::forget(completion);
        ledger.on_drop.arm(unwind);
        assert!(
            caught(|| if begins {
                drop(source.begin_mut())
            } else {
                source.reset()
            })
            .is_none()
        );
        assert!(!ledger.on_drop.disarm());
        assert_eq!(ledger.live(), 0);
        assert!(source.begin().is_ok());
    }
}

#[test]
fn a_waker_that_panics_in_a_reset_leaves_the_source_idle() {
    let mut source = CompletionSource::<Payload, Payload>::new();
    let probe = Probe::new();
    let waker = probe.waker();
    let (completer, mut completion) = source.begin().unwrap();
    assert!(poll(&mut completion, &waker).is_pending());
    std::mem::forget((completer, completion));
    probe.on_drop.arm(unwind);
    assert!(caught(|| source.reset()).is_none());
    assert_eq!(probe.live(), 1);
    assert!(source.begin().is_ok());
}

#[test]
fn a_panic_of_the_task_that_holds_a_completer_abandons() {
    let source = CompletionSource::<u8, ()>::new();
    let (completer, mut completion) = source.begin().unwrap();
    let held = caught(move || {
        let _completer = completer;
        unwind();
    });
    assert!(held.is_none());
    assert_eq!(
        completion.try_take(),
        Some(Err(completion_core::CompletionError::Abandoned))
    );
}
