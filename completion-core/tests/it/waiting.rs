//! `Pool::rent_async`: who waits for a source is served in turn, and nobody waits in vain.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;

use completion_core::{Completer, Completion, Pool, Rent, RentError};
use futures_lite::future::block_on;

use crate::memory::kept;
use crate::support::{Ledger, Payload, Probe, caught, poll, scaled, unwind, widths};

type Round = (Completer<'static, u64, ()>, Completion<'static, u64, ()>);

/// A rent that waits, and whose waker tells.
fn waiting<'p, T, E>(pool: &'p Pool<T, E>, probe: &Probe) -> Rent<'p, T, E> {
    let mut rent = pool.rent_async();
    assert!(poll(&mut rent, &probe.waker()).is_pending());
    rent
}

/// What a rent that was woken got.
fn served<T, E>(
    rent: &mut Rent<'_, T, E>,
) -> Result<completion_core::Round<'static, T, E>, RentError> {
    match poll(rent, &Probe::new().waker()) {
        Poll::Ready(got) => got,
        Poll::Pending => panic!("nothing was handed over"),
    }
}

#[test]
fn a_source_that_is_home_is_rented_at_once() {
    let pool = Pool::<u64, ()>::with_capacity(1);
    let probe = Probe::new();
    let Poll::Ready(Ok(round)) = poll(&mut pool.rent_async(), &probe.waker()) else {
        panic!("it was home");
    };
    assert_eq!((probe.clones(), pool.stats().in_use), (0, 1));
    drop(round);
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn those_who_wait_are_served_in_the_order_of_their_first_poll() {
    let pool = Pool::<u64, ()>::with_capacity(2);
    let mut out: Vec<Round> = vec![pool.try_rent().unwrap(), pool.try_rent().unwrap()];
    let probes: [Probe; 4] = std::array::from_fn(|_| Probe::new());
    let last = pool.rent_async();
    let mut rents: Vec<_> = probes[..3].iter().map(|it| waiting(&pool, it)).collect();
    rents.push(last);
    assert!(poll(&mut rents[3], &probes[3].waker()).is_pending());

    for turn in 0..4 {
        assert_eq!(probes[turn].wakes(), 0, "before its turn");
        // A source that comes home is never anybody else's meanwhile.
        drop(out.remove(0));
        assert_eq!(pool.stats().in_use, 2);
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
        assert_eq!(probes[turn].wakes(), 1);
        out.push(served(&mut rents[turn]).unwrap());
        assert_eq!(probes[turn].live(), 0);
    }
    drop(out);
    assert_eq!(pool.stats().in_use, 0);
    assert!(pool.try_rent().is_ok(), "nobody waits any more");
}

#[test]
fn only_the_last_waker_is_woken_and_one_waker_is_cloned_once() {
    let pool = Pool::<u64, ()>::with_capacity(1);
    let lent = pool.try_rent().unwrap();
    let (first, second) = (Probe::new(), Probe::new());
    let mut rent = waiting(&pool, &first);
    let waker = second.waker();
    for _ in 0..3 {
        assert!(poll(&mut rent, &waker).is_pending());
    }
    assert_eq!((first.live(), second.clones()), (0, 1));
    drop(lent);
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert!(served(&mut rent).is_ok());
}

#[test]
fn who_gives_up_leaves_no_gap_and_loses_no_source() {
    let pool = Pool::<u64, ()>::with_capacity(1);
    let probes: [Probe; 5] = std::array::from_fn(|_| Probe::new());
    // Whoever gives up, in whatever order, the one who stays is served.
    for stays in 0..5 {
        let lent = pool.try_rent().unwrap();
        let mut rents: Vec<_> = probes.iter().map(|it| Some(waiting(&pool, it))).collect();
        for gives_up in (0..5).map(|n| (n * 3) % 5).filter(|n| *n != stays) {
            rents[gives_up] = None;
            assert_eq!(probes[gives_up].live(), 0);
        }
        drop(lent);
        assert!(served(rents[stays].as_mut().unwrap()).is_ok());
        assert_eq!(pool.stats().in_use, 0);
    }
    // If nobody stays, the source goes home as ever.
    let lent = pool.try_rent().unwrap();
    drop(waiting(&pool, &probes[0]));
    drop(lent);
    assert!(pool.try_rent().is_ok());
    // Never polled, it has no place to give up.
    drop(pool.rent_async());
}

#[test]
fn a_source_handed_to_one_who_gives_up_goes_to_the_next() {
    let pool = Pool::<u64, ()>::with_capacity(1);
    let probes: [Probe; 3] = std::array::from_fn(|_| Probe::new());
    let lent = pool.try_rent().unwrap();
    let [first, second, mut third] = [0, 1, 2].map(|n| waiting(&pool, &probes[n]));
    drop(lent);
    assert_eq!(probes[0].wakes(), 1);
    drop(first);
    assert_eq!(probes[1].wakes(), 1);
    drop(second);
    assert_eq!(probes[2].wakes(), 1);
    let round = served(&mut third).unwrap();
    drop(round);
    assert_eq!(pool.stats().in_use, 0);
    // The last one who was served and gives up sends it home.
    let lent = pool.try_rent().unwrap();
    let rent = waiting(&pool, &probes[0]);
    drop(lent);
    assert_eq!(pool.stats().in_use, 1, "handed over");
    drop(rent);
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.rented, stats.returned), (0, 3, 3));
}

#[test]
fn closing_sends_everybody_away() {
    let pool = Pool::<u64, ()>::with_capacity(1);
    let lent = pool.try_rent().unwrap();
    let probes = [Probe::new(), Probe::new()];
    let [mut first, mut second] = [0, 1].map(|n| waiting(&pool, &probes[n]));
    assert!(pool.close(()));
    assert_eq!((probes[0].wakes(), probes[1].wakes()), (1, 1));
    assert_eq!(served(&mut first).unwrap_err(), RentError::Closed);
    assert_eq!(served(&mut second).unwrap_err(), RentError::Closed);
    assert_eq!(
        served(&mut pool.rent_async()).unwrap_err(),
        RentError::Closed
    );
    drop(lent);
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn a_source_handed_over_before_the_closing_is_rented_with_its_end() {
    for polled in [true, false] {
        let pool = Pool::<u64, u64>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let mut rent = waiting(&pool, &Probe::new());
        drop(lent);
        pool.close(7);
        if polled {
            let (completer, mut completion) = served(&mut rent).unwrap();
            assert!(completer.is_closed());
            let outcome = completion.try_take().unwrap();
            assert_eq!(outcome.unwrap_err().into_failure(), Some(7));
        }
        drop(rent);
        assert_eq!(pool.stats().in_use, 0);
    }
}

/// What the waker of a swept round brings home while the pool closes is nobody's to begin.
#[test]
fn nobody_is_served_while_the_pool_closes() {
    let pool = Pool::<u64, u64>::with_capacity(1);
    let (completer, mut completion) = pool.try_rent().unwrap();
    let (probe, other) = (Probe::new(), Probe::new());
    assert!(poll(&mut completion, &probe.waker()).is_pending());
    let mut rent = waiting(&pool, &other);
    probe.on_wake.arm(move || drop((completer, completion)));
    assert!(pool.close(7));
    assert!(!probe.on_wake.disarm());
    match served(&mut rent) {
        Err(reason) => assert_eq!(reason, RentError::Closed),
        Ok((_completer, mut completion)) => {
            let outcome = completion
                .try_take()
                .expect("a round of a closed pool has ended");
            assert_eq!(outcome.unwrap_err().into_failure(), Some(7));
        }
    }
}

#[test]
fn wakers_that_panic_while_the_pool_closes_stop_neither_the_rounds_nor_those_who_wait() {
    for hostile in ["of a round", "of one who waits"] {
        let pool = Pool::<u64, u64>::with_capacity(2);
        let mut rounds = [pool.try_rent().unwrap(), pool.try_rent().unwrap()];
        let probes: [Probe; 4] = std::array::from_fn(|_| Probe::new());
        for (round, probe) in rounds.iter_mut().zip(&probes) {
            assert!(poll(&mut round.1, &probe.waker()).is_pending());
        }
        let mut rents = [2, 3].map(|n| waiting(&pool, &probes[n]));
        probes[if hostile == "of a round" { 0 } else { 2 }]
            .on_wake
            .arm(unwind);
        assert!(caught(|| pool.close(7)).is_none());
        for probe in &probes {
            assert_eq!((probe.wakes(), probe.live()), (1, 0), "a waker {hostile}");
        }
        for (_completer, mut completion) in rounds {
            let outcome = completion.try_take().unwrap();
            assert_eq!(outcome.unwrap_err().into_failure(), Some(7));
        }
        for rent in &mut rents {
            assert_eq!(served(rent).unwrap_err(), RentError::Closed);
        }
    }
}

#[test]
fn a_pool_of_nothing_refuses() {
    let pool = Pool::<u64, ()>::with_capacity(0);
    assert_eq!(
        served(&mut pool.rent_async()).unwrap_err(),
        RentError::Exhausted
    );
}

#[test]
fn a_worn_out_pool_keeps_nobody_waiting() {
    if !widths::WEARS_OUT {
        return;
    }
    for waiters in 1..=3 {
        let pool = Pool::<u64, ()>::with_capacity(1);
        for _ in 1..widths::TOKEN_ROUNDS {
            let (completer, completion) = pool.try_rent().unwrap();
            completer.into_token().unwrap();
            drop(completion);
        }
        let (completer, completion) = pool.try_rent().unwrap();
        let probes: Vec<_> = (0..waiters).map(|_| Probe::new()).collect();
        let mut rents: Vec<_> = probes.iter().map(|it| waiting(&pool, it)).collect();
        completer.into_token().unwrap();
        drop(completion);
        for (rent, probe) in rents.iter_mut().zip(&probes) {
            assert_eq!(probe.wakes(), 1);
            assert_eq!(served(rent).unwrap_err(), RentError::Retired);
        }
        assert_eq!(
            served(&mut pool.rent_async()).unwrap_err(),
            RentError::Retired
        );
    }
}

#[test]
fn a_worn_out_source_is_not_what_somebody_waited_for() {
    if !widths::WEARS_OUT {
        return;
    }
    let pool = Pool::<u64, ()>::with_capacity(2);
    let kept = pool.try_rent().unwrap();
    for _ in 1..widths::TOKEN_ROUNDS {
        let (completer, completion) = pool.try_rent().unwrap();
        completer.into_token().unwrap();
        drop(completion);
    }
    let (completer, completion) = pool.try_rent().unwrap();
    let probes = [Probe::new(), Probe::new()];
    let [mut first, mut second] = [0, 1].map(|n| waiting(&pool, &probes[n]));
    completer.into_token().unwrap();
    drop(completion);
    let again = Probe::new();
    assert!(
        poll(&mut first, &again.waker()).is_pending(),
        "it is retired"
    );
    drop(kept);
    let round = served(&mut second).unwrap();
    drop(round);
    assert_eq!(again.wakes(), 1);
    assert!(served(&mut first).is_ok());
}

/// A hand-over wakes somebody, who may panic: in every step that brings a source home.
#[test]
fn a_waker_that_panics_at_the_hand_over_spoils_no_round() {
    type Home = fn(&Pool<Payload, ()>, &Ledger, completion_core::Round<'static, Payload, ()>);
    let ways: [Home; 7] = [
        |_, ledger, (completer, mut completion)| {
            completer.complete(ledger.payload(1)).unwrap();
            assert!(caught(|| completion.try_take()).is_none());
            assert!(completion.is_terminated());
        },
        |_, ledger, (completer, mut completion)| {
            completer.complete(ledger.payload(1)).unwrap();
            let waker = Probe::new().waker();
            assert!(caught(|| poll(&mut completion, &waker)).is_none());
            assert!(completion.is_terminated());
        },
        |_, ledger, (completer, completion)| {
            completer.complete(ledger.payload(1)).unwrap();
            assert!(caught(|| drop(completion)).is_none());
        },
        |_, ledger, (completer, completion)| {
            drop(completion);
            assert!(caught(|| completer.complete(ledger.payload(1))).is_none());
        },
        |_, _, (completer, completion)| {
            drop(completion);
            assert!(caught(|| completer.into_token()).is_none());
        },
        |_, _, (completer, mut completion)| {
            completer.into_token().unwrap();
            let probe = Probe::new();
            assert!(poll(&mut completion, &probe.waker()).is_pending());
            assert!(caught(|| drop(completion)).is_none());
            assert_eq!(probe.live(), 0, "the waker of the round that is over");
        },
        |pool, ledger, (completer, completion)| {
            let token = completer.into_held_token().unwrap();
            drop(completion);
            assert!(caught(|| pool.complete(token, ledger.payload(1))).is_none());
        },
    ];
    for (way, home) in ways.into_iter().enumerate() {
        let ledger = Ledger::new();
        let pool = Pool::<Payload, ()>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let probe = Probe::new();
        let mut rent = waiting(&pool, &probe);
        probe.on_wake.arm(unwind);
        home(&pool, &ledger, lent);
        assert!(!probe.on_wake.disarm(), "way {way}");

        let (completer, mut completion) = served(&mut rent).unwrap();
        assert!(!completer.is_closed(), "way {way}");
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
        completer.complete(ledger.payload(2)).unwrap();
        assert_eq!(completion.try_take().unwrap().unwrap().tag(), 2);
        assert_eq!((ledger.live(), pool.stats().in_use), (0, 0), "way {way}");
    }
}

/// A task that is run inside the wake, and so rents inside the return.
#[test]
fn an_executor_that_polls_inside_wake_rents_inside_the_return() {
    let ledger = Ledger::new();
    static POOL: LazyLock<Pool<Payload, ()>> = LazyLock::new(|| Pool::with_capacity(1));
    let pool: &'static Pool<_, _> = &POOL;
    let (completer, mut completion) = pool.try_rent().unwrap();
    let probe = Probe::new();
    let mut rent = waiting(pool, &probe);
    let inner = ledger.clone();
    probe.on_wake.arm(move || {
        let (completer, mut completion) = served(&mut rent).unwrap();
        completer.complete(inner.payload(2)).unwrap();
        assert_eq!(completion.try_take().unwrap().unwrap().tag(), 2);
    });
    completer.complete(ledger.payload(1)).unwrap();
    assert_eq!(completion.try_take().unwrap().unwrap().tag(), 1);
    assert!(!probe.on_wake.disarm());
    assert_eq!((ledger.live(), pool.stats().in_use), (0, 0));
}

#[test]
fn who_gives_up_is_forgotten_while_others_wait() {
    let pool = Pool::<u64, ()>::with_capacity(1);
    let probe = Probe::new();
    let _lent = pool.try_rent().unwrap();
    let stays: Vec<_> = (0..4).map(|_| waiting(&pool, &probe)).collect();
    let kept = kept(|| (0..1_000).for_each(|_| drop(waiting(&pool, &probe))));
    assert!(kept <= 2 * stays.len(), "{kept}");
}

#[test]
fn a_rent_shows_whether_it_waits() {
    let pool = Pool::<u64, ()>::with_capacity(1);
    let _lent = pool.try_rent().unwrap();
    let shown = |waits| format!("Rent {{ waits: {waits}, .. }}");
    assert_eq!(format!("{:?}", pool.rent_async()), shown(false));
    assert_eq!(format!("{:?}", waiting(&pool, &Probe::new())), shown(true));
}

#[test]
fn threads_that_wait_are_all_served_and_never_too_many_at_once() {
    const SOURCES: usize = 2;
    let pool = Pool::<u64, ()>::with_capacity(SOURCES as u16);
    let out = AtomicUsize::new(0);
    let rounds = scaled(2_000, 20) as u64;
    thread::scope(|scope| {
        for thread in 0..5 {
            let (pool, out) = (&pool, &out);
            scope.spawn(move || {
                for round in 0..rounds {
                    // Some wait in vain for a while, and give up.
                    if round % 3 == 0 {
                        let _ = poll(&mut pool.rent_async(), &Probe::new().waker());
                    }
                    let (completer, completion) = block_on(pool.rent_async()).unwrap();
                    assert!(out.fetch_add(1, Ordering::SeqCst) < SOURCES);
                    completer.complete(thread << 32 | round).unwrap();
                    out.fetch_sub(1, Ordering::SeqCst);
                    assert_eq!(completion.wait(), Ok(thread << 32 | round));
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.returned), (0, stats.rented));
    assert!(stats.rented >= 5 * rounds);
}
