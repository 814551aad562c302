//! pool drop ‖ last returns: the memory is freed once, after everybody. Three threads, two rounds.
//! The atomics notice when they are freed before an access to them, and the allocator counts pools.

use std::sync::Arc;

use loom::thread;
use loom_tests::{Kind, Pool, Witness};

use crate::check;

#[test]
fn pool_drop_and_last_returns() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<_, ()>::with_capacity(2);
        let rounds = [(); 2].map(|()| pool.try_rent().unwrap());
        let users: Vec<_> = rounds
            .into_iter()
            .map(|(completer, mut completion)| {
                let payload = witness.payload(1);
                thread::spawn(move || {
                    completer.complete(payload).unwrap();
                    assert_eq!(completion.try_take().unwrap().unwrap().number(), 1);
                })
            })
            .collect();
        drop(pool);
        for user in users {
            user.join().unwrap();
        }
        witness.assert_nothing_left();
    });
}

/// Handles of a pool are dropped on two threads: exactly one closes it.
#[test]
fn two_handles_and_a_round() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(1);
        let other = pool.clone();
        let (completer, completion) = pool.try_rent().unwrap();
        let user = thread::spawn(move || {
            drop(completion);
            drop(other);
        });
        drop(pool);
        drop(completer);
        user.join().unwrap();
    });
}

/// Two clone a handle at once, and drop what they have: the pool, and so the cause in it, is still there for the third.
#[test]
fn two_clone() {
    check(None, || {
        let cause = Arc::new(());
        let pool = loom::sync::Arc::new(Pool::<u32, _>::with_capacity(1));
        assert!(pool.close(cause.clone()));
        let other = {
            let pool = pool.clone();
            thread::spawn(move || drop(Pool::clone(&pool)))
        };
        drop(Pool::clone(&pool));
        other.join().unwrap();
        assert_eq!(Arc::strong_count(&cause), 2, "freed too early");
        drop(pool);
        assert_eq!(Arc::strong_count(&cause), 1);
    });
}

/// A slot that one handle's thread found retired counts as home for the closing by the other.
#[test]
fn retired_slot_and_two_handles() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(1);
        for _ in 0..3 {
            let (completer, completion) = pool.try_rent().unwrap();
            completer.into_token().unwrap();
            drop(completion);
        }
        let other = pool.clone();
        let finder = thread::spawn(move || assert!(other.try_rent().is_err()));
        drop(pool);
        finder.join().unwrap();
    });
}

/// A slot is found retired, and the last handle dropped, while its neighbour comes home: the pool is freed all the same.
#[test]
fn retired_slot_and_last_return() {
    check(None, || {
        // Eight shards, so the first has two slots, and those are rented first.
        let pool = Pool::<u32, ()>::with_capacity(9);
        let worn = pool.try_rent().unwrap();
        let neighbour = pool.try_rent().unwrap();
        drop(worn);
        for _ in 0..3 {
            let (completer, completion) = pool.try_rent().unwrap();
            completer.into_token().unwrap();
            drop(completion);
        }
        let user = thread::spawn(move || drop(neighbour));
        drop(pool.try_rent());
        drop(pool);
        user.join().unwrap();
    });
}
