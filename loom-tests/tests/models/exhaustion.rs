//! exhaustion: a rent refuses only if no slot is home in any shard, and refusals and overflows are
//! counted right.

use loom::thread;
use loom_tests::{Pool, RentError, Round, Token};

use crate::check;

/// Two slots are two shards. The one in the second is home all along, so a rent must find it, whatever
/// comes and goes in the first.
#[test]
fn every_shard_is_looked_at() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(2);
        let lent = pool.try_rent().unwrap();
        let comes_and_goes = {
            let pool = pool.clone();
            thread::spawn(move || {
                drop(lent);
                drop(pool.try_rent());
            })
        };
        assert!(pool.try_rent().is_ok());
        comes_and_goes.join().unwrap();
        pool.assert_quiescent();
    });
}

/// The slot comes home meanwhile: rented or refused, and afterwards it can be rented.
#[test]
fn refusal_and_return() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let returner = thread::spawn(move || drop(lent));
        if let Err(reason) = pool.try_rent() {
            assert_eq!(reason, RentError::Exhausted);
        }
        returner.join().unwrap();
        assert!(pool.try_rent().is_ok());
    });
}

/// Of two who take the only slot one gets it.
#[test]
fn no_slot_is_lent_twice() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(1);
        let other = {
            let pool = pool.clone();
            thread::spawn(move || pool.try_rent().ok())
        };
        let lent = pool.try_rent().ok();
        let others = other.join().unwrap();
        assert_ne!(lent.is_some(), others.is_some());
    });
}

/// Nothing that is counted is counted twice or not at all.
#[test]
fn two_overflow() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(0);
        let other = {
            let pool = pool.clone();
            thread::spawn(move || {
                drop(pool.rent());
                assert!(pool.cancel(Token::from_bits(0)).is_err());
            })
        };
        drop(pool.rent());
        assert!(pool.cancel(Token::from_bits(0)).is_err());
        other.join().unwrap();
        let stats = pool.stats();
        assert_eq!((stats.overflowed, stats.stale), (2, 2));
    });
}

/// A slot that was looked at is lent, used up and home again before it is taken: it is not lent once more.
#[test]
fn look_and_last_round() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(1);
        let share = |(completer, completion): Round<'static, _, _>| {
            completer.into_token().unwrap();
            drop(completion);
        };
        share(pool.try_rent().unwrap());
        share(pool.try_rent().unwrap());
        let other = {
            let pool = pool.clone();
            thread::spawn(move || pool.try_rent().map(share).is_ok())
        };
        let lent = pool.try_rent().map(share).is_ok();
        assert!(lent != other.join().unwrap(), "one round was left");
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Retired);
    });
}

/// Two slots of one shard retire at once; the pool knows of both, and is freed.
#[test]
fn two_retire() {
    check(None, || {
        // Eight shards, so the first has two slots, and those are rented first.
        let pool = Pool::<u32, ()>::with_capacity(9);
        let rent_two = || [(); 2].map(|()| pool.try_rent().unwrap());
        let retiring = rent_two();
        let _others = [(); 7].map(|()| pool.try_rent().unwrap());
        let use_up = |rounds: [Round<'_, _, _>; 2]| {
            for (completer, completion) in rounds {
                completer.into_token().unwrap();
                drop(completion);
            }
        };
        use_up(retiring);
        use_up(rent_two());
        use_up(rent_two());
        let other = {
            let pool = pool.clone();
            thread::spawn(move || drop(pool.try_rent()))
        };
        drop(pool.try_rent());
        other.join().unwrap();
        assert_eq!(pool.stats().capacity, 7);
    });
}

/// A slot that was looked at is used up when it is taken. Of the two shards it is the first's that is given up, and what is
/// out of the second is not lent once more.
#[test]
fn a_worn_slot_beside_one_that_is_out() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(2);
        let first = pool.try_rent().unwrap();
        let (completer, mut completion) = pool.try_rent().unwrap();
        drop(first);
        for _ in 0..3 {
            let (completer, completion) = pool.try_rent().unwrap();
            completer.into_token().unwrap();
            drop(completion);
        }
        let user = thread::spawn(move || {
            completer.complete(7).unwrap();
            assert_eq!(completion.try_take(), Some(Ok(7)));
        });
        if let Err(reason) = pool.try_rent() {
            assert_eq!(reason, RentError::Exhausted);
        }
        user.join().unwrap();
        let stats = pool.stats();
        assert_eq!((stats.capacity, stats.in_use), (1, 0));
    });
}
