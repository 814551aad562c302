//! `into_token` ‖ drop of the completion: the slot is released once, whoever is last. Two threads.

use loom::thread;
use loom_tests::{Kind, Pool, Status, Witness};

use crate::check;

#[test]
fn share_and_drop() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<u32, ()>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        assert!(witness.poll(&mut completion).is_pending());
        let sharer = thread::spawn(move || completer.into_token().unwrap());
        drop(completion);
        let token = sharer.join().unwrap();
        assert_eq!(pool.status(token), Status::Stale);
        assert!(pool.complete(token, 1).is_err());
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();

        let (completer, _completion) = pool.try_rent().unwrap();
        assert_ne!(completer.into_token().unwrap(), token);
    });
}

/// Whoever is last may free the pool as well.
#[test]
fn share_frees_the_pool() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<u32, ()>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        assert!(witness.poll(&mut completion).is_pending());
        drop(pool);
        let sharer = thread::spawn(move || drop(completer.into_token()));
        drop(completion);
        sharer.join().unwrap();
        witness.assert_nothing_left();
    });
}
