//! drop of a polled completion ‖ complete: the payload comes back or is dropped, the waker is freed,
//! and the slot is returned once. Two threads, one round. (RUSTSEC-2026-0005,
//! faern/oneshot#73, #74, #87.)

use loom::thread;
use loom_tests::{Kind, Pool, Rejection, Witness};

use crate::check;

fn drop_against_complete(polled: bool) {
    check(None, move || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<_, ()>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        let payload = witness.payload(7);
        if polled {
            assert!(witness.poll(&mut completion).is_pending());
        }
        let producer = thread::spawn(move || {
            if let Err(rejected) = completer.complete(payload) {
                assert_eq!(rejected.reason(), Rejection::Closed);
                assert_eq!(rejected.into_payload().number(), 7);
            }
        });
        drop(completion);
        producer.join().unwrap();
        witness.assert_nothing_left();
        assert_eq!(pool.stats().in_use, 0);

        // The slot serves again.
        let (completer, mut completion) = pool.try_rent().unwrap();
        completer.complete(witness.payload(8)).unwrap();
        assert_eq!(completion.try_take().unwrap().unwrap().number(), 8);
    });
}

#[test]
fn complete_and_drop_of_a_polled_completion() {
    drop_against_complete(true);
}

#[test]
fn complete_and_drop_of_an_unpolled_completion() {
    drop_against_complete(false);
}

/// Outside the pool the last to leave frees the slot.
#[test]
fn overflow_is_freed_once() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<_, ()>::with_capacity(0);
        let (completer, mut completion) = pool.rent();
        let payload = witness.payload(7);
        assert!(witness.poll(&mut completion).is_pending());
        let producer = thread::spawn(move || drop(completer.complete(payload)));
        drop(completion);
        producer.join().unwrap();
        witness.assert_nothing_left();
    });
}
