//! `StaticPool`: a pool in a `static`, with no allocator.

use std::collections::HashSet;
use std::mem;

use completion_core::{CompletionError, Rejection, RentError, StaticPool, Status, Token};
use futures_lite::future::block_on;

use crate::support::{Ledger, Payload, Probe, caught, poll, unwind, widths};

#[test]
fn it_serves_threads_from_a_static() {
    static POOL: StaticPool<u64, (), 3> = StaticPool::new();

    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            scope.spawn(move || {
                for round in 0..crate::support::scaled(300, 10) as u64 {
                    let (completer, completion) = POOL.try_rent().expect("one for each thread");
                    scope
                        .spawn(move || completer.complete(thread << 32 | round).unwrap())
                        .join()
                        .unwrap();
                    assert_eq!(block_on(completion), Ok(thread << 32 | round));
                }
            });
        }
    });
    assert_eq!(POOL.in_use(), 0);
    assert!(StaticPool::<u64, (), 2>::default().try_rent().is_ok());
    assert!(format!("{POOL:?}").contains("capacity: 3"));
}

#[test]
fn it_lends_exactly_so_many_and_each_again() {
    let pool = StaticPool::<u64, (), 5>::new();
    for _ in 0..3 {
        let rounds: Vec<_> = (0..5).map(|_| pool.try_rent().unwrap()).collect();
        assert_eq!(pool.in_use(), 5);
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
        for (value, (completer, mut completion)) in rounds.into_iter().enumerate() {
            completer.complete(value as u64).unwrap();
            assert_eq!(completion.try_take(), Some(Ok(value as u64)));
            assert_eq!(pool.in_use(), 4 - value);
        }
    }
    let none = StaticPool::<u64, (), 0>::new();
    assert_eq!(none.try_rent().unwrap_err(), RentError::Exhausted);
    assert_eq!(
        none.cancel(Token::from_bits(0)).unwrap_err().reason(),
        Rejection::Stale
    );
}

#[test]
fn each_source_has_tokens_of_its_own_and_each_operation_finds_it() {
    let pool = StaticPool::<u64, u64, 4>::new();
    let mut rounds: Vec<_> = (0..4)
        .map(|_| {
            let (completer, completion) = pool.try_rent().unwrap();
            (completer.into_token().unwrap(), completion)
        })
        .collect();
    let tokens: HashSet<_> = rounds.iter().map(|(token, _)| *token).collect();
    assert_eq!(tokens.len(), 4);
    let [a, b, c, d] = [3, 2, 1, 0].map(|n| rounds.remove(n));
    pool.complete(a.0, 1).unwrap();
    pool.fail(b.0, 2).unwrap();
    pool.cancel(c.0).unwrap();
    pool.complete_raw(d.0.to_bits(), Ok(4)).unwrap();
    let status = [a.0, b.0, c.0, d.0].map(|token| pool.status(token));
    assert_eq!(
        status,
        [
            Status::Succeeded,
            Status::Failed,
            Status::Cancelled,
            Status::Succeeded
        ]
    );
    let outcomes = [a.1, b.1, c.1, d.1].map(|mut completion| completion.try_take().unwrap());
    assert_eq!(
        outcomes,
        [
            Ok(1),
            Err(CompletionError::Failed(2)),
            Err(CompletionError::Cancelled),
            Ok(4)
        ]
    );
    assert_eq!(pool.in_use(), 0);
    let beyond = Token::from_bits(4 << 48);
    assert_eq!(pool.complete(beyond, 9).unwrap_err().into_payload(), 9);
    assert_eq!(pool.status(beyond), Status::Stale);
}

/// A 16-bit version wraps unnoticed in .NET; here no token comes twice, and none of old ever matches.
#[test]
fn no_stale_token_ever_matches_until_all_is_worn_out() {
    const SOURCES: u64 = 3;
    let pool = StaticPool::<u64, (), { SOURCES as usize }>::new();
    let mut seen = HashSet::new();
    for round in 0..widths::token_rounds(300, SOURCES) {
        let (completer, mut completion) = pool.try_rent().unwrap();
        let token = completer.into_token().unwrap();
        for old in &seen {
            assert_eq!(
                pool.complete(*old, 99).unwrap_err().reason(),
                Rejection::Stale
            );
            assert_eq!(pool.status(*old), Status::Stale);
        }
        assert!(seen.insert(token), "{token:?} came twice");
        pool.complete(token, round).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(round)));
    }
    assert_eq!(pool.in_use(), 0);
    if widths::WEARS_OUT {
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Retired);
        let text = pool.try_rent().unwrap_err().to_string();
        assert!(text.contains("renew"), "it names the remedy: {text}");
    } else {
        drop(pool.try_rent().unwrap());
    }
    for old in seen {
        assert_eq!(pool.cancel(old).unwrap_err().reason(), Rejection::Stale);
    }
}

#[test]
fn rounds_without_a_token_wear_nothing_out() {
    let pool = StaticPool::<u64, (), 1>::new();
    for round in 0..1_000 {
        let (completer, mut completion) = pool.try_rent().unwrap();
        completer.complete(round).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(round)));
    }
}

#[test]
fn renewing_serves_again_and_spares_what_is_not_worn_out() {
    let mut pool = StaticPool::<u64, (), 2>::new();
    pool.renew();
    let (completer, completion) = pool.try_rent().unwrap();
    let first = completer.into_token().unwrap();
    drop(completion);
    pool.renew();
    assert_eq!(
        pool.cancel(first).unwrap_err().reason(),
        Rejection::Stale,
        "its source was not worn out"
    );
    if widths::WEARS_OUT {
        while let Ok((completer, completion)) = pool.try_rent() {
            completer.into_token().unwrap();
            drop(completion);
        }
        pool.reset();
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Retired);
        pool.renew();
        for round in 0..widths::token_rounds(100, 2) {
            let (completer, mut completion) = pool.try_rent().unwrap();
            let token = completer.into_token().unwrap();
            pool.complete(token, round).unwrap();
            assert_eq!(completion.try_take(), Some(Ok(round)));
        }
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Retired);
    }
}

#[test]
fn while_one_source_is_worn_out_and_the_others_are_lent_it_is_exhausted() {
    if !widths::WEARS_OUT {
        return;
    }
    let pool = StaticPool::<u64, (), 2>::new();
    let lent = pool.try_rent().unwrap();
    while let Ok((completer, completion)) = pool.try_rent() {
        completer.into_token().unwrap();
        drop(completion);
    }
    assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
    drop(lent);
    assert!(pool.try_rent().is_ok());
}

#[test]
fn a_reset_brings_forgotten_rounds_home_and_their_tokens_are_stale() {
    let ledger = Ledger::new();
    let probe = Probe::new();
    let mut pool = StaticPool::<Payload, Payload, 4>::new();
    let (completer, completion) = pool.try_rent().unwrap();
    let shared = completer.into_token().unwrap();
    mem::forget(completion);
    let (completer, completion) = pool.try_rent().unwrap();
    completer.complete(ledger.payload(1)).unwrap();
    mem::forget(completion);
    let (completer, completion) = pool.try_rent().unwrap();
    let held = completer.into_held_token().unwrap();
    drop(completion);
    let (completer, mut completion) = pool.try_rent().unwrap();
    assert!(poll(&mut completion, &probe.waker()).is_pending());
    mem::forget((completer, completion));
    assert_eq!((pool.in_use(), ledger.live(), probe.live()), (4, 1, 1));
    pool.reset();
    assert_eq!((pool.in_use(), ledger.live(), probe.live()), (0, 0, 0));
    for token in [shared, held] {
        assert_eq!(pool.cancel(token).unwrap_err().reason(), Rejection::Stale);
    }
    let rounds: [_; 4] = std::array::from_fn(|_| pool.try_rent().unwrap());
    drop(rounds);
}

#[test]
fn a_pool_that_is_dropped_drops_what_was_forgotten_in_it() {
    let ledger = Ledger::new();
    let pool = StaticPool::<Payload, Payload, 2>::new();
    for _ in 0..2 {
        let (completer, completion) = pool.try_rent().unwrap();
        completer.fail(ledger.payload(1)).unwrap();
        mem::forget(completion);
    }
    ledger.on_drop.arm(unwind);
    assert!(caught(move || drop(pool)).is_none());
    assert_eq!(ledger.live(), 0, "also beside one that panics");
}
