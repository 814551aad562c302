//! `Pool::close` and `close_with`: what becomes of a round in every state that it can be in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use completion_core::{
    Completer, Completion, CompletionError, Pool, Rejection, RentError, Status, Token,
};

use futures_lite::future::block_on;

use crate::support::{Ledger, Payload, Probe, caught, poll, scaled, unwind};

type Closing = Pool<Payload, Payload>;

const CAUSE: u64 = 77;

fn close(pool: &Closing, ledger: &Ledger) {
    let ledger = ledger.clone();
    assert!(pool.close_with(move || ledger.payload(CAUSE)));
    assert!(pool.is_closed());
}

/// The tag of what a round was failed with.
fn failure(mut completion: Completion<'_, Payload, Payload>) -> u64 {
    let outcome = completion.try_take().expect("it has ended");
    outcome
        .unwrap_err()
        .into_failure()
        .expect("the cause")
        .tag()
}

#[test]
fn a_unique_round_ends_with_the_cause_whoever_waits_or_watches() {
    let ledger = Ledger::new();
    for (polled, watched) in [(false, false), (true, false), (false, true), (true, true)] {
        let pool = Closing::with_capacity(1);
        let (mut completer, mut completion) = pool.try_rent().unwrap();
        let (waiter, watcher) = (Probe::new(), Probe::new());
        if polled {
            assert!(poll(&mut completion, &waiter.waker()).is_pending());
        }
        if watched {
            let waker = watcher.waker();
            let mut context = std::task::Context::from_waker(&waker);
            assert!(completer.poll_closed(&mut context).is_pending());
        }
        close(&pool, &ledger);
        assert_eq!((waiter.wakes(), waiter.live()), (polled.into(), 0));
        assert_eq!((watcher.wakes(), watcher.live()), (watched.into(), 0));
        assert!(completer.is_closed() && completion.is_ready());
        assert_eq!(failure(completion), CAUSE);
        let back = completer.complete(ledger.payload(1)).unwrap_err();
        assert_eq!(
            (back.reason(), back.into_payload().tag()),
            (Rejection::Closed, 1)
        );
        pool.assert_quiescent();
    }
    assert_eq!(ledger.live(), 0);
}

#[test]
fn whichever_handle_leaves_first_the_source_comes_home() {
    let ledger = Ledger::new();
    type Leave =
        fn(&Ledger, Completer<'static, Payload, Payload>, Completion<'static, Payload, Payload>);
    let ways: [Leave; 5] = [
        |_, completer, completion| drop((completer, completion)),
        |_, completer, completion| drop((completion, completer)),
        |_, completer, completion| {
            assert_eq!(completer.cancel().unwrap_err().reason(), Rejection::Closed);
            assert_eq!(failure(completion), CAUSE);
        },
        |ledger, completer, completion| {
            assert_eq!(failure(completion), CAUSE);
            assert_eq!(
                completer
                    .fail(ledger.payload(3))
                    .unwrap_err()
                    .into_payload()
                    .tag(),
                3
            );
        },
        |_, completer, completion| {
            let token = completer.into_held_token().unwrap();
            assert_ne!(token, Token::from_bits(u64::MAX));
            drop(completion);
        },
    ];
    for leave in ways {
        let pool = Closing::with_capacity(1);
        let (completer, completion) = pool.try_rent().unwrap();
        close(&pool, &ledger);
        assert_eq!(pool.stats().in_use, 1);
        leave(&ledger, completer, completion);
        pool.assert_quiescent();
    }
    assert_eq!(ledger.live(), 0);
}

#[test]
fn a_shared_round_ends_with_the_cause_and_its_tokens_lose() {
    let ledger = Ledger::new();
    for held in [false, true] {
        let pool = Closing::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        let token = if held {
            completer.into_held_token().unwrap()
        } else {
            completer.into_token().unwrap()
        };
        let probe = Probe::new();
        assert!(poll(&mut completion, &probe.waker()).is_pending());
        close(&pool, &ledger);
        assert_eq!((probe.wakes(), probe.live()), (1, 0));
        assert_eq!(pool.status(token), Status::Cancelled);
        let lost = pool.complete(token, ledger.payload(1)).unwrap_err();
        assert_eq!(
            (lost.reason(), lost.into_payload().tag()),
            (Rejection::Lost, 1)
        );
        assert_eq!(failure(completion), CAUSE);
        assert_eq!(pool.status(token), Status::Stale);
        // Held or not, nothing is waited for any more.
        pool.assert_quiescent();
    }
    assert_eq!(ledger.live(), 0);
}

#[test]
fn a_round_that_nobody_awaits_is_let_go_of() {
    let ledger = Ledger::new();
    let pool = Closing::with_capacity(2);
    // Held, and deserted by its waiter.
    let (completer, completion) = pool.try_rent().unwrap();
    let token = completer.into_held_token().unwrap();
    drop(completion);
    // Unique, and deserted by its waiter.
    let (completer, completion) = pool.try_rent().unwrap();
    drop(completion);
    assert_eq!((pool.stats().in_use, pool.stats().held), (2, 1));
    close(&pool, &ledger);
    assert_eq!((pool.stats().in_use, pool.stats().held), (1, 0));
    assert_eq!(pool.cancel(token).unwrap_err().reason(), Rejection::Stale);
    drop(completer);
    pool.assert_quiescent();
    assert_eq!(ledger.live(), 0, "nobody asked for the cause");
}

#[test]
fn what_had_ended_before_stays_as_it_ended() {
    let ledger = Ledger::new();
    let pool = Closing::with_capacity(8);
    let rent = || pool.try_rent().unwrap();
    let (completer, mut value) = rent();
    completer.complete(ledger.payload(1)).unwrap();
    let (completer, error) = rent();
    completer.fail(ledger.payload(2)).unwrap();
    let (completer, mut cancelled) = rent();
    completer.cancel().unwrap();
    let (completer, mut abandoned) = rent();
    drop(completer);
    let (_given_up, mut given_up) = rent();
    assert!(given_up.close());
    // Closed by its waiter, and still held.
    let (completer, mut held) = rent();
    let token = completer.into_held_token().unwrap();
    assert!(held.close());

    close(&pool, &ledger);
    assert_eq!(value.try_take().unwrap().unwrap().tag(), 1);
    assert_eq!(failure(error), 2);
    assert!(matches!(
        cancelled.try_take(),
        Some(Err(CompletionError::Cancelled))
    ));
    assert!(matches!(
        abandoned.try_take(),
        Some(Err(CompletionError::Abandoned))
    ));
    assert!(matches!(
        given_up.try_take(),
        Some(Err(CompletionError::Cancelled))
    ));
    assert_eq!(pool.cancel(token).unwrap_err().reason(), Rejection::Lost);
    assert!(matches!(
        held.try_take(),
        Some(Err(CompletionError::Cancelled))
    ));
    assert_eq!(pool.stats().in_use, 1, "a completer is about");
}

#[test]
fn a_closed_pool_rents_no_more() {
    let pool = Pool::<u64, u64>::with_capacity(2);
    let twin = pool.clone();
    assert!(!twin.is_closed());
    assert!(pool.close(5));
    assert!(twin.is_closed());
    assert_eq!(pool.try_rent().unwrap_err(), RentError::Closed);
    // Who cannot be refused gets a round that is over.
    let (completer, mut completion) = twin.rent();
    assert!(completer.is_closed());
    assert_eq!(completer.complete(1).unwrap_err().into_payload(), 1);
    assert_eq!(completion.try_take(), Some(Err(CompletionError::Cancelled)));
    assert_eq!((pool.stats().rented, pool.stats().overflowed), (0, 1));

    let empty = Pool::<u64, u64>::with_capacity(0);
    assert!(empty.close(5));
    assert_eq!(empty.try_rent().unwrap_err(), RentError::Closed);
}

#[test]
fn the_first_cause_counts_and_each_is_dropped() {
    let (first, second) = (Ledger::new(), Ledger::new());
    let pool = Pool::<Payload, u64>::with_capacity(1);
    let (completer, mut completion) = pool.try_rent().unwrap();
    let kept = first.payload(1);
    assert!(pool.close_with(move || kept.tag()));
    let kept = second.payload(2);
    assert!(!pool.close_with(move || kept.tag()));
    assert_eq!((first.live(), second.live()), (1, 0));
    drop(pool);
    assert_eq!(first.live(), 1, "a round is out");
    let outcome = completion.try_take().unwrap();
    assert_eq!(outcome.unwrap_err().into_failure(), Some(1));
    drop(completer);
    assert_eq!(first.live(), 0, "it goes with the pool");
}

#[test]
fn the_cause_is_made_by_each_who_asks_and_by_nobody_else() {
    let made = Arc::new(AtomicUsize::new(0));
    let pool = Pool::<u64, usize>::with_capacity(4);
    let rounds: Vec<_> = (0..4).map(|_| pool.try_rent().unwrap()).collect();
    let count = Arc::clone(&made);
    pool.close_with(move || count.fetch_add(1, Ordering::SeqCst));
    assert_eq!(made.load(Ordering::SeqCst), 0);
    for (turn, (_completer, mut completion)) in rounds.into_iter().enumerate() {
        if turn % 2 == 0 {
            let outcome = completion.try_take().unwrap();
            assert_eq!(outcome.unwrap_err().into_failure(), Some(turn / 2));
        }
    }
    assert_eq!(made.load(Ordering::SeqCst), 2);
}

#[test]
fn a_cause_that_panics_leaves_the_handle_good_and_the_source_comes_home() {
    let pool = Pool::<u64, u64>::with_capacity(1);
    let (completer, mut completion) = pool.try_rent().unwrap();
    let ledger = Ledger::new();
    let trap = ledger.clone();
    ledger.on_drop.arm(unwind);
    pool.close_with(move || {
        drop(trap.payload(1));
        9
    });
    drop(completer);
    assert!(caught(|| completion.try_take()).is_none());
    assert!(!completion.is_terminated());
    let outcome = completion.try_take().unwrap();
    assert_eq!(outcome.unwrap_err().into_failure(), Some(9));
    pool.assert_quiescent();
}

#[test]
fn rounds_beyond_the_capacity_are_out_of_reach() {
    let pool = Pool::<u64, u64>::with_capacity(1);
    let _within = pool.rent();
    let (completer, mut completion) = pool.rent();
    pool.close(1);
    assert!(!completer.is_closed());
    completer.complete(4).unwrap();
    assert_eq!(completion.try_take(), Some(Ok(4)));
}

/// dotnet/coreclr#22711 and its like: whatever runs inside the sweep, no round is missed, none twice.
#[test]
fn a_waker_that_panics_or_re_enters_does_not_stop_the_sweep() {
    // More than one shard of a pool.
    const SOURCES: usize = 200;
    for hostile in [0, 1, SOURCES / 2, SOURCES - 1] {
        for panics in [false, true] {
            let ledger = Ledger::new();
            let pool = Closing::with_capacity(SOURCES as u16);
            let probes: Vec<_> = (0..SOURCES).map(|_| Probe::new()).collect();
            let mut rounds: Vec<_> = probes
                .iter()
                .map(|probe| {
                    let (completer, mut completion) = pool.try_rent().unwrap();
                    assert!(poll(&mut completion, &probe.waker()).is_pending());
                    (completer, completion)
                })
                .collect();
            let probe = &probes[hostile];
            if panics {
                probe.on_wake.arm(unwind);
                assert!(caught(|| close(&pool, &ledger)).is_none());
            } else {
                let (twin, mine, inner) =
                    (pool.clone(), rounds.swap_remove(hostile), ledger.clone());
                probe.on_wake.arm(move || {
                    assert_eq!(twin.try_rent().unwrap_err(), RentError::Closed);
                    assert!(!twin.close_with(|| unreachable!("the second cause")));
                    assert_eq!(failure(mine.1), CAUSE);
                    drop(mine.0.complete(inner.payload(2)));
                });
                close(&pool, &ledger);
            }
            assert!(!probe.on_wake.disarm());
            for probe in &probes {
                assert_eq!((probe.wakes(), probe.live()), (1, 0));
            }
            for (completer, completion) in rounds {
                assert!(completer.is_closed());
                assert_eq!(failure(completion), CAUSE);
            }
            pool.assert_quiescent();
            assert_eq!(ledger.live(), 0);
        }
    }
}

/// RUSTSEC-2021-0124, tokio#4225: the closing, a producer that is just writing, and a consumer that just
/// looks or leaves. One of them ends the round; nobody waits, and nothing is lost or dropped twice.
#[test]
fn closing_races_producers_and_consumers() {
    let ledger = Ledger::new();
    for _ in 0..scaled(600, 10) {
        let pool = Closing::with_capacity(4);
        let mut rounds: Vec<_> = (0..4).map(|_| pool.try_rent().unwrap()).collect();
        let (unique, awaited) = rounds.pop().unwrap();
        let (shared, dropped) = rounds.pop().unwrap();
        let (held, taken) = rounds.pop().unwrap();
        let (shared, held) = (
            shared.into_token().unwrap(),
            held.into_held_token().unwrap(),
        );
        let gate = Barrier::new(3);
        let (accepted, seen) = thread::scope(|scope| {
            let (pool, ledger, gate) = (&pool, &ledger, &gate);
            let producer = scope.spawn(move || {
                gate.wait();
                let outcomes = [
                    unique
                        .complete(ledger.payload(1))
                        .map_err(|it| it.into_payload()),
                    pool.complete(shared, ledger.payload(2))
                        .map_err(|it| it.into_payload()),
                    pool.complete(held, ledger.payload(3))
                        .map_err(|it| it.into_payload()),
                ];
                for (n, outcome) in outcomes.iter().enumerate() {
                    if let Err(back) = outcome {
                        assert_eq!(back.tag(), n as u64 + 1);
                    }
                }
                outcomes.map(|outcome| outcome.is_ok())
            });
            let consumer = scope.spawn(move || {
                gate.wait();
                drop(dropped);
                [awaited, taken].map(|completion| match block_on(completion) {
                    Ok(payload) => payload.tag(),
                    Err(error) => error.into_failure().unwrap().tag(),
                })
            });
            gate.wait();
            close(pool, ledger);
            (producer.join().unwrap(), consumer.join().unwrap())
        });
        assert_eq!(seen[0], if accepted[0] { 1 } else { CAUSE });
        assert_eq!(seen[1], if accepted[2] { 3 } else { CAUSE });
        drop(rounds);
        pool.assert_quiescent();
        assert_eq!(ledger.live(), 0);
    }
}
