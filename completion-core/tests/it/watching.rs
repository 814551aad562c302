//! A completer learns that nobody waits: `poll_closed`, `closed`, `is_closed`; and `Completion::close`,
//! `is_ready`.

use std::task::{Context, Poll, Waker};

use completion_core::{Completer, CompletionError, CompletionSource, Rejection};
use futures_lite::future::{block_on, or, poll_once};

use crate::support::{Ledger, Payload, Probe, caught, poll, scaled, unwind};

type Source = CompletionSource<Payload, Payload>;

fn watch<T, E>(completer: &mut Completer<'_, T, E>, waker: &Waker) -> Poll<()> {
    completer.poll_closed(&mut Context::from_waker(waker))
}

#[test]
fn who_watches_is_woken_when_the_completion_leaves_or_closes() {
    for polled in [false, true] {
        for closes in [false, true] {
            let source = Source::new();
            let (mut completer, mut completion) = source.begin().unwrap();
            let (watcher, waiter) = (Probe::new(), Probe::new());
            assert!(watch(&mut completer, &watcher.waker()).is_pending());
            assert!(!completer.is_closed());
            if polled {
                assert!(poll(&mut completion, &waiter.waker()).is_pending());
            }
            if closes {
                assert!(completion.close());
            } else {
                drop(completion);
            }
            // irrustible/async-oneshot#5: the right side is woken, and only it.
            assert_eq!((watcher.wakes(), watcher.live()), (1, 0));
            assert_eq!((waiter.wakes(), waiter.live()), (0, 0));
            assert!(completer.is_closed());
            assert!(watch(&mut completer, &watcher.waker()).is_ready());
            assert_eq!(watcher.live(), 0);
        }
    }
}

/// tokio#1648, #7884, #8095: a waker that outlives its use keeps a task alive.
#[test]
fn the_watching_waker_is_gone_the_moment_the_completer_is_used_up() {
    type End = fn(Completer<'_, Payload, Payload>, &Ledger);
    let ends: [End; 6] = [
        |completer, ledger| completer.complete(ledger.payload(1)).unwrap(),
        |completer, ledger| completer.fail(ledger.payload(2)).unwrap(),
        |completer, _| completer.cancel().unwrap(),
        |completer, _| drop(completer),
        |completer, _| assert!(completer.into_token().is_ok()),
        |completer, _| assert!(completer.into_held_token().is_ok()),
    ];
    let ledger = Ledger::new();
    for end in ends {
        for polled in [false, true] {
            let source = Source::new();
            let (mut completer, mut completion) = source.begin().unwrap();
            let (watcher, waiter) = (Probe::new(), Probe::new());
            assert!(watch(&mut completer, &watcher.waker()).is_pending());
            if polled {
                assert!(poll(&mut completion, &waiter.waker()).is_pending());
            }
            end(completer, &ledger);
            assert_eq!((watcher.wakes(), watcher.live()), (0, 0), "nobody left");
            let ended = completion.is_ready();
            assert_eq!(waiter.wakes(), usize::from(polled && ended));
        }
    }
    assert_eq!(ledger.live(), 0);
}

/// faern/oneshot#15, windows-rs#342: the first waker was kept, later ones ignored.
#[test]
fn only_the_last_watching_waker_is_woken_and_one_waker_is_cloned_once() {
    let source = Source::new();
    let (mut completer, completion) = source.begin().unwrap();
    let (first, second) = (Probe::new(), Probe::new());
    assert!(watch(&mut completer, &first.waker()).is_pending());
    let waker = second.waker();
    for _ in 0..scaled(100_000, 300) {
        assert!(watch(&mut completer, &waker).is_pending());
    }
    assert_eq!((first.live(), second.clones()), (0, 1));
    drop(completion);
    assert_eq!((first.wakes(), second.wakes(), second.live()), (0, 1, 1));
}

#[test]
fn any_number_of_alternating_wakers_watch_one_round() {
    let source = Source::new();
    let (mut completer, completion) = source.begin().unwrap();
    let probes = [Probe::new(), Probe::new()];
    for turn in 0..1_001 {
        assert!(watch(&mut completer, &probes[turn % 2].waker()).is_pending());
        assert_eq!(probes[1 - turn % 2].live(), 0);
    }
    drop(completion);
    assert_eq!((probes[0].wakes(), probes[1].wakes()), (1, 0));
    assert_eq!(probes[0].live(), 0);
}

#[test]
fn a_watch_of_a_round_that_is_over_clones_nothing() {
    let source = Source::new();
    let (mut completer, completion) = source.begin().unwrap();
    drop(completion);
    let probe = Probe::new();
    assert!(watch(&mut completer, &probe.waker()).is_ready());
    assert!(watch(&mut completer, &probe.waker()).is_ready());
    assert_eq!((probe.clones(), probe.live()), (0, 0));
}

/// irrustible/async-oneshot#9: the state was not looked at again after registering.
#[test]
fn a_leaving_inside_the_registration_is_not_missed() {
    static SOURCE: Source = Source::new();
    let (mut completer, completion) = SOURCE.begin().unwrap();
    let probe = Probe::new();
    probe.on_clone.arm(move || drop(completion));
    assert!(watch(&mut completer, &probe.waker()).is_ready());
    assert_eq!((probe.wakes(), probe.live()), (0, 0));
    drop(completer);
    assert!(SOURCE.begin().is_ok());
}

#[test]
fn a_payload_comes_back_also_where_somebody_watched() {
    let ledger = Ledger::new();
    let source = Source::new();
    let (mut completer, completion) = source.begin().unwrap();
    assert!(watch(&mut completer, Waker::noop()).is_pending());
    drop(completion);
    let back = completer.complete(ledger.payload(4)).unwrap_err();
    assert_eq!(
        (back.reason(), back.into_payload().tag()),
        (Rejection::Closed, 4)
    );
    assert!(source.begin().is_ok());
}

#[test]
fn closed_is_a_future_that_loses_nothing_when_dropped() {
    let source = CompletionSource::<u32, ()>::new();
    let (mut completer, mut completion) = source.begin().unwrap();
    assert_eq!(block_on(poll_once(completer.closed())), None);
    // The work wins against nobody leaving.
    assert_eq!(
        block_on(or(async { Some(7) }, async {
            completer.closed().await;
            None
        })),
        Some(7)
    );
    completer.complete(7).unwrap();
    assert_eq!(completion.try_take(), Some(Ok(7)));

    let (mut completer, completion) = source.begin().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(completion));
        block_on(completer.closed());
    });
    assert!(completer.is_closed());
}

/// RUSTSEC-2021-0124, tokio#4225: closing and taking, when a value had arrived.
#[test]
fn closing_ends_a_pending_round_once_and_keeps_what_had_arrived() {
    let ledger = Ledger::new();
    let source = Source::new();
    let (completer, mut completion) = source.begin().unwrap();
    assert!(!completion.is_ready());
    assert!(completion.close());
    assert!(!completion.close(), "it is closed");
    assert!(completion.is_ready() && !completion.is_terminated());
    assert_eq!(
        completer
            .fail(ledger.payload(1))
            .unwrap_err()
            .into_payload()
            .tag(),
        1
    );
    assert!(source.begin().is_err(), "the outcome was not taken");
    assert!(matches!(
        completion.try_take(),
        Some(Err(CompletionError::Cancelled))
    ));
    assert!(!completion.is_ready() && !completion.close(), "it is spent");

    let (completer, mut completion) = source.begin().unwrap();
    completer.complete(ledger.payload(2)).unwrap();
    assert!(!completion.close());
    assert_eq!(completion.try_take().unwrap().unwrap().tag(), 2);

    // By token: lost while the consumer is about, stale once it left.
    let (completer, mut completion) = source.begin().unwrap();
    let token = completer.into_token().unwrap();
    assert!(completion.close());
    let lost = source.complete(token, ledger.payload(3)).unwrap_err();
    assert_eq!(
        (lost.reason(), lost.into_payload().tag()),
        (Rejection::Lost, 3)
    );
    drop(completion);
    assert_eq!(source.cancel(token).unwrap_err().reason(), Rejection::Stale);
    assert_eq!(ledger.live(), 0);
}

#[test]
fn a_waker_that_waited_is_freed_by_closing_and_not_woken() {
    let source = Source::new();
    let (_completer, mut completion) = source.begin().unwrap();
    let probe = Probe::new();
    assert!(poll(&mut completion, &probe.waker()).is_pending());
    assert!(completion.close());
    assert_eq!((probe.wakes(), probe.live()), (0, 0));
    assert!(poll(&mut completion, &probe.waker()).is_ready());
    assert_eq!(probe.live(), 0);
}

#[test]
fn a_watcher_that_panics_spoils_no_round() {
    let ledger = Ledger::new();
    let source = Source::new();
    for closes in [false, true] {
        let (mut completer, completion) = source.begin().unwrap();
        let mut completion = Some(completion);
        let (watcher, waiter) = (Probe::new(), Probe::new());
        assert!(watch(&mut completer, &watcher.waker()).is_pending());
        assert!(poll(completion.as_mut().unwrap(), &waiter.waker()).is_pending());
        watcher.on_wake.arm(unwind);
        let left = caught(|| match closes {
            true => drop(completion.as_mut().unwrap().close()),
            false => drop(completion.take()),
        });
        assert!(left.is_none());
        assert_eq!((watcher.live(), waiter.live()), (0, 0));
        assert!(completer.is_closed());
        assert!(completer.complete(ledger.payload(1)).is_err());
        drop(completion);
        assert!(source.begin().is_ok());
        assert_eq!(ledger.live(), 0);
    }
}

/// The completer watches, completes or leaves while the completion waits, closes or leaves.
#[test]
fn watching_races_leaving() {
    static SOURCE: CompletionSource<u64, ()> = CompletionSource::new();
    for turn in 0..scaled(3_000, 30) as u64 {
        let (mut completer, mut completion) = SOURCE.begin().unwrap();
        std::thread::scope(|scope| {
            let producer = scope.spawn(move || {
                if turn % 3 == 0 {
                    let watcher = Probe::new();
                    let pending = watch(&mut completer, &watcher.waker()).is_pending();
                    // If pending, unless the completion has left by now.
                    assert!(watcher.live() <= isize::from(pending));
                }
                if turn % 2 == 0 {
                    block_on(completer.closed());
                    assert_eq!(completer.complete(turn).unwrap_err().into_payload(), turn);
                    false
                } else {
                    completer.complete(turn).is_ok()
                }
            });
            let seen = match turn % 4 {
                0 => {
                    drop(completion);
                    None
                }
                _ => {
                    let _ = poll(&mut completion, Waker::noop());
                    if completion.is_terminated() {
                        Some(())
                    } else {
                        completion.close();
                        completion
                            .try_take()
                            .unwrap()
                            .ok()
                            .map(|value| assert_eq!(value, turn))
                    }
                }
            };
            let accepted = producer.join().unwrap();
            if turn % 4 != 0 {
                assert_eq!(seen.is_some(), accepted);
            }
        });
    }
}
