//! `Pool::shrink` and `Pool::assert_quiescent`.

use completion_core::{Pool, Rejection, RentError, ShrinkError, Status};

use crate::support::{Ledger, Payload, widths};

#[test]
fn it_is_refused_while_anybody_else_may_look() {
    let ledger = Ledger::new();
    let mut pool = Pool::<Payload, ()>::with_capacity(100);
    let twin = pool.clone();
    assert_eq!(pool.shrink(10), Err(ShrinkError::Shared));
    drop(twin);
    let (completer, mut completion) = pool.try_rent().unwrap();
    assert_eq!(pool.shrink(10), Err(ShrinkError::InUse));
    completer.complete(ledger.payload(1)).unwrap();
    assert_eq!(
        pool.shrink(10),
        Err(ShrinkError::InUse),
        "the outcome was not taken"
    );
    assert_eq!(completion.try_take().unwrap().unwrap().tag(), 1);
    pool.shrink(10).unwrap();
    assert_eq!(pool.stats().capacity, 10);
    assert!(ShrinkError::Shared.to_string() != ShrinkError::InUse.to_string());
}

#[test]
fn it_never_grows_and_keeps_a_closed_pool_as_it_is() {
    let mut pool = Pool::<u64, u64>::with_capacity(10);
    for capacity in [u16::MAX, 11, 10] {
        pool.shrink(capacity).unwrap();
        assert_eq!(pool.stats().capacity, 10);
    }
    pool.close(1);
    pool.shrink(1).unwrap();
    assert_eq!(pool.stats().capacity, 10);
    assert_eq!(pool.try_rent().unwrap_err(), RentError::Closed);
}

#[test]
fn what_stays_serves_on_down_to_nothing() {
    let mut pool = Pool::<u64, ()>::with_capacity(300);
    for capacity in [299, 64, 9, 1, 0] {
        pool.shrink(capacity).unwrap();
        let rounds: Vec<_> = (0..capacity).map(|_| pool.try_rent().unwrap()).collect();
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
        drop(rounds);
        let (completer, mut completion) = pool.rent();
        completer.complete(1).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(1)));
    }
}

#[test]
fn statistics_go_on() {
    let mut pool = Pool::<u64, ()>::with_capacity(2);
    let rounds = [pool.rent(), pool.rent(), pool.rent()];
    drop(rounds);
    let (completer, completion) = pool.rent();
    let token = completer.into_token().unwrap();
    drop(completion);
    pool.cancel(token).unwrap_err();
    let before = pool.stats();
    assert_eq!((before.rented, before.overflowed, before.stale), (3, 1, 1));
    assert_eq!(before.high_water, 2);
    pool.shrink(1).unwrap();
    let after = pool.stats();
    assert_eq!(
        (after.rented, after.returned, after.overflowed, after.stale),
        (3, 3, 1, 1)
    );
    assert_eq!(after.high_water, 0, "starts anew");
    drop(pool.rent());
    assert_eq!((pool.stats().rented, pool.stats().returned), (4, 4));
}

/// tokio#8112: a late completion must not find a later round, also in a pool that was made smaller.
#[test]
fn tokens_of_before_are_as_stale_as_ever() {
    let mut pool = Pool::<u64, ()>::with_capacity(8);
    let mut stale = Vec::new();
    for _ in 0..widths::token_rounds(2, 1) {
        let rounds: Vec<_> = (0..8).map(|_| pool.try_rent().unwrap()).collect();
        for (completer, completion) in rounds {
            stale.push(completer.into_token().unwrap());
            drop(completion);
        }
    }
    for capacity in [5, 2] {
        pool.shrink(capacity).unwrap();
        let mut rounds = Vec::new();
        while let Ok((completer, completion)) = pool.try_rent() {
            let token = completer.into_token().unwrap();
            assert!(!stale.contains(&token), "{token:?} came twice");
            rounds.push((token, completion));
        }
        for token in &stale {
            assert_eq!(pool.status(*token), Status::Stale);
            let back = pool.complete(*token, 9).unwrap_err();
            assert_eq!((back.reason(), back.into_payload()), (Rejection::Stale, 9));
        }
        for (token, mut completion) in rounds {
            pool.complete(token, token.to_bits()).unwrap();
            assert_eq!(completion.try_take(), Some(Ok(token.to_bits())));
            stale.push(token);
        }
    }
}

#[test]
fn a_pool_with_worn_out_sources_shrinks_as_well() {
    if !widths::WEARS_OUT {
        return;
    }
    let mut pool = Pool::<u64, ()>::with_capacity(3);
    let kept = [pool.try_rent().unwrap(), pool.try_rent().unwrap()];
    while let Ok((completer, completion)) = pool.try_rent() {
        completer.into_token().unwrap();
        drop(completion);
    }
    drop(kept);
    assert_eq!(pool.stats().capacity, 2);
    pool.shrink(2).unwrap();
    let mut serving = Vec::new();
    serving.extend(std::iter::from_fn(|| pool.try_rent().ok()));
    assert_eq!(serving.len(), pool.stats().capacity);
    assert!(!serving.is_empty());
}

#[test]
fn a_quiescent_pool_says_nothing() {
    let pool = Pool::<u64, ()>::with_capacity(1);
    pool.assert_quiescent();
    let (lent, overflow) = (pool.rent(), pool.rent());
    assert_eq!(pool.stats().overflowed, 1);
    drop(lent);
    // Only its own sources are to be home.
    pool.assert_quiescent();
    drop(overflow);
}
