//! rent that waits ‖ return, cancel, close: a slot that comes home while somebody waits reaches the one who
//! waits longest, and is never stranded. The list's lock is loom's.

use core::task::Poll;

use loom::sync::Arc;
use loom::thread;
use loom_tests::{CompletionError, Kind, Pool, RentError, Witness};

use crate::check;

#[test]
fn wait_and_return() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<u32, ()>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let returner = thread::spawn(move || drop(lent));
        let (completer, mut completion) = witness.block_on(pool.rent_async()).unwrap();
        completer.complete(7).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(7)));
        returner.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
        // Nobody waits any more, so the slot comes home in the ordinary way.
        drop(pool.try_rent().unwrap());
        drop(pool.try_rent().unwrap());
    });
}

/// Whoever gives up passes on what it was just given.
#[test]
fn cancel_and_return() {
    check(None, || {
        let [first, second] = [Kind::A, Kind::B].map(Witness::new);
        let pool = Pool::<u32, ()>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let mut cancelled = pool.rent_async();
        assert!(first.poll(&mut cancelled).is_pending());
        let mut waiting = pool.rent_async();
        assert!(second.poll(&mut waiting).is_pending());
        let returner = thread::spawn(move || drop(lent));
        drop(cancelled);
        drop(second.block_on(waiting).unwrap());
        returner.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        first.assert_nothing_left();
        second.assert_nothing_left();
    });
}

/// With nobody left to take it, the slot goes home.
#[test]
fn last_cancel_and_return() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<u32, ()>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let mut cancelled = pool.rent_async();
        assert!(witness.poll(&mut cancelled).is_pending());
        let returner = thread::spawn(move || drop(lent));
        drop(cancelled);
        returner.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        drop(pool.try_rent().unwrap());
        drop(pool.try_rent().unwrap());
        witness.assert_nothing_left();
    });
}

#[test]
fn wait_and_close() {
    check(Some(3), || {
        let witness = Witness::new(Kind::A);
        let pool = Arc::new(Pool::<u32, u32>::with_capacity(1));
        let lent = pool.try_rent().unwrap();
        let closer = {
            let pool = pool.clone();
            thread::spawn(move || {
                drop(lent);
                pool.close(9);
            })
        };
        match witness.block_on(pool.rent_async()) {
            Ok((completer, completion)) => {
                let outcome = witness.block_on(completion);
                assert_eq!(outcome, Err(CompletionError::Failed(9)));
                drop(completer);
            }
            Err(reason) => assert_eq!(reason, RentError::Closed),
        }
        closer.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}

/// The slot is handed over while the pool closes: closed it stays, whatever flag is cleared meanwhile.
#[test]
fn return_and_close() {
    check(Some(3), || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<u32, u32>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let mut waiting = pool.rent_async();
        assert!(witness.poll(&mut waiting).is_pending());
        let returner = thread::spawn(move || drop(lent));
        assert!(pool.close(9));
        match witness.block_on(waiting) {
            Ok((completer, mut completion)) => {
                let outcome = completion.try_take();
                assert_eq!(outcome, Some(Err(CompletionError::Failed(9))));
                drop(completer);
            }
            Err(reason) => assert_eq!(reason, RentError::Closed),
        }
        returner.join().unwrap();
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Closed);
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}

/// First come, first served: the second waits until the first has done its round.
#[test]
fn two_wait_in_order() {
    check(None, || {
        let [first, second] = [Kind::A, Kind::B].map(|kind| Arc::new(Witness::new(kind)));
        let pool = Pool::<u32, ()>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let mut one = pool.rent_async();
        assert!(first.poll(&mut one).is_pending());
        let mut two = pool.rent_async();
        assert!(second.poll(&mut two).is_pending());
        let returner = thread::spawn(move || drop(lent));
        // The slot may be on its way to the first; the second has nothing yet.
        assert!(second.poll(&mut two).is_pending());
        let round = first.block_on(one).unwrap();
        assert!(second.poll(&mut two).is_pending());
        drop(round);
        drop(second.block_on(two).unwrap());
        returner.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        first.assert_nothing_left();
        second.assert_nothing_left();
    });
}

/// Two come to wait at once while the slot comes home.
#[test]
fn two_join_and_return() {
    check(Some(2), || {
        let witness = Arc::new(Witness::new(Kind::A));
        let pool = Arc::new(Pool::<u32, ()>::with_capacity(1));
        let lent = pool.try_rent().unwrap();
        let other = {
            let pool = pool.clone();
            thread::spawn(move || {
                let witness = Witness::new(Kind::B);
                drop(witness.block_on(pool.rent_async()).unwrap());
                witness.assert_nothing_left();
            })
        };
        let returner = thread::spawn(move || drop(lent));
        drop(witness.block_on(pool.rent_async()).unwrap());
        other.join().unwrap();
        returner.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}

/// Who is first in the list finds that the only slot is used up: the next hears of it, too.
#[test]
fn two_wait_for_the_last_round() {
    check(None, || {
        let [first, second] = [Kind::A, Kind::B].map(Witness::new);
        let pool = Pool::<u32, ()>::with_capacity(1);
        let share = || {
            let (completer, completion) = pool.try_rent().unwrap();
            completer.into_token().unwrap();
            completion
        };
        drop(share());
        drop(share());
        let last_round = share();
        let mut one = pool.rent_async();
        assert!(first.poll(&mut one).is_pending());
        let mut two = pool.rent_async();
        assert!(second.poll(&mut two).is_pending());
        let returner = thread::spawn(move || drop(last_round));
        assert_eq!(first.block_on(one).unwrap_err(), RentError::Retired);
        assert_eq!(second.block_on(two).unwrap_err(), RentError::Retired);
        returner.join().unwrap();
        first.assert_nothing_left();
        second.assert_nothing_left();
    });
}

/// The last two slots are found used up at once, each by a thread that does not see the other's: whoever waits hears of it.
#[test]
fn wait_and_two_retire() {
    check(Some(1), || {
        let witness = Witness::new(Kind::A);
        let pool = Arc::new(Pool::<u32, ()>::with_capacity(2));
        let share = || {
            let (completer, completion) = pool.try_rent().unwrap();
            completer.into_token().unwrap();
            completion
        };
        for _ in 0..2 {
            drop([share(), share()]);
        }
        let last_round = share();
        drop(share());
        let finder = {
            let pool = pool.clone();
            thread::spawn(move || assert!(pool.try_rent().is_err()))
        };
        let mut waiting = pool.rent_async();
        assert!(witness.poll(&mut waiting).is_pending());
        // Handed over, and found used up.
        drop(last_round);
        assert_eq!(witness.block_on(waiting).unwrap_err(), RentError::Retired);
        finder.join().unwrap();
        witness.assert_nothing_left();
    });
}

/// Who is given the slot drops it, and the last handle, before the return that gave it is over.
#[test]
fn wait_and_return_free_the_pool() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let waiter = thread::spawn(move || {
            let witness = Witness::new(Kind::A);
            drop(witness.block_on(pool.rent_async()).unwrap());
            drop(pool);
            witness.assert_nothing_left();
        });
        drop(lent);
        waiter.join().unwrap();
    });
}

/// The last handle goes while the slot that it waited for comes home.
#[test]
fn cancel_and_return_free_the_pool() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<u32, ()>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let mut waiting = pool.rent_async();
        assert!(matches!(witness.poll(&mut waiting), Poll::Pending));
        let returner = thread::spawn(move || drop(lent));
        drop(waiting);
        drop(pool);
        returner.join().unwrap();
        witness.assert_nothing_left();
    });
}
