//! `StaticPool`: rent ‖ return, and two who rent. A slot is lent to one at a time, and the rounds follow
//! each other.

use loom::thread;
use loom_tests::{Kind, Payload, RentError, StaticPool, Witness};

use crate::check;

/// Runs `body` with a pool of one source.
fn with_pool(body: impl Fn(&'static StaticPool<Payload, (), 1>, &Witness) + Send + Sync + 'static) {
    check(None, move || {
        let witness = Witness::new(Kind::A);
        let pool: &'static StaticPool<_, _, 1> = Box::leak(Box::new(StaticPool::new()));
        body(pool, &witness);
        assert_eq!(pool.in_use(), 0);
        witness.assert_nothing_left();
        // SAFETY: leaked above, and all handles are gone.
        drop(unsafe { Box::from_raw(core::ptr::from_ref(pool).cast_mut()) });
    });
}

/// A whole round, if the source is idle.
fn round(pool: &'static StaticPool<Payload, (), 1>, payload: Payload) -> bool {
    let number = payload.number();
    match pool.try_rent() {
        Ok((completer, mut completion)) => {
            completer.complete(payload).unwrap();
            assert_eq!(completion.try_take().unwrap().unwrap().number(), number);
            true
        }
        Err(reason) => {
            assert_eq!(reason, RentError::Exhausted);
            false
        }
    }
}

#[test]
fn rent_and_return() {
    with_pool(|pool, witness| {
        let (completer, mut completion) = pool.try_rent().unwrap();
        completer.complete(witness.payload(1)).unwrap();
        let payload = witness.payload(2);
        let next = thread::spawn(move || round(pool, payload));
        assert_eq!(completion.try_take().unwrap().unwrap().number(), 1);
        next.join().unwrap();
        assert!(round(pool, witness.payload(3)));
    });
}

#[test]
fn two_renters() {
    with_pool(|pool, witness| {
        let payload = witness.payload(1);
        let other = thread::spawn(move || round(pool, payload));
        let here = round(pool, witness.payload(2));
        assert!(
            other.join().unwrap() || here,
            "an idle source was refused to both"
        );
    });
}

/// By token too the source is found.
#[test]
fn token_and_return() {
    with_pool(|pool, witness| {
        let (completer, mut completion) = pool.try_rent().unwrap();
        let token = completer.into_token().unwrap();
        let payload = witness.payload(1);
        let claimer = thread::spawn(move || pool.complete(token, payload).is_ok());
        let taken = completion.try_take().is_some();
        drop(completion);
        assert!(claimer.join().unwrap() || !taken);
        assert!(round(pool, witness.payload(2)));
    });
}
