//! `with_deadline` and `wait_timeout`: the outcome or the time, never both, and never neither.

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::marker::PhantomPinned;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use completion_core::{CompletionError, CompletionSource, DeadlineError, Rejection, Status};

use crate::support::{Ledger, Payload, Probe, caught, poll, unwind};

type Source = CompletionSource<Payload, Payload>;

/// A timer that runs a step inside its poll, and is ready then.
fn at_poll(step: impl FnOnce()) -> impl Future<Output = ()> {
    let mut step = Some(step);
    std::future::poll_fn(move |_| {
        step.take().expect("not polled again")();
        Poll::Ready(())
    })
}

#[test]
fn an_outcome_that_is_there_wins_against_a_timer_that_is_ready() {
    let source = CompletionSource::<u32, &str>::new();
    let (completer, completion) = source.begin().unwrap();
    completer.complete(7).unwrap();
    let untouched = at_poll(|| unreachable!("nobody needs the timer"));
    let mut waiting = pin!(completion.with_deadline(untouched));
    let probe = Probe::new();
    assert_eq!(poll(&mut waiting, &probe.waker()), Poll::Ready(Ok(7)));
    assert_eq!(probe.clones(), 0);

    let (completer, completion) = source.begin().unwrap();
    completer.fail("no").unwrap();
    let outcome = poll(&mut completion.with_deadline(ready(())), &probe.waker());
    let failed = DeadlineError::Ended(CompletionError::Failed("no"));
    assert_eq!(outcome, Poll::Ready(Err(failed)));
}

#[test]
fn an_outcome_that_arrives_while_the_timer_is_polled_wins_as_well() {
    let ledger = Ledger::new();
    let source = Source::new();
    let (completer, completion) = source.begin().unwrap();
    let probe = Probe::new();
    {
        let timer = at_poll(|| completer.complete(ledger.payload(1)).unwrap());
        let mut waiting = pin!(completion.with_deadline(timer));
        let Poll::Ready(Ok(payload)) = poll(&mut waiting, &probe.waker()) else {
            panic!("it had arrived");
        };
        assert_eq!(payload.tag(), 1);
    }
    assert_eq!((ledger.live(), probe.live()), (0, 0));
    assert!(source.begin().is_ok());
}

#[test]
fn the_end_of_the_time_ends_the_round() {
    let ledger = Ledger::new();
    let source = Source::new();
    let probe = Probe::new();

    // Unique: the payload comes back.
    let (completer, completion) = source.begin().unwrap();
    let mut waiting = completion.with_deadline(ready(()));
    assert!(matches!(
        poll(&mut waiting, &probe.waker()),
        Poll::Ready(Err(DeadlineError::Elapsed))
    ));
    assert_eq!(probe.live(), 0, "before the future is dropped");
    assert!(completer.is_closed());
    let back = completer.complete(ledger.payload(1)).unwrap_err();
    assert_eq!(
        (back.reason(), back.into_payload().tag()),
        (Rejection::Closed, 1)
    );
    drop(waiting);

    // Shared: the token is stale, and the source serves on before the future is dropped.
    let (completer, completion) = source.begin().unwrap();
    let token = completer.into_token().unwrap();
    let mut waiting = completion.with_deadline(ready(()));
    assert!(matches!(
        poll(&mut waiting, &probe.waker()),
        Poll::Ready(Err(DeadlineError::Elapsed))
    ));
    assert_eq!(source.status(token), Status::Stale);
    let back = source.complete(token, ledger.payload(2)).unwrap_err();
    assert_eq!(
        (back.reason(), back.into_payload().tag()),
        (Rejection::Stale, 2)
    );
    drop(source.begin().unwrap());

    // Held: until the answer.
    let (completer, completion) = source.begin().unwrap();
    let token = completer.into_held_token().unwrap();
    let _ = poll(&mut completion.with_deadline(ready(())), &probe.waker());
    assert!(source.begin().is_err());
    assert_eq!(
        source.cancel(token).unwrap_err().reason(),
        Rejection::Closed
    );
    assert!(source.begin().is_ok());
    assert_eq!((ledger.live(), probe.live()), (0, 0));
}

#[test]
fn a_watching_completer_hears_that_the_time_is_over() {
    let source = Source::new();
    let (mut completer, completion) = source.begin().unwrap();
    let watcher = Probe::new();
    let waker = watcher.waker();
    assert!(
        completer
            .poll_closed(&mut Context::from_waker(&waker))
            .is_pending()
    );
    let _ = poll(
        &mut completion.with_deadline(ready(())),
        &Probe::new().waker(),
    );
    assert_eq!((watcher.wakes(), watcher.live()), (1, 1));
}

/// Says whether it was moved after it was polled, or dropped elsewhere.
struct Rooted {
    at: Cell<*const Self>,
    ready: Rc<Cell<bool>>,
    dropped: Rc<Cell<bool>>,
    _rooted: PhantomPinned,
}

impl Future for Rooted {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let here = std::ptr::from_ref(&*self);
        let before = self.at.replace(here);
        assert!(before.is_null() || before == here, "moved");
        if self.ready.get() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Rooted {
    fn drop(&mut self) {
        let here = std::ptr::from_ref(self);
        assert!(
            self.at.get().is_null() || self.at.get() == here,
            "dropped elsewhere"
        );
        self.dropped.set(true);
    }
}

#[test]
fn the_timer_stays_where_it_is_pinned() {
    let (go, dropped) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let timer = Rooted {
        at: Cell::new(std::ptr::null()),
        ready: Rc::clone(&go),
        dropped: Rc::clone(&dropped),
        _rooted: PhantomPinned,
    };
    let source = CompletionSource::<u32, ()>::new();
    let (completer, completion) = source.begin().unwrap();
    let mut waiting = Box::pin(completion.with_deadline(timer));
    let probe = Probe::new();
    let waker = probe.waker();
    for _ in 0..3 {
        assert!(poll(&mut waiting, &waker).is_pending());
    }
    assert_eq!(probe.clones(), 1);
    go.set(true);
    assert_eq!(
        poll(&mut waiting, &waker),
        Poll::Ready(Err(DeadlineError::Elapsed))
    );
    assert!(!dropped.get());
    drop(waiting);
    assert!(dropped.get());
    drop(completer);
}

#[test]
fn a_timer_that_panics_ends_nothing() {
    let source = CompletionSource::<u32, ()>::new();
    let (completer, completion) = source.begin().unwrap();
    let mut waiting = pin!(completion.with_deadline(at_poll(unwind)));
    let probe = Probe::new();
    assert!(caught(|| poll(&mut waiting, &probe.waker())).is_none());
    assert!(!completer.is_closed());
    completer.complete(3).unwrap();
    assert_eq!(probe.wakes(), 1);
    assert_eq!(poll(&mut waiting, &probe.waker()), Poll::Ready(Ok(3)));
}

#[test]
fn dropping_it_cancels() {
    let ledger = Ledger::new();
    let source = Source::new();
    let probe = Probe::new();
    for polled in [false, true] {
        let (completer, completion) = source.begin().unwrap();
        {
            let mut waiting = pin!(completion.with_deadline(pending::<()>()));
            assert!(format!("{waiting:?}").starts_with("WithDeadline"));
            if polled {
                assert!(poll(&mut waiting, &probe.waker()).is_pending());
            }
        }
        assert_eq!(
            completer
                .complete(ledger.payload(1))
                .unwrap_err()
                .into_payload()
                .tag(),
            1
        );
        assert_eq!((ledger.live(), probe.live()), (0, 0));
    }
}

#[test]
fn its_errors_say_what_happened_and_keep_their_cause() {
    use std::error::Error;

    let failed = DeadlineError::Ended(CompletionError::Failed(std::io::Error::other("unplugged")));
    assert_eq!(failed.source().unwrap().to_string(), "unplugged");
    let cancelled = DeadlineError::<std::io::Error>::Ended(CompletionError::Cancelled);
    assert_eq!(
        cancelled.to_string(),
        CompletionError::<u8>::Cancelled.to_string()
    );
    let elapsed = DeadlineError::<std::io::Error>::Elapsed;
    assert!(elapsed.source().is_none() && cancelled.source().is_none());
    assert_eq!(elapsed.to_string(), "the deadline has passed");
}

#[cfg(feature = "std")]
mod blocking {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_that_timed_out_goes_on() {
        let source = CompletionSource::<u32, ()>::new();
        let (completer, mut completion) = source.begin().unwrap();
        assert_eq!(completion.wait_timeout(Duration::ZERO), None);
        assert_eq!(completion.wait_timeout(Duration::from_nanos(1)), None);
        assert!(!completer.is_closed() && !completion.is_terminated());
        completer.complete(1).unwrap();
        // What is there is returned, whatever the time.
        assert_eq!(completion.wait_timeout(Duration::ZERO), Some(Ok(1)));
        assert!(completion.is_terminated());
    }

    #[test]
    fn a_wait_without_end_is_woken_by_each_ending() {
        let source = CompletionSource::<u32, ()>::new();
        for completes in [true, false] {
            let (completer, mut completion) = source.begin().unwrap();
            thread::scope(|scope| {
                scope.spawn(move || match completes {
                    true => completer.complete(2).unwrap(),
                    false => drop(completer),
                });
                let outcome = completion.wait_timeout(Duration::MAX);
                let expected = if completes {
                    Ok(2)
                } else {
                    Err(CompletionError::Abandoned)
                };
                assert_eq!(outcome, Some(expected));
            });
        }
    }
}
