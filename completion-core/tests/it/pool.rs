//! `Pool`: capacities, exhaustion, overflow, statistics, and rounds that outlive it.

use std::collections::HashSet;
use std::mem;
use std::sync::Mutex;

use completion_core::{Completer, Completion, CompletionError, Pool, PoolStats, RentError, Token};

use crate::support::{Ledger, Payload, Probe, poll, scaled, widths};

type Round = (Completer<'static, u64, ()>, Completion<'static, u64, ()>);

/// The figures of a pool, as an array that compares.
fn figures(stats: PoolStats) -> [u64; 7] {
    let PoolStats {
        capacity,
        in_use,
        high_water,
        rented,
        returned,
        overflowed,
        stale,
        ..
    } = stats;
    [
        capacity as u64,
        in_use as u64,
        high_water as u64,
        rented,
        returned,
        overflowed,
        stale,
    ]
}

fn serve((completer, mut completion): Round, value: u64) {
    completer.complete(value).unwrap();
    assert_eq!(completion.try_take(), Some(Ok(value)));
}

#[test]
fn every_capacity_lends_exactly_so_many_and_overflows_beyond() {
    let large: &[u16] = if cfg!(miri) { &[] } else { &[1_000, 4_097] };
    for capacity in [0, 1, 2, 7, 8, 9, 62, 63, 64, 65, 127, 256]
        .iter()
        .chain(large)
    {
        let capacity = *capacity;
        let count = u64::from(capacity);
        let pool = Pool::<u64, ()>::with_capacity(capacity);
        assert_eq!(figures(pool.stats()), [count, 0, 0, 0, 0, 0, 0]);

        let rounds: Vec<Round> = (0..capacity).map(|_| pool.try_rent().unwrap()).collect();
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
        assert_eq!(figures(pool.stats()), [count, count, count, count, 0, 0, 0]);
        let beyond = [pool.rent(), pool.rent()];
        assert_eq!(figures(pool.stats()), [count, count, count, count, 0, 2, 0]);

        for (value, round) in rounds.into_iter().chain(beyond).enumerate() {
            serve(round, value as u64);
        }
        assert_eq!(figures(pool.stats()), [count, 0, count, count, count, 2, 0]);
        let again: Vec<Round> = (0..capacity).map(|_| pool.try_rent().unwrap()).collect();
        assert_eq!(pool.stats().in_use, usize::from(capacity));
        drop(again);
        assert_eq!(
            figures(pool.stats()),
            [count, 0, count, 2 * count, 2 * count, 2, 0]
        );
    }
}

#[test]
fn the_default_has_256_sources() {
    assert_eq!(Pool::<u64, ()>::DEFAULT_CAPACITY, 256);
    assert_eq!(Pool::<u64, ()>::new().stats().capacity, 256);
    assert_eq!(Pool::<u64, ()>::default().stats().capacity, 256);
}

#[test]
fn every_slot_has_a_token_of_its_own() {
    let capacity = scaled(u16::MAX.into(), 300);
    let pool = Pool::<u64, ()>::with_capacity(u16::try_from(capacity).unwrap());
    let mut rounds = Vec::new();
    let mut tokens = HashSet::new();
    while let Ok((completer, completion)) = pool.try_rent() {
        let token = completer.into_token().unwrap();
        assert!(tokens.insert(token.to_bits()));
        rounds.push((token, completion));
    }
    assert_eq!(tokens.len(), capacity);
    assert_eq!(pool.stats().capacity, capacity);
    assert_eq!(pool.stats().in_use, capacity);
    // redis-rs#698: each reply reaches its own caller.
    for (token, _) in rounds.iter().rev() {
        pool.complete(*token, token.to_bits()).unwrap();
    }
    for (token, mut completion) in rounds {
        assert_eq!(completion.try_take(), Some(Ok(token.to_bits())));
    }
    assert_eq!(pool.stats().in_use, 0);
}

/// netty#9433, DefaultObjectPool: an object that was returned twice had two owners. A spent handle returns
/// nothing.
#[test]
fn a_round_is_home_when_its_outcome_was_taken_and_not_before() {
    let pool = Pool::<u64, ()>::with_capacity(1);
    let (completer, mut completion) = pool.rent();
    completer.complete(1).unwrap();
    assert_eq!(pool.stats().in_use, 1);
    assert_eq!(completion.try_take(), Some(Ok(1)));
    assert_eq!(pool.stats().in_use, 0);
    let next = pool.try_rent().unwrap();
    drop(completion);
    assert_eq!(pool.stats().in_use, 1);
    serve(next, 2);

    // A completer that never leaves pins its source; a token does not.
    let (completer, completion) = pool.rent();
    drop(completion);
    assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
    drop(completer);
    let (completer, completion) = pool.rent();
    let _token = completer.into_token().unwrap();
    drop(completion);
    assert!(pool.try_rent().is_ok());
}

#[test]
fn an_overflow_round_behaves_alike_but_has_no_token() {
    let pool = Pool::<Payload, Payload>::with_capacity(0);
    let ledger = Ledger::new();
    let probe = Probe::new();
    let waker = probe.waker();
    let polled = |polled: bool| {
        let (completer, mut completion) = pool.rent();
        if polled {
            assert!(poll(&mut completion, &waker).is_pending());
        }
        (completer, completion)
    };
    for first in [false, true] {
        let (completer, mut completion) = polled(first);
        completer.complete(ledger.payload(1)).unwrap();
        assert_eq!(completion.try_take().unwrap().unwrap().tag(), 1);

        let (completer, mut completion) = polled(first);
        completer.fail(ledger.payload(2)).unwrap();
        let failure = completion.try_take().unwrap().err().unwrap().into_failure();
        assert_eq!(failure.unwrap().tag(), 2);

        let (completer, mut completion) = polled(first);
        completer.cancel().unwrap();
        assert!(matches!(
            completion.try_take(),
            Some(Err(CompletionError::Cancelled))
        ));

        let (completer, mut completion) = polled(first);
        drop(completer);
        assert!(matches!(
            completion.try_take(),
            Some(Err(CompletionError::Abandoned))
        ));

        let (completer, completion) = polled(first);
        drop(completion);
        assert!(completer.is_closed());
        assert_eq!(
            completer
                .complete(ledger.payload(3))
                .unwrap_err()
                .into_payload()
                .tag(),
            3
        );

        let (completer, completion) = polled(first);
        completer.complete(ledger.payload(4)).unwrap();
        drop(completion);
        drop(polled(first));

        let (completer, mut completion) = polled(first);
        let refused = completer.into_token().unwrap_err();
        assert_eq!(format!("{refused:?}"), "NoToken { .. }");
        assert!(refused.to_string().starts_with("a round outside"));
        refused
            .into_completer()
            .complete(ledger.payload(5))
            .unwrap();
        assert_eq!(completion.try_take().unwrap().unwrap().tag(), 5);

        let (completer, mut completion) = polled(first);
        drop(completer.into_token());
        assert!(matches!(
            completion.try_take(),
            Some(Err(CompletionError::Abandoned))
        ));
    }
    drop(waker);
    assert_eq!((ledger.live(), probe.live()), (0, 0));
    assert_eq!(figures(pool.stats()), [0, 0, 0, 0, 0, 18, 0]);
}

#[test]
fn high_water_is_an_upper_bound_of_what_was_out_at_once() {
    let pool = Pool::<u64, ()>::with_capacity(64);
    let mut most = 0;
    let mut rounds: Vec<Round> = Vec::new();
    for step in 0..500_usize {
        if step * 7 % 13 < 7 {
            rounds.extend(pool.try_rent());
        } else if !rounds.is_empty() {
            serve(rounds.swap_remove(step % rounds.len()), step as u64);
        }
        most = most.max(rounds.len());
        let stats = pool.stats();
        assert_eq!(stats.in_use, rounds.len());
        assert_eq!(stats.rented - stats.returned, rounds.len() as u64);
        assert!(stats.high_water >= most && stats.high_water <= stats.capacity);
    }
    // One thread that takes turns stays with one source.
    let pool = Pool::<u64, ()>::with_capacity(64);
    for round in 0..100 {
        serve(pool.rent(), round);
    }
    assert_eq!(figures(pool.stats()), [64, 0, 1, 100, 100, 0, 0]);
}

/// tokio#8112, tokio#8255, tokio-uring: a late completion is counted, and its payload comes back; so is a
/// late cancellation (.NET's AsyncOperation).
#[test]
fn stale_calls_are_counted_and_lost_ones_are_not() {
    let pool = Pool::<u64, u64>::with_capacity(2);
    let (completer, mut completion) = pool.rent();
    let token = completer.into_token().unwrap();
    pool.complete(token, 1).unwrap();
    assert_eq!(pool.complete(token, 2).unwrap_err().into_payload(), 2);
    assert_eq!(pool.stats().stale, 0, "the round is not over");
    assert_eq!(completion.try_take(), Some(Ok(1)));
    assert_eq!(pool.complete(token, 3).unwrap_err().into_payload(), 3);
    assert_eq!(pool.fail(token, 4).unwrap_err().into_payload(), 4);
    pool.cancel(token).unwrap_err();
    let _ = pool.status(token);
    pool.cancel(Token::from_bits(2 << 48)).unwrap_err();
    assert_eq!(
        pool.stats().stale,
        4,
        "asking for the status is no call of a producer"
    );
}

#[test]
fn slots_retire_when_their_versions_are_used_up_and_the_pool_goes_on() {
    let pool = Pool::<u64, ()>::with_capacity(3);
    let mut tokens = HashSet::new();
    for round in 0..widths::token_rounds(1_000, 3) {
        let (completer, mut completion) = pool.try_rent().unwrap();
        let token = completer.into_token().unwrap();
        assert!(tokens.insert(token), "{token:?} came twice");
        pool.complete(token, round).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(round)));
    }
    if widths::WEARS_OUT {
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Retired);
        let stats = pool.stats();
        assert_eq!(
            (stats.capacity, stats.in_use, stats.returned),
            (0, 0, stats.rented)
        );
    } else {
        assert_eq!(pool.stats().capacity, 3);
    }
    serve(pool.rent(), 1);
    for token in tokens {
        pool.cancel(token).unwrap_err();
    }
}

#[test]
fn a_worn_out_pool_is_freed_like_any_other() {
    // Its retired slots never come home; the closing counts them in. The leak checker sees the rest.
    let ledger = Ledger::new();
    for kept in [false, true] {
        let pool = Pool::<Payload, ()>::with_capacity(2);
        for _ in 0..widths::token_rounds(10, 1) {
            let (completer, completion) = pool.rent();
            let _ = completer.into_token();
            drop(completion);
        }
        let kept = kept.then(|| pool.rent());
        drop(pool);
        if let Some((completer, mut completion)) = kept {
            completer.complete(ledger.payload(1)).unwrap();
            assert_eq!(completion.try_take().unwrap().unwrap().tag(), 1);
        }
    }
    assert_eq!(ledger.live(), 0);
}

#[test]
fn rounds_outlive_their_pool() {
    let ledger = Ledger::new();
    let probe = Probe::new();
    let waker = probe.waker();
    for capacity in [0, 1, 64] {
        let pool = Pool::<Payload, Payload>::with_capacity(capacity);
        let twin = pool.clone();
        let [a, b, c, d] = std::array::from_fn(|_| pool.rent());
        drop(pool);
        let e = twin.rent();
        drop(twin);

        let (completer, mut completion) = a;
        assert!(poll(&mut completion, &waker).is_pending());
        completer.complete(ledger.payload(1)).unwrap();
        assert_eq!(completion.try_take().unwrap().unwrap().tag(), 1);
        let (completer, completion) = b;
        drop(completion);
        completer.fail(ledger.payload(2)).unwrap_err();
        let (completer, mut completion) = c;
        drop(completer);
        assert!(completion.try_take().unwrap().is_err());
        drop(d);
        let (completer, mut completion) = e;
        let completer = match completer.into_token() {
            // Nobody can use it any more; only the waiter can end this round.
            Ok(_token) => None,
            Err(refused) => Some(refused.into_completer()),
        };
        assert!(poll(&mut completion, &waker).is_pending());
        drop(completion);
        drop(completer);
    }
    drop(waker);
    assert_eq!((ledger.live(), probe.live()), (0, 0));
}

#[test]
fn clones_share_one_pool() {
    let pool = Pool::<u64, ()>::with_capacity(2);
    let twin = pool.clone();
    let (completer, mut completion) = pool.rent();
    let token = completer.into_token().unwrap();
    twin.complete(token, 5).unwrap();
    assert_eq!(completion.try_take(), Some(Ok(5)));
    assert_eq!(pool.stats(), twin.stats());
    drop(pool);
    serve(twin.rent(), 6);
    assert!(format!("{twin:?}").contains("rented: 2"));
}

#[test]
fn forgotten_handles_keep_their_source_out_and_harm_nobody() {
    let ledger = Ledger::new();
    let pool = Pool::<Payload, ()>::with_capacity(4);
    let (completer, completion) = pool.rent();
    mem::forget(completer);
    drop(completion);
    let (completer, completion) = pool.rent();
    completer.complete(ledger.payload(1)).unwrap();
    mem::forget(completion);
    mem::forget(pool.rent());
    assert_eq!(pool.stats().in_use, 3);

    // Forgetting the completion of a shared round leaves its tokens good.
    let (completer, completion) = pool.rent();
    let token = completer.into_token().unwrap();
    mem::forget(completion);
    pool.complete(token, ledger.payload(2)).unwrap();
    assert_eq!(
        pool.complete(token, ledger.payload(3))
            .unwrap_err()
            .into_payload()
            .tag(),
        3
    );

    assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
    let (completer, mut completion) = pool.rent();
    completer.complete(ledger.payload(4)).unwrap();
    assert_eq!(completion.try_take().unwrap().unwrap().tag(), 4);
    assert_eq!(ledger.live(), 2, "the outcomes that were forgotten");

    // Such a pool is never freed; a handle in a static tells leak checkers that this is meant.
    static KEPT: Mutex<Option<Pool<Payload, ()>>> = Mutex::new(None);
    *KEPT.lock().unwrap() = Some(pool);
}

#[test]
fn a_thread_finds_a_free_source_wherever_it_is() {
    // rust-embedded/heapless#583: a rent that finds its shard empty looks at the others.
    let pool = Pool::<u64, ()>::with_capacity(64);
    let kept: Vec<Round> = (0..63).map(|_| pool.try_rent().unwrap()).collect();
    for round in 0..8 {
        std::thread::scope(|scope| {
            scope.spawn(|| serve(pool.try_rent().unwrap(), round));
        });
    }
    drop(kept);
    assert_eq!(pool.stats().in_use, 0);
}
